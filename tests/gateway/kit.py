"""A server in this process, and plain WebSockets that read all the time, as browsers do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
from aiohttp import web

from sioserver.app import DOORS, METRICS, ROOMS, create_app
from sioserver.config import Config
from sioserver.engine.base import Engine
from sioserver.gateway.door import Door
from sioserver.hooks import Hooks
from sioserver.metrics import Metrics

PATIENCE = 20.0

USUAL: Mapping[str, Mapping[str, Any]] = {
    "store": {"path": ":memory:"},
    "presence": {"grace": 0.1, "batch": 0.02},
    "delivery": {"confirm": 0.01},
    "drain": {"seconds": 0.0},
    "gateway": {"heartbeat": 0},
}

SECRET = "a secret of the tests, longer than 32 bytes"


class Gone(Exception):
    """The connection is over."""


class Plain:
    """A client."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.ws = ws
        self.pongs = True
        self.beats = 0
        self._heard: asyncio.Queue[Any] = asyncio.Queue()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for message in self.ws:
            if message.type is aiohttp.WSMsgType.BINARY:
                self._heard.put_nowait(msgspec.msgpack.decode(message.data))
                continue
            try:
                frame = json.loads(message.data)
            except ValueError:
                frame = message.data
            if isinstance(frame, dict) and frame.get("event") == "heartbeat":
                self.beats += 1
                if self.pongs:
                    await self.ws.send_str('{"event":"heartbeat","message":"pong"}')
                continue
            self._heard.put_nowait(frame)
        self._heard.put_nowait(Gone(self.ws.close_code))

    async def say(self, frame: Any) -> None:
        """Send an object or a list as JSON, and a text or bytes as they are."""
        if isinstance(frame, bytes):
            await self.ws.send_bytes(frame)
        else:
            await self.ws.send_str(frame if isinstance(frame, str) else json.dumps(frame))

    async def hear(self) -> Any:
        """The next frame; raises `Gone`."""
        frame = await asyncio.wait_for(self._heard.get(), PATIENCE)
        if isinstance(frame, Gone):
            self._heard.put_nowait(frame)
            raise frame
        return frame

    async def hear_until(self, event: str) -> Any:
        """The next frame of this event."""
        while True:
            frame = await self.hear()
            if (frame["event"] if isinstance(frame, dict) else frame[0]) == event:
                return frame

    async def hear_all(self) -> list[Any]:
        """Everything that is there until the server has answered once more (native clients)."""
        await self.say(["typing", False, 999])
        frames = []
        while (frame := await self.hear())[0] != "ack" or frame[2] != 999:
            frames.append(frame)
        return frames

    async def login(self, name: str, room: str | None = None, uid: str | None = None) -> Any:
        """Log in, in the tutorial's dialect; the answer."""
        frame = {"event": "login", "name": name, "roomid": room, "uid": uid}
        await self.say({key: value for key, value in frame.items() if value is not None})
        return await self.hear_until("login")

    async def join(self, room: str | None = None, **options: Any) -> Any:
        """Join, in the native dialect (JSON); the welcome."""
        await self.say(["join", {**options, **({} if room is None else {"room": room})}, 1])
        assert await self.hear() == ["ack", {"ok": True}, 1]
        welcome = await self.hear()
        assert welcome[0] == "welcome"
        return welcome

    async def ask(self, event: str, data: Any = None, *more: Any, number: int = 7) -> Any:
        """Send an event (JSON); the answer. What comes before it is left out."""
        await self.say([event, data, number, *more])
        while True:
            frame = await self.hear()
            if frame[0] == "ack" and frame[2] == number:
                return frame[1]

    async def gone(self) -> int | None:
        """Wait for the end; the code of the close frame."""
        await asyncio.wait_for(asyncio.shield(self._reading), PATIENCE)
        return self.ws.close_code

    async def close(self, code: int = 1000) -> None:
        await self.ws.close(code=code)
        await self._reading

    async def cut(self) -> None:
        """End the connection without a word."""
        response = self.ws._response
        assert response.connection is not None
        assert response.connection.transport is not None
        response.connection.transport.abort()
        await self._reading


class Place:
    """The server, and the way in."""

    def __init__(self, app: web.Application, port: int, http: aiohttp.ClientSession) -> None:
        self.app = app
        self.port = port
        self.http = http
        self.clients: list[Plain] = []

    @property
    def metrics(self) -> Metrics:
        return self.app[METRICS]

    @property
    def door(self) -> Door:
        return self.app[DOORS][0]

    @property
    def rooms(self) -> Any:
        return self.app[ROOMS]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def open(self, *protocols: str, path: str = "/ws", **options: Any) -> Plain:
        ws = await self.http.ws_connect(
            f"ws://127.0.0.1:{self.port}{path}", protocols=protocols, **options
        )
        client = Plain(ws)
        self.clients.append(client)
        return client

    async def native(self, room: str = "den", **options: Any) -> Plain:
        """A client that has joined."""
        client = await self.open("sioserver.v1")
        await client.join(room, **options)
        return client


def configured(**sections: Mapping[str, Any]) -> Config:
    names = {*USUAL, *sections}
    merged = {name: {**USUAL.get(name, {}), **sections.get(name, {})} for name in names}
    return msgspec.convert(merged, Config)


@asynccontextmanager
async def place(
    config: Config | None = None, engine: Engine | None = None, hooks: Hooks | None = None
) -> AsyncIterator[Place]:
    """A server on a free port of loopback."""
    app = create_app(config or configured(), engine=engine, hooks=hooks)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with aiohttp.ClientSession() as http:
            found = Place(app, runner.addresses[0][1], http)
            try:
                yield found
            finally:
                await asyncio.gather(*(client.close() for client in found.clients))
    finally:
        await runner.cleanup()


async def until(condition: Any) -> Any:
    """Wait until it holds; what it returned."""
    async with asyncio.timeout(PATIENCE):
        while not (found := condition()):
            await asyncio.sleep(0.002)
    return found
