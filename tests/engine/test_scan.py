"""Searching without an index: what is looked at, and how much of it."""

from __future__ import annotations

import asyncio

import pytest

from sioserver.engine import scan as module
from sioserver.engine.base_search import Found
from sioserver.engine.scan import PAGE, Scan
from sioserver.matching import parse_query
from sioserver.model import Message, Page, Position

from ..fakes import message

TEA = parse_query("tea")


class Log:
    """A history of messages, every tenth of which says tea."""

    def __init__(self, first: int, top: int) -> None:
        self.all = [message(at, "Tea!" if at % 10 == 0 else "x") for at in range(first, top + 1)]
        self.first, self.top = first, top
        self.asked: list[int] = []

    async def __call__(self, room: str, /, *, before: int | None, limit: int) -> Page:
        self.asked.append(limit)
        end = self.top + 1 if before is None else max(self.first, min(before, self.top + 1))
        start = max(self.first, end - limit)
        kept = [one for one in self.all if start <= one.offset < end]
        return Page(kept, self.first, Position("e", self.top), 0, start, end)


def offsets(found: list[Message]) -> list[int]:
    return [one.offset for one in found]


async def test_the_newest_are_found_first() -> None:
    log = Log(5, 1000)
    found = await Scan(log, 5000).find("den", TEA, before=None, limit=3)
    assert offsets(found.messages) == [1000, 990, 980]
    assert (found.end, found.next, found.complete) == (980, 980, True)
    found = await Scan(log, 5000).find("den", TEA, before=31, limit=9)
    assert offsets(found.messages) == [30, 20, 10]
    assert (found.end, found.next, found.complete) == (5, None, True)


async def test_the_bound_is_kept_and_told() -> None:
    log = Log(1, 1000)
    scan, before, seen = Scan(log, 250), None, []
    while True:
        found = await scan.find("den", TEA, before=before, limit=100)
        seen += offsets(found.messages)
        before = found.next
        if before is None:
            break
        assert found == Found(found.messages, before, before, False)
    assert seen == list(range(1000, 0, -10))
    assert sum(log.asked) == 1000
    assert max(log.asked) == PAGE


async def test_nothing_is_there() -> None:
    for log in (Log(1, 0), Log(7, 6)):
        found = await Scan(log, 10).find("den", TEA, before=None, limit=5)
        assert found == Found([], log.first, None, True)
    found = await Scan(Log(5, 9), 10).find("den", TEA, before=3, limit=5)
    assert found == Found([], 5, None, True)


async def test_the_last_one_of_the_log_ends_it() -> None:
    found = await Scan(Log(10, 12), 5000).find("den", TEA, before=None, limit=1)
    assert (offsets(found.messages), found.end, found.next) == ([10], 10, None)


async def test_others_have_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SLICE", -1.0)
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    await Scan(Log(1, 50), 5000).find("den", parse_query("nothing"), before=None, limit=5)
    counting.cancel()
    assert turns >= 50
