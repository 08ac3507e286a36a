"""Checkpoints: the exact C2SP bytes, and everything that must not be trusted."""

import base64
import hashlib
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ballot.ledger import rsa
from ballot.ledger.checkpoint import (
    MAX_LINES,
    MAX_SIZE,
    Checkpoint,
    CheckpointError,
    Member,
    Signature,
    assemble,
    cosign,
    parse_body,
    rsa_line,
    verify_line,
    verify_note,
)

ORIGIN = "ballot.example/log"
ROOT = hashlib.sha256(b"some tree").digest()
CHECKPOINT = Checkpoint(ORIGIN, 1234, ROOT)
TIME = 1_700_000_000
NAMES = [f"ballot.example/node{number}" for number in range(1, 6)]
KEYS = [Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number in range(1, 6)]


@pytest.fixture(scope="module")
def leader_key() -> RSAPrivateKey:
    return rsa.generate(3072)


@pytest.fixture(scope="module")
def members(leader_key: RSAPrivateKey) -> list[Member]:
    """Five nodes; for speed they share one RSA key, which their names still tell apart."""
    modulus = rsa.modulus(leader_key)
    return [Member(name, key.public_key().public_bytes_raw(), modulus) for name, key in zip(NAMES, KEYS, strict=True)]


@pytest.fixture(scope="module")
def leader_line(leader_key: RSAPrivateKey) -> str:
    return rsa_line(leader_key, NAMES[0], CHECKPOINT)


def line(node: int, checkpoint: Checkpoint = CHECKPOINT, time_s: int = TIME) -> str:
    """The cosignature of node 1 to 5."""
    return cosign(KEYS[node - 1], NAMES[node - 1], checkpoint, time_s)


def refused(note: bytes, members: list[Member], reason: str, origin: str = ORIGIN) -> None:
    with pytest.raises(CheckpointError, match=reason):
        verify_note(note, origin, members)


def test_the_body_is_three_lines() -> None:
    body = CHECKPOINT.body()
    assert body == f"ballot.example/log\n1234\n{base64.b64encode(ROOT).decode()}\n".encode()
    assert parse_body(body) == CHECKPOINT


def test_a_cosignature_is_the_bytes_of_the_specification() -> None:
    public = KEYS[0].public_key()
    dash, name, blob = line(1).split(" ")
    data = base64.b64decode(blob)
    identified = NAMES[0].encode() + b"\n\x04" + public.public_bytes_raw()
    assert (dash, name) == ("—", NAMES[0])
    assert data[:4] == hashlib.sha256(identified).digest()[:4]
    assert int.from_bytes(data[4:12], "big") == TIME
    public.verify(data[12:], b"cosignature/v1\ntime 1700000000\n" + CHECKPOINT.body())


def test_the_leaders_line_is_the_bytes_of_the_protocol(leader_key: RSAPrivateKey, leader_line: str) -> None:
    info = leader_key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    dash, name, blob = leader_line.split(" ")
    data = base64.b64decode(blob)
    identified = NAMES[0].encode() + b"\n\xffballot-rsa-pss-sha384" + info
    assert (dash, name) == ("—", NAMES[0])
    assert data[:4] == hashlib.sha256(identified).digest()[:4]
    rsa.verify(rsa.modulus(leader_key), data[4:], CHECKPOINT.body())


def test_a_note_is_body_blank_line_and_signature_lines(leader_line: str) -> None:
    note = assemble(CHECKPOINT, [leader_line, line(1)])
    assert note == CHECKPOINT.body() + f"\n{leader_line}\n{line(1)}\n".encode()


def test_a_line_is_verified_alone(members: list[Member], leader_line: str) -> None:
    assert verify_line(line(2), CHECKPOINT, members[1]) is Signature.COSIGNATURE
    assert verify_line(leader_line, CHECKPOINT, members[0]) is Signature.RSA_PSS


def test_a_line_of_another_member_is_refused(members: list[Member], leader_line: str) -> None:
    for text in (line(2), leader_line):
        with pytest.raises(CheckpointError, match="not signed by a key"):
            verify_line(text, CHECKPOINT, members[2])


@pytest.mark.parametrize(
    "checkpoint",
    [
        Checkpoint(ORIGIN, 1235, ROOT),
        Checkpoint(ORIGIN, 1234, bytes(32)),
        Checkpoint("ballot.example/other", 1234, ROOT),
    ],
)
def test_a_line_for_another_checkpoint_is_refused(
    members: list[Member], leader_line: str, checkpoint: Checkpoint
) -> None:
    with pytest.raises(CheckpointError, match="does not verify"):
        verify_line(line(1), checkpoint, members[0])
    with pytest.raises(CheckpointError, match="does not verify"):
        verify_line(leader_line, checkpoint, members[0])


@pytest.mark.parametrize("cosigners", [(1, 2, 3), (3, 4, 5), (5, 2, 4, 1), (1, 2, 3, 4, 5)])
def test_a_majority_and_the_leader_make_a_checkpoint(
    members: list[Member], leader_line: str, cosigners: tuple[int, ...]
) -> None:
    note = assemble(CHECKPOINT, [leader_line, *map(line, cosigners)])
    assert verify_note(note, ORIGIN, members) == CHECKPOINT


@pytest.mark.parametrize("count, needed", [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3)])
def test_a_majority_is_more_than_half(members: list[Member], leader_line: str, count: int, needed: int) -> None:
    some = members[:count]
    enough = assemble(CHECKPOINT, [leader_line, *map(line, range(1, needed + 1))])
    assert verify_note(enough, ORIGIN, some) == CHECKPOINT
    refused(assemble(CHECKPOINT, [leader_line, *map(line, range(1, needed))]), some, "no majority")


def test_the_signature_of_one_node_counts_once(members: list[Member], leader_line: str) -> None:
    twice = [line(1), line(1), line(1, time_s=TIME + 1), line(2)]
    refused(assemble(CHECKPOINT, [leader_line, *twice]), members, "cosigned by 2 of 5")


def test_the_leaders_line_is_no_cosignature(members: list[Member], leader_key: RSAPrivateKey, leader_line: str) -> None:
    lines = [leader_line, rsa_line(leader_key, NAMES[3], CHECKPOINT), line(1), line(2)]
    refused(assemble(CHECKPOINT, lines), members, "cosigned by 2 of 5")


def test_cosignatures_without_the_leaders_line_are_refused(members: list[Member]) -> None:
    refused(assemble(CHECKPOINT, map(line, (1, 2, 3, 4, 5))), members, "no RSA-PSS")


def test_the_leaders_line_of_no_member_is_not_enough(members: list[Member], leader_key: RSAPrivateKey) -> None:
    stranger = rsa_line(leader_key, "ballot.example/node9", CHECKPOINT)
    refused(assemble(CHECKPOINT, [stranger, *map(line, (1, 2, 3))]), members, "no RSA-PSS")


def test_another_origin_is_refused(members: list[Member], leader_line: str) -> None:
    note = assemble(CHECKPOINT, [leader_line, *map(line, (1, 2, 3))])
    refused(note, members, "another log", origin="ballot.example/other")


@pytest.mark.parametrize(
    "before, after",
    [
        (b"\n1234\n", b"\n1235\n"),
        (base64.b64encode(ROOT), base64.b64encode(bytes(32))),
        (b"example/log\n", b"example/lag\n"),
    ],
)
def test_a_changed_body_is_refused(members: list[Member], leader_line: str, before: bytes, after: bytes) -> None:
    note = assemble(CHECKPOINT, [leader_line, *map(line, (1, 2, 3))]).replace(before, after)
    origin = note.split(b"\n")[0].decode()
    refused(note, members, "does not verify", origin=origin)


def test_a_spoilt_line_of_a_member_spoils_the_note(members: list[Member], leader_line: str) -> None:
    elsewhere = line(5, Checkpoint(ORIGIN, 1234, bytes(32)))
    note = assemble(CHECKPOINT, [leader_line, *map(line, (1, 2, 3)), elsewhere])
    refused(note, members, "node5 does not verify")


def test_a_moved_time_is_refused(members: list[Member], leader_line: str) -> None:
    dash, name, blob = line(3).split(" ")
    data = base64.b64decode(blob)
    moved = data[:4] + (TIME + 1).to_bytes(8, "big") + data[12:]
    text = f"{dash} {name} {base64.b64encode(moved).decode()}"
    refused(assemble(CHECKPOINT, [leader_line, line(1), line(2), text]), members, "does not verify")


def test_a_time_beyond_the_specification_is_refused() -> None:
    with pytest.raises(CheckpointError, match="time"):
        cosign(KEYS[0], NAMES[0], CHECKPOINT, 2**63)


def test_swapped_signatures_are_refused(members: list[Member], leader_line: str) -> None:
    one, two = (base64.b64decode(line(node).split(" ")[2]) for node in (1, 2))
    whole = [f"— {NAMES[0]} {base64.b64encode(two).decode()}", f"— {NAMES[1]} {base64.b64encode(one).decode()}"]
    # Under a foreign key id they are lines of unknown keys, and count for nobody.
    refused(assemble(CHECKPOINT, [leader_line, line(3), *whole]), members, "cosigned by 1 of 5")
    under_own_id = f"— {NAMES[0]} {base64.b64encode(one[:4] + two[4:]).decode()}"
    refused(assemble(CHECKPOINT, [leader_line, line(3), under_own_id]), members, "does not verify")


def test_lines_of_witnesses_are_ignored(members: list[Member], leader_line: str) -> None:
    witness = cosign(Ed25519PrivateKey.generate(), "witness.example/w1", CHECKPOINT, TIME)
    rotated = cosign(Ed25519PrivateKey.generate(), NAMES[1], CHECKPOINT, TIME)
    unknown = f"— witness.example/pq {base64.b64encode(bytes(2432)).decode()}"
    note = assemble(CHECKPOINT, [leader_line, *map(line, (1, 2, 3)), witness, rotated, unknown])
    assert verify_note(note, ORIGIN, members) == CHECKPOINT
    without_one = assemble(CHECKPOINT, [leader_line, *map(line, (1, 3)), witness, rotated, unknown])
    refused(without_one, members, "cosigned by 2 of 5")


def test_members_that_share_a_name_or_a_key_are_refused(members: list[Member], leader_line: str) -> None:
    note = assemble(CHECKPOINT, [leader_line, *map(line, (1, 2, 3))])
    renamed = Member("ballot.example/node9", members[0].ed25519, members[0].rsa)
    rekeyed = Member(NAMES[0], bytes(32), members[0].rsa)
    refused(note, [*members, renamed], "share a name or a key")
    refused(note, [*members, rekeyed], "share a name or a key")


def test_no_members_make_no_majority(leader_line: str) -> None:
    refused(assemble(CHECKPOINT, [leader_line, line(1)]), [], "no majority")


@pytest.mark.parametrize("size", [0, 1, MAX_SIZE])
def test_every_size_the_format_knows_goes_there_and_back(size: int) -> None:
    checkpoint = Checkpoint(ORIGIN, size, ROOT)
    assert parse_body(checkpoint.body()) == checkpoint


ROOT64 = base64.b64encode(ROOT).decode()


@pytest.mark.parametrize(
    "body",
    [
        "",
        f"{ORIGIN}\n1234\n{ROOT64}",
        f"{ORIGIN}\n1234\n{ROOT64}\nextension\n",
        f"{ORIGIN}\n1234\n{ROOT64}\n\n",
        f"\n1234\n{ROOT64}\n",
        f"{ORIGIN}\r\n1234\n{ROOT64}\n",
        f"{ORIGIN}\n\n{ROOT64}\n",
        f"{ORIGIN}\n01234\n{ROOT64}\n",
        f"{ORIGIN}\n+1234\n{ROOT64}\n",
        f"{ORIGIN}\n-1\n{ROOT64}\n",
        f"{ORIGIN}\n1_234\n{ROOT64}\n",
        f"{ORIGIN}\n 1234\n{ROOT64}\n",
        f"{ORIGIN}\n\N{ARABIC-INDIC DIGIT ONE}\n{ROOT64}\n",
        f"{ORIGIN}\n{2**63}\n{ROOT64}\n",
        f"{ORIGIN}\n{'9' * 5000}\n{ROOT64}\n",
        f"{ORIGIN}\n1234\n{base64.b64encode(ROOT[1:]).decode()}\n",
        f"{ORIGIN}\n1234\n{base64.b64encode(ROOT + b'x').decode()}\n",
        f"{ORIGIN}\n1234\n{ROOT64[:-1]}\n",
        f"{ORIGIN}\n1234\n{ROOT64}=\n",
        f"{ORIGIN}\n1234\n{ROOT64} \n",
        f"{ORIGIN}\n1234\n{base64.urlsafe_b64encode(bytes([255]) * 32).decode()}\n",
        f"{ORIGIN}\n1234\n{base64.b64encode(bytes(32)).decode()[:-2]}B=\n",
    ],
)
def test_a_body_that_is_not_canonical_is_refused(body: str) -> None:
    with pytest.raises(CheckpointError):
        parse_body(body.encode())


@pytest.mark.parametrize(
    "change",
    [
        lambda note: note[:-1],
        lambda note: note + b"\n",
        lambda note: note + b"x",
        lambda note: note + note,
        lambda note: b"\n" + note,
        lambda note: note.replace(b"\n\n", b"\n"),
        lambda note: note.replace(b"\n\n", b"\n\n\n"),
        lambda note: note.replace(b"\n", b"\r\n"),
        lambda note: note.replace("—".encode(), b"-"),
        lambda note: note.replace("— ".encode(), "—  ".encode()),
        lambda note: note.replace("— ".encode(), " — ".encode()),
        lambda note: note[:-1] + b" \n",
        lambda note: note.replace(b"ballot.example/node1 ", b" "),
        lambda note: note.replace(b"node1 ", b"node+1 "),
        lambda note: note.replace(b"node1 ", "node\u20031 ".encode()),
        lambda note: note.replace(b"node1 ", b"node\t1 "),
        lambda note: note.replace(b"node1 ", b"node\xff1 "),
        lambda note: note[:-2] + b"\n",
        lambda note: note[:-1] + b"=\n",
        lambda note: note + "— witness.example AAAAAA==\n".encode(),
        lambda note: note + "— witness.example AAAAAAB=\n".encode(),
        lambda note: note + "— witness.example AAAA_AAA\n".encode(),
        lambda note: note.split(b"\n\n")[0] + b"\n\n",
        lambda note: note + "— witness.example AAAAAAAA\n".encode() * MAX_LINES,
        lambda note: note + "— witness.example ".encode() + b"A" * 65536 + b"\n",
    ],
)
def test_a_note_that_is_not_canonical_is_refused(
    members: list[Member], leader_line: str, change: Callable[[bytes], bytes]
) -> None:
    note = assemble(CHECKPOINT, [leader_line, *map(line, (1, 2, 3))])
    assert verify_note(note, ORIGIN, members) == CHECKPOINT
    with pytest.raises(CheckpointError):
        verify_note(change(note), ORIGIN, members)


def test_every_flipped_bit_of_the_signed_text_is_refused(members: list[Member], leader_line: str) -> None:
    note = assemble(CHECKPOINT, [leader_line, *map(line, (1, 2, 3))])
    for place in range(len(CHECKPOINT.body()) + 1):
        damaged = bytearray(note)
        damaged[place] ^= 1
        with pytest.raises(CheckpointError):
            verify_note(bytes(damaged), ORIGIN, members)


@pytest.mark.parametrize("lines", [[], [""], ["— a"], [f"— {NAMES[0]} AAAAAAAA\n"]])
def test_a_note_is_not_made_of_malformed_lines(lines: list[str]) -> None:
    with pytest.raises(CheckpointError):
        assemble(CHECKPOINT, lines)


def test_what_has_no_text_is_no_checkpoint() -> None:
    for origin, size, root in (
        ("", 1, ROOT),
        ("two\nlines", 1, ROOT),
        (ORIGIN, -1, ROOT),
        (ORIGIN, 2**63, ROOT),
        (ORIGIN, 1, ROOT[1:]),
    ):
        with pytest.raises(CheckpointError):
            Checkpoint(origin, size, root)


def test_what_cannot_sign_is_no_member(members: list[Member]) -> None:
    good = members[0]
    for name in ("", "two words", "a+b", "line\n"):
        with pytest.raises(CheckpointError, match="key name"):
            Member(name, good.ed25519, good.rsa)
    for ed25519, modulus in ((good.ed25519[1:], good.rsa), (good.ed25519, good.rsa[1:])):
        with pytest.raises(CheckpointError, match="wrong length"):
            Member(good.name, ed25519, modulus)
    with pytest.raises(CheckpointError, match="no modulus"):
        verify_line(line(1), CHECKPOINT, Member(good.name, good.ed25519, bytes(384)))
