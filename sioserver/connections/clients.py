"""A client of a live connection: what its requests cost, when its token ends, who is beside it.

Data, and two questions that each edge answers in its own way. It sends nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from typing import Any

from sioserver.auth import Identity
from sioserver.hub import Client, Device, Outbox
from sioserver.ids import random_id
from sioserver.limits import Bucket
from sioserver.timers import Deadline


class ConnectedClient(Client, ABC):
    """A client that is reached over a live connection: in a room (then the hub knows it too), or
    in the session room."""

    __slots__ = ("bucket", "expiry", "owed", "session")

    session: Any
    """The connection, as its edge knows it; see `catchup.Session`."""

    def __init__(
        self,
        identity: Identity,
        room: str,
        outbox: Outbox,
        bucket: Bucket,
        device: Device | None = None,
    ) -> None:
        super().__init__(random_id(16), identity, room, outbox, device)
        # of the user's events, shared by all connections
        self.bucket = bucket
        # events that have not been taken from it yet
        self.owed = 0.0
        # the notice before the token's end, or the end
        self.expiry: Deadline | None = None

    @property
    @abstractmethod
    def here(self) -> bool:
        """It has not left, nor been made to."""

    @property
    @abstractmethod
    def beside(self) -> Collection[ConnectedClient]:
        """All clients of its connection, itself too while it is here."""
