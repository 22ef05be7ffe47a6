"""A server under siege: hostile clients that come in by any door, and victims who must not notice.

    async with house() as place, place.siege():
        async with DOORS["polling"].attacker(place) as attacker:
            await attacker.join("lobby")
            await attacker.send("42/lobby,[[[")
            assert (await attacker.judge()).closed

`House` is the whole server in this process, with two victims in one room of it, one over each
transport. `House.siege` proves of whatever is done inside it that the victims were answered
meanwhile and afterwards, lost no message and no connection, that nothing of the attackers is left,
and that the log has no traceback. A `Door` is a way in; a probe says what it sends and what has to
come of it, and is run through each door that understands it. Nothing here waits for a time to pass.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import msgspec
from aiohttp import web

from sioserver.app import DOORS as DOORS_OF
from sioserver.app import METRICS, NODE, SERVER, create_app
from sioserver.config import Config
from sioserver.metrics import Metrics
from sioserver.serve import connections_of
from sioserver.site import Site
from sioserver.transport.namespace import RoomServer

from .transport import kit

ROOM = "hall"
"""Where the victims are."""

LOGGED = ("message", "edit", "delete", "reaction")
"""Events that are entries of the log: an attacker's reaction has an offset between two messages."""

USUAL: Mapping[str, Mapping[str, Any]] = {
    "store": {"path": ":memory:"},
    "presence": {"grace": 0.01, "batch": 0.01},
    "delivery": {"confirm": 0.01},
    "drain": {"seconds": 0.0},
}


def configured(**sections: Mapping[str, Any]) -> Config:
    """A configuration for a house: in memory, and quick."""
    names = {*USUAL, *sections}
    merged = {name: {**USUAL.get(name, {}), **sections.get(name, {})} for name in names}
    return msgspec.convert(merged, Config)


# ---------------------------------------------------------------------------- the log


class Complaints(logging.Handler):
    """What the server wrote into the log that somebody would have to look at."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.tracebacks: list[str] = []
        self.errors: list[str] = []
        self.warnings: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record)
        if record.exc_info or "Traceback" in line:
            self.tracebacks.append(line)
        elif record.levelno >= logging.ERROR:
            self.errors.append(line)
        else:
            self.warnings.append(line)

    def check(self) -> None:
        """No client may make us write a traceback, or what an operator would be woken for."""
        assert not self.tracebacks, self.tracebacks[0]
        assert not self.errors, self.errors[:3]


# ---------------------------------------------------------------------------- the house


class Victim:
    """Somebody who does nobody harm: posts, is answered, and gets everything that is posted."""

    def __init__(self, client: kit.Client, user: str) -> None:
        self.client = client
        self.user = user
        self.offsets: list[int] = []
        self.answered: set[int] = set()
        self._numbers = itertools.count(1)

    async def enter(self) -> None:
        """Join, and read the welcome."""
        await self.client.join(f"/{ROOM}", {"user": self.user})

    async def echo(self) -> None:
        """Post something, and wait for the answer and the message itself. Fails when the connection
        is lost, when an answer is no good, or when a message is missing or comes twice."""
        number = next(self._numbers)
        await self.client.send(f'42/{ROOM},{number}["message","{self.user} {number}"]')
        mine = False
        while not (mine and number in self.answered):
            mine = self._read(await self.client.receive()) == f"{self.user} {number}" or mine

    async def catch_up(self, offset: int) -> None:
        """Read on until this message is there."""
        while not (self.offsets and self.offsets[-1] >= offset):
            self._read(await self.client.receive())

    def _read(self, packet: str | bytes) -> Any:
        """The body of what was read, if it is a message."""
        if isinstance(packet, bytes) or not packet.startswith(("42", "43", "45")):
            return None
        kind, rest = packet[:2], packet[2:].partition(f"/{ROOM},")[2]
        if kind == "43":
            number, _, payload = rest.partition("[")
            answer = json.loads("[" + payload)[0]
            assert answer["ok"], answer
            self.answered.add(int(number))
            return None
        event, *args = json.loads(rest)
        if event == "gap":
            raise AssertionError(f"{self.user} was told of a gap: {args}")
        if event not in LOGGED:
            return None
        offset = int(args[-1].rpartition(".")[2])
        assert not self.offsets or offset == self.offsets[-1] + 1, (self.offsets[-1], offset)
        self.offsets.append(offset)
        return args[0]["body"] if event == "message" else None


class House(kit.Site):
    """A server in this process, its victims, and what can be seen of it from inside."""

    def __init__(self, app: web.Application, port: int, http: aiohttp.ClientSession) -> None:
        super().__init__(app[SERVER], "socket.io", port, http)
        self.app = app
        self.sio: RoomServer = app[SERVER]
        self.metrics: Metrics = app[METRICS]
        self.node = app[NODE]
        self.victims: list[Victim] = []
        self.complaints = Complaints()
        self.patience = kit.PATIENCE

    async def settle(self) -> None:
        """Let the victims in, and everything that there is at rest be there."""
        for transport in kit.TRANSPORTS:
            victim = Victim(await self.connect(transport), f"victim-{transport}")
            await victim.enter()
            self.victims.append(victim)
        for victim in self.victims:
            await victim.echo()
        await self.level()

    async def echo(self) -> None:
        """Each of the victims is well."""
        await asyncio.gather(*(victim.echo() for victim in self.victims))
        await self.level()

    async def level(self) -> None:
        """All victims have got everything that there is in their room."""
        top = max(victim.offsets[-1] for victim in self.victims)
        await asyncio.gather(*(victim.catch_up(top) for victim in self.victims))

    @property
    def sessions(self) -> set[str]:
        """The connections that the server knows, apart from the victims'."""
        plain = (connection.sid for door in self.app[DOORS_OF] for connection in door.connections)
        known = {*self.eio.sockets, *self.sio._connections, *plain}
        return known - {victim.client.sid for victim in self.victims}

    def limits(self) -> dict[str, int]:
        """How often each limit was reached."""
        return dict(self.metrics.limit_hits)

    def counted(self, before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
        """What has grown, and by how much."""
        return {name: after[name] - before[name] for name in after if after[name] != before[name]}

    @asynccontextmanager
    async def siege(self) -> AsyncIterator[None]:
        """Whatever happens inside disturbs no victim and leaves nothing behind."""
        tasks = len(asyncio.all_tasks())
        sessions = self.sessions
        echoing = asyncio.create_task(self.echo())  # while it happens
        try:
            yield
        finally:
            await asyncio.gather(echoing, return_exceptions=True)
        await echoing
        await self.echo()  # and afterwards
        for victim in self.victims:
            assert victim.client.sid in self.eio.sockets, f"{victim.user} was disconnected"
        await kit.until(lambda: self.sessions <= sessions, self.patience)
        await kit.until(lambda: len(asyncio.all_tasks()) <= tasks, self.patience)
        self.complaints.check()


@asynccontextmanager
async def house(config: Config | None = None) -> AsyncIterator[House]:
    """A house with its victims in it, on a free port of loopback."""
    config = config or configured()
    app = create_app(config)
    connections = connections_of(app, config)
    running = web.AppRunner(app, access_log=None, shutdown_timeout=0.5, **connections.settings())
    await running.setup()
    complaints = None
    try:
        await Site(running, connections, host="127.0.0.1", port=0).start()
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        async with aiohttp.ClientSession(connector=connector) as http:
            place = House(app, running.addresses[0][1], http)
            complaints = place.complaints
            logging.getLogger().addHandler(complaints)
            await place.settle()
            try:
                yield place
            finally:
                for kept in [kept for several in place.kept.values() for kept in several]:
                    kept.writer.close()
                await asyncio.gather(*(ws.close() for ws in place.opened))
    finally:
        if complaints is not None:
            logging.getLogger().removeHandler(complaints)
        await running.cleanup()
    assert complaints is not None
    complaints.check()


# ---------------------------------------------------------------------------- attackers


@dataclass
class Verdict:
    """What came of what an attacker has sent."""

    closed: bool = False
    """The connection is over."""
    left: bool = False
    """The room was closed to the attacker, by a DISCONNECT; the connection goes on."""
    answers: list[Any] = field(default_factory=list)
    """The acks, in order."""
    errors: list[str] = field(default_factory=list)
    """Codes of refusals, in order: in acks, in CONNECT_ERRORs, and in notices."""
    events: list[list[Any]] = field(default_factory=list)
    """The events, in order: the name, then the arguments."""
    joined: list[str] = field(default_factory=list)
    """The rooms that let the attacker in."""

    def __str__(self) -> str:
        """The outcome in a word or two, as tables of probes write it."""
        if self.closed:
            return "closed"
        if self.errors:
            return "refused " + " ".join(self.errors)
        if self.left:
            return "left"
        if any(answer.get("ok") is True for answer in self.answers if isinstance(answer, dict)):
            return "ok"
        return "joined" if self.joined else "ignored"


class Attacker:
    """A hostile client: one connection through a door."""

    async def join(self, room: str, auth: Any = None) -> Verdict:
        """Join a room as a decent client would."""
        raise NotImplementedError

    async def call(self, event: Any, *args: Any) -> Verdict:
        """Send an event into the room that was joined last, and wait for its answer."""
        raise NotImplementedError

    async def send(self, *packets: str | bytes) -> None:
        """Send Engine.IO packets as they are. A connection that ends meanwhile is no failure."""
        raise NotImplementedError

    async def judge(self) -> Verdict:
        """What has come of everything that was sent: all answers to it, or the end. A request that
        a decent client could make is sent last, and its answer shows that all others are there."""
        raise NotImplementedError

    async def silence(self) -> Verdict:
        """Send nothing, until the connection is over."""
        raise NotImplementedError

    async def leave(self) -> None:
        """Go without a word, and leave no connection open."""
        raise NotImplementedError


class SocketIO(Attacker):
    """A Socket.IO client that sends whatever it likes."""

    MARK = 9_007_199_254_740_000
    """The marks' ack ids: no probe uses these."""

    def __init__(self, place: House, client: kit.Client) -> None:
        self.place = place
        self.client = client
        self.room = ""
        self.over = False
        self._marks = itertools.count(self.MARK)
        self._numbers = itertools.count(1)

    @property
    def sid(self) -> str:
        return self.client.sid

    async def send(self, *packets: str | bytes) -> None:
        try:
            for packet in packets:
                await self.client.send(packet)
        except ConnectionError:
            pass  # `judge` will tell

    async def join(self, room: str, auth: Any = None) -> Verdict:
        verdict = Verdict()
        await self.send(f"40/{room}," + ("" if auth is None else json.dumps(auth)))
        await self._read(verdict, lambda packet: packet.startswith((f"40/{room},", f"44/{room},")))
        if room in verdict.joined:
            self.room = room
        return verdict

    async def call(self, event: Any, *args: Any) -> Verdict:
        number, verdict = next(self._numbers), Verdict()
        await self.send(f"42/{self.room},{number}{json.dumps([event, *args])}")
        await self._read(verdict, lambda packet: packet.startswith(f"43/{self.room},{number}["))
        return verdict

    async def judge(self) -> Verdict:
        verdict = Verdict()
        if not self.room:
            # in no room: the session's is one that everybody may join
            await self.send("40/@me,")
            await self._read(verdict, lambda packet: packet.startswith(("40/@me,", "44/@me,")))
            if "@me" in verdict.joined:
                verdict.joined.remove("@me")
                self.room = "@me"
            return verdict
        mark = next(self._marks)
        asked = '["rooms"]' if self.room == "@me" else '["typing",false]'
        await self.send(f"42/{self.room},{mark}{asked}")
        await self._read(verdict, lambda packet: packet.startswith(f"43/{self.room},{mark}["))
        if not (verdict.closed or verdict.left):
            marked = verdict.answers.pop()
            if not marked["ok"]:
                verdict.errors.pop()  # it was too fast for the limits, or must not do even that
        return verdict

    async def silence(self) -> Verdict:
        verdict = Verdict()
        while not self.over:
            verdict.left = False
            await self._read(verdict, lambda packet: False)
        return verdict

    async def _read(self, verdict: Verdict, last: Callable[[str], bool]) -> None:
        """Note everything that comes, to the end of the connection or of the room at the most."""
        while not (self.over or verdict.left):
            try:
                packet = await self.client.receive()
            except ConnectionError:
                self.over = True
                break
            if packet == kit.CLOSE:
                self.over = True
            elif isinstance(packet, str):
                self._note(verdict, packet)
                if last(packet):
                    break
        verdict.closed = self.over

    def _note(self, verdict: Verdict, packet: str) -> None:
        kind, rest = packet[:2], packet[2:]
        if rest.startswith("/"):
            namespace, _, rest = rest.partition(",")
        else:
            namespace = "/"
        if kind == "40":
            verdict.joined.append(namespace[1:])
        elif kind == "41":
            verdict.left = namespace[1:] == self.room
        elif kind == "44":
            data = json.loads(rest)
            verdict.errors.append(data["data"]["code"])
        elif kind in ("42", "45"):
            event = json.loads(rest[rest.index("[") :])
            verdict.events.append(event)
            if event[0] == "notice" and "event" in event[1]:
                verdict.errors.append(event[1]["code"])
        elif kind in ("43", "46"):
            answer = json.loads(rest[rest.index("[") :])[0]
            verdict.answers.append(answer)
            if not answer["ok"]:
                verdict.errors.append(answer["error"]["code"])

    async def leave(self) -> None:
        if isinstance(self.client, kit.WebSocket):
            await self.client.ws.close()
        else:
            if self.sid in self.place.eio.sockets:
                await self.send(kit.CLOSE)
            while self.sid in self.place.eio.sockets:
                await self.place.get(self.sid)  # what was written before waits to be fetched
            for kept in self.place.kept.pop(self.sid, []):
                kept.writer.close()


class Door:
    """A way into the house. `understands`: what can be sent through it; "events" are requests as in
    docs/protocol.md, "packets" those of Engine.IO, which only Socket.IO's doors know."""

    name: str
    understands: Collection[str] = ("events",)

    async def open(self, place: House) -> Attacker:
        """A new connection that has joined nothing yet."""
        raise NotImplementedError

    @asynccontextmanager
    async def attacker(self, place: House) -> AsyncIterator[Attacker]:
        """The same, for a while."""
        attacker = await self.open(place)
        try:
            yield attacker
        finally:
            await attacker.leave()


class SocketIODoor(Door):
    """Socket.IO over one of the transports."""

    understands = ("events", "packets")

    def __init__(self, transport: str) -> None:
        self.name = transport

    async def open(self, place: House) -> SocketIO:
        return SocketIO(place, await place.connect(self.name))


class Native(Attacker):
    """A plain WebSocket that speaks the native dialect, in JSON; binary is an object there."""

    MARK = 9_007_199_254_740_000
    """The marks' ids: no probe uses these."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.ws = ws
        self.over = False
        self._marks = itertools.count(self.MARK)
        self._numbers = itertools.count(1)

    async def join(self, room: str, auth: Any = None) -> Verdict:
        if auth is None or isinstance(auth, dict):
            auth = {"room": room, **(auth or {})}
        verdict = await self._ask("join", next(self._numbers), auth)
        if verdict.answers and verdict.answers.pop()["ok"]:
            verdict.joined.append(room)
        return verdict

    async def call(self, event: Any, *args: Any) -> Verdict:
        return await self._ask(event, next(self._numbers), *args)

    async def judge(self) -> Verdict:
        verdict = await self._ask("typing", next(self._marks), False)
        if not verdict.closed and not verdict.answers.pop()["ok"]:
            verdict.errors.pop()  # it was too fast for the limits, or is in no room
        return verdict

    async def silence(self) -> Verdict:
        verdict = Verdict()
        await self._read(verdict, lambda frame: False)
        return verdict

    async def leave(self) -> None:
        await self.ws.close()

    async def _ask(self, event: Any, number: int, *args: Any) -> Verdict:
        verdict = Verdict()
        first, more = (args[0] if args else None), args[1:]
        try:
            await self.ws.send_str(json.dumps([event, first, number, *more], default=_in_json))
        except (ConnectionError, aiohttp.ClientError):
            self.over = verdict.closed = True
            return verdict
        await self._read(verdict, lambda frame: frame[0] == "ack" and frame[2] == number)
        return verdict

    async def _read(self, verdict: Verdict, last: Callable[[Any], bool]) -> None:
        while not self.over:
            message = await self.ws.receive(kit.PATIENCE)
            if message.type is not aiohttp.WSMsgType.TEXT:
                self.over = True
                break
            frame = json.loads(message.data)
            if frame[0] == "ack":
                verdict.answers.append(frame[1])
                if not frame[1]["ok"]:
                    verdict.errors.append(frame[1]["error"]["code"])
            else:
                verdict.events.append(frame)
                if frame[0] == "notice" and "event" in frame[1]:
                    verdict.errors.append(frame[1]["code"])
            if last(frame):
                break
        verdict.closed = self.over


def _in_json(value: bytes) -> dict[str, str]:
    return {"binary": value.hex()}


class NativeDoor(Door):
    """Plain WebSockets."""

    name = "plain"

    async def open(self, place: House) -> Native:
        url = place.origin.replace("http", "ws", 1) + "/ws"
        return Native(await place.http.ws_connect(url, protocols=["sioserver.v1"]))


DOORS: dict[str, Door] = {
    door.name: door for door in (*map(SocketIODoor, kit.TRANSPORTS), NativeDoor())
}
"""Every way in. Another one is another line here."""


def through(what: str) -> list[str]:
    """The names of the doors that understand this."""
    return [name for name, door in DOORS.items() if what in door.understands]
