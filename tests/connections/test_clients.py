"""A client of a live connection, of no edge."""

from __future__ import annotations

from typing import Any

import pytest

from sioserver.auth import Identity
from sioserver.connections.clients import ConnectedClient
from sioserver.limits import NoBucket
from sioserver.model import User

from .somewhere import Somewhere

NOBODY: Any = None


def client() -> ConnectedClient:
    return Somewhere(Identity(User("ann", "Ann")), "hall", NOBODY, NoBucket())


def test_each_has_an_id_of_its_own_and_owes_nothing() -> None:
    one, other = client(), client()
    assert one.id != other.id
    assert (one.user.id, one.room, one.owed, one.expiry) == ("ann", "hall", 0.0, None)


def test_where_it_is_its_edge_knows() -> None:
    with pytest.raises(TypeError, match="beside, here"):
        ConnectedClient(Identity(User("ann", "Ann")), "hall", NOBODY, NoBucket())  # type: ignore[abstract]
