"""What the client's tests share: a real server in this process, and ways to look at a client."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import jwt
import msgspec
import pytest
from aiohttp import web

from sioserver.app import SERVER, create_app
from sioserver.client import Gap, RoomClient, Transport
from sioserver.config import Config
from sioserver.config.schema import Auth, Presence, Store

SECRET = "a secret of the tests, long enough for HS256"
TRANSPORTS: list[list[Transport] | None] = [["websocket"], ["polling"], None]
both = pytest.mark.parametrize("transports", TRANSPORTS, ids=["websocket", "polling", "upgrade"])


def config(**sections: Any) -> Config:
    defaults = {"store": Store(path=":memory:"), "presence": Presence(batch=0.02)}
    return msgspec.structs.replace(Config(), **{**defaults, **sections})


class Served:
    """An app that listens; it can be taken away and put back under the same address."""

    def __init__(self, wanted: Config) -> None:
        self.app = create_app(wanted)
        self._runner = web.AppRunner(self.app, shutdown_timeout=1.0)
        self._port = 0

    async def start(self) -> None:
        await self._runner.setup()
        await self.listen()

    async def listen(self) -> None:
        self._site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await self._site.start()
        self._port = self._site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def cut(self) -> None:
        """All connections are lost at once, without a word."""
        for session in list(self.app[SERVER].eio.sockets.values()):
            session.end("transport error", "transport_close", flush=False)

    async def unreachable(self) -> None:
        """Nobody can connect any more, and who was connected is cut off."""
        await self._site.stop()
        await self.cut()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"


@asynccontextmanager
async def serve(wanted: Config | None = None) -> AsyncIterator[Served]:
    served = Served(wanted or config())
    await served.start()
    try:
        yield served
    finally:
        await served.stop()


def with_tokens(**auth: Any) -> Config:
    return config(auth=Auth(secret=SECRET, leeway=0, **auth))


def token(user: str, lives: float = 600.0, **claims: Any) -> str:
    return jwt.encode({"sub": user, "exp": time.time() + lives, **claims}, SECRET, "HS256")


async def take(room: RoomClient, count: int) -> list[Any]:
    """The next messages' bodies (or a Gap)."""
    found: list[Any] = []
    async with asyncio.timeout(10):
        while len(found) < count:
            item = await anext(room)
            found.append(item if isinstance(item, Gap) else item.body)
    return found


async def until(condition: Callable[[], object], timeout: float = 10.0) -> None:
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.005)
