"""Requests for other hosts are answered 421, before any handler sees them."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from sioserver.api.hosts import only
from sioserver.hosts import Listed
from sioserver.metrics import Metrics

Http = TestClient[web.Request, web.Application]


def asked(
    metrics: Metrics, exempt: Callable[[web.Request], bool] = lambda request: False
) -> tuple[Http, list[str]]:
    """A client of an application that writes down what gets through."""
    seen: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(request.path)
        return web.Response(text="ok")

    around = only(
        Listed(["chat.example"]),
        metrics,
        name_of=lambda request: request.headers.get("Name"),
        exempt=exempt,
    )
    app = web.Application(middlewares=[around])
    app.router.add_route("*", "/{path:.*}", handler)
    return TestClient(TestServer(app, access_log=None)), seen


@pytest.mark.parametrize("name", ["evil.example", "chat.example.evil.example", "", "a b"])
async def test_another_name(name: str, caplog: pytest.LogCaptureFixture) -> None:
    metrics = Metrics()
    client, seen = asked(metrics)
    async with client as http:
        answer = await http.post("/x", headers={"Name": name})
        assert answer.status == 421
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        error = (await answer.json())["error"]
        assert error["code"] == "forbidden"
        assert "add it to server.hosts" in error["message"]
        assert "evil" not in await answer.text()
    assert seen == []
    assert metrics.refusals["forbidden"] == 1
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert repr(name) in record.message


async def test_its_own_name_and_none() -> None:
    client, seen = asked(Metrics())
    async with client as http:
        for headers in ({"Name": "chat.example:8000"}, {}):
            assert (await http.get("/x", headers=headers)).status == 200
        for path in ("/healthz", "/readyz"):
            assert (await http.get(path, headers={"Name": "10.0.0.1"})).status == 200
        assert (await http.get("/metrics", headers={"Name": "10.0.0.1"})).status == 421
    assert seen == ["/x", "/x", "/healthz", "/readyz"]


async def test_health_is_told_below_a_mount_too() -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(text="ok")

    listed = Listed(["chat.example"])
    below = web.Application(
        middlewares=[only(listed, Metrics(), name_of=lambda request: "10.0.0.1")]
    )
    below.router.add_route("*", "/{path:.*}", handler)
    app = web.Application()
    app.add_subapp("/chat", below)
    async with TestClient(TestServer(app, access_log=None)) as http:
        for path, status in (("healthz", 200), ("readyz", 200), ("chat/healthz", 421), ("x", 421)):
            assert (await http.get(f"/chat/{path}")).status == status, path


async def test_those_who_are_let_through() -> None:
    client, seen = asked(Metrics(), lambda request: request.path == "/y")
    async with client as http:
        for path, status in (("/x", 421), ("/y", 200)):
            assert (await http.get(path, headers={"Name": "evil.example"})).status == status
    assert seen == ["/y"]
