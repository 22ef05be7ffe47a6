"""What goes out: a Socket.IO packet encoded once, in every form a transport may need.

Pure: values to bytes. Engine.IO protocol v4 (message packets and payloads). Knows no connection.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any, Final

from sioserver.websocket.frames import BINARY, TEXT, frame

SEPARATOR: Final = "\x1e"

PING: Final = b"\x81\x012"
"""A WebSocket text frame with the Engine.IO packet PING."""


class Outgoing:
    """A Socket.IO packet on its way to one client or to thousands.

    `parts` is what a Socket.IO packet encodes to: a text, followed by its binary attachments; or a
    single binary (other serializers). Each form is made at most once, when it is first needed.
    """

    __slots__ = ("_payload", "alone", "compressed", "frames", "parts")

    frames: bytes
    """All its WebSocket frames, one behind the other."""

    compressed: dict[int, Any]
    """The same compressed, by the size of the window (websocket/deflating.py)."""

    def __init__(self, parts: list[str | bytes]) -> None:
        self.parts = parts
        self.alone = False
        """Goes to one client only: it may be compressed in a way that suits nobody else."""
        self._payload: list[str] | None = None

    def __getattr__(self, name: str) -> Any:
        # Only called for what is not there yet. A property would be called by each delivery.
        if name == "frames":
            if len(self.parts) == 1 and isinstance(text := self.parts[0], str):
                self.frames = frame(TEXT, b"4" + text.encode())  # as nearly all are
            else:
                self.frames = b"".join(frame(*message) for message in self.messages())
            return self.frames
        if name == "compressed":
            self.compressed = {}
            return self.compressed
        raise AttributeError(name)

    def messages(self) -> Iterator[tuple[int, bytes]]:
        """First byte and payload of each of its WebSocket messages."""
        for part in self.parts:
            yield (TEXT, b"4" + part.encode()) if isinstance(part, str) else (BINARY, part)

    @property
    def packets(self) -> list[str]:
        """Its Engine.IO packets as they stand in a polling payload."""
        if self._payload is None:
            self._payload = [
                "4" + part if isinstance(part, str) else "b" + base64.b64encode(part).decode()
                for part in self.parts
            ]
        return self._payload
