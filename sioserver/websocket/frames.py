"""WebSocket frames as a server sends them (RFC 6455, 5.2): not masked.

Pure: values to bytes. Knows no connection.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Protocol

TEXT: Final = 0x81
BINARY: Final = 0x82
RSV1: Final = 0x40
"""The bit that says that a message is compressed (RFC 7692, 6)."""


def frame(opcode: int, payload: bytes) -> bytes:
    """A whole, unmasked WebSocket frame. `opcode` includes the FIN bit (`TEXT`, `BINARY`)."""
    size = len(payload)
    if size < 126:
        return bytes((opcode, size)) + payload
    if size < 65536:
        return bytes((opcode, 126)) + size.to_bytes(2, "big") + payload
    return bytes((opcode, 127)) + size.to_bytes(8, "big") + payload


class Outgoing(Protocol):
    """What an edge writes: messages made once, for one client or for thousands."""

    frames: bytes
    """All its frames, one behind the other."""

    compressed: dict[int, Any]
    """The same compressed, by the size of the window; empty at first (deflating.py)."""

    alone: bool
    """Goes to one client only: it may be compressed in a way that suits nobody else."""

    def messages(self) -> Iterator[tuple[int, bytes]]:
        """First byte of the frame and payload of each message."""
