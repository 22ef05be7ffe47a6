"""A receiver of webhooks, as a real server that can fail, hang and go away."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

SECRET = "0123456789abcdef0123456789abcdef"

Behaviour = Callable[[web.Request], Awaitable[web.StreamResponse]]


def verify(headers: Any, body: bytes, now: float) -> None:
    """As docs/webhooks.md tells receivers to."""
    fields = dict(part.split("=", 1) for part in headers["Sioserver-Signature"].split(","))
    signed = fields["t"].encode() + b"." + body
    expected = hmac.new(SECRET.encode(), signed, "sha256").hexdigest()
    assert hmac.compare_digest(expected, fields["v1"])
    assert abs(now - int(fields["t"])) <= 300


class Receiver:
    """Takes events, unless it is told to do something else."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        """Those that it has taken, in order."""
        self.raw: list[tuple[Any, bytes]] = []
        self.behaviour: Behaviour | None = None
        self._news = asyncio.Condition()
        self._port = 0

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/hook", self._hook)
        app.router.add_route("*", "/elsewhere", self._elsewhere)
        self._server = TestServer(app, port=self._port or None)
        await self._server.start_server()
        self._port = self._server.port or 0

    async def stop(self) -> None:
        await self._server.close()

    async def __aenter__(self) -> Receiver:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/hook"

    async def _elsewhere(self, request: web.Request) -> web.Response:
        raise AssertionError("a redirect was followed")

    async def _hook(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        told = json.loads(body)
        self.raw.append((request.headers, body))
        self.requests.append(told)
        if self.behaviour is not None:
            async with self._news:
                self._news.notify_all()
            return await self.behaviour(request)
        async with self._news:
            self.events += told["events"]
            self._news.notify_all()
        return web.Response(status=204)

    async def until(self, condition: Callable[[], Any], within: float = 30.0) -> None:
        async with asyncio.timeout(within), self._news:
            await self._news.wait_for(condition)

    def bodies(self, room: str = "a") -> list[Any]:
        return [
            event["message"]["body"]
            for event in self.events
            if event["type"] == "message" and event["room"] == room
        ]


def answers(status: int, **headers: str) -> Behaviour:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=status, headers=headers)

    return answer


async def hangs(request: web.Request) -> web.Response:
    await asyncio.sleep(3600)
    raise AssertionError("nobody waits that long")
