"""Nothing acknowledged is lost: a server that is killed under load, and readers who come and go.

Senders and readers are real clients of all kinds; the checker (itself tested in
tests/test_testing.py) judges what they saw.
"""

import asyncio
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import socketio

from sioserver.client import Gap, RoomClient, Transport
from sioserver.model import Position
from sioserver.testing import Checker, ServerProcess

SENDERS = 8
READERS = 40
KILLS = 3
PER_LIFE = (150, 350)
"""Messages that are acknowledged before each kill: chosen at random from this range."""
DEADLINE = 90.0

SETTINGS = {"drain.seconds": 0, "presence.batch": 0.5, "limits.enabled": False}


class Room:
    """What everybody in this test shares."""

    def __init__(self, server: ServerProcess, rng: random.Random) -> None:
        self.server = server
        self.rng = rng
        self.checker = Checker()
        self.acked = 0
        self.top = 0
        self.enough = False
        """The senders are to stop."""
        self.over = False
        """They have; readers stay until they have everything."""
        self.visits = 0
        self.received = 0
        self._changed = asyncio.Event()

    def posted(self, id: str, offset: int) -> None:
        self.checker.acked(id, offset)
        self.acked += 1
        self.top = max(self.top, offset)
        self.changed()

    def changed(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self._changed.wait()


class Sender:
    """Posts one message after the other, until told to stop; the body says who and which."""

    def __init__(self, room: Room, number: int) -> None:
        self._room = room
        self._name = f"sender{number}"
        self._transport = transport(room.rng)

    async def run(self) -> None:
        room, count = self._room, 0
        async with RoomClient(
            room.server.url, "loss", user=self._name, transports=self._transport, buffer=10
        ) as client:
            while not room.enough:
                id, count = f"{self._name}-{count}", count + 1
                body = {"id": id, "text": "x" * room.rng.randrange(200)}
                room.checker.sent(id, body, self._name)
                sent = await client.send(body, id=id, timeout=None)
                room.posted(sent.id, sent.offset)


class Reader:
    """A member that comes, reads for a while, goes, and comes back with its position."""

    def __init__(self, room: Room, number: int) -> None:
        self.room = room
        self.name = f"reader{number}"
        self.bare = number % 2 == 1
        self.position: Position | None = None

    async def run(self) -> None:
        room, rng = self.room, self.room.rng
        visit = self.visit_bare if self.bare else self.visit_client
        while not (room.over and self.has_all()):
            room.visits += 1
            await visit(self.offset + rng.randrange(20, 200))
            away = room.acked + rng.randrange(60)
            await room.until(lambda away=away: room.over or room.acked >= away)

    @property
    def offset(self) -> int:
        return self.position.offset if self.position is not None else 0

    def has_all(self) -> bool:
        return self.offset >= self.room.top

    def is_done(self, enough: int) -> bool:
        return self.has_all() if self.room.over else self.offset >= enough

    def begin(self, position: Position) -> None:
        if self.position is None:
            self.position = position
            self.room.checker.joined(self.name, position.offset)
            self.room.changed()

    def got(self, payload: dict[str, Any], position: Position) -> None:
        self.position = position
        self.room.received += 1
        self.room.checker.received(self.name, payload["id"], payload["offset"], payload["body"])
        self.room.changed()

    async def visit_client(self, enough: int) -> None:
        known = None if self.position is None else str(self.position)
        async with RoomClient(
            self.room.server.url,
            "loss",
            user=self.name,
            position=known,
            transports=transport(self.room.rng),
            timeout=30,
        ) as client:
            assert client.position is not None
            self.begin(Position.parse(client.position))
            reading = asyncio.create_task(self._read(client))
            done = asyncio.create_task(self.room.until(lambda: self.is_done(enough)))
            await asyncio.wait({reading, done}, return_when=asyncio.FIRST_COMPLETED)
            for task in (reading, done):
                task.cancel()
            ended = await asyncio.gather(reading, done, return_exceptions=True)
            assert all(end is None or isinstance(end, asyncio.CancelledError) for end in ended)

    async def _read(self, client: RoomClient) -> None:
        async for item in client:
            assert client.position is not None
            position = Position.parse(client.position)
            if isinstance(item, Gap):
                self.room.checker.gap(self.name, item.first, item.last)
                self.position = position
            else:
                self.got({"id": item.id, "offset": item.offset, "body": item.body}, position)

    async def visit_bare(self, enough: int) -> None:
        """With nothing but python-socketio. It sometimes hangs when the server is killed (its read
        task dies unheard), so a visit also ends with its connection."""
        sio = socketio.AsyncClient(reconnection=False, handle_sigint=False)
        sio.on("welcome", self._welcomed, namespace="/loss")
        sio.on("message", self._message, namespace="/loss")
        sio.on("gap", self._gap, namespace="/loss")
        try:
            await sio.connect(
                self.room.server.url,
                auth=self._auth,
                namespaces=["/loss"],
                transports=transport(self.room.rng),
                wait_timeout=2,
            )
        except socketio.exceptions.ConnectionError:
            await let_go(sio)
            await asyncio.sleep(0.05 + self.room.rng.random() / 10)  # the server is away just now
            return
        done = asyncio.create_task(self.room.until(lambda: self.is_done(enough)))
        await asyncio.wait({sio.eio.read_loop_task, done}, return_when=asyncio.FIRST_COMPLETED)
        done.cancel()
        # events that python-socketio has read but not handed out are not to come later
        for event in ("welcome", "message", "gap"):
            sio.on(event, lambda *args: None, namespace="/loss")
        await let_go(sio)

    def _auth(self) -> dict[str, str]:
        position = {} if self.position is None else {"position": str(self.position)}
        return {"user": self.name, **position}

    def _welcomed(self, payload: dict[str, Any], position: str) -> None:
        self.begin(Position.parse(position))

    def _message(self, payload: dict[str, Any], position: str) -> None:
        self.got(payload, Position.parse(position))

    def _gap(self, payload: dict[str, Any], position: str) -> None:
        self.room.checker.gap(self.name, payload["from"], payload["to"])
        self.position = Position.parse(position)
        self.room.changed()


def transport(rng: random.Random) -> list[Transport] | None:
    kinds: list[list[Transport] | None] = [["websocket"], ["polling"], None]
    return rng.choice(kinds)


async def let_go(sio: socketio.AsyncClient) -> None:
    """Disconnect, whatever state the library has left the client in."""
    goodbye = asyncio.create_task(sio.disconnect())
    await asyncio.wait({goodbye}, timeout=1.0)
    if sio.eio.http is not None and not sio.eio.http.closed:
        await sio.eio.http.close()
    tasks = {goodbye, sio.eio.read_loop_task, sio.eio.write_loop_task} - {None}
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks, timeout=1.0)
    for task in tasks:
        if task.done() and not task.cancelled():
            task.exception()  # the library's read task dies of a poll that is cut off


@pytest.mark.timeout(180)  # takes a tenth of it; the deadline above says more than a timeout
async def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    seed = int(os.environ.get("SIOSERVER_TEST_SEED", "0")) or random.SystemRandom().randrange(10**6)
    print(f"SIOSERVER_TEST_SEED={seed}")  # noqa: T201 (pytest shows it when the test fails)
    rng = random.Random(seed)
    began = time.monotonic()
    async with ServerProcess(tmp_path / "loss.db", settings=SETTINGS) as server:
        room = Room(server, rng)
        readers = [Reader(room, number) for number in range(READERS)]
        try:
            async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as everybody:
                for reader in readers:
                    everybody.create_task(reader.run())
                await room.until(lambda: all(reader.position is not None for reader in readers))
                senders = [everybody.create_task(Sender(room, n).run()) for n in range(SENDERS)]
                for _ in range(KILLS):
                    enough = room.acked + rng.randint(*PER_LIFE)
                    await room.until(lambda enough=enough: room.acked >= enough)
                    await server.restart()
                enough = room.acked + PER_LIFE[0]
                await room.until(lambda: room.acked >= enough)
                room.enough = True
                await asyncio.wait(senders)
                room.over = True
                room.changed()
        except TimeoutError:
            late = {reader.name: reader.offset for reader in readers if not reader.has_all()}
            output = "\n".join(server.output[-20:])
            pytest.fail(f"seed {seed}: {room.acked} acked, {room.top} the top, {late}\n{output}")
    report = room.checker.check()
    took = time.monotonic() - began
    print(  # noqa: T201
        f"{room.acked} messages acknowledged, {room.received} received by {READERS} readers in "
        f"{room.visits} visits, {KILLS} kills, {took:.1f} s"
    )
    assert report.ok, f"seed {seed}: {report}"
    assert report.announced == 0
    assert room.acked >= KILLS * PER_LIFE[0]
    assert room.received >= READERS * room.acked
