"""The replicated log: it knows bytes, order and signatures, and nothing of ballots."""
