"""`Publisher`: durable messages from a program, put into the rooms' logs without a server between.

It writes to the Redis of a cluster, in the one step in which the nodes do it too, and is no node:
nobody finds it, and it hears nothing. Whoever has the URL of the Redis may do anything, so it asks
nobody whether a user may post; what would do harm to the clients is refused all the same.
"""

from __future__ import annotations

import asyncio
import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from sioserver import wire
from sioserver.auth import check_user_id, clean_name
from sioserver.client import retry
from sioserver.client.payloads import Sent
from sioserver.config.schema import Limits, Redis
from sioserver.engine import redis_servers
from sioserver.engine.base import StoreError
from sioserver.engine.redis_keys import Keys
from sioserver.engine.redis_log import RedisLog
from sioserver.errors import Refusal
from sioserver.model import Draft, User

EVERYTHING: Final = 2_147_483_647
"""More than any rule keeps."""

MAX_BINARIES: Final = 10
MAX_LEVELS: Final = 64
"""What clients take in one packet, as they are held to it when they post themselves."""


@dataclass(frozen=True, slots=True)
class _Keep:
    history_length: int
    history_age: float = 0.0


class Publisher:
    """A program that posts into rooms. Use it with `async with`.

    `url`, `prefix`, `sentinels` and `service` are those of the servers' `[redis]` section;
    `timeout` (seconds) is what Redis may take before it is asked again. `max_body` is the largest
    body, in bytes.

    How much of a log is kept is the servers' rule. Publishing by itself deletes nothing, unless
    `history_length` says how many messages of a room are to stay: the nodes apply their rule when
    the first client comes, and once a minute as long as there are some.

    Entering raises `Refusal("unavailable")` when there is no Redis that can be used.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = Redis().prefix,
        sentinels: Sequence[str] = (),
        service: str = Redis().service,
        timeout: float = Redis().timeout,
        max_body: int = Limits().max_body,
        history_length: int | None = None,
    ) -> None:
        self._settings = Redis(
            url=url, prefix=prefix, sentinels=list(sentinels), service=service, timeout=timeout
        )
        self._max_body = max_body
        self._keep = _Keep(EVERYTHING if history_length is None else history_length)
        self._keys = Keys(prefix)
        self._redis: redis_servers.Redis | None = None
        self._log: RedisLog | None = None

    async def __aenter__(self) -> Self:
        redis = redis_servers.Redis(
            self._settings,
            name=f"publisher-{secrets.token_hex(4)}",
            on_connected=lambda: None,
            on_lost=lambda reason: None,
        )
        try:
            await redis.start()
        except StoreError as error:
            raise Refusal("unavailable", str(error)) from error
        self._redis, self._log = redis, RedisLog(redis, self._keys, self._settings)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of the connections, when what was accepted has been answered."""
        redis, self._redis, self._log = self._redis, None, None
        if redis is not None:
            await redis.stop()

    async def publish(
        self,
        room: str,
        body: Any,
        *,
        user: str,
        name: str | None = None,
        id: str | None = None,
        timeout: float | None = 30.0,
    ) -> Sent:
        """Post a message as `user`, who need not belong to the room; when this returns, it is
        stored and will reach everybody.

        A body is a string, bytes, or anything that JSON has, with bytes in it. With the same `id`
        and user a message is posted once, however often this is called (within the servers'
        `redis.dedup_window`); while Redis is away it is tried again, for `timeout` seconds. Raises
        `Refusal` for what cannot be posted, and TimeoutError: then it may or may not have been
        posted, and calling again with the same `id` is harmless.
        """
        _check_room(room)
        options = [] if id is None else [{"id": id}]
        request = wire.parse_send([body, *options], self._max_body)
        _check_parts(body)
        person = _person(user, name)
        redis, log = self._redis, self._log
        if redis is None or log is None:
            raise RuntimeError("a Publisher is used with `async with`")
        draft = Draft(
            id=request.id or secrets.token_urlsafe(12),
            user=person,
            body=body,
            # one clock for all programs, whatever that of this machine shows
            at=int(redis.server_time(self._keys.room(room).meta) * 1000),
            resendable=True,
        )
        failures = 0
        async with asyncio.timeout(timeout):
            while True:
                try:
                    published = await log.publish(room, draft, self._keep)
                except Refusal as refusal:
                    if not refusal.temporary:
                        raise
                    await asyncio.sleep(retry.pause(failures, refusal.retry_after))
                    failures += 1
                else:
                    return Sent(published.id, published.position.offset, published.at)


def _check_room(room: str) -> None:
    if wire.check_room(room).startswith("@"):
        raise Refusal("forbidden", "rooms that begin with @ are reserved")


def _person(user: str, name: str | None) -> User:
    try:
        check_user_id(user)
    except ValueError as error:
        raise Refusal("bad_request", str(error)) from None
    return User(user, clean_name(name or "") or user)


def _check_parts(body: Any) -> None:
    """Is it what a client could have posted? Raises `Refusal("bad_request")`."""
    binaries, level = 0, [body]
    for _ in range(MAX_LEVELS):
        deeper: list[Any] = []
        for part in level:
            kind = type(part)
            if kind is bytes:
                binaries += 1
            elif kind is list:
                deeper += part
            elif kind is dict and all(type(key) is str for key in part):
                deeper += part.values()
            elif kind is float and not math.isfinite(part):
                raise Refusal("bad_request", f"JSON has no {part}")
            elif kind not in (str, int, float, bool, type(None)):
                raise Refusal("bad_request", f"neither JSON nor binary: {kind.__name__}")
        if binaries > MAX_BINARIES:
            raise Refusal("bad_request", f"a message has at most {MAX_BINARIES} binaries")
        if not deeper:
            return
        level = deeper
    raise Refusal("bad_request", "the message is nested too deeply")
