"""Frames in, frames out."""

from __future__ import annotations

import asyncio
import gc
import os
import struct
import subprocess
import sys
import weakref
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from sioserver.websocket import connection as module

from ..transport.kit import Site, engineio_server, frame, serve, soon, until
from .readers import READERS, Line

TEXT, BINARY, CLOSE, PING, PONG, CONTINUATION = 1, 2, 8, 9, 10, 0


class Raw:
    """A WebSocket without a library."""

    def __init__(self, site: Site, reader: Any, writer: Any) -> None:
        self.site, self.reader, self.writer = site, reader, writer

    async def frame(self) -> tuple[int, bytes]:
        first, second = await soon(self.reader.readexactly(2))
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack("!H", await self.reader.readexactly(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", await self.reader.readexactly(8))
        return first, await soon(self.reader.readexactly(size))

    async def code(self) -> int:
        """The code of the close frame that comes sooner or later."""
        while True:
            first, payload = await self.frame()
            if first == 0x88:
                return int.from_bytes(payload[:2], "big")

    async def echoes(self, data: bytes) -> bytes:
        self.writer.write(data)
        while (found := await self.frame())[1][:1] in (b"0", b"2"):
            pass
        return found[1]


@pytest.fixture
async def raw(echo: Site) -> AsyncIterator[Raw]:
    incoming, writer = await echo.raw()
    writer.write(echo.upgrade_head(echo.url("websocket")))
    head = await soon(incoming.readuntil(b"\r\n\r\n"))
    assert b" 101 " in head
    assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head
    yield Raw(echo, incoming, writer)
    writer.transport.abort()


async def test_a_fragmented_message(raw: Raw) -> None:
    pieces = [
        frame(TEXT, "4grü".encode()[:4], fin=False),
        frame(PING, b"between"),
        frame(CONTINUATION, "4grü".encode()[4:], fin=False),
        frame(CONTINUATION, b"", fin=False),
        frame(CONTINUATION, b"n", fin=True),
    ]
    raw.writer.write(b"".join(pieces))
    found = [await raw.frame() for _ in range(3)]
    assert (0x8A, b"between") in found
    assert (0x81, "4grün".encode()) in found


async def test_an_empty_first_fragment(raw: Raw) -> None:
    data = frame(BINARY, b"", fin=False) + frame(CONTINUATION, b"\1")
    assert await raw.echoes(data) == b"\1"
    assert await raw.echoes(frame(BINARY, b"\2")) == b"\2"


WRONG = {
    "unmasked": (frame(TEXT, b"4x", mask=False), 1002),
    "rsv1": (frame(TEXT, b"4x", rsv=4), 1002),
    "rsv2": (frame(TEXT, b"4x", rsv=2), 1002),
    "rsv3": (frame(TEXT, b"4x", rsv=1), 1002),
    "unknown opcode": (frame(3, b"4x"), 1002),
    "fragmented ping": (frame(PING, b"x", fin=False), 1002),
    "large ping": (frame(PING, b"x" * 126), 1002),
    "continuation of nothing": (frame(CONTINUATION, b"x"), 1002),
    "message inside a message": (frame(TEXT, b"4x", fin=False) + frame(TEXT, b"4x"), 1002),
    "not utf-8": (frame(TEXT, b"4\xff"), 1007),
    "a surrogate": (frame(TEXT, b"4\xed\xa0\x80"), 1007),
    "not utf-8 in fragments": (frame(TEXT, b"4\xc3", fin=False) + frame(CONTINUATION, b"x"), 1007),
    "too large": (frame(BINARY, b"x" * 1_000_001), 1009),
    "too large in fragments": (
        frame(BINARY, b"x" * 600_000, fin=False) + frame(CONTINUATION, b"x" * 600_000),
        1009,
    ),
    "tiny fragments": (
        frame(BINARY, b"", fin=False) + frame(CONTINUATION, b"x", fin=False) * 2000,
        1009,
    ),
    "close": (frame(CLOSE, b"\x03\xe8bye"), 1000),
    "close without a code": (frame(CLOSE, b""), 1000),
    "close with an own code": (frame(CLOSE, (4001).to_bytes(2, "big")), 4001),
    "close with a forbidden code": (frame(CLOSE, (1005).to_bytes(2, "big")), 1002),
    "close with half a code": (frame(CLOSE, b"\x03"), 1002),
    "close with a code that is never sent": (frame(CLOSE, (1006).to_bytes(2, "big")), 1002),
    "close with a code without meaning": (frame(CLOSE, (2999).to_bytes(2, "big")), 1002),
    "close with too large a code": (frame(CLOSE, (5000).to_bytes(2, "big")), 1002),
    "close with a reason that is not utf-8": (frame(CLOSE, b"\x03\xe8\xff"), 1007),
}


@pytest.mark.parametrize(("data", "code"), WRONG.values(), ids=WRONG.keys())
async def test_the_connection_is_closed(raw: Raw, data: bytes, code: int) -> None:
    try:
        raw.writer.write(data)
        assert await raw.code() == code
    except (ConnectionError, asyncio.IncompleteReadError):
        # closed while we were still writing: the rest of it made TCP forget the close frame
        assert len(data) > 10_000
    await until(lambda: not raw.site.eio.sockets)


async def test_joining_fragments_is_no_work_for_the_attacker_to_give() -> None:
    """A limit on their number, and a sum that is kept: not added up again with each."""
    sums: list[int] = []

    class Counting(list[bytes]):
        def __iter__(self) -> Any:
            sums.append(len(self))
            return super().__iter__()

    class TCP:
        def get_write_buffer_size(self) -> int:
            return 0

        def write(self, data: bytes) -> None: ...
        def close(self) -> None: ...

    socket = module.WebSocket(None, TCP(), 10_000)  # type: ignore[arg-type]
    socket._fragments = Counting([b"x"])
    for _ in range(500):
        socket.on_frame(CONTINUATION, False, b"x")
    assert sums == []


async def test_no_compression_is_negotiated(echo: Site) -> None:
    for compress in (0, 15):
        ws = await echo.http.ws_connect(echo.url("websocket"), compress=compress)
        assert ws.compress == 0
        assert "Sec-WebSocket-Extensions" not in ws._response.headers
        await ws.close()


async def test_a_flood_of_pings_piles_up_no_answers(raw: Raw) -> None:
    raw.writer.transport.pause_reading()
    session = next(iter(raw.site.eio.sockets.values()))
    for _ in range(300):
        raw.writer.write(frame(PING, b"x" * 125) * 500)
        await asyncio.sleep(0)
        assert session.queued < module.WRITE_HIGH + 1000


async def test_a_peer_that_does_not_read_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CLOSE_TIMEOUT", 0.05)
    eio = engineio_server(ping_interval=20, client_queue=50_000_000)
    async with serve(eio, "engine.io") as site:
        incoming, writer = await site.raw()
        writer.write(site.upgrade_head(site.url("websocket")))
        await soon(incoming.readuntil(b"\r\n\r\n"))
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        session = await until(lambda: next(iter(eio.sockets.values()), None))
        gone: list[int] = []
        receiver = session.ws._receiver
        session.ws._receiver = type(
            "Receiver", (), {"on_gone": lambda self: (gone.append(1), receiver.on_gone())}
        )()
        await eio.send(session.sid, "x" * 20_000_000)
        session.end("server disconnect", "shutdown")
        await until(lambda: gone)
        writer.transport.abort()


async def test_over_a_unix_socket(tmp_path: Path) -> None:
    eio = engineio_server(ping_interval=20)
    app = web.Application()
    eio.attach(app)
    runner = web.AppRunner(app, shutdown_timeout=0.5)
    await runner.setup()
    path = str(tmp_path / "s")
    await web.UnixSite(runner, path).start()
    url = "http://unix/engine.io/?EIO=4&transport=websocket"
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(path)) as http,
        http.ws_connect(url) as ws,
    ):
        await soon(ws.receive())
        await ws.send_str("4hello")
        assert (await soon(ws.receive())).data == "4hello"
    await runner.cleanup()


async def test_over_tls(tmp_path: Path) -> None:
    import ssl

    import trustme

    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    eio = engineio_server(ping_interval=20)
    app = web.Application()
    eio.attach(app)
    runner = web.AppRunner(app, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "localhost", 0, ssl_context=context).start()
    port = runner.addresses[0][1]
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=client)) as http:
        url = f"https://localhost:{port}/engine.io/?EIO=4&transport=websocket"
        async with http.ws_connect(url) as ws:
            await soon(ws.receive())
            for text in ("4hello", "4" + "x" * 300_000):
                await ws.send_str(text)
                assert (await soon(ws.receive())).data == text
        await until(lambda: not eio.sockets)
    await runner.cleanup()


UVLOOP = """
import asyncio, sys, uvloop, aiohttp
from aiohttp import web
from sioserver.transport.engineio import EngineServer

async def main():
    eio = EngineServer(ping_interval=20, websocket=sys.argv[1])
    async def message(sid, data):
        await eio.send(sid, data)
    eio.on("message", message)
    app = web.Application()
    eio.attach(app)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/engine.io/?EIO=4&transport=websocket"
    async with aiohttp.ClientSession() as http, http.ws_connect(url) as ws:
        await ws.receive()
        for size in (1, 70_000, 900_000):
            await ws.send_str("4" + "x" * size)
            assert len((await ws.receive()).data) == size + 1
        await ws.send_bytes(b"x")
        assert (await ws.receive()).data == b"x"
    await eio.shutdown()
    await runner.cleanup()
    print("fine", len(eio.sockets))

uvloop.run(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="uvloop is not for Windows")
def test_on_uvloop(reader: str) -> None:
    environ = {**os.environ, "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        [sys.executable, "-c", UVLOOP, reader],
        capture_output=True,
        text=True,
        timeout=60,
        env=environ,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("fine 0\n", "", 0)


# -- gathering ------------------------------------------------------------------------------------


class Kernel:
    """A transport that takes what it is given, or (when it is `full`) keeps it."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.kept = 0
        self.full = False
        self.broken = False
        self.aborted = self.closed = False

    def write(self, data: bytes) -> None:
        if self.broken:
            raise RuntimeError("closed")
        if self.full:
            self.kept += len(data)
        else:
            self.taken.append(data)

    def get_write_buffer_size(self) -> int:
        return self.kept

    def set_write_buffer_limits(self, high: int) -> None: ...

    def abort(self) -> None:
        self.aborted = True

    def close(self) -> None:
        self.closed = True


def gathering() -> tuple[module.WebSocket, Kernel]:
    kernel: Any = Kernel()
    nobody: Any = None
    return module.WebSocket(nobody, kernel, 1000), kernel


async def the_end_of_the_turn() -> None:
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def test_who_is_woken_up_in_a_turn_answers_in_the_same_write() -> None:
    """As the acknowledgement of a message, behind the message itself."""
    one, kernel = gathering()
    stored = asyncio.get_running_loop().create_future()

    async def handler() -> None:
        await stored
        one.write(b"ack")

    task = asyncio.create_task(handler())
    await asyncio.sleep(0)
    one.write(b"message")
    stored.set_result(None)
    await task
    await the_end_of_the_turn()
    assert kernel.taken == [b"messageack"]


async def test_what_is_written_in_one_turn_goes_out_in_one_piece() -> None:
    (one, first), (two, second) = gathering(), gathering()
    for part in (b"a", b"b"):
        assert one.write(part)
        assert two.write(part)
    assert (first.taken, one.backlog) == ([], 2)
    await the_end_of_the_turn()
    assert (first.taken, second.taken) == ([b"ab"], [b"ab"])
    assert one.backlog == 0
    assert one.write(b"c")
    await the_end_of_the_turn()
    assert first.taken == [b"ab", b"c"]


async def test_much_goes_out_at_once() -> None:
    one, kernel = gathering()
    one.write(b"x" * module.GATHERED)
    assert kernel.taken == []
    one.write(b"y")
    assert [len(data) for data in kernel.taken] == [module.GATHERED + 1]


async def test_only_what_the_kernel_did_not_take_counts_against_the_limit() -> None:
    one, kernel = gathering()
    assert one.write(b"x" * 60, 100)
    assert one.write(b"y" * 60, 100)  # the first ones may go out, so they do
    assert [len(data) for data in kernel.taken] == [60]
    await the_end_of_the_turn()
    kernel.full = True
    one.pause_writing()
    assert one.write(b"z" * 100, 100)  # one message of any size, when nothing waits
    one.flush()
    assert not one.write(b"z", 100)
    assert one.backlog == 100


async def test_closing_comes_behind_what_was_written_and_aborting_drops_it() -> None:
    (one, first), (two, second) = gathering(), gathering()
    one.write(b"last")
    one.close()
    assert first.taken == [b"last", b"\x88\x02\x03\xe8"]
    two.write(b"last")
    two.abort()
    await the_end_of_the_turn()
    assert (second.taken, second.aborted, two.backlog) == ([], True, 0)
    assert one.write(b"never") is two.write(b"never") is True
    await the_end_of_the_turn()
    assert (len(first.taken), second.taken) == (2, [])


async def test_whoever_waits_for_one_that_is_closing_waits_for_its_end() -> None:
    """Without keeping the loop busy: the peer may take a second, or ten with TLS."""
    one, kernel = gathering()
    told: list[str] = []
    one._receiver = type("Receiver", (), {"on_gone": lambda self: told.append("gone")})()
    kernel.full = True
    one.write(b"x" * 2 * module.WRITE_HIGH)
    one.flush()
    one.pause_writing()
    one.close()
    kernel.kept = 2 * module.WRITE_HIGH
    waits = asyncio.create_task(one.drained())
    await the_end_of_the_turn()
    assert not waits.done()
    one.on_gone()
    await soon(waits)
    assert told == ["gone"]
    await soon(one.drained())  # there is nothing to wait for any more


def test_a_loop_that_is_over_is_let_go() -> None:
    async def turn() -> Any:
        one, kernel = gathering()
        one.write(b"a")
        await the_end_of_the_turn()
        assert kernel.taken == [b"a"]
        return weakref.ref(asyncio.get_running_loop())

    loop = asyncio.run(turn())
    gc.collect()
    assert loop() is None


async def test_one_that_cannot_be_written_to_holds_up_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    (one, first), (two, second) = gathering(), gathering()
    first.broken = True
    one.write(b"a")
    two.write(b"b")
    await the_end_of_the_turn()
    assert (first.aborted, second.taken) == (True, [b"b"])
    assert "could not be written to" in caplog.text


async def test_much_for_one_that_cannot_be_written_to_is_no_fault_of_who_writes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It goes out at once, in the middle of a loop over everybody in a room."""
    one, kernel = gathering()
    kernel.broken = True
    assert one.write(b"x" * module.GATHERED)
    assert one.write(b"y")
    assert (kernel.aborted, one.backlog) == (True, 0)
    assert "could not be written to" in caplog.text


@pytest.mark.parametrize("by", READERS)
async def test_pongs_are_told_to_who_asks_and_the_peers_close_code_is_kept(by: str) -> None:
    line = Line(by)
    line.feed(frame(10, b"nobody asked"))
    pongs: list[bytes] = []
    line.ws.on_pong = pongs.append
    line.feed(frame(10, b"x") + frame(TEXT, b"4"))
    assert pongs == [b"x"]
    assert line.ws.said == 0
    line.feed(frame(CLOSE, (1001).to_bytes(2, "big")))
    assert line.ws.said == 1001
    line.close()


@pytest.mark.parametrize("by", READERS)
async def test_a_close_frame_without_a_code_says_that_all_is_well(by: str) -> None:
    line = Line(by)
    line.feed(frame(CLOSE, b""))
    assert line.ws.said == 1000
    line.close()
