"""Token buckets: never too much, never too little, whatever the clock does."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sioserver.config import RoomRule
from sioserver.config.schema import Limits
from sioserver.errors import REFUSALS, Refusal
from sioserver.limits import (
    COSTS,
    JOIN_COST,
    REFUSAL_COSTS,
    Allowance,
    Budget,
    Budgets,
    NoAllowance,
    NoBucket,
    NoLimit,
    TokenBucket,
)
from sioserver.metrics.labels import EVENTS
from sioserver.model import User

ALICE = User("alice", "Alice")
RATES = st.floats(0.01, 10_000)
BURSTS = st.floats(1, 1000)
STARTS = st.sampled_from([0.0, 12345.678, 1_700_000_000.0])
STEPS = st.lists(st.floats(0, 10) | st.floats(0, 0.01) | st.just(0.0), max_size=120)


def times(start: float, steps: list[float]) -> list[float]:
    found = [start]
    for step in steps:
        found.append(found[-1] + step)
    return found


@settings(deadline=None)
@given(RATES, BURSTS, STARTS, STEPS)
def test_no_window_holds_more_than_the_burst_and_the_rate(
    rate: float, burst: float, start: float, steps: list[float]
) -> None:
    bucket = TokenBucket(rate, burst, start)
    taken = [now for now in times(start, steps) if bucket.take(now) == 0.0]
    for first in range(len(taken)):
        for last in range(first, len(taken)):
            allowed = burst + rate * (taken[last] - taken[first])
            assert last - first + 1 <= allowed * (1 + 1e-9) + 1e-6


@settings(deadline=None)
@given(RATES, BURSTS, STARTS, STEPS, st.floats(0.1, 2000))
def test_whoever_waits_as_told_is_allowed(
    rate: float, burst: float, start: float, steps: list[float], cost: float
) -> None:
    """And not a moment before: the wait is as short as it can be."""
    bucket = TokenBucket(rate, burst, start)
    now = start
    for step in steps:
        now += step
        wait = bucket.take(now, cost)
        if wait:
            # a wait of n tokens is n / rate: half of it is never enough
            early = TokenBucket(rate, burst, now)
            early.level = bucket.level
            assert wait < 3e-6 or early.take(now + wait / 2 - 1e-6, cost) > 0
            now += wait
            assert bucket.take(now, cost) == 0.0


@settings(deadline=None)
@given(RATES, BURSTS, st.lists(st.floats(-100, 100), max_size=80))
def test_a_clock_that_is_set_back_is_harmless(
    rate: float, burst: float, steps: list[float]
) -> None:
    bucket = TokenBucket(rate, burst, 1000.0)
    taken, forward = 0, 0.0
    now = 1000.0
    for step in steps:
        now += step
        forward += max(0.0, step)
        taken += bucket.take(now) == 0.0
        assert 0 <= bucket.level <= bucket.burst
    assert taken <= (burst + rate * forward) * (1 + 1e-9) + 1e-6
    # and nobody is locked out until the clock is where it was
    wait = bucket.take(now)
    assert wait <= 1 / rate + 2e-6
    assert bucket.take(now + wait + 1) == 0.0 or rate < 1


def test_after_an_hour_back_it_goes_on_at_once() -> None:
    bucket = TokenBucket(10, 2, 4000.0)
    assert [bucket.take(4000.0) == 0 for _ in range(3)] == [True, True, False]
    assert bucket.take(400.0) > 0  # nothing is given for going back
    assert bucket.take(400.2) == 0.0


@pytest.mark.parametrize(
    ("rate", "burst", "calls"),
    [
        # (now, cost, seconds to wait)
        (2, 3, [(0, 1, 0), (0, 1, 0), (0, 1, 0), (0, 1, 0.5), (0.25, 1, 0.25), (0.5, 1, 0)]),
        (2, 3, [(0, 3, 0), (0, 2, 1.0), (1, 2, 0), (1, 0, 0)]),
        (2, 3, [(0, 3, 0), (100, 3, 0), (100, 1, 0.5)]),  # it never holds more than the burst
        (2, 3, [(0, 99, 0), (0, 99, 1.5), (1.5, 99, 0)]),  # more than the burst: all of it
        (2, 0, [(0, 1, 0), (0, 1, 0.5), (0.5, 1, 0)]),  # a burst of none still has a rate
    ],
)
def test_waits(rate: float, burst: float, calls: list[tuple[float, float, float]]) -> None:
    bucket = TokenBucket(rate, burst, 0.0)
    for now, cost, wait in calls:
        assert bucket.take(now + 1e-5 * (wait == 0), cost) == pytest.approx(wait, abs=1e-4)


def test_a_refusal_takes_nothing() -> None:
    bucket = TokenBucket(1, 1, 0.0)
    assert bucket.take(0.0) == 0.0
    waits = [bucket.take(0.5) for _ in range(100)]
    assert waits == pytest.approx([0.5] * 100, abs=1e-4)


@pytest.mark.parametrize("rate", [0, -1, float("nan")])
def test_a_rate_is_more_than_nothing(rate: float) -> None:
    with pytest.raises(ValueError, match="rate"):
        TokenBucket(rate, 1, 0.0)
    with pytest.raises(ValueError, match="rate"):
        Budgets(rate, 1)


def test_a_bucket_is_small() -> None:
    assert not hasattr(TokenBucket(1, 1, 0.0), "__dict__")
    assert not hasattr(NoBucket(), "__dict__")
    assert not hasattr(NoAllowance(), "__dict__")


def test_each_key_has_its_own() -> None:
    budgets = Budgets(1, 2)
    assert [budgets.take("a", 0.0) == 0 for _ in range(3)] == [True, True, False]
    assert budgets.take(("b", 1), 0.0) == 0.0
    assert budgets.take("a", 1.1) == 0.0
    assert len(budgets) == 2


def test_a_key_with_a_rate_of_its_own() -> None:
    budgets = Budgets(1, 1)
    assert budgets.take("slow", 0.0, rate=0.1) == budgets.take("usual", 0.0) == 0.0
    assert budgets.take("slow", 0.0, rate=0.1) == pytest.approx(10, abs=1e-4)
    assert budgets.take("usual", 0.0) == pytest.approx(1, abs=1e-4)


def test_what_was_not_used_for_longest_is_forgotten() -> None:
    budgets = Budgets(0.001, 1, capacity=3)
    for key in "abc":
        assert budgets.take(key, 0.0) == 0.0
    assert budgets.take("a", 0.0) > 0  # used: b is the oldest now
    assert budgets.take("d", 0.0) == 0.0
    assert len(budgets) == 3
    assert budgets.take("a", 0.0) > 0
    assert budgets.take("c", 0.0) > 0
    assert budgets.take("b", 0.0) == 0.0
    with pytest.raises(ValueError, match="capacity"):
        Budgets(1, 1, capacity=0)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.floats(0, 1)), max_size=200), st.integers(1, 8))
def test_it_never_holds_more_than_its_capacity(
    calls: list[tuple[int, float]], capacity: int
) -> None:
    """And the keys in it are those used last, each as if it were alone."""
    budgets = Budgets(5, 3, capacity)
    alone: dict[int, TokenBucket] = {}
    now = 0.0
    for key, step in calls:
        now += step
        bucket = alone.pop(key, None) or TokenBucket(5, 3, now)
        alone[key] = bucket
        if len(alone) > capacity:
            del alone[next(iter(alone))]
        assert budgets.take(key, now) == bucket.take(now)
        assert len(budgets) == len(alone)


def test_no_limit_limits_nothing() -> None:
    assert {NoLimit().take("a", 0.0) for _ in range(1000)} == {0.0}
    assert {NoBucket().take(0.0, 1e9) for _ in range(1000)} == {0.0}
    assert len(NoLimit()) == 0


def test_the_budget_of_a_user_in_a_room() -> None:
    budget = Budget(Limits(message_rate=2.0, message_burst=2))
    rule = RoomRule()
    for _ in range(2):
        budget.check_message("alice", "lobby", rule, 0.0)
    with pytest.raises(Refusal) as caught:
        budget.check_message("alice", "lobby", rule, 0.0)
    assert (caught.value.code, caught.value.limit) == ("rate_limited", "message_rate")
    assert caught.value.retry_after == pytest.approx(0.5, abs=1e-4)
    budget.check_message("bob", "lobby", rule, 0.0)
    budget.check_message("alice", "attic", rule, 0.0)
    budget.check_message("alice", "lobby", rule, 0.6)


def test_a_rooms_own_rate() -> None:
    budget = Budget(Limits(message_rate=2.0, message_burst=1))
    rule = RoomRule(message_rate=0.1)
    budget.check_message("alice", "lobby", rule, 0.0)
    with pytest.raises(Refusal) as caught:
        budget.check_message("alice", "lobby", rule, 0.0)
    assert caught.value.retry_after == pytest.approx(10, abs=1e-4)


def test_what_a_connection_may_do() -> None:
    allowance = Budget(Limits(event_rate=4.0, event_burst=8)).connection(7.0)
    assert [allowance.take(7.0) == 0 for _ in range(9)] == [True] * 8 + [False]
    assert allowance.take(7.0) == pytest.approx(0.25, abs=1e-4)


def test_how_often_a_connection_may_be_refused() -> None:
    allowance = Budget(Limits(refused_rate=2.0, refused_burst=5)).connection(0.0)
    assert all(allowance.refused("bad_request", 0.0) for _ in range(5))
    assert not allowance.refused("forbidden", 0.0)
    assert allowance.refused("forbidden", 0.6)  # in the long run it may be refused so often
    assert not allowance.refused("forbidden", 0.6)
    assert allowance.take(0.6) == 0.0  # what it may do is another matter


@pytest.mark.parametrize(("code", "times"), [("rate_limited", 50), ("too_many", 5)])
def test_refusals_that_count_less(code: str, times: int) -> None:
    allowance = Budget(Limits(refused_rate=0.001, refused_burst=5)).connection(0.0)
    assert all(allowance.refused(code, 0.0) for _ in range(times))
    assert not allowance.refused(code, 0.0)


@pytest.mark.parametrize("code", ["unavailable", "draining", "internal"])
def test_what_is_our_own_fault_counts_for_nothing(code: str) -> None:
    allowance = Budget(Limits(refused_burst=1)).connection(0.0)
    assert all(allowance.refused(code, 0.0) for _ in range(100))


def test_whoever_is_told_to_come_back_later_has_something_to_come_back_for() -> None:
    """The tables name codes and events that there are."""
    assert REFUSAL_COSTS.keys() <= REFUSALS.keys()
    assert COSTS.keys() - {"rooms", "mentions", "directory"} <= set(EVENTS)
    assert max(*COSTS.values(), JOIN_COST) <= Limits().event_burst


def test_the_events_of_a_user_on_all_connections() -> None:
    budget = Budget(Limits(user_event_rate=10.0, user_event_burst=3))
    first, second = budget.user(ALICE, 0.0), budget.user(ALICE, 0.0)
    assert [bucket.take(0.0) == 0 for bucket in (first, second, first, second)] == [
        True,
        True,
        True,
        False,
    ]
    # who comes back finds the bucket as it was
    assert budget.user(ALICE, 0.05).take(0.05) == pytest.approx(0.05, abs=1e-4)
    assert budget.user(User("bob", "Bob"), 0.05).take(0.05) == 0.0


def test_a_guest_is_limited_by_the_connection_alone() -> None:
    budget = Budget(Limits(user_event_burst=1))
    bucket = budget.user(User("guest:1", "Guest", guest=True), 0.0)
    assert {bucket.take(0.0) for _ in range(100)} == {0.0}


def test_an_allowance_is_small() -> None:
    """One for each connection; most are never refused anything."""
    allowance = Budget(Limits()).connection(0.0)
    assert not hasattr(allowance, "__dict__")
    assert isinstance(allowance, Allowance)
    assert allowance._refusals is None


def test_limits_that_are_off() -> None:
    limits = Limits(
        enabled=False, message_burst=0, event_burst=1, user_event_burst=1, refused_burst=1
    )
    budget = Budget(limits)
    allowance, bucket = budget.connection(0.0), budget.user(ALICE, 0.0)
    for _ in range(1000):
        budget.check_message("alice", "lobby", RoomRule(message_rate=0.1), 0.0)
        assert budget.take_relayed("alice", "lobby", RoomRule(relay_rate=0.1), 0.0) == 0.0
        assert allowance.take(0.0) == bucket.take(0.0) == 0.0
        assert allowance.refused("bad_request", 0.0)


def test_what_is_passed_on_at_the_pace_of_the_room() -> None:
    budget, paced = Budget(Limits()), RoomRule(relay_rate=3.0)
    assert [budget.take_relayed("alice", "a", paced, 0.0) for _ in range(3)] == [0.0] * 3
    assert budget.take_relayed("alice", "a", paced, 0.0) == pytest.approx(1 / 3, abs=1e-4)
    assert budget.take_relayed("alice", "b", paced, 0.0) == 0.0
    assert budget.take_relayed("bob", "a", paced, 0.0) == 0.0
    assert {budget.take_relayed("alice", "a", RoomRule(), 0.0) for _ in range(100)} == {0.0}


def test_a_key_has_a_bucket_like_a_user_and_is_none() -> None:
    budget = Budget(Limits(user_event_rate=1.0, user_event_burst=2.0))
    assert [budget.key("alice", 0.0).take(0.0) for _ in range(2)] == [0.0, 0.0]
    assert budget.key("alice", 0.0).take(0.0) == pytest.approx(1.0, abs=1e-3)
    assert budget.key("other", 0.0).take(0.0) == 0.0
    assert budget.user(ALICE, 0.0).take(0.0) == 0.0
    free = Budget(Limits(enabled=False)).key("alice", 0.0)
    assert not any(free.take(0.0) for _ in range(1000))
