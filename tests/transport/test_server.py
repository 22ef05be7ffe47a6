"""The Socket.IO server: the stock API, and what it does better."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import engineio
import msgspec
import pytest
import socketio

import sioserver
from sioserver.transport.packet import RESERVED

from .kit import TRANSPORTS, Site, quiet, serve, soon, until

MODES = pytest.mark.parametrize("transport", TRANSPORTS)


async def test_it_is_the_stock_class(sio: Site) -> None:
    assert isinstance(sio.server, socketio.AsyncServer)
    assert isinstance(sio.eio, engineio.AsyncServer)
    client = await sio.polling()
    assert isinstance(sio.eio.sockets[client.sid], engineio.async_socket.AsyncSocket)
    assert sioserver.AsyncServer().async_mode == "aiohttp"


@MODES
async def test_many_packets_in_one_post_all_arrive_in_order(sio: Site, transport: str) -> None:
    seen: list[int] = []

    async def number(sid: str, value: int) -> int:
        await asyncio.sleep(0)
        seen.append(value)
        return value

    sio.server.on("number", number)
    client = await sio.connect(transport)
    await client.join()
    packets = [f'42{n}["number",{n}]' for n in range(600)]
    if transport == "polling":
        assert (await sio.post(client.sid, "\x1e".join(packets)))[0] == 200
    else:
        for packet in packets:
            await client.send(packet)
    assert [await client.receive() for _ in packets] == [f"43{n}[{n}]" for n in range(600)]
    assert seen == list(range(600))


BAD = {
    "NaN": '42["say",NaN]',
    "Infinity": '42["say",Infinity]',
    "1e999": '42["say",1e999]',
    "0 attachments": '450-["say"]',
    "11 attachments": '4511-["say"]',
    "wrong num": '451-["say",{"_placeholder":true,"num":-1}]',
    "not joined": '42/other,["say"]',
    "ack of not joined": "43/other,1[]",
    "binary of not joined": '451-/other,["say",{"_placeholder":true,"num":0}]',
    "join twice": "40",
    "an error": '44{"message":"x"}',
    **{name: f'42["{name}"]' for name in sorted(RESERVED)},
}


@pytest.mark.parametrize("packet", BAD.values(), ids=BAD.keys())
@MODES
async def test_who_breaks_the_protocol_is_closed_and_nobody_else(
    sio: Site, transport: str, packet: str, logged: pytest.LogCaptureFixture
) -> None:
    said: list[Any] = []
    called: list[str] = []
    sio.server.on("say", lambda sid, *args: said.append(args))
    sio.server.on("connect", lambda sid, environ: called.append("connect"))
    sio.server.on("disconnect", lambda sid, reason: called.append(reason))
    victim, client = await sio.websocket(), await sio.connect(transport)
    await victim.join()
    await client.join()
    called.clear()
    try:
        await client.send(packet)
        if packet.startswith("451-"):
            await client.send(b"x")
    except ConnectionError:
        pass
    await client.closed()
    await until(lambda: called)
    assert called == ["transport error"]
    assert said == []
    await victim.send('421["say",1]')
    await until(lambda: said == [(1,)])
    assert "Traceback" not in logged.text


@MODES
async def test_late_events_for_a_namespace_that_the_server_ended(sio: Site, transport: str) -> None:
    client = await sio.connect(transport)
    sid = (await client.join("/room"))["sid"]
    await client.join()
    await sio.server.disconnect(sid, "/room")
    await client.send('42/room,["late"]')
    await client.send('451-/room,["late",{"_placeholder":true,"num":0}]')
    await client.send(b"late")
    await client.send("43/room,1[]")
    assert await client.receive() == "41/room,"
    await client.send("41/room,")
    assert "sid" in await client.join("/room")


async def test_handlers_run_in_the_order_of_the_events(sio: Site) -> None:
    seen: list[int] = []

    async def step(sid: str, number: int) -> None:
        for _ in range(number % 3):
            await asyncio.sleep(0.001)
        seen.append(number)

    sio.server.on("step", step)
    client = await sio.websocket()
    await client.join()
    for number in range(40):
        await client.send(f'42["step",{number}]')
    await until(lambda: len(seen) == 40)
    assert seen == list(range(40))


async def test_callbacks_are_forgotten_with_the_client(sio: Site) -> None:
    client = await sio.websocket()
    sid = (await client.join())["sid"]
    for _ in range(10):
        await sio.server.emit("question", to=sid, callback=lambda *args: None)
    assert len(sio.server.manager.callbacks[sid]) == 11
    await client.leave()
    await until(lambda: not sio.server.manager.callbacks)


async def test_kick_during_connect() -> None:
    server = quiet()
    gate, inside = asyncio.Event(), asyncio.Event()
    seen: list[str] = []

    async def connect(sid: str, environ: Any) -> None:
        seen.append(sid)
        inside.set()
        await gate.wait()

    server.on("connect", connect)
    server.on("disconnect", lambda sid, reason: seen.append(reason))
    async with serve(server) as site:
        client = await site.websocket()
        await client.send("40")
        await soon(inside.wait())
        await server.disconnect(seen[0])
        gate.set()
        assert str(await client.receive()).startswith("40")
        assert await client.receive() == "41"
        assert seen[1:] == ["server disconnect"]
        assert (server._kicked, server.manager.rooms) == (set(), {})


@pytest.mark.parametrize("agreed", [None, False])
async def test_gone_during_connect_leaves_no_ghost(agreed: bool | None) -> None:
    server = quiet()
    gate, inside = asyncio.Event(), asyncio.Event()
    seen: list[str] = []

    async def connect(sid: str, environ: Any) -> bool | None:
        inside.set()
        await gate.wait()
        return agreed

    server.on("connect", connect)
    server.on("disconnect", lambda sid, reason: seen.append(reason))
    async with serve(server) as site:
        client = await site.websocket()
        await client.send("40")
        await soon(inside.wait())
        await client.leave()
        await until(lambda: not server.eio.sockets)
        gate.set()
        await until(lambda: not server._connections)
        assert seen == ([] if agreed is False else ["transport close"])
        assert server.manager.rooms == server.manager._namespaces == server.environ == {}


async def test_gone_longer_than_anybody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sioserver.transport.sessions.DISCONNECT_GRACE", 0.05)
    server = quiet()
    gate, inside = asyncio.Event(), asyncio.Event()
    seen: list[str] = []

    async def connect(sid: str, environ: Any) -> None:
        inside.set()
        await gate.wait()

    server.on("connect", connect)
    server.on("disconnect", lambda sid, reason: seen.append(reason))
    async with serve(server) as site:
        client = await site.websocket()
        await client.send("40")
        await soon(inside.wait())
        await client.leave()
        await until(lambda: not server._connections)
        assert seen == []
        gate.set()
        await until(lambda: seen == ["transport close"])
        assert server.manager.rooms == server.manager._namespaces == {}


async def test_a_client_that_is_refused_again_and_again_does_not_stay() -> None:
    server = quiet(connect_timeout=0.1)

    async def connect(sid: str, environ: Any) -> bool:
        await asyncio.sleep(0.01)
        return False

    server.on("connect", connect)
    async with serve(server) as site:
        client = await site.websocket()

        async def insist() -> None:
            while True:
                await client.send("40")
                await client.packet()

        with pytest.raises(ConnectionError):
            await soon(insist(), 3)
        await until(lambda: not server.eio.sockets)


async def test_who_has_joined_stays_and_who_leaves_does_not() -> None:
    server = quiet(connect_timeout=0.1)
    async with serve(server) as site:
        client = await site.websocket()
        await client.join()
        done = asyncio.Event()
        server.eio.wheel.after(0.3, done.set)
        await soon(done.wait())
        assert client.sid in server.eio.sockets
        await client.send("41")
        await client.closed()


async def test_more_namespaces_than_allowed() -> None:
    async with serve(quiet(namespaces="*", max_namespaces=3)) as site:
        client = await site.websocket()
        for number in range(3):
            assert "sid" in await client.join(f"/{number}")
        assert await client.join("/3") == {"message": "Too many namespaces"}
        await client.send("41/0")
        assert "sid" in await client.join("/4")


async def test_rejoining_while_the_disconnect_handler_runs(sio: Site) -> None:
    gate = asyncio.Event()
    seen: list[str] = []

    async def disconnect(sid: str, reason: str) -> None:
        await gate.wait()
        seen.append(sid)

    sio.server.on("disconnect", disconnect)
    client = await sio.websocket()
    first = (await client.join())["sid"]
    kicking = asyncio.create_task(sio.server.disconnect(first))
    assert await client.receive() == "41"
    second = (await client.join())["sid"]
    gate.set()
    await soon(kicking)
    assert seen == [first]
    assert second != first
    assert sio.server.manager.sid_from_eio_sid(client.sid, "/") == second
    await sio.server.emit("hi", to=second)
    assert await client.receive() == '42["hi"]'


async def test_faulty_handlers_do_not_end_the_connection(
    sio: Site, logged: pytest.LogCaptureFixture
) -> None:
    async def fault(sid: str) -> None:
        raise KeyError("mine")

    async def cancelled(sid: str) -> None:
        raise asyncio.CancelledError

    sio.server.on("fault", fault)
    sio.server.on("cancelled", cancelled)
    sio.server.on("unwritable", lambda sid: object())
    sio.server.on("echo", lambda sid, *args: args)
    client = await sio.websocket()
    await client.join()
    for name in ("fault", "cancelled", "unwritable", "nobody"):
        await client.send(f'421["{name}"]')
    await client.send('422["echo",1,2]')
    assert await client.receive() == "432[1,2]"
    assert "KeyError: 'mine'" in logged.text
    assert "a handler failed" in logged.text


async def test_what_handlers_return_is_the_ack(sio: Site) -> None:
    answers = {
        "none": None,
        "one": 1,
        "list": [1, 2],
        "two": (1, 2),
        "null": (None,),
        "binary": b"x",
    }
    for name, value in answers.items():
        sio.server.on(name, lambda sid, value=value: value)
    client = await sio.websocket()
    await client.join()
    got = []
    for name in answers:
        await client.send(f'421["{name}"]')
        got.append(await client.receive())
    assert got == [
        "431[]",
        "431[1]",
        "431[[1,2]]",
        "431[1,2]",
        "431[null]",
        '461-1[{"_placeholder":true,"num":0}]',
    ]
    assert await client.receive() == b"x"


async def test_always_connect() -> None:
    server = quiet(always_connect=True)

    async def connect(sid: str, environ: Any, auth: Any) -> bool:
        await server.emit("early", to=sid)
        return auth is None

    server.on("connect", connect)
    async with serve(server) as site:
        client = await site.websocket()
        await client.send("40")
        assert str(await client.receive()).startswith('40{"sid"')
        assert await client.receive() == '42["early"]'
        await client.send("41")
        await client.send('40{"no":1}')
        assert str(await client.receive()).startswith('40{"sid"')
        assert await client.receive() == '42["early"]'
        assert await client.receive() == "41"  # with a payload it would not be a packet
        await until(lambda: not server.manager.rooms)


async def test_sessions(sio: Site) -> None:
    seen: list[Any] = []

    async def connect(sid: str, environ: Any) -> None:
        async with sio.server.session(sid) as session:
            session["name"] = "ann"

    async def disconnect(sid: str, reason: str) -> None:
        async with sio.server.session(sid) as session:
            seen.append(
                (session["name"], sio.server.transport(sid), sio.server.rooms(sid) == [sid])
            )
        seen.append(sio.server.get_environ(sid)["REQUEST_METHOD"])

    sio.server.on("connect", connect)
    sio.server.on("disconnect", disconnect)
    client = await sio.websocket()
    sid = (await client.join())["sid"]
    assert await sio.server.get_session(sid) == {"name": "ann"}
    await sio.server.save_session(sid, {"name": "ben"})
    await client.leave()
    await until(lambda: len(seen) == 2)
    assert seen == [("ben", "websocket", True), "GET"]


@MODES
async def test_rooms_and_recipients(sio: Site, transport: str) -> None:
    server = sio.server
    clients = [await sio.connect(transport) for _ in range(4)]
    sids = [(await client.join())["sid"] for client in clients]
    await server.enter_room(sids[0], "a")
    await server.enter_room(sids[1], "a")
    await server.enter_room(sids[1], "b")
    await server.enter_room(sids[2], "b")
    await server.enter_room(sids[3], "c")
    await server.emit("1", room="a")
    await server.emit("2", to=["a", "b"])
    await server.emit("3", skip_sid=sids[0])
    await server.emit("4", room="a", skip_sid=[sids[0], sids[1]])
    await server.leave_room(sids[0], "a")
    await server.emit("5", ("x", b"y", None), to="a")
    await server.close_room("c")
    await server.emit("6", room="c")
    await server.emit("7", [1], to=sids[3])
    await server.send("8")
    await server.emit("9", namespace="/nobody")
    assert sorted(server.rooms(sids[1])) == sorted([sids[1], "a", "b"])
    got = []
    for client in clients:
        mine = []
        while (event := await client.receive()) != '42["message","8"]':
            mine.append(event)
        got.append(mine)
    five = ['451-["5","x",{"_placeholder":true,"num":0},null]', b"y"]
    assert got == [
        ['42["1"]', '42["2"]'],
        ['42["1"]', '42["2"]', '42["3"]', *five],
        ['42["2"]', '42["3"]'],
        ['42["3"]', '42["7",[1]]'],
    ]
    with pytest.raises(ValueError, match="sid room"):
        await server.enter_room(sids[0], sids[1])
    with pytest.raises(ValueError, match="not connected"):
        await server.enter_room("nobody", "a")


@MODES
async def test_emitting_in_a_loop_waits_for_a_client_that_reads(sio: Site, transport: str) -> None:
    client = await sio.connect(transport)
    sid = (await client.join())["sid"]

    async def produce() -> None:
        for number in range(60):
            await sio.server.emit("block", (number, "x" * 100_000), to=sid)

    producing = asyncio.create_task(produce())
    assert [(await client.event())[1] for _ in range(60)] == list(range(60))
    await producing
    assert client.sid in sio.eio.sockets


async def test_more_attachments_than_clients_take_are_the_senders_fault(sio: Site) -> None:
    with pytest.raises(ValueError, match="attachments"):
        sio.server.encode(2, data=["a", *[b"x"] * 11])
    client = await sio.websocket()
    await client.join()
    with pytest.raises(ValueError, match="attachments"):
        await sio.server.emit("a", tuple([b"x"] * 11))


class Msgpack:
    """The module `msgpack`, as far as python-socketio needs it."""

    ExtType = msgspec.msgpack.Ext
    dumps = staticmethod(lambda value, default=None: msgspec.msgpack.encode(value))
    loads = staticmethod(lambda data, ext_hook=None: msgspec.msgpack.decode(data))


@MODES
async def test_the_msgpack_serializer(monkeypatch: pytest.MonkeyPatch, transport: str) -> None:
    monkeypatch.setitem(sys.modules, "msgpack", Msgpack)  # type: ignore[arg-type]
    server = quiet(serializer="msgpack")
    server.on("echo", lambda sid, *args: args)
    called: list[str] = []
    server.on("connect", lambda sid, environ: called.append(sid))
    async with serve(server) as site:
        client = await site.connect(transport)

        async def say(**fields: Any) -> None:
            await client.send(Msgpack.dumps(fields))

        async def hear() -> Any:
            return Msgpack.loads(await client.receive())

        await say(type=0, nsp="/")
        assert list((await hear())["data"]) == ["sid"]
        await say(type=2, nsp="/", data=["echo", 1, b"\1"], id=5)
        assert await hear() == {"type": 3, "data": [1, b"\1"], "nsp": "/", "id": 5}
        try:
            await say(type=2, nsp="/", data=["connect", {}, {}])
        except ConnectionError:
            pass
        await client.closed()
        assert len(called) == 1
    monkeypatch.delitem(sys.modules, "socketio.msgpack_packet", raising=False)


async def test_a_custom_json_module() -> None:
    used: list[str] = []

    class Codec:
        @staticmethod
        def dumps(value: Any, **options: Any) -> str:
            used.append("dumps")
            return json.dumps(value, **options)

        @staticmethod
        def loads(text: str) -> Any:
            used.append("loads")
            return json.loads(text)

    server = quiet(json=Codec)
    server.on("echo", lambda sid, *args: args)
    async with serve(server) as site:
        client = await site.websocket()
        await client.join()
        used.clear()
        await client.send('421["echo",{"a":1}]')
        assert await client.receive() == '431[{"a":1}]'
        assert used == ["loads", "dumps"]
        await client.send('421["echo",NaN]')
        await client.closed()
    assert sioserver.AsyncServer().packet_class.json is not Codec


async def test_the_stock_manager_may_be_given() -> None:
    server = quiet(client_manager=socketio.AsyncManager())
    server.on("echo", lambda sid, *args: args)
    async with serve(server) as site:
        client = await site.websocket()
        sid = (await client.join())["sid"]
        await server.emit("hi", b"x", to=sid)
        assert await client.receive() == '451-["hi",{"_placeholder":true,"num":0}]'
        assert await client.receive() == b"x"
        await client.send('421["echo",1]')
        assert await client.receive() == "431[1]"
        await client.leave()
        await until(lambda: not server.manager.rooms)
