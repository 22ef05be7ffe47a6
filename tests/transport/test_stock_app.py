"""An application for the stock server runs unchanged, with the same results for its clients."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
import socketio

import sioserver

from .kit import Site, serve, soon, until
from .stock_app import build

PING = 0.5
"""The stock server answers the poll of a client that leaves only with its next ping."""

SERVERS = pytest.mark.parametrize("kind", [socketio.AsyncServer, sioserver.AsyncServer])
MODES = pytest.mark.parametrize("transports", [["polling"], ["websocket"], None], ids=str)


@pytest.fixture
async def site(kind: Any) -> AsyncIterator[Site]:
    log: list[Any] = []
    sio = kind(async_mode="aiohttp", ping_interval=PING, ping_timeout=0.5)
    build(sio, log)
    async with serve(sio) as site:
        site.log = log  # type: ignore[attr-defined]
        yield site
        await until(lambda: not sio.manager.rooms)


async def gone(client: Any) -> None:
    await soon(client.disconnect())


@SERVERS
@MODES
async def test_the_async_client(site: Any, kind: Any, transports: Any) -> None:
    heard: list[Any] = []
    client = socketio.AsyncClient(reconnection=False)
    client.on("welcome", lambda data: heard.append(("welcome", data)))
    client.on("answer_was", lambda *data: heard.append(("answer_was", data)))
    client.on("question", lambda data: ("back", data["n"]))
    client.on("pushed", lambda data: heard.append(("pushed", data)), namespace="/room")
    await client.connect(
        site.origin, auth={"me": 1}, transports=transports, namespaces=["/", "/room"]
    )
    sent = ("a", 1, b"\0\xff", {"deep": [b"x", None]})
    assert await client.call("echo", sent) == sent
    assert await client.call("sync_handler", 5) == {"got": 5}
    assert await client.call("never_heard_of", 1) == ("any", "never_heard_of", 1)
    assert await client.call("who", namespace="/room") == "room"
    await client.emit("ask_back")
    assert await client.call("leave_room") == []
    await until(lambda: len(heard) == 3)
    assert sorted(map(str, heard)) == sorted(
        map(
            str,
            [("welcome", {"auth": {"me": 1}}), ("pushed", b"\0\1"), ("answer_was", ("back", 1))],
        )
    )
    begin = asyncio.get_running_loop().time()
    await gone(client)
    if kind is sioserver.AsyncServer:
        assert asyncio.get_running_loop().time() - begin < PING / 2  # the poll is answered at once
    await until(lambda: len(site.log) == 4)
    assert site.log[:2] == [("connect", {"me": 1}, "GET", True), ("room connect",)]
    # over a WebSocket the client does not wait until its goodbye has gone out
    reason = "client disconnect" if transports == ["polling"] else site.log[-1][-1]
    assert reason in ("client disconnect", "transport close")
    assert sorted(site.log[2:]) == [
        ("disconnect", {"me": 1}, reason),
        ("room disconnect", reason),
    ]


@SERVERS
@MODES
async def test_two_clients_and_a_kick(site: Any, kind: Any, transports: Any) -> None:
    clients = [socketio.AsyncClient(reconnection=False) for _ in range(2)]
    heard: list[Any] = []
    for number, client in enumerate(clients):
        client.on("said", lambda *args, number=number: heard.append((number, *args)))
        await client.connect(site.origin, auth={"n": number}, transports=transports)
    assert await clients[0].call("say", "hällo") == "ok"
    await until(lambda: heard)
    assert heard == [(1, "hällo", 5)]
    ends: list[str] = []
    clients[0].on("disconnect", lambda reason: ends.append(reason))
    await clients[0].emit("kick_me")
    await until(lambda: ends)
    await until(lambda: ("disconnect", {"n": 0}, "server disconnect") in site.log)
    # to disconnect what is disconnecting would cut it short: it ends by itself
    await until(lambda: clients[0].eio.http is None)
    await gone(clients[1])


@SERVERS
@pytest.mark.parametrize("transports", [["polling"], ["websocket"]], ids=str)
async def test_refusals(site: Any, kind: Any, transports: Any) -> None:
    for auth, shown in (
        ({"refuse": True}, {"message": "not you", "data": {"code": 7}}),
        ({"false": True}, {"message": "Connection rejected by server"}),
    ):
        client = socketio.AsyncClient(reconnection=False)
        errors: list[Any] = []
        client.on("connect_error", errors.append)
        with pytest.raises(socketio.exceptions.ConnectionError):
            await client.connect(site.origin, auth=auth, transports=transports)
        await gone(client)
        assert errors == [shown]


@SERVERS
@pytest.mark.parametrize("transports", [["polling"], ["websocket"]], ids=str)
async def test_the_sync_client(site: Any, kind: Any, transports: Any) -> None:
    results: dict[str, Any] = {}

    def run() -> None:
        client = socketio.Client(reconnection=False)
        welcomed = threading.Event()
        client.on("welcome", lambda data: (results.update(welcome=data), welcomed.set()))
        client.connect(site.origin, auth={"sync": True}, transports=transports)
        assert welcomed.wait(5)
        results["echo"] = client.call("echo", ("a", b"b"))
        results["transport"] = client.transport()
        client.disconnect()

    await soon(asyncio.to_thread(run), 15)
    assert results == {
        "welcome": {"auth": {"sync": True}},
        "echo": ("a", b"b"),
        "transport": transports[0],
    }


@pytest.mark.parametrize("transports", [["polling"], ["websocket"]], ids=str)
async def test_a_client_comes_back_after_a_shutdown(transports: Any) -> None:
    log: list[Any] = []
    sio = sioserver.AsyncServer()
    build(sio, log)
    async with serve(sio) as site:
        # its own HTTP session would be left open by the client when it reconnects
        client = socketio.AsyncClient(
            reconnection_delay=0.02, reconnection_delay_max=0.05, http_session=site.http
        )
        ends: list[Any] = []
        client.on("disconnect", lambda reason: ends.append(reason))
        await client.connect(site.origin, auth={}, transports=transports)
        await soon(sio.shutdown())
        await until(lambda: ends)
        assert ends[0] in ("transport close", "transport error")
        sio.eio.stopping = False
        await until(lambda: client.connected and len(log) >= 3)
        assert await client.call("echo", 1) == 1
        await gone(client)
