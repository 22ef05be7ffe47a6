"""What a node knows of the decisions in its rooms, whatever it did not hear of."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from math import inf

import pytest

from sioserver.engine import redis_moderation as module
from sioserver.engine.moderated import name_of, pack
from sioserver.engine.redis_keys import Keys
from sioserver.engine.redis_moderation import RedisModeration
from sioserver.errors import Refusal
from sioserver.model import EVERYWHERE, Act, RoomSettings, Sanction

from .bus_kit import BusNode, Start, of_redis
from .conftest import PATIENCE, Listener, until

NOW = time.time()
BAN = Sanction("ban", "ann", NOW + 86400, NOW, "mod", "why")
ACT = Act("ban", "mod", NOW, "ann")
ROOM = "lobby"


class Node(BusNode[RedisModeration]):
    """What was announced of two rooms."""

    def __init__(self, keys: Keys) -> None:
        super().__init__(keys, partial(RedisModeration, timeout=PATIENCE))
        self.told = Listener()
        self.rooms = {keys.room(room).channel: room for room in (ROOM, EVERYWHERE)}

    def hear(self, channel: str, kind: bytes, body: bytes) -> None:
        assert kind == b"d"
        self.part.on_bus(self.rooms[channel], body)

    async def begin(self) -> None:
        for channel in self.rooms:
            self.bus.subscribe(channel)
        await self.part.start(self.told)
        self.part.watch(ROOM)
        await self.part.look(ROOM)
        self.bus.subscribe(self.keys.room(ROOM).channel)
        await until(self.is_current, "the copies are current")

    def reads(self) -> float:
        return self.part.stats()["decisions_read_total"]

    def is_current(self) -> bool:
        return all(copy.current for copy in self.part._copies.values())


@pytest.fixture
async def start(keys: Keys) -> AsyncIterator[Start]:
    async with AsyncExitStack() as stack:
        yield lambda: stack.enter_async_context(Node(keys).running())


async def test_every_node_hears_of_a_decision_and_of_its_end(start: Start) -> None:
    one, two = await start(), await start()
    await one.part.impose(ROOM, BAN, ACT)
    await until(lambda: two.told.sanctions, "the other node hears")
    assert two.told.sanctions == one.told.sanctions == [(ROOM, BAN)]
    reads = two.reads()
    assert (await two.part.look(ROOM)).find("ban", "ann", NOW) == BAN
    assert two.reads() == reads, "a round trip for nobody"
    assert await one.part.lift(ROOM, "ban", "ann", ACT)
    await until(lambda: two.told.lifted, "the other node hears of the end")
    assert two.told.lifted == one.told.lifted == [(ROOM, BAN)]
    await one.part.configure(ROOM, {"topic": "tea"}, ACT)
    await until(lambda: two.told.settings, "the other node hears of the settings")
    assert two.told.settings == [(ROOM, RoomSettings("tea"))]
    await until(two.is_current, "the copy is current")
    assert two.told.sanctions == [(ROOM, BAN)]


async def test_what_was_not_heard_is_read_with_what_comes_next(start: Start) -> None:
    one, two = await start(), await start()
    two.deaf = True
    await one.part.impose(ROOM, BAN, ACT)
    await until(lambda: two.bodies, "it came, and was not heard")
    two.deaf = False
    await one.part.configure(ROOM, {"slow_mode": 2.0}, ACT)
    await until(lambda: two.told.sanctions, "it was read")
    assert two.told.sanctions == [(ROOM, BAN)]
    assert two.told.settings == [(ROOM, RoomSettings(None, 2.0))]


async def test_while_the_bus_is_deaf_the_rooms_are_read(start: Start) -> None:
    one, two = await start(), await start()
    two.deaf = True
    two.part.on_deaf()
    await one.part.impose(ROOM, BAN, ACT)
    assert (await two.part.look(ROOM)).find("ban", "ann", NOW) == BAN, "who comes now is refused"
    assert two.told.sanctions == [(ROOM, BAN)]
    await one.part.lift(ROOM, "ban", "ann", ACT)

    def ticked() -> bool:
        two.part.tick(NOW)
        return bool(two.told.lifted)

    await until(ticked, "who is here learns of it without anybody coming")
    two.deaf = False
    two.part.on_subscribed(list(two.rooms))
    await until(two.is_current, "the copies are current")


async def test_a_made_up_notice_puts_out_for_a_moment_and_hides_nothing(start: Start) -> None:
    one, two = await start(), await start()
    await one.part.impose(ROOM, BAN, ACT)
    await until(lambda: two.told.sanctions, "both know")
    forged = Sanction("ban", "eve", inf, NOW, "nobody")
    name, data = name_of("ban", "eve").encode(), pack(forged)
    body = b"0:%d:%d:%d:%s%s" % (2**52, len(name), len(data), name, data)
    two.part.on_bus(ROOM, body)
    assert two.told.sanctions[-1] == (ROOM, forged)
    two.part.on_bus(ROOM, b"0:%d:5:0:b:ann" % (2**52))  # made up: ann's ban is lifted
    assert two.part.rules[ROOM].find("ban", "ann", NOW) == BAN
    await until(lambda: two.told.lifted, "what was made up is gone")
    assert two.told.lifted == [(ROOM, forged)]
    assert two.part.rules[ROOM].find("ban", "ann", NOW) == BAN
    later = Sanction("ban", "ben", inf, NOW, "mod")
    await one.part.impose(ROOM, later, ACT)
    await until(lambda: two.told.sanctions[-1] == (ROOM, later), "what comes later")


@pytest.mark.parametrize(
    "body",
    [b"", b"1", b"a:b:", b"1:2:3", b"1:2:9:9:x", b"1:2:-1:0:x", b"1:2:1:0:\xff", b"\xff" * 9],
)
async def test_junk_changes_nothing(start: Start, body: bytes) -> None:
    node = await start()
    foreign = node.part.stats()["decisions_foreign_total"]
    node.part.on_bus(ROOM, body)
    assert node.part.stats()["decisions_foreign_total"] == foreign + 1
    node.part.on_bus("nowhere", body)
    assert not node.told.sanctions
    assert not node.part.rules


async def test_records_that_cannot_be_read_are_passed_over(start: Start, keys: Keys) -> None:
    node = await start()
    places = keys.moderation(ROOM)
    of_redis("HSET", places.decisions, "b:eve", "junk", "x", "y", "s:topic", "\x01", "v", "7")
    of_redis("XADD", places.acts, "1-0", "d", "junk")
    await node.part.impose(ROOM, BAN, ACT)
    await until(lambda: ROOM in node.part.rules, "it was read")
    assert list(node.part.rules[ROOM]) == [BAN]
    assert len(await node.part.acts(ROOM, limit=9)) == 1
    assert node.part.stats()["decisions_foreign_total"] > 0


async def test_all_of_it_goes_when_the_last_is_over(start: Start, keys: Keys) -> None:
    node = await start()
    places = keys.moderation(ROOM)
    now = time.time()  # the module may have been read long ago
    await node.part.impose(ROOM, Sanction("ban", "ann", now + 86400, now, "mod", "why"), ACT)
    assert 86000 < of_redis("TTL", places.decisions) < 86500
    assert 86000 < of_redis("TTL", places.ends) < 86500
    await node.part.configure(ROOM, {"topic": "tea"}, ACT)
    assert of_redis("TTL", places.decisions) == -1
    await node.part.configure(ROOM, {"topic": None}, ACT)
    assert 86000 < of_redis("TTL", places.decisions) < 86500
    await node.part.lift(ROOM, "ban", "ann", ACT)
    assert of_redis("TTL", places.decisions) <= 2
    assert of_redis("TTL", places.acts) > 86400


async def test_what_is_over_in_redis_makes_place(
    start: Start, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT", 0.0)
    node = await start()
    await node.part.impose(ROOM, Sanction("ban", "eve", NOW - 5, NOW, "mod"), ACT)
    await node.part.impose(ROOM, BAN, ACT)
    assert sorted(of_redis("HKEYS", keys.moderation(ROOM).decisions)) == [b"b:ann", b"v"]


async def test_versions_go_on_rising_when_redis_has_lost_the_decisions(
    start: Start, keys: Keys
) -> None:
    one, two = await start(), await start()
    await one.part.impose(ROOM, BAN, ACT)
    await until(lambda: two.told.sanctions, "both know")
    of_redis("DEL", keys.moderation(ROOM).decisions, keys.moderation(ROOM).ends)
    for node in (one, two):
        node.part.on_connected()
    await until(lambda: one.told.lifted and two.told.lifted, "both have read that it is gone")
    await one.part.impose(ROOM, BAN, ACT)
    await until(lambda: len(two.told.sanctions) == 2, "what comes next is heard")
    numbers = [act.number for act in await two.part.acts(ROOM, limit=9)]
    assert numbers == sorted(numbers, reverse=True)


async def test_a_call_that_the_connection_sends_again_is_done_once(start: Start) -> None:
    """Its answer is the one that was lost: also to who lifts what is lifted by then."""
    one, two = await start(), await start()
    await one.part.impose(ROOM, BAN, ACT)
    (act,) = await one.part.acts(ROOM, limit=9)
    one.part._calls -= 1
    await one.part.impose(ROOM, BAN, ACT)
    assert await one.part.acts(ROOM, limit=9) == [act]
    assert await one.part.lift(ROOM, "ban", "ann", ACT)
    one.part._calls -= 1
    assert await one.part.lift(ROOM, "ban", "ann", ACT)
    assert not await one.part.lift(ROOM, "ban", "ann", ACT)
    await until(lambda: two.told.lifted, "the other node hears of the end")
    assert len(await one.part.acts(ROOM, limit=9)) == 2
    assert one.told.sanctions == two.told.sanctions == [(ROOM, BAN)]
    assert one.told.lifted == two.told.lifted == [(ROOM, BAN)]


async def test_what_was_done_though_the_answer_was_lost_is_known(start: Start) -> None:
    one = await start()
    one.deaf = True
    await one.part.impose(ROOM, BAN, ACT)
    one.part._copies[ROOM].rules.drop(name_of("ban", "ann"))  # as if it had not been told
    one.part._copies[ROOM].version = "0"
    one.part._calls -= 1
    await one.part.impose(ROOM, BAN, ACT)
    assert one.part.rules[ROOM].find("ban", "ann", NOW) == BAN


async def test_many_who_wait_share_a_reading(start: Start) -> None:
    node = await start()
    node.part.on_deaf()
    reads = node.reads()
    await asyncio.gather(*(node.part.look(ROOM) for _ in range(50)))
    assert node.reads() <= reads + 2


async def test_a_room_nobody_has_asked_for_is_not_read(start: Start) -> None:
    node = await start()
    reads = node.reads()
    node.part.watch("quiet")
    node.part.on_subscribed([node.keys.room("quiet").channel])
    node.part.tick(NOW)
    await asyncio.gather(*node.part._tasks, return_exceptions=True)
    assert not node.part._copies["quiet"].version
    assert node.reads() <= reads + 1, "but for `EVERYWHERE`"
    node.part.unwatch("quiet")
    node.part.unwatch("quiet")


async def test_after_the_stop_nobody_is_let_in(start: Start) -> None:
    node = await start()
    node.part.on_deaf()
    await node.part.stop()
    with pytest.raises(Refusal):
        await node.part.look(ROOM)


async def test_whoever_comes_after_the_start_waits_for_nothing(keys: Keys) -> None:
    """What holds everywhere is looked at for every client that connects; the bus may tell that it
    is listened to before anything was read."""
    node = Node(keys)
    await node.redis.start()
    try:
        node.part.on_subscribed([keys.room(EVERYWHERE).channel])
        await node.part.start(node.told)
        reads = node.reads()
        await asyncio.gather(*(node.part.look(EVERYWHERE) for _ in range(9)))
        assert node.reads() == reads
    finally:
        await node.part.stop()
        await node.redis.stop()
