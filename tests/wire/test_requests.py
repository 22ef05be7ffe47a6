"""Whatever a client sends is a request or a refusal, nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sioserver import wire
from sioserver.errors import Refusal
from sioserver.model import MAX_OFFSET, Position
from sioserver.wire import Hello, HistoryRequest, SendRequest

from .kit import ARGS, JSON, OPTIONS, answer, refused

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
        ({"pid": "p" * 4096, "offset": "a.7"}, "p" * 4096, Position("a", 7)),
        ({"pid": "p" * 4097, "offset": "a.7"}, None, None),
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


@given(OPTIONS | JSON)
def test_any_hello_is_parsed_or_refused(auth: Any) -> None:
    hello = answer(wire.parse_hello, auth)
    assert isinstance(hello, Hello) or hello.code == "bad_request"


# ---------------------------------------------------------------------------- requests


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


def test_events_without_arguments() -> None:
    wire.parse_nothing([], "leave")
    for args in [[None], [{}], [1, 2]]:
        with pytest.raises(Refusal, match="leave takes nothing") as caught:
            wire.parse_nothing(args, "leave")
        assert caught.value.code == "bad_request"


@pytest.mark.parametrize("hidden", [{"_placeholder": True, "num": 99}, {"_placeholder": 1}])
def test_nobody_posts_or_passes_on_what_looks_like_an_attachment(hidden: Any) -> None:
    for body in (hidden, [hidden, b"x"], {"deep": [{"down": hidden}]}):
        assert refused(wire.parse_send, [body], 100) == "bad_request"
        assert refused(wire.parse_relayed, ["first", body], 100) == "bad_request"


@pytest.mark.parametrize(
    ("args", "after"),
    [([], 0), ([None], 0), ([{}], 0), ([{"after": None}], 0), ([{"after": 7}], 7)],
)
def test_mentions_that_are_asked_for(args: list[Any], after: int) -> None:
    assert wire.parse_mentions(args) == after


@pytest.mark.parametrize(
    "args", [[1], [{"after": -1}], [{"after": "x"}], [{"before": 1}], [{}, {}]]
)
def test_mentions_that_are_not(args: list[Any]) -> None:
    assert refused(wire.parse_mentions, args) == "bad_request"


@pytest.mark.parametrize(
    ("mentions", "read"),
    [(None, ()), ([], ()), (["b", "a", "b"], ("b", "a")), (["u" * 128], ("u" * 128,))],
)
def test_who_is_mentioned(mentions: Any, read: tuple[str, ...]) -> None:
    assert wire.parse_send(["hi", {"mentions": mentions}], 100).mentions == read


@pytest.mark.parametrize(
    "mentions",
    ["ann", [1], [""], ["u" * 129], ["\ud800"], {"ann": 1}, [f"u{n}" for n in range(51)]],
)
def test_who_is_not(mentions: Any) -> None:
    assert refused(wire.parse_send, ["hi", {"mentions": mentions}], 100) == "bad_request"
