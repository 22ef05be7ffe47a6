"""What clients are answered, in acks and over HTTP, where nothing was refused.

Only types: what is answered is built by `wire.answers`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType

from sioserver.protocol.requests import (
    SettingsOptions,
)
from sioserver.protocol.shapes import (
    Count,
    Emoji,
    Member,
    Mention,
    Message,
    MessageId,
    Milliseconds,
    Name,
    Offset,
    Position,
    Present,
    Room,
    RoomSettings,
    RoomState,
    Shape,
    State,
    UserId,
)


class Published(Shape, frozen=True):
    """The message is stored."""

    ok: Literal[True]
    id: MessageId
    offset: Offset
    at: Milliseconds


class Operated(Shape, frozen=True):
    """It was done to the message."""

    ok: Literal[True]
    id: Annotated[MessageId, Meta(description="The message's.")]
    offset: Annotated[Offset, Meta(description="The place in the log of what was done.")]
    target: Annotated[Offset, Meta(description="The message's.")]
    at: Milliseconds


class Operation(Shape, frozen=True):
    """What was done to a message, in a page of history: the payload of its event, and more."""

    event: Literal["edit", "delete", "reaction"]
    entry: Annotated[Offset, Meta(description="Its own place in the log.")]
    id: Annotated[MessageId, Meta(description="The message's.")]
    offset: Annotated[Offset, Meta(description="The message's.")]
    user: UserId
    name: Name
    at: Milliseconds
    body: Annotated[Any, Meta(description="Of an edit.")] | UnsetType = UNSET
    emoji: Emoji | UnsetType = UNSET
    on: bool | UnsetType = UNSET
    count: Count | UnsetType = UNSET


class HistoryPage(Shape, frozen=True):
    """A page of a room's log, ascending."""

    ok: Literal[True]
    items: list[Message]
    more: Annotated[bool, Meta(description="The log goes on in the direction of reading.")]
    position: Annotated[Position, Meta(description="The newest of the log.")]
    next: (
        Annotated[Offset, Meta(description="The `after` or `before` with which to read on.")]
        | UnsetType
    ) = UNSET
    operations: (
        Annotated[list[Operation], Meta(description="If they were asked for.")] | UnsetType
    ) = UNSET


class SearchPage(Shape, frozen=True):
    """Messages that were found, newest first."""

    ok: Literal[True]
    items: list[Message]
    complete: Annotated[
        bool, Meta(description="false: the search ended because it had looked at so much.")
    ]
    searched_to: Annotated[
        Offset, Meta(description="What was found from here on is in `items`, all of it.")
    ]
    next: (
        Annotated[Offset, Meta(description="The `before` with which to search on.")] | UnsetType
    ) = UNSET


class Members(Shape, frozen=True):
    """Who is in a room."""

    ok: Literal[True]
    online: list[Present]
    total: Count
    members: list[Member] | UnsetType = UNSET


class Status(Shape, frozen=True):
    """The device is taken for this."""

    ok: Literal[True]
    state: State


class Unread(Shape, frozen=True):
    """How many messages are unread now."""

    ok: Literal[True]
    unread: Count


class Refreshed(Shape, frozen=True):
    """The token counts from now on."""

    ok: Literal[True]
    expires_at: Annotated[float, Meta(description="Seconds since 1970.")] | None


class Rooms(Shape, frozen=True):
    """The rooms of a user."""

    ok: Literal[True]
    rooms: list[RoomState]


class Sanction(Shape, frozen=True):
    """A ban or a mute."""

    user: UserId
    until: Annotated[Milliseconds | None, Meta(description="null: for good.")]
    by: Annotated[str, Meta(description="Who decided it: a user, or a key of the operator.")]
    reason: str
    at: Milliseconds
    address: Annotated[bool, Meta(description="It holds for the user's addresses, too.")]


class Decided(Sanction, frozen=True):
    """It holds from now on."""

    ok: Literal[True]


class Bans(Shape, frozen=True):
    """A page of the bans or mutes in force, by user."""

    ok: Literal[True]
    items: list[Sanction]
    next: Annotated[str, Meta(description="`after` of the next page.")] | UnsetType = UNSET


class Act(Shape, frozen=True):
    """A line of the record."""

    number: Count
    what: Literal["kick", "mute", "ban", "unmute", "unban", "settings"]
    by: str
    at: Milliseconds
    user: UserId | UnsetType = UNSET
    until: Milliseconds | UnsetType | None = UNSET
    reason: str | UnsetType = UNSET
    settings: SettingsOptions | UnsetType = UNSET


class ModerationLog(Shape, frozen=True):
    """What was done, newest first."""

    ok: Literal[True]
    items: list[Act]
    more: bool


class Settings(RoomSettings, frozen=True):
    """What the room is set to now."""

    ok: Literal[True]


class DirectoryEntry(Shape, frozen=True):
    """A public room that the asker may join."""

    room: Room
    topic: str
    online: (
        Annotated[Count, Meta(description="Left out where the room does not tell.")] | UnsetType
    ) = UNSET
    total: Count | UnsetType = UNSET


class Directory(Shape, frozen=True):
    """Public rooms, those first where the most are online, then by name."""

    ok: Literal[True]
    rooms: list[DirectoryEntry]
    next: Annotated[str, Meta(description="`after` of the next page.")] | UnsetType = UNSET


class Mentions(Shape, frozen=True):
    """The newest mentions of a user, ascending."""

    ok: Literal[True]
    mentions: list[Mention]
