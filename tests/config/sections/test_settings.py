"""What settings are made of."""

import msgspec
import pytest

from sioserver.config.sections.settings import (
    AtLeastOne,
    Count,
    Port,
    Positive,
    Rate,
    RateOrZero,
    Seconds,
    Section,
    about,
)


class Table(Section, frozen=True):
    """For tests."""

    number: Count = 1


def test_a_table_has_no_other_settings_and_is_read_only() -> None:
    assert msgspec.convert({"number": 2}, Table) == Table(2)
    with pytest.raises(msgspec.ValidationError, match="zz"):
        msgspec.convert({"zz": 2}, Table)
    with pytest.raises(AttributeError):
        Table().number = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("kind", "least", "too_little"),
    [
        (Seconds, 0, -0.1),
        (Positive, 0.001, 0),
        (Rate, 0.001, 0),
        (RateOrZero, 0, -0.1),
        (Count, 0, -1),
        (AtLeastOne, 1, 0),
        (Port, 0, -1),
    ],
)
def test_the_bounds_of_numbers(kind: object, least: float, too_little: float) -> None:
    assert msgspec.convert(least, kind) == least  # type: ignore[call-overload]
    for value in (too_little, 1e15 if isinstance(least, float) else 10**15):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(value, kind)  # type: ignore[call-overload]


def test_a_secret_is_marked_as_one() -> None:
    assert (about("It.").description, about("It.").extra) == ("It.", {"secret": False})
    assert about("It.", secret=True).extra == {"secret": True}
