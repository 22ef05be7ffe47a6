"""Requests that were meant for another host are answered 421 (RFC 9110, section 15.5.20).

A middleware; which names are ours is said by who makes it.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Middleware

from sioserver.api.middleware import mount_of, refused
from sioserver.errors import Refusal
from sioserver.hosts import Hosts
from sioserver.metrics import Metrics

log = logging.getLogger("sioserver.http")

MISDIRECTED: Final = 421

HEALTH: Final = ("/healthz", "/readyz")
"""Asked for by machines that know the address only. The answers are worth nothing to others."""

WHY: Final = (
    "this server does not answer to that name; if it is yours, add it to server.hosts, and name a "
    "proxy in front of it in server.trusted_proxies"
)


def only(
    hosts: Hosts,
    metrics: Metrics,
    *,
    name_of: Callable[[web.Request], str | None],
    exempt: Callable[[web.Request], bool] = lambda request: False,
) -> Middleware:
    """Let requests for `hosts` pass. `name_of` tells what a request was asked by; none means that
    it is not from a browser, and then it passes as well. So do those that are `exempt`."""

    @web.middleware
    async def around(
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        name = name_of(request)
        if name is None or name in hosts or exempt(request):
            return await handler(request)
        if request.path[len(mount_of(request)) :] in HEALTH:
            return await handler(request)
        log.warning("a request for the host %.100r was refused; %s", name, WHY)
        refusal = Refusal("forbidden", WHY)
        metrics.count_refusal(refusal.code)
        return refused(refusal, MISDIRECTED, {})

    return around
