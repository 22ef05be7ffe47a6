"""python-socketio's API across nodes, and from programs outside, through a real Valkey."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import socketio
from aiohttp import web

import sioserver
from sioserver.app import METRICS, SERVER, create_app
from sioserver.client import RoomClient, SignedJSON
from sioserver.config import Config
from sioserver.config.schema import Presence, Redis
from sioserver.metrics.labels import BUS
from sioserver.signature import SKEW, Signatures
from sioserver.transport import bus
from sioserver.transport.bus import ClusterManager
from sioserver.valkey import Valkey
from tests import redis_servers
from tests.redis_servers import ask

from .kit import PATIENCE, Site, WebSocket, quiet, serve, soon, until

TIMEOUT = 0.4


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with redis_servers.standalone(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def settings(valkey: Valkey) -> Redis:
    return redis_servers.settings(valkey, timeout=TIMEOUT)


def counting(settings: Redis) -> Any:
    counts: Counter[str] = Counter()
    manager = ClusterManager(settings, lambda what: counts.update([what]))
    manager.counts = counts
    return manager


@asynccontextmanager
async def cluster(settings: Redis, nodes: int = 2, **options: Any) -> AsyncIterator[list[Site]]:
    async with AsyncExitStack() as stack:
        options.setdefault("namespaces", "*")
        servers = [quiet(client_manager=counting(settings), **options) for _ in range(nodes)]
        yield [await stack.enter_async_context(serve(server)) for server in servers]


async def client(site: Site, namespace: str = "/") -> tuple[WebSocket, str]:
    socket = await site.websocket()
    return socket, (await socket.join(namespace))["sid"]


def events(*texts: str) -> list[str]:
    return [f"42{text}" for text in texts]


async def received(socket: WebSocket, number: int) -> list[Any]:
    return [await socket.receive() for _ in range(number)]


async def test_a_session_that_was_recovered_elsewhere_is_told_to_the_others(
    settings: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[tuple[int, str, str]] = []
    async with cluster(settings, 3) as sites:
        for number, site in enumerate(sites):

            async def replaced(sid: str, namespace: str, number: int = number) -> None:
                heard.append((number, sid, namespace))

            monkeypatch.setattr(site.server, "replaced", replaced)
        sites[0].server.manager.replaced("abc", "/lobby")
        await until(lambda: len(heard) == 2)
        await sites[1].server.emit("anything")  # nothing more comes in between
        assert sorted(heard) == [(1, "abc", "/lobby"), (2, "abc", "/lobby")]


async def test_everybody_a_room_and_one(settings: Redis) -> None:
    async with cluster(settings, 3) as sites:
        (a, a_sid), (b, b_sid), (c, c_sid) = [await client(site) for site in sites]
        one, two, three = [site.server for site in sites]
        await one.emit("all", 1)
        await three.emit("others", ("x", {"y": 2}), skip_sid=[b_sid])
        await one.enter_room(b_sid, "room")  # a client of another node
        await two.enter_room(b_sid, 7)
        await one.emit("room", to="room")
        await three.emit("seven", to=7)
        await one.emit("both", to=["room", a_sid])
        await one.emit("far", b"\x00\xff", to=c_sid)
        await two.leave_room(b_sid, "room")
        await one.emit("nobody", to="room")
        await two.enter_room(a_sid, "closed")
        # what several nodes tell comes in no order
        await until(lambda: "closed" in one.manager.rooms["/"])
        await three.close_room("closed")
        await until(lambda: "closed" not in one.manager.rooms["/"])
        await one.emit("nobody", to="closed")
        for site in sites:
            await site.server.emit("end")
        mine = ['["all",1]', '["others","x",{"y":2}]', '["both"]', *['["end"]'] * 3]
        assert sorted(await received(a, 6)) == sorted(events(*mine))
        mine = ['["all",1]', '["room"]', '["seven"]', '["both"]', *['["end"]'] * 3]
        assert sorted(await received(b, 7)) == sorted(events(*mine))
        assert sorted(map(str, await received(c, 7))) == sorted(
            map(
                str,
                [
                    *events('["all",1]', '["others","x",{"y":2}]', *['["end"]'] * 3),
                    '451-["far",{"_placeholder":true,"num":0}]',
                    b"\x00\xff",
                ],
            )
        )
        for site in sites:
            assert site.server.manager.counts.keys() == {"heard"}


async def test_what_is_for_a_client_of_this_node_is_told_nobody(settings: Redis) -> None:
    async with cluster(settings) as (here, there):
        (near, near_sid), (_, far_sid) = await client(here), await client(there)
        for number in range(10):
            await here.server.emit("near", number, to=near_sid)
        await here.server.emit("far", to=far_sid)
        await received(near, 10)
        await until(lambda: there.server.manager.counts["heard"])
        assert there.server.manager.counts == {"heard": 1}
        assert here.server.manager.counts == {}


async def test_calls(settings: Redis) -> None:
    async with cluster(settings) as (here, there):
        (near, near_sid), (far, far_sid) = await client(here), await client(there)
        for socket, sid in ((near, near_sid), (far, far_sid)):
            for answer, result in (('["yes"]', "yes"), ("[]", None), ("[1,2]", (1, 2))):
                call = asyncio.ensure_future(here.server.call("question", 5, to=sid))
                packet = str(await socket.receive())
                number = packet.removeprefix("42").removesuffix('["question",5]')
                await socket.send(f"43{number}{answer}")
                assert await soon(call) == result
        call = asyncio.ensure_future(here.server.call("question", to=far_sid))
        number = str(await far.receive()).removeprefix("42").removesuffix('["question"]')
        await far.send(f'461-{number}[{{"_placeholder":true,"num":0}}]')
        await far.send(b"\x00\x01")
        assert await soon(call) == b"\x00\x01"
        with pytest.raises(socketio.exceptions.TimeoutError):
            await here.server.call("question", to=far_sid, timeout=0.05)
        with pytest.raises(ValueError, match="broadcast"):
            await here.server.call("question")
        assert_no_acks(here, there)


def assert_no_acks(*sites: Site) -> None:
    for site in sites:
        manager = site.server.manager
        assert (manager._acks, manager._ack_of) == ({}, {})
        assert not any(sid not in manager.rooms["/"][None] for sid in manager.callbacks)


async def test_a_callback_for_a_room_is_its_first_ack(settings: Redis) -> None:
    async with cluster(settings) as (here, there):
        clients = [await client(site) for site in (here, there, there)]
        for _, sid in clients:
            await here.server.enter_room(sid, "room")
        answers: list[Any] = []
        await here.server.emit("question", to="room", callback=lambda *args: answers.append(args))
        for number, (socket, _) in enumerate(clients):
            packet = str(await socket.receive())
            await socket.send(f"43{packet.removeprefix('42').split('[')[0]}[{number}]")
        await until(lambda: answers)
        await here.server.emit("end")
        await received(clients[2][0], 1)
        assert len(answers) == 1
        assert_no_acks(here, there)
        for room in (None, ["room"]):
            with pytest.raises(ValueError, match="callback"):
                await here.server.emit("question", to=room, callback=print)


async def test_an_async_callback(settings: Redis) -> None:
    async with cluster(settings) as (here, there):
        far, far_sid = await client(there)
        done = asyncio.Event()

        async def answered(answer: str) -> None:
            async with asyncio.timeout(PATIENCE):  # what only a task can use
                await asyncio.sleep(0)
            done.set()

        await here.server.emit("question", to=far_sid, callback=answered)
        await far.receive()
        await far.send('431["x"]')
        await soon(done.wait())


async def test_acks_that_never_come_are_bounded(
    settings: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus, "ACKS", 5)
    async with cluster(settings) as (here, _):
        manager = here.server.manager
        for _ in range(20):
            await here.server.emit("question", to="nobody", callback=lambda: None)
        assert len(manager._acks) == len(manager._ack_of) == 5
        assert manager.counts == {"unanswered": 15}
        assert manager.callbacks == {}


async def test_disconnecting(settings: Redis) -> None:
    async with cluster(settings) as (here, there):
        ends: list[Any] = []
        there.server.on("disconnect", lambda sid, reason: ends.append((sid, reason)))
        far, far_sid = await client(there)
        room, room_sid = await client(there, "/room")
        await here.server.disconnect(far_sid)
        assert await far.receive() == "41"
        await here.server.disconnect(room_sid, namespace="/room")
        assert await room.receive() == "41/room,"
        await until(lambda: ends == [(far_sid, "server disconnect")])
        await here.server.disconnect("nobody")


async def test_a_handler_that_takes_its_time_makes_nobody_deaf(settings: Redis) -> None:
    async with cluster(settings) as (here, there):
        leave = asyncio.Event()

        async def disconnect(sid: str, reason: str) -> None:
            await leave.wait()

        there.server.on("disconnect", disconnect)
        slow, slow_sid = await client(there)
        other, _ = await client(there)
        await here.server.disconnect(slow_sid)
        assert await slow.receive() == "41"
        await here.server.emit("still heard")
        assert await other.receive() == '42["still heard"]'
        leave.set()


async def test_handlers_are_bounded(settings: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bus, "TASKS", 2)
    async with cluster(settings) as (here, there):
        leave, running = asyncio.Event(), []

        async def disconnect(sid: str, reason: str) -> None:
            running.append(sid)
            await leave.wait()

        there.server.on("disconnect", disconnect)
        clients = [await client(there) for _ in range(4)]
        for _, sid in clients:
            await here.server.disconnect(sid)
        await until(lambda: len(running) == 2)
        assert there.server.manager.counts["heard"] == 2
        leave.set()
        await until(lambda: len(running) == 4)


@pytest.mark.parametrize("kind", ["async", "threads"])
async def test_a_program_outside(valkey: Valkey, kind: str) -> None:
    """With the default channel, as its author would write it."""
    settings = Redis(url=valkey.tcp_url, timeout=TIMEOUT)
    assert settings.prefix == "sioserver"
    async with cluster(settings) as (here, there):
        (near, near_sid), (far, _) = await client(here), await client(there, "/room")

        if kind == "async":
            outside = socketio.AsyncRedisManager(valkey.tcp_url, write_only=True)
            await outside.emit("all", {"n": 1})
            await outside.emit("binary", (b"\x00", "x"), namespace="/room")
            await outside.enter_room(near_sid, "/", "room")
            await outside.emit("room", None, to="room")
            await outside.can_disconnect(near_sid, "/")  # its disconnect() needs a server
            await outside.redis.aclose()
        else:
            plain = socketio.RedisManager(valkey.tcp_url, write_only=True)

            def story() -> None:
                plain.emit("all", {"n": 1})
                plain.emit("binary", (b"\x00", "x"), namespace="/room")
                plain.enter_room(near_sid, "/", "room")
                plain.emit("room", None, to="room")
                plain.redis.close()

            await asyncio.to_thread(story)
        assert await received(near, 2) == events('["all",{"n":1}]', '["room"]')
        if kind == "async":
            assert await near.receive() == "41"
        assert await received(far, 2) == [
            '451-/room,["binary",{"_placeholder":true,"num":0},"x"]',
            b"\x00",
        ]


def test_channels() -> None:
    assert bus.names("sioserver") == ("socketio", "socket.io")
    assert bus.names("other") == ("other", "other")


async def test_clusters_on_one_redis_are_apart(valkey: Valkey) -> None:
    one, two = (redis_servers.settings(valkey) for _ in range(2))
    async with cluster(one, 1) as (here,), cluster(two, 1) as (there,):
        near, _ = await client(here)
        far, _ = await client(there)
        await here.server.emit("one")
        outside = socketio.AsyncRedisManager(valkey.tcp_url, channel=two.prefix, write_only=True)
        await outside.emit("two", None)
        await outside.redis.aclose()
        assert await near.receive() == '42["one"]'
        assert await far.receive() == '42["two"]'


async def test_what_is_not_well_formed_is_ignored(
    settings: Redis, valkey: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    async with cluster(settings, 1) as (site,):
        socket, sid = await client(site)
        good = {"method": "emit", "event": "e", "data": ["x"], "host_id": "h"}
        bad: list[bytes] = [
            b"\x80\x04\x95.",
            b"nonsense",
            json.dumps(good | {"event": "connect"}).encode(),
            json.dumps(good | {"data": 5}).encode(),
            json.dumps({"method": "close_room", "room": sid}).encode(),
            json.dumps({"method": "enter_room", "sid": sid, "room": [1]}).encode(),
            # too many attachments for any client
            json.dumps(
                good
                | {
                    "binary": True,
                    "data": [[{"_placeholder": True, "num": n} for n in range(20)], *["eA=="] * 20],
                }
            ).encode(),
        ]
        for payload in bad:
            ask(valkey, "PUBLISH", settings.prefix, payload)
        harmless = [
            {"method": "disconnect", "sid": "nobody"},
            {"method": "enter_room", "sid": "nobody", "room": "r", "namespace": "/none"},
            {"method": "callback", "sid": sid, "id": 1, "args": [], "host_id": "somebody"},
            good | {"namespace": "/none"},
            good | {"callback": ["r", "/", 1], "room": "nobody"},
        ]
        for message in [*harmless, good]:
            ask(valkey, "PUBLISH", settings.prefix, json.dumps(message))
        assert await socket.receive() == '42["e","x"]'
        assert site.server.manager.counts == {"ignored": len(bad), "heard": len(harmless)}
        warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
        assert len(warnings) == 1, caplog.text


async def test_no_message_is_larger_than_everybody_can_bear(
    settings: Redis, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus, "LARGEST", 300_000)
    async with cluster(settings, max_http_buffer_size=100_000) as (here, there):
        far, _ = await client(there)
        with pytest.raises(ValueError, match="too many to tell the other nodes"):
            await here.server.emit("e", "x" * 300_000)
        message = {"method": "emit", "event": "e", "data": ["x" * 300_200]}
        ask(valkey, "PUBLISH", settings.prefix, json.dumps(message))
        await here.server.emit("e", "x" * 200_000)
        assert len(str(await far.receive())) == 200_000 + len('42["e",""]')
        assert there.server.manager.counts == {"ignored": 1, "heard": 1}


# ---------------------------------------------------------------------------- signed


SECRET = "a secret of the bus that has 32 bytes"
EMIT = json.dumps({"method": "emit", "event": "e", "data": ["x"], "host_id": "h"}).encode()


@pytest.fixture
def signed(valkey: Valkey) -> Redis:
    return redis_servers.settings(valkey, timeout=TIMEOUT, bus_secret=SECRET)


async def test_nodes_that_share_a_secret_understand_each_other(signed: Redis) -> None:
    async with cluster(signed) as (here, there):
        (near, near_sid), (far, far_sid) = await client(here), await client(there)
        call = asyncio.ensure_future(here.server.call("question", to=far_sid))
        await far.receive()
        await far.send("431[7]")
        assert await soon(call) == 7
        await here.server.enter_room(far_sid, "room")
        await here.server.emit("event", b"\x00", to="room")
        assert await received(far, 2) == ['451-["event",{"_placeholder":true,"num":0}]', b"\x00"]
        await there.server.disconnect(near_sid)
        assert await near.receive() == "41"
        for site in (here, there):
            assert site.server.manager.counts.keys() == {"heard"}


async def test_what_is_not_believed_is_counted_and_not_done(
    signed: Redis, valkey: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    async with cluster(signed, 1) as (site,):
        socket, sid = await client(site)
        channel, now = signed.prefix, time.time()
        good = Signatures(SECRET, sender="good", clock=time.time)
        early = Signatures(SECRET, sender="early", clock=lambda: now - SKEW - 10)
        other = Signatures("another secret that has 32 bytes too", sender="o", clock=time.time)
        once = good.sign(channel, EMIT)
        kick = json.dumps({"method": "disconnect", "sid": sid}).encode()
        for payload in (
            EMIT,
            kick,
            b"junk",
            other.sign(channel, kick),
            good.sign("elsewhere", kick),
            early.sign(channel, kick),
            once,
            once,
            good.sign(channel, b"[]"),
        ):
            ask(valkey, "PUBLISH", channel, payload)
        ask(valkey, "PUBLISH", f"{channel}#/#", b"from a Node program, as it is")
        ask(valkey, "PUBLISH", channel, good.sign(channel, EMIT.replace(b"x", b"end")))
        assert await received(socket, 2) == events('["e","x"]', '["e","end"]')
        expected = {"unsigned": 4, "forged": 2, "stale": 1, "replayed": 1, "ignored": 1, "heard": 2}
        assert site.server.manager.counts == expected
        warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
        assert len(warnings) == 1, caplog.text
        assert SECRET not in caplog.text


@pytest.mark.parametrize("kind", ["async", "threads"])
async def test_a_program_outside_that_signs(signed: Redis, valkey: Valkey, kind: str) -> None:
    options = {"channel": signed.prefix, "write_only": True}
    options["json"] = SignedJSON(SECRET, signed.prefix)
    async with cluster(signed) as (here, there):
        (near, _), (far, _) = await client(here), await client(there)
        if kind == "async":
            outside = socketio.AsyncRedisManager(valkey.tcp_url, **options)
            for number in range(3):
                await outside.emit("é", {"n": number})
            await outside.redis.aclose()
        else:
            plain = socketio.RedisManager(valkey.tcp_url, **options)

            def story() -> None:
                for number in range(3):
                    plain.emit("é", {"n": number})
                plain.redis.close()

            await asyncio.to_thread(story)
        for socket in (near, far):
            assert await received(socket, 3) == events(*[f'["é",{{"n":{n}}}]' for n in range(3)])


async def test_a_secret_is_changed_one_node_after_the_other(valkey: Valkey) -> None:
    """Believed first, then signed with, then the old one forgotten: nobody is deaf in between."""
    prefix, new = f"t{secrets.token_hex(4)}", "the secret that comes after it, 32 bytes"
    steps = [(SECRET, []), (SECRET, [new]), (new, [SECRET]), (new, [])]
    for before, after in itertools.pairwise(steps):
        async with AsyncExitStack() as stack:
            sites = []
            for secret, old in (before, after):
                settings = redis_servers.settings(
                    valkey, prefix=prefix, bus_secret=secret, old_bus_secrets=old
                )
                server = quiet(client_manager=counting(settings), namespaces="*")
                sites.append(await stack.enter_async_context(serve(server)))
            (near, _), (far, _) = await client(sites[0]), await client(sites[1])
            await sites[0].server.emit("a")
            assert await far.receive() == '42["a"]'
            assert await near.receive() == '42["a"]'
            await sites[1].server.emit("b")
            assert await near.receive() == '42["b"]'


async def test_what_was_published_twice_is_heard_once(
    settings: Redis, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus, "HOSTS", 2)
    async with cluster(settings, 1) as (site,):
        socket, _ = await client(site)
        story = [("a", 1), ("a", 2), ("a", 1), ("a", 2), ("b", 1), ("a", 3), ("a", 2), ("", 0)]
        story += [("", 0), ("c", 1), ("d", 1), ("d", 1)]
        for host, number in story:
            message = {"method": "emit", "event": "e", "data": [host, number]}
            message |= {"host_id": host, "n": number}
            ask(valkey, "PUBLISH", settings.prefix, json.dumps(message))
        heard = [json.loads(str(packet)[2:])[1:] for packet in await received(socket, 8)]
        assert heard == [
            *(["a", 1], ["a", 2], ["b", 1], ["a", 3]),
            *(["", 0], ["", 0], ["c", 1], ["d", 1]),
        ]
        assert len(site.server.manager._last_heard) == 2


async def test_redis_is_away(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Clients of this node get everything; who waits for another node's is told at once."""
    caplog.set_level(logging.INFO)
    with redis_servers.standalone(tmp_path) as server:
        settings = redis_servers.settings(server, timeout=TIMEOUT)
        async with cluster(settings) as (here, there):
            (near, near_sid), (far, far_sid) = await client(here), await client(there)
            await here.server.emit("before")
            assert await near.receive() == await far.receive() == '42["before"]'
            server.kill()
            caplog.clear()
            await here.server.emit("here only")
            assert await near.receive() == '42["here only"]'
            call = asyncio.ensure_future(here.server.call("question", to=near_sid))
            assert await near.receive() == '421["question"]'
            await near.send('431["yes"]')
            assert await soon(call) == "yes"
            begin = asyncio.get_running_loop().time()
            with pytest.raises(ConnectionError, match="the other nodes"):
                await here.server.call("question", to=far_sid)
            assert asyncio.get_running_loop().time() - begin < TIMEOUT + 2
            await here.server.enter_room(far_sid, "room")
            await here.server.disconnect(far_sid)
            await here.server.close_room("room")
            assert here.server.manager.counts["lost"] == 5
            assert caplog.text.count("other nodes are not told") == 1
            assert_no_acks(here, there)
            warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
            assert len(warnings) <= 8, caplog.text  # a word or two for each of four connections
            server.start()
            for site in (here, there):
                await until(lambda site=site: site.server.manager.counts["reconnected"] == 1)
            counts = here.server.manager.counts
            async with asyncio.timeout(PATIENCE):
                lost = -1
                while counts["lost"] != lost:  # the two connections come back one after the other
                    lost = counts["lost"]
                    await here.server.emit("after")
            assert await far.receive() == '42["after"]'


async def test_nothing_is_left_when_it_stops(settings: Redis) -> None:
    before = asyncio.all_tasks()
    async with cluster(settings) as (here, there):
        socket, sid = await client(there)
        await here.server.emit("x")
        await socket.receive()
        await here.server.disconnect(sid)
    await until(lambda: asyncio.all_tasks() == before)


async def test_without_an_application_it_begins_with_the_first_client(settings: Redis) -> None:
    server = quiet(client_manager=counting(settings), namespaces="*")
    other = sioserver.AsyncServer(client_manager=counting(settings))
    async with serve(server.eio) as site:  # not its own attach
        try:
            assert not server.manager._feed.hearing
            site.path = "socket.io"
            socket, _ = await client(site)
            await until(lambda: server.manager._feed.hearing)
            await other.manager.start()
            await other.emit("x")
            assert await socket.receive() == '42["x"]'
        finally:
            await server.manager.stop()
            await other.manager.stop()


async def test_a_handler_that_hangs_does_not_keep_it_from_stopping(
    settings: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus, "STOP_GRACE", 0.05)
    manager = counting(settings)
    quiet(client_manager=manager)
    await manager.start()
    stuck = asyncio.ensure_future(asyncio.Event().wait())
    manager._keep(stuck)
    await soon(manager.stop())
    assert stuck.cancelled()


async def test_a_failure_of_a_handler_is_logged(
    settings: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    async with cluster(settings) as (here, there):
        far, far_sid = await client(there)

        def answered(*_: Any) -> None:
            raise RuntimeError("of the callback")

        await here.server.emit("question", to=far_sid, callback=answered)
        await far.receive()
        await far.send("431[]")
        await until(lambda: "of the callback" in caplog.text)
        await here.server.emit("x")
        assert await far.receive() == '42["x"]'


# ---------------------------------------------------------------------------- rooms


@asynccontextmanager
async def rooms(settings: Redis, nodes: int = 2) -> AsyncIterator[list[tuple[Any, Site]]]:
    """Whole servers that share a Redis. Nobody is told who comes and goes."""
    async with AsyncExitStack() as stack:
        served = []
        for _ in range(nodes):
            app = create_app(Config(presence=Presence(batch=60), redis=settings))
            served.append((app, await stack.enter_async_context(running(app))))
        yield served


@asynccontextmanager
async def running(app: web.Application) -> AsyncIterator[Site]:
    class Attached:
        eio = app[SERVER].eio

        def attach(self, outer: web.Application, path: str) -> None:
            outer.add_subapp("/sub", app)

    async with serve(Attached(), "sub/socket.io") as site:
        yield site


async def entered(site: Site, room: str, user: str) -> tuple[WebSocket, str]:
    socket = await site.websocket()
    answer = await socket.join(f"/{room}", {"user": user})
    welcome = str(await socket.receive())
    assert '"welcome"' in welcome
    return socket, answer["sid"]


async def test_rooms_across_nodes(settings: Redis) -> None:
    async with rooms(settings) as ((one, here), (two, there)):
        near, _ = await entered(here, "lounge", "ann")
        far, far_sid = await entered(there, "lounge", "bob")
        server = one[SERVER]
        await server.emit("deployed", {"version": 7}, namespace="/lounge")
        for socket in (near, far):
            assert await socket.receive() == '42/lounge,["deployed",{"version":7}]'
        call = asyncio.ensure_future(server.call("question", to=far_sid, namespace="/lounge"))
        number = str(await far.receive()).removeprefix("42/lounge,").split("[")[0]
        await far.send(f'43/lounge,{number}["yes"]')
        assert await soon(call) == "yes"
        await server.enter_room(far_sid, "corner", namespace="/lounge")
        await server.emit("corner", [1], room="corner", namespace="/lounge")
        assert await far.receive() == '42/lounge,["corner",[1]]'
        await server.disconnect(far_sid, namespace="/lounge")
        assert '"code":"kicked"' in str(await far.receive())
        assert await far.receive() == "41/lounge,"
        await server.disconnect("nobody", namespace="/lounge")
        await server.disconnect("nobody", namespace="/lounge", ignore_queue=True)
        metrics = two[METRICS]
        await until(lambda: metrics.bus["heard"] == 6)
        assert set(metrics.bus) == {*BUS, "other"}
        assert metrics.bus["other"] == 0


@pytest.mark.parametrize(
    ("data", "wire"),
    [
        (None, '0["named"]'),
        ("text", '0["named","text"]'),
        ((1, "1.5"), '0["named",1,"1.5"]'),
        (("text", 1), '["named","text",1]'),
        (["text"], '["named",["text"]]'),
    ],
    ids=repr,
)
async def test_no_event_ends_with_what_clients_take_for_a_position(
    settings: Redis, data: Any, wire: str
) -> None:
    """Stock clients keep the last string of an event, be it its name, to recover from; but not of
    one that is to be acknowledged."""
    async with rooms(settings) as ((one, here), (_, there)):
        near, near_sid = await entered(here, "lounge", "ann")
        far, _ = await entered(there, "lounge", "bob")
        server = one[SERVER]
        await server.emit("named", data, namespace="/lounge")
        await server.emit("named", data, to=near_sid, namespace="/lounge")
        for socket, times in ((near, 2), (far, 1)):
            for _ in range(times):
                assert await socket.receive() == f"42/lounge,{wire}"
            await socket.send('43/lounge,0["as python-socketio clients do"]')  # nobody waits for it
            await socket.send('42/lounge,1["history"]')
            assert str(await socket.receive()).startswith('43/lounge,1[{"ok":true')


async def test_python_clients_get_just_the_arguments(settings: Redis) -> None:
    async with rooms(settings, 1) as ((app, site),):
        heard: list[Any] = []
        url = f"{site.origin}/sub"
        async with RoomClient(
            url,
            "lounge",
            user="ann",
            path="sub/socket.io",
            on_event=lambda *args: heard.append(args),
        ):
            for data in ("text", None, (1, "1.5")):
                await app[SERVER].emit("named", data, namespace="/lounge")
            await until(lambda: len(heard) == 4)
            assert heard[1:] == [("named", "text"), ("named",), ("named", 1, "1.5")]
