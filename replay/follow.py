"""The monitor: watches a log grow from outside, node by node, and keeps the evidence when it does not just grow.

Whatever any node shows must be signed by a majority of the members and continue the largest checkpoint seen so far, by
any node: so a log that was rewritten is seen, and nodes that show different logs. A node that no longer has what it
once showed fell back; after a crash it may for a moment, so it is given some time. What is believed survives in a
folder, and what is cosigned as a witness (C2SP tlog-cosignature) is stored before anybody gets it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ..client.api import Line, NoAnswer, Public, Refused, Reply
from ..client.log import Log
from ..client.trust import Fork, Recovered, Trust, Untrusted
from ..client.wallet import FolderStore
from ..ledger.checkpoint import Checkpoint, CheckpointError, assemble, cosign, parse_body, read_note
from ..ledger.witness import Witness

NOTE_RECORD, NODES_RECORD, COSIGNED_RECORD = "note", "nodes", "cosigned"
EVIDENCE = "evidence"
CHECKPOINT_PATH, CONSISTENCY_PATH = "/api/ledger/checkpoint", "/api/ledger/proof/consistency"
WITNESS_PATH = "/api/ledger/witness"
ALARMS = ("fork", "rollback", "recovery", "untrusted")


@dataclass(frozen=True)
class Seen:
    """What became of a look at one node. `verdict`: ok, behind, unreachable, or one of ALARMS.

    `size` is that of the checkpoint it showed, 0 when it showed none; `evidence` is the folder where all of it was put.
    """

    node: str
    verdict: str
    size: int = 0
    detail: str = ""
    evidence: str = ""

    @property
    def alarm(self) -> bool:
        return self.verdict in ALARMS


class _Shown(msgspec.Struct):
    """The largest size that a node has shown, and since when (seconds since 1970) it has been unable to stand by it."""

    size: int = 0
    fallen_s: float = 0.0


class _Answers(Public):
    """Asks one node first, the others where it does not reach, and remembers what they answered."""

    def __init__(self, line: Line, first: int) -> None:
        super().__init__(line, first)
        self.kept: list[tuple[str, Mapping[str, int], bytes]] = []

    async def get_at(self, node: int, path: str, query: Mapping[str, int] | None = None) -> Reply:
        reply = await super().get_at(node, path, query)
        self.kept.append((path, query or {}, reply.body))
        return reply


class Monitor:
    """`line` leads to the nodes. `patience_s`: how long one may be fallen back."""

    def __init__(self, line: Line, trust: Trust, folder: Path, patience_s: float, clock: Callable[[], float]) -> None:
        self._line, self._trust, self._folder = line, trust, folder
        self._patience_s, self._clock = patience_s, clock
        self._store = FolderStore(folder)
        kept = self._store.load(NODES_RECORD)
        self._shown = msgspec.json.decode(kept, type=dict[str, _Shown]) if kept else {}

    async def look(self) -> list[Seen]:
        """One look at every node."""
        found = [await self._look_at(number, node) for number, node in enumerate(self._line.urls)]
        self._store.save(NODES_RECORD, msgspec.json.encode(self._shown))
        return found

    @property
    def waits(self) -> bool:
        """Whether a node has fallen back and may still come up again."""
        return any(self._shown[node].fallen_s for node in self._line.urls if node in self._shown)

    async def _look_at(self, number: int, node: str) -> Seen:
        answers = _Answers(self._line, number)
        log = Log(answers, self._trust, self._store)
        note, size = b"", 0
        try:
            note = (await answers.get_at(number, CHECKPOINT_PATH)).body
            size = read_note(note).size
            await log.believe(note)
            await self._stands_by(number, node, size, answers)
        except (NoAnswer, Refused) as error:
            return self._not_proven(node, note, size, str(error), answers)
        except (Untrusted, CheckpointError) as error:
            return self._alarm(node, _kind(error), size, str(error), note, answers)
        if self._trust.newest.size == size:
            self._store.save(NOTE_RECORD, note)
        shown = self._shown.setdefault(node, _Shown())
        shown.size, shown.fallen_s = max(shown.size, size), 0.0
        newest = self._trust.newest.size
        return Seen(node, "ok", size, "" if size == newest else f"{newest} were seen already")

    async def _stands_by(self, number: int, node: str, size: int, answers: Public) -> None:
        """A node that shows less than it did may have lost the checkpoint alone. Raises NoAnswer, Refused if not."""
        before = self._shown[node].size if node in self._shown else 0
        if size < before:
            await answers.get_at(number, CONSISTENCY_PATH, {"old": size, "new": before})

    def _not_proven(self, node: str, note: bytes, size: int, reason: str, answers: _Answers) -> Seen:
        """The node gave no answer, or none that reaches as far as what was seen before."""
        shown = self._shown.setdefault(node, _Shown())
        if not note:
            return Seen(node, "unreachable", 0, reason)
        if size >= shown.size:
            return Seen(node, "behind", size, reason)
        shown.fallen_s = shown.fallen_s or self._clock()
        detail = f"it shows {size} entries and had shown {shown.size}"
        if self._clock() - shown.fallen_s < self._patience_s:
            return Seen(node, "behind", size, detail)
        return self._alarm(node, "rollback", size, detail, note, answers)

    def _alarm(self, node: str, kind: str, size: int, detail: str, note: bytes, answers: _Answers) -> Seen:
        moment = datetime.fromtimestamp(self._clock(), UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        folder = self._folder / EVIDENCE / f"{moment}-{kind}"
        folder.mkdir(parents=True)
        seen = Seen(node, kind, size, detail, str(folder))
        (folder / "known.note").write_bytes(self._store.load(NOTE_RECORD) or b"")
        (folder / "shown.note").write_bytes(note)
        asked = [{"path": path, "query": dict(query), "answer": body} for path, query, body in answers.kept]
        (folder / "answers.json").write_bytes(msgspec.json.encode(asked))
        (folder / "report.json").write_bytes(msgspec.json.encode({"time": moment, **msgspec.to_builtins(seen)}))
        return seen

    # -- as a witness

    async def witness(self, witness: Witness, key: Ed25519PrivateKey) -> dict[str, str] | None:
        """Cosigns the newest checkpoint, unless that was done, and leaves the line at every node: what each said.

        Only after a look without an alarm. What is cosigned is stored before it is sent.
        """
        checkpoint = self._trust.newest
        if self._store.load(NOTE_RECORD) is None or checkpoint.size <= self._cosigned():
            return None
        self._store.save(COSIGNED_RECORD, checkpoint.body())
        note = assemble(checkpoint, [cosign(key, witness.name, checkpoint, int(time.time()))])
        return {node: await self._leave(number, note) for number, node in enumerate(self._line.urls)}

    async def _leave(self, number: int, note: bytes) -> str:
        sent = {"Content-Type": "text/plain"}
        try:
            await self._line.send(number, "POST", WITNESS_PATH, headers=sent, body=note, fresh=True)
        except (NoAnswer, Refused) as error:
            return str(error)
        return "taken"

    def _cosigned(self) -> int:
        kept = self._store.load(COSIGNED_RECORD)
        return 0 if kept is None else parse_body(kept).size

    @property
    def newest(self) -> Checkpoint:
        return self._trust.newest


def _kind(error: Exception) -> str:
    if isinstance(error, Fork):
        return "fork"
    return "recovery" if isinstance(error, Recovered) else "untrusted"


def worst(looks: Sequence[Seen]) -> int:
    """The exit status: 1 after an alarm, 3 when no node could be asked, else 0."""
    if any(seen.alarm for seen in looks):
        return 1
    return 3 if all(seen.verdict == "unreachable" for seen in looks) else 0
