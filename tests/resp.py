"""Redis' protocol as far as a fault needs it: replies told apart, messages of pub/sub dropped.

The bytes of a reply stay as they are; nothing is decoded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

MESSAGE: Final = (b"*3\r\n$7\r\nmessage\r\n", b"*3\r\n$8\r\nsmessage\r\n")


def end_of_reply(data: bytes, at: int = 0) -> int | None:
    """Where the reply ends that begins at `at`; None: it is not all there yet."""
    left = 1
    while left:
        line = data.find(b"\r\n", at)
        if line < 0:
            return None
        kind, after = data[at : at + 1], line + 2
        if kind in (b"$", b"*"):
            size = int(data[at + 1 : line])
            if kind == b"*":
                left += max(0, size)
            elif size >= 0:
                after += size + 2
                if after > len(data):
                    return None
        elif kind not in (b"+", b"-", b":"):
            raise ValueError(f"not a reply: {data[at : at + 20]!r}")
        at, left = after, left - 1
    return at


class Dropper:
    """Leaves out one of `each` messages of pub/sub on channels that contain `where`; counts them.

    Called for each connection; the count goes on over all of them.
    """

    def __init__(self, each: int, where: bytes) -> None:
        self.each = each
        self.where = where
        self.seen = 0
        self.dropped = 0

    def __call__(self) -> Callable[[bytes], bytes]:
        waiting = b""

        def rewrite(data: bytes) -> bytes:
            nonlocal waiting
            data, at, kept = waiting + data, 0, []
            while (end := end_of_reply(data, at)) is not None:
                reply = data[at:end]
                if not self._drops(reply):
                    kept.append(reply)
                at = end
            waiting = data[at:]
            return b"".join(kept)

        return rewrite

    def _drops(self, reply: bytes) -> bool:
        if not reply.startswith(MESSAGE) or self.where not in reply.split(b"\r\n", 5)[4]:
            return False
        self.seen += 1
        if self.seen % self.each:
            return False
        self.dropped += 1
        return True
