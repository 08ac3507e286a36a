"""Credentials, envelopes and ballots."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from ballot.ledger import rsa
from ballot.ledger.frame import frame, parse_frame
from ballot.voting.ballot import cast_frame, parse_ballot
from ballot.voting.blind import check_blind_signature
from ballot.voting.choice import encode_choice
from ballot.voting.envelope import Context, InvalidEnvelope, ballot_id, open_with_keys, seal
from tests.support.keys import load_key
from tests.support.log_builder import (
    ANSWERS,
    DATA,
    VECTORS,
    VOTERS,
    ElectionLog,
    make_body,
    make_credential,
    modulus,
    sign_cast,
)


def credentials() -> dict[str, Any]:
    """The published vector of RFC 9474 and one of our own, both with what an auditor sees."""
    published = json.loads((DATA / "rfc9474-vectors.json").read_text())[0]
    sizes = {"name": "RFC 9474, appendix A.1", "n": published["n"], "blinded": published["blinded_msg"]}
    numbers = {name: value.removeprefix("0x") for name, value in sizes.items()}
    fields = {"blind_sig": published["blind_sig"], "message": published["input_msg"], "signature": published["sig"]}
    first = numbers | {name: value.removeprefix("0x") for name, value in fields.items()}
    eid, voter = bytes(range(32)), VOTERS[0]
    blinded, blind_sig, credential = make_credential(eid, voter)
    message = voter.prefix + frame("credential", eid, voter.bpk)
    own = {
        "n": modulus("registrar"),
        "blinded": blinded,
        "blind_sig": blind_sig,
        "message": message,
        "signature": credential,
    }
    second = {"name": "of this protocol"} | {name: value.hex() for name, value in own.items()}
    forged = second | {"name": "forged", "blind_sig": (blind_sig[:-1] + bytes([blind_sig[-1] ^ 1])).hex()}
    large = second | {"name": "not below the modulus", "blind_sig": (b"\xff" * 384).hex()}
    cases = [case | {"valid": _good(case)} for case in (first, second, forged, large)]
    return {
        "about": "blind_sig^65537 mod n is `blinded`, and `signature` is the PSS signature of `message` under n",
        "cases": cases,
    }


def _good(case: dict[str, str]) -> bool:
    return check_blind_signature(*(bytes.fromhex(case[name]) for name in ("n", "blinded", "blind_sig")))


def trustee_keys() -> dict[int, RSAPrivateKey]:
    return {number: load_key(pem) for number, pem in enumerate(VECTORS["trustees"], 1)}


def envelopes() -> dict[str, Any]:
    keys = trustee_keys()
    moduli = tuple(rsa.modulus(key) for key in keys.values())
    cases = []
    for k, n in ((1, 1), (1, 3), (2, 3), (3, 3)):
        ctx = Context(bytes(range(32)), ballot_id(modulus("ballot0")), k, moduli[:n], 64)
        cases += [_envelope(ctx, name, data, keys) for name, data in _sealed(ctx).items()]
    primes = [_primes(key) for key in keys.values()]
    return {
        "about": "`envelope` opens, by any k of the n first trustees (their primes p > q), to `seed` and `choice`",
        "trustees": primes,
        "cases": cases,
    }


def _sealed(ctx: Context) -> dict[str, bytes]:
    choice, seed = b'{"answers":[[2,0,1]]}', bytes(reversed(range(32)))
    good, other = seal(ctx, choice, seed), seal(ctx, choice, bytes(32))
    fields, others = (parse_frame("envelope", data, 1 + len(ctx.trustees)) for data in (good, other))
    full = seal(ctx, b"x" * (ctx.pad_len - 2), seed)
    moved = Context(bytes(32), ctx.bid, ctx.k, ctx.trustees, ctx.pad_len)
    return {
        "good": good,
        "as long as may be": full,
        "empty": seal(ctx, b"", seed),
        "another envelope's body": frame("envelope", others[0], *fields[1:]),
        "the last share is another's": frame("envelope", *fields[:-1], others[-1]),
        "a share is not below its modulus": frame("envelope", *fields[:-1], b"\xff" * 384),
        "of another election": seal(moved, choice, seed),
        "a body too short": frame("envelope", fields[0][1:], *fields[1:]),
        "a byte too many": good + b"\0",
    }


def _envelope(ctx: Context, name: str, data: bytes, keys: dict[int, RSAPrivateKey]) -> dict[str, Any]:
    fixed = {"eid": ctx.eid.hex(), "bid": ctx.bid.hex(), "k": ctx.k, "n": len(ctx.trustees), "pad_len": ctx.pad_len}
    case: dict[str, Any] = {"name": name, **fixed, "envelope": data.hex()}
    try:
        opened = open_with_keys(ctx, data, {number: keys[number] for number in range(1, ctx.k + 1)})
    except InvalidEnvelope:
        return case | {"valid": False}
    return case | {"seed": opened.seed.hex(), "choice": opened.choice.hex(), "valid": True}


def _primes(key: RSAPrivateKey) -> dict[str, str]:
    numbers = key.private_numbers()
    p, q = sorted((numbers.p, numbers.q), reverse=True)
    return {"p": p.to_bytes(192, "big").hex(), "q": q.to_bytes(192, "big").hex()}


def ballots() -> dict[str, Any]:
    """Ballots for the election of `definition`, good and spoilt; what each finding is called is in `flaws`."""
    log = ElectionLog()
    body = make_body(log.definition, log.eid, VOTERS[0], log.credentials[0], encode_choice(ANSWERS[0]))
    cast, signature = parse_frame("ballot", body, 2)
    one = parse_ballot(body)
    fields = {
        "eid": one.eid,
        "bpk": one.bpk,
        "prefix": one.prefix,
        "credential": one.credential,
        "envelope": one.envelope,
    }

    def signed(**changes: bytes) -> bytes:
        return sign_cast(VOTERS[0], cast_frame(**(fields | changes)))

    spoilt: dict[str, tuple[bytes, list[str]]] = {
        "good": (body, []),
        "another prefix": (signed(prefix=bytes(32)), ["BadCredential"]),
        "another voter's credential": (signed(credential=log.credentials[1]), ["BadCredential"]),
        "another voter's signature": (sign_cast(VOTERS[1], cast), ["BallotSignature"]),
        "another envelope": (signed(envelope=frame("envelope", b"", b"")), ["BadEnvelope"]),
        "a signature of another length": (frame("ballot", cast, signature[1:]), ["MalformedBallot"]),
        "a byte too many": (body + b"\0", ["MalformedBallot"]),
        "nothing": (b"", ["MalformedBallot"]),
    }
    cases = [
        {"name": name, "body": data.hex(), "flaws": flaws, "valid": not flaws} for name, (data, flaws) in spoilt.items()
    ]
    names = {name: sha256(data).hexdigest() for name, (data, _) in spoilt.items()}
    return {
        "about": "F(ballot, cast, signature) for the election of `definition`; its name is SHA-256(body)",
        "definition": log.document.decode(),
        "names": names,
        "cases": cases,
    }
