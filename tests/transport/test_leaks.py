"""Clients come and go in every way there is: nothing of them is left."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
from socketio.exceptions import DisconnectedError

from sioserver.transport import sessions as module
from sioserver.transport.connection import Connection
from sioserver.transport.session import Session
from sioserver.websocket.connection import WebSocket

from .kit import CLOSE, TRANSPORTS, Client, Polling, Site, quiet, serve, until


async def ask(sio: Any, client: Client, sid: str) -> None:
    with pytest.raises(DisconnectedError):
        await sio.call("question", to=sid, timeout=20)


async def nothing(site: Site, client: Client) -> None:
    """It joins nowhere and leaves."""
    await client.send(CLOSE)


async def polite(site: Site, client: Client) -> None:
    sid = (await client.join())["sid"]
    await site.server.enter_room(sid, "room")
    await client.send('421["echo",1]')
    await client.send(CLOSE)


async def namespace_first(site: Site, client: Client) -> None:
    await client.join("/a")
    await client.join("/b")
    await client.send("41/a,")
    await client.send(CLOSE)


async def rude(site: Site, client: Client) -> None:
    await client.join()
    if isinstance(client, Polling):  # gives its poll up
        _, writer = await site.raw()
        writer.write(site.head("GET", site.url(sid=client.sid)))
        session = site.eio.sockets[client.sid]
        await until(lambda: session._poll is not None or session.closed)
        writer.transport.abort()
    else:
        await client.leave()


async def broken(site: Site, client: Client) -> None:
    await client.join()
    try:
        await client.send("4nonsense")
    except ConnectionError:
        pass


async def half_a_packet(site: Site, client: Client) -> None:
    await client.join()
    await client.send('451-["echo"]')
    await client.send(CLOSE)


async def kicked(site: Site, client: Client) -> None:
    sid = (await client.join())["sid"]
    await site.server.disconnect(sid)
    await site.eio.disconnect(client.sid)


async def refused(site: Site, client: Client) -> None:
    await client.join("/refused")
    await client.send(CLOSE)


async def called(site: Site, client: Client) -> None:
    sid = (await client.join())["sid"]
    calling = asyncio.create_task(ask(site.server, client, sid))
    await client.receive()
    await site.server.emit("question", to=sid, callback=lambda: None)
    await client.send(CLOSE)
    await calling


async def slow(site: Site, client: Client) -> None:
    await client.join()
    site.eio.sockets[client.sid].end("slow consumer", "slow")


async def silent(site: Site, client: Client) -> None:
    await client.join()
    session = site.eio.sockets[client.sid]
    session.ping()
    session._beat.run()


async def half_an_upgrade(site: Site, client: Client) -> None:
    await client.join()
    upgrade = await site.websocket(client.sid)
    if isinstance(client, Polling):
        await upgrade.send("2probe")
        await upgrade.packet()
    await client.send(CLOSE)


async def upgraded(site: Site, client: Client) -> None:
    await client.join()
    if isinstance(client, Polling):
        upgrade = await site.websocket(client.sid)
        await upgrade.send("2probe")
        await upgrade.packet()
        await upgrade.send("5")
        await upgrade.send('42["echo",1]')
        await upgrade.send(CLOSE)
    else:
        await client.send(CLOSE)


WAYS = [
    nothing,
    polite,
    namespace_first,
    rude,
    broken,
    half_a_packet,
    kicked,
    refused,
    called,
    slow,
    silent,
    half_an_upgrade,
    upgraded,
]


def left(server: Any) -> dict[str, Any]:
    eio, manager = server.eio, server.manager
    kept = {
        "sockets": eio.sockets,
        "ending": eio._ending,
        "telling": eio._telling,
        "connections": server._connections,
        "calls": len(server._calls),
        "kicked": server._kicked,
        "environ": server.environ,
        "binary": server._binary_packet,
        "rooms": manager.rooms,
        "namespaces": manager._namespaces,
        "entered": manager._entered,
        "connecting": manager._connecting,
        "leaving": manager._leaving,
        "callbacks": manager.callbacks,
    }
    return {name: value for name, value in kept.items() if value}


async def test_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LINGER", 0.05)
    server = quiet(namespaces=["/", "/a", "/b"])
    server.on("echo", lambda sid, *args: args)
    server.on("connect", lambda sid, environ: False, namespace="/refused")

    async with serve(server) as site:

        async def run(way: Any, transport: str) -> None:
            client = await site.connect(transport)
            await way(site, client)

        for _ in range(8):
            await asyncio.gather(*(run(way, transport) for way in WAYS for transport in TRANSPORTS))
        await until(lambda: not left(server), 10)
        await until(lambda: len(server.eio.wheel) == 0, 10)

        def alive() -> list[Any]:
            gc.collect()
            kinds = (Session, Connection, WebSocket)
            return [found for found in gc.get_objects() if isinstance(found, kinds)]

        await until(lambda: not alive())
