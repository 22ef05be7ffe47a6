"""The servers behind `config.redis`: found, followed, and told about when they cannot serve."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from sioserver.config.schema import Redis as Settings
from sioserver.engine import redis_servers
from sioserver.engine.base import StoreError
from sioserver.engine.redis_servers import Redis, ReplyError, Script, Unavailable
from sioserver.valkey import Valkey

from ..redis_servers import Watched, ask, free_port, settings, standalone, tls_proxy
from .redis_kit import Conversation, FakeRedis, on_both_loops, until

INCR = Script("incr", "return redis.call('INCRBY', KEYS[1], ARGV[1])")


class Told:
    def __init__(self) -> None:
        self.connected = 0
        self.lost: list[str] = []

    def on_connected(self) -> None:
        self.connected += 1


def make(config: Settings, told: Told | None = None) -> Redis:
    told = told or Told()
    return Redis(config, name="test", on_connected=told.on_connected, on_lost=told.lost.append)


@asynccontextmanager
async def started(config: Settings, told: Told | None = None) -> AsyncIterator[Redis]:
    redis = make(config, told)
    await redis.start()
    try:
        yield redis
    finally:
        await redis.stop()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with standalone(tmp_path_factory.mktemp("alone")) as server:
        yield server


# -- one server


async def test_commands_and_scripts(server: Valkey) -> None:
    told = Told()
    async with started(settings(server), told) as redis:
        key = f"{redis.settings.prefix}:n"
        assert not redis.cluster
        assert redis.trouble is None
        assert await redis.command(key, "SET", key, 5) == b"OK"
        replies = [redis.script(INCR, [key], [number]) for number in (1, 2, 3)]
        assert await asyncio.gather(*replies) == [6, 8, 11]
        assert await redis.command(key, "LRANGE", f"{key}2", 0, -1) == []
        assert await redis.command(key, "GET", f"{key}2") is None
        with pytest.raises(ReplyError, match="WRONGTYPE"):
            await redis.command(key, "LPUSH", key, "x")
        assert redis.up_since <= asyncio.get_running_loop().time()
        clock = ask(server, "TIME")
        assert abs(redis.server_time(key) - clock[0] - clock[1] / 1e6) < 1
        assert redis.stats()["redis_connections"] == 1
        assert redis.stats()["redis_waiting"] == 0
        assert told.connected == 1
    assert await failure(redis.command(key, "PING")) is Unavailable
    await redis.stop()  # twice does no harm


async def failure(future: asyncio.Future[Any]) -> type[BaseException]:
    [result] = await asyncio.gather(future, return_exceptions=True)
    return type(result)


async def test_a_callback_that_fails_breaks_nothing(
    server: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: str) -> None:
        raise RuntimeError("mine")

    redis = Redis(settings(server), name="test", on_connected=fail, on_lost=fail)
    await redis.start()
    ask(server, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    await until(lambda: redis.stats()["redis_breaks"])
    assert await redis.command("", "PING") == b"PONG"
    await redis.stop()
    assert "RuntimeError: mine" in caplog.text


@on_both_loops
async def test_over_tls() -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as directory, standalone(Path(directory)) as server:
        tls = tls_proxy(server, Path(directory) / "tls")
        async with tls as proxy, started(settings(proxy.url)) as redis:
            data = bytes(range(256)) * 1000
            await redis.command("a", "SET", "a", data)
            assert await redis.command("a", "GET", "a") == data
            assert proxy.connections == 2  # to look, and to stay


async def test_what_breaks_is_told_and_mended(server: Valkey) -> None:
    told = Told()
    async with started(settings(server), told) as redis:
        ask(server, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await until(lambda: told.connected == 2)
        assert len(told.lost) == 1
        assert "lost" in told.lost[0]
        assert await redis.command("", "PING") == b"PONG"


# -- starting


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("redis://h?nonsense=1", "nonsense"),
        ("redis://127.0.0.1:{free}", "is it running"),
        ("unix:///no/such.sock", "is it running"),
        ("redis://:wrong@127.0.0.1:{guarded}", "check user and password"),
        ("redis://127.0.0.1:{server}/99", "out of range"),
    ],
)
async def test_a_server_that_cannot_be_used_is_a_store_error(
    server: Valkey, guarded: int, url: str, complaint: str
) -> None:
    url = url.format(free=free_port(), guarded=guarded, server=server.port)
    redis = make(Settings(url=url, timeout=0.3))
    with pytest.raises(StoreError, match=complaint) as raised:
        await redis.start()
    assert "wrong" not in str(raised.value)
    assert not [task for task in asyncio.all_tasks() if "redis" in task.get_name()]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a server with a password."""
    directory = tmp_path_factory.mktemp("guarded")
    with standalone(directory, arguments=["--requirepass", "right"]) as server:
        yield server.port


async def test_sentinels_that_do_not_answer_are_a_store_error() -> None:
    there = f"127.0.0.1:{free_port()}"
    redis = make(Settings(url="redis://", sentinels=[there], timeout=0.3))
    with pytest.raises(StoreError, match="no Sentinel names the master") as raised:
        await redis.start()
    assert str(raised.value).startswith(f"Redis at {there}: ")


async def test_a_frozen_server_is_a_store_error() -> None:
    async with FakeRedis() as fake:
        fake.stalled = True
        with pytest.raises(StoreError, match="no answer"):
            await make(Settings(url=fake.url, timeout=0.2)).start()


async def test_a_server_that_reads_its_data_is_waited_for() -> None:
    async with FakeRedis() as fake:
        fake.ping = b"-LOADING Redis is loading the dataset in memory\r\n"
        redis = make(Settings(url=fake.url, timeout=0.1))
        starting = asyncio.create_task(redis.start())
        await until(lambda: fake.connections > 4)  # well beyond the timeout
        assert not starting.done()
        fake.ping = b"+PONG\r\n"
        await starting
        await redis.stop()


async def test_a_server_that_comes_a_moment_later_is_found(tmp_path: Path) -> None:
    server = standalone(tmp_path)
    redis = make(settings(server, timeout=20))
    starting = asyncio.create_task(redis.start())
    try:
        await server.async_start()
        await starting
        assert await redis.command("", "PING") == b"PONG"
        await redis.stop()
    finally:
        server.kill()


async def test_a_start_that_is_cancelled_leaves_nothing() -> None:
    async with FakeRedis() as fake:
        fake.stalled = True
        redis = make(Settings(url=fake.url))
        starting = asyncio.create_task(redis.start())
        await until(lambda: fake.connections)
        starting.cancel()
        await asyncio.wait([starting])
        await until(lambda: not fake.open)


async def test_an_old_cluster_is_refused() -> None:
    async with FakeRedis() as fake:
        fake.mode, fake.version = b"cluster", b"6.2.14"
        with pytest.raises(StoreError, match="at least 7"):
            await make(Settings(url=fake.url)).start()


# -- a server that does not write


async def test_trouble_lasts_until_a_write_succeeds() -> None:
    full = True

    def answer(line: Conversation, command: list[str]) -> None:
        line.say(b"-OOM too much\r\n" if full and command[0] == "SET" else b"+OK\r\n")

    async with FakeRedis(answer) as fake:
        config = Settings(url=fake.url, timeout=0.2, prefix="mine")
        async with started(config) as redis:
            with pytest.raises(Unavailable, match="OOM"):
                await redis.command("mine:{room}:log", "SET", "mine:{room}:log", "1")
            assert "cannot be written to: OOM" in str(redis.trouble)
            assert await redis.command("a", "GET", "a") == b"OK"
            assert redis.trouble
            tried = ["SET", "mine:probe:{room}", "1", "PX", "1000"]
            await until(lambda: fake.seen.count(tried) >= 2)
            assert redis.trouble
            full = False
            await until(lambda: redis.trouble is None)


async def test_a_real_server_without_memory(tmp_path: Path) -> None:
    with standalone(tmp_path) as server:
        async with started(settings(server, timeout=0.3)) as redis:
            ask(server, "CONFIG", "SET", "maxmemory", "1")
            with pytest.raises(Unavailable, match="OOM"):
                await redis.script(INCR, ["a"], [1])
            assert "OOM" in str(redis.trouble)
            ask(server, "CONFIG", "SET", "maxmemory", "0")
            await until(lambda: redis.trouble is None)
            assert await redis.script(INCR, ["a"], [1]) == 1


async def test_a_failure_that_lasts_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger=redis_servers.__name__)
    async with FakeRedis() as fake, started(Settings(url=fake.url, timeout=0.2)) as redis:
        fake.role = b"replica"
        fake.open[-1].reset()
        seen = fake.connections
        await until(lambda: fake.connections > seen + 3)
        assert "replica" in str(redis.trouble)
    assert [record.message for record in caplog.records if "replica" in record.message] == [
        f"Redis at 127.0.0.1:{fake.port}: it is a replica, and cannot be written to"
    ]


# -- Sentinel


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    with Watched(tmp_path) as watched:
        yield watched


async def test_a_new_master_is_followed(watched: Watched) -> None:
    told = Told()
    async with started(settings(watched, timeout=20), told) as redis:
        assert await redis.script(INCR, ["a"], [1]) == 1
        await until(lambda: ask(watched.second, "GET", "a") == b"1")
        dead = watched.master
        dead.kill()
        assert await redis.script(INCR, ["a"], [1]) == 2  # waited for the new one
        assert ask(watched.second, "GET", "a") == b"2"
        assert told.connected == 2
        assert redis.trouble is None


async def test_a_master_that_does_not_know_that_it_is_none_is_left(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Sentinel names another one, while the old one goes on answering us."""
    monkeypatch.setattr(redis_servers, "MASTER_CHECK", 0.05)
    async with started(settings(watched, timeout=20)) as redis:
        assert redis.serves(await redis.anybody())
        ask(watched.sentinel, "SENTINEL", "REMOVE", watched.service)
        ask(watched.second, "REPLICAOF", "NO", "ONE")
        arguments = (watched.service, "127.0.0.1", watched.second.port, 1)
        ask(watched.sentinel, "SENTINEL", "MONITOR", *arguments)
        await until(lambda: str(redis._only.address).endswith(str(watched.second.port)))  # type: ignore[union-attr]
        assert await redis.command("a", "CONFIG", "GET", "port") == [
            b"port",
            str(watched.second.port).encode(),
        ]
