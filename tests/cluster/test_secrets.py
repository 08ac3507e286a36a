"""After a vote on a real cluster: no secret, address or ballot in a log, an argument or an environment."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.town import PASSWORD, Town

pytestmark = pytest.mark.cluster


def texts_of(secret: bytes) -> set[bytes]:
    """The ways in which bytes get into a text."""
    encoded = base64.b64encode(secret).rstrip(b"="), base64.urlsafe_b64encode(secret).rstrip(b"=")
    return {secret, secret.hex().encode(), repr(secret)[2:-1].encode(), *encoded}


def key_files(town: Town) -> dict[str, bytes]:
    """The body of every key that the cluster has; certificates and the genesis are public."""
    folder = town.cluster.folder / "keys"
    found = {}
    for path in folder.rglob("*"):
        if path.is_file() and path.name not in ("genesis", "ca_certificate", "tls_certificate", "record"):
            data = path.read_bytes()
            lines = (
                [line for line in data.splitlines() if not line.startswith(b"-----")] if b"-----" in data else [data]
            )
            found[str(path)] = lines[1] if len(lines) > 1 else lines[0]
    return found


@pytest.fixture(scope="module")
def secrets(town: Town) -> dict[str, bytes]:
    """Whatever came up in a vote that nobody else may learn."""

    async def vote() -> dict[str, bytes]:
        voters = [await town.voter(first=number) for number in range(2)]
        election = await town.opened(voters)
        bodies = [await town.ready_to_cast(voter, election) for voter in voters]
        for voter in voters:
            assert (await voter.cast(election, 0)).status == 201
        await voters[0].account.refresh()
        accounts = [voter.account for voter in voters]
        found = {"password": PASSWORD.encode()}
        for number, (account, body) in enumerate(zip(accounts, bodies, strict=True)):
            found[f"address {number}"] = account.email.encode()
            found[f"access token {number}"] = account.api.bearer.encode()
            found[f"refresh token {number}"] = account.refresh_token.encode()
            found[f"credential {number}"] = body[-700:-668]
        return found

    return town.run(vote()) | key_files(town)


def outputs(town: Town) -> Iterator[tuple[str, bytes]]:
    for path in Path(town.cluster.folder).rglob("*.log"):
        yield path.name, path.read_bytes()


def test_no_secret_address_or_ballot_is_in_any_log(town: Town, secrets: dict[str, bytes]) -> None:
    logs = list(outputs(town))
    assert len(logs) >= 3 and sum(map(len, (text for _, text in logs))) > 10_000
    wrong = [
        f"{name} in {where}"
        for where, text in logs
        for name, secret in secrets.items()
        if any(spelling in text for spelling in texts_of(secret))
    ]
    assert wrong == []


def test_no_code_that_was_mailed_is_in_any_log(town: Town, secrets: dict[str, bytes]) -> None:
    """A code is six digits, which may occur by chance in a number: it is looked for as a word of its own."""
    mails = b"".join(path.read_bytes() for path in town.cluster.mailbox.rglob("*") if path.is_file())
    codes = set(re.findall(rb"code: ([0-9]{6})\b", mails))
    assert len(codes) >= 3
    for where, text in outputs(town):
        quoted = set(re.findall(rb'"([0-9]{6})"|code[^0-9]{0,3}([0-9]{6})\b', text))
        assert not {part for pair in quoted for part in pair} & codes, where


def family(pids: set[int]) -> set[int]:
    """These processes and all that they started."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    while more := {pid for pid, parent in parents.items() if parent in pids} - pids:
        pids = pids | more
    return pids


def test_no_secret_is_in_a_process_argument_nor_in_an_environment(town: Town, secrets: dict[str, bytes]) -> None:
    pids = family({pid for node in town.cluster.nodes for pid in (node.ledger_pid, node.http_pid)})
    assert len(pids) >= 6
    for pid in pids:
        seen = Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()
        assert [name for name, secret in secrets.items() if any(one in seen for one in texts_of(secret))] == []


def test_what_lies_on_the_disk_is_for_its_owner_alone(town: Town) -> None:
    """Keys, sockets, state and mail; PostgreSQL and Redis see to their own folders."""
    folder = Path(town.cluster.folder)
    own = [
        *(folder / "keys").rglob("*"),
        *folder.rglob("node.sock"),
        *folder.rglob("state"),
        *town.cluster.mailbox.rglob("*"),
    ]
    assert len(own) > 20
    assert [path for path in own if path.name not in ("genesis", "record") and is_open(path)] == []


def is_open(path: Path) -> bool:
    """Others may read it, and come to where it lies."""
    return bool(path.stat().st_mode & 0o077 and path.parent.stat().st_mode & 0o011)
