"""The ladders of refusals, one function a command, in the order of an election's life."""
