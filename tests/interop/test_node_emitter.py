"""The real `@socket.io/redis-emitter` under Node, and stock clients who hear what it says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from sioserver.app import METRICS, SERVER, create_app
from sioserver.config import Config
from sioserver.config.schema import Presence, Redis, Store
from sioserver.engine.embedded import EmbeddedEngine
from sioserver.transport.server import AsyncServer
from sioserver.valkey import Valkey
from tests import redis_servers

from .kit import find_node, script


@pytest.fixture(scope="module")
def node() -> str:
    return find_node()


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with redis_servers.standalone(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@asynccontextmanager
async def serving(settings: Redis) -> AsyncIterator[tuple[web.Application, str]]:
    """A whole server that shares nothing with others but what is emitted."""
    config = Config(store=Store(path=":memory:"), presence=Presence(batch=0.02), redis=settings)
    app = create_app(config, engine=EmbeddedEngine(config.store, grace=5.0, path=":memory:"))
    runner = web.AppRunner(app, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield app, f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("key", ["", "mine"], ids=["default key", "key"])
async def test_a_node_program_emits(node: str, valkey: Valkey, key: str) -> None:
    settings = Redis(url=valkey.tcp_url, **({"prefix": key} if key else {}))
    async with (
        serving(settings) as (one, url),
        serving(settings) as (two, other_url),
        script(node, "emitter.mjs", url, "websocket", other_url, valkey.tcp_url, key) as run,
    ):
        heard = await run.hear()
        counts = one[METRICS].bus, two[METRICS].bus
    binary = [{"type": "Buffer", "data": data} for data in ([0, 255], [7])]
    everybody: Any = ["everybody", {"version": 7}, [None, None, True]]
    data = ["data", binary[0], {"deep": [binary[1]]}, "1970-01-01T00:00:00.000Z"]
    data += ["ä", 2**40, -1.5]
    # null: the function that keeps a string from being the last argument (see below)
    assert heard["alice"] == [everybody, ["but", 3], ["volatile", 5], data, ["end", None]]
    (*most, notice, disconnect) = heard["bob"]
    assert most == [everybody, ["corner", 1], ["several", 2], ["by id", 4], ["volatile", 5], data]
    assert (notice[0], notice[1]["code"]) == ("notice", "kicked")
    assert disconnect == ["disconnect", "io server disconnect"]
    assert heard["carol"] == [["last", "text", None]]
    assert counts[0]["ignored"] == counts[1]["ignored"] == 1  # of the lounge; "/" has nobody
    # there is no "/" on either; no "/other" and no corner on the first; in the end the corner is
    # empty, and then the lounge, on the second
    assert (counts[0]["skipped"], counts[1]["skipped"]) == (4, 3)


@pytest.mark.parametrize("devices", ["one", "two"])
@pytest.mark.parametrize("transports", ["polling", "websocket", "polling,websocket"])
async def test_an_event_that_ends_with_a_string_harms_no_recovery(
    node: str, valkey: Valkey, transports: str, devices: str
) -> None:
    result = await strings(node, valkey, transports, devices)
    assert result["recovered"] is True
    assert result["bodies"] == ["one", "two", "three"]
    # the listener's arguments, and what makes the last of them no string
    assert result["shown"] == ["number", "string", "function"]


async def test_what_they_would_do_otherwise(
    node: str, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test above can fail: a client would come back with the text for its position."""
    monkeypatch.delattr("sioserver.transport.namespace.RoomServer.encode_emitted")
    result = await strings(node, valkey, "websocket", "two")
    assert result["shown"] == ["number", "string"]
    assert result["recovered"] is False
    assert result["bodies"] == ["one", "three"]  # the other device has had "two"


async def strings(node: str, valkey: Valkey, transports: str, devices: str) -> Any:
    settings = redis_servers.settings(valkey)
    async with (
        serving(settings) as (app, url),
        script(node, "emitted_strings.mjs", url, transports, devices) as run,
    ):
        assert await run.hear() == "emit"
        server = app[SERVER]
        assert isinstance(server, AsyncServer)
        await server.emit("text", (1, "0000.99"), namespace="/lounge")
        await server.emit("bare", namespace="/lounge")
        run.go_on()
        return await run.hear()
