"""Messages of python-socketio's managers: theirs are understood, ours are theirs."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest
import socketio

from sioserver.transport import bus_messages
from sioserver.transport.bus_messages import Callback, Emit, Replaced, read

ROOT = Path(__file__).resolve().parents[2]


class Stock(socketio.async_pubsub_manager.AsyncPubSubManager):
    """Writes down what the stock library publishes."""

    def __init__(self) -> None:
        super().__init__(write_only=True)
        self.published: list[dict[str, Any]] = []

    async def _publish(self, data: dict[str, Any]) -> None:
        self.published.append(data)

    async def _handle_emit(self, message: Any) -> None:
        pass


DATA = [
    None,
    "text",
    5,
    [1, 2],
    [],
    {"a": [None, True]},
    (),
    ("one", 2, {"three": 3}),
    b"",
    b"\x00\xff",
    {"deep": [b"x", {"er": b"y"}]},
    ("one", b"two"),
    {"_placeholder": False, "num": 0},
]


@pytest.mark.parametrize("data", DATA, ids=repr)
async def test_ours_are_those_of_the_stock_library(data: Any) -> None:
    stock = Stock()
    await stock.emit("event", data, namespace="/a", room="r", skip_sid="s")
    (theirs,) = stock.published
    ours = bus_messages.emit("event", data, "/a", room="r", skip_sid="s", callback=None)
    assert ours == {name: theirs[name] for name in ours}
    assert theirs.keys() - ours.keys() == {"host_id"}
    message = read(json.dumps(theirs).encode())
    assert isinstance(message, Emit)
    assert message.host_id == stock.host_id
    assert (message.event, message.namespace, message.room) == ("event", "/a", "r")
    assert message.skip_sid == "s"
    assert bus_messages.arguments(message.data) == data


@pytest.mark.parametrize("kind", ["disconnect", "enter_room", "leave_room", "close_room"])
async def test_all_that_the_stock_library_says_is_understood(kind: str) -> None:
    stock = Stock()
    stock.rooms = {}
    if kind == "disconnect":
        await stock.can_disconnect("s", "/a")
    elif kind == "close_room":
        stock.basic_close_room = lambda *_: None  # type: ignore[method-assign]
        await stock.close_room("r", "/a")
    else:
        await getattr(stock, kind)("s", "/a", "r")
    message: Any = read(json.dumps(stock.published[-1]).encode())
    assert message.__struct_config__.tag == kind
    assert message.namespace == "/a"
    assert message.host_id == stock.host_id
    if kind != "close_room":
        assert message.sid == "s"
    if kind != "disconnect":
        assert message.room == "r"


def test_a_callback() -> None:
    for args in ([], ["answer", {"n": 1}], [{"b": b"\x01"}, b""]):
        text = json.dumps({**bus_messages.callback("s", "/", 7, args), "host_id": "h"})
        message = read(text.encode())
        assert isinstance(message, Callback)
        assert (message.sid, message.id, message.args) == ("s", 7, args)
    stock = {"method": "callback", "host_id": "h", "sid": "s", "namespace": "/", "id": 1}
    assert isinstance(read(json.dumps(stock | {"args": ["x"]}).encode()), Callback)


def test_several_rooms() -> None:
    ours = bus_messages.emit("e", 1, "/", room=("a", 7), skip_sid={"s"}, callback=None)
    message = read(json.dumps(ours).encode())
    assert isinstance(message, Emit)
    assert message.room == ["a", 7]
    assert message.skip_sid == ["s"]


EMIT = {"method": "emit", "event": "e", "data": [1]}


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x80\x04N.",  # a pickle
        b"\xff",
        b"nonsense",
        b"null",
        b"[]",
        b"{}",
        b'{"method": "emit"}',
        b'{"method": "eval", "event": "e", "data": [1]}',
        json.dumps(EMIT | {"event": 7}).encode(),
        json.dumps(EMIT | {"data": "text"}).encode(),
        json.dumps(EMIT | {"event": "disconnect"}).encode(),
        json.dumps(EMIT | {"room": {"a": 1}}).encode(),
        json.dumps(EMIT | {"namespace": 1}).encode(),
        json.dumps(EMIT | {"callback": ["r", "/"]}).encode(),
        json.dumps(EMIT | {"callback": ["r", "/", "1"]}).encode(),
        json.dumps(EMIT | {"binary": True, "data": []}).encode(),
        json.dumps(EMIT | {"binary": True, "data": [[1], 5]}).encode(),
        json.dumps(EMIT | {"binary": True, "data": [[1], "?"]}).encode(),
        json.dumps(EMIT | {"binary": True, "data": ["text"]}).encode(),
        json.dumps(
            EMIT | {"binary": True, "data": [[{"_placeholder": True, "num": -1}], "eA=="]}
        ).encode(),
        json.dumps(
            EMIT | {"binary": True, "data": [[{"_placeholder": True, "num": 1}], "eA=="]}
        ).encode(),
        b'{"method": "emit", "event": "e", "data": [NaN]}',
        b'{"method": "emit", "event": "e", "data": ' + b"[" * 100 + b"]" * 100 + b"}",
        b'{"method": "callback", "sid": "s", "id": "1", "args": []}',
        b'{"method": "disconnect"}',
        b'{"method": "enter_room", "sid": "s", "room": null}',
    ],
    ids=lambda payload: payload[:60],
)
def test_what_is_not_well_formed_is_none(payload: bytes) -> None:
    with pytest.raises(ValueError):
        read(payload)


def test_half_a_surrogate_pair_is_let_through() -> None:
    message = read(json.dumps(EMIT | {"data": ["\ud83d"]}).encode())
    assert isinstance(message, Emit)
    assert message.data == ["\ud83d"]


def test_a_session_that_was_recovered_elsewhere() -> None:
    message = read(b'{"method":"replaced","host_id":"h","sid":"s","namespace":"/a","n":3}')
    assert message == Replaced(host_id="h", n=3, sid="s", namespace="/a")
    with pytest.raises(ValueError):
        read(b'{"method":"replaced","host_id":"h","namespace":"/a"}')


def test_nothing_is_ever_unpickled() -> None:
    """CVE-2025-61765 was a manager that took pickles from Redis. No source of ours names a module
    whose formats can run code, and the managers that ours are made of do not either."""
    stock = [socketio.pubsub_manager, socketio.async_pubsub_manager]
    paths = [*(ROOT / "sioserver").rglob("*.py"), *(Path(module.__file__) for module in stock)]
    assert len(paths) > 100
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            unsafe = {"pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle"}
            assert not unsafe.intersection(name.split(".")[0] for name in names), path
