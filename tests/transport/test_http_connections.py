"""HTTP connections before and between requests: how many, how long, how large a head."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import msgspec
import pytest
from aiohttp import web

from sioserver.config.schema import Limits
from sioserver.transport import http_connections
from sioserver.transport.address import Proxies
from sioserver.transport.http_connections import (
    FREE_FILES,
    LOOKED_AT,
    HttpConnection,
    HttpConnections,
)

from . import kit
from .kit import engineio_server, soon, until


@pytest.fixture(autouse=True)
def _new_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """No client of the kit keeps any."""
    monkeypatch.setattr(kit, "WAY", "aiohttp")


LATE = 0.1
"""Seconds of a timeout that a test waits for."""


class Watched(kit.Site):
    """A server whose connections are watched."""

    connections: HttpConnections
    hits: list[str]
    refused: list[str]
    writers: list[asyncio.StreamWriter]

    def hurry(self) -> None:
        """From now on heads have to be quick."""
        limits = msgspec.structs.replace(self.connections.limits, header_timeout=LATE)
        self.connections.limits = limits

    async def raw(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await super().raw()
        self.writers.append(writer)
        return reader, writer


@asynccontextmanager
async def watched(
    proxies: tuple[str, ...] = (), files: int = 0, **limits: float
) -> AsyncIterator[Watched]:
    settings = msgspec.convert(limits, Limits)
    server = engineio_server(ping_interval=20, body_timeout=settings.body_timeout)
    hits: list[str] = []
    refused: list[str] = []
    server.hooks.count = lambda what, label: hits.append(label) if what == "limits" else None
    connections = HttpConnections(
        settings,
        Proxies(proxies),
        server.wheel,
        hits.append,
        refused=refused.append,
        files=files,
        others=lambda: len(server.sockets),
    )
    app = web.Application()
    server.attach(app, "engine.io")

    async def fails(request: web.Request) -> web.Response:
        raise RuntimeError("a fault of ours")

    async def reads(request: web.Request) -> web.Response:
        return web.Response(body=await request.read())

    app.router.add_get("/fails", fails)
    app.router.add_post("/reads", reads)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5, **connections.settings())
    await runner.setup()
    loop = asyncio.get_running_loop()
    assert runner.server is not None
    listener = await loop.create_server(connections.of(runner.server), "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    try:
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        async with aiohttp.ClientSession(connector=connector) as http:
            site = Watched(server, "engine.io", port, http)
            site.connections, site.hits, site.writers = connections, hits, []
            site.refused = refused
            try:
                yield site
            finally:
                for writer in site.writers:
                    writer.transport.abort()
            await asyncio.gather(*(ws.close() for ws in site.opened))
    finally:
        listener.close()
        await runner.cleanup()
    assert len(connections) == connections._places.taken == 0
    assert len(server.wheel) == 0


async def end_of(reader: asyncio.StreamReader) -> bytes:
    """What comes until the connection is closed."""
    try:
        return await soon(reader.read())
    except ConnectionError:
        return b""


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ")[1])


# ---------------------------------------------------------------------------- time


async def test_who_says_nothing_is_closed() -> None:
    async with watched(header_timeout=LATE) as site:
        reader, _ = await site.raw()
        assert await end_of(reader) == b""
        assert site.hits == ["header_timeout"]


async def test_a_byte_now_and_then_is_no_progress() -> None:
    async with watched() as site:
        _, writer = await site.raw()
        await until(lambda: len(site.connections))
        (connection,) = site.connections._open
        due = connection._head_due
        assert due is not None
        slot = due.slot
        for byte in b"GET / HTTP/1.1\r\nX: x":
            size = connection._head_size
            writer.write(bytes([byte]))
            await until(lambda: connection._head_size > size)  # noqa: B023
            assert connection._head_due is due
            assert due.slot == slot


async def test_who_has_said_something_is_told() -> None:
    async with watched() as site:
        reader, writer = await site.raw()
        await until(lambda: len(site.connections))
        (connection,) = site.connections._open
        writer.write(b"GET / HTTP/1.1\r\nX: ")
        await until(lambda: connection._head_size)
        assert connection._head_due is not None
        connection._head_due = connection._head_due.moved(LATE)  # else perhaps before it is said
        answer = await end_of(reader)
        assert status_of(answer) == 408
        assert b"Connection: close" in answer
        assert site.hits == ["header_timeout"]


async def test_the_head_of_a_later_request_has_no_more_time() -> None:
    async with watched() as site:
        reader, writer = await site.raw()
        writer.write(site.head("GET", "/nothing"))
        assert b" 404 " in await soon(reader.readuntil(b"\r\n\r\n"))
        site.hurry()
        writer.write(b"GET /")
        assert b" 408 " in await end_of(reader)


async def test_between_requests_there_is_more_time() -> None:
    async with watched(keepalive_timeout=0.5) as site:
        reader, writer = await site.raw()
        await until(lambda: len(site.connections))
        (connection,) = site.connections._open
        writer.write(site.head("GET", "/nothing"))
        assert b" 404 " in await soon(reader.readuntil(b"\r\n\r\n"))
        assert connection._head_due is None
        await end_of(reader)
        assert site.hits == ["keepalive_timeout"]


async def test_a_poll_that_waits_is_not_late_and_neither_is_what_comes_behind_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked: list[str] = []
    late = HttpConnection._head_late

    def look(connection: HttpConnection) -> None:
        looked.append("")
        late(connection)

    monkeypatch.setattr(HttpConnection, "_head_late", look)
    async with watched() as site:
        client = await site.polling()
        reader, writer = await site.raw()
        session = site.eio.sockets[client.sid]
        writer.write(site.head("GET", site.url(sid=client.sid)) + b"GET /")
        await until(lambda: session.polling)
        site.hurry()
        writer.write(b"more")
        await until(lambda: len(looked) >= 3)
        await site.eio.send(client.sid, "hello")
        assert (await soon(reader.readuntil(b"hello"))).startswith(b"HTTP/1.1 200 ")
        assert b" 408 " in await end_of(reader)


async def test_a_websocket_is_not_closed_and_not_counted() -> None:
    async with watched() as site:
        client = await site.websocket()
        await until(lambda: len(site.connections) == 0)
        assert len(site.eio.wheel) == 1  # the next ping
        await client.send("4hello")
        assert await client.receive() == "4hello"
        assert site.hits == []


async def test_a_body_has_to_be_whole_in_time() -> None:
    async with watched(body_timeout=LATE) as site:
        client = await site.polling()
        reader, writer = await site.raw()
        writer.write(site.head("POST", site.url(sid=client.sid), "Content-Length: 9") + b"4")
        answer = await soon(reader.readuntil(b"}"))
        assert status_of(answer) == 408
        assert answer.endswith(b'{"code":3,"message":"The body did not come in time"}')
        assert site.hits == ["body_timeout"]
        assert client.sid not in site.eio.sockets  # half a post is lost: so is the session
        assert await end_of(reader) == b""


async def test_whoever_reads_a_body_is_not_kept_waiting(caplog: pytest.LogCaptureFixture) -> None:
    async with watched(body_timeout=LATE) as site:
        reader, writer = await site.raw()
        writer.write(site.head("POST", "/reads", "Content-Length: 9") + b"4")
        assert b" 408 " in await end_of(reader)
        assert site.hits == ["body_timeout"]
    assert not caplog.records


async def test_a_body_that_nobody_reads_has_no_more_time(caplog: pytest.LogCaptureFixture) -> None:
    """Neither while the request is handled, nor behind its answer."""
    async with watched(body_timeout=LATE) as site:
        client = await site.polling()
        session = site.eio.sockets[client.sid]
        reader, writer = await site.raw()
        writer.write(site.head("GET", site.url(sid=client.sid), "Content-Length: 9"))
        await until(lambda: site.hits and session.polling)
        await site.eio.send(client.sid, "hello")
        assert (await end_of(reader)).endswith(b"4hello")
        reader, writer = await site.raw()
        writer.write(site.head("GET", "/nothing", "Content-Length: 9"))
        assert b" 404 " in await end_of(reader)
        assert site.hits == ["body_timeout"] * 2
    assert not caplog.records


async def test_a_body_that_comes_in_time_and_in_pieces() -> None:
    async with watched() as site:
        reader, writer = await site.raw()
        for _ in range(3):
            writer.write(site.head("POST", "/reads", "Content-Length: 4") + b"a")
            await until(lambda: [c for c in site.connections._open if c._body_due is not None])
            writer.write(b"bcd")
            assert (await soon(reader.readuntil(b"abcd"))).startswith(b"HTTP/1.1 200 ")
            (connection,) = site.connections._open
            assert connection._body_due is None


# ---------------------------------------------------------------------------- size


@pytest.mark.parametrize(
    ("lines", "limit"),
    [
        ([f"GET /{'u' * 9000} HTTP/1.1", "Host: a"], "max_line"),
        (["GET / HTTP/1.1", "Host: a", f"X: {'x' * 9000}"], "max_line"),
        (["GET / HTTP/1.1", "Host: a", *(f"X{n}: x" for n in range(130))], "max_headers"),
    ],
)
async def test_a_head_that_is_too_large(
    lines: list[str], limit: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with watched() as site:
        reader, writer = await site.raw()
        writer.write("\r\n".join([*lines, "", ""]).encode())
        assert status_of(await end_of(reader)) == 431
        assert site.hits == [limit]
        assert site.refused == ["Malformed HTTP"]
    assert not caplog.records


async def test_a_head_that_grows_and_grows() -> None:
    async with watched(max_head=20_000) as site:
        reader, writer = await site.raw()
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n")
        await until(lambda: len(site.connections))
        (connection,) = site.connections._open
        sizes = set()
        for number in range(20_000 // 1000):
            size = connection._head_size
            sizes.add(size)
            writer.write(f"X{number}: {'x' * 1000}\r\n".encode())
            await until(lambda: connection._head_size != size)  # noqa: B023
        assert len(sizes) > 15
        assert status_of(await end_of(reader)) == 431
        assert site.hits == ["max_head"]
        assert site.refused == ["Malformed HTTP"]


async def test_a_large_body_is_not_taken_for_a_head() -> None:
    async with watched(max_head=1024) as site:
        body = b"x" * 300_000
        async with site.http.post(f"{site.origin}/reads", data=body) as answer:
            assert await answer.read() == body
        # and a head that is whole is no part of the next
        reader, writer = await site.raw()
        for _ in range(10):
            writer.write(site.head("POST", "/reads", "Content-Length: 200") + b"y" * 200)
            assert (await soon(reader.readuntil(b"y" * 200))).startswith(b"HTTP/1.1 200 ")
        assert site.hits == []


async def test_nobody_waits_for_the_rest_of_a_body_whose_client_has_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_connections, "LINGER", 1000.0)  # it does not end by itself meanwhile
    async with watched() as site:
        tasks = len(asyncio.all_tasks())
        reader, writer = await site.raw()
        writer.write(site.head("POST", "/nothing", "Content-Length: 1000") + b"x")
        assert status_of(await soon(reader.readuntil(b"\r\n\r\n"))) == 404
        await until(lambda: len(asyncio.all_tasks()) > tasks)  # it might be read yet
        writer.transport.abort()
        await until(lambda: len(asyncio.all_tasks()) == tasks)


async def test_the_end_of_a_body_s_time_is_no_failure_though_a_piece_has_just_come(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(http_connections, "LINGER", 1000.0)
    async with watched() as site:
        tasks = len(asyncio.all_tasks())
        reader, writer = await site.raw()
        writer.write(site.head("POST", "/nothing", "Content-Length: 1000") + b"x")
        assert status_of(await soon(reader.readuntil(b"\r\n\r\n"))) == 404
        (connection,) = site.connections._open
        body = connection._body
        assert body is not None
        await until(lambda: body._waiter is not None and not connection._request_in_progress)
        body.feed_data(b"y")  # whoever throws it away has not had a turn yet
        connection._body_late(body)
        await until(lambda: len(asyncio.all_tasks()) == tasks)
        writer.close()
    assert [one for one in caplog.records if one.levelno >= logging.WARNING] == []


# ---------------------------------------------------------------------------- places


async def test_when_there_is_no_place_the_longest_idle_goes() -> None:
    async with watched(http_connections=3) as site:
        client = await site.polling()
        session = site.eio.sockets[client.sid]
        poll_reader, poller = await site.raw()
        poller.write(site.head("GET", site.url(sid=client.sid)))
        await until(lambda: session.polling)
        idle = [await site.raw() for _ in range(2)]
        await until(lambda: len(site.connections) == 3)
        await site.raw()
        assert await end_of(idle[0][0]) == b""
        assert len(site.connections) == 3
        assert site.hits == ["http_connections"]
        # the poll is nobody's to take away
        await site.eio.send(client.sid, "hello")
        assert (await soon(poll_reader.readuntil(b"4hello"))).startswith(b"HTTP/1.1 200 ")


async def test_when_all_are_busy_the_newest_has_to_wait() -> None:
    async with watched(http_connections=1) as site:
        client = await site.polling()
        await until(lambda: len(site.connections) == 0)
        _, poller = await site.raw()
        poller.write(site.head("GET", site.url(sid=client.sid)))
        await until(lambda: site.eio.sockets[client.sid].polling)
        reader, _ = await site.raw()
        answer = await end_of(reader)
        assert status_of(answer) == 503
        assert b"\r\nRetry-After: 5\r\n" in answer
        assert site.hits == ["http_connections"]


async def test_open_files_are_places_too() -> None:
    async with watched(files=FREE_FILES + 2) as site:
        await site.websocket()
        reader, _ = await site.raw()
        await until(lambda: len(site.connections) == 1)
        await site.raw()
        assert await end_of(reader) == b""
        assert site.hits == ["http_connections"]


def at(peer: Any) -> asyncio.Transport:
    return cast(asyncio.Transport, SimpleNamespace(get_extra_info=lambda name: peer))


class Idle:
    """Stands in for a connection."""

    def __init__(self, idle: bool = True) -> None:
        self.idle = idle
        self.out = False
        self.turn_out: Callable[[], None] = lambda: setattr(self, "out", True)


def test_an_address_has_a_share() -> None:
    hits: list[str] = []
    limits = Limits(address_http_connections=2)
    all_ = HttpConnections(limits, Proxies(["10.0.0.0/8"]), cast(Any, None), hits.append)

    def enter(peer: Any) -> bool:
        return all_.enter(cast(Any, Idle()), at(peer))

    assert [enter(("203.0.113.1", 5)) for _ in range(3)] == [True, True, False]
    assert [enter(("2001:db8::1", 5, 0, 0)), enter(("2001:db8::2", 5, 0, 0))] == [True, True]
    assert not enter(("2001:db8::3", 5, 0, 0))
    assert hits == ["address_http_connections"] * 2
    # these are many clients, or our own
    for peer in (("127.0.0.1", 5), ("10.1.1.1", 5), "", None):
        assert [enter(peer) for _ in range(5)] == [True] * 5


def test_few_are_looked_at_however_many_there_are() -> None:
    hits: list[str] = []
    limits = Limits(http_connections=100)
    all_ = HttpConnections(limits, Proxies(), cast(Any, None), hits.append)
    crowd = [Idle(idle=number == LOOKED_AT) for number in range(100)]
    for each in crowd:
        assert all_.enter(cast(Any, each), at(None))
    assert not all_.enter(cast(Any, Idle()), at(None))
    assert not crowd[LOOKED_AT].out
    # those were put behind the others, so that it is the next one's turn
    all_.enter(cast(Any, Idle()), at(None))
    assert crowd[LOOKED_AT].out


# ---------------------------------------------------------------------------- no HTTP


async def test_a_fault_of_ours_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async with watched() as site, site.http.get(f"{site.origin}/fails") as answer:
        assert answer.status == 500
    assert [record.levelno for record in caplog.records if record.exc_info] == [logging.ERROR]


async def test_what_is_no_http_writes_no_traceback(caplog: pytest.LogCaptureFixture) -> None:
    async with watched() as site:
        reader, writer = await site.raw()
        writer.write(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")
        answer = await end_of(reader)
        assert status_of(answer) == 400
        assert b"\x16" not in answer
    assert not caplog.records


async def test_a_body_that_nobody_wanted_may_be_no_good(caplog: pytest.LogCaptureFixture) -> None:
    async with watched() as site:
        reader, writer = await site.raw()
        fields = "Content-Length: 3", "Content-Encoding: gzip"
        writer.write(site.head("PUT", "/nothing", *fields) + b"abc")
        assert status_of(await end_of(reader)) in (400, 404)
    assert not caplog.records
