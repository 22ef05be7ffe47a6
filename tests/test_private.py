"""Names of the rooms of one user and of two, inside and outside."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sioserver import private

IDS = st.text(min_size=1, max_size=20)


@pytest.mark.parametrize(
    ("one", "other", "room"),
    [
        ("ann", "ben", "@dm:3:ann:ben"),
        ("ben", "ann", "@dm:3:ann:ben"),
        ("ann", "ann", "@dm:3:ann:ann"),
        ("a:b", "c", "@dm:3:a:b:c"),
        ("a", "b:c", "@dm:1:a:b:c"),
    ],
)
def test_the_room_of_two(one: str, other: str, room: str) -> None:
    assert private.direct_room(one, other) == room
    assert private.is_direct(room)
    assert not private.is_session(room)
    assert private.other_of(room, one) == other
    assert private.other_of(room, other) == one


@given(IDS, IDS, IDS, IDS)
def test_any_two_have_a_room_of_their_own(a: str, b: str, c: str, d: str) -> None:
    room = private.direct_room(a, b)
    assert sorted(private.pair(room)) == sorted([a, b])
    assert (room == private.direct_room(c, d)) is (sorted([a, b]) == sorted([c, d]))


@given(IDS, IDS)
def test_the_name_says_who_the_other_is(me: str, other: str) -> None:
    room = private.direct_room(me, other)
    assert private.shown(room, me) == private.direct_name(other)
    assert private.named(private.direct_name(other)) == other


@pytest.mark.parametrize(
    ("user", "name"),
    [
        ("bob", "@dm/bob"),
        ("bob@example.org", "@dm/bob%40example.org"),
        ("a/b, c?", "@dm/a%2Fb%2C%20c%3F"),
        ("50%", "@dm/50%25"),
        ("it's (me)*!~-_.", "@dm/it's%20(me)*!~-_."),  # as encodeURIComponent has it
        ("李明", "@dm/%E6%9D%8E%E6%98%8E"),
    ],
)
def test_names_are_encoded_as_in_javascript(user: str, name: str) -> None:
    assert private.direct_name(user) == name
    assert private.named(name) == user


@pytest.mark.parametrize(
    ("name", "user"), [("@dm/李明", "李明"), ("@dm/%62ob", "bob"), ("@dm/a/b", "a/b")]
)
def test_what_need_not_be_encoded_may_be(name: str, user: str) -> None:
    assert private.named(name) == user


@pytest.mark.parametrize(
    "name", ["@dm/", "@dm", "@dm/%", "@dm/100%", "@dm/%zz", "@dm/%ff", "@me", "dm/bob", ""]
)
def test_what_is_no_name_of_such_a_room(name: str) -> None:
    with pytest.raises(ValueError, match=r"room of two|UTF-8"):
        private.named(name)


@pytest.mark.parametrize(
    "room", ["lobby", "@dm:", "@dm:1", "@dm:x:a:b", "@dm:1:b:a", "@dm:1:ab", "@dm:-1:a:b", "@me:a"]
)
def test_what_is_no_room_of_two(room: str) -> None:
    with pytest.raises(ValueError):
        private.pair(room)


def test_somebody_elses_room() -> None:
    with pytest.raises(ValueError, match="somebody else's"):
        private.shown(private.direct_room("ann", "ben"), "cat")


def test_sessions() -> None:
    room = private.session_room("ann")
    assert private.is_session(room)
    assert not private.is_direct(room)
    assert not private.is_session(private.SESSION)
    assert private.shown(room, "ann") == private.SESSION


def test_other_rooms_are_called_what_they_are() -> None:
    assert private.shown("lobby", "ann") == "lobby"
    assert not private.is_session("lobby")
    assert not private.is_direct("lobby")
