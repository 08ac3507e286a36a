"""`ballot trustee`: a key file that keeps its secret, and commands that show, check and ask before they send."""

from __future__ import annotations

import base64
import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ballot import trustee_cli, trustee_key
from ballot.cli import main
from ballot.client.api import b64
from ballot.ledger import rsa
from ballot.mail.letter import LANGUAGES, Language, letter
from ballot.trustee_key import KeyFileError, make_key, read_key
from ballot.voting.fold import key_hash
from tests.support.keys import long_key
from tests.support.registrar import ELECTION
from tests.support.trustees import NAME, TrusteeCluster, TrusteeLine

PASSPHRASE, PASSWORD = "twelve characters", "a password"
KEY = long_key(4)
FINGERPRINT = key_hash(rsa.modulus(KEY)).hex()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rsa, "generate", lambda bits: KEY)
    monkeypatch.setattr(trustee_key, "BCRYPT_ROUNDS", 1)


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Iterator[TrusteeLine]:
    line = TrusteeLine(TrusteeCluster())

    async def code(email: str) -> str:
        return "123456"

    monkeypatch.setattr(trustee_cli, "Line", lambda urls, tls: line)
    monkeypatch.setattr(trustee_cli, "ask_code", code)
    yield line


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "trustee.key"
    make_key(path, PASSPHRASE)
    return path


def run(command: str, key: Path, line: TrusteeLine, *more: str, answers: tuple[str, ...] = ("y",)) -> Result:
    arguments = ["trustee", command, str(key), "--url", "http://node", "--email", "tess@example.org"]
    typed = "\n".join([PASSPHRASE, PASSWORD, *answers]) + "\n"
    if "--genesis" not in more:
        more = (*more, "--genesis", line.cluster.genesis.hash.hex())
    return CliRunner().invoke(main, [*arguments, "--election", b64(ELECTION), *more], input=typed)


# -- the key file


def test_a_key_is_made_under_a_passphrase_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "trustee.key"
    done = CliRunner().invoke(main, ["trustee", "keygen", str(path), "--json"], input=f"{PASSPHRASE}\n{PASSPHRASE}\n")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == {"file": str(path), "fingerprint": FINGERPRINT}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert rsa.modulus(read_key(path, PASSPHRASE)) == rsa.modulus(KEY)
    assert b"bcrypt" in base64.b64decode(b"".join(path.read_bytes().splitlines()[1:-1]))


def test_a_key_is_never_overwritten(key: Path) -> None:
    before = key.read_bytes()
    done = CliRunner().invoke(main, ["trustee", "keygen", str(key)], input=f"{PASSPHRASE}\n{PASSPHRASE}\n")
    assert done.exit_code == 1 and "never overwritten" in done.output
    with pytest.raises(KeyFileError, match="never overwritten"):
        make_key(key, PASSPHRASE)
    assert key.read_bytes() == before


def test_a_short_passphrase_or_a_link_makes_no_key(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="12 characters"):
        make_key(tmp_path / "key", "short")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KeyFileError):
        make_key(tmp_path / "link", PASSPHRASE)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link"]


def test_the_passphrase_may_come_from_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(PASSPHRASE + "\r\nmore\n")
    done = CliRunner().invoke(main, ["trustee", "keygen", str(tmp_path / "key"), "--passphrase-file", str(secret)])
    assert done.exit_code == 0 and FINGERPRINT in done.stdout
    read_key(tmp_path / "key", PASSPHRASE)


@pytest.mark.parametrize("content", [b"", b"garbage", rsa.dump_private(long_key(4))], ids=["empty", "garbage", "pem"])
def test_what_is_no_key_of_ours_is_not_read(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(KeyFileError):
        read_key(tmp_path / "key", PASSPHRASE)


def test_a_wrong_passphrase_and_a_key_without_one_are_told(key: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="wrong passphrase"):
        read_key(key, "another passphrase")
    bare = tmp_path / "bare"
    bare.write_bytes(KEY.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    with pytest.raises(KeyFileError, match="not under a passphrase"):
        read_key(bare, PASSPHRASE)
    curve = PrivateFormat.OpenSSH.encryption_builder().kdf_rounds(1).build(PASSPHRASE.encode())
    bare.write_bytes(generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, curve))
    with pytest.raises(KeyFileError, match="not an RSA key"):
        read_key(bare, PASSPHRASE)


# -- enrolling


def test_enrolling_shows_what_is_signed_asks_and_finds_it_in_the_log(key: Path, line: TrusteeLine) -> None:
    done = run("enrol", key, line)
    assert done.exit_code == 0, done.output
    for shown in ("City election", "Mayor?", "2 of 1", NAME, FINGERPRINT):
        assert shown in done.stderr
    assert line.cluster.entries[-1].kind == "TrusteeEnrolled" and "entry: 2" in done.stdout
    assert line.posted == ["/api/auth/login", "/api/auth/otp/verify", "/trustees"]


def test_who_says_no_has_sent_nothing(key: Path, line: TrusteeLine) -> None:
    assert run("enrol", key, line, answers=("n",)).exit_code == 1
    line.trusting.hold(rsa.modulus(KEY))
    assert run("release", key, line, answers=("n",)).exit_code == 1
    assert not {"/trustees", "/trustee-key"} & set(line.posted)


def test_an_account_is_made_on_the_way(key: Path, line: TrusteeLine) -> None:
    assert run("enrol", key, line, "--register", "--yes").exit_code == 0
    assert line.posted[0] == "/api/auth/register"


def test_a_log_that_nobody_named_is_vouched_for_once(key: Path, line: TrusteeLine) -> None:
    genesis = line.cluster.genesis.hash.hex()
    arguments = ["trustee", "enrol", str(key), "--url", "http://node", "--email", "tess@example.org"]
    arguments += ["--election", b64(ELECTION)]

    def answering(*typed: str) -> Result:
        return CliRunner().invoke(main, arguments, input="\n".join([PASSPHRASE, *typed]) + "\n")

    refused = answering("n")
    assert refused.exit_code == 1 and genesis in refused.stderr and line.posted == []
    assert answering("y", PASSWORD, "y").exit_code == 0
    assert answering(PASSWORD, "y").exit_code == 0, "remembered"


def test_another_log_than_the_one_named_or_remembered_is_refused(key: Path, line: TrusteeLine) -> None:
    other = run("enrol", key, line, "--genesis", "00" * 32)
    assert other.exit_code == 1 and "NOT TRUSTED" in other.output
    assert run("enrol", key, line).exit_code == 0
    later = run("enrol", key, line, "--genesis", "00" * 32)
    assert later.exit_code == 1 and "remembers another log" in later.output


@pytest.mark.parametrize("election", ["", "x", b64(bytes(15)), "ä" * 22])
def test_what_is_no_elections_id_is_a_wrong_use(key: Path, line: TrusteeLine, election: str) -> None:
    done = CliRunner().invoke(
        main, ["trustee", "enrol", str(key), "--url", "u", "--email", "e", "--election", election]
    )
    assert done.exit_code == 2


# -- releasing


def test_releasing_shows_the_proven_board_asks_and_says_how_many_are_missing(key: Path, line: TrusteeLine) -> None:
    line.trusting.hold(rsa.modulus(KEY))
    done = run("release", key, line, "--json")
    assert done.exit_code == 0, done.output
    fields: dict[str, Any] = json.loads(done.stdout)
    assert fields == {"released": FINGERPRINT, "entry": len(line.cluster.entries), "keys_missing": 1}
    for shown in ("trustee 2 of 2, 2 are needed", "3 ballots", f"entry {line.trusting.published_at}", "root "):
        assert shown in done.stderr


def test_a_board_that_is_not_proven_releases_nothing_and_says_so(key: Path, line: TrusteeLine) -> None:
    line.trusting.hold(rsa.modulus(long_key(6)))
    done = run("release", key, line, "--yes")
    assert done.exit_code == 1 and "NOT TRUSTED" in done.output and "Nothing was released" in done.output
    assert "/trustee-key" not in line.posted


def test_too_early_is_no_alarm(key: Path, line: TrusteeLine) -> None:
    done = run("release", key, line, "--yes")
    assert done.exit_code == 1 and "has not opened" in done.output and "NOT TRUSTED" not in done.output


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_command_in_the_invitation_gives_every_option_that_is_required(language: Language) -> None:
    written = letter("trustee", language, title="x", name="x", site="https://n", election=b64(ELECTION))
    [line] = [line for line in written.text.splitlines() if "ballot trustee enrol" in line]
    options = [option for option in trustee_cli.enrol.params if option.required and option.opts[0].startswith("--")]
    assert len(options) == 3
    assert all(f" {option.opts[0]} " in line for option in [*options, GENESIS])


GENESIS = next(option for option in trustee_cli.enrol.params if option.name == "genesis")
