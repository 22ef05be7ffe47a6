"""Secrets in Redis: made once, known to every node, restored where Redis has lost them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from typing import Any

from sioserver.engine.redis_keys import Keys
from sioserver.engine.redis_replies import answers
from sioserver.engine.redis_servers import Redis


class RedisSecrets:
    """See `base.Engine.secret`."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys
        self._secrets: dict[str, bytes] = {}

    async def secret(self, name: str) -> bytes:
        """See `Engine.secret`."""
        value = self._secrets.get(name)
        if value is None:
            key = self._keys.secret(name)
            made = self._redis.command(key, "SET", key, secrets.token_bytes(32), "NX")
            asked = self._redis.command(key, "GET", key)
            _, found = await answers(made, asked)
            value = self._secrets[name] = bytes(found)
        return value

    def restore(self) -> None:
        """Redis may have lost its data: the secrets that this node goes on using stay everybody's,
        unless another node was quicker with a new one. Does not wait."""
        for name, value in self._secrets.items():
            key = self._keys.secret(name)
            self._redis.command(key, "SET", key, value, "NX").add_done_callback(_ignore)

    def stats(self) -> Mapping[str, float]:
        """For `Engine.stats`."""
        return {"secrets": len(self._secrets)}


def _ignore(future: asyncio.Future[Any]) -> None:
    """What cannot be restored now is restored when the connection is back."""
    if not future.cancelled():
        future.exception()
