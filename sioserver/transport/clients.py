"""What the rooms know of an Engine.IO session and of the clients in it: data, no behaviour."""

from __future__ import annotations

from sioserver.auth import Identity
from sioserver.hub import Client, Outbox
from sioserver.ids import random_id
from sioserver.limits import Allowance, Bucket, NoAllowance
from sioserver.transport.server import Connection
from sioserver.transport.session import Session
from sioserver.transport.timers import Deadline


class RoomClient(Client):
    """A client that is reached over Socket.IO: in a room (then the hub knows it too), or in the
    session room."""

    __slots__ = ("bucket", "connection", "expiry", "namespace", "owed", "session", "sid")

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
        super().__init__(random_id(16), identity, room, outbox)
        # of the user's events, shared by all connections
        self.bucket = bucket
        # events that have not been taken from it yet
        self.owed = 0.0
        self.session = session
        self.connection = connection
        self.namespace = namespace
        # empty until it is let in
        self.sid = ""
        # the notice before the token's end, or the end
        self.expiry: Deadline | None = None

    @property
    def here(self) -> bool:
        """It has not left, nor been made to."""
        return self.connection.clients.get(self.namespace) is self


class RoomConnection(Connection):
    """What the rooms know of an Engine.IO session."""

    __slots__ = (
        "allowance",
        "clients",
        "confirming",
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
