"""The bookkeeping of people, beside what tests/engine/test_contract.py says of every engine."""

from sioserver.engine.embedded_presence import CROWD, TOLD_PER_SECOND, Presence
from sioserver.model import User

from .conftest import ANN, BEN, GUEST


def test_an_empty_room_costs_nothing() -> None:
    presence = Presence(5)
    presence.enter("a", ANN, "c")
    presence.exit("a", "ann", "c", 0)
    assert "a" in presence
    assert presence.changed(5) == ["a"]
    assert presence.take("a", 5) == ([], [])
    assert "a" not in presence
    assert len(presence) == 0
    assert presence.changed(100) == []


def test_without_grace_a_leave_is_due_at_once() -> None:
    presence = Presence(0)
    presence.enter("a", ANN, "c")
    presence.take("a", 7)
    presence.exit("a", "ann", "c", 7)
    assert presence.counts("a") == (1, 0)
    assert presence.changed(7) == ["a"]
    assert presence.take("a", 7) == ([], [ANN])


def test_only_rooms_with_news_are_named() -> None:
    presence = Presence(5)
    presence.enter("a", ANN, "c1")
    presence.enter("b", ANN, "c2")
    presence.take("a", 0)
    assert presence.changed(0) == ["b"]


def test_somebody_back_before_the_room_is_swept_has_not_left() -> None:
    presence = Presence(5)
    presence.enter("a", ANN, "c1")
    presence.take("a", 0)
    presence.exit("a", "ann", "c1", 0)
    assert presence.changed(5) == ["a"]
    presence.enter("a", ANN, "c2")
    assert presence.take("a", 6) == ([], [])
    presence.exit("a", "ann", "c2", 6)
    assert presence.changed(10) == []
    assert presence.changed(11) == ["a"]
    assert presence.take("a", 11) == ([], [ANN])


def test_a_withdrawn_entry_leaves_no_trace() -> None:
    presence = Presence(5)
    presence.enter("a", ANN, "c1")
    presence.withdraw("a", "ann", "c1")
    presence.withdraw("a", "ann", "c1")
    assert "a" not in presence
    assert presence.changed(100) == []


def test_a_withdrawn_second_device_leaves_the_first() -> None:
    presence = Presence(5)
    presence.enter("a", ANN, "c1")
    presence.enter("a", ANN, "c2")
    presence.withdraw("a", "ann", "c2")
    assert presence.counts("a") == (1, 0)
    assert presence.take("a", 0) == ([ANN], [])


def test_a_guest_who_gets_a_token_is_no_guest() -> None:
    presence = Presence(5)
    presence.enter("a", GUEST, "c1")
    assert presence.counts("a") == (1, 1)
    presence.enter("a", User(GUEST.id, "Named"), "c2")
    assert presence.counts("a") == (1, 0)


def test_a_clock_that_goes_back_does_not_keep_anybody() -> None:
    presence = Presence(5)
    presence.enter("a", ANN, "c1")
    presence.enter("a", BEN, "c2")
    presence.take("a", 0)
    presence.exit("a", "ann", "c1", 1000)
    presence.exit("a", "ben", "c2", 0)
    assert presence.changed(5) == ["a"]
    assert presence.take("a", 5) == ([], [BEN])
    assert presence.changed(1005) == ["a"]
    assert presence.take("a", 1005) == ([], [ANN])


def test_a_crowd_is_told_less_often() -> None:
    presence = Presence(5)

    def come(first: int, last: int) -> None:
        for number in range(first, last):
            presence.enter("a", User(f"u{number}", ""), "c")

    come(0, 2 * CROWD)
    assert presence.changed(100) == ["a"]  # the first time at once
    assert len(presence.take("a", 100)[0]) == 2 * CROWD
    pause = (2 * CROWD + 1) / TOLD_PER_SECOND
    come(2 * CROWD, 2 * CROWD + 1)
    assert presence.changed(100.1) == presence.changed(100 + pause - 0.01) == []
    assert presence.changed(99) == ["a"]  # the clock was set back
    assert presence.changed(100.01 + pause) == ["a"]
    assert [user.id for user in presence.take("a", 100.01 + pause)[0]] == [f"u{2 * CROWD}"]


def test_a_small_room_is_told_whenever_there_is_news() -> None:
    presence = Presence(5)
    presence.enter("a", ANN, "c")
    presence.take("a", 100)
    presence.enter("a", BEN, "c")
    assert presence.changed(100) == ["a"]


def test_states() -> None:
    presence = Presence(5)
    presence.enter("a", ANN, "c1")
    presence.enter("a", BEN, "c2")
    presence.rest("a", "ann", "c1", True)
    assert presence.states("a", ["ann", "ben", "cat"]) == {"ann": "away", "ben": "online"}
    assert presence.changed(0) == ["a"]
    presence.take("a", 0)
    assert presence.take_moved("a") == ([ANN], [])
    assert presence.take_moved("a") == ([], [])
    assert presence.changed(0) == []
    presence.rest("a", "ann", "c1", True)
    assert presence.changed(0) == []
    presence.enter("a", ANN, "c3")
    assert presence.changed(0) == ["a"]
    presence.take("a", 0)
    assert presence.take_moved("a") == ([], [ANN])
    presence.exit("a", "ann", "c3", 0)
    presence.take("a", 0)
    assert presence.take_moved("a") == ([ANN], [])
    assert presence.take_moved("b") == ([], [])
