"""A room service with everything it needs, for the tests of its parts."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import jwt
import pytest

from sioserver import wire
from sioserver.auth import Identity, Policy, Verifier
from sioserver.config import Config, RoomRule
from sioserver.config.schema import Auth, Limits, Rooms
from sioserver.errors import Refusal
from sioserver.hooks import HookCalls, Hooks
from sioserver.hub import Client, Hub
from sioserver.limits import Budget
from sioserver.metrics import Metrics
from sioserver.model import (
    Draft,
    Event,
    Position,
    User,
)
from sioserver.replay import Joined
from sioserver.rooms import RoomService

from .fakes import (
    ANN,
    BEN,
    FakeClock,
    FakeOutbox,
    client,
)

SECRET = "s" * 32


GRACE = 5.0


def config(*rules: RoomRule, limits: Limits | None = None, jwks: str = "", **rooms: Any) -> Config:
    return Config(
        auth=Auth(secret=SECRET, leeway=0.0, jwks=jwks),
        rooms=Rooms(rules=list(rules), **rooms),
        limits=limits or Limits(),
    )


class World:
    """A room service with everything it needs, and short words for what tests do with it."""

    def __init__(self, config: Config, engine: Any) -> None:
        self.config = config
        self.hooks = Hooks()
        self.engine = engine
        self.clock = FakeClock()
        self.metrics = Metrics()
        self.hub = Hub(self.metrics, clock=self.clock)
        self.outbox = FakeOutbox()
        budget = Budget(config.limits)
        self.service = RoomService(
            config,
            engine,
            self.hub,
            Verifier(config.auth),
            Policy(config),
            budget,
            self.metrics,
            self.clock,
            hooks=HookCalls(self.hooks, self.metrics, timeout=60.0),
        )
        self._clients = 0

    def client(self, user: User = ANN, room: str = "lobby", **identity: Any) -> Client:
        self._clients += 1
        found = client(self.outbox, f"c{self._clients}", user, room)
        found.identity = Identity(user, **identity)
        return found

    async def join(self, who: Client, since: Position | None = None) -> Joined:
        """Join and go live; what was missed is in the outbox, like everything else."""
        joined = await self.service.join(who, since)
        await self.hand_out(who, joined)
        return joined

    async def hand_out(self, who: Client, joined: Joined) -> None:
        """What an edge does with it, when there is space for all."""
        told = self.outbox.told[who.id]
        told.append(joined.welcome(who, recovered=False, begins=joined.begins))
        told.extend([joined.gap] if joined.gap else [])
        if joined.missed is None:
            self.service.replay.lag(who, joined.after.offset)
        else:
            told.extend(joined.missed)
            if self.went_live(who):
                return
        await self.catch_up(who)

    def went_live(self, who: Client) -> bool:
        offset = who.offset
        rest = self.service.replay.go_live(who)
        if rest is None:
            self.service.replay.lag(who, offset)
            return False
        self.outbox.told[who.id].extend(rest)
        return True

    async def catch_up(self, who: Client, limit: int = 3) -> None:
        """Bring a client that is behind to the top of the log."""
        while True:
            missed = await self.service.replay.catch_up(who, limit)
            for event in missed.events:
                assert event.position is not None
                self.outbox.told[who.id].append(event)
                self.service.replay.handed(who, event.position)
            if who.offset >= missed.top.offset:
                if self.went_live(who):
                    return
            else:
                self.service.replay.lag(who, who.offset)

    async def enter(self, user: User = ANN, room: str = "lobby", **identity: Any) -> Client:
        who = self.client(user, room, **identity)
        await self.join(who)
        return who

    async def post(self, who: Client, *bodies: Any) -> list[int]:
        sent = [await self.service.send(who, wire.SendRequest(body, None)) for body in bodies]
        return [published.position.offset for published in sent]

    async def fill(self, count: int, room: str = "lobby", keep: RoomRule | None = None) -> Position:
        """Messages of somebody who is not here."""
        for _ in range(count):
            draft = Draft("m", BEN, "hi", int(self.clock() * 1000), resendable=False)
            await self.engine.publish(room, draft, keep or RoomRule())
        return (await self.engine.history(room, limit=0)).top

    async def sweep(self) -> None:
        await self.engine.sweep(self.clock())


Make = Callable[..., Any]


def token(sub: str = "ann", expires: float = 1_700_003_600, **claims: Any) -> str:
    return jwt.encode({"sub": sub, "exp": expires, **claims}, SECRET, algorithm="HS256")


def offsets(events: list[Event]) -> list[int]:
    return [event.payload["offset"] for event in events]


async def refused(call: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        result = call() if callable(call) else call
        if inspect.isawaitable(result):
            await result
    return caught.value


def told(world: World, who: Client) -> list[tuple[str, Any]]:
    """The durable events that a client was told: name, and body or what comes nearest to it."""
    return [
        (event.name, event.payload.get("body", event.payload.get("emoji")))
        for event in world.outbox.told[who.id]
        if event.position is not None and event.name != "welcome"
    ]


async def change(world: World, who: Client, offset: int) -> None:
    """React, edit and delete."""
    target = wire.Target(offset, None)
    await world.service.operations.react(who, wire.ReactRequest(target, "x", True))
    await world.service.operations.edit(who, wire.EditRequest(target, "new"))
    await world.service.operations.delete(who, target)
