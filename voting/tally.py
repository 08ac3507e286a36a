"""The tally: the ballots of a board opened, and the one document that states the count.

The leader, every node that recounts and every auditor make the document with the same function, so that it can be
compared byte for byte:

    {
      "version": 1,
      "election": "<eid in hex>",
      "ballots": {"published": n, "valid": n, "invalid": n},
      "weights": {"1": n},      valid ballots by the weight of their registrar key
      "lot": "<32 bytes in hex>",   the seed of all lots, see `counting.lot`
      "questions": [...]        one result a question, see `counting.method`
    }

`ballots` and `weights` count ballots; the votes inside `questions` are in the unit of the weights.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from . import document
from .ballot import Ballot, BallotError, parse_ballot, verify_credential
from .choice import InvalidChoice, decode_choice
from .counting import Tally
from .counting.lot import Seed
from .definition import ElectionDefinition
from .envelope import Context, InvalidEnvelope, Opened, open_with_keys, open_with_seed

TALLY_VERSION = 1


class BadSeed(Exception):
    """A published seed does not open its ballot. That says nothing about the ballot: reopen it with the keys."""


class KeysMissing(Exception):
    """There is neither a seed for the ballot nor the keys of k trustees."""


@dataclass(frozen=True, slots=True)
class Vote:
    """A valid ballot. `seed` proves its opening to anybody; `weight` is that of the key that signed its credential."""

    seed: bytes
    answers: list[list[int | str]]
    weight: int


class Opener:
    """Opens the ballots of one election. `keys` are trustees' private keys by their numbers from 1; they may be
    fewer than k where seeds are at hand. Raises ValueError (by `open`) for a key that is not its trustee's.
    """

    def __init__(
        self, definition: ElectionDefinition, eid: bytes, keys: Mapping[int, RSAPrivateKey] | None = None
    ) -> None:
        self._definition, self._eid, self._keys = definition, eid, keys or {}
        self._trustees = tuple(bytes.fromhex(trustee.n) for trustee in definition.trustees)
        self._registrars = [(registrar.weight, bytes.fromhex(registrar.n)) for registrar in definition.registrars]

    def context(self, bid: bytes) -> Context:
        """What the envelope under this ballot key is bound to."""
        return Context(self._eid, bid, self._definition.k, self._trustees, self._definition.pad_len)

    def open(self, body: bytes, seed: bytes = b"") -> Vote | None:
        """The vote of a ballot on the board, or None when it is invalid: then it is counted as such, and only that.

        With a `seed` by public operations alone, otherwise with the keys. The ballot's signatures are not looked
        at; they were checked when it was cast. Raises BadSeed, KeysMissing.
        """
        try:
            ballot = parse_ballot(body)
        except BallotError:
            return None
        if ballot.eid != self._eid:
            return None
        opened = self._by_seed(ballot, seed) if seed else self._by_keys(ballot)
        return None if opened is None else self._vote(ballot, opened)

    def _by_seed(self, ballot: Ballot, seed: bytes) -> Opened:
        try:
            return Opened(seed, open_with_seed(self.context(ballot.bid), ballot.envelope, seed))
        except InvalidEnvelope as error:
            raise BadSeed("the seed does not open the ballot") from error

    def _by_keys(self, ballot: Ballot) -> Opened | None:
        if len(self._keys) < self._definition.k:
            raise KeysMissing(f"{len(self._keys)} keys where {self._definition.k} are needed")
        try:
            return open_with_keys(self.context(ballot.bid), ballot.envelope, self._keys)
        except InvalidEnvelope:
            return None

    def _vote(self, ballot: Ballot, opened: Opened) -> Vote | None:
        try:
            answers = decode_choice(self._definition.questions, opened.choice)
        except InvalidChoice:
            return None
        weight = self._weight(ballot)
        return None if weight is None else Vote(opened.seed, answers, weight)

    def _weight(self, ballot: Ballot) -> int | None:
        return weight_of(self._registrars, ballot.eid, ballot.bpk, ballot.prefix, ballot.credential)


def weight_of(
    registrars: Sequence[tuple[int, bytes]], eid: bytes, bpk: bytes, prefix: bytes, credential: bytes
) -> int | None:
    """The weight of a credential: that of the one of the `registrars` (weight, modulus) who signed it. Of a single one
    the signature is not looked at.
    """
    if len(registrars) == 1:
        return registrars[0][0]
    for weight, registrar in registrars:
        try:
            verify_credential(registrar, eid, bpk, prefix, credential)
        except BallotError:
            continue
        return weight
    return None


def open_board(
    definition: ElectionDefinition,
    eid: bytes,
    bodies: Iterable[bytes],
    keys: Mapping[int, RSAPrivateKey],
    seeds: Sequence[bytes] = (),
) -> list[Vote | None]:
    """Every ballot of the board in its order, None for an invalid one.

    `seeds`, where given, has one a ballot, empty for one that must be opened with the keys. Raises BadSeed,
    KeysMissing, and ValueError when there are more or fewer seeds than ballots.
    """
    opener = Opener(definition, eid, keys)
    if not seeds:
        return [opener.open(body) for body in bodies]
    return [opener.open(body, seed) for body, seed in zip(bodies, seeds, strict=True)]


def seeds_of(votes: Iterable[Vote | None]) -> list[bytes]:
    """What `TallySeeds` publishes: a seed a ballot, empty for an invalid one."""
    return [vote.seed if vote else b"" for vote in votes]


def count_document(definition: ElectionDefinition, eid: bytes, votes: Iterable[Vote | None]) -> bytes:
    """The count, from all ballots of the board in any order, None for an invalid one. `votes` is read once."""
    count = Count(definition, eid)
    for vote in votes:
        count.add(vote)
    return count.document()


class Count:
    """A count under way."""

    def __init__(self, definition: ElectionDefinition, eid: bytes) -> None:
        self._eid, self._tally, self._lot = eid, Tally(definition.questions), Seed()
        self._weights = Counter({registrar.weight: 0 for registrar in definition.registrars})
        self._invalid = 0

    def add(self, vote: Vote | None) -> None:
        """The next ballot of the board, None for an invalid one. Their order makes no difference."""
        if vote is None:
            self._invalid += 1
            return
        self._tally.add(vote.answers, vote.weight)
        self._lot.add(vote.seed)
        self._weights[vote.weight] += 1

    def document(self) -> bytes:
        """The count document of the ballots so far."""
        valid, invalid = self._weights.total(), self._invalid
        return document.encode(
            {
                "version": TALLY_VERSION,
                "election": self._eid.hex(),
                "ballots": {"published": valid + invalid, "valid": valid, "invalid": invalid},
                "weights": {str(weight): count for weight, count in self._weights.items()},
                "lot": self._lot.digest().hex(),
                "questions": self._tally.results(self._lot.digest()),
            }
        )
