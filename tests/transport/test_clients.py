"""Clients and connections as the rooms know them."""

from __future__ import annotations

from typing import Any

from sioserver.auth import Identity
from sioserver.limits import NoAllowance, NoBucket
from sioserver.model import User
from sioserver.transport.clients import RoomClient, RoomConnection


def client_of(connection: RoomConnection, namespace: str = "/") -> RoomClient:
    nobody: Any = None
    identity, bucket = Identity(User("a", "A")), NoBucket()
    return RoomClient(identity, "lobby", nobody, nobody, connection, namespace, bucket)


def test_a_client_is_here_while_its_connection_has_it() -> None:
    connection = RoomConnection(NoAllowance(), None)
    client, other = client_of(connection), client_of(connection, "/lobby")
    assert not client.here
    connection.clients["/"] = client
    assert client.here
    assert not other.here
    connection.clients["/"] = client_of(connection)  # another one under the same name
    assert not client.here


def test_ids_are_not_shared() -> None:
    connection = RoomConnection(NoAllowance(), None)
    assert len({client_of(connection).id for _ in range(100)}) == 100
    assert len({RoomConnection(NoAllowance(), None).made_up for _ in range(100)}) == 100


def test_they_are_small() -> None:
    """One for each connection there is."""
    connection = RoomConnection(NoAllowance(), "token")
    assert not hasattr(connection, "__dict__")
    assert not hasattr(client_of(connection), "__dict__")
