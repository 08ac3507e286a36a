"""Frames, documents, msgpack."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgpack

from ballot.ledger.frame import frame, frame_hash, u32, u64
from ballot.ledger.unpack import UnpackError, unpack
from ballot.voting import document

H32, ID, RSA_3072, RSA_2048 = bytes(range(32)), bytes(range(16)), b"\xc3" * 384, b"\xa5" * 256

EXAMPLES: dict[str, list[bytes]] = {
    "attest": [H32, u32(2), H32[::-1]],
    "ballot": [b"cast", RSA_2048],
    "cast": [H32, RSA_2048, H32[::-1], RSA_3072, b"envelope"],
    "credential": [H32, RSA_2048],
    "election": [b'{"version":1}'],
    "email": [H32, b"ada@example.org"],
    "entry": [u64(7), u64(2), u64(1_700_000_000_000_000), b"BallotCast", H32, H32[::-1], H32],
    "envelope": [b"body", RSA_3072, RSA_3072],
    "envelope-ctx": [H32, H32[::-1], u32(2), u32(3), u32(64)],
    "genesis-file": [b"header", b"public"],
    "identity-key": [ID, RSA_3072],
    "issue": [H32, ID, H32[::-1], RSA_3072],
    "kdf-oaep": [u32(1)],
    "kdf-payload": [],
    "kdf-shamir": [],
    "lot": [H32, u32(0), u32(4)],
    "private": [H32, b"private bytes"],
    "receipt": [b"header", H32],
    "release": [H32, u64(1000), H32[::-1]],
    "roll": [ID, u32(1), H32],
    "rsa-key": [RSA_3072],
    "share": [H32, H32[::-1], u32(2), H32],
    "trustee-key": [ID, "Zoë".encode(), RSA_3072],
    "unused": [H32, RSA_2048, H32[::-1], RSA_3072],
}
"""Every kind of frame that the protocol hashes, signs or stores, with fields of the right form."""


def frames() -> dict[str, Any]:
    good = [
        {
            "kind": kind,
            "fields": [field.hex() for field in fields],
            "encoded": frame(kind, *fields).hex(),
            "hash": frame_hash(kind, *fields).hex(),
            "valid": True,
        }
        for kind, fields in EXAMPLES.items()
    ]
    return {
        "about": "`encoded` is F(kind, fields), `hash` its SHA-256; parsed as a frame of `kind` with as many `fields`",
        "cases": good + [_refused(*one) for one in _bad_frames()],
    }


def _bad_frames() -> Iterable[tuple[str, str, int, bytes]]:
    whole = frame("kdf-oaep", u32(1))
    yield "a byte follows", "kdf-oaep", 1, whole + b"\0"
    yield "cut short", "kdf-oaep", 1, whole[:-1]
    yield "another kind", "kdf-payload", 1, whole
    yield "another count", "kdf-oaep", 2, whole
    yield "a length beyond the end", "kdf-oaep", 1, whole[:-8] + u32(5) + whole[-4:]
    yield "no bytes", "kdf-oaep", 1, b""
    yield "a label in another case", "kdf-oaep", 1, whole.replace(b"kdf", b"KDF")


def _refused(name: str, kind: str, count: int, data: bytes) -> dict[str, Any]:
    return {"name": name, "kind": kind, "fields": [""] * count, "encoded": data.hex(), "valid": False}


DOCUMENTS: list[Any] = [
    {},
    [],
    {"b": 1, "a": [True, False, "x"]},
    [2**53 - 1, -(2**53 - 1), 0, -1],
    {"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\U0001f600": 5, "\u0080": 6, "\u00f6": 7},
    ['"', "\\", "/", "\b\t\n\f\r", "\x00\x1f\x7f", "é", "\U0001f600", "\u2028"],
    {"10": 1, "9": 2, "__proto__": 3, "": 4},
]
BAD_DOCUMENTS = {
    "a space": b'{"a": 1}',
    "keys out of order": b'{"b":1,"a":2}',
    "a key twice": b'{"a":1,"a":1}',
    "null": b"null",
    "a fraction": b"1.5",
    "a whole number as a float": b"1.0",
    "an exponent": b"1e2",
    "2^53": b"9007199254740992",
    "beyond 2^53": b"9007199254740993",
    "minus zero": b"-0",
    "a leading zero": b"01",
    "not a number": b"NaN",
    "an escape that is not needed": b'"\\u0061"',
    "an escaped slash": b'"\\/"',
    "a raw control character": b'"\x01"',
    "a lone surrogate": b'"\\ud800"',
    "not UTF-8": b'"\xff"',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "two values": b"1 2",
    "nothing": b"",
    "nested 33 deep": b"[" * 33 + b"]" * 33,
}


def documents() -> dict[str, Any]:
    good = [{"value": value, "encoded": document.encode(value).hex(), "valid": True} for value in DOCUMENTS]
    bad = [{"name": name, "encoded": data.hex(), "valid": False} for name, data in BAD_DOCUMENTS.items()]
    return {"about": "`encoded` is the one document of `value`", "cases": [*good, *bad]}


PACKED: dict[str, bytes] = {
    "small numbers": msgpack.packb([0, 127, 128, 255, 256, 65535, 65536, 2**32, -1, -32, -33, -129, -(2**31) - 1]),
    "numbers beyond 2^53": msgpack.packb([2**64 - 1, -(2**63)]),
    "longer than needed": b"\x93\xcc\x01\xcd\x00\x01\xd3" + bytes(7) + b"\x01",
    "binary of each length": msgpack.packb([b"", b"a" * 255, b"b" * 256]),
    "text of each length": msgpack.packb(["", "a" * 31, "b" * 32, "ö" * 200]),
    "a map": msgpack.packb({"b": True, "a": None, "c": [False]}),
    "a long list": msgpack.packb(list(range(20))),
    "a key twice": b"\x82\xa1a\x01\xa1a\x02",
}
BAD_PACKED: dict[str, bytes] = {
    "nothing": b"",
    "two values": b"\x01\x02",
    "cut short": b"\xc4\x05abc",
    "a byte that begins nothing": b"\xc1",
    "a list longer than the data": b"\xdd\xff\xff\xff\xff",
    "a number as a key": b"\x81\x01\x01",
    "text that is not UTF-8": b"\xa1\xff",
}


def packed() -> dict[str, Any]:
    good = [
        {"name": name, "encoded": data.hex(), "value": _shown(unpack(data, text_keys=True)), "valid": True}
        for name, data in PACKED.items()
    ]
    for name, data in BAD_PACKED.items():
        try:
            unpack(data, text_keys=True)
        except UnpackError:
            good.append({"name": name, "encoded": data.hex(), "valid": False})
    return {
        "about": "msgpack as payloads and exports use it; in `value` numbers are text, binaries are {hex}, maps {map}",
        "cases": good,
    }


def _shown(value: Any) -> Any:
    match value:
        case bytes():
            return {"hex": value.hex()}
        case bool() | None | str():
            return value
        case int():
            return {"number": str(value)}
        case dict():
            return {"map": [[_shown(key), _shown(item)] for key, item in value.items()]}
    return [_shown(item) for item in value]
