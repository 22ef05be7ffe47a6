"""What is done to messages: requests of clients in, events and answers out.

`edit`, `delete` and `react` name a message and say what becomes of it. Whether that may be, and
what comes of it, is decided elsewhere.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from sioserver.characters import INVISIBLE
from sioserver.errors import Refusal
from sioserver.model import MAX_OFFSET, Message, Published
from sioserver.wire.arguments import message_id, options, whole
from sioserver.wire.bodies import check_body

MAX_EMOJI: Final = 32
"""Characters of a reaction: an emoji of a family has ten."""

_JOINERS: Final = frozenset("\u200d\ufe0e\ufe0f")
"""What emoji are put together with, and what says how they are drawn."""
_FLAG: Final = "\U0001f3f4"
_TAGS: Final = frozenset(map(chr, range(0xE0020, 0xE0080)))
"""What makes the flags of some countries of a black one."""
_LATER: Final = re.compile("[\U0001f000-\U0001faff\U0001fc00-\U0001fffd]")
"""Where each version of Unicode puts its new emoji: places that Unicode keeps for pictures, so what
is in them can be seen, although the tables of this Python may be years older (3.11: of 2021)."""


class Target(msgspec.Struct, frozen=True):
    """The message that is meant: by its offset, by its id, or by both, which have to agree."""

    offset: int | None
    id: str | None


class EditRequest(msgspec.Struct, frozen=True):
    """Let the message say `body`."""

    target: Target
    body: Any


class ReactRequest(msgspec.Struct, frozen=True):
    """Put a reaction to the message, or take it back."""

    target: Target
    emoji: str
    on: bool


def parse_edit(args: Sequence[Any], max_body: int) -> EditRequest:
    """`edit` {id?, offset?, body}. Raises `Refusal("bad_request" | "too_large")`."""
    given = options(_only(args, "edit"), "edit", {"id", "offset", "body"})
    if "body" not in given:
        raise Refusal("bad_request", "edit takes {id or offset, body}")
    target = _target(given, "edit")
    check_body(given["body"], max_body, "the message")
    return EditRequest(target, given["body"])


def parse_delete(args: Sequence[Any]) -> Target:
    """`delete` {id?, offset?}."""
    return _target(options(_only(args, "delete"), "delete", {"id", "offset"}), "delete")


def parse_react(args: Sequence[Any]) -> ReactRequest:
    """`react` {id?, offset?, emoji, on?}; without `on` it is put there."""
    given = options(_only(args, "react"), "react", {"id", "offset", "emoji", "on"})
    target = _target(given, "react")
    on = given.get("on", True)
    if not isinstance(on, bool):
        raise Refusal("bad_request", "on is true or false")
    return ReactRequest(target, _check_emoji(given.get("emoji")), on)


def _only(args: Sequence[Any], event: str) -> Any:
    if len(args) != 1:
        raise Refusal("bad_request", f"{event} takes one object")
    return args[0]


def _target(given: Mapping[str, Any], event: str) -> Target:
    id, offset = given.get("id"), given.get("offset")
    if id is None and offset is None:
        raise Refusal("bad_request", f"{event} names a message by its offset, or by its id")
    return Target(
        None if offset is None else whole(offset, "offset", 1, MAX_OFFSET),
        None if id is None else message_id(id, "id"),
    )


def _check_emoji(emoji: Any) -> str:
    """Raises `Refusal("bad_request")`.

    Anything short that can be seen is good enough: which emoji there are changes every year. The
    names that libraries use themselves begin with an underscore (see `bodies`, and `check_room`).
    """
    if not isinstance(emoji, str) or not 0 < len(emoji) <= MAX_EMOJI:
        raise Refusal("bad_request", f"emoji is a string of 1 to {MAX_EMOJI} characters")
    allowed = _JOINERS | _TAGS if emoji[0] == _FLAG else _JOINERS
    rest = [sign for sign in emoji if sign not in allowed]
    if not rest or emoji[0] == "_" or any(_is_hidden(sign) for sign in rest):
        raise Refusal("bad_request", "emoji has visible signs only, and none of them is a space")
    return emoji


def _is_hidden(sign: str) -> bool:
    category = unicodedata.category(sign)
    if category == "Cn":
        return _LATER.match(sign) is None
    return category[0] in "CZ" or INVISIBLE.match(sign) is not None


# ---------------------------------------------------------------------------- what is told


def operation_payload(entry: Message) -> dict[str, Any]:
    """What clients are told of an operation. `offset` is that of the message, whose place in the
    log stays what it is; the operation's own is in the position."""
    payload = {
        "id": entry.id,
        "offset": entry.target,
        "user": entry.user,
        "name": entry.name,
        "at": entry.at,
    }
    if entry.kind == "edit":
        payload["body"] = entry.body
    elif entry.kind == "reaction":
        payload |= {"emoji": entry.emoji, "on": entry.on, "count": entry.count}
    return payload


def operation_item(entry: Message) -> dict[str, Any]:
    """An operation in a page of history: what its event told, which that was (`event`), and its own
    place in the log (`entry`)."""
    return {"event": entry.kind, "entry": entry.offset, **operation_payload(entry)}


def operated_answer(published: Published) -> dict[str, Any]:
    """The ack of `edit`, `delete` and `react`."""
    return {
        "ok": True,
        "id": published.id,
        "offset": published.position.offset,
        "target": published.target,
        "at": published.at,
    }
