"""From the published board to the count: open every ballot, count what is valid, state it in one document.

The leader, every attesting node and every auditor run these same functions, so equal boards give equal bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ..ledger.rsa import private_from_primes
from . import document
from .ballot import BallotError, parse_ballot
from .choice import decode_choice
from .counting import count_election
from .definition import ElectionDefinition, decode_definition, election_id
from .envelope import Context, InvalidEnvelope, open_with_keys, open_with_seed
from .question import InvalidChoice

Primes = tuple[bytes, bytes]
Choice = list[list[int]]


@dataclass(frozen=True, slots=True)
class Opening:
    """A ballot, opened. `choice` is None when it is invalid; then `seed` is empty, so that it is always reopened."""

    seed: bytes
    choice: Choice | None


INVALID = Opening(b"", None)


def context_of(definition: ElectionDefinition, eid: bytes, bid: bytes) -> Context:
    """What an envelope of this election under this ballot key is bound to."""
    trustees = tuple(bytes.fromhex(trustee.n) for trustee in definition.trustees)
    return Context(eid, bid, definition.k, trustees, definition.pad_len)


def open_ballots(definition_bytes: bytes, keys: Mapping[int, Primes], bodies: Sequence[bytes]) -> list[Opening]:
    """Opens ballots with released keys (trustee number to primes p, q). An invalid ballot is an outcome, no error."""
    definition, eid = _definition(definition_bytes)
    loaded = {number: _private_key(*primes) for number, primes in sorted(keys.items())[: definition.k]}
    return [_open(definition, eid, body, loaded) for body in bodies]


def open_ballot_with_seed(definition_bytes: bytes, body: bytes, seed: bytes) -> Opening:
    """Opens one ballot with its published seed, by public operations only; INVALID when the seed does not open it."""
    definition, eid = _definition(definition_bytes)
    try:
        ballot = parse_ballot(body)
        plain = open_with_seed(context_of(definition, eid, ballot.bid), ballot.envelope, seed)
        return Opening(seed, decode_choice(definition.questions, plain))
    except (BallotError, InvalidEnvelope, InvalidChoice):
        return INVALID


def _open(definition: ElectionDefinition, eid: bytes, body: bytes, keys: Mapping[int, Any]) -> Opening:
    try:
        ballot = parse_ballot(body)
        opened = open_with_keys(context_of(definition, eid, ballot.bid), ballot.envelope, keys)
        return Opening(opened.seed, decode_choice(definition.questions, opened.choice))
    except (BallotError, InvalidEnvelope, InvalidChoice):
        return INVALID


def count_document(definition_bytes: bytes, openings: Sequence[Opening]) -> bytes:
    """The count as an RFC 8785 document: how many ballots, how many valid, and every question with every round."""
    definition, eid = _definition(definition_bytes)
    choices = [opening.choice for opening in openings if opening.choice is not None]
    counted = {
        "version": 1,
        "election": eid.hex(),
        "ballots": {"published": len(openings), "valid": len(choices), "invalid": len(openings) - len(choices)},
        "questions": count_election(definition.questions, choices),
    }
    return document.encode(counted)


@lru_cache(maxsize=16)
def _definition(definition_bytes: bytes) -> tuple[ElectionDefinition, bytes]:
    return decode_definition(definition_bytes), election_id(definition_bytes)


@lru_cache(maxsize=64)
def _private_key(p: bytes, q: bytes) -> Any:
    return private_from_primes(int.from_bytes(p, "big"), int.from_bytes(q, "big"))
