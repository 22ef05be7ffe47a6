"""Junk on every channel that a node listens to: counted, and nobody in the rooms is any the wiser.

The channels are those that the server itself says are listened to, so a new one is tested too.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sioserver.app import METRICS, NODE, ROOMS, SERVER, create_app
from sioserver.config import Config
from sioserver.config.schema import Limits, Presence
from sioserver.valkey import Valkey
from tests import redis_servers
from tests.redis_servers import admin

from ..transport.kit import WebSocket, serve, until

ROOM = "hall"
PATIENCE = 30.0

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
method = st.sampled_from(
    ["emit", "disconnect", "enter_room", "leave_room", "close_room", "callback", "replaced", "x"]
)
command = st.fixed_dictionaries(
    {"method": method},
    optional=dict.fromkeys(
        ("event", "data", "sid", "room", "namespace", "host_id", "n", "id", "args"), json_values
    ),
)
kinds = st.sampled_from([b"", b"m", b"p", b"e", b"l", b"n", b"r", b"m1:", b"m2:abc:", b"m-5::"])
junk = st.one_of(
    st.binary(max_size=200),
    json_values.map(lambda value: json.dumps(value).encode()),
    command.map(lambda value: json.dumps(value).encode()),
    # what our own scripts pack; a number too large for msgpack is somebody else's test
    st.tuples(kinds, st.lists(st.text() | st.integers(0, 2**63) | st.binary(), max_size=7)).map(
        lambda pair: pair[0] + msgspec.msgpack.encode(pair[1])
    ),
    st.tuples(kinds, st.binary(max_size=80)).map(b"".join),
)
NASTY = [
    b"\x80\x04\x95\x1a\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94.",
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b"\x91" * 100_000,
    *(kind + b"\x91" * 100_000 for kind in (b"n", b"p", b"e", b"l", b"m1:x:")),
    b"x" * 10_000_000,
    b"[" + b"1," * 5_000_000 + b"1]",
    b'{"method":"emit","event":"e","data":[NaN]}',
    b'{"method":"emit","event":"e","data":[' + b"9" * 6000 + b"]}",
    b'{"method":"emit","event":"connect","data":[]}',
    b"\xff\xfe",
    b"",
]


class Errors(logging.Handler):
    """What somebody would have to look at."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.tracebacks: list[str] = []
        self.lines = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.lines += 1
        if record.exc_info:
            self.tracebacks.append(self.format(record))


class Node:
    """A whole server, two clients in a room of it, and a hand on its Valkey."""

    def __init__(self, valkey: Valkey, runner: asyncio.Runner, secret: str) -> None:
        self._runner = runner
        self._stack = AsyncExitStack()
        self._client = admin(valkey)
        self.settings = redis_servers.settings(valkey, bus_secret=secret)
        self.errors = Errors()
        self.echoes = 0
        self.clients: list[WebSocket] = []
        self.run(self._start())

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self._runner.run(asyncio.wait_for(coroutine, PATIENCE))

    async def _start(self) -> None:
        logging.getLogger("sioserver").addHandler(self.errors)
        config = Config(
            redis=self.settings, presence=Presence(batch=60), limits=Limits(enabled=False)
        )
        self.app = create_app(config)
        site = await self._stack.enter_async_context(serve(_Attached(self.app), "sub/socket.io"))
        for name in ("ann", "bob"):
            client = await site.websocket()
            await client.join(f"/{ROOM}", {"user": name})
            assert "welcome" in str(await client.receive())
            self.clients.append(client)
        await self.echo()  # everything that has to be subscribed to is, and nothing else comes

    async def stop(self) -> None:
        for client in self.clients:
            await client.send("1")
        await self._stack.aclose()
        logging.getLogger("sioserver").removeHandler(self.errors)
        self._client.close()

    def channels(self) -> list[str]:
        """All that it listens to, its patterns filled in."""
        found = [name.decode() for name in self._client.pubsub_channels()]
        mine = [name for name in found if name.startswith(self.settings.prefix)]
        key = self.settings.prefix
        ends = (f"/{ROOM}#", f"/{ROOM}#room#", "", "#", "/#", "/nowhere#", "\n#\xe9#")
        assert int(self._client.pubsub_numpat()) >= 2
        return mine + [f"{key}{kind}#{end}" for kind in ("", "-request") for end in ends]

    def publish(self, channel: str, payload: bytes) -> None:
        assert self._client.publish(channel, payload) >= 1, channel

    async def echo(self) -> None:
        """Both clients say something, are answered, and hear both; nothing else comes. That takes
        each message through every channel behind what was published before."""
        for number, client in enumerate(self.clients):
            self.echoes += 1
            body = f"{number} {self.echoes}"
            await client.send(f'42/{ROOM},{self.echoes}["message","{body}"]')
            packets = [str(await client.receive()), str(await client.receive())]
            assert any(packet.startswith(f"43/{ROOM},{self.echoes}[") for packet in packets)
            assert any(f'"body":"{body}"' in packet for packet in packets), packets
            other = str(await self.clients[1 - number].receive())
            assert f'"body":"{body}"' in other, other

    async def settled(self) -> None:
        """Nothing waits on python-socketio's channel either."""
        before = self.bus["heard"]
        message = {"method": "close_room", "room": "nobody's", "namespace": f"/{ROOM}"}
        await asyncio.to_thread(self.publish, self.settings.prefix, json.dumps(message).encode())
        while self.bus["heard"] == before:
            await asyncio.sleep(0.002)

    @property
    def bus(self) -> dict[str, int]:
        return self.app[METRICS].bus

    async def counts(self, number: int) -> None:
        """So many were ignored."""
        await until(lambda: self.counted() >= number, PATIENCE)

    def counted(self) -> int:
        """Messages that were ignored, by whomever."""
        stats = self.app[NODE]._engine.stats()
        foreign = sum(
            int(count)
            for name, count in stats.items()
            if name.endswith(("foreign_total", "strange_total"))
        )
        return foreign + sum(self.bus[what] for what in ("ignored", "skipped", "unsigned"))


class _Attached:
    def __init__(self, app: Any) -> None:
        self._app, self.eio = app, app[SERVER].eio

    def attach(self, outer: Any, path: str) -> None:
        outer.add_subapp("/sub", self._app)


@pytest.fixture
def secret() -> str:
    return ""


@pytest.fixture
def node(tmp_path_factory: pytest.TempPathFactory, secret: str) -> Iterator[Node]:
    with (
        redis_servers.standalone(tmp_path_factory.mktemp("valkey")) as valkey,
        asyncio.Runner() as runner,
    ):
        node = Node(valkey, runner, secret)
        yield node
        node.run(node.stop())


def test_junk_is_ignored_and_counted(node: Node) -> None:
    channels = node.channels()
    assert len(channels) >= 3 + 14, channels

    @given(st.lists(st.tuples(st.sampled_from(channels), junk), min_size=1, max_size=30))
    @settings(max_examples=60, deadline=None)
    def story(messages: list[tuple[str, bytes]]) -> None:
        for channel, payload in messages:
            node.publish(channel, payload)
        node.run(node.echo())

    story()
    node.run(node.settled())
    assert node.errors.tracebacks == []
    assert node.errors.lines <= 5


@pytest.mark.parametrize("secret", ["", "a secret of the bus, 32 bytes and more"])
def test_what_is_nasty_is_counted_one_by_one(node: Node, secret: str) -> None:
    sent = 0
    for number, channel in enumerate(node.channels()):
        for payload in NASTY:
            if number > 3 and len(payload) > 1_000_000:
                continue  # it takes its time, and those before were of each kind
            sent += 1
            node.publish(channel, payload)
            node.run(node.counts(sent))
            assert node.counted() == sent, (channel, payload[:60])
        node.run(node.echo())
    assert node.errors.tracebacks == []
    assert node.errors.lines <= 5
    assert node.run(_history(node)) == node.echoes
    assert bool(node.bus["unsigned"]) == bool(secret)


async def _history(node: Node) -> int:
    page = await node.app[ROOMS]._engine.history(ROOM, limit=10_000)
    return len(page.messages)
