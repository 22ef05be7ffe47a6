"""Places and paces: never more than allowed, nobody counted twice, everything given back."""

from __future__ import annotations

import ipaddress
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sioserver.admission import (
    FULL_RETRY,
    MEMORY_RETRY,
    Admission,
    Full,
    Places,
    Watermark,
    whose,
)
from sioserver.config.schema import Limits

KEYS = st.sampled_from([None, "a", "b", "c"])


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("127.0.0.1", None),
        ("127.9.9.9", None),
        ("::1", None),
        ("::ffff:127.0.0.1", None),
        ("", None),
        ("unknown", None),
        ("1.2.3.4:80", None),
    ],
)
def test_under_what_an_address_is_counted(address: str, key: str | None) -> None:
    assert whose(address) == key


@given(st.ip_addresses(v=6), st.integers(0, 2**64 - 1))
def test_all_addresses_of_a_network_are_one(address: ipaddress.IPv6Address, host: int) -> None:
    other = ipaddress.IPv6Address(int(address) >> 64 << 64 | host)
    special = {address.ipv4_mapped, other.ipv4_mapped} != {None}
    if special or address.is_loopback or other.is_loopback:
        return
    assert whose(str(address)) == whose(str(other))


@given(st.text())
def test_anything_may_be_asked(address: str) -> None:
    key = whose(address)
    assert key is None or ipaddress.ip_network(key)


@given(
    st.integers(0, 6),
    st.integers(0, 4),
    st.lists(st.tuples(st.booleans(), KEYS), max_size=60),
)
def test_places(total: int, each: int, steps: list[tuple[bool, str | None]]) -> None:
    places, held = Places(total, each), Counter[str | None]()
    for comes, key in steps:
        if comes and not (places.full or places.full_for(key)):
            places.take(key)
            held[key] += 1
        elif held[key] and not comes:
            places.free(key)
            held[key] -= 1
        assert places.taken == held.total()
        assert not total or places.taken <= total
        for known in ("a", "b", "c"):
            assert places.of(known) == held[known]
            assert not each or held[known] <= each
        assert places.of(None) == 0
        # nothing is kept of who has no place
        assert len(places) == sum(1 for known in ("a", "b", "c") if held[known])


def admission(**limits: float) -> tuple[Admission, list[str]]:
    hits: list[str] = []
    usual = {"accept_rate": 1e6, "address_accept_rate": 1e6}
    return Admission(Limits(**{**usual, **limits}), hits.append), hits  # type: ignore[arg-type]


def test_the_whole_node_has_places() -> None:
    door, hits = admission(connections=2, address_connections=0)
    assert door.enter("a", 0.0) is None
    assert door.enter(None, 0.0) is None
    assert door.enter("b", 0.0) == Full("connections", FULL_RETRY)
    assert hits == ["connections"]
    door.leave(None)
    assert door.enter("b", 0.0) is None


def test_an_address_has_places_and_loopback_as_many_as_it_likes() -> None:
    door, hits = admission(address_connections=2)
    assert [door.enter("a", 0.0) for _ in range(3)][2] == Full("address_connections", FULL_RETRY)
    assert door.enter("b", 0.0) is None
    assert all(door.enter(None, 0.0) is None for _ in range(10))
    assert hits == ["address_connections"]
    door.leave("a")
    assert door.enter("a", 0.0) is None


def test_while_memory_is_full_nobody_comes_in() -> None:
    hits: list[str] = []
    mark = Watermark(1000)
    door = Admission(Limits(), hits.append, mark)
    assert door.enter("a", 0.0) is None
    assert mark.note(1000)
    assert door.enter("a", 0.0) == Full("memory", MEMORY_RETRY)
    assert hits == ["memory"]
    assert mark.note(900)
    assert door.enter("a", 0.0) is None


def test_a_mark_does_not_flutter() -> None:
    mark = Watermark(1000)
    told = [(used, mark.note(used), mark.full) for used in (0, 999, 1000, 1001, 951, 950, 949, 999)]
    assert [(used, full) for used, changed, full in told if changed] == [(1000, True), (949, False)]
    assert mark.used == 999


@given(st.lists(st.integers(0, 10**12)))
def test_without_a_mark_it_is_never_full(samples: list[int]) -> None:
    mark = Watermark()
    assert not any(mark.note(used) or mark.full for used in samples)


def test_who_is_moving_takes_two_places() -> None:
    door, _ = admission(connections=2)
    assert door.enter("a", 0.0) is None
    door.occupy("a")
    assert door.enter("b", 0.0) is not None
    door.leave("a")
    assert door.enter("b", 0.0) is None


def test_the_pace_of_a_node() -> None:
    door, hits = admission(accept_rate=10, accept_burst=2, address_accept_burst=10)
    assert [door.enter(None, 0.0) for _ in range(2)] == [None, None]
    full = door.enter("a", 0.0)
    assert full is not None
    assert (full.limit, hits) == ("accept_rate", ["accept_rate"])
    assert full.retry_after == pytest.approx(0.1, abs=1e-5)
    assert door.enter("a", full.retry_after) is None
    assert door.connections.taken == 3


def test_the_pace_of_an_address() -> None:
    door, hits = admission(address_accept_rate=1, address_accept_burst=2)
    assert [door.enter("a", 0.0) for _ in range(2)] == [None, None]
    full = door.enter("a", 0.0)
    assert full is not None
    assert (full.limit, hits) == ("address_accept_rate", ["address_accept_rate"])
    assert door.enter("b", 0.0) is None
    assert door.enter(None, 0.0) is None
    assert door.enter("a", 1.1) is None


def test_an_address_does_not_pay_for_a_node_that_is_busy() -> None:
    door, _ = admission(
        accept_rate=1, accept_burst=1, address_accept_rate=0.001, address_accept_burst=1
    )
    assert door.enter(None, 0.0) is None
    assert [full.limit for _ in range(3) if (full := door.enter("a", 0.1))] == ["accept_rate"] * 3
    assert door.enter("a", 2.0) is None


def test_without_rate_limits_the_places_are_still_bounded() -> None:
    door = Admission(Limits(enabled=False, accept_rate=1, accept_burst=1, address_connections=5))
    found = [door.enter("a", 0.0) for _ in range(6)]
    assert found == [None] * 5 + [Full("address_connections", FULL_RETRY)]
    for _ in range(1000):
        assert not door.try_token("a", 0.0)
        door.token_was_bad("a", 0.0)


def test_a_user_has_places() -> None:
    door, hits = admission(user_connections=2)
    assert [door.enter_user("ann") for _ in range(2)] == [None, None]
    assert door.enter_user("ann") == Full("user_connections", FULL_RETRY)
    assert door.enter_user("ben") is None
    door.leave_user("ann")
    assert door.enter_user("ann") is None
    assert hits == ["user_connections"]


def test_questions_for_sessions_that_are_not_there_have_a_pace() -> None:
    door, hits = admission(unknown_session_rate=1, unknown_session_burst=2)
    assert [door.ask_for_unknown("a", 0.0) for _ in range(2)] == [None, None]
    full = door.ask_for_unknown("a", 0.0)
    assert full is not None
    assert (full.limit, full.retry_after) == ("unknown_session_rate", pytest.approx(1.0, abs=1e-5))
    assert hits == ["unknown_session_rate"]
    assert door.ask_for_unknown("b", 0.0) is None
    assert not any(door.ask_for_unknown(None, 0.0) for _ in range(10))
    assert door.ask_for_unknown("a", 1.1) is None


def test_bad_tokens_slow_an_address_down() -> None:
    door, hits = admission(auth_failure_rate=1, auth_failure_burst=3)
    # as many as like may be under way, and good ones cost nothing
    assert not any(door.try_token("a", 0.0) for _ in range(1000))
    for _ in range(3):
        assert door.try_token("a", 0.0) == 0
        door.token_was_bad("a", 0.0)
    assert door.try_token("a", 0.0) == pytest.approx(1.0, abs=1e-5)
    assert hits == ["auth_failure_rate"]
    assert door.try_token("b", 0.0) == 0
    for _ in range(10):
        assert not door.try_token(None, 0.0)
        door.token_was_bad(None, 0.0)
    assert door.try_token("a", 1.1) == 0
