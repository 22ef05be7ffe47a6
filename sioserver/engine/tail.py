"""The newest entries of a room's log, without a hole, bounded by their number and their bytes.

Both engines answer from it what clients ask for most. Messages in it are as they are now: an
operation that comes is done to them. It does not know where the older ones are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from msgspec.structs import replace

from sioserver.engine.folding import folded
from sioserver.model import Message

TAIL_BYTES: Final = 2**20
"""Most bytes of encoded bodies that stay in memory of one room: 256 messages of 4 KiB. By their
count alone, messages of 64 KiB could be 32 MiB in each room; the rest is read from the store."""


class Tail:
    """Entries up to `top`."""

    __slots__ = ("ops", "sizes", "tail", "tail_bytes", "top")

    def __init__(self, top: int, tail: Sequence[Message] = (), sizes: Sequence[int] = ()) -> None:
        self.top = top
        self.tail = list(tail)
        """The newest entries without a hole, up to `top`."""
        self.sizes = list(sizes)
        """Bytes of their bodies and whatever else may be large, about."""
        self.tail_bytes = sum(self.sizes)
        self.ops = sum(entry.kind != "message" for entry in self.tail)
        """How many of them are operations."""

    def append(self, message: Message, size: int, cached: int) -> None:
        """Take the next entry, which takes `size` bytes; keep at least the `cached` newest,
        unless they are too big."""
        self.top = message.offset
        self.tail.append(message)
        self.sizes.append(size)
        self.tail_bytes += size
        if message.kind != "message":
            self.ops += 1
            self._fold(message, size)
        if len(self.tail) >= 2 * cached:  # seldom, because it moves the whole list
            self._cut(len(self.tail) - cached)
        if self.tail_bytes > TAIL_BYTES:
            count, left = 0, self.tail_bytes
            while left > TAIL_BYTES:
                left -= self.sizes[count]
                count += 1
            self._cut(count)

    def cut_before(self, first: int) -> None:
        """Keep nothing before `first`."""
        self._cut(min(len(self.tail), max(0, first - self._oldest())))

    def begin_at(self, top: int) -> None:
        """Keep nothing; the next entry is the one after `top`."""
        self.top = top
        self._cut(len(self.tail))

    def messages(self, start: int, end: int) -> list[Message] | None:
        """The entries [start, end), of every kind; None when not all of them are in memory."""
        if start >= end:
            return []
        oldest = self._oldest()
        return None if start < oldest else self.tail[start - oldest : end - oldest]

    def page(
        self, first: int, after: int | None, before: int | None, limit: int, *, ops: bool
    ) -> Stretch | None:
        """What `Log.history` answers with, of a log that begins with `first`; None when not all of
        it is in memory."""
        start, end = span(first, self.top, after, before, limit)
        if ops or (not self.ops and start >= self._oldest()):
            entries = self.messages(start, end)
            return None if entries is None else Stretch(entries, start, end)
        low, high = bounds(first, self.top, after, before)
        known = self.messages(max(low, self._oldest()), high)
        assert known is not None
        if after is not None:
            if low < high and low < self._oldest():
                return None
            found = [entry for entry in known if entry.kind == "message"][:limit]
            end = found[-1].offset + 1 if found and len(found) == limit else high
            return Stretch(found, low, end if limit else low)
        found = [entry for entry in known if entry.kind == "message"]
        found = found[max(0, len(found) - limit) :]
        if len(found) == limit:
            return Stretch(found, found[0].offset if found else high, high)
        return Stretch(found, low, high) if low >= self._oldest() else None

    def _fold(self, entry: Message, size: int) -> None:
        """Do an operation to its message, and to what was said of it before."""
        oldest = self._oldest()
        if entry.target >= oldest:
            index = entry.target - oldest
            message = self.tail[index] = folded(self.tail[index], entry)
            if entry.kind == "reaction":
                more = len(entry.emoji) + len(entry.user)
                self._resize(index, max(0, self.sizes[index] + (more if entry.on else -more)))
            else:
                self._resize(index, size)
            body = message.body
        else:
            body = entry.body
        if entry.kind == "reaction":
            return
        for index in range(max(0, entry.target + 1 - oldest), len(self.tail)):
            other = self.tail[index]
            if other.target == entry.target and other.kind == "edit":
                self.tail[index] = replace(other, body=body)
                self._resize(index, size)

    def _resize(self, index: int, size: int) -> None:
        self.tail_bytes += size - self.sizes[index]
        self.sizes[index] = size

    def _cut(self, count: int) -> None:
        self.tail_bytes -= sum(self.sizes[:count])
        if self.ops:
            self.ops -= sum(entry.kind != "message" for entry in self.tail[:count])
        del self.tail[:count]
        del self.sizes[:count]

    def _oldest(self) -> int:
        return self.top - len(self.tail) + 1


class Stretch(NamedTuple):
    """What `Page` is made of: see there."""

    messages: list[Message]
    start: int
    end: int


def bounds(first: int, top: int, after: int | None, before: int | None) -> tuple[int, int]:
    """The offsets [low, high) that a page may be of."""
    low = first if after is None else max(first, after + 1)
    high = top + 1 if before is None else min(top + 1, before)
    return low, max(low, high)


def span(
    first: int, top: int, after: int | None, before: int | None, limit: int
) -> tuple[int, int]:
    """The offsets [start, end) that `Log.history` answers with, where every entry counts."""
    low, high = bounds(first, top, after, before)
    if after is None:
        low = max(low, high - limit)
    return low, min(high, low + limit)
