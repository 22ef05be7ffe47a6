"""When users were seen last, in Redis: a key for each user, which ends by itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from sioserver.engine.base_seen import KEPT
from sioserver.engine.redis_access import ReplyError
from sioserver.engine.redis_keys import Keys
from sioserver.engine.redis_link import Unavailable
from sioserver.engine.redis_replies import answers
from sioserver.engine.redis_scripts import load_script
from sioserver.engine.redis_servers import Redis
from sioserver.engine.sightings import Sightings

log = logging.getLogger(__name__)

AT_ONCE: Final = 500
"""Users who are written with one sweep: crowds leave at once, and messages go first."""

_SEEN: Final = load_script("seen")


class RedisSeen:
    """See `base_seen.Seen`."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys
        self._sightings = Sightings()
        self._under_way: dict[str, tuple[int, asyncio.Future[Any]]] = {}

    def note(self, user_id: str, at: float) -> None:
        """A user was here until then, in seconds since 1970."""
        self._sightings.note(user_id, round(at * 1000))

    def write(self) -> None:
        """Write down what waits, one lot at a time. Does not wait, never fails."""
        if self._under_way:
            return
        for user_id, at in self._sightings.take(AT_ONCE).items():
            call = self._redis.script(_SEEN, (self._keys.seen(user_id),), (at, KEPT))
            self._under_way[user_id] = at, call
            call.add_done_callback(partial(self._written, user_id))

    async def write_rest(self) -> None:
        """Write down everything and wait for it; what fails now is given up."""
        while self._sightings or self._under_way:
            before = len(self._sightings) + len(self._under_way)
            self.write()
            await asyncio.wait([call for _, call in self._under_way.values()])
            await asyncio.sleep(0)  # the answers are taken after the futures are done
            if len(self._sightings) + len(self._under_way) >= before:
                return

    async def of(self, user_ids: Sequence[str]) -> Mapping[str, int]:
        """See `Seen.of`."""
        keys = map(self._keys.seen, user_ids)
        found = await answers(*(self._redis.command(key, "GET", key) for key in keys))
        written = {id: int(at) for id, at in zip(user_ids, found, strict=True) if at is not None}
        return self._sightings.newest(user_ids, written)

    def stats(self) -> Mapping[str, float]:
        """For `Engine.stats`."""
        return {
            "seen_waiting": len(self._sightings) + len(self._under_way),
            "seen_given_up_total": self._sightings.given_up,
        }

    def _written(self, user_id: str, call: asyncio.Future[Any]) -> None:
        at, _ = self._under_way.pop(user_id)
        try:
            call.result()
        except (Unavailable, asyncio.CancelledError):
            self._sightings.note(user_id, at)
        except ReplyError as error:
            log.error("when a user was seen last could not be written: %s", error)
