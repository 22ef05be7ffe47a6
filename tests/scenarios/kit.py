"""What several scenarios need: python-socketio's own client in a room, and waiting for things."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Self

import aiohttp
import socketio

from sioserver.client import RoomClient, Transport
from sioserver.model import Message
from sioserver.testing import ServerProcess

UNREADY_WITHIN = 5.0
READY_WITHIN = 10.0
"""Seconds in which a node's readiness follows its store."""
PATIENCE = 30.0
"""Seconds for what has to come and is not measured, however busy the machine."""


class Bare:
    """python-socketio's own client in a room, and what it was told."""

    def __init__(
        self,
        url: str,
        transport: Transport | None,
        room: str = "lobby",
        *,
        http: aiohttp.ClientSession | None = None,
        **auth: str,
    ) -> None:
        """`transport`: None is polling first, then a WebSocket. `http`: how requests are made,
        where that is not as usual; it is not closed."""
        self.url = url
        self.transports = None if transport is None else [transport]
        self.auth = auth
        self.sio = socketio.AsyncClient(
            handle_sigint=False,
            reconnection_delay=0.1,  # type: ignore[arg-type]
            request_timeout=PATIENCE,
            http_session=http,
        )
        self.messages: list[dict[str, Any]] = []
        self.welcomes: list[dict[str, Any]] = []
        self.presence: list[dict[str, Any]] = []
        self.typing: list[dict[str, Any]] = []
        self.notices: list[dict[str, Any]] = []
        self.gaps: list[dict[str, Any]] = []
        self.settings: list[dict[str, Any]] = []
        self.rooms: list[dict[str, Any]] = []
        self.disconnects = 0
        self.position = ""
        self._room = f"/{room}"
        self.sio.on("message", self._message, namespace=self._room)
        self.sio.on("welcome", self._welcome, namespace=self._room)
        self.sio.on("presence", self.presence.append, namespace=self._room)
        self.sio.on("typing", self.typing.append, namespace=self._room)
        self.sio.on("notice", self.notices.append, namespace=self._room)
        self.sio.on("gap", self._gap, namespace=self._room)
        for name in ("unread", "room_joined", "room_left"):
            self.sio.on(name, self.rooms.append, namespace=self._room)
        self.sio.on("room", self.settings.append, namespace=self._room)
        self.sio.on("disconnect", self._disconnect, namespace=self._room)

    def __repr__(self) -> str:
        told = self.welcomes[-1:] + self.presence[-4:]
        return f"<{self.auth} offsets={self.offsets[-5:]} left={self.disconnects} told={told}>"

    async def __aenter__(self) -> Self:
        await self.sio.connect(
            self.url,
            auth=lambda: self.auth,
            namespaces=[self._room],
            transports=self.transports,
            wait_timeout=PATIENCE,
        )
        await until(lambda: self.welcomes)
        return self

    async def __aexit__(self, *_: object) -> None:
        # shutdown() takes it that a task that comes back has begun, which it has not at once
        await until(lambda: not self.sio._reconnect_task or self.sio._reconnect_abort)
        await self.sio.shutdown()
        http = self.sio.eio.http  # it forgets this one when it is coming back just now
        if http is not None and not http.closed and not self.sio.eio.external_http:
            await http.close()

    def _message(self, payload: dict[str, Any], position: str) -> None:
        self.messages.append(payload)
        self.position = position

    def _welcome(self, payload: dict[str, Any], *position: str) -> None:
        self.welcomes.append(payload)

    def _gap(self, payload: dict[str, Any], position: str) -> None:
        self.gaps.append(payload)

    def _disconnect(self, reason: str = "") -> None:
        self.disconnects += 1

    @property
    def offsets(self) -> list[int]:
        return [message["offset"] for message in self.messages]

    @property
    def counts(self) -> tuple[int, int]:
        """Online and total, as it was told last."""
        told = (self.presence or self.welcomes)[-1]
        return told["online"], told["total"]

    async def call(self, event: str, *args: Any) -> dict[str, Any]:
        answer = await self.sio.call(event, args, namespace=self._room, timeout=PATIENCE)
        assert isinstance(answer, dict)
        return answer


async def until(condition: Callable[[], object], timeout: float = PATIENCE) -> None:
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.01)


async def take(room: RoomClient, count: int) -> list[Message]:
    """The next messages, and no gap among them."""
    found: list[Message] = []
    async with asyncio.timeout(PATIENCE):
        while len(found) < count:
            item = await anext(room)
            assert isinstance(item, Message), item
            found.append(item)
    return found


async def status(url: str) -> int:
    async with aiohttp.ClientSession() as http, http.get(url) as response:
        return response.status


@asynccontextmanager
async def nodes(
    count: int,
    url: str,
    *,
    prefix: str = "",
    settings: Mapping[str, object] | None = None,
    config: Path | None = None,
    kind: type[ServerProcess] = ServerProcess,
) -> AsyncIterator[list[ServerProcess]]:
    """Single nodes, each with its own address, that share a Redis (with those of the same prefix,
    if one is given)."""
    prefix = prefix or f"t{secrets.token_hex(4)}"
    shared = {"redis.url": url, "redis.prefix": prefix, "limits.enabled": False, "drain.seconds": 0}
    servers = [kind(settings={**shared, **(settings or {})}, config=config) for _ in range(count)]
    async with AsyncExitStack() as stack:
        await asyncio.gather(*(stack.enter_async_context(server) for server in servers))
        yield servers


async def becomes(code: int, url: str, within: float) -> float:
    """Seconds until the server's readiness is that."""
    began = time.monotonic()
    async with asyncio.timeout(within):
        while await status(f"{url}/readyz") != code:
            await asyncio.sleep(0.05)
    return time.monotonic() - began
