"""`ballot replay` as it is typed, and the sources it reads."""

import http.server
import json
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from ballot.ledger.frame import frame
from ballot.ledger.witness import read_signer, read_vkey
from ballot.replay.answer import SourceError, node_digest
from ballot.replay.cli import replay
from ballot.replay.export import write_records
from ballot.replay.rebuild import rebuild_in_memory
from ballot.replay.source import open_source
from tests.support.attacks import INSIDER, as_bytes
from tests.support.log_builder import ElectionLog


@pytest.fixture(scope="module")
def good(log: ElectionLog, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("export") / "election.ballots"
    with file.open("wb") as stream:
        write_records(stream, log.records())
    return file


@pytest.fixture
def bad(log: ElectionLog, tmp_path: Path) -> Path:
    file = tmp_path / "bad.ballots"
    with file.open("wb") as stream:
        stream.write(as_bytes(INSIDER["a vote moves"].make(log)))
    return file


@pytest.fixture
def genesis(log: ElectionLog, tmp_path: Path) -> Path:
    file = tmp_path / "genesis"
    file.write_bytes(frame("genesis-file", log.entries[0].header, log.entries[0].public))
    return file


@pytest.fixture
def node(log: ElectionLog, good: Path, tmp_path: Path) -> Iterator[str]:
    """What replay asks of a node, as a plain web server."""
    answers = tmp_path / "api" / "ledger"
    answers.mkdir(parents=True)
    (answers / "export").write_bytes(good.read_bytes())
    index, digest = rebuild_in_memory(log.records())
    (answers / "digest").write_text(json.dumps({"index": index, "digest": digest}))

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(replay, [str(argument) for argument in arguments])


def test_audit_says_pass(good: Path, log: ElectionLog) -> None:
    result = run("audit", good, "--workers", "1")
    assert result.exit_code == 0, result.output
    assert result.output.endswith("audit: PASS\n")
    assert "roll 5  issued 4  cast 3  published 3  valid 2  invalid 1  unused 1  silent 0" in result.output
    assert "Mayor? Ada" in result.output and "not pinned" in result.output


def test_audit_says_what_failed(bad: Path) -> None:
    result = run("audit", bad, "--workers", "1")
    assert result.exit_code == 1
    assert result.output.endswith("audit: FAIL\n")
    assert "count/TallyDiffers" in result.output


def test_audit_answers_in_json(good: Path, bad: Path, genesis: Path) -> None:
    passed = run("audit", good, "--json", "--genesis", genesis)
    assert passed.exit_code == 0 and json.loads(passed.output)["passed"] is True
    failed = run("audit", bad, "--json", "--genesis", "00" * 32)
    assert failed.exit_code == 1
    assert json.loads(failed.output)["first"]["name"] == "GenesisDiffers"


def test_audit_stops_at_a_level(bad: Path) -> None:
    result = run("audit", bad, "--level", "ballots")
    assert result.exit_code == 0 and "not checked" in result.output
    assert json.loads(run("audit", bad, "--level", "chain", "--json").output)["levels"] == {
        "structure": "pass",
        "chain": "pass",
        "signatures": "not checked",
        "ballots": "not checked",
        "count": "not checked",
    }


def test_audit_names_the_first_entry_that_is_broken(bad: Path) -> None:
    first = json.loads(run("audit", bad, "--json").output)["first"]
    assert f"the first that is broken: entry {first['index']}, {first['detail']}" in run("audit", bad).output


def test_what_cannot_be_told_is_neither_yes_nor_no_nor_a_wrong_command(tmp_path: Path, good: Path) -> None:
    assert run("audit", tmp_path / "none").exit_code == 3
    assert run("audit", "http://127.0.0.1:1").exit_code == 3
    assert run("rebuild", good, "--node", "http://127.0.0.1:1").exit_code == 3
    assert run("audit", good, "--genesis", "nonsense").exit_code == 2
    assert run("receipt", good).exit_code == 2
    assert run("export", "file:///etc/passwd", tmp_path / "x").exit_code == 2


def test_a_file_that_is_no_export_is_called_so_and_nothing_else_is_said_of_it(tmp_path: Path) -> None:
    file = tmp_path / "picture"
    file.write_bytes(b"\x89PNG")
    told = json.loads(run("audit", file, "--json").output)
    assert [finding["name"] for finding in told["findings"]] == ["MalformedExport"]
    assert set(told["levels"].values()) == {"fail", "not checked"}


def test_what_only_a_count_can_tell_is_left_open_without_one(good: Path) -> None:
    told = json.loads(run("audit", good, "--level", "ballots", "--json").output)["elections"][0]["accounting"]
    assert (told["published"], told["valid"], told["invalid"], told["silent_votes"]) == (3, None, None, None)
    assert "valid -  invalid -" in run("audit", good, "--level", "ballots").output


def test_rebuild_prints_the_digest(good: Path, log: ElectionLog) -> None:
    index, digest = rebuild_in_memory(log.records())
    result = run("rebuild", good)
    assert result.exit_code == 0
    assert result.output == f"{digest}  public state at entry {index}\n"


def test_rebuild_compares_with_nodes(good: Path, node: str, tmp_path: Path) -> None:
    assert run("rebuild", good, "--node", node).exit_code == 0
    (tmp_path / "api" / "ledger" / "digest").write_text(json.dumps({"index": 34, "digest": "00" * 32}))
    result = run("rebuild", good, "--node", node, "--json")
    assert result.exit_code == 1
    assert json.loads(result.output)["nodes"][0]["verdict"] == "DIFFERENT"


def test_a_receipt_is_checked(log: ElectionLog, good: Path, genesis: Path, tmp_path: Path) -> None:
    place = log.find("BallotCast")
    file, body = tmp_path / "receipt.txt", tmp_path / "body"
    file.write_bytes(log.receipt(place))
    body.write_bytes(log.bodies[0])
    result = run("receipt", file, "--ballot", body, "--genesis", genesis)
    assert result.exit_code == 0 and "the ballot is the one recorded" in result.output
    assert json.loads(run("receipt", file, "--export", good, "--json").output)["published"] is True
    body.write_bytes(log.bodies[1])
    assert run("receipt", file, "--ballot", body, "--genesis", genesis).exit_code == 1
    refused = run("receipt", file, "--ballot", body, "--genesis", genesis, "--json")
    assert refused.exit_code == 1 and json.loads(refused.output)["valid"] is False


def test_a_wallet_record_holds_receipt_and_ballot(log: ElectionLog, genesis: Path, tmp_path: Path) -> None:
    record = {"eid": b"", "body": log.bodies[0], "receipt": log.receipt(log.find("BallotCast"))}
    file = tmp_path / "wallet.json"
    file.write_bytes(msgspec.json.encode(record))
    confirmed = json.loads(run("receipt", file, "--genesis", genesis, "--json").output)
    assert confirmed["committed"] is True and confirmed["published"] is False
    file.write_text('{"body": 1}')
    assert run("receipt", file, "--genesis", genesis).exit_code == 2


def test_an_export_is_downloaded_whole_or_not_at_all(
    node: str, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "copy"
    assert run("export", node, file).exit_code == 0
    assert file.read_bytes() == good.read_bytes()
    monkeypatch.setattr("ballot.replay.download.PATIENCE_S", 0.0)
    (tmp_path / "api" / "ledger" / "export").write_bytes(good.read_bytes()[:-1])
    assert run("export", node, file).exit_code == 3
    assert file.read_bytes() == good.read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"api", "copy", "copy.part"}


@pytest.mark.parametrize("end", ["/", "/api", "/api/"])
def test_a_nodes_address_may_be_that_of_its_api(node: str, good: Path, end: str) -> None:
    assert run("audit", node + end, "--level", "chain").exit_code == 0
    assert run("rebuild", good, "--node", node + end).exit_code == 0


def test_an_export_is_read_from_a_node(node: str, log: ElectionLog) -> None:
    assert list(open_source(node)) == log.records()


def test_an_export_is_read_from_a_folder_of_its_parts(good: Path, log: ElectionLog, tmp_path: Path) -> None:
    data = good.read_bytes()
    for number, start in enumerate(range(0, len(data), 9999)):
        (tmp_path / f"part.{number:03}").write_bytes(data[start : start + 9999])
    assert list(open_source(tmp_path)) == log.records()


def test_a_source_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for source in (tmp_path, tmp_path / "none", "http://127.0.0.1:1"):
        with pytest.raises(SourceError):
            list(open_source(source))
    with pytest.raises(SourceError):
        node_digest("file:///etc")


def test_a_witness_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "w1.key"
    result = run("witness-key", file, "--name", "witness.example/w1")
    assert result.exit_code == 0
    assert read_signer(file.read_text())[0] == read_vkey(result.output.strip())
    assert file.stat().st_mode & 0o777 == 0o600
    kept = file.read_bytes()
    assert run("witness-key", file, "--name", "witness.example/w1").exit_code == 1
    assert file.read_bytes() == kept
    assert run("witness-key", tmp_path / "w2.key", "--name", "a name").exit_code == 2


def test_a_monitor_says_what_it_cannot_do(tmp_path: Path, good: Path) -> None:
    state = ("--state", tmp_path / "state", "--once")
    assert run("follow", good, *state).exit_code == 2
    assert run("follow", "http://127.0.0.1:1", "--witness-key", good, *state).exit_code == 2
    away = run("follow", "http://127.0.0.1:1", *state)
    assert away.exit_code == 3 and away.output.endswith("Connection refused\n")


def test_rebuild_stops_at_an_entry(good: Path, log: ElectionLog) -> None:
    _, digest = rebuild_in_memory(log.records(), 12)
    assert run("rebuild", good, "--at", "12").output == f"{digest}  public state at entry 12\n"
    assert run("rebuild", good, "--at", "1000").exit_code == 3
    assert run("rebuild", good, "--at", "12", "--node", "http://127.0.0.1:1").exit_code == 2
