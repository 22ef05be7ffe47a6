"""What clients send: arguments in, values out, or a `Refusal` that says what was expected.

It reads one request at a time and knows neither who sent it nor what has become of the room.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from sioserver.errors import Refusal
from sioserver.model import MAX_OFFSET, Position, State
from sioserver.wire.arguments import message_id, one_object, options, whole
from sioserver.wire.bodies import check_body

MAX_PAGE: Final = 10_000
MAX_MENTIONS: Final = 50
"""Users that one message mentions."""
MAX_USER_ID: Final = 128
"""Characters of the id of a user who is mentioned: no id is longer."""
MAX_PID: Final = 4096
"""Characters of a recovery token: it holds the names of a user and a room, and a room of two is
named by a user's id, percent-encoded."""

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
    if isinstance(pid, str) and isinstance(offset, str) and len(pid) <= MAX_PID:
        try:
            known = Position.parse(offset)
        except ValueError:
            known = None
    return Hello(
        token=texts["token"] or header_token,
        user=texts["user"],
        name=texts["name"],
        position=position,
        pid=pid if isinstance(pid, str) and len(pid) <= MAX_PID else None,
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
    mentions: tuple[str, ...] = ()
    """Ids of users."""
    reply_to: int | str | None = None
    """The offset or id of the message that it answers."""


class HistoryRequest(msgspec.Struct, frozen=True):
    """A page of messages with `after < offset < before`."""

    before: int | None
    after: int | None
    limit: int
    operations: bool = False
    """What was done to messages is wanted too, each as an item of its own."""


def parse_send(args: Sequence[Any], max_body: int) -> SendRequest:
    """`message` body [, {id?, reply_to?, mentions?}].

    Raises `Refusal("bad_request" | "too_large")`."""
    if not 1 <= len(args) <= 2:
        raise Refusal("bad_request", "message takes a body and, if you like, options such as {id}")
    body = args[0]
    check_body(body, max_body, "the message")
    given = options(args[1] if len(args) == 2 else None, "message", _MESSAGE_OPTIONS)
    if not given:
        return SendRequest(body, None)
    id, reply_to, mentions = given.get("id"), given.get("reply_to"), given.get("mentions")
    return SendRequest(
        body,
        None if id is None else message_id(id, "id"),
        () if mentions is None else _mentions(mentions),
        None if reply_to is None else _reply_to(reply_to),
    )


_MESSAGE_OPTIONS: Final = {"id", "reply_to", "mentions"}


def _reply_to(value: Any) -> int | str:
    what = "reply_to is the offset or the id of a message: it"
    if isinstance(value, str):
        return message_id(value, what)
    return whole(value, what, 1, MAX_OFFSET)


def _mentions(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > MAX_MENTIONS:
        raise Refusal("bad_request", f"mentions is a list of at most {MAX_MENTIONS} ids of users")
    for user in value:
        if not isinstance(user, str) or not 0 < len(user) <= MAX_USER_ID or not _is_text(user):
            raise Refusal("bad_request", "mentions is a list of ids of users, which are strings")
    return tuple(dict.fromkeys(value))  # each once


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:  # half a surrogate pair
        return False
    return True


def parse_relayed(args: list[Any], max_body: int) -> list[Any]:
    """What comes with an event that is passed on. Raises `Refusal("bad_request" | "too_large")`."""
    check_body(args, max_body, "the event")  # many empty arguments are not nothing
    return args


def parse_history(args: Sequence[Any], largest_page: int) -> HistoryRequest:
    """`history` [{before?, after?, limit?, operations?}]."""
    given = options(
        one_object(args, "history"), "history", {"before", "after", "limit", "operations"}
    )
    limit = whole(given.get("limit", min(50, largest_page)), "limit", 1, MAX_PAGE)
    before, after = given.get("before"), given.get("after")
    operations = given.get("operations", False)
    if not isinstance(operations, bool):
        raise Refusal("bad_request", "operations is true or false")
    return HistoryRequest(
        before=None if before is None else whole(before, "before", 0, MAX_OFFSET),
        after=None if after is None else whole(after, "after", 0, MAX_OFFSET),
        limit=min(limit, largest_page),
        operations=operations,
    )


def parse_members(args: Sequence[Any]) -> bool:
    """`members` [{all?}] -> whether the members who are away are wanted too."""
    given = options(one_object(args, "members"), "members", {"all"})
    wanted = given.get("all", False)
    if not isinstance(wanted, bool):
        raise Refusal("bad_request", "all is true or false")
    return wanted


def parse_read(args: Sequence[Any]) -> int:
    """`read` offset."""
    if len(args) != 1:
        raise Refusal("bad_request", "read takes the offset of the last message that was read")
    return whole(args[0], "the offset", 0, MAX_OFFSET)


def parse_typing(args: Sequence[Any]) -> bool:
    """`typing` bool."""
    if len(args) != 1 or not isinstance(args[0], bool):
        raise Refusal("bad_request", "typing takes true or false")
    return args[0]


def parse_status(args: Sequence[Any]) -> State:
    """`status` {state}."""
    state = options(one_object(args, "status"), "status", {"state"}).get("state")
    if state == "online":
        return "online"
    if state == "away":
        return "away"
    raise Refusal("bad_request", 'status takes {state: "online"} or {state: "away"}')


def parse_auth(args: Sequence[Any]) -> str:
    """`auth` {token}."""
    given = options(one_object(args, "auth"), "auth", {"token"})
    token = given.get("token")
    if not isinstance(token, str):
        raise Refusal("bad_request", "auth takes {token}")
    return token


def parse_mentions(args: Sequence[Any]) -> int:
    """`mentions` [{after?}] -> the number behind which they are wanted."""
    given = options(one_object(args, "mentions"), "mentions", {"after"})
    after = given.get("after")
    return 0 if after is None else whole(after, "after", 0, MAX_OFFSET)


def parse_nothing(args: Sequence[Any], event: str) -> None:
    """`leave`, `rooms`: events without arguments."""
    if args:
        raise Refusal("bad_request", f"{event} takes nothing")
