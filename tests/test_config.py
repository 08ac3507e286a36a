"""Settings: what is wrong is named, what is secret is never shown."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from psycopg.conninfo import conninfo_to_dict

from ballot.config import ConfigError, Settings, read_settings
from ballot.keys import dump_genesis
from ballot.ledger import rsa
from tests.support.chain import genesis
from tests.support.keys import long_key

COMPLETE = {
    "BALLOT_NODE": "2",
    "BALLOT_DSN": "host=db password=dsn-secret",
    "BALLOT_REDIS_URL": "redis://:redis-secret@cache:6379/0",
    "BALLOT_STATE": "/var/lib/ballot",
    "BALLOT_PEERS": "1=one:7100,2=two:7100,3=three:7100",
    "BALLOT_SMTP_URL": "smtp://user:smtp-secret@mail:587",
}


def settings(**changes: str) -> Settings:
    return read_settings(COMPLETE | {f"BALLOT_{name}": value for name, value in changes.items()})


def test_a_complete_environment_is_read() -> None:
    found = settings(LISTEN="0.0.0.0:7100", HTTP="[::1]:8080", WORKERS="4", MUTEX="0", CLOCK_OFFSET_US="-5")
    assert found.node == 2
    assert found.peers == {1: ("one", 7100), 3: ("three", 7100)}
    assert found.listen == ("0.0.0.0", 7100)
    assert found.http == ("[::1]", 8080)
    assert (found.workers, found.mutex, found.clock_offset_us) == (4, False, -5)
    assert found.socket == Path("/var/lib/ballot/node.sock")


def test_what_may_be_left_out_has_a_default() -> None:
    minimal = {name: COMPLETE[name] for name in ("BALLOT_NODE", "BALLOT_DSN", "BALLOT_REDIS_URL", "BALLOT_STATE")}
    found = read_settings(minimal)
    assert found.peers == {}
    assert found.secrets == (Path("/run/secrets"),)
    assert found.mailbox is None
    assert (found.mutex, found.clock_offset_us, found.log_level) == (True, 0, "info")


@pytest.mark.parametrize("name", ["NODE", "DSN", "REDIS_URL", "STATE"])
def test_a_missing_or_empty_setting_is_named(name: str) -> None:
    without = {key: value for key, value in COMPLETE.items() if key != f"BALLOT_{name}"}
    for environment in (without, without | {f"BALLOT_{name}": ""}):
        with pytest.raises(ConfigError, match=f"BALLOT_{name}"):
            read_settings(environment)


WRONG = [
    ("NODE", "0"),
    ("NODE", "-1"),
    ("NODE", "one"),
    ("PEERS", "one:7100"),
    ("PEERS", "1=one"),
    ("PEERS", "1=one:port"),
    ("PEERS", "x=one:7100"),
    ("PEERS", "\N{SUPERSCRIPT TWO}=one:7100"),
    ("PEERS", "1=one:7100,1=two:7100"),
    ("LISTEN", "7100"),
    ("LISTEN", ":7100"),
    ("LISTEN", "host:65536"),
    ("LISTEN", "host:\N{SUPERSCRIPT TWO}"),
    ("HTTP", "host:"),
    ("WORKERS", "two"),
    ("WORKERS", "0"),
    ("CLOCK_OFFSET_US", "1.5"),
    ("LOG_LEVEL", "loud"),
    ("MUTEX", "yes"),
    ("WITNESSES", "witness.example/w1"),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_setting_that_makes_no_sense_is_named(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"BALLOT_{name}"):
        settings(**{name: value})


def test_no_secret_is_in_the_text_of_the_settings() -> None:
    for text in (repr(settings()), str(settings())):
        assert "secret" not in text.replace("secrets=", "").replace("/run/secrets", "")


# -- secrets in files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The secrets of one node in two folders, as an operator may lay them out."""
    own, shared = tmp_path / "own", tmp_path / "shared"
    own.mkdir()
    shared.mkdir()
    (own / "rsa_private").write_bytes(rsa.dump_private(long_key(1)))
    (shared / "data_key").write_bytes(b"k" * 32)
    (shared / "genesis").write_bytes(dump_genesis(genesis()))
    return tmp_path


def in_folders(folder: Path) -> Settings:
    return settings(SECRETS=os.pathsep.join((str(folder / "own"), str(folder / "shared"))))


def test_a_secret_is_found_in_the_first_folder_that_has_it(folder: Path) -> None:
    assert in_folders(folder).secret("data_key") == b"k" * 32
    (folder / "own" / "data_key").write_bytes(b"own")
    assert in_folders(folder).secret("data_key") == b"own"


def test_the_genesis_and_the_vault_come_from_their_files(folder: Path) -> None:
    assert in_folders(folder).genesis() == genesis()
    sealed = in_folders(folder).vault().seal(b"secret", b"")
    assert in_folders(folder).vault().open(sealed, b"") == b"secret"


def test_a_missing_secret_is_named(folder: Path) -> None:
    with pytest.raises(ConfigError, match="otp_key"):
        in_folders(folder).secret("otp_key")


def test_a_secret_that_cannot_be_used_is_named_and_not_shown(folder: Path) -> None:
    (folder / "shared" / "data_key").write_bytes(b"topsecret")
    with pytest.raises(ConfigError, match="data_key") as error:
        in_folders(folder).vault()
    assert "topsecret" not in str(error.value)
    (folder / "shared" / "data_key").write_bytes(b"k" * 32)
    for bad in (b"topsecret", rsa.dump_private(long_key(1))):
        (folder / "own" / "ed25519_private").write_bytes(bad)
        with pytest.raises(ConfigError, match="ed25519_private") as error:
            in_folders(folder).node_settings()
        assert "topsecret" not in str(error.value)


def test_no_secret_is_in_the_text_of_what_a_node_is_given(folder: Path) -> None:
    key = Ed25519PrivateKey.from_private_bytes(b"n" * 32)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "own" / "ed25519_private").write_bytes(pem)
    for name in ("tls_certificate", "tls_key", "ca_certificate"):
        (folder / "own" / name).write_bytes(b"")
    node = in_folders(folder).node_settings()
    assert node.keys.ed25519.private_bytes_raw() == b"n" * 32
    text = repr(node)
    assert "dsn-secret" not in text
    assert "PrivateKey" not in text
    assert "Vault" not in text


# -- passwords in files of their own


@pytest.fixture
def passwords(folder: Path) -> Path:
    (folder / "own" / "postgres_password").write_text("p'w \\1\n")
    (folder / "shared" / "redis_password").write_text("r:w/1")
    (folder / "shared" / "smtp_password").write_text("s@w")
    return folder


def with_passwords(folder: Path, **changes: str) -> Settings:
    return settings(SECRETS=os.pathsep.join((str(folder / "own"), str(folder / "shared"))), **changes)


def test_a_password_that_is_not_in_the_environment_comes_from_its_secret(passwords: Path) -> None:
    found = with_passwords(
        passwords, DSN="host=db user=ballot", REDIS_URL="redis://cache:6379/0", SMTP_URL="smtp://user@mail:587"
    )
    assert conninfo_to_dict(found.dsn) == {"host": "db", "user": "ballot", "password": "p'w \\1"}
    assert found.redis_url == "redis://:r%3Aw%2F1@cache:6379/0"
    assert found.smtp_url == "smtp://user:s%40w@mail:587"


def test_a_password_in_the_environment_goes_before_the_secret(passwords: Path) -> None:
    found = with_passwords(passwords)
    assert (found.dsn, found.redis_url) == (COMPLETE["BALLOT_DSN"], COMPLETE["BALLOT_REDIS_URL"])
    assert found.smtp_url == COMPLETE["BALLOT_SMTP_URL"]


def test_a_mail_server_that_asks_for_no_user_gets_no_password(passwords: Path) -> None:
    assert with_passwords(passwords, SMTP_URL="smtp+plain://mail:25").smtp_url == "smtp+plain://mail:25"


def test_a_connection_string_that_is_none_is_named_and_not_shown(passwords: Path) -> None:
    with pytest.raises(ConfigError, match="BALLOT_DSN") as error:
        with_passwords(passwords, DSN="host=db topsecret")
    assert "topsecret" not in str(error.value)
