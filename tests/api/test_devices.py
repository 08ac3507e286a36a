"""Device tokens: of one account, made here, and nothing else."""

from ballot.http.devices import Devices
from ballot.http.parse import b64, unb64

DEVICES = Devices(b"k" * 32)
ADA, BO = b"a" * 32, b"b" * 32


def test_a_token_is_known_for_its_own_account() -> None:
    token = DEVICES.issue(ADA)
    assert DEVICES.known(ADA, token)
    assert DEVICES.known(ADA, token) == Devices(b"k" * 32).known(ADA, token), "on every node"
    assert not DEVICES.known(BO, token)
    assert not Devices(b"x" * 32).known(ADA, token)


def test_every_device_has_a_name_of_its_own() -> None:
    assert len({DEVICES.known(ADA, DEVICES.issue(ADA)) for _ in range(20)}) == 20


def test_what_is_no_token_is_a_stranger() -> None:
    token = unb64(DEVICES.issue(ADA))
    changed = [bytes([token[0] ^ 1]) + token[1:], token[:-1] + bytes([token[-1] ^ 1]), token[:-1], token + b"x", b""]
    for text in (*map(b64, changed), "x", "é", "=" * 64):
        assert DEVICES.known(ADA, text) == ""
