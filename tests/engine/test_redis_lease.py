"""Nodes that die, freeze or stop, and Redis that is away or forgets: whose people stay."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from sioserver.errors import Refusal
from sioserver.model import EVERYWHERE, Counts
from sioserver.valkey import Valkey
from tests.redis_servers import ask, standalone
from tests.redis_servers import settings as redis_settings

from . import redis_node
from .conftest import ANN, BEN, GRACE, GUEST
from .redis_node import Node, people, until, until_so

LEASE = 1.0
nodes = partial(redis_node.nodes, lease=LEASE)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with standalone(tmp_path_factory.mktemp("valkey")) as server:
        yield server


async def calm(*nodes: Node, beats: int = 12) -> None:
    """Long enough for a node to be found dead: more than a whole lease of looks at the others."""
    before = [node.lease.stats()["signs_of_life_total"] for node in nodes]
    for node, signs in zip(nodes, before, strict=True):
        await until(lambda n=node, s=signs: n.lease.stats()["signs_of_life_total"] >= s + beats)


@pytest.mark.parametrize("size", [2, 1200])
async def test_a_dead_nodes_people_are_gone_within_a_lease(server: Valkey, size: int) -> None:
    """And are told of once, though three nodes take them away."""
    crowd = people(range(size))
    async with nodes(redis_settings(server), "a", "b", count=4, lease=2 * LEASE) as four:
        dead, *others = four
        await dead.enter(*crowd)
        await dead.enter(ANN, BEN, room="b")
        await others[0].enter(BEN, crowd[0])
        await dead.presence.sweep(0)
        await others[0].presence.sweep(0)
        await calm(others[-1])
        dead.freeze()
        loop = asyncio.get_running_loop()
        begin = loop.time()
        for node in others:
            await until(lambda node=node: len(node.left()) >= size - 1 + 2)
        took = loop.time() - begin
        assert took < 2 * LEASE
        await calm(others[0])
        for node in others:
            assert sorted(node.left()) == sorted([*(user.id for user in crowd[1:]), "ann", "ben"])
            assert await node.ids("a") == ["ben", crowd[0].id]
            assert await node.presence.counts("b") == Counts(0, 0)
        assert sum(node.lease.stats()["leases_expired_total"] for node in others) >= 1
        assert {room for node in others for room in node.reaped} == {"a", "b", EVERYWHERE}
        left = ask(server, "KEYS", f"{dead.keys.rooms(dead.lease.id)}*")
        assert left == ask(server, "ZRANGE", dead.keys.dying, 0, -1) == []
        assert others[0].nodes.peers().keys() == {node.peer.id for node in others[1:]}


async def test_a_visitor_nobody_was_told_of_goes_without_a_word(server: Valkey) -> None:
    async with nodes(redis_settings(server), "a") as (dead, other):
        await dead.enter(GUEST)
        assert await other.presence.counts("a") == Counts(1, 1)
        dead.freeze()
        await until_so(lambda: other.presence.counts("a"), Counts(0, 0))
        assert other.diffs == []


async def test_a_frozen_node_comes_back_with_its_people(server: Valkey) -> None:
    async with nodes(redis_settings(server), "a") as (frozen, other):
        await frozen.enter(ANN, BEN)
        await other.enter(BEN)
        await frozen.presence.sweep(0)
        before = frozen.lease.id
        thaw = frozen.freeze()
        await until(other.left)
        assert other.left() == ["ann"]
        assert other.nodes.peers() == {}
        with pytest.raises(Refusal):  # it does not know yet, but the server's clock does
            await frozen.enter(GUEST)
        thaw()
        await until_so(other.ids, ["ann", "ben"])
        await until(lambda: frozen.lease.id != before)
        await frozen.enter(GUEST)
        await frozen.presence.sweep(0)
        await until(lambda: "ann" in other.joined()[2:])
        assert sorted(other.joined()[2:]) == ["ann", "guest-1"]
        assert other.left() == ["ann"]
        assert list(other.nodes.peers()) == [frozen.peer.id]
        await calm(other)
        assert await other.ids() == ["ann", "ben", "guest-1"]


@pytest.mark.parametrize("away", ["paused", "killed"])
async def test_nobody_leaves_because_redis_was_away(tmp_path: Path, away: str) -> None:
    """For longer than a lease, so that at its end everybody's has ended."""
    with standalone(tmp_path, fsync="always") as server:
        async with nodes(redis_settings(server, timeout=0.5), "a", count=3) as three:
            for node, user in zip(three, (ANN, BEN, GUEST), strict=True):
                await node.enter(user)
                await node.presence.sweep(0)
            await calm(three[-1])
            if away == "paused":
                server.pause()
            else:
                server.kill()
            loop = asyncio.get_running_loop()
            end = loop.time() + 1.5 * LEASE
            await until(lambda: loop.time() > end)
            if away == "paused":
                server.resume()
            else:
                await server.async_start()
            for node in three:
                await until_so(node.ids, ["ann", "ben", "guest-1"])
            await calm(*three)
            for node in three:
                assert node.left() == []
                assert len(node.joined()) <= 3
                assert await node.presence.counts("a") == Counts(3, 1)
                assert len(node.nodes.peers()) == 2


async def test_nobody_leaves_because_the_servers_clock_was_set(server: Valkey) -> None:
    """Or because it stood still for less than breaks the connections."""
    async with nodes(redis_settings(server), "a", count=3) as three:
        for node, user in zip(three, (ANN, BEN, GUEST), strict=True):
            await node.enter(user)
            await node.presence.sweep(0)
        await calm(*three)
        ahead = "for _, l in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do "
        ahead += "redis.call('ZINCRBY', KEYS[1], -60000, l) end"
        ask(server, "EVAL", ahead, 1, three[0].keys.leases)
        await calm(*three)
        for node in three:
            assert node.left() == []
            assert await node.ids() == ["ann", "ben", "guest-1"]
            assert node.lease.stats()["leases_renewed_total"] == 0


async def test_a_look_that_comes_late_finds_nobody_dead(server: Valkey) -> None:
    """It may have lain in the socket of a server that stood still, as the others' signs of life."""
    async with nodes(redis_settings(server), "a") as (dead, other):
        await dead.enter(ANN)
        await calm(other)
        other.redis.server_time = lambda key="": 1.0
        dead.freeze()
        await calm(other)
        assert ask(server, "ZSCORE", dead.keys.leases, dead.lease.id) is not None
        del other.redis.server_time
        await until_so(other.ids, [])


async def test_redis_forgets_everything(server: Valkey) -> None:
    config = redis_settings(server)
    async with nodes(config, "a") as (one, two):
        await one.enter(ANN, GUEST)
        await two.enter(BEN)
        for node in (one, two):
            await node.presence.sweep(0)
        await one.enter(*people(range(3)), room="b")
        await until(lambda: len(two.joined()) == len(one.joined()) == 3)
        ask(server, "FLUSHALL")
        for node in (one, two):
            await until_so(node.ids, ["ann", "ben", "guest-1"])
            assert await node.presence.counts("a") == Counts(3, 1)
            assert len(await node.ids("b")) == 3
        await calm(one, two)
        assert two.left() == one.left() == []
        await one.presence.sweep(0)
        # Those in b were not told of before, and nobody else is told of again.
        assert len(one.joined()) == 6
        await until(lambda: len(two.nodes.peers()) == len(one.nodes.peers()) == 1)
        await one.exit(ANN)
        await one.presence.sweep(GRACE)
        await until(two.left)
        assert two.left() == ["ann"]
        assert two.diffs[-1][1].counts == Counts(2, 1)  # newer than before the loss


async def test_a_loss_between_coming_and_being_announced(server: Valkey) -> None:
    """The sweep finds nobody to announce, and those who are entered again are taken for known."""
    async with nodes(redis_settings(server), "a") as (one, two):
        await one.enter(ANN)
        await one.presence.sweep(0)
        await two.enter(BEN)
        thaw = two.freeze()
        await calm(one, beats=1)
        ask(server, "FLUSHALL")
        await two.presence.sweep(0)
        assert one.diffs[-1][1].counts == Counts(1, 0)
        thaw()
        for node in (one, two):
            await until_so(node.ids, ["ann", "ben"])
            await until(lambda node=node: node.lease.stats()["signs_of_life_total"] > 2)
        await calm(one, two, beats=1)

        async def last_told() -> list[Counts]:
            for node in (one, two):
                await node.presence.sweep(0)
            return [node.diffs[-1][1].counts for node in (one, two)]

        await until_so(last_told, [Counts(2, 0)] * 2)
        told = len(one.diffs)
        await last_told()
        await calm(one, two, beats=1)
        assert len(one.diffs) == told <= 4


async def test_what_is_done_before_the_loss_is_noticed(server: Valkey) -> None:
    async with nodes(redis_settings(server), "a") as (one, two):
        await one.enter(ANN)
        await one.presence.sweep(0)
        await calm(one, two)
        before = two.lease.id
        thaw = one.freeze()
        ask(server, "FLUSHALL")
        await one.enter(BEN)  # under a lease that is unknown now
        await until(lambda: two.lease.id != before)
        await calm(two, beats=2)
        # The other node was faster: it does not think that this one is dead.
        assert await two.nodes.peer(one.peer.id) == one.peer
        thaw()
        await until_so(two.ids, ["ann", "ben"])
        await one.exit(BEN)
        await one.presence.sweep(GRACE)
        await until_so(two.ids, ["ann"])


async def test_redis_forgets_its_end(server: Valkey) -> None:
    """What it was told last: one is missing, and one who had left is there again."""
    async with nodes(redis_settings(server), "a") as (one, two):
        await one.enter(ANN, BEN)
        await one.presence.sweep(0)
        keys, at = one.keys.room("a"), one.keys.at("a", one.lease.id)
        entry = ask(server, "HGET", keys.on, "ann")
        shown = ask(server, "ZRANGE", keys.here, 0, 0)[0]
        await one.exit(ANN)
        await one.presence.sweep(GRACE)
        await one.enter(GUEST)
        await one.presence.sweep(GRACE)
        ask(server, "HSET", keys.on, "ann", entry)
        ask(server, "ZADD", keys.here, 0, shown)
        ask(server, "SADD", at, "ann")
        ask(server, "HDEL", keys.on, GUEST.id)
        ask(server, "ZREM", keys.here, "Guest\0guest-1\0001")
        ask(server, "HINCRBY", keys.meta, "g", -1)
        assert await two.ids() == ["ann", "ben"]
        before = one.lease.id
        one.lease.doubt()
        one.lease.doubt()
        await until_so(two.ids, ["ben", "guest-1"])
        assert one.lease.id != before
        assert await two.presence.counts("a") == Counts(2, 1)
        assert one.lease.stats()["leases_renewed_total"] == 1
        await one.presence.sweep(GRACE)
        assert one.joined() == ["ann", "ben", "guest-1"]


async def test_a_renewal_is_not_seen_by_others_while_it_lasts(server: Valkey) -> None:
    async with nodes(redis_settings(server), "a") as (one, two):
        await one.enter(ANN)
        await one.presence.sweep(0)
        await calm(one, two)
        before, enter_again = one.lease.id, one.presence.enter_again
        go_on = asyncio.Event()

        async def slowly(**how: bool) -> None:
            await go_on.wait()
            await enter_again(**how)

        one.presence.enter_again = slowly
        one.lease.doubt()
        await until(lambda: one.lease.id != before)
        await calm(two, beats=3)
        go_on.set()
        await calm(one, two)
        assert two.left() == []
        assert await two.ids() == ["ann"]
        assert ask(server, "EXISTS", one.keys.at("a", before)) == 0


async def test_whom_a_sweep_just_told_of_stays_at_the_stop(server: Valkey) -> None:
    async with nodes(redis_settings(server), "a") as (one, two):
        await one.enter(ANN)
        sweep = asyncio.create_task(one.presence.sweep(0))
        await asyncio.sleep(0)
        sweep.cancel()
        await one.stop()
        await until(two.joined)
        assert await two.ids() == ["ann"]
        assert two.left() == []


async def test_a_node_that_stops_leaves_its_people_for_the_grace_time(server: Valkey) -> None:
    config = redis_settings(server)
    async with nodes(config, "a", grace=2 * LEASE) as (one, two):
        await one.enter(ANN, BEN)
        await one.presence.sweep(0)
        await one.enter(GUEST)
        await calm(two)
        await one.stop()
        await until(lambda: not two.nodes.peers())  # long before the lease would have ended
        assert await two.ids() == ["ann", "ben"]  # nobody was told of the guest
        await two.enter(BEN)
        await calm(two)
        assert two.left() == []
        await until(two.left)
        assert two.left() == ["ann"]
        assert await two.ids() == ["ben"]
        with pytest.raises(Refusal):
            await one.enter(ANN)
        await one.presence.sweep(0)
        await one.exit(BEN)
        await one.stop()


async def test_stopping_waits_for_nobody_when_redis_is_away(tmp_path: Path) -> None:
    with standalone(tmp_path) as server:
        node = Node(redis_settings(server, timeout=0.5))
        await node.start()
        await node.enter(ANN)
        server.kill()
        await until(lambda: node.redis.up_since == float("inf"))
        loop = asyncio.get_running_loop()
        begin = loop.time()
        await node.lease.stop()
        assert loop.time() - begin < 0.4
        await node.stop()


async def test_a_lease_needs_redis(tmp_path: Path) -> None:
    with standalone(tmp_path) as server:
        node = Node(redis_settings(server, timeout=0.3))
        await node.redis.start()
        server.kill()
        with pytest.raises(Refusal):
            await node.lease.start()
        await node.lease.stop()
        await node.redis.stop()
