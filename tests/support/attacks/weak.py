"""Attacks with weak keys of voters that sign as well as any other: whoever knows the factors has the voter's vote."""

from __future__ import annotations

from functools import cache
from random import Random

import gmpy2

from ballot.ledger.frame import frame
from ballot.ledger.rsa import PUBLIC_EXPONENT
from ballot.replay.export import Record
from ballot.voting.ballot import cast_frame, credential_message
from ballot.voting.blind import BlindSigner, blind, finalize
from ballot.voting.choice import encode_choice
from ballot.voting.envelope import Context, ballot_id
from ballot.voting.envelope import seal as seal_envelope
from bench.audit.keys import QuickKey
from tests.support.attacks.base import Attack, insert, with_board
from tests.support.log_builder import ANSWERS, VOTERS, Draft, ElectionLog, key, modulus

_FAULTY = gmpy2.primorial(167)


@cache
def small_factor() -> QuickKey:
    """RSA-3072 with a prime factor 3."""
    random = Random(3)
    return QuickKey((3, _prime(random, 126), *(_prime(random, 128) for _ in range(23))))


@cache
def fingerprinted() -> QuickKey:
    """RSA-2048 of eight primes as faulty chips made them: powers of 65537 modulo the product of the first primes."""
    random = Random(2017)
    return QuickKey(tuple(_faulty_prime(random) for _ in range(8)))


def _prime(random: Random, bits: int) -> int:
    """Its uppermost bits are set: the product of many must not lose one."""
    while True:
        prime = int(gmpy2.next_prime(random.getrandbits(bits) | 0xFF << bits - 8))
        if prime.bit_length() == bits and (prime - 1) % PUBLIC_EXPONENT:
            return prime


def _faulty_prime(random: Random) -> int:
    while True:
        steps = (random.getrandbits(256) | 0xFF << 248) // _FAULTY - 1
        prime = int(steps * _FAULTY + gmpy2.powmod(PUBLIC_EXPONENT, random.getrandbits(64), _FAULTY))
        if gmpy2.is_prime(prime) and (prime - 1) % PUBLIC_EXPONENT:
            return prime


def weak_identity(log: ElectionLog) -> Draft:
    """A voter enrols a key with a small factor."""
    voter, weak = VOTERS[4].id, small_factor()
    signature = weak.sign(frame("identity-key", voter, weak.modulus))
    return Draft("IdentityKeyEnrolled", {"user": voter, "n": weak.modulus, "signature": signature})


def weak_ballot_key(log: ElectionLog) -> list[Record]:
    """The first voter's ballot is of a weak key: credential, signature and envelope are in order."""
    weak, prefix, made = fingerprinted(), VOTERS[0].prefix, log.definition
    message = prefix + credential_message(log.eid, weak.modulus)
    blinded = blind(modulus("registrar"), message)
    signed = BlindSigner(key("registrar")).sign(blinded.message)
    credential = finalize(modulus("registrar"), message, signed, blinded.inverse)
    trustees = tuple(bytes.fromhex(trustee.n) for trustee in made.trustees)
    context = Context(log.eid, ballot_id(weak.modulus), made.k, trustees, made.pad_len)
    envelope = seal_envelope(context, encode_choice(ANSWERS[0]), bytes(32))
    cast = cast_frame(log.eid, weak.modulus, prefix, credential, envelope)
    return with_board(log, [frame("ballot", cast, weak.sign(cast)), *log.bodies[1:]])


WEAK_ATTACKS: dict[str, Attack] = {
    "a voter's identity key has a small factor": Attack(
        "signatures", "WeakKey", insert("IdentityKeyEnrolled", weak_identity), at="IdentityKeyEnrolled"
    ),
    "a ballot key has the ROCA fingerprint": Attack("signatures", "WeakKey", weak_ballot_key, at="BallotsPublished"),
}
