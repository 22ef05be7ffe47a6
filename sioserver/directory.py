"""The directory: which public rooms there are, how many are there, and what about.

Part of `RoomService`. A room is listed when something is kept in it that somebody has done since
its rule says `public`; while it has clients here, that is told again every minute. What is listed
is read as a whole, sorted, and kept for some seconds: a page is cut out of that. Who may join is
asked for each room on the page, so nobody is told of another. It knows no wire.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Callable
from typing import Final

import msgspec

from sioserver.actors import Actor
from sioserver.auth import Identity, Policy
from sioserver.config import Config, RoomRule
from sioserver.engine.base import Engine
from sioserver.hub import Hub
from sioserver.matching import Query, fold
from sioserver.model import Counts

NOTE_EVERY: Final = 60.0
"""Seconds after which it is told again that somebody is in a room."""
FRESH: Final = 2.0
"""Seconds for which what was read is good enough."""
REST: Final = 10.0
"""... or that many times as long as the reading took."""
SLICE: Final = 500
"""Rooms that are looked at in one turn of the event loop."""

Place = tuple[int, str]
"""Where a room stands among the others: users online, and its name."""


class Entry(msgspec.Struct, frozen=True):
    """A room that is listed."""

    room: str
    topic: str
    online: int
    told: bool
    """Does the room tell who is in it? Else `online` is 0."""
    text: str
    """What its name and its topic say, folded."""


class Found(msgspec.Struct, frozen=True):
    """A page of the directory."""

    rooms: list[tuple[Entry, Counts | None]]
    """With how many are there now; None: the room does not tell."""
    next: Place | None
    """The place of the last, when there are more."""


class Directory:
    """See the module. Methods raise `Refusal`."""

    def __init__(
        self,
        config: Config,
        engine: Engine,
        hub: Hub,
        policy: Policy,
        topic: Callable[[Actor], str | None],
    ) -> None:
        """`topic`: what moderators have set in the room of somebody; None: nothing."""
        self._most = config.rooms.public_rooms
        self._engine = engine
        self._hub = hub
        self._policy = policy
        self._topic = topic
        self._news: dict[str, str | None] = {}
        """Rooms that are to be told, with their topics."""
        self._noted: set[str] = set()
        """Rooms that were told."""
        self._reviewed = float("-inf")
        self._entries: list[Entry] = []
        self._stale = float("-inf")
        """When the entries are read again, by the event loop's clock."""
        self._reading = asyncio.Lock()

    # ------------------------------------------------------------ what is listed

    def visited(self, actor: Actor, rule: RoomRule) -> None:
        """Something of somebody is kept in their room."""
        room = actor.room
        if rule.public and room not in self._noted and not room.startswith("@"):
            self._news[room] = self._topic(actor)

    def configured(self, room: str, topic: str | None) -> None:
        """Moderators have set the room's topic (None: they have set none)."""
        if not room.startswith("@") and self._policy.rule(room).public:
            self._news[room] = topic

    def sweep(self, now: float) -> None:
        """Tell the store of what is new. Waits for nothing."""
        if not 0 <= now - self._reviewed < NOTE_EVERY:
            self._reviewed = now
            rules = self._engine.moderation.rules
            for room in [room for room in self._noted if self._hub.has(room)]:
                own = rules.get(room)
                self._news.setdefault(room, None if own is None else own.settings.topic)
            self._noted.clear()
        if self._news:
            self._engine.directory.note(self._news, now, self._most)
            self._noted.update(self._news)
            self._news = {}

    # ------------------------------------------------------------ asking

    async def find(
        self, identity: Identity, query: Query | None, after: Place | None, limit: int
    ) -> Found:
        """The rooms that somebody may join and that say what is looked for: those first where the
        most are online, then by name; at most `limit`, behind a place. Between two pages rooms may
        have changed their places."""
        entries = await self._read()
        start = 0 if after is None else bisect_right(entries, _key(*after), key=_order)
        found: list[Entry] = []
        for number in range(start, len(entries)):
            if number % SLICE == SLICE - 1:
                await asyncio.sleep(0)
            entry = entries[number]
            if (query is None or query.matches(entry.text)) and self._policy.may(
                identity, "join", entry.room
            ):
                found.append(entry)
                if len(found) > limit:
                    break
        page = found[:limit]
        rooms = [(entry, await self._counts(entry)) for entry in page]
        if len(found) <= limit:
            return Found(rooms, None)
        return Found(rooms, (page[-1].online, page[-1].room))

    async def _counts(self, entry: Entry) -> Counts | None:
        return await self._engine.counts(entry.room) if entry.told else None

    async def _read(self) -> list[Entry]:
        loop = asyncio.get_running_loop()
        async with self._reading:  # one reading is for all who wait for it
            began = loop.time()
            if began >= self._stale:
                entries: list[Entry] = []
                for number, one in enumerate(await self._engine.directory.rooms(limit=self._most)):
                    if number % SLICE == SLICE - 1:
                        await asyncio.sleep(0)
                    rule = self._policy.rule(one.room)
                    if rule.public and not one.room.startswith("@"):
                        topic = rule.topic if one.topic is None else one.topic
                        online = one.online if rule.presence else 0
                        text = fold(one.room) + "\n" + fold(topic)
                        entries.append(Entry(one.room, topic, online, rule.presence, text))
                self._entries = sorted(entries, key=_order)
                ended = loop.time()
                self._stale = ended + max(FRESH, REST * (ended - began))
            return self._entries


def _order(entry: Entry) -> tuple[int, str]:
    return _key(entry.online, entry.room)


def _key(online: int, room: str) -> tuple[int, str]:
    return -online, room
