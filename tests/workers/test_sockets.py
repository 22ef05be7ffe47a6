"""Listening sockets that outlive those who accept from them."""

from __future__ import annotations

import socket
import stat
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sioserver.startup import CannotStart
from sioserver.workers import sockets
from sioserver.workers.sockets import Listeners, listen, port_of, run_directory

spreads = pytest.mark.skipif(not sockets.SPREADS, reason="needs SO_REUSEPORT as Linux has it")


@contextmanager
def listening(host: str = "127.0.0.1", port: int = 0, count: int = 3) -> Iterator[list[Listeners]]:
    found = listen(host, port, count, within=0)
    try:
        yield found
    finally:
        for listeners in found:
            for listener in listeners:
                listener.close()


@contextmanager
def connections(port: int, count: int) -> Iterator[None]:
    clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
    try:
        yield
    finally:
        for client in clients:
            client.close()


def accepted(listener: socket.socket) -> int:
    count = 0
    while True:
        try:
            listener.accept()[0].close()
        except BlockingIOError:
            return count
        count += 1


@spreads
def test_connections_are_spread_over_one_socket_each() -> None:
    with listening(count=3) as found:
        own = [listener for (listener,) in found]
        assert len({listener.fileno() for listener in own}) == 3
        assert {listener.getsockname()[1] for listener in own} == {port_of(found)}
        with connections(port_of(found), 60):
            taken = Counter({number: accepted(listener) for number, listener in enumerate(own)})
    assert taken.total() == 60
    assert min(taken.values()) > 0


def test_where_they_cannot_be_spread_all_have_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "SPREADS", False)
    with listening(count=3) as found:
        assert len({id(listener) for (listener,) in found}) == 1
        with connections(port_of(found), 5):
            assert accepted(found[0][0]) == 5


def test_what_waits_is_kept_for_whoever_comes_next() -> None:
    with listening(count=1) as found, connections(port_of(found), 20):
        assert accepted(found[0][0]) == 20


def test_a_port_that_is_wanted() -> None:
    with listening() as found:
        port = port_of(found)
    with listening(port=port) as found:
        assert port_of(found) == port


@pytest.mark.parametrize("shares", [False, True])
def test_a_port_in_use_is_not_shared_with_another_program(shares: bool) -> None:
    """Also one that would let itself be shared: two servers that take turns are no server."""
    with listening(count=2) if shares else socket.create_server(("127.0.0.1", 0)) as taken:
        port = port_of(taken) if isinstance(taken, list) else taken.getsockname()[1]
        with pytest.raises(CannotStart, match=f"cannot listen on 127.0.0.1:{port}: .*in use"):
            listen("127.0.0.1", port, 2, within=0)


def test_an_address_that_cannot_be_had() -> None:
    with pytest.raises(CannotStart, match=r"cannot listen on 192\.0\.2\.1:0: "):
        listen("192.0.2.1", 0, 2, within=0)


@pytest.mark.parametrize("host", ["no such host", "x" * 300])
def test_a_name_that_is_none(host: str) -> None:
    with pytest.raises(CannotStart, match=f"cannot listen on {host}: "):
        listen(host, 0, 2, within=0)


def test_a_name_with_several_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each worker listens at all of them, on the same port."""
    two = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0))
        for address in ("127.0.0.1", "127.0.0.2", "127.0.0.1")
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: two)
    if sys.platform != "linux":
        pytest.skip("only Linux has all of 127.0.0.0/8")
    with listening("name", count=2) as found:
        assert [[listener.getsockname()[0] for listener in own] for own in found] == [
            ["127.0.0.1", "127.0.0.2"]
        ] * 2
        assert len({listener.getsockname()[1] for own in found for listener in own}) == 1


@pytest.mark.parametrize("missing_first", [False, True])
def test_an_address_of_a_kind_that_is_missing_is_left_out(
    missing_first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0))
        for address in ("127.0.0.1", "192.0.2.1")
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: two[:: -1 if missing_first else 1])
    with listening("name", count=1) as found:
        assert [listener.getsockname()[0] for listener in found[0]] == ["127.0.0.1"]


def test_ipv6() -> None:
    try:
        with listening("::1") as found:
            assert found[0][0].family == socket.AF_INET6
    except CannotStart:
        pytest.skip("this machine has no IPv6 loopback address")


# ---------------------------------------------------------------------------- the run directory


def test_the_directory_is_ours_alone_and_goes_with_us(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "LONGEST_BASE", 1000)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with run_directory() as path:
        assert path.parent == tmp_path
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
        (path / "a.sock").touch()
    assert not path.exists()


def test_a_path_that_is_too_long_for_sockets_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("x" * 60)
    deep.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
    with run_directory() as path:
        assert path.parent != deep
        assert len(str(path / "0123abcd.sock")) < 100


def test_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sockets.tempfile, "mkdtemp", full)
    with pytest.raises(CannotStart, match=r"no place for the workers' sockets: .*No space left"):
        run_directory().__enter__()
