"""When users were seen last, as long as it is not written."""

from __future__ import annotations

import pytest

from sioserver.engine.sightings import MOST, Sightings


def test_the_newest_of_each_counts() -> None:
    sightings = Sightings()
    for user, at in (("a", 5), ("a", 3), ("b", 4), ("a", 6)):
        sightings.note(user, at)
    assert len(sightings) == 2
    assert sightings.newest(["a", "b", "c"], {}) == {"a": 6, "b": 4}
    assert sightings.newest(["a", "b", "c"], {"a": 9, "b": 1, "c": 2}) == {"a": 9, "b": 4, "c": 2}


def test_what_was_taken_and_could_not_be_written() -> None:
    sightings = Sightings()
    for user, at in (("a", 1), ("b", 2), ("c", 3)):
        sightings.note(user, at)
    lot = sightings.take(2)
    assert lot == {"a": 1, "b": 2}
    assert sightings.newest("abc", {}) == {"c": 3}
    sightings.note("a", 7)
    sightings.put_back(lot)
    assert sightings.newest("abc", {}) == {"a": 7, "b": 2, "c": 3}
    assert sightings.take(99) == {"a": 7, "b": 2, "c": 3}
    assert sightings.take(99) == {}


def test_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST >= 10_000
    monkeypatch.setattr("sioserver.engine.sightings.MOST", 2)
    sightings = Sightings()
    for at, user in enumerate("aabca", start=1):
        sightings.note(user, at)
    assert sightings.newest("abc", {}) == {"a": 5, "c": 4}
    assert sightings.given_up == 2
