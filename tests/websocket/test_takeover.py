"""A connection changes hands."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from multidict import CIMultiDict

from sioserver.transport.frames import Outgoing
from sioserver.websocket import aiohttp_reader, picows_reader, takeover

from ..transport.kit import Site, engineio_server, frame, quiet, serve, soon, until
from .readers import TCP, Told

GOOD = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


async def asked(site: Site, headers: dict[str, str | None], target: str = "") -> bytes:
    """All that is answered, until the first frame or the end."""
    reader, writer = await site.raw()
    lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
    writer.write(site.head("GET", target or site.url("websocket"), *lines))
    answer = bytes(await soon(reader.readuntil(b"\r\n\r\n")))
    if b" 101 " not in answer:
        answer += await soon(reader.read())
    writer.transport.abort()
    return answer


@pytest.mark.parametrize(
    "headers",
    [
        {"Connection": "keep-alive, Upgrade"},  # Firefox
        {"Connection": "upgrade , keep-alive"},
        {"Upgrade": "WebSocket"},
        {"Sec-WebSocket-Version": "8"},
    ],
    ids=str,
)
async def test_every_way_to_say_it(echo: Site, headers: dict[str, str]) -> None:
    answer = await asked(echo, {**GOOD, **headers})
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in answer


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({"Connection": "keep-alive"}, b""),  # an HTTP request like any other, for aiohttp
        ({"Sec-WebSocket-Version": None}, b"another version than 13"),
        ({"Sec-WebSocket-Version": "12"}, b"another version than 13"),
        ({"Sec-WebSocket-Key": None}, b"no valid Sec-WebSocket-Key"),
        ({"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ"}, b"no valid Sec-WebSocket-Key"),
        ({"Sec-WebSocket-Key": "d*GhlIHNhbXBsZSBub25jZQ=="}, b"no valid Sec-WebSocket-Key"),
        ({"Sec-WebSocket-Key": "dGhlIHNhbXBsZQ=="}, b"no valid Sec-WebSocket-Key"),
    ],
    ids=str,
)
async def test_what_is_wrong_with_it(
    echo: Site, headers: dict[str, str | None], said: bytes
) -> None:
    answer = await asked(echo, {**GOOD, **headers})
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.endswith(said)
    assert b"Sec-WebSocket-Version: 13" in answer
    await until(lambda: not echo.eio.sockets)


async def test_a_malformed_upgrade_leaves_the_session_as_it_was(echo: Site) -> None:
    client = await echo.polling()
    target = echo.url("websocket", client.sid)
    assert b" 400 " in await asked(echo, {**GOOD, "Sec-WebSocket-Key": "x"}, target)
    assert await echo.post(client.sid, "4alive") == (200, "ok")
    assert await client.receive() == "4alive"
    upgrade = await echo.websocket(client.sid)
    await upgrade.send("2probe")
    assert await upgrade.packet() == "3probe"


async def test_aiohttp_keeps_nothing(echo: Site) -> None:
    client = await echo.websocket()
    await client.send("4x")
    await client.receive()
    await until(lambda: not echo.runner.server.connections)
    await client.send("4y")
    assert await client.receive() == "4y"


async def test_aiohttp_keeps_nothing_for_who_keeps_the_request() -> None:
    """As the environ does that `AsyncServer` keeps for its users."""
    server = quiet()

    def handlers() -> list[Any]:
        return [one for one in gc.get_objects() if type(one) is web.RequestHandler]

    gc.collect()
    others = handlers()  # what other tests have left behind
    async with serve(server) as site:
        client = await site.websocket()
        request = server.environ[client.sid]["aiohttp.request"]
        await until(lambda: all(any(one is other for other in others) for one in handlers()))
        assert await client.join() is not None
        assert (request.path, request.remote) == ("/socket.io/", "127.0.0.1")
        assert request.headers["Upgrade"] == "websocket"
        assert request.transport is None


async def test_much_behind_the_request() -> None:
    """More than aiohttp keeps: it has paused reading by then, and the receiver may too."""
    texts = [b"4%d" % number + b"x" * 1000 for number in range(300)]
    wanted = b"".join(frame(1, text, mask=False) for text in texts)
    # no ping is due meanwhile, which nobody would answer
    eio = engineio_server(ping_interval=60)
    async with serve(eio, "engine.io") as site:
        reader, writer = await site.raw()
        writer.write(site.upgrade_head(site.url("websocket")))
        writer.write(b"".join(frame(1, text) for text in texts))
        await soon(reader.readuntil(b"\r\n\r\n"))
        await soon(reader.readuntil(b"}"))  # the OPEN packet
        assert await soon(reader.readexactly(len(wanted))) == wanted
        writer.close()


async def test_the_answer_and_the_first_packet_go_out_in_one_write(reader: str) -> None:
    class Once(TCP):
        def __init__(self) -> None:
            super().__init__()
            self.writes: list[bytes] = []

        def write(self, data: bytes) -> None:
            self.writes.append(data)

    class Handler:
        transport = None
        _message_tail = b""

        def connection_lost(self, exc: Exception | None) -> None: ...

    tcp, request = Once(), SimpleNamespace(headers=CIMultiDict(GOOD), protocol=Handler())
    request.transport = tcp
    told: Any = Told()
    asked: Any = request
    opened = takeover.take_over(
        asked, told, 1000, lambda ws: ws.send(Outgoing(["hello"])) and None, takeover.reader(reader)
    )
    assert opened
    (written,) = tcp.writes
    head, _, frames = written.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    assert frames == b"\x81\x064hello"
    tcp.protocol.connection_lost(None)
    for end in tcp.ends:
        end.close()


# -- who reads ------------------------------------------------------------------------------------

PREFERRED = takeover.preferred  # the fixtures put another in its place


def test_the_reader_that_is_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert takeover.reader("picows") is picows_reader.begin
    assert takeover.reader("aiohttp") is aiohttp_reader.begin
    assert caplog.text == ""
    with pytest.raises(ValueError, match="one of auto, picows, aiohttp; not by 'uws'"):
        takeover.reader("uws")


def test_picows_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sioserver.websocket.picows_reader", None)
    assert takeover.reader("auto") is aiohttp_reader.begin
    with pytest.raises(ImportError, match='install it, or set "auto"'):
        takeover.reader("picows")


def test_the_reader_that_is_preferred(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    assert PREFERRED() == "aiohttp"
    monkeypatch.setattr(aiohttp_reader, "COMPILED", False)
    assert PREFERRED() == "picows"
    assert caplog.text == ""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert PREFERRED() == "aiohttp"
    assert "by Python code, which costs more; install picows" in caplog.text


async def test_the_servers_argument(reader: str) -> None:
    """The fixtures of these tests do what they say."""
    server: Any = engineio_server()
    module = {"picows": picows_reader, "aiohttp": aiohttp_reader}[reader]
    assert server._reader is module.begin
    assert engineio_server(websocket="aiohttp")._reader is aiohttp_reader.begin


WITHOUT = """
import asyncio, sys
sys.modules["picows"] = None
import aiohttp
from aiohttp import web
import sioserver
from sioserver.app import SERVER, create_app
from sioserver.config import build

async def main():
    app = create_app(build("store.path = ':memory:'"))
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/socket.io/?EIO=4&transport=websocket"
    async with aiohttp.ClientSession() as http, http.ws_connect(url) as ws:
        await ws.receive()
        await ws.send_str('40{"user":"ann"}')
        await ws.receive()
        await ws.send_str('421["message","hi"]')
        while not (text := (await ws.receive()).data).startswith("431"):
            pass
    await runner.cleanup()
    print(text[:14])

asyncio.run(main())
"""


def test_the_whole_server_without_the_package() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT], capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr, done.returncode) == ('431[{"ok":true\n', "", 0)


async def test_a_connection_that_has_gone_is_none() -> None:
    class Request:
        transport = None

    gone: Any = Request()
    nobody: Any = None
    assert not takeover.take_over(gone, nobody, 1000, nobody, nobody)


async def test_a_client_that_goes_at_once() -> None:
    """Before the connect handler is done."""
    gate, closed = asyncio.Event(), asyncio.Event()
    eio = engineio_server()

    async def connect(sid: str, environ: Any) -> None:
        await gate.wait()
        closed.set()

    eio.on("connect", connect)
    async with serve(eio, "engine.io") as site:
        _, writer = await site.raw()
        writer.write(site.upgrade_head(site.url("websocket")))
        await until(lambda: eio.sockets)
        (handler,) = site.runner.server.connections
        writer.transport.abort()
        await until(lambda: handler.transport is None)
        gate.set()
        await soon(closed.wait())
        await until(lambda: not eio.sockets)


async def test_what_a_peer_does_not_read_waits_here_and_not_in_the_kernel() -> None:
    """Without a bound the kernel takes megabytes for each such peer, once a line was fast."""
    eio = engineio_server(ping_interval=20, ping_timeout=20, client_queue=20_000_000)
    async with serve(eio, "engine.io") as site:
        peer = socket.socket()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)  # the peer's share
        peer.connect(("127.0.0.1", site.port))
        reader, writer = await asyncio.open_connection(sock=peer)
        writer.write(site.upgrade_head(site.url("websocket")))
        await soon(reader.readuntil(b"\r\n\r\n"))
        session = await until(lambda: next(iter(eio.sockets.values()), None))
        out = Outgoing(["x" * 60_000])
        for _ in range(200):  # the line is fast
            session.write(out)
            await soon(reader.readexactly(session.size(out)))
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        for _ in range(200):  # no longer
            session.write(out)
        left = -1
        while session.queued != left:  # until it takes no more
            left = session.queued
            await asyncio.sleep(0)
        kernel = 200 * session.size(out) - left
        assert kernel < 1_000_000
        writer.transport.abort()
        await until(lambda: not eio.sockets)


KEPT = """
import asyncio, gc, sys, uvloop
from aiohttp import ClientSession, web
from aiohttp.web_protocol import RequestHandler
from sioserver.transport.engineio import EngineServer

async def main():
    eio = EngineServer(ping_interval=20, websocket=sys.argv[1])
    app = web.Application()
    eio.attach(app)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/engine.io/?EIO=4&transport=websocket"
    async with ClientSession() as http, http.ws_connect(url) as ws:
        await ws.receive()
        await ws.send_str("4hello")
        for _ in range(100):  # its task has to come to its end
            await asyncio.sleep(0)
        gc.collect()
        print(sum(isinstance(found, RequestHandler) for found in gc.get_objects()))
    await eio.shutdown()
    await runner.cleanup()

uvloop.run(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="uvloop is not for Windows")
def test_uvloop_keeps_nothing_of_aiohttp(reader: str) -> None:
    command = [sys.executable, "-c", KEPT, reader]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr, done.returncode) == ("0\n", "", 0)
