"""The audit of a board that was published in epochs: what it lets pass, and every rule that it holds an epoch to."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ballot.ledger.decision import Draft
from ballot.ledger.entry import Entry, decode_map, encode_map
from ballot.replay import checks_ballots, checks_election
from ballot.replay.events import read_event
from ballot.replay.pool import Pool
from ballot.replay.report import Findings
from ballot.replay.scene import Scene
from tests.support.chain import chain
from tests.support.life import EPOCHS, VOTING_US, Ledger, Life

LIFE = Life("epochs", trustees=0, epochs=EPOCHS)
HANDLERS = checks_election.HANDLERS | checks_ballots.HANDLERS


def whole() -> list[Entry]:
    made = Ledger()
    made.record_all(LIFE.in_epochs())
    return made.entries


WHOLE = whole()


def found(entries: list[Entry], last_us: int = EPOCHS.interval_us) -> set[str]:
    """What the checks of elections and ballots say, of the log alone: these keys and signatures are made up."""
    findings = Findings()
    scene = Scene(findings, cast(Pool, SimpleNamespace(submit=lambda *arguments: None)))
    for number, entry in enumerate(entries):
        event = read_event(entry)
        # As in a real log, time passes.
        scene.time_us = VOTING_US + number * last_us
        handler = HANDLERS.get(type(event))
        if handler is not None:
            handler(scene, entry.index, event)
    scene.close()
    return {finding.name for finding in findings.sorted()} - EXPECTED


EXPECTED: set[str] = set()
EXPECTED = found(WHOLE)
"""What is wrong with made-up keys and rolls in any case."""


def changed(kind: str, number: int, **fields: Any) -> list[Entry]:
    """The log with some fields of one entry other than they were."""
    place = [place for place, entry in enumerate(WHOLE) if entry.kind == kind][number]
    return with_drafts(lambda drafts: [*drafts[:place], edited(drafts[place], fields), *drafts[place + 1 :]])


def edited(draft: Draft, fields: dict[str, Any]) -> Draft:
    return Draft(draft.kind, encode_map(decode_map(draft.public) | fields), draft.private)


def with_drafts(change: Callable[[list[Draft]], list[Draft]]) -> list[Entry]:
    drafts = change([Draft(entry.kind, entry.public, entry.private) for entry in WHOLE])
    return [WHOLE[0], *chain(drafts[1:], after=WHOLE[0])]


def without_casts(count: int, before: str) -> list[Entry]:
    """Some casts are missing right before the first entry of a kind."""

    def change(drafts: list[Draft]) -> list[Draft]:
        place = next(place for place, draft in enumerate(drafts) if draft.kind == before)
        return [*drafts[: place - count], *drafts[place:]]

    return with_drafts(change)


def test_a_board_in_epochs_passes() -> None:
    assert not {name for name in EXPECTED if name.startswith(("Epoch", "Board", "Chunk", "Published"))}
    published = [decode_map(entry.public) for entry in WHOLE if entry.kind == "BallotsPublished"]
    assert [(one["epoch"], one["end"], one["last"]) for one in published] == [
        (0, False, False),
        (0, True, False),
        (1, True, True),
    ]


def test_an_epoch_that_comes_too_early_is_caught() -> None:
    assert "EpochTooEarly" in found(WHOLE, last_us=1000)


@pytest.mark.parametrize(
    ("entries", "name"),
    [
        (without_casts(1, "EpochEnded"), "EpochTooSmall"),
        (without_casts(1, "EpochEnded"), "EpochCountDiffers"),
        (without_casts(1, "BallotsPublished"), "EpochNotHeldBack"),
        (changed("EpochEnded", 0, casts=19), "EpochCountDiffers"),
        (changed("EpochEnded", 1, epoch=0), "EpochOutOfOrder"),
        (changed("BallotsPublished", 1, epoch=1), "ChunkOutOfOrder"),
        (changed("BallotsPublished", 1, last=True), "PublishedWrongly"),
        (changed("BallotsPublished", 0, end=True), "BoardCountDiffers"),
        (changed("BallotsPublished", 1, ballots=LIFE.sorted_bodies(*LIFE.crowd(0))[:4]), "BoardUnsorted"),
        (changed("BallotsPublished", 2, ballots=LIFE.sorted_bodies(*LIFE.crowd(0, 21))), "BallotKeyReused"),
        (with_drafts(lambda drafts: [one for one in drafts if one.kind != "EpochEnded"]), "PublishedWrongly"),
    ],
)
def test_an_epoch_that_breaks_a_rule_is_caught(entries: list[Entry], name: str) -> None:
    assert name in found(entries)
