"""Who types: devices of one user are one, on all nodes, and nobody types for ever."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sioserver import wire
from sioserver.model import User
from sioserver.typists import MOST, NOBODY, REPEAT, SLACK, Change, Typists

from .fakes import ANN, BEN

LASTS = 6.0
BOTH = Change(here=True, elsewhere=True)
ELSEWHERE = Change(here=False, elsewhere=True)
HERE = Change(here=True, elsewhere=False)
ON, OFF = ({**wire.person(ANN), "on": on} for on in (True, False))


@pytest.fixture
def full() -> list[None]:
    return []


@pytest.fixture
def typists(full: list[None]) -> Typists:
    return Typists(LASTS, lambda: full.append(None))


def swept(typists: Typists, now: float) -> list[tuple[str, User, Change]]:
    return list(typists.sweep(now))


def test_a_beginning_and_an_end(typists: Typists) -> None:
    assert typists.says("a", ANN, "c1", False, 0) == NOBODY
    assert typists.says("a", ANN, "c1", True, 0) == BOTH
    assert typists.says("a", ANN, "c1", True, 1) == NOBODY  # they know
    assert typists.says("a", ANN, "c1", True, REPEAT) == BOTH
    assert typists.says("a", ANN, "c1", False, REPEAT) == BOTH
    assert typists.says("a", ANN, "c1", False, REPEAT) == NOBODY


def test_rooms_and_users_are_apart(typists: Typists) -> None:
    for room, user in (("a", ANN), ("b", ANN), ("a", BEN)):
        assert typists.says(room, user, user.id, True, 0) == BOTH


def test_devices_of_a_user_are_one(typists: Typists) -> None:
    assert typists.says("a", ANN, "c1", True, 0) == BOTH
    assert typists.says("a", ANN, "c2", True, 1) == NOBODY
    assert typists.says("a", ANN, "c1", False, 1) == NOBODY
    assert typists.says("a", ANN, "c2", False, 1) == BOTH


def test_going_on_and_off_tells_nobody_more_often(typists: Typists) -> None:
    told = 0
    for step in range(400):
        told += typists.says("a", ANN, "c1", step % 2 == 0, step / 100).here
    assert told <= 2 * (4 / REPEAT + 1)


def test_who_does_not_say_it_again_has_stopped(typists: Typists) -> None:
    typists.says("a", ANN, "c1", True, 0)
    typists.says("a", BEN, "c2", True, 3)
    assert swept(typists, LASTS - 0.1) == []
    assert swept(typists, LASTS) == [("a", ANN, BOTH)]
    assert swept(typists, LASTS) == []
    assert typists.says("a", ANN, "c1", False, LASTS) == NOBODY
    assert typists.says("a", ANN, "c1", True, LASTS) == BOTH
    assert swept(typists, LASTS + 3) == [("a", BEN, BOTH)]


def test_a_device_that_vanished_does_not_keep_the_other_from_stopping(typists: Typists) -> None:
    typists.says("a", ANN, "gone", True, 0)
    typists.says("a", ANN, "c2", True, 4)
    assert swept(typists, LASTS) == []
    assert typists.says("a", ANN, "c2", False, LASTS) == BOTH


def test_nothing_is_kept_of_who_stopped(typists: Typists) -> None:
    typists.says("a", ANN, "c1", True, 0)
    typists.heard("a", {**ON, "user": "dan"}, "n1", 0)
    typists.says("a", ANN, "c1", False, 1)
    typists.heard("a", {**OFF, "user": "dan"}, "n1", 1)
    assert (swept(typists, 1), len(typists)) == ([], 2)  # they may be gone and come at once
    assert (swept(typists, REPEAT), len(typists)) == ([], 0)


def test_a_clock_that_is_set_back(typists: Typists) -> None:
    typists.says("a", ANN, "c1", True, 1000)
    assert typists.says("a", ANN, "c1", True, 0) == BOTH
    assert swept(typists, LASTS) == [("a", ANN, BOTH)]


def test_too_many(typists: Typists, full: list[None], monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST >= 1000
    monkeypatch.setattr("sioserver.typists.MOST", 2)
    for user in (ANN, BEN):
        typists.says("a", user, user.id, True, 0)
    assert typists.says("a", User("cat", "Cat"), "c3", True, 0) == NOBODY
    assert typists.heard("a", {**ON, "user": "dan"}, "n1", 0) is False
    assert len(full) == 2
    assert typists.says("a", ANN, "ann", True, REPEAT) == BOTH
    assert typists.says("b", BEN, "ben", False, 0) == NOBODY
    assert len(full) == 2


# -- other nodes ----------------------------------------------------------------------------------


def test_devices_on_other_nodes(typists: Typists) -> None:
    assert typists.heard("a", OFF, "n1", 0) is False
    assert typists.heard("a", ON, "n1", 0) is True
    assert typists.heard("a", ON, "n2", 0) is False
    assert typists.says("a", ANN, "c1", True, 1) == ELSEWHERE  # here they know
    assert typists.heard("a", OFF, "n1", 1) is False
    assert typists.says("a", ANN, "c1", False, 1) == ELSEWHERE
    assert typists.heard("a", OFF, "n2", 1) is True
    assert typists.heard("a", OFF, "n2", 1) is False


def test_repetitions_of_another_node_are_told(typists: Typists) -> None:
    told = [typists.heard("a", ON, "n1", now) for now in (0, 1, REPEAT, 3)]
    assert told == [True, False, True, False]


def test_a_node_that_died_says_no_more(typists: Typists) -> None:
    typists.heard("a", ON, "n1", 0)
    typists.says("a", BEN, "c1", True, 0)
    typists.heard("a", {**wire.person(BEN), "on": True}, "n1", 0)
    assert swept(typists, LASTS) == [("a", BEN, ELSEWHERE)]
    assert swept(typists, LASTS + SLACK) == [("a", ANN, HERE), ("a", BEN, HERE)]


@pytest.mark.parametrize(
    "payload", [{}, {"user": 1, "name": "", "on": True}, {"user": "", "on": 1}, {**ON, "on": None}]
)
def test_what_no_node_says(typists: Typists, payload: dict[str, Any]) -> None:
    assert typists.heard("a", payload, "n1", 0) is False
    assert len(typists) == 0


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["c1", "c2", "n1", "n2"]),
            st.booleans(),
            st.sampled_from([0.0, 0.5, 1.0, 2.0, 7.0]),
        ),
        max_size=40,
    )
)
def test_whatever_happens_everybody_ends_up_knowing(
    steps: list[tuple[str, bool, float]],
) -> None:
    """Whoever believes what was told here believes in the end that nobody types, and never that
    somebody has stopped whom a device has just said to type (but for a pause)."""
    typists, now, believed, passed_on = Typists(LASTS, lambda: None), 0.0, False, False
    saying: dict[str, float] = {}
    for who, on, pause in steps:
        now += pause
        for _, _, change in typists.sweep(now):
            believed &= not change.here
            passed_on &= not change.elsewhere
        saying = {
            source: at
            for source, at in saying.items()
            if now - at < LASTS + (SLACK if source[0] == "n" else 0)
        }
        assert believed == bool(saying)
        if who.startswith("c"):
            change = typists.says("a", ANN, who, on, now)
        else:
            change = Change(typists.heard("a", ON if on else OFF, who, now), elsewhere=False)
        was_one = bool(saying)
        if change.here:
            believed = on
        if change.elsewhere:
            passed_on = on
        if on and (was_one or believed):
            saying[who] = now
        elif not on:
            saying.pop(who, None)
        assert believed == bool(saying)
        if not any(source[0] == "c" for source in saying):
            assert not passed_on
    for _, _, change in typists.sweep(now + LASTS + SLACK):
        believed &= not change.here
        passed_on &= not change.elsewhere
    assert not believed
    assert not passed_on
