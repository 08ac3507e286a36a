"""Secrets stay where they belong: in no text, argument or telling comparison, and readable by one user."""

from __future__ import annotations

import ast
import asyncio
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import psycopg
import pytest

from ballot.http.codes import Pending
from ballot.http.deps import make_pool
from ballot.ledger.client import LedgerClient
from ballot.ledger.decision import Draft
from ballot.ledger.entry import encode_map, seal
from ballot.ledger.node import Node
from ballot.ledger.rpc import RpcServer, private_socket
from ballot.ledger.submit import Unavailable
from ballot.ledger.vault import Vault
from ballot.serve import http_command, node_command
from ballot.voting import commands as c
from tests.support.services import StubLedger, make_deps

ROOT = Path(__file__).parents[1]
FOLDERS = ("ballot", "http", "ledger", "voting", "projections", "replay", "client", "drills")
SECRET = "5ecret" * 5


def product_code() -> Iterator[tuple[str, ast.Module]]:
    for folder in FOLDERS:
        files = (ROOT / folder).glob("*.py") if folder == "ballot" else (ROOT / folder).rglob("*.py")
        for path in files:
            yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_bytes())


# -- comparisons

# What must never be compared by `==`, which ends at the first byte that differs.
TELLING = {
    "token",
    "secret",
    "password",
    "code",
    "otp",
    "mac",
    "stored",
    "prehashed",
    "challenge",
    "data_key",
    "otp_key",
}


def test_no_secret_is_compared_in_a_time_that_depends_on_it() -> None:
    wrong = []
    for name, tree in product_code():
        for node in ast.walk(tree):
            if name.startswith(("client/", "ledger/raft/")):
                continue  # Nobody measures a voter's own program, and the core knows no secret.
            if isinstance(node, ast.Compare) and any(isinstance(op, ast.Eq | ast.NotEq) for op in node.ops):
                sides = {ast.unparse(side).rsplit(".", 1)[-1].strip("_") for side in (node.left, *node.comparators)}
                wrong += [f"{name}:{node.lineno} {ast.unparse(node)}"] if sides & TELLING else []
    assert wrong == []


def test_every_text_of_sql_is_written_in_the_code() -> None:
    """Values are parameters, names of tables and columns are our own and quoted by psycopg: nothing is pasted in."""
    wrong = []
    for name, tree in product_code():
        for node in ast.walk(tree):
            match node:
                case ast.Call(func=ast.Attribute(attr="execute" | "executemany" | "stream"), args=[query, *_]):
                    wrong += [f"{name}:{node.lineno}" for part in ast.walk(query) if _pastes(part)]
    assert wrong == []


def _pastes(part: ast.AST) -> bool:
    """An f-string or `text % value`; two texts of ours may be put together."""
    return isinstance(part, ast.JoinedStr) or (isinstance(part, ast.BinOp) and not isinstance(part.op, ast.Add))


def test_nothing_from_outside_is_run_or_unpickled() -> None:
    """No eval, no shell, no pickle, no XML, no YAML: a name of these in product code is a mistake or needs a reason."""
    wrong = []
    for name, tree in product_code():
        for node in ast.walk(tree):
            match node:
                case ast.Call(func=ast.Name(id="eval" | "exec" | "compile" | "__import__" as what)):
                    wrong.append(f"{name}:{node.lineno} {what}")
                case ast.keyword(arg="shell", value=ast.Constant(value=True)):
                    wrong.append(f"{name} a shell")
                case ast.Import(names=names):
                    wrong += [f"{name} {one.name}" for one in names if one.name.split(".")[0] in UNSAFE]
                case ast.ImportFrom(module=str(module)):
                    wrong += [f"{name} {module}"] if module.split(".")[0] in UNSAFE else []
    assert set(wrong) == WITH_A_REASON


UNSAFE = {"pickle", "marshal", "shelve", "yaml", "xml", "lxml", "dill"}
# Batches for workers, in memory without a name that a process shares with those it started: what `multiprocessing`
# would pickle by itself for its pipe.
WITH_A_REASON = {"replay/pool.py pickle"}


def test_chance_that_matters_comes_from_the_system() -> None:
    """`random` is seeded from few bits: only where a pause is drawn, or from the system's own source."""
    using = {
        name
        for name, tree in product_code()
        for node in ast.walk(tree)
        if isinstance(node, ast.Import) and any(one.name == "random" for one in node.names)
    }
    assert using <= {"ledger/node.py", "ledger/mutex.py", "client/api.py", "ballot/sample.py", "ballot/demo_crowd.py"}


# -- texts


def test_no_secret_is_in_the_text_of_what_might_be_logged() -> None:
    secret = SECRET.encode()
    entry = seal(
        prev_hash=bytes(32),
        index=1,
        term=0,
        time_us=0,
        kind="K",
        public=b"",
        private=encode_map({"a": secret}),
        salt=b"s" * 32,
    )
    deps = make_deps(StubLedger())
    registration = c.RegisterUser(b"c", b"u", b"t", "a@b.example", secret)
    draft = Draft("K", b"", secret)
    for thing in (
        registration,
        draft,
        Vault((secret + b"x" * 32)[:32]),
        entry,
        deps,
        Pending("login", "a@b.example", b"t", b"u", secret),
    ):
        text = f"{thing!r} {thing}"
        assert SECRET not in text and secret.hex() not in text
    assert repr(deps.otp_key) not in repr(deps)


def test_no_secret_is_in_the_arguments_of_a_process() -> None:
    settings = cast(
        Any, SimpleNamespace(dsn=SECRET, redis_url=SECRET, smtp_url=SECRET, http=("127.0.0.1", 1), workers=1)
    )
    assert SECRET not in " ".join([*node_command(), *http_command(settings)])


# -- places


def test_a_nodes_socket_is_its_owners_from_the_first_moment(tmp_path: Path) -> None:
    """Also in a folder that was left open, and whatever mask the process was started with."""
    tmp_path.chmod(0o755)
    before = os.umask(0)
    try:
        private_socket(tmp_path / "s").close()
        assert os.umask(0) == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o600


def test_what_is_no_call_ends_the_connection_to_the_node(tmp_path: Path) -> None:
    node = cast(Node, SimpleNamespace(settings=SimpleNamespace(socket=tmp_path / "s"), answers={}))

    async def run() -> None:
        server = RpcServer(node)
        await server.start()
        try:
            client = LedgerClient(tmp_path / "s")
            with pytest.raises(Unavailable, match="went away"):
                await client.call(cast(str, {"not": "a name"}))
            with pytest.raises(Unavailable, match="no such method"):
                await client.call("no such method")
            client.close()
        finally:
            await server.stop()

    asyncio.run(run())


@pytest.mark.cluster
def test_an_http_worker_cannot_write_into_the_database(dsn: str) -> None:
    async def run() -> None:
        pool = make_pool(dsn, 1)
        await pool.open()
        try:
            for statement in (
                "insert into ledger_state default values",
                "update ledger_state set term = 9",
                "delete from ledger_entry",
                "drop table ledger_entry",
                "create table stolen ()",
            ):
                async with pool.connection() as connection:
                    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                        await connection.execute(statement.encode())
        finally:
            await pool.close()

    asyncio.run(run())
