import asyncio
from collections.abc import Callable

import pytest

from sioserver.engine.embedded_pages import Loaded
from sioserver.engine.embedded_rooms import Room, RoomCache
from sioserver.errors import Refusal
from sioserver.model import Message


def message(offset: int) -> Message:
    return Message(f"m{offset}", offset, "ann", "Ann", None, 0)


def room(first: int, top: int, oldest: int) -> Room:
    tail = [message(n) for n in range(oldest, top + 1)]
    return Room(Loaded(top, first, 0, tail, [1] * len(tail), 0))


def test_what_was_trimmed_is_gone_from_memory() -> None:
    state = room(first=1, top=10, oldest=6)
    state.drop_before(4)
    assert (state.first, len(state.tail)) == (4, 5)
    state.drop_before(9)
    assert [m.offset for m in state.tail] == [9, 10]
    state.drop_before(11)
    assert state.tail == []
    state.append(message(11), 1, cached=8)
    assert state.messages(11, 12) == [message(11)]


class Source:
    """Rooms to fetch, answered when the test says so."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers: list[tuple[Callable[[Loaded], None], Callable[[Refusal], None]]] = []
        self.needed: set[str] = set()
        self.cache = RoomCache(self.fetch, self.needed.__contains__, idle=2)

    def fetch(
        self, name: str, done: Callable[[Loaded], None], failed: Callable[[Refusal], None]
    ) -> None:
        self.asked.append(name)
        self.answers.append((done, failed))

    async def have(self, name: str) -> None:
        task = asyncio.create_task(self.cache.need(name))
        await asyncio.sleep(0)
        if self.answers:
            self.answers.pop()[0](Loaded(0, 1, 0, [], [], 0))
        await task


async def test_a_room_is_fetched_once_for_all_who_ask() -> None:
    source = Source()
    tasks = [asyncio.create_task(source.cache.need("a")) for _ in range(3)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    source.answers[0][0](Loaded(3, 1, 0, [], [], 0))
    assert await tasks[1] is await tasks[2] is source.cache.get("a")
    assert source.asked == ["a"]


async def test_a_failure_is_told_to_all_and_not_remembered() -> None:
    source = Source()
    tasks = [asyncio.create_task(source.cache.need("a")) for _ in range(2)]
    await asyncio.sleep(0)
    source.answers.pop()[1](Refusal("unavailable", retry_after=1))
    refused = await asyncio.gather(*tasks, return_exceptions=True)
    assert [(r.code, r.retry_after) for r in refused if isinstance(r, Refusal)] == [
        ("unavailable", 1)
    ] * 2
    await source.have("a")
    assert source.asked == ["a", "a"]


async def test_a_fetch_that_cannot_begin_is_not_waited_for() -> None:
    def refuse(*_: object) -> None:
        raise Refusal("unavailable")

    cache = RoomCache(refuse, lambda _: False, idle=2)
    for _ in range(2):
        with pytest.raises(Refusal):
            await cache.need("a")


async def test_the_idle_room_that_was_used_longest_ago_goes_first() -> None:
    source = Source()
    for name in ("a", "b", "a", "c"):
        await source.have(name)
    assert [name for name in "abc" if source.cache.get(name)] == ["a", "c"]
    assert len(source.cache) == 2


async def test_a_room_that_is_needed_stays() -> None:
    source = Source()
    source.needed |= {"a", "b", "c"}
    for name in "abcde":
        await source.have(name)
    assert len(source.cache) == 5
    source.needed.clear()
    for name in "abcx":
        source.cache.review(name)
    assert [name for name in "abcde" if source.cache.get(name)] == ["b", "c"]
