"""A three-node etcd on the same disk, written to through its HTTP gateway, and with h2load where that is installed."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import struct
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import aiohttp

from ballot.ports import free_port

VALUE = os.urandom(1024)


def is_installed() -> bool:
    return shutil.which("etcd") is not None


class Etcd:
    """Default settings, as Debian's package has them: fsync on."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="bench-etcd-"))
        self.ports: list[int] = []
        self._processes: list[subprocess.Popen[bytes]] = []
        self._session: aiohttp.ClientSession | None = None

    def start(self, nodes: int = 3) -> None:
        ports = [free_port() for _ in range(2 * nodes)]
        self.ports = ports[:nodes]
        members = ",".join(f"n{i}=http://127.0.0.1:{ports[nodes + i]}" for i in range(nodes))
        for i in range(nodes):
            client, peer = f"http://127.0.0.1:{ports[i]}", f"http://127.0.0.1:{ports[nodes + i]}"
            command = ["etcd", f"--name=n{i}", f"--data-dir={self.folder}/n{i}", f"--initial-cluster={members}"]
            command += [f"--listen-client-urls={client}", f"--advertise-client-urls={client}"]
            command += [f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}", "--log-level=error"]
            log = (self.folder / f"n{i}.log").open("wb")
            self._processes.append(subprocess.Popen(command, stdout=log, stderr=log))
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + 30
        for port in self.ports:
            while time.monotonic() < deadline:
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1) as answer:
                        if json.load(answer)["health"] == "true":
                            break
                except (urllib.error.URLError, OSError):
                    time.sleep(0.1)

    async def append(self, client: int) -> None:
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        key = base64.b64encode(os.urandom(8)).decode()
        body = json.dumps({"key": key, "value": base64.b64encode(VALUE).decode()})
        url = f"http://127.0.0.1:{self.ports[client % len(self.ports)]}/v3/kv/put"
        async with self._session.post(url, data=body) as answer:
            await answer.read()
            answer.raise_for_status()

    async def disconnect(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def h2load(self, clients: int, seconds: float) -> float | None:
        """Puts a second under a load generator written in C, over gRPC at the first node; None without h2load."""
        if shutil.which("h2load") is None:
            return None
        message = b"\x0a\x08" + os.urandom(8) + b"\x12\x80\x08" + VALUE
        body = self.folder / "put"
        body.write_bytes(struct.pack(">BI", 0, len(message)) + message)
        command = ["h2load", f"-D{max(1, int(seconds))}", f"-c{clients}", "-m1", f"-d{body}"]
        command += ["-Hcontent-type: application/grpc", "-Hte: trailers"]
        url = f"http://127.0.0.1:{self.ports[0]}/etcdserverpb.KV/Put"
        done = subprocess.run([*command, url], capture_output=True, text=True, check=True)
        found = re.search(r"finished in .*?, ([\d.]+) req/s", done.stdout)
        failed = re.search(r"(\d+) failed", done.stdout)
        return float(found[1]) if found and failed and failed[1] == "0" else None

    def stop(self) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
