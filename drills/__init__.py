"""Failure drills against the live cluster, over its own API: what was done, what was seen, how long it took."""
