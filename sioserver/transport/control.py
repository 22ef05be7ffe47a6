"""Engine.IO's own packets (protocol v4): the types, and those packets that are not messages.

Made once, sent on either transport as messages are. Knows neither sessions nor when to send what.
"""

from __future__ import annotations

from typing import Final

from sioserver.transport.frames import Outgoing
from sioserver.websocket.frames import TEXT, frame

OPEN, CLOSE, PING, PONG, MESSAGE, _, NOOP = "0123456"


class Control(Outgoing):
    """An Engine.IO packet that is not a message."""

    __slots__ = ()

    def __init__(self, text: str) -> None:
        super().__init__([])
        self.frames = frame(TEXT, text.encode())
        self._payload = [text]


PING_PACKET: Final = Control(PING)
