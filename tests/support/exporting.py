"""A node that gives its export, and breaks off when it is told to."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit

from ballot.replay.export import MAGIC, EndRecord, EntryRecord, Record, pack


class Exporting:
    """`records` is what the node has, its end included; `cuts` after how many bytes the next answers break off, none
    after the last of them. `asked` is what was asked for, as `from`.
    """

    def __init__(self, records: Sequence[Record], cuts: Sequence[int] = ()) -> None:
        self.records, self.cuts = list(records), list(cuts)
        self.asked: list[int] = []

    def answer(self, first: int) -> bytes | None:
        """None: this node is not as far."""
        self.asked.append(first)
        count, tail = 0, bytearray(MAGIC if first == 1 else b"")
        for record in self.records:
            count += isinstance(record, EntryRecord)
            if count >= first or isinstance(record, EndRecord):
                tail += pack(record)
        return bytes(tail) if first <= count + 1 else None


@contextmanager
def serving(exporting: Exporting) -> Iterator[str]:
    """The node's address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            if parts.path != "/api/ledger/export":
                self.send_error(404)
                return
            body = exporting.answer(int(parse_qs(parts.query).get("from", ["1"])[0]))
            if body is None:
                self.send_error(422)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: exporting.cuts.pop(0)] if exporting.cuts else body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
