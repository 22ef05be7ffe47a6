"""What stands around each request to the HTTP API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from sioserver.api import table
from sioserver.api.answers import answer
from sioserver.api.middleware import middleware
from sioserver.api.table import Cross, Route
from sioserver.errors import Refusal
from sioserver.metrics import Metrics

Http = TestClient[web.Request, web.Application]

GOOD, BAD = {"Origin": "https://good.example"}, {"Origin": "https://bad.example"}


def admits(request: web.Request) -> bool:
    return request.headers.get("Origin") != BAD["Origin"]


def fields(request: web.Request) -> dict[str, str]:
    origin = request.headers.get("Origin")
    return {"Vary": "Origin", **({"Access-Control-Allow-Origin": origin} if origin else {})}


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
async def http(metrics: Metrics) -> AsyncIterator[Http]:
    async def fine(request: web.Request) -> web.Response:
        return answer({"ok": True}, 201)

    async def too_fast(request: web.Request) -> web.Response:
        raise Refusal("rate_limited", retry_after=3, limit="user_event_rate")

    async def gone(request: web.Request) -> web.Response:
        raise web.HTTPNotFound

    async def broken(request: web.Request) -> web.Response:
        raise ValueError("on purpose")

    def route(name: str, method: str, path: str, handler: Any, shared: bool) -> Route:
        return Route(name, method, path, "", handler, dict, shared=shared)

    routes = [
        route("post_message", "POST", "/shared", fine, True),
        route("list_messages", "GET", "/shared", too_fast, True),
        route("revoke", "POST", "/own", fine, False),
        route("get_room", "GET", "/gone", gone, True),
        route("list_members", "GET", "/broken", broken, True),
    ]
    app = web.Application(middlewares=[middleware(metrics)])
    app.add_routes(table.register(routes, metrics, Cross(admits, fields)))
    app.on_response_prepare.append(table.share)
    async with TestClient(TestServer(app)) as client:
        yield client


def counted(metrics: Metrics) -> dict[tuple[str, str], int]:
    return {key: number for key, number in metrics.api_requests.items() if number}


async def test_each_answer_is_counted(http: Http, metrics: Metrics) -> None:
    for method, path, status in (
        ("POST", "/shared", 201),
        ("GET", "/shared", 429),
        ("GET", "/gone", 404),
        ("GET", "/broken", 500),
    ):
        async with http.request(method, path) as told:
            assert told.status == status
    assert counted(metrics) == {
        ("post_message", "2xx"): 1,
        ("list_messages", "4xx"): 1,
        ("get_room", "4xx"): 1,
        ("list_members", "5xx"): 1,
    }
    assert metrics.limit_hits["user_event_rate"] == 1


@pytest.mark.parametrize("path", ["/shared", "/own"])
async def test_strangers_are_refused(http: Http, metrics: Metrics, path: str) -> None:
    async with http.post(path, headers=BAD) as told:
        assert (told.status, (await told.json())["error"]["code"]) == (403, "forbidden")
        assert "Access-Control-Allow-Origin" not in told.headers


@pytest.mark.parametrize(
    ("method", "path", "shared"),
    [
        ("POST", "/shared", True),
        ("GET", "/shared", True),
        ("GET", "/gone", True),
        ("GET", "/broken", True),
        ("POST", "/own", False),
    ],
)
async def test_who_may_read_the_answer(http: Http, method: str, path: str, shared: bool) -> None:
    async with http.request(method, path, headers=GOOD) as told:
        assert (told.headers.get("Access-Control-Allow-Origin") == GOOD["Origin"]) is shared
        assert ("Retry-After" in told.headers.get("Access-Control-Expose-Headers", "")) is shared
    async with http.request(method, path) as told:
        assert not [name for name in told.headers if name.startswith("Access-Control")]


async def test_a_page_asks_before(http: Http) -> None:
    for headers, status in ((GOOD, 204), (BAD, 403), ({}, 204)):
        async with http.options("/shared", headers=headers) as told:
            assert told.status == status
            allowed = told.headers.get("Access-Control-Allow-Methods")
            assert allowed == ("POST, GET" if headers is GOOD else None)
    async with http.options("/own", headers=GOOD) as told:
        assert told.status == 405
