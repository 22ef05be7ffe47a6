"""What machines ask the server: is it alive, may it be sent clients, what has it counted.

The answers are made of what `ready` and the metrics say; nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import orjson
from aiohttp import web

from sioserver._version import __version__
from sioserver.api.headers import ANSWER
from sioserver.config.api_keys import METRICS
from sioserver.metrics import Metrics
from sioserver.metrics.exposition import render


def routes(
    ready: Callable[[], list[str]],
    metrics: Metrics,
    let_in: Callable[[web.Request, str], Awaitable[object]] | None = None,
) -> list[web.RouteDef]:
    """`/healthz`, `/readyz`, `/metrics`. `ready` returns the reasons why not; none means yes.
    `let_in` raises for who may not read the metrics; None: everybody may."""

    async def healthz(request: web.Request) -> web.Response:
        # that it is answered is the answer: the event loop goes round
        return _json(200, {"ok": True, "version": __version__})

    async def readyz(request: web.Request) -> web.Response:
        reasons = ready()
        if reasons:
            return _json(503, {"ready": False, "reasons": reasons})
        return _json(200, {"ready": True})

    async def counted(request: web.Request) -> web.Response:
        if let_in is not None:
            await let_in(request, METRICS)
        body, content_type = render(metrics)
        return web.Response(body=body, headers={**ANSWER, "Content-Type": content_type})

    return [
        web.get("/healthz", healthz),
        web.get("/readyz", readyz),
        web.get("/metrics", counted),
    ]


def _json(status: int, answer: object) -> web.Response:
    return web.Response(
        status=status,
        body=orjson.dumps(answer),
        headers={**ANSWER, "Content-Type": "application/json; charset=utf-8"},
    )
