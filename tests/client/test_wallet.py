"""What a voter keeps on disk."""

import stat
from pathlib import Path

import pytest

from ballot.client.wallet import FolderStore, MemoryStore, Secrets, Store, WalletError, decode_secrets, encode_secrets


@pytest.fixture(params=["folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return FolderStore(tmp_path / "voter") if request.param == "folder" else MemoryStore()


def test_what_was_saved_is_loaded_and_the_last_one_counts(store: Store) -> None:
    store.save("identity", b"1")
    store.save("identity", b"2")
    assert store.load("identity") == b"2"


def test_what_was_never_saved_is_not_there(store: Store) -> None:
    assert store.load("identity") is None


def test_another_run_finds_the_files(tmp_path: Path) -> None:
    FolderStore(tmp_path).save("identity", b"1")
    assert FolderStore(tmp_path).load("identity") == b"1"


def test_only_the_owner_may_read_them(tmp_path: Path) -> None:
    FolderStore(tmp_path / "voter").save("identity", b"1")
    assert stat.S_IMODE((tmp_path / "voter").stat().st_mode) == 0o700
    (file,) = (tmp_path / "voter").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_save_that_was_cut_short_leaves_the_old_record(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.save("identity", b"old")
    (tmp_path / "identity.new").write_bytes(b"ne")
    assert store.load("identity") == b"old"
    store.save("identity", b"new")
    assert store.load("identity") == b"new"


@pytest.mark.parametrize("name", ["", "../identity", "a/b", "A", "a.b", "a" * 81])
def test_a_name_cannot_leave_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="not the name"):
        FolderStore(tmp_path).save(name, b"")


def test_secrets_survive_the_way_through_bytes() -> None:
    secrets = Secrets(eid=b"e", ballot_key=b"k", prefix=b"p", blinded=b"b", inverse=b"i", body=b"\xff\x00")
    assert decode_secrets(encode_secrets(secrets)) == secrets


@pytest.mark.parametrize("data", [b"", b"{}", b'{"eid":"","unknown":1}'])
def test_spoiled_secrets_are_reported(data: bytes) -> None:
    with pytest.raises(WalletError):
        decode_secrets(data)
