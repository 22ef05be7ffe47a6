"""The marks, claims and notes of webhooks in Redis. See `base_webhooks`.

A room's are with its other keys. Which rooms to look at lies in one index for each lane, on another
server of a cluster, so no script writes both: the room is put into the index before anything is
stored there (`expect`), and is taken out only when it can be seen that nothing is expected.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import msgspec

from sioserver.engine.base_webhooks import LOOK, Note
from sioserver.engine.redis_access import ReplyError
from sioserver.engine.redis_keys import Keys
from sioserver.engine.redis_link import Unavailable
from sioserver.engine.redis_replies import RETRY_AFTER, answer, refusal
from sioserver.engine.redis_scripts import load_script
from sioserver.engine.redis_servers import Redis
from sioserver.errors import Refusal
from sioserver.model import Position
from sioserver.subscriptions import Lane, Subscriptions

log = logging.getLogger(__name__)

EXPECTED: Final = 60.0
"""Seconds for which a node need not say again that something may happen in a room."""
_ROOMS: Final = 100_000
"""Rooms that are remembered for that; past that, it is said again."""

_EXPECT: Final = load_script("hook_expect")
_CLAIM: Final = load_script("hook_claim")
_ADVANCE: Final = load_script("hook_advance")
_RELEASE: Final = load_script("hook_release")
_FORGET: Final = load_script("hook_forget")


class RedisWebhooks:
    """See `base_webhooks.Webhooks`."""

    def __init__(
        self,
        redis: Redis,
        keys: Keys,
        subscriptions: Subscriptions,
        node: str,
        *,
        timeout: float,
        lease: float,
    ) -> None:
        """`timeout`: seconds that a command may take. `lease`: seconds after which a node that says
        nothing is dead."""
        self._redis = redis
        self._keys = keys
        self._subscriptions = subscriptions
        self._node = node
        self._timeout = timeout
        self._lease = lease
        # who may still be about to store something that it was told it may
        self._expect_ms = round((EXPECTED * 2 + timeout) * 1000)
        self._decode = msgspec.msgpack.Decoder(dict[str, Any]).decode
        self.touched: Callable[[str], None] | None = None
        self._expected: dict[str, float] = {}
        """Until when, by the loop's clock."""
        self._asking: dict[str, list[asyncio.Future[None]]] = {}
        """Who waits until a room is expected."""
        self._calls: set[asyncio.Task[None]] = set()
        self._scores: dict[tuple[Lane, str], str] = {}
        """Of the rooms that are worked on, as they were put into the index."""
        self._dropped = 0

    # -- before something happens -------------------------------------------------------------

    def keys_of(self, room: str) -> list[str]:
        """What sweep.lua needs to note who comes and goes; nothing where nobody wants to know."""
        return self._keys_for(room, "join", "leave")

    async def keys_of_acts(self, room: str) -> list[str]:
        """The same for moderate.lua, which may be called from now on. Raises `Refusal`."""
        keys = self._keys_for(room, "moderation")
        if keys:
            await self.expect(room)
        return keys

    def _keys_for(self, room: str, *kinds: str) -> list[str]:
        if not any(self._subscriptions.notes(room, kind) for kind in kinds):
            return []
        keys = self._keys.room(room)
        return [keys.hooks, keys.notes]

    async def expect(self, room: str) -> None:
        """Something may be stored or noted in the room. Who calls one after another without waiting
        goes on in this order. Raises `Refusal`."""
        lanes = self._subscriptions.lanes(room)
        if not lanes:
            return
        loop = asyncio.get_running_loop()
        waiting = self._asking.get(room)
        if waiting is None:
            if self._expected.get(room, 0.0) > loop.time():
                return
            waiting = self._asking[room] = []
            call = loop.create_task(self._expect(room, lanes), name="webhooks-expect")
            self._calls.add(call)
            call.add_done_callback(partial(self._has_asked, room))
        waiter = loop.create_future()
        waiting.append(waiter)
        await waiter

    async def _expect(self, room: str, lanes: tuple[Lane, ...]) -> None:
        keys, names = self._keys.room(room), [str(lane) for lane in lanes]
        arguments: list[str | int] = [self._expect_ms, self._subscriptions.queue, *names]
        await self._redis.script(_EXPECT, (keys.meta, keys.hooks), arguments)
        # behind it: see hook_forget.lua
        await asyncio.gather(*(self._put(name, room, 0.0)[1] for name in names))
        if len(self._expected) >= _ROOMS:
            self._expected.clear()
        self._expected[room] = asyncio.get_running_loop().time() + EXPECTED

    def _has_asked(self, room: str, call: asyncio.Task[None]) -> None:
        self._calls.discard(call)
        error = None if call.cancelled() else call.exception()
        self._let_go(room, error, well=not call.cancelled() and error is None)

    def _let_go(self, room: str, error: BaseException | None, *, well: bool) -> None:
        waiting = self._asking.pop(room)
        if not waiting:
            return
        for waiter in waiting:
            if waiter.done():
                continue
            if well:
                waiter.set_result(None)
            elif isinstance(error, Unavailable | ReplyError):
                waiter.set_exception(refusal(error))
            else:  # the engine stops
                waiter.set_exception(error or Refusal("unavailable", retry_after=RETRY_AFTER))
        # who comes before those have gone on waits behind them
        self._asking[room] = []
        asyncio.get_running_loop().call_soon(partial(self._let_go, room, error, well=well))

    def _put(self, lane: str, room: str, wait: float) -> tuple[str, asyncio.Future[Any]]:
        """Have the room looked at in `wait` seconds. Its score, and the command."""
        key = self._keys.due(lane)
        score = f"{(self._redis.server_time(key) + wait) * 1000:.3f}"
        return score, self._redis.command(key, "ZADD", key, score, room)

    # -- work ---------------------------------------------------------------------------------

    async def due(self, lane: Lane, *, limit: int) -> list[str]:
        """See `Webhooks.due`."""
        key = self._keys.due(str(lane))
        now = self._redis.server_time(key) * 1000
        found = await answer(
            self._redis.command(key, "ZRANGEBYSCORE", key, "-inf", f"{now:.3f}", "LIMIT", 0, limit)
        )
        return [room.decode() for room in found]

    async def claim(self, lane: Lane, room: str) -> Position | None:
        """See `Webhooks.claim`."""
        claim = self._claim_of(lane)
        arguments = (str(lane), self._node, round(claim * 1000))
        keys = self._keys.room(room)
        found = await answer(self._redis.script(_CLAIM, (keys.hooks,), arguments))
        if not found:
            score, call = self._put(str(lane), room, claim)
            self._scores[lane, room] = score
            await answer(call)
            await self._forget_if_unknown(lane, room)
            return None
        if not found[0]:
            # another works there: to be looked at when its claim has ended, should it be dead
            await answer(self._put(str(lane), room, found[1] / 1000)[1])
            return None
        self._scores[lane, room], call = self._put(str(lane), room, claim)
        await answer(call)
        self._dropped += found[1]
        epoch, _, number = found[0].decode().partition(" ")
        return Position(epoch, int(number))

    def _claim_of(self, lane: Lane) -> float:
        """For how many seconds a claim is held after the last sign of life: in between there is a
        request to the endpoint, and what this node needs to go on."""
        return max(self._lease, self._subscriptions.patience(lane) + self._timeout)

    async def _forget_if_unknown(self, lane: Lane, room: str) -> None:
        keys, score = self._keys.room(room), self._scores.pop((lane, room))
        if await answer(self._redis.command(keys.hooks, "HGET", keys.hooks, str(lane))) is None:
            await self._forget(lane, room, score)

    async def advance(self, lane: Lane, room: str, mark: Position) -> bool:
        """See `Webhooks.advance`."""
        keys = self._keys.room(room)
        notes = [str(one) for one in self._subscriptions.from_(room, "notes")]
        at = f"{mark.epoch} {mark.offset}"
        arguments: list[str | int] = [
            str(lane),
            self._node,
            round(self._claim_of(lane) * 1000),
            at,
            *notes,
        ]
        done = await answer(self._redis.script(_ADVANCE, (keys.hooks, keys.notes), arguments))
        return bool(done)

    async def release(self, lane: Lane, room: str) -> bool:
        """See `Webhooks.release`."""
        found = await self._release(lane, room, "")
        if found == 1:
            return False
        score = self._scores.pop((lane, room), None)
        if found == 2 and score is not None:
            await self._forget(lane, room, score)
        elif found == 0:
            await answer(self._put(str(lane), room, LOOK)[1])
        return True

    async def give_back(self, lane: Lane, room: str, wait: float) -> None:
        """See `Webhooks.give_back`."""
        self._scores.pop((lane, room), None)
        await self._release(lane, room, "1")
        await answer(self._put(str(lane), room, wait)[1])

    async def _release(self, lane: Lane, room: str, in_any_case: str) -> int:
        keys = self._keys.room(room)
        arguments = (str(lane), self._node, in_any_case)
        call = self._redis.script(_RELEASE, (keys.meta, keys.hooks, keys.on, keys.notes), arguments)
        found: int = await answer(call)
        return found

    async def _forget(self, lane: Lane, room: str, score: str) -> None:
        key = self._keys.due(str(lane))
        await answer(self._redis.script(_FORGET, (key,), (room, score)))

    async def notes(self, room: str, *, after: int, limit: int) -> list[Note]:
        """See `Webhooks.notes`."""
        key = self._keys.room(room).notes
        found = await answer(
            self._redis.command(key, "XRANGE", key, f"{after + 1}-0", "+", "COUNT", limit)
        )
        notes = []
        for id, fields in found:
            kept = dict(zip(fields[::2], fields[1::2], strict=True))
            number = int(id.partition(b"-")[0])
            notes.append(
                Note(number, kept[b"k"].decode(), self._decode(kept[b"d"]), int(kept[b"a"]))
            )
        return notes

    def stats(self) -> dict[str, float]:
        """See `Webhooks.stats`."""
        return {"webhook_notes_dropped_total": self._dropped}

    def touch(self, room: str) -> None:
        """Something was stored or noted in the room."""
        if self.touched is not None and self._subscriptions.lanes(room):
            self.touched(room)

    async def stop(self) -> None:
        """End what is under way."""
        calls = list(self._calls)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
