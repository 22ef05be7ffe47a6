"""Many workers at one address: started, watched, replaced, ended."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import stat
import sys
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from sioserver.client import RoomClient
from sioserver.config import Config, ConfigError
from sioserver.model import Message
from sioserver.testing import ServerFailed, ServerProcess
from sioserver.valkey import Valkey
from sioserver.workers.supervisor import Supervisor

from ..certificates import Certificates
from .kit import PATIENCE, Alone, Stubs, alive, until

SECRET = "a secret of more than thirty-two bytes"
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def said(server: ServerProcess, text: str, since: int = 0) -> list[str]:
    return [line for line in server.output[since:] if text in line]


# ---------------------------------------------------------------------------- the start


async def test_each_worker_is_told_what_it_is(tmp_path: Path) -> None:
    settings = {
        "auth.secret": SECRET,
        "redis.url": "redis://127.0.0.1:9",
        "cluster.address": "127.0.0.1:9",
        "cluster.secret": SECRET,
    }
    async with Stubs(tmp_path, settings=settings) as server:
        starts = server.notes("start")
        assert sorted(start["number"] for start in starts) == [1, 2, 3]
        assert sorted(start["place"] for start in starts) == [0, 1, 2]
        assert {start["config"]["auth"]["secret"] for start in starts} == {SECRET}
        (directory,) = {start["directory"] for start in starts}
        assert stat.S_IMODE(os.stat(directory).st_mode) == 0o700
        sockets = {inode for start in starts for inode in start["inodes"]}
        assert len(sockets) == (3 if sys.platform == "linux" else 1)
        assert sorted(worker.pid for worker in server.workers.values()) == sorted(
            start["pid"] for start in starts
        )
        assert await server.stop() == 0
    assert not Path(directory).exists()


@linux_only
async def test_no_secret_is_in_a_command_line_or_an_environment(tmp_path: Path) -> None:
    config = tmp_path / "s.toml"
    config.write_text(f'[auth]\nsecret = "{SECRET}"\n')
    async with Stubs(tmp_path, config=config) as server:
        assert {start["config"]["auth"]["secret"] for start in server.notes("start")} == {SECRET}
        for worker in server.workers.values():
            for what in ("cmdline", "environ"):
                assert SECRET.encode() not in Path(f"/proc/{worker.pid}/{what}").read_bytes()


async def test_it_says_once_where_it_serves_when_all_do(tmp_path: Path) -> None:
    async with Stubs(tmp_path) as server:
        await server.stop()
        lines = said(server, "serves http://")
        assert len(lines) == 1
        ready = [server.output.index(line) for line in said(server, "is ready")]
        assert len(ready) == 3
        assert max(ready) < server.output.index(lines[0])
        assert said(server, ", 3 workers")
        (line,) = said(server, "reads the configuration again")
        assert re.fullmatch(r"  pid (\d+): kill -HUP \1 .*", line)


async def test_a_worker_that_cannot_start_gives_its_reason_once(tmp_path: Path) -> None:
    server = Stubs(tmp_path, "refuse")
    with pytest.raises(ServerFailed) as caught:
        await server.start()
    assert caught.value.code == 1
    assert said(server, "sioserver: there is no luck here")
    assert len([line for line in server.output if line.startswith("sioserver:")]) == 1
    assert not [note for note in server.notes("start") if alive(note["pid"])]


async def test_workers_that_only_crash_are_given_up(tmp_path: Path) -> None:
    server = Stubs(tmp_path, "crash")
    with pytest.raises(ServerFailed) as caught:
        await server.start()
    assert caught.value.code == 1
    assert said(server, "sioserver: no worker gets as far as to serve (exit code 3)")


async def test_a_port_in_use(tmp_path: Path) -> None:
    async with Stubs(tmp_path) as first:
        second = Stubs(tmp_path, port=first.port)
        with pytest.raises(ServerFailed, match=f"cannot listen on 127.0.0.1:{first.port}: ") as e:
            await second.start()
    assert e.value.code == 1


# ---------------------------------------------------------------------------- workers that end


async def test_a_worker_that_dies_is_replaced(tmp_path: Path) -> None:
    async with Stubs(tmp_path) as server:
        before = dict(server.workers)
        seen = len(server.output)
        server.kill_worker(2)
        await server.printed(rf"worker 2, pid {before[2].pid}, has ended \(SIGKILL\)", since=seen)
        await server.printed(r"worker 2 is ready", since=seen)
        assert server.workers[2].pid != before[2].pid
        assert (server.workers[1], server.workers[3]) == (before[1], before[3])
        first, again = (note for note in server.notes("start") if note["number"] == 2)
        assert again["inodes"] == first["inodes"]
        assert again["place"] == first["place"]


async def test_a_worker_that_is_sent_away_is_no_error(tmp_path: Path) -> None:
    async with Stubs(tmp_path) as server:
        os.kill(server.workers[2].pid, signal.SIGTERM)
        line = await server.printed(r"worker 2, .* has ended \(exit code 0\)")
        assert " INFO " in line.string
        server.kill_worker(1)
        line = await server.printed(r"worker 1, .* has ended \(SIGKILL\)")
        assert " ERROR " in line.string


async def test_a_worker_that_crashes_at_once_is_started_less_and_less_often(
    tmp_path: Path,
) -> None:
    async with Stubs(tmp_path) as server:
        server.plan("crash")
        server.kill_worker(1)
        for pause in ("0.1", "0.2", "0.4", "0.8"):
            await server.printed(rf"worker 1, .* has ended .* started in {pause} s")
        server.plan("serve")
        seen = len(server.output)
        await server.printed(r"worker 1 is ready", since=seen)
        assert {await server.who_answers() for _ in range(20)} <= {
            worker.pid for worker in server.workers.values()
        }


async def test_a_replacement_that_cannot_start_is_no_reason_to_end(tmp_path: Path) -> None:
    async with Stubs(tmp_path) as server:
        server.plan("refuse")
        server.kill_worker(1)
        await server.printed(r"worker 1, .* has ended \(there is no luck here\)")
        server.plan("serve")
        seen = len(server.output)
        await server.printed(r"worker 1 is ready", since=seen)


async def test_no_connection_is_refused_while_workers_are_killed() -> None:
    """200 connections, one after another; a worker dies with every fiftieth."""
    async with Alone(workers=3) as server, aiohttp.ClientSession() as http:
        answered = 0
        for number in range(200):
            if number % 50 == 10:
                seen = len(server.output)
                slot = number // 50 % 3 + 1
                server.kill_worker(slot)
                # each request waits for an answer: in the dead one's socket until it is replaced
                killed = asyncio.create_task(server.printed(f"worker {slot} is ready", since=seen))
            while True:
                try:
                    headers = {"Connection": "close"}
                    async with http.get(f"{server.url}/healthz", headers=headers) as answer:
                        assert answer.status == 200
                        answered += 1
                        break
                except aiohttp.ClientConnectorError:
                    raise
                except aiohttp.ClientConnectionError:
                    # a worker died that had accepted this one; nobody can answer it now
                    continue
            if number % 50 == 49:
                await killed
        assert answered == 200


# ---------------------------------------------------------------------------- the end


async def test_all_workers_are_told_to_stop_and_waited_for(tmp_path: Path) -> None:
    async with Stubs(tmp_path) as server:
        pids = {worker.pid for worker in server.workers.values()}
        assert await server.stop() == 0
        assert {note["pid"] for note in server.notes("order")} == pids
        assert {note["order"] for note in server.notes("order")} == {"stop\n"}
        assert not any(map(alive, pids))


async def test_a_worker_that_does_not_end_is_killed(tmp_path: Path) -> None:
    async with Stubs(tmp_path, "stubborn") as server:
        pids = [worker.pid for worker in server.workers.values()]
        assert await server.stop() == 0
        assert len(said(server, "does not end and is killed")) == 3
        assert not any(map(alive, pids))


async def test_a_second_signal_ends_everything_at_once(tmp_path: Path) -> None:
    async with Stubs(tmp_path, "stubborn", settings={"drain.seconds": 1000}) as server:
        pids = [worker.pid for worker in server.workers.values()]
        process = server._process
        assert process is not None
        process.send_signal(signal.SIGINT)
        await server.printed("stopping")
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE):
            assert await process.wait() == -signal.SIGTERM
        await until(lambda: not any(map(alive, pids)))


async def test_a_signal_in_the_middle_of_the_start(tmp_path: Path) -> None:
    server = Stubs(tmp_path, "silent")
    starting = asyncio.create_task(server.start())
    await until(lambda: len(server.notes("start")) == 3)
    process = server._process
    assert process is not None
    process.send_signal(signal.SIGTERM)
    with pytest.raises(ServerFailed) as caught:
        await starting
    assert caught.value.code == 0
    assert not any(alive(note["pid"]) for note in server.notes("start"))


@linux_only
@pytest.mark.parametrize("settings", [{"transport.loop": "uvloop"}, {"transport.loop": "asyncio"}])
async def test_workers_end_when_their_supervisor_is_killed(settings: dict[str, object]) -> None:
    async with Alone(workers=2, settings={"drain.seconds": 0, **settings}) as server:
        pids = [worker.pid for worker in server.workers.values()]
        async with asyncio.timeout(PATIENCE):
            await server.kill_supervisor()  # waits until nobody has its output any more
        await until(lambda: not any(map(alive, pids)))
        assert said(server, "the supervisor has gone") or said(server, "stopping")
        await server.start()  # the port is free


# ---------------------------------------------------------------------------- a rolling restart


async def test_each_replacement_serves_before_the_old_one_is_told_to_leave(
    tmp_path: Path,
) -> None:
    config = tmp_path / "s.toml"
    config.write_text("")
    async with Stubs(tmp_path, config=config) as server:
        before = {number: worker.pid for number, worker in server.workers.items()}
        seen = len(server.notes())
        config.write_text("[presence]\ngrace = 7\n")
        server.reload()
        await server.printed("all workers are replaced")
        new = {number: worker.pid for number, worker in server.workers.items()}
        assert not set(new.values()) & set(before.values())
        assert not any(map(alive, before.values()))
        story = [(note["what"], note["pid"]) for note in server.notes()[seen:]]
        assert story == [
            event
            for number in (1, 2, 3)
            for event in (
                ("start", new[number]),
                ("serving", new[number]),
                ("leave", before[number]),
            )
        ]
        starts = server.notes("start")[3:]
        assert {start["config"]["presence"]["grace"] for start in starts} == {7}
        places = [start["place"] for start in starts]
        assert places[0] == 3  # while all three others were alive
        # who dies now comes back with the new configuration
        server.kill_worker(3)
        await until(lambda: len(server.notes("start")) == 7)
        assert server.notes("start")[-1]["config"]["presence"]["grace"] == 7


async def test_a_faulty_configuration_is_told_with_its_place_and_not_taken(
    tmp_path: Path,
) -> None:
    config = tmp_path / "s.toml"
    config.write_text("")
    async with Stubs(tmp_path, config=config) as server:
        before = dict(server.workers)
        config.write_text('[presence]\ngrace = "long"\n')
        server.reload()
        await server.printed(rf"old configuration stays: {config}:2: presence.grace: expected")
        assert server.workers == before
        config.write_text("")
        server.reload()
        await server.printed("all workers are replaced")


async def test_replacements_that_do_not_serve_end_the_rolling_restart(tmp_path: Path) -> None:
    async with Stubs(tmp_path) as server:
        before = dict(server.workers)
        server.plan("refuse")
        server.reload()
        await server.printed(r"the rolling restart ends: .*\(there is no luck here\)")
        assert server.workers == before
        assert all(alive(worker.pid) for worker in before.values())
        assert not server.notes("leave")


def settled(old: dict[str, Any], new: dict[str, Any]) -> Config:
    """What a supervisor of the old configuration makes of the new."""
    supervisor = Supervisor(
        msgspec.convert(old, Config), [], Path(), lambda: Config(), private=False
    )
    return supervisor._settle(msgspec.convert(new, Config))


def test_what_needs_a_restart_stays_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    new = {"server": {"port": 9000, "workers": 7, "web": False}, "presence": {"grace": 7}}
    config = settled({"server": {"port": 8000, "workers": 3}}, new)
    assert (config.server.port, config.server.workers) == (8000, 3)
    assert (config.server.web, config.presence.grace) == (False, 7)
    assert [message.split(" is another")[0] for message in caplog.messages] == [
        "SIGHUP: server.port",
        "SIGHUP: server.workers",
    ]


def test_what_is_the_same_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    assert settled({"server": {"port": 1}}, {"server": {"port": 1}}).server.port == 1
    assert caplog.messages == []


def test_a_new_password_of_redis_is_taken_another_engine_is_not() -> None:
    one, other = {"redis": {"url": "redis://a"}}, {"redis": {"url": "redis://:pw@a"}}
    assert settled(one, other).redis.url == "redis://:pw@a"
    assert settled(one, {}).redis.url == "redis://a"


def test_new_files_for_tls_are_taken_its_beginning_and_its_end_are_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    one, other = {"tls": {"cert": "a.pem"}}, {"tls": {"cert": "b.pem", "key": "b.key"}}
    assert settled(one, other).tls.key == "b.key"
    assert caplog.messages == []
    assert settled(one, {}).tls.cert == "a.pem"
    assert settled({}, one).tls.cert == ""
    assert len(caplog.messages) == 2
    assert all("to begin or to end with TLS needs a restart" in text for text in caplog.messages)


async def test_workers_are_not_replaced_for_a_certificate_that_is_no_good(tmp_path: Path) -> None:
    files = Certificates(tmp_path)
    async with Stubs(tmp_path, settings=files.settings) as server:
        assert server.url.startswith("https://")
        files.cert.unlink()
        server.reload()
        line = await server.printed("SIGHUP: the old configuration stays")
        assert f"tls.cert: {files.cert} cannot be read: No such file" in line.string
        files.issue(expires_at=1_000_000_000.0)
        server.reload()
        await server.printed("tls: the certificate expired on 2001-09-09")
        await server.printed("all workers are replaced")
        assert len(server.notes("start")) == 6


def test_a_mixture_that_would_be_unsafe_is_not_taken() -> None:
    """The public address stays until a restart, so its secret has to."""
    old = {"server": {"host": "0.0.0.0"}, "auth": {"secret": SECRET}}
    with pytest.raises(ConfigError, match="can be reached from outside"):
        settled(old, {"server": {"host": "127.0.0.1"}})
    assert settled(old, {"auth": {"secret": SECRET[::-1]}}).auth.secret == SECRET[::-1]


async def ask_again_and_again(
    server: ServerProcess, done: asyncio.Task[Any], pause: float, requests: int
) -> int:
    """Requests until `done`, so many on a connection and each after a pause; how many were
    answered. Nothing is tried again: a lost connection is an error."""
    answered = 0
    while not done.done():
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        for _ in range(requests):
            await asyncio.sleep(pause)
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            size = re.search(r"content-length: (\d+)", head)
            assert size is not None
            assert json.loads(await reader.readexactly(int(size[1])))["ok"]
            answered += 1
            if "connection: close" in head:
                break
        writer.close()
        await writer.wait_closed()
    return answered


async def test_no_request_fails_in_a_rolling_restart() -> None:
    """On new connections, on kept ones, and on ones whose first request comes late; with nothing
    that would hold up a worker that leaves."""
    async with Alone(workers=2, settings={"drain.seconds": 0}) as server:
        before = {worker.pid for worker in server.workers.values()}
        done = asyncio.create_task(server.printed("all workers are replaced"))
        server.reload()
        kinds = [(0, 1), (0, 1), (0.05, 1), (0.1, 1), (0, 50), (0.05, 50)]
        async with asyncio.timeout(PATIENCE):
            answered = await asyncio.gather(
                *(ask_again_and_again(server, done, *kind) for kind in kinds)
            )
        assert min(answered) > 0
        assert not before & {worker.pid for worker in server.workers.values()}


async def test_clients_are_sent_away_for_a_while_not_for_good() -> None:
    """A worker that leaves closes the transport, without a DISCONNECT packet."""
    settings = {"drain.seconds": 0.2}
    async with Alone(workers=2, settings=settings) as server, aiohttp.ClientSession() as http:
        url = f"{server.url}/socket.io/?EIO=4&transport=websocket"
        clients = [await http.ws_connect(url) for _ in range(20)]
        for client in clients:
            await client.send_str("40")
        server.reload()
        async with asyncio.timeout(PATIENCE):
            for client in clients:
                while (message := await client.receive()).type is aiohttp.WSMsgType.TEXT:
                    assert not message.data.startswith("41")
                assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1001)
        await server.printed("all workers are replaced")
        client = await http.ws_connect(url)
        assert json.loads((await client.receive_str())[1:])["sid"]


# ---------------------------------------------------------------------------- with their Valkey


def valkey_of(store: Path) -> int:
    """The pid of the private Valkey."""
    return int((store.with_name(f"{store.name}-valkey") / "valkey.pid").read_text())


@pytest.fixture
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a store may lie: the path leaves room for the name of a socket."""
    return tmp_path_factory.mktemp("w") / "s.db"


async def test_workers_share_their_rooms(store: Path) -> None:
    """Whatever worker one is connected to; and the start-up line says what they share."""
    async with ServerProcess(store, workers=2, settings={"drain.seconds": 0}) as server:
        assert said(server, f"  store: private Valkey in {store}-valkey, 2 workers")
        readers = [RoomClient(server.url, "r", user=f"reader-{n}") for n in range(8)]
        async with asyncio.timeout(PATIENCE), RoomClient(server.url, "r", user="ann") as ann:
            for reader in readers:
                await reader.__aenter__()
            for number in range(5):
                await ann.send(f"m{number}")
            for reader in readers:
                assert [(await anext(reader)).body for _ in range(5)] == [  # type: ignore[union-attr]
                    "m0",
                    "m1",
                    "m2",
                    "m3",
                    "m4",
                ]
            for reader in readers:
                await reader.__aexit__(None, None, None)


@linux_only
async def test_nothing_stays_and_nothing_is_lost_when_the_supervisor_is_killed(
    store: Path,
) -> None:
    async with ServerProcess(store, workers=2, settings={"drain.seconds": 0}) as server:
        async with RoomClient(server.url, "r", user="ann") as room:
            sent = [await room.send(f"m{number}") for number in range(50)]
            pids = [worker.pid for worker in server.workers.values()] + [valkey_of(store)]
            assert all(map(alive, pids))
            await server.kill_supervisor()
            await until(lambda: not any(map(alive, pids)))
            await server.start()
            async with asyncio.timeout(PATIENCE):
                page = await room.history(limit=100)
        assert [(item.offset, item.body) for item in page] == [
            (done.offset, f"m{number}") for number, done in enumerate(sent)
        ]


async def test_a_valkey_that_dies_comes_back_with_its_data(store: Path) -> None:
    async with ServerProcess(store, workers=2, settings={"drain.seconds": 0}) as server:
        async with asyncio.timeout(PATIENCE), RoomClient(server.url, "r", user="ann") as room:
            first = await room.send("before")
            os.kill(valkey_of(store), signal.SIGKILL)
            again = await room.send("after")
            assert again.offset == first.offset + 1
        assert said(server, "the private Valkey has ended")
        assert said(server, "the private Valkey is back")
        pid = valkey_of(store)
        assert await server.stop() == 0
        assert not alive(pid)


async def test_a_second_server_on_the_same_store_is_refused(store: Path) -> None:
    async with ServerProcess(store, workers=2, settings={"drain.seconds": 0}):
        with pytest.raises(ServerFailed, match="another sioserver uses") as caught:
            await ServerProcess(store, workers=2).start()
        assert caught.value.code == 1


async def test_a_store_in_memory_leaves_nothing_behind() -> None:
    async with ServerProcess(workers=2, settings={"drain.seconds": 0}) as server:
        assert said(server, "  store: private Valkey in memory, gone when it stops, 2 workers")
        async with RoomClient(server.url, "r", user="ann") as room:
            assert (await room.send("x")).offset == 1
        assert await server.stop() == 0


async def test_one_process_with_a_redis_of_its_own(store: Path) -> None:
    valkey = Valkey(store.parent / "v", socket=store.parent / "v" / "x.sock")
    await valkey.async_start()
    try:
        settings = {"redis.url": valkey.url, "drain.seconds": 0}
        async with ServerProcess(settings=settings) as one, ServerProcess(settings=settings) as two:
            assert said(one, f"  store: Redis at {valkey.url}")
            async with (
                asyncio.timeout(PATIENCE),
                RoomClient(one.url, "r", user="ann") as ann,
                RoomClient(two.url, "r", user="bob") as bob,
            ):
                await ann.send("hello")
                message = await anext(bob)
                assert isinstance(message, Message)
                assert message.body == "hello"
    finally:
        await valkey.async_stop()


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_redis_that_cannot_be_reached_is_told_once(workers: int, store: Path) -> None:
    url = f"unix://joe:swordfish@{store.parent}/missing.sock"
    server = ServerProcess(workers=workers, settings={"redis.url": url, "redis.timeout": 0.2})
    with pytest.raises(ServerFailed) as caught:
        await server.start()
    assert caught.value.code == 1
    assert len(said(server, "sioserver: ")) == 1
    assert not said(server, "Traceback")
    assert not said(server, "swordfish")
