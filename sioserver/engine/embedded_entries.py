"""What is on its way into the embedded engine's logs: drafts and operations, and their fate.

Made on the event loop, numbered and stored in the store's thread, and back on the loop what
everybody is told. It knows neither of the two, nor how anything is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from sioserver.engine.base import (
    ambiguous,
    not_found,
    not_theirs,
    too_many_reactions,
    too_soon,
)
from sioserver.errors import Refusal
from sioserver.model import Draft, Message, Operation

RETRY_AFTER: Final = 1.0
"""Seconds after which a refused caller may try again."""

TOO_SOON: Final = "rate_limited"
"""What may be wrong with a draft (`Append.problem`), beside the code of any refusal."""

NOT_FOUND: Final = "not_found"
AMBIGUOUS: Final = "ambiguous"
NOT_THEIRS: Final = "not_theirs"
TOO_MANY: Final = "too_many_reactions"
"""What may be wrong with an operation (`Operate.problem`)."""

_OPERATION_PROBLEMS: Final[Mapping[str, Callable[[], Refusal]]] = {
    NOT_FOUND: not_found,
    AMBIGUOUS: ambiguous,
    NOT_THEIRS: not_theirs,
    TOO_MANY: too_many_reactions,
}

_encode: Final = msgspec.msgpack.Encoder().encode


class Entry:
    """Something on its way into a room's log, and what became of it: `Append` or `Operate`."""

    __slots__ = (
        "at", "body", "duplicate", "id", "keep_age", "keep_length", "number", "offset", "problem",
        "room", "size", "target", "waiters",
    )  # fmt: skip

    def __init__(
        self, room: str, id: str, at: int, body: bytes, keep_length: int, keep_age: float
    ) -> None:
        self.room = room
        self.id = id
        """The message's, be it this or another."""
        self.at = at
        self.body = body
        """Encoded."""
        self.size = len(body)
        """Bytes that it takes, beside the little that each one does."""
        self.keep_length = keep_length
        self.keep_age = keep_age
        self.offset = 0
        self.target = 0
        """Of an operation: the message's offset."""
        self.number = 0
        self.duplicate = False
        self.problem: str | None = None
        """The code of a refusal, or what is wrong with an operation."""
        self.waiters: list[Any] = []
        """Who waits for it on the event loop; of no concern here."""

    def announced(self) -> Message:
        """The entry as everybody is told of it, once it is in the log."""
        raise NotImplementedError

    def refusal(self) -> Refusal:
        """Why it is not there: a new exception for everybody who waits."""
        assert self.problem is not None
        return refusal(self.problem)


class Append(Entry):
    """A draft."""

    __slots__ = ("draft", "more", "wait")

    def __init__(
        self, room: str, draft: Draft, body: bytes, keep_length: int, keep_age: float
    ) -> None:
        super().__init__(room, draft.id, draft.at, body, keep_length, keep_age)
        self.draft = draft
        self.more: bytes | None = None
        """Encoded, what few messages have: `embedded_pages` reads it."""
        if draft.mentions or draft.reply_to is not None:
            self.more = _encode((draft.reply_to, draft.mentions))
            self.size += len(self.more)
        self.wait = 0.0
        """Seconds after which the draft would not have been refused for its pause."""

    def announced(self) -> Message:
        """See `Entry.announced`."""
        draft = self.draft
        return Message(
            draft.id,
            self.offset,
            draft.user.id,
            draft.user.name,
            draft.body,
            self.at,
            self.number,
            "message",
            draft.reply_to,
            draft.mentions,
        )

    def refusal(self) -> Refusal:
        """See `Entry.refusal`."""
        return too_soon(self.wait) if self.problem == TOO_SOON else super().refusal()


class Operate(Entry):
    """An operation on a message."""

    __slots__ = ("count", "least", "operation")

    def __init__(
        self,
        room: str,
        operation: Operation,
        body: bytes,
        keep_length: int,
        keep_age: float,
        *,
        least: int = 1,
    ) -> None:
        """`least`: messages before this offset are as good as deleted."""
        super().__init__(room, "", operation.at, body, keep_length, keep_age)
        self.operation = operation
        self.least = least
        self.count = 0
        """Of a reaction: how many users have this emoji on the message now."""

    def announced(self) -> Message:
        """See `Entry.announced`."""
        operation = self.operation
        return Message(
            self.id,
            self.offset,
            operation.user.id,
            operation.user.name,
            operation.body if operation.kind == "edit" else None,
            self.at,
            self.number,
            operation.kind,
            target=self.target,
            emoji=operation.emoji,
            on=operation.on,
            count=self.count,
        )

    def refusal(self) -> Refusal:
        """See `Entry.refusal`."""
        told = _OPERATION_PROBLEMS.get(self.problem or "")
        return super().refusal() if told is None else told()


def refusal(code: str) -> Refusal:
    """Why the store did not do something: a new exception for everybody who waits."""
    return Refusal(code, retry_after=RETRY_AFTER)
