"""JSON as it is read here: nothing that is not JSON, and nothing too deep."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sioserver.wire.strict import MAX_DEPTH, StrictJSON, check_plain, depth

# what JSON has on the wire: whole numbers that stay exact, no lone surrogates in names
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
)
NAMES = st.text(st.characters(exclude_categories=["Cs"]))


def tree(leaves: Any) -> Any:
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
        max_leaves=8,
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda n: "[" * 70 + '"' + '\\"' * n,
        lambda n: "[" * n,
        lambda n: "[" * 70 + '"' * (n + n % 2 + 1),
        lambda n: "[" * 70 + "\\" * n,
    ],
    ids=["escapes", "brackets", "quotes", "backslashes"],
)
def test_counting_the_depth_takes_no_longer_than_reading(make: Callable[[int], str]) -> None:
    def seconds(text: str) -> float:
        begin = time.thread_time()
        depth(text)
        return time.thread_time() - begin

    few, many = make(4_000), make(64_000)
    # sixteen times the text: about sixteen times the time, where a square would take 256 times
    assert min(seconds(many) for _ in range(3)) < 90 * min(seconds(few) for _ in range(3))


@given(tree(SCALARS))
def test_depth_counts_levels(value: Any) -> None:
    def levels(value: Any) -> int:
        if isinstance(value, dict):
            value = list(value.values())
        return 1 + max(map(levels, value), default=0) if isinstance(value, list) else 0

    padding = [[]] * (MAX_DEPTH + 1)  # so many brackets that it has to count
    text = json.dumps([value, *padding])
    assert depth(text) == max(2, 1 + levels(value))


class TestStrictJSON:
    @given(tree(SCALARS))
    def test_round_trip(self, value: Any) -> None:
        assert StrictJSON.loads(StrictJSON.dumps(value)) == value

    @given(st.text())
    def test_any_text(self, text: str) -> None:
        try:
            value = StrictJSON.loads(text)
        except ValueError:
            return
        assert not isinstance(value, float) or math.isfinite(value)

    @given(st.integers(-(2**70), 2**70) | st.sampled_from([-(2**63), 2**63, 2**64 - 1, 2**64]))
    def test_a_whole_number_is_the_same_beside_a_surrogate(self, number: int) -> None:
        alone = StrictJSON.loads(f"[{number}]")[0]
        beside, _ = StrictJSON.loads(f'[{number},"\\ud800"]')
        assert (beside, type(beside)) == (alone, type(alone))

    @pytest.mark.parametrize("text", ["1e999", "-1e400", "9" * 400, "-" + "9" * 5000, "NaN"])
    @pytest.mark.parametrize("beside", ["1", '"\\ud800"'])
    def test_what_is_no_number_of_finite_size(self, text: str, beside: str) -> None:
        with pytest.raises(ValueError):
            StrictJSON.loads(f"[{text},{beside}]")

    def test_deep_text_with_a_surrogate(self) -> None:
        with pytest.raises(ValueError, match="deep"):
            StrictJSON.loads("[" * 100_000 + '"\\ud800"')

    def test_what_orjson_cannot_write(self) -> None:
        assert StrictJSON.dumps([2**70]) == f"[{2**70}]"
        assert json.loads(StrictJSON.dumps(["\ud800"])) == ["\ud800"]
        assert StrictJSON.dumps({1: 2}) == '{"1":2}'
        assert StrictJSON.dumps([math.nan, math.inf]) == "[null,null]"

    def test_what_nobody_can_write(self) -> None:
        with pytest.raises(TypeError):
            StrictJSON.dumps([object()])
        with pytest.raises(TypeError):
            StrictJSON.dumps([2**70, math.nan])


_leaves = st.none() | st.booleans() | st.integers() | st.text() | st.binary()
_plain = st.recursive(
    _leaves | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=20,
)
_odd = st.sampled_from([math.nan, math.inf, bytearray(b"x"), {1, 2}, {7: "x"}, object(), 1j])


@given(_plain)
def test_what_is_plain(value: Any) -> None:
    check_plain(value)


@given(_plain, _odd, _plain)
def test_what_is_not_plain_wherever_it_stands(one: Any, odd: Any, two: Any) -> None:
    for value in (odd, [one, odd, two], {"x": one, "y": (two, {"z": odd})}):
        with pytest.raises(ValueError):
            check_plain(value)


def test_plain_things_have_so_many_levels() -> None:
    value: Any = 1
    for _ in range(MAX_DEPTH):
        value = [value]
    check_plain(value)
    with pytest.raises(ValueError, match="too deeply"):
        check_plain([value])
