"""The invariants notice what they are there for: each planted fault is found, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from .invariants import MEMORY, Look, Seen, broken, look, rejections


def at_rest(**counted: dict[str, float]) -> Look:
    counters: dict[str, dict[str, float]] = {
        "refusals": {"bad_request": 1},
        "request_refusals": {},
        "disconnects": {"left": 2},
        "untold": {"over": 1},
    }
    return Look({"sessions": 2, "files": 9}, 50_000_000, {**counters, **counted})


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    log = ["2026-01-01T00:00:00.000Z INFO    sioserver.access: 127.0.0.1 GET / 404 0.1 ms"]
    assert broken(at_rest(), at_rest(), Seen(), log) == []
    after = at_rest(
        refusals={"bad_request": 3}, request_refusals={"x": 1}, disconnects={"parse_error": 1}
    )
    assert rejections(at_rest(), after) == {
        "refusals bad_request": 2,
        "request_refusals x": 1,
        "disconnects parse_error": 1,
    }
    assert broken(at_rest(), after, Seen(4), []) == []
    # how clients leave by themselves is no rejection
    assert broken(at_rest(), at_rest(disconnects={"left": 50}), Seen(), []) == []
    # less than before is fine
    fewer = Look({"sessions": 1}, 1000, at_rest().counted)
    assert broken(at_rest(), fewer, Seen(), []) == []


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        ({"kept": {"sessions": 3, "files": 9}}, "sessions: 3, there were 2"),
        ({"kept": {"sessions": 2, "files": 9, "task f": 1}}, "task f: 1, there were 0"),
        ({"memory": 50_000_001 + MEMORY}, "memory: 24.0 MiB more"),
    ],
)
def test_what_is_left_behind_is_found(fault: dict[str, Any], found: str) -> None:
    usual = {"kept": at_rest().kept, "memory": 50_000_000, "counted": at_rest().counted}
    assert broken(at_rest(), look({**usual, **fault}), Seen(), []) == [found]


@pytest.mark.parametrize(
    ("counted", "seen"),
    [
        (at_rest(), Seen(1)),  # rejected and not counted
        (at_rest(refusals={"bad_request": 2}), Seen()),  # counted, but nobody was told
        (at_rest(refusals={"bad_request": 3}), Seen(1)),  # counted twice
        (at_rest(refusals={"bad_request": 4}, untold={"over": 2}), Seen(1)),
        (at_rest(untold={"parse_error": 1}), Seen()),  # one that is untold is counted as well
        (at_rest(disconnects={"parse_error": 1}, refusals={"bad_request": 2}), Seen(1)),
    ],
)
def test_a_rejection_that_is_not_counted_once_is_found(counted: Look, seen: Seen) -> None:
    [found] = broken(at_rest(), counted, seen, [])
    assert "inputs were rejected, but counted were" in found


def test_a_refusal_that_could_not_be_told_is_none_too_much() -> None:
    after = at_rest(refusals={"bad_request": 4}, untold={"over": 2, "parse_error": 1})
    assert broken(at_rest(), after, Seen(1), []) == []


@pytest.mark.parametrize("why", ["forgotten", "transport_close"])
def test_a_refusal_that_could_have_been_told_is_found(why: str) -> None:
    after = at_rest(refusals={"bad_request": 2}, untold={"over": 1, why: 1})
    found = broken(at_rest(), after, Seen(1), [])
    assert found == [f"1 refusals were never told ({why})"]


@pytest.mark.parametrize(
    "line",
    [
        "    Traceback (most recent call last):",
        "2026-01-01T00:00:00.000Z ERROR   sioserver.transport: a handler failed",
        "2026-01-01T00:00:00.000Z CRITICAL sioserver: the end",
    ],
)
def test_a_line_that_somebody_would_have_to_look_at_is_found(line: str) -> None:
    assert broken(at_rest(), at_rest(), Seen(), ["all is well", line]) == [f"log: {line}"]
