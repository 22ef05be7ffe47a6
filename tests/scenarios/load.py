"""A room under load: senders and readers of all kinds, who come and go while servers fail. Senders
post, and edit, delete and react to what they have posted.

Everything that they see is told to a `Checker`. Which servers there are, and what is done to them,
is the test's business.
"""

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from functools import partial
from typing import Any

import socketio

from sioserver.checker import Checker, Done, Report
from sioserver.client import Change, Changed, Gap, Received, RoomClient, Transport
from sioserver.errors import Refusal
from sioserver.model import Position

ROOM = "loss"
CHANGES = ("edit", "delete", "reaction")


def seeded() -> tuple[int, random.Random]:
    """The test's dice; SIOSERVER_TEST_SEED has them fall as before."""
    seed = int(os.environ.get("SIOSERVER_TEST_SEED", "0")) or random.SystemRandom().randrange(10**6)
    print(f"SIOSERVER_TEST_SEED={seed}")  # noqa: T201 (pytest shows it when the test fails)
    return seed, random.Random(seed)


class Load:
    """What everybody in the room shares. `url` gives the address of a server for each visit."""

    def __init__(self, url: Callable[[], str], rng: random.Random) -> None:
        self.url = url
        self.rng = rng
        self.checker = Checker()
        self.acked = 0
        """What was posted and what was done to it."""
        self.operations = 0
        self.top = 0
        self.enough = False
        """The senders are to stop."""
        self.over = False
        """They have; readers stay until they have everything."""
        self.visits = 0
        self.received = 0
        self.highest = 0
        """The largest offset that anybody received."""
        self.readers: list[Reader] = []
        self.senders: list[Sender] = []
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def running(self, *, senders: int, readers: int) -> AsyncIterator[None]:
        """Everybody is in and at work; at the end all has been received by everybody."""
        self.readers = [Reader(self, number) for number in range(readers)]
        self.senders = [Sender(self, number) for number in range(senders)]
        async with asyncio.TaskGroup() as everybody:
            for reader in self.readers:
                everybody.create_task(reader.run())
            await self.until(lambda: all(reader.position is not None for reader in self.readers))
            sending = [everybody.create_task(sender.run()) for sender in self.senders]
            yield
            self.enough = True
            await asyncio.wait(sending)
            self.over = True
            self.changed()

    def posted(self, id: str, offset: int) -> None:
        self.checker.acked(id, offset)
        self._answered(offset)

    def operated(self, name: str, offset: int) -> None:
        self.checker.acked_operation(name, offset)
        self.operations += 1
        self._answered(offset)

    def _answered(self, offset: int) -> None:
        self.acked += 1
        self.top = max(self.top, offset)
        self.changed()

    async def read_back(self, url: str) -> None:
        """Tell the checker what the history has when all is over."""
        async with RoomClient(url, ROOM, user="historian", timeout=30) as client:
            before = None
            while page := await client.history(before=before, limit=200):
                self.checker.stored(
                    (one.id, one.body, one.counts, bool(one.deleted)) for one in page
                )
                before = page[0].offset

    def changed(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self._changed.wait()

    async def more(self, acks: int) -> None:
        """Until that many messages more have been acknowledged."""
        enough = self.acked + acks
        await self.until(lambda: self.acked >= enough)

    async def recovered(self) -> tuple[float, float]:
        """Seconds from now to the first delivery of a message that nobody has had yet, and until
        each sender has been given an answer."""
        began, highest = time.monotonic(), self.highest
        counts = [sender.acked for sender in self.senders]
        await self.until(lambda: self.highest > highest)
        first = time.monotonic() - began
        await self.until(
            lambda: all(
                sender.acked > count for sender, count in zip(self.senders, counts, strict=True)
            )
        )
        return first, time.monotonic() - began

    def diaries(self, report: Report) -> str:
        """The visits of those who missed something, or were told that they did."""
        names = {finding.member for finding in report.findings}
        found = [one for one in self.readers if one.name in names or one.gaps]
        return "\n".join(line for reader in found for line in reader.diary)

    def late(self) -> str:
        """Who does not have everything, for a test that fails."""
        late = {reader.name: reader.offset for reader in self.readers if not reader.has_all()}
        return f"{self.acked} acked, {self.top} the top, {late}"


KEPT = 5
"""Messages that a sender changes: its newest."""


class Sender:
    """Posts one message after the other, until told to stop; the body says who and which. Now and
    then it changes one of its newest."""

    def __init__(self, room: Load, number: int) -> None:
        self.acked = 0
        self._room = room
        self._name = f"sender{number}"
        self._transport = transport(room.rng)
        self._changed = 0
        self._mine: dict[str, set[str]] = {}
        """Its newest messages that are not deleted, with the reactions to each."""
        self._offsets: dict[str, int] = {}

    async def run(self) -> None:
        room, count = self._room, 0
        async with RoomClient(
            room.url(), ROOM, user=self._name, transports=self._transport, buffer=10, timeout=30
        ) as client:
            while not room.enough:
                if self._mine and room.rng.random() < 0.3:
                    await self._change(client)
                    continue
                id, count = f"{self._name}-{count}", count + 1
                body = {"id": id, "text": "x" * room.rng.randrange(200)}
                room.checker.sent(id, body, self._name)
                sent = await client.send(body, id=id, timeout=None)
                self.acked += 1
                room.posted(sent.id, sent.offset)
                self._mine[id], self._offsets[id] = set(), sent.offset
                if len(self._mine) > KEPT:
                    del self._mine[next(iter(self._mine))]

    async def _change(self, client: RoomClient) -> None:
        room, rng = self._room, self._room.rng
        self._changed += 1
        name = f"{self._name} changes {self._changed}"
        id = rng.choice(list(self._mine))
        reactions = self._mine[id]
        kind = rng.choice(["edit", "edit", "delete", "reaction", "reaction"])
        done = Done(id, kind)
        if kind == "edit":
            done = Done(id, kind, {"id": id, "edit": name})
        elif kind == "reaction":
            on = not reactions or rng.random() < 0.6
            emoji = f"e{self._changed}" if on else rng.choice(sorted(reactions))
            (reactions.add if on else reactions.remove)(emoji)
            done = Done(id, kind, None, emoji, on)
        else:
            del self._mine[id]
        room.checker.operated(name, done)
        try:
            changed = await self._ask(client, id, done)
        except Refusal as refusal:
            if refusal.code != "not_found":
                raise
            # others have posted so much meanwhile that it is no longer in the log
            room.checker.refused_operation(name)
            self._mine.pop(id, None)
            return
        self.acked += 1
        room.operated(name, changed.offset)

    async def _ask(self, client: RoomClient, id: str, done: Done) -> Changed:
        try:
            return await _operate(client, id, done)
        except Refusal as refusal:
            if "several messages" not in refusal.message:
                raise
        # posted twice, which is for the checker to find
        return await _operate(client, self._offsets[id], done)


async def _operate(client: RoomClient, message: int | str, done: Done) -> Changed:
    if done.kind == "edit":
        return await client.edit(message, done.body, timeout=None)
    if done.kind == "delete":
        return await client.delete(message, timeout=None)
    return await client.react(message, done.emoji, on=done.on, timeout=None)


class Reader:
    """A member that comes, reads for a while, goes, and comes back with its position."""

    def __init__(self, room: Load, number: int) -> None:
        self.room = room
        self.name = f"reader{number}"
        self.bare = number % 2 == 1
        self.position: Position | None = None
        self.gaps = 0
        self.diary: list[str] = []
        """Its visits, for a test that fails."""

    async def run(self) -> None:
        room, rng = self.room, self.room.rng
        visit = self.visit_bare if self.bare else self.visit_client
        while not (room.over and self.has_all()):
            room.visits += 1
            kind, first, began = transport(rng), self.offset, time.monotonic()
            await visit(self.offset + rng.randrange(20, 200), kind)
            self.diary.append(
                f"{self.name} by {kind or 'both'} from {first} to {self.offset}, "
                f"{began:.3f} to {time.monotonic():.3f}"
            )
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
        self.room.highest = max(self.room.highest, payload["offset"])
        self.room.checker.received(
            self.name,
            payload["id"],
            payload["offset"],
            payload["body"],
            payload.get("reactions", ()),
            deleted=bool(payload.get("deleted")),
        )
        self.room.changed()

    def told(self, kind: str, payload: dict[str, Any], position: Position) -> None:
        self.position = position
        self.room.received += 1
        self.room.highest = max(self.room.highest, position.offset)
        emoji, on = payload.get("emoji", ""), payload.get("on", True)
        done = Done(payload["id"], kind, payload.get("body"), emoji, on)
        self.room.checker.told(self.name, position.offset, done)
        self.room.changed()

    def missed(self, first: int, last: int, position: Position) -> None:
        self.gaps += 1
        self.diary.append(f"{self.name} was told of a gap from {first}, now {position}")
        self.position = position
        self.room.checker.gap(self.name, first, last)
        self.room.changed()

    async def visit_client(self, enough: int, kind: list[Transport] | None) -> None:
        known = None if self.position is None else str(self.position)
        async with RoomClient(
            self.room.url(),
            ROOM,
            user=self.name,
            position=known,
            transports=kind,
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
                self.missed(item.first, item.last, position)
            elif isinstance(item, Change):
                self.told(item.kind, asdict(item), position)
            else:
                assert isinstance(item, Received)
                told = {"id": item.id, "offset": item.offset, "body": item.body}
                self.got({**told, "reactions": item.counts, "deleted": item.deleted}, position)

    async def visit_bare(self, enough: int, kind: list[Transport] | None) -> None:
        """With nothing but python-socketio. It sometimes hangs when the server is killed (its read
        task dies unheard), so a visit also ends with its connection."""
        sio = socketio.AsyncClient(reconnection=False, handle_sigint=False)
        sio.on("welcome", self._welcomed, namespace=f"/{ROOM}")
        sio.on("message", self._message, namespace=f"/{ROOM}")
        sio.on("gap", self._gap, namespace=f"/{ROOM}")
        for change in CHANGES:
            sio.on(change, partial(self._told, change), namespace=f"/{ROOM}")
        try:
            await sio.connect(
                self.room.url(),
                auth=self._auth,
                namespaces=[f"/{ROOM}"],
                transports=kind,
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
        for event in ("welcome", "message", "gap", *CHANGES):
            sio.on(event, lambda *args: None, namespace=f"/{ROOM}")
        await let_go(sio)

    def _auth(self) -> dict[str, str]:
        position = {} if self.position is None else {"position": str(self.position)}
        return {"user": self.name, **position}

    def _welcomed(self, payload: dict[str, Any], position: str) -> None:
        self.begin(Position.parse(position))

    def _message(self, payload: dict[str, Any], position: str) -> None:
        self.got(payload, Position.parse(position))

    def _told(self, kind: str, payload: dict[str, Any], position: str) -> None:
        self.told(kind, payload, Position.parse(position))

    def _gap(self, payload: dict[str, Any], position: str) -> None:
        self.missed(payload["from"], payload["to"], Position.parse(position))


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
