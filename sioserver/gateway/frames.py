"""What goes out over a plain WebSocket: some messages, encoded once, for one client or thousands.

Pure: values to bytes. Knows no dialect.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sioserver.websocket.frames import BINARY, TEXT, frame


class Frames:
    """Satisfies `websocket.frames.Outgoing`."""

    __slots__ = ("_messages", "alone", "compressed", "frames")

    def __init__(self, messages: Iterable[str | bytes], *, alone: bool = False) -> None:
        """`alone`: it goes to one client only."""
        self._messages = [
            (TEXT, message.encode()) if isinstance(message, str) else (BINARY, message)
            for message in messages
        ]
        self.frames = b"".join(frame(*message) for message in self._messages)
        self.compressed: dict[int, Any] = {}
        self.alone = alone

    def messages(self) -> Iterator[tuple[int, bytes]]:
        """First byte of the frame and payload of each message."""
        return iter(self._messages)


NOTHING = Frames(())
"""An event that a dialect has no word for."""
