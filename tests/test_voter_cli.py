"""`ballot voter`: what is shown, asked and kept, and what each failure says, against a cluster in memory."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ballot import voter_booth
from ballot.cli import main
from ballot.client.api import Refused, b64
from ballot.client.vote import Election
from ballot.client.wallet import WalletError
from ballot.voter_wallet import held
from ballot.voting.ballot import parse_ballot
from ballot.voting.choice import decode_choice
from ballot.voting.definition import decode_definition
from ballot.voting.envelope import open_with_keys
from tests.support.registrar import (
    ELECTION,
    QUESTION,
    FixedKeys,
    MemoryCluster,
    MemoryLine,
    long_key,
    make_definition,
)
from tests.support.trustees import TOKENS

NAME = b64(ELECTION)


class VoterLine(MemoryLine):
    """A MemoryLine with an account. `ended` refuses the access tokens that were given so far."""

    def __init__(self, cluster: MemoryCluster) -> None:
        super().__init__(cluster)
        self.status, self.in_force = "open", ""
        self.board: list[bytes] | None = None
        self.ended = False

    def _answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        own = f"/api/elections/{NAME}"
        if path in ("/api/auth/login", "/api/auth/register"):
            return 202, {"challenge": "c"}
        if path in ("/api/auth/otp/verify", "/api/auth/refresh"):
            self.ended = False
            return 200, TOKENS
        if path == "/api/auth/logout":
            return 204, {}
        if path == "/api/auth/me":
            if self.ended:
                raise Refused(401, "InvalidToken", "no longer")
            own_key = b64(self.cluster.identity) if self.cluster.identity else None
            return 200, {"identity_key": self.in_force or own_key}
        if path == own:
            fields = super()._answer(method, path, body)[1]
            whole = None if self.board is None else len(self.cluster.entries)
            return 200, fields | {"status": self.status, "on_roll": True, "published_at": whole}
        if path == f"{own}/ballots":
            lines = [
                json.dumps({"epoch": 1, "name": b64(sha256(ballot).digest()), "ballot": b64(ballot)})
                for ballot in self.board or []
            ]
            return 200, "\n".join(lines).encode()
        return super()._answer(method, path, body)


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Iterator[VoterLine]:
    line = VoterLine(MemoryCluster())
    line.cluster.open()

    async def code(email: str) -> str:
        return "123456"

    monkeypatch.setattr(voter_booth, "Line", lambda urls, tls: line)
    monkeypatch.setattr(voter_booth, "ask_code", code)
    monkeypatch.setattr(voter_booth, "OwnKeys", FixedKeys)
    yield line


class Shell:
    def __init__(self, wallet: Path, line: VoterLine) -> None:
        self.wallet, self.line = wallet, line

    def run(self, command: str, *more: str, typed: str = "") -> Result:
        return CliRunner().invoke(main, ["voter", command, "--wallet", str(self.wallet), *more], input=typed)

    def done(self, command: str, *more: str, typed: str = "") -> dict[str, Any]:
        result = self.run(command, "--json", *more, typed=typed)
        assert result.exit_code == 0, (result.output, result.exception)
        fields: dict[str, Any] = json.loads(result.stdout)
        return fields

    def cast(self, *more: str) -> Result:
        return self.run("cast", NAME, "--vote", "Cy, Ada", "--yes", *more)


@pytest.fixture
def shell(tmp_path: Path, line: VoterLine) -> Shell:
    shell = Shell(tmp_path / "wallet", line)
    genesis = line.cluster.genesis.hash.hex()
    shell.done("login", "--email", "vera@example.org", "--node", "http://n", "--genesis", genesis, typed="secret\n")
    return shell


def test_a_vote_is_asked_for_shown_confirmed_and_recorded(shell: Shell) -> None:
    done = shell.run("cast", NAME, typed="Dora\n3, Ada\ny\n")
    assert done.exit_code == 0, done.output
    for part in ("Mayor?", "1 Ada", "there is no Dora", "1. Cy (3)", "2. Ada (1)", "recorded: 3"):
        assert part in done.output
    entry = shell.line.cluster.entries[2]
    ballot = parse_ballot(entry.private or b"")
    assert shell.done("status", "--offline")["elections"][0]["receipt_verifies"] is True
    assert ballot.eid.hex() in done.output


def test_who_says_no_has_sealed_and_asked_for_nothing(shell: Shell) -> None:
    assert shell.run("cast", NAME, typed="1\nn\n").exit_code == 1
    assert shell.line.cluster.issued == {} and shell.done("status")["elections"] == []


def test_an_interrupted_cast_is_cast_again_with_the_same_bytes_whatever_is_chosen(shell: Shell) -> None:
    answer = shell.line.cluster.cast
    sent: list[bytes] = []

    def record(body: bytes) -> Any:
        sent.append(body)
        return answer(body)

    def lost(body: bytes) -> Any:
        record(body)
        raise Refused(403, "Strange", "the answer is lost")

    shell.line.cluster.cast = lost  # type: ignore[method-assign]
    failed = shell.cast()
    assert failed.exit_code == 1 and "NOT KNOWN TO BE RECORDED" in failed.output
    shell.line.cluster.cast = record  # type: ignore[method-assign]
    again = shell.done("cast", NAME, "--vote", "Bo", "--yes")
    assert again["again"] is True and sent[0] == sent[1]
    assert "recorded already" in shell.cast().output


def test_a_receipt_that_does_not_verify_is_no_record(shell: Shell) -> None:
    shell.line.spoil = {"receipt": "made up"}
    failed = shell.cast()
    assert failed.exit_code == 1 and "NOT KNOWN TO BE RECORDED" in failed.output and "NOT TRUSTED" in failed.output
    assert shell.done("status", "--offline")["elections"][0]["state"] == "sealed, not known to be recorded"


def test_another_definition_than_the_logs_is_not_voted_on(shell: Shell) -> None:
    shell.line.cluster.definition = make_definition(shell.line.cluster.genesis, title="Another")
    failed = shell.cast()
    assert failed.exit_code == 1 and "NOT TRUSTED" in failed.output and shell.line.cluster.issued == {}


@pytest.mark.parametrize("command", ["ask", "cast", "claim"])
def test_an_elections_id_that_begins_with_a_hyphen_is_no_option(shell: Shell, command: str) -> None:
    name = b64(b"\xf9" + bytes(15))
    failed = shell.run(command, name, "--json")
    assert name.startswith("-") and failed.exit_code == 1 and "option" not in failed.output


def test_both_waits_are_drawn_within_the_minutes_given(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("ballot.voter_work.asyncio.sleep", sleep)
    assert shell.cast("--within", "60").exit_code == 0
    assert len(slept) == 2 and all(0 <= one <= 1800 for one in slept) and slept[0] != slept[1]


def test_no_wait_reaches_over_the_close(shell: Shell) -> None:
    shell.line.cluster.definition = make_definition(shell.line.cluster.genesis, closes_us=2)
    shell.line.cluster.open()
    failed = shell.cast("--within", "60")
    assert failed.exit_code == 1 and "may close" in failed.output and shell.line.cluster.issued == {}


def test_the_board_is_searched_and_a_missing_ballot_is_an_alarm(shell: Shell) -> None:
    recorded = json.loads(shell.cast("--json").stdout)["recorded"]
    body = shell.line.cluster.entries[recorded - 1].private or b""
    assert shell.done("status")["elections"][0]["on_board"] is None
    shell.line.board = [body]
    assert shell.done("status")["elections"][0]["on_board"] is True
    shell.line.board = []
    missing = shell.run("status")
    assert missing.exit_code == 1 and "NOT on the board" in missing.output


def test_an_election_that_is_not_open_is_told_before_anything_is_asked(shell: Shell) -> None:
    shell.line.status = "closed"
    failed = shell.cast()
    assert failed.exit_code == 1 and "it is closed" in failed.output


def test_another_wallets_key_is_replaced_only_with_the_password(shell: Shell) -> None:
    shell.line.in_force = b64(b"x" * 384)
    failed = shell.cast()
    assert failed.exit_code == 1 and "enrol --replace" in failed.output
    assert shell.done("enrol", "--replace", typed="secret\n") == {"identity_key": "enrolled"}


def test_an_ended_token_is_renewed_and_a_logged_out_wallet_says_so(shell: Shell) -> None:
    shell.line.ended = True
    assert shell.done("ask", NAME)["credential"]
    shell.done("logout")
    failed = shell.cast()
    assert failed.exit_code == 1 and "ballot voter login" in failed.output


def test_the_wallet_is_for_its_owner_and_holds_no_password(shell: Shell) -> None:
    assert shell.cast().exit_code == 0
    files = list(shell.wallet.iterdir())
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert stat.S_IMODE(shell.wallet.stat().st_mode) == 0o700
    assert not any(b"secret\n" in file.read_bytes() or b'"secret"' in file.read_bytes() for file in files)


def test_two_commands_are_never_at_work_in_one_wallet(shell: Shell) -> None:
    with held(shell.wallet):
        failed = shell.cast()
        assert failed.exit_code == 1 and "another command is at work" in failed.output
        with pytest.raises(WalletError), held(shell.wallet):
            pass


def test_another_log_than_the_one_remembered_is_refused(shell: Shell) -> None:
    failed = shell.run("elections", "--genesis", "00" * 32)
    assert failed.exit_code == 1 and "NOT TRUSTED" in failed.output


def test_the_ballot_says_what_was_shown(shell: Shell) -> None:
    assert shell.cast().exit_code == 0
    ballot = parse_ballot(shell.line.cluster.entries[2].private or b"")
    election = Election(ELECTION, ballot.eid, decode_definition(shell.line.cluster.definition))
    opened = open_with_keys(election.context(ballot.bpk), ballot.envelope, {1: long_key(0)})
    assert decode_choice([QUESTION], opened.choice) == [[2, 0]]
