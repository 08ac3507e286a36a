"""The log, read again: audit, recount, rebuild and export."""
