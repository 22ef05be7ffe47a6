"""Rooms on Socket.IO, from outside: a real server in this process, and clients on the raw wire.

Where frames and their order matter the client below shows every packet; otherwise it is
python-socketio's.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any
from unittest.mock import ANY

import aiohttp
import jwt
import msgspec
import pytest
import socketio
from aiohttp import web
from socketio import packet as stock

from sioserver import wire
from sioserver.app import METRICS, NODE, ROOMS, SERVER, create_app
from sioserver.config import Config
from sioserver.connections import draining
from sioserver.connections.recovery import Claim
from sioserver.engine import create_engine
from sioserver.engine.embedded import EmbeddedEngine
from sioserver.errors import REFUSALS, Refusal
from sioserver.hub import Hub
from sioserver.metrics import Metrics
from sioserver.model import Event, Revocation
from sioserver.timers import Deadline
from sioserver.transport import sessions as sessions_module
from sioserver.transport.namespace import RoomServer
from sioserver.transport.packet import Packet

from ..fakes import StagedEngine
from .kit import until

PATIENCE = 20.0
"""Seconds until a test gives up waiting for something that has to come."""
SECRET = "a secret of more than thirty-two bytes"
MANUALLY = {"grace": 1000.0, "batch": 3600.0, "away_after": 0.0}
"""Presence is told when the test calls the engine's sweep."""

TRANSPORTS = ("websocket", "polling")


# ---------------------------------------------------------------------------- the server


def configured(**sections: dict[str, Any]) -> Config:
    """A configuration for tests: quick, in memory."""
    usual: dict[str, dict[str, Any]] = {
        "store": {"path": ":memory:"},
        "presence": {"grace": 0.05, "batch": 0.02},
        "delivery": {"confirm": 0.01},
        "drain": {"seconds": 0.0},
    }
    for name, values in sections.items():
        usual[name] = {**usual.get(name, {}), **values}
    return msgspec.convert(usual, Config)


class Running:
    """A server and what a test looks at inside of it."""

    def __init__(self, config: Config, engine: EmbeddedEngine) -> None:
        self.config = config
        self.engine = engine
        self.app = create_app(config, engine=engine)
        self.server: RoomServer = self.app[SERVER]
        self.metrics: Metrics = self.app[METRICS]
        self.hub: Hub = self.app[NODE]._hub
        self.runner = web.AppRunner(self.app, access_log=None, shutdown_timeout=1.0)
        self.url = ""
        self.clients: list[Client] = []
        self.http: aiohttp.ClientSession

    async def start(self, small_buffers: bool = False) -> None:
        await self.runner.setup()
        sock = socket.socket()
        if small_buffers:  # accepted connections inherit it
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
        sock.bind(("127.0.0.1", 0))
        await web.SockSite(self.runner, sock).start()
        self.url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        self.http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))

    async def stop(self) -> None:
        for client in self.clients:
            await client.cut()
        await self.runner.cleanup()
        await self.http.close()

    async def open(self, transport: str = "websocket", **options: Any) -> Client:
        """A new connection that has joined nothing yet."""
        client = Client(self, transport, **options)
        self.clients.append(client)
        await client.open()
        return client

    async def enter(
        self, user: str | None = None, room: str = "/", transport: str = "websocket", **auth: Any
    ) -> Client:
        """A new connection that has joined a room and read its welcome."""
        client = await self.open(transport)
        answer = await client.connect(room, {**({"user": user} if user else {}), **auth})
        assert answer.packet_type == stock.CONNECT, answer.data
        await client.event("welcome", room)
        return client

    async def sweep(self, later: float = 0.0) -> None:
        for chore in self.app[NODE].chores:
            chore(time.time() + later)
        await self.engine.sweep(time.time() + later)

    def expiry(self, client: Client, room: str) -> Deadline:
        """What waits for the end of a client's token."""
        deadline = self.server._connections[client.sid].clients[room].expiry
        assert deadline is not None
        return deadline

    def assert_empty(self) -> None:
        """Nothing is left of any client."""
        manager = self.server.manager
        assert len(self.hub) == 0
        assert self.server._connections == {}
        assert manager.rooms == {}
        assert manager._namespaces == {}
        assert manager._entered == {}
        assert manager._connecting == set()
        assert manager._leaving == set()
        assert manager.callbacks == {}
        assert self.server.eio.sockets == {}
        assert not any(self.metrics.connections.values())
        assert self.metrics.clients == 0
        assert not any(
            person.devices
            for crowd in self.engine._presence._crowds.values()
            for person in crowd.people.values()
        )


Serve = Callable[..., Awaitable[Running]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """`await serve(section={key: value})` starts a server; in the end nothing may be left in it."""
    started: list[Running] = []

    async def start(small_buffers: bool = False, **sections: dict[str, Any]) -> Running:
        config = configured(**sections)
        engine = create_engine(config)
        assert isinstance(engine, EmbeddedEngine)
        running = Running(config, engine)
        started.append(running)
        await running.start(small_buffers)
        return running

    yield start
    for running in started:
        await running.stop()
        running.assert_empty()


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# ---------------------------------------------------------------------------- the client


class Client:
    """A Socket.IO client that shows every packet in the order in which they came."""

    def __init__(
        self,
        running: Running,
        transport: str,
        *,
        pongs: bool = True,
        polls: bool = True,
        headers: dict[str, str] | None = None,
        query: str = "",
    ) -> None:
        self.running = running
        self.query = query
        self.transport = transport
        self.pongs = pongs
        self.polls = polls
        self.headers = headers or {}
        self.sid = ""
        self.packets: list[Packet] = []
        self.taken = 0
        self.pings = 0
        self.ended = False
        self.close_code: int | None = None
        self._partial: Packet | None = None
        self._acks = 0
        self._changed = asyncio.Event()
        self._posting = asyncio.Lock()
        self._reader: asyncio.Task[None] | None = None
        self.ws: aiohttp.ClientWebSocketResponse | None = None

    @property
    def address(self) -> str:
        sid = f"&sid={self.sid}" if self.sid else ""
        return f"{self.running.url}/socket.io/?EIO=4&transport={self.transport}{sid}{self.query}"

    # ------------------------------------------------------------ the transport

    async def open(self) -> None:
        if self.transport == "polling":
            await self.poll()
            if self.polls:
                self._reader = asyncio.create_task(self._poll_on())
            return
        self.ws = await self.running.http.ws_connect(
            self.address, headers=self.headers, max_msg_size=0
        )
        self._reader = asyncio.create_task(self._read(self.ws))
        await self.until(lambda: self.sid)

    async def _read(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        while True:
            message = await ws.receive()
            if message.type is aiohttp.WSMsgType.TEXT:
                await self._on_text(message.data)
            elif message.type is aiohttp.WSMsgType.BINARY:
                self._on_binary(message.data)
            else:
                break
        if message.type is aiohttp.WSMsgType.CLOSE:
            self.close_code = message.data
        self._end()

    async def _poll_on(self) -> None:
        while not self.ended:
            await self.poll()

    async def poll(self) -> None:
        """Fetch what waits, or wait for the next."""
        async with self.running.http.get(self.address, headers=self.headers) as answer:
            if answer.status != 200:
                self._end()
                return
            body = await answer.text()
        for text in body.split("\x1e"):
            if text[0] == "b":
                self._on_binary(base64.b64decode(text[1:]))
            else:
                await self._on_text(text)

    async def _on_text(self, text: str) -> None:
        kind, rest = text[0], text[1:]
        if kind == "0":
            self.sid = json.loads(rest)["sid"]
        elif kind == "1":
            self._end()
        elif kind == "2":
            self.pings += 1
            if self.pongs:
                await self.send("3")
        elif kind == "4":
            packet = Packet(encoded_packet=rest)
            if packet.attachment_count:
                self._partial = packet
            else:
                self.packets.append(packet)
        self._changed.set()

    def _on_binary(self, data: bytes) -> None:
        assert self._partial is not None
        if self._partial.add_attachment(data):
            self.packets.append(self._partial)
            self._partial = None
        self._changed.set()

    def _end(self) -> None:
        self.ended = True
        self._changed.set()

    async def send(self, *packets: str | bytes) -> None:
        """Engine.IO packets."""
        if self.transport == "websocket":
            assert self.ws is not None
            for packet in packets:
                if isinstance(packet, str):
                    await self.ws.send_str(packet)
                else:
                    await self.ws.send_bytes(packet)
            return
        texts = [
            packet if isinstance(packet, str) else "b" + base64.b64encode(packet).decode()
            for packet in packets
        ]
        async with (
            self._posting,
            self.running.http.post(
                self.address, data="\x1e".join(texts), headers=self.headers
            ) as answer,
        ):
            assert answer.status == 200, await answer.text()

    async def upgrade(self) -> None:
        """From polling to a WebSocket."""
        assert self.transport == "polling"
        assert not self.polls
        self.transport = "websocket"
        ws = await self.running.http.ws_connect(self.address, max_msg_size=0)
        await ws.send_str("2probe")
        assert (await ws.receive_str()) == "3probe"
        await ws.send_str("5")
        self.ws = ws
        self._reader = asyncio.create_task(self._read(ws))

    async def cut(self) -> None:
        """Be gone: without a word, where the server can notice it at once."""
        if self._reader is not None:
            self._reader.cancel()
            with suppress(asyncio.CancelledError):
                await self._reader
            self._reader = None
        if self.ws is not None:
            tcp = self.ws._writer.transport
            if tcp is not None:
                tcp.abort()
            self.ws = None
        elif self.sid and not self.ended:
            # nobody can see that no further poll will come
            await self.running.http.post(self.address, data="1", headers=self.headers)
        self._end()

    # ------------------------------------------------------------ packets

    async def until(self, condition: Callable[[], object]) -> Any:
        """Wait until the condition holds; what it returned."""
        async with asyncio.timeout(PATIENCE):
            while not (result := condition()):
                assert not self.ended, f"the connection has ended: {self.log[-3:]}"[:1000]
                self._changed.clear()
                await self._changed.wait()
        return result

    async def gone(self) -> None:
        """Wait for the end of the connection."""
        async with asyncio.timeout(PATIENCE):
            while not self.ended:
                self._changed.clear()
                await self._changed.wait()

    async def write(
        self, kind: int, namespace: str, data: Any = None, id: int | None = None
    ) -> None:
        """Send a Socket.IO packet."""
        encoded = stock.Packet(kind, data, namespace=namespace, id=id).encode()
        parts = encoded if isinstance(encoded, list) else [encoded]
        await self.send(*("4" + part if isinstance(part, str) else part for part in parts))

    async def answer(self, kinds: tuple[int, ...], namespace: str, **fields: Any) -> Packet:
        """Wait for a packet of one of these kinds that has not been taken by this method."""
        for_me: list[Packet] = await self.until(
            lambda: [
                packet
                for packet in self.packets
                if packet.packet_type in kinds
                and (packet.namespace or "/") == namespace
                and all(getattr(packet, name) == value for name, value in fields.items())
                and not hasattr(packet, "seen")
            ]
        )
        for_me[0].seen = True
        return for_me[0]

    async def connect(self, namespace: str = "/", auth: Any = None) -> Packet:
        """Join; returns the CONNECT or the CONNECT_ERROR."""
        await self.write(stock.CONNECT, namespace, auth)
        return await self.answer((stock.CONNECT, stock.CONNECT_ERROR), namespace)

    async def refused(self, namespace: str = "/", auth: Any = None) -> dict[str, Any]:
        """Join in vain; returns the error's data."""
        packet = await self.connect(namespace, auth)
        assert packet.packet_type == stock.CONNECT_ERROR, packet.data
        assert packet.data["message"] == packet.data["data"]["message"]
        error: dict[str, Any] = packet.data["data"]
        return error

    async def emit(self, name: Any, *args: Any, room: str = "/") -> None:
        await self.write(stock.EVENT, room, [name, *args])

    async def call(self, name: Any, *args: Any, room: str = "/") -> dict[str, Any]:
        """Send an event; returns its ack."""
        self._acks += 1
        id = self._acks
        await self.write(stock.EVENT, room, [name, *args], id)
        packet = await self.answer((stock.ACK, stock.BINARY_ACK), room, id=id)
        assert len(packet.data) == 1
        answer: dict[str, Any] = packet.data[0]
        assert isinstance(answer["ok"], bool)
        return answer

    async def post(self, body: Any, room: str = "/") -> int:
        """Post a message; returns its offset."""
        answer = await self.call("message", body, room=room)
        assert answer["ok"], answer
        return int(answer["offset"])

    async def event(self, name: str, room: str = "/") -> list[Any]:
        """The arguments of the next event of this name that was not returned before."""
        while True:
            packet = await self.answer((stock.EVENT, stock.BINARY_EVENT), room)
            if packet.data[0] == name:
                args: list[Any] = packet.data[1:]
                return args

    def events(self, room: str = "/", *names: str) -> list[list[Any]]:
        """All events so far, in order."""
        return [
            packet.data
            for packet in self.packets
            if packet.packet_type in (stock.EVENT, stock.BINARY_EVENT)
            and (packet.namespace or "/") == room
            and (not names or packet.data[0] in names)
        ]

    def bodies(self, room: str = "/") -> list[Any]:
        """The bodies of all messages so far."""
        return [data[1]["body"] for data in self.events(room, "message")]

    @property
    def log(self) -> list[Any]:
        return [(packet.packet_type, packet.namespace, packet.data) for packet in self.packets]

    async def marker(self, other: Client, room: str = "/") -> None:
        """Everything that was written to this client before has come: `other`, of the same room,
        says something that comes last."""
        body = f"marker {len(self.packets)} {id(self)} {len(other.packets)}"
        await other.post(body, room)
        await self.until(lambda: body in self.bodies(room))


class Spied:
    """Stands in for a method: notes its calls, and may hold them up or make them fail."""

    def __init__(self, owner: object, name: str) -> None:
        self._real = getattr(owner, name)
        self._changed = asyncio.Event()
        self.calls: list[tuple[Any, ...]] = []
        self.done = 0
        self.failure: Exception | None = None
        self.held: asyncio.Event | None = None
        setattr(owner, name, self)

    def __call__(self, *args: Any, **options: Any) -> Any:
        self.calls.append(args)
        self._changed.set()
        if self.failure is not None:
            raise self.failure
        result = self._real(*args, **options)
        return self._finish(result) if asyncio.iscoroutine(result) else result

    async def _finish(self, result: Awaitable[Any]) -> Any:
        if self.held is not None:
            await self.held.wait()
        value = await result
        self.done += 1
        self._changed.set()
        return value

    def hold(self) -> asyncio.Event:
        """Further calls wait until this event is set."""
        self.held = asyncio.Event()
        return self.held

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def called(self, times: int = 1) -> None:
        await self.until(lambda: len(self.calls) >= times)


def error_of(answer: dict[str, Any]) -> dict[str, Any]:
    assert answer["ok"] is False
    assert answer.keys() == {"ok", "error"}
    error: dict[str, Any] = answer["error"]
    assert error["temporary"] is REFUSALS[error["code"]].temporary
    return error


def token(
    user: str = "alice", *, lasts: float = 3600.0, secret: str = SECRET, **claims: Any
) -> str:
    return jwt.encode({"sub": user, "exp": time.time() + lasts, **claims}, secret, "HS256")


# ---------------------------------------------------------------------------- joining


async def test_the_welcome_comes_first_and_says_where_the_client_is(
    serve: Serve, transport: str
) -> None:
    running = await serve(presence=MANUALLY)
    client = await running.open(transport)
    answer = await client.connect("/den", {"user": "alice", "name": "Alice"})
    assert answer.packet_type == stock.CONNECT
    assert answer.data.keys() == {"sid", "pid"}
    assert all(isinstance(text, str) and text for text in answer.data.values())
    welcome, position = await client.event("welcome", "/den")
    assert welcome == {
        "room": "den",
        "user": "alice",
        "name": "Alice",
        "online": 1,
        "total": 1,
        "position": position,
        "recovered": False,
        "unread": 0,
        "read": 0,
        "permissions": ["join", "read", "history", "post"],
        "state": "online",
        "topic": "",
        "slow_mode": 0.0,
        "read_only": False,
    }
    assert position.endswith(".0")
    assert [packet.packet_type for packet in client.packets] == [stock.CONNECT, stock.EVENT]
    assert running.metrics.recoveries["fresh"] == 1
    assert running.metrics.clients == 1


async def test_what_comes_first_comes_first_again_at_every_connect(
    serve: Serve, transport: str
) -> None:
    """The first event carries an offset, or clients could not recover before the first message."""
    running = await serve()
    bob = await running.enter("bob")
    for number in range(3):
        await bob.post(number)
        alice = await running.open(transport)
        await alice.connect("/", {"user": "alice"})
        name, welcome, position = (await alice.until(lambda a=alice: a.events()))[0]
        assert name == "welcome"
        assert welcome["recovered"] is False
        assert isinstance(position, str)


async def test_both_names_of_the_root_room_are_one_room(serve: Serve, transport: str) -> None:
    running = await serve()
    alice = await running.enter("alice", "/", transport)
    bob = await running.enter("bob", "/lobby", transport)
    first = await alice.post("from the root")
    second = await bob.post("from the lobby", "/lobby")
    assert (first, second) == (1, 2)
    await alice.until(lambda: len(alice.bodies()) == 2)
    await bob.until(lambda: len(bob.bodies("/lobby")) == 2)
    assert alice.bodies() == bob.bodies("/lobby") == ["from the root", "from the lobby"]
    # even on one connection: two clients of one room
    await alice.connect("/lobby", {"user": "alice"})
    await alice.event("welcome", "/lobby")
    await alice.post("twice", "/lobby")
    await alice.until(lambda: alice.bodies()[-1] == alice.bodies("/lobby")[-1] == "twice")


async def test_the_root_room_can_be_another(serve: Serve) -> None:
    running = await serve(rooms={"root": "salon"})
    alice = await running.open()
    await alice.connect()
    assert (await alice.event("welcome"))[0]["room"] == "salon"
    assert (await alice.connect("/lobby")).packet_type == stock.CONNECT
    assert (await alice.event("welcome", "/lobby"))[0]["room"] == "lobby"


@pytest.mark.parametrize(
    "room",
    [
        "a b",
        "a#b",
        "a\u202eb",
        "a\x00b",
        "x" * 129,
        "{a}",
        "e\u0301",  # not NFC
        "*",
        "a\\b",
        "@",
        "\U0001f600",
    ],
)
async def test_what_is_no_room_name(serve: Serve, room: str) -> None:
    running = await serve()
    client = await running.open()
    error = await client.refused("/" + room)
    assert error["code"] == "bad_room"
    assert error["temporary"] is False
    assert (await client.connect("/fine")).packet_type == stock.CONNECT  # the connection lives
    assert running.metrics.refusals["bad_room"] == 1


@pytest.mark.parametrize("room", ["søk", "комната:1", "a/b/c", "a.b_c-d", "x" * 128, "Ω", "ราชวงศ์"])
async def test_room_names_of_any_script(serve: Serve, room: str) -> None:
    running = await serve()
    client = await running.enter("alice", "/" + room)
    await client.post("hello", "/" + room)
    assert client.events("/" + room, "welcome")[0][1]["room"] == room


@pytest.mark.parametrize("room", ["@you", "@dm:3:bob:x", "@me/x"])
async def test_reserved_rooms(serve: Serve, room: str) -> None:
    running = await serve()
    client = await running.open()
    error = await client.refused("/" + room)
    assert error == {
        "code": "forbidden",
        "message": "rooms that begin with @ are reserved",
        "temporary": False,
    }


@pytest.mark.parametrize(
    ("auth", "text"),
    [
        ({"user": 7}, "auth.user is a string"),
        ({"name": ["x"]}, "auth.name is a string"),
        ({"token": {}}, "auth.token is a string"),
        ({"user": "a\nb"}, "a user id has visible characters only"),
        ({"user": "guest:me"}, "a user id does not begin with 'guest:'"),
        ({"position": 5}, "auth.position is a string such as the last argument of a message"),
        ({"position": "x"}, "auth.position: a position looks like <epoch>.<offset>"),
    ],
)
async def test_connecting_with_nonsense(
    serve: Serve, transport: str, auth: dict[str, Any], text: str
) -> None:
    running = await serve()
    client = await running.open(transport)
    error = await client.refused("/", auth)
    assert error == {"code": "bad_request", "message": text, "temporary": False}
    assert (await client.connect("/")).packet_type == stock.CONNECT


async def test_rooms_per_connection(serve: Serve, transport: str) -> None:
    running = await serve(limits={"rooms_per_connection": 2})
    client = await running.open(transport)
    await client.connect("/a")
    await client.connect("/b")
    error = await client.refused("/c")
    assert (error["code"], error["temporary"]) == ("too_many", True)
    assert running.metrics.limit_hits["rooms_per_connection"] == 1
    await client.write(stock.DISCONNECT, "/a")
    assert (await client.connect("/c")).packet_type == stock.CONNECT  # there is room again


async def test_connecting_counts_as_an_event(serve: Serve) -> None:
    """A connect costs more than any event: it must not be the way around the limit."""
    running = await serve(limits={"event_rate": 0.001, "event_burst": 1})
    client = await running.open()
    await client.connect("/a")
    error = await client.refused("/b")
    assert error["code"] == "rate_limited"
    assert error["retry_after"] > 1
    assert running.metrics.limit_hits["event_rate"] == 1


async def test_a_client_that_was_refused_everywhere_does_not_stay(serve: Serve) -> None:
    running = await serve(limits={"connect_timeout": 0.5})
    client = await running.open()
    await client.refused("/@you")
    await client.gone()
    assert running.metrics.disconnects["connect_timeout"] == 1
    assert running.metrics.limit_hits["connect_timeout"] == 1


async def test_a_client_that_has_left_every_room_does_not_stay(serve: Serve) -> None:
    running = await serve(limits={"connect_timeout": 0.5})
    client = await running.enter("alice")
    await client.write(stock.DISCONNECT, "/")
    await client.gone()
    assert running.metrics.disconnects["connect_timeout"] == 1


async def test_leaving_and_joining_again_on_one_connection(serve: Serve, transport: str) -> None:
    running = await serve()
    bob = await running.enter("bob")
    alice = await running.enter("alice", "/", transport)
    sids = {packet.data["sid"] for packet in alice.packets if packet.packet_type == stock.CONNECT}
    for _ in range(3):
        await alice.write(stock.DISCONNECT, "/")
        answer = await alice.connect("/", {"user": "alice"})
        sids.add(answer.data["sid"])
        await alice.event("welcome")
    assert len(sids) == 4
    await alice.marker(bob)
    assert running.metrics.clients == 2


async def test_anonymous_people_are_one_guest_in_all_rooms_of_a_connection(serve: Serve) -> None:
    running = await serve()
    client = await running.open()
    people = []
    for room in ("/a", "/b"):
        await client.connect(room)
        welcome, _ = await client.event("welcome", room)
        people.append(welcome["user"])
        assert welcome["name"].startswith("Guest-")
        assert welcome["total"] == 1
    assert people[0] == people[1]
    assert people[0].startswith("guest:")
    other = await running.open()
    await other.connect("/a", {"name": "  Zo\u00eb\u202e "})
    welcome, _ = await other.event("welcome", "/a")
    assert welcome["user"] not in people
    assert welcome["name"] == "Zo\u00eb"


@pytest.mark.parametrize(
    ("settings", "shown_as"),
    [
        ({"origins": ["https://a.example"]}, "https://a.example"),
        ({"origins": ["https://*.example.org", "https://a.example"]}, "https://a.example"),
        ({"insecure_any_origin": True}, "*"),
    ],
)
async def test_pages_of_other_origins_need_no_credentials(
    serve: Serve, settings: dict[str, Any], shown_as: str
) -> None:
    running = await serve(server=settings)
    headers = {"Origin": "https://a.example"}
    address = f"{running.url}/socket.io/?EIO=4&transport="
    async with running.http.get(address + "polling", headers=headers) as answer:
        assert answer.status == 200
        shown = [answer.headers]
    async with running.http.options(address + "polling", headers=headers) as answer:
        assert answer.status == 200
        shown.append(answer.headers)
    for answered in shown:
        assert answered["Access-Control-Allow-Origin"] == shown_as
    ws = await running.http.ws_connect(address + "websocket", headers=headers)
    shown.append(ws._response.headers)
    await ws.close()
    for answered in shown:
        assert "Access-Control-Allow-Credentials" not in answered
        assert "Set-Cookie" not in answered


# ---------------------------------------------------------------------------- messages


async def test_a_message_reaches_everybody_in_one_order(serve: Serve, transport: str) -> None:
    running = await serve()
    alice = await running.enter("alice", "/den", transport, name="Alice")
    bob = await running.enter("bob", "/den", "polling")
    before = time.time() * 1000
    answer = await alice.call("message", {"text": "hi"}, room="/den")
    assert answer.keys() == {"ok", "id", "offset", "at"}
    assert answer["offset"] == 1
    assert before - 1 <= answer["at"] <= time.time() * 1000
    expected = {
        "id": answer["id"],
        "offset": 1,
        "user": "alice",
        "name": "Alice",
        "body": {"text": "hi"},
        "at": answer["at"],
    }
    for client in (alice, bob):
        payload, position = await client.event("message", "/den")
        assert payload == expected
        assert position.endswith(".1")
    await asyncio.gather(*(client.post(n, "/den") for n in range(20) for client in (alice, bob)))
    for client in (alice, bob):
        await client.until(lambda c=client: len(c.bodies("/den")) == 41)
        offsets = [data[1]["offset"] for data in client.events("/den", "message")]
        assert offsets == list(range(1, 42))
    assert alice.bodies("/den") == bob.bodies("/den")


async def test_a_resend_is_harmless(serve: Serve, transport: str) -> None:
    running = await serve()
    alice = await running.enter("alice", "/", transport)
    first = await alice.call("message", "hi", {"id": "m1"})
    assert first["id"] == "m1"
    assert await alice.call("message", "hi", {"id": "m1"}) == first
    other = await running.enter("alice", "/", transport)  # even over another connection
    assert await other.call("message", "changed", {"id": "m1"}) == first
    assert await alice.post("next") == 2
    await alice.until(lambda: len(alice.bodies()) == 2)
    assert alice.bodies() == ["hi", "next"]
    assert running.metrics.messages_published == 2


@pytest.mark.parametrize(
    "body",
    [
        "hi",
        "",
        "\u00e9\U0001f600\u2028\x00",
        None,
        True,
        0,
        -1.5,
        2**53,
        [],
        {},
        {"a": [1, {"b": None}]},
    ],
)
async def test_bodies_arrive_as_they_were(serve: Serve, transport: str, body: Any) -> None:
    running = await serve()
    alice = await running.enter("alice", "/", transport)
    answer = await alice.call("message", body)
    assert answer["ok"], answer
    payload, _ = await alice.event("message")
    assert payload["body"] == body
    assert (await alice.call("history"))["items"][0]["body"] == body


@pytest.mark.parametrize(
    "body", [b"", b"\x00\xff" * 500, {"a": b"1", "b": [b"2", {"c": b"3"}], "d": "text"}]
)
async def test_binary_bodies(serve: Serve, transport: str, body: Any) -> None:
    running = await serve()
    alice = await running.enter("alice", "/", transport)
    bob = await running.enter("bob", "/", "polling")
    await alice.post(body)
    for client in (alice, bob):
        payload, position = await client.event("message")
        assert payload["body"] == body
        assert isinstance(position, str)
    answer = await alice.call("history")
    assert answer["items"][0]["body"] == body


async def test_a_message_without_an_ack_is_posted_too(serve: Serve, transport: str) -> None:
    running = await serve()
    alice = await running.enter("alice", "/", transport)
    await alice.emit("message", "hi")
    payload, _ = await alice.event("message")
    assert payload["body"] == "hi"
    assert not any(packet.packet_type == stock.ACK for packet in alice.packets)


async def test_the_largest_body(serve: Serve, transport: str) -> None:
    running = await serve(limits={"max_body": 1000})
    alice = await running.enter("alice", "/", transport)
    for body in ("x" * 1000, b"x" * 1000, "\u00e9" * 500):
        await alice.post(body)
    for body, size in (("x" * 1001, 1001), (b"x" * 1001, 1001), ("\u00e9" * 501, 1002)):
        error = error_of(await alice.call("message", body))
        assert error["code"] == "too_large"
        assert error["message"] == f"the message has {size} bytes, at most 1000 are allowed"
    assert running.metrics.limit_hits["max_body"] == 3
    assert running.metrics.refusals["too_large"] == 3
    await alice.post("still here")
    assert len((await alice.call("history"))["items"]) == 4


async def test_a_room_may_have_its_own_largest_body(serve: Serve) -> None:
    running = await serve(rooms={"rules": [{"match": "small/*", "max_body": 10}]})
    alice = await running.enter("alice", "/small/a")
    assert error_of(await alice.call("message", "x" * 11, room="/small/a"))["code"] == "too_large"
    await alice.post("x" * 10, "/small/a")


# ---------------------------------------------------------------------------- refusals

BAD_REQUESTS: list[tuple[list[Any], str]] = [
    (["message"], "message takes a body and, if you like, options such as {id}"),
    (["message", 1, {}, 3], "message takes a body and, if you like, options such as {id}"),
    (["message", "x", {"id": ""}], "id is a string of 1 to 128 printable ASCII characters"),
    (["message", "x", {"id": 5}], "id is a string of 1 to 128 printable ASCII characters"),
    (["message", "x", {"to": "y"}], "message: 'to' is not one of id, mentions, reply_to"),
    (["message", "x", "y"], "message: the options are an object"),
    (["history", 1], "history: the options are an object"),
    (["history", {"limit": 0}], "limit is a whole number from 1 to 10000"),
    (["history", {"before": -1}], f"before is a whole number from 0 to {2**53 - 1}"),
    (["history", {"after": "1"}], f"after is a whole number from 0 to {2**53 - 1}"),
    (["members", {"all": 1}], "all is true or false"),
    (["members", {}, {}], "members takes one object"),
    (["read"], "read takes the offset of the last message that was read"),
    (["read", 1.5], f"the offset is a whole number from 0 to {2**53 - 1}"),
    (["typing"], "typing takes true or false"),
    (["typing", 1], "typing takes true or false"),
    (["auth", {}], "auth takes {token}"),
    (["leave", None], "leave takes nothing"),
]


async def test_requests_that_are_not_understood(serve: Serve, transport: str) -> None:
    running = await serve()
    alice = await running.enter("alice", "/", transport)
    for request, text in BAD_REQUESTS:
        answer = await alice.call(*request)
        assert answer == {
            "ok": False,
            "error": {"code": "bad_request", "message": text, "temporary": False},
        }
    assert running.metrics.refusals["bad_request"] == len(BAD_REQUESTS)
    await alice.post("the connection lives")


async def test_operations(serve: Serve, transport: str) -> None:
    running = await serve()
    alice = await running.enter("alice", "/", transport)
    assert await alice.post("hi") == 1
    for request, text in (
        (["edit", {"id": "m"}], "edit takes {id or offset, body}"),
        (["delete", {}], "delete names a message by its offset, or by its id"),
        (["react", {"offset": 1, "emoji": ""}], "emoji is a string of 1 to 32 characters"),
        (["delete", {"offset": 2}], "there is no such message here (any more)"),
    ):
        assert error_of(await alice.call(*request))["message"] == text
    done = await alice.call("react", {"offset": 1, "emoji": "x"})
    assert (done["ok"], done["offset"], done["target"]) == (True, 2, 1)
    edited = await alice.call("edit", {"offset": 1, "body": b"\xff"})
    assert edited["offset"] == 3
    page = await alice.call("history", {"operations": True})
    assert [(item["body"], item["reactions"], item["mine"]) for item in page["items"]] == [
        (b"\xff", {"x": 1}, ["x"])
    ]
    assert [one["entry"] for one in page["operations"]] == [2, 3]
    assert (await alice.call("delete", {"offset": 1}))["offset"] == 4
    counted = running.metrics.events
    assert (counted["edit"], counted["delete"], counted["react"]) == (2, 3, 2)


async def test_a_lone_surrogate_is_refused_and_no_more(serve: Serve, transport: str) -> None:
    running = await serve()
    alice = await running.enter("alice", "/", transport)
    await alice.send(r'421["message","half \ud83d"]')
    packet = await alice.answer((stock.ACK,), "/", id=1)
    error = error_of(packet.data[0])
    assert error["code"] == "bad_request"
    await alice.post("the connection lives")


@pytest.mark.parametrize(
    "name", ["nonsense", "welcome", "notice", "presence", "gap", "rooms", 7, 1.5]
)
async def test_events_that_there_are_not(serve: Serve, transport: str, name: Any) -> None:
    running = await serve()
    alice = await running.enter("alice", "/", transport)
    error = error_of(await alice.call(name, 1))
    assert error["code"] == "unknown_event"
    assert error["message"] == f"there is no event {str(name)!r} in this room"
    assert running.metrics.refusals["unknown_event"] == 1


async def test_a_refused_event_without_an_ack_gets_a_notice(serve: Serve, transport: str) -> None:
    running = await serve()
    alice = await running.enter("alice", "/", transport)
    await alice.emit("nonsense")
    assert await alice.event("notice") == [
        {
            "code": "unknown_event",
            "message": "there is no event 'nonsense' in this room",
            "event": "nonsense",
        }
    ]
    await alice.emit("typing", "yes")
    (notice,) = await alice.event("notice")
    assert (notice["code"], notice["event"]) == ("bad_request", "typing")
    assert "nonsense" not in running.metrics.events
    assert running.metrics.events["other"] == 1


async def test_who_may_only_read(serve: Serve) -> None:
    running = await serve(rooms={"rules": [{"match": "news", "post": ["editor"]}]})
    editor = await running.enter("editor", "/news")
    reader = await running.open()
    await reader.connect("/news", {"user": "reader"})
    assert (await reader.event("welcome", "/news"))[0]["permissions"] == ["join", "read", "history"]
    error = error_of(await reader.call("message", "me too", room="/news"))
    assert (error["code"], error["message"]) == ("forbidden", "you may not post in this room")
    await editor.post("news", "/news")
    assert (await reader.event("message", "/news"))[0]["body"] == "news"


async def test_who_may_not_come_in(serve: Serve, transport: str) -> None:
    rules = [{"match": "staff", "join": ["a*"]}, {"match": "known", "anonymous": False}]
    running = await serve(rooms={"rules": rules})
    client = await running.open(transport)
    error = await client.refused("/staff", {"user": "bob"})
    assert (error["code"], error["message"]) == ("forbidden", "you may not join this room")
    error = await client.refused("/known", {"user": "bob"})
    assert error["message"] == "this room is not open to anonymous users"
    assert (await client.connect("/staff", {"user": "alice"})).packet_type == stock.CONNECT
    assert len(running.hub) == 1


# ---------------------------------------------------------------------------- history


async def test_pages_of_history(serve: Serve, transport: str) -> None:
    running = await serve(rooms={"history_page": 4})
    alice = await running.enter("alice", "/", transport)
    for number in range(1, 11):
        assert await alice.post(f"m{number}") == number

    async def page(**options: int) -> tuple[list[int], bool]:
        answer = await alice.call("history", *([options] if options else []))
        next_ = {"next"} if answer["more"] else set()
        assert answer.keys() == {"ok", "items", "more", "position", *next_}
        assert answer["position"].endswith(".10")
        assert all(item["body"] == f"m{item['offset']}" for item in answer["items"])
        return [item["offset"] for item in answer["items"]], answer["more"]

    assert await page() == ([7, 8, 9, 10], True)
    assert await page(limit=2) == ([9, 10], True)
    assert await page(before=7) == ([3, 4, 5, 6], True)
    assert await page(before=3) == ([1, 2], False)
    assert await page(before=1) == ([], False)
    assert await page(after=0) == ([1, 2, 3, 4], True)
    assert await page(after=8) == ([9, 10], False)
    assert await page(after=10) == ([], False)
    assert await page(after=2, before=6) == ([3, 4, 5], False)
    assert await page(after=2, before=6, limit=2) == ([3, 4], True)
    assert await page(limit=5000) == ([7, 8, 9, 10], True)  # never more than the configured page


async def paged(client: Client, **options: int) -> list[Any]:
    """The bodies of the whole log, read page by page: forwards with `after`, else backwards."""
    bodies: list[Any] = []
    more = True
    while more:
        answer = await client.call("history", *([options] if options else []))
        items, more = answer["items"], answer["more"]
        page = [item["body"] for item in items]
        if "after" in options:
            bodies, options = bodies + page, {**options, "after": items[-1]["offset"]}
        else:
            bodies, options = page + bodies, {**options, "before": items[0]["offset"]}
    return bodies


async def test_a_page_has_no_more_binaries_than_clients_take(serve: Serve, transport: str) -> None:
    running = await serve()
    alice = await running.enter("alice", "/", transport)
    for number in range(25):
        await alice.post(b"%d" % number)
    answer = await alice.call("history")
    assert [item["body"] for item in answer["items"]] == [b"%d" % n for n in range(15, 25)]
    assert answer["more"] is True
    assert await paged(alice) == await paged(alice, after=0) == [b"%d" % n for n in range(25)]


async def test_a_page_has_no_more_bytes_than_a_client_can_take(
    serve: Serve, transport: str
) -> None:
    running = await serve(limits={"max_payload": 100_000, "client_queue": 150_000})
    alice = await running.enter("alice", "/", transport)
    sent = [f"{number} {'x' * 60_000}" for number in range(4)] + ["small", "as well"]
    for body in sent:
        await alice.post(body)
    answer = await alice.call("history")
    assert [item["offset"] for item in answer["items"]] == [4, 5, 6]
    assert await paged(alice) == await paged(alice, after=0) == sent


async def test_as_many_binaries_in_one_body_as_clients_take(serve: Serve, transport: str) -> None:
    running = await serve(presence=MANUALLY)
    alice = await running.enter("alice", "/", transport)
    bob = await running.enter("bob", "/", transport)
    ticket = Ticket(bob)
    bodies = [
        {"parts": [b"%d" % number for number in range(10)]},
        [b"x"],
        {"parts": [{"deep": b"%d" % number} for number in range(10)]},
    ]
    for body in bodies:
        await alice.post(body)
    for client in (alice, bob):
        await client.until(lambda client=client: client.bodies() == bodies)
    await bob.cut()
    bob = await running.open(transport)
    await bob.connect("/", {"user": "bob", **ticket.auth})
    await bob.event("welcome")
    assert bob.bodies() == bodies
    answer = await bob.call("history")
    assert [item["body"] for item in answer["items"]] == bodies[2:]
    assert await paged(bob) == await paged(bob, after=0) == bodies


async def test_nobody_can_spoil_the_history_for_others(serve: Serve, transport: str) -> None:
    """As it was: an object that looks like an attachment's, beside a real one in the same ack."""
    running = await serve(rooms={"rules": [{"match": "*", "relay": ["move"]}]})
    mallory = await running.enter("mallory", "/", transport)
    for hostile in (
        {"_placeholder": True, "num": 99},
        {"_placeholder": True, "num": 0},
        {"a": [{"_placeholder": 1, "num": 0}]},
    ):
        for event in ("message", "move"):
            error = error_of(await mallory.call(event, hostile))
            assert error["code"] == "bad_request"
            assert "'_placeholder'" in error["message"]
    spoken = {"text": '{"_placeholder": true}', "_placeholder": False}
    await mallory.post(spoken)
    await mallory.post(b"binary")
    bob = await running.enter("bob", "/", transport)
    assert [item["body"] for item in (await bob.call("history"))["items"]] == [spoken, b"binary"]
    await bob.post("the connection lives")


async def test_history_ends_where_live_delivery_begins(serve: Serve, transport: str) -> None:
    """Between the page up to the join and the events since then nothing is missing or twice,
    however many others post meanwhile."""
    running = await serve()
    bob = await running.enter("bob")
    await bob.post("before")

    async def chatter() -> None:
        for number in range(200):
            await bob.post(number)

    talking = asyncio.create_task(chatter())
    await bob.until(lambda: len(bob.bodies()) > 50)
    carol = await running.open(transport)
    await carol.connect("/", {"user": "carol"})
    _, position = await carol.event("welcome")
    joined = int(position.rpartition(".")[2])
    await talking
    page = await carol.call("history", {"before": joined + 1, "limit": 200})
    await carol.until(lambda: carol.bodies()[-1:] == [199])
    old = [item["offset"] for item in page["items"]]
    live = [data[1]["offset"] for data in carol.events("/", "message")]
    assert old + live == list(range(1, 202))
    assert 50 < joined < 201


# ---------------------------------------------------------------------------- people


async def test_members(serve: Serve, transport: str) -> None:
    running = await serve()
    alice = await running.enter("alice", "/", transport, name="Alice")
    bob = await running.enter("bob")
    guest = await running.enter(None, "/", transport)
    who = [
        {"user": "alice", "name": "Alice", "state": "online"},
        {"user": "bob", "name": "bob", "state": "online"},
    ]
    answer = await bob.call("members")
    assert answer.keys() == {"ok", "online", "total"}
    assert answer["total"] == 3
    assert [one for one in answer["online"] if not one["user"].startswith("guest:")] == who
    assert len(answer["online"]) == 3
    await running.sweep()
    left = Spied(running.engine, "exit")
    await guest.cut()
    await alice.cut()
    await left.until(lambda: left.done == 2)
    await running.sweep(later=10)
    assert await bob.call("members", {"all": True}) == {
        "ok": True,
        "online": who[1:],
        "total": 2,  # a guest is never kept
        "members": [{**who[0], "state": "offline", "seen": ANY}, who[1]],
    }


async def test_a_room_that_does_not_tell_who_is_in_it(serve: Serve) -> None:
    running = await serve(rooms={"rules": [{"match": "*", "presence": False}]}, presence=MANUALLY)
    alice = await running.enter("alice")
    await running.enter("bob")
    await running.sweep()
    error = error_of(await alice.call("members"))
    assert (error["code"], error["message"]) == (
        "forbidden",
        "this room does not tell who is in it",
    )
    await alice.marker(alice)
    assert alice.events("/", "presence") == []


async def test_comings_and_goings_are_told_together(serve: Serve, transport: str) -> None:
    running = await serve(presence=MANUALLY)
    alice = await running.enter("alice", "/", transport, name="Alice")
    bob = await running.enter("bob", "/", transport)
    await running.sweep()
    for client in (alice, bob):
        assert await client.event("presence") == [
            {
                "online": 2,
                "total": 2,
                "joined": [{"user": "alice", "name": "Alice"}, {"user": "bob", "name": "bob"}],
                "left": [],
            }
        ]
    left = Spied(running.engine, "exit")
    await alice.cut()
    await left.until(lambda: left.done == 1)
    await running.sweep(later=500)
    await bob.marker(bob)
    assert len(bob.events("/", "presence")) == 1  # the grace time is not over
    await running.sweep(later=2000)
    assert await bob.event("presence") == [
        {"online": 1, "total": 2, "joined": [], "left": [{"user": "alice", "name": "Alice"}]}
    ]


async def test_several_devices_are_one_person(serve: Serve, transport: str) -> None:
    running = await serve(presence=MANUALLY)
    bob = await running.enter("bob")
    first = await running.enter("alice", "/", transport)
    second = await running.enter("alice")
    third = await running.open(transport)
    await third.connect("/", {"user": "alice"})
    welcome, _ = await third.event("welcome")
    assert (welcome["online"], welcome["total"]) == (2, 2)
    await running.sweep()
    (diff,) = await bob.event("presence")
    assert [one["user"] for one in diff["joined"]] == ["bob", "alice"]
    left = Spied(running.engine, "exit")
    for number, device in enumerate((first, second), 1):
        await device.cut()
        await left.until(lambda n=number: left.done == n)
        await running.sweep(later=5000)
    await bob.marker(bob)
    assert len(bob.events("/", "presence")) == 1
    assert (await bob.call("members"))["online"][0]["user"] == "alice"
    await third.cut()
    await left.until(lambda: left.done == 3)
    await running.sweep(later=5000)
    (diff,) = await bob.event("presence")
    assert diff == {
        "online": 1,
        "total": 2,
        "joined": [],
        "left": [{"user": "alice", "name": "alice"}],
    }


async def test_a_reload_makes_no_noise(serve: Serve, transport: str) -> None:
    running = await serve(presence=MANUALLY)
    bob = await running.enter("bob")
    alice = await running.enter("alice", "/", transport)
    await running.sweep()
    await bob.event("presence")
    left = Spied(running.engine, "exit")
    for number in range(1, 4):
        await alice.cut()
        await left.until(lambda n=number: left.done == n)
        await running.sweep(later=100)
        alice = await running.enter("alice", "/", transport)
        await running.sweep(later=5000)
    await bob.marker(bob)
    assert len(bob.events("/", "presence")) == 1
    assert (await bob.call("members"))["total"] == 2


async def test_comings_and_goings_are_told_by_themselves(serve: Serve) -> None:
    running = await serve()  # with its own sweeps
    bob = await running.enter("bob")
    alice = await running.enter("alice")

    def told(what: str) -> set[str]:
        return {one["user"] for data in bob.events("/", "presence") for one in data[1][what]}

    await bob.until(lambda: told("joined") == {"alice", "bob"})
    await alice.cut()
    await bob.until(lambda: told("left") == {"alice"})


async def told_who_left(client: Client) -> list[str]:
    """Who has left, by the presence that comes next."""
    (payload,) = await client.event("presence")
    return [one["user"] for one in payload["left"]]


@pytest.mark.parametrize("user", ["alice", None], ids=["member", "guest"])
async def test_leaving_for_good(serve: Serve, transport: str, user: str | None) -> None:
    running = await serve(presence=MANUALLY)
    bob = await running.enter("bob", "/den")
    alice = await running.enter(user, "/den", transport)
    await alice.connect("/other", {"user": user} if user else {})
    name = (await alice.event("welcome", "/other"))[0]["user"]
    await bob.post("seen", "/den")
    await alice.event("message", "/den")
    await running.sweep()
    await bob.event("presence", "/den")
    assert await alice.call("leave", room="/den") == {"ok": True}
    (notice,) = await alice.event("notice", "/den")
    assert (notice["code"], notice["number"], notice["reconnect"]) == ("left", 3503, False)
    await alice.answer((stock.DISCONNECT,), "/den")
    kinds = [packet.packet_type for packet in alice.packets if packet.namespace == "/den"]
    assert kinds[-3:] == [stock.ACK, stock.EVENT, stock.DISCONNECT]
    await running.sweep()
    (payload,) = await bob.event("presence", "/den")
    assert payload == {
        "online": 1,
        "total": 1,
        "joined": [],
        "left": [{"user": name, "name": payload["left"][0]["name"]}],
    }
    assert running.metrics.disconnects["left"] == 1
    assert running.metrics.events["leave"] == 1
    assert running.metrics.clients == 2  # bob, and alice in the other room
    await alice.post("the other room goes on", "/other")
    # what is said meanwhile is not missed: a new member begins at the top
    await bob.post("said meanwhile", "/den")
    await alice.connect("/den", {"user": user} if user else {})
    welcome, _ = await alice.event("welcome", "/den")
    assert (welcome["user"], welcome["unread"], welcome["total"]) == (name, 0, 2)
    await alice.marker(bob, "/den")
    assert "said meanwhile" not in alice.bodies("/den")


async def test_all_devices_leave_for_good(serve: Serve, transport: str) -> None:
    running = await serve(presence=MANUALLY)
    bob = await running.enter("bob")
    alice = await running.enter("alice", "/", transport)
    await alice.connect("/lobby", {"user": "alice"})  # the same room by its other name
    await alice.event("welcome", "/lobby")
    phone = await running.enter("alice", "/lobby", transport)
    await running.sweep()
    await bob.event("presence")
    await phone.call("leave", room="/lobby")
    for client, room in ((phone, "/lobby"), (alice, "/"), (alice, "/lobby")):
        assert (await client.event("notice", room))[0]["code"] == "left"
        await client.answer((stock.DISCONNECT,), room)
    await running.sweep()
    assert await told_who_left(bob) == ["alice"]
    members = (await bob.call("members", {"all": True}))["members"]
    assert members == [{"user": "bob", "name": "bob", "state": "online"}]
    assert running.metrics.clients == 1
    assert running.metrics.disconnects["left"] == 3


async def test_what_waits_behind_the_leave(serve: Serve, transport: str) -> None:
    running = await serve()
    bob = await running.enter("bob")
    alice = await running.enter("alice", "/", transport)
    leave = Spied(running.engine, "leave")
    release = leave.hold()
    await alice.write(stock.EVENT, "/", ["leave"], 101)
    await leave.called()
    dispatch = Spied(running.server, "_dispatch")
    await alice.write(stock.EVENT, "/", ["message", "too late"], 102)
    await dispatch.called()
    release.set()
    packet = await alice.answer((stock.ACK,), "/", id=101)
    assert packet.data == [{"ok": True}]
    packet = await alice.answer((stock.ACK,), "/", id=102)
    assert error_of(packet.data[0])["code"] == "not_member"
    await alice.answer((stock.DISCONNECT,), "/")
    await bob.marker(bob)
    assert "too late" not in bob.bodies()


async def test_a_device_that_is_joining_leaves_for_good_too(serve: Serve, transport: str) -> None:
    running = await serve(presence=MANUALLY)
    bob = await running.enter("bob")
    alice = await running.enter("alice")
    await running.sweep()
    await bob.event("presence")
    entered = Spied(running.engine, "enter")
    release = entered.hold()
    phone = await running.open(transport)
    await phone.write(stock.CONNECT, "/", {"user": "alice"})
    await entered.called()
    await alice.call("leave")
    release.set()
    await phone.answer((stock.CONNECT,), "/")
    assert (await phone.event("notice"))[0]["code"] == "left"
    await phone.answer((stock.DISCONNECT,), "/")
    await running.sweep()
    assert await told_who_left(bob) == ["alice"]
    assert running.metrics.clients == 1


async def test_who_cannot_leave_for_good_stays(serve: Serve, transport: str) -> None:
    running = await serve()
    alice = await running.enter("alice", "/", transport)
    leave = Spied(running.engine, "leave")
    leave.failure = Refusal("unavailable")
    assert error_of(await alice.call("leave"))["code"] == "unavailable"
    assert error_of(await alice.call("leave", {}))["code"] == "bad_request"
    await alice.post("still here")


async def test_typing(serve: Serve, transport: str) -> None:
    running = await serve(presence=MANUALLY)
    alice = await running.enter("alice", "/", transport, name="Alice")
    bob = await running.enter("bob", "/", transport)
    for on in (False, True, True, True, False, False, True):  # the last too soon after the first
        assert await alice.call("typing", on) == {"ok": True}
    await alice.marker(bob)
    await bob.marker(alice)
    assert [data[1:] for data in bob.events("/", "typing")] == [
        [{"user": "alice", "name": "Alice", "on": on}] for on in (True, False)
    ]
    assert alice.events("/", "typing") == []  # not to oneself
    carol = await running.enter("carol", "/", transport)
    assert await carol.call("typing", True) == {"ok": True}
    await bob.until(lambda: len(bob.events("/", "typing")) == 3)
    await carol.cut()  # who goes has stopped
    await bob.until(lambda: len(bob.events("/", "typing")) == 4)
    assert bob.events("/", "typing")[-1][1]["on"] is False


async def test_read(serve: Serve, transport: str) -> None:
    running = await serve()
    alice = await running.enter("alice", "/", transport, name="Alice")
    bob = await running.enter("bob", "/", transport)
    for number in range(5):
        await bob.post(number)
    assert await alice.call("read", 3) == {"ok": True, "unread": 2}
    assert await bob.event("read") == [{"user": "alice", "name": "Alice", "offset": 3}]
    assert await alice.call("read", 2) == {"ok": True, "unread": 2}  # never back
    assert await alice.call("read", 10**6) == {"ok": True, "unread": 0}  # nor beyond the top
    await alice.marker(bob)
    assert alice.events("/", "read") == []
    await alice.cut()
    again = await running.open(transport)
    await again.connect("/", {"user": "alice"})
    assert (await again.event("welcome"))[0]["unread"] == 1  # the marker


async def test_reading_is_not_told_in_large_rooms(serve: Serve) -> None:
    running = await serve(rooms={"receipts_max_members": 1})
    alice = await running.enter("alice")
    bob = await running.enter("bob")
    await bob.post("x")
    await alice.call("read", 1)
    await bob.marker(alice)
    assert bob.events("/", "read") == []


# ---------------------------------------------------------------------------- relayed events


async def test_relayed_events(serve: Serve, transport: str) -> None:
    rules = [{"match": "game/*", "relay": ["move", "connect_error", "welcome"]}]
    running = await serve(rooms={"rules": rules}, presence=MANUALLY, limits={"max_body": 100})
    alice = await running.enter("alice", "/game/1", transport, name="Alice")
    bob = await running.enter("bob", "/game/1", transport)
    assert await alice.call("move", 1, "e4", room="/game/1") == {"ok": True}
    await alice.emit("move", b"\x01", room="/game/1")
    await alice.emit("move", room="/game/1")
    await bob.until(lambda: len(bob.events("/game/1", "move")) == 3)
    sender = {"user": "alice", "name": "Alice"}
    assert [data[1:] for data in bob.events("/game/1", "move")] == [
        [1, "e4", sender],
        [b"\x01", sender],
        [sender],
    ]
    assert alice.events("/game/1", "move") == []
    assert (await alice.call("history", room="/game/1"))["items"] == []
    assert error_of(await alice.call("move", "x" * 101, room="/game/1"))["code"] == "too_large"
    # what the protocol itself says nobody else may say
    assert error_of(await alice.call("welcome", room="/game/1"))["code"] == "unknown_event"
    # and only in this room
    await alice.connect("/other", {"user": "alice"})
    assert error_of(await alice.call("move", room="/other"))["code"] == "unknown_event"


async def test_presence_states(serve: Serve, transport: str) -> None:
    running = await serve(presence={**MANUALLY, "away_after": 900.0})
    bob = await running.enter("bob", "/", transport)
    alice = await running.enter("alice", "/", transport, name="Alice")
    await alice.connect("/other", {"user": "alice"})
    await alice.connect("/@me", {"user": "alice"})
    await running.sweep()
    who = {"user": "alice", "name": "Alice"}
    away = {"ok": True, "state": "away"}
    assert await alice.call("status", {"state": "away"}, room="/@me") == away  # in all rooms
    await running.sweep()
    await bob.until(lambda: any("away" in data[1] for data in bob.events("/", "presence")))
    told = bob.events("/", "presence")[-1][1]
    assert (told["away"], told["joined"], told["left"], "back" in told) == ([who], [], [], False)
    members = await bob.call("members", {"all": True})
    assert {**who, "state": "away"} in members["online"]
    assert {**who, "state": "away"} in members["members"]
    other = (await alice.call("members", room="/other"))["online"]
    assert [one["state"] for one in other] == ["away"]
    answer = await alice.call("status", {"state": "online"})
    assert answer == {"ok": True, "state": "online"}
    await running.sweep()
    await bob.until(lambda: any("back" in data[1] for data in bob.events("/", "presence")))
    assert error_of(await alice.call("status", {"state": "offline"}))["code"] == "bad_request"
    # who asks for nothing
    await running.sweep(later=1000)
    await bob.until(lambda: bob.events("/", "presence")[-1][1].get("away"))
    named = [one["user"] for one in bob.events("/", "presence")[-1][1]["away"]]
    assert sorted(named) == ["alice", "bob"]


async def test_a_pace_for_relayed_events(serve: Serve, transport: str) -> None:
    rules = [{"match": "*", "relay": ["draw"], "relay_latest": ["cursor"], "relay_rate": 3}]
    running = await serve(rooms={"rules": rules}, presence=MANUALLY)
    alice = await running.enter("alice", "/", transport)
    bob = await running.enter("bob", "/", transport)
    for at in range(10):
        assert await alice.call("cursor", at) == {"ok": True}
    refusal = error_of(await alice.call("draw", 1))
    assert (refusal["code"], refusal["temporary"]) == ("rate_limited", True)
    await running.sweep(later=1.0)
    # how many got through before depends on how long it took
    await bob.until(lambda: [data[1] for data in bob.events("/", "cursor")][-1:] == [9])
    seen = [data[1] for data in bob.events("/", "cursor")]
    assert seen[:3] == [0, 1, 2]
    assert seen == sorted(seen)


async def test_a_slow_reader_is_told_where_a_cursor_came_to_rest(serve: Serve) -> None:
    rules = [{"match": "*", "relay_latest": ["cursor"]}]
    running = await serve(
        limits={"client_queue": 100_000, "enabled": False}, rooms={"rules": rules}
    )
    bob = await running.enter("bob")
    slow = await running.open("polling", polls=False)
    await slow.write(stock.CONNECT, "/", {"user": "alice"})
    while not slow.events():
        await slow.poll()
    for at in range(20):
        assert (await bob.call("cursor", at, "x" * 30_000))["ok"]
    assert running.metrics.dropped["coalesced"] >= 15
    seen: list[int] = []
    while 19 not in seen:
        await slow.poll()
        seen = [data[1] for data in slow.events("/", "cursor")]
    assert seen == sorted(seen)
    assert len(seen) < 5
    await bob.post("durable")
    while slow.bodies() != ["durable"]:
        await slow.poll()


async def test_ephemeral_events_never_end_with_a_string(serve: Serve, transport: str) -> None:
    """A client would take it for an offset."""
    rules = [{"match": "*", "relay": ["shout"]}]
    running = await serve(rooms={"rules": rules}, presence=MANUALLY)
    alice = await running.enter("alice", "/", transport)
    bob = await running.enter("bob", "/", transport)
    await bob.emit("shout", "text")
    await bob.emit("typing", True)
    await bob.post("x")
    await bob.emit("read", 1)
    await running.sweep()
    await alice.emit("nonsense")
    await alice.until(
        lambda: {data[0] for data in alice.events()} >= {"notice", "presence", "read"}
    )
    durable = {"welcome", "message", "gap"}
    for name, *args in alice.events():
        assert isinstance(args[-1], str) == (name in durable), name
    assert {data[0] for data in alice.events()} - durable == {
        "shout",
        "typing",
        "read",
        "presence",
        "notice",
    }


# ---------------------------------------------------------------------------- the session room


async def test_the_session_room(serve: Serve, transport: str) -> None:
    running = await serve()
    bob = await running.enter("bob", "/b")
    alice = await running.enter("alice", "/b", transport)
    await alice.connect("/a", {"user": "alice"})
    for number in range(3):
        await bob.post(number, "/b")
    await alice.call("read", 1, room="/b")
    answer = await alice.connect("/@me", {"user": "alice", "name": "Alice"})
    assert answer.data.keys() == {"sid"}  # nothing to recover
    rooms = [{"room": "a", "unread": 0, "last": 0}, {"room": "b", "unread": 2, "last": 3}]
    assert await alice.event("welcome", "/@me") == [
        {"user": "alice", "name": "Alice", "rooms": rooms}
    ]
    await bob.post("x", "/b")
    answer = await alice.call("rooms", room="/@me")
    assert answer == {"ok": True, "rooms": [rooms[0], {"room": "b", "unread": 3, "last": 4}]}
    error = error_of(await alice.call("message", "x", room="/@me"))
    assert error["code"] == "unknown_event"
    assert error["message"] == (
        "the session knows only the events rooms, mentions, directory, auth, status"
    )
    assert error_of(await alice.call("rooms", 1, room="/@me"))["code"] == "bad_request"
    assert "@me" not in {room["room"] for room in (await alice.call("rooms", room="/@me"))["rooms"]}
    await alice.write(stock.DISCONNECT, "/@me")
    await alice.marker(bob, "/b")
    assert "/@me" not in running.server.manager.rooms


async def test_unread_counts_are_told_as_they_change(serve: Serve, transport: str) -> None:
    running = await serve()
    bob = await running.enter("bob", "/b")
    alice = await running.enter("alice", "/b", transport)
    phone = await running.open(transport)
    await phone.connect("/@me", {"user": "alice"})
    (welcome,) = await phone.event("welcome", "/@me")
    assert welcome["rooms"] == [{"room": "b", "unread": 0, "last": 0}]
    await bob.post("x", "/b")
    assert await phone.event("unread", "/@me") == [{"room": "b", "unread": 1, "last": 1}]
    await alice.call("read", 1, room="/b")
    assert await phone.event("unread", "/@me") == [{"room": "b", "unread": 0, "last": 1}]
    await alice.connect("/a", {"user": "alice"})
    assert await phone.event("room_joined", "/@me") == [{"room": "a", "unread": 0, "last": 0}]
    await alice.call("leave", room="/a")
    assert await phone.event("room_left", "/@me") == [{"room": "a"}]


async def test_mentions_reach_the_sessions(serve: Serve, transport: str) -> None:
    running = await serve()
    alice, bob = await running.enter("alice", "/b", transport), await running.enter("bob", "/b")
    await alice.write(stock.DISCONNECT, "/b")
    await alice.connect("/@me", {"user": "alice"})
    await alice.event("welcome", "/@me")
    answer = await bob.call("message", "@alice", {"id": "m1", "mentions": ["alice"]}, room="/b")
    (told,) = await alice.event("mention", "/@me")
    number = told.pop("number")
    assert told == {
        "room": "b",
        "id": "m1",
        "offset": 1,
        "user": "bob",
        "name": "bob",
        "at": answer["at"],
    }
    assert await alice.call("mentions", room="/@me") == {
        "ok": True,
        "mentions": [{"number": number, **told}],
    }
    listed = await alice.call("mentions", {"after": number}, room="/@me")
    assert listed == {"ok": True, "mentions": []}
    (room,) = (await alice.call("rooms", room="/@me"))["rooms"]
    assert room == {"room": "b", "unread": 1, "last": 1, "mentions": 1}
    error = error_of(await bob.call("message", "x", {"mentions": "alice"}, room="/b"))
    assert error["code"] == "bad_request"


async def test_a_user_is_told_something_wherever_they_are(serve: Serve, transport: str) -> None:
    running = await serve()
    phone, page = await running.open(transport), await running.open()
    bob = await running.enter("bob", "/b")
    for client in (phone, page):
        await client.connect("/@me", {"user": "alice"})
        await client.event("welcome", "/@me")
    assert running.metrics.clients == 3
    running.app[ROOMS].sessions.tell("alice", Event("news", {"about": "x"}))
    for client in (phone, page):
        assert await client.event("news", "/@me") == [{"about": "x"}]
    await phone.write(stock.DISCONNECT, "/@me")
    await bob.connect("/@me", {"user": "bob"})
    running.app[ROOMS].sessions.tell("alice", Event("news", {"about": "y"}))
    assert await page.event("news", "/@me") == [{"about": "y"}]
    await bob.call("rooms", room="/@me")
    assert bob.events("/@me", "news") == []


@pytest.mark.parametrize("room", ["/@me:alice", "/@me:bob"])
async def test_a_session_is_not_reached_by_its_name_inside(serve: Serve, room: str) -> None:
    running = await serve()
    client = await running.open()
    answer = await client.connect(room, {"user": "alice"})
    assert answer.data["data"]["code"] == "forbidden"


async def test_the_session_room_of_a_guest(serve: Serve) -> None:
    running = await serve()
    client = await running.enter(None, "/a")
    assert (await client.connect("/@me")).packet_type == stock.CONNECT
    (welcome,) = await client.event("welcome", "/@me")
    assert welcome["user"] == client.events("/a", "welcome")[0][1]["user"]
    assert welcome["rooms"] == []


# ---------------------------------------------------------------------------- rooms of two


async def test_a_room_of_two(serve: Serve, transport: str) -> None:
    running = await serve()
    alice, bob = await running.open(transport), await running.open(transport)
    await bob.connect("/@me", {"user": "bob@x.org"})
    await bob.event("welcome", "/@me")
    there = "/@dm/bob%40x.org"
    await alice.connect(there, {"user": "alice", "name": "Alice"})
    (welcome, position) = await alice.event("welcome", there)
    assert (welcome["room"], welcome["peer"]) == (
        there[1:],
        {"user": "bob@x.org", "name": "bob@x.org"},
    )
    assert (welcome["total"], welcome["permissions"]) == (1, ["join", "read", "history", "post"])
    assert position.endswith(".0")
    assert bob.events("/@me", "room_joined") == []  # nothing was said yet

    assert await alice.post("psst", there) == 1
    mine = {"room": "@dm/alice", "unread": 1, "last": 1, "peer": {"user": "alice", "name": "Alice"}}
    assert await bob.event("room_joined", "/@me") == [mine]
    assert (await bob.call("rooms", room="/@me"))["rooms"] == [mine]

    await bob.connect("/@dm/alice", {"user": "bob@x.org", "name": "Bob"})
    (welcome, _) = await bob.event("welcome", "/@dm/alice")
    assert (welcome["room"], welcome["peer"]) == ("@dm/alice", {"user": "alice", "name": "Alice"})
    assert (welcome["unread"], welcome["total"]) == (1, 2)
    (message, _) = await bob.event("message", "/@dm/alice")
    assert (message["user"], message["body"]) == ("alice", "psst")
    await bob.post("yes?", "/@dm/alice")
    await alice.until(lambda: alice.bodies(there) == ["psst", "yes?"])
    await bob.call("read", 2, room="/@dm/alice")
    assert (await alice.event("read", there))[0]["user"] == "bob@x.org"
    await alice.connect("/@me", {"user": "alice"})
    (session,) = await alice.event("welcome", "/@me")
    peer = {"user": "bob@x.org", "name": "Bob"}
    assert session["rooms"] == [{"room": there[1:], "unread": 2, "last": 2, "peer": peer}]


async def test_nobody_else_is_in_a_room_of_two(serve: Serve) -> None:
    running = await serve()
    alice, eve, guest = [await running.open() for _ in range(3)]
    await alice.connect("/@dm/bob", {"user": "alice"})
    await alice.post("a secret", "/@dm/bob")
    # the same name is another room to her, and the name inside is nobody's
    await eve.connect("/@dm/bob", {"user": "eve"})
    assert (await eve.event("welcome", "/@dm/bob"))[0]["position"].endswith(".0")
    assert (await eve.call("history", room="/@dm/bob"))["items"] == []
    for name in ("/@dm:5:alice:bob", "/@dm/alice/bob"):
        answer = await eve.connect(name, {"user": "eve"})
        assert answer.packet_type == stock.CONNECT_ERROR or answer.data["sid"]
    assert (await eve.refused("/@dm:5:alice:bob", {"user": "eve"}))["code"] == "forbidden"
    assert (await guest.refused("/@dm/bob"))["code"] == "forbidden"
    assert (await guest.refused("/@dm/guest%3A1", {"user": "bob"}))["code"] == "bad_room"
    assert (await guest.refused("/@dm/%zz", {"user": "bob"}))["code"] == "bad_room"


async def test_a_room_with_oneself(serve: Serve, transport: str) -> None:
    running = await serve()
    phone, page = await running.open(transport), await running.open()
    for client in (phone, page):
        await client.connect("/@dm/alice", {"user": "alice"})
        await client.event("welcome", "/@dm/alice")
    await phone.post("a note", "/@dm/alice")
    await page.until(lambda: page.bodies("/@dm/alice") == ["a note"])
    assert (await page.call("members", {"all": True}, room="/@dm/alice"))["total"] == 1


async def test_a_room_of_two_is_recovered(serve: Serve, transport: str) -> None:
    running = await serve()
    there = "/@dm/" + "%E6%9D%8E" * 128
    alice = await running.open(transport)
    bob = await running.open()
    await alice.connect(there, {"user": "a" * 128})
    await bob.connect(f"/@dm/{'a' * 128}", {"user": "李" * 128})
    await bob.post("seen", f"/@dm/{'a' * 128}")
    await alice.event("message", there)
    ticket = Ticket(alice, there)
    await alice.cut()
    await bob.post("missed", f"/@dm/{'a' * 128}")
    again = await running.open(transport)
    answer = await again.connect(there, {"user": "a" * 128, **ticket.auth})
    assert answer.data == {"sid": ticket.sid, "pid": ticket.pid}
    assert again.bodies(there) == ["missed"]
    # and a second time, while the connection that has it is still there
    ticket = Ticket(again, there)
    third = await running.open(transport)
    assert (await third.connect(there, {"user": "a" * 128, **ticket.auth})).data[
        "sid"
    ] == ticket.sid
    await again.gone()


async def test_a_token_for_some_rooms_of_two(serve: Serve) -> None:
    running = await serve(auth={"secret": SECRET})
    client = await running.open()
    for_bob = {"token": token("alice", rooms=["lobby", "@dm/b*"])}
    assert (await client.connect("/@dm/bob", for_bob)).packet_type == stock.CONNECT
    assert (await client.refused("/@dm/carol", for_bob))["code"] == "forbidden"


# ---------------------------------------------------------------------------- recovery


class Ticket:
    """What a stock client remembers of a connection: its pid and the last offset."""

    def __init__(self, client: Client, room: str = "/") -> None:
        (connect,) = [
            packet
            for packet in client.packets
            if packet.packet_type == stock.CONNECT and (packet.namespace or "/") == room
        ]
        self.pid = connect.data["pid"]
        self.sid = connect.data["sid"]
        self.offset = [data[-1] for data in client.events(room) if isinstance(data[-1], str)][-1]

    @property
    def auth(self) -> dict[str, str]:
        return {"pid": self.pid, "offset": self.offset}


async def test_recovery(serve: Serve, transport: str) -> None:
    running = await serve(presence=MANUALLY)
    bob = await running.enter("bob", "/den")
    alice = await running.enter("alice", "/den", transport)
    await bob.post("seen", "/den")
    await alice.event("message", "/den")
    ticket = Ticket(alice, "/den")
    left = Spied(running.engine, "exit")
    await alice.cut()
    await left.until(lambda: left.done == 1)
    for number in range(3):
        await bob.post({"missed": number, "binary": b"x"}, "/den")

    again = await running.open(transport)
    await again.connect("/den", {"user": "alice", **ticket.auth})
    welcome, position = await again.event("welcome", "/den")
    kinds = [packet.packet_type for packet in again.packets]
    # first what was missed, then CONNECT, then the welcome
    assert kinds == [stock.BINARY_EVENT] * 3 + [stock.CONNECT, stock.EVENT]
    assert [packet.data[0] for packet in again.packets[:3]] == ["message"] * 3
    assert [body["missed"] for body in again.bodies("/den")] == [0, 1, 2]
    assert again.packets[3].data == {"sid": ticket.sid, "pid": ticket.pid}
    assert welcome["recovered"] is True
    assert position == welcome["position"]
    assert position.endswith(".4")
    assert running.metrics.recoveries["recovered"] == 1
    # and once more, although the token is old
    await bob.post("live", "/den")
    await again.event("message", "/den")
    await again.cut()
    await left.until(lambda: left.done == 2)
    third = await running.open(transport)
    answer = await third.connect("/den", {"user": "alice", **Ticket(again, "/den").auth})
    assert answer.data == {"sid": ticket.sid, "pid": ticket.pid}
    await third.event("welcome", "/den")
    assert third.bodies("/den") == []


async def test_recovery_before_any_message_and_of_nothing(serve: Serve, transport: str) -> None:
    running = await serve()
    alice = await running.enter("alice", "/", transport)
    ticket = Ticket(alice)
    await alice.cut()
    again = await running.open(transport)
    answer = await again.connect("/", {"user": "alice", **ticket.auth})
    assert answer.data == {"sid": ticket.sid, "pid": ticket.pid}
    assert (await again.event("welcome"))[0]["recovered"] is True


async def test_the_old_connection_that_holds_the_sid_is_closed(
    serve: Serve, transport: str
) -> None:
    running = await serve(presence=MANUALLY)
    bob = await running.enter("bob")
    old = await running.enter("alice", "/", transport)
    await old.connect("/elsewhere", {"user": "alice"})
    await running.sweep()
    await bob.event("presence")
    ticket = Ticket(old)
    new = await running.open(transport)
    answer = await new.connect("/", {"user": "alice", **ticket.auth})
    assert answer.data["sid"] == ticket.sid
    await old.gone()
    assert running.metrics.disconnects["replaced"] == 1
    assert not any(packet.packet_type == stock.DISCONNECT for packet in old.packets)
    await new.marker(bob)
    assert running.server.manager.eio_sid_from_sid(ticket.sid, "/") == new.sid
    assert running.metrics.clients == 2
    await running.sweep(later=5000)
    assert {one["user"] for one in (await bob.call("members"))["online"]} == {"alice", "bob"}
    assert len(bob.events("/", "presence")) == 1


async def test_a_sid_that_is_recovered_on_another_node(serve: Serve, transport: str) -> None:
    running = await serve(presence=MANUALLY)
    bob = await running.enter("bob")
    alice = await running.enter("alice", "/", transport)
    sid = Ticket(alice).sid
    await running.server.replaced("stranger", "/")
    await running.server.replaced(sid, "/elsewhere")
    await alice.marker(bob)
    await running.server.replaced(sid, "/lobby")
    await alice.gone()
    assert running.metrics.disconnects["replaced"] == 1
    assert not any(packet.packet_type == stock.DISCONNECT for packet in alice.packets)
    assert running.metrics.clients == 1


async def test_a_sid_that_is_recovered_under_the_rooms_other_name(serve: Serve) -> None:
    running = await serve()
    bob = await running.enter("bob")
    old = await running.enter("alice", "/")
    ticket = Ticket(old)
    new = await running.open()
    answer = await new.connect("/lobby", {"user": "alice", **ticket.auth})
    assert answer.data["sid"] == ticket.sid
    await old.gone()
    # on its own connection only the one client ends
    answer = await new.connect("/", {"user": "alice", **ticket.auth})
    assert answer.data["sid"] == ticket.sid
    notice = (await new.event("notice", "/lobby"))[0]
    assert notice["code"] == "replaced"
    await new.answer((stock.DISCONNECT,), "/lobby")
    await new.marker(bob)


async def test_two_connections_with_one_token_while_the_engine_is_slow(serve: Serve) -> None:
    """Both join at the same time; one of them may keep the session, and nothing gets mixed up."""
    running = await serve()
    bob = await running.enter("bob")
    alice = await running.enter("alice")
    ticket = Ticket(alice)
    await alice.cut()
    join = Spied(running.engine, "join")
    release = join.hold()
    first, second = await running.open(), await running.open()
    for client in (first, second):
        await client.write(stock.CONNECT, "/", {"user": "alice", **ticket.auth})
    await join.called(2)
    release.set()
    answer = await second.answer((stock.CONNECT,), "/")
    assert answer.data["sid"] == ticket.sid
    await first.gone()
    await second.marker(bob)
    assert running.server.manager.eio_sid_from_sid(ticket.sid, "/") == second.sid
    assert running.metrics.clients == 2


async def test_a_busy_old_connection_does_not_take_the_new_ones_place_along(serve: Serve) -> None:
    """The old connection is gone, but a handler of it still waits for the engine."""
    running = await serve()
    bob = await running.enter("bob")
    old = await running.enter("alice")
    ticket = Ticket(old)
    publish = Spied(running.engine, "publish")
    release = publish.hold()
    await old.emit("message", "slow")
    await publish.called()
    await old.cut()
    new = await running.open()
    answer = await new.connect("/", {"user": "alice", **ticket.auth})
    assert answer.data["sid"] == ticket.sid
    release.set()
    publish.held = None
    await publish.until(lambda: publish.done == 1)
    await new.marker(bob)
    manager = running.server.manager
    assert manager.eio_sid_from_sid(ticket.sid, "/") == new.sid
    assert manager.sid_from_eio_sid(new.sid, "/") == ticket.sid
    assert "slow" in new.bodies()


async def test_too_much_was_missed(serve: Serve, transport: str) -> None:
    running = await serve(rooms={"recovery_limit": 3})
    bob = await running.enter("bob")
    alice = await running.enter("alice", "/", transport)
    ticket = Ticket(alice)
    await alice.cut()
    for number in range(1, 6):
        await bob.post(number)
    again = await running.open(transport)
    answer = await again.connect("/", {"user": "alice", **ticket.auth})
    assert answer.data["pid"] != ticket.pid
    assert answer.data["sid"] != ticket.sid
    await again.until(lambda: again.bodies()[-1:] == [5])
    epoch = ticket.offset.rpartition(".")[0]
    (welcome, gap, *messages) = again.events("/", "welcome", "gap", "message")
    assert welcome[0] == "welcome"
    assert welcome[1]["recovered"] is False
    assert welcome[2] == f"{epoch}.0"  # not yet beyond the gap
    assert gap == ["gap", {"from": 1, "to": 2}, f"{epoch}.2"]
    assert [data[2] for data in messages] == [f"{epoch}.{n}" for n in (3, 4, 5)]
    assert running.metrics.recoveries["gap"] == 1
    page = await again.call("history", {"after": 0, "before": 3})
    assert [item["body"] for item in page["items"]] == [1, 2]


async def test_the_log_was_lost(serve: Serve, transport: str) -> None:
    before = await serve()
    alice = await before.enter("alice", "/", transport)
    for number in range(5):
        await alice.post(number)
    await alice.until(lambda: len(alice.bodies()) == 5)
    ticket = Ticket(alice)

    running = await serve()
    bob = await running.enter("bob")
    await bob.post("new")
    again = await running.open(transport)
    # with a token that this server would take: only the log is another one
    ticket.pid = running.server._recovery.issue(
        Claim("alice", "", "lobby", ticket.sid, int(time.time()))
    )
    answer = await again.connect("/", {"user": "alice", **ticket.auth})
    assert answer.data["pid"] != ticket.pid
    await again.event("message")
    assert again.events("/", "gap")[0][1] == {"from": 0, "to": 0}
    assert again.bodies() == ["new"]


async def test_tokens_that_count_for_nothing(serve: Serve, transport: str) -> None:
    """They keep nobody out, and the offset still says what was missed."""
    running = await serve()
    bob = await running.enter("bob")
    alice = await running.enter("alice", "/", transport)
    other = await running.enter("alice", "/other", transport)
    ticket = Ticket(alice)
    await bob.post("missed")
    issue = running.server._recovery.issue
    now = int(time.time())
    stranger = await serve()
    foreign = await stranger.enter("alice")
    body, _, seal = ticket.pid.partition(".")
    pids = {
        "forged": f"{body}.{'A' * len(seal)}",
        "altered": f"{body[:-2]}AA.{seal}",
        "nonsense": "x" * 300,
        "empty": "",
        "foreign": Ticket(foreign).pid,
        "another room": Ticket(other, "/other").pid,
        "another user": Ticket(bob).pid,
        "expired": issue(Claim("alice", "", "lobby", ticket.sid, now - 31 * 86_400)),
        "from the future": issue(Claim("alice", "", "lobby", ticket.sid, now + 3600)),
    }
    for what, pid in pids.items():
        again = await running.open(transport)
        answer = await again.connect("/", {"user": "alice", "pid": pid, "offset": ticket.offset})
        assert answer.data["pid"] != pid, what
        assert answer.data["sid"] != ticket.sid, what
        await again.event("message")
        assert again.bodies() == ["missed"], what
        assert again.packets[0].packet_type == stock.CONNECT, what
        assert again.events()[0][1]["recovered"] is False, what
        await again.cut()
    assert running.metrics.recoveries["recovered"] == 0
    assert not alice.ended  # nobody was thrown out by them
    assert not bob.ended


@pytest.mark.parametrize("offset", [None, "", "x", "1", 5, f"e.{2**60}"])
async def test_a_token_without_an_offset_recovers_nothing(serve: Serve, offset: Any) -> None:
    running = await serve()
    alice = await running.enter("alice")
    ticket = Ticket(alice)
    await alice.cut()
    again = await running.open()
    answer = await again.connect("/", {"user": "alice", "pid": ticket.pid, "offset": offset})
    assert answer.packet_type == stock.CONNECT
    assert answer.data["pid"] != ticket.pid


async def test_an_offset_beyond_the_end_is_a_gap(serve: Serve) -> None:
    running = await serve()
    alice = await running.enter("alice")
    ticket = Ticket(alice)
    epoch = ticket.offset.rpartition(".")[0]
    await alice.cut()
    again = await running.open()
    answer = await again.connect(
        "/", {"user": "alice", "pid": ticket.pid, "offset": f"{epoch}.1000"}
    )
    assert answer.data["pid"] != ticket.pid
    await again.event("gap")


async def test_a_guest_comes_back_with_the_token(serve: Serve, transport: str) -> None:
    running = await serve()
    guest = await running.enter(None, "/", transport, name="Zoë")
    ticket = Ticket(guest)
    person = guest.events()[0][1]["user"]
    await guest.cut()
    again = await running.open(transport)
    answer = await again.connect("/", ticket.auth)
    assert answer.data == {"sid": ticket.sid, "pid": ticket.pid}
    welcome, _ = await again.event("welcome")
    assert (welcome["user"], welcome["name"]) == (person, "Zoë")


async def test_everybody_can_have_a_token(serve: Serve) -> None:
    """The longest names there are still fit."""
    running = await serve()
    room = "/" + "\U00010348" * 64
    user, name = "\U0001f600" * 128, "\U00020000" * 128
    client = await running.enter(user, room, name=name)
    ticket = Ticket(client, room)
    await client.cut()
    again = await running.open()
    answer = await again.connect(room, {"user": user, "name": name, **ticket.auth})
    assert answer.data["sid"] == ticket.sid


@pytest.mark.parametrize("queue", [16_384, 131_072, 1_048_576])
async def test_a_large_replay_arrives_whole_while_others_post(
    serve: Serve, transport: str, queue: int
) -> None:
    limits = {"client_queue": queue, "max_body": 16_000, "enabled": False}
    running = await serve(limits=limits, rooms={"recovery_limit": 1000})
    bob = await running.enter("bob")
    alice = await running.enter("alice", "/", transport)
    ticket = Ticket(alice)
    await alice.cut()
    body = "x" * 15_000
    for number in range(200):  # 3 MB
        await bob.post([number, body])

    async def chatter() -> None:
        for number in range(200, 230):
            await bob.post([number, "y"])

    again = await running.open(transport)
    talking = asyncio.create_task(chatter())
    answer = await again.connect("/", {"user": "alice", **ticket.auth})
    assert answer.data["pid"] != ticket.pid  # too much to be held back by the client
    await talking
    await again.until(lambda: len(again.bodies()) == 230)
    assert [number for number, _ in again.bodies()] == list(range(230))
    assert again.packets[0].packet_type == stock.CONNECT
    offsets = [data[-1] for data in again.events("/", "welcome", "message")]
    epoch = ticket.offset.rpartition(".")[0]
    assert offsets == [f"{epoch}.{n}" for n in range(231)]
    assert running.metrics.recoveries["replayed"] == 1
    assert again.events("/", "gap") == []


async def test_who_is_cut_off_in_a_replay_goes_on_from_there(serve: Serve, transport: str) -> None:
    running = await serve(limits={"enabled": False})
    bob = await running.enter("bob")
    alice = await running.enter("alice", "/", transport)
    ticket = Ticket(alice)
    await alice.cut()
    for number in range(100):
        await bob.post([number, "x" * 15_000])
    seen: list[int] = []
    while len(seen) < 100:
        again = await running.open(transport)
        await again.connect("/", {"user": "alice", **ticket.auth})
        wanted = min(len(seen) + 30, 100) - len(seen)
        await again.until(lambda a=again, w=wanted: len(a.bodies()) >= w)
        await again.cut()
        seen += [number for number, _ in again.bodies()]
        ticket.offset = Ticket(again).offset
    assert seen == list(range(100))


async def test_a_position_instead_of_a_token(serve: Serve, transport: str) -> None:
    running = await serve()
    bob = await running.enter("bob")
    for number in range(5):
        await bob.post(number)
    await bob.until(lambda: len(bob.bodies()) == 5)
    position = bob.events("/", "message")[1][2]
    alice = await running.open(transport)
    await alice.connect("/", {"user": "alice", "position": position})
    await alice.until(lambda: alice.bodies() == [2, 3, 4])
    assert alice.events()[0][1]["recovered"] is False
    assert running.metrics.recoveries["replayed"] == 1


# ---------------------------------------------------------------------------- offline delivery


async def away(running: Running, transport: str) -> tuple[Client, Spied]:
    """bob, and alice's proven cursor as it moves; alice is a member and has gone."""
    bob = await running.enter("bob")
    alice = await running.enter("alice", "/", transport)
    await alice.cut()
    return bob, Spied(running.engine, "advance")


def proven(advance: Spied, user: str = "alice") -> int:
    return max((offset for _, who, offset in advance.calls if who == user), default=0)


async def missed(running: Running, transport: str) -> list[Any]:
    """What alice is sent when she comes without knowing where she was; proves nothing."""
    alice = await running.open(transport, pongs=False)
    await alice.connect("/", {"user": "alice"})
    welcome, begins = await alice.event("welcome")
    behind = int(welcome["position"].rpartition(".")[2]) - int(begins.rpartition(".")[2])
    await alice.until(lambda: len(alice.bodies()) == behind)
    await alice.cut()
    return alice.bodies()


async def test_who_was_away_gets_what_was_missed(serve: Serve, transport: str) -> None:
    running = await serve()
    bob, advance = await away(running, transport)
    for number in range(3):
        await bob.post(number)
    alice = await running.enter("alice", "/", transport)
    await alice.until(lambda: alice.bodies() == [0, 1, 2])
    await advance.until(lambda: proven(advance) == 3)
    await alice.cut()
    assert await missed(running, transport) == []
    # a new member begins at the join
    carol = await running.enter("carol", "/", transport)
    await carol.marker(bob)
    assert len(carol.bodies()) == 1


async def test_without_a_pong_nothing_is_proven(serve: Serve) -> None:
    running = await serve()
    bob, advance = await away(running, "websocket")
    await bob.post("x")
    alice = await running.open(pongs=False)
    await alice.connect("/", {"user": "alice"})
    await alice.until(lambda: alice.bodies() == ["x"])
    await alice.until(lambda: alice.pings == 1)
    await alice.cut()
    assert proven(advance) == 0
    assert await missed(running, "websocket") == ["x"]


async def test_a_pong_proves_what_was_written_before_its_ping_and_no_more(serve: Serve) -> None:
    running = await serve()
    bob, advance = await away(running, "websocket")
    await bob.post("first")
    alice = await running.open(pongs=False)
    await alice.connect("/", {"user": "alice"})
    await alice.until(lambda: alice.pings == 1 and alice.bodies() == ["first"])
    await bob.post("second")
    await alice.until(lambda: len(alice.bodies()) == 2)
    await alice.send("3")
    await advance.until(lambda: proven(advance) == 1)
    await alice.until(lambda: alice.pings == 2)  # for the second
    await alice.send("3")
    await advance.until(lambda: proven(advance) == 2)
    await alice.call("typing", False)
    assert alice.pings == 2  # nothing is left to be proven


async def test_an_unasked_pong_proves_nothing(serve: Serve) -> None:
    running = await serve(delivery={"confirm": 3600.0})
    bob, advance = await away(running, "websocket")
    alice = await running.enter("alice")
    await bob.post("w")
    await advance.until(lambda: proven(advance) == 1)
    await bob.post("x")
    await alice.until(lambda: alice.bodies() == ["w", "x"])
    await alice.send("3")
    await alice.call("typing", False)
    assert (alice.pings, proven(advance)) == (1, 1)


async def test_who_missed_nothing_is_asked_for_no_proof(serve: Serve) -> None:
    running = await serve()
    bob, advance = await away(running, "websocket")
    await bob.post("x")
    alice = await running.enter("alice")
    await advance.until(lambda: proven(advance) == 1)
    await alice.cut()
    alice = await running.enter("alice")
    await alice.call("typing", False)
    assert (alice.pings, alice.bodies()) == (0, [])


async def test_the_next_poll_proves_the_one_before(serve: Serve) -> None:
    running = await serve()
    bob, advance = await away(running, "polling")
    await bob.post("x")
    alice = await running.open("polling", polls=False)
    await alice.write(stock.CONNECT, "/", {"user": "alice"})
    while alice.bodies() != ["x"]:
        await alice.poll()
    assert proven(advance) == 0
    assert await missed(running, "polling") == ["x"]
    polling = asyncio.create_task(alice.poll())
    await advance.until(lambda: proven(advance) == 1)
    polling.cancel()
    await asyncio.wait([polling])
    assert await missed(running, "polling") == []


async def test_what_waits_for_a_poll_is_not_proven(serve: Serve) -> None:
    running = await serve()
    bob, advance = await away(running, "polling")
    alice = await running.open("polling", polls=False)
    await alice.write(stock.CONNECT, "/", {"user": "alice"})
    while not alice.events():
        await alice.poll()
    for number in range(40):  # more than one poll carries
        await bob.post(number)
    await alice.poll()
    await alice.poll()  # proves nothing: the buffer was not empty when the one before was answered
    assert proven(advance) == 0
    while len(alice.bodies()) < 40:
        await alice.poll()
    assert proven(advance) == 0
    await bob.post("last")
    await alice.poll()
    assert proven(advance) == 40


async def test_an_upgrade_proves_what_was_polled(serve: Serve) -> None:
    running = await serve()
    bob, advance = await away(running, "polling")
    await bob.post("x")
    alice = await running.open("polling", polls=False)
    await alice.write(stock.CONNECT, "/", {"user": "alice"})
    while alice.bodies() != ["x"]:
        await alice.poll()
    assert proven(advance) == 0
    await alice.upgrade()
    await advance.until(lambda: proven(advance) == 1)
    assert running.metrics.connections["polling"] == 0
    await alice.post("over the WebSocket")
    await advance.until(lambda: proven(advance) == 2)


async def test_reading_proves(serve: Serve) -> None:
    running = await serve(delivery={"confirm": 3600.0})
    bob, advance = await away(running, "websocket")
    await bob.post("first")
    await bob.post("second")
    alice = await running.open(pongs=False)
    await alice.connect("/", {"user": "alice"})
    await alice.until(lambda: len(alice.bodies()) == 2)
    assert (await alice.call("read", 1))["unread"] == 1
    await alice.cut()
    assert proven(advance) == 0
    assert await missed(running, "websocket") == ["second"]


async def test_of_a_replay_under_way_what_was_written_is_proven(serve: Serve) -> None:
    """A pong in the middle of a long replay says nothing of what was not written yet."""
    running = await serve(limits={"enabled": False}, delivery={"confirm": 1000.0})
    bob, advance = await away(running, "polling")
    for number in range(100):
        await bob.post([number, "x" * 15_000])
    alice = await running.open("polling", polls=False)
    await alice.write(stock.CONNECT, "/", {"user": "alice"})
    await alice.poll()
    session = running.server.eio.sockets[alice.sid]
    await until(lambda: session.queued > 100_000)
    assert proven(advance) == 0
    session.ping()
    while not alice.pings:
        await alice.poll()
    got = len(alice.bodies())
    assert 0 < got < 100
    await advance.until(lambda: proven(advance))
    await alice.cut()
    sure = proven(advance)
    assert sure <= got  # what was written before the ping; some more came in the same poll
    assert await missed(running, "websocket") == bob.bodies()[sure:]


# ---------------------------------------------------------------------------- tokens

AUTH = {"secret": SECRET, "leeway": 0.0}


async def test_a_token_says_who_it_is(serve: Serve, transport: str) -> None:
    running = await serve(auth=AUTH)
    client = await running.open(transport)
    await client.connect("/", {"token": token("alice", name="Alice"), "user": "bob"})
    welcome, _ = await client.event("welcome")
    assert (welcome["user"], welcome["name"]) == ("alice", "Alice")


async def test_nobody_comes_in_without_a_token(serve: Serve, transport: str) -> None:
    running = await serve(auth=AUTH)
    client = await running.open(transport)
    for room in ("/", "/@me"):
        for auth in (None, {}, {"user": "alice"}, {"token": ""}):
            error = await client.refused(room, auth)
            assert error == {
                "code": "unauthorized",
                "message": "a valid token is needed",
                "temporary": False,
            }
    assert len(running.hub) == 0


async def test_tokens_that_are_none(
    serve: Serve, transport: str, caplog: pytest.LogCaptureFixture
) -> None:
    running = await serve(auth={**AUTH, "audience": "chat", "issuer": "me"})
    fits = {"aud": "chat", "iss": "me"}
    client = await running.open(transport)
    bad = {
        "another secret": token(secret=SECRET[::-1], **fits),
        "no audience": token(iss="me"),
        "another audience": token(aud="mail", iss="me"),
        "another issuer": token(aud="chat", iss="you"),
        "not yet": token(nbf=time.time() + 100, **fits),
        "garbage": "a.b.c",
        "long": "x" * 10_000,
        "unsigned": jwt.encode({"sub": "alice", "exp": 2**40, **fits}, None, "none"),
    }
    for what, text in bad.items():
        caplog.clear()
        error = await client.refused("/", {"token": text})
        (said,) = [line for line in caplog.messages if "token" in line]
        assert said.startswith("a token was refused (")
        assert not any(part in said for part in text.split(".") if len(part) > 1)
        assert error["code"] == "unauthorized", what
        assert error["message"] == "a valid token is needed", what  # never why
    counted = {what: number for what, number in running.metrics.invalid_tokens.items() if number}
    assert counted == {
        "malformed": 2, "algorithm": 1, "signature": 1, "audience": 2, "issuer": 1, "early": 1,
    }  # fmt: skip
    error = await client.refused("/", {"token": token(lasts=-1, **fits)})
    assert error["code"] == "token_expired"
    assert error["message"] == "the token has expired; get a fresh one"
    assert (await client.connect("/", {"token": token(**fits)})).packet_type == stock.CONNECT


async def test_a_token_for_some_rooms_and_deeds(serve: Serve, transport: str) -> None:
    running = await serve(auth=AUTH)
    client = await running.open(transport)
    auth = {"token": token(rooms=["a/*"], perms=["join", "read"])}
    error = await client.refused("/b", auth)
    assert (error["code"], error["message"]) == ("forbidden", "your token is not for this room")
    await client.connect("/a/1", auth)
    assert (await client.event("welcome", "/a/1"))[0]["permissions"] == ["join", "read"]
    for request, what in ((("message", "x"), "post"), (("history",), "history")):
        error = error_of(await client.call(*request, room="/a/1"))
        assert error["code"] == "forbidden"
        assert error["message"] == f"your token does not permit: {what}"
    # a fresh token may permit more, on the same connection
    answer = await client.call("auth", {"token": token(rooms=["a/*"])}, room="/a/1")
    assert answer["ok"]
    await client.post("x", "/a/1")
    error = error_of(await client.call("auth", {"token": token(rooms=["b"])}, room="/a/1"))
    assert error["code"] == "forbidden"
    await client.post("y", "/a/1")


async def test_a_token_in_the_header(serve: Serve, transport: str) -> None:
    running = await serve(auth=AUTH)
    client = await running.open(transport, headers={"Authorization": f"bearer {token()}"})
    await client.connect("/")
    assert (await client.event("welcome"))[0]["user"] == "alice"
    await client.connect("/b", {"token": token(name="Other")})  # that of CONNECT comes first
    assert (await client.event("welcome", "/b"))[0]["name"] == "Other"


async def test_a_user_has_so_many_connections(serve: Serve, transport: str) -> None:
    running = await serve(auth={"secret": SECRET}, limits={"user_connections": 2})
    clients = [await running.open(transport) for _ in range(2)]
    for client in clients:
        for room in ("/", "/b"):  # each counts once, however many rooms it is in
            await client.connect(room, {"token": token()})
    third = await running.open(transport)
    error = await third.refused("/", {"token": token()})
    assert (error["code"], error["retry_after"]) == ("too_many", 5.0)
    assert error["message"] == "you have too many connections"
    assert running.metrics.limit_hits["user_connections"] == 1
    assert (await third.connect("/", {"token": token("bob")})).packet_type == stock.CONNECT
    await clients[0].cut()
    fourth = await running.open(transport)
    await until(lambda: running.server.eio.admission.users.of("alice") == 1)
    assert (await fourth.connect("/", {"token": token()})).packet_type == stock.CONNECT


async def test_guests_are_not_counted_by_their_names(serve: Serve) -> None:
    running = await serve(limits={"user_connections": 1})
    for _ in range(3):
        await running.enter("ann")
    assert len(running.server.eio.admission.users) == 0


async def test_bad_tokens_slow_an_address_down_but_disturb_nobody_who_is_here(
    serve: Serve, transport: str
) -> None:
    running = await serve(
        auth={"secret": SECRET, "anonymous": True},
        server={"trusted_proxies": ["127.0.0.1"]},
        limits={"auth_failure_rate": 0.01, "auth_failure_burst": 3},
    )
    here, there = {"X-Forwarded-For": "203.0.113.1"}, {"X-Forwarded-For": "203.0.113.2"}
    member = await running.open(transport, headers=here)
    await member.connect("/", {"token": token()})
    client = await running.open(transport, headers=here)
    for _ in range(5):  # an old token is not made up
        assert (await client.refused("/", {"token": token(lasts=-9)}))["code"] == "token_expired"
    codes = [(await client.refused("/", {"token": "a.b.c"}))["code"] for _ in range(5)]
    assert codes == ["unauthorized"] * 3 + ["rate_limited"] * 2
    # a good one is not even looked at
    error = await (await running.open(transport, headers=here)).refused("/", {"token": token()})
    assert error["code"] == "rate_limited"
    assert 90 < error["retry_after"] <= 100
    assert running.metrics.limit_hits["auth_failure_rate"] == 3
    # but everything else goes on, there and elsewhere
    assert (await member.call("message", "hello"))["ok"]
    assert (await member.call("auth", {"token": token()}))["ok"]
    assert (await client.connect("/", {"user": "guest"})).packet_type == stock.CONNECT
    other = await running.open(transport, headers=there)
    assert (await other.connect("/", {"token": token()})).packet_type == stock.CONNECT


@pytest.mark.parametrize("room", ["/lobby", "/@me"])
async def test_guesses_on_a_live_connection_count_as_well(
    serve: Serve, transport: str, room: str
) -> None:
    """Who has one good token could try thousands of others by the event `auth` otherwise."""
    running = await serve(
        auth={"secret": SECRET},
        server={"trusted_proxies": ["127.0.0.1"]},
        limits={"auth_failure_rate": 0.01, "auth_failure_burst": 3},
    )
    here, there = {"X-Forwarded-For": "203.0.113.1"}, {"X-Forwarded-For": "203.0.113.2"}
    member = await running.open(transport, headers=here)
    await member.connect(room, {"token": token()})
    for known in (token(lasts=-9), token()):  # neither was made up
        await member.call("auth", {"token": known}, room=room)
    for _ in range(3):
        answer = await member.call("auth", {"token": "a.b.c"}, room=room)
        assert answer["error"]["code"] == "unauthorized"
    client = await running.open(transport, headers=here)
    assert (await client.refused("/", {"token": "a.b.c"}))["code"] == "rate_limited"
    # who is here may go on, and others are not concerned
    assert (await member.call("auth", {"token": token()}, room=room))["ok"]
    other = await running.open(transport, headers=there)
    assert (await other.connect("/", {"token": token()})).packet_type == stock.CONNECT


@pytest.mark.parametrize("field", ["token", "access_token"])
async def test_a_token_in_the_address_is_refused(
    serve: Serve, transport: str, field: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Also where nobody would look at it: the address has been logged by then."""
    running = await serve(auth={**AUTH, "anonymous": True})
    text = token()
    address = f"{running.url}/socket.io/?EIO=4&transport={transport}"
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    headers = {**upgrade, "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="}
    for query in (f"{field}={text}", f"{field}=", f"a=b&{field}=x&{field}=y"):
        async with running.http.get(
            f"{address}&{query}", headers=headers if transport == "websocket" else {}
        ) as answer:
            assert answer.status == 400
            assert "A token does not belong into the address" in (await answer.json())["message"]
    assert running.metrics.invalid_tokens["misplaced"] == 3
    assert not running.server.eio.sockets
    assert text.split(".")[1] not in caplog.text


@pytest.mark.parametrize("field", ["token", "access_token"])
async def test_a_token_in_the_address_where_that_is_allowed(
    serve: Serve, transport: str, field: str
) -> None:
    running = await serve(auth={**AUTH, "allow_query_token": True})
    there = f"&{field}={token('alice')}"
    client = await running.open(transport, query=there)
    await client.connect("/a")
    assert (await client.event("welcome", "/a"))[0]["user"] == "alice"
    assert (await client.connect("/b")).packet_type == stock.CONNECT  # it is the connection's
    # a header comes first, and what is said inside of the connection before both
    bearer = {"Authorization": f"Bearer {token('bob')}"}
    client = await running.open(transport, query=there, headers=bearer)
    await client.connect("/a")
    assert (await client.event("welcome", "/a"))[0]["user"] == "bob"
    client = await running.open(transport, query=there, headers=bearer)
    await client.connect("/a", {"token": token("cat")})
    assert (await client.event("welcome", "/a"))[0]["user"] == "cat"
    client = await running.open(transport, query=f"&{field}=")
    assert (await client.refused("/a"))["code"] == "unauthorized"


async def test_a_token_in_a_packets_address_counts_for_nothing(serve: Serve) -> None:
    running = await serve(auth=AUTH)
    client = await running.open()
    await client.send(f"40/?token={token()},")
    answer = await client.answer((stock.CONNECT_ERROR,), "/")
    assert answer.data["data"]["code"] == "unauthorized"


async def test_one_connection_speaks_for_one_user(serve: Serve, transport: str) -> None:
    running = await serve(auth=AUTH)
    client = await running.open(transport)
    await client.connect("/a", {"token": token("alice")})
    for room in ("/b", "/@me"):
        error = await client.refused(room, {"token": token("bob")})
        assert error["code"] == "forbidden"
        assert error["message"] == "one connection speaks for one user; open another"
    assert (await client.connect("/b", {"token": token("alice")})).packet_type == stock.CONNECT
    error = error_of(await client.call("auth", {"token": token("bob")}, room="/b"))
    assert error["code"] == "forbidden"
    assert error["message"] == "the token is another user's; open a new connection"


async def test_another_users_recovery_token(serve: Serve, transport: str) -> None:
    running = await serve(auth=AUTH)
    bob = await running.open(transport)
    await bob.connect("/", {"token": token("bob")})
    await bob.event("welcome")
    ticket = Ticket(bob)
    alice = await running.open(transport)
    answer = await alice.connect("/", {"token": token("alice"), **ticket.auth})
    assert answer.data["pid"] != ticket.pid
    assert answer.data["sid"] != ticket.sid
    assert (await alice.event("welcome"))[0]["user"] == "alice"
    await bob.post("still here")
    # and it is no token by itself
    nobody = await running.open(transport)
    assert (await nobody.refused("/", ticket.auth))["code"] == "unauthorized"


async def test_guests_beside_tokens(serve: Serve) -> None:
    running = await serve(
        auth={**AUTH, "anonymous": True}, rooms={"rules": [{"match": "staff", "anonymous": False}]}
    )
    client = await running.open()
    await client.connect("/", {"user": "alice"})
    assert (await client.event("welcome"))[0]["user"].startswith("guest:")  # not believed
    assert (await client.refused("/staff"))["code"] == "forbidden"
    assert (await client.connect("/staff", {"token": token()})).packet_type == stock.CONNECT


async def test_a_revoked_token(serve: Serve) -> None:
    running = await serve(auth=AUTH)
    await running.engine.tokens.revoke(Revocation("token", "t1", time.time() + 100))
    client = await running.open()
    assert (await client.refused("/", {"token": token(jti="t1")}))["code"] == "unauthorized"
    assert (await client.connect("/", {"token": token(jti="t2")})).packet_type == stock.CONNECT
    error = error_of(await client.call("auth", {"token": token(jti="t1")}))
    assert error["code"] == "unauthorized"


def since(seconds: float, kind: Any = "user", id: str = "alice") -> Revocation:
    """A rule for tokens that were issued before so many seconds ago."""
    return Revocation(kind, id, time.time() + 3600, time.time() - seconds)


async def ended(client: Client, room: str) -> dict[str, Any]:
    """What a client is told when it is ended in a room."""
    (told,) = await client.event("notice", room)
    await client.answer((stock.DISCONNECT,), room)
    return dict(told)


async def test_a_revoked_user_is_ended_in_all_rooms_and_may_log_in_again(
    serve: Serve, transport: str
) -> None:
    running = await serve(auth=AUTH)
    old, new = token(iat=time.time() - 100), token(iat=time.time() - 10)
    clients = [await running.open(transport) for _ in range(2)]
    for client in clients:
        for room in ("/", "/kitchen", "/@me"):
            assert (await client.connect(room, {"token": old})).packet_type == stock.CONNECT
    fresh, other = await running.open(transport), await running.open(transport)
    await fresh.connect("/kitchen", {"token": new})
    await other.connect("/kitchen", {"token": token("bob")})
    await running.engine.tokens.revoke(since(50))
    for client in clients:
        for room in ("/", "/kitchen", "/@me"):
            assert await ended(client, room) == {
                "code": "token_revoked",
                "message": "the token was revoked",
                "number": 3504,
                "reconnect": False,
            }
        refused = await client.refused("/kitchen", {"token": old})
        assert refused["code"] == "unauthorized"
        assert (await client.connect("/kitchen", {"token": new})).packet_type == stock.CONNECT
    await fresh.post("still here", "/kitchen")
    assert running.metrics.disconnects["token_revoked"] == 6
    assert len(running.hub.holders) == 2
    assert await other.post("so am I", "/kitchen")


async def test_a_revoked_token_ends_its_connections_only(serve: Serve, transport: str) -> None:
    running = await serve(auth=AUTH)
    bad, good = await running.open(transport), await running.open(transport)
    await bad.connect("/", {"token": token(jti="t1")})
    await good.connect("/", {"token": token(jti="t2")})
    await running.engine.tokens.revoke(Revocation("token", "t1", time.time() + 100))
    assert (await ended(bad, "/"))["code"] == "token_revoked"
    await good.post("still here")


async def test_a_token_that_does_not_say_when_it_was_issued_is_as_old_as_can_be(
    serve: Serve,
) -> None:
    running = await serve(auth=AUTH)
    client = await running.open()
    await client.connect("/", {"token": token()})
    await running.engine.tokens.revoke(since(1e9, "all", ""))
    assert (await ended(client, "/"))["code"] == "token_revoked"


async def test_a_fresh_token_saves_a_connection_from_what_befalls_the_old_one(
    serve: Serve, transport: str
) -> None:
    running = await serve(auth=AUTH)
    client = await running.open(transport)
    for room in ("/", "/@me"):
        await client.connect(room, {"token": token(iat=time.time() - 100, jti="old")})
    fresh = token(iat=time.time() - 10, jti="new")
    assert (await client.call("auth", {"token": fresh}, room="/@me"))["ok"]
    await running.engine.tokens.revoke(Revocation("token", "old", time.time() + 100))
    await running.engine.tokens.revoke(since(50))
    await client.post("still here")
    await running.engine.tokens.revoke(Revocation("token", "new", time.time() + 100))
    for room in ("/", "/@me"):
        assert (await ended(client, room))["code"] == "token_revoked"


async def test_guests_have_no_token(serve: Serve) -> None:
    running = await serve(auth={**AUTH, "anonymous": True})
    guest = await running.enter()
    await running.engine.tokens.revoke(since(-1e9, "all", ""))
    await guest.post("still here")


@pytest.mark.parametrize("room", ["/", "/@me"])
@pytest.mark.parametrize("moment", ["identified", "joined"])
async def test_a_token_that_is_revoked_while_its_client_comes_in(
    serve: Serve, transport: str, moment: str, room: str
) -> None:
    """Whatever the join waits for, what it is told in the end is no."""
    running = await serve(auth=AUTH)
    client = await running.open(transport)
    if moment == "identified":
        waits = Spied(running.engine.tokens, "revoked")
    else:
        waits = Spied(running.engine, "rooms_of" if room == "/@me" else "enter")
    go_on = waits.hold()
    joining = asyncio.create_task(client.refused(room, {"token": token(jti="t1")}))
    await waits.called()
    await running.engine.tokens.revoke(Revocation("token", "t1", time.time() + 100))
    go_on.set()
    assert (await joining)["code"] == "unauthorized"
    assert client.events(room, "welcome", "message") == []
    await until(lambda: len(running.hub.holders) == 0 and len(running.hub) == 0)


async def test_a_client_that_waits_for_something_is_ended_all_the_same(
    serve: Serve, transport: str
) -> None:
    """Until its token was looked at again it would be told what happens in the room."""
    running = await serve(auth=AUTH)
    client, other = await running.open(transport), await running.open(transport)
    await client.connect("/", {"token": token(jti="t1")})
    await other.connect("/", {"token": token("bob")})
    waits = Spied(running.engine, "members")
    go_on = waits.hold()
    await client.emit("members", {"all": True})
    await waits.called()
    await running.engine.tokens.revoke(Revocation("token", "t1", time.time() + 100))
    assert (await ended(client, "/"))["code"] == "token_revoked"
    await other.post("is he gone?")
    go_on.set()
    await other.marker(other)
    assert client.bodies() == []


@pytest.mark.parametrize("room", ["/", "/@me"])
async def test_a_token_expires_on_a_live_connection(
    serve: Serve, transport: str, room: str
) -> None:
    running = await serve(auth={**AUTH, "expiry_notice": 3600.0})
    client = await running.open(transport)
    began, end = time.time(), running.server.eio.wheel.slot_in(3600.1)
    await client.connect(room, {"token": token(lasts=3600.1)})
    await client.event("welcome", room)
    (notice,) = await client.event("notice", room)
    told = time.time()
    assert notice["code"] == "token_expiring"
    assert 0 < notice["expires_in"] <= 3600
    assert told - began >= 0.1
    deadline = running.expiry(client, room)
    assert deadline.slot >= end - 1
    deadline.moved(0)  # the hour is over
    (notice,) = await client.event("notice", room)
    assert notice == {
        "code": "token_expired",
        "message": "the token has expired",
        "number": 3500,
        "reconnect": False,
    }
    await client.answer((stock.DISCONNECT,), room)
    assert running.metrics.disconnects["token_expired"] == 1
    assert (await client.refused(room, {"token": token(lasts=-1)}))["code"] == "token_expired"
    assert (await client.connect(room, {"token": token()})).packet_type == stock.CONNECT


@pytest.mark.parametrize("room", ["/", "/@me"])
async def test_a_fresh_token_on_a_live_connection(serve: Serve, transport: str, room: str) -> None:
    running = await serve(auth={**AUTH, "expiry_notice": 3600.0})
    client = await running.open(transport)
    await client.connect(room, {"token": token(lasts=3600.1)})
    ends = []
    for lasts in (3600.1, 7200):
        (notice,) = await client.event("notice", room)
        assert notice["code"] == "token_expiring"
        ends.append(running.expiry(client, room))
        expires = time.time() + lasts
        answer = await client.call("auth", {"token": token(exp=expires)}, room=room)
        assert answer["ok"]
        assert answer["expires_at"] == pytest.approx(expires, abs=0.001)
    assert error_of(await client.call("auth", {"token": "x"}, room=room))["code"] == "unauthorized"
    # the ends of the tokens before do not come any more
    assert not any(deadline.due for deadline in ends)
    assert running.expiry(client, room).due
    identity = running.server._connections[client.sid].clients[room].identity
    assert identity.expires_at == pytest.approx(expires, abs=0.001)
    assert len(client.events(room, "notice")) == 2


async def test_a_token_of_less_than_the_notice(serve: Serve) -> None:
    running = await serve(auth=AUTH)  # 60 s before
    client = await running.open()
    await client.connect("/", {"token": token(lasts=30)})
    await client.event("welcome")
    (notice,) = await client.event("notice")
    assert 29 < notice["expires_in"] <= 30
    await client.post("x")


async def test_a_token_for_ever(serve: Serve) -> None:
    """There is none; the longest is no trouble for the timers."""
    running = await serve(auth={**AUTH, "max_lifetime": 3e8})
    client = await running.open()
    error = await client.refused("/", {"token": token(lasts=10.0**15)})
    assert (error["code"], running.metrics.invalid_tokens["lifetime"]) == ("unauthorized", 1)
    await client.connect("/", {"token": token(lasts=2e8)})
    await client.event("welcome")
    await client.post("x")
    assert client.events("/", "notice") == []


async def test_what_is_asked_at_the_last_moment(serve: Serve) -> None:
    """The end has come, but its deadline has not: nothing is done any more."""
    running = await serve(auth=AUTH)
    client = await running.open()
    for room in ("/", "/@me"):
        await client.connect(room, {"token": token()})
        await client.event("welcome", room)
        member = running.server._connections[client.sid].clients[room]
        member.identity = msgspec.structs.replace(member.identity, expires_at=time.time() - 1)
    assert error_of(await client.call("message", "x"))["code"] == "token_expired"
    assert error_of(await client.call("rooms", room="/@me"))["code"] == "token_expired"


# ---------------------------------------------------------------------------- limits and failures


async def test_too_many_events(serve: Serve, transport: str) -> None:
    running = await serve(limits={"event_rate": 0.5, "event_burst": 13})  # a join costs ten
    alice = await running.enter("alice", "/", transport)
    for _ in range(3):
        assert (await alice.call("typing", True))["ok"]
    error = error_of(await alice.call("typing", False))
    assert (error["code"], error["temporary"]) == ("rate_limited", True)
    assert 0 < error["retry_after"] <= 2.001
    assert running.metrics.limit_hits["event_rate"] == 1
    assert running.metrics.refusals["rate_limited"] == 1
    bob = await running.enter("bob", "/", transport)  # others have their own
    assert (await bob.call("typing", True))["ok"]


async def test_too_many_messages(serve: Serve, transport: str) -> None:
    running = await serve(limits={"message_rate": 0.5, "message_burst": 2})
    alice = await running.enter("alice", "/", transport)
    other = await running.enter("alice", "/", transport)  # the same user: the same limit
    await alice.post(1)
    await other.post(2)
    for client in (alice, other):
        error = error_of(await client.call("message", 3))
        assert error["code"] == "rate_limited"
        assert 0 < error["retry_after"] <= 2.001
    assert running.metrics.limit_hits["message_rate"] == 2
    await alice.connect("/b", {"user": "alice"})
    await alice.post(1, "/b")  # another room: another limit
    assert len((await alice.call("history"))["items"]) == 2


async def test_a_user_sends_too_many_events_over_two_connections(
    serve: Serve, transport: str
) -> None:
    running = await serve(limits={"user_event_rate": 0.1, "user_event_burst": 40})
    ann, again = [await running.enter("ann", transport=transport) for _ in range(2)]
    ben = await running.enter("ben", transport=transport)
    for client in (ann, again):  # a join costs ten, and so does this
        assert (await client.call("members"))["ok"]
    for client in (ann, again):
        error = (await client.call("members"))["error"]
        assert error["code"] == "rate_limited"
        assert 0 < error["retry_after"] <= 100
    assert running.metrics.limit_hits["user_event_rate"] == 2
    assert (await ben.call("members"))["ok"]


@pytest.mark.parametrize("acked", [True, False])
async def test_who_is_refused_too_often_is_put_out_and_does_not_come_back(
    serve: Serve, transport: str, acked: bool
) -> None:
    running = await serve(limits={"refused_burst": 3, "refused_rate": 0.01})
    ann, ben = await running.enter("ann", transport=transport), await running.enter("ben")
    assert (await ann.connect("/other", {"user": "ann"})).packet_type == stock.CONNECT
    for _ in range(3):
        if acked:
            assert not (await ann.call("message"))["ok"]
        else:
            await ann.emit("message")
    await ann.write(stock.EVENT, "/", ["no such event"], 99)
    await ann.gone()
    for room in ("/", "/other"):
        farewell = ann.events(room, "notice")[-1][1]
        assert (farewell["code"], farewell["reconnect"]) == ("too_many_errors", False)
        assert any(
            packet.packet_type == stock.DISCONNECT and (packet.namespace or "/") == room
            for packet in ann.packets
        )
    assert not any(packet.id == 99 for packet in ann.packets)
    assert running.metrics.disconnects["too_many_errors"] == 1
    assert running.metrics.limit_hits["refused_rate"] == 1
    assert running.metrics.refusals["bad_request"] == 3
    assert running.metrics.refusals["unknown_event"] == 1
    assert await ben.post("still here") == 1


async def test_what_waited_behind_the_refusal_that_was_too_many_is_not_done(
    serve: Serve, transport: str
) -> None:
    running = await serve(limits={"refused_burst": 1, "refused_rate": 0.01})
    ann, ben = await running.enter("ann", transport=transport), await running.enter("ben")
    packets = ['42["message"]'] * 2 + ['42["message","never"]', "40/other,{}"] * 50
    with suppress(AssertionError, ConnectionError):  # perhaps it is closed before all is sent
        await ann.send(*packets)
    await ann.gone()
    assert await ben.post("the first") == 1
    assert running.metrics.refusals["bad_request"] == 2
    assert list(running.hub._rooms) == ["lobby"]


async def test_who_is_refused_the_rooms_themselves_too_often(serve: Serve, transport: str) -> None:
    running = await serve(limits={"refused_burst": 5, "refused_rate": 0.01})
    client = await running.open(transport)
    for number in range(5):
        assert (await client.refused(f"/no room {number}"))["code"] == "bad_room"
    await client.write(stock.CONNECT, "/one too many")
    await client.gone()
    assert running.metrics.disconnects["too_many_errors"] == 1


async def test_what_fails_through_no_fault_of_the_client_keeps_it_in(
    serve: Serve, transport: str
) -> None:
    running = await serve(limits={"refused_burst": 1, "refused_rate": 0.01})
    staged = StagedEngine(running.engine)
    running.app[ROOMS]._engine = staged  # type: ignore[assignment]
    client = await running.enter("ann", transport=transport)
    for _ in range(5):
        staged.fail("publish", Refusal("unavailable", retry_after=1.0))
        assert (await client.call("message", "hi"))["error"]["code"] == "unavailable"
    assert await client.post("hi") == 1


UNASKED_PACKETS = {"pong": "3", "noop": "6", "ack": '4377["x"]', "late": '42/left,["message","x"]'}


@pytest.mark.parametrize("what", UNASKED_PACKETS)
async def test_what_asks_for_nothing_is_counted_and_a_flood_of_it_ends(
    serve: Serve, transport: str, what: str
) -> None:
    """No answer could tell its sender to slow down."""
    if (what, transport) == ("noop", "polling"):
        return  # is no packet that may be posted
    running = await serve(
        limits={"event_burst": 40, "event_rate": 0.1, "refused_burst": 2, "refused_rate": 0.1}
    )
    client = await running.enter("ann", transport=transport)
    await client.connect("/left")
    await client.write(stock.DISCONNECT, "/left")
    before = running.metrics.unasked[what]
    await client.send(UNASKED_PACKETS[what])
    assert (await client.call("typing", False))["ok"]
    assert running.metrics.unasked[what] == before + 1
    with suppress(AssertionError, ConnectionError):
        await client.send(*[UNASKED_PACKETS[what]] * 80)
    await client.gone()
    assert running.metrics.disconnects["too_many_errors"] == 1


async def test_without_rate_limits(serve: Serve) -> None:
    running = await serve(
        limits={"enabled": False, "event_rate": 0.1, "event_burst": 1, "message_burst": 1}
    )
    alice = await running.enter("alice")
    for number in range(50):
        await alice.post(number)


async def test_the_store_cannot_be_written(serve: Serve, transport: str) -> None:
    running = await serve()
    alice = await running.enter("alice", "/", transport)
    await alice.post("before")
    publish = Spied(running.engine, "publish")
    publish.failure = Refusal("unavailable", retry_after=1.5)
    assert await alice.call("message", "x") == {
        "ok": False,
        "error": {
            "code": "unavailable",
            "message": "the store cannot be written just now",
            "temporary": True,
            "retry_after": 1.5,
        },
    }
    assert len((await alice.call("history"))["items"]) == 1  # reading goes on
    publish.failure = None
    await alice.post("after")


async def test_the_engine_lets_nobody_in(serve: Serve, transport: str) -> None:
    running = await serve()
    bob = await running.enter("bob")
    for name in ("join", "enter", "history"):
        spied = Spied(running.engine, name)
        spied.failure = Refusal("unavailable")
        client = await running.open(transport)
        error = await client.refused("/", {"user": "alice"})
        assert (error["code"], error["temporary"]) == ("unavailable", True)
        spied.failure = None
        assert (await client.connect("/", {"user": "alice"})).packet_type == stock.CONNECT
        await client.marker(bob)
        await client.cut()


async def test_a_fault_of_ours_is_told_to_the_operator_once(
    serve: Serve, transport: str, caplog: pytest.LogCaptureFixture
) -> None:
    running = await serve()
    alice = await running.enter("alice", "/", transport)
    publish = Spied(running.engine, "publish")
    publish.failure = ZeroDivisionError("secret detail")
    caplog.clear()
    assert await alice.call("message", "x") == {
        "ok": False,
        "error": {
            "code": "internal",
            "message": "something went wrong here; it was logged",
            "temporary": True,
        },
    }
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert record.getMessage() == "the event 'message' failed"
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError
    assert running.metrics.refusals["internal"] == 1
    await alice.emit("message", "x")
    assert (await alice.event("notice"))[0]["code"] == "internal"
    publish.failure = None
    await alice.post("the connection lives")


async def test_a_fault_of_ours_while_joining(
    serve: Serve, transport: str, caplog: pytest.LogCaptureFixture
) -> None:
    running = await serve()
    client = await running.open(transport)
    issue = Spied(running.server._recovery, "issue")  # after the engine has let it in
    issue.failure = ZeroDivisionError("secret detail")
    error = await client.refused("/den", {"user": "alice"})
    assert error["code"] == "internal"
    assert "secret" not in json.dumps(error)
    assert caplog.text.count("ZeroDivisionError") == 1
    assert len(running.hub) == 0
    issue.failure = None
    assert (await client.connect("/den", {"user": "alice"})).packet_type == stock.CONNECT


@pytest.mark.parametrize("name", ["join", "enter", "history"])
@pytest.mark.parametrize("patient", [True, False], ids=["told after", "told meanwhile"])
async def test_a_client_that_vanishes_while_it_joins(
    serve: Serve, transport: str, name: str, patient: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not patient:  # the engine takes longer than the handlers of who has gone are waited for
        monkeypatch.setattr(sessions_module, "DISCONNECT_GRACE", 0.01)
    running = await serve(presence=MANUALLY)
    bob = await running.enter("bob", "/other")
    spied = Spied(running.engine, name)
    release = spied.hold()
    left = Spied(running.engine, "exit")
    client = await running.open(transport)
    await client.write(stock.CONNECT, "/den", {"user": "alice"})
    await spied.called()
    await client.cut()
    if not patient:
        await left.called()
    release.set()
    await spied.until(lambda: spied.done == 1)
    await left.until(lambda: left.done == len(left.calls) >= 1)
    await bob.post("x", "/other")
    await running.sweep(later=5000)
    assert (await running.engine.counts("den")).online == 0
    assert len(running.hub) == 1
    assert "den" not in running.engine._watched
    assert set(running.server.manager.rooms) == {"/other"}
    assert running.metrics.clients == 1
    assert not any(running.metrics.refusals.values())


@pytest.mark.parametrize("patient", [True, False], ids=["told after", "told meanwhile"])
async def test_a_client_that_vanishes_while_the_session_room_opens(
    serve: Serve, patient: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not patient:
        monkeypatch.setattr(sessions_module, "DISCONNECT_GRACE", 0.01)
    running = await serve()
    spied = Spied(running.engine, "rooms_of")
    release = spied.hold()
    client = await running.open()
    await client.write(stock.CONNECT, "/@me", {"user": "alice"})
    await spied.called()
    leave = Spied(running.server, "_leave")
    await client.cut()
    if not patient:
        await leave.called()
    release.set()
    await spied.until(lambda: spied.done == 1)


async def test_a_client_that_vanishes_in_a_replay(serve: Serve, transport: str) -> None:
    running = await serve(limits={"enabled": False})
    bob = await running.enter("bob")
    alice = await running.enter("alice", "/", transport)
    ticket = Ticket(alice)
    await alice.cut()
    for number in range(100):
        await bob.post([number, "x" * 60_000])
    left = Spied(running.engine, "exit")
    client = await running.open("polling", polls=False)
    await client.write(stock.CONNECT, "/", {"user": "alice", **ticket.auth})
    await client.poll()
    await client.cut()
    await left.until(lambda: left.done == 1)
    assert running.metrics.clients == 1
    await bob.post("x")


async def test_a_client_that_vanishes_while_it_replaces_another(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions_module, "DISCONNECT_GRACE", 0.01)
    running = await serve()
    bob = await running.enter("bob")
    old = await running.enter("alice")
    ticket = Ticket(old)
    left = Spied(running.engine, "exit")
    release = left.hold()
    new = await running.open()
    await new.write(stock.CONNECT, "/", {"user": "alice", **ticket.auth})
    await left.called(1)  # the old one's
    await new.cut()
    await left.called(2)  # the new one's, which is told before it is in
    release.set()
    left.held = None
    await left.until(lambda: left.done == len(left.calls) >= 2)
    await old.gone()
    await bob.marker(bob)
    assert running.server.manager.eio_sid_from_sid(ticket.sid, "/") is None
    assert running.metrics.clients == 1


async def test_a_kick_in_the_middle_of_a_replay(serve: Serve) -> None:
    running = await serve(limits={"enabled": False})
    bob, _ = await away(running, "websocket")
    for number in range(100):
        await bob.post([number, "x" * 15_000])
    alice = await running.open("polling", polls=False)
    await alice.write(stock.CONNECT, "/", {"user": "alice"})
    await alice.write(stock.CONNECT, "/b", {"user": "alice"})
    while not alice.bodies():
        await alice.poll()
    await running.server.disconnect(Ticket(alice).sid, "/")
    while not any(packet.packet_type == stock.DISCONNECT for packet in alice.packets):
        await alice.poll()
    while not alice.events("/b", "welcome"):
        await alice.poll()
    end = [packet.packet_type for packet in alice.packets].index(stock.DISCONNECT)
    assert all(packet.namespace == "/b" for packet in alice.packets[end + 1 :])
    assert len(alice.bodies()) < 100
    assert running.metrics.clients == 2  # bob, and alice in the other room


async def test_what_waits_behind_an_event_when_the_client_is_kicked(
    serve: Serve, transport: str
) -> None:
    running = await serve()
    alice = await running.enter("alice", "/", transport)
    ticket = Ticket(alice)
    publish = Spied(running.engine, "publish")
    release = publish.hold()
    await alice.write(stock.EVENT, "/", ["message", "x"], 101)
    await publish.called()
    dispatch = Spied(running.server, "_dispatch")
    await alice.write(stock.EVENT, "/", ["message", "y"], 102)
    await dispatch.called()
    await running.server.disconnect(ticket.sid)
    release.set()
    packet = await alice.answer((stock.ACK,), "/", id=101)
    assert packet.data[0]["ok"]  # it was stored, so it is told
    packet = await alice.answer((stock.ACK,), "/", id=102)
    assert error_of(packet.data[0])["code"] == "not_member"


async def test_who_is_banned_is_told_why_and_does_not_come_in(serve: Serve, transport: str) -> None:
    running = await serve()
    moderation = running.app[ROOMS].moderation
    alice = await running.enter("alice", "/den", transport)
    await moderation.impose_in("den", "ban", wire.Order("alice", reason="spam"), "ops")
    notice, *_ = await alice.event("notice", "/den")
    assert (notice["code"], notice["number"], notice["reconnect"]) == ("banned", 3506, False)
    assert "spam" in notice["message"]
    await alice.answer((stock.DISCONNECT,), "/den")
    answer = await alice.connect("/den", {"user": "alice"})
    assert answer.packet_type == stock.CONNECT_ERROR
    assert (answer.data["data"]["code"], answer.data["data"]["temporary"]) == ("banned", False)
    answer = await alice.connect("/other", {"user": "alice"})
    assert answer.packet_type == stock.CONNECT
    await moderation.impose_in("*", "ban", wire.Order("alice"), "ops")
    await alice.answer((stock.DISCONNECT,), "/other")
    answer = await alice.connect("/@me", {"user": "alice"})
    assert answer.data["data"]["code"] == "banned"
    assert running.metrics.disconnects["banned"] == 2


async def test_a_ban_by_address_meets_who_comes_from_there(serve: Serve, transport: str) -> None:
    running = await serve(server={"trusted_proxies": ["127.0.0.1"]})

    async def enter(user: str, address: str) -> Packet:
        client = await running.open(transport, headers={"X-Forwarded-For": address})
        return await client.connect("/den", {"user": user})

    assert (await enter("alice", "198.51.100.7")).packet_type == stock.CONNECT
    order = wire.Order("alice", address=True)
    await running.app[ROOMS].moderation.impose_in("den", "ban", order, "ops")
    await running.engine.members("den", limit=1)  # by then it was learned
    assert (await enter("evader", "198.51.100.7")).packet_type == stock.CONNECT_ERROR
    assert (await enter("bob", "198.51.100.8")).packet_type == stock.CONNECT


async def test_a_slow_joiner_misses_nothing(serve: Serve, transport: str) -> None:
    running = await serve()
    bob = await running.enter("bob")
    history = Spied(running.engine, "history")
    release = history.hold()
    alice = await running.open(transport)
    await alice.write(stock.CONNECT, "/", {"user": "alice"})
    await history.called()
    for number in range(50):
        await bob.post(number)
    release.set()
    await alice.until(lambda: alice.bodies() == list(range(50)))


async def test_a_joiner_for_whom_too_much_is_announced_reads_on(
    serve: Serve, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sioserver.hub.JOIN_BUFFER", 10)
    running = await serve()
    bob = await running.enter("bob")
    history = Spied(running.engine, "history")
    alice = await running.open(transport)
    # what is announced between the page and the end of the join is too much to be kept

    async def late(*args: Any, **options: Any) -> Any:
        page = await Spied.__call__(history, *args, **options)
        await flooded.wait()
        return page

    flooded = asyncio.Event()
    monkeypatch.setattr(running.engine, "history", late)
    await alice.write(stock.CONNECT, "/", {"user": "alice"})
    await history.until(lambda: history.done == 1)
    for number in range(20):
        await bob.post(number)
    flooded.set()
    await alice.until(lambda: alice.bodies() == list(range(20)))
    assert not alice.ended
    await bob.marker(alice)
    assert running.metrics.disconnects["slow"] == 0
    assert (running.metrics.catch_ups, running.metrics.clients_behind) == (0, 0)


async def stalled(running: Running, transport: str, *rooms: str, user: str = "alice") -> Client:
    """A client that has joined the rooms, read the welcomes, and reads no more."""
    slow = await running.open(transport, polls=False)
    for room in rooms:
        await slow.write(stock.CONNECT, room, {"user": user})
        while not slow.events(room):
            await (slow.poll() if transport == "polling" else slow.event("welcome", room))
    if slow.ws is not None:
        slow.ws._response.connection.transport.pause_reading()
    return slow


async def until_behind(running: Running, bob: Client, slow: Client, *rooms: str) -> int:
    """Post until the slow one has fallen behind in each of the rooms; how many bodies each got."""
    clients = running.server.eio.sockets[slow.sid].owner.clients
    number = 0
    while any(running.hub.is_live(clients[room]) for room in rooms):
        number += 1
        assert number < 500
        for room in rooms:
            await bob.post([number, "x" * 50_000], room)
    return number


def read_on(slow: Client) -> None:
    if slow.ws is not None:
        slow.ws._response.connection.transport.resume_reading()
    else:
        slow._reader = asyncio.create_task(slow._poll_on())


SLOWLY = {"client_queue": 600_000, "max_body": 60_000, "enabled": False}


async def test_a_slow_reader_reads_on_and_has_missed_nothing(serve: Serve, transport: str) -> None:
    running = await serve(limits=SLOWLY, small_buffers=True)
    bob, carol = await running.enter("bob"), await running.enter("carol", "/", "polling")
    slow = await stalled(running, transport, "/")
    number = await until_behind(running, bob, slow, "/")
    session = running.server.eio.sockets[slow.sid]
    waiting = session.queued
    for _ in range(20):  # which cost it nothing
        number += 1
        await bob.post([number, "x" * 50_000])
    assert session.queued <= waiting + 100  # a ping
    # a busy machine may make slow readers of the others too
    assert running.metrics.catch_ups == running.metrics.limit_hits["client_queue"] >= 1
    for client in (bob, carol):
        await client.until(lambda c=client: len(c.bodies()) == number)
    read_on(slow)
    await slow.until(lambda: len(slow.bodies()) == number)
    await bob.marker(slow)
    assert slow.bodies() == bob.bodies()
    epoch = Ticket(slow).offset.rpartition(".")[0]
    offsets = [data[-1] for data in slow.events("/", "message")]
    assert offsets == [f"{epoch}.{n}" for n in range(1, number + 2)]
    assert slow.events("/", "gap") == []
    assert not slow.ended
    await until(lambda: running.metrics.clients_behind == 0)
    assert running.metrics.disconnects["slow"] == 0


async def test_a_slow_reader_falls_behind_in_each_room_and_catches_up_in_each(
    serve: Serve, transport: str
) -> None:
    running = await serve(limits=SLOWLY, small_buffers=True)
    rooms = ("/a", "/b", "/c")
    bob = await running.open()
    for room in (*rooms, "/quiet"):
        await bob.connect(room, {"user": "bob"})
    slow = await stalled(running, transport, *rooms, "/quiet")
    number = await until_behind(running, bob, slow, *rooms)
    await bob.post("a small one", "/quiet")
    read_on(slow)
    for room in rooms:
        await slow.until(lambda r=room: len(slow.bodies(r)) == number)
        assert [found for found, _ in slow.bodies(room)] == [*range(1, number + 1)]
    await slow.until(lambda: slow.bodies("/quiet") == ["a small one"])
    for room in rooms:
        await bob.marker(slow, room)
    await until(lambda: running.metrics.clients_behind == 0)


async def test_many_rooms_in_which_much_was_missed(serve: Serve, transport: str) -> None:
    """Each alone is little enough to be written at once; together they are not."""
    running = await serve(limits=SLOWLY, small_buffers=True)
    rooms = [f"/r{number}" for number in range(16)]
    bob = await running.open()
    epoch = ""
    for room in rooms:
        await bob.connect(room, {"user": "bob"})
        epoch = (await bob.event("welcome", room))[-1].partition(".")[0]
        for number in (1, 2):
            await bob.post([number, "x" * 50_000], room)
    slow = await running.open(transport, polls=False)
    if slow.ws is not None:
        slow.ws._response.connection.transport.pause_reading()  # type: ignore[union-attr]
    session = running.server.eio.sockets[slow.sid]
    for room in rooms:
        await slow.write(stock.CONNECT, room, {"user": "alice", "position": f"{epoch}.0"})
    await until(lambda: running.metrics.clients == 2 * len(rooms))
    assert session.queued <= SLOWLY["client_queue"]
    read_on(slow)
    for room in rooms:
        await slow.until(lambda r=room: len(slow.bodies(r)) == 2)
        assert [found for found, _ in slow.bodies(room)] == [1, 2]
    assert running.metrics.limit_hits["client_queue"] == running.metrics.disconnects["slow"] == 0


async def test_a_slow_reader_that_takes_nothing_is_closed_and_comes_back(
    serve: Serve, transport: str
) -> None:
    running = await serve(limits={**SLOWLY, "slow_after": 0.2}, small_buffers=True)
    bob = await running.enter("bob")
    carol = await running.enter("carol", "/", "polling")
    slow = await stalled(running, transport, "/")
    ticket = Ticket(slow)
    number = await until_behind(running, bob, slow, "/")
    while running.metrics.disconnects["slow"] == 0:
        number += 1
        assert number < 2000
        await bob.post([number, "x" * 10_000])
    assert running.metrics.limit_hits["client_queue"] >= 1
    assert running.metrics.limit_hits["slow_after"] == 1
    for client in (bob, carol):
        await client.until(lambda c=client: len(c.bodies()) == number)
        assert not client.ended
    again = await running.open(transport)
    await again.connect("/", {"user": "alice", **ticket.auth})
    await again.until(lambda: len(again.bodies()) == number)
    assert again.bodies() == bob.bodies()
    await until(lambda: running.metrics.clients_behind == 0)


async def test_who_is_behind_may_ask_and_is_answered(serve: Serve) -> None:
    """Half of the queue is for that."""
    running = await serve(limits=SLOWLY)
    bob = await running.enter("bob")
    slow = await stalled(running, "polling", "/")
    await until_behind(running, bob, slow, "/")
    await slow.write(stock.EVENT, "/", ["message", "mine"], 7)
    await slow.write(stock.EVENT, "/", ["history", {"limit": 1}], 8)
    await bob.until(lambda: "mine" in bob.bodies())
    assert "slow" not in {code for code, count in running.metrics.disconnects.items() if count}
    read_on(slow)
    for id in (7, 8):
        packet = await slow.answer((stock.ACK,), "/", id=id)
        assert packet.data[0]["ok"]
    await slow.until(lambda: "mine" in slow.bodies())
    assert slow.bodies() == bob.bodies()


async def test_the_counts_are_right_after_a_slow_reader_has_caught_up(serve: Serve) -> None:
    running = await serve(limits=SLOWLY, presence=MANUALLY)
    bob = await running.enter("bob")
    slow = await stalled(running, "polling", "/")
    await running.sweep()
    await slow.poll()
    await until_behind(running, bob, slow, "/")
    others = [await running.enter(f"u{number}") for number in range(5)]
    await running.sweep()
    await others[0].cut()
    await until(lambda: running.metrics.clients == 6)
    await running.sweep(later=2000.0)
    read_on(slow)
    before = len(slow.events("/", "presence"))
    await slow.until(lambda: len(slow.events("/", "presence")) > before)
    _, counts = slow.events("/", "presence")[-1]
    assert (counts["online"], counts["total"]) == (6, 7)
    assert counts == {**bob.events("/", "presence")[-1][1], "joined": [], "left": []}
    await bob.marker(slow)
    assert len(slow.events("/", "presence")) == before + 1


async def test_who_is_behind_can_be_kicked(serve: Serve) -> None:
    running = await serve(limits=SLOWLY)
    bob = await running.enter("bob")
    slow = await stalled(running, "polling", "/")
    await until_behind(running, bob, slow, "/")
    await running.server.disconnect(Ticket(slow).sid)
    read_on(slow)
    await slow.answer((stock.DISCONNECT,), "/")
    assert running.metrics.clients_behind == 0
    assert running.metrics.clients == 1


async def test_a_node_that_stops_lets_go_of_who_is_behind(serve: Serve, transport: str) -> None:
    running = await serve(limits=SLOWLY, small_buffers=True)
    bob = await running.enter("bob")
    slow = await stalled(running, transport, "/")
    await until_behind(running, bob, slow, "/")
    await running.stop()
    running.assert_empty()
    assert running.metrics.clients_behind == 0
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("catch-up")]


async def test_ephemeral_events_are_dropped_for_a_slow_reader(serve: Serve) -> None:
    rules = [{"match": "*", "relay": ["shout"]}]
    running = await serve(
        limits={"client_queue": 100_000, "enabled": False}, rooms={"rules": rules}
    )
    bob = await running.enter("bob")
    slow = await running.open("polling", polls=False)
    await slow.write(stock.CONNECT, "/", {"user": "alice"})
    while not slow.events():
        await slow.poll()
    for _ in range(20):
        assert (await bob.call("shout", "x" * 30_000))["ok"]
    assert running.metrics.dropped["slow"] >= 15
    while not slow.events("/", "shout"):
        await slow.poll()
    assert (await bob.call("members"))["total"] == 2
    await bob.post("durable")
    while slow.bodies() != ["durable"]:
        await slow.poll()


# ---------------------------------------------------------------------------- the end


async def test_a_kick(serve: Serve, transport: str) -> None:
    """As a library user would do it."""
    running = await serve()
    bob = await running.enter("bob", "/a")
    client = await running.enter("alice", "/a", transport)
    await client.connect("/b", {"user": "alice"})
    ticket = Ticket(client, "/a")
    await running.server.disconnect(ticket.sid, "/a")
    (notice,) = await client.event("notice", "/a")
    assert (notice["code"], notice["reconnect"]) == ("kicked", False)
    await client.answer((stock.DISCONNECT,), "/a")
    await client.post("the other room goes on", "/b")
    await running.server.disconnect(ticket.sid, "/a")  # twice does no harm
    await running.server.disconnect("nobody", "/a")
    await bob.marker(bob, "/a")
    assert running.metrics.disconnects["kicked"] == 1


async def test_a_drain_closes_a_few_at_a_time(serve: Serve) -> None:
    running = await serve()
    clients = [await running.enter(f"u{n}", "/", TRANSPORTS[n % 2]) for n in range(12)]
    tickets = [Ticket(client) for client in clients]
    loop = asyncio.get_running_loop()
    times: list[float] = []
    closed = running.server.eio.hooks.on_closed

    def noted(session: Any) -> None:
        times.append(loop.time())
        closed(session)

    running.server.eio.hooks.on_closed = noted  # type: ignore[method-assign]
    await running.server.drain(6 * draining.SLICE)
    assert len(times) == 12
    slices = sorted({round(moment / draining.SLICE * 4) for moment in times})
    assert len(slices) >= 5
    for client in clients:
        await client.gone()
        assert not any(packet.packet_type == stock.DISCONNECT for packet in client.packets)
        if client.transport == "websocket":
            assert client.close_code == 1001
    assert running.metrics.disconnects["shutdown"] == 12
    # nobody new is let in
    async with running.http.get(f"{running.url}/socket.io/?EIO=4&transport=polling") as answer:
        assert answer.status == 503
        assert answer.headers["Retry-After"]
    # elsewhere, they recover: the token says it all
    running.server.eio.stopping = False
    again = await running.open()
    answer = await again.connect("/", {"user": "u0", **tickets[0].auth})
    assert answer.data["sid"] == tickets[0].sid


async def test_a_drain_ends_what_is_carried_for_other_nodes(serve: Serve) -> None:
    running = await serve()
    ended: list[int] = []
    running.server.eio.carried = lambda: [partial(ended.append, number) for number in range(20)]
    await running.server.drain(3 * draining.SLICE)
    assert sorted(ended) == [*range(20)]


async def test_the_pace_of_a_drain_is_not_even(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = await serve()
    for number in range(6):
        await running.enter(f"u{number}", "/", "websocket")
    pauses: list[float] = []
    sleep, mine = asyncio.sleep, asyncio.current_task()

    async def paused(seconds: float) -> None:
        if asyncio.current_task() is mine:
            pauses.append(seconds)
        await sleep(seconds)

    monkeypatch.setattr(asyncio, "sleep", paused)
    await running.server.drain(6 * draining.SLICE)
    assert len(set(pauses)) == 5
    slice_ = draining.SLICE
    assert all(0.5 * slice_ <= pause <= 1.5 * slice_ for pause in pauses)


async def test_a_drain_of_nobody(serve: Serve) -> None:
    running = await serve()
    await running.server.drain(5.0)


# ---------------------------------------------------------------------------- stock clients


@pytest.mark.parametrize("transports", [["websocket"], ["polling"], ["polling", "websocket"]])
async def test_the_python_client(serve: Serve, transports: list[str]) -> None:
    running = await serve()
    bob = await running.enter("bob", "/den")
    client = socketio.AsyncClient(reconnection=False)
    got: asyncio.Queue[Any] = asyncio.Queue()

    async def keep(event: str, namespace: str, *args: Any) -> None:
        await got.put((event, args))

    client.on("*", namespace="*", handler=keep)
    await client.connect(
        running.url, auth={"user": "alice"}, namespaces=["/den"], transports=transports
    )
    async with asyncio.timeout(PATIENCE):
        assert (await got.get())[0] == "welcome"
        answer = await client.call("message", ({"a": b"\x00"}, {"id": "x"}), namespace="/den")
        assert answer["ok"]
        assert answer["offset"] == 1
        await bob.post("hello", "/den")
        bodies = []
        while len(bodies) < 2:
            event, args = await got.get()
            if event == "message":
                bodies.append(args[0]["body"])
        assert bodies == [{"a": b"\x00"}, "hello"]
        with pytest.raises(socketio.exceptions.ConnectionError):
            await running_refuses(running)
    await client.disconnect()


async def running_refuses(running: Running) -> None:
    client = socketio.AsyncClient(reconnection=False)
    await client.connect(running.url, namespaces=["/no good"], transports=["websocket"])
