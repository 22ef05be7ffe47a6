"""The newest messages of a room, without a hole, bounded by their number and their bytes.

Both engines answer from it what clients ask for most. It does not know where the older ones are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sioserver.model import Message

TAIL_BYTES: Final = 2**20
"""Most bytes of encoded bodies that stay in memory of one room: 256 messages of 4 KiB. By their
count alone, messages of 64 KiB could be 32 MiB in each room; the rest is read from the store."""


class Tail:
    """Messages up to `top`."""

    __slots__ = ("sizes", "tail", "tail_bytes", "top")

    def __init__(self, top: int, tail: Sequence[Message] = (), sizes: Sequence[int] = ()) -> None:
        self.top = top
        self.tail = list(tail)
        """The newest messages without a hole, up to `top`."""
        self.sizes = list(sizes)
        """Bytes of their bodies, encoded."""
        self.tail_bytes = sum(self.sizes)

    def append(self, message: Message, size: int, cached: int) -> None:
        """Take the next message, whose body has `size` bytes; keep at least the `cached` newest,
        unless they are too big."""
        self.top = message.offset
        self.tail.append(message)
        self.sizes.append(size)
        self.tail_bytes += size
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
        """Keep nothing; the next message is the one after `top`."""
        self.top = top
        self._cut(len(self.tail))

    def messages(self, start: int, end: int) -> list[Message] | None:
        """The messages [start, end); None when not all of them are in memory."""
        if start >= end:
            return []
        oldest = self._oldest()
        return None if start < oldest else self.tail[start - oldest : end - oldest]

    def _cut(self, count: int) -> None:
        self.tail_bytes -= sum(self.sizes[:count])
        del self.tail[:count]
        del self.sizes[:count]

    def _oldest(self) -> int:
        return self.top - len(self.tail) + 1


def span(
    first: int, top: int, after: int | None, before: int | None, limit: int
) -> tuple[int, int]:
    """The offsets [start, end) that `Log.history` answers with."""
    low = first if after is None else max(first, after + 1)
    high = top + 1 if before is None else min(top + 1, before)
    if after is None:
        low = max(low, high - limit)
    return low, max(low, min(high, low + limit))
