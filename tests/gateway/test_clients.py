"""A client of a plain WebSocket is here as long as its connection says so."""

from __future__ import annotations

from typing import Any

from sioserver.auth import Identity
from sioserver.gateway.clients import PlainClient
from sioserver.hub import Device
from sioserver.limits import NoBucket
from sioserver.model import User


class Session:
    def __init__(self) -> None:
        self.clients: dict[str, PlainClient] = {}
        self.device = Device()
        self.address = "192.0.2.1"


def test_here_and_beside() -> None:
    nobody: Any = None
    session: Any = Session()
    client = PlainClient(Identity(User("ann", "Ann")), "den", nobody, NoBucket(), session)
    assert not client.here
    session.clients["den"] = client
    assert client.here
    assert list(client.beside) == [client]
    assert (client.counted, client.number) == (False, 0)
    other = PlainClient(Identity(User("ann", "Ann")), "den", nobody, NoBucket(), session)
    assert not other.here
