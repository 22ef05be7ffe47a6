"""The rooms that this node watches, kept in step with their logs.

What comes over the bus, what is published from here and what a look at the log brings all meets in
`Room`, which announces in order. This module decides when to look: at the first watching, when the
bus begins to tell of a room, when something is missing or strange, after every broken connection,
and now and then anyway, because a bus may lose things without a word. It knows no member and
nobody's presence.

It owns two timers; besides them it lives by what Redis answers and tells.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final

from sioserver.engine.base import EngineListener
from sioserver.engine.redis_access import ReplyError
from sioserver.engine.redis_entries import entries, unpack
from sioserver.engine.redis_keys import Keys
from sioserver.engine.redis_link import Unavailable
from sioserver.engine.redis_log import RedisLog, new_epoch
from sioserver.engine.redis_rooms import EARLY, Room
from sioserver.engine.redis_scripts import load_script
from sioserver.engine.redis_servers import Redis
from sioserver.errors import Refusal
from sioserver.model import Message, Position

log = logging.getLogger(__name__)

CHECK: Final = load_script("check")

HOLE: Final = 0.2
"""Seconds that a message may be overtaken by later ones before the log is asked for it."""
ROUND: Final = 20.0
"""Seconds in which every room is looked at once; `DEAF_ROUND` while the bus is away."""
DEAF_ROUND: Final = 4.0
TICK: Final = 1.0
_NUMBERED: Final = ord("o")
"""How an entry begins on the bus whose number is told with it."""
PAGE: Final = 64
"""Messages that one look brings at most."""
AT_ONCE: Final = 5_000
"""Rooms that are looked at before anything else when the connection is back: some 20 us each."""
UNDER_WAY: Final = 128
"""Looks and trims under way at once: the next ones wait, so that thousands of rooms do not stand
before the messages of all."""


class RedisWatch:
    """See the module."""

    def __init__(
        self,
        redis: Redis,
        keys: Keys,
        *,
        cached: int,
        on_new_epoch: Callable[[str], None],
        on_looked: Callable[[str, int], None],
    ) -> None:
        """`cached`: messages kept of each room at the least; `on_new_epoch` is told of a room whose
        log was lost, `on_looked` with each look of a room and the version of its presence."""
        self._redis = redis
        self._keys = keys
        self._cached = cached
        self._on_new_epoch = on_new_epoch
        self._on_looked = on_looked
        self.rooms: dict[str, Room] = {}
        self.by_channel: dict[str, Room] = {}
        self._listener: EngineListener
        self._loop: asyncio.AbstractEventLoop
        self._log: RedisLog
        self._running = False
        self._heard: set[Room] = set()
        """Of these the bus tells."""
        self._round: deque[Room] = deque()
        self._unsure: dict[Room, None] = {}
        """Rooms that could not be looked at."""
        self._queue: deque[tuple[Callable[[Room], asyncio.Future[Any] | None], Room]] = deque()
        self._under_way = 0
        self._holes: dict[Room, float] = {}
        self._hole_timer: asyncio.TimerHandle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._counts = dict.fromkeys(
            ("checks", "filled", "gaps", "new_epochs", "holes", "strange", "foreign"), 0
        )

    def start(self, listener: EngineListener, log: RedisLog) -> None:
        """Begin to announce."""
        self._listener = listener
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._running = True
        self._timer = self._loop.call_later(TICK, self._tick)

    def stop(self) -> None:
        """No more looks; who waits for a room is refused. What is published still comes through."""
        self._running = False
        for timer in (self._timer, self._hole_timer):
            if timer is not None:
                timer.cancel()
        self._queue.clear()
        for room in self.rooms.values():
            self._release(room)

    def stats(self) -> Mapping[str, float]:
        """For `Engine.stats`."""
        return {
            "rooms_watched": len(self.rooms),
            "rooms_heard": len(self._heard),
            "rooms_with_holes": len(self._holes),
            "tail_bytes": sum(room.tail_bytes for room in self.rooms.values()),
            "checks_waiting": len(self._queue),
            **{f"room_{name}_total": count for name, count in self._counts.items()},
        }

    # -- which rooms ------------------------------------------------------------------------------

    def add(self, name: str) -> bool:
        """Watch a room. False: it is watched."""
        if name in self.rooms:
            return False
        keys = self._keys.room(name)
        room = self.rooms[name] = self.by_channel[keys.channel] = Room(
            name, keys, self, self._cached
        )
        if self._running:
            # Now, and past the queue: it has to be before what is published from here next, which
            # is announced.
            self._send(self._ask, room)
            self._round.append(room)
        return True

    def remove(self, name: str) -> None:
        """Watch it no more."""
        room = self.rooms.pop(name, None)
        if room is not None:
            del self.by_channel[room.keys.channel]
            self._holes.pop(room, None)
            self._unsure.pop(room, None)
            self._heard.discard(room)
            self._release(room)

    async def placed(self, room: Room, timeout: float) -> None:
        """Wait until it is known where the room's announcements begin; raises Refusal."""
        if room.epoch or self.rooms.get(room.name) is not room:
            return
        if not self._running:
            raise Refusal("unavailable")
        waiter: asyncio.Future[None] = self._loop.create_future()
        room.waiters.append(waiter)
        try:
            async with asyncio.timeout(timeout):
                await waiter
        except TimeoutError:
            raise Refusal("unavailable", retry_after=1.0) from None
        finally:
            if waiter in room.waiters:
                room.waiters.remove(waiter)

    @staticmethod
    def _release(room: Room) -> None:
        """Whoever waits for the room looks again."""
        for waiter in room.waiters:
            if not waiter.done():
                waiter.set_result(None)
        room.waiters.clear()

    # -- what arrives -----------------------------------------------------------------------------

    def on_bus(self, room: Room, payload: bytes) -> None:
        """An entry came over the bus: "m<offset>:<epoch>:<the message>", or, where operations were
        made in the room, "o<offset>:<epoch>:<number>:<the entry>"."""
        try:
            head, epoch, data = payload.split(b":", 2)
            offset = number = int(head[1:])
            if epoch != room.raw_epoch:
                self._strange(room)
                return
            if offset <= room.top:
                return
            if offset > room.top + EARLY:
                # Nobody is believed who says that so much is missing: the log knows. Else whoever
                # can publish could have it taken for one that has lost its end.
                self._strange(room)
                return
            if payload[0] == _NUMBERED:
                upto, data = data.split(b":", 1)
                number = int(upto)
                if not 0 <= number <= offset:
                    raise ValueError("more messages than entries")
            message = unpack(offset, data, number)
        except (ValueError, RecursionError):
            self._counts["foreign"] += 1
            return
        if room.offer(message, len(data)):
            self._hole(room)

    def _strange(self, room: Room) -> None:
        self._counts["strange"] += 1
        self.doubt(room)

    def on_own(self, room: Room, epoch: bytes, message: Message, size: int, is_new: bool) -> None:
        """A message was published from here that was not announced yet, as far as is known."""
        if epoch != room.raw_epoch:
            self.doubt(room)
        elif is_new:
            if room.offer(message, size):
                self._hole(room)
        elif message.offset > room.top:
            room.note(message.offset)
            self._hole(room)

    def on_subscribed(self, channels: Iterable[str]) -> None:
        """From now on the bus tells of these rooms: what was published before is in the log."""
        for channel in channels:
            room = self.by_channel.get(channel)
            if room is not None:
                self._heard.add(room)
                self.look(room)

    def on_deaf(self) -> None:
        """The bus tells of nothing any more."""
        self._heard.clear()

    def on_connected(self) -> None:
        """Redis is there again, perhaps another one, perhaps without its end. What is sent now goes
        out before the messages that wait, so that none of them is given an offset that is known
        here for another one; past so many rooms the messages are not held up."""
        for number, room in enumerate(self.rooms.values()):
            if number >= AT_ONCE:
                self.look(room)
            elif self._running:  # also where a look is under way: it may wait behind messages
                room.queued = False
                self._send(self._ask, room)

    def doubt(self, room: Room) -> None:
        """Something was seen that does not fit the room's log as it is known here."""
        room.doubts += 1
        self.look(room)

    # -- looking at logs --------------------------------------------------------------------------

    def look(self, room: Room) -> None:
        """Look at the room's log, soon."""
        if room.queued or not self._running:
            return
        room.queued = True
        if not room.checking:  # else again, when the one that is under way is back
            self._submit(self._check, room)

    def tidy(self, now: float) -> None:
        """Trim what has become too old in the rooms here."""
        for room in self.rooms.values():
            if room.rule is not None and room.rule[1] > 0 and not room.trimming:
                room.trimming = True
                self._submit(partial(self._trim, now=now), room)

    def _submit(self, send: Callable[[Room], asyncio.Future[Any] | None], room: Room) -> None:
        if self._under_way < UNDER_WAY:
            self._send(send, room)
        else:
            self._queue.append((send, room))

    def _send(self, send: Callable[[Room], asyncio.Future[Any] | None], room: Room) -> None:
        future = send(room)
        if future is not None:
            self._under_way += 1
            future.add_done_callback(self._answered)

    def _answered(self, _: asyncio.Future[Any]) -> None:
        self._under_way -= 1
        while self._queue and self._under_way < UNDER_WAY:
            self._send(*self._queue.popleft())

    def _check(self, room: Room) -> asyncio.Future[Any] | None:
        if room.checking or not room.queued or self.rooms.get(room.name) is not room:
            return None  # the next one is begun by the answer, or was begun past the queue
        room.queued = False
        return self._ask(room)

    def _ask(self, room: Room) -> asyncio.Future[Any]:
        room.checking += 1
        self._counts["checks"] += 1
        keys = room.keys
        future = self._redis.script(
            CHECK,
            (keys.meta, keys.log, keys.folds, keys.done),
            (room.epoch, room.top, room.opening(), new_epoch(), PAGE, room.known),
        )
        future.add_done_callback(partial(self._checked, room, room.epoch, room.doubts))
        return future

    def _checked(self, room: Room, asked: str, doubts: int, future: asyncio.Future[Any]) -> None:
        room.checking -= 1
        if self.rooms.get(room.name) is not room:
            return
        try:
            epoch, top, first, found, presence, begin, number, *states = future.result()
        except (Unavailable, ReplyError, asyncio.CancelledError) as error:
            log.debug("the room %r could not be looked at: %s", room.name, error)
            room.queued = False
            self._unsure[room] = None
            return  # with the next tick
        self._on_looked(room.name, presence)
        messages = []
        for _, message, size in entries(found, states[0] if states else None):
            if message is None:
                self._counts["foreign"] += 1
            else:
                messages.append((message, size))
        is_all = not found or found[-2] >= top
        was = room.epoch
        if asked != was:
            # Another look was quicker to find the new log: this answer says nothing of what is in
            # there.
            room.queued = False
            self.look(room)
            return
        room.settled = doubts
        self._counts["filled"] += len(messages)
        name = epoch.decode()
        room.settle(name, top, first, messages, all=is_all, begin=begin, number=number)
        if room.epoch != was:
            self._release(room)
            if was:
                self._counts["new_epochs"] += 1
                log.warning("the log of the room %r was lost: it begins anew", room.name)
                self._on_new_epoch(room.name)
                if room.has_hole:
                    self.look(room)
        if room.queued or not is_all or room.doubts != room.settled:
            room.queued = False
            self.look(room)
        elif room.has_hole:
            self._hole(room)

    def _trim(self, room: Room, now: float) -> asyncio.Future[Any] | None:
        if self.rooms.get(room.name) is not room or room.rule is None:
            return None
        future = self._log.trim_once(room.name, room.rule, now)
        future.add_done_callback(partial(self._trimmed, room, now))
        return future

    def _trimmed(self, room: Room, now: float, future: asyncio.Future[Any]) -> None:
        room.trimming = False
        try:
            first, more = future.result()
        except (Unavailable, ReplyError, asyncio.CancelledError) as error:
            log.debug("the room %r could not be trimmed: %s", room.name, error)
            return
        room.drop_before(first)
        if more and self._running:
            room.trimming = True
            self._submit(partial(self._trim, now=now), room)

    # -- time -------------------------------------------------------------------------------------

    def _hole(self, room: Room) -> None:
        """Something is missing in the room: give it a moment."""
        if room not in self._holes and self._running:
            self._counts["holes"] += 1
            self._holes[room] = self._loop.time() + HOLE
            if self._hole_timer is None:
                self._hole_timer = self._loop.call_later(HOLE, self._look_into_holes)

    def _look_into_holes(self) -> None:
        self._hole_timer = None
        now = self._loop.time()
        for room, due in list(self._holes.items()):
            if not room.has_hole:
                del self._holes[room]
            elif due <= now + 0.001:
                del self._holes[room]
                self.look(room)
        if self._holes:
            due = min(self._holes.values())
            self._hole_timer = self._loop.call_at(due, self._look_into_holes)

    def _tick(self) -> None:
        self._timer = self._loop.call_later(TICK, self._tick)
        unsure, self._unsure = self._unsure, {}
        for room in unsure:
            self.look(room)
        share = TICK / (ROUND if self._heard or not self.rooms else DEAF_ROUND)
        for _ in range(min(len(self._round), int(len(self._round) * share) + 1)):
            room = self._round.popleft()
            if self.rooms.get(room.name) is room:
                self._round.append(room)
                self.look(room)

    # -- announcing (`redis_rooms.Announcer`) -----------------------------------------------------

    def message(self, room: str, epoch: str, message: Message) -> None:
        """A message's turn has come."""
        try:
            self._listener.on_message(room, epoch, message)
        except Exception:  # what comes behind it is still announced
            log.exception("a message could not be announced")

    def gap(self, room: str, after: Position) -> None:
        """Messages are lost to this node."""
        self._counts["gaps"] += 1
        try:
            self._listener.on_gap(room, after)
        except Exception:  # what comes behind it is still announced
            log.exception("a gap could not be announced")
