"""`RoomClient`: a room for Python scripts, on python-socketio's client.

    async with RoomClient("http://127.0.0.1:8000", room="lobby", user="ann") as room:
        await room.send("hello")
        async for message in room:
            print(message)

It comes back by itself, loses nothing and delivers nothing twice, also when the server was killed.
The package knows what travels (docs/protocol.md) and nothing else of the server.
"""

from sioserver.client.identity import Token
from sioserver.client.inbox import Gap
from sioserver.client.link import Transport
from sioserver.client.room import RoomClient, Sent

__all__ = ["Gap", "RoomClient", "Sent", "Token", "Transport"]
