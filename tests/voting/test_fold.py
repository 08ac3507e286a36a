"""The fold: every kind of event, from the entry alone, and the public tables from its public part alone."""

from __future__ import annotations

import ast
import hashlib
from pathlib import Path

import pytest

import ballot.voting.decisions
from ballot.ledger.decision import Draft
from ballot.ledger.entry import Entry, encode_map, parse
from ballot.voting.fold import fold, key_hash
from ballot.voting.tables import IN_FORCE, TABLES, Change, Clear, Put
from ballot.voting.trustee import product
from tests.support.chain import chain, genesis, membership
from tests.support.life import CLOSES_US, EPOCHS, OPENS_US, Ledger, Life, State, stuff

LIFE = Life()
OTHER = Life("other")


def whole() -> Ledger:
    """Every kind of event."""
    made = Ledger()
    made.record_all([*LIFE.whole(), OTHER.register("organiser"), OTHER.grant(), OTHER.draft(), OTHER.cancel()])
    made.record_all([OTHER.withdraw()])
    made.record_all(Life("epochs", trustees=0, epochs=EPOCHS).in_epochs())
    gone = Life("gone")
    made.record_all(gone.whole())
    made.record_all([gone.erase_user("voter 0", made.state)])
    return made


WHOLE = whole()
COUNTED = {"memberships", "cluster_members"}
"""From public payloads alone, though no part of the public digest: they only say again what is public anyway."""
KINDS = {entry.kind for entry in WHOLE.entries} - {"Genesis"}


def of_kind(kind: str, number: int = 0) -> Entry:
    return [entry for entry in WHOLE.entries if entry.kind == kind][number]


def withheld(entry: Entry) -> Entry:
    """The entry as the public export has it."""
    return parse(entry.header, entry.public)


def changes(kind: str, number: int = 0) -> dict[str, list[Put]]:
    found: dict[str, list[Put]] = {}
    for change in fold(of_kind(kind, number)):
        assert isinstance(change, Put)
        found.setdefault(change.table, []).append(change)
    return found


def row(table: str, *key: object) -> dict[str, object]:
    found = WHOLE.state.get(table, *key)
    assert found is not None
    return found


def test_every_event_that_a_decision_makes_is_here() -> None:
    """Read from the sources: whoever adds an event is reminded to fold it."""
    folder = Path(ballot.voting.decisions.__path__[0])
    made = {
        node.args[0].value
        for path in folder.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "event"
        if isinstance(node.args[0], ast.Constant)
    }
    assert made == KINDS


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_public_part_alone_gives_the_same_public_tables(kind: str) -> None:
    entry = of_kind(kind)

    def public(folded: list[Change]) -> list[Change]:
        return [change for change in folded if TABLES[change.table].public]

    assert public(fold(withheld(entry))) == public(fold(entry))
    if entry.private is not None:
        assert all(TABLES[change.table].public or change.table in COUNTED for change in fold(withheld(entry)))


def test_a_whole_log_without_private_parts_folds_to_the_same_public_state() -> None:
    blind = State()
    for entry in WHOLE.entries:
        blind.apply(withheld(entry))
    for name, table in TABLES.items():
        if table.public:
            assert blind.rows()[name] == WHOLE.state.rows()[name], name
        elif name in COUNTED:
            assert blind.rows()[name] == WHOLE.state.rows()[name] != {}, name
        else:
            assert blind.tables[name] == {}


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_change_names_only_columns_of_its_table_and_each_row_once(kind: str) -> None:
    for entry in (entry for entry in WHOLE.entries if entry.kind == kind):
        places = []
        for change in fold(entry):
            table = TABLES[change.table]
            if isinstance(change, Clear):
                assert change.column in table.columns
                continue
            places.append((change.table, change.key))
            assert len(change.key) == len(table.key)
            assert {*change.values, *change.add} <= set(table.columns) - set(table.key)
            assert all(table.types[column] == "bigint" for column in change.add)
        assert len(set(places)) == len(places)


def test_kinds_that_concern_the_ledger_alone_or_are_not_known_change_nothing() -> None:
    for entry in chain([Draft("TermOpened", encode_map({"node": 1})), Draft("FromTheFuture", encode_map({}))])[1:]:
        assert fold(entry) == []


def test_of_the_members_the_newest_list_is_known() -> None:
    removed = chain([Draft("NodeRemoved", encode_map(membership(2).to_fields()))])[1]
    for entry in (genesis(), removed):
        assert fold(entry) == [Put("cluster_members", (IN_FORCE,), {"listed": entry.public})]


def test_a_command_leaves_its_name_behind() -> None:
    assert changes("UserRegistered")["commands"] == [Put("commands", (LIFE.command("register", "organiser"),))]
    assert "commands" not in changes("CredentialIssued")


def test_an_account_points_at_the_entries_that_hold_its_secrets() -> None:
    entry = of_kind("UserRegistered")
    account = row("accounts", LIFE.tag("organiser"))
    changed = of_kind("PasswordChanged")
    assert (account["user_id"], account["address_at"]) == (LIFE.organiser, entry.index)
    assert account["password_at"] == changed.index > entry.index


def test_a_voter_added_to_a_roll_is_found_by_its_address() -> None:
    entry = of_kind("VotersAdded")
    voter = LIFE.voters[0]
    assert row("roll", LIFE.election, LIFE.user(voter))["weight"] == 1
    assert row("roll_tags", LIFE.election, LIFE.tag(voter))["voter"] == LIFE.user(voter)
    assert row("accounts", LIFE.tag(voter))["address_at"] == entry.index


def test_an_identity_key_is_named_by_its_hash() -> None:
    user = row("users", LIFE.user(LIFE.voters[0]))
    assert user["identity"] == LIFE.identity(LIFE.voters[0]) == key_hash(stuff(384, "one", "identity", "voter 0"))
    assert row("users", LIFE.organiser).get("identity") is None


def test_a_role_is_held() -> None:
    assert row("roles", LIFE.organiser, "organiser")["at"] == of_kind("RoleGranted").index


def test_an_election_runs_through_its_states() -> None:
    states: list[object] = []
    state = State()
    for entry in WHOLE.entries:
        state.apply(entry)
        election = state.get("elections", LIFE.election)
        if election is not None and election["status"] not in states[-1:]:
            states.append(election["status"])
    assert states == ["draft", "frozen", "scheduled", "open", "closed", "published", "tallied"]
    assert row("elections", OTHER.election)["status"] == "cancelled"


def test_an_election_knows_what_happened_to_it_and_where() -> None:
    election = row("elections", LIFE.election)
    expected = {
        "organiser": LIFE.organiser,
        "draft": b'{"title":"Better"}',
        "eid": LIFE.eid,
        "definition": LIFE.definition,
        "opens_us": OPENS_US,
        "closes_us": CLOSES_US,
        "trustee_count": 2,
        "roll_size": 3,
        "issued": 3,
        "cast_count": 2,
        "closed_count": 2,
        "chunks": 2,
        "published": 2,
        "seed_chunks": 2,
        "unused": 1,
        "drafted_at": of_kind("ElectionDrafted").index,
        "opened_at": of_kind("ElectionOpened").index,
        "closed_at": of_kind("ElectionClosed").index,
        "published_at": of_kind("BallotsPublished", 1).index,
        "erased_at": of_kind("PrivateErased", 1).index,
        "tally_at": of_kind("TallyPublished").index,
        "tally": b'{"version":1}',
        "tally_digest": hashlib.sha256(b'{"version":1}').digest(),
        "disputed": True,
    }
    assert {column: election[column] for column in expected} == expected


def test_an_election_without_trustees_of_its_own_has_those_of_its_definition() -> None:
    life = Life("alone", trustees=0)
    made = Ledger()
    made.record_all([*life.people(), *life.drafting(), life.open()])
    trustee = made.state.get("trustees", life.election, 1)
    assert trustee is not None
    assert (trustee["name"], trustee["n"]) == ("cluster", product(*life.factors(1)))


def test_released_factors_stand_under_their_product() -> None:
    released = row("released_keys", LIFE.election, 1, LIFE.trustee(1).n)
    assert (released["p"], released["q"]) == LIFE.factors(1)
    assert released["released_at"] == of_kind("TrusteeKeyReleased").index


def test_who_was_withdrawn_has_neither_invitation_nor_key() -> None:
    life = Life("withdrawn")
    made = Ledger()
    made.record_all([*life.people(), *life.drafting(), life.decline(1)])
    gone = made.state.get("invited_trustees", life.election, life.user("trustee 1"))
    assert gone is not None
    assert [gone[name] for name in ("n", "number", "invited_at", "enrolled_at")] == [None] * 4
    election = made.state.get("elections", life.election)
    assert election is not None
    assert (election["invited_count"], election["trustee_count"], election["enrolments"]) == (1, 1, 2)


def test_a_credential_is_remembered_by_the_hash_of_what_was_blinded() -> None:
    issued = row("credentials", LIFE.eid, LIFE.user("voter 0"))
    assert issued["blinded"] == hashlib.sha256(LIFE.issue("voter 0").blinded).digest()


def test_a_cast_is_remembered_by_its_key_until_the_final_erasure() -> None:
    [cast] = changes("BallotCast")["casts"]
    assert cast.key == (LIFE.eid, key_hash(LIFE.bpk("voter 0")))
    assert cast.values == {
        "name": hashlib.sha256(LIFE.body("voter 0")).digest(),
        "cast_at": of_kind("BallotCast").index,
    }
    assert [change for change in fold(of_kind("PrivateErased")) if change.table != "commands"] == []
    assert Clear("casts", "eid", LIFE.eid) in fold(of_kind("PrivateErased", 1))
    assert LIFE.eid not in {eid for eid, _ in WHOLE.state.tables["casts"]}


def test_erasing_one_elections_casts_leaves_anothers() -> None:
    made = Ledger()
    for life in (LIFE, OTHER):
        made.record_all([*life.people(), *life.drafting(), *life.opening(), *life.voting()])
    made.record_all([LIFE.close(), *LIFE.board(), LIFE.erase()])
    assert {key[0] for key in made.state.tables["casts"]} == {OTHER.eid}


def test_the_board_has_every_ballot_in_its_place_and_its_key_spent() -> None:
    bodies = [LIFE.publish(0, [LIFE.body("voter 0")], last=False), *LIFE.board("voter 0", "voter 1")]
    board = {key: place for key, place in WHOLE.state.tables["board"].items() if key[0] == LIFE.eid}
    order = sorted(board, key=lambda key: (board[key]["published_at"], board[key]["position"]))
    assert [name for _, name in order] == sorted(name for _, name in order)
    assert len(board) == len(bodies) - 1
    spent = {key for key in WHOLE.state.tables["spent"] if key[0] == LIFE.eid}
    assert spent == {(LIFE.eid, key_hash(LIFE.bpk(who))) for who in ("voter 0", "voter 1")}


def test_bytes_on_the_board_that_are_no_ballot_are_folded_all_the_same() -> None:
    public = {"election": LIFE.election, "eid": LIFE.eid, "chunk": 0, "last": False, "ballots": [b"", b"junk"]}
    [entry] = chain([Draft("BallotsPublished", encode_map(public))], after=genesis())
    assert [change.table for change in fold(entry)] == ["board", "board", "elections"]


def test_one_attestation_that_differs_makes_an_election_disputed_for_good() -> None:
    assert row("attestations", LIFE.election, 1)["digest"] == LIFE.attest(1).digest
    assert row("attestations", LIFE.election, 2)["digest"] == LIFE.attest(2, b"another count").digest
    made = Ledger()
    made.record_all([*LIFE.whole(), LIFE.attest(3)])
    election = made.state.get("elections", LIFE.election)
    assert election is not None
    assert election["disputed"] is True


def test_an_unused_claim_is_remembered_by_its_key() -> None:
    claim = row("unused_claims", LIFE.eid, key_hash(LIFE.bpk("voter 2")))
    assert claim["claimed_at"] == of_kind("CredentialUnused").index


def test_the_end_of_claims_is_kept_where_the_close_states_one() -> None:
    made = Ledger()
    life = Life("window", claims_s=60)
    made.record_all([*life.people(), *life.drafting(), *life.opening(), life.close()])
    window = made.state.get("claim_windows", life.eid)
    assert window is not None
    assert window["until_us"] == made.entries[-1].fields["claims_until_us"]
    assert "claim_windows" not in {change.table for change in fold(of_kind("ElectionClosed"))}
