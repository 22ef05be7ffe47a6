"""What tests of the application and of the program have in common: a client, a configuration."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import msgspec
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from sioserver.config import Config

Http = TestClient[web.Request, web.Application]
PATIENCE = 60.0

POLLING = "/socket.io/?EIO=4&transport=polling"
EVIL = {"Host": "evil.example:8000", "Origin": "http://evil.example:8000"}


def configured(**sections: dict[str, Any]) -> Config:
    usual: dict[str, dict[str, Any]] = {
        "store": {"path": ":memory:"},
        "drain": {"seconds": 0.0},
        "delivery": {"confirm": 0.01},
    }
    for name, values in sections.items():
        usual[name] = {**usual.get(name, {}), **values}
    return msgspec.convert(usual, Config)


def client_of(app: web.Application) -> Http:
    return TestClient(TestServer(app, access_log=None))


async def metrics_of(http: Http, base: str = "") -> dict[str, float]:
    answer = await http.get(f"{base}/metrics")
    assert answer.status == 200
    samples = {}
    for line in (await answer.text()).splitlines():
        if not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            samples[name.removeprefix("sioserver_")] = float(value)
    return samples


class WebSocket:
    """The least of a client: enough to come, to say something and to go."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.ws = ws

    @classmethod
    async def open(cls, http: Any, path: str = "/socket.io/", auth: Any = None) -> WebSocket:
        client = cls(await http.ws_connect(f"{path}?EIO=4&transport=websocket"))
        assert (await client.next()).startswith("0{")
        await client.ws.send_str("40" + json.dumps(auth or {}))
        await client.until("42")
        return client

    async def next(self) -> str:
        async with asyncio.timeout(PATIENCE):
            while True:
                text = await self.ws.receive_str()
                if text != "2":
                    return text
                await self.ws.send_str("3")

    async def until(self, prefix: str) -> str:
        self.passed: list[str] = []
        while not (text := await self.next()).startswith(prefix):
            self.passed.append(text)
        return text

    async def call(self, *event: Any) -> Any:
        await self.ws.send_str("421" + json.dumps(event))
        return json.loads((await self.until("431"))[3:])[0]
