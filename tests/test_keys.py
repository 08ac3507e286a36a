"""`ballot keys init`: secrets that only their owner reads, that fit together, and that are never overwritten."""

from __future__ import annotations

import shutil
import stat
from collections.abc import Iterator
from ipaddress import ip_address
from itertools import cycle
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ballot.keys import KeysError, add_node_keys, dump_genesis, init_keys, load_genesis, load_record
from ballot.ledger import rsa
from ballot.ledger.entry import check_link, encode_map, seal
from ballot.ledger.frame import frame
from ballot.ledger.membership import membership_of
from ballot.ledger.raft.messages import Conf
from tests.support.chain import ORIGIN, chain, genesis, notes
from tests.support.keys import long_key

NODE_SECRETS = {"ed25519_private", "rsa_private", "tls_certificate", "tls_key", "postgres_password"}
SHARED_SECRETS = {"ca_certificate", "data_key", "jwt_private", "otp_key", "redis_password", "smtp_password"}


@pytest.fixture(autouse=True)
def quick_keys() -> Iterator[None]:
    """Keys that are there already: making eight takes seconds."""
    keys = cycle([long_key(1), long_key(2), long_key(3)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rsa, "generate", lambda bits: next(keys))
        yield


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "keys"
    init_keys(folder, 3, ORIGIN)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_every_secret_is_there_and_nothing_else(folder: Path) -> None:
    expected = {"genesis", "authority/ca_key"} | {f"shared/{name}" for name in SHARED_SECRETS}
    expected |= {f"node{number}/{name}" for number in (1, 2, 3) for name in NODE_SECRETS}
    expected |= {"gateway/certificate", "gateway/key"}
    assert set(contents(folder)) == expected


def test_only_their_owner_reads_the_secrets(folder: Path) -> None:
    for path in folder.rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        if path.is_dir():
            assert mode == 0o700, path
        elif path.name != "genesis":
            assert mode == 0o600, path
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_no_secret_is_shared_that_should_not_be(folder: Path) -> None:
    found = contents(folder)
    own = [data for name, data in found.items() if "rsa" not in name and "jwt" not in name]
    assert len(set(own)) == len(own)
    assert len(found["shared/data_key"]) == len(found["shared/otp_key"]) == 32


def test_the_genesis_loads_and_names_the_nodes_by_the_keys_they_hold(folder: Path) -> None:
    entry = load_genesis(folder / "genesis")
    check_link(None, entry)
    assert (entry.index, entry.term, entry.kind, entry.conf) == (1, 0, "Genesis", Conf((1, 2, 3)))
    membership = membership_of(entry.fields)
    assert membership.origin == ORIGIN
    for record in membership.nodes:
        own = folder / f"node{record.id}"
        ed25519 = load_pem_private_key((own / "ed25519_private").read_bytes(), None)
        rsa_key = load_pem_private_key((own / "rsa_private").read_bytes(), None, unsafe_skip_rsa_key_validation=True)
        assert isinstance(ed25519, Ed25519PrivateKey)
        assert isinstance(rsa_key, RSAPrivateKey)
        assert record.name == f"{ORIGIN}/node{record.id}"
        assert record.ed25519 == ed25519.public_key().public_bytes_raw()
        assert record.rsa == rsa.modulus(rsa_key)


def test_a_nodes_certificate_names_it_and_is_the_authoritys(folder: Path) -> None:
    authority = certificate(folder / "shared" / "ca_certificate")
    for number in (1, 2, 3):
        own = certificate(folder / f"node{number}" / "tls_certificate")
        own.verify_directly_issued_by(authority)
        [name] = own.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        assert name.value == f"node-{number}"
        names = own.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.DNSName) == [f"node-{number}"]
        usage = own.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert set(usage) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
        assert not own.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        key = load_pem_private_key((folder / f"node{number}" / "tls_key").read_bytes(), None)
        public = own.public_key()
        assert isinstance(public, EllipticCurvePublicKey)
        spki = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        assert key.public_key().public_bytes(*spki) == public.public_bytes(*spki)


def test_the_gateways_certificate_is_good_for_its_names_and_for_no_peer(tmp_path: Path) -> None:
    init_keys(tmp_path / "keys", 1, ORIGIN, ["vote.example.org", "127.0.0.1"])
    own = certificate(tmp_path / "keys" / "gateway" / "certificate")
    own.verify_directly_issued_by(certificate(tmp_path / "keys" / "shared" / "ca_certificate"))
    names = own.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["vote.example.org"]
    assert names.get_values_for_type(x509.IPAddress) == [ip_address("127.0.0.1")]
    usage = own.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(usage) == {ExtendedKeyUsageOID.SERVER_AUTH}


def test_keys_are_never_overwritten(folder: Path) -> None:
    before = contents(folder)
    with pytest.raises(KeysError, match="another folder"):
        init_keys(folder, 3, ORIGIN)
    assert contents(folder) == before


@pytest.mark.parametrize("left", ["authority/ca_key", "shared/data_key", "node2/rsa_private"])
def test_what_is_left_of_an_earlier_attempt_is_not_overwritten_either(folder: Path, left: str) -> None:
    for name in set(contents(folder)) - {left}:
        (folder / name).unlink()
    before = contents(folder)
    with pytest.raises(KeysError, match="already"):
        init_keys(folder, 3, ORIGIN)
    assert contents(folder)[left] == before[left]
    assert not (folder / "genesis").exists()


def test_another_folder_has_another_cluster(folder: Path, tmp_path: Path) -> None:
    other = init_keys(tmp_path / "other", 1, ORIGIN)
    assert other.hash != load_genesis(folder / "genesis").hash


def test_a_genesis_file_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "genesis"
    with pytest.raises(KeysError, match="genesis"):
        load_genesis(path)
    second = chain(notes(["a"]))[1]
    whole = dump_genesis(genesis())
    note = seal(prev_hash=bytes(32), index=1, term=0, time_us=1, kind="Note", public=encode_map({}))
    malformed = seal(prev_hash=bytes(32), index=1, term=0, time_us=1, kind="Genesis", public=encode_map({}))
    unlinked = seal(prev_hash=b"p" * 32, index=1, term=0, time_us=1, kind="Genesis", public=genesis().public)
    for data in (
        b"",
        whole[:-1],
        whole + b"\0",
        frame("genesis-file", genesis().header, b"\x80"),
        *map(dump_genesis, (second, note, malformed, unlinked)),
    ):
        path.write_bytes(data)
        with pytest.raises(KeysError, match="genesis"):
            load_genesis(path)
    path.write_bytes(whole)
    assert load_genesis(path) == genesis()


def test_one_more_node_gets_keys_of_the_same_authority(folder: Path) -> None:
    record = add_node_keys(folder, 4)
    own = folder / "node4"
    assert load_record(own / "record") == record
    assert (record.id, record.name, record.voter) == (4, f"{ORIGIN}/node4", True)
    certificate(own / "tls_certificate").verify_directly_issued_by(certificate(folder / "shared" / "ca_certificate"))
    with pytest.raises(KeysError, match="never used again"):
        add_node_keys(folder, 4)


def test_what_is_no_record_or_no_cluster_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(KeysError, match="not a node's record"):
        load_record(folder / "genesis")
    with pytest.raises(KeysError, match="not a genesis file"):
        add_node_keys(tmp_path, 4)
    shutil.copy(folder / "genesis", tmp_path)
    with pytest.raises(KeysError, match="authority cannot be read"):
        add_node_keys(tmp_path, 4)
