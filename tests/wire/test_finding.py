"""Searching and the directory: what is understood, and what clients are told."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from sioserver import wire
from sioserver.errors import Refusal
from sioserver.matching import Query
from sioserver.model import Counts
from sioserver.wire import DirectoryRequest

from .kit import ARGS, answer


@pytest.mark.parametrize(
    ("args", "wanted"),
    [
        ([], DirectoryRequest(None, None, 50)),
        ([{"query": None, "after": None}], DirectoryRequest(None, None, 50)),
        ([{"query": "Tea", "limit": 7.0}], DirectoryRequest(Query(("tea",)), None, 7)),
        ([{"after": "12 team/a b"}], DirectoryRequest(None, (12, "team/a b"), 50)),
    ],
)
def test_a_page_of_the_directory(args: list[Any], wanted: DirectoryRequest) -> None:
    assert wire.parse_directory(args) == wanted


@pytest.mark.parametrize(
    "given_",
    [
        {"query": ""},
        {"query": 7},
        {"query": "x" * 201},
        {"query": "\ud800"},
        {"limit": 0},
        {"limit": 101},
        {"limit": "5"},
        {"after": 5},
        {"after": "den"},
        {"after": "-1 den"},
        {"after": "٣ den"},
        {"after": "9" * 11 + " den"},
        {"after": "1 " + "x" * 200},
        {"page": 1},
        "tea",
    ],
)
def test_what_is_no_page(given_: Any) -> None:
    with pytest.raises(Refusal) as refused:
        wire.parse_directory([given_])
    assert refused.value.code == "bad_request"


@given(ARGS)
def test_whatever_comes_is_read_or_refused(args: list[Any]) -> None:
    answer(wire.parse_directory, args)


def test_the_answer_names_its_end() -> None:
    rooms = [("den", "tea", Counts(2, 5)), ("attic", "", None)]
    told = wire.directory_answer(rooms, (0, "attic"))
    assert told == {
        "ok": True,
        "rooms": [
            {"room": "den", "topic": "tea", "online": 2, "total": 5},
            {"room": "attic", "topic": ""},
        ],
        "next": "0 attic",
    }
    assert wire.parse_directory([{"after": told["next"]}]).after == (0, "attic")
    assert wire.directory_answer([], None) == {"ok": True, "rooms": []}
