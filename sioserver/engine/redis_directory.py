"""The directory in Redis: one list for the whole cluster, changed by one script.

The list lies on one server, the people of a room on that of the room: how many are there is asked
for in portions, each in one turn of the event loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from itertools import islice
from typing import Any, Final

from sioserver.engine.base_directory import Listed
from sioserver.engine.redis_access import ReplyError
from sioserver.engine.redis_keys import Keys
from sioserver.engine.redis_link import Unavailable
from sioserver.engine.redis_replies import answer, answers
from sioserver.engine.redis_scripts import load_script
from sioserver.engine.redis_servers import Redis

log = logging.getLogger(__name__)

LIST: Final = load_script("list")
LISTED: Final = load_script("listed")

CHUNK: Final = 200
"""Rooms that are told or asked for at once."""


class RedisDirectory:
    """See `base_directory.Directory`."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    def note(self, rooms: Mapping[str, str | None], now: float, most: int) -> None:
        """See `Directory.note`."""
        rest = iter(rooms.items())
        while some := list(islice(rest, CHUNK)):
            arguments: list[Any] = [now, most]
            for room, topic in some:
                arguments += (room, "", "") if topic is None else (room, "1", topic)
            call = self._redis.script(LIST, self._keys.directory, arguments)
            call.add_done_callback(_noted)

    async def rooms(self, *, limit: int) -> list[Listed]:
        """See `Directory.rooms`."""
        found: dict[str, Listed] = {}  # one may come twice, when it was visited meanwhile
        for start in range(0, limit, CHUNK):
            count = min(CHUNK, limit - start)
            call = self._redis.script(LISTED, self._keys.directory, (start, count))
            reply = await answer(call)
            listed = [_text(one) for one in zip(reply[::2], reply[1::2], strict=True)]
            rooms = [one for one in listed if one is not None]
            keys = [self._keys.room(name).on for name, _ in rooms]
            online = await answers(*(self._redis.command(key, "HLEN", key) for key in keys))
            for (name, topic), there in zip(rooms, online, strict=True):
                found.setdefault(name, Listed(name, topic, there))
            if len(listed) < count:
                break
        return list(found.values())


def _text(one: tuple[bytes, bytes | None]) -> tuple[str, str | None] | None:
    name, topic = one
    try:
        return name.decode(), None if topic is None else topic.decode()
    except UnicodeDecodeError:
        log.error("a room in the directory cannot be read: %r", name[:100])
        return None


def _noted(future: asyncio.Future[Any]) -> None:
    try:
        future.result()
    except (Unavailable, ReplyError, asyncio.CancelledError) as error:
        log.debug("rooms were not listed: %s", error)
