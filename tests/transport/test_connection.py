"""Packets and their attachments, put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from sioserver.timers import Wheel
from sioserver.transport import connection as module
from sioserver.transport.connection import LEFT_NAMES, Connection
from sioserver.transport.packet import Packet

from .kit import Site, until

PLACE = '{"_placeholder":true,"num":%d}'


class Joined:
    def __init__(self, limit: int = 1000) -> None:
        self.connection = Connection()
        self.connection.namespaces.add("/")
        self.wheel = Wheel()
        self.limit = limit
        self.given_up: list[int] = []

    def take(self, data: str | bytes) -> Any:
        return self.connection.complete(
            Packet, data, self.limit, self.wheel, lambda: self.given_up.append(1)
        )


@pytest.fixture
async def joined() -> AsyncIterator[Joined]:
    joined = Joined()
    yield joined
    joined.wheel.stop()


async def test_a_text_is_complete(joined: Joined) -> None:
    assert joined.take('2["a"]').data == ["a"]
    assert len(joined.wheel) == 0


async def test_with_attachments(joined: Joined) -> None:
    assert joined.take(f'52-["a",{PLACE % 1},{PLACE % 0}]') is None
    assert joined.take(b"first") is None
    assert joined.take(b"second").data == ["a", b"second", b"first"]
    assert (len(joined.wheel), joined.connection.partial) == (0, None)


@pytest.mark.parametrize("data", ["", b"", b"x", '51-/other,["a"]', "abc", f'51-["a",{PLACE % 3}]'])
async def test_refused(joined: Joined, data: str | bytes) -> None:
    with pytest.raises(ValueError):
        joined.take(data)
        joined.take(b"")


async def test_a_text_between(joined: Joined) -> None:
    joined.take(f'51-["a",{PLACE % 0}]')
    with pytest.raises(ValueError):
        joined.take('2["b"]')


async def test_too_large_together() -> None:
    joined = Joined(limit=1000)
    joined.take('510-["a"]')
    with pytest.raises(ValueError, match="large"):
        for _ in range(10):
            joined.take(b"x" * 300)
    joined.wheel.stop()


async def test_attachments_that_do_not_come(
    joined: Joined, monkeypatch: pytest.MonkeyPatch, sio: Site
) -> None:
    monkeypatch.setattr(module, "ATTACHMENT_TIMEOUT", 0.05)
    joined.take('51-["a"]')
    await until(lambda: joined.given_up)
    client = await sio.websocket()
    await client.join()
    await client.send('451-["a"]')
    await client.closed()


async def test_an_end_before_they_came(joined: Joined) -> None:
    joined.take('51-["a"]')
    joined.connection.connect_due = joined.wheel.after(60, lambda: None)
    joined.connection.release()
    assert len(joined.wheel) == 0


def test_names_that_were_left_are_remembered_for_a_while() -> None:
    connection = Connection()
    for number in range(LEFT_NAMES + 5):
        connection.namespaces.add(f"/{number}")
        connection.leave(f"/{number}")
    connection.leave("/10")
    connection.leave("/new")
    assert connection.namespaces == set()
    assert len(connection.left) == LEFT_NAMES
    assert "/4" not in connection.left
    assert {"/10", "/new"} <= set(connection.left)
