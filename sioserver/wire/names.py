"""The names that the protocol knows: events of clients and of the server, and rooms.

It says which names there are and which are allowed; not what comes with them, nor who may use them.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from sioserver import private
from sioserver.characters import INVISIBLE, MAX_MARKS
from sioserver.errors import Refusal

CLIENT_EVENTS: Final = (
    "message",
    "edit",
    "delete",
    "react",
    "history",
    "search",
    "members",
    "read",
    "typing",
    "status",
    "auth",
    "leave",
    "kick",
    "mute",
    "unmute",
    "ban",
    "unban",
    "bans",
    "settings",
    "moderation_log",
)
"""Events that a client may send into a room (besides those on the room's relay list)."""

SERVER_EVENTS: Final = (
    "welcome",
    "message",
    "edit",
    "delete",
    "reaction",
    "gap",
    "presence",
    "typing",
    "read",
    "room",
    "notice",
    "unread",
    "mention",
    "room_joined",
    "room_left",
)
"""Events that the server sends."""

MAX_ROOM_NAME: Final = 128
"""Characters."""
MAX_ROOM_BYTES: Final = 256
"""Bytes in UTF-8: names are in keys, in session tokens and in every packet."""

_ROOM_SIGNS: Final = frozenset("_.:-/")
# most rooms' names, which cannot be wrong: 0.3 us in place of 5, and each connection asks twice
_ASCII_ROOM: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/-]{0,127}")

# What the protocol itself uses, and what the JavaScript and Python libraries keep for themselves: a
# room may not pass these on, or one member could run the others' own handlers.
# `ack` and `join` are the native dialect's own (plain WebSockets).
NEVER_RELAYED: Final = frozenset(SERVER_EVENTS) | {
    "ack",
    "join",
    "connect",
    "connect_error",
    "disconnect",
    "disconnecting",
    "newListener",
    "removeListener",
}


def may_be_relayed(event: str) -> bool:
    """May a room pass an event of this name on? What begins with two underscores is the libraries'
    own, and `__proto__` a trap for whoever keeps things by name in a JavaScript object."""
    return bool(event) and event not in NEVER_RELAYED and not event.startswith("__")


def check_room(name: str) -> str:
    """Return the room's name, or raise `Refusal("bad_room")`.

    1 to 128 characters and at most 256 bytes, NFC; letters and digits of any script and
    `_ . : - /`. A name that begins with `@` is reserved and looked up elsewhere; behind `@dm/` is
    a user's id, percent-encoded, and only that is looked at here.
    """
    if _ASCII_ROOM.fullmatch(name):
        return name
    if name.startswith(private.DIRECT):
        try:
            private.named(name)
        except ValueError as error:
            raise Refusal("bad_room", str(error)) from None
        return name
    if not 0 < len(name) <= MAX_ROOM_NAME:
        raise Refusal("bad_room", f"a room name has 1 to {MAX_ROOM_NAME} characters")
    rest = name.removeprefix("@")
    marks = MAX_MARKS  # at the beginning there is no letter for them
    for sign in rest:
        # combining marks belong to the letters of many scripts
        category = unicodedata.category(sign)
        if sign not in _ROOM_SIGNS and category[0] not in "LNM":
            raise Refusal("bad_room", "a room name has letters, digits and _ . : - / only")
        marks = marks + 1 if category in ("Mn", "Me") else 0
        if marks > MAX_MARKS:
            raise Refusal("bad_room", f"a room name has at most {MAX_MARKS} marks on a letter")
    if len(name.encode()) > MAX_ROOM_BYTES:  # no surrogates: those are no letters
        raise Refusal("bad_room", f"a room name has at most {MAX_ROOM_BYTES} bytes in UTF-8")
    if rest == "__proto__":
        raise Refusal("bad_room", "__proto__ is no room: it breaks JavaScript objects kept by name")
    if INVISIBLE.search(rest):
        raise Refusal("bad_room", "a room name has visible signs only")
    if not rest or not unicodedata.is_normalized("NFC", name):
        raise Refusal("bad_room", "a room name is not empty and in Unicode form NFC")
    return name
