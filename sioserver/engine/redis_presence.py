"""Who is online, over all nodes: what `redis_devices` knows of this node, written into Redis.

In Redis a lease (a node, for as long as nobody doubts that it lives, see `redis_lease`) holds users
in rooms; a user is online while some lease holds them. This module does not know when a lease
begins or ends, and not who listens.

A script that is refused here has its deadline behind it, by the server's clock, so it is not run
later either: that keeps a leave that was given up from taking away somebody who has come back.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import chain, islice
from math import inf
from typing import Any, Final

import msgspec

from sioserver.engine.redis_devices import Batch, Devices, Move
from sioserver.engine.redis_diffs import Diffs
from sioserver.engine.redis_keys import Keys
from sioserver.engine.redis_link import Unavailable
from sioserver.engine.redis_replies import RETRY_AFTER, answer
from sioserver.engine.redis_servers import Redis, load_script
from sioserver.errors import Refusal
from sioserver.model import EVERYWHERE, Counts, PresenceDiff, State, User

log = logging.getLogger(__name__)

CHUNK: Final = 500
"""People in one call of a script: others wait for it, and a diff is no larger."""

_ROUND: Final = 128
"""Calls that are under way at once where there may be thousands."""


class RedisPresence:
    """See `base.Presence`; `hold` and what follows it is for `redis_lease.Lease`."""

    def __init__(
        self,
        redis: Redis,
        keys: Keys,
        node: str,
        *,
        grace: float,
        timeout: float,
        on_diff: Callable[[str, PresenceDiff], None],
        on_left: Callable[[str, str, float], None],
        noted: Callable[[str], Sequence[str]] = lambda _: (),
        on_reaped: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`grace`: seconds between a user's last exit and the leave. `timeout`: seconds until a
        command is refused. `on_diff` is called for a room whether it is watched or not. `on_left`
        is called with a room, a user who is no guest and when they were there last (seconds since
        1970), on the one node that has taken them away. `noted` says the keys under which it is
        noted who comes to a room and goes; mostly none. `on_reaped` is called with each room
        of a dead node, when its people have been taken away, and with `EVERYWHERE`."""
        self._redis = redis
        self._keys = keys
        self._node = node
        self._noted = noted
        self._timeout = timeout
        self._grace = grace
        self._on_left = on_left
        self._on_reaped = on_reaped
        self._enter = load_script("enter")
        self._sweep = load_script("sweep")
        self._counts = load_script("counts")
        self._devices = Devices(grace)
        self._diffs = Diffs(node, self._devices, on_diff)
        self._lease = ""
        """Who holds the people of this node now; empty: nobody can come."""
        self._ends = 0
        self._recorded: set[str] = set()
        """The rooms that Redis knows the lease has people in."""
        self._recording: dict[str, asyncio.Future[Any]] = {}
        self._sweeping: dict[str, asyncio.Future[Any]] = {}
        """Rooms whose people are just being swept. One call each, see sweep.lua."""
        self._unsure: set[str] = set()
        """Rooms of whose counts others may have been told than are true."""
        self._number = 0
        """Of the last such call."""

    async def enter(self, room: str, user: User, client: str) -> Counts:
        """See `Presence.enter`."""
        self._need_lease()
        person = self._devices.enter(room, user, client)
        try:
            while room not in self._recorded:
                await self._record(room)
            moves = [Move(person, person.rests)]
            before = [person.moves]
            found = await self._result(self._hold(room, moves, quietly=False))
        except BaseException:
            self._devices.withdraw(room, user.id, client)
            raise
        self._held(room, moves, before, found)
        counts = Counts(found[0], found[1])
        self._diffs.begin(room, counts, found[3])
        return counts

    async def exit(self, room: str, user_id: str, client: str, now: float) -> None:
        """See `Presence.exit`."""
        self._devices.exit(room, user_id, client, now)

    def rest(self, room: str, user_id: str, client: str, resting: bool) -> None:
        """See `Presence.rest`."""
        self._devices.rest(room, user_id, client, resting)

    async def states(self, room: str, user_ids: Sequence[str]) -> Mapping[str, State]:
        """See `Presence.states`."""
        self._need_lease()
        key = self._keys.room(room).on
        found: dict[str, State] = {}
        for start in range(0, len(user_ids), CHUNK):
            some = user_ids[start : start + CHUNK]
            kept = await self._result(self._redis.command(key, "HMGET", key, *some))
            found |= {
                id: _state(entry) for id, entry in zip(some, kept, strict=True) if entry is not None
            }
        return found

    async def online(self, room: str, *, limit: int) -> list[User]:
        """See `Presence.online`."""
        self._need_lease()
        if limit <= 0:
            return []
        key = self._keys.room(room).here
        found = await self._result(self._redis.command(key, "ZRANGE", key, 0, limit - 1))
        people = (entry.decode().rsplit("\0", 2) for entry in found)
        return [User(id, name, bool(guest)) for name, id, guest in people]

    async def counts(self, room: str) -> Counts:
        """See `Presence.counts`."""
        self._need_lease()
        keys = self._keys.room(room)
        call = self._redis.script(self._counts, [keys.meta, keys.members, keys.on], [])
        return Counts(*await self._result(call))

    async def sweep(self, now: float) -> None:
        """See `Presence.sweep`. What Redis does not confirm is told with the next sweep."""
        if not self._lease:
            return
        waiting = {
            room: deque(self._devices.take(room, now).chunks(CHUNK))
            for room in self._devices.changed(now)
            if room not in self._sweeping
        }
        for room in self._unsure.difference(waiting, self._sweeping):
            waiting[room] = deque([Batch([], [])])
        well = True
        try:
            # Somebody who was cancelled may have left calls under way; they are waited for as well.
            while well and self._lease and (self._start(waiting, now) or self._sweeping):
                well = await self._calls_under_way()
        finally:
            for room, chunks in waiting.items():
                for batch in chunks:
                    self._devices.put_back(room, batch)
        if not well:
            raise _refusal()

    def on_bus(self, room: str, body: bytes | memoryview) -> None:
        """A diff came over the room's channel, without the byte that says so. This node's own were
        told already, with the answer."""
        self._diffs.on_bus(room, body)

    def on_looked(self, room: str, version: int) -> None:
        """Redis knows of diffs up to this version: what the bus lost of them is made good."""
        if self._lease and self._diffs.misses(room, version):
            # Not told yet: it may just be on its way.
            key = self._keys.room(room).meta
            call = self._redis.command(key, "HMGET", key, "v", "c")
            call.add_done_callback(partial(self._looked_again, room))

    def stats(self) -> Mapping[str, float]:
        """Gauges and counters for `/metrics`, by name."""
        return {
            "rooms_with_people": len(self._devices),
            "presence_diffs_total": self._diffs.told,
            "presence_reaped_total": self._diffs.reaped,
            "presence_foreign_total": self._diffs.foreign,
        }

    # -- the lease --------------------------------------------------------------------------------

    def hold(self, lease: str, ends: int) -> None:
        """This lease holds whoever comes, until its end: milliseconds of the server's clock. When
        it is another lease than before, `enter_again` is owed for those who are here."""
        self._ends = ends
        if lease != self._lease:
            self._lease = lease
            self._recorded.clear()
            self._recording.clear()

    async def record_again(self) -> None:
        """Write down once more in which rooms the lease has people, for whoever takes them away: it
        may have been lost. Raises a `Refusal`."""
        await self._record_all(list(self._recorded))

    async def enter_again(self, *, quietly: bool) -> None:
        """Let the lease hold everybody who is here. `quietly`: whom Redis does not know any more,
        although everybody was told of them, need not be announced again. Raises a `Refusal`; then
        it is to be called again."""
        rooms = self._devices.rooms()
        await self._record_all(rooms)
        self._recorded.update(rooms)
        calls = []
        for room in rooms:
            people = self._devices.people(room)
            for start in range(0, len(people), CHUNK):
                # Looked up again each time: whoever left while others were entered has left.
                found = (self._devices.person(room, id) for id in people[start : start + CHUNK])
                some_here = [person for person in found if person is not None]
                if some_here:
                    moves = [Move(person, person.rests) for person in some_here]
                    before = [person.moves for person in some_here]
                    call = self._hold(room, moves, quietly=quietly)
                    call.add_done_callback(partial(self._held_again, room, moves, before))
                    calls.append(call)
                if len(calls) >= _ROUND:
                    await self._all(calls)
                    calls.clear()
        await self._all(calls)

    async def let_go(self) -> None:
        """Nobody comes from now on. Those of whose coming nobody was told leave at once; the lease
        holds the others until it is taken from it. Never fails."""
        lease, self._lease = self._lease, ""
        if not lease:
            return
        self._recorded.clear()
        await self._calls_under_way()
        waiting = {
            room: deque(self._devices.take_quiet(room).chunks(CHUNK))
            for room in self._devices.rooms()
        }
        well = True
        # Those were never told to be here.
        while well and (self._start(waiting, 0.0, lease) or self._sweeping):
            well = await self._calls_under_way()

    async def reap(self, lease: str, ended: float) -> None:
        """Take everybody away whom a dead lease holds; they were here until it `ended`, about. Any
        number of nodes may do it at once: each user is taken, and told of, once. Raises a
        `Refusal`; then it is to be called again."""
        key = self._keys.rooms(lease)
        self._on_reaped(EVERYWHERE)
        while True:
            found = await self._result(self._redis.command(key, "SRANDMEMBER", key, _ROUND))
            if not found:
                return
            rooms = [name.decode() for name in found]
            calls = [self._call(room, Batch([], []), lease, number="") for room in rooms]
            await self._all(calls)
            for room, call in zip(rooms, calls, strict=True):
                self._gone(room, call.result()[0], ended)
                self._on_reaped(room)
            empty = [room for room, call in zip(rooms, calls, strict=True) if not call.result()[1]]
            if empty:
                await self._result(self._redis.command(key, "SREM", key, *empty))

    # -- inside -----------------------------------------------------------------------------------

    def _looked_again(self, room: str, call: asyncio.Future[list[bytes | None]]) -> None:
        if _is_well(call):
            version, told = call.result()
            # What was told, not what is true: when that changes, sweep.lua compares with `c`.
            counts = (told or b"").rstrip(b"?").split()
            if version and counts:
                self._diffs.missed(room, Counts(*map(int, counts)), int(version))

    async def _record(self, room: str) -> None:
        """Write down that the lease has people in the room, before it has: whoever takes them away
        when this node is dead must find them."""
        call = self._recording.get(room)
        if call is None:
            key = self._keys.rooms(self._lease)
            call = self._recording[room] = self._redis.command(key, "SADD", key, room)
            call.add_done_callback(partial(self._has_recorded, room, self._lease))
        await asyncio.wait([call])
        if not _is_well(call):
            raise _refusal()
        self._need_lease()  # it may have ended meanwhile

    async def _record_all(self, rooms: list[str]) -> None:
        key = self._keys.rooms(self._lease)
        for start in range(0, len(rooms), CHUNK):
            some = rooms[start : start + CHUNK]
            await self._result(self._redis.command(key, "SADD", key, *some))

    def _has_recorded(self, room: str, lease: str, call: asyncio.Future[Any]) -> None:
        if self._recording.get(room) is call:
            del self._recording[room]
        if _is_well(call) and lease == self._lease:
            self._recorded.add(room)

    def _hold(
        self, room: str, people: Iterable[Move], *, quietly: bool
    ) -> asyncio.Future[list[Any]]:
        keys = self._keys.room(room)
        # The people of an ended lease may have been taken away: nobody would find who comes now.
        rest = self._ends / 1000 - self._redis.server_time(self._keys.leases)
        args: list[str | int] = [self._deadline(room, rest), self._lease]
        for person, rests in people:
            user = person.user
            told = ("a" if rests else "1") if quietly and person.announced else ""
            args += (user.id, user.name, "1" if user.guest else "", told, "1" if rests else "")
        at = self._keys.at(room, self._lease)
        return self._redis.script(
            self._enter, [keys.meta, keys.members, keys.on, keys.here, at], args
        )

    def _held(self, room: str, people: list[Move], before: list[int], found: list[Any]) -> None:
        """`before`: how often each had moved when the script was called."""
        for (person, rests), moves, told in zip(people, before, found[2], strict=True):
            self._devices.entered(room, person, announced=told > 0)
            # Where the others were told something else, it depends on the other leases what holds.
            is_told = told == 0 or (told == 2) == rests
            if person.moves == moves:
                self._devices.knows(room, person, rests if is_told else None)
        if found[4]:
            self._unsure.add(room)

    def _held_again(
        self, room: str, people: list[Move], before: list[int], call: asyncio.Future[Any]
    ) -> None:
        if _is_well(call):
            self._held(room, people, before, call.result())

    def _start(self, waiting: dict[str, deque[Batch]], now: float, lease: str = "") -> bool:
        """Start the next call of some rooms. Whether some are left for the next time."""
        idle = (room for room in waiting if room not in self._sweeping)
        for room in list(islice(idle, _ROUND)):
            if waiting[room]:
                batch = waiting[room].popleft()
                self._number += 1
                unsure = room in self._unsure
                self._unsure.discard(room)
                call = self._call(
                    room, batch, lease or self._lease, number=str(self._number), compare=unsure
                )
                self._sweeping[room] = call
                # Not after the wait: it has to be done as well when nobody waits any more.
                call.add_done_callback(partial(self._swept, room, batch, unsure, now))
            if not waiting[room]:
                del waiting[room]
        return bool(waiting)

    async def _calls_under_way(self) -> bool:
        """Wait until the sweeping calls of this moment are over; True when all went well."""
        calls = list(self._sweeping.values())
        if calls:
            await asyncio.wait(calls)
        return all(map(_is_well, calls))

    def _call(
        self, room: str, batch: Batch, lease: str, *, number: str, compare: bool = False
    ) -> asyncio.Future[list[Any]]:
        keys, at = self._keys.room(room), self._keys.at(room, lease)
        swept = self._keys.swept(room, lease)
        return self._redis.script(
            self._sweep,
            [keys.meta, keys.members, keys.on, keys.here, at, swept, *self._noted(room)],
            [
                self._deadline(room),
                lease,
                number,
                self._node if number else "",
                keys.channel,
                "SPUBLISH" if self._redis.cluster else "PUBLISH",
                # As long as the connection may send the call again.
                round((self._timeout + 1) * 1000),
                "1" if compare else "",
                len(batch.left) if number else CHUNK,
                len(batch.moved),
                *(person.user.id for person in batch.left),
                *chain.from_iterable(
                    (person.user.id, "1" if rests else "") for person, rests in batch.moved
                ),
                *(person.user.id for person in batch.joined),
            ],
        )

    def _swept(
        self, room: str, batch: Batch, unsure: bool, now: float, call: asyncio.Future[Any]
    ) -> None:
        del self._sweeping[room]
        if not _is_well(call):
            self._devices.put_back(room, batch)
            if unsure:
                self._unsure.add(room)
            return
        for person in batch.joined:
            person.announced = True
        for person, rests in batch.moved:
            self._devices.knows(room, person, rests)
        if room not in self._devices:
            self._diffs.forget(room)
            if room in self._recorded:
                self._recorded.discard(room)
                key = self._keys.rooms(self._lease)
                # When it fails, whoever takes the lease's people away finds nobody in the room.
                self._redis.command(key, "SREM", key, room).add_done_callback(_is_well)
        published = call.result()[0]
        if published:
            self._diffs.on_answer(room, memoryview(published)[1:])
        if batch.left:
            self._gone(room, published, now)

    def _gone(self, room: str, published: bytes, due: float) -> None:
        """Whose leave was told has not been here since the grace time before it was due."""
        for user in self._diffs.left(memoryview(published)[1:]) if published else ():
            if not user.guest:
                self._on_left(room, user.id, due - self._grace)

    def _need_lease(self) -> None:
        if not self._lease:
            raise _refusal()

    def _deadline(self, room: str, rest: float = inf) -> int:
        """When a call is refused, or in `rest` seconds when that is sooner; by the clock of the
        room's server."""
        now = self._redis.server_time(self._keys.room(room).meta)
        return round((now + min(self._timeout, rest)) * 1000)

    @staticmethod
    async def _result(call: asyncio.Future[Any]) -> Any:
        found = await answer(call)
        if found is None:
            raise _refusal()  # too late: see the scripts
        return found

    @staticmethod
    async def _all(calls: list[asyncio.Future[Any]]) -> None:
        if calls:
            await asyncio.wait(calls)
            if not all(map(_is_well, calls)):
                raise _refusal()


def _is_well(call: asyncio.Future[Any]) -> bool:
    """Whether a call that is over was answered, and in time."""
    if call.cancelled():
        return False
    error = call.exception()
    if error is not None and not isinstance(error, Unavailable):
        log.error("Redis refuses a command of the presence", exc_info=error)
    return error is None and call.result() is not None


def _state(entry: bytes) -> State:
    """Of somebody in the hash of who is online: see enter.lua."""
    leases = msgspec.msgpack.decode(entry, type=list[str])[3:]
    return "away" if all(lease.startswith("~") for lease in leases) else "online"


def _refusal() -> Refusal:
    return Refusal("unavailable", retry_after=RETRY_AFTER)
