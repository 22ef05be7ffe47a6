"""What a node knows of the rules by which tokens are refused, whatever it did not hear of."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import msgspec
import pytest

from sioserver.engine import redis_revocations as module
from sioserver.engine.redis_keys import Keys
from sioserver.engine.redis_revocations import KEPT, LIFTED, PAGE, RedisRevocations
from sioserver.errors import Refusal
from sioserver.model import Credentials, Revocation

from .bus_kit import BusNode, Start, of_redis
from .conftest import until

ANN = Credentials("ann", "t", 100.0)
FAR = time.time() + 86400


class Node(BusNode[RedisRevocations]):
    """What was announced of the rules."""

    def __init__(self, keys: Keys) -> None:
        super().__init__(keys, RedisRevocations)
        self.rules = self.part
        self.told: list[Revocation] = []

    def hear(self, channel: str, kind: bytes, body: bytes) -> None:
        assert kind == b"r"
        self.rules.on_bus(body)

    async def begin(self) -> None:
        self.bus.subscribe(self.keys.tokens)
        await self.rules.start(self)
        await until(lambda: self.rules.current, "the copy is current")

    def on_revoked(self, rule: Revocation) -> None:
        self.told.append(rule)

    def stat(self, name: str) -> float:
        return self.rules.stats()[f"revocations_{name}"]


@pytest.fixture
async def start(keys: Keys) -> AsyncIterator[Start]:
    async with AsyncExitStack() as stack:
        yield lambda: stack.enter_async_context(Node(keys).running())


async def test_every_node_hears_of_a_rule_and_of_its_end(start: Start) -> None:
    one, two = await start(), await start()
    rule = await one.rules.revoke(Revocation("user", "ann", FAR, 200.5))
    await until(lambda: two.told, "the other node hears")
    assert two.told == one.told == [rule]
    assert await two.rules.revoked(ANN, 0)
    assert await one.rules.lift("user", "ann")
    await until(lambda: len(two.bodies) == 2, "the other node hears of the end")
    assert not await two.rules.revoked(ANN, 0)
    assert two.rules.current
    reads = two.stat("read_total")
    assert not any([await two.rules.revoked(ANN, 0) for _ in range(9)])
    assert two.stat("read_total") == reads, "a round trip for nobody"


async def test_a_made_up_notice_hides_nothing_and_lets_nobody_in(start: Start) -> None:
    one, two = await start(), await start()
    await one.rules.revoke(Revocation("token", "t", FAR))
    await until(lambda: two.told, "both know")
    for last, version, lifted in ((0, 2**60, 0), (two.rules._version, 2**61, 1)):
        forged = (last, "t:t", version, FAR, 0.0, lifted)
        two.rules.on_bus(msgspec.msgpack.encode(forged))
    assert await two.rules.revoked(ANN, 0)
    await one.rules.revoke(Revocation("user", "ann", FAR, 200.5))
    await until(lambda: len(two.told) == 2, "what comes later")


async def test_a_node_that_comes_later_knows_all(start: Start) -> None:
    one = await start()
    rules = [Revocation("token", f"t{number}", FAR) for number in range(PAGE + 3)]
    await asyncio.gather(*(one.rules.revoke(rule) for rule in rules))
    await one.rules.lift("token", "t7")
    two = await start()
    assert len(two.told) == PAGE + 2
    assert await two.rules.revocations(0, limit=9999) == await one.rules.revocations(0, limit=9999)


async def test_what_came_between_is_read(start: Start) -> None:
    one, two = await start(), await start()
    two.deaf = True
    missed = await one.rules.revoke(Revocation("user", "ann", FAR, 200.0))
    await one.rules.revoke(Revocation("token", "x", FAR))
    await until(lambda: len(two.bodies) == 2, "it was on the bus")
    two.deaf = False
    last = await one.rules.revoke(Revocation("token", "y", FAR))
    await until(lambda: len(two.told) == 3 and two.rules.current, "all of them are known")
    assert two.told[0] == last, "the one that was heard need not wait"
    assert missed in two.told


async def test_a_bus_that_loses_things_without_a_word(start: Start) -> None:
    one, two = await start(), await start()
    two.deaf = True
    rule = await one.rules.revoke(Revocation("user", "ann", FAR, 200.0))
    two.rules._read_at -= module.ROUND
    two.rules.tick(0.0)
    await until(lambda: two.told == [rule], "it is read")


async def test_while_the_bus_is_deaf_redis_is_asked(start: Start) -> None:
    one, two = await start(), await start()
    two.rules.on_deaf()
    two.deaf = True
    rule = await one.rules.revoke(Revocation("user", "ann", FAR, 200.0))
    assert not two.rules.current
    assert await two.rules.revoked(ANN, 0)
    assert two.told == [rule]
    other = await one.rules.revoke(Revocation("token", "z", FAR))
    two.rules.tick(0.0)
    await until(lambda: other in two.told, "so it is with each tick")
    assert not two.rules.current
    two.rules.on_subscribed([two.keys.tokens])
    await until(lambda: two.rules.current, "the bus is back, and the rest was read")


async def test_many_who_wait_share_a_reading(start: Start) -> None:
    node = await start()
    node.rules.on_deaf()
    before = node.stat("read_total")
    async with asyncio.TaskGroup() as group:
        for _ in range(100):
            group.create_task(node.rules.revoked(ANN, 0))
    assert node.stat("read_total") - before <= 2


async def test_without_redis_nobody_is_let_in_on_an_old_copys_word(start: Start) -> None:
    node = await start()
    rule = await node.rules.revoke(Revocation("user", "ann", FAR, 200.0))
    await node.redis.stop()
    node.rules.on_deaf()
    for call in (
        node.rules.revoked(ANN, 0),
        node.rules.revocations(0, limit=9),
        node.rules.revoke(rule),
        node.rules.lift("user", "ann"),
    ):
        with pytest.raises(Refusal) as refused:
            await call
        assert refused.value.code == "unavailable"
    node.rules.tick(0.0)
    await until(lambda: node.rules._reading.done(), "nobody hears of it")  # type: ignore[union-attr]


async def test_what_redis_has_lost_is_written_again(start: Start, keys: Keys) -> None:
    one, two = await start(), await start()
    rules = [Revocation("token", f"t{number}", FAR) for number in range(3)]
    for rule in rules:
        await one.rules.revoke(rule)
    await until(lambda: len(two.told) == 3, "both know")
    two.deaf = True
    await one.rules.lift("token", "t1")
    of_redis("HDEL", keys.rules, "t:t0")
    of_redis("ZREM", keys.changes, "t:t0")
    two.rules.on_connected()
    await until(lambda: two.stat("restored_total") == 1, "what is lost")
    assert of_redis("HEXISTS", keys.rules, "t:t0") == 1
    three = await start()
    assert {rule.id for rule in three.told} == {"t0", "t2"}, "and not what was lifted"
    of_redis("DEL", keys.rules, keys.changes, keys.ends)
    one.rules.on_connected()
    await until(lambda: one.stat("restored_total") == 2, "all of it")
    four = await start()
    assert {rule.id for rule in four.told} == {"t0", "t2"}


async def test_a_redis_whose_versions_begin_below_what_is_known(start: Start) -> None:
    one, two = await start(), await start()
    for node in (one, two):  # of a server that was ahead in time, and whose end is lost
        node.rules._version = int((time.time() + 1000) * 1e6)
        node.rules.on_connected()
    for node in (one, two):
        await until(lambda node=node: node.rules.current, "it has read")  # type: ignore[misc]
    rule = await one.rules.revoke(Revocation("user", "ann", FAR, 200.0))
    await until(lambda: two.told == [rule], "it is new to the other node")
    assert await one.rules.revoked(ANN, 0)


async def test_a_node_that_was_away_for_long_begins_anew(start: Start, keys: Keys) -> None:
    one, two = await start(), await start()
    await one.rules.revoke(Revocation("token", "t", FAR))
    await until(lambda: two.told, "both know")
    two.deaf = True
    await one.rules.lift("token", "t")
    of_redis("DEL", keys.rules, keys.changes, keys.ends)  # the memory of the end, too
    two.rules._read_at -= LIFTED / 2 + 1
    two.rules.on_connected()
    await until(lambda: two.rules.current, "it has read")
    assert not await two.rules.revoked(ANN, 0)
    assert two.stat("restored_total") == 0


async def test_rules_are_forgotten_in_redis_when_they_are_over_and_not_at_once(
    start: Start, keys: Keys
) -> None:
    node = await start()
    now = time.time()
    await node.rules.revoke(Revocation("token", "long", now + 7200))
    await node.rules.revoke(Revocation("token", "short", now - 10))
    long, short = (float(of_redis("ZSCORE", keys.ends, f"t:{name}")) for name in ("long", "short"))
    assert long == now + 7200
    assert now + KEPT - 60 < short <= time.time() + KEPT
    of_redis("ZADD", keys.ends, "1", "t:short")
    node.rules._swept -= module.SWEEP
    node.rules.tick(now)
    await until(lambda: of_redis("HLEN", keys.rules) == 1, "what is over is swept")
    assert of_redis("ZCARD", keys.changes) == of_redis("ZCARD", keys.ends) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"x",
        msgspec.msgpack.encode([1, 2]),
        msgspec.msgpack.encode([9**9, "x:y", 9**9, 1, 1, 0]),
    ],
)
async def test_what_is_no_rule_is_counted(start: Start, body: bytes) -> None:
    node = await start()
    node.rules.on_bus(body)
    assert node.stat("foreign_total") == 1
    assert node.told == []


async def test_what_was_heard_late_does_not_undo_what_was_read(start: Start) -> None:
    one, two = await start(), await start()
    two.deaf = True
    await one.rules.revoke(Revocation("token", "t", FAR))
    await one.rules.lift("token", "t")
    two.rules._read_at -= module.ROUND
    two.rules.tick(0.0)
    await until(lambda: two.rules._version == one.rules._version, "both were read")
    await until(lambda: len(two.bodies) == 2, "and then heard")
    for body in two.bodies:
        two.rules.on_bus(body)
    assert not await two.rules.revoked(ANN, 0)


async def test_a_listener_that_fails_is_not_the_end(start: Start) -> None:
    node = await start()

    def fail(rule: Revocation) -> None:
        raise RuntimeError("no")

    node.on_revoked = fail  # type: ignore[method-assign]
    await node.rules.revoke(Revocation("token", "t", FAR))
    assert await node.rules.revoked(ANN, 0)
