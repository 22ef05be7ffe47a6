"""The application protocol: which events there are, what they mean, what answers look like.

Pure functions from builtins (strings, numbers, lists, dicts, bytes) to values and back. The
module knows neither Socket.IO nor HTTP: the edges hand it decoded arguments and send what it
builds. docs/protocol.md describes the same for people.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from sioserver.errors import Disconnect, Refusal
from sioserver.model import (
    MAX_OFFSET,
    Counts,
    Event,
    Membership,
    Message,
    Page,
    Position,
    PresenceDiff,
    Published,
    User,
)

CLIENT_EVENTS: Final = ("message", "history", "members", "read", "typing", "auth")
"""Events that a client may send into a room (besides those on the room's relay list)."""

SERVER_EVENTS: Final = ("welcome", "message", "gap", "presence", "typing", "read", "notice")
"""Events that the server sends."""

MAX_ROOM_NAME: Final = 128
MAX_ID: Final = 128
MAX_PAGE: Final = 10_000
SESSION_ROOM: Final = "@me"
"""The reserved name under which a client finds its own session."""

_ROOM_SIGNS: Final = frozenset("_.:-/")
# Letters and marks by Unicode's file, but they show as nothing: fillers, variation selectors. With
# them two rooms could look the same (user ids are held to the same, in auth.py).
_INVISIBLE: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_ID: Final = re.compile(r"[!-~]{1,128}", re.ASCII)

# What the protocol itself uses, and what the JavaScript and Python libraries keep for themselves: a
# room may not pass these on, or one member could run the others' own handlers.
NEVER_RELAYED: Final = frozenset(SERVER_EVENTS) | {
    "connect",
    "connect_error",
    "disconnect",
    "disconnecting",
    "newListener",
    "removeListener",
    "__disconnect_final",
}


# ---------------------------------------------------------------------------- names


def check_room(name: str) -> str:
    """Return the room's name, or raise `Refusal("bad_room")`.

    1 to 128 characters, NFC; letters and digits of any script and `_ . : - /`. A name that begins
    with `@` is reserved and looked up elsewhere.
    """
    if not 0 < len(name) <= MAX_ROOM_NAME:
        raise Refusal("bad_room", f"a room name has 1 to {MAX_ROOM_NAME} characters")
    rest = name.removeprefix("@")
    for sign in rest:
        # combining marks (category M) belong to the letters of many scripts
        if sign not in _ROOM_SIGNS and unicodedata.category(sign)[0] not in "LNM":
            raise Refusal("bad_room", "a room name has letters, digits and _ . : - / only")
    if _INVISIBLE.search(rest):
        raise Refusal("bad_room", "a room name has visible signs only")
    if not rest or not unicodedata.is_normalized("NFC", name):
        raise Refusal("bad_room", "a room name is not empty and in Unicode form NFC")
    return name


# ---------------------------------------------------------------------------- connecting


class Hello(msgspec.Struct, frozen=True):
    """What a client says of itself when it connects to a room."""

    token: str | None = None
    user: str | None = None
    name: str | None = None
    position: Position | None = None
    pid: str | None = None
    """The recovery token it was given by an earlier connection."""
    offset: Position | None = None
    """Where that connection had got to; only with `pid`."""


def parse_hello(auth: object, header_token: str | None = None) -> Hello:
    """Read the `auth` payload of a connect: `{token?, user?, name?, position?, pid?, offset?}`.

    Raises `Refusal("bad_request")`. A `pid` or `offset` that cannot be read is left out: clients
    add them by themselves, and a stale one must not keep anybody out.
    """
    if auth is None:
        auth = {}
    if not isinstance(auth, Mapping):
        raise Refusal("bad_request", "auth is an object such as {token} or {user, name}")
    texts: dict[str, str | None] = {}
    for field in ("token", "user", "name"):
        value = auth.get(field)
        if value is not None and not isinstance(value, str):
            raise Refusal("bad_request", f"auth.{field} is a string")
        texts[field] = value or None
    position = auth.get("position")
    if position is not None:
        position = _position(position, "auth.position")
    pid, offset = auth.get("pid"), auth.get("offset")
    known: Position | None = None
    if isinstance(pid, str) and isinstance(offset, str) and len(pid) <= 2048:
        try:
            known = Position.parse(offset)
        except ValueError:
            known = None
    return Hello(
        token=texts["token"] or header_token,
        user=texts["user"],
        name=texts["name"],
        position=position,
        pid=pid if isinstance(pid, str) and len(pid) <= 2048 else None,
        offset=known,
    )


def _position(value: object, what: str) -> Position:
    if isinstance(value, str):
        try:
            return Position.parse(value)
        except ValueError as error:
            raise Refusal("bad_request", f"{what}: {error}") from None
    raise Refusal("bad_request", f"{what} is a string such as the last argument of a message")


# ---------------------------------------------------------------------------- requests


class SendRequest(msgspec.Struct, frozen=True):
    """Post `body`; `id` is the client's own and makes a resend harmless."""

    body: Any
    id: str | None


class HistoryRequest(msgspec.Struct, frozen=True):
    """A page of messages with `after < offset < before`."""

    before: int | None
    after: int | None
    limit: int


def parse_send(args: Sequence[Any], max_body: int) -> SendRequest:
    """`message` body [, {id}]. Raises `Refusal("bad_request" | "too_large")`."""
    if not 1 <= len(args) <= 2:
        raise Refusal("bad_request", "message takes a body and, if you like, {id}")
    body = args[0]
    size = body_size(body)
    if size > max_body:
        raise Refusal("too_large", f"the message has {size} bytes, at most {max_body} are allowed")
    options = _options(args[1] if len(args) == 2 else None, "message", {"id"})
    message_id = options.get("id")
    if message_id is not None and not (isinstance(message_id, str) and _ID.fullmatch(message_id)):
        raise Refusal("bad_request", "id is a string of 1 to 128 printable ASCII characters")
    return SendRequest(body, message_id)


def body_size(body: Any) -> int:
    """Bytes of a body: of a string in UTF-8, of binary as it is, of anything else as msgpack.

    Raises `Refusal("bad_request")` for what cannot be stored faithfully: half a surrogate pair, a
    whole number beyond 64 bits, nesting without end.
    """
    if isinstance(body, bytes):
        return len(body)
    try:
        if isinstance(body, str):
            return len(body.encode())
        return len(msgspec.msgpack.encode(body))
    except UnicodeEncodeError:
        raise Refusal("bad_request", "the text has half a surrogate pair in it") from None
    except (OverflowError, TypeError, msgspec.MsgspecError):
        raise Refusal("bad_request", "a number in the message is beyond 64 bits") from None
    except RecursionError:
        raise Refusal("bad_request", "the message is nested too deeply") from None


def parse_relayed(args: list[Any], max_body: int) -> list[Any]:
    """What comes with an event that is passed on. Raises `Refusal("bad_request" | "too_large")`."""
    size = body_size(args)  # of the list: a great many empty arguments are not nothing
    if size > max_body:
        raise Refusal("too_large", f"the event has {size} bytes, at most {max_body} are allowed")
    return args


def parse_history(args: Sequence[Any], largest_page: int) -> HistoryRequest:
    """`history` [{before?, after?, limit?}]."""
    options = _options(_only(args, "history"), "history", {"before", "after", "limit"})
    limit = _whole(options.get("limit", min(50, largest_page)), "limit", 1, MAX_PAGE)
    before, after = options.get("before"), options.get("after")
    return HistoryRequest(
        before=None if before is None else _whole(before, "before", 0, MAX_OFFSET),
        after=None if after is None else _whole(after, "after", 0, MAX_OFFSET),
        limit=min(limit, largest_page),
    )


def parse_members(args: Sequence[Any]) -> bool:
    """`members` [{all?}] -> whether the members who are away are wanted too."""
    options = _options(_only(args, "members"), "members", {"all"})
    wanted = options.get("all", False)
    if not isinstance(wanted, bool):
        raise Refusal("bad_request", "all is true or false")
    return wanted


def parse_read(args: Sequence[Any]) -> int:
    """`read` offset."""
    if len(args) != 1:
        raise Refusal("bad_request", "read takes the offset of the last message that was read")
    return _whole(args[0], "the offset", 0, MAX_OFFSET)


def parse_typing(args: Sequence[Any]) -> bool:
    """`typing` bool."""
    if len(args) != 1 or not isinstance(args[0], bool):
        raise Refusal("bad_request", "typing takes true or false")
    return args[0]


def parse_auth(args: Sequence[Any]) -> str:
    """`auth` {token}."""
    options = _options(_only(args, "auth"), "auth", {"token"})
    token = options.get("token")
    if not isinstance(token, str):
        raise Refusal("bad_request", "auth takes {token}")
    return token


def _only(args: Sequence[Any], event: str) -> Any:
    if len(args) > 1:
        raise Refusal("bad_request", f"{event} takes one object")
    return args[0] if args else None


def _options(value: Any, event: str, names: set[str]) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Refusal("bad_request", f"{event}: the options are an object")
    if unknown := value.keys() - names:
        known = ", ".join(sorted(names))
        raise Refusal("bad_request", f"{event}: {min(unknown)[:64]!r} is not one of {known}")
    return value


def _whole(value: Any, what: str, least: int, most: int) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # JavaScript has one kind of number
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise Refusal("bad_request", f"{what} is a whole number from {least} to {most}")
    return value


# ---------------------------------------------------------------------------- answers


def person(user: User) -> dict[str, str]:
    """A user as others see them."""
    return {"user": user.id, "name": user.name}


def message_payload(message: Message) -> dict[str, Any]:
    """A message as clients get it, live, recovered or in a page of history."""
    return {
        "id": message.id,
        "offset": message.offset,
        "user": message.user,
        "name": message.name,
        "body": message.body,
        "at": message.at,
    }


def published_answer(published: Published) -> dict[str, Any]:
    """The ack of `message`."""
    return {
        "ok": True,
        "id": published.id,
        "offset": published.position.offset,
        "at": published.at,
    }


def history_answer(page: Page, request: HistoryRequest) -> dict[str, Any]:
    """The ack of `history`. `more`: the log goes on in the direction in which it was read."""
    items = [message_payload(message) for message in page.messages]
    if not page.messages:
        more = False  # a page has room for one message at least: there is none in this direction
    elif request.after is not None:
        before = page.top.offset + 1 if request.before is None else request.before
        more = page.messages[-1].offset < min(page.top.offset, before - 1)
    else:
        more = page.messages[0].offset > page.first
    return {"ok": True, "items": items, "more": more, "position": str(page.top)}


def members_answer(
    online: Iterable[User], counts: Counts, members: Iterable[User] | None
) -> dict[str, Any]:
    """The ack of `members`."""
    answer: dict[str, Any] = {
        "ok": True,
        "online": [person(user) for user in online],
        "total": counts.total,
    }
    if members is not None:
        answer["members"] = [person(user) for user in members]
    return answer


def rooms_list(rooms: Mapping[str, Mapping[str, int]]) -> list[dict[str, Any]]:
    """The rooms of a user, as the session room tells them: [{room, unread, last}]."""
    return [{"room": room, **numbers} for room, numbers in rooms.items()]


def refusal_body(refusal: Refusal) -> dict[str, Any]:
    """`{code, message, temporary, retry_after?}`; `retry_after` in seconds."""
    body: dict[str, Any] = {
        "code": refusal.code,
        "message": refusal.message,
        "temporary": refusal.temporary,
    }
    if refusal.retry_after is not None:
        # rounded up: who comes back exactly then must not be too early
        body["retry_after"] = math.ceil(refusal.retry_after * 1000) / 1000
    return body


def refusal_answer(refusal: Refusal) -> dict[str, Any]:
    """The ack of a request that was refused."""
    return {"ok": False, "error": refusal_body(refusal)}


# ---------------------------------------------------------------------------- events


def message_event(message: Message, epoch: str) -> Event:
    """A message for everybody in the room."""
    return Event("message", message_payload(message), Position(epoch, message.offset))


def gap_event(first: int, last: int, after: Position) -> Event:
    """The messages `first` to `last` were not recovered; delivery goes on behind `after`.

    Where they are still in the log (too many were missed), pages of `history` have them. From 0 to
    n: the log began anew, and what was in the old one is unknown.
    """
    return Event("gap", {"from": first, "to": last}, after)


def presence_event(diff: PresenceDiff) -> Event:
    """Who came and who left."""
    return Event(
        "presence",
        {
            "online": diff.counts.online,
            "total": diff.counts.total,
            "joined": [person(user) for user in diff.joined],
            "left": [person(user) for user in diff.left],
        },
    )


def typing_event(user: User, on: bool) -> Event:
    """Somebody began or stopped typing."""
    return Event("typing", {**person(user), "on": on})


def read_event(user: User, offset: int) -> Event:
    """Somebody has read up to `offset`."""
    return Event("read", {**person(user), "offset": offset})


def relayed_event(name: str, args: Sequence[Any], sender: User) -> Event:
    """An event of a client for the others, the sender appended (as an object: a string in the last
    place would be taken for a position)."""
    return Event(name, person(sender), before=tuple(args))


def notice_event(code: str, message: str, **more: Any) -> Event:
    """Something that the client should know about its own connection."""
    return Event("notice", {"code": code, "message": message, **more})


def farewell(ending: Disconnect) -> Event:
    """The notice that comes before the server ends a connection."""
    return notice_event(
        ending.code, ending.reason, number=ending.number, reconnect=ending.reconnect
    )


def welcome_event(
    room: str,
    user: User,
    counts: Counts,
    membership: Membership,
    top: Position,
    begins: Position,
    *,
    recovered: bool,
    permissions: Sequence[str],
) -> Event:
    """The first event after every connect.

    `top` is the log's newest position. The event itself leaves the client at `begins`, the place
    from which delivery goes on: what was missed follows as ordinary messages, and a client that is
    cut off in the middle of them must not believe that it had them all.
    """
    return Event(
        "welcome",
        {
            "room": room,
            **person(user),
            "online": counts.online,
            "total": counts.total,
            "position": str(top),
            "recovered": recovered,
            "unread": max(0, top.offset - membership.read),
            "permissions": list(permissions),
        },
        begins,
    )
