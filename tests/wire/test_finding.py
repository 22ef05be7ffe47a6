"""Searching and the directory: what is understood, and what clients are told."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from sioserver import wire
from sioserver.errors import Refusal
from sioserver.matching import Query
from sioserver.model import Counts
from sioserver.wire import DirectoryRequest, SearchRequest

from ..fakes import message
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
    answer(wire.parse_search, args, 100)


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ({"query": "Tea"}, SearchRequest(Query(("tea",)), None, 20)),
        ({"query": 'a "b c"', "before": 7, "limit": 99}, SearchRequest(Query(("a", "b c")), 7, 50)),
    ],
)
def test_a_search(asked: dict[str, Any], wanted: SearchRequest) -> None:
    assert wire.parse_search([asked], 50) == wanted


@pytest.mark.parametrize(
    "asked",
    [
        *({}, None, "tea", {"query": None}, {"query": ""}, {"query": 5}, {"query": "x" * 201}),
        *({"query": "x", "before": -1}, {"query": "x", "limit": 0}, {"query": "x", "after": 1}),
    ],
)
def test_what_is_no_search(asked: Any) -> None:
    with pytest.raises(Refusal) as refused:
        wire.parse_search([asked], 50)
    assert refused.value.code == "bad_request"


def test_what_was_found() -> None:
    found = [message(9, "tea"), message(5, "tea"), message(2, "tea")]
    told = wire.search_answer(found, 3, 2, None, "ann", complete=True)
    assert told == {
        "ok": True,
        "items": [wire.message_payload(one, "ann") for one in found],
        "complete": True,
        "searched_to": 2,
    }
    told = wire.search_answer(found, 3, 1, 1, "ann", complete=False)
    assert (told["searched_to"], told["next"], told["complete"]) == (1, 1, False)
    # what does not fit comes with the next search
    told = wire.search_answer(found, 2, 1, None, "ann", complete=False)
    assert [one["offset"] for one in told["items"]] == [9, 5]
    assert (told["searched_to"], told["next"], told["complete"]) == (5, 5, True)


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
