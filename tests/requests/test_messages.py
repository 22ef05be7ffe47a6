"""Requests that are about messages: how much an answer carries."""

from __future__ import annotations

from typing import Any

import pytest

from sioserver.model import Message, Page, Position

from .kit import Desk


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.mark.parametrize(
    ("bodies", "newest", "oldest"),
    [
        ([b"1", b"2", b"3"], [2, 3], [1, 2]),
        (["x" * 60, "y" * 60], [2], [1]),
        (["x" * 200], [1], [1]),
    ],
)
async def test_a_page_of_history_is_no_more_than_an_answer_can_carry(
    desk: Desk, bodies: list[Any], newest: list[int], oldest: list[int]
) -> None:
    messages = [Message("m", n, "alice", "Alice", body, 0) for n, body in enumerate(bodies, 1)]
    desk.service.page = Page(
        messages, 1, Position("e", len(bodies)), len(bodies), 1, len(bodies) + 1
    )
    for options, kept in (({}, newest), ({"before": 9}, newest), ({"after": 0}, oldest)):
        answer = await desk.ask("history", options)
        assert [item["offset"] for item in answer["items"]] == kept
        assert answer["more"] == (len(kept) < len(bodies))
