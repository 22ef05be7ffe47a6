"""The description of the HTTP API says what there is, and nothing else."""

from __future__ import annotations

import re
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from sioserver.api.openapi import PARAMETERS, PATH
from sioserver.app import create_app
from sioserver.config import Config
from sioserver.config.schema import Auth, Store
from sioserver.metrics.labels import API_ROUTES

METHODS = ("get", "post", "put", "patch", "delete")


@pytest.fixture
def app() -> web.Application:
    return create_app(Config(auth=Auth(secret="s" * 32), store=Store(path=":memory:")))


@pytest.fixture
async def description(app: web.Application) -> dict[str, Any]:
    async with TestClient(TestServer(app)) as http, http.get(PATH) as answer:
        assert answer.status == 200
        found: dict[str, Any] = await answer.json()
        return found


def operations(description: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, item)
        for path, methods in description["paths"].items()
        for method, item in methods.items()
    ]


async def test_it_is_the_routes(app: web.Application, description: dict[str, Any]) -> None:
    routes = {
        (route.resource.canonical, route.method.lower())
        for route in app.router.routes()
        if route.resource is not None and route.resource.canonical.startswith("/api/")
    }
    described = {(path, method) for path, method, _ in operations(description)}
    assert {route for route in routes if route[1] in METHODS} == described
    assert len(described) >= 9


async def test_each_operation_is_whole(description: dict[str, Any]) -> None:
    for path, method, item in operations(description):
        assert item["summary"], path
        assert item["security"] or path == PATH, path
        told = {one["name"] for one in item["parameters"] if one["in"] == "path"}
        assert told == set(re.findall(r"{(\w+)}", path))
        assert all(one["schema"] for one in item["parameters"])
        assert ("requestBody" in item) is (method in ("post", "patch")), (path, method)


async def test_the_names_are_those_of_the_counters(description: dict[str, Any]) -> None:
    names = [item["operationId"] for _, _, item in operations(description)]
    assert sorted(names) == sorted(API_ROUTES)


async def test_what_is_referred_to_is_there_and_used(description: dict[str, Any]) -> None:
    referred = set(re.findall(r"'#/components/schemas/(\w+)'", str(description)))
    assert referred == set(description["components"]["schemas"])
    used = {
        one["description"]
        for _, _, item in operations(description)
        for one in item["parameters"]
        if one["in"] == "query" and "description" in one
    }
    assert used >= {one["description"] for one in PARAMETERS.values() if "description" in one}
