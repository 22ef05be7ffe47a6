"""One connection, against a real server in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sioserver.app import ROOMS, SERVER
from sioserver.client.link import Address, Link, Transport
from sioserver.errors import Disconnect, Refusal

from .kit import Served, both


class Heard:
    """The events of a link, and how often it was said to be lost."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.lost = 0
        self.first = asyncio.Event()

    def hear(self, name: str, *args: Any) -> None:
        self.names.append(name)
        self.first.set()

    def gone(self) -> None:
        self.lost += 1


@asynccontextmanager
async def linked(
    served: Served, transports: list[Transport] | None = None
) -> AsyncIterator[tuple[Link, Heard]]:
    heard = Heard()
    link = Link(Address(served.url, "lobby", transports=transports), heard.hear, heard.gone)
    try:
        async with asyncio.timeout(10):
            await link.open({"user": "ann"})
            await heard.first.wait()
            yield link, heard
    finally:
        await link.leave()


@both
async def test_it_hears_and_is_answered(served: Served, transports: list[Transport] | None) -> None:
    async with linked(served, transports) as (link, heard):
        assert heard.names[0] == "welcome"
        assert link.pid
        assert (await link.ask("message", "x", {"id": "mine"}))["id"] == "mine"
        refused = await link.ask("message")
        assert refused["error"]["code"] == "bad_request"


async def test_the_first_reason_for_the_end_is_told_once(served: Served) -> None:
    async with linked(served) as (link, heard):
        link.end(ConnectionError("first"))
        link.end(ConnectionError("second"))
        assert str(link.over.result()) == "first"
        assert heard.lost == 1
        with pytest.raises(ConnectionError):
            await link.tell("typing", True)
        link._event("typing", {})
        assert "typing" not in heard.names


@pytest.mark.parametrize("how", ["cut", "kick", "close"])
async def test_the_end_is_an_answer_to_whoever_waits(
    served: Served, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, over = asyncio.Event(), asyncio.Event()

    async def slow(*args: Any) -> Any:
        asked.set()
        await over.wait()
        raise Refusal("forbidden")

    monkeypatch.setattr(served.app[ROOMS], "send", slow)
    async with linked(served) as (link, _):
        asking = asyncio.create_task(link.ask("message", "x"))
        await asked.wait()
        server = served.app[SERVER]
        (session,) = server.eio.sockets.values()
        ends: dict[str, Callable[[], Any]] = {
            "cut": served.cut,
            "kick": lambda: server.disconnect(session.owner.clients["/lobby"].sid, "/lobby"),
            "close": link.leave,
        }
        await ends[how]()
        with pytest.raises(ConnectionError):
            await asking
        assert isinstance(await link.over, Disconnect if how == "kick" else ConnectionError)
        over.set()


async def test_a_link_that_cannot_send_is_over(served: Served) -> None:
    async with linked(served) as (link, heard):
        link.namespaces.clear()  # as when the library let go of the room without a word
        with pytest.raises(ConnectionError):
            await link.ask("message", "x")
        assert link.over.done()
        assert heard.lost == 1


async def test_a_body_that_cannot_travel_harms_nobody(served: Served) -> None:
    async with linked(served) as (link, _):
        with pytest.raises(TypeError):
            await link.ask("message", {1, 2})
        assert (await link.ask("message", "x"))["ok"]


async def test_the_server_says_no(served: Served) -> None:
    heard = Heard()
    link = Link(Address(served.url, "a b"), heard.hear, heard.gone)
    try:
        await link.open({"user": "ann"})
        why = await link.over
        assert isinstance(why, Refusal)
        assert why.code == "bad_room"
        assert not heard.names
    finally:
        await link.leave()
