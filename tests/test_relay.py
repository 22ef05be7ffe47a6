"""Events that are passed on: which, how often, and which is the newest."""

from __future__ import annotations

from typing import Any

import pytest

from sioserver import wire
from sioserver.auth import Policy
from sioserver.config import Config, RoomRule
from sioserver.config.schema import Limits, Rooms
from sioserver.errors import Refusal
from sioserver.hub import Client
from sioserver.limits import Budget
from sioserver.metrics import Metrics
from sioserver.model import Event
from sioserver.relay import Relay

from .fakes import ANN, BEN, FakeOutbox, client


class Stage:
    """A relay, and what it told."""

    def __init__(self, *rules: RoomRule, limits: Limits | None = None) -> None:
        self.told: list[tuple[str, Event, Client | None]] = []
        self.gone: list[Client] = []
        self.metrics = Metrics()
        self.relay = Relay(
            Policy(Config(rooms=Rooms(rules=list(rules)))),
            Budget(limits or Limits()),
            self.metrics,
            tell=lambda *told: self.told.append(told),
            may_send=lambda who: who not in self.gone,
        )

    def args(self) -> list[Any]:
        return [event.before[0] for _, event, _ in self.told]


@pytest.fixture
def outbox() -> FakeOutbox:
    return FakeOutbox()


LISTS = RoomRule(relay=["draw"], relay_latest=["cursor"])
PACED = RoomRule(relay=["draw"], relay_latest=["cursor", "scroll"], relay_rate=2)


def test_which_events_are_passed_on() -> None:
    names = ["draw", "cursor", "message", "welcome", "__proto__", "other"]
    rule = RoomRule(match="board/*", relay=["draw", "welcome"], relay_latest=["cursor", "message"])
    relay = Stage(rule).relay
    assert [name for name in names if relay.passes("board/1", name)] == ["draw", "cursor"]
    assert not relay.passes("lobby", "draw")


def test_the_sender_is_appended_and_not_told(outbox: FakeOutbox) -> None:
    stage, ann = Stage(LISTS), client(outbox)
    stage.relay.send(ann, "draw", [1, b"\x00"], 0.0)
    stage.relay.send(ann, "cursor", [2], 0.0)
    assert stage.told == [
        ("lobby", wire.relayed_event("draw", [1, b"\x00"], ANN), ann),
        ("lobby", wire.relayed_event("cursor", [2], ANN, latest=True), ann),
    ]
    assert [event.latest for _, event, _ in stage.told] == [False, True]


def test_a_name_on_both_lists_is_one_of_which_the_newest_counts(outbox: FakeOutbox) -> None:
    stage = Stage(RoomRule(relay=["cursor"], relay_latest=["cursor"]))
    stage.relay.send(client(outbox), "cursor", [1], 0.0)
    assert stage.told[0][1].latest


def test_too_fast_is_refused(outbox: FakeOutbox) -> None:
    stage, ann, again = Stage(PACED), client(outbox), client(outbox, "c2")
    for number, who in enumerate([ann, again]):
        stage.relay.send(who, "draw", [number], 0.0)  # what a second allows comes at once
    with pytest.raises(Refusal) as caught:
        stage.relay.send(ann, "draw", [2], 0.0)
    refusal = caught.value
    assert (refusal.code, refusal.limit) == ("rate_limited", "relay_rate")
    assert refusal.retry_after == pytest.approx(0.5, abs=1e-4)
    stage.relay.send(client(outbox, "c3", BEN), "draw", [3], 0.0)  # each user has an own pace
    stage.relay.send(ann, "draw", [4], 0.51)
    assert stage.args() == [0, 1, 3, 4]


def test_where_the_newest_counts_it_waits_for_its_turn(outbox: FakeOutbox) -> None:
    stage, ann = Stage(PACED), client(outbox)
    for number in range(6):
        stage.relay.send(ann, "cursor", [number], 0.0)
    stage.relay.send(ann, "scroll", [10], 0.0)
    assert stage.args() == [0, 1]
    stage.relay.sweep(0.4)
    assert stage.args() == [0, 1]
    stage.relay.sweep(0.51)
    assert stage.args() == [0, 1, 5]
    stage.relay.sweep(1.01)
    assert stage.args() == [0, 1, 5, 10]
    stage.relay.sweep(2.0)
    assert stage.args() == [0, 1, 5, 10]
    assert stage.told[2] == ("lobby", wire.relayed_event("cursor", [5], ANN, latest=True), ann)
    assert stage.metrics.dropped["coalesced"] == 3
    assert stage.metrics.limit_hits["relay_rate"] == 5


def test_a_newer_one_takes_the_place_of_the_one_that_waits(outbox: FakeOutbox) -> None:
    stage, ann = Stage(PACED), client(outbox)
    for number in range(3):
        stage.relay.send(ann, "cursor", [number], 0.0)
    stage.relay.send(ann, "cursor", [3], 0.6)  # in time: 2 is old now
    stage.relay.sweep(10.0)
    assert stage.args() == [0, 1, 3]


def test_who_has_gone_is_not_waited_for(outbox: FakeOutbox) -> None:
    stage, ann = Stage(PACED), client(outbox)
    for number in range(3):
        stage.relay.send(ann, "cursor", [number], 0.0)
    stage.gone.append(ann)
    stage.relay.sweep(10.0)
    stage.gone.clear()
    stage.relay.sweep(20.0)
    assert stage.args() == [0, 1]


def test_limits_that_are_off(outbox: FakeOutbox) -> None:
    stage, ann = Stage(PACED, limits=Limits(enabled=False)), client(outbox)
    for number in range(100):
        stage.relay.send(ann, "draw", [number], 0.0)
    assert stage.args() == list(range(100))
