"""Attacks carried out against a live server with healthy clients in it, a batch at a time.

A batch is over when the server has handled everything (served.py says so), each attacker has read
all that it was told, and every connection is closed. Then the server is looked at.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

import aiohttp

from sioserver.testing import ServerProcess

from ..gateway import kit as gateway
from ..hostile import ROOM, Victim
from ..transport import kit
from . import grammar, invariants, plain
from .attacks import Attack, Frames, Knock, Plain, Post, Raw, Talk, Upgrade, short
from .invariants import Look, Seen
from .served import LOOK, Looking
from .wire import END, SESSION, Line, rejections, rejections_in_poll

SETTINGS: Mapping[str, object] = {
    "log.level": "info",
    "limits.enabled": False,
    "presence.grace": 0.01,
    "presence.batch": 0.05,
    "delivery.confirm": 0.2,
    "drain.seconds": 0,
}
"""Rates are off: what is refused shall be refused for what it is."""

AT_ONCE = 24
"""Attackers at the same time."""

PATIENCE = 20.0
"""Seconds in which the server has reacted, however busy the machine is."""

NOTHING_ELSE = Looking()


class Broken(AssertionError):
    """The server did not keep a promise."""


class Server(ServerProcess):
    """`sioserver serve` that tells of itself."""

    program = "import sys; from tests.fuzz.served import run; sys.exit(run())"


class Attacker:
    """One attack: its connections, and what came of it."""

    def __init__(self, campaign: Campaign, attack: Attack) -> None:
        self.port = campaign.server.port
        self.attack = attack
        self.user = campaign.a_user()
        self.sid = ""
        self.lines: list[Line] = []
        self.polls: Line | None = None
        self.told: list[str] = []

    # ------------------------------------------------------------ sending

    async def begin(self) -> None:
        """Do everything up to the attack, and send it. No answer to it is waited for. Raises
        `Broken` when the server does not take it or does not answer what comes before it."""
        try:
            async with asyncio.timeout(PATIENCE):
                await self._begin()
        except TimeoutError as error:
            raise Broken(f"the server does not react: {short(self.attack)}") from error

    async def _begin(self) -> None:
        match self.attack:
            case Frames(frames, joined):
                line = await self._websocket(joined)
                line.send(b"".join(frames))
            case Talk("websocket", packets, joined):
                line = await self._websocket(joined)
                line.send(b"".join(map(_framed, packets)))
            case Talk(way, packets, joined):
                line = await self._polling(way, joined)
                line.send(self._post(grammar.payload_of(list(packets))))
            case Post(way, body):
                line = await self._polling(way)
                line.send(self._post(body))
            case Upgrade(frames, probed, twice, joined):
                await self._polling("polling", joined)
                line = await self._upgrade()
                if twice:
                    line = await self._upgrade()
                if probed:
                    line.send(grammar.frame(1, b"2probe"))
                line.send(b"".join(frames))
            case Plain(dialect, frames, joined):
                line = await self._plain(dialect, joined)
                line.send(b"".join(frames))
            case Knock(data):
                line = await self._line()
                line.send(data)
            case Raw(data, way):
                line = None
                if way == "lane" or grammar.SID.encode() in data:
                    line = await self._polling(way)
                if way != "lane" or line is None:
                    line = await self._line()
                line.send(data.replace(grammar.SID.encode(), self.sid.encode()))
        await line.sent()

    async def _line(self) -> Line:
        line = await Line.open(self.port)
        self.lines.append(line)
        return line

    async def _websocket(self, joined: bool) -> Line:
        line = await self._upgrade()
        if joined:
            line.send(_framed(self._join()))
            await line.until(lambda data: f"40/{ROOM},".encode() in data)
        return line

    async def _upgrade(self) -> Line:
        line = await self._line()
        target = "/socket.io/?EIO=4&transport=websocket" + (f"&sid={self.sid}" if self.sid else "")
        line.send(grammar.request("GET", target, grammar.UPGRADE))
        await line.until(lambda data: END in data)
        return line

    async def _plain(self, dialect: str, joined: bool) -> Line:
        line = await self._line()
        headers = list(grammar.UPGRADE)
        if protocol := plain.PROTOCOLS[dialect]:
            headers.append(f"Sec-WebSocket-Protocol: {protocol}")
        line.send(grammar.request("GET", plain.PATH, headers))
        await line.until(lambda data: END in data)
        if joined:
            line.send(plain.joining(dialect, self.user))
            told = f'"uid":"{self.user}"' if dialect == "tutorial" else "welcome"
            await line.until(lambda data: told.encode() in data)
        return line

    def _join(self) -> str:
        return f'40/{ROOM},{{"user":"{self.user}"}}'

    async def _polling(self, way: str, joined: bool = True) -> Line:
        """The connection for posts; with "lane" the server knows the session's requests."""
        line = await self._line()
        _, opened = await line.ask(self._get())
        found = SESSION.search(opened)
        assert found is not None, opened
        self.sid = found[1].decode()
        if joined:
            await line.ask(self._post(self._join().encode()))
            await line.ask(self._get())
        if way == "lane":
            for _ in range(2):
                await line.ask(self._post(b"3"))
        return line

    def _get(self) -> bytes:
        sid = f"&sid={self.sid}" if self.sid else ""
        return grammar.request(
            "GET", f"/socket.io/?EIO=4&transport=polling{sid}", ["Host: 127.0.0.1"]
        )

    def _post(self, body: bytes) -> bytes:
        headers = ["Host: 127.0.0.1", "Content-Type: text/plain", f"Content-Length: {len(body)}"]
        target = f"/socket.io/?EIO=4&transport=polling&sid={self.sid}"
        return grammar.request("POST", target, headers, body)

    # ------------------------------------------------------------ hearing

    @property
    def polling(self) -> bool:
        """Is it told anything by polls?"""
        return bool(self.sid) and not isinstance(self.attack, Upgrade)

    async def fetch(self) -> None:
        """Ask for what the server has to tell a polling client."""
        if self.polls is None:
            self.polls = await self._line()
        self.polls.send(self._get())

    def hear(self) -> bool | None:
        """Read what has come of `fetch`: is there more to ask for? None: nothing has come yet.
        Raises `Broken` when nothing will."""
        assert self.polls is not None
        head, body = self.polls.answer()
        if not head:
            if self.polls.over:
                raise Broken(f"a poll was not answered: {short(self.attack)}")
            return None
        self.told += rejections(head)
        if b" 200 " not in head[:16]:
            return False
        self.told += rejections_in_poll(body)
        return body not in (b"6", b"1")

    async def end(self) -> None:
        """Read what has come, and leave nothing open."""
        opened = {self.sid} - {""}
        is_plain = isinstance(self.attack, Plain | Knock)
        for line in self.lines:
            data = bytes(line.received)
            self.told += rejections(data, plain=is_plain)
            opened.update(sid.decode() for sid in SESSION.findall(data))
            line.close()
        for sid in opened:
            await self._say_goodbye(sid)

    async def _say_goodbye(self, sid: str) -> None:
        self.sid = sid
        line = await Line.open(self.port)
        status, _ = await line.ask(self._post(b"1"))
        if status >= 400:
            self.told.append(f"status {status} of a goodbye")
        line.close()
        if self.polls is not None:
            self.polls.close()


class PlainVictim:
    """Somebody who does nobody harm, over a plain WebSocket."""

    def __init__(self, client: gateway.Plain, user: str) -> None:
        self.client = client
        self.user = user
        self._numbers = itertools.count(1)

    async def echo(self) -> None:
        """Post something, and hear it, as `Victim.echo` does; it comes once, and in its turn."""
        number = next(self._numbers)
        await self.say(number)
        while (heard := self.read(await self.client.hear())) is None:
            pass
        assert heard == f"{self.user} {number}", (heard, number)

    async def enter(self) -> None:
        """Come into the room."""
        raise NotImplementedError

    async def say(self, number: int) -> None:
        """Post the text with this number."""
        raise NotImplementedError

    def read(self, frame: Any) -> str | None:
        """One's own message; None: it is another frame."""
        raise NotImplementedError


class NativeVictim(PlainVictim):
    """In the native dialect: nothing is missing between its messages, either."""

    offset = 0

    async def enter(self) -> None:
        welcome = await self.client.join(ROOM, user=self.user)
        self.offset = int(welcome[2].partition(".")[2])

    async def say(self, number: int) -> None:
        await self.client.say(["message", f"{self.user} {number}", number])

    def read(self, frame: Any) -> str | None:
        if frame[0] == "ack":
            assert frame[1]["ok"], frame
        if frame[0] == "gap":
            raise AssertionError(f"{self.user} was told of a gap: {frame}")
        if not (
            isinstance(frame[-1], str) and frame[-1].rpartition(".")[2] == str(self.offset + 1)
        ):
            assert frame[0] != "message", (frame, self.offset)
            return None
        self.offset += 1
        mine = frame[0] == "message" and frame[1]["user"] == self.user
        return str(frame[1]["body"]) if mine else None


class TutorialVictim(PlainVictim):
    """In the tutorial's dialect."""

    async def enter(self) -> None:
        await self.client.login(self.user, ROOM, self.user)

    async def say(self, number: int) -> None:
        await self.client.say({"name": self.user, "message": f"{self.user} {number}"})

    def read(self, frame: Any) -> str | None:
        assert frame["event"] not in ("error", "noauth", "gap"), frame
        mine = frame["event"] == "message" and frame["name"] == self.user
        return frame["message"] if mine else None


def _framed(packet: str | bytes) -> bytes:
    if isinstance(packet, bytes):
        return grammar.frame(2, packet)
    return grammar.frame(1, packet.encode("utf-8", "surrogatepass"))


class Campaign:
    """A server under attack, and its healthy clients."""

    def __init__(
        self, server: Server, http: aiohttp.ClientSession, looking: aiohttp.ClientSession
    ) -> None:
        """`looking`: asks how the server is, over connections that it does not keep: with one pool
        for this and for the healthy clients it was chance how many of them there were."""
        self.server = server
        self._looking = looking
        self.site = kit.Site(None, "socket.io", server.port, http)
        self.http = http
        self.victims: list[Victim] = []
        self.plain: list[PlainVictim] = []
        self.patience = PATIENCE
        """Seconds in which everything that attackers have left has ended."""
        self._before: Look | None = None
        self._users = itertools.cycle(f"mallory-{number}" for number in range(40))

    def a_user(self) -> str:
        """Attackers are few people, or the members of the room would be ever more."""
        return next(self._users)

    async def enter(self) -> None:
        """Let the healthy clients in."""
        for transport in kit.TRANSPORTS:
            victim = Victim(await self.site.connect(transport), f"victim-{transport}")
            await victim.enter()
            self.victims.append(victim)
        for kind, protocols in ((NativeVictim, ["sioserver.v1"]), (TutorialVictim, [])):
            ws = await self.http.ws_connect(self.site.origin + plain.PATH, protocols=protocols)
            caller = kind(gateway.Plain(ws), f"victim-{len(self.plain)}")
            await caller.enter()
            self.plain.append(caller)
        await self.echo()

    async def echo(self) -> None:
        """The healthy clients are answered, and have everything that was posted in their room."""
        await asyncio.gather(*(victim.echo() for victim in (*self.victims, *self.plain)))
        top = max(victim.offsets[-1] for victim in self.victims)
        await asyncio.gather(*(victim.catch_up(top) for victim in self.victims))

    async def warm_up(self, batch: Sequence[Attack]) -> None:
        """Attacks after which the server has everything that it will ever keep."""
        for _ in range(2):
            await self._carry_out(batch)
        async with asyncio.timeout(PATIENCE):
            while (await self.look(Looking(forget=True))).kept["sessions"] > len(self.victims):
                await asyncio.sleep(0.01)
        self._before = await self.look(Looking(memory=True))

    async def look(self, looking: Looking = NOTHING_ELSE) -> Look:
        """The server, when it has handled everything that has arrived, and has done this."""
        async with self._looking.post(self.site.origin + LOOK, json=asdict(looking)) as answer:
            return invariants.look(await answer.json())

    async def attack(self, batch: Sequence[Attack], *, log: bool = True) -> list[str]:
        """Carry out a batch, and return what the attackers were told. Raises `Broken`, with `log`
        also for lines in the log that somebody would have to look at."""
        before = self._before
        assert before is not None, "warm it up first"
        first = len(self.server.output)
        seen = await self._carry_out(batch)
        after = await self._rest(before)
        found = invariants.broken(before, after, seen, self.server.output[first:] if log else ())
        if found:
            raise Broken("\n".join(found))
        self._before = Look(before.kept, before.memory, after.counted)
        return seen.examples

    async def _carry_out(self, batch: Sequence[Attack]) -> Seen:
        seen = Seen()
        for some in _few(batch):
            attackers = [Attacker(self, attack) for attack in some]
            healthy = asyncio.create_task(self.echo())
            await asyncio.gather(*(attacker.begin() for attacker in attackers))
            await self.look()
            await self._fetch(attackers)
            await asyncio.gather(*(attacker.end() for attacker in attackers))
            for attacker in attackers:
                seen.rejected += len(attacker.told)
                seen.examples.append(f"{short(attacker.attack)}: {attacker.told}")
            await healthy
            await self.look(Looking(forget=True))
        await self.echo()
        return seen

    async def _fetch(self, attackers: list[Attacker]) -> None:
        """Have everything told that polling clients can be told."""
        asking = [attacker for attacker in attackers if attacker.polling]
        while asking:
            await asyncio.gather(*(attacker.fetch() for attacker in asking))
            asking = await self._hear(asking)

    async def _hear(self, asking: list[Attacker]) -> list[Attacker]:
        """Every poll is answered: the server lets go of those that there is nothing for, and then
        the client has been told everything. Returns those who have to ask again."""
        again, waiting = [], asking
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while waiting:
            if asyncio.get_running_loop().time() > deadline:
                raise Broken(f"a poll is not answered: {short(waiting[0].attack)}")
            await self.look(Looking(release=[attacker.sid for attacker in waiting]))
            heard = [(attacker, attacker.hear()) for attacker in waiting]
            again += [attacker for attacker, more in heard if more]
            waiting = [attacker for attacker, more in heard if more is None]
        return again

    async def _rest(self, before: Look) -> Look:
        """The server at rest: what ends takes a while."""
        deadline = asyncio.get_running_loop().time() + self.patience
        while True:
            after = await self.look(Looking(forget=True))
            rested = all(n <= before.kept.get(name, 0) for name, n in after.kept.items())
            if rested or asyncio.get_running_loop().time() > deadline:
                return await self.look(Looking(memory=True))
            await asyncio.sleep(0.01)


def _few(batch: Sequence[Attack]) -> Iterator[Sequence[Attack]]:
    for at in range(0, len(batch), AT_ONCE):
        yield batch[at : at + AT_ONCE]


@asynccontextmanager
async def campaign(**settings: Any) -> AsyncIterator[Campaign]:
    """A server with these settings, and its healthy clients."""
    async with Server(settings={**SETTINGS, **settings}) as server:
        connector = aiohttp.TCPConnector(limit=0)
        passing = aiohttp.TCPConnector(force_close=True)
        async with (
            aiohttp.ClientSession(connector=connector) as http,
            aiohttp.ClientSession(connector=passing) as looking,
        ):
            ready = Campaign(server, http, looking)
            await ready.enter()
            yield ready
            for ws in ready.site.opened:
                await ws.close()
            for caller in ready.plain:
                await caller.client.close()
