"""The application protocol: whatever a client sends is a request or a refusal, nothing else."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sioserver import auth, wire
from sioserver.errors import DISCONNECTS, REFUSALS, Disconnect, Refusal
from sioserver.model import (
    MAX_OFFSET,
    Counts,
    Event,
    Membership,
    Page,
    Position,
    Published,
)
from sioserver.wire import Hello, HistoryRequest, SendRequest

from .fakes import ANN, BEN, diff, message

# What a decoder of JSON may hand us: half surrogate pairs and long numbers too.
TEXTS = st.text(st.characters(), max_size=20)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS
    | st.binary(max_size=20)
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
KEYS = st.sampled_from(
    ["id", "before", "after", "limit", "all", "token", "user", "name", "position", "pid", "offset"]
)
OPTIONS = st.dictionaries(KEYS | TEXTS, JSON, max_size=4)
ARGS = st.lists(OPTIONS | JSON, max_size=3)


def refused(call: Any, *args: Any) -> str:
    with pytest.raises(Refusal) as caught:
        call(*args)
    return caught.value.code


def answer(call: Any, *args: Any) -> Any:
    """What comes back, or the refusal."""
    try:
        return call(*args)
    except Refusal as refusal:
        return refusal


# ---------------------------------------------------------------------------- names of rooms

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
    "@me",
    "@dm/ann",
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
    assert 1 <= len(name) <= 128
    assert unicodedata.normalize("NFC", name) == name
    assert not set(name) & set(" ,?#\\%\"'<>")
    for sign in name.removeprefix("@"):
        assert sign in "_.:-/" or unicodedata.category(sign)[0] in "LNM"
        assert unicodedata.category(sign) not in ("Cc", "Cf", "Zs", "Cs", "Co", "Cn")


def test_what_shows_as_nothing_is_nowhere_in_names() -> None:
    """User ids and room names are held to the same."""
    invisible = [sign for sign in map(chr, range(0x110000)) if auth._INVISIBLE.match(sign)]
    assert len(invisible) > 250
    for sign in invisible:
        assert refused(wire.check_room, f"a{sign}b") == "bad_room"


def test_the_session_has_a_name_that_no_room_can_have() -> None:
    assert wire.SESSION_ROOM == auth.SESSION_ROOM
    assert wire.check_room(wire.SESSION_ROOM).startswith("@")


# ---------------------------------------------------------------------------- connecting


def test_nothing_is_a_hello() -> None:
    assert wire.parse_hello(None) == wire.parse_hello({}) == Hello()


def test_a_full_hello() -> None:
    auth = {
        "token": "t",
        "user": "ann",
        "name": "Ann",
        "position": "a.3",
        "pid": "p",
        "offset": "a.7",
        "whatever": [1],
    }
    assert wire.parse_hello(auth) == Hello(
        "t", "ann", "Ann", Position("a", 3), "p", Position("a", 7)
    )


@pytest.mark.parametrize(
    ("auth", "header", "token"),
    [
        (None, "h", "h"),
        ({"token": "t"}, "h", "t"),
        ({"token": ""}, "h", "h"),
        ({"token": None}, None, None),
        ({"token": ""}, None, None),
    ],
)
def test_where_a_token_comes_from(auth: Any, header: str | None, token: str | None) -> None:
    assert wire.parse_hello(auth, header).token == token


@pytest.mark.parametrize(
    "auth",
    [
        [],
        "token",
        7,
        True,
        {"token": 7},
        {"user": []},
        {"name": {}},
        {"position": 7},
        {"position": ""},
        {"position": "a"},
        {"position": "a.b"},
    ],
)
def test_no_hellos(auth: Any) -> None:
    assert refused(wire.parse_hello, auth) == "bad_request"


@pytest.mark.parametrize(
    ("auth", "pid", "offset"),
    [
        ({"pid": "p"}, "p", None),
        ({"pid": "p", "offset": "garbage"}, "p", None),
        ({"pid": "p", "offset": 7}, "p", None),
        ({"pid": "p", "offset": f"a.{MAX_OFFSET + 1}"}, "p", None),
        ({"pid": "p", "offset": "a.7"}, "p", Position("a", 7)),
        ({"pid": 7, "offset": "a.7"}, None, None),
        ({"pid": None, "offset": "a.7"}, None, None),
        ({"pid": "p" * 2048, "offset": "a.7"}, "p" * 2048, Position("a", 7)),
        ({"pid": "p" * 2049, "offset": "a.7"}, None, None),
        ({"offset": "a.7"}, None, None),
    ],
)
def test_a_stale_pid_or_offset_keeps_nobody_out(
    auth: Any, pid: str | None, offset: Position | None
) -> None:
    hello = wire.parse_hello(auth)
    assert (hello.pid, hello.offset) == (pid, offset)


@given(JSON, JSON)
def test_no_garbage_in_pid_or_offset_keeps_anybody_out(pid: Any, offset: Any) -> None:
    hello = wire.parse_hello({"user": "ann", "pid": pid, "offset": offset})
    assert hello.user == "ann"
    assert hello.offset is None or str(hello.offset).partition(".")[0] in offset


# ---------------------------------------------------------------------------- requests


@given(OPTIONS | JSON)
def test_any_hello_is_parsed_or_refused(auth: Any) -> None:
    hello = answer(wire.parse_hello, auth)
    assert isinstance(hello, Hello) or hello.code == "bad_request"


@pytest.mark.parametrize(
    "parse",
    [
        lambda args: wire.parse_send(args, 100),
        lambda args: wire.parse_relayed(args, 100),
        lambda args: wire.parse_history(args, 200),
        wire.parse_members,
        wire.parse_read,
        wire.parse_typing,
        wire.parse_auth,
    ],
)
@given(args=ARGS)
def test_any_arguments_are_parsed_or_refused(parse: Any, args: list[Any]) -> None:
    refusal = answer(parse, args)
    if isinstance(refusal, Refusal):
        assert refusal.code in ("bad_request", "too_large")
        assert len(refusal.message) < 200
        json.dumps(refusal.message, ensure_ascii=False).encode()  # can be sent


def test_what_is_nested_without_end_is_refused() -> None:
    body: list[Any] = []
    for _ in range(5000):
        body = [body]
    assert refused(wire.parse_send, [body], 1_000_000) == "bad_request"
    assert refused(wire.parse_relayed, [body], 1_000_000) == "bad_request"
    while body:  # the collector would recurse as well
        body = body.pop()


@pytest.mark.parametrize(
    ("args", "request_"),
    [
        (["hi"], SendRequest("hi", None)),
        (["hi", {}], SendRequest("hi", None)),
        (["hi", None], SendRequest("hi", None)),
        (["hi", {"id": None}], SendRequest("hi", None)),
        (["hi", {"id": "m-1"}], SendRequest("hi", "m-1")),
        ([None], SendRequest(None, None)),
        ([""], SendRequest("", None)),
        ([b"\0\1"], SendRequest(b"\0\1", None)),
        ([{"a": [1.5, b"x"]}, {"id": "!~" * 64}], SendRequest({"a": [1.5, b"x"]}, "!~" * 64)),
    ],
)
def test_messages(args: list[Any], request_: SendRequest) -> None:
    assert wire.parse_send(args, 100) == request_


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["a", "b"],
        ["a", {}, None],
        ["a", {"id": ""}],
        ["a", {"id": "x" * 129}],
        ["a", {"id": 7}],
        ["a", {"id": "two words"}],
        ["a", {"id": "ä"}],
        ["a", {"id": "line\n"}],
        ["a", {"ID": "x"}],
        ["a", {"id": "x", "more": 1}],
        ["half\ud800"],
        [{"\udfff": 1}],
        [2**64],
        [[-(2**63) - 1]],
    ],
)
def test_no_messages(args: list[Any]) -> None:
    assert refused(wire.parse_send, args, 100) == "bad_request"


@pytest.mark.parametrize(
    ("body", "size"),
    [
        ("", 0),
        ("hi", 2),
        ("é", 2),
        ("🎉", 4),
        (b"", 0),
        (b"\xff" * 9, 9),
        (None, 1),
        (True, 1),
        (7, 1),
        (2**64 - 1, 9),
        (-(2**63), 9),
        (1.5, 9),
        ([], 1),
        (["hi", b"hi"], 1 + 3 + 4),
        ({"a": 1}, 1 + 2 + 1),
    ],
)
def test_the_size_of_a_body(body: Any, size: int) -> None:
    assert wire.body_size(body) == size


@given(JSON)
def test_what_has_a_size_can_be_stored(body: Any) -> None:
    try:
        size = wire.body_size(body)
    except Refusal:
        return
    stored = msgspec.msgpack.encode(body)
    assert size <= len(stored) <= size + 5
    assert msgspec.msgpack.decode(stored) == body


@given(st.text(max_size=40) | st.binary(max_size=40), st.integers(0, 60))
def test_the_limit_of_a_body_is_exact(body: str | bytes, limit: int) -> None:
    if wire.body_size(body) <= limit:
        assert wire.parse_send([body], limit).body == body
    else:
        assert refused(wire.parse_send, [body], limit) == "too_large"


def test_relayed_arguments_are_passed_on_as_they_are() -> None:
    args = [1, "two", {"three": b"3"}]
    assert wire.parse_relayed(args, 100) is args
    assert wire.parse_relayed([], 100) == []


def test_many_empty_arguments_are_not_nothing() -> None:
    assert refused(wire.parse_relayed, [""] * 1000, 100) == "too_large"
    assert refused(wire.parse_relayed, ["x" * 60, "x" * 60], 100) == "too_large"


@pytest.mark.parametrize(
    ("args", "request_"),
    [
        ([], HistoryRequest(None, None, 50)),
        ([None], HistoryRequest(None, None, 50)),
        ([{}], HistoryRequest(None, None, 50)),
        ([{"before": 9}], HistoryRequest(9, None, 50)),
        ([{"after": 0, "limit": 7}], HistoryRequest(None, 0, 7)),
        ([{"before": 9.0, "after": 3.0}], HistoryRequest(9, 3, 50)),
        ([{"before": None, "after": None}], HistoryRequest(None, None, 50)),
        ([{"limit": 10_000}], HistoryRequest(None, None, 200)),
        ([{"before": MAX_OFFSET}], HistoryRequest(MAX_OFFSET, None, 50)),
    ],
)
def test_requests_for_history(args: list[Any], request_: HistoryRequest) -> None:
    assert wire.parse_history(args, 200) == request_


def test_a_small_page_is_the_default() -> None:
    assert wire.parse_history([], 20).limit == 20


@pytest.mark.parametrize(
    "args",
    [
        [7],
        ["a"],
        [[]],
        [{}, {}],
        [{"limit": 0}],
        [{"limit": -1}],
        [{"limit": True}],
        [{"limit": "7"}],
        [{"limit": None}],
        [{"limit": 10_001}],
        [{"before": -1}],
        [{"after": 1.5}],
        [{"after": MAX_OFFSET + 1}],
        [{"after": 1e300}],
        [{"After": 1}],
    ],
)
def test_no_requests_for_history(args: list[Any]) -> None:
    assert refused(wire.parse_history, args, 200) == "bad_request"


def test_an_unknown_option_is_named_and_the_known_ones_too() -> None:
    with pytest.raises(Refusal, match=r"history: 'befor' is not one of after, before, limit"):
        wire.parse_history([{"befor": 1}], 200)
    with pytest.raises(Refusal) as caught:
        wire.parse_history([{"x" * 10_000: 1}], 200)
    assert len(caught.value.message) < 200


def test_requests_for_members() -> None:
    assert wire.parse_members([]) is wire.parse_members([{"all": False}]) is False
    assert wire.parse_members([{"all": True}]) is True
    for args in [[{"all": 1}], [True], [{}, {}], [{"all": None}]]:
        assert refused(wire.parse_members, args) == "bad_request"


def test_read_positions() -> None:
    assert wire.parse_read([7]) == wire.parse_read([7.0]) == 7
    assert wire.parse_read([0]) == 0
    for args in [[], [7, 8], [-1], ["7"], [True], [None], [7.5], [MAX_OFFSET + 1]]:
        assert refused(wire.parse_read, args) == "bad_request"


def test_typing() -> None:
    assert wire.parse_typing([True]) is True
    assert wire.parse_typing([False]) is False
    for args in [[], [1], ["true"], [None], [True, True]]:
        assert refused(wire.parse_typing, args) == "bad_request"


def test_fresh_tokens() -> None:
    assert wire.parse_auth([{"token": "t"}]) == "t"
    for args in [[], ["t"], [{}], [{"token": 7}], [{"token": "t", "user": "x"}], [{}, {}]]:
        assert refused(wire.parse_auth, args) == "bad_request"


def test_nothing_of_the_protocol_or_the_libraries_is_relayed() -> None:
    from socketio.base_client import BaseClient
    from socketio.base_server import BaseServer

    reserved = {*BaseClient.reserved_events, *BaseServer.reserved_events}
    assert reserved | set(wire.SERVER_EVENTS) <= wire.NEVER_RELAYED


# ---------------------------------------------------------------------------- answers


def test_a_message_looks_the_same_everywhere() -> None:
    said = message(3, {"text": "hi"})
    payload = {
        "id": "m3",
        "offset": 3,
        "user": "ben",
        "name": "Ben",
        "body": {"text": "hi"},
        "at": 1003,
    }
    assert wire.message_payload(said) == payload
    assert wire.message_event(said, "e") == Event("message", payload, Position("e", 3))
    page = Page([said], 1, Position("e", 3))
    answer = wire.history_answer(page, HistoryRequest(None, None, 1))
    assert answer == {"ok": True, "items": [payload], "more": True, "position": "e.3"}


def test_the_answer_to_a_message() -> None:
    answer = wire.published_answer(Published("m", Position("e", 7), 99, duplicate=True))
    assert answer == {"ok": True, "id": "m", "offset": 7, "at": 99}


@given(st.data())
def test_more_says_whether_the_log_goes_on_in_the_direction_of_reading(data: st.DataObject) -> None:
    top = data.draw(st.integers(0, 12), "top")
    first = data.draw(st.integers(1, top + 1), "first")
    log = range(first, top + 1)
    ends = st.none() | st.integers(0, 15)
    request = HistoryRequest(
        data.draw(ends, "before"), data.draw(ends, "after"), data.draw(st.integers(1, 6), "limit")
    )
    before, after = request.before, request.after
    # the log as the contract of an engine reads it
    stretch = [
        offset
        for offset in log
        if (before is None or offset < before) and (after is None or offset > after)
    ]
    if after is None:
        read, rest = stretch[-request.limit :], stretch[: -request.limit]
    else:
        read, rest = stretch[: request.limit], stretch[request.limit :]
    page = Page([message(offset) for offset in read], first, Position("e", top))
    answer = wire.history_answer(page, request)
    assert [item["offset"] for item in answer["items"]] == read
    assert answer["more"] == bool(rest)
    assert answer["position"] == f"e.{top}"


def test_members() -> None:
    counts = Counts(1, 2)
    online = [{"user": "ann", "name": "Ann"}]
    assert wire.members_answer([ANN], counts, None) == {"ok": True, "online": online, "total": 2}
    assert wire.members_answer([ANN], counts, [ANN, BEN]) == {
        "ok": True,
        "online": online,
        "total": 2,
        "members": [*online, {"user": "ben", "name": "Ben"}],
    }


def test_the_rooms_of_a_user() -> None:
    assert wire.rooms_list({"b": {"unread": 1, "last": 2}, "a": {"unread": 0, "last": 0}}) == [
        {"room": "b", "unread": 1, "last": 2},
        {"room": "a", "unread": 0, "last": 0},
    ]


@pytest.mark.parametrize("code", REFUSALS)
def test_the_shape_of_a_refusal(code: str) -> None:
    refusal = Refusal(code)
    body = wire.refusal_body(refusal)
    assert body == {
        "code": code,
        "message": refusal.message,
        "temporary": refusal.temporary,
    }
    assert wire.refusal_answer(refusal) == {"ok": False, "error": body}


@given(st.floats(0, 1e6))
def test_who_comes_back_as_told_is_not_too_early(wait: float) -> None:
    body = wire.refusal_body(Refusal("rate_limited", retry_after=wait))
    assert wait <= body["retry_after"] <= wait + 0.0011
    assert len(str(body["retry_after"]).partition(".")[2]) <= 3


# ---------------------------------------------------------------------------- events


@given(st.lists(JSON, max_size=3))
def test_an_ephemeral_event_never_ends_with_a_string(args: list[Any]) -> None:
    """A client would take it for its position."""
    events = [
        wire.presence_event(diff([ANN], [BEN], 1, 2)),
        wire.typing_event(ANN, on=True),
        wire.read_event(ANN, 7),
        wire.relayed_event("cursor", args, ANN),
        wire.notice_event("code", "message", event="message"),
        wire.farewell(Disconnect("kicked")),
    ]
    assert {event.name for event in events} > {"presence", "typing", "read", "notice"}
    for event in events:
        assert event.position is None
        assert isinstance(event.payload, dict)
    assert events[3].before == tuple(args)
    assert events[3].payload == wire.person(ANN)


def test_ephemeral_events() -> None:
    ann, ben = {"user": "ann", "name": "Ann"}, {"user": "ben", "name": "Ben"}
    assert wire.presence_event(diff([ANN], [BEN], 1, 2)) == Event(
        "presence", {"online": 1, "total": 2, "joined": [ann], "left": [ben]}
    )
    assert wire.typing_event(ANN, on=False) == Event("typing", {**ann, "on": False})
    assert wire.read_event(ANN, 7) == Event("read", {**ann, "offset": 7})


@pytest.mark.parametrize("code", DISCONNECTS)
def test_a_farewell_says_whether_to_come_back(code: str) -> None:
    payload = wire.farewell(Disconnect(code, "because")).payload
    assert payload == {
        "code": code,
        "message": "because",
        "number": DISCONNECTS[code].number,
        "reconnect": DISCONNECTS[code].reconnect,
    }


def test_a_gap_leaves_the_client_behind_it() -> None:
    assert wire.gap_event(3, 5, Position("e", 5)) == Event(
        "gap", {"from": 3, "to": 5}, Position("e", 5)
    )


@pytest.mark.parametrize(("read", "unread"), [(0, 9), (4, 5), (9, 0), (12, 0)])
def test_a_welcome_leaves_the_client_where_delivery_goes_on(read: int, unread: int) -> None:
    event = wire.welcome_event(
        "lobby",
        ANN,
        Counts(2, 3),
        Membership(1, 4, read),
        Position("e", 9),
        Position("e", 4),
        recovered=False,
        permissions=("join", "read"),
    )
    assert event.position == Position("e", 4)
    assert event.payload == {
        "room": "lobby",
        "user": "ann",
        "name": "Ann",
        "online": 2,
        "total": 3,
        "position": "e.9",
        "recovered": False,
        "unread": unread,
        "permissions": ["join", "read"],
    }


def test_all_events_of_the_server_are_in_the_list() -> None:
    position = Position("e", 1)
    welcome = wire.welcome_event(
        "r", ANN, Counts(1, 1), Membership(0, 0, 0), position, position,
        recovered=True, permissions=[],
    )  # fmt: skip
    made = [
        welcome,
        wire.message_event(message(1), "e"),
        wire.gap_event(1, 1, position),
        wire.presence_event(diff([], [], 1, 1)),
        wire.typing_event(ANN, on=True),
        wire.read_event(ANN, 1),
        wire.notice_event("c", "m"),
    ]
    assert tuple(event.name for event in made) == wire.SERVER_EVENTS
