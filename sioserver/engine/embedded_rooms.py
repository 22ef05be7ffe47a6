"""The rooms that the embedded engine has in memory: newest entries, ends of the log, members.

A room is fetched when it is first needed, once however many ask, and let go when nobody here needs
it and enough others were used since. It does not know where rooms are fetched from.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from functools import partial

from sioserver.engine.embedded_pages import Loaded
from sioserver.engine.tail import Tail
from sioserver.errors import Refusal
from sioserver.model import Message


class Room(Tail):
    """A room as of the last result that was handed out."""

    __slots__ = ("first", "members", "number", "oldest", "stored")

    def __init__(self, loaded: Loaded) -> None:
        super().__init__(loaded.top, loaded.tail, loaded.sizes)
        self.first = loaded.first
        """The first offset that is shown; what lies before it is deleted sooner or later."""
        self.stored = loaded.first
        """The first offset that the table still holds."""
        self.oldest = loaded.oldest
        """Milliseconds since 1970 of the message at `first`, or earlier."""
        self.members = loaded.members
        """How many there are."""
        self.number = loaded.number
        """How many of the entries up to `top` were messages."""

    def append(self, message: Message, size: int, cached: int) -> None:
        """See `Tail.append`."""
        if self.first == message.offset:
            self.oldest = message.at
        self.number = message.number
        super().append(message, size, cached)

    def drop_before(self, first: int) -> None:
        """Nothing before `first` is shown any more."""
        if first <= self.first:
            return
        self.first = first
        self.cut_before(first)
        if self.tail and self._oldest() == first:
            self.oldest = self.tail[0].at

    def is_due(self, length: int, age: float, now: int) -> bool:
        """May there be something that need not be kept? `age`: seconds; `now`: milliseconds."""
        if self.first > self.top:
            return False
        too_long = self.top - self.first + 1 > length
        return too_long or bool(age and self.oldest < now - age * 1000)


Fetch = Callable[[str, Callable[[Loaded], None], Callable[[Refusal], None]], None]
"""Fetch a room by its name, then call one of the two. Raises Refusal when it cannot begin."""


class RoomCache:
    """The rooms in memory, by name."""

    def __init__(self, fetch: Fetch, needed: Callable[[str], bool], *, idle: int) -> None:
        """`needed`: must the room stay? `idle`: how many others may stay."""
        self._fetch = fetch
        self._needed = needed
        self._idle_bound = idle
        self._rooms: dict[str, Room] = {}
        self._idle: OrderedDict[str, None] = OrderedDict()  # the first goes first
        self._waiters: dict[str, list[asyncio.Future[Room]]] = {}

    def __len__(self) -> int:
        return len(self._rooms)

    @property
    def tail_bytes(self) -> int:
        """Bytes of the encoded bodies of all messages in memory."""
        return sum(room.tail_bytes for room in self._rooms.values())

    def get(self, name: str) -> Room | None:
        """The room, if it is in memory."""
        return self._rooms.get(name)

    async def need(self, name: str) -> Room:
        """The room, fetched if need be; raises Refusal."""
        room = self._rooms.get(name)
        if room is not None:
            if name in self._idle:
                self._idle.move_to_end(name)
            return room
        waiters = self._waiters.get(name)
        if waiters is None:
            self._fetch(name, partial(self._fetched, name), partial(self._failed, name))
            waiters = self._waiters[name] = []
        waiter: asyncio.Future[Room] = asyncio.get_running_loop().create_future()
        waiters.append(waiter)
        return await waiter

    def trimmed(self, name: str, first: int) -> None:
        """The store holds nothing of the room before this offset any more."""
        room = self._rooms.get(name)
        if room is not None:
            room.stored = first
            room.drop_before(first)

    def review(self, name: str) -> None:
        """Whether the room is needed may have changed."""
        if name not in self._rooms:
            return
        self._idle.pop(name, None)
        if self._needed(name):
            return
        self._idle[name] = None
        while len(self._idle) > self._idle_bound:
            oldest, _ = self._idle.popitem(last=False)
            del self._rooms[oldest]

    def _fetched(self, name: str, loaded: Loaded) -> None:
        room = self._rooms[name] = Room(loaded)
        for waiter in self._waiters.pop(name):
            if not waiter.done():
                waiter.set_result(room)
        self.review(name)

    def _failed(self, name: str, reason: Refusal) -> None:
        for waiter in self._waiters.pop(name):
            if not waiter.done():
                waiter.set_exception(Refusal(reason.code, retry_after=reason.retry_after))
