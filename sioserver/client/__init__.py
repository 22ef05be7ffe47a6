"""`RoomClient`: a room for Python scripts, on python-socketio's client.

    async with RoomClient("http://127.0.0.1:8000", room="lobby", user="ann") as room:
        await room.send("hello")
        async for message in room:
            print(message)

It comes back by itself, loses nothing and delivers nothing twice, also when the server was killed.
`Session` tells of all rooms of a user. The package knows what travels (docs/protocol.md) and
nothing else of the server; but for `Publisher` and `SignedJSON`, which are for programs that reach
a cluster's Redis (docs/cluster-from-outside.md).
"""

from typing import TYPE_CHECKING, Any

from sioserver.client.identity import Token
from sioserver.client.inbox import Gap
from sioserver.client.link import Transport
from sioserver.client.payloads import Change, Changed, Hits, Member, Received, Sent
from sioserver.client.room import RoomClient, room_with
from sioserver.client.session import PublicRoom, RoomState, Session
from sioserver.client.signed import SignedJSON

if TYPE_CHECKING:
    from sioserver.client.publisher import Publisher

__all__ = [
    "Change",
    "Changed",
    "Gap",
    "Hits",
    "Member",
    "PublicRoom",
    "Publisher",
    "Received",
    "RoomClient",
    "RoomState",
    "Sent",
    "Session",
    "SignedJSON",
    "Token",
    "Transport",
    "room_with",
]


def __getattr__(name: str) -> Any:
    """Import on first use: a `RoomClient` needs nothing of Redis."""
    if name != "Publisher":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from sioserver.client.publisher import Publisher

    return Publisher
