"""Which handler is called, with what, and what a connect handler may answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import socketio

from .kit import Site, quiet, serve, until

HANDLERS = {
    "two arguments": (lambda sid, environ: None, "40"),
    "three arguments": (lambda sid, environ, auth: None, "40"),
    "any arguments": (lambda *args: None, "40"),
    "refusing": (lambda sid, environ: False, '44{"message":"Connection rejected by server"}'),
    "of no use": (lambda: None, '44{"message":"Internal server error"}'),
}


@pytest.mark.parametrize(("handler", "answer"), HANDLERS.values(), ids=HANDLERS.keys())
@pytest.mark.parametrize("auth", ["", '{"token":1}'])
async def test_connect_handlers(sio: Site, handler: Any, answer: str, auth: str) -> None:
    sio.server.on("connect", handler)
    client = await sio.websocket()
    await client.send("40" + auth)
    assert str(await client.receive()).startswith(answer)


async def test_a_type_error_is_the_handlers_own(
    sio: Site, logged: pytest.LogCaptureFixture
) -> None:
    calls: list[tuple[Any, ...]] = []

    async def connect(*args: Any) -> None:
        calls.append(args)
        if len(calls) == 1:
            raise TypeError("mine")

    async def disconnect(*args: Any) -> None:
        calls.append(args)
        raise TypeError("mine too")

    sio.server.on("connect", connect)
    sio.server.on("disconnect", disconnect)
    client = await sio.websocket()
    assert await client.join() == {"message": "Internal server error"}
    assert len(calls) == 1
    assert "sid" in await client.join()
    await client.leave()
    await until(lambda: not sio.server._connections)
    assert [len(args) for args in calls] == [3, 3, 2]
    assert (logged.text.count("TypeError: mine\n"), logged.text.count("TypeError: mine too")) == (
        1,
        1,
    )


async def test_refusals_carry_their_reason(sio: Site) -> None:
    refusals: list[Exception] = [
        socketio.exceptions.ConnectionRefusedError("no", {"code": 1}),
        ConnectionRefusedError(),
        asyncio.CancelledError(),  # type: ignore[list-item]
    ]

    async def connect(sid: str, environ: Any) -> None:
        raise refusals.pop(0)

    sio.server.on("connect", connect)
    client = await sio.websocket()
    assert await client.join() == {"message": "no", "data": {"code": 1}}
    assert await client.join() == {"message": "Connection refused by server"}
    assert await client.join() == {"message": "Internal server error"}
    assert sio.server.manager.rooms == {}


async def test_catch_all_handlers_and_namespaces() -> None:
    seen: list[Any] = []

    class Room(socketio.AsyncNamespace):
        async def on_connect(self, sid: str, environ: Any) -> None:
            seen.append("class connect")

        async def on_say(self, sid: str, data: Any) -> Any:
            return {"said": data}

        def on_disconnect(self, sid: str) -> None:
            seen.append("class disconnect")

    class Any_(socketio.AsyncNamespace):
        async def trigger_event(self, event: str, namespace: str, sid: str, *args: Any) -> Any:
            seen.append((event, namespace, args[-1] if event != "connect" else None))
            return "any"

    server = quiet(namespaces=["/", "/stars"])
    server.on("*", lambda event, sid, *args: seen.append((event, args)))
    server.on("*", lambda event, namespace, sid, *args: (event, namespace), namespace="*")
    server.register_namespace(Room("/room"))
    async with serve(server) as site:
        client = await site.websocket()
        for name in ("/", "/room", "/stars"):
            assert "sid" in await client.join(name)
        await client.send('42["any",1]')
        await client.send('42/room,1["say","x"]')
        await client.send('42/room,2["nobody"]')
        await client.send('42/stars,3["any"]')
        # catch-all functions come before namespace classes, as in python-socketio
        assert await client.receive() == '43/room,1["say","/room"]'
        assert await client.receive() == '43/room,2["nobody","/room"]'
        assert await client.receive() == '43/stars,3["any","/stars"]'
        assert seen == ["class connect", ("any", [1])] or seen == ["class connect", ("any", (1,))]
        await client.leave()
        await until(lambda: "class disconnect" in seen)
    seen.clear()
    server = quiet(namespaces="*")
    server.register_namespace(Room("/room"))
    server.register_namespace(Any_("*"))
    async with serve(server) as site:
        client = await site.websocket()
        await client.join("/room")
        await client.join("/other")
        await client.send('42/room,1["say","x"]')
        await client.send('42/room,2["nobody"]')
        await client.send('42/other,3["say","x"]')
        assert await client.receive() == '43/room,1[{"said":"x"}]'
        assert await client.receive() == "43/room,2[]"
        assert await client.receive() == '43/other,3["any"]'
        await client.send("41/other")
        await until(lambda: seen[-1] == ("disconnect", "/other", "client disconnect"))
