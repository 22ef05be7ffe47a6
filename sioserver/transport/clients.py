"""What the rooms know of an Engine.IO session and of the clients in it: data, no behaviour."""

from __future__ import annotations

from collections.abc import Collection

from sioserver.auth import Identity
from sioserver.connections.clients import ConnectedClient
from sioserver.hub import Device, Outbox
from sioserver.ids import random_id
from sioserver.limits import Allowance, Bucket, NoAllowance
from sioserver.transport.server import Connection
from sioserver.transport.session import Session


class RoomClient(ConnectedClient):
    """A client that is reached over Socket.IO: in a room (then the hub knows it too), or in the
    session room."""

    __slots__ = ("connection", "namespace", "sid")

    session: Session

    def __init__(
        self,
        identity: Identity,
        room: str,
        outbox: Outbox,
        session: Session,
        connection: RoomConnection,
        namespace: str,
        bucket: Bucket,
    ) -> None:
        super().__init__(identity, room, outbox, bucket, connection.device)
        self.session = session
        self.connection = connection
        self.namespace = namespace
        # empty until it is let in
        self.sid = ""

    @property
    def here(self) -> bool:
        """It has not left, nor been made to."""
        return self.connection.clients.get(self.namespace) is self

    @property
    def beside(self) -> Collection[RoomClient]:
        """All clients of its connection, itself too while it is here."""
        return self.connection.clients.values()


class RoomConnection(Connection):
    """What the rooms know of an Engine.IO session."""

    __slots__ = (
        "allowance",
        "clients",
        "confirming",
        "device",
        "made_up",
        "pinged",
        "subject",
        "token",
        "transport",
    )

    def __init__(self, allowance: Allowance | NoAllowance, token: str | None) -> None:
        super().__init__()
        # by namespace, from the join on
        self.clients: dict[str, RoomClient] = {}
        self.device = Device()
        self.allowance = allowance
        # a token from the Authorization header (or the address, where that is allowed)
        self.token = token
        # a guest is the same in all rooms of a connection, an authenticated user has to be
        self.made_up = random_id(12)
        self.subject: str | None = None
        # a ping that proves what has arrived: when the last was sent, is one under way
        self.pinged = 0.0
        self.confirming = False
        # under which name it is counted; empty: not yet, or no longer
        self.transport = ""
