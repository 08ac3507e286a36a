"""The arithmetic of majorities, apart from everything else so that it can be tested against a slow twin."""

from __future__ import annotations

from collections.abc import Collection, Mapping


def majority(members: Collection[int]) -> int:
    """How many of `members` are more than half."""
    return len(members) // 2 + 1


def agreed_index(match: Mapping[int, int], voters: Collection[int]) -> int:
    """The highest index that a majority of `voters` holds durably; a voter not in `match` holds nothing."""
    held = sorted((match.get(voter, 0) for voter in voters), reverse=True)
    return held[majority(voters) - 1] if held else 0


def has_majority(agreeing: Collection[int], voters: Collection[int]) -> bool:
    return sum(voter in agreeing for voter in voters) >= majority(voters)


def is_lost(refusing: Collection[int], voters: Collection[int]) -> bool:
    """True when so many refuse that a majority can no longer be reached."""
    return sum(voter in refusing for voter in voters) > len(voters) - majority(voters)
