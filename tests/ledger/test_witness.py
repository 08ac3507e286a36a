"""Witnesses' keys and lines, as C2SP writes them."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from ballot.ledger.checkpoint import Checkpoint, assemble, cosign, verify_note
from ballot.ledger.membership import membership_of
from ballot.ledger.witness import (
    Unknown,
    Witness,
    WitnessError,
    read_cosignatures,
    read_signer,
    read_vkey,
    read_vkeys,
    with_lines,
    write_signer,
)
from tests.support.log_builder import ORIGIN, election_log, sign_note

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
WITNESS = Witness("witness.example/w1", KEY.public_key().public_bytes_raw())
POINT = Checkpoint(ORIGIN, 7, bytes(32))


def line(key: Ed25519PrivateKey = KEY, name: str = WITNESS.name, point: Checkpoint = POINT) -> str:
    return cosign(key, name, point, 1_700_000_000)


def test_a_verifier_key_is_name_id_and_typed_key() -> None:
    name, key_id, key = WITNESS.vkey.split("+", 2)
    assert (name, len(key_id)) == (WITNESS.name, 8)
    assert key.startswith("BA")  # 0x04 in front.
    assert read_vkey(WITNESS.vkey) == WITNESS


def test_the_private_key_of_a_witness_goes_there_and_back() -> None:
    text = write_signer(WITNESS.name, KEY)
    witness, key = read_signer(f"{text}\n")
    assert text.startswith("PRIVATE+KEY+") and witness == WITNESS
    assert key.private_bytes_raw() == KEY.private_bytes_raw()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "witness.example/w1",
        WITNESS.vkey.replace(WITNESS.key_id.hex(), "00000000"),
        WITNESS.vkey.replace("+BA", "+AQ", 1),
        WITNESS.vkey[:-4],
        WITNESS.vkey + "=",
        WITNESS.vkey.replace("witness", "a\x00b"),
    ],
)
def test_what_is_no_verifier_key_is_refused(text: str) -> None:
    with pytest.raises(WitnessError):
        read_vkey(text)


def test_no_two_witnesses_share_a_name_or_a_key() -> None:
    other = Witness("witness.example/w2", OTHER.public_key().public_bytes_raw())
    assert read_vkeys(f"{WITNESS.vkey}\n {other.vkey}") == (WITNESS, other)
    for twin in (Witness(WITNESS.name, other.ed25519), Witness(other.name, WITNESS.ed25519)):
        with pytest.raises(WitnessError, match="share"):
            read_vkeys(f"{WITNESS.vkey} {twin.vkey}")


def test_a_known_witness_line_is_verified_and_others_are_passed_over() -> None:
    note = assemble(POINT, [line(OTHER, "stranger"), line()])
    assert read_cosignatures(note, [WITNESS]) == (POINT, {WITNESS: line()})
    with pytest.raises(Unknown):
        read_cosignatures(assemble(POINT, [line(OTHER)]), [WITNESS])
    with pytest.raises(Unknown):
        read_cosignatures(note, [])


def test_a_line_under_another_checkpoint_does_not_verify() -> None:
    moved = assemble(Checkpoint(ORIGIN, 8, bytes(32)), [line()])
    with pytest.raises(WitnessError, match="does not verify"):
        read_cosignatures(moved, [WITNESS])


@given(st.binary(max_size=300))
def test_rubbish_is_no_note(data: bytes) -> None:
    with pytest.raises(WitnessError):
        read_cosignatures(data, [WITNESS])


def test_a_checkpoint_with_a_witness_below_still_counts_for_whoever_does_not_know_it() -> None:
    log = election_log()
    members = membership_of(log.drafts[0].public).members
    note = sign_note(log.sealer.tree, 9)
    point = verify_note(note, ORIGIN, members)
    assert verify_note(with_lines(note, [line(point=point)]), ORIGIN, members) == point
