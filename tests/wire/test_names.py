"""Names of rooms and events: what is let through is harmless."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sioserver import wire
from sioserver.characters import INVISIBLE
from sioserver.errors import Refusal

from .kit import answer, refused

GOOD = [
    "lobby",
    "support/eu/42",
    "a",
    "A.b-c_d:e/f",
    "7",
    "/",
    "..",
    "Straße",
    "комната",
    "部屋",
    "방",
    "غرفة",
    "नमस्ते",  # with vowel signs and a virama: marks
    "caf\u00e9",
    "½",
    "x" * 128,
    "𝒜",
    "部" * 85,
    "constructor",  # assigning it makes a member like any other
    "@me",
    "@dm/ann",
    "@dm/ann%40example.org",
    "@dm/al ice",  # which a user may be called
]
BAD = [
    "",
    "@",
    "@@me",
    "a@b",
    "x" * 129,
    "two words",
    "tab\t",
    "line\n",
    "nul\0",
    "del\x7f",
    "a,b",
    "a?b",
    "a#b",
    "a\\b",
    "a%20b",
    "<b>",
    "cafe\u0301",  # not NFC
    "\u212b",  # the angstrom sign: NFC makes another letter of it
    "no\u00a0break",
    "zero\u200bwidth",
    "join\u200der",
    "right\u200fmark",
    "over\u202eride",
    "iso\u2066late",
    "\ufeffbom",
    "\ue000",  # private
    "\u0378",  # unassigned
    "half\ud800",
    "party🎉",  # a symbol, like all emoji
    "heart❤",
    "1\ufe0f\u20e3",  # an emoji made of a digit and marks, one of them invisible
    "lobby\u3164",  # a letter by Unicode's file that shows as nothing
    "lob\u034fby",
    "部" * 86,  # 258 bytes
    "𝒜" * 65,
    "\u0941a",  # a mark without a letter
    "a" + "\u0323" * 5,
    "__proto__",
    "@dm/",
    "@dm/100%",
    "@dm/%ff",
]


@pytest.mark.parametrize("name", GOOD)
def test_room_names(name: str) -> None:
    assert wire.check_room(name) == name


@pytest.mark.parametrize("name", BAD)
def test_no_room_names(name: str) -> None:
    assert refused(wire.check_room, name) == "bad_room"


@given(st.text(max_size=140) | st.text("ab@/.:-_ é\u0301\u200f,?#", max_size=12))
def test_a_room_name_that_is_accepted_is_harmless(name: str) -> None:
    refusal = answer(wire.check_room, name)
    if isinstance(refusal, Refusal):
        assert refusal.code == "bad_room"
        return
    if name.startswith("@dm/"):
        return  # the rest is a user's id, which is looked at where the room is looked for
    assert 1 <= len(name) <= 128
    assert len(name.encode()) <= 256
    assert unicodedata.normalize("NFC", name) == name
    assert not set(name) & set(" ,?#\\%\"'<>")
    for sign in name.removeprefix("@"):
        assert sign in "_.:-/" or unicodedata.category(sign)[0] in "LNM"
        assert unicodedata.category(sign) not in ("Cc", "Cf", "Zs", "Cs", "Co", "Cn")


def test_what_shows_as_nothing_is_nowhere_in_names() -> None:
    """User ids and room names are held to the same."""
    invisible = [sign for sign in map(chr, range(0x110000)) if INVISIBLE.match(sign)]
    assert len(invisible) > 250
    for sign in invisible:
        assert refused(wire.check_room, f"a{sign}b") == "bad_room"


def test_nothing_of_the_protocol_or_the_libraries_is_relayed() -> None:
    from socketio.base_client import BaseClient
    from socketio.base_server import BaseServer

    reserved = {*BaseClient.reserved_events, *BaseServer.reserved_events}
    mine = {"", "__proto__", *wire.SERVER_EVENTS}
    assert not any(map(wire.may_be_relayed, reserved | mine))
    assert wire.may_be_relayed("cursor")
    assert wire.may_be_relayed("_private")
