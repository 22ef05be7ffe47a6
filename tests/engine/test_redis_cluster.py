"""A cluster: keys go to their servers, and slots that move are followed in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis.crc import key_slot

from sioserver.config.schema import Redis as Settings
from sioserver.engine.base import StoreError
from sioserver.engine.redis_access import Address, NotReady, ReplyError
from sioserver.engine.redis_cluster import Cluster as Links
from sioserver.engine.redis_cluster import _owners, _target
from sioserver.engine.redis_servers import Redis, Script, Unavailable
from sioserver.valkey import Valkey

from ..redis_servers import Cluster, ask, free_port, settings
from .redis_kit import Conversation, FakeRedis, on_both_loops, until

PUSH = Script("push", "return redis.call('RPUSH', KEYS[1], ARGV[1])")
HERE = Address("here", 1)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster"), fsync="always") as cluster:
        yield cluster


@asynccontextmanager
async def started(config: Settings) -> AsyncIterator[Redis]:
    redis = Redis(config, name="test", on_connected=lambda: None, on_lost=lambda reason: None)
    await redis.start()
    try:
        yield redis
    finally:
        await redis.stop()


def another(cluster: Cluster, node: Valkey) -> Valkey:
    return next(other for other in cluster.nodes if other is not node)


async def pushed(redis: Redis, key: str) -> list[int]:
    return [int(item) for item in await redis.command(key, "LRANGE", key, 0, -1)]


# -- words


def test_who_has_which_slot() -> None:
    reply = [
        [0, 99, [b"10.0.0.1", 7000, b"id"], [b"10.0.0.9", 7000, b"replica"]],
        [200, 16383, [b"", 7001, b"id"]],
    ]
    owners = _owners(reply, HERE, Address("first", 2))
    assert {owners[0], owners[99]} == {Address("10.0.0.1", 7000)}
    assert owners[16383] == Address("here", 7001)
    assert owners[150] == Address("10.0.0.1", 7000)  # nobody's: somebody will say so


@pytest.mark.parametrize("reply", [[], None, ReplyError("NOPERM no"), [[1]], [[0, 99999, 5]], b"x"])
def test_what_is_no_answer_about_slots(reply: Any) -> None:
    with pytest.raises(NotReady, match="who has which slot"):
        _owners(reply, HERE, HERE)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("MOVED 1 10.0.0.1:7000", Address("10.0.0.1", 7000)),
        ("ASK 1 2001:db8::1:7000", Address("2001:db8::1", 7000)),
        ("MOVED 1 :7000", Address("here", 7000)),
        ("CLUSTERDOWN The cluster is down", None),
        ("MOVED 1", None),
        ("MOVED 1 nonsense", None),
    ],
)
def test_where_a_redirection_leads(text: str, target: Address | None) -> None:
    assert _target(ReplyError(text), HERE) == target


async def test_slots_are_those_of_redis() -> None:
    def no_link(address: Address) -> Any:
        raise AssertionError

    links = Links(access=None, first=HERE, new_link=no_link)  # type: ignore[arg-type]
    for key in ("", "a", "{a}b", "x{}y", "}{a}", "sioserver:{räume}:log", "{{a}}"):
        assert links.slot(key) == links.slot(key) == key_slot(key.encode())
        assert links.owner(key) == HERE


# -- a real cluster


@on_both_loops
async def test_keys_go_where_they_belong() -> None:
    """On a cluster of its own: fixtures do not go with both loops."""
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as directory, Cluster(Path(directory)) as cluster:
        async with started(settings(cluster)) as redis:
            assert redis.cluster
            keys = [f"{{{number}}}list" for number in range(50)]
            replies = [redis.script(PUSH, [key], [1]) for key in keys]
            assert await asyncio.gather(*replies) == [1] * 50
            sizes = [ask(node, "DBSIZE") for node in cluster.nodes]
            assert sum(sizes) == 50
            assert all(sizes)
            stats = redis.stats()
            assert stats["redis_servers"] == stats["redis_connections"] == 3
            assert stats["redis_slot_changes"] == 1  # at the start; nothing was redirected
            assert stats["redis_asks"] == 0
            node = cluster.owner(cluster.slot("{1}list"))
            assert redis.owner("{1}list") == Address("127.0.0.1", node.port)


async def test_a_slot_that_moves_is_followed_and_its_order_kept(cluster: Cluster) -> None:
    async with started(settings(cluster, timeout=20)) as redis:
        key = f"{redis.settings.prefix}:{{moving}}"
        slot = cluster.slot(key)
        target = another(cluster, cluster.owner(slot))
        calls = [redis.script(PUSH, [key], [number]) for number in range(100)]
        moving = asyncio.create_task(asyncio.to_thread(cluster.move, slot, target))
        number = 100
        while not moving.done() or redis.owner(key) != Address("127.0.0.1", target.port):
            calls += [redis.script(PUSH, [key], [number + more]) for more in range(10)]
            number += 10
            await asyncio.sleep(0.001)
        await moving
        await asyncio.gather(*calls)
        assert await pushed(redis, key) == list(range(number))


async def test_a_key_that_has_left_before_its_slot_is_asked_for(cluster: Cluster) -> None:
    async with started(settings(cluster)) as redis:
        key = f"{redis.settings.prefix}:{{asked}}"
        slot = cluster.slot(key)
        source = cluster.owner(slot)
        target = another(cluster, source)
        cluster.begin_move(slot, target)
        try:
            assert await redis.script(PUSH, [key], [0]) == 1  # it is new, so it is made there
            assert redis.stats()["redis_asks"] == 1
            assert ask(source, "CLUSTER", "COUNTKEYSINSLOT", slot) == 0
            calls = [redis.script(PUSH, [key], [number]) for number in range(1, 20)]
            await asyncio.gather(*calls)
            assert redis.owner(key) == Address("127.0.0.1", source.port)
        finally:
            cluster.finish_move(slot, target)
        assert await pushed(redis, key) == list(range(20))
        await until(lambda: redis.owner(key) == Address("127.0.0.1", target.port))


async def test_a_node_that_is_killed_and_comes_back(cluster: Cluster) -> None:
    async with started(settings(cluster, timeout=20)) as redis:
        key = f"{redis.settings.prefix}:{{killed}}"
        node = cluster.owner(cluster.slot(key))
        others = next(
            name
            for name in (f"{redis.settings.prefix}:{{{number}}}" for number in range(100))
            if cluster.owner(cluster.slot(name)) is not node
        )
        await redis.script(PUSH, [key], [0])
        node.kill()
        await until(lambda: redis.trouble)
        assert redis.up_since == float("inf")
        assert await redis.script(PUSH, [others], [0]) == 1  # the others go on
        calls = [redis.script(PUSH, [key], [number]) for number in range(1, 10)]
        await node.async_start()
        await asyncio.gather(*calls)
        assert await pushed(redis, key) == list(range(10))
        await until(lambda: redis.trouble is None)
        await until(cluster.agreed)


async def test_without_a_node_its_keys_are_refused_in_time(cluster: Cluster) -> None:
    async with started(settings(cluster, timeout=0.5)) as redis:
        key = f"{redis.settings.prefix}:{{frozen}}"
        node = cluster.owner(cluster.slot(key))
        node.pause()
        try:
            with pytest.raises(Unavailable):
                await redis.script(PUSH, [key], [0])
        finally:
            node.resume()
        await until(cluster.agreed)


# -- what a real one does too seldom


def slots_of(*ports: int) -> bytes:
    """All slots, shared evenly."""
    text = b"*%d\r\n" % len(ports)
    size = 16384 // len(ports)
    for number, port in enumerate(ports):
        last = 16383 if number == len(ports) - 1 else (number + 1) * size - 1
        text += b"*3\r\n:%d\r\n:%d\r\n" % (number * size, last)
        text += b"*3\r\n$9\r\n127.0.0.1\r\n:%d\r\n$1\r\nx\r\n" % port
    return text


def echo(line: Conversation, command: list[str]) -> None:
    line.say(b"+%s\r\n" % command[-1].encode())


async def test_calls_that_moved_come_before_those_made_since() -> None:
    async with FakeRedis(echo) as old, FakeRedis(echo) as new:
        old.mode = new.mode = b"cluster"
        old.slots = new.slots = slots_of(old.port)

        def moved(line: Conversation, command: list[str]) -> None:
            if not more:  # between the first reply and the last
                more.extend(redis.command("k", "ECHO", str(number)) for number in (5, 6))
            new.slots = slots_of(new.port)
            line.say(b"-MOVED 7629 127.0.0.1:%d\r\n" % new.port)

        async with started(Settings(url=old.url)) as redis:
            more: list[asyncio.Future[Any]] = []
            old.handler = moved
            calls = [redis.command("k", "ECHO", str(number)) for number in range(5)]
            await asyncio.gather(*calls)
            await asyncio.gather(*more)
            assert [command[1] for command in new.seen] == ["0", "1", "2", "3", "4", "5", "6"]
            assert redis.stats()["redis_servers"] == 1  # the old one has nothing left
            await until(lambda: not old.open)


async def test_a_cluster_that_is_down_is_waited_for() -> None:
    down = True

    def answer(line: Conversation, command: list[str]) -> None:
        if down:
            line.say(b"-CLUSTERDOWN The cluster is down\r\n")
        else:
            echo(line, command)

    async with FakeRedis(answer) as fake:
        fake.mode, fake.slots = b"cluster", slots_of(fake.port)
        async with started(Settings(url=fake.url, timeout=10)) as redis:
            calls = [redis.command("k", "ECHO", str(number)) for number in range(3)]
            await until(lambda: len(fake.seen) > 5)
            assert "CLUSTERDOWN" in str(redis.trouble)
            down = False
            assert await asyncio.gather(*calls) == [b"0", b"1", b"2"]
            assert [command[1] for command in fake.seen[-3:]] == ["0", "1", "2"]
            assert redis.stats()["redis_resent"] > 0


async def test_a_server_that_keeps_silent_does_not_hold_the_others_up() -> None:
    """The slots of two servers go to a third; one of the two is frozen."""
    async with FakeRedis(echo) as first, FakeRedis(echo) as frozen, FakeRedis(echo) as third:
        for fake in (first, frozen, third):
            fake.mode, fake.slots = b"cluster", slots_of(first.port, frozen.port)
        async with started(Settings(url=first.url, timeout=10)) as redis:
            low, high = "b", "a"  # slots 3300 and 15495
            frozen.stalled = True
            silent = redis.command(high, "ECHO", "high")
            await asyncio.sleep(0)
            third.slots = first.slots = slots_of(third.port)
            first.handler = lambda line, command: line.say(
                b"-MOVED 3300 127.0.0.1:%d\r\n" % third.port
            )
            assert await redis.command(low, "ECHO", "low") == b"low"
            assert await silent == b"high"
            assert sorted(command[1] for command in third.seen) == ["high", "low"]


async def test_a_cluster_that_misses_a_server_is_started_all_the_same() -> None:
    """What lies on the others can be used."""
    async with FakeRedis(echo) as fake:
        gone = free_port()
        fake.mode, fake.slots = b"cluster", slots_of(fake.port, gone)
        async with started(Settings(url=fake.url, timeout=0.5)) as redis:
            assert f"127.0.0.1:{gone}" in str(redis.trouble)
            assert await redis.command("b", "ECHO", "1") == b"1"
            with pytest.raises(Unavailable):
                await redis.command("a", "ECHO", "1")


async def test_redirections_in_a_circle_end() -> None:
    async with FakeRedis() as fake:
        fake.mode, fake.slots = b"cluster", slots_of(fake.port)
        fake.handler = lambda line, command: line.say(
            b"+OK\r\n" if command == ["ASKING"] else b"-ASK 7629 127.0.0.1:%d\r\n" % fake.port
        )
        async with started(Settings(url=fake.url)) as redis:
            with pytest.raises(ReplyError, match="ASK"):
                await redis.command("k", "GET", "k")


async def test_a_cluster_that_does_not_say_who_has_which_slot() -> None:
    async with FakeRedis() as fake:
        fake.mode, fake.slots = b"cluster", b"-NOPERM no CLUSTER for you\r\n"
        with pytest.raises(StoreError, match="NOPERM"):
            await Redis(
                Settings(url=fake.url), name="t", on_connected=lambda: None, on_lost=print
            ).start()
