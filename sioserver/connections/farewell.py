"""How clients are ended: which endings wait, and the close frame of a WebSocket."""

from __future__ import annotations

from typing import Final

from sioserver.errors import DISCONNECTS
from sioserver.websocket.connection import GOING_AWAY, OK

AT_ONCE: Final = ("token_revoked", "kicked", "banned")
"""Endings of clients that do not wait for what the clients sent before."""


def close_frame(code: str) -> tuple[int, bytes]:
    """`code`: a key of the table of disconnects, whose number it is; 1000 where the client left,
    1001 (as RFC 6455, 7.4.1 has it) where the node stops."""
    if code not in DISCONNECTS or code == "left":
        return OK, b""
    ending = DISCONNECTS[code]
    return (GOING_AWAY if code == "shutdown" else ending.number), ending.reason.encode()
