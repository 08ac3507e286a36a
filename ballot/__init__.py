"""Ballot Ledger: an online voting backend whose only record is a replicated, append-only, signed ledger."""

__version__ = "0.1.0"
