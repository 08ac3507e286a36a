"""The domain, pure: commands, events, decisions, the ballot protocol and the counting methods."""
