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


class Counts(msgspec.Struct, frozen=True):
    """People in a room: `online` users now, `total` members."""

    online: int
    total: int


class PresenceDiff(msgspec.Struct, frozen=True):
    """Who came (first device) and who left (last device, after the grace time) since the last."""

    counts: Counts
    joined: list[User]
    left: list[User]


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
