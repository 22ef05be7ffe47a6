"""Some do not read for a while: the others feel nothing, the server's memory is bounded, and in the
end everybody has everything, in order and once."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import pytest

from sioserver.client import RoomClient
from sioserver.testing import ServerProcess
from sioserver.valkey import Valkey

from .kit import until

CLIENTS, STALLED = 30, 10
POSTS, BODY = 300, "x" * 10_000
QUEUE = 400_000
MORE = 65_536 + 20_000
"""What may wait for a WebSocket beyond the half of its queue that is for events: as long as that
little waits, nobody asks the transport; and pings."""

SETTINGS = {
    "drain.seconds": 0,
    "limits.enabled": False,
    "limits.client_queue": QUEUE,
    "limits.slow_after": 60,
}


def small_buffer(address: Any) -> socket.socket:
    """So that what is not read waits in the server, and not on the way."""
    family, kind, protocol, _, _ = address
    sock = socket.socket(family, kind, protocol)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32_768)
    return sock


class Reader:
    """A WebSocket client of the root room that can stop reading."""

    def __init__(self, url: str, user: str) -> None:
        self.url = url
        self.user = user
        self.offsets: list[int] = []
        self.gaps = 0
        self.ended = False
        self.welcome = False

    @asynccontextmanager
    async def here(self, http: aiohttp.ClientSession) -> AsyncIterator["Reader"]:
        url = f"{self.url}/socket.io/?EIO=4&transport=websocket"
        async with http.ws_connect(url, max_msg_size=0) as self.ws:
            await self.ws.send_str("40" + json.dumps({"user": self.user}))
            reading = asyncio.create_task(self._read())
            try:
                await until(lambda: self.welcome)
                yield self
            finally:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)

    async def _read(self) -> None:
        async for message in self.ws:
            text = message.data
            if text == "2":
                await self.ws.send_str("3")
            elif text.startswith("42"):
                self._on_event(*json.loads(text[2:]))
        self.ended = True

    def _on_event(self, name: str, payload: dict[str, Any], *position: str) -> None:
        if name == "message":
            assert position[0].endswith(f".{payload['offset']}")
            self.offsets.append(payload["offset"])
        self.welcome |= name == "welcome"
        self.gaps += name == "gap"

    def stall(self, stalled: bool) -> None:
        transport: Any = self.ws._response.connection.transport  # type: ignore[union-attr]
        (transport.pause_reading if stalled else transport.resume_reading)()


async def numbers(http: aiohttp.ClientSession, url: str) -> dict[str, float]:
    """What /metrics says, without the labelled ones."""
    async with http.get(f"{url}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    pairs = [line.split() for line in lines if line and line[0] != "#" and "{" not in line]
    return {name.removeprefix("sioserver_"): float(value) for name, value in pairs}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("store", ["embedded", "redis"])
async def test_those_who_do_not_read_cost_little_and_miss_nothing(
    valkey: Valkey, store: str
) -> None:
    settings = {**SETTINGS, **({"redis.url": valkey.tcp_url} if store == "redis" else {})}
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(ServerProcess(settings=settings))
        connector = aiohttp.TCPConnector(limit=0, socket_factory=small_buffer)
        http = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        enter = stack.enter_async_context
        readers = [await enter(Reader(server.url, f"u{n}").here(http)) for n in range(CLIENTS)]
        poster = await enter(RoomClient(server.url, "lobby", user="poster"))
        slow, well = readers[:STALLED], readers[STALLED:]
        for reader in slow:
            reader.stall(True)
        for _ in range(POSTS):
            await poster.send(BODY)
        await until(lambda: all(len(reader.offsets) == POSTS for reader in well))

        told = await numbers(http, server.url)
        assert told["clients_behind"] == told["catch_ups_total"] == STALLED
        assert told["clients"] == CLIENTS + 1
        bound = STALLED * (QUEUE // 2 + MORE)
        assert STALLED * QUEUE // 4 < told["queue_bytes"] < bound
        # what they would have cost without a bound
        assert bound < STALLED * POSTS * len(BODY) // 8

        for reader in slow:
            reader.stall(False)
        await until(lambda: all(len(reader.offsets) == POSTS for reader in slow))
        await poster.send("the last")
        await until(lambda: all(len(reader.offsets) > POSTS for reader in readers))
        assert {tuple(reader.offsets) for reader in readers} == {tuple(range(1, POSTS + 2))}
        assert not any(reader.ended or reader.gaps for reader in readers)
        told = await numbers(http, server.url)
        assert told["clients_behind"] == 0
        assert told["queue_bytes"] < QUEUE
