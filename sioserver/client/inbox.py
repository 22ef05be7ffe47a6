"""What has arrived and waits for the application: in order, each entry once, bounded.

What does not fit, or was missed, is a `Hole` until somebody fills it from the room's history; what
is not there either is a `Gap`. Values only: it must not know of connections, tasks or events.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from sioserver.client.payloads import Change
from sioserver.model import Message, Position

Entry = Message | Change
"""What the room's log consists of."""


@dataclass(frozen=True, slots=True)
class Gap:
    """The entries `first` to `last` are gone for good. From 0: the room's log began anew."""

    first: int
    last: int


@dataclass(slots=True, eq=False)
class Hole:
    """Entries that are to be fetched from the history."""

    first: int
    last: int
    epoch: str
    gone: int = -1
    """The history has nothing up to here."""
    page: deque[Entry] = field(default_factory=deque)

    def fill(self, entries: list[Entry], top: Position) -> None:
        """A page of the history, from `first` on; `top` is where the log ended then."""
        if top.epoch != self.epoch or top.offset < self.first:
            self.give_up()
            return
        if not entries:
            self.gone = max(self.gone, top.offset)
        self.page.extend(entries)

    def give_up(self) -> None:
        """The history is not to be asked for these any more."""
        self.gone = self.last

    def take(self) -> Entry | Gap | None:
        """The next of them; None when the history has to be asked first."""
        gone = max(self.gone, self.page[0].offset - 1) if self.page else self.gone
        if self.first <= gone:
            gap = Gap(self.first, min(gone, self.last))
            self.first = gap.last + 1
            return gap
        if not self.page:
            return None
        self.first += 1
        return self.page.popleft()


class Inbox:
    """Entries in order, each once, at most `limit` of them: what comes on top leaves a hole."""

    def __init__(self, limit: int, begins: Position | None) -> None:
        self.received = begins
        """Everything up to here has arrived, or is known to be missing."""
        self.taken = begins
        """Everything up to here has been taken."""
        self._limit = limit
        self._items: deque[tuple[Entry | Gap | Hole, Position]] = deque()

    def __len__(self) -> int:
        return len(self._items)

    def begin(self, position: Position) -> None:
        """Where delivery begins, unless that is known."""
        if self.received is None:
            self.received = self.taken = position

    def entry(self, entry: Entry, after: Position) -> None:
        """An entry has come, and `after` is the position after it."""
        known = self.received
        assert known is not None
        same_log = after.epoch == known.epoch
        if same_log and after.offset <= known.offset:
            return  # had it
        if not same_log or after.offset > known.offset + 1:  # the server should have said so
            first, last = known.offset + 1 if same_log else 0, after.offset - 1
            self.gap(first, last, Position(after.epoch, last))
        if len(self) < self._limit:
            self._add(entry, after)
        else:
            self._add(Hole(after.offset, after.offset, after.epoch), after)

    def gap(self, first: int, last: int, after: Position) -> None:
        """The server will not send `first` to `last` by itself, and goes on after `after`."""
        known = self.received
        if known is not None and after == Position(known.epoch, last):
            self._add(Hole(first, last, after.epoch), after)
            return
        # the log began anew, or lost its end: the history has other entries there now
        for old, _ in self._items:
            if isinstance(old, Hole):
                old.give_up()
        self._add(Gap(first, last), after)

    def take(self) -> Entry | Gap | Hole | None:
        """The next one; a hole has to be filled, and stays until it is empty."""
        if not self._items:
            return None
        item, after = self._items[0]
        if not isinstance(item, Hole):
            self._items.popleft()
            self.taken = after
            return item
        found = item.take()
        if found is None:
            return item
        if item.first > item.last:
            self._items.popleft()
        self.taken = Position(item.epoch, item.first - 1)
        return found

    def _add(self, item: Entry | Gap | Hole, after: Position) -> None:
        end = self._items[-1][0] if self._items else None
        if isinstance(end, Hole) and isinstance(item, Hole):
            end.last = item.last
        else:
            self._items.append((item, after))
        self.received = after
