"""Calls end with the ack, in time, or as the client leaves; nothing of them is left."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from socketio.exceptions import DisconnectedError, TimeoutError

from sioserver.transport.calls import Calls

from .kit import TRANSPORTS, Site, quiet, serve, soon

MODES = pytest.mark.parametrize("transport", TRANSPORTS)


class Manager:
    """Keeps callbacks as python-socketio's managers do."""

    def __init__(self) -> None:
        self.callbacks: dict[str, dict[int, Any]] = {}

    async def emit(self, sid: str, *, callback: Any) -> None:
        kept = self.callbacks.setdefault(sid, {})
        kept[len(kept) + 1] = callback


def begin(calls: Calls, manager: Manager, sid: str, timeout: float = 20) -> asyncio.Task[Any]:
    async def emit(callback: Any) -> None:
        await manager.emit(sid, callback=callback)

    return asyncio.create_task(calls.ask(sid, emit, timeout))


async def test_only_the_calls_of_who_leaves_end() -> None:
    manager = Manager()
    calls = Calls(manager)
    leaving = [begin(calls, manager, "ann") for _ in range(3)]
    staying = begin(calls, manager, "ben")
    await asyncio.sleep(0)
    assert len(calls) == 4
    calls.abort("ann")
    calls.abort("nobody")
    for call in leaving:
        with pytest.raises(DisconnectedError):
            await soon(call)
    assert len(calls) == 1
    acknowledged = manager.callbacks["ben"][1]
    acknowledged(1, 2)
    acknowledged(3)  # a client may say it twice
    assert await soon(staying) == (1, 2)
    assert (len(calls), manager.callbacks) == (0, {"ann": {}, "ben": {}})


async def test_a_call_that_could_not_be_sent_or_was_given_up_leaves_nothing() -> None:
    manager = Manager()
    calls = Calls(manager)

    async def faulty(callback: Any) -> None:
        await manager.emit("ann", callback=callback)
        raise ValueError("not to be encoded")

    with pytest.raises(ValueError, match="encoded"):
        await calls.ask("ann", faulty, 20)
    given_up = begin(calls, manager, "ann")
    await asyncio.sleep(0)
    given_up.cancel()
    await soon(asyncio.wait([given_up]))
    assert given_up.cancelled()
    assert (len(calls), manager.callbacks) == (0, {"ann": {}})


@pytest.mark.parametrize("async_handlers", [True, False])
async def test_call_inside_a_handler(async_handlers: bool) -> None:
    server = quiet(async_handlers=async_handlers)

    async def ask(sid: str) -> Any:
        return await server.call("question", 1, to=sid)

    server.on("ask", ask)
    async with serve(server) as site:
        client = await site.websocket()
        await client.join()
        await client.send('427["ask"]')
        assert await client.receive() == '421["question",1]'
        await client.send('431["answer"]')
        assert await client.receive() == '437["answer"]'
        assert server.manager.callbacks == {} or not any(
            id for waiting in server.manager.callbacks.values() for id in waiting
        )


@MODES
async def test_call_ends_when_the_client_goes(sio: Site, transport: str) -> None:
    client = await sio.connect(transport)
    sid = (await client.join())["sid"]
    calls = [asyncio.create_task(sio.server.call("question", to=sid)) for _ in range(3)]
    assert str(await client.receive()).startswith("421")
    await client.send("1")
    for call in calls:
        with pytest.raises(DisconnectedError):
            await soon(call)
    assert (len(sio.server._calls), sio.server.manager.callbacks) == (0, {})
    with pytest.raises(DisconnectedError):
        await soon(sio.server.call("question", to=sid))


async def test_call_times_out_and_leaves_nothing(sio: Site) -> None:
    client = await sio.websocket()
    sid = (await client.join())["sid"]
    with pytest.raises(TimeoutError):
        await sio.server.call("question", to=sid, timeout=0.01)
    assert len(sio.server._calls) == 0
    assert [id for id in sio.server.manager.callbacks[sid] if id != 0] == []
    with pytest.raises(ValueError, match="broadcast"):
        await sio.server.call("question")
    assert await client.receive() == '421["question"]'
    await client.send("431[1]")  # too late: no news, and no harm
    await client.send("4399[1]")
    call = asyncio.create_task(sio.server.call("question", to=sid))
    assert await client.receive() == '422["question"]'
    await client.send("432[1,2]")
    assert await soon(call) == (1, 2)
