"""A client that is reached over a plain WebSocket: data, no behaviour."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from sioserver.auth import Identity
from sioserver.connections.clients import ConnectedClient
from sioserver.hub import Outbox
from sioserver.limits import Bucket

if TYPE_CHECKING:
    from sioserver.gateway.connection import PlainConnection


class PlainClient(ConnectedClient):
    """In a room, in its user's session room, or in the anteroom."""

    __slots__ = ("counted", "number")

    session: PlainConnection

    def __init__(
        self,
        identity: Identity,
        room: str,
        outbox: Outbox,
        bucket: Bucket,
        session: PlainConnection,
    ) -> None:
        super().__init__(identity, room, outbox, bucket, session.device)
        self.address = session.address
        self.session = session
        # among the clients of the metrics
        self.counted = False
        # who has a higher one came in later, on this node
        self.number = 0

    @property
    def here(self) -> bool:
        """It has not left, nor been made to."""
        return self.session.clients.get(self.room) is self

    @property
    def beside(self) -> Collection[PlainClient]:
        """All clients of its connection, itself too while it is here."""
        return self.session.clients.values()
