"""Single values, from text and from TOML."""

import datetime
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from sioserver.config.schema import RoomRule
from sioserver.config.sections.settings import Count, Port, Positive, Seconds
from sioserver.config.values import accept, expected, parse, shown

Choice = Literal["full", "normal"]


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("a b", str, "a b"),
        ("", str, ""),
        (" Yes", bool, True),
        ("on", bool, True),
        ("TRUE", bool, True),
        ("1", bool, True),
        ("no", bool, False),
        ("off", bool, False),
        ("false", bool, False),
        ("0", bool, False),
        ("80", Port, 80),
        (" 65_535 ", Port, 65_535),
        ("5", Seconds, 5.0),
        ("2.5e1", Seconds, 25.0),
        ("full ", Choice, "full"),
        ("", list[str], []),
        ("a, b ,c,", list[str], ["a", "b", "c"]),
        ('["a", "b,c"]', list[str], ["a", "b,c"]),
        ("['a', 'b']", list[str], ["a", "b"]),
        ("[]", list[str], []),
        ('[{"match": "x", "presence": false}]', list[Any], [{"match": "x", "presence": False}]),
        ('[{match = "x"}]', list[Any], [{"match": "x"}]),
    ],
)
def test_text_becomes_the_type(text: str, kind: Any, value: object) -> None:
    assert accept(parse(text, kind), kind) == value


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("maybe", bool, 'expected true or false, found "maybe"'),
        ("eight", Port, 'expected a whole number from 0 to 65535, found "eight"'),
        ("1.5", Port, 'expected a whole number from 0 to 65535, found "1.5"'),
        ("65536", Port, "expected a whole number from 0 to 65535, found 65536"),
        ("-1", Count, "expected a whole number from 0 to 2147483647, found -1"),
        ("9" * 5000, Count, "expected a whole number"),
        ("nan", Seconds, "expected a number from 0 to 315360000, found NaN"),
        ("inf", Seconds, "expected a number from 0 to 315360000, found Infinity"),
        ("0", Positive, "expected a number above 0 and at most 315360000, found 0.0"),
        ("loud", Choice, 'expected one of "full", "normal", found "loud"'),
        ("a,b", list[Choice], 'expected a list of "full", "normal", found ["a", "b"]'),
        ("[1, 2]", list[str], "expected a list of texts, found [1, 2]"),
        ("[1", list[str], 'expected a list of texts, found "[1"'),
        ("[1]\nmore = 2", list[str], "expected a list of texts"),
        ("[" * 100_000, list[str], "expected a list of texts"),
        ("\ud800", Choice, 'expected one of "full", "normal", found "\\ud800"'),
        ("a\nb", str, "expected a text without line breaks"),
        ("a\udc80", str, "expected a text without line breaks"),
        ('["a\\u0000"]', list[str], "expected a text without line breaks"),
    ],
)
def test_text_that_does_not_fit(text: str, kind: Any, message: str) -> None:
    with pytest.raises(ValueError, match="expected") as caught:
        accept(parse(text, kind), kind)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (True, Port),
        (1, bool),
        ("80", Port),
        (80.0, Port),
        (10**400, Seconds),
        (float("nan"), float),
        (float("inf"), float),
        ("a", list[str]),
        (datetime.date(2026, 1, 1), str),
        ([datetime.date(2026, 1, 1)], list[str]),
        ({}, str),
    ],
)
def test_toml_values_are_not_bent(value: object, kind: Any) -> None:
    with pytest.raises(ValueError, match=r"^expected .*, found "):
        accept(value, kind)


def test_a_whole_number_is_a_number() -> None:
    value = accept(5, Seconds)
    assert isinstance(value, float)


def test_a_secret_is_not_repeated() -> None:
    with pytest.raises(ValueError, match="another kind of value") as caught:
        accept(31337, str, secret=True)
    assert "31337" not in str(caught.value)


def test_no_control_character_is_shown() -> None:
    assert shown("\x7f\n\x1b") == '"\\u007f\\n\\u001b"'


def test_bounds_in_words() -> None:
    assert expected(Annotated[int, Meta(ge=1, le=9), Meta(description="x")]) == (
        "a whole number from 1 to 9"
    )
    assert expected(Count, brief=True) == "a whole number from 0"
    assert expected(Positive, brief=True) == "a number above 0"
    assert expected(list[RoomRule]) == "a list of tables"


@given(st.one_of(st.text(), st.integers(), st.floats(), st.lists(st.text()), st.booleans()))
def test_what_is_shown_is_short_and_on_one_line(value: object) -> None:
    text = shown(value)
    assert len(text) <= 60
    assert text.isprintable()


@given(st.text(st.characters()), st.sampled_from([str, bool, Port, Seconds, Choice, list[str]]))
def test_any_text_is_taken_or_refused(text: str, kind: Any) -> None:
    refusal = "expected "
    try:
        accept(parse(text, kind), kind)
    except ValueError as error:
        refusal = str(error)
    assert refusal.startswith("expected ")
