"""The bare clients of python-socketio, which know nothing of rooms, against the same server."""

import asyncio
from typing import Any

import pytest
import socketio

from sioserver.client import RoomClient, Transport

from .kit import Served, both, until


@both
async def test_the_bare_async_client(served: Served, transports: list[Transport] | None) -> None:
    sio = socketio.AsyncClient(handle_sigint=False)
    got: list[tuple[Any, ...]] = []
    sio.on("*", lambda *event: got.append(event), namespace="/lobby")
    await sio.connect(
        served.url,
        auth={"user": "ann", "name": "Ann"},
        namespaces=["/lobby"],
        transports=transports,
    )
    ack = await sio.call("message", ("hello", {"id": "mine"}), namespace="/lobby", timeout=5)
    assert isinstance(ack, dict)
    assert (ack["ok"], ack["id"], ack["offset"]) == (True, "mine", 1)
    await until(lambda: any(event[0] == "message" for event in got))
    assert [event[0] for event in got if event[0] != "presence"] == ["welcome", "message"]
    _, message, position = next(event for event in got if event[0] == "message")
    assert message == {
        "id": "mine",
        "offset": 1,
        "user": "ann",
        "name": "Ann",
        "body": "hello",
        "at": ack["at"],
    }
    refused = await sio.call("message", namespace="/lobby", timeout=5)
    assert isinstance(refused, dict)
    assert refused["error"]["code"] == "bad_request"
    await sio.disconnect()

    # the next connection says where this one got to, and gets what came since
    async with RoomClient(served.url, user="bob") as bob:
        await bob.send(b"binary")
    got.clear()
    await sio.connect(
        served.url,
        auth=lambda: {"user": "ann", "position": position},
        namespaces=["/lobby"],
        transports=transports,
    )
    await until(lambda: any(event[0] == "message" for event in got))
    messages = [event for event in got if event[0] == "message"]
    assert [(one["offset"], one["body"]) for _, one, _ in messages] == [(2, b"binary")]
    await sio.disconnect()


async def test_the_bare_client_is_told_why_it_may_not_come_in(served: Served) -> None:
    sio = socketio.AsyncClient(handle_sigint=False)
    told: list[Any] = []
    sio.on("connect_error", told.append, namespace="/@bob")
    with pytest.raises(socketio.exceptions.ConnectionError):
        await sio.connect(served.url, auth={"user": "ann"}, namespaces=["/@bob"])
    (error,) = told
    assert error["message"]
    assert error["data"]["code"] == "forbidden"
    assert error["data"]["temporary"] is False


@both
async def test_the_bare_sync_client(served: Served, transports: list[Transport] | None) -> None:
    def chat() -> tuple[Any, list[Any]]:
        # with nothing but a URL: the root namespace is the lobby
        got: list[Any] = []
        with socketio.SimpleClient(handle_sigint=False) as sio:
            sio.connect(served.url, auth={"user": "ann"}, transports=transports)
            ack = sio.call("message", "hello", timeout=5)
            while not got or got[-1][0] != "message":
                got.append(sio.receive(timeout=5))
        return ack, got

    ack, got = await asyncio.to_thread(chat)
    assert ack["ok"]
    assert got[0][0] == "welcome"
    assert got[-1][1]["body"] == "hello"
    assert got[-1][1]["id"] == ack["id"]
