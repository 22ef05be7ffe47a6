"""What the server tells without being asked.

Only types: what is told is built by `wire.events`.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType

from sioserver.protocol.shapes import (
    Count,
    Emoji,
    MessageId,
    Milliseconds,
    Name,
    Offset,
    Permission,
    Person,
    Position,
    Room,
    RoomSettings,
    RoomState,
    Seconds,
    Shape,
    State,
    UserId,
)


class Welcome(RoomSettings, frozen=True):
    """The first event after every connect."""

    room: Room
    user: UserId
    name: Name
    online: Count
    total: Count
    position: Annotated[Position, Meta(description="The newest of the room's log.")]
    recovered: Annotated[bool, Meta(description="Nothing is missing, and the session is the old.")]
    unread: Count
    read: Annotated[Offset, Meta(description="Everything up to here was read.")]
    permissions: list[Permission]
    state: Annotated[State, Meta(description="What this device is taken for.")]
    peer: Annotated[Person, Meta(description="The other user, in a room of two.")] | UnsetType = (
        UNSET
    )


class SessionWelcome(Person, frozen=True):
    """The first event of the session room."""

    rooms: list[RoomState]


class RoomLeft(Shape, frozen=True):
    """The user is a member of this room no longer."""

    room: Room


class _OnMessage(Shape, frozen=True):
    """What a user has done to a message."""

    id: Annotated[MessageId, Meta(description="The message's.")]
    offset: Annotated[Offset, Meta(description="The message's.")]
    user: UserId
    name: Name
    at: Milliseconds


class Edit(_OnMessage, frozen=True):
    """A message says something else now."""

    body: Annotated[Any, Meta(description="As of a message; null when it was deleted since.")]


class Delete(_OnMessage, frozen=True):
    """A message has no body any more."""


class Reaction(_OnMessage, frozen=True):
    """A user has reacted to a message, or has taken that back."""

    emoji: Emoji
    on: bool
    count: Annotated[Count, Meta(description="Users who have this emoji on the message now.")]


class Gap(Shape, frozen=True, rename={"first": "from", "last": "to"}):
    """These messages were not delivered."""

    first: Offset
    last: Offset


class Presence(Shape, frozen=True):
    """Who came and who left, since the last."""

    online: Count
    total: Count
    joined: list[Person]
    left: list[Person]
    away: Annotated[list[Person], Meta(description="Who uses no device now.")] | UnsetType = UNSET
    back: Annotated[list[Person], Meta(description="Who was away.")] | UnsetType = UNSET


class Typing(Person, frozen=True):
    """Somebody began or stopped typing."""

    on: bool


class Read(Person, frozen=True):
    """Somebody has read up to an offset."""

    offset: Offset


class Notice(Shape, frozen=True):
    """Something about the client's own connection."""

    code: str
    message: str
    event: (
        Annotated[Any, Meta(description="The name of the event that was refused.")] | UnsetType
    ) = UNSET
    expires_in: Seconds | UnsetType = UNSET
    retry_after: Annotated[Seconds, Meta(description="Of a mute.")] | UnsetType = UNSET
    number: Annotated[int, Meta(description="Of a disconnect.")] | UnsetType = UNSET
    reconnect: Annotated[bool, Meta(description="May it come back by itself?")] | UnsetType = UNSET
