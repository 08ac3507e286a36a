"""`python -m bench.tally`: ballots opened a second, with the trustees' keys and by their seeds."""
