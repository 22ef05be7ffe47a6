"""Whether to try again, and when."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sioserver.client.retry import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    is_final,
    is_worth_waiting,
    pause,
)
from sioserver.errors import DISCONNECTS, REFUSALS, Disconnect, Refusal

CHANCES = st.floats(0, 1, exclude_max=True)


@given(st.integers(0, 10**6), CHANCES, st.none() | st.floats(0, 1e6))
def test_a_pause_has_its_bounds(failures: int, chance: float, at_least: float | None) -> None:
    found = pause(failures, at_least, lambda: chance)
    assert FIRST_PAUSE / 2 <= found <= max(LONGEST_PAUSE, (at_least or 0.0) * 1.1)
    assert found >= (at_least or 0.0)


def test_a_pause_gets_longer_until_it_is_the_longest() -> None:
    pauses = [pause(failures, None, lambda: 1.0) for failures in range(7)]
    assert pauses == [0.25, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


def test_clients_do_not_come_in_step() -> None:
    assert pause(3, None, lambda: 0.2) != pause(3, None, lambda: 0.3)
    assert pause(0, 60.0, lambda: 0.2) != pause(0, 60.0, lambda: 0.3)


@pytest.mark.parametrize("renewable", [True, False])
def test_what_is_final(renewable: bool) -> None:
    final = {code for code in REFUSALS if is_final(Refusal(code), renewable=renewable)}
    stays_out = {code for code, kind in REFUSALS.items() if not kind.temporary}
    ended = {code for code in DISCONNECTS if is_final(Disconnect(code), renewable=renewable)}
    no_return = {code for code, kind in DISCONNECTS.items() if not kind.reconnect}
    excepted = {"token_expired"} if renewable else set()
    assert final == stays_out - excepted
    assert ended == no_return - excepted


@pytest.mark.parametrize("why", [ConnectionError("lost"), TimeoutError(), ValueError("anything")])
def test_what_the_server_did_not_say_is_never_final(why: Exception) -> None:
    assert not is_final(why, renewable=False)


@pytest.mark.parametrize("code", REFUSALS)
def test_what_is_temporary_is_worth_waiting_for_but_to_be_muted(code: str) -> None:
    assert is_worth_waiting(Refusal(code)) == (REFUSALS[code].temporary and code != "muted")
