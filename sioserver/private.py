"""The rooms of one user and of two: what they are called inside, and what their people call them.

`@me` is each user's own session, and `@dm/<user>` the room that two share; so one such name means
another room to each user. Inside, each of these rooms has one name for everybody. Names in, names
out: who may use them is not known here.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote, unquote

SESSION: Final = "@me"
"""What every user calls their own session."""
DIRECT: Final = "@dm/"
"""What stands before the other user in the name of a room of two."""

_SESSION: Final = "@me:"
_DIRECT: Final = "@dm:"
_ENCODED: Final = re.compile(r"(?:[^%]|%[0-9A-Fa-f]{2})+", re.DOTALL)


def session_room(user_id: str) -> str:
    """The room in which all sessions of a user are."""
    return _SESSION + user_id


def is_session(room: str) -> bool:
    """Is it the room of somebody's sessions? (By its name inside.)"""
    return room.startswith(_SESSION)


def session_user(room: str) -> str:
    """Whose sessions are in such a room."""
    return room.removeprefix(_SESSION)


def direct_room(one: str, other: str) -> str:
    """The room of two users, the same whoever asks; with oneself, the room of one.

    The first id is as long as the number says, so that any two ids make a name of their own.
    """
    first, second = sorted((one, other))
    return f"{_DIRECT}{len(first)}:{first}:{second}"


def is_direct(room: str) -> bool:
    """Is it a room of two? (By its name inside.)"""
    return room.startswith(_DIRECT)


def pair(room: str) -> tuple[str, str]:
    """The two users of such a room; raises ValueError for a room that is not one."""
    if not room.startswith(_DIRECT):
        raise ValueError("not a room of two")
    length, _, rest = room.removeprefix(_DIRECT).partition(":")
    first, second = rest[: int(length)], rest[int(length) + 1 :]
    if direct_room(first, second) != room:
        raise ValueError("not a room of two")
    return first, second


def other_of(room: str, user_id: str) -> str:
    """With whom a user shares a room of two; raises ValueError for who is not one of them."""
    first, second = pair(room)
    if user_id not in (first, second):
        raise ValueError("somebody else's room")
    return second if user_id == first else first


def direct_name(user_id: str) -> str:
    """What others call their room with this user: encoded as by JavaScript's encodeURIComponent."""
    return DIRECT + quote(user_id, safe="!*'()")


def named(name: str) -> str:
    """The other user in the name of a room of two, percent-decoded; raises ValueError."""
    encoded = name.removeprefix(DIRECT)
    if encoded == name or not _ENCODED.fullmatch(encoded):
        raise ValueError(f"a room of two is {DIRECT} and the other user's id, percent-encoded")
    try:
        return unquote(encoded, errors="strict")
    except UnicodeDecodeError:
        raise ValueError("the other user's id is not percent-encoded UTF-8") from None


def shown(room: str, user_id: str) -> str:
    """What a user calls a room that is theirs."""
    if room.startswith(_DIRECT):
        return direct_name(other_of(room, user_id))
    return SESSION if room.startswith(_SESSION) else room
