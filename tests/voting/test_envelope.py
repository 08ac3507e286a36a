import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from hashlib import sha256
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given, settings
from hypothesis import strategies as st

from ballot.ledger import rsa
from ballot.ledger.frame import frame, parse_frame, u32
from ballot.voting import oaep, shamir
from ballot.voting.envelope import (
    Context,
    EnvelopeError,
    InvalidEnvelope,
    Opened,
    ballot_id,
    check_shape,
    envelope_size,
    open_with_keys,
    open_with_seed,
    seal,
)

VECTORS = json.loads((Path(__file__).parents[1] / "data" / "envelope-vectors.json").read_text())
CASES: list[dict[str, Any]] = VECTORS["cases"]
SEED = bytes(range(32))
CHOICE = b'{"answers":[[2]]}'


@cache
def trustee_keys() -> dict[int, RSAPrivateKey]:
    return {i: rsa.load_private(pem.encode()) for i, pem in enumerate(VECTORS["trustees"], start=1)}


@cache
def trustees() -> tuple[bytes, ...]:
    return tuple(rsa.modulus(key) for key in trustee_keys().values())


def context_of(case: dict[str, Any]) -> Context:
    bpk = rsa.modulus(rsa.load_private(VECTORS["ballot_key"].encode()))
    return Context(bytes.fromhex(case["eid"]), ballot_id(bpk), case["k"], trustees()[: case["n"]], case["pad_len"])


@pytest.fixture(scope="module")
def ctx() -> Context:
    return two_of_three()


@cache
def two_of_three() -> Context:
    return Context(b"e" * 32, b"b" * 32, 2, trustees(), 64)


@cache
def sealed() -> bytes:
    return seal(two_of_three(), CHOICE, SEED)


def outcomes(ctx: Context, env: bytes) -> set[Opened | str]:
    """What each k of the trustees find, or the reason they give."""
    found: set[Opened | str] = set()
    for indexes in combinations(range(1, len(ctx.trustees) + 1), ctx.k):
        try:
            found.add(open_with_keys(ctx, env, {index: trustee_keys()[index] for index in indexes}))
        except InvalidEnvelope as invalid:
            found.add(invalid.reason)
    return found


def forge(
    ctx: Context,
    *,
    padded: bytes | None = None,
    shares: Callable[[list[bytes]], list[bytes]] = lambda shares: shares,
    coefficients: bytes | None = None,
    label: Callable[[int], bytes] | None = None,
    first_oaep_seed: bytes | None = None,
) -> bytes:
    """An envelope made by hand from SEED, step by step as the protocol says, with one step done otherwise."""
    encoded = frame("envelope-ctx", ctx.eid, ctx.bid, u32(ctx.k), u32(len(ctx.trustees)), u32(ctx.pad_len))
    salt = sha256(encoded).digest()

    def derive(info: bytes, length: int) -> bytes:
        return HKDF(hashes.SHA256(), length, salt, info).derive(SEED)

    payload = derive(frame("kdf-payload"), 44)
    plain = padded or (len(CHOICE).to_bytes(2, "big") + CHOICE).ljust(ctx.pad_len, b"\0")
    body = AESGCM(payload[:32]).encrypt(payload[32:], plain, encoded)
    polynomial = coefficients or derive(frame("kdf-shamir"), 32 * (ctx.k - 1))
    sealed_shares = []
    for i, share in enumerate(shares(shamir.share(SEED, polynomial, len(ctx.trustees))), start=1):
        seed = derive(frame("kdf-oaep", u32(i)), 32)
        own = frame("share", ctx.eid, ctx.bid, u32(i), ballot_id(ctx.trustees[i - 1]))
        if i == 1 and first_oaep_seed:
            seed = first_oaep_seed
        sealed_shares.append(oaep.encrypt(ctx.trustees[i - 1], share, label(i) if label else own, seed))
    return frame("envelope", body, *sealed_shares)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['k']}-of-{case['n']}")
def test_the_published_vectors_byte_for_byte(case: dict[str, Any]) -> None:
    ctx = context_of(case)
    choice, s, env = (bytes.fromhex(case[name]) for name in ("choice", "s", "envelope"))
    assert ctx.bid.hex() == case["bid"]
    assert seal(ctx, choice, s) == env
    assert envelope_size(case["n"], case["pad_len"]) == len(env)
    check_shape(ctx, env)
    assert outcomes(ctx, env) == {Opened(s, choice)}
    assert open_with_seed(ctx, env, s) == choice


def test_two_envelopes_of_one_choice_have_nothing_in_common(ctx: Context) -> None:
    first, second = (parse_frame("envelope", seal(ctx, CHOICE), 4) for _ in range(2))
    assert not set(first) & set(second)


def test_every_choice_gives_the_same_size(ctx: Context) -> None:
    sizes = {len(seal(ctx, b"c" * length)) for length in (0, 1, 62)}
    assert sizes == {envelope_size(3, 64)}


def test_the_longest_choice_opens_and_a_longer_one_does_not_seal(ctx: Context) -> None:
    assert open_with_seed(ctx, seal(ctx, b"c" * 62, SEED), SEED) == b"c" * 62
    with pytest.raises(EnvelopeError):
        seal(ctx, b"c" * 63)


def test_more_keys_than_needed_open_too(ctx: Context) -> None:
    assert open_with_keys(ctx, sealed(), trustee_keys()) == Opened(SEED, CHOICE)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, envelope_size(3, 64) - 1), st.integers(1, 255))
def test_a_changed_byte_anywhere_is_invalid_for_every_pair_of_trustees(position: int, change: int) -> None:
    env = bytearray(sealed())
    env[position] ^= change
    found = outcomes(two_of_three(), bytes(env))
    assert found in ({"malformed"}, {"does not open"})
    with pytest.raises(InvalidEnvelope):
        open_with_seed(two_of_three(), bytes(env), SEED)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 31), st.integers(1, 255))
def test_an_envelope_copied_to_another_ballot_or_election_is_invalid(position: int, change: int) -> None:
    ctx = two_of_three()
    other = bytearray(ctx.bid)
    other[position] ^= change
    assert outcomes(replace(ctx, bid=bytes(other)), sealed()) == {"does not open"}
    assert outcomes(replace(ctx, eid=bytes(other)), sealed()) == {"does not open"}
    with pytest.raises(InvalidEnvelope):
        open_with_seed(replace(ctx, bid=bytes(other)), sealed(), SEED)


def test_an_envelope_for_another_threshold_or_order_of_trustees_is_invalid(ctx: Context) -> None:
    with pytest.raises(InvalidEnvelope):
        open_with_seed(replace(ctx, k=3), sealed(), SEED)
    with pytest.raises(InvalidEnvelope):
        open_with_seed(replace(ctx, trustees=ctx.trustees[::-1]), sealed(), SEED)


def test_the_steps_of_the_protocol_by_hand_give_the_same_envelope(ctx: Context) -> None:
    assert forge(ctx) == sealed()


def test_a_share_that_only_one_trustee_would_miss_is_invalid_for_all(ctx: Context) -> None:
    forged = forge(ctx, shares=lambda shares: [shares[0], shares[1], bytes(32)])
    assert outcomes(ctx, forged) == {"does not open"}


def test_shares_of_another_length_are_invalid_for_all(ctx: Context) -> None:
    assert outcomes(ctx, forge(ctx, shares=lambda shares: [b""] * 3)) == {"does not open"}
    assert outcomes(ctx, forge(ctx, shares=lambda shares: [*shares[:2], b"short"])) == {"does not open"}


def test_a_share_under_another_label_is_invalid_for_all(ctx: Context) -> None:
    labels = {1: ctx.share_label(1), 2: ctx.share_label(2), 3: b"another"}
    assert outcomes(ctx, forge(ctx, label=labels.__getitem__)) == {"does not open"}


def test_coefficients_of_ones_own_are_invalid(ctx: Context) -> None:
    assert outcomes(ctx, forge(ctx, coefficients=b"c" * 32)) == {"does not open"}


def test_encryption_randomness_of_ones_own_is_invalid(ctx: Context) -> None:
    assert outcomes(ctx, forge(ctx, first_oaep_seed=b"o" * 32)) == {"does not open"}


@pytest.mark.parametrize(
    "padded",
    [b"\0\x03abc".ljust(63, b"\0") + b"\x01", b"\0\x3f".ljust(64, b"c"), b"\xff\xff".ljust(64, b"c")],
    ids=["a byte after the choice", "one byte too long", "far too long"],
)
def test_another_padding_is_invalid(ctx: Context, padded: bytes) -> None:
    assert outcomes(ctx, forge(ctx, padded=padded)) == {"does not open"}


def test_another_seed_does_not_open(ctx: Context) -> None:
    for seed in (b"", SEED[1:], SEED + b"\0", bytes(32)):
        with pytest.raises(InvalidEnvelope):
            open_with_seed(ctx, sealed(), seed)


def reframed(change: Callable[[list[bytes]], list[bytes]]) -> bytes:
    return frame("envelope", *change(parse_frame("envelope", sealed(), 4)))


@pytest.mark.parametrize(
    "malformed",
    [
        pytest.param(lambda: b"", id="empty"),
        pytest.param(lambda: sealed() + b"\0", id="trailing byte"),
        pytest.param(lambda: sealed()[:-1], id="cut short"),
        pytest.param(lambda: reframed(lambda fields: fields[:-1]), id="a share missing"),
        pytest.param(lambda: reframed(lambda fields: [*fields, fields[-1]]), id="a share too many"),
        pytest.param(lambda: reframed(lambda fields: [fields[0] + b"\0", *fields[1:]]), id="longer body"),
        pytest.param(lambda: reframed(lambda fields: [*fields[:3], fields[3][1:]]), id="shorter share"),
        pytest.param(lambda: reframed(lambda fields: [*fields[:3], trustees()[2]]), id="share not below n"),
        pytest.param(lambda: sealed().replace(b"v1/envelope", b"v2/envelope"), id="another label"),
    ],
)
def test_a_wrong_shape_is_seen_by_anyone(ctx: Context, malformed: Callable[[], bytes]) -> None:
    env = malformed()
    with pytest.raises(EnvelopeError):
        check_shape(ctx, env)
    assert outcomes(ctx, env) == {"malformed"}
    with pytest.raises(InvalidEnvelope, match="malformed"):
        open_with_seed(ctx, env, SEED)


def test_too_few_or_wrong_keys_say_nothing_about_the_ballot(ctx: Context) -> None:
    keys = trustee_keys()
    for wrong in ({}, {1: keys[1]}, {1: keys[2], 2: keys[1]}, {0: keys[1], 1: keys[1]}, {3: keys[3], 4: keys[1]}):
        with pytest.raises(ValueError, match="key"):
            open_with_keys(ctx, sealed(), wrong)


def test_a_seed_of_another_length_does_not_seal(ctx: Context) -> None:
    with pytest.raises(ValueError, match="seed"):
        seal(ctx, CHOICE, SEED[1:])


@pytest.mark.parametrize(
    "change",
    [{"eid": b"e"}, {"bid": b""}, {"k": 0}, {"k": 4}, {"trustees": ()}, {"pad_len": 1}, {"pad_len": 65538}],
    ids=str,
)
def test_an_impossible_context_is_refused(ctx: Context, change: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        replace(ctx, **change)
