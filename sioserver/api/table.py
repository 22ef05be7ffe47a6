"""The HTTP API as a table: what there is at which address, described so that the routes and their
documentation are made of the same lines.

What stands around each request is here too: pages of strangers are refused, pages of listed origins
may read the answers of routes that are `shared` (CORS), and each answer is counted. Nothing is
known of what a route does.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final

import msgspec
from aiohttp import web

from sioserver.errors import Refusal
from sioserver.metrics import Metrics

Handler = Callable[[web.Request], Awaitable[web.Response]]

FIELDS: Final = web.RequestKey("sioserver.shared", dict)
"""Header fields by which a page of another origin may read the answer to the request."""

EXPOSED: Final = "Link, Location, Retry-After"
WANTED: Final = "Authorization, Content-Type"
"""What a page may send besides. API keys are not for pages."""


class Route(msgspec.Struct, frozen=True):
    """One line of the table. Types are those of `shapes`; parameters are named as in `openapi`."""

    name: str
    """One of `metrics.API_ROUTES`."""
    method: str
    path: str
    """As aiohttp takes it: a part in braces may have a regular expression."""
    summary: str
    handler: Handler
    answer: Any
    """The type of the answer that says yes."""
    status: int = 200
    body: Any = None
    """The type of what is sent; None: nothing is."""
    binary: bool = False
    """The body may be bytes instead."""
    query: tuple[str, ...] = ()
    needs: str = ""
    """What the caller has to show, in words of `openapi`; empty: nothing."""
    shared: bool = False


class Cross(msgspec.Struct, frozen=True):
    """What decides about pages; see `transport.edge`."""

    admits: Callable[[web.Request], bool]
    """May the page that a browser sends the request for ask at all?"""
    fields: Callable[[web.Request], Mapping[str, str]]
    """... and the header fields with which it may read the answer. Called behind `admits`."""


def register(routes: Iterable[Route], metrics: Metrics, cross: Cross) -> list[web.RouteDef]:
    """The table as aiohttp takes it."""
    found: list[web.RouteDef] = []
    methods: defaultdict[str, list[str]] = defaultdict(list)
    for route in routes:
        handler = _around(route, metrics, cross)
        found.append(web.route(route.method, route.path, handler))
        if route.shared:
            methods[route.path].append(route.method)
    for path, allowed in methods.items():
        found.append(web.options(path, _preflight(", ".join(allowed), cross)))
    return found


async def share(request: web.Request, response: web.StreamResponse) -> None:
    """For `on_response_prepare`: also refusals are for the page to read."""
    if FIELDS in request:
        response.headers.update(request[FIELDS])


def _around(route: Route, metrics: Metrics, cross: Cross) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        status = 500
        try:
            _admit(request, cross)
            if route.shared:
                request[FIELDS] = _fields(request, cross)
            response = await route.handler(request)
            status = response.status
            return response
        except Refusal as error:
            status = error.status
            if error.limit is not None:
                metrics.count_limit(error.limit)
            raise
        except web.HTTPException as error:
            status = error.status
            raise
        finally:
            metrics.count_api(route.name, status)

    return handle


def _preflight(allowed: str, cross: Cross) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        _admit(request, cross)
        fields = _fields(request, cross)
        if "Access-Control-Allow-Origin" in fields:
            fields["Access-Control-Allow-Methods"] = allowed
            fields["Access-Control-Allow-Headers"] = WANTED
        return web.Response(status=204, headers={**fields, "Allow": f"{allowed}, OPTIONS"})

    return handle


def _admit(request: web.Request, cross: Cross) -> None:
    if not cross.admits(request):
        raise Refusal("forbidden", "pages of this origin may not ask")


def _fields(request: web.Request, cross: Cross) -> dict[str, str]:
    fields = dict(cross.fields(request))
    if "Access-Control-Allow-Origin" in fields:
        fields["Access-Control-Expose-Headers"] = EXPOSED
    return fields
