"""A whole cluster on one machine: `ballot up`, the demo and the cluster tests.

Each node has its own ledger process, gunicorn and embedded PostgreSQL; one Redis serves all. Nothing is weakened: full
key sizes, fsync on, mutual TLS between the nodes.
"""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from .config import Settings, read_settings
from .embedded import EmbeddedPostgres, EmbeddedRedis
from .embedded_programs import make_postgres_folder
from .guard import CHILDREN
from .keys import GENESIS_FILE, add_node_keys, init_keys, load_genesis
from .ledger.client import LedgerClient
from .ledger.entry import Entry
from .operator import change_role
from .ports import HOST, Ports
from .serve import http_command, node_command, stop_all

START_TIMEOUT_S = 180.0  # Only a machine that is very slow, or hangs; a process that ended is told at once.


class ClusterError(Exception):
    """The cluster did not come up; the message names the log to read."""


class ClusterNode:
    """One node's three servers and where to reach them."""

    def __init__(self, number: int, folder: Path, environment: Mapping[str, str], postgres: EmbeddedPostgres) -> None:
        self.number, self.folder, self.postgres = number, folder, postgres
        self.environment_file = _write_environment(folder / "environment", environment)
        self.environment = {**os.environ, **environment}
        self.settings: Settings = read_settings(self.environment)
        self._ledger: subprocess.Popen[bytes] | None = None
        self._http: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        host, port = self.settings.http
        return f"http://{host}:{port}"

    @property
    def log(self) -> Path:
        return self.folder / "node.log"

    @property
    def ledger_pid(self) -> int:
        """0 while the ledger process does not run."""
        return self._ledger.pid if self._ledger is not None and self._ledger.poll() is None else 0

    @property
    def http_pid(self) -> int:
        return self._http.pid if self._http is not None and self._http.poll() is None else 0

    def start_ledger(self) -> None:
        self._ledger = self._spawn(node_command())

    def start_http(self) -> None:
        self._http = self._spawn(http_command(self.settings), signal.SIGQUIT)

    def stop_http(self) -> None:
        stop_all([self._http] if self._http is not None else [])

    def kill_ledger(self) -> None:
        """kill -9: no handover, no flush, nothing said."""
        if self._ledger is not None and self._ledger.poll() is None:
            os.kill(self._ledger.pid, signal.SIGKILL)
            self._ledger.wait()

    def stop(self) -> None:
        stop_all([child for child in (self._http, self._ledger) if child is not None])

    def _spawn(self, command: list[str], ending: signal.Signals = signal.SIGKILL) -> subprocess.Popen[bytes]:
        """`ending`: what it gets if we are killed; a ledger process is made to be ended without a word."""
        with self.log.open("ab") as log:
            child = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log, start_new_session=True)
        CHILDREN.watch(child.pid, ending)
        return child

    def client(self) -> LedgerClient:
        return LedgerClient(self.settings.socket)

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/api/_diag/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


class Cluster:
    node_type: type[ClusterNode] = ClusterNode

    def __init__(
        self, folder: Path, *, nodes: int = 3, workers: int = 1, settings: Mapping[str, str] | None = None
    ) -> None:
        """`folder` is made if need be; keys and data in it are used again. `settings` are extra BALLOT_ variables."""
        self.folder, self._size, self._workers = folder, nodes, workers
        self._extra = dict(settings or {})
        self._sockets: list[Path] = []
        self._lock = -1
        self._ports = Ports(folder / "ports")
        self.redis = EmbeddedRedis(folder / "redis")
        self.nodes: list[ClusterNode] = []
        self.mailbox = folder / "mailbox"

    @classmethod
    def temporary(cls, *, nodes: int = 3, workers: int = 1, settings: Mapping[str, str] | None = None) -> Self:
        """A cluster in a new folder of the temporary directory; `remove()` takes it away again."""
        folder = Path(tempfile.mkdtemp(prefix="ballot-"))
        folder.chmod(0o711)
        return cls(folder, nodes=nodes, workers=workers, settings=settings)

    @property
    def genesis(self) -> Entry:
        return load_genesis(self.folder / "keys" / GENESIS_FILE)

    def start(self) -> None:
        """Brings everything up and waits until every node is ready, or leaves nothing running.

        Raises ClusterError, EmbeddedError, KeysError.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._take_folder()
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _take_folder(self) -> None:
        """Servers that an earlier run left are stopped at the start; those of a run that goes on must not be."""
        self._lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._leave_folder()
            raise ClusterError(f"a cluster is running in {self.folder}: stop it, or choose another folder") from None

    def _leave_folder(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
        self._lock = -1

    def _start(self) -> None:
        keys = self.folder / "keys"
        if not (keys / GENESIS_FILE).exists():
            init_keys(keys, self._size, "ballot.example")
        if not (keys / f"node{self._size}").exists():
            raise ClusterError(f"{keys} has no keys of node {self._size}: start as many nodes as it was made for")
        self.redis.start()
        self._ports = Ports(self.folder / "ports")
        numbers = range(1, self._size + 1)
        peers = ",".join(f"{number}={self._address(number, 'peers')}" for number in numbers)
        for number in numbers:
            self._make_node(number, peers).postgres.start()
        for node in self.nodes:
            node.start_ledger()
            node.start_http()
        self.wait_ready()

    def join(self) -> ClusterNode:
        """Starts one more node, with keys of its own; `ballot node add` is then to be run on a member."""
        self._size = number = self._size + 1
        add_node_keys(self.folder / "keys", number)
        listens = {node.number: node.settings.listen for node in self.nodes}
        peers = ",".join(f"{one}={host}:{port}" for one, (host, port) in listens.items())
        node = self._make_node(number, peers)
        node.postgres.start()
        node.start_ledger()
        node.start_http()
        return node

    def _address(self, number: int, what: str) -> str:
        return f"{HOST}:{self._ports.take(f'node {number}, {what}')}"

    @property
    def moved(self) -> Mapping[str, int]:
        """What is not where it was at the last start, because somebody else listens there: name to its old port."""
        return self._ports.moved

    def _make_node(self, number: int, peers: str) -> ClusterNode:
        folder = self.folder / f"node{number}"
        folder.mkdir(exist_ok=True)
        folder.chmod(0o711)
        sockets = make_postgres_folder()
        self._sockets.append(sockets)
        postgres = EmbeddedPostgres(folder / "postgres", sockets)
        keys = self.folder / "keys"
        environment = {
            "BALLOT_NODE": str(number),
            "BALLOT_DSN": postgres.dsn,
            "BALLOT_REDIS_URL": self.redis.url,
            "BALLOT_PEERS": peers,
            "BALLOT_LISTEN": self._address(number, "peers"),
            "BALLOT_HTTP": self._address(number, "API"),
            "BALLOT_SECRETS": os.pathsep.join(map(str, (keys / f"node{number}", keys / "shared", keys))),
            "BALLOT_STATE": str(folder / "state"),
            "BALLOT_MAILBOX": str(self.mailbox),
            "BALLOT_SITE": f"http://{self._address(number, 'API')}",
            "BALLOT_WORKERS": str(self._workers),
            "BALLOT_API": ",".join(f"{one}=http://{self._address(one, 'API')}" for one in range(1, self._size + 1)),
            **self._extra,
        }
        node = self.node_type(number, folder, environment, postgres)
        self.nodes.append(node)
        return node

    def wait_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        for node in self.nodes:
            while not node.is_ready():
                if not node.ledger_pid or not node.http_pid or time.monotonic() > deadline:
                    raise ClusterError(f"node {node.number} is not ready; its log: {node.log}\n{_tail(node.log)}")
                time.sleep(0.1)

    def revive(self) -> list[int]:
        """Starts what ended by itself again, as an orchestrator would; the nodes concerned."""
        ended = [node for node in self.nodes if not (node.ledger_pid and node.http_pid)]
        for node in ended:
            if not node.ledger_pid:
                node.start_ledger()
            if not node.http_pid:
                node.start_http()
        return [node.number for node in ended]

    async def grant(self, email: str, role: str) -> None:
        """What the operator does at a node's own socket. Raises OperatorError."""
        await change_role(self.nodes[0].settings, email, role)

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()
        for node in self.nodes:
            node.postgres.stop()
            node.environment_file.unlink(missing_ok=True)
        self.redis.stop()
        for sockets in self._sockets:
            shutil.rmtree(sockets, ignore_errors=True)
        self._ports.close()
        self.nodes, self._sockets = [], []
        self._leave_folder()

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def _write_environment(file: Path, environment: Mapping[str, str]) -> Path:
    """What a shell reads with `.` to be this node; its owner's alone, for there is a password in it."""
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in environment.items()]
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        out.writelines(lines)
    return file


def _tail(log: Path, lines: int = 20) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else ""
