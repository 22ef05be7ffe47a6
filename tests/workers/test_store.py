"""The private Valkey: where it lies, who may have it, and that it comes back."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sqlite3
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec
import pytest

from sioserver.config import Config
from sioserver.engine import StoreError, create_engine
from sioserver.startup import CannotStart
from sioserver.valkey import LONGEST_SOCKET_PATH, ValkeyError
from sioserver.workers import store as module
from sioserver.workers.store import PrivateStore
from tests.engine.conftest import Listener

PATIENCE = 30.0


def configured(path: str | Path, **store: Any) -> Config:
    return msgspec.convert({"store": {"path": str(path), **store}}, Config)


@asynccontextmanager
async def started(config: Config, directory: Path) -> AsyncIterator[PrivateStore]:
    store = PrivateStore(config, directory)
    await store.start()
    try:
        yield store
    finally:
        await store.stop()


def socket_of(store: PrivateStore) -> str:
    return unquote(urlsplit(store.reached_by(Config()).redis.url).path)


def ask(store: PrivateStore, *words: str) -> bytes:
    """A command in the server's own wire, and its answer."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(PATIENCE)
        line.connect(socket_of(store))
        parts = [f"${len(word)}\r\n{word}\r\n" for word in words]
        line.sendall(f"*{len(words)}\r\n{''.join(parts)}".encode())
        return line.recv(4096)


@pytest.fixture
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory whose path leaves room for a socket's name."""
    return tmp_path_factory.mktemp("s")


async def test_it_lies_beside_the_store_and_is_ours_alone(short: Path) -> None:
    async with started(configured(short / "a.db"), short) as store:
        assert store.directory == short / "a.db-valkey"
        assert store.words == f"private Valkey in {short / 'a.db-valkey'}"
        assert stat.S_IMODE(store.directory.stat().st_mode) == 0o700
        path = Path(socket_of(store))
        assert path.parent == store.directory
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
        assert ask(store, "CONFIG", "GET", "port").endswith(b"$1\r\n0\r\n")


@pytest.mark.parametrize(("durability", "fsync"), [("full", b"always"), ("normal", b"everysec")])
async def test_it_is_as_durable_as_is_wanted(durability: str, fsync: bytes, short: Path) -> None:
    async with started(configured(short / "a.db", durability=durability), short) as store:
        assert fsync in ask(store, "CONFIG", "GET", "appendfsync")
        assert b"yes" in ask(store, "CONFIG", "GET", "appendonly")


async def test_what_was_stored_is_there_after_the_next_start(short: Path) -> None:
    config = configured(short / "a.db")
    async with started(config, short) as store:
        assert ask(store, "SET", "x", "kept") == b"+OK\r\n"
    async with started(config, short) as store:
        assert ask(store, "GET", "x") == b"$4\r\nkept\r\n"


async def test_a_store_in_memory_leaves_nothing(short: Path) -> None:
    async with started(configured(":memory:"), short) as store:
        assert store.directory.parent == short
        assert "in memory" in store.words
        ask(store, "SET", "x", "gone")
        assert b"no" in ask(store, "CONFIG", "GET", "appendonly")
    async with started(configured(":memory:"), short) as store:
        assert ask(store, "GET", "x") == b"$-1\r\n"


async def test_the_configuration_of_the_workers(short: Path) -> None:
    config = configured(short / "a b%?#.db")
    async with started(config, short) as store:
        changed = store.reached_by(config)
        assert Path(socket_of(store)) == short / "a b%?#.db-valkey" / "valkey.sock"
        assert msgspec.structs.replace(changed, redis=config.redis) == config


async def test_a_long_path_gets_its_socket_elsewhere(short: Path) -> None:
    deep = short / ("x" * LONGEST_SOCKET_PATH)
    async with started(configured(deep / "a.db"), short) as store:
        assert store.directory.parent == deep
        assert Path(socket_of(store)).parent == short
        assert ask(store, "PING") == b"+PONG\r\n"


async def test_a_second_one_is_refused_at_once(short: Path) -> None:
    config = configured(short / "a.db")
    async with started(config, short):
        began = asyncio.get_running_loop().time()
        second = PrivateStore(config, short)
        with pytest.raises(CannotStart, match=r"another sioserver uses .*a\.db-valkey: stop it"):
            await second.start()
        assert asyncio.get_running_loop().time() - began < 5
        await second.stop()


async def test_it_and_a_single_process_do_not_share_a_store(short: Path) -> None:
    config = configured(short / "a.db")
    single = create_engine(config)
    async with started(config, short):
        with pytest.raises(StoreError, match=r"a\.db is in use by another sioserver"):
            await single.start(Listener())
    await single.start(Listener())
    try:
        store = PrivateStore(config, short)
        with pytest.raises(CannotStart, match=r"another sioserver uses .*a\.db or .*: stop it"):
            await store.start()
        await store.stop()
    finally:
        await single.stop()


async def test_a_place_that_cannot_be_had(short: Path) -> None:
    (short / "file").touch()
    store = PrivateStore(configured(short / "file" / "a.db"), short)
    with pytest.raises(CannotStart) as caught:
        await store.start()
    assert str(caught.value) == (
        f"{short}/file/a.db-valkey cannot be used: Not a directory. "
        f"The server's user must be able to write files in {short}/file"
    )


async def test_without_a_server_program(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> Path:
        raise ValkeyError("there is no Valkey server here: pip install it")

    monkeypatch.setattr("sioserver.valkey.find_server", missing)
    store = PrivateStore(configured(short / "a.db"), short)
    with pytest.raises(CannotStart, match="there is no Valkey server here: pip install it"):
        await store.start()
    await store.stop()


async def test_messages_of_a_single_process_are_not_silently_left(
    short: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = short / "a.db"
    async with started(configured(path), short):
        assert caplog.messages == []
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE x (y)")
    connection.close()
    async with started(configured(path), short) as store:
        (line,) = caplog.messages
        assert line.startswith(f"the messages in {path} are not taken over")
        assert str(store.directory) in line
        assert line.endswith("there is no migration, start without --workers to have them again")


async def test_it_comes_back_when_it_dies(
    short: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO")
    loop = asyncio.get_running_loop()
    async with started(configured(short / "a.db"), short) as store:
        loop.add_signal_handler(signal.SIGCHLD, store.look)
        keeper = asyncio.create_task(store.keep())
        try:
            assert ask(store, "SET", "x", "kept") == b"+OK\r\n"
            first = store.pid
            os.kill(first, signal.SIGKILL)
            async with asyncio.timeout(PATIENCE):
                while not any("is back" in message for message in caplog.messages):
                    await asyncio.sleep(0.01)
            assert store.pid != first
            assert ask(store, "GET", "x") == b"$4\r\nkept\r\n"
        finally:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
            loop.remove_signal_handler(signal.SIGCHLD)


async def test_other_children_that_end_while_it_starts_are_not_taken_for_it(
    short: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO")
    loop = asyncio.get_running_loop()
    async with started(configured(short / "a.db"), short) as store:
        again = store._valkey.async_start

        async def start() -> None:
            store.look()  # a worker has ended
            await again()

        monkeypatch.setattr(store._valkey, "async_start", start)
        loop.add_signal_handler(signal.SIGCHLD, store.look)
        keeper = asyncio.create_task(store.keep())
        try:
            for _ in range(2):
                caplog.clear()
                os.kill(store.pid, signal.SIGKILL)
                async with asyncio.timeout(PATIENCE):
                    while not any("is back" in message for message in caplog.messages):
                        await asyncio.sleep(0.01)
                assert len(caplog.messages) == 2
                assert not store._ended.is_set()
                assert not keeper.done()
        finally:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
            loop.remove_signal_handler(signal.SIGCHLD)


async def test_it_is_tried_again_until_it_comes_back(
    short: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = [ValkeyError("the disk is full")] * 2
    caplog.set_level("INFO")
    loop = asyncio.get_running_loop()
    async with started(configured(short / "a.db"), short) as store:
        again = store._valkey.async_start

        async def start() -> None:
            if failures:
                raise failures.pop()
            await again()

        monkeypatch.setattr(store._valkey, "async_start", start)
        loop.add_signal_handler(signal.SIGCHLD, store.look)
        keeper = asyncio.create_task(store.keep())
        try:
            os.kill(store.pid, signal.SIGKILL)
            async with asyncio.timeout(PATIENCE):
                while not any("is back" in message for message in caplog.messages):
                    await asyncio.sleep(0.01)
        finally:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
            loop.remove_signal_handler(signal.SIGCHLD)
    assert sum("does not start: the disk is full" in line for line in caplog.messages) == 2
    pauses = [line.split()[-2] for line in caplog.messages if "is started again in" in line]
    assert pauses == ["0.1", "0.2", "0.4"]


def test_what_is_a_sqlite_file(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("SQLite? no")
    assert not module._is_sqlite(tmp_path / "text")
    assert not module._is_sqlite(tmp_path / "missing")
