"""Which devices rest: by their user's word, or since nothing was asked for."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sioserver.activity import AT_ONCE, SLOTS, Activity
from sioserver.hub import Client, Device

from .fakes import FakeOutbox, client

AFTER = 300.0
LATE = 2 * AFTER / SLOTS
"""How late it is found that a device is idle, at most, but for the pause between two sweeps."""


class Engine:
    """Writes down which client rests."""

    def __init__(self) -> None:
        self.told: list[tuple[str, bool]] = []

    def rest(self, room: str, user_id: str, client: str, resting: bool) -> None:
        self.told.append((client, resting))

    def since(self, place: int) -> list[tuple[str, bool]]:
        return self.told[place:]


@pytest.fixture
def engine() -> Engine:
    return Engine()


def activity_of(engine: Any, after: float = AFTER) -> Activity:
    return Activity(engine, lambda room: room != "quiet", away_after=after)


def one(id: str = "c1", room: str = "lobby", device: Device | None = None) -> Client:
    found = client(FakeOutbox(), id, room=room)
    found.device = device or found.device
    return found


def test_who_asks_for_nothing_rests_until_they_do(engine: Engine) -> None:
    activity, who = activity_of(engine), one()
    activity.begin(who, 1000)
    activity.sweep(1000 + AFTER - 1)
    assert engine.told == []
    activity.sweep(1000 + AFTER + LATE)
    assert engine.told == [("c1", True)]
    activity.sweep(9000)
    activity.used(who, 9000)
    activity.used(who, 9001)
    assert engine.told == [("c1", True), ("c1", False)]
    activity.sweep(9001 + AFTER + LATE)
    assert engine.told[2:] == [("c1", True)]


def test_a_request_counts_from_when_it_came(engine: Engine) -> None:
    activity, who = activity_of(engine), one()
    activity.begin(who, 0)
    activity.used(who, AFTER - 1)
    activity.sweep(AFTER + LATE)
    activity.sweep(2 * AFTER - 2)
    assert engine.told == []
    activity.sweep(2 * AFTER - 1 + LATE)
    assert engine.told == [("c1", True)]


def test_a_device_is_one_in_all_its_rooms(engine: Engine) -> None:
    activity, first = activity_of(engine), one()
    second = one("c2", "attic", first.device)
    hidden = one("c3", "quiet", first.device)
    for who in (first, second, hidden):
        activity.begin(who, 0)
    assert len(activity) == 1
    activity.sweep(AFTER + LATE)
    assert engine.told == [("c1", True), ("c2", True)]  # and nothing of the room that tells nothing
    activity.used(hidden, 1000)
    assert engine.told[2:] == [("c1", False), ("c2", False)]
    activity.end(first)
    activity.say(second, "away", 1000)
    assert engine.told[4:] == [("c2", True)]


def test_what_a_user_says_counts_until_they_say_otherwise(engine: Engine) -> None:
    activity, who = activity_of(engine), one()
    activity.begin(who, 0)
    activity.say(who, "away", 1)
    activity.say(who, "away", 2)
    activity.used(who, 3)
    activity.sweep(3 + AFTER + LATE)  # idle as well
    assert engine.told == [("c1", True)]
    activity.say(who, "online", 2000)
    assert engine.told == [("c1", True), ("c1", False)]


def test_a_device_that_rests_and_joins(engine: Engine) -> None:
    activity, who = activity_of(engine), one()
    activity.begin(who, 0)
    activity.say(who, "away", 0)
    other = one("c2", "attic", who.device)
    activity.begin(other, 10)
    assert engine.told == [("c1", True), ("c2", True)]
    # whose user only did nothing does something now
    idle = one("c3")
    activity.begin(idle, 0)
    activity.sweep(AFTER + LATE)
    before = len(engine.told)
    activity.begin(one("c4", "attic", idle.device), 1000)
    assert engine.since(before) == [("c3", False)]


def test_nothing_is_kept_of_who_has_gone(engine: Engine) -> None:
    activity = activity_of(engine)
    crowd = [one(f"c{number}") for number in range(100)]
    for number, who in enumerate(crowd):
        activity.begin(who, number)
    activity.sweep(50 + AFTER)  # some are idle
    for who in crowd:
        activity.end(who)
        activity.end(who)  # twice does no harm
        assert who.device.clients == ()
    assert (len(activity), activity._slots) == (0, {})
    activity.end(one("never came"))


def test_a_crowd_that_falls_asleep_at_once(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert AT_ONCE >= 1000
    monkeypatch.setattr("sioserver.activity.AT_ONCE", 7)
    activity = activity_of(engine)
    crowd = [one(f"c{number}") for number in range(20)]
    for number, who in enumerate(crowd):
        activity.begin(who, number % 2 * 50)
    found = []
    for _ in range(4):
        activity.sweep(50 + AFTER + LATE)
        found.append(len(engine.told))
    assert found == [7, 14, 20, 20]
    assert (len(activity), activity._slots) == (0, {})


def test_never_by_themselves(engine: Engine) -> None:
    activity, who = activity_of(engine, after=0.0), one()
    activity.begin(who, 0)
    activity.sweep(1e9)
    assert engine.told == []
    activity.say(who, "away", 0)
    assert engine.told == [("c1", True)]
    activity.end(who)


def test_a_clock_that_is_set_back(engine: Engine) -> None:
    activity, who = activity_of(engine), one()
    activity.begin(who, 1_000_000)
    activity.used(who, 10)
    activity.sweep(10)
    activity.end(who)
    activity.begin(who, 20)
    who.device.used = 5000  # as if it was set back behind the last request
    activity.sweep(20 + AFTER + LATE)
    activity.sweep(20 + 2 * (AFTER + LATE))
    assert engine.told == [("c1", True)]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 200)), max_size=60))
def test_nobody_who_uses_a_device_is_idle_and_everybody_else_is(
    steps: list[tuple[str, float]],
) -> None:
    engine = Engine()
    activity, now = activity_of(engine), 0.0
    clients = {name: one(name) for name in "abc"}
    used = dict.fromkeys(clients, 0.0)
    for who in clients.values():
        activity.begin(who, now)
    for name, pause in steps:
        now += pause
        activity.sweep(now)
        for other, who in clients.items():
            silent = now - used[other]
            assert who.device.idle or silent < AFTER + LATE
            assert silent >= AFTER or not who.device.idle
        activity.used(clients[name], now)
        used[name] = now
    for name in clients:
        told = [resting for client, resting in engine.told if client == name]
        assert told == [place % 2 == 0 for place in range(len(told))]
