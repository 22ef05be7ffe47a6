"""What was decided in the rooms, in Redis, and this node's copies of the rooms that it watches.

Who comes or posts is compared with a copy, which costs no round trip. A script changes, records and
tells in one step. What a copy may have missed (the bus was deaf, a message says that there was
a change before it) is read again, whole; nobody is let in meanwhile. That somebody may do something
again is believed only where it was read. This module does not know what a rule means, nor who is
here.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from math import inf
from typing import Any, Final

import msgspec

from sioserver.engine import moderated
from sioserver.engine.base_moderation import ModerationListener, announce
from sioserver.engine.moderated import Rules, Unreadable, name_of, name_of_setting, too_many
from sioserver.engine.redis_keys import Keys
from sioserver.engine.redis_replies import answer
from sioserver.engine.redis_scripts import load_script
from sioserver.engine.redis_servers import Redis
from sioserver.engine.redis_webhooks import RedisWebhooks
from sioserver.errors import Refusal
from sioserver.model import EVERYWHERE, Act, RoomSettings, Sanction, SanctionKind

log = logging.getLogger(__name__)

MODERATE: Final = load_script("moderate")
READ: Final = load_script("decisions")

KEPT: Final = 3600.0
"""Seconds that a decision is kept at the least, from when it was made."""
PAUSE: Final = 0.1
"""Seconds between the beginnings of two readings of a room, however many wait for one."""
UNDER_WAY: Final = 64
"""Readings at once of rooms for which nobody waits."""
DEAF_ROUND: Final = 0.5
"""Seconds between two readings of each room while the bus tells nothing."""
ROUND: Final = 20.0
"""Seconds between two readings, that nobody has asked for, of the rooms in which something was
decided: a bus may lose things without a word."""
FORGET_EVERY: Final = 60.0
_MIXED: Final = "?"
"""In the place of the version of a copy that has something of a later one."""


class _Copy:
    """A room that is watched, as far as is known."""

    __slots__ = (
        "began",
        "changes",
        "doubts",
        "heard",
        "read_at",
        "reading",
        "room",
        "rules",
        "settled",
        "version",
    )

    def __init__(self, room: str) -> None:
        self.room = room
        self.rules = Rules()
        self.version = ""
        """Of the last change that it has; "": nothing was read yet."""
        self.changes = 0
        """How often the version changed here."""
        self.heard = False
        """The bus tells of changes."""
        self.doubts = 1
        self.settled = 0
        """How many doubts there were when the last reading began that went well."""
        self.reading: asyncio.Task[None] | None = None
        self.began = self.read_at = -inf

    @property
    def current(self) -> bool:
        """Whether it has everything that was changed until now, as far as is known."""
        return self.heard and self.settled == self.doubts


class RedisModeration:
    """See `base_moderation.Moderation`."""

    def __init__(
        self, redis: Redis, keys: Keys, *, timeout: float, webhooks: RedisWebhooks | None = None
    ) -> None:
        """`timeout`: seconds that a command may take. `webhooks`: what keeps the notes of acts."""
        self._redis = redis
        self._keys = keys
        self._webhooks = webhooks
        # as long as the connection may send a call again
        self._once = round((timeout + 1) * 1000)
        self._prefix = secrets.token_hex(8)
        self._calls = 0
        self._copies: dict[str, _Copy] = {}
        self._by_channel: dict[str, _Copy] = {}
        self._rules: dict[str, Rules] = {}
        """Of the copies, those in which there is anything."""
        self._unread: dict[_Copy, None] = {}
        """Copies that are not current, as far as is known."""
        self._stale: dict[_Copy, None] = {}
        """To be read when others have been."""
        self._under_way = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener: ModerationListener
        self._stopped = False
        self._forgot = self._looked = -inf
        self._reads = self._foreign = 0
        # at once: the bus may tell that it is listened to before anything else is started
        self.watch(EVERYWHERE)

    async def start(self, listener: ModerationListener) -> None:
        """Begin to announce, with what holds everywhere. Raises a `Refusal`."""
        self._listener = listener
        await self.look(EVERYWHERE)

    async def stop(self) -> None:
        """Read no more. Safe to call twice."""
        self._stopped = True
        self._stale.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def watch(self, room: str) -> None:
        """See `Engine.watch`. The bus will tell of the room's channel."""
        if room not in self._copies:
            copy = self._copies[room] = _Copy(room)
            self._by_channel[self._keys.room(room).channel] = copy

    def unwatch(self, room: str) -> None:
        """See `Engine.unwatch`."""
        copy = self._copies.pop(room, None)
        if copy is not None:
            del self._by_channel[self._keys.room(room).channel]
            self._rules.pop(room, None)
            self._stale.pop(copy, None)
            self._unread.pop(copy, None)

    # -- the contract -----------------------------------------------------------------------------

    @property
    def rules(self) -> Mapping[str, Rules]:
        """See `Moderation.rules`."""
        return self._rules

    async def look(self, room: str) -> Rules:
        """See `Moderation.look`."""
        copy = self._copies.get(room)
        if copy is None:
            found = await self._ask(room, "")
            return Rules() if found is None else self._readable(found[1])
        if not copy.current:
            await self._wait(copy)
        return copy.rules

    async def impose(self, room: str, sanction: Sanction, act: Act) -> None:
        """See `Moderation.impose`."""
        name, data = name_of(sanction.kind, sanction.user), moderated.pack(sanction)
        await self._change(room, "impose", [(name, data, sanction.until)], act)

    async def lift(self, room: str, kind: SanctionKind, user_id: str, act: Act) -> bool:
        """See `Moderation.lift`."""
        return await self._change(room, "lift", [(name_of(kind, user_id), b"", 0.0)], act)

    def learn(self, room: str, user_id: str, addresses: tuple[str, ...]) -> None:
        """See `Moderation.learn`."""
        records = [(name_of("ban", user_id), msgspec.msgpack.encode(addresses), 0.0)]
        self._run(self._learn(room, records))

    async def configure(self, room: str, changes: Mapping[str, Any], act: Act) -> RoomSettings:
        """See `Moderation.configure`."""
        records = [
            (
                name_of_setting(name),
                b"" if value is None else moderated.pack_setting(value),
                inf,
            )
            for name, value in changes.items()
        ]
        await self._change(room, "impose", records, act)
        return (await self.look(room)).settings

    async def acts(self, room: str, *, before: int | None = None, limit: int) -> list[Act]:
        """See `Moderation.acts`."""
        key = self._keys.moderation(room).acts
        newest = "+" if before is None else f"({before}-0"
        call = self._redis.command(key, "XREVRANGE", key, newest, "-", "COUNT", str(limit))
        found = []
        for id, fields in await answer(call):
            try:
                found.append(moderated.unpack_act(fields[1], int(id.partition(b"-")[0])))
            except (Unreadable, ValueError):
                self._foreign += 1
        return found

    # -- what happens -----------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Some time has passed (`now`: seconds since 1970): read what may have been missed."""
        at = asyncio.get_running_loop().time()
        if not 0 <= now - self._forgot < FORGET_EVERY:
            self._forgot = now
            for room in list(self._rules):
                self._copies[room].rules.forget(now)
                self._review(self._copies[room])
        if at - self._looked < DEAF_ROUND:
            return
        self._looked = at
        self._stale.update(self._unread)
        for room in (EVERYWHERE, *self._rules):
            copy = self._copies.get(room)
            if copy is not None and at - copy.read_at >= ROUND:
                self._stale[copy] = None
        self._pump()

    def on_bus(self, room: str, body: bytes | memoryview) -> None:
        """Something was decided in a room, without the byte that says so."""
        copy = self._copies.get(room)
        if copy is None:
            return
        try:
            last, version, changes = _notice(bytes(body))
        except ValueError:
            self._foreign += 1
            return
        if version == copy.version:
            return  # it was read already, or decided here
        # The word of whoever can publish there is enough to put somebody out, which cannot wait. It
        # is not enough to let somebody in again, and a change that does not follow on what is
        # known has something before it: both are read.
        new = [(name, data) for name, data in changes if data]
        if last == copy.version and len(new) == len(changes):
            self._at(copy, version)
        else:
            if new:
                self._at(copy, _MIXED)  # or what was made up would stay
            self._doubt(copy)
        self._apply(copy, new)

    def on_subscribed(self, channels: Iterable[str]) -> None:
        """The bus tells of these channels now."""
        for channel in channels:
            copy = self._by_channel.get(channel)
            if copy is not None:
                copy.heard = True
                self._doubt(copy)

    def on_deaf(self) -> None:
        """The bus tells of nothing any more."""
        for copy in self._copies.values():
            copy.heard = False
            if copy.version:
                self._unread[copy] = None

    def on_connected(self) -> None:
        """Redis is there again, perhaps without its data, or without their end."""
        for copy in self._copies.values():
            self._doubt(copy)

    def stats(self) -> Mapping[str, float]:
        """For `Engine.stats`."""
        return {
            "rooms_moderated": len(self._rules),
            "sanctions": sum(map(len, self._rules.values())),
            "decisions_read_total": self._reads,
            "decisions_foreign_total": self._foreign,
            "decisions_waiting": len(self._stale),
        }

    # -- reading ----------------------------------------------------------------------------------

    def _doubt(self, copy: _Copy) -> None:
        copy.doubts += 1
        if copy.version:  # else nobody has asked for it yet
            self._unread[copy] = self._stale[copy] = None
            self._pump()

    def _pump(self) -> None:
        """Read some of what is stale. Not before `start`, nor after `stop`."""
        while self._stale and self._under_way < UNDER_WAY and not self._stopped:
            copy = next(iter(self._stale))
            del self._stale[copy]
            if copy.reading is None:
                self._under_way += 1
                self._task(copy).add_done_callback(self._pumped)

    def _pumped(self, reading: asyncio.Task[None]) -> None:
        self._under_way -= 1
        if not reading.cancelled():
            reading.exception()  # it is tried again with a tick
        self._pump()

    async def _wait(self, copy: _Copy) -> None:
        """Wait for a reading. Raises a `Refusal`."""
        if self._stopped:
            raise Refusal("unavailable", retry_after=1.0)
        await asyncio.shield(self._task(copy))

    def _task(self, copy: _Copy) -> asyncio.Task[None]:
        if copy.reading is None:
            copy.reading = self._run(self._read(copy))
        return copy.reading

    def _run(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(work, name="moderation")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _read(self, copy: _Copy) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                wait = copy.began + PAUSE - loop.time()
                if wait > 0:
                    await asyncio.sleep(wait)
                copy.began = loop.time()
                doubts, changes = copy.doubts, copy.changes
                found = await self._ask(copy.room, copy.version)
                if copy.changes == changes:
                    break  # else it was changed meanwhile, and this is perhaps from before
            if found is not None:
                self._install(copy, *found)
            copy.settled, copy.read_at = doubts, loop.time()
        finally:
            copy.reading = None
        if copy.current:
            self._unread.pop(copy, None)
        elif self._copies.get(copy.room) is copy:
            self._unread[copy] = None
            if copy.doubts != doubts:
                self._stale[copy] = None
                loop.call_soon(self._pump)

    async def _ask(self, room: str, version: str) -> tuple[str, dict[str, bytes]] | None:
        """The version and the records of a room; None when the version is still this one."""
        self._reads += 1
        key = self._keys.moderation(room).decisions
        found = await answer(self._redis.script(READ, (key,), (version,)))
        if len(found) == 1:
            return None
        now, flat = found
        records = {}
        for name, data in zip(flat[::2], flat[1::2], strict=True):
            if name != b"v":
                records[name.decode(errors="replace")] = data
        return now.decode(), records

    def _readable(self, records: Mapping[str, bytes]) -> Rules:
        rules = Rules()
        for name, data in records.items():
            self._put(rules, name, data)
        return rules

    def _put(self, rules: Rules, name: str, data: bytes) -> Sanction | RoomSettings | None:
        try:
            return rules.put(name, data)
        except Unreadable as error:
            self._foreign += 1
            log.warning("a decision in Redis cannot be read: %s", error)
            return None

    def _install(self, copy: _Copy, version: str, records: Mapping[str, bytes]) -> None:
        """Everything was read: what is new is announced, unless nothing was known before."""
        first = not copy.version
        self._at(copy, version)
        if first:
            copy.rules = self._readable(records)
            self._review(copy)
            return
        gone = [name for name in copy.rules.names() if name not in records]
        self._apply(copy, [*records.items(), *((name, b"") for name in gone)])

    @staticmethod
    def _at(copy: _Copy, version: str) -> None:
        copy.version = version
        copy.changes += 1

    def _apply(self, copy: _Copy, changes: Sequence[tuple[str, bytes]]) -> None:
        settings: RoomSettings | None = None
        for name, data in changes:
            change = self._put(copy.rules, name, data) if data else copy.rules.drop(name)
            self._review(copy)
            if isinstance(change, RoomSettings):
                settings = change
            elif change is not None and self._copies.get(copy.room) is copy:
                announce(self._listener, copy.room, change, lifted=not data)
        if settings is not None and self._copies.get(copy.room) is copy:
            announce(
                self._listener, copy.room, settings, lifted=False
            )  # once: they were set in one step

    def _review(self, copy: _Copy) -> None:
        if self._copies.get(copy.room) is not copy:
            return
        if copy.rules:
            self._rules[copy.room] = copy.rules
        else:
            self._rules.pop(copy.room, None)

    # -- writing ----------------------------------------------------------------------------------

    async def _change(
        self, room: str, what: str, records: Sequence[tuple[str, bytes, float]], act: Act | None
    ) -> bool:
        keys = self._keys.moderation(room)
        noted: list[str] = []
        if act is not None and self._webhooks is not None:
            noted = await self._webhooks.keys_of_acts(room)
        self._calls += 1
        once = self._keys.once(room, f"{self._prefix}{self._calls}")
        publish = "SPUBLISH" if self._redis.cluster else "PUBLISH"
        arguments: list[str | bytes | float] = [
            what,
            b"" if act is None else moderated.pack_act(act),
            0 if act is None else round(act.at * 1000),
            keys.channel,
            publish,
            moderated.ADDRESSES if what == "learn" else moderated.MOST,
            moderated.ACTS,
            round(moderated.ACTS_AGE),
            KEPT,
            self._once,
        ]
        for name, data, until in records:
            arguments += (name, data, repr(until))
        names = (keys.decisions, keys.ends, keys.acts, once, *noted)
        state, last, version, values = await answer(self._redis.script(MODERATE, names, arguments))
        if state < 0:
            raise too_many()
        if noted and state:
            assert self._webhooks is not None
            self._webhooks.touch(room)
        copy = self._copies.get(room)
        if state and copy is not None and copy.version == str(last):
            self._at(copy, str(version))  # this node need not hear of it first
            changed = [name for name, _, _ in records]
            self._apply(copy, list(zip(changed, values, strict=True)))
        return bool(state)

    async def _learn(self, room: str, records: Sequence[tuple[str, bytes, float]]) -> None:
        try:
            await self._change(room, "learn", records, None)
        except Refusal as reason:
            log.warning("addresses were not banned: %s", reason)


def _notice(body: bytes) -> tuple[str, str, list[tuple[str, bytes]]]:
    """What moderate.lua publishes: the version before, the version, and the records by name (empty:
    taken away). Raises ValueError."""
    last, version, rest = body.split(b":", 2)
    changes = []
    while rest:
        length, size, rest = rest.split(b":", 2)
        end = int(length)
        behind = end + int(size)
        if not 0 < end <= behind <= len(rest):
            raise ValueError("a record is cut off")
        changes.append((rest[:end].decode(), rest[end:behind]))
        rest = rest[behind:]
    return str(int(last)), str(int(version)), changes
