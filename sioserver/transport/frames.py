"""What goes out: a Socket.IO packet encoded once, in every form a transport may need.

Pure: values to bytes. Engine.IO protocol v4 (message packets and payloads), RFC 6455 section 5.2
(server frames are not masked). Knows no connection.
"""

from __future__ import annotations

import base64
from typing import Final

TEXT: Final = 0x81
BINARY: Final = 0x82
SEPARATOR: Final = "\x1e"

PING: Final = b"\x81\x012"
"""A WebSocket text frame with the Engine.IO packet PING."""


def frame(opcode: int, payload: bytes) -> bytes:
    """A whole, unmasked WebSocket frame. `opcode` includes the FIN bit (`TEXT`, `BINARY`)."""
    size = len(payload)
    if size < 126:
        return bytes((opcode, size)) + payload
    if size < 65536:
        return bytes((opcode, 126)) + size.to_bytes(2, "big") + payload
    return bytes((opcode, 127)) + size.to_bytes(8, "big") + payload


class Outgoing:
    """A Socket.IO packet on its way to one client or to thousands.

    `parts` is what a Socket.IO packet encodes to: a text, followed by its binary attachments; or a
    single binary (other serializers). Each form is made at most once, when it is first needed.
    """

    __slots__ = ("_payload", "frames", "parts")

    frames: bytes
    """All its WebSocket frames, one behind the other."""

    def __init__(self, parts: list[str | bytes]) -> None:
        self.parts = parts
        self._payload: list[str] | None = None

    def __getattr__(self, name: str) -> bytes:
        # Only called for what is not there yet. A property would be called by each delivery.
        if name != "frames":
            raise AttributeError(name)
        if len(self.parts) == 1 and isinstance(part := self.parts[0], str):
            self.frames = frame(TEXT, b"4" + part.encode())
        else:
            self.frames = b"".join(
                frame(TEXT, b"4" + part.encode()) if isinstance(part, str) else frame(BINARY, part)
                for part in self.parts
            )
        return self.frames

    @property
    def packets(self) -> list[str]:
        """Its Engine.IO packets as they stand in a polling payload."""
        if self._payload is None:
            self._payload = [
                "4" + part if isinstance(part, str) else "b" + base64.b64encode(part).decode()
                for part in self.parts
            ]
        return self._payload
