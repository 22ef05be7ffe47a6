"""How arguments are read."""

from typing import Any

import pytest

from sioserver.errors import Refusal
from sioserver.wire.arguments import MAX_ID, message_id, one_object, options, whole


def test_one_object_or_nothing() -> None:
    assert one_object([], "x") is None
    assert one_object([{"a": 1}], "x") == {"a": 1}
    with pytest.raises(Refusal, match="x takes one object"):
        one_object([1, 2], "x")


def test_options_have_known_names() -> None:
    assert options(None, "x", {"a"}) == {}
    assert options({"a": 1}, "x", {"a", "b"}) == {"a": 1}
    with pytest.raises(Refusal, match="'c' is not one of a, b"):
        options({"c": 1}, "x", {"a", "b"})
    with pytest.raises(Refusal, match="an object"):
        options([1], "x", {"a"})


@pytest.mark.parametrize("value", [None, "1", True, 1.5, -1, 11, [1], float("inf")])
def test_what_is_no_whole_number_in_bounds(value: Any) -> None:
    with pytest.raises(Refusal, match="n is a whole number from 0 to 10"):
        whole(value, "n", 0, 10)


def test_whole_numbers() -> None:
    assert whole(3, "n", 0, 10) == 3
    found = whole(3.0, "n", 0, 10)
    assert (found, type(found)) == (3, int)


def test_ids_of_messages() -> None:
    for value in ("!", "a-1", "~" * MAX_ID):
        assert message_id(value, "id") == value
    for bad in ("", " ", "a b", "ü", "x" * (MAX_ID + 1), "a\n", 5, None, b"x"):
        with pytest.raises(Refusal, match="printable ASCII"):
            message_id(bad, "id")
