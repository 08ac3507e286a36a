"""Entries, tree, checkpoints, receipts, whole exports."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ballot.ledger import receipt as receipts
from ballot.ledger.checkpoint import Checkpoint, CheckpointError, verify_note
from ballot.ledger.entry import ZERO_HASH, Entry, EntryError, encode_map, parse, seal
from ballot.ledger.frame import frame, parse_frame
from ballot.ledger.membership import membership_of
from ballot.ledger.merkle import Tree, leaf_hash
from ballot.ledger.proof import ProofError, verify_consistency, verify_inclusion
from ballot.ledger.receipt import ReceiptError
from ballot.replay.audit import audit
from ballot.replay.export import Record, read_export
from ballot.replay.receipt import check_receipt
from tests.support.attacks import as_bytes
from tests.support.attacks.file import by_minority, lines_of, other_origin, padded_majority, renamed, without_leader
from tests.support.attacks.members import changed, recovered, with_node
from tests.support.log_builder import ORIGIN, VOTERS, ElectionLog, Voter, records_of, sign_note

SALT = bytes(range(32))


# -- entries


def entries() -> dict[str, Any]:
    """The first is public alone, the second has a private part."""
    first = _sealed(ZERO_HASH, 1, "UserRegistered", {"user": bytes(16)})
    second = _sealed(first.hash, 2, "BallotCast", {"election": bytes(16), "eid": bytes(32)}, b"a ballot")
    cases = [_entry("public alone", first), _entry("with a private part", second)]
    cases += [_spoilt(name, header, second.public) for name, header in _bad_headers(second)]
    cases.append(_spoilt("another payload", second.header, first.public))
    return {
        "about": "`header` is F(entry, ...) and commits to `public`; `hash` is its SHA-256, `leaf` its leaf hash",
        "cases": cases,
    }


def _sealed(prev_hash: bytes, index: int, kind: str, public: dict[str, Any], private: bytes | None = None) -> Entry:
    salt = b"" if private is None else SALT
    time_us = 1_700_000_000_000_000 + index
    payload = encode_map(public)
    return seal(
        prev_hash=prev_hash,
        index=index,
        term=3,
        time_us=time_us,
        kind=kind,
        public=payload,
        private=private,
        salt=salt,
    )


def _entry(name: str, entry: Entry) -> dict[str, Any]:
    numbers = {"index": entry.index, "term": entry.term, "time_us": entry.time_us, "kind": entry.kind}
    fields = {"prev_hash": entry.prev_hash, "private_digest": entry.private_digest, "hash": entry.hash}
    parts = {"header": entry.header, "public": entry.public, "leaf": leaf_hash(entry.header)}
    private = {} if entry.private is None else {"private": entry.private, "salt": entry.salt}
    hexes = {what: value.hex() for what, value in (fields | parts | private).items()}
    return {"name": name, **numbers, **hexes, "valid": True}


def _bad_headers(entry: Entry) -> Iterator[tuple[str, bytes]]:
    fields = parse_frame("entry", entry.header, 7)
    yield "a byte too many", entry.header + b"\0"
    yield "an index of four bytes", frame("entry", fields[0][4:], *fields[1:])
    yield "a kind that is not UTF-8", frame("entry", *fields[:3], b"\xff", *fields[4:])
    yield "a private digest of 31 bytes", frame("entry", *fields[:5], bytes(31), fields[6])
    yield "a link of 31 bytes", frame("entry", *fields[:6], bytes(31))


def _spoilt(name: str, header: bytes, public: bytes) -> dict[str, Any]:
    try:
        parse(header, public)
    except EntryError:
        return {"name": name, "header": header.hex(), "public": public.hex(), "valid": False}
    raise AssertionError(name)


# -- tree


def tree() -> dict[str, Any]:
    leaves = [b"leaf %d" % number for number in range(300)]
    grown = Tree()
    for leaf in leaves:
        grown.append(leaf_hash(leaf))
    sizes = [0, 1, 2, 3, 4, 7, 8, 255, 256, 257, 300]
    cases: list[dict[str, Any]] = [
        {"name": "root", "size": size, "root": grown.root(size).hex(), "valid": True} for size in sizes
    ]
    for index, size in ((0, 1), (0, 2), (1, 2), (2, 3), (5, 7), (6, 7), (254, 300), (299, 300)):
        cases += _inclusions(grown, leaves[index], index, size)
    for old, new in ((0, 5), (1, 1), (1, 2), (2, 3), (3, 7), (4, 8), (6, 8), (255, 257), (256, 300), (300, 300)):
        cases += _consistencies(grown, old, new)
    about = "a tree over the leaf data `leaf 0`, `leaf 1`, ... of 300 leaves: roots, inclusion and consistency proofs"
    return {"about": about, "cases": cases}


def _inclusions(grown: Tree, leaf: bytes, index: int, size: int) -> Iterator[dict[str, Any]]:
    proof, root = list(grown.inclusion_proof(index, size)), grown.root(size)
    for nodes in (proof, [*proof, bytes(32)], proof[:-1], [bytes(32), *proof[1:]]):
        try:
            verify_inclusion(leaf_hash(leaf), index, size, nodes, root)
            valid = True
        except ProofError:
            valid = False
        place = {"leaf": leaf.hex(), "index": index, "size": size, "root": root.hex()}
        yield {"name": "inclusion", **place, "proof": [node.hex() for node in nodes], "valid": valid}


def _consistencies(grown: Tree, old: int, new: int) -> Iterator[dict[str, Any]]:
    proof, roots = list(grown.consistency_proof(old, new)), (grown.root(old), grown.root(new))
    for nodes in (proof, [*proof, bytes(32)], proof[:-1], [bytes(32), *proof[1:]]):
        try:
            verify_consistency(old, new, *roots, nodes)
            valid = True
        except ProofError:
            valid = False
        sizes = {"old": old, "size": new, "old_root": roots[0].hex(), "root": roots[1].hex()}
        yield {"name": "consistency", **sizes, "proof": [node.hex() for node in nodes], "valid": valid}


# -- checkpoints


def checkpoints() -> dict[str, Any]:
    log = ElectionLog()
    members = membership_of(log.drafts[0].public)
    good = sign_note(log.sealer.tree, 16)
    cases = []
    for name, note in _notes(log, good):
        try:
            verify_note(note, ORIGIN, members.members)
            valid = True
        except CheckpointError:
            valid = False
        cases.append({"name": name, "note": note.decode("latin-1"), "valid": valid})
    shown = [{"name": one.name, "ed25519": one.ed25519.hex(), "rsa": one.rsa.hex()} for one in members.members]
    about = "whether a majority of `members` signed `note` (its bytes as Latin-1) for the log `origin`"
    return {"about": about, "origin": ORIGIN, "members": shown, "cases": cases}


def _notes(log: ElectionLog, good: bytes) -> Iterator[tuple[str, bytes]]:
    point = Checkpoint(ORIGIN, 16, log.sealer.tree.root(16))
    first, second, third = lines_of(good)
    yield "good", good
    yield "all three cosigned", sign_note(log.sealer.tree, 16, (0, 1, 2))
    yield "a witness's line beside them", good + "— witness.example AAAAAAECAwQ=\n".encode()
    yield "lines in another order", _note(point, third, first, second)
    yield "one cosigned", by_minority(log, good, 16)
    yield "one cosigned twice", padded_majority(log, good, 16)
    yield "under another's name", renamed(log, good, 16)
    yield "no leader's signature", without_leader(log, good, 16)
    yield "of another log", other_origin(log, good, 16)
    yield "another size", good.replace(b"\n16\n", b"\n17\n")
    yield "a leading zero", good.replace(b"\n16\n", b"\n016\n")
    yield "an extension line", good.replace(b"\n\n", b"\nextension\n\n")
    yield "no final newline", good[:-1]
    yield "a blank line at the end", good + b"\n"
    yield "a carriage return", good.replace(b"\n16\n", b"\n16\r\n")
    yield "base64 with spare bits", good.replace(b"=\n\n", b"=\n\n").replace(_root_line(good), _spare(_root_line(good)))
    yield "two spaces", good.replace(b" ballot", b"  ballot", 1)
    yield "a hyphen for the dash", good.replace("—".encode(), b"-", 1)
    yield "a short signature", _note(point, f"{first.rpartition(' ')[0]} AAAAAA==", second, third)
    yield "not UTF-8", b"\xff" + good
    yield "nothing", b""


def _note(point: Checkpoint, *lines: str) -> bytes:
    return point.body() + b"\n" + "".join(f"{line}\n" for line in lines).encode()


def _root_line(note: bytes) -> bytes:
    return note.split(b"\n")[2]


def _spare(line: bytes) -> bytes:
    """The same 32 bytes in base64 with a bit set that counts for nothing."""
    letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    last = letters.index(line[-2:-1])
    return line[:-2] + letters[last + 1 : last + 2] + b"="


# -- receipts


def receipts_() -> dict[str, Any]:
    log = ElectionLog()
    place = log.find("BallotCast")
    genesis = parse(log.entries[0].header, log.entries[0].public)
    good = receipts.parse(log.receipt(place, place + 3))
    cases = []
    for name, receipt, body in _receipts(log, good, place):
        text = receipt if isinstance(receipt, bytes) else receipts.encode(receipt)
        try:
            check_receipt(text, genesis, body)
            valid = True
        except ReceiptError:
            valid = False
        cases.append({"name": name, "receipt": text.decode(), "body": body.hex(), "valid": valid})
    file = frame("genesis-file", genesis.header, genesis.public)
    about = "whether `receipt` proves that the ballot `body` is recorded in the log of `genesis`, F(genesis-file, ...)"
    return {"about": about, "genesis": file.hex(), "cases": cases}


def _receipts(
    log: ElectionLog, good: receipts.Receipt, place: int
) -> Iterator[tuple[str, receipts.Receipt | bytes, bytes]]:
    body = log.bodies[0]
    yield "good", good, body
    yield "another ballot", good, log.bodies[1]
    yield "another salt", replace(good, salt=bytes(32)), body
    yield "no salt", replace(good, salt=b""), body
    yield "another index", replace(good, index=good.index + 1), body
    yield "another header", replace(good, header=log.entries[place + 1].header), body
    yield "a node less", replace(good, proof=good.proof[:-1]), body
    yield "a node more", replace(good, proof=(*good.proof, bytes(32))), body
    yield "signed by a minority", replace(good, note=sign_note(log.sealer.tree, place + 3, (0,))), body
    yield "under another checkpoint", replace(good, note=sign_note(log.sealer.tree, place + 4)), body
    text = receipts.encode(good)
    yield "another format", text.replace(b"@v1", b"@v2"), body
    yield "lines in another order", _reordered(text), body
    yield "an index with a zero in front", text.replace(b"\nindex ", b"\nindex 0"), body
    yield "of another entry", log.receipt(log.find("ElectionClosed")), body


def _reordered(text: bytes) -> bytes:
    magic, extra, index, *rest = text.split(b"\n")
    return b"\n".join([magic, index, extra, *rest])


# -- exports


def weights() -> list[Voter]:
    return [Voter(voter.number, weight) for voter, weight in zip(VOTERS, (1, 5, 5, 1, 1), strict=True)]


def made() -> dict[str, list[Record]]:
    log = ElectionLog()
    return {
        "election.ballots": log.records(),
        "trustees.ballots": ElectionLog(trustees=3).records(),
        "weights.ballots": ElectionLog(weights()).records(),
        "members.ballots": records_of(changed(log, with_node(log, 4)).entries),
        "recovered.ballots": recovered(log),
    }


def exports() -> dict[str, bytes]:
    return {name: as_bytes(records) for name, records in made().items()}


def verdicts() -> dict[str, Any]:
    """What an audit says of each: the numbers, not the words."""
    cases = []
    for name, data in exports().items():
        report = audit(read_export(io.BytesIO(data)), workers=1).to_json()
        said = {what: report[what] for what in ("entries", "checkpoints", "genesis", "root")}
        recoveries = [{"index": one["index"], "hash": one["hash"]} for one in report["recoveries"]]
        elections = [{"eid": one["eid"], "accounting": one["accounting"]} for one in report["elections"]]
        cases.append(
            {"file": name, **said, "recoveries": recoveries, "elections": elections, "valid": report["passed"]}
        )
    return {"about": "whole exports, each a file of its own, and what an audit finds in them", "cases": cases}
