"""Every parser that takes bytes from outside: valid examples, the refusals that may escape, and the way back."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from types import ModuleType
from typing import Any, cast

import msgspec

from ballot.client.api import NoAnswer, Reply
from ballot.client.board import _read as read_board_line
from ballot.client.trust import Untrusted
from ballot.http import auth, credentials, drafts, drills, elections, roll, votes
from ballot.http.parse import CSV, unb64
from ballot.http.parse import b64 as encode_b64
from ballot.http.parse import decode as decode_body
from ballot.http.parse import encode as encode_body
from ballot.http.problems import Refused
from ballot.http.tokens import AccessTokens, TokenKey, _split
from ballot.keys import dump_genesis
from ballot.ledger import checkpoint, door, receipt, rsa
from ballot.ledger.clock import Clock
from ballot.ledger.codec import CodecError, _decode_entry
from ballot.ledger.codec import encode as encode_message
from ballot.ledger.entry import EntryError, decode_map, parse, seal, to_wire
from ballot.ledger.frame import FrameError, frame, parse_frame
from ballot.ledger.membership import CONF_KINDS, MembershipError, membership_of
from ballot.ledger.raft.messages import Append, Heartbeat, HeartbeatReply, Vote
from ballot.ledger.settings import PeerTls
from ballot.ledger.transport import ANSWER, ASK, RAFT, TELL, Transport
from ballot.ledger.wire import FrameProtocol, WireError, pack, unpack
from ballot.replay import ballot_file, export
from ballot.replay.audit import audit
from ballot.replay.ballot_file import BallotFileError
from ballot.replay.consistency import read_older, read_proof
from ballot.replay.events import EventError, UnknownKind, read_event
from ballot.replay.receipt import check_receipt, pinned
from ballot.voting import ballot, document
from ballot.voting import choice as choices
from ballot.voting import commands as c
from ballot.voting import definition as definitions
from ballot.voting.counting.method import Form
from ballot.voting.envelope import Context, EnvelopeError, InvalidEnvelope, check_shape, open_with_seed
from ballot.voting.keycheck import WeakKey, check_one_use_key
from tests.fuzz.shapes import FRAME, JSON, LINES, MSGPACK, Shape
from tests.support import log_builder as built
from tests.support.peers import Heard
from tests.support.services import jwt_key


@dataclass(frozen=True)
class Target:
    """`parse` takes any bytes and raises nothing but `refusals`; `encode`, where there is one, gives the very bytes
    back for whatever `parse` made of them. `shape` takes the bytes apart, for changes that keep their form.
    """

    examples: Callable[[], Sequence[bytes]]
    parse: Callable[[bytes], Any]
    refusals: tuple[type[Exception], ...]
    encode: Callable[[Any], bytes] | None = None
    shape: Shape | None = None
    dear: bool = field(default=False)
    """A single run takes many milliseconds."""

    def take(self, data: bytes) -> bool:
        """Whether the bytes were accepted. Raises whatever is a bug."""
        try:
            value = self.parse(data)
        except self.refusals:
            return False
        if self.encode is not None:
            again = self.encode(value)
            assert again == data, (again, data)
        return True


log = built.election_log


def kinds(*names: str) -> list[bytes]:
    """The public payloads of all entries of these kinds."""
    return [entry.public for entry in log().entries if entry.kind in names]


# -- ledger


def _frames() -> list[bytes]:
    return [frame("ballot", b"a", b""), frame("ballot", b"", b"b" * 300)]


def _messages() -> list[bytes]:
    entries = log().entries
    raft = [Vote(2, 1, 7, 9, 6, True), Append(2, 1, 7, 0, 0, 1, entries[:3]), Append(2, 1, 7, 4, 1, 1, entries[4:5])]
    said: list[Any] = [[RAFT, encode_message(message), []] for message in raft]
    said += [[RAFT, encode_message(Heartbeat(2, 1, 7, 9, 1)), [1, correction]] for correction in (None, -2)]
    said += [[RAFT, encode_message(HeartbeatReply(2, 1, 7, 9)), [1, 2, 3]]]
    said += [[ASK, 1, "submit", [b"command", True]], [ANSWER, 1, True, ["verdict"]], [ANSWER, 1, False, "no"]]
    said += [[TELL, "sign", 7], [TELL, "signed", [7, bytes(32), "line"]], [TELL, "note", _notes()[0]]]
    return [pack(one) for one in said]


class _Peer:
    """Node 1, which hears what peer 2 sends, byte by byte as from a socket."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        nothing = cast(PeerTls, None)
        self._transport = Transport(1, ("", 0), {2: ("", 0)}, nothing, Clock(3), Heard())

    def hear(self, data: bytes) -> None:
        self._loop.run_until_complete(self._hear(data))

    async def _hear(self, data: bytes) -> None:
        link = FrameProtocol(lambda link, frame: self._transport._on_frame(2, link, frame))
        link.connection_made(cast(asyncio.Transport, _Line()))
        link.data_received(data)
        for task in list(self._transport._tasks):
            task.cancel()
        await asyncio.sleep(0)


class _Line:
    """What a FrameProtocol asks of a connection."""

    closing = False

    def is_closing(self) -> bool:
        return self.closing

    def get_write_buffer_size(self) -> int:
        return 0

    def write(self, data: bytes) -> None:
        """Nobody reads it."""

    def close(self) -> None:
        self.closing = True

    abort = close


def _hear(data: bytes) -> None:
    _peer().hear(data)


_peer = cache(_Peer)


def _entries() -> list[bytes]:
    chosen = [log().entries[0], log().entries[log().find("BallotCast")], log().entries[-1]]
    return [pack(list(to_wire(entry)))[4:] for entry in chosen]


def _parse_entry(data: bytes) -> Any:
    return _decode_entry(unpack(data))


def _conf(data: bytes) -> Any:
    """An entry that a leader sealed over whatever it likes."""
    for kind in sorted(CONF_KINDS):
        entry = seal(prev_hash=bytes(32), index=1, term=0, time_us=1, kind=kind, public=data)
        parse(*to_wire(entry))
    return membership_of(decode_map(data))


def _notes() -> list[bytes]:
    tree = log().sealer.tree
    return [built.sign_note(tree, size, nodes) for size, nodes in ((tree.size, (0, 1, 2)), (1, (0,)))]


def _verify_note(data: bytes) -> Any:
    checkpoint.read_note(data)
    return checkpoint.verify_note(data, built.ORIGIN, membership_of(log().entries[0].fields).members)


def _receipts() -> list[bytes]:
    return [log().receipt(log().find("BallotCast", number)) for number in (0, 1)]


def _older() -> list[bytes]:
    note = built.sign_note(log().sealer.tree, 5)
    return [note, checkpoint.read_note(note).body(), *_receipts()]


def _proofs() -> list[bytes]:
    proof = [encode_b64(node) for node in log().sealer.tree.consistency_proof(5, 24)]
    return [json.dumps({"proof": proof, "members": 1}).encode(), b'{"proof":[]}']


def _check_receipt(data: bytes) -> Any:
    return check_receipt(data, log().entries[0], log().bodies[0])


def _signature(data: bytes) -> None:
    rsa.verify(data[:256], data[256:512], data[512:])


def _signatures() -> list[bytes]:
    key = built.key("ballot0")
    return [rsa.modulus(key) + rsa.sign(key, b"message") + b"message"]


def _certificate(data: bytes) -> int:
    name = data.decode("utf-8", "replace")
    node = door.node_named({"subject": ((("commonName", name),),)})
    assert node == 0 or name == f"node-{node}"
    return node


# -- voting


def _context() -> Context:
    definition, body = log().definition, ballot.parse_ballot(log().bodies[0])
    trustees = tuple(bytes.fromhex(trustee.n) for trustee in definition.trustees)
    return Context(log().eid, body.bid, definition.k, trustees, definition.pad_len)


def _envelope(data: bytes) -> Any:
    check_shape(_context(), data)
    return open_with_seed(_context(), data, hashlib.sha256(b"seed 0").digest())


def _envelopes() -> list[bytes]:
    return [ballot.parse_ballot(body).envelope for body in log().bodies]


def _ballot_bytes(one: ballot.Ballot) -> bytes:
    cast_bytes = ballot.cast_frame(one.eid, one.bpk, one.prefix, one.credential, one.envelope)
    return frame("ballot", cast_bytes, one.signature)


def _choices() -> list[bytes]:
    answers: list[list[list[int]]] = [*built.ANSWERS, [[], []], [[-1, -2, 2], [1]]]
    return list(map(choices.encode_choice, answers))


def _decode_choice(data: bytes) -> list[list[int | str]]:
    return choices.decode_choice(built.QUESTIONS, data)


def _documents() -> list[bytes]:
    return [log().document, log().entries[log().find("TallyPublished")].fields["document"], *_choices()]


def _commands() -> list[bytes]:
    voter = c.NewVoter(b"v" * 16, b"t" * 32, "a@example.org", b"s" * 32, 1)
    return [
        c.encode_command(command)
        for command in (
            c.RegisterUser(b"c" * 16, b"u" * 16, b"t" * 32, "a@example.org", b"hash"),
            c.AddVoters(b"c" * 16, built.ELECTION, built.ORGANISER, [voter]),
            c.CastBallot(built.ELECTION, log().bodies[0]),
            c.PublishBallots(built.ELECTION, 0, True, log().board),
            c.ReleaseTrusteeKey(built.ELECTION, 1, b"p" * 192, b"q" * 192, 1, bytes(32), b"s" * 384),
        )
    ]


# -- http


def _bodies() -> list[type[msgspec.Struct]]:
    """Whatever a request may have as its body, and what a mail's link or a page's cursor could be made of."""
    modules: tuple[ModuleType, ...] = (auth, credentials, drafts, drills, elections, roll, votes)
    found = {kind for module in modules for kind in vars(module).values() if isinstance(kind, type)}
    structs = [kind for kind in found if issubclass(kind, msgspec.Struct)]
    return sorted((kind for kind in structs if kind.__struct_config__.forbid_unknown_fields), key=repr)


def _decode_bodies(data: bytes) -> None:
    taken = 0
    for shape in _bodies():
        try:
            body = decode_body(shape, data)
        except Refused:
            continue
        taken += 1
        assert decode_body(shape, encode_body(body)) == body
        if isinstance(body, drafts.DraftBody):
            drafts.decode_draft(drafts.encode_draft(drafts.draft_of(body)))
    if not taken:
        raise Refused("MalformedBody", "no request has this body")


def _body_examples() -> list[bytes]:
    question = {"text": "Who?", "method": "plurality", "options": ["Ada", "Bo"], "max_marks": 1}
    times = {"opens_at": "2026-01-01T00:00:00Z", "closes_at": "2026-01-01T00:00:00.5+02:00"}
    bodies: list[Any] = [
        {"email": "a@example.org", "password": "correct horse"},
        {"challenge": "AAAA", "code": "123456"},
        {"challenge": "AAAA", "code": "123456", "password": "correct horse"},
        {"title": "City", "questions": [question], **times},
        {"voters": [{"email": "a@example.org", "weight": 2}, {"email": "b@example.org"}]},
        {"ballot": "AAAA"},
        {"role": "organiser"},
        {},
    ]
    return [json.dumps(body).encode() for body in bodies]


def _roll_csv(data: bytes) -> None:
    upload = roll.read_upload(CSV, data)
    assert len(upload.voters) + len(upload.refused) <= data.count(b"\n") + data.count(b"\r") + 1


CSVS = [
    b"email,weight\na@example.org,2\nb@example.org\n",
    b'\xef\xbb\xbfE-Mail\r\n"c@example.org"\r\n\r\nno address,7\r\n',
    b"a@example.org;1\nA@EXAMPLE.org,4294967295\n",
    "j\u00fcrgen@b\u00fccher.example,1\n".encode(),
]


@cache
def _access() -> AccessTokens:
    return AccessTokens([TokenKey(jwt_key())], issuer="ballot.test", audience="ballot", lifetime_s=10**9)


def _token(data: bytes) -> None:
    """As a header brings it: any character that a byte can be."""
    _access().user(data.decode("latin-1"))


def _refresh(data: bytes) -> None:
    text = data.decode("latin-1")
    _split(text)
    assert unb64(text, 48)


# -- replay and client


def _exports() -> list[bytes]:
    records = log().records()
    until = next(place for place, record in enumerate(records) if isinstance(record, export.CheckpointRecord))
    return [_written([*records[: until + 1], export.EndRecord(until, until)])]


def _written(records: list[export.Record]) -> bytes:
    stream = io.BytesIO()
    export.write_records(stream, records)
    return stream.getvalue()


def _drafts() -> list[bytes]:
    """A whole log as the list of what its entries say."""
    return [pack([[draft.kind, draft.public] for draft in log().drafts])[4:]]


def _audit(data: bytes) -> None:
    """An insider seals a log of whatever they like: the audit says what is wrong with it, and ends."""
    said = unpack(data)
    try:
        sealed = built.seal_drafts(built.Draft(str(kind), dict(public), pinned=True) for kind, public in said)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError) as error:
        raise WireError(f"nobody can seal this: {error}") from error
    assert audit(sealed, workers=1).entries == len(said)


def _event(data: bytes) -> None:
    kind, _, public = data.partition(b"\n")
    entry = seal(prev_hash=bytes(32), index=2, term=1, time_us=1, kind=kind.decode("utf-8", "replace"), public=public)
    read_event(entry)


def _events() -> list[bytes]:
    first = {entry.kind: entry.public for entry in reversed(log().entries)}
    return [kind.encode() + b"\n" + public for kind, public in first.items()]


def _board_line(data: bytes) -> None:
    read_board_line(data)


BLTS = [
    b'3 1\n-2\n4 1 3 0\n(id) 2 3 1 0\n1 - 3 0\n0\n"Ada"\n"Bo"\nCy\n"A title"\n',
    b"2 2 # two of two\n1 1 2 0\n3 1=2 0\n0\nA\nB\nT",
]
LISTS = [b"count,first,second\n3,Ada,Bo\n1,undervote,Ada\n2,overvote,\n"]


def _blt(data: bytes) -> None:
    with io.TextIOWrapper(io.BytesIO(data), encoding="utf-8-sig", newline="") as file:
        ballot_file._read_blt(file, Form.LIST)


def _lists(data: bytes) -> None:
    with io.TextIOWrapper(io.BytesIO(data), encoding="utf-8-sig", newline="") as file:
        ballot_file._read_lists(file)


TARGETS: dict[str, Target] = {
    "frame": Target(
        _frames, lambda data: parse_frame("ballot", data, 2), (FrameError,), lambda v: frame("ballot", *v), FRAME
    ),
    "peer": Target(_messages, _hear, (), shape=Shape(lambda d: MSGPACK.split(d[4:]), lambda v: pack(v))),
    "entry": Target(
        _entries,
        _parse_entry,
        (EntryError, CodecError, WireError),
        lambda entry: pack(list(to_wire(entry)))[4:],
        MSGPACK,
    ),
    "members": Target(lambda: kinds("Genesis"), _conf, (EntryError, MembershipError), shape=MSGPACK),
    "note": Target(_notes, _verify_note, (checkpoint.CheckpointError,), shape=LINES),
    "receipt": Target(_receipts, receipt.parse, (receipt.ReceiptError,), receipt.encode, LINES),
    "receipt-check": Target(_receipts, _check_receipt, (receipt.ReceiptError,), shape=LINES),
    "older": Target(_older, read_older, (receipt.ReceiptError,), shape=LINES),
    "consistency": Target(_proofs, read_proof, (receipt.ReceiptError,), shape=JSON),
    "genesis": Target(lambda: [dump_genesis(log().entries[0])], pinned, (receipt.ReceiptError,), dump_genesis, FRAME),
    "signature": Target(_signatures, _signature, (rsa.BadSignature,)),
    "certificate-name": Target(lambda: [b"node-1", b"node-01", b"node-999999"], _certificate, ()),
    "ballot": Target(lambda: log().bodies, ballot.parse_ballot, (ballot.BallotError,), _ballot_bytes, FRAME),
    "ballot-key": Target(lambda: [built.modulus("ballot0")], check_one_use_key, (WeakKey,)),
    "envelope": Target(_envelopes, _envelope, (EnvelopeError, InvalidEnvelope), shape=FRAME),
    "document": Target(_documents, document.decode, (document.DocumentError,), document.encode, JSON),
    "definition": Target(
        lambda: [log().document],
        definitions.decode_definition,
        (definitions.DefinitionError,),
        definitions.encode_definition,
        JSON,
    ),
    "choice": Target(
        _choices,
        _decode_choice,
        (choices.InvalidChoice,),
        cast(Callable[[Any], bytes], choices.encode_choice),
        JSON,
    ),
    "command": Target(_commands, c.decode_command, (c.CommandError,), shape=MSGPACK),
    "json-body": Target(_body_examples, _decode_bodies, (Refused,), shape=JSON),
    "roll-json": Target(
        lambda: _body_examples()[4:5], lambda data: roll.read_upload("application/json", data), (Refused,), shape=JSON
    ),
    "roll-csv": Target(lambda: CSVS, _roll_csv, (Refused,), shape=LINES),
    "access-token": Target(lambda: [_access().issue(bytes(16)).encode()], _token, (Refused,)),
    "refresh-token": Target(lambda: [b"A" * 64], _refresh, (Refused,)),
    "export": Target(
        _exports, lambda data: list(export.read_export(io.BytesIO(data))), (export.ExportError,), _written
    ),
    "ballots-blt": Target(lambda: BLTS, _blt, (BallotFileError, UnicodeDecodeError), shape=LINES),
    "ballots-csv": Target(lambda: LISTS, _lists, (BallotFileError, UnicodeDecodeError), shape=LINES),
    "event": Target(_events, _event, (EventError, UnknownKind)),
    "audit": Target(_drafts, _audit, (WireError,), shape=MSGPACK, dear=True),
    "server-json": Target(
        lambda: [b'{"last":3}', b"[1.5,null]"], lambda data: Reply(200, 0, data).json(), (NoAnswer,), shape=JSON
    ),
    "board-line": Target(lambda: [b'{"epoch":0,"name":"AAAA","ballot":"AAAA"}'], _board_line, (Untrusted,), shape=JSON),
}
