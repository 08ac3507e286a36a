"""Claims: whoever holds a credential that was never cast says so after the close, and nobody learns who it is.

A registrar that made credentials of its own can vote with them only as long as others stay silent: ballots and claims
together above what was issued prove that it did. A claim travels like a cast, over a fresh connection and with nothing
that names a person; it is public, and the ballot key in it was never seen by the registrar.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from ..ledger import rsa
from ..ledger.entry import Entry
from ..ledger.frame import frame
from .api import b64
from .log import Log
from .trust import Untrusted
from .wallet import Secrets


class NotClaimable(Exception):
    """There is no credential, or it was cast."""


def sign_claim(ballot_key: RSAPrivateKey, secrets: Secrets) -> bytes:
    """PSS(ballot key, F(unused, eid, bpk, prefix, credential))"""
    bpk = rsa.modulus(ballot_key)
    return rsa.sign(ballot_key, frame("unused", secrets.eid, bpk, secrets.prefix, secrets.credential))


def claim_fields(secrets: Secrets, bpk: bytes) -> dict[str, str]:
    """What is sent of a signed claim, of one size for everybody."""
    values = {"election": secrets.eid, "bpk": bpk, "prefix": secrets.prefix, "credential": secrets.credential}
    return {name: b64(value) for name, value in (values | {"signature": secrets.claim}).items()}


async def claim_unused(log: Log, secrets: Secrets, ballot_key: RSAPrivateKey, keep: Callable[[Secrets], None]) -> int:
    """The index at which the claim stands in the log, proven there. Safe to call again, until it has returned once.

    `keep` stores the secrets. A ballot that was sealed and perhaps sent does no harm: if it was recorded, the claim is
    refused as AlreadyCast. Raises NotClaimable, Untrusted, NoAnswer, and Refused: NotClosed, ClaimsClosed, AlreadyCast.
    """
    if not secrets.credential:
        raise NotClaimable("there is no credential")
    if secrets.receipt:
        raise NotClaimable("the credential was cast: there is a receipt")
    if not secrets.claim:
        secrets = msgspec.structs.replace(secrets, claim=sign_claim(ballot_key, secrets))
        keep(secrets)
    bpk = rsa.modulus(ballot_key)
    index = (await log.public.claim(claim_fields(secrets, bpk))).json().get("index")
    if not isinstance(index, int) or index < 1:
        raise Untrusted("the answer to the claim names no entry")
    _check_claimed(await log.entry(index), secrets, bpk)
    keep(msgspec.structs.replace(secrets, claimed_at=index))
    return index


def _check_claimed(entry: Entry, secrets: Secrets, bpk: bytes) -> None:
    names = ("eid", "bpk", "prefix", "credential")
    said = (entry.kind, *(entry.fields.get(name) for name in names))
    if said != ("CredentialUnused", secrets.eid, bpk, secrets.prefix, secrets.credential):
        raise Untrusted(f"entry {entry.index} is not our claim")
