"""An application for python-socketio runs unchanged, and its clients cannot tell the difference."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import engineio
import pytest
import socketio
from aiohttp import web
from engineio.async_socket import AsyncSocket
from socketio.async_pubsub_manager import AsyncPubSubManager

import sioserver
from sioserver.transport.bus import ClusterManager
from sioserver.transport.session import Session

from .interop.kit import find_node, script
from .stock_app import LOG, build

PATIENCE = 10.0
TRANSPORTS = pytest.mark.parametrize("transports", [["polling"], ["websocket"], None], ids=str)
SHOP = {"X-Shop": "corner"}


@pytest.fixture(autouse=True)
def _codec() -> Any:
    """python-engineio keeps its JSON codec for the whole process."""
    before = engineio.packet.Packet.json
    yield
    engineio.packet.Packet.json = before


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.002)


@asynccontextmanager
async def running(server: Any) -> AsyncIterator[tuple[str, list[Any]]]:
    """Where the application listens, and its log."""
    app = build(server)
    runner = web.AppRunner(app, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", app[LOG]
    finally:
        await runner.cleanup()


class Customer(socketio.AsyncClient):
    """A client that writes down what it hears, answers questions, and is asked what to do."""

    def __init__(self, url: str, transports: Any, name: str, http: aiohttp.ClientSession) -> None:
        super().__init__(reconnection=False, handle_sigint=False, http_session=http)
        self.heard: list[Any] = []
        self.ends: list[str] = []
        self._target, self._transports, self._name = url, transports, name
        self.on("*", self._hear)
        self.on("*", self._hear_elsewhere, namespace="/staff")
        self.on("question", lambda *asked: ("back", *asked))
        self.on("unanswered", self._never)
        self.on("disconnect", self.ends.append)
        self.on("connect_error", lambda data: self.heard.append(["refused", data]))
        self.on(
            "connect_error", lambda data: self.heard.append(["refused", data]), namespace="/staff"
        )

    async def come(self, *namespaces: str, auth: Any = ...) -> None:
        await self.connect(
            self._target,
            headers=SHOP,
            auth={"name": self._name} if auth is ... else auth,
            transports=self._transports,
            namespaces=["/", *namespaces],
        )
        used = (self._transports or ["websocket"])[-1]
        await until(lambda: self.transport() == used)

    def _hear(self, event: str, *args: Any) -> None:
        self.heard.append([event, *args])

    def _hear_elsewhere(self, event: str, *args: Any) -> None:
        self.heard.append(["staff", event, *args])

    async def _never(self, *_: Any) -> None:
        await asyncio.sleep(60)

    async def ask(self, event: str, *args: Any, **options: Any) -> Any:
        return await self.call(event, args, timeout=PATIENCE, **options)


async def a_day(server: Any, transports: Any) -> dict[str, Any]:
    """Everything that the application can do, as its clients and its handlers saw it."""
    said: list[Any] = []
    async with (
        running(server) as (url, log),
        aiohttp.ClientSession() as http,
        aiohttp.ClientSession() as other_http,
    ):
        ann, bob = (
            Customer(url, transports, "ann", http),
            Customer(url, transports, "bob", other_http),
        )
        await ann.come("/staff", "/audit")
        await bob.come()
        await until(lambda: ["came", "bob"] in ann.heard)

        for event, *args in (
            ["ask", "where?"],
            ["ask", "why?"],
            ["add", 1, 2.5, -3],
            ["upload", b"\0\1\2\3\4", {"name": "x.png", "deep": [b"", None, True]}],
            ["nothing"],
            ["no such event", {"a": [1]}, "b", b"c"],
            ["enter", "red"],
            ["enter", "blue"],
            ["leave", "red"],
            ["leave", "never entered"],
            ["please_call", {"n": [1, b"2"]}],
            ["please_call_in_vain"],
        ):
            said.append([event, await ann.ask(event, *args)])
        said.append(["bob", await bob.ask("ask", "me too")])
        said.append(["bob", await bob.ask("enter", "red")])

        # rooms: one, a list of them, without the sender, closed
        await ann.ask("tell", "blue", "to blue")
        await ann.ask("tell", ["blue", "red"], "to both", 2)
        await ann.ask("tell", ["blue", "customers"], "once each?")
        await ann.ask("tell_others", "customers", "not to me")
        said.append(["closed", await ann.ask("close", "red")])
        await ann.ask("tell", "red", "nobody is there")

        # without an answer that is waited for; a fault of a handler harms nobody
        await ann.emit("falls")
        await ann.send({"plain": "message"})
        await until(lambda: ["message", ["echo", {"plain": "message"}]] in ann.heard)
        await ann.emit("please_ask")
        await until(lambda: any(event[0] == "thanks" for event in ann.heard))
        await ann.emit("count_down", 3)
        await until(lambda: ["lift off"] in ann.heard)

        # other namespaces
        said.append(["shift", await ann.ask("shift", 2, namespace="/staff")])
        said.append(["lock", await ann.ask("lock", namespace="/staff")])
        said.append(["audit", await ann.ask("look", 1, namespace="/audit")])
        async with other_http.post(f"{url}/announce", json={"open": True}) as answer:
            said.append(["announced", await answer.json()])
        await until(lambda: ["staff", "news", "for the staff"] in ann.heard)
        await until(lambda: ["news", {"open": True}] in bob.heard)
        await ann.emit("quit", namespace="/staff")
        await until(lambda: any(line[0] == "staff left" for line in log))
        await until(lambda: "/staff" not in ann.namespaces)
        said.append(["still here", await ann.ask("add", 1, 1)])

        # who is not let in
        refused, leaving = [], []
        for auth in ({"name": "mallory"}, None, {}):
            stranger = Customer(url, transports, "", other_http)
            with pytest.raises(socketio.exceptions.ConnectionError):
                await stranger.come(auth=auth)
            refused.append(stranger.heard)
            # the stock server lets go of their polls late
            leaving.append(asyncio.create_task(stranger.shutdown()))
        half = Customer(url, transports, "eve", other_http)
        with pytest.raises(socketio.exceptions.ConnectionError, match="/staff"):
            await half.come("/staff")
        leaving.append(asyncio.create_task(half.shutdown()))
        await until(lambda: ["went", "eve"] in ann.heard)
        refused.append(half.heard)

        # pages of other sites
        origins = []
        for origin in ("https://shop.example", "https://evil.example"):
            path = f"{url}/socket.io/?EIO=4&transport=polling"
            async with http.get(path, headers={"Origin": origin}) as answer:
                origins.append([answer.status, answer.headers.get("Access-Control-Allow-Origin")])

        # thrown out, and gone
        await bob.emit("throw_me_out")
        await until(lambda: bob.ends)
        await until(lambda: ["disconnect", "bob", "server disconnect", ["customers"]] in log)
        await until(lambda: ["went", "bob"] in ann.heard)
        ann_heard = list(ann.heard)
        await asyncio.gather(ann.disconnect(), bob.shutdown(), *leaving)
        await until(lambda: sum(line[:2] == ["disconnect", "ann"] for line in log) == 1)
        return {
            "said": said,
            "ann": ann_heard,
            "bob": bob.heard,
            "ends": [ann.ends, bob.ends],
            "refused": refused,
            "origins": origins,
            "log": log,
        }


@TRANSPORTS
async def test_the_same_application_and_the_same_day(
    transports: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)  # of a refused page, and of the handler that fails
    stock = await a_day(socketio.AsyncServer, transports)
    ours = await a_day(sioserver.AsyncServer, transports)
    for part in stock:
        assert ours[part] == stock[part], part


@pytest.mark.parametrize("transports", ["polling", "websocket", "polling,websocket"])
async def test_and_under_node(transports: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    days = []
    for server in (socketio.AsyncServer, sioserver.AsyncServer):
        async with running(server) as (url, log):
            async with script(find_node(), "drop_in.mjs", url, transports) as run:
                seen = await run.hear()
            await until(lambda: log[-1][0] == "disconnect")
            days.append([seen, log])
    assert days[0] == days[1]
    assert days[1][0]["heard"][-1] == ["disconnect", "io server disconnect"]


def test_whoever_asks_for_the_stock_classes_finds_them() -> None:
    """`isinstance` in a user's own code, and what is inherited."""
    sio = sioserver.AsyncServer()
    assert isinstance(sio, socketio.AsyncServer)
    assert isinstance(sio.eio, engineio.AsyncServer)
    assert isinstance(sio.manager, socketio.AsyncManager)
    assert issubclass(Session, AsyncSocket)
    assert issubclass(ClusterManager, AsyncPubSubManager)
