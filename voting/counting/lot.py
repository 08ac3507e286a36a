"""Drawing lots so that nobody can bend or foresee them and anybody can check them.

Every voter's program draws 32 random bytes to seal its ballot, and nobody knows them all before the keys are released
after the close. The seed of the lots is the XOR of those of the valid ballots: random as soon as one voter's program
was honest, the same for every set of trustees, and public with the count.
"""

from ...ledger.frame import frame_hash, u32

SEED_BYTES = 32
Lot = tuple[int, ...]
"""All numbers a vote can be counted for, in the order drawn: the first is preferred wherever nothing else decides."""


def draw(seed: bytes, question: int, candidates: int) -> Lot:
    """The lot of a question (counted from 0): ascending by SHA-256(F(lot, seed, u32 question, u32 candidate))."""
    return tuple(sorted(range(candidates), key=lambda number: frame_hash("lot", seed, u32(question), u32(number))))


class Seed:
    """The XOR of ballots' seeds, taken as they pass by in any order."""

    def __init__(self) -> None:
        self._value = 0

    def add(self, seed: bytes) -> None:
        self._value ^= int.from_bytes(seed, "big")

    def digest(self) -> bytes:
        return self._value.to_bytes(SEED_BYTES, "big")
