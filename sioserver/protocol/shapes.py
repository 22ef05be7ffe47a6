"""What is on the wire in more than one place: kinds of values, and what is told of people, messages
and rooms.

Fields that are left out where they do not apply have the default `UNSET`. Descriptions are for
whoever writes a client. Nothing here checks what a client sends, and nothing is decided here. What
comes with requests, answers or events only is in the modules of these names.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

UserId = Annotated[str, Meta(title="UserId", description="Unique among all users.")]
Name = Annotated[str, Meta(title="Name", description="What others read; need not be unique.")]
Room = Annotated[str, Meta(title="Room", description="A room's name, as in its namespace.")]
Offset = Annotated[
    int, Meta(title="Offset", ge=0, le=2**53 - 1, description="A place in a room's log.")
]
Count = Annotated[int, Meta(title="Count", ge=0)]
Milliseconds = Annotated[int, Meta(title="Milliseconds", description="Since 1970-01-01T00:00:00Z.")]
Seconds = Annotated[float, Meta(title="Seconds", ge=0)]
Position = Annotated[
    str,
    Meta(
        title="Position",
        pattern=r"^[0-9A-Za-z]{1,32}\.[0-9]{1,16}$",
        description="<epoch>.<offset>: everything before it has been told.",
    ),
]
MessageId = Annotated[
    str,
    Meta(
        title="MessageId",
        pattern=r"^[!-~]{1,128}$",
        description="The client's own, or one that the server made.",
    ),
]
MessageOffset = Annotated[
    int, Meta(title="MessageOffset", ge=1, le=2**53 - 1, description="A message's place.")
]
ReplyTo = Annotated[
    MessageOffset | MessageId,
    Meta(title="ReplyTo", description="The offset or the id of the message it answers."),
]
Emoji = Annotated[str, Meta(title="Emoji", min_length=1, max_length=32)]
Body = Annotated[Any, Meta(description="A text, any JSON, binary, or JSON with binary in it.")]
State = Literal["online", "away"]
Permission = Literal["join", "read", "history", "post", "moderate"]


class Shape(Struct, frozen=True, kw_only=True):
    """An object on the wire. Clients ignore fields that they do not know: a newer server may have
    more."""


class Options(Shape, frozen=True, forbid_unknown_fields=True):
    """An object that a client sends. Fields that are not known here are refused."""


class Person(Shape, frozen=True):
    """A user as others see them."""

    user: UserId
    name: Name


class Present(Person, frozen=True):
    """Somebody who is in a room."""

    state: State


class Member(Person, frozen=True):
    """Somebody who belongs to a room."""

    state: Literal["online", "away", "offline"]
    seen: (
        Annotated[Milliseconds, Meta(description="When they were here last, in whatever room.")]
        | UnsetType
    ) = UNSET


class Message(Shape, frozen=True):
    """A message, live, recovered or in a page of history."""

    id: MessageId
    offset: Offset
    user: UserId
    name: Name
    body: Body
    at: Milliseconds
    reply_to: ReplyTo | UnsetType = UNSET
    mentions: list[UserId] | UnsetType = UNSET
    edited: Annotated[Milliseconds, Meta(description="When it was edited last.")] | UnsetType = (
        UNSET
    )
    deleted: (
        Annotated[Milliseconds, Meta(description="When it was deleted; the body is null.")]
        | UnsetType
    ) = UNSET
    reactions: (
        Annotated[dict[Emoji, Count], Meta(description="How many users have reacted how.")]
        | UnsetType
    ) = UNSET
    mine: Annotated[list[Emoji], Meta(description="One's own reactions.")] | UnsetType = UNSET


class RefusalBody(Shape, frozen=True):
    """Why a request was refused."""

    code: str
    message: str
    temporary: Annotated[bool, Meta(description="Worth sending again.")]
    retry_after: Seconds | UnsetType = UNSET


class Refused(Shape, frozen=True):
    """The answer to a request that was refused."""

    ok: Literal[False]
    error: RefusalBody


class Done(Shape, frozen=True):
    """It was done."""

    ok: Literal[True]


class RoomState(Shape, frozen=True):
    """One of the rooms that a user is a member of."""

    room: Room
    unread: Count
    last: Annotated[Offset, Meta(description="The newest of the room's log.")]
    live: (
        Annotated[
            Literal[False], Meta(description="There are too many: it is not kept up to date.")
        ]
        | UnsetType
    ) = UNSET
    peer: Annotated[Person, Meta(description="The other user, in a room of two.")] | UnsetType = (
        UNSET
    )
    mentions: Annotated[Count, Meta(description="Of the user, in what is unread.")] | UnsetType = (
        UNSET
    )


class RoomSettings(Shape, frozen=True):
    """What a room is set to."""

    topic: str
    slow_mode: Annotated[Seconds, Meta(description="Between two messages of a user.")]
    read_only: Annotated[bool, Meta(description="Only who may moderate may post.")]


class Mention(Shape, frozen=True):
    """A message that names the user."""

    number: Annotated[int, Meta(description="Rises with each mention of the user, with holes.")]
    room: Room
    id: MessageId
    offset: Offset
    user: UserId
    name: Name
    at: Milliseconds
