"""The directory in Redis, beside what the contract's tests see."""

from __future__ import annotations

import secrets

import pytest

from sioserver.engine.base_directory import Listed
from sioserver.engine.redis import RedisEngine
from sioserver.model import Peer

from ..redis_servers import ask
from .conftest import ANN, BEN, Listener, config, server

NOW = 1_700_000_000.0


@pytest.fixture
async def engines() -> tuple[RedisEngine, RedisEngine]:
    where = config("redis", secrets.token_hex(4))
    one, other = (RedisEngine(where, Peer(secrets.token_hex(4))) for _ in range(2))
    return one, other


async def test_two_nodes_share_it(engines: tuple[RedisEngine, RedisEngine]) -> None:
    one, other = engines
    await one.start(Listener())
    await other.start(Listener())
    await one.enter("den", ANN, "c1")
    await other.enter("den", BEN, "c2")
    one.directory.note({"den": "tea"}, NOW, 100)
    other.directory.note({"attic": None}, NOW - 1, 100)
    expected = [Listed("den", "tea", 2), Listed("attic", None, 0)]
    for engine in engines:
        await engine.counts("den")
        assert await engine.directory.rooms(limit=100) == expected
    await one.stop()
    await other.stop()


async def test_what_is_not_ours_is_passed_over(
    engines: tuple[RedisEngine, RedisEngine], caplog: pytest.LogCaptureFixture
) -> None:
    engine, _ = engines
    await engine.start(Listener())
    engine.directory.note({"den": "tea", "attic": None}, NOW, 100)
    seen, topics = engine._keys.directory
    await engine.directory.rooms(limit=1)
    ask(server("redis"), "ZADD", seen, NOW + 1, b"\xff")
    ask(server("redis"), "HSET", topics, "attic", b"\xfe")
    assert await engine.directory.rooms(limit=100) == [Listed("den", "tea", 0)]
    assert caplog.text.count("cannot be read") == 2
    await engine.stop()
