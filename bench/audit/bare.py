"""The limit: `cryptography`'s own verifications and decryptions in a bare loop, on all cores at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ballot.ledger import rsa
from bench.processes import own_cpu_s

MESSAGE = bytes(800)
PSS = padding.PSS(padding.MGF1(hashes.SHA384()), 48)
OAEP = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), b"label")

_MADE: dict[str, Callable[[], object]] = {}


def run_bare(counts: Mapping[str, int], workers: int) -> tuple[float, float]:
    """(seconds, processor seconds) for so many of each operation, shared out evenly; starting up is not counted.

    Operations: `rsa3072`, `rsa2048` (PSS verifications), `fresh2048` (the same with a key that is loaded for this one),
    `ed25519` (verifications), `oaep3072` (decryptions).
    """
    share = {name: count // workers for name, count in counts.items()}
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        list(pool.map(_prepare, [list(share)] * workers))
        runs = list(pool.map(_loop, [share] * workers))
    return max(wall for wall, _ in runs), sum(cpu for _, cpu in runs)


def _prepare(names: list[str]) -> None:
    for name in names:
        if name not in _MADE:
            _MADE[name] = _operation(name)
    time.sleep(0.3)  # So that each process gets one of these.


def _loop(counts: Mapping[str, int]) -> tuple[float, float]:
    _prepare([name for name in counts if name not in _MADE])
    begun, used = time.perf_counter(), own_cpu_s()
    for name, count in counts.items():
        operation = _MADE[name]
        for _ in range(count):
            operation()
    return time.perf_counter() - begun, own_cpu_s() - used


def _operation(name: str) -> Callable[[], object]:
    if name == "ed25519":
        signing = Ed25519PrivateKey.generate()
        verifying, mark = signing.public_key(), signing.sign(MESSAGE)
        return lambda: verifying.verify(mark, MESSAGE)
    key = rsa.generate(2048 if name.endswith("2048") else 3072)
    public = key.public_key()
    if name == "oaep3072":
        sealed = public.encrypt(bytes(32), OAEP)
        return lambda: key.decrypt(sealed, OAEP)
    signature, digest = rsa.sign(key, MESSAGE), hashes.SHA384()
    if name == "fresh2048":
        numbers = public.public_numbers()
        return lambda: numbers.public_key().verify(signature, MESSAGE, PSS, digest)
    return lambda: public.verify(signature, MESSAGE, PSS, digest)
