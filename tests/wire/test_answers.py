"""What the acks say, and how much of the log fits into one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sioserver import wire
from sioserver.errors import REFUSALS, Refusal
from sioserver.model import Counts, Event, Mention, Page, Position, Published, State, User
from sioserver.wire import HistoryRequest
from sioserver.wire.bodies import count_binaries

from ..fakes import ANN, BEN, message, page_of


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
    page = page_of([said], 1, Position("e", 3), limit=1)
    answer = wire.history_answer(page, HistoryRequest(None, None, 1), "ann")
    assert answer == {"ok": True, "items": [payload], "more": True, "next": 3, "position": "e.3"}


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
    page = page_of(
        [message(offset) for offset in read],
        first,
        Position("e", top),
        after=after,
        before=before,
        limit=request.limit,
    )
    answer = wire.history_answer(page, request, "ann")
    assert [item["offset"] for item in answer["items"]] == read
    assert answer["more"] == bool(rest)
    if rest:
        assert answer["next"] == (read[0] if after is None else read[-1])
    else:
        assert "next" not in answer
    assert answer["position"] == f"e.{top}"


# ---------------------------------------------------------------------------- pages that fit

BODIES = st.one_of(
    st.text("x", max_size=40),
    st.binary(max_size=40),
    st.lists(st.binary(max_size=3), max_size=10),
)


class Log:
    """A log, read as the contract of an engine has it and cut as an edge does it."""

    def __init__(
        self, bodies: list[Any], most_binaries: int, most_bytes: int, first: int = 1
    ) -> None:
        self.messages = [message(first + number, body) for number, body in enumerate(bodies)]
        self.first = first
        self.most = most_binaries, most_bytes

    def read(self, request: HistoryRequest) -> tuple[list[int], bool]:
        """The offsets on the page, and whether there is more."""
        before, after = request.before, request.after
        found = [
            one
            for one in self.messages
            if (before is None or one.offset < before) and (after is None or one.offset > after)
        ]
        found = found[-request.limit :] if after is None else found[: request.limit]
        top = Position("e", self.first + len(self.messages) - 1)
        page = page_of(
            found,
            self.first,
            top,
            after=request.after,
            before=before,
            limit=request.limit,
        )
        cut = wire.cut_page(page, request, *self.most)
        self.check(cut, page)
        answer = wire.history_answer(cut, request, "ann")
        return [item["offset"] for item in answer["items"]], answer["more"]

    def check(self, cut: Page, page: Page) -> None:
        assert (cut.first, cut.top) == (page.first, page.top)
        assert bool(cut.messages) == bool(page.messages)
        if len(cut.messages) > 1:
            bodies = [one.body for one in cut.messages]
            assert sum(map(count_binaries, bodies)) <= self.most[0]
            assert sum(map(wire.body_size, bodies)) <= self.most[1]


LOGS = st.builds(
    Log,
    st.lists(BODIES, max_size=30),
    st.integers(1, 12),
    st.integers(0, 100),
    first=st.integers(1, 5),
)


@given(LOGS, st.integers(1, 9))
def test_paging_backwards_gives_everything_once(log: Log, limit: int) -> None:
    read: list[int] = []
    before = None
    more = True
    while more:
        offsets, more = log.read(HistoryRequest(before, None, limit))
        assert offsets or not more
        read = offsets + read
        before = read[0] if read else None
    assert read == [one.offset for one in log.messages]


@given(LOGS, st.integers(1, 9), st.none() | st.integers(0, 40))
def test_paging_forwards_gives_everything_once(log: Log, limit: int, before: int | None) -> None:
    read: list[int] = []
    more = True
    while more:
        offsets, more = log.read(HistoryRequest(before, read[-1] if read else 0, limit))
        assert offsets or not more
        read += offsets
    assert read == [one.offset for one in log.messages if before is None or one.offset < before]


@pytest.mark.parametrize(
    ("bodies", "newest", "oldest"),
    [
        ([b"1", "two", b"3", b"4"], [2, 3, 4], [1, 2, 3]),
        ([b"1", b"2", "three"], [1, 2, 3], [1, 2, 3]),
        (["x" * 20, "y", "z" * 8], [2, 3], [1]),
        (["x" * 5, "y" * 5, "z"], [2, 3], [1, 2]),
        (["x" * 11, b"1"], [2], [1]),
        ([[b""] * 3, [b""] * 3], [2], [1]),  # one too many by itself goes alone
        ([], [], []),
    ],
)
def test_as_much_as_fits(bodies: list[Any], newest: list[int], oldest: list[int]) -> None:
    log = Log(bodies, 2, 10)
    assert log.read(HistoryRequest(None, None, 9)) == (newest, len(newest) < len(bodies))
    assert log.read(HistoryRequest(99, None, 9)) == (newest, len(newest) < len(bodies))
    assert log.read(HistoryRequest(None, 0, 9)) == (oldest, len(oldest) < len(bodies))
    assert log.read(HistoryRequest(99, 0, 9)) == (oldest, len(oldest) < len(bodies))


# ---------------------------------------------------------------------------- the rest


def test_members() -> None:
    counts = Counts(1, 2)
    online = [{"user": "ann", "name": "Ann", "state": "away"}]
    states: dict[str, State] = {"ann": "away"}
    answer = {"ok": True, "online": online, "total": 2}
    assert wire.members_answer([ANN], counts, None, states, {}) == answer
    cat = User("cat", "Cat")
    seen = {"ben": 1_700_000_000_123, "ann": 1}
    assert wire.members_answer([ANN], counts, [ANN, BEN, cat], states, seen) == {
        **answer,
        "members": [
            *online,
            {"user": "ben", "name": "Ben", "state": "offline", "seen": 1_700_000_000_123},
            {"user": "cat", "name": "Cat", "state": "offline"},
        ],
    }
    # who came between two looks
    assert wire.members_answer([ANN], counts, None, {}, {})["online"][0]["state"] == "online"


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


def test_mentions() -> None:
    mention = Mention(7, "den", "m3", 3, "ben", "Ben", 1234)
    payload = {
        "number": 7,
        "room": "den",
        "id": "m3",
        "offset": 3,
        "user": "ben",
        "name": "Ben",
        "at": 1234,
    }
    assert wire.mention_payload(mention) == payload
    assert wire.mentions_answer([mention]) == {"ok": True, "mentions": [payload]}
