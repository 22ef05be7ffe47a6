"""What comes with events and answers: one struct for each object that is on the wire.

Fields that are left out where they do not apply have the default `UNSET`. Descriptions are for
whoever writes a client. Nothing here checks what a client sends, and nothing is decided here.
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


# ------------------------------------------------------------------------------------ common


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


# ------------------------------------------------------------------------------------ requests


class MessageOptions(Options, frozen=True):
    """With a message."""

    id: (
        Annotated[MessageId, Meta(description="Makes it harmless to send the message again.")]
        | UnsetType
    ) = UNSET
    reply_to: ReplyTo | UnsetType = UNSET
    mentions: (
        Annotated[
            list[UserId],
            Meta(max_length=50, description="Whose sessions are told, if they are members."),
        ]
        | UnsetType
    ) = UNSET


class EditOptions(Options, frozen=True):
    """Which message, by its id, its offset or both, and what it says from now on."""

    body: Body
    id: MessageId | UnsetType = UNSET
    offset: MessageOffset | UnsetType = UNSET


class DeleteOptions(Options, frozen=True):
    """Which message, by its id, its offset or both."""

    id: MessageId | UnsetType = UNSET
    offset: MessageOffset | UnsetType = UNSET


class ReactOptions(Options, frozen=True):
    """To which message, by its id, its offset or both, and how."""

    emoji: Emoji
    on: Annotated[bool, Meta(description="false: no longer.")] | UnsetType = UNSET
    id: MessageId | UnsetType = UNSET
    offset: MessageOffset | UnsetType = UNSET


class HistoryOptions(Options, frozen=True):
    """Which messages: `after < offset < before`, or the newest."""

    before: Offset | UnsetType = UNSET
    after: Offset | UnsetType = UNSET
    limit: Annotated[int, Meta(ge=1, le=10_000)] | UnsetType = UNSET
    operations: Annotated[bool, Meta(description="Also what was done to messages.")] | UnsetType = (
        UNSET
    )


class StatusOptions(Options, frozen=True):
    """Whether this device is used."""

    state: State


class MembersOptions(Options, frozen=True):
    """Who is asked for."""

    all: Annotated[bool, Meta(description="Also members who are away.")] | UnsetType = UNSET


class MentionsOptions(Options, frozen=True):
    """Which mentions."""

    after: (
        Annotated[Offset, Meta(description="The number of the last that is known.")] | UnsetType
    ) = UNSET


class SearchOptions(Options, frozen=True):
    """What to look for: the newest messages with `offset < before`."""

    query: Annotated[
        str,
        Meta(max_length=200, description='Words and "phrases", at most 8; all have to occur.'),
    ]
    before: Offset | UnsetType = UNSET
    limit: Annotated[int, Meta(ge=1, le=10_000)] | UnsetType = UNSET


class DirectoryOptions(Options, frozen=True):
    """Which public rooms."""

    query: (
        Annotated[
            str,
            Meta(max_length=200, description='Words and "phrases" of the name or the topic.'),
        ]
        | UnsetType
    ) = UNSET
    after: Annotated[str, Meta(description="`next` of the page before.")] | UnsetType = UNSET
    limit: Annotated[int, Meta(ge=1, le=100)] | UnsetType = UNSET


class TokenOptions(Options, frozen=True):
    """A fresh token."""

    token: str


Whom = Annotated[str, Meta(title="Whom", min_length=1, max_length=128, description="A user's id.")]
Reason = Annotated[str, Meta(title="Reason", max_length=200)]
Page = Annotated[int, Meta(title="Page", ge=1, le=1000, description="At most so many.")]


class KickOptions(Options, frozen=True):
    """Whom to put out."""

    user: Whom
    reason: Reason | UnsetType = UNSET


class MuteOptions(Options, frozen=True):
    """Whom to keep quiet, and how long."""

    user: Whom
    seconds: Annotated[int, Meta(ge=1, le=315_360_000)]
    reason: Reason | UnsetType = UNSET


class BanOptions(Options, frozen=True):
    """Whom to keep out."""

    user: Whom
    seconds: (
        Annotated[int, Meta(ge=0, le=315_360_000, description="0, or left out: for good.")]
        | UnsetType
    ) = UNSET
    reason: Reason | UnsetType = UNSET
    address: (
        Annotated[bool, Meta(description="And whoever comes from where they are connected from.")]
        | UnsetType
    ) = UNSET


class UserOptions(Options, frozen=True):
    """Whose ban or mute ends."""

    user: Whom


class BansOptions(Options, frozen=True):
    """Which sanctions."""

    kind: Literal["ban", "mute"] | UnsetType = UNSET
    after: Annotated[str, Meta(description="`next` of the page before.")] | UnsetType = UNSET
    limit: Page | UnsetType = UNSET


class LogOptions(Options, frozen=True):
    """Which lines of the record: with a smaller number, or the newest."""

    before: Offset | UnsetType = UNSET
    limit: Page | UnsetType = UNSET


class SettingsOptions(Options, frozen=True):
    """What a room is set to; null: what the configuration says."""

    topic: Annotated[str, Meta(max_length=512)] | UnsetType | None = UNSET
    slow_mode: Annotated[float, Meta(ge=0, le=86400)] | UnsetType | None = UNSET
    read_only: bool | UnsetType | None = UNSET


# ------------------------------------------------------------------------------------ answers


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


class RoomSettings(Shape, frozen=True):
    """What a room is set to."""

    topic: str
    slow_mode: Annotated[Seconds, Meta(description="Between two messages of a user.")]
    read_only: Annotated[bool, Meta(description="Only who may moderate may post.")]


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


class Mention(Shape, frozen=True):
    """A message that names the user."""

    number: Annotated[int, Meta(description="Rises with each mention of the user, with holes.")]
    room: Room
    id: MessageId
    offset: Offset
    user: UserId
    name: Name
    at: Milliseconds


class Mentions(Shape, frozen=True):
    """The newest mentions of a user, ascending."""

    ok: Literal[True]
    mentions: list[Mention]


# ------------------------------------------------------------------------------------ events


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


class SessionWelcome(Shape, frozen=True):
    """The first event of the session room."""

    user: UserId
    name: Name
    rooms: list[RoomState]


class RoomLeft(Shape, frozen=True):
    """The user is a member of this room no longer."""

    room: Room


class Edit(Shape, frozen=True):
    """A message says something else now."""

    id: Annotated[MessageId, Meta(description="The message's.")]
    offset: Annotated[Offset, Meta(description="The message's.")]
    user: UserId
    name: Name
    at: Milliseconds
    body: Annotated[Any, Meta(description="As of a message; null when it was deleted since.")]


class Delete(Shape, frozen=True):
    """A message has no body any more."""

    id: Annotated[MessageId, Meta(description="The message's.")]
    offset: Annotated[Offset, Meta(description="The message's.")]
    user: UserId
    name: Name
    at: Milliseconds


class Reaction(Shape, frozen=True):
    """A user has reacted to a message, or has taken that back."""

    id: Annotated[MessageId, Meta(description="The message's.")]
    offset: Annotated[Offset, Meta(description="The message's.")]
    user: UserId
    name: Name
    at: Milliseconds
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


class Typing(Shape, frozen=True):
    """Somebody began or stopped typing."""

    user: UserId
    name: Name
    on: bool


class Read(Shape, frozen=True):
    """Somebody has read up to an offset."""

    user: UserId
    name: Name
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
