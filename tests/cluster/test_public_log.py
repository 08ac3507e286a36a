"""What outsiders do with the nodes' public log: download, compare, watch, leave a witness's line."""

import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ballot.client.api import Refused
from ballot.ledger.checkpoint import Checkpoint, assemble, cosign, read_note
from ballot.ledger.membership import membership_of
from ballot.ledger.witness import read_cosignatures, write_signer
from ballot.replay.cli import replay
from ballot.replay.export import EntryRecord, write_records
from ballot.replay.source import open_source
from tests.support.town import Town
from tests.support.witnesses import WITNESS, WITNESS_KEY

pytestmark = pytest.mark.cluster

TEXT = {"Content-Type": "text/plain"}


def run(*arguments: object) -> Result:
    return CliRunner().invoke(replay, [str(argument) for argument in arguments])


async def get(town: Town, path: str, node: int = 0) -> bytes:
    return (await town.line.send(node, "GET", path, fresh=True)).body


def test_a_download_goes_on_at_another_node(town: Town, tmp_path: Path) -> None:
    first, second = (node.url for node in town.cluster.nodes[:2])
    copy = tmp_path / "copy"
    assert run("export", first, copy).exit_code == 0
    whole = copy.read_bytes()
    (tmp_path / "copy.part").write_bytes(whole[: len(whole) // 2])
    town.run(town.account())
    assert run("export", second, copy).exit_code == 0
    entries = [record for record in open_source(copy) if isinstance(record, EntryRecord)]
    for node in (first, second):
        known = [record for record in open_source(node) if isinstance(record, EntryRecord)]
        assert known[: len(entries)] == entries
    assert run("audit", copy, "--workers", "1", "--level", "ballots").exit_code == 0


def test_an_export_from_beyond_the_end_is_refused(town: Town) -> None:
    async def ask() -> None:
        size = read_note(await get(town, "/api/ledger/checkpoint")).size
        with pytest.raises(Refused, match="BadRange"):
            await get(town, f"/api/ledger/export?from={size + 1000}")

    town.run(ask())


def test_the_digests_of_all_nodes_are_compared_wherever_they_stand(town: Town, tmp_path: Path) -> None:
    nodes = [node.url for node in town.cluster.nodes]
    records = list(open_source(nodes[0]))
    town.run(town.account())
    with (tmp_path / "old").open("wb") as stream:
        write_records(stream, records)
    options = [option for node in nodes for option in ("--node", node)]
    result = run("rebuild", tmp_path / "old", *options, "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.output)
    assert [node["verdict"] for node in said["nodes"]] == ["same"] * 3
    assert max(node["index"] for node in said["nodes"]) > said["index"]


def test_a_monitor_watches_and_signs_as_a_witness(town: Town, tmp_path: Path) -> None:
    nodes = [node.url for node in town.cluster.nodes]
    key = tmp_path / "key"
    key.write_text(write_signer(WITNESS.name, WITNESS_KEY))
    town.run(town.caught_up())
    follow = ("follow", *nodes, "--once", "--json", "--state", tmp_path / "state", "--witness-key", key)
    result = run(*follow, "--genesis", town.cluster.genesis.hash.hex())
    assert result.exit_code == 0, result.output
    said = list(map(json.loads, result.output.splitlines()))
    assert [one["verdict"] for one in said[:3]] == ["ok"] * 3
    taken = [number for number, node in enumerate(nodes) if said[3]["nodes"][node] == "taken"]
    assert taken, said[3]

    note = town.run(get(town, "/api/ledger/checkpoint?witnessed=1", taken[0]))
    checkpoint, lines = read_cosignatures(note, [WITNESS])
    assert checkpoint.size == said[3]["cosigned"] and list(lines) == [WITNESS]
    newest = town.run(get(town, "/api/ledger/checkpoint", taken[0]))
    if read_note(newest).size == checkpoint.size:
        assert newest == note
    again = run(*follow)
    assert again.exit_code == 0, again.output


def test_a_line_of_nobody_known_or_under_another_checkpoint_is_refused(town: Town) -> None:
    origin = membership_of(town.cluster.genesis.fields).origin

    def signed(point: Checkpoint, name: str = WITNESS.name) -> bytes:
        return assemble(point, [cosign(WITNESS_KEY, name, point, int(time.time()))])

    async def ask() -> None:
        point = read_note(await get(town, "/api/ledger/checkpoint"))
        forged = Checkpoint(origin, point.size, bytes(32))
        spoilt = signed(point).replace(point.body(), Checkpoint(origin, point.size + 1, point.root).body())
        for body, refusal in (
            (signed(point, "stranger"), "UnknownWitness"),
            (signed(forged), "UnknownCheckpoint"),
            (signed(Checkpoint(origin, point.size + 10**6, point.root)), "UnknownCheckpoint"),
            (spoilt, "BadSignature"),
            (b"no note", "MalformedNote"),
            (bytes(20_000), "BodyTooLarge"),
        ):
            with pytest.raises(Refused) as caught:
                await town.line.send(0, "POST", "/api/ledger/witness", headers=TEXT, body=body)
            assert caught.value.refusal == refusal
        with pytest.raises(Refused, match="WrongContentType"):
            await town.line.send(
                0, "POST", "/api/ledger/witness", headers={"Content-Type": "text/html"}, body=signed(point)
            )

    town.run(ask())
