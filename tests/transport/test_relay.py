"""Bytes, both ways."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
import trustme
from aiohttp import web

from sioserver.transport import relay as module
from sioserver.transport.relay import Relay
from sioserver.websocket import takeover

from .cluster import Cluster, free_address, on_both_loops, owned_by_a_page
from .kit import frame, soon, until

UPGRADED = b"HTTP/1.1 101 Switching Protocols\r\nX-Owner: yes\r\n\r\n"
MEGABYTE = 1_000_000

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Bench:
    """A client, a relay, and an owner that does what the test says."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.relays: set[Relay] = set()
        self.heads: list[bytes] = []
        self.refused: list[web.Response | None] = []
        self.failures: list[Exception] = []


@asynccontextmanager
async def bench(
    talk: Talk, context: ssl.SSLContext | None = None, trust: ssl.SSLContext | None = None
) -> AsyncIterator[Bench]:
    made: Bench

    async def owner(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        made.heads.append(await reader.readuntil(b"\r\n\r\n"))
        try:
            await talk(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    listener = await asyncio.start_server(owner, "127.0.0.1", 0)
    address = listener.sockets[0].getsockname()[:2]

    async def handle(request: web.Request) -> web.StreamResponse:
        async def connect(protocol: Any) -> Any:
            return await asyncio.get_running_loop().create_connection(protocol, *address)

        relay = Relay(made.relays.discard)
        made.relays.add(relay)
        try:
            answer = await relay.ask(connect, b"GET / HTTP/1.1\r\n\r\n")
        except (OSError, TimeoutError) as error:
            made.relays.discard(relay)
            made.failures.append(error)
            return web.Response(status=400)
        if answer is not None:
            made.relays.discard(relay)
            made.refused.append(answer)
            return answer
        if not relay.join(request):
            made.relays.discard(relay)
            made.refused.append(None)
            raise ConnectionResetError
        return takeover.detached()

    app = web.Application()
    app.router.add_get("/", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.2)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    port = runner.addresses[0][1]
    name = None if trust is None else "localhost"
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=trust, server_hostname=name
    )
    made = Bench(reader, writer)
    head = b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    writer.write(head + b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n\r\n")
    try:
        yield made
    finally:
        writer.transport.abort()
        listener.close()
        for relay in list(made.relays):
            relay.close()
        await until(lambda: not made.relays)
        await runner.cleanup()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(UPGRADED)
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


@on_both_loops
async def test_both_ways(nodes: Cluster) -> None:
    async with bench(echo) as made:
        made.writer.write(b"tail")  # before there is an answer
        assert await soon(made.reader.readuntil(b"\r\n\r\n")) == UPGRADED
        assert await soon(made.reader.readexactly(4)) == b"tail"
        data = bytes(range(256)) * 8000
        made.writer.write(data)
        assert await soon(made.reader.readexactly(len(data))) == data
        assert made.heads == [b"GET / HTTP/1.1\r\n\r\n"]
        assert len(made.relays) == 1


@on_both_loops
async def test_a_client_that_ends(nodes: Cluster) -> None:
    async with bench(echo) as made:
        await soon(made.reader.readuntil(b"\r\n\r\n"))
        made.writer.write(b"last words")
        made.writer.write_eof()
        # the owner hears the end, and its own last words still arrive
        assert await soon(made.reader.read()) == b"last words"
        await until(lambda: not made.relays)


@on_both_loops
async def test_a_client_that_vanishes(nodes: Cluster) -> None:
    ended = asyncio.get_running_loop().create_future()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(UPGRADED)
        ended.set_result(await reader.read())

    async with bench(talk) as made:
        await soon(made.reader.readuntil(b"\r\n\r\n"))
        made.writer.transport.abort()
        assert await soon(ended) == b""
        await until(lambda: not made.relays)


@on_both_loops
async def test_an_owner_that_closes(nodes: Cluster) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(UPGRADED + b"x" * MEGABYTE)

    async with bench(talk) as made:
        assert await soon(made.reader.read()) == UPGRADED + b"x" * MEGABYTE
        made.writer.close()
        await until(lambda: not made.relays)


@on_both_loops
async def test_an_owner_that_dies(nodes: Cluster) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(UPGRADED)
        await reader.readexactly(1)
        writer.transport.abort()

    async with bench(talk) as made:
        await soon(made.reader.readuntil(b"\r\n\r\n"))
        made.writer.write(b"xy")
        try:
            assert await soon(made.reader.read()) == b""
        except ConnectionResetError:
            pass  # also an end
        await until(lambda: not made.relays)


@on_both_loops
async def test_half_an_end_does_not_last(nodes: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HALF_CLOSED", 0.05)
    over = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(UPGRADED)
        assert await reader.read() == b""
        await over.wait()  # it does not end its own direction

    async with bench(talk) as made:
        await soon(made.reader.readuntil(b"\r\n\r\n"))
        made.writer.write_eof()
        await until(lambda: not made.relays)
        over.set()


@on_both_loops
@pytest.mark.parametrize("slow", ["client", "owner"])
async def test_back_pressure(nodes: Cluster, slow: str) -> None:
    """What one side does not take stays with the other, and not in this process."""
    going, written = asyncio.Event(), []

    async def pour(writer: asyncio.StreamWriter) -> None:
        for _ in range(100):
            writer.write(b"x" * MEGABYTE)
            await writer.drain()
            written.append(MEGABYTE)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(UPGRADED)
        if slow == "client":
            await pour(writer)
        else:
            await going.wait()
            await reader.readexactly(100 * MEGABYTE)

    async with bench(talk) as made:
        await soon(made.reader.readuntil(b"\r\n\r\n"))
        pouring = asyncio.create_task(pour(made.writer)) if slow == "owner" else None
        (relay,) = made.relays
        side = relay._client if slow == "client" else relay._owner

        def stuck() -> bool:
            other = side.other.tcp
            assert other is not None
            return not other.is_reading()

        await until(stuck)
        assert len(written) < 50
        assert side.tcp is not None
        assert side.tcp.get_write_buffer_size() < MEGABYTE
        going.set()
        if pouring is None:
            await asyncio.wait_for(made.reader.readexactly(100 * MEGABYTE), 60)
        else:
            await asyncio.wait_for(pouring, 60)
        await until(lambda: len(written) == 100)


# ---------------------------------------------------------------------------- the handshake


@on_both_loops
async def test_a_refusal_comes_back(nodes: Cluster) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\n")
        writer.write(b"X-One: 1\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")

    async with bench(talk) as made:
        made.writer.write(b"what comes behind it")
        head = await soon(made.reader.readuntil(b"\r\n\r\n"))
        assert head.startswith(b"HTTP/1.1 400 ")
        assert b"X-One: 1\r\n" in head
        assert await soon(made.reader.readexactly(2)) == b"{}"
        assert not made.relays


WRONG = {
    "nothing": b"",
    "half a head": b"HTTP/1.1 101 Sw",
    "no HTTP": b"hello\r\n\r\n",
    "no number": b"HTTP/1.1 abc x\r\n\r\n",
    "another version": b"HTTP/2 200 OK\r\n\r\n",
    "half a body": b"HTTP/1.1 400 Bad\r\nContent-Length: 10\r\n\r\n{}",
    "without end": b"HTTP/1.1 400 Bad\r\n\r\n" + b"x" * 200_000,
}


@on_both_loops
@pytest.mark.parametrize("answer", WRONG.values(), ids=WRONG.keys())
async def test_what_is_no_answer(nodes: Cluster, answer: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()

    async with bench(talk) as made:
        assert b" 400 " in await soon(made.reader.readline())
        assert len(made.failures) == 1


@on_both_loops
async def test_an_owner_that_says_nothing(nodes: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HANDSHAKE", 0.05)
    closed = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        closed.set()

    async with bench(talk) as made:
        assert b" 400 " in await soon(made.reader.readline())
        assert isinstance(made.failures[0], TimeoutError)
        await soon(closed.wait())


@on_both_loops
async def test_a_client_that_has_gone_before_the_answer(nodes: Cluster) -> None:
    asked, closed = asyncio.Event(), asyncio.Event()
    answering = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await answering.wait()
        writer.write(UPGRADED)
        await reader.read()
        closed.set()

    async with bench(talk) as made:
        await soon(asked.wait())
        made.writer.transport.abort()
        await asyncio.sleep(0)
        await until(lambda: [relay for relay in made.relays if relay._owner.tcp is not None])
        answering.set()
        await soon(closed.wait())
        await until(lambda: not made.relays)


# ---------------------------------------------------------------------------- TLS


@on_both_loops
async def test_a_client_with_tls(nodes: Cluster) -> None:
    """Its connection is more than a descriptor: it is relayed on the same machine, too."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    async with bench(echo, context, trust) as made:
        await soon(made.reader.readuntil(b"\r\n\r\n"))
        made.writer.write(b"x" * MEGABYTE)
        assert await soon(made.reader.readexactly(MEGABYTE)) == b"x" * MEGABYTE
        made.writer.close()
        await until(lambda: not made.relays)


@on_both_loops
async def test_a_whole_session_over_tls(nodes: Cluster) -> None:
    owner = await nodes.add("a")
    entry = await nodes.add("a", trusted_proxies=[], cors_allowed_origins="*")
    seen: list[dict[str, Any]] = []
    owner.eio.cors_allowed_origins = lambda origin, environ: seen.append(environ) or True
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    port = int(free_address().partition(":")[2])
    await web.TCPSite(entry.site.runner, "127.0.0.1", port, ssl_context=context).start()
    client = await owner.site.polling()
    owned_by_a_page(owner, client, "https://a.example")
    base = f"https://localhost:{port}/engine.io/?EIO=4&sid={client.sid}&transport="
    options: dict[str, Any] = {"ssl": trust, "headers": {"Origin": "https://a.example"}}
    await owner.eio.send(client.sid, "x")
    async with aiohttp.ClientSession() as http:
        async with http.get(base + "polling", **options) as answer:
            assert await answer.text() == "4x"
        ws = await http.ws_connect(base + "websocket", **options)
        await ws.send_str("2probe")
        assert (await soon(ws.receive())).data == "3probe"
        await ws.send_str("5")
        await ws.send_str("4hello")
        assert (await soon(ws.receive())).data == "4hello"
        assert entry.metrics.forwards["relay"] == 1
        assert entry.metrics.forwards["handoff"] == 0
        assert [environ["wsgi.url_scheme"] for environ in seen] == ["https", "https"]
        await ws.close()
    await until(lambda: not entry.router._relays)
    assert frame(1, b"")
