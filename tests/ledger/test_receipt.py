"""Receipts: what a voter keeps, and every half-verified form of it."""

import base64
from collections.abc import Callable
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from ballot.ledger import rsa
from ballot.ledger.checkpoint import Checkpoint, Member, assemble, cosign, rsa_line
from ballot.ledger.frame import frame
from ballot.ledger.merkle import Tree, leaf_hash
from ballot.ledger.receipt import Receipt, ReceiptError, encode, parse, verify

ORIGIN = "ballot.example/log"
NAMES = [f"ballot.example/node{number}" for number in (1, 2, 3)]
KEYS = [Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number in (1, 2, 3)]
SIZE, INDEX = 11, 6
HEADERS = [b"header %d" % index for index in range(SIZE)]
SALT = b"s" * 32


@pytest.fixture(scope="module")
def leader_key() -> RSAPrivateKey:
    return rsa.generate(3072)


@pytest.fixture(scope="module")
def members(leader_key: RSAPrivateKey) -> list[Member]:
    modulus = rsa.modulus(leader_key)
    return [Member(name, key.public_key().public_bytes_raw(), modulus) for name, key in zip(NAMES, KEYS, strict=True)]


@pytest.fixture(scope="module")
def tree() -> Tree:
    tree = Tree()
    for header in HEADERS:
        tree.append(leaf_hash(header))
    return tree


Sign = Callable[..., bytes]


@pytest.fixture(scope="module")
def sign(leader_key: RSAPrivateKey) -> Sign:
    def note(checkpoint: Checkpoint, cosigners: int = 2) -> bytes:
        cosigned = [cosign(key, name, checkpoint, 1) for name, key in zip(NAMES, KEYS, strict=True)]
        return assemble(checkpoint, [rsa_line(leader_key, NAMES[0], checkpoint), *cosigned[:cosigners]])

    return note


@pytest.fixture(scope="module")
def receipt(tree: Tree, sign: Sign) -> Receipt:
    note = sign(Checkpoint(ORIGIN, SIZE, tree.root()))
    return Receipt(INDEX, HEADERS[INDEX], SALT, tuple(tree.inclusion_proof(INDEX, SIZE)), note)


def refused(receipt: Receipt, members: list[Member], reason: str, origin: str = ORIGIN) -> None:
    """By `verify`, and also after the way through text when the receipt has any."""
    with pytest.raises(ReceiptError, match=reason):
        verify(receipt, origin, members)
    with pytest.raises(ReceiptError):
        verify(parse(encode(receipt)), origin, members)


def test_a_receipt_is_a_tlog_proof(receipt: Receipt) -> None:
    extra = base64.b64encode(frame("receipt", HEADERS[INDEX], SALT)).decode()
    hashes = "".join(f"{base64.b64encode(node).decode()}\n" for node in receipt.proof)
    text = f"c2sp.org/tlog-proof@v1\nextra {extra}\nindex 6\n{hashes}\n"
    assert encode(receipt) == text.encode() + receipt.note


def test_a_receipt_goes_there_and_back(receipt: Receipt) -> None:
    assert parse(encode(receipt)) == receipt
    bare = replace(receipt, index=0, salt=b"", proof=())
    assert parse(encode(bare)) == bare


def test_a_true_receipt_yields_the_checkpoint(receipt: Receipt, members: list[Member], tree: Tree) -> None:
    assert verify(parse(encode(receipt)), ORIGIN, members) == Checkpoint(ORIGIN, SIZE, tree.root())


def test_every_leaf_has_a_true_receipt(receipt: Receipt, members: list[Member], tree: Tree) -> None:
    for index, header in enumerate(HEADERS):
        proof = tuple(tree.inclusion_proof(index, SIZE))
        verify(replace(receipt, index=index, header=header, proof=proof), ORIGIN, members)


def test_the_only_leaf_has_a_receipt_without_hashes(members: list[Member], sign: Sign) -> None:
    note = sign(Checkpoint(ORIGIN, 1, leaf_hash(b"genesis")))
    verify(parse(encode(Receipt(0, b"genesis", b"", (), note))), ORIGIN, members)


def test_a_receipt_of_another_log_is_refused(receipt: Receipt, members: list[Member]) -> None:
    refused(receipt, members, "another log", origin="ballot.example/other")


def test_a_receipt_signed_for_another_origin_is_refused(
    receipt: Receipt, members: list[Member], tree: Tree, sign: Sign
) -> None:
    foreign = sign(Checkpoint("ballot.example/other", SIZE, tree.root()))
    refused(replace(receipt, note=foreign), members, "another log")


@pytest.mark.parametrize("index", [SIZE, SIZE + 1, INDEX + 16, 2**63 - 1])
def test_an_index_beyond_the_size_is_refused(receipt: Receipt, members: list[Member], index: int) -> None:
    refused(replace(receipt, index=index), members, f"leaf {index} of {SIZE}")


@pytest.mark.parametrize("index", [0, INDEX - 1, INDEX + 1, SIZE - 1])
def test_another_index_is_refused(receipt: Receipt, members: list[Member], index: int) -> None:
    refused(replace(receipt, index=index), members, "proof")


def test_a_receipt_in_the_empty_log_is_refused(receipt: Receipt, members: list[Member], sign: Sign) -> None:
    note = sign(Checkpoint(ORIGIN, 0, leaf_hash(b"")))
    refused(replace(receipt, index=0, proof=(), note=note), members, "leaf 0 of 0")


def test_an_unsigned_root_is_refused(receipt: Receipt, members: list[Member]) -> None:
    forged = Checkpoint(ORIGIN, 1, leaf_hash(b"my own header")).body()
    signatures = receipt.note.split(b"\n\n")[1]
    note = forged + b"\n" + signatures
    refused(Receipt(0, b"my own header", SALT, (), note), members, "does not verify")
    nobody = forged + "\n— witness.example AAAAAAAA\n".encode()
    refused(Receipt(0, b"my own header", SALT, (), nobody), members, "no majority")
    refused(Receipt(0, b"my own header", SALT, (), forged), members, "signature line")


def test_the_root_of_a_minority_is_refused(receipt: Receipt, members: list[Member], tree: Tree, sign: Sign) -> None:
    note = sign(Checkpoint(ORIGIN, SIZE, tree.root()), cosigners=1)
    refused(replace(receipt, note=note), members, "no majority")


def test_a_signed_root_of_another_tree_is_refused(receipt: Receipt, members: list[Member], sign: Sign) -> None:
    refused(replace(receipt, note=sign(Checkpoint(ORIGIN, SIZE, bytes(32)))), members, "another root")


def test_a_signed_size_of_another_tree_is_refused(
    receipt: Receipt, members: list[Member], tree: Tree, sign: Sign
) -> None:
    # Sizes 11 to 16 give leaf 6 a proof of one shape: that the size is 11 is known from the signatures alone.
    for size in (INDEX + 1, 8, 17, 1000):
        refused(replace(receipt, note=sign(Checkpoint(ORIGIN, size, tree.root()))), members, "proof")


def test_missing_extra_and_changed_proof_nodes_are_refused(receipt: Receipt, members: list[Member]) -> None:
    proof = receipt.proof
    refused(replace(receipt, proof=()), members, "lacks nodes")
    refused(replace(receipt, proof=proof[:-1]), members, "lacks nodes")
    refused(replace(receipt, proof=(*proof, proof[-1])), members, "extra nodes")
    refused(replace(receipt, proof=proof[1:]), members, "lacks nodes")
    refused(replace(receipt, proof=(proof[1], proof[0], *proof[2:])), members, "another root")
    refused(replace(receipt, proof=(bytes(32), *proof[1:])), members, "another root")
    refused(replace(receipt, proof=(proof[0][1:], *proof[1:])), members, "32 bytes")


def test_another_header_is_refused(receipt: Receipt, members: list[Member]) -> None:
    for header in (b"", HEADERS[INDEX - 1], HEADERS[INDEX] + b"x"):
        refused(replace(receipt, header=header), members, "another root")


def test_a_node_of_the_tree_is_not_a_leaf(receipt: Receipt, members: list[Member], tree: Tree) -> None:
    # Without the 0x00 and 0x01 in front, two child hashes would pass for a header, one level up.
    inner = leaf_hash(HEADERS[6]) + leaf_hash(HEADERS[7])
    refused(replace(receipt, index=3, header=inner, proof=receipt.proof[1:]), members, "proof")


EXTRA = base64.b64encode(frame("receipt", b"h", b"s")).decode()
HASH = base64.b64encode(bytes(32)).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"c2sp.org/tlog-proof@v1\nextra {EXTRA}\nindex 1\n{HASH}\n",
        f"c2sp.org/tlog-proof@v1\nextra {EXTRA}\nindex 1\n{HASH}\n\n",
        f"c2sp.org/tlog-proof@v2\nextra {EXTRA}\nindex 1\n{HASH}\n\nnote\n",
        f"\nextra {EXTRA}\nindex 1\n{HASH}\n\nnote\n",
        f"c2sp.org/tlog-proof@v1\nindex 1\n{HASH}\n\nnote\n",
        f"c2sp.org/tlog-proof@v1\nextra {EXTRA}\n\nnote\n",
        f"c2sp.org/tlog-proof@v1\nindex 1\nextra {EXTRA}\n{HASH}\n\nnote\n",
        f"c2sp.org/tlog-proof@v1\nextra {EXTRA}\nextra {EXTRA}\nindex 1\n\nnote\n",
        f"c2sp.org/tlog-proof@v1\nextra  {EXTRA}\nindex 1\n{HASH}\n\nnote\n",
        f"c2sp.org/tlog-proof@v1\nextra {EXTRA} \nindex 1\n{HASH}\n\nnote\n",
        f"c2sp.org/tlog-proof@v1\nextra {HASH}\nindex 1\n{HASH}\n\nnote\n",
        f"c2sp.org/tlog-proof@v1\nextra \nindex 1\n{HASH}\n\nnote\n",
        f"c2sp.org/tlog-proof@v1\nextra {EXTRA}\nindex 01\n{HASH}\n\nnote\n",
        f"c2sp.org/tlog-proof@v1\nextra {EXTRA}\nindex -1\n{HASH}\n\nnote\n",
        f"c2sp.org/tlog-proof@v1\nextra {EXTRA}\nindex {2**63}\n{HASH}\n\nnote\n",
        f"c2sp.org/tlog-proof@v1\nextra {EXTRA}\nindex\n{HASH}\n\nnote\n",
        f"c2sp.org/tlog-proof@v1\nextra {EXTRA}\nindex 1 \n{HASH}\n\nnote\n",
        f"c2sp.org/tlog-proof@v1\nextra {EXTRA}\nindex 1\n{HASH[:-1]}\n\nnote\n",
        f"c2sp.org/tlog-proof@v1\nextra {EXTRA}\nindex 1\n{HASH[:-2]}B=\n\nnote\n",
        f"c2sp.org/tlog-proof@v1\nextra {EXTRA}\nindex 1\nAAAA\n\nnote\n",
        f"c2sp.org/tlog-proof@v1\nextra {EXTRA}\nindex 1\n{HASH}\r\n\nnote\n",
        f"c2sp.org/tlog-proof@v1\nextra {EXTRA}\nindex 1\n{'é' * 44}\n\nnote\n",
        f"c2sp.org/tlog-proof@v1\nextra {EXTRA}\nindex 1\n" + f"{HASH}\n" * 64 + "\nnote\n",
    ],
)
def test_text_that_is_not_exactly_a_receipt_is_refused(text: str) -> None:
    with pytest.raises(ReceiptError):
        parse(text.encode())


def test_every_flipped_bit_is_refused_or_outside_what_is_proved(receipt: Receipt, members: list[Member]) -> None:
    data = encode(receipt)
    # Of the cosigners' lines, a flipped name or key id makes an unknown key's line; the majority is then short.
    for place in range(len(data)):
        damaged = bytearray(data)
        damaged[place] ^= 1
        try:
            changed = parse(bytes(damaged))
            verify(changed, ORIGIN, members)
        except ReceiptError:
            continue
        assert replace(changed, salt=SALT) == receipt
