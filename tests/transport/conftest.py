"""Fixtures of the transport's tests: servers on free ports, clients that speak by hand (kit.py)."""

from __future__ import annotations

import logging
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import engineio
import pytest

from sioserver.websocket import takeover

from . import kit
from .kit import Site, engineio_server, quiet, serve, socketio_server

SERVING = {"Site", "serve", "Cluster", "create_app"}
"""What a test module has that starts servers."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Whatever starts a server is tested with each reader of WebSockets."""
    if vars(metafunc.module).keys() & SERVING:
        if "reader" not in metafunc.fixturenames:
            metafunc.fixturenames.append("reader")
        metafunc.parametrize("reader", ["picows", "aiohttp"], indirect=True)


@pytest.fixture
def reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Who reads WebSockets here. With aiohttp, picows is missing.

    Polling has two ways as well, which have nothing to do with that: each goes with one reader.
    """
    monkeypatch.setattr(kit, "WAY", {"picows": "lane", "aiohttp": "aiohttp"}[request.param])
    monkeypatch.setattr(takeover, "preferred", lambda: request.param)
    if request.param == "aiohttp":
        monkeypatch.setitem(sys.modules, "sioserver.websocket.picows_reader", None)
    return str(request.param)


@pytest.fixture(autouse=True)
def _codec() -> Iterator[None]:
    """python-engineio keeps its JSON codec for the whole process: each test finds it as it was."""
    before = engineio.packet.Packet.json
    yield
    engineio.packet.Packet.json = before


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG)
    return caplog


@pytest.fixture
async def sio() -> AsyncIterator[Site]:
    """A Socket.IO server whose heart beats slowly, without handlers."""
    async with serve(quiet(namespaces="*")) as site:
        yield site


@pytest.fixture
async def suite() -> AsyncIterator[Site]:
    """The server of the Socket.IO protocol's test-suite."""
    async with serve(socketio_server()) as site:
        yield site


@pytest.fixture(params=["AsyncServer", "EngineServer"])
async def engine(request: pytest.FixtureRequest) -> AsyncIterator[Site]:
    """A server that beats as the Engine.IO protocol's test-suite wants it: both of ours."""
    server: Any = socketio_server() if request.param == "AsyncServer" else engineio_server()
    async with serve(server, "engine.io") as site:
        yield site


@pytest.fixture
async def echo() -> AsyncIterator[Site]:
    """The stand-alone Engine.IO server, echoing."""
    async with serve(engineio_server(), "engine.io") as site:
        yield site
