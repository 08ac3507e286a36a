"""`ballot keys rotate`: replaces what `ballot keys init` made, one kind at a time, in the same folder.

What is replaced goes to `FOLDER/retired`, and the number of its kind in `FOLDER/stack.env` rises, which gives the
Docker secrets other names. Each kind returns what the operator does next. Where old and new must be known to all
before the new is used, the old stays beside it until the same is asked for with `finish`.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from .certificates import Authority, certificate_pem, make_authority, pem
from .http.tokens import TokenKey
from .keys import (
    GENESIS_FILE,
    RECORD_FILE,
    KeysError,
    authority_in,
    load_genesis,
    make_gateway,
    make_node_certificate,
    make_password,
    write_secret,
)
from .ledger import rsa
from .ledger.entry import encode_map
from .ledger.frame import frame
from .ledger.membership import NodeRecord, membership_of
from .pem import dump_token_keys, load_token_keys, private_pems

STACK_FILE, RETIRED = "stack.env", "retired"
ROLL = "deploy/roll.sh"
# Longer than a roll takes, and than any access token lives.
JWT_DELAY_S = 3600.0


def rotate(folder: Path, kind: str, node: int = 0, *, finish: bool = False, given: bool = False) -> Sequence[str]:
    """What to do next, line by line. Raises KeysError; then nothing is changed.

    With `given` the operator has put the new one into the files, and they only need another name.
    """
    if not (folder / GENESIS_FILE).exists():
        raise KeysError(f"{folder} holds no cluster's keys")
    if kind not in (*OF_A_NODE, *OF_THE_CLUSTER, "smtp"):
        raise KeysError(f"there is no kind of secret called {kind}")
    if (kind in OF_A_NODE) != (node > 0):
        raise KeysError(f"{kind} is {'one node' if kind in OF_A_NODE else 'the whole cluster'}'s")
    if node and not (folder / f"node{node}").is_dir():
        raise KeysError(f"{folder} holds no keys of node {node}")
    if finish and kind not in IN_TWO_STEPS:
        raise KeysError(f"{kind} is replaced in one step: there is nothing to finish")
    if given != (kind == "smtp") and kind != "gateway":
        raise KeysError("only smtp and gateway are given by the operator, and smtp always is (--given)")
    if given:
        steps: Sequence[str] = [ROLL]
    else:
        steps = OF_A_NODE[kind](folder, node, finish) if node else OF_THE_CLUSTER[kind](folder, finish)
    _count(folder, f"VERSION_{kind.upper()}" + (f"_{node}" if node else ""))
    return steps


# -- the cluster's


def _jwt(folder: Path, finish: bool) -> Sequence[str]:
    path = folder / "shared" / "jwt_private"
    keys, now = load_token_keys(path.read_bytes()), time.time()
    signing = next((key for key in reversed(keys) if key.signs_from <= now), keys[0])
    if finish:
        _replace(folder, path, dump_token_keys([signing]))
        return [f"{ROLL}: tokens of the key before are refused from then on"]
    new = TokenKey(rsa.generate(3072), now + JWT_DELAY_S)
    _replace(folder, path, dump_token_keys([signing, new]))
    return [
        f"{ROLL} within {JWT_DELAY_S / 60:.0f} minutes, when the new key begins to sign",
        "an hour later: rotate with --finish, which takes the old key away (at once, if it was stolen)",
    ]


def _otp(folder: Path, _: bool) -> Sequence[str]:
    _replace(folder, folder / "shared" / "otp_key", os.urandom(32))
    return [f"{ROLL}: codes that were mailed and not yet used are void, whoever waits for one asks again"]


def _data_key(folder: Path, _: bool) -> Sequence[str]:
    path = folder / "shared" / "data_key"
    _replace(folder, path, path.read_bytes() + os.urandom(32))
    return [f"{ROLL}: entries from then on are sealed under the new key, older ones stay under theirs"]


def _redis(folder: Path, _: bool) -> Sequence[str]:
    _replace(folder, folder / "shared" / "redis_password", make_password())
    return [f"{ROLL}: until it is done nobody can log in, voting goes on; everybody is logged out"]


def _ca(folder: Path, finish: bool) -> Sequence[str]:
    path = folder / "shared" / "ca_certificate"
    old = x509.load_pem_x509_certificates(path.read_bytes())
    if finish:
        newest = authority_in(folder).certificate
        _replace(folder, path, certificate_pem(newest))
        return [f"{ROLL}: certificates of the authority before are refused from then on"]
    if len(old) > 1:
        raise KeysError("an authority is being replaced already: rotate with --finish first")
    fresh = make_authority(membership_of(load_genesis(folder / GENESIS_FILE).fields).origin)
    _replace(folder, path, b"".join(map(certificate_pem, (*old, fresh.certificate))))
    _replace(folder, folder / "authority" / "ca_key", pem(fresh.key))
    return [
        f"{ROLL}: all trust both authorities",
        "rotate tls of every node, and gateway, which the new one issues; roll",
        "rotate with --finish; roll",
    ]


def _gateway(folder: Path, _: bool) -> Sequence[str]:
    authority, own = authority_in(folder), folder / "gateway"
    hosts = _hosts(own / "certificate")
    _retire(folder, own / "key", own / "certificate")
    make_gateway(folder, authority, hosts)
    return [ROLL]


def _hosts(path: Path) -> Sequence[str]:
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses = names.get_values_for_type(x509.IPAddress)
    return [*names.get_values_for_type(x509.DNSName), *map(str, addresses)]


# -- one node's


def _tls(folder: Path, node: int, _: bool) -> Sequence[str]:
    authority: Authority = authority_in(folder)
    own = folder / f"node{node}"
    _retire(folder, own / "tls_key", own / "tls_certificate")
    make_node_certificate(folder, authority, node)
    return [ROLL]


def _postgres(folder: Path, node: int, _: bool) -> Sequence[str]:
    _replace(folder, folder / f"node{node}" / "postgres_password", make_password())
    return [f"{ROLL}: PostgreSQL takes the new password as it starts, the node right after it"]


def _signing(folder: Path, node: int, finish: bool) -> Sequence[str]:
    own = folder / f"node{node}"
    files = own / "ed25519_private", own / "rsa_private"
    ed25519, moduli = (private_pems(path.read_bytes()) for path in files)
    if finish:
        if len(ed25519) < 2:
            raise KeysError(f"no signing keys of node {node} are being replaced")
        for path, pems in zip(files, (ed25519, moduli), strict=True):
            _replace(folder, path, pems[-1])
        return [f"{ROLL}: the old keys are gone"]
    if len(ed25519) > 1:
        raise KeysError(f"signing keys of node {node} are being replaced already: rotate with --finish first")
    signing, rsa_key = Ed25519PrivateKey.generate(), rsa.generate(3072)
    _replace(folder, files[0], ed25519[0] + pem(signing))
    _replace(folder, files[1], moduli[0] + rsa.dump_private(rsa_key))
    origin = membership_of(load_genesis(folder / GENESIS_FILE).fields).origin
    record = NodeRecord(node, f"{origin}/node{node}", signing.public_key().public_bytes_raw(), rsa.modulus(rsa_key))
    (own / RECORD_FILE).unlink(missing_ok=True)
    write_secret(own / RECORD_FILE, frame("node-record", encode_map(record.to_fields())), mode=0o644)
    return [
        f"{ROLL}: node {node} holds both pairs",
        f"ballot node rotate {own / RECORD_FILE}, on any node: from that entry on the new pair signs",
        "rotate with --finish; roll",
    ]


OF_THE_CLUSTER: dict[str, Callable[[Path, bool], Sequence[str]]] = {
    "jwt": _jwt,
    "otp": _otp,
    "data_key": _data_key,
    "redis": _redis,
    "ca": _ca,
    "gateway": _gateway,
}
OF_A_NODE: dict[str, Callable[[Path, int, bool], Sequence[str]]] = {
    "tls": _tls,
    "postgres": _postgres,
    "signing": _signing,
}
IN_TWO_STEPS = frozenset({"jwt", "ca", "signing"})


# -- files


def _replace(folder: Path, path: Path, data: bytes) -> None:
    _retire(folder, path)
    write_secret(path, data)


def _retire(folder: Path, *paths: Path) -> None:
    """Moves files out of the way; nothing that was a key is ever thrown away by this program."""
    for path in paths:
        stamp = time.time_ns()
        retired = folder / RETIRED
        retired.mkdir(mode=0o700, exist_ok=True)
        path.rename(retired / f"{path.parent.name}-{path.name}-{stamp}")


def _count(folder: Path, variable: str) -> None:
    path = folder / STACK_FILE
    text = path.read_text() if path.exists() else ""
    numbers = {name: int(value) for name, value in re.findall(r"^(VERSION_\w+)=(\d+)$", text, re.MULTILINE)}
    numbers[variable] = numbers.get(variable, 1) + 1
    draft = path.with_suffix(".new")
    draft.write_text("".join(f"{name}={value}\n" for name, value in sorted(numbers.items())))
    draft.replace(path)
