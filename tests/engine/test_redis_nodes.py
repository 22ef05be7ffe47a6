"""Who the other nodes are, and what they are told in passing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from sioserver.errors import Refusal
from sioserver.model import Event
from sioserver.valkey import Valkey
from tests.redis_servers import ask, standalone
from tests.redis_servers import settings as redis_settings

from .redis_node import Node, nodes, until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with standalone(tmp_path_factory.mktemp("valkey")) as server:
        yield server


async def test_nodes_find_each_other(server: Valkey) -> None:
    config = redis_settings(server)
    async with nodes(config) as (one, two):
        assert await one.nodes.peer(two.peer.id) == two.peer
        assert await two.nodes.peer(one.peer.id) == one.peer
        assert await one.nodes.peer(one.peer.id) is None
        reads = one.nodes.stats()["peers_read_total"]
        third = Node(config)
        await third.start()
        # It is known as soon as it has told, without anybody reading the list.
        await until(lambda: len(one.nodes.peers()) == 2)
        assert one.nodes.peers() == {two.peer.id: two.peer, third.peer.id: third.peer}
        assert one.nodes.stats()["peers_read_total"] - reads <= 1
        with pytest.raises(TypeError):
            one.nodes.peers()["x"] = two.peer  # type: ignore[index]
        await third.stop()
        await until(lambda: third.peer.id not in one.nodes.peers())
        assert await one.nodes.peer(third.peer.id) is None


async def test_a_node_is_found_though_its_notice_was_lost(server: Valkey) -> None:
    config = redis_settings(server)
    async with nodes(config, count=1) as (one,):
        one.bus.unsubscribe(one.keys.nodes)
        one.nodes.on_bus = lambda body: None
        async with nodes(config, count=1) as (two,):
            assert await one.nodes.peer(two.peer.id) == two.peer


async def test_a_dead_node_is_no_peer(server: Valkey) -> None:
    async with nodes(redis_settings(server), lease=2.0) as (one, two):
        await until(one.nodes.peers)
        loop = asyncio.get_running_loop()
        begin = loop.time()
        two.freeze()
        await until(lambda: not one.nodes.peers())
        assert loop.time() - begin < 2.0
        assert await one.nodes.peer(two.peer.id) is None


async def test_made_up_ids_cost_next_to_nothing(server: Valkey) -> None:
    async with nodes(redis_settings(server), count=1) as (node,):
        before = node.nodes.stats()["peers_read_total"]
        loop = asyncio.get_running_loop()
        begin = loop.time()
        rounds = 0
        while loop.time() < begin + 0.55:
            rounds += 1
            asked = (node.nodes.peer(f"{rounds:04x}{number:04x}") for number in range(200))
            assert set(await asyncio.gather(*asked)) == {None}
        took = loop.time() - begin
        reads = node.nodes.stats()["peers_read_total"] - before
        assert 2 <= reads == rounds <= took / 0.1 + 1
        for id in ("", "not hex", "A" * 8, "0" * 33, "é"):
            assert await node.nodes.peer(id) is None
        assert node.nodes.stats()["peers_read_total"] - before == reads


async def test_a_caller_who_gives_up_takes_nobody_along(server: Valkey) -> None:
    config = redis_settings(server)
    async with nodes(config, count=1) as (one,):
        one.nodes.on_bus = lambda body: None
        async with nodes(config, count=1) as (two,):
            first = asyncio.create_task(one.nodes.peer(two.peer.id))
            second = asyncio.create_task(one.nodes.peer(two.peer.id))
            await asyncio.sleep(0)
            first.cancel()
            assert await second == two.peer
            assert first.cancelled()


async def test_unknown_ids_are_refused_while_redis_is_away(tmp_path: Path) -> None:
    with standalone(tmp_path) as server:
        config = redis_settings(server, timeout=0.3)
        async with nodes(config, "a") as (one, two):
            await until(one.nodes.peers)
            server.pause()
            with pytest.raises(Refusal):
                await one.nodes.peer("00000000")
            server.kill()
            await until(lambda: one.redis.up_since == float("inf"))
            with pytest.raises(Refusal):
                await one.nodes.peer("00000000")
            assert await one.nodes.peer(two.peer.id) == two.peer
            told = one.nodes.stats()["events_told_total"]
            one.nodes.tell("a", Event("typing", {}))
            assert one.nodes.stats()["events_told_total"] == told
            assert one.nodes.stats()["events_not_told_total"] == 1


async def test_an_event_reaches_the_others_only(server: Valkey) -> None:
    event = Event("draw", {"id": "ann", "name": "Ann"}, None, (b"\x00\xff\xfe", {"at": [1, 2.5]}))
    async with nodes(redis_settings(server), "a", count=3) as (one, two, three):
        one.nodes.tell("a", event)
        one.nodes.tell("b", event)
        two.nodes.tell("a", Event("typing", {"on": True}))
        await until(lambda: len(three.events) == 2)
        assert three.events[0] == ("a", event)
        assert isinstance(three.events[0][1].before[0], bytes)
        await until(lambda: len(one.events) == len(two.events) == 1)
        assert one.events == [("a", Event("typing", {"on": True}))]
        assert two.events == [("a", event)]


async def test_what_cannot_be_told_is_counted(server: Valkey) -> None:
    async with nodes(redis_settings(server), "a", count=1) as (node,):
        node.nodes.tell("a", Event("x", {"large": 2**70}))
        node.nodes.tell("a", Event("x", {"strange": object()}))
        assert node.nodes.stats()["events_not_told_total"] == 2
        assert node.nodes.stats()["events_told_total"] == 0


async def test_of_what_is_latest_one_is_under_way(server: Valkey) -> None:
    def cursor(at: int, user: str = "ann", name: str = "cursor") -> Event:
        return Event(name, {"user": user, "name": "?"}, None, (at,), latest=True)

    async with nodes(redis_settings(server), "a") as (one, two):
        for at in range(50):
            one.nodes.tell("a", cursor(at))
            one.nodes.tell("b", cursor(at))  # nobody listens: it does not count for the other room
        one.nodes.tell("a", cursor(0, "ben"))
        one.nodes.tell("a", cursor(0, name="scroll"))
        await until(lambda: len(two.events) == 4)
        assert [event for _, event in two.events] == [
            cursor(0),
            cursor(0, "ben"),
            cursor(0, name="scroll"),
            cursor(49),
        ]
        assert one.nodes.stats()["events_overtaken_total"] == 2 * 48
        one.nodes.tell("a", cursor(50))
        await until(lambda: len(two.events) == 5)
        assert two.events[-1] == ("a", cursor(50))


async def test_what_is_latest_does_not_wait_for_what_could_not_be_told(server: Valkey) -> None:
    async with nodes(redis_settings(server), "a") as (one, two):
        strange = Event("cursor", {"user": "ann"}, None, (object(),), latest=True)
        one.nodes.tell("a", strange)
        assert one.nodes.stats()["events_not_told_total"] == 1
        one.nodes.tell("a", Event("cursor", {"user": "ann"}, None, (1,), latest=True))
        await until(lambda: two.events)
        assert two.events[0][1].before == (1,)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        msgspec.msgpack.encode(["n", "x", {}]),
        msgspec.msgpack.encode(["n", "x", [], []]),
        msgspec.msgpack.encode(["n", "x", {1: 2}, []]),
        msgspec.msgpack.encode(["n", "x", {}, [], 1]),
        msgspec.msgpack.encode(["n", "x", {}, []]),
        msgspec.msgpack.encode(["n", "x", {"user": 1}, [], True]),
        msgspec.msgpack.encode(["l", '{"id": 1}']),
        msgspec.msgpack.encode(["l", "{"]),
    ],
)
async def test_what_is_no_notice_is_counted(server: Valkey, body: bytes) -> None:
    node = Node(redis_settings(server))
    node.nodes.on_room("a", body)
    node.nodes.on_bus(body)
    assert node.events == []
    assert node.nodes.peers() == {}
    assert node.nodes.stats()["nodes_foreign_total"] == 2


async def test_an_entry_that_is_no_node_is_left_out(server: Valkey) -> None:
    async with nodes(redis_settings(server)) as (one, two):
        ask(server, "ZADD", one.keys.leases, "+inf", "x")
        ask(server, "HSET", one.keys.peers, "x", "\xff")
        await one.nodes.refresh()
        assert one.nodes.peers() == {two.peer.id: two.peer}
        assert one.nodes.stats()["nodes_foreign_total"] == 1


async def test_a_listener_that_fails_stops_nobody(
    server: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    async with nodes(redis_settings(server), "a") as (one, two):
        one.events = None  # type: ignore[assignment]
        two.nodes.tell("a", Event("x", {}))
        await until(lambda: "could not be passed on" in caplog.text)


async def test_the_stop_lets_everybody_go(server: Valkey) -> None:
    async with nodes(redis_settings(server), count=1) as (node,):
        await node.nodes.refresh()
        asked = asyncio.create_task(node.nodes.peer("00000000"))
        await asyncio.sleep(0)
        node.nodes.stop()
        with pytest.raises(Refusal):
            await asked
        with pytest.raises(Refusal):
            await node.nodes.refresh()
