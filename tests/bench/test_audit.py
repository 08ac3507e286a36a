"""The logs that the audit's benchmark makes are good ones, and need as many verifications as it counts."""

from pathlib import Path

import pytest

from ballot.ledger import rsa
from ballot.replay.audit import audit
from ballot.replay.source import open_source
from bench.audit.keys import make_quick_key
from bench.audit.making import make_export


def test_a_quick_key_signs_as_any_other() -> None:
    key = make_quick_key(2048)
    rsa.verify(key.modulus, key.sign(b"message"), b"message")
    with pytest.raises(rsa.BadSignature):
        rsa.verify(key.modulus, key.sign(b"message"), b"another")


@pytest.mark.cluster
def test_a_made_log_passes_and_needs_the_verifications_that_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = make_export(tmp_path / "log", 400, 1, lambda done: None)
    verified = {"rsa3072": 0, "rsa2048": 0}
    verify = rsa.verify

    def counted(modulus: bytes, signature: bytes, message: bytes) -> None:
        verified[f"rsa{8 * len(modulus)}"] += 1
        verify(modulus, signature, message)

    for module in (
        "ballot.replay.verify.verify",
        "ballot.voting.ballot.verify",
        "ballot.voting.ballot.verify_once",
        "ballot.ledger.checkpoint.rsa.verify",
    ):
        monkeypatch.setattr(module, counted)
    report = audit(open_source(tmp_path / "log"), workers=1)
    assert report.passed and report.elections[0].accounting.valid == 100
    # A blind signature is checked by a power alone.
    assert verified == {"rsa3072": counts["rsa3072"] - 100, "rsa2048": counts["rsa2048"]}
