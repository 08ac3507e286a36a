"""The language for receipts: a true one is made, something in it is changed, and somebody verifies it.

The log's leaves are `header 0`, `header 1` and so on; nodes 1, 2 and 3 sign. Every receipt is verified as it is and
again after the way through its text.
"""

from __future__ import annotations

from dataclasses import replace

from ballot.ledger.checkpoint import Checkpoint, assemble, cosign, rsa_line
from ballot.ledger.membership import Membership
from ballot.ledger.merkle import Tree, leaf_hash
from ballot.ledger.receipt import Receipt, ReceiptError, encode, parse, verify
from tests.support.chain import ORIGIN, SALT
from tests.support.keys import long_key, node_key, real_members
from tests.support.script import Script


class Receipts(Script):
    REFUSALS = (ReceiptError,)

    def __init__(self) -> None:
        super().__init__()
        self._members: Membership = real_members(3)
        self._tree = Tree()
        self._receipt: Receipt

    def log(self, size: str) -> None:
        """log SIZE: a log of so many leaves."""
        while self._tree.size < int(size):
            self._tree.append(leaf_hash(f"header {self._tree.size}".encode()))

    def receipt(self, index: str, *of_size: str) -> None:
        """receipt INDEX [of SIZE]: a true receipt of that leaf, under a checkpoint of all leaves or of SIZE."""
        place, size = int(index), int(of_size[1]) if of_size else self._tree.size
        proof = tuple(self._tree.inclusion_proof(place, size))
        self._receipt = Receipt(place, f"header {place}".encode(), SALT, proof, b"")
        self.note(f"size={size}", f"root={size}")

    # -- what is changed in it

    def index(self, index: str) -> None:
        self._receipt = replace(self._receipt, index=int(index))

    def header(self, *text: str) -> None:
        self._receipt = replace(self._receipt, header=" ".join(text).encode())

    def proof(self, *nodes: str) -> None:
        """proof NODE...: the nodes of its proof anew: by number, `root`, `other` (a hash of nothing) or `short`."""
        named = {str(place): node for place, node in enumerate(self._receipt.proof)}
        named |= {"root": self._tree.root(), "other": leaf_hash(b""), "short": bytes(31)}
        self._receipt = replace(self._receipt, proof=tuple(named[node] for node in nodes))

    def note(self, *words: str) -> None:
        """note [size=N] [root=N] [origin=NAME] [by=1+2] [leader=1]: another checkpoint, signed as it says.

        `root` is that of so many leaves; by=none and leader=none leave signatures out.
        """
        given = {"size": "0", "root": "0", "origin": ORIGIN, "by": "1+2", "leader": "1"}
        given |= dict(word.split("=") for word in words)
        checkpoint = Checkpoint(given["origin"], int(given["size"]), self._tree.root(int(given["root"])))
        signers = [] if given["by"] == "none" else given["by"].split("+")
        lines = [cosign(node_key(int(node)), f"{ORIGIN}/node{node}", checkpoint, 1) for node in signers]
        if given["leader"] != "none":
            lines.append(rsa_line(long_key(1), f"{ORIGIN}/node{given['leader']}", checkpoint))
        self._receipt = replace(self._receipt, note=assemble(checkpoint, lines))

    def body(self, *words: str) -> None:
        """body [size=N] [root=N]: the checkpoint's text is changed, its signatures stay as they are."""
        signed = self._receipt.note
        self.note(*words)
        text = self._receipt.note.partition(b"\n\n")[0]
        self._receipt = replace(self._receipt, note=text + b"\n\n" + signed.partition(b"\n\n")[2])

    def rename(self, old: str, new: str) -> None:
        """rename 1 2: the signatures of one node stand under the name of another."""
        note = self._receipt.note.replace(f"/node{old} ".encode(), f"/node{new} ".encode())
        self._receipt = replace(self._receipt, note=note)

    # -- who believes it

    def verify(self, origin: str = ORIGIN) -> None:
        """verify [ORIGIN]: by somebody who knows the log's name and its members, and nothing else."""
        answers = {self._judge(receipt, origin) for receipt in (self._receipt, self._through_text())}
        self.lines += sorted(answers)

    def _through_text(self) -> Receipt | ReceiptError:
        try:
            return parse(encode(self._receipt))
        except ReceiptError as error:
            return error

    def _judge(self, receipt: Receipt | ReceiptError, origin: str) -> str:
        if isinstance(receipt, ReceiptError):
            return f"refused as text: {receipt}"
        try:
            checkpoint = verify(receipt, origin, self._members.members)
        except ReceiptError as error:
            return f"refused: {error}"
        return f"believed: {receipt.header.decode()} is leaf {receipt.index} of {checkpoint.size}"
