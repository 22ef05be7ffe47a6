"""Channels of other libraries: heard and published on through every kind of trouble."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from sioserver.engine import redis_feed
from sioserver.engine.base import StoreError
from sioserver.engine.redis_feed import Feed
from sioserver.valkey import Valkey
from tests import redis_servers
from tests.redis_servers import ask

TIMEOUT = 0.4
"""Of the feeds here: short, so that what is given up is given up soon."""


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with redis_servers.standalone(tmp_path_factory.mktemp("valkey")) as server:
        yield server


class Heard:
    """A feed, and what came of it."""

    def __init__(self, server: Any, *, timeout: float = TIMEOUT, **options: Any) -> None:
        self.messages: list[tuple[str, bytes]] = []
        self.counts: Counter[str] = Counter()
        self.feed = Feed(
            redis_servers.settings(server, timeout=timeout, **options),
            name="test feed",
            channels=["one", "two"],
            patterns=["many.*"],
            hear=self._hear,
            count=lambda what: self.counts.update([what]),
        )

    async def _hear(self, channel: str, payload: bytes) -> None:
        self.messages.append((channel, payload))

    @property
    def payloads(self) -> list[bytes]:
        return [payload for _, payload in self.messages]

    async def publish(self, *payloads: bytes, channel: str = "one") -> None:
        await asyncio.gather(*(self.feed.publish(channel, payload) for payload in payloads))


@asynccontextmanager
async def listening(server: Any, **options: Any) -> AsyncIterator[Heard]:
    heard = Heard(server, **options)
    await heard.feed.start()
    try:
        yield heard
    finally:
        await heard.feed.stop()


async def until(condition: Callable[[], Any], timeout: float = redis_servers.SLOW) -> None:
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.005)


def clients(server: Valkey, kind: str) -> int:
    return ask(server, "CLIENT", "LIST", "TYPE", kind).count(b"\n")


async def test_what_is_published_is_heard_in_order(valkey: Valkey) -> None:
    async with listening(valkey) as one, listening(valkey) as two:
        numbers = [b"%d" % number for number in range(1000)]
        await one.publish(*numbers)
        await until(lambda: len(one.messages) == len(two.messages) == 1000)
        assert one.payloads == two.payloads == numbers
        ask(valkey, "PUBLISH", "many.things", b"\x00\xff")
        ask(valkey, "PUBLISH", "elsewhere", b"no")
        await two.publish(b"last", channel="two")
        await until(lambda: len(one.messages) == 1002)
        assert one.messages[1000:] == [("many.things", b"\x00\xff"), ("two", b"last")]
        assert not one.counts


async def test_many_travel_together(valkey: Valkey) -> None:
    async with listening(valkey) as one:
        await one.publish(b"first")
        ask(valkey, "CONFIG", "RESETSTAT")
        await one.publish(*[b"x"] * 1000)
        assert ask(valkey, "INFO", "stats")["total_reads_processed"] < 100


async def test_nothing_is_left_when_it_stops(valkey: Valkey) -> None:
    before = asyncio.all_tasks()
    connections = clients(valkey, "normal"), clients(valkey, "pubsub")
    async with listening(valkey) as one:
        await one.publish(b"x")
        assert one.feed.hearing
        await one.feed.start()  # twice is once
        assert clients(valkey, "pubsub") == connections[1] + 1
        await one.feed.stop()
        await one.feed.start()
        await one.publish(b"y")
        await until(lambda: one.payloads[-1:] == [b"y"])
    assert not one.feed.hearing
    assert asyncio.all_tasks() == before
    await until(lambda: (clients(valkey, "normal"), clients(valkey, "pubsub")) == connections)
    await one.feed.stop()
    with pytest.raises(ConnectionError, match="not started"):
        await one.feed.publish("one", b"late")
    assert one.counts == {"lost": 1}


async def test_a_lost_connection_is_made_again(valkey: Valkey) -> None:
    async with listening(valkey) as one:
        await one.publish(b"before")
        ask(valkey, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await one.publish(b"published again")
        await until(lambda: one.payloads == [b"before", b"published again"])
        ask(valkey, "CLIENT", "KILL", "TYPE", "pubsub")
        await until(lambda: one.counts["reconnected"] == 1)
        await one.publish(b"after")
        await until(lambda: one.payloads[-1:] == [b"after"])
    assert one.counts == {"reconnected": 1}


async def test_a_server_that_is_away_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "sioserver")
    with redis_servers.standalone(tmp_path) as server:
        async with listening(server) as one:
            await one.publish(b"before")
            server.kill()
            await until(lambda: not one.feed.hearing)
            for number in range(5):
                with pytest.raises(ConnectionError, match="not published"):
                    await one.feed.publish("one", b"%d" % number)
            assert one.counts == {"lost": 5}
            assert len(caplog.records) < 5, caplog.text  # a word or two for each connection
            server.start()
            await until(lambda: one.counts["reconnected"] == 1)
            await until_published(one, b"after")
            await until(lambda: one.payloads[-1:] == [b"after"])
            assert len(caplog.records) < 10, caplog.text


async def until_published(heard: Heard, payload: bytes) -> None:
    """The two connections come back one after the other."""
    async with asyncio.timeout(redis_servers.SLOW):
        while True:
            try:
                await heard.publish(payload)
                return
            except ConnectionError:
                pass  # it has waited for its timeout


async def test_without_a_server_it_does_not_start(tmp_path: Path) -> None:
    before = asyncio.all_tasks()
    heard = Heard(redis_servers.standalone(tmp_path))
    with pytest.raises(StoreError):
        await heard.feed.start()
    assert asyncio.all_tasks() == before
    heard = Heard("http://127.0.0.1")
    with pytest.raises(StoreError, match="scheme"):
        await heard.feed.start()


async def test_a_frozen_server_is_noticed_and_nobody_waits_long(tmp_path: Path) -> None:
    with redis_servers.standalone(tmp_path) as server:
        async with listening(server) as one:
            await one.publish(b"before")
            server.pause()
            loop = asyncio.get_running_loop()
            begin = loop.time()
            results = await asyncio.gather(
                *(one.feed.publish("one", b"x") for _ in range(50)), return_exceptions=True
            )
            took = loop.time() - begin
            assert all(isinstance(result, ConnectionError) for result in results)
            assert TIMEOUT <= took < TIMEOUT + 2
            await until(lambda: not one.feed.hearing)  # silence alone said so
            server.resume()
            await until(lambda: one.counts["reconnected"] == 1)
            await until_published(one, b"after")
            await until(lambda: one.payloads[-1:] == [b"after"])


async def test_what_is_heard_while_nobody_has_time_is_bounded(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_feed, "INBOX", 3 * (1 + redis_feed.EACH))
    busy, heard = asyncio.Event(), []

    async def hear(channel: str, payload: bytes) -> None:
        heard.append(payload)
        await busy.wait()

    async with listening(valkey) as one:
        one.feed._hear = hear  # type: ignore[method-assign]
        await one.publish(b"0")
        await until(lambda: heard)
        for number in range(1, 6):
            await one.publish(b"%d" % number)
        await until(lambda: one.counts["overflow"] == 2)
        busy.set()
        await until(lambda: heard == [b"0", b"1", b"2", b"3"])
        await one.publish(b"x" * 10_000)  # one alone, whatever its size
        await until(lambda: len(heard) == 5)
        assert one.counts == {"overflow": 2}


async def test_a_caller_who_gives_up_harms_nobody(valkey: Valkey) -> None:
    async with listening(valkey) as one:
        sent = [asyncio.ensure_future(one.feed.publish("one", b"%d" % n)) for n in range(3)]
        await asyncio.sleep(0)
        sent[1].cancel()
        await asyncio.wait(sent)
        assert sent[0].result() is sent[2].result() is None
        await until(lambda: one.payloads[-1:] == [b"2"])
        assert not one.counts


async def test_what_the_server_refuses_is_raised(tmp_path: Path) -> None:
    with redis_servers.standalone(tmp_path) as server:
        ask(server, "ACL", "SETUSER", "reader", "on", ">secret", "+@all", "allchannels", "-publish")
        url = server.tcp_url.replace("://", "://reader:secret@")
        async with listening(url) as one:
            with pytest.raises(ConnectionError, match=r"(?i)perm"):
                await one.feed.publish("one", b"x")
            assert one.counts == {"lost": 1}
            ask(server, "ACL", "SETUSER", "reader", "+publish")
            await one.publish(b"y")
            await until(lambda: one.payloads == [b"y"])


async def test_over_a_unix_socket(valkey: Valkey) -> None:
    assert valkey.url.startswith("unix://")
    async with listening(valkey.url) as one:
        await one.publish(b"x")
        await until(lambda: one.payloads == [b"x"])


async def test_over_tls(valkey: Valkey, tmp_path: Path) -> None:
    async with redis_servers.tls_proxy(valkey, tmp_path) as proxy:
        async with listening(proxy.url, timeout=3) as one:
            await one.publish(b"x")
            await until(lambda: one.payloads == [b"x"])
        assert proxy.connections >= 2  # both through it


async def until_all_hear(node: Valkey, channel: str, *feeds: Heard) -> None:
    def published_and_heard() -> bool:
        ask(node, "PUBLISH", channel, b"probe")
        return all((channel, b"probe") in heard.messages for heard in feeds)

    await until(published_and_heard)
    ask(node, "PUBLISH", channel, b"end")  # behind all the probes
    await until(lambda: all((channel, b"end") in heard.messages for heard in feeds))


async def test_a_cluster_any_node_will_do(tmp_path: Path) -> None:
    with redis_servers.Cluster(tmp_path) as cluster:
        first, second, third = cluster.nodes
        async with (
            listening(cluster.url, timeout=2) as one,
            listening(f"redis://127.0.0.1:{third.port}", timeout=2) as other,
        ):
            # a cluster says that it is well before all its nodes talk to each other
            for node in cluster.nodes:
                channel = f"many.{node.port}"
                await until_all_hear(node, channel, one, other)
            one.messages.clear()
            other.messages.clear()
            # whatever slot the channel's name would have
            for channel, node in (("one", first), ("two", second), ("many.things", third)):
                ask(node, "PUBLISH", channel, b"x")
            await one.publish(b"y")
            await until(lambda: len(one.messages) == len(other.messages) == 4)
            assert sorted(one.messages) == sorted(other.messages)
            home = next(node for node in cluster.nodes if clients(node, "pubsub"))
            home.kill()
            await until(lambda: one.counts["reconnected"] + other.counts["reconnected"] >= 1)
            await until(lambda: one.feed.hearing and other.feed.hearing)
            alive = next(node for node in cluster.nodes if node is not home)
            ask(alive, "PUBLISH", "one", b"z")
            await until(lambda: one.payloads[-1:] == other.payloads[-1:] == [b"z"])


async def test_sentinels_say_where_the_master_is(tmp_path: Path) -> None:
    with redis_servers.Watched(tmp_path) as watched:
        async with listening(watched, timeout=2) as one:
            await one.publish(b"x")
            await until(lambda: one.payloads == [b"x"])
            assert ask(watched.master, "PUBSUB", "NUMSUB", "one") == [b"one", 1]
            watched.fail_over()
            await until(lambda: one.counts["reconnected"] == 1)
            await until_published(one, b"y")
            await until(lambda: one.payloads[-1:] == [b"y"])
            assert ask(watched.master, "PUBSUB", "NUMSUB", "one") == [b"one", 1]
