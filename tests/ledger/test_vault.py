"""Private bytes at rest."""

from __future__ import annotations

import pytest

from ballot.ledger.vault import NONCE_BYTES, Vault, VaultError, fold_address

VAULT = Vault(bytes(range(32)))
SEALED = VAULT.seal(b"secret", b"context")


def test_sealed_bytes_open_under_the_same_key_and_context() -> None:
    assert VAULT.open(SEALED, b"context") == b"secret"
    assert VAULT.open(VAULT.seal(b"", b""), b"") == b""


def test_sealing_twice_gives_different_bytes() -> None:
    other = VAULT.seal(b"secret", b"context")
    assert other != SEALED
    assert other[:NONCE_BYTES] != SEALED[:NONCE_BYTES]
    assert b"secret" not in SEALED


def test_another_key_or_context_does_not_open_it() -> None:
    with pytest.raises(VaultError):
        Vault(bytes(32)).open(SEALED, b"context")
    with pytest.raises(VaultError):
        VAULT.open(SEALED, b"another")


def test_a_changed_or_missing_byte_anywhere_is_refused() -> None:
    for position in range(len(SEALED)):
        with pytest.raises(VaultError):
            VAULT.open(SEALED[:position] + bytes([SEALED[position] ^ 1]) + SEALED[position + 1 :], b"context")
        with pytest.raises(VaultError):
            VAULT.open(SEALED[:position], b"context")


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_data_key_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(VaultError, match="32 bytes"):
        Vault(bytes(length))


def test_the_tag_of_an_address_ignores_case_and_blanks_and_depends_on_the_key() -> None:
    tag = VAULT.address_tag("ada@example.org")
    assert len(tag) == 32
    assert tag == VAULT.address_tag(" Ada@Example.ORG\n")
    assert tag != VAULT.address_tag("bo@example.org")
    assert tag != Vault(bytes(32)).address_tag("ada@example.org")


def test_an_address_is_folded_to_one_spelling() -> None:
    assert fold_address("\tAda@Example.org ") == "ada@example.org"


def test_a_vault_does_not_show_its_key() -> None:
    assert bytes(range(32)).hex() not in repr(VAULT)
    assert repr(bytes(range(32))) not in repr(VAULT)


def test_the_newest_key_of_a_ring_seals_and_all_of_them_open() -> None:
    ring = Vault(bytes(range(32)) + b"n" * 32)
    assert ring.open(SEALED, b"context") == b"secret"
    assert Vault(b"n" * 32).open(ring.seal(b"later", b""), b"") == b"later"
    with pytest.raises(VaultError):
        VAULT.open(ring.seal(b"later", b""), b"")
    assert ring.address_tag("a@b") == VAULT.address_tag("a@b")
