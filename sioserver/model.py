"""The values that every layer speaks of: frozen, without behaviour beyond their own text form.

They know neither a wire nor a store. Times are milliseconds since 1970 where they are told to
clients (`at`), seconds everywhere else.
"""

from __future__ import annotations

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


class Message(msgspec.Struct, frozen=True):
    """A message in a room's log."""

    id: str
    offset: int
    user: str
    name: str
    body: Any
    at: int


class Published(msgspec.Struct, frozen=True):
    """What became of a draft."""

    id: str
    position: Position
    at: int
    duplicate: bool
    """The draft had been published before; this is the first time's result."""


class Page(msgspec.Struct, frozen=True):
    """A stretch of a room's log, ascending and without holes."""

    messages: list[Message]
    first: int
    """The oldest offset that the log still holds; `top + 1` when it holds none."""
    top: Position
    """The newest position at the moment of reading."""


class Membership(msgspec.Struct, frozen=True):
    """What the engine remembers of a user in a room."""

    joined: int
    """The offset of the log's top when the user joined."""
    cursor: int
    """Everything up to here has provably reached the user."""
    read: int
    """Everything up to here has been read, by the user's own word."""


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
