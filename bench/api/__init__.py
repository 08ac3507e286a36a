"""Ballots cast over HTTP through three nodes with every check on, beside what the same server does without a ledger."""
