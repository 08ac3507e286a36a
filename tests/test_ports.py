"""A cluster's addresses are the same at the next start, where nobody else took them meanwhile."""

from __future__ import annotations

import socket
from contextlib import closing
from pathlib import Path

import pytest

from ballot.ports import HOST, Ports


def taken(file: Path, *names: str) -> dict[str, int]:
    """What one start is given."""
    with closing(Ports(file)) as ports:
        return {name: ports.take(name) for name in names}


def test_ports_are_those_of_the_last_time(tmp_path: Path) -> None:
    names = [f"node {number}, {use}" for number in (1, 2, 3) for use in ("API", "peers")]
    first = taken(tmp_path / "ports", *names)
    assert len(set(first.values())) == len(names)
    assert taken(tmp_path / "ports", *reversed(names)) == first


def test_a_name_has_one_port_however_often_it_is_asked_for_and_nobody_else_is_given_it(tmp_path: Path) -> None:
    with closing(Ports(tmp_path / "ports")) as ports:
        port = ports.take("API")
        assert ports.take("API") == port
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind((HOST, port))
        with socket.create_server((HOST, port)):
            assert ports.take("API") == port


def test_a_port_that_somebody_listens_at_is_given_up_and_named(tmp_path: Path) -> None:
    file = tmp_path / "ports"
    old = taken(file, "API", "peers")
    with socket.create_server((HOST, old["API"])), closing(Ports(file)) as ports:
        new = {name: ports.take(name) for name in old}
        assert ports.moved == {"API": old["API"]}
    assert new["API"] != old["API"] and new["peers"] == old["peers"]
    assert taken(file, "API", "peers") == new


def test_connections_that_an_earlier_server_left_behind_do_not_take_its_port(tmp_path: Path) -> None:
    file = tmp_path / "ports"
    port = taken(file, "API")["API"]
    with socket.create_server((HOST, port)) as server, socket.create_connection((HOST, port)) as client:
        server.accept()[0].close()  # Closed first at the server's end: it is that end which stays for a while.
        assert client.recv(1) == b""
    assert taken(file, "API") == {"API": port}


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"API": "x"}', b'{"API": 0}', b'{"API": 99999}', b"\xff"])
def test_a_file_that_makes_no_sense_costs_nothing_but_the_old_ports(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "ports"
    file.write_bytes(content)
    found = taken(file, "API")
    assert 0 < found["API"] < 65536
    assert taken(file, "API") == found


def test_two_names_with_one_port_in_the_file_get_two(tmp_path: Path) -> None:
    file = tmp_path / "ports"
    port = taken(file, "API")["API"]
    file.write_bytes(b'{"API": %d, "peers": %d}' % (port, port))
    found = taken(file, "API", "peers")
    assert found["API"] == port != found["peers"]
