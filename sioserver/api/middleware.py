"""What happens around every HTTP request: one shape for errors, one line in the log, one count.

The one place where a `Refusal` becomes an HTTP answer. Responses are passed on as they are, begun
or not: the connection behind one may already speak another protocol.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Final

import orjson
from aiohttp import web
from aiohttp.typedefs import Middleware

from sioserver import wire
from sioserver.api.headers import ANSWER
from sioserver.errors import Refusal
from sioserver.metrics import Metrics

log = logging.getLogger("sioserver.http")
access_log = logging.getLogger("sioserver.access")

QUIET: Final = ("/healthz", "/readyz", "/metrics")
"""Addresses that machines ask all the time."""

CLIENT_GONE: Final = 499
"""What nginx calls it: only the log and the counters see this status."""

# The refusal that a status of the HTTP library stands for. Others: by their hundred.
_CODES: Final = {
    401: "unauthorized",
    403: "forbidden",
    413: "too_large",
    429: "rate_limited",
    503: "unavailable",
}
# Header fields of an HTTP error that belong to its meaning and not to its body.
_KEPT: Final = ("Allow", "WWW-Authenticate", "Retry-After")


def middleware(
    metrics: Metrics,
    *,
    quiet: tuple[str, ...] = (),
    address: Callable[[web.Request], str | None] = lambda request: request.remote,
) -> Middleware:
    """The outermost middleware of the application.

    Requests that were refused are logged at level debug only: anybody can send a thousand of them,
    and they are counted. So are those whose path, below the application's own place, begins with
    one of `QUIET` or `quiet`, unless it was the server that failed. `address` tells where a request
    came from.
    """
    quiet = QUIET + quiet

    @web.middleware
    async def around(
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        clock = asyncio.get_running_loop().time
        began = clock()

        def note(status: int) -> None:
            metrics.count_http(status)
            refused = 400 <= status < 500 or status == HTTPStatus.SERVICE_UNAVAILABLE
            expected = status < 500 and request.path.startswith(quiet, len(mount_of(request)))
            level = logging.DEBUG if refused or expected else logging.INFO
            if access_log.isEnabledFor(level):
                access_log.log(
                    level,
                    "%s %s %s %d %.1f ms",
                    address(request) or "-",
                    request.method,
                    request.rel_url.raw_path,  # not the query: session ids and tokens are in it
                    status,
                    (clock() - began) * 1000,
                )

        try:
            response = await _answer(request, handler, metrics)
        except web.HTTPException as answer:
            note(answer.status)
            raise
        note(response.status)
        return response

    return around


def is_quiet() -> bool:
    """Does the log leave out the requests whose path is quiet, when all is well?"""
    return not access_log.isEnabledFor(logging.DEBUG)


def mount_of(request: web.Request) -> str:
    """The path that the application of this middleware was mounted at; empty: nowhere."""
    apps = request.match_info.apps
    place = apps.index(request.app)
    if place:
        for resource in apps[place - 1].router.resources():
            info = resource.get_info()
            if info.get("app") is request.app:
                return info.get("prefix", "")  # none when mounted at a domain
    return ""


async def _answer(
    request: web.Request,
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    metrics: Metrics,
) -> web.StreamResponse:
    try:
        return await handler(request)
    except Refusal as error:
        refusal, status, headers = error, error.status, {}
        if status == 401:  # RFC 9110, 11.6.1
            headers["WWW-Authenticate"] = "Bearer"
    except web.HTTPException as error:
        if error.status < 400 or _is_written(error):
            raise  # a redirect, or an answer in a shape of the raiser's own
        refusal, status = _refusal(error), error.status
        headers = {name: error.headers[name] for name in _KEPT if name in error.headers}
    except Exception as error:  # the client is told that it is our fault
        gone = request.transport is None or request.transport.is_closing()
        if gone and isinstance(error, ConnectionError):
            return web.Response(status=CLIENT_GONE)  # nobody reads it, and nothing is wrong here
        # the edge of the program: whatever went wrong is told to the operator here, and only here
        log.exception("%s %s failed", request.method, request.rel_url.raw_path)
        refusal, headers = Refusal("internal"), {}
        status = refusal.status
    metrics.count_refusal(refusal.code)
    return refused(refusal, status, headers)


def refused(refusal: Refusal, status: int, headers: Mapping[str, str]) -> web.Response:
    """The HTTP answer that a refusal is."""
    fields = {
        **ANSWER,
        "Content-Type": "application/json; charset=utf-8",
        **headers,
    }
    if refusal.retry_after is not None:
        fields["Retry-After"] = str(math.ceil(refusal.retry_after))
    return web.Response(
        status=status,
        body=orjson.dumps(wire.refusal_answer(refusal)),
        headers=fields,
    )


def _is_written(error: web.HTTPException) -> bool:
    """Has somebody written what it says? A page of an embedder's may, and aiohttp does of a body
    that is too large."""
    if error.content_type == "application/json":
        return True
    library = isinstance(error, web.HTTPRequestEntityTooLarge)
    return not library and error.text != f"{error.status}: {error.reason}"


def _refusal(error: web.HTTPException) -> Refusal:
    code = _CODES.get(error.status, "bad_request" if error.status < 500 else "internal")
    message = {404: "there is nothing at this address", 405: "not with this method"}
    return Refusal(code, message.get(error.status))
