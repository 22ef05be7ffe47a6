"""What every engine must do with the directory, in the words of its contract
(sioserver/engine/base_directory.py).

Only the Protocols are used here; the `engine` fixture runs each test with each engine.
"""

from __future__ import annotations

import pytest

from sioserver.engine.base import Engine
from sioserver.engine.base_directory import Listed
from sioserver.errors import Refusal

from .conftest import ANN, BEN, Harness

NOW = 1_700_000_000.0
MOST = 1000


async def listed(engine: Engine, limit: int = MOST) -> list[str]:
    return [one.room for one in await engine.directory.rooms(limit=limit)]


async def test_rooms_are_listed_with_topic_and_people(engine: Engine) -> None:
    assert await engine.directory.rooms(limit=MOST) == []
    await engine.enter("den", ANN, "c1")
    await engine.enter("den", ANN, "c2")
    await engine.enter("den", BEN, "c3")
    engine.directory.note({"den": "Tea & cake"}, NOW, MOST)
    engine.directory.note({"部屋:{x}": None}, NOW - 1, MOST)
    engine.directory.note({"empty": ""}, NOW - 2, MOST)
    engine.directory.note({}, NOW, MOST)
    assert await engine.directory.rooms(limit=MOST) == [
        Listed("den", "Tea & cake", 2),
        Listed("部屋:{x}", None, 0),
        Listed("empty", "", 0),
    ]


async def test_the_last_word_counts(engine: Engine) -> None:
    engine.directory.note({"a": "one", "b": None}, NOW, MOST)
    engine.directory.note({"a": None}, NOW + 1, MOST)
    engine.directory.note({"b": "two"}, NOW + 2, MOST)
    assert await engine.directory.rooms(limit=MOST) == [Listed("b", "two", 0), Listed("a", None, 0)]
    assert await listed(engine, 1) == ["b"]
    assert await listed(engine, 0) == []


async def test_of_too_many_the_last_visited_are_kept(engine: Engine) -> None:
    for number in range(9):
        engine.directory.note({f"r{number}": "t" if number % 2 else None}, NOW + number, 5)
    engine.directory.note({"r4": "again"}, NOW + 20, 5)
    engine.directory.note({"new": None}, NOW + 21, 5)
    assert await listed(engine) == ["new", "r4", "r8", "r7", "r6"]
    engine.directory.note({"r0": None}, NOW + 22, 5)
    assert (await engine.directory.rooms(limit=1)) == [Listed("r0", None, 0)]


async def test_many_rooms(engine: Engine) -> None:
    names = [f"room-{number:04}" for number in range(1050)]
    for place, name in enumerate(names):
        engine.directory.note({name: name}, NOW + place, 2000)
    found = await engine.directory.rooms(limit=2000)
    assert [one.room for one in found] == names[::-1]
    assert all(one.topic == one.room for one in found)
    assert await listed(engine, 777) == names[::-1][:777]
    engine.directory.note(dict.fromkeys(names[:700]), NOW, 2000)
    assert sum(one.topic is None for one in await engine.directory.rooms(limit=2000)) == 700


async def test_it_is_kept_over_a_restart(durable: Harness) -> None:
    engine = durable.engine
    engine.directory.note({"den": "tea"}, NOW, MOST)
    assert await listed(engine) == ["den"]
    assert await (await durable.restart()).directory.rooms(limit=MOST) == [Listed("den", "tea", 0)]


async def test_an_engine_that_has_stopped(harness: Harness) -> None:
    await harness.engine.stop()
    harness.engine.directory.note({"den": None}, NOW, MOST)
    with pytest.raises(Refusal) as refusal:
        await harness.engine.directory.rooms(limit=MOST)
    assert refusal.value.code == "unavailable"
