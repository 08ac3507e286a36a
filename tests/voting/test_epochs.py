"""Publication in epochs: when one ends, what it holds, what is held back, and what comes with the close."""

from __future__ import annotations

import msgspec
import pytest

from ballot.ledger.decision import Known, Refusal
from ballot.ledger.entry import decode_map
from ballot.voting import commands as c
from ballot.voting.definition import DefinitionError, Epochs, decode_definition, encode_definition
from tests.support.life import EPOCHS, OPENS_US, VOTING_US, Ledger, Life

LIFE = Life("epochs", trustees=0, epochs=EPOCHS)
FIRST, SECOND, THIRD = LIFE.crowd(0), LIFE.crowd(20), LIFE.crowd(40)
EARLY_US = OPENS_US - 1


def opened(*casting: str) -> Ledger:
    made = Ledger()
    made.record_all([LIFE.draft(), *LIFE.opening_alone(), *map(LIFE.cast, casting)])
    return made


def refused(made: Ledger, command: c.AnyCommand, name: str, now_us: int = VOTING_US) -> None:
    decision = made.submit(command, now_us)
    assert isinstance(decision, Refusal), decision
    assert decision.name == name


def publish(*casting: str, chunk: int = 0, epoch: int = 0, last: bool = False) -> c.PublishBallots:
    return LIFE.publish(chunk, LIFE.sorted_bodies(*casting), last=last, epoch=epoch)


def test_an_epoch_takes_its_time_and_its_ballots() -> None:
    made = opened(*FIRST[:-1])
    refused(made, LIFE.end_epoch(), "EpochTooSmall")
    made.record_all([LIFE.cast(FIRST[-1])])
    refused(made, LIFE.end_epoch(), "EpochTooEarly", EARLY_US)
    refused(made, LIFE.end_epoch(1), "OutOfOrder")
    made.record_all([LIFE.end_epoch()])
    assert decode_map(made.entries[-1].public)["casts"] == 20
    assert made.submit(LIFE.end_epoch()) == Known(made.entries[-1].index)


def test_the_time_of_the_next_epoch_counts_from_the_end_of_the_last() -> None:
    made = opened(*FIRST)
    made.record_all([LIFE.end_epoch(), *map(LIFE.cast, [*SECOND, *THIRD]), publish(*FIRST)])
    ended_us = next(entry.time_us for entry in made.entries if entry.kind == "EpochEnded")
    refused(made, LIFE.end_epoch(1), "EpochTooEarly", ended_us + EPOCHS.interval_us - 1)
    assert isinstance(made.submit(LIFE.end_epoch(1), ended_us + EPOCHS.interval_us), list)


def test_an_epoch_is_held_back_until_as_many_casts_have_come_again() -> None:
    made = opened(*FIRST)
    made.record_all([LIFE.end_epoch(), *map(LIFE.cast, SECOND[:-1])])
    refused(made, publish(*FIRST), "EpochHeldBack")
    made.record_all([LIFE.cast(SECOND[-1]), publish(*FIRST)])
    assert decode_map(made.entries[-1].public)["end"]


def test_an_epoch_holds_the_casts_before_its_end_and_no_other() -> None:
    made = opened(*FIRST)
    made.record_all([LIFE.end_epoch(), *map(LIFE.cast, SECOND)])
    refused(made, publish(*FIRST[1:], SECOND[0]), "NotInEpoch")
    refused(made, publish(*FIRST, SECOND[0]), "BoardIncomplete")
    refused(made, publish(*FIRST, last=True), "BoardIncomplete")
    refused(made, publish(*FIRST, epoch=1), "OutOfOrder")
    refused(made, LIFE.publish(0, LIFE.sorted_bodies(*FIRST)[::-1], last=False), "BoardUnsorted")


def test_no_ballot_is_published_with_two_epochs() -> None:
    made = opened(*FIRST)
    made.record_all([LIFE.end_epoch(), *map(LIFE.cast, [*SECOND, *THIRD]), publish(*FIRST), LIFE.end_epoch(1)])
    made.record_all([*map(LIFE.cast, LIFE.crowd(60))])
    refused(made, publish(FIRST[0], *SECOND, chunk=1, epoch=1), "AlreadyPublished")
    made.record_all([publish(*SECOND, *THIRD, chunk=1, epoch=1)])


def test_an_epoch_ends_once_and_the_next_only_when_it_is_published() -> None:
    made = opened(*FIRST)
    made.record_all([LIFE.end_epoch(), *map(LIFE.cast, SECOND)])
    refused(made, LIFE.end_epoch(1), "OutOfOrder")
    bodies = LIFE.sorted_bodies(*FIRST)
    made.record_all([LIFE.publish(0, bodies[:9], last=False)])
    refused(made, LIFE.end_epoch(1), "OutOfOrder")
    refused(made, LIFE.publish(1, bodies[8:19], last=False), "AlreadyPublished")
    refused(made, LIFE.publish(1, bodies[10:8:-1], last=False), "BoardUnsorted")
    made.record_all([LIFE.publish(1, bodies[9:], last=False), LIFE.end_epoch(1)])


def test_an_epoch_that_is_held_back_at_the_close_comes_with_the_rest() -> None:
    made = opened(*FIRST)
    made.record_all([LIFE.end_epoch(), LIFE.cast(SECOND[0]), LIFE.close()])
    made.record_all([publish(*FIRST, SECOND[0], last=True)])
    election = made.state.get("elections", LIFE.election)
    assert election is not None and election["status"] == "published"


def test_an_epoch_begun_before_the_close_is_finished_first_and_leaves_enough_for_the_last() -> None:
    made = opened(*FIRST)
    made.record_all([LIFE.end_epoch(), *map(LIFE.cast, SECOND)])
    bodies = LIFE.sorted_bodies(*FIRST)
    made.record_all([LIFE.publish(0, bodies[:7], last=False), LIFE.close()])
    refused(made, publish(*SECOND, chunk=1, epoch=1, last=True), "OutOfOrder")
    made.record_all([LIFE.publish(1, bodies[7:], last=False), publish(*SECOND, chunk=2, epoch=1, last=True)])
    assert [row["position"] for row in made.state.tables["board"].values()].count(0) == 3


def test_an_election_with_few_ballots_publishes_them_all_at_the_close() -> None:
    made = opened(*FIRST[:3])
    made.record_all([LIFE.close(), publish(*FIRST[:3], last=True)])


def test_an_election_without_epochs_has_none() -> None:
    life = Life("plain", trustees=0)
    made = Ledger()
    made.record_all([life.draft(), *life.opening_alone(), *map(life.cast, life.crowd(0))])
    refused(made, life.end_epoch(), "NoEpochs")
    refused(made, life.publish(0, life.sorted_bodies(*life.crowd(0)), last=False), "NotClosed")


@pytest.mark.parametrize("status", ["draft", "closed"])
def test_epochs_end_while_the_election_is_open(status: str) -> None:
    made = Ledger()
    made.record_all([LIFE.draft()])
    if status == "closed":
        made = opened(*FIRST)
        made.record_all([LIFE.close()])
    refused(made, LIFE.end_epoch(), "NotOpen")


def test_a_cast_that_is_published_is_known_while_the_election_is_open_and_spends_its_key_for_good() -> None:
    """The cast is erased only with all others, so that who lost an answer still gets the same receipt."""
    made = opened(*FIRST)
    index = next(entry.index for entry in made.entries if entry.private == LIFE.body(FIRST[0]))
    made.record_all([LIFE.end_epoch(), *map(LIFE.cast, SECOND), publish(*FIRST)])
    assert made.submit(LIFE.cast(FIRST[0])) == Known(index)
    refused(made, LIFE.cast(FIRST[0], "no"), "AlreadyCast")
    refused(made, LIFE.erase(), "NotPublished")
    made.record_all([LIFE.close(), publish(*SECOND, chunk=1, epoch=1, last=True), LIFE.erase()])
    refused(made, LIFE.cast(FIRST[0]), "AlreadyPublished")


def test_a_key_on_the_board_is_spent_even_where_its_cast_is_not_known_any_more() -> None:
    """What keeps a credential from being used twice must not hang on a row that is meant to be deleted."""
    made = opened(*FIRST)
    made.record_all([LIFE.end_epoch(), *map(LIFE.cast, SECOND), publish(*FIRST)])
    made.state.tables["casts"].clear()
    for choice in ("yes", "no"):
        refused(made, LIFE.cast(FIRST[0], choice), "AlreadyPublished")


# -- in the definition


def test_epochs_are_in_the_document_only_where_there_are_some() -> None:
    plain = decode_definition(Life("plain").definition)
    assert b"epochs" not in encode_definition(plain)
    assert decode_definition(LIFE.definition).epochs == EPOCHS


@pytest.mark.parametrize(
    "epochs", [Epochs(599_999_999, 20), Epochs(600_000_000, 19), Epochs(-1, 20), Epochs(2**53, 20)]
)
def test_an_epoch_of_a_shorter_time_or_fewer_ballots_is_refused(epochs: Epochs) -> None:
    definition = decode_definition(LIFE.definition)
    with pytest.raises(DefinitionError, match="epoch"):
        encode_definition(msgspec.structs.replace(definition, epochs=epochs))
