from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from sioserver.engine.redis_keys import Keys
from sioserver.engine.redis_secrets import RedisSecrets
from sioserver.engine.redis_servers import Redis
from sioserver.errors import Refusal
from tests.redis_servers import ask, settings

from .conftest import server, until


@pytest.fixture
async def redis() -> AsyncIterator[Redis]:
    redis = Redis(
        settings(server("redis")),
        name="test",
        on_connected=lambda: None,
        on_lost=lambda reason: None,
    )
    await redis.start()
    yield redis
    await redis.stop()


async def test_nodes_share_a_secret(redis: Redis, keys: Keys) -> None:
    one, two = RedisSecrets(redis, keys), RedisSecrets(redis, keys)
    value = await one.secret("recovery")
    assert len(value) == 32
    assert await two.secret("recovery") == value
    assert await two.secret("other") != value
    assert ask(server("redis"), "PTTL", keys.secret("recovery")) == -1  # type: ignore[arg-type]


async def test_a_secret_outlives_the_data_as_long_as_a_node_has_it(
    redis: Redis, keys: Keys
) -> None:
    one, two, three = [RedisSecrets(redis, keys) for _ in range(3)]
    value = await one.secret("recovery")
    await two.secret("recovery")
    at = keys.secret("recovery")
    ask(server("redis"), "DEL", at)  # type: ignore[arg-type]
    two.restore()
    await until(lambda: ask(server("redis"), "EXISTS", at), "it is there again")  # type: ignore[arg-type]
    assert await three.secret("recovery") == value
    ask(server("redis"), "SET", at, b"x" * 32)  # type: ignore[arg-type]
    one.restore()
    assert await RedisSecrets(redis, keys).secret("recovery") == b"x" * 32


async def test_without_redis_none_is_made(redis: Redis, keys: Keys) -> None:
    tokens = RedisSecrets(redis, keys)
    await tokens.secret("recovery")
    await redis.stop()
    with pytest.raises(Refusal):
        await tokens.secret("other")
    tokens.restore()
    assert len(await tokens.secret("recovery")) == 32
