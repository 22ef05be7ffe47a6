"""The bus: the channels of a node, over every break, at the servers that have them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from sioserver.engine import redis_bus
from sioserver.engine.redis_bus import Bus
from sioserver.engine.redis_servers import Redis
from sioserver.valkey import Valkey

from ..redis_servers import Cluster, Watched, ask, settings, standalone
from .redis_kit import on_both_loops, until


class Told:
    """Writes down what the bus tells."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, bytes]] = []
        self.subscribed: list[str] = []
        self.lost = 0

    def on_lost(self) -> None:
        self.lost += 1
        self.subscribed.clear()

    def on_message(self, channel: str, payload: bytes) -> None:
        self.messages.append((channel, payload))


@asynccontextmanager
async def listening(
    where: Any, told: Told, *, sharded: bool = True, **options: Any
) -> AsyncIterator[tuple[Redis, Bus]]:
    redis = Redis(
        settings(where, **options), name="t", on_connected=lambda: None, on_lost=lambda reason: None
    )
    await redis.start()
    bus = Bus(
        redis,
        on_message=told.on_message,
        on_subscribed=told.subscribed.extend,
        on_lost=told.on_lost,
        sharded=sharded,
    )
    await bus.start()
    try:
        yield redis, bus
    finally:
        await bus.stop()
        await redis.stop()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with standalone(tmp_path_factory.mktemp("alone")) as server:
        yield server


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_bus, "LINGER", 0.05)


# -- one server


async def test_messages_of_the_channels_that_are_subscribed(server: Valkey) -> None:
    told = Told()
    async with listening(server, told) as (redis, bus):
        bus.subscribe("a")
        bus.subscribe("b")
        await until(lambda: sorted(told.subscribed) == ["a", "b"])
        for channel in ("a", "c", "b"):
            await redis.command("", "PUBLISH", channel, b"\x00\xff")
        await until(lambda: len(told.messages) == 2)
        assert told.messages == [("a", b"\x00\xff"), ("b", b"\x00\xff")]
        assert bus.stats() == {
            "bus_messages": 2,
            "bus_channels": 2,
            "bus_heard": 2,
            "bus_connections": 1,
            "bus_breaks": 0,
            "bus_refused": 0,
        }
        assert bus.trouble is None
    assert bus.stats()["bus_messages"] == 2
    assert bus.stats()["bus_connections"] == 0
    bus.subscribe("c")  # too late, and no harm
    await bus.stop()


@on_both_loops
async def test_ten_thousand_channels_are_back_after_a_break() -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as directory, standalone(Path(directory)) as server:
        told = Told()
        async with listening(server, told) as (redis, bus):
            names = {f"c{number}" for number in range(10_000)}
            for name in names:
                bus.subscribe(name)
            await until(lambda: len(told.subscribed) == 10_000)
            ask(server, "CLIENT", "KILL", "TYPE", "pubsub")
            await until(lambda: told.lost)
            await until(lambda: len(told.subscribed) == 10_000)
            assert set(told.subscribed) == names
            await redis.command("", "PUBLISH", "c9999", "x")
            await until(lambda: told.messages)
            assert bus.stats()["bus_breaks"] == told.lost == 1


async def test_to_subscribe_again_is_confirmed_again(server: Valkey) -> None:
    told = Told()
    async with listening(server, told) as (_, bus):
        bus.subscribe("a")
        await until(lambda: told.subscribed == ["a"])
        bus.unsubscribe("a")
        bus.subscribe("a")
        assert told.subscribed == ["a"]  # not before subscribe has returned
        await until(lambda: told.subscribed == ["a", "a"])
        bus.subscribe("a")
        bus.subscribe("a")
        await until(lambda: told.subscribed == ["a", "a", "a"])


def subscribers(server: Valkey, channel: str) -> int:
    return int(ask(server, "PUBSUB", "NUMSUB", channel)[1])


async def test_who_leaves_is_waited_for_a_moment(server: Valkey) -> None:
    told = Told()
    async with listening(server, told) as (redis, bus):
        loop = asyncio.get_running_loop()
        bus.subscribe("leaves")
        bus.subscribe("returns")
        await until(lambda: len(told.subscribed) == 2)
        began = loop.time()
        bus.unsubscribe("leaves")
        bus.unsubscribe("returns")
        bus.subscribe("returns")
        await redis.command("", "PUBLISH", "leaves", "still here")
        await until(lambda: told.messages == [("leaves", b"still here")])
        await until(lambda: bus.stats()["bus_channels"] == 1)
        assert loop.time() - began >= redis_bus.LINGER - 0.02
        await until(lambda: subscribers(server, "leaves") == 0)
        assert subscribers(server, "returns") == 1


async def test_what_nobody_wants_any_more_is_not_subscribed_after_a_break(server: Valkey) -> None:
    told = Told()
    async with listening(server, told) as (_, bus):
        bus.subscribe("kept")
        bus.subscribe("left")
        await until(lambda: len(told.subscribed) == 2)
        bus.unsubscribe("left")
        ask(server, "CLIENT", "KILL", "TYPE", "pubsub")
        await until(lambda: told.lost and told.subscribed)
        assert told.subscribed == ["kept"]
        assert bus.stats()["bus_channels"] == 1
        assert subscribers(server, "left") == 0


@pytest.mark.usefixtures("quick")
async def test_many_comings_and_goings_end_well(server: Valkey) -> None:
    told = Told()
    async with listening(server, told) as (_, bus):
        for turn in range(200):
            (bus.subscribe if turn % 3 else bus.unsubscribe)(f"x{turn % 7}")
            if turn % 5 == 0:
                await asyncio.sleep(0)
        for number in range(7):
            (bus.subscribe if number % 2 else bus.unsubscribe)(f"x{number}")
        await until(lambda: bus.stats()["bus_channels"] == bus.stats()["bus_heard"] == 3)
        for number in range(7):
            await until(lambda n=number: subscribers(server, f"x{n}") == n % 2)


async def test_a_frozen_server_is_noticed_and_comes_back(tmp_path: Path) -> None:
    told = Told()
    with standalone(tmp_path) as server:
        async with listening(server, told, timeout=0.3) as (redis, bus):
            bus.subscribe("a")
            await until(lambda: told.subscribed)
            server.pause()
            await until(lambda: told.lost)
            assert bus.trouble
            server.resume()
            await until(lambda: told.subscribed == ["a"])
            assert bus.trouble is None
            await until(lambda: redis.trouble is None)
            await redis.command("", "PUBLISH", "a", "x")
            await until(lambda: told.messages)


async def test_a_callback_that_fails_breaks_nothing(
    server: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    told = Told()
    async with listening(server, told) as (redis, bus):

        def fail(*_: Any) -> None:
            raise RuntimeError("mine")

        bus._on_subscribed = bus._on_lost = fail
        bus.subscribe("a")
        await until(lambda: bus.stats()["bus_heard"])
        ask(server, "CLIENT", "KILL", "TYPE", "pubsub")
        await until(lambda: bus.stats()["bus_breaks"] and bus.stats()["bus_heard"])
        await redis.command("", "PUBLISH", "a", "x")
        await until(lambda: told.messages)
    assert caplog.text.count("RuntimeError: mine") == 3


async def test_a_channel_that_is_forbidden_is_trouble(tmp_path: Path) -> None:
    told = Told()
    with standalone(tmp_path) as server:
        rules = ("on", "nopass", "~*", "+@all", "resetchannels", "&good")
        ask(server, "ACL", "SETUSER", "ann", *rules)
        url = f"redis://ann:x@127.0.0.1:{server.port}"
        async with listening(url, told) as (_, bus):
            bus.subscribe("bad")
            await until(lambda: "NOPERM" in str(bus.trouble))
            assert bus.stats()["bus_refused"]
            ask(server, "ACL", "SETUSER", "ann", "&bad")
            await until(lambda: told.subscribed == ["bad"])
            assert bus.trouble is None


# -- Sentinel


async def test_a_new_master_is_listened_to(tmp_path: Path) -> None:
    told = Told()
    with Watched(tmp_path) as watched:
        async with listening(watched, told, timeout=20) as (redis, bus):
            bus.subscribe("a")
            await until(lambda: told.subscribed)
            await asyncio.to_thread(watched.fail_over)
            await until(lambda: told.lost and told.subscribed == ["a"])
            await redis.command("a", "PUBLISH", "a", "x")
            await until(lambda: told.messages)
            assert bus.stats()["bus_connections"] == 1


# -- a cluster


async def test_each_channel_is_heard_from_its_server(cluster: Cluster) -> None:
    told = Told()
    async with listening(cluster, told) as (redis, bus):
        assert bus.stats()["bus_connections"] == 0
        names = [f"p:{{{number}}}" for number in range(40)]
        for name in names:
            bus.subscribe(name)
        await until(lambda: len(told.subscribed) == 40)
        assert bus.stats()["bus_connections"] == 3
        for name in names:
            await redis.command(name, "SPUBLISH", name, name)
        await until(lambda: len(told.messages) == 40)
        assert {channel: payload.decode() for channel, payload in told.messages} == dict(
            zip(names, names, strict=True)
        )


async def test_a_channel_whose_slot_moves_is_followed(cluster: Cluster) -> None:
    told = Told()
    async with listening(cluster, told) as (redis, bus):
        bus.subscribe("p:{moves}")
        await until(lambda: told.subscribed == ["p:{moves}"])
        slot = cluster.slot("p:{moves}")
        target = next(node for node in cluster.nodes if node is not cluster.owner(slot))
        cluster.move(slot, target)
        await until(lambda: subscribed_at(target, "p:{moves}"))
        await until(lambda: told.subscribed == ["p:{moves}"] * 2)
        await redis.command("p:{moves}", "SPUBLISH", "p:{moves}", "x")
        await until(lambda: told.messages)
        assert told.lost == 0
        assert bus.stats()["bus_connections"] == 1  # the old one was closed


def subscribed_at(node: Valkey, channel: str) -> bool:
    return int(ask(node, "PUBSUB", "SHARDNUMSUB", channel)[1]) == 1


async def test_when_one_server_is_lost_all_channels_are_told_again(cluster: Cluster) -> None:
    told = Told()
    async with listening(cluster, told) as (_, bus):
        names = {f"p:{{{number}}}" for number in range(40)}
        for name in names:
            bus.subscribe(name)
        await until(lambda: len(told.subscribed) == 40)
        ask(cluster.nodes[1], "CLIENT", "KILL", "TYPE", "pubsub")
        await until(lambda: told.lost == 1 and set(told.subscribed) == names)


@pytest.mark.usefixtures("quick")
async def test_a_server_without_channels_is_left(cluster: Cluster) -> None:
    told = Told()
    async with listening(cluster, told) as (_, bus):
        bus.subscribe("p:{1}")
        await until(lambda: told.subscribed)
        bus.unsubscribe("p:{1}")
        await until(lambda: bus.stats()["bus_connections"] == 0)
        bus.subscribe("p:{1}")
        await until(lambda: len(told.subscribed) == 2)


def heard_from(told: Told, channel: str, node: Valkey) -> bool:
    """Publish there, and look whether anything that was published there has come."""
    ask(node, "PUBLISH", channel, node.port)
    return (channel, str(node.port).encode()) in told.messages


async def test_plain_channels_and_patterns_are_heard_from_any_node(cluster: Cluster) -> None:
    told = Told()
    async with listening(cluster, told, sharded=False) as (_, bus):
        bus.subscribe("plain")
        bus.psubscribe("some.*")
        await until(lambda: sorted(told.subscribed) == ["plain", "some.*"])
        assert bus.stats()["bus_connections"] == 1
        for node in cluster.nodes:
            for channel in ("plain", "some.thing"):
                # more than once: a node's link to another may break and be made anew at any time
                # (after a second in which neither had the CPU), and what it says then is lost
                await until(lambda c=channel, n=node: heard_from(told, c, n))
        bus.unsubscribe("some.*")
