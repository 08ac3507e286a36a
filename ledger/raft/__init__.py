"""Raft as a pure state machine: messages and ticks in, a to-do list out. No I/O, no clock, no threads."""
