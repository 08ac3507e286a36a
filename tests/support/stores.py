"""The log table twice: as a model in memory and as it is in PostgreSQL, with faults of one kind in both.

Where a fault strikes one write of one process:

    before        the connection breaks before the write reaches the server
    disk-full     the server finds no room in the middle of the transaction
    commit-fails  the server finds no room at COMMIT, when all statements have succeeded
    after         the connection breaks when the server has committed, before it says so
    torn          the same, but the server's answer arrives without its end
    stop          the server stops in the middle of the transaction, holding its locks: until `resume`, or until it is
                  ended by an operator (`terminate`) or by a successor
"""

from __future__ import annotations

import asyncio
import copy
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
import psycopg
from psycopg.conninfo import make_conninfo

from ballot.embedded import EmbeddedPostgres
from ballot.ledger.entry import Entry
from ballot.ledger.raft.log import Durable
from ballot.ledger.raft.messages import HardState, Write
from ballot.ledger.table import LogTable, install_genesis
from ballot.ledger.vault import Vault
from tests.support.disk import APPEND_ONLY, DISK_FULL, Disk, TableError
from tests.support.postgres import empty
from tests.support.relay import Relay

VAULT = Vault(bytes(32))


class Table(Protocol):
    """What a node does with the table of its log."""

    epoch: int

    async def open(self) -> Durable: ...
    async def close(self) -> None: ...
    async def write(self, write: Write) -> None: ...
    async def read_some(self, indexes: Sequence[int]) -> list[Entry]: ...


@dataclass(frozen=True, slots=True)
class Contents:
    """The table as an onlooker finds it."""

    epoch: int
    hard: HardState
    entries: Sequence[Entry]


class Store(Protocol):
    async def table(self, process: str) -> Table:
        """A new process's way to the table, not yet open."""

    async def end(self, process: str) -> None:
        """The process is gone, and with it its connections."""

    def close(self) -> None: ...

    def contents(self) -> Contents: ...

    def fail(self, process: str, fault: str) -> None: ...

    def is_stopped(self, process: str) -> bool:
        """Whether its write has stopped in the middle of the transaction."""

    def terminate(self, process: str) -> None: ...

    def resume(self, process: str) -> None: ...

    async def forget_lock(self, process: str) -> None:
        """Its session loses the writer's lock but lives on."""

    def lose_power(self) -> None:
        """The server ends without notice and starts again; what it had not synced may be gone."""

    def erase(self, first: int, last: int, by: int) -> None:
        """Deletes private parts of Notes as the entry at `by` says."""

    def delete_private(self, index: int) -> None: ...

    def backup(self, name: str) -> None: ...

    def restore(self, name: str) -> None: ...


# -- in memory


class ModelTable:
    def __init__(self, store: ModelStore) -> None:
        self._store = store
        self._alive, self.epoch = True, 0
        self.fault = ""
        self.stopped: asyncio.Future[None] | None = None

    async def open(self) -> Durable:
        holder, self._store.holder = self._store.holder, self
        if holder is not None:
            holder.end()
        self._store.disk.epoch += 1
        self.epoch = self._store.disk.epoch
        return self._store.disk.read()

    async def read_some(self, indexes: Sequence[int]) -> list[Entry]:
        return [entry for entry in self._store.disk.entries if entry.index in indexes]

    async def close(self) -> None:
        self.end()

    def end(self) -> None:
        self._alive = False
        if self._store.holder is self:
            self._store.holder = None
        if self.stopped is not None:
            self.resume()

    def resume(self) -> None:
        if self.stopped is not None and not self.stopped.done():
            self.stopped.set_result(None)

    async def write(self, write: Write) -> None:
        fault, self.fault = self.fault, ""
        if fault == "stop":
            self.stopped = asyncio.get_running_loop().create_future()
            await self.stopped
            self.stopped = None
        if fault == "before":
            self.end()
        if not self._alive:
            raise ConnectionError
        if fault in ("disk-full", "commit-fails"):
            raise TableError(DISK_FULL)
        self._store.disk.carry_out(write, self.epoch)
        if fault in ("after", "torn"):
            self.end()
            raise ConnectionError


class ModelStore:
    def __init__(self, genesis: Entry) -> None:
        self.disk = Disk([genesis])
        self.holder: ModelTable | None = None
        self._tables: dict[str, ModelTable] = {}
        self._erased: list[range] = []
        self._backups: dict[str, Disk[Entry]] = {}

    async def table(self, process: str) -> Table:
        self._tables[process] = table = ModelTable(self)
        return table

    async def end(self, process: str) -> None:
        self._tables[process].end()

    def close(self) -> None:
        pass

    def contents(self) -> Contents:
        return Contents(self.disk.epoch, self.disk.hard, self.disk.entries)

    def fail(self, process: str, fault: str) -> None:
        self._tables[process].fault = fault

    def is_stopped(self, process: str) -> bool:
        return self._tables[process].stopped is not None

    def terminate(self, process: str) -> None:
        self._tables[process].end()

    def resume(self, process: str) -> None:
        self._tables[process].resume()

    async def forget_lock(self, process: str) -> None:
        self.holder = None

    def lose_power(self) -> None:
        for table in self._tables.values():
            table.end()
        self.disk.lose_power()

    def erase(self, first: int, last: int, by: int) -> None:
        self._erased.append(range(first, last + 1))
        for index in self._erased[-1]:
            self.delete_private(index)

    def delete_private(self, index: int) -> None:
        if index <= self.disk.hard.commit and not any(index in erased for erased in self._erased):
            raise TableError(APPEND_ONLY)
        entry = self.disk.item(index)
        if entry.kind == "Note":
            self.disk.entries[index - 1] = msgspec.structs.replace(entry, private=None, salt=b"")

    def backup(self, name: str) -> None:
        self._backups[name] = copy.deepcopy(self.disk)

    def restore(self, name: str) -> None:
        self.disk = copy.deepcopy(self._backups[name])


# -- in PostgreSQL

LOG_TABLES = ("ledger_entry", "ledger_private", "ledger_state")
PAUSE = 0x7061757365

# Faults strike inside the transaction: in the middle of ledger_write, or in what COMMIT does first of all.
STRIKE = """
create schema script;
create table script.fault (process text, place text, fault text);
-- A sequence knows of no rollback: each fault strikes once.
create sequence script.struck;
grant usage on schema script to ballot;
grant select on script.fault to ballot;
grant usage on script.struck to ballot;
create function script.strike() returns trigger language plpgsql as $$
declare how text;
begin
    select fault into how from script.fault
        where process = current_setting('application_name') and place = tg_argv[0];
    if not found or nextval('script.struck') > 1 then
        return null;
    elsif how in ('disk-full', 'commit-fails') then
        raise exception 'could not extend file: No space left on device' using errcode = '53100';
    elsif how = 'stop' then
        perform pg_advisory_xact_lock({pause});
    end if;
    return null;
end $$;
create trigger script_batch after insert on ledger_entry
    for each statement execute function script.strike('batch');
create constraint trigger script_commit after update on ledger_state deferrable initially deferred
    for each row execute function script.strike('commit');
"""


async def forget_locks(connection: psycopg.AsyncConnection[Any]) -> None:
    await connection.execute("select pg_advisory_unlock_all()")


class PostgresStore:
    """On `server`, whose database must be as new, and is so again afterwards."""

    def __init__(self, server: EmbeddedPostgres, genesis: Entry) -> None:
        self._server, self.dsn = server, server.dsn
        self.superuser = make_conninfo(server.dsn, user="postgres")
        self._relays: dict[str, Relay] = {}
        self._tables: dict[str, LogTable] = {}
        self._holds: psycopg.Connection[Any] | None = None
        self.ask(STRIKE.format(pause=PAUSE))
        install_genesis(self.dsn, genesis)

    def ask(self, query: str, *values: Any) -> list[Any]:
        with psycopg.connect(self.superuser, autocommit=True) as connection:
            cursor = connection.execute(query.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    async def table(self, process: str) -> Table:
        self._relays[process] = relay = Relay(self.dsn, process)
        await relay.start()
        self._tables[process] = table = LogTable(relay.dsn, VAULT)
        return table

    def relay(self, process: str) -> Relay:
        return self._relays[process]

    async def end(self, process: str) -> None:
        await self._relays[process].stop()

    def close(self) -> None:
        if self._holds is not None:
            self._holds.close()
        self.ask("drop schema script cascade")
        empty(self.superuser)

    def contents(self) -> Contents:
        [(epoch, *hard)] = self.ask("select epoch, term, vote, commit from ledger_state")
        rows = self.ask(
            "select header, public, sealed from ledger_entry left join ledger_private using (index) order by index",
        )
        opener = LogTable("", VAULT)
        return Contents(epoch, HardState(*hard), [opener._open(*row) for row in rows])

    def fail(self, process: str, fault: str) -> None:
        relay = self._relays[process]
        if fault == "before":
            relay.break_after(0)
        elif fault in ("after", "torn"):
            relay.break_after(1, torn=fault == "torn")
        else:
            place = "commit" if fault == "commit-fails" else "batch"
            with psycopg.connect(self.superuser) as connection:
                connection.execute("truncate script.fault")
                connection.execute("alter sequence script.struck restart")
                connection.execute("insert into script.fault values (%s, %s, %s)", (process, place, fault))
        if fault == "stop":
            self._holds = psycopg.connect(self.superuser, autocommit=True)
            self._holds.execute("select pg_advisory_lock(%s)", (PAUSE,))

    def _stopped(self, process: str) -> list[Any]:
        query = "select pid from pg_stat_activity where application_name = %s and wait_event = 'advisory'"
        return self.ask(query, process)

    def is_stopped(self, process: str) -> bool:
        return bool(self._stopped(process))

    def waits_for_a_lock(self, process: str) -> bool:
        query = "select pid from pg_stat_activity where application_name = %s and wait_event_type = 'Lock'"
        return bool(self.ask(query, process))

    def tamper(self, statement: str, *values: Any) -> None:
        """What only somebody with full power over the database can do, and a failing disk."""
        with psycopg.connect(self.superuser) as connection:
            connection.execute("set session_replication_role = replica")
            connection.execute(statement.encode(), values)

    def terminate(self, process: str) -> None:
        [(pid,)] = self._stopped(process)
        self.ask("select pg_terminate_backend(%s)", pid)
        self.resume(process)

    def resume(self, process: str) -> None:
        if self._holds is not None:
            self._holds.close()
            self._holds = None

    async def forget_lock(self, process: str) -> None:
        writer = self._tables[process]._writer
        assert writer is not None
        await forget_locks(writer)

    def lose_power(self) -> None:
        os.kill(self._server.pid, signal.SIGKILL)
        self._server.start()

    def erase(self, first: int, last: int, by: int) -> None:
        with psycopg.connect(self.dsn) as connection:
            connection.execute("insert into ledger_erased values (%s, %s, 'Note', %s)", (first, last, by))
            connection.execute("delete from ledger_private where index between %s and %s", (first, last))

    def delete_private(self, index: int) -> None:
        self.ask("delete from ledger_private where index = %s", index)

    def backup(self, name: str) -> None:
        for table in LOG_TABLES:
            self.ask(f"create table script.{name}_{table} as table {table}")

    def restore(self, name: str) -> None:
        with psycopg.connect(self.superuser) as connection:
            connection.execute("set session_replication_role = replica")
            for table in LOG_TABLES:
                connection.execute(f"delete from {table}".encode())
                connection.execute(f"insert into {table} table script.{name}_{table}".encode())
