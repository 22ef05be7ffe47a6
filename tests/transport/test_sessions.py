"""What sessions need of their server: handlers, and somebody who sees to their end."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from sioserver.transport import sessions as module

from .kit import CLOSE, TRANSPORTS, Site, engineio_server, quiet, serve, soon, until


async def test_json_is_decoded_for_handlers_as_the_stock_server_does() -> None:
    seen: list[Any] = []
    eio = engineio_server()

    async def message(sid: str, data: Any) -> None:
        seen.append(data)

    eio.on("message", message)
    texts = ['{"a":1}', "[1]", "hello", "1", "", '"x"', "[" * 5000 + '"\\ud800"']
    async with serve(eio, "engine.io") as site:
        client = await site.websocket()
        for text in texts:
            await client.send("4" + text)
        await until(lambda: len(seen) == len(texts))
    assert seen == [{"a": 1}, [1], "hello", "1", "", "x", texts[-1]]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_the_server_sends_every_kind_of_data(echo: Site, transport: str) -> None:
    client = await echo.connect(transport)
    for data in ("text", b"\0\1", {"a": [1]}, ["b"]):
        await echo.eio.send(client.sid, data)
    got = [await client.receive() for _ in range(4)]
    assert got == ["4text", b"\0\1", '4{"a":[1]}', '4["b"]']


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_the_disconnect_handler_still_has_the_session(transport: str) -> None:
    seen: list[Any] = []
    eio = engineio_server()

    async def connect(sid: str, environ: Any) -> None:
        async with eio.session(sid) as session:
            session["name"] = "ann"

    async def disconnect(sid: str, reason: str) -> None:
        await asyncio.sleep(0)
        seen.append((reason, await eio.get_session(sid), eio.transport(sid)))

    eio.on("connect", connect)
    eio.on("disconnect", disconnect)
    async with serve(eio, "engine.io") as site:
        client = await site.connect(transport)
        await client.send(CLOSE)
        await until(lambda: seen)
        assert seen == [("client disconnect", {"name": "ann"}, transport)]
        with pytest.raises(KeyError):
            await eio.get_session(client.sid)
        assert eio._ending == {}


async def test_a_trusted_handler_that_still_runs_delays_the_disconnect() -> None:
    eio = engineio_server(ping_interval=20, ping_timeout=20)
    eio.trusted_handlers = True
    begun, gate = asyncio.Event(), asyncio.Event()
    seen: list[str] = []

    async def message(sid: str, data: Any) -> None:
        begun.set()
        await gate.wait()
        seen.append(data)

    eio.on("message", message)
    eio.on("disconnect", lambda sid, reason: seen.append(reason))
    async with serve(eio, "engine.io") as site:
        client = await site.websocket()
        await client.send("4x")
        await soon(begun.wait())
        # from outside any task, as a transport does when the connection is lost
        asyncio.get_running_loop().call_soon(eio.sockets[client.sid].on_gone)
        await until(lambda: not eio.sockets)
        assert seen == []
        gate.set()
        await until(lambda: seen == ["x", "transport close"])
        assert (eio._ending, eio._telling) == ({}, {})


async def test_a_disconnect_handler_with_one_argument() -> None:
    seen: list[str] = []
    eio = engineio_server()
    eio.on("disconnect", lambda sid: seen.append(sid))
    async with serve(eio, "engine.io") as site:
        client = await site.websocket()
        await client.leave()
        await until(lambda: seen == [client.sid])


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_closing_by_the_server_waits_for_the_handler(echo: Site, transport: str) -> None:
    seen: list[Any] = []

    async def disconnect(sid: str, reason: str) -> None:
        await asyncio.sleep(0.001)
        seen.append(reason)

    echo.eio.on("disconnect", disconnect)
    clients = [await echo.connect(transport) for _ in range(3)]
    await echo.eio.disconnect(clients[0].sid)
    assert seen == ["server disconnect"]
    await echo.eio.disconnect()
    assert seen == ["server disconnect"] * 3
    for client in clients:
        await client.closed()


async def test_nobody_fetches_what_was_left(monkeypatch: pytest.MonkeyPatch, echo: Site) -> None:
    monkeypatch.setattr(module, "LINGER", 0.05)
    client = await echo.polling()
    await echo.eio.disconnect(client.sid)
    assert client.sid in echo.eio.sockets
    await until(lambda: not echo.eio.sockets)


async def test_a_session_that_is_over_has_no_place_whoever_still_fetches_its_end() -> None:
    eio = engineio_server(max_connections=1, ping_interval=20)
    async with serve(eio, "engine.io") as site:
        client = await site.polling()
        await eio.disconnect(client.sid)
        assert client.sid in eio.sockets  # its last packet waits for a poll
        other = await site.websocket()
        await other.leave()
        await until(lambda: other.sid not in eio.sockets)
        assert eio.admission.connections.taken == 0


async def test_shutdown_closes_fifty_clients_and_returns_at_once() -> None:
    eio = engineio_server(ping_interval=20, ping_timeout=20)
    reasons: list[str] = []
    eio.on("disconnect", lambda sid, reason: reasons.append(reason))
    async with serve(eio, "engine.io") as site:
        sockets = [await site.websocket() for _ in range(25)]
        polls = [await site.polling() for _ in range(25)]
        waiting = [asyncio.create_task(site.get(client.sid)) for client in polls]
        await until(lambda: sum(s._poll is not None for s in eio.sockets.values()) == 25)
        await soon(eio.shutdown(), 2)
        assert reasons == ["server disconnect"] * 50
        assert await soon(asyncio.gather(*waiting)) == [(200, "6")] * 25
        for client in sockets:
            message = await soon(client.ws.receive())
            assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1001)
        assert (await site.get())[0] == 503
        assert (eio.sockets, len(eio.wheel)) == ({}, 0)


async def test_shutdown_does_not_wait_for_a_handler_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "STOP_GRACE", 0.1)
    eio = engineio_server(ping_interval=20, ping_timeout=20)
    begun = asyncio.Event()

    async def message(sid: str, data: Any) -> None:
        begun.set()
        await asyncio.sleep(60)

    eio.on("message", message)
    async with serve(eio, "engine.io") as site:
        client = await site.websocket()
        await client.send("4x")
        await soon(begun.wait())
        await soon(eio.shutdown(), 2)
        for task in asyncio.all_tasks():
            if task is not asyncio.current_task() and "_trigger_event" in repr(task):
                task.cancel()


async def test_stock_path_of_messages_still_works() -> None:
    """Whoever registers a "message" handler on a Socket.IO server's engine gets the messages."""
    sio = quiet(namespaces="*")
    seen: list[Any] = []
    sio.eio.on("message", lambda sid, data: seen.append(data))
    async with serve(sio) as site:
        client = await site.websocket()
        await client.send("4hello")
        await until(lambda: seen == ["hello"])
