"""What a request costs, and when a connection has been refused too often."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sioserver.auth import Identity
from sioserver.config.schema import Limits
from sioserver.connections.guard import Guard
from sioserver.errors import Refusal
from sioserver.limits import COSTS, JOIN_COST, LOT, Budget
from sioserver.metrics import Metrics
from sioserver.model import User
from sioserver.transport.clients import RoomClient, RoomConnection

ANN = User("ann", "Ann")


class Scene:
    """A guard, and one connection of Ann's that it looks at."""

    def __init__(self, **limits: Any) -> None:
        self.now = 1000.0
        self.metrics = Metrics()
        self.waiting: list[tuple[Any, ...]] = []
        self.budget = Budget(Limits(**limits))
        self.guard = Guard(self.budget, self.metrics, lambda: self.now, self.expel)
        self.owner = RoomConnection(self.budget.connection(self.now), None)
        self.session: Any = self

    async def expel(self, session: Any) -> None:
        raise NotImplementedError

    def enqueue(self, size: int, handler: Callable[..., Any], *args: Any) -> None:
        self.waiting.append((handler, *args))

    def client(self) -> RoomClient:
        nobody: Any = None
        bucket = self.guard.join(ANN)
        return RoomClient(Identity(ANN), "hall", nobody, nobody, self.owner, "/hall", bucket)

    def refused(self, code: str = "bad_request") -> bool:
        return self.guard.refused(self.session, self.owner, Refusal(code))

    @property
    def hits(self) -> dict[str, int]:
        return {name: number for name, number in self.metrics.limit_hits.items() if number}


def limit_of(call: Callable[..., object], *args: Any) -> str | None:
    with pytest.raises(Refusal) as caught:
        call(*args)
    assert caught.value.code == "rate_limited"
    assert caught.value.retry_after
    return caught.value.limit


def test_an_event_costs_what_it_costs() -> None:
    scene = Scene(event_burst=40, event_rate=1.0)
    client = scene.client()
    for name in ("history", "history", "message", "members", "typing"):
        scene.guard.event(scene.owner, client, name)
    level = scene.owner.allowance.level  # type: ignore[union-attr]
    assert level == pytest.approx(40 - 3 * COSTS["history"] - 2)
    assert limit_of(scene.guard.event, scene.owner, client, "members") == "event_rate"
    scene.guard.event(scene.owner, client, 7)  # a name may be a number


def test_a_connect_costs_what_it_costs() -> None:
    scene = Scene(event_burst=JOIN_COST * 2, event_rate=1.0)
    scene.guard.connect(scene.owner)
    scene.guard.connect(scene.owner)
    assert limit_of(scene.guard.connect, scene.owner) == "event_rate"


def test_a_user_with_two_connections_has_one_bucket() -> None:
    scene = Scene(user_event_burst=2 * JOIN_COST + 2 * LOT, user_event_rate=0.1)
    here, there = scene.client(), scene.client()
    for client in (here, there):
        for _ in range(int(LOT)):
            scene.guard.event(scene.owner, client, "message")
    # what is bought in a lot is refused when the lot is full, and then each time
    for _ in range(int(LOT) - 1):
        scene.guard.event(scene.owner, there, "message")
    for _ in range(3):
        assert limit_of(scene.guard.event, scene.owner, there, "message") == "user_event_rate"
    assert limit_of(scene.guard.event, scene.owner, here, "history") == "user_event_rate"
    assert limit_of(scene.guard.join, ANN) == "user_event_rate"
    scene.now += LOT / 0.1
    scene.guard.event(scene.owner, there, "message")
    scene.guard.event(scene.owner, None, "message")  # who is in no room is nobody yet
    scene.guard.join(User("ben", "Ben"))


def test_a_refusal_is_counted_by_its_code_and_its_limit() -> None:
    scene = Scene()
    assert scene.guard.refused(scene.session, scene.owner, Refusal("too_many", limit="connections"))
    assert scene.metrics.refusals["too_many"] == 1
    assert scene.hits == {"connections": 1}


def test_once_too_often() -> None:
    scene = Scene(refused_burst=2, refused_rate=1.0)
    assert [scene.refused() for _ in range(4)] == [True, True, False, False]
    assert scene.owner.barred
    assert scene.waiting == [(scene.expel, scene.session)]  # once
    assert scene.metrics.refusals["bad_request"] == 4


def test_nobody_is_told_on_a_connection_that_is_over() -> None:
    scene = Scene(refused_burst=1)
    for _ in range(5):
        assert not scene.guard.refused(None, scene.owner, Refusal("bad_request"))
    assert scene.metrics.refusals["bad_request"] == 5
    assert not scene.owner.barred


def test_what_asks_for_nothing_costs_an_event_and_then_the_connection() -> None:
    scene = Scene(event_burst=5, event_rate=1.0, refused_burst=1, refused_rate=0.1)
    for _ in range(5):
        scene.guard.spend(scene.session)
    assert scene.hits == {}
    for _ in range(10):  # of which each counts a tenth
        scene.guard.spend(scene.session)
    assert scene.hits == {"event_rate": 10}
    assert not scene.owner.barred
    for _ in range(10):
        scene.guard.spend(scene.session)
    assert scene.waiting == [(scene.expel, scene.session)]
    assert scene.hits == {"event_rate": 11}  # what comes behind is not looked at


def test_with_limits_switched_off_nobody_is_put_out() -> None:
    scene = Scene(enabled=False, event_burst=1, refused_burst=1)
    client = scene.client()
    for _ in range(100):
        scene.guard.connect(scene.owner)
        scene.guard.event(scene.owner, client, "history")
        scene.guard.spend(scene.session)
        assert scene.refused()
    assert scene.metrics.refusals["bad_request"] == 100
