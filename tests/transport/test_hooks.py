"""What the layer above is told of sessions; and that nobody has to listen."""

from __future__ import annotations

import inspect
from typing import Any

from sioserver.transport.engineio import EngineServer
from sioserver.transport.hooks import Hooks

from .kit import serve, until


def test_they_do_nothing() -> None:
    hooks: Any = Hooks()
    for name, hook in inspect.getmembers(Hooks, inspect.isfunction):
        arguments = len(inspect.signature(hook).parameters) - 1
        assert getattr(hooks, name)(*[None] * arguments) is None
    assert vars(hooks) == {}


async def test_hooks_are_told_of_the_life_of_a_session() -> None:
    eio = EngineServer(ping_interval=20)
    told: list[str] = []
    for name in ("on_opened", "on_upgraded", "on_closed"):
        setattr(eio.hooks, name, lambda session, name=name: told.append(name))
    async with serve(eio, "engine.io") as site:
        client = await site.polling()
        upgraded = await site.websocket(client.sid)
        await upgraded.send("2probe")
        await upgraded.send("5")
        await until(lambda: eio.sockets[client.sid].upgraded)
        await upgraded.leave()
        await until(lambda: not eio.sockets)
    assert told == ["on_opened", "on_upgraded", "on_closed"]
