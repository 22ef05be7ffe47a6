"""The rooms as plain WebSockets reach them: who comes in, who is told what, who is put out.

The hub's outbox for all plain clients: an event is encoded once for each dialect and the same bytes
are written to everybody who speaks it. What a frame means is the talks' business.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final, cast

from sioserver import private, wire
from sioserver.admission import Admission
from sioserver.auth import GUEST, Identity
from sioserver.config import Config
from sioserver.connections.catchup import CatchUp, Spawn
from sioserver.connections.entry import Entry
from sioserver.connections.expiry import Expiry
from sioserver.connections.farewell import AT_ONCE
from sioserver.connections.guard import Guard
from sioserver.connections.proofs import Proofs
from sioserver.connections.recovery import Claim, Recovery, verdict
from sioserver.engine.base import Engine
from sioserver.errors import Disconnect, InvalidToken, Refusal
from sioserver.gateway import anteroom
from sioserver.gateway.clients import PlainClient
from sioserver.gateway.connection import PlainConnection, Talk
from sioserver.gateway.frames import NOTHING, Frames
from sioserver.hub import Client, Hub
from sioserver.limits import Budget, NoBucket
from sioserver.metrics import Metrics
from sioserver.model import Counts, Event, User
from sioserver.replay import Joined
from sioserver.requests import Answer, Pages, Requests
from sioserver.rooms import RoomService
from sioserver.timers import Wheel

log = logging.getLogger(__name__)

NOBODY: Final = Counts(0, 0)

Greet = Callable[[PlainClient, Event, str], list[Frames]]
"""What a client is told first when it has come in: of its welcome, and its recovery token."""


class PlainRooms:
    """The outbox of plain clients, and their way in and out. Methods raise `Refusal`."""

    def __init__(
        self,
        config: Config,
        rooms: RoomService,
        engine: Engine,
        hub: Hub,
        budget: Budget,
        admission: Admission,
        recovery: Recovery,
        metrics: Metrics,
        clock: Callable[[], float],
        wheel: Wheel,
        spawn: Spawn,
        crowd: Callable[[], int],
    ) -> None:
        limits = config.limits
        self.root = config.rooms.root
        self.takes_tokens = config.auth.takes_tokens
        self.needs_tokens = config.auth.takes_tokens and not config.auth.anonymous
        self.metrics = metrics
        self._rooms = rooms
        self._anteroom = anteroom.Anteroom(engine, hub, rooms, self.root)
        self._budget = budget
        self._recovery = recovery
        self._clock = clock
        self._wheel = wheel
        self._spawn = spawn
        self._connect_timeout = limits.connect_timeout
        self.entry = Entry(rooms.identities, admission, clock)
        self.guard = Guard(budget, metrics, clock, self._expel)
        self.proofs = Proofs(
            rooms.replay, hub, wheel, clock, pause=config.delivery.confirm, crowd=crowd
        )
        self._catch_up = CatchUp(
            rooms.replay,
            wheel,
            spawn,
            self._encode,
            self.proofs.confirm,
            self._stalled,
            queue=limits.client_queue,
            slow_after=limits.slow_after,
        )
        self._expiry = Expiry(wheel, clock, notice=config.auth.expiry_notice)
        pages = Pages(
            messages=config.rooms.history_page,
            binaries=limits.max_payload,  # they are no packets of their own here
            bytes=min(limits.max_payload, limits.client_queue // 2),
        )
        self._requests = Requests(rooms, clock, pages, self._expiry.watch)
        # how many are in a room, as its clients here were told last; while there are any
        self._counts: dict[str, Counts] = {}
        self._clients: dict[str, int] = {}
        # the users who came in here and of whom the others have not been told yet, with the numbers
        # of their clients
        self._came: dict[str, dict[str, int]] = {}
        self._numbers = 0

    # ------------------------------------------------------------ coming in

    def allowance(self) -> Any:
        """What a new connection may do."""
        return self._budget.connection(self._clock())

    def expect(self, connection: PlainConnection) -> None:
        """It has to have said who it is within `limits.connect_timeout`."""
        if connection.due is not None:
            connection.due.cancel()
        connection.due = self._wheel.after(self._connect_timeout, lambda: self._late(connection))

    def _late(self, connection: PlainConnection) -> None:
        connection.due = None
        if not connection.closed and not connection.talk.may_stay(connection):
            self.metrics.count_limit("connect_timeout")
            connection.end("", "connect_timeout")

    async def enter(
        self, connection: PlainConnection, name: str, hello: wire.Hello, greet: Greet
    ) -> PlainClient | None:
        """Bring a connection into a room: it is told what `greet` returns, what it missed, and then
        what comes. None: it was ended meanwhile, and has been told so."""
        self.guard.connect(connection)
        wire.check_room(name)
        claim = self._recovery.read(hello.pid, name, self._clock())
        if claim is not None and claim.user.startswith(GUEST) and hello.token is None:
            # a guest who can show a recovery token is the guest that it was made for
            connection.made_up = claim.user.removeprefix(GUEST)
            hello = wire.Hello(name=hello.name or claim.name, position=hello.position)
        identity = await self._identify(connection, hello)
        self.entry.admit(connection, identity, over=connection.closed)
        if connection.closed:
            return None
        bucket = self.guard.join(identity.user)
        room = self._rooms.find(name, identity.user)
        client = PlainClient(identity, room, self, bucket, connection)
        connection.clients[room] = client
        try:
            await self._rooms.admit(client)
            if private.is_session(room):
                await self._enter_session(client, greet)
            else:
                joined = await self._rooms.join(client, hello.position)
                await self._rooms.check(client)
                if client.here:
                    self._let_in(client, name, hello, joined, greet)
        except BaseException as error:
            if isinstance(error, Refusal) and not client.here:
                return None
            await self.leave(client)
            raise
        return client if client.here else None

    async def _identify(self, connection: PlainConnection, hello: wire.Hello) -> Identity:
        try:
            return await self.entry.identify(connection.address, hello, connection.made_up)
        except InvalidToken as error:
            if error.reason != "expired":
                # the client is not told, but whoever set the tokens up wants to know
                log.warning("a token was refused (%s): %s", error.reason, error.detail)
            raise

    async def identify(self, connection: PlainConnection, token: str) -> Identity:
        """Whose token is it? Nobody comes in by that."""
        return await self._identify(connection, wire.Hello(token=token))

    def _let_in(
        self, client: PlainClient, name: str, hello: wire.Hello, joined: Joined, greet: Greet
    ) -> None:
        session, room = client.session, client.room
        self._clients[room] = self._clients.get(room, 0) + 1
        self._counts[room] = joined.counts
        client.counted = True
        self.metrics.clients += 1
        self._numbers += 1
        client.number = self._numbers
        user = client.user
        self._came.setdefault(room, {}).setdefault(user.id, client.number)
        claim = Claim(
            user.id, user.name if user.guest else "", name, session.sid, int(self._clock())
        )
        pid = self._recovery.issue(claim)
        welcome = joined.welcome(client, recovered=joined.recovered, begins=joined.begins)
        missed = self._catch_up.few(client, joined.missed)
        self.metrics.count_recovery(verdict(joined, hello, recovered=joined.recovered))
        for out in greet(client, welcome, pid):
            session.write(out)
        if joined.gap is not None:
            session.write(self._encode(client, joined.gap))
        for out in missed or ():
            session.write(out)
        if missed is None:
            self._rooms.replay.lag(client, joined.after.offset)
        live = missed is not None and self._catch_up.go_live(client)
        self._expiry.watch(client)
        if not live:
            self._catch_up.add(client)

    async def _enter_session(self, client: PlainClient, greet: Greet) -> None:
        rooms = await self._rooms.sessions.enter(client)
        await self._rooms.check(client)
        if not client.here:
            return
        welcome, *early = self._rooms.sessions.go_live(client, rooms)
        for out in greet(client, welcome, ""):
            client.session.write(out)
        for event in early:
            client.session.write(self._encode(client, event))
        client.counted = True
        self.metrics.clients += 1
        self._clients[client.room] = self._clients.get(client.room, 0) + 1
        self._expiry.watch(client)

    # ------------------------------------------------------------ going out

    async def leave(self, client: PlainClient, *, for_good: bool = False) -> None:
        """The client is over. Called more than once without harm."""
        if not client.here:
            return
        room = client.room
        del client.session.clients[room]
        self._rooms.forget(client)
        self._expiry.forget(client)
        if client.counted:
            self.metrics.clients -= 1
            left = self._clients[room] - 1
            if left:
                self._clients[room] = left
            else:
                del self._clients[room]
                self._counts.pop(room, None)
                self._came.pop(room, None)
        await self._rooms.leave(client, for_good=for_good)

    async def gone(self, connection: PlainConnection) -> None:
        """The connection is over."""
        self.entry.leave(connection)
        for_good = connection.talk.gone(connection)
        for client in list(connection.clients.values()):
            await self.leave(client, for_good=for_good)

    async def _expel(self, connection: PlainConnection) -> None:
        """End it, so that its client does not come back by itself."""
        self.metrics.count_limit("refused_rate")
        ending = Disconnect("too_many_errors")
        connection.write(connection.talk.encode(wire.farewell(ending), ""))
        connection.end("", ending.code)

    def _stalled(self, connection: PlainConnection) -> None:
        self.metrics.count_limit("slow_after")
        connection.end("", "slow")

    # ------------------------------------------------------------ requests

    async def answer(self, client: PlainClient, event: object, args: list[Any]) -> Answer:
        """Do what an event asks for; what it costs was taken before."""
        try:
            return await self._requests.answer(client, event, args)
        except InvalidToken as error:
            # who is here is looked at however many were bad, but a guess is a guess
            self.entry.note(client.session.address, error)
            raise

    def refused(self, connection: PlainConnection, refusal: Refusal) -> bool:
        """A frame is to be refused. False: nobody is told, see `Guard.refused`."""
        return self.guard.refused(None if connection.closed else connection, connection, refusal)

    # ------------------------------------------------------------ the anteroom

    async def wait(
        self, connection: PlainConnection, identity: Identity | None
    ) -> PlainClient | None:
        """The connection hears from now on what is said in the anteroom, as whom its token says
        (`identity`, just read) or as a guest, until it is ended (`Talk.end`) or stops. None: it may
        not, and is not told; or it has gone meanwhile."""
        nobody = identity or _guest(connection)
        client = PlainClient(nobody, anteroom.ROOM, self, NoBucket(), connection)
        try:
            await self._anteroom.enter(client)
        except Refusal as error:
            log.debug("somebody may not hear what is said before a login: %s", error)
            return None
        if connection.closed:
            self._anteroom.leave(client)
            return None
        self._expiry.watch(client)
        return client

    def stop_waiting(self, client: PlainClient) -> None:
        """It hears no more. More than once without harm."""
        self._expiry.forget(client)
        self._anteroom.leave(client)

    async def say(
        self,
        connection: PlainConnection,
        listener: PlainClient | None,
        identity: Identity | None,
        text: str,
    ) -> None:
        """Somebody before a login says something, which the others in the anteroom hear.
        `listener`: who need not hear it; `identity`: of a token that was read just now, None of a
        guest."""
        speaker = identity or _guest(connection)
        text = await self._anteroom.check(speaker, connection.address, text)
        if not connection.closed:
            self._anteroom.say(listener, text)

    # ------------------------------------------------------------ the hub's outbox

    def counts(self, room: str) -> Counts:
        """How many are in a room, as its clients here were told last."""
        return self._counts.get(room, NOBODY)

    def broadcast(self, clients: Collection[Client], event: Event) -> Sequence[Client]:
        """See `Outbox`."""
        plain = cast("Collection[PlainClient]", clients)
        room = next(iter(plain)).room
        came = self._note_presence(room, event) if event.name == wire.PRESENCE else {}
        first = min(came.values(), default=0)
        outs: dict[Talk, Frames] = {}
        talk, out = None, NOTHING
        ephemeral = event.position is None
        unconfirmed: list[PlainConnection] = []
        refused: list[Client] = []
        for client in plain:
            session = client.session
            if session.talk is not talk:  # there are three
                talk = session.talk
                if talk not in outs:
                    outs[talk] = talk.encode(event, room)
                out = outs[talk]
            if came and client.number >= first:
                before = [user for user, number in came.items() if number <= client.number]
                out = talk.encode(event, room, before)
                talk = None  # the next one is another case
            if session.offer(out):
                if not ephemeral and not session.confirming:
                    unconfirmed.append(session)
            elif not session.closing:
                refused.append(client)
        for session in unconfirmed:
            self.proofs.confirm(session)
        return refused

    def _note_presence(self, room: str, event: Event) -> dict[str, int]:
        """Note how many there are. Returns who of those that came did so here, and when: who came
        later found them there, and is not told."""
        if room in self._counts:
            self._counts[room] = Counts(event.payload["online"], event.payload["total"])
        waiting = self._came.get(room)
        if not waiting:
            return {}
        for person in event.payload["left"]:
            waiting.pop(person["user"], None)
        joined = [person["user"] for person in event.payload["joined"]]
        return {user: waiting.pop(user) for user in joined if user in waiting}

    @staticmethod
    def _encode(client: PlainClient, event: Event) -> Frames:
        return client.session.talk.encode(event, client.room, (client.user.id,))

    def fell_behind(self, client: Client) -> None:
        """See `Outbox`."""
        assert isinstance(client, PlainClient)
        self.metrics.count_limit("client_queue")
        self._catch_up.add(client)

    def close(self, client: Client, ending: Disconnect) -> None:
        """See `Outbox`."""
        assert isinstance(client, PlainClient)
        session = client.session
        # not from inside a loop over clients; and in order behind what the client sent, unless its
        # token is no good any more, or it is put out: whatever that waits for, it is told nothing
        # meanwhile
        if ending.code in AT_ONCE and client.joined and session.handling:
            self._spawn("end", session.talk.end(client, ending))
        else:
            session.enqueue(0, session.talk.end, client, ending)


def _guest(connection: PlainConnection) -> Identity:
    return Identity(User(GUEST + connection.made_up, "", guest=True))
