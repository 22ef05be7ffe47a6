"""The rooms' logs in Redis: publish, operate, read a page, trim. One script for each, so each is
one step.

It needs no node around it: what is published is told to the nodes by the script itself. Where
rooms are watched (`RedisWatch`) the answers are shown to them too, so that a node's own messages
need not wait for the bus.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from sioserver.config.schema import Redis as Settings
from sioserver.engine.base import (
    MAX_EMOJI,
    SEARCHED,
    Retention,
    ambiguous,
    not_found,
    not_theirs,
    too_many_reactions,
    too_soon,
)
from sioserver.engine.redis_access import ReplyError
from sioserver.engine.redis_entries import entries, pack, pack_body
from sioserver.engine.redis_keys import Keys
from sioserver.engine.redis_link import Unavailable
from sioserver.engine.redis_replies import RETRY_AFTER, answer, refusal
from sioserver.engine.redis_rooms import Room
from sioserver.engine.redis_scripts import load_script
from sioserver.engine.redis_servers import Redis
from sioserver.errors import Refusal
from sioserver.model import Draft, Message, Operation, Page, Position, Published

log = logging.getLogger(__name__)

PUBLISH: Final = load_script("publish")
OPERATE: Final = load_script("operate")
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
_TRIM_EVERY: Final = 64
"""Entries of a room with operations from one trimming to the next: there it is too much for the
script that publishes."""
_SCANNED: Final = 500
"""Entries that a page of messages looks at, at most, when most of them are operations."""

_REFUSED: Final[Mapping[bytes, Callable[[], Refusal]]] = {
    b"ambiguous": ambiguous,
    b"not_found": not_found,
    b"forbidden": not_theirs,
    b"too_many": too_many_reactions,
}


def _not_storable(error: Exception) -> Refusal:
    return Refusal("bad_request", f"the body cannot be stored: {error}")


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
            data = pack(
                draft.id, user.id, user.name, at, draft.body, draft.reply_to, draft.mentions
            )
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise _not_storable(error) from error
        keys = self._keys.room(room)
        if draft.resendable:
            place, window = self._keys.draft(room, user.id, draft.id), self._window
        else:
            place, window = self._once_place(room), self._once
        redis = self._redis
        tell = "SPUBLISH" if redis.cluster else "PUBLISH"
        age = keep.history_age
        age = round(age * 1000) if age else 0
        deadline = int((redis.server_time(keys.meta) + self._in_time) * 1000)
        pause = round(draft.pause * 1000)
        names = [keys.meta, keys.log, place, keys.folds, keys.done]
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
        if len(reply) == 4:
            raw_epoch, offset, first_at, known = reply
            number = offset
        else:
            raw_epoch, offset, first_at, known, number = reply
            self._tidy(room, keep, offset, at)
        # The connection itself may ask twice, which is no duplicate where nobody else can.
        is_new = not (known and draft.resendable)
        state = self._watched.get(room)
        # Mostly the bus was quicker: the copy for this node goes out before the answer.
        if (
            state is not None
            and self._on_own is not None
            and (offset > state.top or raw_epoch != state.raw_epoch)
        ):
            message = Message(
                draft.id, offset, user.id, user.name, draft.body, at, number, "message",
                draft.reply_to, draft.mentions,
            )  # fmt: skip
            self._on_own(state, raw_epoch, message, len(data), is_new and number > 0)
        epoch = raw_epoch.decode()
        if epoch == self._epoch:
            self._epoch = new_epoch()  # one name is for one life
        return Published(draft.id, Position(epoch, offset), first_at, not is_new)

    async def operate(self, room: str, operation: Operation, keep: Retention) -> Published:
        """See `Log.operate`."""
        user, at, kind = operation.user, operation.at, operation.kind
        body = operation.body if kind == "edit" else None
        try:
            value = pack_body(body) if kind == "edit" else operation.emoji
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise _not_storable(error) from error
        if not keep.history_length:
            raise not_found()
        redis, keys = self._redis, self._keys.room(room)
        arguments = (
            kind,
            "" if operation.offset is None else operation.offset,
            operation.id or "",
            user.id,
            user.name,
            at,
            "1" if operation.author_only else "",
            value,
            "1" if operation.on else "",
            operation.most,
            MAX_EMOJI,
            SEARCHED,
            round(keep.history_age * 1000),
            "SPUBLISH" if redis.cluster else "PUBLISH",
            int((redis.server_time(keys.meta) + self._in_time) * 1000),
            self._once,
        )
        names = (keys.meta, keys.log, keys.folds, keys.done, keys.ids, self._once_place(room))
        raw_epoch, *reply = await answer(redis.script(OPERATE, names, arguments))
        if not raw_epoch:
            [why] = reply
            if why in _REFUSED:
                raise _REFUSED[why]()
            self.late += 1
            raise Refusal("unavailable", retry_after=RETRY_AFTER)
        offset, known, target, raw_id, number, count = reply
        id = raw_id.decode()
        state = self._watched.get(room)
        if (
            state is not None
            and self._on_own is not None
            and (offset > state.top or raw_epoch != state.raw_epoch)
        ):
            entry = Message(
                id, offset, user.id, user.name, body, at, number, kind,
                target=target, emoji=operation.emoji, on=operation.on, count=count,
            )  # fmt: skip
            size = len(value) if kind == "edit" else 0
            self._on_own(state, raw_epoch, entry, size, not known)
        if not known:
            self._tidy(room, keep, offset, at)
        # Known by its state; or (2) the connection itself has asked twice.
        is_known = known == 1
        return Published(id, Position(raw_epoch.decode(), offset), at, is_known, target)

    def _once_place(self, room: str) -> str:
        self._calls += 1
        return self._keys.once(room, f"{self._prefix}{self._calls}")

    def _tidy(self, room: str, keep: Retention, offset: int, at: int) -> None:
        """Trim a room with operations now and then, behind what was published."""
        if offset % _TRIM_EVERY == 0:
            rule = keep.history_length, keep.history_age
            self.trim_once(room, rule, at / 1000).add_done_callback(partial(self._tidied, room))

    def _tidied(self, room: str, future: asyncio.Future[Any]) -> None:
        try:
            first, _ = future.result()
        except (Unavailable, ReplyError, asyncio.CancelledError) as error:
            log.debug("the room %r could not be trimmed: %s", room, error)
            return
        state = self._watched.get(room)
        if state is not None:
            state.drop_before(first)

    async def page(
        self,
        room: str,
        after: int | None,
        before: int | None,
        limit: int,
        *,
        ops: bool = False,
    ) -> Page:
        """See `Log.history`: always asks Redis."""
        keys = self._keys.room(room)
        bounds = ["" if bound is None else bound for bound in (after, before)]
        epoch, top, first, number, start, end, found, *states = await answer(
            self._redis.script(
                PAGE,
                (keys.meta, keys.log, keys.folds, keys.done),
                (new_epoch(), *bounds, max(0, limit), "1" if ops else "", _SCANNED),
            )
        )
        messages = []
        for offset, message, _ in entries(found, states[0] if states else None):
            if message is None:  # passed over, so that it does not close the whole room
                log.error("the message %d of the room %r cannot be read", offset, room)
            else:
                messages.append(message)
        if len(messages) > 1 and messages[0].offset > messages[-1].offset:
            messages.reverse()  # it was read backwards
        return Page(messages, first, Position(epoch.decode(), top), number, start, end)

    def trim_once(self, room: str, rule: tuple[int, float], now: float) -> asyncio.Future[Any]:
        """Apply a rule, (history_length, history_age in seconds), as far as one script may; answers
        [the first offset that is left, whether there may be more to do]."""
        keys = self._keys.room(room)
        length, age = rule
        arguments = (length, round(age * 1000), round((now - age) * 1000))
        names = (keys.meta, keys.log, keys.folds, keys.done)
        return self._redis.script(TRIM, names, arguments)

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
