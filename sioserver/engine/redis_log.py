"""The rooms' logs in Redis: publish, read a page, trim. One script for each, so each is one step.

It needs no node around it: what is published is told to the nodes by the script itself. Where
rooms are watched (`RedisWatch`) the answers are shown to them too, so that a node's own messages
need not wait for the bus.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Mapping
from typing import Any, Final

from sioserver.config.schema import Redis as Settings
from sioserver.engine.base import Retention, too_soon
from sioserver.engine.redis_access import ReplyError
from sioserver.engine.redis_keys import Keys
from sioserver.engine.redis_link import Unavailable
from sioserver.engine.redis_replies import RETRY_AFTER, answer, refusal
from sioserver.engine.redis_rooms import Room, pack, unpack
from sioserver.engine.redis_scripts import load_script
from sioserver.engine.redis_servers import Redis
from sioserver.errors import Refusal
from sioserver.model import Draft, Message, Page, Position, Published

log = logging.getLogger(__name__)

PUBLISH: Final = load_script("publish")
PAGE: Final = load_script("page")
TRIM: Final = load_script("trim")

_ONCE: Final = 60_000
"""Milliseconds for which the draft of one call is known, because the connection may send it twice;
or twice the timeout, where that is more."""
_IN_TIME: Final = 0.75
"""Of the timeout, Redis may begin to store for this part: the rest is for the answer. Later it
answers that it was too late, so what was refused here is not stored afterwards."""
_TRIM_CALLS: Final = 10_000
"""Most calls that one trim of a room takes, each for some 500 messages."""


def new_epoch() -> str:
    """A name for a life of a log."""
    return secrets.token_hex(4)


class RedisLog:
    """The log part of an engine. See `base.Log`."""

    def __init__(
        self,
        redis: Redis,
        keys: Keys,
        settings: Settings,
        *,
        watched: Mapping[str, Room] | None = None,
        on_own: Callable[[Room, bytes, Message, int, bool], None] | None = None,
    ) -> None:
        """`watched`: the rooms that are watched here, by name; `on_own` is told of each message
        that is published from here into one of them: its raw epoch, its bytes, whether it is new.
        """
        self._redis = redis
        self._keys = keys
        self._in_time = settings.timeout * _IN_TIME
        self._window = round(settings.dedup_window * 1000)
        self._once = max(_ONCE, round(settings.timeout * 2000))
        self._watched: Mapping[str, Room] = {} if watched is None else watched
        self._on_own = on_own
        self._prefix = secrets.token_hex(8)
        self._calls = 0
        self._epoch = new_epoch()
        self.late = 0
        """Publishes that Redis was asked for in time and got to too late."""

    async def publish(self, room: str, draft: Draft, keep: Retention) -> Published:
        """See `Log.publish`."""
        user = draft.user
        at = draft.at
        try:
            data = pack(draft.id, user.id, user.name, draft.body, at)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise Refusal("bad_request", f"the body cannot be stored: {error}") from error
        keys = self._keys.room(room)
        if draft.resendable:
            place, window = self._keys.draft(room, user.id, draft.id), self._window
        else:
            self._calls += 1
            place, window = self._keys.once(room, f"{self._prefix}{self._calls}"), self._once
        redis = self._redis
        tell = "SPUBLISH" if redis.cluster else "PUBLISH"
        age = keep.history_age
        age = round(age * 1000) if age else 0
        deadline = int((redis.server_time(keys.meta) + self._in_time) * 1000)
        pause = round(draft.pause * 1000)
        names = [keys.meta, keys.log, place]
        if pause:
            names.append(self._keys.said(room, user.id))
        arguments = (self._epoch, at, data, keep.history_length, age, tell, deadline, window, pause)
        try:
            reply = await redis.script(PUBLISH, names, arguments)
        except (Unavailable, ReplyError) as error:
            raise refusal(error) from error
        if not reply[0]:
            if len(reply) > 1:
                raise too_soon(reply[1] / 1000)
            self.late += 1
            raise Refusal("unavailable", retry_after=RETRY_AFTER)
        raw_epoch, offset, first_at, known = reply
        # The connection itself may ask twice, which is no duplicate where nobody else can.
        is_new = not (known and draft.resendable)
        state = self._watched.get(room)
        # Mostly the bus was quicker: the copy for this node goes out before the answer.
        if (
            state is not None
            and self._on_own is not None
            and (offset > state.top or raw_epoch != state.raw_epoch)
        ):
            message = Message(draft.id, offset, user.id, user.name, draft.body, at)
            self._on_own(state, raw_epoch, message, len(data), is_new)
        epoch = raw_epoch.decode()
        if epoch == self._epoch:
            self._epoch = new_epoch()  # one name is for one life
        return Published(draft.id, Position(epoch, offset), first_at, not is_new)

    async def page(self, room: str, after: int | None, before: int | None, limit: int) -> Page:
        """See `Log.history`: always asks Redis."""
        keys = self._keys.room(room)
        bounds = ["" if bound is None else bound for bound in (after, before)]
        epoch, top, first, found = await answer(
            self._redis.script(PAGE, (keys.meta, keys.log), (new_epoch(), *bounds, max(0, limit)))
        )
        messages = []
        for offset, data in zip(found[::2], found[1::2], strict=True):
            try:
                messages.append(unpack(offset, data))
            except (
                ValueError,
                RecursionError,
            ):  # passed over, so that it does not close the whole room
                log.error("the message %d of the room %r cannot be read", offset, room)
        return Page(messages, first, Position(epoch.decode(), top))

    def trim_once(self, room: str, rule: tuple[int, float], now: float) -> asyncio.Future[Any]:
        """Apply a rule, (history_length, history_age in seconds), as far as one script may; answers
        [the first offset that is left, whether there may be more to do]."""
        keys = self._keys.room(room)
        length, age = rule
        arguments = (length, round(age * 1000), round((now - age) * 1000))
        return self._redis.script(TRIM, (keys.meta, keys.log), arguments)

    async def trim(self, room: str, rule: tuple[int, float], now: float) -> int | None:
        """Apply a rule. The first offset that is left, or None when Redis could not be asked."""
        first: int | None = None
        try:
            for _ in range(_TRIM_CALLS):
                first, more = await self.trim_once(room, rule, now)
                if not more:
                    break
        except (Unavailable, ReplyError) as error:
            log.debug("the room %r could not be trimmed: %s", room, error)
        return first
