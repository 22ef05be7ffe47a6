"""What the Socket.IO layer knows of an Engine.IO session; puts packets and attachments together.

Knows packets, but neither handlers nor rooms.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from sioserver.timers import Deadline, Wheel
from sioserver.transport import packet

ATTACHMENT_TIMEOUT: Final = 10.0
"""Seconds that the attachments of a packet may take."""

LEFT_NAMES: Final = 64
"""Namespaces of a connection whose late events are ignored after the server has ended them."""


class Connection:
    """The Socket.IO side of one Engine.IO session."""

    __slots__ = (
        "attachments_due",
        "barred",
        "connect_due",
        "gone",
        "left",
        "namespaces",
        "partial",
        "size",
    )

    def __init__(self) -> None:
        # joined, or about to be
        self.namespaces: set[str] = set()
        # ended lately; what the client sent before it knew is ignored
        self.left: dict[str, None] = {}
        self.gone = False
        # it is to be closed for what it sent; nothing of it is looked at any more
        self.barred = False
        # a packet whose attachments are still to come, and its bytes so far
        self.partial: Any = None
        self.size = 0
        self.attachments_due: Deadline | None = None
        # a client in no namespace does not stay
        self.connect_due: Deadline | None = None

    def leave(self, namespace: str) -> None:
        """The namespace has been left."""
        self.namespaces.discard(namespace)
        self.left.pop(namespace, None)  # the latest goes last
        self.left[namespace] = None
        if len(self.left) > LEFT_NAMES:
            del self.left[next(iter(self.left))]

    def complete(
        self,
        packet_class: Callable[..., Any],
        data: str | bytes,
        limit: int,
        wheel: Wheel,
        give_up: Callable[[], object],
    ) -> Any:
        """The packet that is complete with this piece, or None: attachments are to come.

        They may be `limit` bytes together; `give_up()` is called when they do not come. Raises
        ValueError, and what other serializers raise.
        """
        if self.partial is None:
            if not data:
                raise ValueError("an empty packet")
            received = packet_class(encoded_packet=data)
            if not isinstance(received, packet.Packet):
                packet.check(received)
            if received.attachment_count == 0:
                return received
            namespace = received.namespace or "/"
            if namespace not in self.namespaces and namespace not in self.left:
                raise ValueError("attachments for a namespace that was not joined")
            self.partial, self.size = received, len(data)
            self.attachments_due = wheel.after(ATTACHMENT_TIMEOUT, give_up)
            return None
        received = self.partial
        self.size += len(data)
        if self.size > limit:
            raise ValueError("attachments too large")
        if not received.add_attachment(data):
            return None
        self._forget_partial()
        return received

    def _forget_partial(self) -> None:
        self.partial = None
        if self.attachments_due is not None:
            self.attachments_due.cancel()
            self.attachments_due = None

    def release(self) -> None:
        """The session is over: nothing is waited for any more."""
        self._forget_partial()
        if self.connect_due is not None:
            self.connect_due.cancel()
            self.connect_due = None
