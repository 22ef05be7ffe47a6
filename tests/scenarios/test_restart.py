"""What outlives a server: its death, its stop, a client's absence, a disk without room."""

import asyncio
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from sioserver.client import RoomClient, Transport
from sioserver.errors import Refusal
from sioserver.testing import ServerFailed, ServerProcess

from .kit import Bare, status, take, until

both = pytest.mark.parametrize("transport", ["websocket", "polling"])


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ServerProcess]:
    settings = {"drain.seconds": 0, "delivery.confirm": 0.05, "presence.batch": 0.05}
    async with ServerProcess(tmp_path / "s.db", settings=settings) as server:
        yield server


def cursor(store: str | Path, user: str) -> int:
    """How far, by the store, everything has reached the user. Read from a copy: the server lets
    nobody else open the store."""
    with tempfile.TemporaryDirectory() as copy:
        for suffix in ("", "-wal"):
            shutil.copy(f"{store}{suffix}", f"{copy}/s.db{suffix}")
        with closing(sqlite3.connect(f"{copy}/s.db")) as connection:
            (found,) = connection.execute("SELECT cursor FROM member WHERE user = ?", [user])
            return int(found[0])


# ---------------------------------------------------------------------------- killed


async def test_what_was_acknowledged_survives_a_kill(server: ServerProcess) -> None:
    async with (
        RoomClient(server.url, user="ann", name="Ann") as ann,
        RoomClient(server.url, user="bob") as bob,
    ):
        sent = [await ann.send({"number": number}, id=f"m{number}") for number in range(20)]
        await ann.send(b"\x00\xff", id="binary")
        assert await ann.read(15) == 6
        before = await ann.history()
        await take(bob, 21)
        await server.restart()
        after = await ann.history()
        assert after == before
        assert [message.offset for message in after] == list(range(1, 22))
        assert after[-1].body == b"\x00\xff"
        again = await ann.send({"number": 3}, id="m3")
        assert again == sent[3]  # the same place: it is in the log once
        assert len(await ann.history()) == 21
        assert [user.id for user in await ann.members(away=True)] == ["ann", "bob"]
        assert await ann.read(0) == 6
        assert (await ann.send("next")).offset == 22
        assert [message.body for message in await take(bob, 1)] == ["next"]
        assert ann.total == 2


async def test_a_send_under_way_when_the_server_is_killed_is_posted_once(
    server: ServerProcess,
) -> None:
    async with RoomClient(server.url, user="ann") as ann:
        sends = [asyncio.create_task(ann.send(number, id=f"m{number}")) for number in range(200)]
        await until(lambda: sends[20].done())
        await server.restart()
        offsets = [sent.offset for sent in await asyncio.gather(*sends)]
        assert offsets == list(range(1, 201))
        assert [message.body for message in await take(ann, 200)] == list(range(200))


# ---------------------------------------------------------------------------- away


@both
async def test_who_was_away_gets_what_was_missed_once(
    server: ServerProcess, transport: Transport
) -> None:
    async with RoomClient(server.url, user="bob") as bob:
        async with Bare(server.url, transport, user="ann") as ann:
            await bob.send("seen")
            await until(lambda: ann.messages)
        for number in range(5):
            await bob.send(number)
        await server.restart()
        async with Bare(server.url, transport, user="ann", position=ann.position) as ann:
            await bob.send("live")
            await until(lambda: 7 in ann.offsets)
            assert ann.offsets == [2, 3, 4, 5, 6, 7]
            assert [message["body"] for message in ann.messages] == [0, 1, 2, 3, 4, "live"]


@both
@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_without_a_position_the_server_knows_what_was_delivered(
    server: ServerProcess, transport: Transport, end: str
) -> None:
    async with RoomClient(server.url, user="bob") as bob:
        async with Bare(server.url, transport, user="ann") as ann:
            await until(lambda: ann.welcomes)
            await bob.send("seen")
            await bob.send("seen too")
            await until(lambda: len(ann.messages) == 2)
            # proven by a pong, or by the next poll, while she is here
            await until(lambda: cursor(server.store, "ann") == 2)
        for number in range(3):
            await bob.send(number)
        if end == "stop":
            assert await server.stop() == 0
        else:
            await server.kill()
        await server.start()
        async with Bare(server.url, transport, user="ann") as ann:
            await bob.send("live")
            await until(lambda: 6 in ann.offsets)
            assert ann.offsets == [3, 4, 5, 6]
        # who is new is not sent the past
        async with Bare(server.url, transport, user="new") as new:
            await bob.send("for all")
            await until(lambda: new.messages)
            assert new.offsets == [7]


# ---------------------------------------------------------------------------- stopped


async def test_a_graceful_stop_is_quick_and_clients_come_back(server: ServerProcess) -> None:
    async with (
        RoomClient(server.url, user="ann", transports=["websocket"]) as ann,
        RoomClient(server.url, user="bob", transports=["polling"]) as bob,
        Bare(server.url, "websocket", user="cid") as cid,
        Bare(server.url, "polling", user="dan") as dan,
    ):
        await ann.send("before")
        for bare in (cid, dan):
            await until(lambda bare=bare: bare.messages)
            bare.auth["position"] = bare.position
        began = time.monotonic()
        assert await server.stop() == 0
        assert time.monotonic() - began < 5
        await server.start()
        await bob.send("after")
        for room in (ann, bob):
            assert [message.body for message in await take(room, 2)] == ["before", "after"]
        for bare in (cid, dan):
            await until(lambda bare=bare: len(bare.messages) == 2, 30)
            assert bare.offsets == [1, 2]
            assert len(bare.welcomes) == 2
    assert not any("Traceback" in line for line in server.output)


async def test_a_stop_while_nobody_reads_is_quick(server: ServerProcess) -> None:
    """A client that has hung up on its pongs and reads nothing keeps nobody."""
    host, port = "127.0.0.1", server.port
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(
        b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    assert b"101" in await reader.readline()
    began = time.monotonic()
    assert await server.stop() == 0
    assert time.monotonic() - began < 5
    writer.close()


# ---------------------------------------------------------------------------- the store


async def test_a_second_process_on_the_same_store_is_refused(server: ServerProcess) -> None:
    second = ServerProcess(server.store)
    with pytest.raises(ServerFailed, match="in use by another sioserver") as failed:
        await second.start()
    assert failed.value.code == 1
    assert "Traceback" not in failed.value.output
    async with RoomClient(server.url, user="ann") as ann:
        await ann.send("the first lives")


MOUNTED = """
mount -t tmpfs -o size=8m none "$1" && shift && exec "$@"
"""


def can_mount() -> bool:
    if sys.platform != "linux" or os.geteuid() != 0:
        return False
    script = "mount -t tmpfs none /mnt"
    command = ["unshare", "-m", "--propagation", "private", "sh", "-c", script]
    return subprocess.run(command, capture_output=True).returncode == 0


class Disk:
    """A disk of which the room can be taken and given back."""

    def __init__(self, directory: Path) -> None:
        self.store = directory / "disk" / "s.db"
        self.store.parent.mkdir()
        self.wrapper: list[str] = []

    def take(self, server: ServerProcess) -> None:
        raise NotImplementedError

    def give(self, server: ServerProcess) -> None:
        raise NotImplementedError


class Tmpfs(Disk):
    """A real one, in a mount namespace of the server's own."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        inner = ["sh", "-c", MOUNTED, "sh", str(self.store.parent)]
        self.wrapper = ["unshare", "-m", "--propagation", "private", *inner]

    def ballast(self, server: ServerProcess) -> Path:
        return Path(f"/proc/{server.pid}/root{self.store.parent}/ballast")

    def take(self, server: ServerProcess) -> None:
        with self.ballast(server).open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 4096)
            except OSError:
                pass

    def give(self, server: ServerProcess) -> None:
        self.ballast(server).unlink()


class Limited(Disk):
    """No file may grow: what anybody may do to their own process."""

    def take(self, server: ServerProcess) -> None:
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))

    def give(self, server: ServerProcess) -> None:
        both = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, both)


@pytest.mark.skipif(sys.platform != "linux", reason="takes the room of a running process on Linux")
@pytest.mark.parametrize("kind", [Tmpfs, Limited])
async def test_a_full_disk_refuses_posts_and_nothing_else(tmp_path: Path, kind: type[Disk]) -> None:
    if kind is Tmpfs and not can_mount():
        pytest.skip("mounting needs root; the other kind of full disk is tested")
    disk = kind(tmp_path)
    settings = {"drain.seconds": 0, "presence.batch": 0.05}
    async with ServerProcess(disk.store, settings=settings, wrapper=disk.wrapper) as server:
        async with RoomClient(server.url, user="ann") as ann:
            for number in range(10):
                await ann.send(number)
            disk.take(server)
            async with Bare(server.url, "websocket", user="ann") as bare:
                await fails(bare)
                # reading goes on, for who was here and for members who come
                assert [message.body for message in await ann.history()] == list(range(10))
                assert [message.body for message in await take(ann, 10)] == list(range(10))
                async with Bare(server.url, "polling", user="ann") as other:
                    await until(lambda: other.welcomes)
                    assert (await other.call("history", {}))["ok"]
                assert await status(f"{server.url}/readyz") == 503
                assert await status(f"{server.url}/healthz") == 200
                # a client that is patient gets its message in when there is room again
                waiting = asyncio.create_task(ann.send("patient", id="patient"))
                disk.give(server)
                sent = await waiting
            async with asyncio.timeout(10):
                while await status(f"{server.url}/readyz") != 200:
                    await asyncio.sleep(0.02)
            messages = await ann.history()
            assert [message.offset for message in messages] == list(range(1, len(messages) + 1))
            # what was refused is not there, but for what was sent again
            assert [message.body for message in messages] == [*range(10), "patient"]
            assert sent.offset == 11
        assert await server.stop() == 0


async def fails(bare: Bare) -> None:
    """Post until it is refused, as it has to be: with a code, and as temporary."""
    body = "x" * 60_000
    async with asyncio.timeout(20):
        answer = await bare.call("message", body)
    assert not answer["ok"], answer
    assert answer["error"]["code"] == "unavailable"
    assert answer["error"]["temporary"] is True
    async with asyncio.timeout(20):
        again = await bare.call("message", body)
    assert again["error"]["code"] == "unavailable"


async def test_a_store_that_cannot_be_written_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    server = ServerProcess(tmp_path / "file" / "s.db")
    with pytest.raises(ServerFailed, match="cannot be used") as failed:
        await server.start()
    assert failed.value.code == 1


async def test_a_refusal_while_the_store_is_full_is_an_exception_in_time(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("takes the room of a running process on Linux")
    disk = Limited(tmp_path)
    async with (
        ServerProcess(disk.store) as server,
        RoomClient(server.url, user="ann") as ann,
    ):
        await ann.send("x")
        disk.take(server)
        with pytest.raises((TimeoutError, Refusal)):
            await ann.send("y" * 60_000, timeout=1.0)
