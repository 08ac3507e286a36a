"""What is decided: every refusal by its name, and the same command again is the same entry, for every command."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ballot.ledger.decision import Draft, Known, Refusal
from ballot.ledger.entry import decode_map
from ballot.ledger.frame import frame_hash
from ballot.voting import commands as c
from tests.support.life import CLOSES_US, EPOCHS, OPENS_US, VOTING_US, Ledger, Life, stuff

LIFE = Life()
OTHER = Life("other")
EPOCHAL = Life("epochs", trustees=0, epochs=EPOCHS)


def ledger(*commands: c.AnyCommand) -> Ledger:
    made = Ledger()
    made.record_all(commands)
    return made


def drafted() -> Ledger:
    return ledger(*LIFE.people(), *LIFE.drafting())


def opened() -> Ledger:
    made = drafted()
    made.record_all(LIFE.opening())
    return made


def voted(*casting: str) -> Ledger:
    made = opened()
    made.record_all(LIFE.voting(*casting))
    return made


def closed() -> Ledger:
    made = voted()
    made.record_all([LIFE.close()])
    return made


def published() -> Ledger:
    made = closed()
    made.record_all(LIFE.board())
    return made


def tallied() -> Ledger:
    made = published()
    made.record_all([LIFE.tally()])
    return made


def cancelled() -> Ledger:
    made = opened()
    made.record_all([LIFE.cancel()])
    return made


def refused(made: Ledger, command: c.AnyCommand, name: str, now_us: int = VOTING_US) -> None:
    decision = made.submit(command, now_us)
    assert isinstance(decision, Refusal), decision
    assert decision.name == name
    assert decision.detail


def accepted(made: Ledger, command: c.AnyCommand, now_us: int = VOTING_US) -> list[Draft]:
    decision = made.submit(command, now_us)
    assert isinstance(decision, list), decision
    return decision


# -- asking again

WHOLE = LIFE.whole()


def everything() -> list[c.AnyCommand]:
    role: list[c.AnyCommand] = [OTHER.grant(), OTHER.withdraw()]
    commands = [*WHOLE, OTHER.register("organiser"), *role, OTHER.draft(), OTHER.cancel(), *EPOCHAL.in_epochs()]
    return [*commands, OTHER.erase_user("organiser", ledger(*commands).state)]


def test_every_command_there_is_is_among_them() -> None:
    assert {type(command) for command in everything()} == set(get_args(c.AnyCommand))


def test_the_same_command_at_once_again_is_the_same_entry() -> None:
    made = Ledger()
    for command in everything():
        accepted(made, command)
        index = made.entries[-1].index
        assert made.submit(command) == Known(index), type(command).__name__


def test_the_same_command_at_the_end_of_it_all_is_still_the_same_entry() -> None:
    """Whatever has happened since: a retry must never be refused, nor recorded twice. A cast's trace is erased."""
    made = Ledger()
    index: dict[int, int] = {}
    for number, command in enumerate(everything()):
        accepted(made, command)
        index[number] = made.entries[-1].index
    for number, command in enumerate(everything()):
        if not isinstance(command, c.CastBallot):
            assert made.submit(command) == Known(index[number]), type(command).__name__


def test_a_cast_is_known_until_its_trace_is_erased() -> None:
    made = closed()
    cast = LIFE.cast(LIFE.voters[0])
    index = next(entry.index for entry in made.entries if entry.private == cast.body)
    assert made.submit(cast) == Known(index)
    made.record_all(LIFE.board())
    assert made.submit(cast) == Known(index)
    made.record_all([LIFE.erase()])
    refused(made, cast, "AlreadyPublished")
    refused(made, LIFE.cast(LIFE.voters[0], "no"), "AlreadyPublished")


def test_a_credential_is_known_after_the_close_and_under_a_newer_identity_key() -> None:
    """The same `blinded` gets the same answer for ever (protocol.md, message 5)."""
    made = closed()
    issue = LIFE.issue(LIFE.voters[0])
    index = next(entry.index for entry in made.entries if entry.kind == "CredentialIssued")
    made.record_all([c.EnrolIdentityKey(LIFE.user(LIFE.voters[0]), stuff(384, "newer"), b"")])
    assert made.submit(issue) == Known(index)


# -- accounts


def test_an_address_with_an_account_gets_no_second_one() -> None:
    made = ledger(LIFE.register("ada"))
    refused(made, c.RegisterUser(stuff(16), stuff(16), LIFE.tag("ada"), "", b""), "AddressTaken")


def test_a_voter_who_registers_keeps_the_id_the_roll_gave() -> None:
    made = ledger(*LIFE.people(), LIFE.draft(), LIFE.add("ada"))
    [draft] = accepted(made, c.RegisterUser(stuff(16), b"another id......", LIFE.tag("ada"), "ada@example.org", b"$"))
    assert decode_map(draft.public)["user"] == LIFE.user("ada")


def test_personal_data_is_never_public() -> None:
    made = Ledger()
    made.record_all(WHOLE)
    for entry in made.entries:
        for secret in (b"@example.org", b"$2b$", LIFE.tag("organiser"), b"PRIVATE KEY"):
            assert secret not in entry.public, entry.kind


def test_only_the_accounts_own_password_is_changed() -> None:
    made = ledger(LIFE.register("ada"), LIFE.register("bo"))
    refused(made, c.ChangePassword(stuff(16), LIFE.user("cy"), LIFE.tag("cy"), b"$"), "UnknownUser")
    refused(made, c.ChangePassword(stuff(16), LIFE.user("bo"), LIFE.tag("ada"), b"$"), "UnknownUser")


def test_only_a_user_enrols_an_identity_key_and_may_replace_it() -> None:
    made = ledger(LIFE.register("ada"), LIFE.enrol("ada"))
    refused(made, LIFE.enrol("bo"), "UnknownUser")
    accepted(made, c.EnrolIdentityKey(LIFE.user("ada"), stuff(384, "newer"), b""))
    row = made.state.get("users", LIFE.user("ada"))
    assert row is not None
    assert row["identity_n"] == stuff(384, "newer")


def test_only_known_roles_go_to_known_users() -> None:
    made = ledger(*LIFE.people())
    refused(made, LIFE.grant("king"), "UnknownRole")
    refused(made, c.GrantRole(bytes(16), stuff(16), "admin", b""), "UnknownUser")
    accepted(made, LIFE.grant("admin"))


def test_a_role_that_was_taken_away_does_not_come_back_with_a_late_retry() -> None:
    made = ledger(*LIFE.people())
    refused(made, LIFE.withdraw("trustee"), "RoleNotHeld")
    granted = made.submit(LIFE.grant())
    accepted(made, LIFE.withdraw())
    assert made.submit(LIFE.grant()) == granted
    row = made.state.get("roles", LIFE.organiser, "organiser")
    assert row is not None and row["withdrawn_at"] == made.entries[-1].index
    accepted(made, c.GrantRole(stuff(16, "anew"), LIFE.organiser, "organiser", b""))
    row = made.state.get("roles", LIFE.organiser, "organiser")
    assert row is not None and row["withdrawn_at"] is None


# -- the draft

DRAFT_ONLY: list[Callable[[], c.AnyCommand]] = [LIFE.amend, lambda: LIFE.add("new"), lambda: LIFE.invite(9)]


@pytest.mark.parametrize("make", DRAFT_ONLY, ids=["amend", "add", "invite"])
def test_a_draft_changes_only_while_it_is_one(make: Callable[[], c.AnyCommand]) -> None:
    refused(Ledger(), make(), "UnknownElection")
    for made in (opened(), cancelled(), closed(), tallied()):
        if make != LIFE.amend:
            refused(made, make(), "NotADraft")
    made = opened()
    refused(made, c.AmendElection(stuff(16), LIFE.election, LIFE.organiser, b"{}"), "NotADraft")


@pytest.mark.parametrize(
    "command",
    [
        c.AmendElection(stuff(16), LIFE.election, LIFE.user("bo"), b"{}"),
        c.AddVoters(stuff(16), LIFE.election, LIFE.user("bo"), []),
        LIFE.open(organiser=LIFE.user("bo")),
        LIFE.close(LIFE.user("bo")),
        c.CancelElection(LIFE.election, LIFE.user("bo")),
    ],
    ids=lambda command: type(command).__name__,
)
def test_only_the_organiser_acts_on_an_election(command: c.AnyCommand) -> None:
    refused(drafted(), command, "NotOrganiser")


def test_a_voter_is_on_the_roll_once_however_often_it_is_listed() -> None:
    made = ledger(*LIFE.people(), LIFE.draft())
    command = c.AddVoters(stuff(16), LIFE.election, LIFE.organiser, [LIFE.new_voter("a"), LIFE.new_voter("a", 5)])
    [draft] = accepted(made, command)
    assert decode_map(draft.public)["voters"] == [[LIFE.user("a"), 1]]
    [draft] = accepted(made, c.AddVoters(b"again", LIFE.election, LIFE.organiser, [LIFE.new_voter("a", 5)]))
    assert decode_map(draft.public)["voters"] == []
    row = made.state.get("elections", LIFE.election)
    assert row is not None
    assert row["roll_size"] == 1


def test_a_voter_with_an_account_is_listed_under_its_id() -> None:
    made = ledger(LIFE.register("ada"), LIFE.draft())
    voter = c.NewVoter(b"another id......", LIFE.tag("ada"), "ada@example.org", stuff(32), 1)
    [draft] = accepted(made, c.AddVoters(stuff(16), LIFE.election, LIFE.organiser, [voter]))
    assert decode_map(draft.public)["voters"] == [[LIFE.user("ada"), 1]]


def test_one_id_for_two_addresses_is_on_the_roll_once() -> None:
    """Two rows of one key in one entry would fold differently in a table and in a dictionary."""
    made = ledger(*LIFE.people(), LIFE.draft())
    voters = [c.NewVoter(LIFE.user("a"), LIFE.tag(who), who, stuff(32), weight) for who, weight in (("a", 1), ("b", 2))]
    [draft] = accepted(made, c.AddVoters(stuff(16), LIFE.election, LIFE.organiser, voters))
    assert decode_map(draft.public)["voters"] == [[LIFE.user("a"), 1]]


# -- opening


def test_opening_freezes_the_roll_and_the_definition_in_that_order() -> None:
    roll, opening = accepted(drafted(), LIFE.open())
    assert (roll.kind, opening.kind) == ("RollFrozen", "ElectionOpened")
    assert decode_map(opening.public)["eid"] == LIFE.eid


def test_an_opening_cut_short_after_the_roll_is_taken_up_again() -> None:
    """Two entries may be parted by a change of leader."""
    made = drafted()
    roll, _opening = accepted(drafted(), LIFE.open())
    made.record([roll])
    refused(made, LIFE.open(root=stuff(32, "another")), "RollChanged")
    assert [draft.kind for draft in accepted(made, LIFE.open())] == ["ElectionOpened"]


def test_another_definition_does_not_open_an_election_twice() -> None:
    made = opened()
    other = Life(closes_us=CLOSES_US + 1)
    refused(made, LIFE.open(definition=other.definition), "AlreadyOpened")


def test_a_roll_that_changed_meanwhile_or_is_empty_is_not_opened() -> None:
    made = drafted()
    refused(made, LIFE.open(leaves=LIFE.leaves[:-1]), "RollChanged")
    refused(made, LIFE.open(leaves=[*LIFE.leaves, b"leaf"]), "RollChanged")
    refused(ledger(*LIFE.people(), LIFE.draft()), LIFE.open(leaves=[], draft=b'{"title":"Draft"}'), "RollChanged")


def test_an_election_that_would_close_before_it_opens_is_not_opened() -> None:
    refused(drafted(), LIFE.open(), "BadDefinition", now_us=CLOSES_US)


def test_an_election_whose_draft_was_amended_meanwhile_is_not_opened_with_the_old_one() -> None:
    refused(drafted(), LIFE.open(draft=b'{"title":"Draft"}'), "DraftChanged")


@pytest.mark.parametrize("definition", [b"", b"{}", LIFE.definition + b" ", LIFE.definition[:-1]])
def test_a_definition_that_cannot_be_read_is_refused_before_it_is_recorded(definition: bytes) -> None:
    """Every node folds what is recorded: it would stop them all."""
    refused(drafted(), LIFE.open(definition=definition), "BadDefinition")


def test_only_an_existing_draft_is_opened() -> None:
    refused(Ledger(), LIFE.open(), "UnknownElection")
    made = drafted()
    accepted(made, LIFE.cancel())
    refused(made, LIFE.open(), "NotADraft")


# -- voting

VOTING: list[Callable[[], c.AnyCommand]] = [lambda: LIFE.issue(LIFE.voters[0]), lambda: LIFE.cast(LIFE.voters[0])]


@pytest.mark.parametrize("make", VOTING, ids=["issue", "cast"])
def test_voting_is_possible_from_the_opening_to_the_close_and_not_a_microsecond_more(
    make: Callable[[], c.AnyCommand],
) -> None:
    refused(Ledger(), make(), "UnknownElection")
    refused(drafted(), make(), "ElectionNotOpen")
    ahead = drafted()
    ahead.record_all([LIFE.open()])
    refused(ahead, make(), "ElectionNotOpen")
    accepted(opened(), make(), OPENS_US)
    accepted(opened(), make(), CLOSES_US - 1)
    refused(opened(), make(), "ElectionClosed", CLOSES_US)
    refused(cancelled(), make(), "ElectionCancelled")
    made = opened()
    made.record_all([LIFE.close()])
    refused(made, make(), "ElectionClosed", OPENS_US)


def test_an_election_that_is_closed_by_hand_has_no_end_of_its_own() -> None:
    life = Life(closes_us=0)
    made = ledger(*life.people(), *life.drafting(), *life.opening())
    accepted(made, life.issue(life.voters[0]), CLOSES_US * 2)


def test_a_credential_goes_only_to_a_voter_on_the_roll_with_the_identity_key_in_force() -> None:
    made = opened()
    voter = LIFE.voters[0]
    refused(made, LIFE.issue(voter, eid=OTHER.eid), "WrongElection")
    refused(made, LIFE.issue("organiser"), "NotOnRoll")
    refused(made, LIFE.issue(voter, identity=LIFE.identity("bo")), "WrongIdentityKey")
    accepted(made, c.EnrolIdentityKey(LIFE.user(voter), stuff(384, "newer"), b""))
    refused(made, LIFE.issue(voter), "WrongIdentityKey")


def test_a_voter_on_the_roll_without_an_account_has_no_identity_key() -> None:
    made = ledger(LIFE.register("organiser"), *LIFE.drafting(), *LIFE.opening())
    refused(made, LIFE.issue(LIFE.voters[0]), "WrongIdentityKey")


def test_a_voter_gets_one_credential() -> None:
    made = opened()
    voter = LIFE.voters[0]
    accepted(made, LIFE.issue(voter))
    refused(made, LIFE.issue(voter, blinded=stuff(384, "another")), "AlreadyIssued")
    accepted(made, LIFE.issue(LIFE.voters[1]))


def test_a_credential_is_spent_once() -> None:
    made = opened()
    accepted(made, LIFE.cast("a", "yes"))
    refused(made, LIFE.cast("a", "no"), "AlreadyCast")
    accepted(made, LIFE.cast("b", "no"))


def test_the_private_part_of_a_cast_is_the_ballot_itself_and_nothing_else_of_it_is_public() -> None:
    made = opened()
    [draft] = accepted(made, LIFE.cast("a"))
    assert draft.private == LIFE.body("a")
    assert decode_map(draft.public) == {"election": LIFE.election, "eid": LIFE.eid}


def test_a_ballot_is_cast_in_its_own_election() -> None:
    refused(opened(), c.CastBallot(LIFE.election, LIFE.body("a", eid=OTHER.eid)), "WrongElection")


@pytest.mark.parametrize("body", [b"", LIFE.body("a")[:-1], LIFE.body("a") + b"\0"])
def test_a_malformed_ballot_is_refused(body: bytes) -> None:
    refused(opened(), c.CastBallot(LIFE.election, body), "MalformedBallot")


# -- the close


def test_an_election_closes_with_the_number_of_its_casts() -> None:
    made = voted()
    [draft] = accepted(made, LIFE.close(LIFE.organiser))
    assert decode_map(draft.public)["casts"] == len(LIFE.voters)


def test_only_an_open_election_closes() -> None:
    refused(Ledger(), LIFE.close(), "UnknownElection")
    refused(Ledger(), LIFE.close(LIFE.organiser), "UnknownElection")
    refused(drafted(), LIFE.close(), "NotOpen")
    refused(cancelled(), LIFE.close(), "NotOpen")


def test_the_schedule_closes_an_election_when_its_time_has_come_by_the_leaders_clock() -> None:
    """A node with a fast clock may think an election due that is not."""
    made = voted()
    refused(made, LIFE.close(by=b""), "NotDue", CLOSES_US - 1)
    [draft] = accepted(made, LIFE.close(by=b""), CLOSES_US)
    assert decode_map(draft.public)["by"] == b""


def test_the_schedule_never_closes_an_election_without_a_closing_time() -> None:
    life = Life(closes_us=0)
    made = ledger(*life.people(), *life.drafting(), *life.opening())
    refused(made, life.close(by=b""), "NotDue", CLOSES_US + 1)


def test_an_election_is_cancelled_until_it_closes() -> None:
    refused(Ledger(), LIFE.cancel(), "UnknownElection")
    accepted(drafted(), LIFE.cancel())
    accepted(voted(), LIFE.cancel())
    refused(closed(), LIFE.cancel(), "TooLate")
    refused(tallied(), LIFE.cancel(), "TooLate")


# -- the board

BODIES = LIFE.sorted_bodies(*LIFE.voters)


def test_the_board_is_published_after_the_close_and_once() -> None:
    for made in (Ledger(), voted(), cancelled(), published()):
        refused(made, LIFE.publish(0, BODIES, last=True), "NotClosed")


def test_chunks_come_in_order() -> None:
    made = closed()
    refused(made, LIFE.publish(1, BODIES[:1], last=False), "OutOfOrder")
    accepted(made, LIFE.publish(0, BODIES[:1], last=False))
    refused(made, LIFE.publish(0, BODIES[1:], last=True), "OutOfOrder")
    accepted(made, LIFE.publish(1, BODIES[1:], last=True))


def test_the_board_holds_as_many_ballots_as_were_cast() -> None:
    made = closed()
    refused(made, LIFE.publish(0, BODIES[:2], last=True), "BoardIncomplete")
    refused(made, LIFE.publish(0, BODIES, last=False), "BoardIncomplete")
    refused(made, LIFE.publish(0, [*BODIES, LIFE.body("one more")], last=True), "BoardIncomplete")
    refused(made, LIFE.publish(0, [*BODIES, LIFE.body("one more")], last=False), "BoardIncomplete")
    refused(made, LIFE.publish(0, [*BODIES[:2], BODIES[0]], last=True), "BoardUnsorted")
    accepted(made, LIFE.publish(0, BODIES[:2], last=False))
    refused(made, LIFE.publish(1, BODIES[1:], last=False), "BoardIncomplete")
    accepted(made, LIFE.publish(1, BODIES[2:], last=True))


def test_the_board_holds_what_was_cast_once_and_in_order() -> None:
    made = closed()
    refused(made, LIFE.publish(0, [BODIES[1], BODIES[0]], last=False), "BoardUnsorted")
    refused(made, LIFE.publish(0, [BODIES[0], BODIES[0]], last=False), "BoardUnsorted")
    refused(made, LIFE.publish(0, [LIFE.body("stranger")], last=False), "NotInEpoch")
    refused(made, LIFE.publish(0, [LIFE.body(LIFE.voters[0], "no")], last=False), "NotInEpoch")
    refused(made, LIFE.publish(0, [OTHER.body(LIFE.voters[0])], last=False), "WrongElection")
    refused(made, LIFE.publish(0, [b"junk"], last=False), "MalformedBallot")
    refused(made, LIFE.publish(0, [], last=False), "BoardIncomplete")
    accepted(made, LIFE.publish(0, BODIES[1:2], last=False))
    refused(made, LIFE.publish(1, BODIES[:1], last=False), "BoardUnsorted")
    refused(made, LIFE.publish(1, BODIES[1:2], last=False), "AlreadyPublished")


def test_an_election_without_a_cast_has_an_empty_board() -> None:
    made = opened()
    made.record_all([LIFE.close(), LIFE.publish(0, [], last=True), LIFE.erase(), LIFE.tally()])


def test_casts_are_erased_only_after_they_were_published() -> None:
    for made in (Ledger(), voted(), closed()):
        refused(made, LIFE.erase(), "NotPublished")


def test_the_casts_of_a_cancelled_election_are_erased_too() -> None:
    made = voted()
    accepted(made, LIFE.cancel())
    at = made.entries[-1].index
    assert isinstance(made.submit(LIFE.cast("voter 0")), Known), "a recorded ballot is known until its trace is erased"
    [draft] = accepted(made, LIFE.erase(1, at, final=False))
    assert decode_map(draft.public)["reason"] == "cancelled"
    assert made.state.tables["casts"]
    accepted(made, LIFE.erase(1, at))
    assert not made.state.tables["casts"]
    refused(made, LIFE.cast("voter 0"), "ElectionCancelled")
    assert made.submit(LIFE.cancel()) == Known(at), "the erasure does not hide the cancellation"


def test_an_election_cancelled_before_it_was_opened_has_no_casts_to_erase() -> None:
    made = drafted()
    accepted(made, LIFE.cancel())
    refused(made, LIFE.erase(), "NotPublished")


def test_seeds_follow_the_board_in_order() -> None:
    refused(closed(), LIFE.seeds(0, last=True), "NotPublished")
    refused(tallied(), LIFE.seeds(0, last=True), "NotPublished")
    made = published()
    refused(made, LIFE.seeds(1, last=True), "OutOfOrder")
    accepted(made, LIFE.seeds(0, last=False))
    refused(made, c.PublishSeeds(LIFE.election, 0, True, []), "OutOfOrder")


def test_the_count_follows_the_board() -> None:
    refused(Ledger(), LIFE.tally(), "NotPublished")
    refused(closed(), LIFE.tally(), "NotPublished")


def test_nodes_attest_a_count_that_is_there() -> None:
    refused(Ledger(), LIFE.attest(1), "NotTallied")
    refused(published(), LIFE.attest(1), "NotTallied")


def test_a_count_that_differs_makes_the_election_disputed() -> None:
    made = tallied()
    [draft] = accepted(made, LIFE.attest(1))
    assert decode_map(draft.public)["agrees"] is True
    row = made.state.get("elections", LIFE.election)
    assert row is not None
    assert row["disputed"] is False
    [draft] = accepted(made, LIFE.attest(2, b"another count"))
    assert decode_map(draft.public)["agrees"] is False
    row = made.state.get("elections", LIFE.election)
    assert row is not None
    assert row["disputed"] is True


def test_unused_credentials_are_claimed_after_the_close_in_their_own_election() -> None:
    for made in (Ledger(), voted("voter 0")):
        refused(made, LIFE.claim("voter 2"), "NotClosed")
    made = voted("voter 0")
    accepted(made, LIFE.close())
    refused(made, LIFE.claim("voter 2", eid=OTHER.eid), "WrongElection")
    accepted(made, LIFE.claim("voter 2"))
    row = made.state.get("elections", LIFE.election)
    assert row is not None
    assert row["unused"] == 1


def test_a_credential_that_was_cast_is_not_claimed_as_unused() -> None:
    """Ballots plus claims above what was issued proves that the registrar minted: nobody may fake that."""
    refused(closed(), LIFE.claim("voter 0"), "AlreadyCast")


def test_unused_credentials_are_claimed_until_the_time_that_the_close_states() -> None:
    made = Ledger()
    life = Life("window", claims_s=60)
    made.record_all([*life.people(), *life.drafting(), *life.opening(), *map(life.issue, life.voters)])
    [draft] = accepted(made, life.close())
    until_us = decode_map(draft.public)["claims_until_us"]
    assert until_us == VOTING_US + 60_000_000
    accepted(made, life.claim("voter 0"), until_us - 1)
    refused(made, life.claim("voter 1"), "ClaimsClosed", until_us)
    assert isinstance(made.submit(life.claim("voter 0"), until_us), Known), "the same claim is known for ever"


def test_unused_credentials_are_claimed_also_after_the_count() -> None:
    """Publication, erasure and count follow the close within seconds: none of them shuts the holders out."""
    cast = ("voter 0", "voter 1")
    made = voted(*cast)
    accepted(made, LIFE.close())
    rest: list[c.AnyCommand] = [LIFE.erase(), *map(LIFE.release, LIFE.trustees), LIFE.tally(), LIFE.attest(1)]
    for command in [*LIFE.board(*cast), *rest]:
        accepted(made, command)
        refused(made, LIFE.claim("voter 0"), "AlreadyCast")
    accepted(made, LIFE.claim("voter 2"))


def test_a_cast_in_flight_before_the_close_is_seen_by_the_claim_that_follows() -> None:
    """The last cast, the close and the claim arrive in one batch, and whichever comes first decides."""
    made = opened()
    made.record_all(map(LIFE.issue, LIFE.voters))
    accepted(made, LIFE.cast("voter 0"))
    accepted(made, LIFE.close())
    refused(made, LIFE.claim("voter 0"), "AlreadyCast")
    accepted(made, LIFE.claim("voter 1"))
    refused(made, LIFE.cast("voter 1"), "ElectionClosed")


# -- commands as bytes


@pytest.mark.parametrize("command", WHOLE, ids=lambda command: type(command).__name__)
def test_a_command_comes_back_from_its_bytes(command: c.AnyCommand) -> None:
    data = c.encode_command(command)
    assert c.decode_command(data) == command
    for bad in (data + b"\0", data[:-1], b"\x91" + data[1:]):
        with pytest.raises(c.CommandError):
            c.decode_command(bad)


def altered(command: c.AnyCommand, field: str, value: Any) -> bytes:
    return c.encode_command(msgspec.structs.replace(command, **{field: value}))


NUMBERS = [
    (LIFE.publish(0, [], last=True), "chunk"),
    (LIFE.publish(0, [], last=True), "epoch"),
    (LIFE.end_epoch(), "epoch"),
    (LIFE.seeds(0, last=True), "chunk"),
    (LIFE.erase(), "first"),
    (LIFE.erase(), "last"),
    (LIFE.release(1), "number"),
    (LIFE.release(1), "size"),
    (LIFE.attest(1), "node"),
]


@pytest.mark.parametrize(("command", "field"), NUMBERS, ids=lambda value: value if isinstance(value, str) else "")
@pytest.mark.parametrize("number", [-1, 2**63, 2**64 - 1])
def test_a_number_that_the_tables_cannot_hold_is_no_command(command: c.AnyCommand, field: str, number: int) -> None:
    with pytest.raises(c.CommandError):
        c.decode_command(altered(command, field, number))


@pytest.mark.parametrize("weight", [-1, 0, 2**32])
def test_a_weight_that_the_roll_cannot_hold_is_no_command(weight: int) -> None:
    add = c.AddVoters(stuff(16), LIFE.election, LIFE.organiser, [LIFE.new_voter("a", weight)])
    with pytest.raises(c.CommandError):
        c.decode_command(c.encode_command(add))


@pytest.mark.parametrize(("command", "field"), [(LIFE.grant(), "role"), (LIFE.trustee(1), "name")])
def test_text_that_the_tables_cannot_hold_is_no_command(command: c.AnyCommand, field: str) -> None:
    with pytest.raises(c.CommandError):
        c.decode_command(altered(command, field, "a\0b"))


def test_text_that_is_not_utf_8_is_no_command() -> None:
    data = c.encode_command(LIFE.grant())
    with pytest.raises(c.CommandError):
        c.decode_command(data.replace(b"organiser", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff"))


@given(st.binary(max_size=80))
def test_no_bytes_make_the_decoder_raise_anything_else(data: bytes) -> None:
    for tried in (data, b"\x94\xa9GrantRole" + data):
        with contextlib.suppress(c.CommandError):
            c.decode_command(tried)


# -- the schedule opens


def test_an_election_opened_ahead_of_its_time_starts_when_it_comes_and_once() -> None:
    made = drafted()
    made.record_all([LIFE.open()])
    refused(made, LIFE.start(), "NotDue", OPENS_US - 1)
    accepted(made, LIFE.start(), OPENS_US)
    started = made.entries[-1].index
    assert made.submit(LIFE.start(), OPENS_US + 1) == Known(started)
    refused(drafted(), LIFE.start(), "NotOpen", OPENS_US)
    refused(Ledger(), LIFE.start(), "UnknownElection", OPENS_US)


def test_a_scheduled_election_can_be_cancelled_but_not_closed() -> None:
    made = drafted()
    made.record_all([LIFE.open()])
    refused(made, LIFE.close(), "NotOpen")
    accepted(made, LIFE.cancel())
    refused(made, LIFE.start(), "NotOpen", OPENS_US)


# -- identity keys over time


def test_a_newer_identity_key_supersedes_and_an_old_one_never_comes_back() -> None:
    made = opened()
    voter = LIFE.voters[0]
    newer = c.EnrolIdentityKey(LIFE.user(voter), stuff(384, "newer"), stuff(384, "signature"))
    made.record_all([newer])
    refused(made, LIFE.issue(voter), "WrongIdentityKey")
    refused(made, LIFE.enrol(voter), "KeySuperseded")
    assert made.submit(newer) == Known(made.entries[-1].index)
    accepted(made, LIFE.issue(voter, identity=frame_hash("rsa-key", newer.n)))


def test_who_got_a_credential_gets_the_same_again_under_a_newer_identity_key() -> None:
    made = opened()
    voter = LIFE.voters[0]
    made.record_all([LIFE.issue(voter)])
    issued = made.entries[-1].index
    newer = c.EnrolIdentityKey(LIFE.user(voter), stuff(384, "newer"), stuff(384, "signature"))
    made.record_all([newer])
    assert made.submit(LIFE.issue(voter, identity=frame_hash("rsa-key", newer.n))) == Known(issued)
    other = LIFE.issue(voter, identity=frame_hash("rsa-key", newer.n), blinded=stuff(384, "another"))
    refused(made, other, "AlreadyIssued")
