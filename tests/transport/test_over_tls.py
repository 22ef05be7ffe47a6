"""What the WebSocket promises of a connection holds over TLS too, under both event loops: its
transport has buffers of its own above those of TCP."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop

import sioserver
from sioserver.websocket import connection as websocket

from ..certificates import Certificates
from .kit import PATIENCE, Site, frame, quiet, serve, soon, until

LOOPS = pytest.mark.parametrize(
    "loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)
CHUNK = 50_000
QUEUE = 300_000


class Raw:
    """A WebSocket over TLS that is read and written by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def message(self) -> tuple[int, bytes]:
        """Opcode and payload of the next frame."""
        first, size = await soon(self.reader.readexactly(2))
        if size >= 126:
            size = int.from_bytes(await soon(self.reader.readexactly(2 if size == 126 else 8)))
        return first & 0x0F, await soon(self.reader.readexactly(size))

    async def until(self, text: bytes) -> None:
        while (await self.message())[1] != text:
            pass


def run(
    loop: Callable[[], asyncio.AbstractEventLoop],
    directory: Path,
    sio: sioserver.AsyncServer,
    test: Callable[[Site, Raw], Awaitable[None]],
) -> None:
    """Run the test with a client that has joined the root namespace."""
    files = Certificates(directory)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.cert, files.key)

    @asynccontextmanager
    async def joined(site: Site) -> AsyncIterator[Raw]:
        # small buffers: what is not read is soon the server's to keep
        reader, writer = await asyncio.open_connection(
            "127.0.0.1",
            site.port,
            ssl=files.client(),
            server_hostname="localhost",
            limit=CHUNK,
        )
        raw = Raw(reader, writer)
        writer.write(site.upgrade_head(site.url("websocket")) + frame(1, b"40"))
        try:
            assert b" 101 " in await soon(reader.readuntil(b"\r\n\r\n"))
            while not (await raw.message())[1].startswith(b"40"):
                pass
            yield raw
        finally:
            writer.transport.abort()

    async def main() -> None:
        async with serve(sio, tls=context) as site, joined(site) as raw:
            await test(site, raw)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())


def only_session(sio: Any) -> Any:
    (session,) = sio.eio.sockets.values()
    return session


@LOOPS
def test_what_was_written_before_the_end_arrives(
    loop: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "CLOSE_TIMEOUT", 10 * PATIENCE)  # this client is slow, not mute
    sio: Any = quiet(client_queue=1000 * CHUNK)

    async def test(site: Site, raw: Raw) -> None:
        raw.writer.transport.pause_reading()
        for number in range(250):
            await sio.emit("big", bytes([number]) * CHUNK)
        session = only_session(sio)
        session.end("over", "shutdown")
        assert session.queued > QUEUE  # more than the kernel takes
        raw.writer.transport.resume_reading()
        seen = []
        while (got := await raw.message())[0] != 8:
            if got[0] == websocket.BINARY:
                seen.append(got[1])
        assert seen == [bytes([number]) * CHUNK for number in range(250)]
        assert int.from_bytes(got[1][:2]) == websocket.GOING_AWAY
        assert await soon(raw.reader.read()) == b""

    run(loop, tmp_path, sio, test)


@LOOPS
def test_who_does_not_read_is_closed_at_the_limit(
    loop: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "CLOSE_TIMEOUT", 0.1)
    sio: Any = quiet(client_queue=QUEUE)
    ends: list[str] = []
    sio.on("disconnect", lambda sid, reason: ends.append(reason))

    async def test(site: Site, raw: Raw) -> None:
        session = only_session(sio)
        raw.writer.transport.pause_reading()
        most = 0

        async def flood() -> None:
            nonlocal most
            while not session.closing:
                await sio.emit("big", bytes(CHUNK))
                await asyncio.sleep(0)
                most = max(most, session.queued)

        await soon(flood(), 4 * PATIENCE)
        await until(lambda: ends)
        assert ends == ["slow consumer"]
        # it counts plain bytes, and what is encrypted in records of 16 KiB is a little more
        assert QUEUE - 3 * CHUNK < most <= QUEUE * 1.1 + websocket.WRITE_HIGH
        # and the connection does not wait for somebody who will never read
        await until(lambda: session.ws._tcp.is_closing() and not session.ws.backlog)

    run(loop, tmp_path, sio, test)


@LOOPS
def test_a_replay_goes_at_the_clients_own_pace(loop: Any, tmp_path: Path) -> None:
    sio: Any = quiet(client_queue=QUEUE)

    async def test(site: Site, raw: Raw) -> None:
        session = only_session(sio)
        most = 0

        async def replay() -> None:
            nonlocal most
            for _ in range(100):
                await sio.emit("big", bytes(CHUNK))
                await session.drain()
                most = max(most, session.queued)
            await sio.emit("end")

        task = asyncio.create_task(replay())
        await raw.until(b'42["end"]')
        await task
        assert most <= QUEUE
        assert not session.closed

    run(loop, tmp_path, sio, test)


@LOOPS
def test_a_client_that_sends_too_much_is_not_read(loop: Any, tmp_path: Path) -> None:
    """And everything is handled, in order, when there is room again."""
    sio: Any = quiet(inbox=4)
    go_on = asyncio.Event()
    seen: list[int] = []

    async def number(sid: str, value: int, filling: str) -> None:
        await go_on.wait()
        seen.append(value)

    sio.on("n", number)

    async def test(site: Site, raw: Raw) -> None:
        filling = "x" * 1000
        for value in range(2000):
            raw.writer.write(frame(1, f'42["n",{value},"{filling}"]'.encode()))
        session = only_session(sio)
        await until(lambda: session._paused)
        assert seen == []
        go_on.set()
        await until(lambda: len(seen) == 2000, 4 * PATIENCE)
        assert seen == list(range(2000))

    run(loop, tmp_path, sio, test)


@LOOPS
@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (frame(websocket.TEXT, b"4x", mask=False), websocket.PROTOCOL_ERROR),
        (frame(3, b"4x"), websocket.PROTOCOL_ERROR),
        (frame(websocket.BINARY, b"x" * 1_000_001), websocket.TOO_BIG),
        (frame(websocket.TEXT, b"4\xff"), websocket.INVALID_TEXT),
        (frame(websocket.CLOSE, b"\x03\xe8"), websocket.OK),
    ],
)
def test_an_end_is_told_in_a_frame(loop: Any, tmp_path: Path, wrong: bytes, code: int) -> None:
    """Encrypted as all the rest: whoever found the fault must not write past the transport."""

    async def test(site: Site, raw: Raw) -> None:
        raw.writer.write(wrong)
        while (got := await raw.message())[0] != websocket.CLOSE:
            pass
        assert int.from_bytes(got[1][:2]) == code

    run(loop, tmp_path, quiet(), test)
