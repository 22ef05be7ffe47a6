"""What the Redis engine knows of one watched room: what was announced, and what came too early.

Plain data that is told what arrived and what a check of the log answered; it announces in order,
and says where something is missing. It knows no connection, no timer and no script.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Protocol

from sioserver.engine.redis_entries import opening
from sioserver.engine.redis_keys import RoomKeys
from sioserver.engine.tail import TAIL_BYTES, Tail
from sioserver.model import Message, Position

EARLY: Final = 512
"""Most messages of a room that wait for one before them; the log has what is not kept."""


class Announcer(Protocol):
    """Who is told. Must not raise."""

    def message(self, room: str, epoch: str, message: Message) -> None: ...

    def gap(self, room: str, after: Position) -> None: ...


class Room(Tail):
    """A watched room. `top` is the last offset that was announced, or lies behind a gap."""

    __slots__ = (
        "_announcer",
        "_cached",
        "_early",
        "_early_bytes",
        "_known",
        "_newest",
        "base",
        "checking",
        "doubts",
        "epoch",
        "first",
        "keys",
        "name",
        "number",
        "queued",
        "raw_epoch",
        "rule",
        "settled",
        "trimming",
        "waiters",
    )

    def __init__(self, name: str, keys: RoomKeys, announcer: Announcer, cached: int) -> None:
        """`cached`: messages kept in memory at the least."""
        super().__init__(0)
        self.name = name
        self.keys = keys
        self._announcer = announcer
        self._cached = cached
        self.epoch = ""
        """Empty until the log was looked at: only then it is known where announcing begins."""
        self.raw_epoch = b""
        self.base = 0
        """Announcing began behind this offset."""
        self.first = 1
        """The oldest offset that the log held, when it was last seen."""
        self.number = 0
        """How many messages, not operations, there were up to the top."""
        self._known = 0
        self._newest: Message | None = None
        """The last one that was announced."""
        self._early: dict[int, tuple[Message, int]] = {}
        self._early_bytes = 0
        self.rule: tuple[int, float] | None = None
        """(history_length, history_age in seconds), as far as told."""
        # Kept here by whoever checks the room.
        self.doubts = self.settled = 0
        self.checking = 0
        self.queued = self.trimming = False
        self.waiters: list[Any] = []

    @property
    def is_whole(self) -> bool:
        """It is known where the log stands, and nothing that was given is missing here."""
        return self._known <= self.top and self.doubts == self.settled and self.epoch != ""

    @property
    def known(self) -> int:
        """The highest offset that is known to have been given."""
        return max(self._known, self.top)

    @property
    def has_hole(self) -> bool:
        """Something is known to have been published that was not announced yet."""
        return self._known > self.top

    def offer(self, message: Message, size: int) -> bool:
        """A message of this epoch arrived, whose body has `size` bytes. It is announced when its
        turn has come. True when something before it is missing."""
        offset = message.offset
        if offset == self.top + 1:
            self._take(message, size)
            if self._early:
                self._drain()
            return self._known > self.top
        if offset > self.top:
            self.note(offset)
            if (
                offset not in self._early
                and len(self._early) < EARLY
                and self._early_bytes + size <= TAIL_BYTES
            ):
                self._early[offset] = (message, size)
                self._early_bytes += size
            return True
        return False

    def note(self, offset: int) -> None:
        """The offset was given in this epoch."""
        if offset > self._known:
            self._known = offset

    def place(self, epoch: str, top: int, first: int) -> None:
        """Announcing begins behind `top`."""
        self.epoch, self.raw_epoch = epoch, epoch.encode()
        self.begin_at(top)
        self.base, self.first = top, first
        self._known = 0
        self._early.clear()
        self._early_bytes = 0

    def settle(
        self,
        epoch: str,
        top: int,
        first: int,
        found: Iterable[tuple[Message, int]],
        *,
        all: bool,
        begin: int,
        number: int,
    ) -> None:
        """The log was looked at. `found`: messages after the room's top, ascending, with the bytes
        of each; `all`: they are all there are up to `top`, and what is missing is lost. `begin`:
        what lies behind it is news, if this is another log than the room's; `number`: messages,
        not operations, up to the top."""
        if epoch != self.epoch:
            is_new = self.epoch == ""
            if is_new:
                begin = top
            self.place(epoch, begin, first)
            self.number = number
            if not is_new:
                self.note(top)
                self._announcer.gap(self.name, Position(epoch, begin))
            return
        for message, size in found:
            if message.offset > self.top:
                self._pass(message.offset - 1)
            if message.offset > self.top:
                self._take(message, size)
        if all:
            self._pass(top)
            if self.top == top:
                self.number = number
        if self._early:
            self._drain()
        self.drop_before(first)

    def drop_before(self, first: int) -> None:
        """The log holds nothing before `first` any more."""
        if first > self.first:
            self.first = first
            self.cut_before(first)

    def opening(self) -> bytes:
        """How the message at the top begins; empty when it is not known here."""
        newest = self._newest
        return opening(newest) if newest is not None and newest.offset == self.top else b""

    def _take(self, message: Message, size: int) -> None:
        self._newest = message
        self.number = message.number
        self.append(message, size, self._cached)
        if self.rule is not None and self.rule[0] == 0:
            self.begin_at(message.offset)
            self.first = message.offset + 1
        self._announcer.message(self.name, self.epoch, message)

    def _drain(self) -> None:
        """Announce what waited for what has come now."""
        early = self._early
        while True:
            found = early.pop(self.top + 1, None)
            if found is None:
                break
            self._early_bytes -= found[1]
            self._take(*found)
        if early and self._known <= self.top:
            early.clear()  # what came twice
            self._early_bytes = 0

    def _pass(self, end: int) -> None:
        """Nothing more can be had up to `end`: announce what waits here, say what is missing."""
        while self.top < end:
            if self.top + 1 in self._early:
                self._drain()
                continue
            waiting = min((n for n in self._early if self.top < n <= end), default=end + 1)
            self.begin_at(waiting - 1)
            self._announcer.gap(self.name, Position(self.epoch, waiting - 1))
