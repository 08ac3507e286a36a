"""What is decided about trustees: who may enrol which key, when an election may open, which release counts."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from ballot.ledger.decision import Draft, Known, Refusal
from ballot.ledger.entry import decode_map, encode_map
from ballot.voting import commands as c
from ballot.voting import document
from ballot.voting.decisions.trustees import MOST_TRUSTEES
from tests.support.life import Ledger, Life, stuff

LIFE = Life()
ALONE = Life("alone", trustees=0)


def ledger(*commands: c.AnyCommand) -> Ledger:
    made = Ledger()
    made.record_all(commands)
    return made


def drafted(life: Life = LIFE) -> Ledger:
    return ledger(*life.people(), *life.drafting())


def published(life: Life = LIFE) -> Ledger:
    made = drafted(life)
    made.record_all([*life.opening(), *life.voting(), life.close(), *life.board()])
    return made


def refused(made: Ledger, command: c.AnyCommand, name: str) -> None:
    decision = made.submit(command)
    assert isinstance(decision, Refusal), decision
    assert (decision.name, bool(decision.detail)) == (name, True)


def changed(command: Any, /, **changes: Any) -> Any:
    return msgspec.structs.replace(command, **changes)


def index_of(made: Ledger, kind: str, number: int = 0) -> int:
    return [entry.index for entry in made.entries if entry.kind == kind][number]


# -- invited


def test_only_the_organiser_invites_and_withdraws() -> None:
    for command in (LIFE.invite(3), LIFE.decline(1)):
        refused(drafted(), changed(command, organiser=LIFE.user("bo")), "NotOrganiser")
        refused(Ledger(), command, "UnknownElection")


def test_an_invitation_names_the_person_publicly_and_the_address_privately() -> None:
    made = drafted()
    entry = made.entries[index_of(made, "TrusteeInvited") - 1]
    assert entry.fields["name"] == "Trustee 99"
    assert b"@example.org" not in entry.public and b"trustee 99@example.org" in (entry.private or b"")


def test_whoever_is_invited_again_under_the_same_name_is_invited_once() -> None:
    made = drafted()
    again = changed(LIFE.invite(1), command=stuff(16, "again"))
    assert made.submit(again) == Known(index_of(made, "TrusteeInvited", 1))
    refused(made, changed(again, name="Somebody else"), "AlreadyInvited")


def test_an_id_given_meanwhile_is_asked_for_again() -> None:
    made = drafted()
    refused(made, changed(LIFE.invite(1), command=stuff(16), user=stuff(16, "new")), "AccountChanged")


def test_who_registers_after_an_invitation_keeps_the_id_it_gave() -> None:
    made = drafted()
    invited = LIFE.invite(1)
    made.record_all([c.RegisterUser(stuff(16), stuff(16, "new"), invited.tag, invited.address, b"$")])
    assert made.entries[-1].fields["user"] == invited.user


def test_there_are_at_most_nine_trustees_and_a_withdrawn_one_makes_room() -> None:
    made = ledger(*LIFE.people(), LIFE.draft(), *map(LIFE.invite, range(1, MOST_TRUSTEES + 1)))
    refused(made, LIFE.invite(10), "TooManyTrustees")
    made.record_all([LIFE.decline(4), LIFE.invite(10)])


def test_only_an_invitation_in_force_is_withdrawn() -> None:
    made = drafted()
    refused(made, LIFE.decline(5), "UnknownTrustee")
    refused(made, LIFE.decline(99, again=1), "UnknownTrustee")


# -- enrolled


def test_only_who_is_invited_enrols_and_under_the_invited_name() -> None:
    made = drafted()
    refused(made, LIFE.trustee(3), "NotInvited")
    refused(made, LIFE.trustee(99), "NotInvited")
    made.record_all([LIFE.invite(3)])
    refused(made, changed(LIFE.trustee(3), name="Another"), "TrusteesChanged")
    refused(Ledger(), LIFE.trustee(1), "UnknownElection")


def test_a_key_is_enrolled_once_and_another_only_after_withdrawing() -> None:
    made = drafted()
    enrolled = index_of(made, "TrusteeEnrolled")
    assert made.submit(changed(LIFE.trustee(1), proof=stuff(384, "another proof"))) == Known(enrolled)
    other = changed(LIFE.trustee(1), n=stuff(384, "another key"))
    refused(made, other, "AlreadyEnrolled")
    made.record_all([LIFE.decline(1), changed(LIFE.invite(1), command=stuff(16, "again")), other])
    assert made.entries[-1].fields["number"] == 3, "enrolments are counted, whatever became of them"


def test_a_key_withdrawn_comes_back_only_for_the_same_trustee() -> None:
    made = drafted()
    made.record_all([LIFE.decline(1), changed(LIFE.invite(1), command=stuff(16, "again")), LIFE.invite(3)])
    refused(made, changed(LIFE.trustee(3), n=LIFE.trustee(1).n), "KeyReused")
    made.record_all([LIFE.trustee(1)])


def test_one_key_serves_one_purpose_and_one_election() -> None:
    made = drafted()
    made.record_all([LIFE.invite(3)])
    refused(made, changed(LIFE.trustee(3), n=LIFE.trustee(1).n), "KeyReused")
    other = Life("other")
    made.record_all([*other.people(), other.draft(), other.invite(1)])
    refused(made, changed(other.trustee(1), n=LIFE.trustee(1).n), "KeyReused")
    voter = LIFE.voters[0]
    refused(made, c.EnrolIdentityKey(LIFE.user(voter), LIFE.trustee(1).n, b""), "KeyReused")
    identity = changed(LIFE.invite(4), user=LIFE.user(voter), tag=LIFE.tag(voter))
    made.record_all([identity])
    refused(made, changed(LIFE.trustee(4), user=LIFE.user(voter), n=LIFE.enrol(voter).n), "KeyReused")


def test_a_trustee_enrols_only_in_a_draft() -> None:
    made = drafted()
    made.record_all(LIFE.opening())
    refused(made, changed(LIFE.trustee(1), n=stuff(384, "late")), "NotADraft")
    refused(made, LIFE.decline(1), "NotADraft")


# -- opened


def test_an_election_is_not_opened_while_an_invited_trustee_has_no_key() -> None:
    made = drafted()
    made.record_all([LIFE.invite(3)])
    changes = LIFE.open().trustee_changes + 1
    refused(made, LIFE.open(trustee_changes=changes), "TrusteeMissing")
    made.record_all([LIFE.decline(3)])
    made.record_all([LIFE.open(trustee_changes=changes + 1)])


@pytest.mark.parametrize("key", [b"", b"the cluster's own"])
def test_trustees_who_changed_meanwhile_are_not_left_out(key: bytes) -> None:
    made = drafted()
    made.record_all(LIFE.enrolling(3))
    refused(made, LIFE.open(), "TrusteesChanged")
    made = drafted(ALONE)
    made.record_all(ALONE.enrolling(1))
    refused(made, ALONE.open(trustee_key=key), "TrusteesChanged")
    if key:
        refused(made, ALONE.open(trustee_key=key, trustee_changes=2), "TrusteesChanged")


def test_the_same_number_of_other_trustees_is_a_change_too() -> None:
    made = drafted()
    made.record_all([LIFE.decline(2), *LIFE.enrolling(3)])
    refused(made, LIFE.open(), "TrusteesChanged")


def test_without_trustees_the_cluster_is_the_only_one() -> None:
    made = drafted(ALONE)
    made.record_all([ALONE.open(trustee_key=b"the cluster's own")])
    row = made.state.get("trustees", ALONE.election, 1)
    assert row is not None and row["name"] == "cluster"


# -- released


def test_keys_are_released_only_for_the_whole_board_by_trustees_of_the_election() -> None:
    opened = drafted()
    opened.record_all(LIFE.opening())
    for made in (Ledger(), opened):
        refused(made, LIFE.release(1), "NotPublished")
    made = published()
    size = made.entries[-1].index
    refused(made, LIFE.release(1, size - 1), "CheckpointTooEarly")
    refused(made, LIFE.release(3, size), "UnknownTrustee")
    refused(made, LIFE.release(0, size), "UnknownTrustee")
    made.record_all([LIFE.release(1, size)])
    assert made.submit(LIFE.release(1, size + 1)) == Known(made.entries[-1].index)


def test_factors_of_another_number_are_no_release() -> None:
    made = published()
    p, q = LIFE.factors(2)
    refused(made, changed(LIFE.release(1), p=p, q=q), "BadTrusteeKey")


def test_a_bad_release_that_got_into_the_log_keeps_no_good_one_out_and_spoils_none() -> None:
    made = published()
    good = LIFE.release(1)
    public = msgspec.structs.asdict(good) | {"eid": LIFE.eid}
    bad = Draft("TrusteeKeyReleased", encode_map(public | {"q": stuff(192, "bad")}))
    made.record([bad])
    made.record_all([good])
    index = made.entries[-1].index
    made.record([bad])
    assert made.submit(good) == Known(index)
    released = made.state.get("released_keys", LIFE.election, 1, LIFE.trustee(1).n)
    assert released is not None and (released["p"], released["q"]) == LIFE.factors(1)


def test_keys_are_still_released_after_the_count() -> None:
    made = published()
    made.record_all([LIFE.release(1), LIFE.seeds(0, last=True), LIFE.tally(), LIFE.release(2)])


def test_the_clusters_own_key_is_released_as_trustee_1() -> None:
    made = published(ALONE)
    made.record_all([ALONE.release(1)])
    assert decode_map(made.entries[-1].public)["number"] == 1


@pytest.mark.parametrize(("draft", "k"), [(b"{}", 2), (b'{"k":0}', 2), (b'{"k":1}', 1), (b'{"k":3}', 3), (b"{", 2)])
def test_as_many_trustees_open_the_ballots_as_the_draft_says_or_more_than_half(draft: bytes, k: int) -> None:
    life = Life("threshold", trustees=3)
    amended = msgspec.structs.replace(life.amend(), draft=draft)
    for other in {1, 2, 3} - {k}:
        made = ledger(*life.people(), life.draft(), amended, life.add(*life.voters), *life.trusting())
        refused(made, life.open(draft=draft, definition=defined(life, other)), "BadDefinition")
    made.record_all([life.open(draft=draft, definition=defined(life, k))])


def defined(life: Life, k: int) -> bytes:
    return document.encode(document.decode(life.definition) | {"k": k})
