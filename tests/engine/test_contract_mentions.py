"""What every engine must do with mentions, in the words of its contract
(sioserver/engine/base_mentions.py).

Only the Protocols are used here; the `engine` fixture runs each test with each engine.
"""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from sioserver.engine.base import Engine
from sioserver.engine.base_mentions import KEPT
from sioserver.errors import Refusal
from sioserver.model import Mention, Position, User

from .conftest import ANN, BEN, Harness, Keep, draft

AT = 1_700_000_000_000
KEEP = Keep()


async def post(engine: Engine, room: str = "den") -> tuple[Position, Mention]:
    """A message, and how it mentions people."""
    published = await engine.publish(room, draft("m", BEN, again=False), KEEP)
    offset = published.position.offset
    return published.position, Mention(0, room, f"m{offset}", offset, "ben", "Ben", AT + offset)


async def test_members_are_told_apart_from_strangers(engine: Engine) -> None:
    for user in (ANN, BEN):
        await engine.join("den", user)
    position, mention = await post(engine)
    found = await engine.mentions.add("den", position, mention, ["ann", "nobody", "ben"])
    assert found == {"ann": AT + 1, "ben": AT + 1}
    assert await engine.mentions.of("ann") == [replace(mention, number=AT + 1)]
    assert await engine.mentions.of("nobody") == []
    assert await engine.mentions.add("den", position, mention, []) == {}
    assert await engine.mentions.add("nowhere", position, mention, ["ann"]) == {}


async def test_a_message_is_noted_once(engine: Engine) -> None:
    await engine.join("den", ANN)
    first = await post(engine)
    second = await post(engine)
    for position, mention in (first, second, first, second):
        assert await engine.mentions.add("den", position, mention, ["ann"]) == {"ann": mention.at}
    assert [one.offset for one in await engine.mentions.of("ann")] == [1, 2]


async def test_numbers_rise_whatever_the_clock_says(engine: Engine) -> None:
    await engine.join("den", ANN)
    numbers = []
    for at in (AT, AT, AT - 5000, AT + 1, AT + 9):
        position, mention = await post(engine)
        added = await engine.mentions.add("den", position, replace(mention, at=at), ["ann"])
        numbers.append(added["ann"])
    assert numbers == [AT, AT + 1, AT + 2, AT + 3, AT + 9]
    assert [one.number for one in await engine.mentions.of("ann", after=AT + 1)] == numbers[2:]
    assert [one.at for one in await engine.mentions.of("ann")] == [
        AT,
        AT,
        AT - 5000,
        AT + 1,
        AT + 9,
    ]
    assert await engine.mentions.of("ann", after=numbers[-1]) == []


async def test_of_many_the_newest_are_kept(engine: Engine) -> None:
    await engine.join("den", ANN)
    posted = [await post(engine) for _ in range(KEPT + 3)]
    for position, mention in posted:
        await engine.mentions.add("den", position, mention, ["ann"])
    assert [one.offset for one in await engine.mentions.of("ann")] == list(range(4, KEPT + 4))


@pytest.mark.parametrize("room", ["den", "a b", "@dm:3:ann:ben c", "部屋{}"])
async def test_what_was_said_in_a_room_that_was_left_is_dropped(engine: Engine, room: str) -> None:
    for name in (room, "other"):
        await engine.join(name, ANN)
        position, mention = await post(engine, name)
        await engine.mentions.add(name, position, mention, ["ann"])
    assert [one.room for one in await engine.mentions.of("ann")] == [room, "other"]
    await engine.mentions.forget("ann", room)
    await engine.mentions.forget("ann", "nowhere")
    assert [one.room for one in await engine.mentions.of("ann")] == ["other"]


async def test_at_the_same_time(engine: Engine) -> None:
    people = [User(f"u{number}", "U") for number in range(9)]
    for user in people:
        await engine.join("den", user)
    posted = [await post(engine) for _ in range(9)]
    names = [user.id for user in people]
    await asyncio.gather(*(engine.mentions.add("den", *one, names) for one in posted))
    for name in names:
        found = await engine.mentions.of(name)
        assert sorted(one.offset for one in found) == list(range(1, 10))
        assert [one.number for one in found] == sorted({one.number for one in found})


async def test_they_are_kept_over_a_restart(durable: Harness) -> None:
    await durable.engine.join("den", ANN)
    position, mention = await post(durable.engine)
    await durable.engine.mentions.add("den", position, mention, ["ann"])
    engine = await durable.restart()
    assert await engine.mentions.of("ann") == [replace(mention, number=mention.at)]
    assert await engine.mentions.add("den", position, mention, ["ann"]) == {"ann": mention.at}


async def test_an_engine_that_has_stopped(harness: Harness) -> None:
    position, mention = await post(harness.engine)
    await harness.engine.stop()
    for call in (
        harness.engine.mentions.add("den", position, mention, ["ann"]),
        harness.engine.mentions.of("ann"),
        harness.engine.mentions.forget("ann", "den"),
    ):
        with pytest.raises(Refusal) as refusal:
            await call
        assert refusal.value.code == "unavailable"
