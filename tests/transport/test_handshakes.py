"""Connections in their TLS handshake: places, who loses one, and a listener without files."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sioserver.config.schema import Limits
from sioserver.transport.address import Proxies
from sioserver.transport.handshakes import Handshakes, Listener

from .kit import until

EVE = ("203.0.113.1", 5)
BOB = ("203.0.113.2", 5)


class Scene:
    """Handshakes that last until they are let go."""

    def __init__(self, limits: Limits, short: Callable[[], bool] = lambda: False) -> None:
        self.hits: list[str] = []
        self.handshakes = Handshakes(limits, Proxies(["10.0.0.0/8"]), self.hits.append, short=short)
        self.done = asyncio.Event()
        self.shaken: list[socket.socket] = []
        self.ends: list[socket.socket] = []

    async def shake(self, connection: socket.socket) -> None:
        await self.done.wait()
        self.shaken.append(connection)

    def begin(self, peer: Any) -> socket.socket:
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        self.ends += [ours, theirs]
        self.handshakes.begin(ours, peer, self.shake)
        return ours


@asynccontextmanager
async def scene(short: Callable[[], bool] = lambda: False, **limits: int) -> AsyncIterator[Scene]:
    made = Scene(Limits(**limits), short)
    try:
        yield made
    finally:
        made.done.set()
        await until(lambda: not made.handshakes)
        for end in made.ends:
            end.close()
        assert made.handshakes._places.taken == len(made.handshakes._places) == 0


def closed(connection: socket.socket) -> bool:
    return connection.fileno() < 0


async def test_the_oldest_goes_when_there_is_no_place() -> None:
    async with scene(tls_handshakes=2) as it:
        first, second, third = it.begin(EVE), it.begin(BOB), it.begin(BOB)
        assert len(it.handshakes) == 2
        await until(lambda: closed(first))
        assert it.hits == ["tls_handshakes"]
        it.done.set()
        await until(lambda: len(it.shaken) == 2)
        assert it.shaken == [second, third]


async def test_one_that_has_begun_to_speak_may_go_as_well() -> None:
    async with scene(tls_handshakes=1) as it:
        first = it.begin(EVE)
        await asyncio.sleep(0)  # its task runs
        it.begin(BOB)
        await until(lambda: closed(first))
        assert len(it.handshakes) == 1


async def test_an_address_has_a_share_and_takes_no_others() -> None:
    async with scene(address_tls_handshakes=2, tls_handshakes=6) as it:
        bob = it.begin(BOB)
        kept = [it.begin(EVE) for _ in range(5)]
        assert [closed(each) for each in kept] == [False, False, True, True, True]
        assert not closed(bob)
        assert it.hits == ["address_tls_handshakes"] * 3


@pytest.mark.parametrize("peer", [("127.0.0.1", 5), ("10.1.1.1", 5), ""])
async def test_who_has_no_share(peer: Any) -> None:
    async with scene(address_tls_handshakes=1) as it:
        assert not any(closed(it.begin(peer)) for _ in range(3))
        assert it.hits == []


async def test_open_files_are_places_too() -> None:
    async with scene(short=lambda: True) as it:
        first = it.begin(EVE)  # there is none that could go for it
        it.begin(BOB)
        await until(lambda: closed(first))
        assert it.hits == ["tls_handshakes"]


async def test_a_handshake_that_fails_frees_its_place() -> None:
    async with scene() as it:

        async def fails(connection: socket.socket) -> None:
            connection.close()
            raise ConnectionResetError

        it.handshakes.begin(socket.socket(), EVE, fails)
        assert len(it.handshakes) == 1
        await until(lambda: not it.handshakes)


# ---------------------------------------------------------------------------- the listener


class Exhausted(socket.socket):
    """Cannot accept for want of files, so many times."""

    left = 1

    def accept(self) -> Any:
        if self.left:
            self.left -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


async def test_it_goes_on_when_there_are_files_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sioserver.transport.handshakes.PAUSE", 0.01)
    async with scene() as it:
        listening = Exhausted()
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        listening.setblocking(False)
        listener = Listener([listening], it.handshakes, it.shake)
        port = listening.getsockname()[1]
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        await until(lambda: len(it.handshakes) == 1)
        assert "Too many open files" in caplog.text
        it.done.set()
        await until(lambda: len(it.shaken) == 1)
        it.ends += it.shaken
        writer.close()
        await writer.wait_closed()
        listener.close()
        listener.close()
        assert closed(listening)


async def test_it_can_be_closed_in_its_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    async with scene() as it:
        listening = Exhausted()
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        listening.setblocking(False)
        listener = Listener([listening], it.handshakes, it.shake)
        client = socket.socket()
        it.ends.append(client)
        client.connect(listening.getsockname())
        await until(lambda: not listening.left)
        listener.close()
        assert closed(listening)
        assert not listener._pauses
