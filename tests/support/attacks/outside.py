"""Attacks that one export cannot show: on voters' programs, receipts and tokens. Another check stops each."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace

import gmpy2
import jwt
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from ballot.client.trust import Fork, Trust, Untrusted
from ballot.http.problems import Refused
from ballot.http.tokens import ALGORITHM, AccessTokens, TokenKey
from ballot.ledger import receipt as receipts
from ballot.ledger.checkpoint import Checkpoint, read_note
from ballot.ledger.entry import Entry, parse
from ballot.ledger.merkle import Tree, leaf_hash
from ballot.ledger.receipt import ReceiptError
from ballot.replay.export import Record
from ballot.replay.receipt import check_in_export, check_receipt
from ballot.voting.blind import BlindSigner
from tests.support.attacks.file import entries_in
from tests.support.attacks.members import changed, recovered, with_node
from tests.support.log_builder import (
    Draft,
    ElectionLog,
    Sealer,
    key,
    modulus,
    records_of,
    seal_drafts,
    sign_note,
)


@dataclass(frozen=True)
class Outside:
    """`run(log)` raises `error`, whose text has `says` in it. `where` names the check for the reader."""

    where: str
    error: type[Exception]
    says: str
    run: Callable[[ElectionLog], object]


# -- two logs


def other_log(log: ElectionLog) -> Sealer:
    """The same up to the first cast; then a majority went another way, and signed it."""
    sealer = Sealer()
    for draft in log.drafts[: log.find("BallotCast") + 1]:
        sealer.append(draft)
    for number in range(12):
        sealer.append(Draft("UserRegistered", {"user": bytes([number]) * 16}))
    return sealer


def receipt_from(sealer: Sealer, place: int, size: int) -> bytes:
    entry, tree = sealer.entries[place], sealer.tree
    proof = tuple(tree.inclusion_proof(place, size))
    return receipts.encode(receipts.Receipt(place, entry.header, entry.salt, proof, sign_note(tree, size)))


def genesis_of(log: ElectionLog) -> Entry:
    return parse(log.entries[0].header, log.entries[0].public)


def forked_receipt(log: ElectionLog) -> object:
    """A good receipt of an entry that both logs have, under a checkpoint of the other."""
    place = log.find("BallotCast")
    return check_in_export(receipt_from(other_log(log), place, place + 3), log.records())


def clashing_receipts(log: ElectionLog) -> object:
    """Two receipts of one index, both good by themselves, for two entries."""
    place = log.find("BallotCast") + 1
    mine, yours = log.receipt(place, place + 2), receipt_from(other_log(log), place, place + 2)
    genesis = genesis_of(log)
    assert check_receipt(mine, genesis).index == check_receipt(yours, genesis).index
    assert check_in_export(mine, log.records()).published
    return check_in_export(yours, log.records())


def rolled_back(log: ElectionLog) -> object:
    """The log that is published ends before the receipt's checkpoint."""
    place = log.find("BallotCast", 2)
    return check_in_export(log.receipt(place), seal_drafts(log.drafts[: place - 1]))


def lost_entry(log: ElectionLog) -> object:
    """The cast is gone from the log that is published; everything else is in order."""
    place = log.find("BallotCast")
    return check_in_export(log.receipt(place, place + 1), seal_drafts([*log.drafts[:place], *log.drafts[place + 1 :]]))


def trusting(log: ElectionLog, size: int) -> Trust:
    """A voter's program that has seen the first `size` entries."""
    trust = Trust.in_genesis(log.entries[0].header, log.entries[0].public)
    checkpoint = trust.verify(sign_note(log.sealer.tree, size))
    trust.follow(checkpoint, log.sealer.tree.consistency_proof(1, size))
    return trust


def fork_shown(log: ElectionLog, seen: int, size: int) -> None:
    """A voter's program saw `seen` entries of one log, and is shown `size` entries of another."""
    trust, tree = trusting(log, seen), other_log(log).tree
    checkpoint = trust.verify(sign_note(tree, size))
    older, newer = trust.span(checkpoint)
    trust.follow(checkpoint, tree.consistency_proof(older, newer) if newer <= tree.size else [])


def proof_forged(log: ElectionLog) -> None:
    trust = trusting(log, 8)
    checkpoint = trust.verify(sign_note(log.sealer.tree, 20))
    trust.follow(checkpoint, [bytes(32)] * len(log.sealer.tree.consistency_proof(8, 20)))


def private_definition(log: ElectionLog) -> object:
    """A voter is shown a definition with a registrar key of their own, to be known again by it."""
    place = log.find("ElectionOpened")
    size = len(log.entries)
    checkpoint = Checkpoint(read_note(sign_note(log.sealer.tree, size)).origin, size, log.sealer.tree.root(size))
    shown = Sealer()
    for draft in log.drafts[:place]:
        shown.append(draft)
    other = shown.append(log.drafts[place].but(definition=log.document.replace(b"City", b"Town")))
    proof = log.sealer.tree.inclusion_proof(place, size)
    return trusting(log, 8).entry(other.header, other.public, place + 1, checkpoint, proof)


# -- receipts by themselves


def receipt_with(**changes: object) -> Callable[[ElectionLog], object]:
    """A voter's receipt, changed, and checked for the voter's ballot against the genesis."""

    def run(log: ElectionLog) -> object:
        place = log.find("BallotCast")
        receipt = replace(receipts.parse(log.receipt(place, place + 1)), **changes)  # type: ignore[arg-type]
        return check_receipt(receipts.encode(receipt), genesis_of(log), log.bodies[0])

    return run


def other_ballot(log: ElectionLog) -> object:
    place = log.find("BallotCast")
    return check_receipt(log.receipt(place, place + 1), genesis_of(log), log.bodies[1])


def by_minority(log: ElectionLog) -> object:
    place = log.find("BallotCast")
    return receipt_with(note=sign_note(log.sealer.tree, place + 1, (0,)))(log)


def by_nobodys_members(log: ElectionLog) -> object:
    """Members that the old ones never signed for give a receipt."""
    sealer = changed(log, with_node(log, 4), cosigners=(0,))
    place = next(place for place, entry in enumerate(sealer.entries) if entry.kind == "BallotCast")
    return check_in_export(receipt_from(sealer, place, place + 1), records_of(sealer.entries))


def by_one_survivor(log: ElectionLog) -> object:
    """One node calls itself the survivor, goes on alone, and gives receipts."""
    records: list[Record] = recovered(log)
    sealer = Sealer(tree=tree_of(records))
    header = records[entries_in(records)[20]].header  # type: ignore[union-attr]
    proof = tuple(sealer.tree.inclusion_proof(20, 24))
    text = receipts.encode(receipts.Receipt(20, header, b"", proof, sign_note(sealer.tree, 24)))
    return check_in_export(text, records)


def tree_of(records: list[Record]) -> Tree:
    tree = Tree()
    for place in entries_in(records):
        tree.append(leaf_hash(records[place].header))  # type: ignore[union-attr]
    return tree


# -- tokens


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def tokens() -> AccessTokens:
    return AccessTokens([TokenKey(key("token"))], issuer="ballot", audience="ballot", lifetime_s=60)


def claims() -> dict[str, object]:
    value: dict[str, object] = jwt.decode(tokens().issue(bytes(16)), options={"verify_signature": False})
    return value


def signed_blindly(log: ElectionLog) -> object:
    """The registrar signs whatever it is handed blindly: here what makes a token of it (RSASSA-PKCS1-v1_5)."""
    header = {"alg": ALGORITHM, "typ": "JWT", "kid": tokens().jwks[0]["kid"]}
    message = ".".join(b64(json.dumps(part).encode()) for part in (header, claims()))
    info = bytes.fromhex("3031300d060960864801650304020105000420") + hashlib.sha256(message.encode()).digest()
    encoded = b"\0\1" + b"\xff" * (384 - len(info) - 3) + b"\0" + info
    n = int.from_bytes(modulus("registrar"), "big")
    blinded = int.from_bytes(encoded, "big") * pow(7, 65537, n) % n
    answer = int.from_bytes(BlindSigner(key("registrar")).sign(blinded.to_bytes(384, "big")), "big")
    signature = (answer * int(gmpy2.invert(7, n)) % n).to_bytes(384, "big")
    key("registrar").public_key().verify(signature, message.encode(), padding.PKCS1v15(), hashes.SHA256())
    return tokens().user(f"{message}.{b64(signature)}")


def signed_with(name: str) -> Callable[[ElectionLog], object]:
    """A token under another key of the cluster, in the name of the token key."""

    def run(log: ElectionLog) -> object:
        headers = {"kid": tokens().jwks[0]["kid"]}
        return tokens().user(jwt.encode(claims(), key(name), algorithm=ALGORITHM, headers=headers))

    return run


EXPORTED = "receipt against the export"
ALONE = "receipt by itself"
PROGRAM = "voter's program"
API = "API"
OUTSIDE: dict[str, Outside] = {
    "a receipt is of a fork": Outside(EXPORTED, ReceiptError, "two logs exist", forked_receipt),
    "two receipts clash": Outside(EXPORTED, ReceiptError, "is another one than the receipt's", clashing_receipts),
    "the log is rolled back behind a receipt": Outside(EXPORTED, ReceiptError, "ends at entry", rolled_back),
    "a recorded cast is left out of the log": Outside(EXPORTED, ReceiptError, "another one", lost_entry),
    "members whom nobody put in force give a receipt": Outside(
        EXPORTED, ReceiptError, "did not sign for it", by_nobodys_members
    ),
    "a lone node calls itself recovered": Outside(
        EXPORTED, ReceiptError, "Accept that entry by its hash", by_one_survivor
    ),
    "a receipt is for another ballot": Outside(ALONE, ReceiptError, "not this one", other_ballot),
    "a receipt's salt is another": Outside(ALONE, ReceiptError, "not this one", receipt_with(salt=bytes(32))),
    "a receipt's index is another": Outside(ALONE, ReceiptError, "the proof", receipt_with(index=1)),
    "a receipt's proof lacks a node": Outside(ALONE, ReceiptError, "proof", receipt_with(proof=())),
    "a minority gives a receipt": Outside(ALONE, ReceiptError, "no majority", by_minority),
    "a fork is shown to a voter": Outside(PROGRAM, Fork, "leads to other roots", lambda log: fork_shown(log, 22, 30)),
    "a checkpoint is rolled back onto a fork": Outside(
        PROGRAM, Fork, "checkpoints of 24 and 30", lambda log: fork_shown(log, 30, 24)
    ),
    "two roots are shown for one size": Outside(
        PROGRAM, Fork, "two roots for one size", lambda log: fork_shown(log, 24, 24)
    ),
    "a consistency proof is forged": Outside(PROGRAM, Fork, "leads to other roots", proof_forged),
    "a voter is shown a definition of their own": Outside(PROGRAM, Untrusted, "another root", private_definition),
    "the registrar's key signs a token, blindly": Outside(API, Refused, "not valid", signed_blindly),
    "a node's key signs a token": Outside(API, Refused, "not valid", signed_with("node1")),
    "the trustee's key signs a token": Outside(API, Refused, "not valid", signed_with("trustee")),
}
