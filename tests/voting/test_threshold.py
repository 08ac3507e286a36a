"""Any k trustees open any ballot alike: the same vote, or invalid for all, whatever its maker did to the bytes.

The maker of a ballot knows every public key, so shares may be well encrypted and yet wrong, each for itself or all
together; what makes the answer one is that the whole envelope is made again from the seed and compared.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import cache, lru_cache

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from ballot.ledger import rsa
from ballot.ledger.frame import frame, parse_frame
from ballot.voting import oaep, shamir
from ballot.voting.ballot import cast_frame
from ballot.voting.choice import encode_choice
from ballot.voting.definition import (
    ElectionDefinition,
    Question,
    Registrar,
    Roll,
    Trustee,
    election_id,
    encode_definition,
    pad_length,
)
from ballot.voting.envelope import Context, ballot_id, seal
from ballot.voting.tally import KeysMissing, Opener, Vote
from tests.support.keys import ballot_key, long_key

QUESTIONS = [Question("Mayor?", "irv", ["Ada", "Bo", "Cy"], 3)]
ANSWERS: list[list[int | str]] = [[2, 0]]
SEED = bytes(range(32))
SCHEMES = [(1, 1), (1, 3), (2, 3), (3, 5), (5, 9), (9, 9)]

Fields = list[bytes]
"""Those of an envelope: the body and a share for each trustee, sealed."""
Corruption = Callable[["Scheme", Fields], Fields]


class Scheme:
    """An election with k of n trustees, and one ballot in it."""

    def __init__(self, k: int, n: int) -> None:
        self.k, self.n = k, n
        # The registrar's key is none of theirs; no signature is looked at here.
        self.keys = {number: long_key(number) for number in range(1, n + 1)}
        self.definition = ElectionDefinition(
            title="City election",
            questions=QUESTIONS,
            opens_us=1,
            closes_us=0,
            pad_len=pad_length(QUESTIONS),
            k=k,
            trustees=[Trustee(f"Trustee {number}", rsa.modulus(key).hex()) for number, key in self.keys.items()],
            registrars=[Registrar(1, "f" * 768)],
            roll=Roll(1, "0" * 64),
            origin="ballot.example/log",
            genesis="0" * 64,
        )
        self.eid = election_id(encode_definition(self.definition))
        self.bpk = rsa.modulus(ballot_key())
        self.envelope = seal(self.context, encode_choice(ANSWERS), SEED)

    @property
    def context(self) -> Context:
        moduli = tuple(rsa.modulus(key) for key in self.keys.values())
        return Context(self.eid, ballot_id(self.bpk), self.k, moduli, self.definition.pad_len)

    def body(self, env: bytes) -> bytes:
        return frame("ballot", cast_frame(self.eid, self.bpk, bytes(32), bytes(384), env), bytes(256))

    def subsets(self) -> Iterator[dict[int, RSAPrivateKey]]:
        return (dict(chosen) for chosen in itertools.combinations(self.keys.items(), self.k))

    def outcomes(self, body: bytes) -> list[Vote | None]:
        """What every k of the trustees make of a ballot."""
        found: list[Vote | None] = []
        for keys in self.subsets():
            vote = Opener(self.definition, self.eid, keys).open(body)
            found += [] if vote in found else [vote]
        return found

    def sealed_share(self, number: int, share: bytes, randomness: bytes) -> bytes:
        """A share as any maker of a ballot can encrypt it."""
        modulus = rsa.modulus(self.keys[number])
        return oaep.encrypt(modulus, share, self.context.share_label(number), randomness)

    def all_shared(self, coefficients: bytes) -> Fields:
        """Well encrypted shares of the right seed on a polynomial of one's own, of any degree."""
        count = len(coefficients) // 32
        points = shamir.share(SEED, coefficients, 255 if count >= self.n else self.n)[: self.n]
        return [self.sealed_share(number, points[number - 1], bytes(32)) for number in self.keys]


@cache
def scheme(k: int, n: int) -> Scheme:
    return Scheme(k, n)


@pytest.fixture(autouse=True, scope="module")
def each_share_decrypted_once() -> Iterator[None]:
    """Of 126 subsets each asks for the same nine; nothing else is taken away."""
    decrypt = oaep.decrypt

    @lru_cache(maxsize=64)
    def attempt(key: RSAPrivateKey, ciphertext: bytes, label: bytes) -> bytes | ValueError:
        try:
            return decrypt(key, ciphertext, label)
        except ValueError as error:
            return error

    def remembered(key: RSAPrivateKey, ciphertext: bytes, label: bytes) -> bytes:
        found = attempt(key, ciphertext, label)
        if isinstance(found, ValueError):
            raise found
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(oaep, "decrypt", remembered)
        yield


# -- what a maker of ballots may do

places, randomness = st.integers(0, 8), st.binary(min_size=32, max_size=32)


def _share_of_ones_own(place: int, share: bytes, seed: bytes) -> Corruption:
    def corrupt(scheme: Scheme, fields: Fields) -> Fields:
        number = place % scheme.n + 1
        fields[number] = scheme.sealed_share(number, share, seed)
        return fields

    return corrupt


def _right_share_sealed_anew(place: int, seed: bytes) -> Corruption:
    def corrupt(scheme: Scheme, fields: Fields) -> Fields:
        number = place % scheme.n + 1
        good = parse_frame("envelope", scheme.envelope, 1 + scheme.n)[number]
        share = oaep.decrypt(scheme.keys[number], good, scheme.context.share_label(number))
        fields[number] = scheme.sealed_share(number, share, seed)
        return fields

    return corrupt


def _exchanged(first: int, second: int) -> Corruption:
    def corrupt(scheme: Scheme, fields: Fields) -> Fields:
        one, other = first % scheme.n + 1, second % scheme.n + 1
        fields[one], fields[other] = fields[other], fields[one]
        return fields

    return corrupt


def _bytes_flipped(flips: list[tuple[int, int]]) -> Corruption:
    def corrupt(scheme: Scheme, fields: Fields) -> Fields:
        whole = bytearray(b"".join(fields))
        for place, change in flips:
            whole[place % len(whole)] ^= change
        lengths = itertools.accumulate(map(len, fields), initial=0)
        return [bytes(whole[start:end]) for start, end in itertools.pairwise(lengths)]

    return corrupt


def _another_polynomial(coefficients: list[bytes]) -> Corruption:
    """Of higher degree than k - 1, if there are so many: then every k trustees find another secret."""

    def corrupt(scheme: Scheme, fields: Fields) -> Fields:
        return [fields[0], *scheme.all_shared(b"".join(coefficients))]

    return corrupt


def _fields_lost_or_added(keep: int, added: list[bytes]) -> Corruption:
    return lambda scheme, fields: fields[:keep] + added


corruptions = st.one_of(
    st.builds(_share_of_ones_own, places, st.binary(max_size=40), randomness),
    st.builds(_right_share_sealed_anew, places, randomness),
    st.builds(_exchanged, places, places),
    st.builds(_bytes_flipped, st.lists(st.tuples(st.integers(0, 10_000), st.integers(1, 255)), min_size=1, max_size=4)),
    st.builds(_another_polynomial, st.lists(randomness, max_size=10)),
    st.builds(_fields_lost_or_added, st.integers(0, 10), st.lists(st.binary(max_size=400), max_size=2)),
)


@pytest.mark.parametrize(("k", "n"), SCHEMES)
def test_a_good_ballot_opens_to_the_same_vote_for_every_k_trustees(k: int, n: int) -> None:
    made = scheme(k, n)
    assert made.outcomes(made.body(made.envelope)) == [Vote(SEED, ANSWERS, 1)]


@pytest.mark.parametrize(("k", "n"), SCHEMES)
@settings(max_examples=60, deadline=None)
@given(st.lists(corruptions, min_size=1, max_size=3))
def test_an_envelope_corrupted_at_will_is_one_thing_to_every_k_trustees(
    k: int, n: int, changes: list[Corruption]
) -> None:
    made = scheme(k, n)
    fields = parse_frame("envelope", made.envelope, 1 + n)
    for change in changes:
        if len(fields) == 1 + n:
            fields = change(made, fields)
    env = frame("envelope", *fields)
    expected = Vote(SEED, ANSWERS, 1) if env == made.envelope else None
    assert made.outcomes(made.body(env)) == [expected]


@pytest.mark.parametrize(("k", "n"), SCHEMES)
@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 255), st.integers(0, 3), st.binary(max_size=3))
def test_a_ballot_corrupted_anywhere_is_one_thing_to_every_k_trustees(
    k: int, n: int, place: int, change: int, cut: int, more: bytes
) -> None:
    made = scheme(k, n)
    body = bytearray(made.body(made.envelope))
    body[place % len(body)] ^= change
    corrupted = bytes(body[: len(body) - cut]) + more
    assert len(made.outcomes(corrupted)) == 1


@pytest.mark.parametrize(("k", "n"), [(2, 3), (5, 9)])
def test_fewer_than_k_trustees_open_nothing(k: int, n: int) -> None:
    made = scheme(k, n)
    few = dict(itertools.islice(made.keys.items(), k - 1))
    with pytest.raises(KeysMissing):
        Opener(made.definition, made.eid, few).open(made.body(made.envelope))
