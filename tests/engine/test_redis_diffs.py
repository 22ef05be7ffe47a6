"""Diffs of presence, as they come from the bus and from the own script."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from sioserver.engine.redis_diffs import Diffs
from sioserver.model import Counts, PresenceDiff

from .conftest import ANN, BEN, GUEST

Told = list[tuple[str, PresenceDiff]]


def diffs(told: Told) -> Diffs:
    return Diffs("me", {"a"}, lambda *diff: told.append(diff))


def packed(
    version: int, online: int, joined: tuple[Any, ...] = (), *, left: Any = (), node: str = "other"
) -> bytes:
    return msgspec.msgpack.encode((node, version, online, online, joined, left, (), ()))


def test_own_diffs_are_told_with_the_answer_only() -> None:
    told: Told = []
    both = diffs(told)
    own = packed(5, 1, (("ann", "Ann", ""),), node="me")
    both.on_bus("a", own)
    assert told == []
    both.on_answer("a", memoryview(own))
    both.on_bus("a", own)
    assert told == [("a", PresenceDiff(Counts(1, 1), [ANN], []))]


def test_diffs_that_overtake_each_other_tell_the_newest_counts() -> None:
    told: Told = []
    some = diffs(told)
    some.on_bus("a", packed(5, 7, (("ben", "Ben", ""),)))
    some.on_bus("a", memoryview(packed(4, 6, (("guest-1", "Guest", "1"),))))
    assert told == [
        ("a", PresenceDiff(Counts(7, 7), [BEN], [])),
        ("a", PresenceDiff(Counts(7, 7), [GUEST], [])),
    ]
    some.forget("a")
    some.on_bus("a", packed(3, 1))
    assert told[-1][1].counts == Counts(1, 1)


def test_who_is_away_and_who_is_back() -> None:
    told: Told = []
    some = diffs(told)
    ann, ben = ("ann", "Ann", ""), ("ben", "Ben", "")
    some.on_bus("a", msgspec.msgpack.encode(("other", 5, 2, 2, (), (), (ann,), (ben,))))
    assert told == [("a", PresenceDiff(Counts(2, 2), [], [], [ANN], [BEN]))]


def test_nothing_is_remembered_of_rooms_without_people() -> None:
    told: Told = []
    some = diffs(told)
    some.on_bus("b", packed(5, 7))
    some.on_bus("b", packed(4, 6))
    assert [diff.counts.online for _, diff in told] == [7, 6]
    some.begin("b", Counts(7, 7), 3)
    assert not some.misses("b", 9)


def test_only_newer_counts_are_told() -> None:
    told: Told = []
    some = diffs(told)
    some.missed("a", Counts(3, 3), 9)
    assert told == []
    some.on_bus("a", packed(5, 7))
    some.missed("a", Counts(7, 7), 5)
    some.missed("a", Counts(6, 6), 4)
    assert len(told) == 1
    assert not some.misses("a", 5)
    assert some.misses("a", 6)
    some.missed("a", Counts(8, 9), 6)
    assert told[1:] == [("a", PresenceDiff(Counts(8, 9), [], []))]
    assert not some.misses("a", 6)


def test_what_was_told_before_somebody_came_is_not_missed() -> None:
    told: Told = []
    some = diffs(told)
    some.begin("a", Counts(2, 2), 5)
    some.missed("a", Counts(1, 1), 5)
    assert told == []
    some.begin("a", Counts(9, 9), 8)  # those who were here before have not heard of 6 to 8
    some.missed("a", Counts(3, 3), 6)
    assert told == [("a", PresenceDiff(Counts(3, 3), [], []))]


def test_the_dead_are_counted() -> None:
    some = diffs([])
    some.on_bus("a", packed(5, 0, left=(("ann", "Ann", ""),)))
    some.on_bus("a", packed(6, 0, left=(("ben", "Ben", ""),), node=""))
    assert (some.told, some.reaped) == (2, 1)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        msgspec.msgpack.encode(["n", 1, 1, 1, []]),
        msgspec.msgpack.encode(["n", 1, 1, 1, [], [], 1]),
        msgspec.msgpack.encode(["n", 1, 1, 1, [["a", "b"]], []]),
        msgspec.msgpack.encode(["n", 1, 1, 1, [], []])[:-1],
        b"\x96\xa1\xff\x01\x01\x01\x90\x90",
    ],
)
def test_what_is_no_diff_is_counted(body: bytes) -> None:
    told: Told = []
    some = diffs(told)
    some.on_bus("a", body)
    some.on_answer("a", body)
    assert told == []
    assert some.foreign == 2
