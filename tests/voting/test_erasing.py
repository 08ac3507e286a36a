"""The erasure of a person: refused while an election needs them, and nothing that others are known by is lost."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from ballot.client.api import b64
from ballot.ledger.decision import Known, Refusal
from ballot.ledger.entry import decode_map, parse
from ballot.voting import commands as c
from tests.support.life import VOTING_US, Ledger, Life, State

LIFE, OTHER = Life(), Life("other")
ANN, BOB, CY = LIFE.voters


def finished() -> Ledger:
    made = Ledger()
    made.record_all(LIFE.whole())
    return made


def erased(*who: str) -> Ledger:
    made = finished()
    for one in who:
        made.record_all([LIFE.erase_user(one, made.state)])
    return made


def refused(made: Ledger, command: c.AnyCommand, name: str) -> str:
    """What is said to whoever asked."""
    decision = made.submit(command, VOTING_US)
    assert isinstance(decision, Refusal), decision
    assert decision.name == name
    return decision.detail


def rows(made: Ledger, table: str, **values: Any) -> list[dict[str, Any]]:
    return [row for row in made.state.tables[table].values() if all(row.get(name) == values[name] for name in values)]


def addresses(made: Ledger) -> dict[str, set[int]]:
    """Address to the entries whose private part, if it was not erased, holds it."""
    gone = {index for entry in made.entries for index, _ in entry.fields.get("parts", ())}
    found: dict[str, set[int]] = {}
    for entry in made.entries:
        if entry.kind in ("UserRegistered", "VotersAdded", "VotersKept") and entry.index not in gone:
            fields = entry.private_fields
            for address in [fields.get("address"), *(one[2] for one in fields.get("addresses", ()))]:
                if address is not None:
                    found.setdefault(address, set()).add(entry.index)
    return found


@pytest.mark.parametrize(
    "steps",
    [
        [LIFE.draft(), LIFE.add(*LIFE.voters)],
        [*LIFE.drafting(), LIFE.open()],
        [*LIFE.drafting(), *LIFE.opening()],
        [*LIFE.drafting(), *LIFE.opening(), LIFE.close()],
        [*LIFE.drafting(), *LIFE.opening(), LIFE.close(), LIFE.publish(0, [], last=True)],
    ],
    ids=["draft", "scheduled", "open", "closed", "published"],
)
def test_whoever_is_on_the_roll_of_an_election_that_is_not_over_stays(steps: list[c.AnyCommand]) -> None:
    made = Ledger()
    made.record_all([*LIFE.people(), *steps])
    detail = refused(made, LIFE.erase_user(ANN, made.state), "OnActiveRoll")
    assert b64(LIFE.election) in detail
    assert not [entry for entry in made.entries if entry.kind in ("VotersKept", "PrivateErased")]


def test_a_cancelled_election_needs_nobody() -> None:
    made = Ledger()
    made.record_all([*LIFE.people(), *LIFE.drafting(), LIFE.cancel()])
    made.record_all([LIFE.erase_user(ANN, made.state)])


def test_a_roll_that_was_not_named_keeps_its_voters() -> None:
    """The one who asked had looked before the second roll was made."""
    made = finished()
    command = LIFE.erase_user(ANN, made.state)
    made.record_all([OTHER.register("organiser"), OTHER.draft()])
    on_other = c.AddVoters(OTHER.command("late"), OTHER.election, OTHER.organiser, [LIFE.new_voter(ANN)])
    made.record_all([on_other])
    refused(made, command, "RollChanged")
    refused(made, msgspec.structs.replace(command, elections=[]), "RollChanged")
    refused(made, msgspec.structs.replace(command, elections=[LIFE.election, OTHER.election]), "OnActiveRoll")
    refused(made, msgspec.structs.replace(command, elections=[LIFE.election] * 2), "RollChanged")


def test_the_organiser_of_an_election_that_is_not_over_stays() -> None:
    made = Ledger()
    made.record_all([*LIFE.people(), *LIFE.drafting()])
    early = LIFE.erase_user("organiser", made.state)
    refused(made, early, "OnActiveRoll")
    made.record_all([*LIFE.opening(), LIFE.close(), LIFE.publish(0, [], last=True)])
    refused(made, early, "OnActiveRoll")
    made.record_all([LIFE.erase(), LIFE.tally()])
    refused(made, msgspec.structs.replace(early, organises=[]), "AccountChanged")
    made.record_all([early])


def test_an_election_drafted_meanwhile_keeps_its_organiser() -> None:
    """The one who asked had looked before."""
    made = finished()
    command = LIFE.erase_user("organiser", made.state)
    second = c.DraftElection(OTHER.election, LIFE.organiser, b"{}")
    made.record_all([second])
    refused(made, command, "AccountChanged")
    for named, name in (
        ([LIFE.election, OTHER.election], "OnActiveRoll"),
        ([LIFE.election] * 2, "AccountChanged"),
        ([LIFE.election, b"e" * 16], "AccountChanged"),
    ):
        refused(made, msgspec.structs.replace(command, organises=named), name)
    made.record_all([c.CancelElection(OTHER.election, LIFE.organiser)])
    made.record_all([msgspec.structs.replace(command, organises=[LIFE.election, OTHER.election])])


TRUSTEE = "trustee 1"


def trustee_gone(made: Ledger, invitation: int = 1, **changes: Any) -> c.EraseUser:
    """The erasure of the first trustee, whose address is in the private part of that invitation."""
    entry = [entry for entry in made.entries if entry.kind == "TrusteeInvited"][invitation]
    assert entry.fields["user"] == LIFE.user(TRUSTEE)
    return LIFE.erase_user(TRUSTEE, made.state, parts=[c.Part(entry.index, "TrusteeInvited")], **changes)


@pytest.mark.parametrize(
    "steps",
    [[], LIFE.opening(), [*LIFE.opening(), LIFE.close()]],
    ids=["draft", "open", "closed"],
)
def test_a_trustee_of_an_election_that_is_not_over_stays(steps: list[c.AnyCommand]) -> None:
    made = Ledger()
    made.record_all([*LIFE.people(), *LIFE.drafting(), *steps])
    command = trustee_gone(made)
    refused(made, command, "OnActiveRoll")
    refused(made, msgspec.structs.replace(command, trustee_of=[]), "AccountChanged")
    refused(made, msgspec.structs.replace(command, trustee_of=[OTHER.election]), "AccountChanged")


def test_a_trustee_goes_once_the_election_is_over_or_without_them() -> None:
    done = finished()
    done.record_all([trustee_gone(done)])
    made = Ledger()
    made.record_all([*LIFE.people(), LIFE.draft(), LIFE.invite(99), *LIFE.enrolling(1)])
    early = trustee_gone(made)
    made.record_all([LIFE.decline(1)])
    refused(made, early, "AccountChanged")
    made.record_all([trustee_gone(made)])


def test_an_invitation_that_was_on_its_way_brings_nobody_back() -> None:
    """It was made for the id that the address had: nothing may tie the two together again."""
    made = finished()
    made.record_all([LIFE.erase_user(ANN, made.state)])
    invite = msgspec.structs.replace(OTHER.invite(1), user=LIFE.user(ANN), tag=LIFE.tag(ANN))
    made.record_all([OTHER.register("organiser"), OTHER.draft()])
    refused(made, invite, "AccountChanged")
    made.record_all([msgspec.structs.replace(invite, user=b"n" * 16)])


def test_the_others_on_a_roll_keep_their_addresses_and_the_one_who_goes_leaves_none() -> None:
    before, made = addresses(finished()), erased(ANN)
    after = addresses(made)
    assert set(before) - set(after) == {f"{ANN}@example.org"}
    kept = next(entry for entry in made.entries if entry.kind == "VotersKept")
    assert {address for address, places in after.items() if kept.index in places} == {
        f"{BOB}@example.org",
        f"{CY}@example.org",
    }
    for who in (BOB, CY):
        assert rows(made, "accounts", user_id=LIFE.user(who))[0]["address_at"] == kept.index
        assert rows(made, "roll", voter=LIFE.user(who))[0]["added_at"] == kept.index
        assert rows(made, "roll_tags", voter=LIFE.user(who))
    assert not rows(made, "accounts", user_id=LIFE.user(ANN))
    assert not rows(made, "roll_tags", voter=LIFE.user(ANN))


def test_everybody_may_go_one_after_the_other() -> None:
    made = erased(ANN, BOB, CY)
    assert set(addresses(made)) == {"organiser@example.org"}
    assert [row["added_at"] for row in rows(made, "roll")] == [None] * 3


def test_what_is_public_of_a_voter_stays() -> None:
    before, after = finished(), erased(ANN)
    for table in ("users", "identity_keys", "credentials", "board", "elections", "trustees"):
        assert before.state.tables[table] == after.state.tables[table], table
    assert {key: row["weight"] for key, row in before.state.tables["roll"].items()} == {
        key: row["weight"] for key, row in after.state.tables["roll"].items()
    }


def test_what_became_of_mail_is_forgotten_with_the_person() -> None:
    assert rows(finished(), "mail", election=LIFE.election)
    assert not rows(erased(ANN), "mail", election=LIFE.election)


def test_two_erasures_at_once_bring_nobody_back() -> None:
    """Both had read the same roll: the second would write down the first one's address again."""
    made = finished()
    first, second = LIFE.erase_user(ANN, made.state), LIFE.erase_user(BOB, made.state)
    made.record_all([first])
    refused(made, second, "AccountChanged")
    account = made.state.get("accounts", LIFE.tag(BOB))
    assert account is not None
    parts = [*second.parts, c.Part(account["address_at"], "VotersKept")]
    refused(made, msgspec.structs.replace(second, parts=parts), "RollChanged")
    made.record_all([LIFE.erase_user(BOB, made.state)])


def test_a_password_set_meanwhile_is_not_left_behind() -> None:
    made = finished()
    command = LIFE.erase_user(ANN, made.state)
    made.record_all([LIFE.change_password(ANN)])
    refused(made, command, "AccountChanged")


def test_a_roll_that_is_left_out_is_not_left_behind() -> None:
    made = finished()
    command = LIFE.erase_user(ANN, made.state)
    refused(made, msgspec.structs.replace(command, rolls=[]), "RollChanged")
    unnamed = [part for part in command.parts if part.index != command.rolls[0].source]
    refused(made, msgspec.structs.replace(command, parts=unnamed), "AccountChanged")


@pytest.mark.parametrize("kind", ["BallotCast", "ElectionOpened", "TrusteeKeyReleased", ""])
def test_nothing_but_what_is_of_persons_can_be_erased_with_one(kind: str) -> None:
    made = finished()
    command = LIFE.erase_user(ANN, made.state)
    refused(made, msgspec.structs.replace(command, parts=[*command.parts, c.Part(9, kind)]), "MalformedCommand")


def test_who_is_gone_is_unknown_and_the_same_request_is_the_same_entry() -> None:
    made = finished()
    command = LIFE.erase_user(ANN, made.state)
    made.record_all([command])
    index = made.entries[-1].index
    assert made.submit(command) == Known(index)
    refused(made, msgspec.structs.replace(command, command=b"x" * 16), "UnknownUser")
    refused(made, LIFE.change_password(ANN), "UnknownUser")


def test_an_address_that_comes_back_is_somebody_new() -> None:
    made = erased(ANN)
    again = c.RegisterUser(b"again" + bytes(11), b"n" * 16, LIFE.tag(ANN), f"{ANN}@example.org", b"$2b$")
    made.record_all([again])
    assert decode_map(made.entries[-1].public)["user"] == b"n" * 16


def test_a_node_that_never_saw_the_erased_parts_has_the_same_state() -> None:
    """It was away: what reaches it has no private parts where the others have erased them."""
    made, late = erased(ANN), State()
    gone = {index for entry in made.entries for index, _ in entry.fields.get("parts", ())}
    casts = range(1, 10)
    for entry in made.entries:
        bare = entry.index in gone or (entry.kind == "BallotCast" and entry.index in casts)
        late.apply(parse(entry.header, entry.public) if bare else entry)
    for table in made.state.tables:
        strip = {"at"} if table in ("accounts", "roll_tags") else set()
        assert _without(made.state.rows()[table], strip) == _without(late.rows()[table], strip), table


def _without(rows: dict[Any, Any], columns: set[str]) -> dict[Any, Any]:
    return {key: {name: row[name] for name in row if name not in columns} for key, row in rows.items()}
