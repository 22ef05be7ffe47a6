"""What the server says (docs/protocol.md), as values of the model and of the two failures.

Pure: it must not know how the words came, nor what is done about them. A newer server may use
codes that this client has never heard of.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from sioserver.errors import DISCONNECTS, REFUSALS, Disconnect, Refusal
from sioserver.model import Message, User

Kind = Literal["edit", "delete", "reaction"]

CHANGES: Final[Mapping[str, Kind]] = {"edit": "edit", "delete": "delete", "reaction": "reaction"}
"""Events that tell of something that was done to a message."""


class Received(Message, frozen=True):
    """A message as its readers are told it: how many have reacted how, and not who."""

    counts: Mapping[str, int] = {}
    """Emoji -> users."""
    mine: tuple[str, ...] = ()
    """The emoji that are one's own; only told of messages that come later."""


@dataclass(frozen=True, slots=True)
class Change:
    """Something that was done to a message."""

    kind: Kind
    offset: int
    """Its own place in the room's log."""
    target: int
    """The message's."""
    id: str
    """The message's."""
    user: str
    name: str
    """Who did it."""
    at: int
    body: Any = field(default=None)
    """Of an edit: what the message says now; None where it was deleted since."""
    emoji: str = ""
    on: bool = True
    count: int = 0
    """Of a reaction: how many users have this emoji on the message now."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that is stored and will reach everybody."""

    id: str
    offset: int
    at: int


@dataclass(frozen=True, slots=True)
class Changed:
    """An edit, a delete or a reaction that is stored and will reach everybody."""

    id: str
    """The message's."""
    target: int
    """The offset of the message."""
    offset: int
    """Its own."""
    at: int


@dataclass(frozen=True, slots=True)
class Hits:
    """What a search has found."""

    messages: list[Received]
    """Newest first."""
    next: int | None
    """`before` of the next search; None when the room's log has been searched to its beginning."""
    complete: bool
    """False: it ended because so much had been looked at; there may be more with `next`."""


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody who is in the room, or belongs to it."""

    id: str
    name: str
    state: Literal["online", "away", "offline"]
    seen: int | None
    """When somebody who is offline was here last, in milliseconds since 1970, if that is known."""


def message(payload: dict[str, Any]) -> Received:
    """A message, live or read later."""
    return Received(
        id=payload["id"],
        offset=payload["offset"],
        user=payload["user"],
        name=payload["name"],
        body=payload["body"],
        at=payload["at"],
        reply_to=payload.get("reply_to"),
        mentions=tuple(payload.get("mentions", ())),
        edited=payload.get("edited", 0),
        deleted=payload.get("deleted", 0),
        counts=payload.get("reactions", {}),
        mine=tuple(payload.get("mine", ())),
    )


def change(event: str, payload: dict[str, Any], offset: int) -> Change:
    """What one of the events in `CHANGES` tells; `offset` is its own."""
    return Change(
        kind=CHANGES[event],
        offset=offset,
        target=payload["offset"],
        id=payload["id"],
        user=payload["user"],
        name=payload["name"],
        at=payload["at"],
        body=payload.get("body"),
        emoji=payload.get("emoji", ""),
        on=payload.get("on", True),
        count=payload.get("count", 0),
    )


def page(answer: dict[str, Any]) -> list[Received | Change]:
    """The entries of the log on a page of history, ascending."""
    entries: list[Received | Change] = [message(item) for item in answer["items"]]
    entries += [change(item["event"], item, item["entry"]) for item in answer.get("operations", ())]
    return sorted(entries, key=lambda entry: entry.offset)


def sent(answer: dict[str, Any]) -> Sent:
    """Of a message that was posted."""
    return Sent(answer["id"], answer["offset"], answer["at"])


def changed(answer: dict[str, Any]) -> Changed:
    """Of something that was done to a message."""
    return Changed(answer["id"], answer["target"], answer["offset"], answer["at"])


def hits(answer: dict[str, Any]) -> Hits:
    """Of a search."""
    found = [message(item) for item in answer["items"]]
    return Hits(found, answer.get("next"), answer["complete"])


def member(payload: dict[str, Any]) -> Member:
    """One of those who are in a room, or belong to it."""
    return Member(payload["user"], payload["name"], payload["state"], payload.get("seen"))


def user(payload: dict[str, Any]) -> User:
    """Whoever it is told of."""
    return User(payload["user"], payload["name"])


def peer(payload: dict[str, Any]) -> User | None:
    """The other user, where a room of two is told of."""
    found = payload.get("peer")
    return None if found is None else user(found)


def refusal(body: dict[str, Any]) -> Refusal:
    """The refusal of a request, in an answer."""
    code, retry_after = body["code"], body.get("retry_after")
    known = code if code in REFUSALS else "internal"
    found = Refusal(known, body.get("message"), retry_after=retry_after)
    found.code, found.temporary = code, bool(body.get("temporary"))
    return found


def rejection(answer: Any) -> Refusal | ConnectionError:
    """The refusal of a connection: by the server, or by something between it and us."""
    body = answer.get("data") if isinstance(answer, dict) else None
    if isinstance(body, dict) and "code" in body:
        return refusal(body)
    return ConnectionError(str(answer))


def farewell(notice: dict[str, Any]) -> Disconnect:
    """Why the server ended the connection for good, from its last notice (or an empty one)."""
    return ending(notice.get("code"), notice.get("message"))


def ending(code: Any, message: str | None) -> Disconnect:
    """The end of a connection that was up; a code that is no end of its own is a kick."""
    return Disconnect(code if code in DISCONNECTS else "kicked", message)
