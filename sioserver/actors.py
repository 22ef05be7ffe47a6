"""Who asks for something in a room: a client that has joined it, or somebody who is not there.

`RoomService` asks the same questions about both. Values only; nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec

from sioserver.auth import Identity
from sioserver.engine.moderated import Rules
from sioserver.model import User


class Actor(Protocol):
    """What a request has to know of whoever makes it; `hub.Client` is one."""

    @property
    def id(self) -> str:
        """Of the connection; empty: there is none."""

    @property
    def room(self) -> str:
        """By its name inside."""

    @property
    def identity(self) -> Identity:
        """As it is proved at this moment."""

    @property
    def user(self) -> User:
        """Whose identity it is."""

    @property
    def address(self) -> str | None:
        """Under which it can be banned; see `hub.Client`."""


class Visitor(msgspec.Struct, frozen=True):
    """Somebody without a connection, for the length of one request: made by `Visitors.visit`,
    which has asked what a client is asked when it joins."""

    room: str
    identity: Identity
    address: str | None = None
    moderated: Mapping[str, Rules] = {}
    """What moderators have decided in the room, and everywhere, as it was when they came: nobody
    tells this node of rooms in which it has no clients."""
    id: str = ""

    @property
    def user(self) -> User:
        """See `Actor`."""
        return self.identity.user
