"""The values that every layer speaks of: frozen, without behaviour beyond their own text form.

They know neither a wire nor a store. Times are milliseconds since 1970 where they are told to
clients (`at`), seconds everywhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Literal

import msgspec

MAX_OFFSET: Final = 2**53 - 1
"""Offsets stay exact in JavaScript."""


class Position(msgspec.Struct, frozen=True, order=True):
    """A place in a room's log: everything up to and including `offset` lies before it.

    An `epoch` names one unbroken life of the log; a room whose data were lost gets a new one, so
    "history lost" can be told from "nothing new".
    """

    epoch: str
    offset: int

    def __str__(self) -> str:
        return f"{self.epoch}.{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Position:
        """Read the text form; raises ValueError."""
        epoch, dot, offset = text.rpartition(".")
        if not (dot and 0 < len(epoch) <= 32 and epoch.isalnum() and epoch.isascii()):
            raise ValueError("a position looks like <epoch>.<offset>")
        if not (0 < len(offset) <= 16 and offset.isdigit() and offset.isascii()):
            raise ValueError("a position looks like <epoch>.<offset>")
        number = int(offset)
        if number > MAX_OFFSET:
            raise ValueError("the offset of a position is at most 2**53 - 1")
        return cls(epoch, number)


class User(msgspec.Struct, frozen=True):
    """A person. `id` is unique; `name` is what others read; a guest is known by nobody's token."""

    id: str
    name: str
    guest: bool = False
    """True for a made-up identity that nobody can come back to without the connection's own
    recovery token: it is never kept as a member."""


class Draft(msgspec.Struct, frozen=True):
    """A message on its way to the engine: everything but its place in the log."""

    id: str
    user: User
    body: Any
    at: int
    resendable: bool
    """The client chose the id, so it may send the draft again: the engine must remember it."""
    pause: float = 0.0
    """Slow mode: seconds that have to lie between two of the user's messages in the room; 0: none.
    """
    reply_to: int | str | None = None
    """The offset or id of the message that this one answers, as the client gave it."""
    mentions: tuple[str, ...] = ()
    """Ids of users."""


class Operation(msgspec.Struct, frozen=True):
    """Something that is to be done to an earlier message, on its way to the engine.

    The message is named by its `offset`, or by its `id` alone, or by both, which have to agree.
    """

    kind: Literal["edit", "delete", "reaction"]
    user: User
    """Who does it."""
    at: int
    offset: int | None
    id: str | None
    author_only: bool
    """Only whoever posted the message may do it."""
    body: Any = None
    """Of an edit: what the message says from now on."""
    emoji: str = ""
    """Of a reaction."""
    on: bool = True
    """Of a reaction: it is there from now on; else it is taken back."""
    most: int = 1000
    """Of a reaction: how many, each of one user with one emoji, a message may have."""


NO_REACTIONS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({})


class Message(msgspec.Struct, frozen=True):
    """An entry of a room's log: a message, or an operation on one.

    A message is shown as it is now, with all that was done to it. Of an operation, `id` is that of
    the message it was done to; `user` and `name` are whoever did it. `body` is new with the
    announcement of an edit, and the message's present one (None: it was deleted since) where an
    edit is read from the log later: the log keeps no body that somebody has taken back.
    """

    id: str
    offset: int
    user: str
    name: str
    body: Any
    at: int
    number: int = 0
    """How many entries of the kind "message" there were up to this one, with it."""
    kind: Literal["message", "edit", "delete", "reaction"] = "message"
    # of a message
    reply_to: int | str | None = None
    mentions: tuple[str, ...] = ()
    edited: int = 0
    """When it was edited last; 0: never."""
    deleted: int = 0
    """When it was deleted; 0: it was not. Then it has no body, mentions, reactions or `edited`."""
    reactions: Mapping[str, tuple[str, ...]] = NO_REACTIONS
    """Emoji -> ids of the users, both in the order in which they came."""
    # of an operation
    target: int = 0
    """The offset of the message."""
    emoji: str = ""
    on: bool = True
    count: int = 0
    """Of a reaction: how many users had this emoji on the message after it."""


class Published(msgspec.Struct, frozen=True):
    """What became of a draft or of an operation."""

    id: str
    """Of the message, also where it is an operation on it."""
    position: Position
    """Of the entry."""
    at: int
    duplicate: bool
    """The draft had been published before; this is the first time's result. Or the message was
    already as the operation wants it: this is the last entry about it."""
    target: int = 0
    """Of an operation: the offset of the message."""


class Page(msgspec.Struct, frozen=True):
    """A stretch of a room's log, ascending. It has no holes but those of the operations, if they
    were not asked for."""

    messages: list[Message]
    first: int
    """The oldest offset that the log still holds; `top + 1` when it holds none."""
    top: Position
    """The newest position at the moment of reading."""
    number: int
    """How many messages (not operations) there were up to `top`."""
    start: int
    end: int
    """The page has all that was asked for of the offsets [start, end). What else there may be lies
    before or behind, depending on where the reading began."""


class Membership(msgspec.Struct, frozen=True):
    """What the engine remembers of a user in a room."""

    joined: int
    """The offset of the log's top when the user joined."""
    cursor: int
    """Everything up to here has provably reached the user."""
    read: int
    """Everything up to here has been read, by the user's own word."""
    number: int
    """How many messages (not operations) there were up to `read`. When that was moved to a place
    that the log does not hold any more: up to the beginning of the log."""

    @property
    def is_new(self) -> bool:
        """A new member, or one who was given nothing yet: whoever knows of it notes it twice
        without harm."""
        return self.cursor == self.read == self.joined


class Standing(msgspec.Struct, frozen=True):
    """How far a user has got in a room, and how far the room has."""

    membership: Membership
    top: int
    """The newest offset."""
    number: int
    """How many messages (not operations) there were up to `top`."""

    @property
    def unread(self) -> int:
        """Messages behind the read position."""
        return max(0, self.number - self.membership.number)


class Mention(msgspec.Struct, frozen=True):
    """A message that names a user. What it says is read from the room's log, while it is there."""

    number: int
    """In the order of a user's mentions; it rises, with holes."""
    room: str
    id: str
    offset: int
    user: str
    """Who posted the message."""
    name: str
    at: int


class Counts(msgspec.Struct, frozen=True):
    """People in a room: `online` users now, `total` members."""

    online: int
    total: int


State = Literal["online", "away"]
"""Of somebody who is in a room: away as long as none of their devices there is used."""


class PresenceDiff(msgspec.Struct, frozen=True):
    """Who came (first device) and who left (last device, after the grace time) since the last."""

    counts: Counts
    joined: list[User]
    left: list[User]
    away: list[User] = []
    """Who is here and no longer uses any device."""
    back: list[User] = []
    """Who was away and is not any more."""


class Peer(msgspec.Struct, frozen=True):
    """A node, as the others find it."""

    id: str
    """Hexadecimal digits; session ids begin with it."""
    directory: str = ""
    """Where its sockets lie, for nodes of the same machine that share it; empty: nowhere."""
    address: str = ""
    """host:port at which nodes of other machines reach it; empty: they do not."""


class Event(msgspec.Struct, frozen=True):
    """Something that clients of a room are told.

    A durable event has the `position` that a client is at after it; an ephemeral one has none and
    may be dropped for a client that reads slowly.
    """

    name: str
    payload: dict[str, Any]
    position: Position | None = None
    before: tuple[Any, ...] = ()
    """Arguments that come before the payload (those of a relayed event, whose payload is the
    sender)."""
    latest: bool = False
    """Of a relayed event: only the sender's newest of this name counts. Whoever cannot be told now
    is told the newest later."""


class Credentials(msgspec.Struct, frozen=True):
    """What of a token decides whether it was revoked."""

    user_id: str
    token_id: str | None = None
    """The `jti`."""
    issued_at: float = 0.0
    """The `iat`, in seconds since 1970; 0 of a token that does not say."""


class Revocation(msgspec.Struct, frozen=True):
    """A rule by which tokens are refused that are good otherwise."""

    kind: Literal["token", "user", "all"]
    id: str
    """The token's `jti`, or the user's id; empty for all."""
    until: float
    """Seconds since 1970 from which the rule is forgotten: by then the tokens have expired."""
    before: float = 0.0
    """Of a user and of all: tokens that were issued before this are refused."""

    def concerns(self, token: Credentials) -> bool:
        """Does the rule refuse this token?"""
        if self.kind == "token":
            return token.token_id == self.id
        is_theirs = self.kind == "all" or token.user_id == self.id
        return is_theirs and token.issued_at < self.before

    def joined(self, other: Revocation) -> Revocation:
        """The rule that does what both do; they are of the same kind and id."""
        return Revocation(
            self.kind, self.id, max(self.until, other.until), max(self.before, other.before)
        )


# ---------------------------------------------------------------------------- moderation

EVERYWHERE: Final = "*"
"""In the place of a room: what is decided there holds in all rooms. No room is called that."""

SanctionKind = Literal["ban", "mute", "kick"]


class Sanction(msgspec.Struct, frozen=True):
    """What was decided about a user in a room, or `EVERYWHERE`. There is one of each kind."""

    kind: SanctionKind
    """A ban keeps them out, a mute keeps them quiet. A kick ended their clients, and keeps nobody
    out: it is kept for a moment, for the nodes that could not be told at once."""
    user: str
    until: float
    """Seconds since 1970 at which it is over; infinity: never by itself."""
    at: float
    """Seconds since 1970 at which it was decided."""
    by: str
    """Who decided it: a user's id, or the name of an API key."""
    reason: str = ""
    final: bool = False
    """An operator decided it: it holds for those who may moderate, too."""
    by_address: bool = False
    """Of a ban: it holds for whoever comes from the addresses that the user is connected from."""
    addresses: tuple[str, ...] = ()
    """Those that are known. Told to nobody."""


class RoomSettings(msgspec.Struct, frozen=True):
    """What moderators set in a room while it is open; None: what the configuration says."""

    topic: str | None = None
    slow_mode: float | None = None
    read_only: bool | None = None


class Act(msgspec.Struct, frozen=True):
    """Something that was done in the name of moderation: a line of the room's record."""

    what: Literal["kick", "mute", "ban", "unmute", "unban", "settings"]
    by: str
    """Who did it: a user's id, or the name of an API key."""
    at: float
    """Seconds since 1970."""
    user: str = ""
    """To whom; nobody where settings were changed."""
    until: float = 0.0
    """Of a mute and a ban: as in `Sanction`."""
    reason: str = ""
    settings: dict[str, Any] = {}
    """What was set, by name; None: back to what the configuration says."""
    number: int = 0
    """Its place in the record; 0: it has none yet."""
