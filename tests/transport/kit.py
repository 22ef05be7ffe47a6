"""Clients that speak the protocols by hand, and servers to speak to.

Nothing here knows how the server is made: bytes go in and come out.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import engineio
import socketio
from aiohttp import web

import sioserver
from sioserver.transport.engineio import EngineServer

PATIENCE = 5.0
WAY = "lane"
"""How polling clients of our servers send their requests: "lane", over connections that are kept
and have been used before, which the server answers past aiohttp (polling.py); or "aiohttp", over a
new connection each."""
TRANSPORTS = ["polling", "websocket"]
MESSAGE, CLOSE, PING, PONG, NOOP = "4", "1", "2", "3", "6"


async def until(condition: Callable[[], Any], timeout: float = PATIENCE) -> Any:
    """Wait until the condition holds; what it returned."""
    async with asyncio.timeout(timeout):
        while not (found := condition()):
            await asyncio.sleep(0.002)
    return found


async def soon(waited: Awaitable[Any], timeout: float = PATIENCE) -> Any:
    """What is waited for; fails when it does not come."""
    return await asyncio.wait_for(waited, timeout)


class Kept:
    """A connection that is kept, for one request after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.busy = False

    async def ask(self, request: bytes) -> tuple[int, dict[str, str], bytes]:
        """Send a request; status, headers and body of its answer."""
        self.busy = True
        try:
            self.writer.write(request)
            return await self.answer()
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise aiohttp.ServerDisconnectedError from error
        except BaseException:
            self.writer.transport.abort()
            raise
        finally:
            self.busy = False

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """The next answer."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (h.partition(": ") for h in head[1:])}
        body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        if headers.get("connection") == "close":
            self.writer.close()
        return int(head[0].split(" ")[1]), headers, body


class Site:
    """A server that listens, and HTTP to it."""

    def __init__(self, server: Any, path: str, port: int, http: aiohttp.ClientSession) -> None:
        self.kept: dict[str, list[Kept]] = {}
        self.marks = 0
        self.server = server
        self.path = path
        self.port = port
        self.http = http
        self.opened: list[aiohttp.ClientWebSocketResponse] = []
        self.runner: Any = None

    @property
    def eio(self) -> Any:
        return getattr(self.server, "eio", self.server)

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def url(self, transport: str | None = "polling", sid: str | None = None, **query: str) -> str:
        asked = {"EIO": "4", "transport": transport, "sid": sid, **query}
        text = "&".join(f"{name}={value}" for name, value in asked.items() if value is not None)
        return f"{self.origin}/{self.path}/?{text}"

    async def get(self, sid: str | None = None, **options: Any) -> tuple[int, str]:
        if sid in self.kept:
            self.marks += 1
            return await self.ask(sid, "GET", f"{self.url(sid=sid)}&t={self.marks}", b"", **options)
        async with self.http.get(self.url(sid=sid), **options) as answer:
            return answer.status, await answer.text()

    async def post(self, sid: str, body: str | bytes, **options: Any) -> tuple[int, str]:
        if sid in self.kept:
            data = body.encode() if isinstance(body, str) else body
            return await self.ask(sid, "POST", self.url(sid=sid), data, **options)
        async with self.http.post(self.url(sid=sid), data=body, **options) as answer:
            return answer.status, await answer.text()

    async def polling(self) -> Polling:
        status, text = await self.get()
        assert status == 200, text
        first, *others = text.split("\x1e")
        sid = json.loads(first[1:])["sid"]
        if WAY == "lane" and isinstance(self.eio, EngineServer):
            self.kept[sid] = []
            # one for its polls, one for its posts
            self.kept[sid] = [await self.keep(sid), await self.keep(sid)]
            assert callable(self.eio.cors_allowed_origins) or self.eio.sockets[sid].heads
        return Polling(self, sid, others)

    async def keep(self, sid: str) -> Kept:
        """A connection on which the server knows the session's requests; they do nothing."""
        kept = Kept(*await self.raw())
        session = self.eio.sockets.get(sid)
        if session is not None and not session.closed:
            for _ in range(2):
                session.answered("known", NOOP.encode())
                await kept.ask(self.request("GET", f"{self.url(sid=sid)}&t=known"))
                await kept.ask(self.request("POST", self.url(sid=sid), PONG.encode()))
        return kept

    def request(self, method: str, target: str, body: bytes = b"", **headers: str) -> bytes:
        """A request as the kept connections send it."""
        if method == "POST":
            headers = {"Content-Type": "text/plain", "Content-Length": str(len(body)), **headers}
        return self.head(method, target, *(": ".join(header) for header in headers.items())) + body

    async def ask(
        self, sid: str, method: str, target: str, body: bytes, headers: Any = None
    ) -> tuple[int, str]:
        free = (kept for kept in self.kept[sid] if not (kept.busy or kept.writer.is_closing()))
        kept = next(free, None)
        if kept is None:
            kept = await self.keep(sid)
            self.kept[sid].append(kept)
        status, _, answer = await kept.ask(self.request(method, target, body, **(headers or {})))
        return status, answer.decode()

    async def websocket(self, sid: str | None = None, **options: Any) -> WebSocket:
        ws = await self.http.ws_connect(self.url("websocket", sid), **options)
        self.opened.append(ws)
        if sid is not None:
            return WebSocket(self, ws, sid)
        opened = await soon(ws.receive())
        return WebSocket(self, ws, json.loads(opened.data[1:])["sid"])

    async def connect(self, transport: str) -> Client:
        return await (self.polling() if transport == "polling" else self.websocket())

    async def raw(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    def head(self, method: str, target: str, *lines: str) -> bytes:
        path = target.removeprefix(self.origin)
        return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: test", *lines, "", ""]).encode()

    def upgrade_head(self, target: str) -> bytes:
        return self.head(
            "GET",
            target,
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        )


class Client:
    """An Engine.IO client; packets are texts with their type in front, or bytes."""

    site: Site
    sid: str

    async def send(self, packet: str | bytes) -> None:
        raise NotImplementedError

    async def packet(self) -> str | bytes:
        """The next packet, whatever it is."""
        raise NotImplementedError

    async def closed(self) -> None:
        """Wait until the server has closed."""
        raise NotImplementedError

    async def leave(self) -> None:
        """Break off without a word."""
        raise NotImplementedError

    async def receive(self) -> str | bytes:
        """The next message; pings are answered."""
        async with asyncio.timeout(PATIENCE):
            while (packet := await self.packet()) in (PING, NOOP):
                if packet == PING:
                    await self.send(PONG)
            return packet

    async def join(self, namespace: str = "/", auth: Any = None) -> Any:
        """Join a namespace; the payload of the answer."""
        prefix = "" if namespace == "/" else namespace + ","
        await self.send(f"40{prefix}" + ("" if auth is None else json.dumps(auth)))
        while not isinstance(answer := await self.receive(), str) or answer[:2] not in ("40", "44"):
            pass
        return json.loads(answer[2 + len(prefix) :])

    async def event(self) -> Any:
        """The data of the next event of the root namespace."""
        packet = await self.receive()
        assert isinstance(packet, str)
        assert packet.startswith("42"), packet
        return json.loads(packet[2:])


class Polling(Client):
    def __init__(self, site: Site, sid: str, packets: list[str]) -> None:
        self.site = site
        self.sid = sid
        self.packets = deque(packets)

    async def send(self, packet: str | bytes) -> None:
        text = packet if isinstance(packet, str) else "b" + base64.b64encode(packet).decode()
        status, answer = await self.site.post(self.sid, text)
        if status != 200:
            raise ConnectionError(answer)

    async def poll(self) -> list[str]:
        status, text = await self.site.get(self.sid)
        if status != 200:
            raise ConnectionError(text)
        return text.split("\x1e")

    async def packet(self) -> str | bytes:
        if not self.packets:
            self.packets.extend(await soon(self.poll()))
        packet = self.packets.popleft()
        return base64.b64decode(packet[1:]) if packet[:1] == "b" else packet

    async def closed(self) -> None:
        async def to_the_end() -> None:
            while True:
                if (await self.packet()) == CLOSE:
                    return

        try:
            await soon(to_the_end())
        except ConnectionError:
            pass

    async def leave(self) -> None:
        pass


class WebSocket(Client):
    def __init__(self, site: Site, ws: aiohttp.ClientWebSocketResponse, sid: str) -> None:
        self.site = site
        self.ws = ws
        self.sid = sid

    async def send(self, packet: str | bytes) -> None:
        if isinstance(packet, str):
            await self.ws.send_str(packet)
        else:
            await self.ws.send_bytes(packet)

    async def packet(self) -> str | bytes:
        message = await soon(self.ws.receive())
        if message.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
            raise ConnectionError(f"{message.type.name} {message.data}")
        data: str | bytes = message.data
        return data

    async def closed(self) -> None:
        async def to_the_end() -> None:
            while True:
                await self.packet()

        try:
            await soon(to_the_end())
        except ConnectionError:
            pass

    async def leave(self) -> None:
        transport = self.ws._response.connection.transport  # type: ignore[union-attr]
        transport.abort()


@asynccontextmanager
async def serve(
    server: Any, path: str = "socket.io", *, tls: ssl.SSLContext | None = None, **runner: Any
) -> AsyncIterator[Site]:
    """The server in an aiohttp application on a free port."""
    app = web.Application()
    server.attach(app, path)
    runner.setdefault("shutdown_timeout", 0.5)
    runner.setdefault("access_log", None)
    running = web.AppRunner(app, **runner)
    await running.setup()
    listening = web.TCPSite(running, "127.0.0.1", 0, ssl_context=tls)
    await listening.start()
    port = running.addresses[0][1]
    try:
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, force_close=WAY == "aiohttp"),
            timeout=aiohttp.ClientTimeout(total=20),
        ) as http:
            site = Site(server, path, port, http)
            site.runner = running
            try:
                yield site
            finally:
                for kept in [kept for several in site.kept.values() for kept in several]:
                    kept.writer.close()
            await asyncio.gather(*(ws.close() for ws in site.opened))
    finally:
        await running.cleanup()


def socketio_server(kind: Any = None, **options: Any) -> Any:
    """A Socket.IO server with the handlers of the protocol's test-suite."""
    kind = kind or sioserver.AsyncServer
    options.setdefault("ping_interval", 0.3)
    options.setdefault("ping_timeout", 0.2)
    if kind is socketio.AsyncServer:
        options.setdefault("async_mode", "aiohttp")
    sio = kind(**options)

    async def connect(sid: str, environ: Any, auth: Any) -> None:
        await sio.emit("auth", auth or {}, to=sid)

    async def message(sid: str, *args: Any) -> None:
        await sio.emit("message-back", args, to=sid)

    async def message_with_ack(sid: str, *args: Any) -> Any:
        return args

    sio.on("connect", connect)
    sio.on("message", message)
    sio.on("message-with-ack", message_with_ack)

    async def custom(sid: str, environ: Any, auth: Any) -> None:
        await sio.emit("auth", auth or {}, to=sid, namespace="/custom")

    sio.on("connect", custom, namespace="/custom")
    return sio


def engineio_server(kind: Any = EngineServer, **options: Any) -> Any:
    """An Engine.IO server that echoes."""
    options.setdefault("ping_interval", 0.3)
    options.setdefault("ping_timeout", 0.2)
    if kind is engineio.AsyncServer:
        options.setdefault("async_mode", "aiohttp")
    eio = kind(**options)

    async def message(sid: str, data: Any) -> None:
        await eio.send(sid, data)

    eio.on("message", message)
    return eio


def quiet(**options: Any) -> Any:
    """A Socket.IO server without handlers whose heart beats slowly."""
    return sioserver.AsyncServer(ping_interval=20, ping_timeout=20, **options)


def frame(
    opcode: int, payload: bytes, *, mask: bool = True, fin: bool = True, rsv: int = 0
) -> bytes:
    """A client's WebSocket frame (the mask is zero: the payload stays readable)."""
    head = bytes([(0x80 if fin else 0) | (rsv << 4) | opcode])
    size, bit = len(payload), 0x80 if mask else 0
    if size < 126:
        head += bytes([bit | size])
    elif size < 65536:
        head += bytes([bit | 126]) + size.to_bytes(2, "big")
    else:
        head += bytes([bit | 127]) + size.to_bytes(8, "big")
    return head + (b"\0\0\0\0" if mask else b"") + payload
