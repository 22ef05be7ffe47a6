"""The names that the protocol knows: events of clients and of the server, and rooms.

It says which names there are and which are allowed; not what comes with them, nor who may use them.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from sioserver.errors import Refusal

CLIENT_EVENTS: Final = ("message", "history", "members", "read", "typing", "auth", "leave")
"""Events that a client may send into a room (besides those on the room's relay list)."""

SERVER_EVENTS: Final = ("welcome", "message", "gap", "presence", "typing", "read", "notice")
"""Events that the server sends."""

MAX_ROOM_NAME: Final = 128
SESSION_ROOM: Final = "@me"
"""The reserved name under which a client finds its own session."""

_ROOM_SIGNS: Final = frozenset("_.:-/")
# Letters and marks by Unicode's file, but they show as nothing: fillers, variation selectors. With
# them two rooms could look the same (user ids are held to the same, in auth.py).
_INVISIBLE: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)

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
