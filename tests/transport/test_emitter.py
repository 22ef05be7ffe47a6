"""What Node programs publish: read strictly, and only when somebody here is meant.

With the real package: tests/interop/test_node_emitter.py.
"""

from __future__ import annotations

import datetime
import json
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from sioserver.config.schema import Redis
from sioserver.transport import emitter
from sioserver.transport.bus import ClusterManager
from sioserver.transport.emitter import Emitter

from .kit import Site, WebSocket, quiet, serve


class Node:
    """A server that hears what a Redis would have told it."""

    def __init__(self, site: Site, counts: Counter[str]) -> None:
        self.site = site
        self.counts = counts
        self.emitter: Emitter = site.server.manager._emitter

    async def client(self, namespace: str = "/", *rooms: Any) -> tuple[WebSocket, str]:
        socket = await self.site.websocket()
        sid = (await socket.join(namespace))["sid"]
        for room in rooms:
            await self.site.server.enter_room(sid, room, namespace=namespace)
        return socket, sid

    async def emit(
        self, *data: Any, namespace: str = "/", flags: Any = None, **target: Any
    ) -> None:
        target = {"rooms": [], "except": [], "flags": flags or {}} | target
        packet = {"type": 2, "data": list(data), "nsp": namespace}
        await self.hear(namespace, target["rooms"], ["emitter", packet, target])

    async def hear(self, namespace: str, rooms: list[Any], message: Any) -> None:
        room = f"{rooms[0]}#" if len(rooms) == 1 else ""
        await self.emitter.hear(
            f"socket.io#{namespace}#{room}", msgspec.msgpack.encode(message, order=None)
        )

    async def request(self, namespace: str = "/", **request: Any) -> None:
        channel = f"socket.io-request#{namespace}#"
        await self.emitter.hear(channel, json.dumps(request).encode())


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    counts: Counter[str] = Counter()
    manager = ClusterManager(Redis(url="redis://"), lambda what: counts.update([what]))
    server = quiet(client_manager=manager, namespaces="*", max_http_buffer_size=10_000)
    async with serve(server.eio, "socket.io") as site:
        site.server = server
        server.manager_initialized = True  # no Redis here
        yield Node(site, counts)


async def test_whom_it_is_for(node: Node) -> None:
    a, _ = await node.client("/", "one")
    b, b_sid = await node.client("/", "one", "two")
    c, _ = await node.client("/room", 7)
    await node.emit("all", 1)
    await node.emit("one", rooms=["one"])
    await node.emit("several", rooms=["one", "two"])
    await node.emit("but", rooms=["one"], **{"except": ["two"]})
    await node.emit("but one", **{"except": [b_sid]})
    await node.emit("by id", rooms=[b_sid])
    await node.emit("number", namespace="/room", rooms=[7])
    await node.emit("room", namespace="/room", **{"except": ["nothing"]})
    heard = {
        a: ["all", "one", "several", "but", "but one"],
        b: ["all", "one", "several", "by id"],
    }
    for socket, names in heard.items():
        assert [(await socket.event())[0] for _ in names] == names
    assert await c.receive() == '42/room,["number"]'
    assert await c.receive() == '42/room,["room"]'
    assert not node.counts


async def test_what_javascript_has(node: Node) -> None:
    socket, _ = await node.client()
    day = datetime.datetime(2024, 2, 29, 1, 2, 3, 456_000, tzinfo=datetime.UTC)
    await node.emit("data", None, True, 1, -5, 2**53, 1.5, float("nan"), "ä", [], {"a": {"b": [1]}})
    assert await socket.event() == [
        *("data", None, True, 1, -5, 2**53, 1.5, None, "ä", [], {"a": {"b": [1]}})
    ]
    await node.emit("day", day, {"b": b"\x00\xff"}, b"")
    assert await socket.receive() == (
        '452-["day","2024-02-29T01:02:03.456Z",{"b":{"_placeholder":true,"num":0}},'
        '{"_placeholder":true,"num":1}]'
    )
    assert [await socket.receive() for _ in range(2)] == [b"\x00\xff", b""]


async def test_nothing_is_decoded_for_nobody(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    class Decoder:
        def decode(self, payload: bytes) -> Any:
            raise AssertionError("it was decoded")

    monkeypatch.setattr(emitter, "_BROADCAST", Decoder())
    await node.client("/", "one")
    await node.emit("x", namespace="/room")
    await node.emit("x", namespace="/", rooms=["two"])
    await node.request("/room", type=4)
    assert node.counts == {"skipped": 3}
    with pytest.raises(AssertionError, match="decoded"):
        await node.emit("x", namespace="/", rooms=["one"])


async def test_volatile_events_are_dropped_for_who_is_slow(node: Node) -> None:
    polling = await node.site.polling()
    await polling.join()
    session = next(iter(node.site.eio.sockets.values()))
    node.site.eio.client_queue = 20_000
    big = "x" * 9000
    for _ in range(2):
        await node.emit("kept", big)
    for _ in range(10):
        await node.emit("dropped", big, flags={"volatile": True})
    assert not session.closing
    assert [(await polling.event())[0] for _ in range(2)] == ["kept"] * 2
    await node.emit("again", flags={"volatile": True})
    assert (await polling.event())[0] == "again"


GOOD: dict[str, Any] = {"type": 2, "data": ["x"], "nsp": "/"}


@pytest.mark.parametrize(
    "message",
    [
        None,
        [],
        ["uid"],
        ["uid", GOOD],
        ["uid", GOOD, None],
        [1, GOOD, {}],
        ["uid", GOOD | {"type": 3}, {}],
        ["uid", GOOD | {"type": "2"}, {}],
        ["uid", GOOD | {"nsp": "/other"}, {}],
        ["uid", GOOD | {"data": []}, {}],
        ["uid", GOOD | {"data": {}}, {}],
        ["uid", GOOD | {"data": [None]}, {}],
        ["uid", GOOD | {"data": ["connect"]}, {}],
        ["uid", GOOD | {"data": ["disconnecting", 1]}, {}],
        ["uid", GOOD | {"data": ["x", {1: 2}]}, {}],
        ["uid", GOOD | {"data": ["x", msgspec.msgpack.Ext(5, b"?")]}, {}],
        ["uid", GOOD, {"rooms": "one"}],
        ["uid", GOOD, {"rooms": [{}]}],
        ["uid", GOOD, {"except": 1}],
        ["uid", GOOD, {"flags": []}],
        ["uid", GOOD | {"data": ["x", "y" * 20_000]}, {}],
        ["uid", GOOD | {"data": ["x", *[b"y"] * 11]}, {}],  # more than clients take
    ],
    ids=lambda message: str(message)[:60],
)
async def test_what_is_none_is_refused(node: Node, message: Any) -> None:
    socket, _ = await node.client()
    with pytest.raises(ValueError):
        await node.hear("/", [], message)
    await node.hear("/", [], ["uid", GOOD, {}])
    assert await socket.receive() == '42["x"]'


@pytest.mark.parametrize(
    "payload",
    [b"", b"\xc1", b"\x93", b"\x91" * 5000 + b"\xc0", b"\x93\xa1u" + b"\x91" * 3000],
    ids=lambda payload: str(payload[:10]),
)
async def test_what_is_no_msgpack_is_refused(node: Node, payload: bytes) -> None:
    await node.client()
    with pytest.raises(ValueError):
        await node.emitter.hear("socket.io#/#", payload)


async def test_what_is_nested_too_deeply_is_refused(node: Node) -> None:
    await node.client()
    deep: Any = []
    for _ in range(100):
        deep = [deep]
    with pytest.raises(ValueError, match="deeply"):
        await node.emit("x", deep)


@pytest.mark.parametrize(
    "channel", ["socket.io#", "socket.io#/", "socket.io#/#room", "socket.io#/a"]
)
async def test_what_is_on_another_channel_is_refused(node: Node, channel: str) -> None:
    with pytest.raises(ValueError, match="channel"):
        await node.emitter.hear(channel, b"")


async def test_joining_and_leaving(node: Node) -> None:
    a, _ = await node.client("/", "one")
    b, b_sid = await node.client("/", "one", "two")
    await node.request(type=2, opts={"rooms": [], "except": []}, rooms=["everybody", 5])
    await node.emit("everybody", rooms=["everybody"])
    await node.emit("five", rooms=[5])
    await node.request(type=3, opts={"rooms": ["two"]}, rooms=["everybody"])
    await node.emit("those who stayed", rooms=["everybody"])
    await node.request(type=2, opts={"rooms": ["one"], "except": ["two"]}, rooms=["first"])
    await node.emit("first", rooms=["first"])
    await node.request(type=2, opts={"rooms": ["one"]}, rooms=[b_sid])  # nobody becomes somebody
    await node.emit("b", rooms=[b_sid])
    assert [(await a.event())[0] for _ in range(4)] == [
        *("everybody", "five", "those who stayed", "first")
    ]
    assert [(await b.event())[0] for _ in range(3)] == ["everybody", "five", "b"]
    assert not node.counts


async def test_disconnecting(node: Node) -> None:
    a, _ = await node.client("/", "one")
    b, _ = await node.client("/", "one", "two")
    await b.join("/room")
    await node.request(type=4, opts={"rooms": ["one"], "except": ["two"]}, close=False)
    assert await a.receive() == "41"
    await node.request(type=4, opts={"rooms": ["two"], "except": []}, close=True)
    assert sorted([str(await b.receive()) for _ in range(2)]) == ["41", "41/room,"]
    await b.closed()
    await node.request(type=4)


async def test_what_is_for_node_servers_is_ignored(node: Node) -> None:
    await node.client()
    await node.request(uid="emitter", type=6, data=["ping"])
    await node.request(type=0, requestId="x", rooms=[])
    assert node.counts == {"ignored": 2}


@pytest.mark.parametrize(
    "text",
    [
        *("", "nonsense", "[]", "{}", '{"type": "4"}', '{"type": 4, "opts": []}'),
        '{"type": 4, "opts": {"rooms": 1}}',
        '{"type": 2, "rooms": [[]]}',
    ],
)
async def test_a_request_that_is_none_is_refused(node: Node, text: str) -> None:
    await node.client()
    with pytest.raises(ValueError):
        await node.emitter.hear("socket.io-request#/#", text.encode())


def test_patterns_mean_what_the_key_says() -> None:
    made = Emitter(None, "a*b[c]?\\", lambda: 0, print)  # type: ignore[arg-type]
    assert made.patterns == [r"a\*b\[c\]\?\\#*", r"a\*b\[c\]\?\\-request#*"]
