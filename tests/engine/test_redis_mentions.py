"""The mentions in Redis, beside what the contract's tests see."""

from __future__ import annotations

import secrets

import pytest

from sioserver.engine.redis import RedisEngine
from sioserver.model import Mention, Peer, Position

from ..redis_servers import ask
from .conftest import ANN, Listener, config, server

MENTION = Mention(0, "den", "m", 1, "ben", "Ben", 5)


@pytest.fixture
async def engine() -> RedisEngine:
    return RedisEngine(config("redis", secrets.token_hex(4)), Peer(secrets.token_hex(4)))


async def test_another_life_of_the_log_is_another_message(engine: RedisEngine) -> None:
    await engine.start(Listener())
    await engine.join("den", ANN)
    for epoch in ("a", "b", "a"):
        await engine.mentions.add("den", Position(epoch, 1), MENTION, ["ann"])
    assert [one.number for one in await engine.mentions.of("ann")] == [5, 6]
    await engine.stop()


async def test_what_is_not_ours_is_passed_over(
    engine: RedisEngine, caplog: pytest.LogCaptureFixture
) -> None:
    await engine.start(Listener())
    await engine.join("den", ANN)
    listed, known = engine._keys.mentions("ann")
    await engine.mentions.add("den", Position("e", 1), MENTION, ["ann"])
    for place, what in ((b"e.2 den", b"junk"), (b"\xff den", b"junk")):
        ask(server("redis"), "ZADD", listed, 9, place)
        ask(server("redis"), "HSET", known, place, what)
    ask(server("redis"), "ZADD", listed, 9, "only listed")
    assert [one.offset for one in await engine.mentions.of("ann")] == [1]
    assert "cannot be read" in caplog.text
    await engine.stop()
