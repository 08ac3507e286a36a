"""`ballot keys rotate`: the new fits in, the old goes on counting for as long as it must, nothing is thrown away."""

from __future__ import annotations

import stat
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from ballot.config import read_settings
from ballot.keys import KeysError, init_keys, load_genesis, load_record
from ballot.ledger import rsa
from ballot.ledger.membership import membership_of
from ballot.ledger.vault import Vault
from ballot.pem import load_token_keys
from ballot.rotate import JWT_DELAY_S, OF_A_NODE, OF_THE_CLUSTER, rotate
from tests.support.chain import ORIGIN
from tests.support.keys import long_key

ROOT = Path(__file__).parents[1]
EVERY = [(kind, 0) for kind in (*OF_THE_CLUSTER, "smtp")] + [(kind, 2) for kind in OF_A_NODE]


@pytest.fixture(autouse=True)
def quick_keys() -> Iterator[None]:
    keys = cycle([long_key(number) for number in (1, 2, 3)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rsa, "generate", lambda bits: next(keys))
        yield


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    init_keys(tmp_path / "keys", 3, ORIGIN, ["vote.example.org", "127.0.0.1"])
    return tmp_path / "keys"


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and "retired" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def changed(folder: Path, kind: str, node: int = 0, **options: bool) -> set[str]:
    """Which files differ afterwards, but for the list of versions."""
    before = contents(folder)
    assert rotate(folder, kind, node, **options)
    after = contents(folder)
    assert before.keys() - {"stack.env"} <= after.keys()
    return {name for name in after if after[name] != before.get(name)} - {"stack.env"}


def certificates(path: Path) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(path.read_bytes())


@pytest.mark.parametrize(
    ("kind", "node", "files"),
    [
        ("jwt", 0, {"shared/jwt_private"}),
        ("otp", 0, {"shared/otp_key"}),
        ("data_key", 0, {"shared/data_key"}),
        ("redis", 0, {"shared/redis_password"}),
        ("ca", 0, {"shared/ca_certificate", "authority/ca_key"}),
        ("gateway", 0, {"gateway/certificate", "gateway/key"}),
        ("tls", 2, {"node2/tls_certificate", "node2/tls_key"}),
        ("postgres", 2, {"node2/postgres_password"}),
        ("signing", 2, {"node2/ed25519_private", "node2/rsa_private", "node2/record"}),
    ],
)
def test_each_kind_replaces_its_own_files_and_keeps_the_old_ones(
    folder: Path, kind: str, node: int, files: set[str]
) -> None:
    before = contents(folder)
    assert changed(folder, kind, node) == files
    kept = {path.read_bytes() for path in (folder / "retired").iterdir()}
    assert {before[name] for name in files if name in before} == kept
    for path in folder.rglob("*"):
        if path.is_file() and path.name not in ("genesis", "record", "stack.env"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


@pytest.mark.parametrize(("kind", "node"), EVERY)
def test_what_changed_gets_another_name_in_the_stack(folder: Path, kind: str, node: int) -> None:
    before = contents(folder)
    rotate(folder, kind, node, given=kind == "smtp")
    after = contents(folder)
    touched = {name for name in before if after[name] != before[name]} or {"shared/smtp_password"}
    [line] = (folder / "stack.env").read_text().splitlines()
    variable, _, number = line.partition("=")
    secrets = yaml.safe_load((ROOT / "swarm-stack.yml").read_text())["secrets"].values()
    renamed = {one["file"].partition("}/")[2] for one in secrets if f"${{{variable}:-1}}" in one["name"]}
    assert number == "2"
    assert touched - {"authority/ca_key"} <= renamed


def test_a_new_token_key_signs_later_and_the_old_one_goes_when_that_is_asked_for(folder: Path) -> None:
    path = folder / "shared" / "jwt_private"
    [old] = load_token_keys(path.read_bytes())
    rotate(folder, "jwt")
    first, new = load_token_keys(path.read_bytes())
    assert rsa.modulus(first.private) == rsa.modulus(old.private) != rsa.modulus(new.private)
    assert abs(new.signs_from - time.time() - JWT_DELAY_S) < 60
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: new.signs_from + 1)
        rotate(folder, "jwt", finish=True)
    [left] = load_token_keys(path.read_bytes())
    assert rsa.modulus(left.private) == rsa.modulus(new.private)


def test_what_an_older_data_key_sealed_still_opens_and_addresses_are_still_found(folder: Path) -> None:
    path = folder / "shared" / "data_key"
    old = Vault(path.read_bytes())
    sealed = old.seal(b"private", b"context")
    rotate(folder, "data_key")
    new = Vault(path.read_bytes())
    assert new.open(sealed, b"context") == b"private"
    assert new.address_tag("Voter@example.org") == old.address_tag("voter@example.org")
    assert Vault(path.read_bytes()[32:]).open(new.seal(b"later", b""), b"") == b"later"


def test_two_authorities_are_trusted_until_every_certificate_is_the_new_ones(folder: Path) -> None:
    bundle = folder / "shared" / "ca_certificate"
    rotate(folder, "ca")
    old, new = certificates(bundle)
    with pytest.raises(KeysError, match="finish"):
        rotate(folder, "ca")
    for node in (1, 2, 3):
        certificates(folder / f"node{node}" / "tls_certificate")[0].verify_directly_issued_by(old)
        rotate(folder, "tls", node)
        certificates(folder / f"node{node}" / "tls_certificate")[0].verify_directly_issued_by(new)
    rotate(folder, "ca", finish=True)
    assert certificates(bundle) == [new]


def test_a_new_gateway_certificate_is_good_for_the_same_names(folder: Path) -> None:
    [before] = certificates(folder / "gateway" / "certificate")
    rotate(folder, "gateway")
    [after] = certificates(folder / "gateway" / "certificate")
    names = [one.extensions.get_extension_for_class(x509.SubjectAlternativeName).value for one in (before, after)]
    assert names[0] == names[1]
    assert isinstance(after.public_key(), EllipticCurvePublicKey)
    assert after.public_key() != before.public_key()


def test_a_node_holds_both_pairs_of_signing_keys_until_the_log_has_named_the_new_one(folder: Path) -> None:
    environment = {
        "BALLOT_NODE": "2",
        "BALLOT_DSN": "host=db",
        "BALLOT_REDIS_URL": "redis://cache",
        "BALLOT_STATE": "/nowhere",
        "BALLOT_SECRETS": f"{folder / 'node2'}:{folder / 'shared'}",
    }
    before = membership_of(load_genesis(folder / "genesis").fields).node(2)
    rotate(folder, "signing", 2)
    record = load_record(folder / "node2" / "record")
    keys = read_settings(environment).node_settings().keys
    assert keys.in_force(before.ed25519).names(before.ed25519)
    new = keys.in_force(record.ed25519)
    assert new.names(record.ed25519) and not new.names(before.ed25519)
    assert rsa.modulus(new.rsa) == record.rsa
    assert (record.id, record.name) == (before.id, before.name)
    with pytest.raises(KeysError, match="finish"):
        rotate(folder, "signing", 2)
    rotate(folder, "signing", 2, finish=True)
    assert read_settings(environment).node_settings().keys.names(record.ed25519)


WRONG = [
    ("jwt", 2, {}, "whole cluster"),
    ("tls", 0, {}, "one node"),
    ("tls", 9, {}, "node 9"),
    ("otp", 0, {"finish": True}, "one step"),
    ("signing", 1, {"finish": True}, "being replaced"),
    ("smtp", 0, {}, "given"),
    ("jwt", 0, {"given": True}, "given"),
    ("genesis", 0, {}, "genesis"),
]


@pytest.mark.parametrize(("kind", "node", "options", "message"), WRONG)
def test_what_makes_no_sense_is_refused_and_changes_nothing(
    folder: Path, kind: str, node: int, options: dict[str, bool], message: str
) -> None:
    before = contents(folder)
    with pytest.raises(KeysError, match=message):
        rotate(folder, kind, node, **options)
    assert contents(folder) == before


def test_another_folder_is_left_alone(tmp_path: Path) -> None:
    with pytest.raises(KeysError, match="no cluster"):
        rotate(tmp_path, "jwt")
