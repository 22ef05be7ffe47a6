"""Token buckets: never too much, never too little, whatever the clock does."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sioserver.config import RoomRule
from sioserver.config.schema import Limits
from sioserver.errors import Refusal
from sioserver.limits import Budget, Budgets, NoBucket, NoLimit, TokenBucket

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
    hits: list[str] = []
    budget = Budget(Limits(message_rate=2.0, message_burst=2), hits.append)
    rule = RoomRule()
    for _ in range(2):
        budget.check_message("alice", "lobby", rule, 0.0)
    assert hits == []
    with pytest.raises(Refusal) as caught:
        budget.check_message("alice", "lobby", rule, 0.0)
    assert caught.value.code == "rate_limited"
    assert caught.value.retry_after == pytest.approx(0.5, abs=1e-4)
    assert hits == ["message_rate"]
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


def test_the_bucket_of_a_connection() -> None:
    bucket = Budget(Limits(event_rate=4.0, event_burst=8)).connection(7.0)
    assert [bucket.take(7.0) == 0 for _ in range(9)] == [True] * 8 + [False]
    assert bucket.take(7.0) == pytest.approx(0.25, abs=1e-4)


def test_limits_that_are_off() -> None:
    hits: list[str] = []
    budget = Budget(Limits(enabled=False, message_burst=0, event_burst=0), hits.append)
    bucket = budget.connection(0.0)
    for _ in range(1000):
        budget.check_message("alice", "lobby", RoomRule(message_rate=0.1), 0.0)
        assert bucket.take(0.0) == 0.0
    assert hits == []


def test_what_is_given_back_can_be_taken_again() -> None:
    budgets = Budgets(1.0, 2.0)
    assert [budgets.take("a", 0.0) == 0 for _ in range(3)] == [True, True, False]
    budgets.give_back("a")
    assert budgets.take("a", 0.0) == 0
    for _ in range(5):
        budgets.give_back("a")  # never more than the burst
    assert [budgets.take("a", 0.0) == 0 for _ in range(3)] == [True, True, False]
    budgets.give_back("nobody")
    NoLimit().give_back("a")
    assert len(budgets) == 1
