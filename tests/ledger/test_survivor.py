"""The survivor: its whole log is read and held against what was signed before it may go on alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ballot.ledger import rsa
from ballot.ledger.checkpoint import Checkpoint, assemble, cosign, rsa_line
from ballot.ledger.decision import Draft
from ballot.ledger.entry import Entry, EntryError, encode_map
from ballot.ledger.membership import ChangeRefused, Membership, NodeRecord
from ballot.ledger.merkle import Tree, leaf_hash
from ballot.ledger.raft.log import Durable
from ballot.ledger.raft.messages import Conf, HardState, Write
from ballot.ledger.recovery import KIND, Recovery, recovery_of
from ballot.ledger.settings import NodeKeys, NodeSettings, PeerTls
from ballot.ledger.statefile import Amnesia, StateFile
from ballot.ledger.survivor import RecoveryRefused, Survivor
from ballot.ledger.table import LogTable, install_genesis
from ballot.ledger.vault import Vault, VaultError
from tests.support.chain import ORIGIN, chain, genesis, notes
from tests.support.keys import long_key

pytestmark = pytest.mark.cluster

SIGNING = {number: Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number in (1, 2, 3)}
MEMBERS = Membership(
    ORIGIN,
    tuple(
        NodeRecord(n, f"{ORIGIN}/node{n}", key.public_key().public_bytes_raw(), rsa.modulus(long_key(n)))
        for n, key in SIGNING.items()
    ),
)
GENESIS = genesis(MEMBERS)
SECRET = Draft("BallotCast", encode_map({"eid": b"e"}), b"secret ballot")
ENTRIES = chain([*notes(["2", "3", "4", "5"]), SECRET, *notes(["7", "8", "9", "10"])], after=GENESIS, term=3)
LAST, COMMITTED = 10, 6


def root(size: int) -> bytes:
    tree = Tree()
    for entry in [GENESIS, *ENTRIES][:size]:
        tree.append(leaf_hash(entry.header))
    return tree.root()


def note(size: int, own_root: bytes = b"", signers: Sequence[int] = (2, 3)) -> tuple[int, bytes]:
    """A stored checkpoint, of the log here unless it has a root of its own."""
    point = Checkpoint(ORIGIN, size, own_root or root(size))
    lines = [cosign(SIGNING[node], f"{ORIGIN}/node{node}", point, 1_700_000_000) for node in signers]
    return size, assemble(point, [rsa_line(long_key(2), f"{ORIGIN}/node2", point), *lines])


class World:
    """Node 1's database and folder. Its log has ten entries of term 3, of which it knows six to be committed."""

    def __init__(self, dsn: str, folder: Path) -> None:
        nowhere = Path("nowhere")
        self.settings = NodeSettings(
            node=1,
            dsn=dsn,
            state_file=folder / "state",
            socket=folder / "node.sock",
            listen=("127.0.0.1", 0),
            peers={},
            keys=NodeKeys(SIGNING[1], long_key(1)),
            tls=PeerTls(nowhere, nowhere, nowhere),
            vault=Vault(bytes(32)),
        )
        self.genesis = GENESIS

    def fill(self, entries: Sequence[Entry] = ENTRIES, commit: int = COMMITTED) -> None:
        async def write() -> None:
            table = LogTable(self.settings.dsn, self.settings.vault)
            await table.open()
            await table.write(Write(1, HardState(4, 3, commit), 0, entries, sync=True))
            await table.close()

        install_genesis(self.settings.dsn, self.genesis)
        asyncio.run(write())
        self.promise(4, 3, len(entries) + 1)

    def promise(self, term: int, vote: int, last: int) -> None:
        file = StateFile(self.settings.state_file, 1)
        file.record(term, vote, last)
        file.close()

    def sql(self, query: str, *values: object) -> None:
        with psycopg.connect(self.settings.dsn) as connection:
            connection.execute(query.encode(), values)

    def store(self, *stored: tuple[int, bytes]) -> None:
        for size, text in stored:
            self.sql("insert into ledger_checkpoint values (%s, %s)", size, text)

    def examine(self) -> Recovery:
        return asyncio.run(self._recover(go_on=False))

    def go_on(self) -> Recovery:
        return asyncio.run(self._recover(go_on=True))

    async def _recover(self, *, go_on: bool) -> Recovery:
        survivor = Survivor(self.settings, self.genesis)
        try:
            found = await survivor.examine()
            return recovery_of((await survivor.go_on(found)).fields) if go_on else found
        finally:
            await survivor.close()

    def found(self) -> tuple[Durable, list[int]]:
        """What a start of the node would find, and the sizes of its checkpoints."""

        async def read() -> Durable:
            table = LogTable(self.settings.dsn, self.settings.vault)
            durable = await table.open()
            await table.close()
            return durable

        with psycopg.connect(self.settings.dsn) as connection:
            sizes = connection.execute("select size from ledger_checkpoint order by size").fetchall()
        return asyncio.run(read()), [size for (size,) in sizes]


@pytest.fixture
def empty(dsn: str, tmp_path: Path) -> World:
    return World(dsn, tmp_path)


@pytest.fixture
def world(empty: World) -> World:
    empty.fill()
    return empty


def test_it_says_where_the_log_stands_and_changes_nothing(world: World) -> None:
    world.store(note(3), note(5))
    before = world.found()
    found = world.examine()
    assert (found.last, found.committed, found.checkpoint, found.missing) == (LAST, COMMITTED, 5, 0)
    assert (found.survivor, found.lost) == (1, (2, 3))
    assert world.found() == before


def test_every_entry_is_kept_and_the_recovery_behind_it_committed(world: World) -> None:
    said = world.go_on()
    durable, _ = world.found()
    assert durable.hard == HardState(5, 1, LAST + 1)
    assert durable.terms == [(1, 0), (2, 3), (LAST + 1, 5)]
    assert durable.confs == [(1, Conf((1, 2, 3))), (LAST + 1, Conf((1,)))]
    [entry] = durable.tail
    assert isinstance(entry, Entry)
    assert entry.kind == KIND and entry.prev_hash == ENTRIES[-1].hash and entry.time_us > ENTRIES[-1].time_us
    assert said.last == LAST
    file = StateFile(world.settings.state_file, 1)
    assert (file.state.term, file.state.vote, file.state.last_index) == (5, 1, LAST + 1)
    file.close()


def test_it_is_done_once(world: World) -> None:
    world.go_on()
    with pytest.raises(ChangeRefused, match="start it as usual"):
        world.examine()


def test_what_is_applied_or_signed_for_is_committed(world: World) -> None:
    world.sql("update ledger_applied set index = 7")
    assert world.examine().committed == 7
    world.store(note(9))
    assert world.examine().committed == 9


def test_a_checkpoint_beyond_the_log_proves_that_entries_are_missing(world: World) -> None:
    world.store(note(5), note(12, bytes(32)), beyond := note(15, bytes(32)))
    said = world.go_on()
    assert (said.checkpoint, said.missing, said.evidence) == (5, *beyond)
    assert world.found()[1] == [5], "a receipt must never be given one of a log that was lost"


def test_a_checkpoint_of_other_entries_than_the_kept_ones_proves_it_too(world: World) -> None:
    world.store(note(5), note(9, bytes(32)))
    said = world.go_on()
    assert (said.committed, said.checkpoint, said.missing) == (COMMITTED, 5, 9)
    assert world.found()[1] == [5]


def test_what_no_majority_signed_proves_nothing(world: World) -> None:
    world.store(note(9, bytes(32), signers=[2]), note(15, bytes(32), signers=[3]))
    found = world.examine()
    assert (found.committed, found.checkpoint, found.missing) == (COMMITTED, 0, 0)


@pytest.mark.parametrize("size", [4, COMMITTED])
def test_a_log_that_differs_from_a_checkpoint_below_commit_is_damaged(world: World, size: int) -> None:
    world.store(note(size, bytes(32)))
    with pytest.raises(RecoveryRefused, match="damaged"):
        world.examine()


@pytest.mark.parametrize(("size", "reason"), [(5, "of size 5"), (LAST + 1, "ends at entry 10")])
def test_a_log_that_differs_from_what_the_node_signed_is_refused(world: World, size: int, reason: str) -> None:
    world.sql("update ledger_signed set size = %s, root = %s", size, bytes(32))
    with pytest.raises(RecoveryRefused, match=reason):
        world.examine()


def test_a_restored_database_does_not_survive(world: World) -> None:
    world.promise(4, 3, LAST + 1)
    with pytest.raises(Amnesia, match="wiped or restored"):
        world.examine()


def test_a_wiped_database_does_not_survive(empty: World) -> None:
    empty.promise(4, 3, LAST)
    with pytest.raises(Amnesia, match="wiped or restored"):
        empty.examine()


def test_without_its_state_file_nothing_tells_whether_it_was_restored(world: World) -> None:
    world.settings.state_file.unlink()
    with pytest.raises(RecoveryRefused, match="is missing"):
        world.examine()
    assert not world.settings.state_file.exists()


def test_a_log_of_nothing_but_the_genesis_is_not_recovered(empty: World) -> None:
    empty.fill([], commit=1)
    with pytest.raises(RecoveryRefused, match="nothing"):
        empty.examine()


def test_a_database_of_another_ledger_is_refused(world: World) -> None:
    world.genesis = genesis(replace(MEMBERS, origin="ballot.other"))
    with pytest.raises(RecoveryRefused, match="another ledger"):
        world.examine()


def test_the_secrets_must_be_those_of_the_member(world: World) -> None:
    for keys in (NodeKeys(SIGNING[2], long_key(1)), NodeKeys(SIGNING[1], long_key(2))):
        world.settings = replace(world.settings, keys=keys)
        with pytest.raises(RecoveryRefused, match="secrets"):
            world.examine()


def test_a_private_part_that_does_not_open_is_refused(world: World) -> None:
    world.settings = replace(world.settings, vault=Vault(bytes([1]) * 32))
    with pytest.raises(VaultError):
        world.examine()


def test_a_broken_chain_is_refused(empty: World) -> None:
    """Far below the commit index, where a normal start does not look."""
    other = chain(notes(["other"]), after=ENTRIES[0], term=3)
    empty.fill([ENTRIES[0], *other, *ENTRIES[2:]], commit=LAST)
    with pytest.raises(EntryError, match="chain broken"):
        empty.examine()


def test_a_missing_entry_is_refused(empty: World) -> None:
    empty.fill([*ENTRIES[:3], *ENTRIES[4:]], commit=LAST)
    empty.promise(4, 3, LAST)
    with pytest.raises(EntryError, match="entry"):
        empty.examine()


@pytest.mark.parametrize(
    "nodes",
    [(replace(MEMBERS.nodes[0], voter=False), *MEMBERS.nodes[1:]), MEMBERS.nodes[1:]],
    ids=["a learner", "a node that was removed"],
)
def test_only_a_voter_survives(empty: World, nodes: tuple[NodeRecord, ...]) -> None:
    members = replace(MEMBERS, nodes=nodes, last_id=3)
    empty.fill(chain([Draft("NodeRemoved", encode_map(members.to_fields()))], after=GENESIS, term=3), commit=1)
    with pytest.raises(ChangeRefused, match="not a voter"):
        empty.examine()
