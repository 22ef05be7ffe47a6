"""Rooms: who is where; leaving costs what the one client is in."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
import socketio

from sioserver.transport.manager import Manager

from .kit import quiet, serve, soon, until


class Counted(dict[Any, Any]):
    """A dict that counts what is done with it; walking over it counts for each entry."""

    work = 0

    def __getitem__(self, key: Any) -> Any:
        Counted.work += 1
        return super().__getitem__(key)

    def get(self, key: Any, default: Any = None) -> Any:
        Counted.work += 1
        return super().get(key, default)

    def pop(self, key: Any, *default: Any) -> Any:
        Counted.work += 1
        return super().pop(key, *default)

    def __iter__(self) -> Iterator[Any]:
        Counted.work += len(self)
        return super().__iter__()

    def items(self) -> Any:
        Counted.work += len(self)
        return super().items()

    def copy(self) -> Any:
        Counted.work += len(self)
        return super().copy()

    def keys(self) -> Any:
        Counted.work += len(self)
        return super().keys()


def counted(value: Any) -> Any:
    if isinstance(value, dict):
        return Counted({key: counted(inner) for key, inner in value.items()})
    return value


def make() -> Manager:
    return quiet().manager  # type: ignore[no-any-return]


async def joined(manager: Any, eio_sid: str, namespace: str = "/") -> str:
    sid = await manager.pre_connect(eio_sid, namespace)
    await manager.connect(sid, namespace)
    return str(sid)


@pytest.mark.parametrize("crowd", ["clients", "namespaces", "rooms"])
async def test_leaving_touches_only_its_own(crowd: str) -> None:
    async def work(many: int) -> int:
        manager = make()
        sid = await joined(manager, "me")
        await manager.enter_room(sid, "/", "mine")
        other = await joined(manager, "other")
        for number in range(many):
            if crowd == "clients":
                await joined(manager, f"e{number}")
            elif crowd == "namespaces":
                await joined(manager, "other", f"/{number}")
            else:
                await manager.enter_room(other, "/", f"room {number}")
        manager.rooms = counted(manager.rooms)
        manager._namespaces = counted(manager._namespaces)
        manager._entered = counted(manager._entered)
        Counted.work = 0
        assert manager.is_connected(sid, "/")
        manager.pre_disconnect(sid, "/")
        await manager.disconnect(sid, "/", ignore_queue=True)
        done = Counted.work
        assert manager.eio_sid_from_sid(sid, "/") is None
        assert "mine" not in dict.keys(manager.rooms["/"])
        return done

    assert await work(20_000) == await work(20) < 60


async def test_a_disconnected_connection_touches_only_its_own() -> None:
    async def work(many: int) -> int:
        server = quiet(namespaces="*")
        async with serve(server) as site:
            client = await site.websocket()
            await client.join("/mine")
            for number in range(many):
                await joined(server.manager, "other", f"/{number}")
            server.manager.rooms = counted(server.manager.rooms)
            server.manager._namespaces = counted(server.manager._namespaces)
            Counted.work = 0
            await client.leave()
            await until(lambda: not server._connections)
            return Counted.work

    assert await work(20_000) == await work(20) < 100


async def test_nothing_is_left_behind() -> None:
    manager = make()
    shuffled = random.Random(1)
    sids: dict[str, str] = {}
    for number in range(300):
        namespace = f"/{number % 7}"
        sid = await joined(manager, f"e{number // 3}", namespace)
        sids[sid] = namespace
        for room in shuffled.sample(range(20), 5):
            await manager.enter_room(sid, namespace, room)
    order = list(sids)
    shuffled.shuffle(order)
    for sid in order:
        manager.pre_disconnect(sid, sids[sid])
        await manager.disconnect(sid, sids[sid], ignore_queue=True)
        await manager.disconnect(sid, sids[sid], ignore_queue=True)
    state = (manager.rooms, manager._namespaces, manager._entered, manager.callbacks)
    assert state == ({}, {}, {}, {})
    assert manager._connecting == manager._leaving == set()


async def test_against_the_stock_manager() -> None:
    """The same random story with both: the same answers."""
    stock = quiet(client_manager=socketio.AsyncManager()).manager
    ours = make()
    ids = iter(range(10_000))
    ours.server.eio.generate_id = lambda: f"s{next(ids)}"
    shuffled = random.Random(2)
    sids: list[tuple[str, str]] = []
    stock_ids: dict[str, str] = {}
    for turn in range(1500):
        namespace = shuffled.choice(["/", "/a"])
        what = shuffled.random()
        if what < 0.3 or not sids:
            sid = await joined(ours, f"e{turn}", namespace)
            stock.server.eio.generate_id = lambda sid=sid: sid
            await stock.connect(await stock.pre_connect(f"e{turn}", namespace), namespace)
            sids.append((sid, namespace))
            continue
        sid, namespace = shuffled.choice(sids)
        room = shuffled.choice(["x", "y", 7, None.__class__.__name__])
        if what < 0.6:
            for manager in (ours, stock):
                await manager.enter_room(sid, namespace, room)
        elif what < 0.75:
            for manager in (ours, stock):
                await manager.leave_room(sid, namespace, room)
        elif what < 0.8:
            for manager in (ours, stock):
                await manager.close_room(room, namespace)
        elif what < 0.95:
            for manager in (ours, stock):
                manager.pre_disconnect(sid, namespace)
                await manager.disconnect(sid, namespace, ignore_queue=True)
            sids.remove((sid, namespace))
        for manager_room in ("x", None, sid, ["x", "y"], ["nobody", 7]):
            assert dict(ours.get_participants(namespace, manager_room)) == dict(
                stock.get_participants(namespace, manager_room)
            )
        assert set(ours.get_rooms(sid, namespace)) == set(stock.get_rooms(sid, namespace))
        assert ours.is_connected(sid, namespace) == stock.is_connected(sid, namespace)
        assert set(ours.get_namespaces()) == set(stock.get_namespaces())
    del stock_ids


async def test_one_client_of_a_connection_per_namespace() -> None:
    manager = make()
    sid = await manager.pre_connect("e", "/")
    assert await manager.pre_connect("e", "/") is None
    assert manager.is_pre_connected(sid, "/")
    assert not manager.is_connected(sid, "/")
    await manager.connect(sid, "/")
    assert await manager.pre_connect("e", "/") is None
    assert await manager.pre_connect("e", "/a", "chosen") == "chosen"
    assert manager.namespaces_of("e") == ["/", "/a"]
    manager.pre_disconnect(sid, "/")
    again = await manager.pre_connect("e", "/")
    assert again is not None
    await manager.disconnect(sid, "/", ignore_queue=True)
    assert manager.sid_from_eio_sid("e", "/") == again


class Bus:
    """What the nodes share."""

    def __init__(self) -> None:
        self.managers: list[Any] = []


class Shared(socketio.async_pubsub_manager.AsyncPubSubManager, Manager):
    """Our manager under the stock library's bus, as it is with Redis."""

    def __init__(self, bus: Bus) -> None:
        super().__init__()
        self.bus = bus
        bus.managers.append(self)

    def initialize(self) -> None: ...

    async def _publish(self, data: Any) -> None:
        for manager in self.bus.managers:
            if manager is self:
                continue
            if data["method"] == "callback":
                await manager._handle_callback(data)
            else:
                await getattr(manager, "_handle_" + data["method"])(data)


async def test_under_a_bus() -> None:
    bus = Bus()
    one, two = quiet(client_manager=Shared(bus)), quiet(client_manager=Shared(bus))
    async with serve(one) as here, serve(two) as there:
        near, far = await here.websocket(), await there.websocket()
        near_sid, far_sid = (await near.join())["sid"], (await far.join())["sid"]
        await one.emit("all", (1, b"x"))
        for client in (near, far):
            assert str(await client.receive()).startswith('451-["all",1')
            assert await client.receive() == b"x"
        await one.enter_room(far_sid, "room")
        await one.emit("room", to="room")
        assert await far.receive() == '42["room"]'
        call = one.start_background_task(one.call, "question", to=far_sid)
        assert await far.receive() == '421["question"]'
        await far.send('431["answer"]')
        assert await soon(call) == "answer"
        await one.disconnect(far_sid)
        assert await far.receive() == "41"
        await one.disconnect(near_sid)
        assert await near.receive() == "41"


async def test_members_by_room() -> None:
    manager = make()
    sids = [await joined(manager, f"e{number}") for number in range(3)]
    for sid in sids[:2]:
        await manager.enter_room(sid, "/", "a")
    members: dict[Any, set[str]] = defaultdict(set)
    for room in ("a", None, sids[2], "b"):
        members[room] = {sid for sid, _ in manager.get_participants("/", room)}
    assert members == {"a": set(sids[:2]), None: set(sids), sids[2]: {sids[2]}, "b": set()}
    assert manager.get_rooms("nobody", "/") == []
    await manager.enter_room(sids[0], "/", sids[0])  # it is there already
    with pytest.raises(ValueError, match="sid room"):
        await manager.close_room(sids[0], "/")
