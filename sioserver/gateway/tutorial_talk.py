"""What is said over a connection that speaks the tutorial's dialect, or has not said anything yet.

How frames are written is in `tutorial`. Who has said nothing stands in the anteroom: there texts
that are no JSON are passed on as they are.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection
from typing import Final

from sioserver import wire
from sioserver.auth import Identity
from sioserver.errors import Disconnect, Refusal
from sioserver.gateway import tutorial
from sioserver.gateway.anteroom import ROOM
from sioserver.gateway.clients import PlainClient
from sioserver.gateway.connection import PlainConnection
from sioserver.gateway.frames import Frames
from sioserver.gateway.native import Json
from sioserver.gateway.native_talk import NativeTalk
from sioserver.gateway.rooms import PlainRooms
from sioserver.gateway.tutorial import Said
from sioserver.model import Event
from sioserver.websocket.connection import OK

log = logging.getLogger(__name__)

HEARTBEAT: Final = Frames([tutorial.HEARTBEAT])
_NOAUTH: Final = Frames([tutorial.NOAUTH])

_NATIVE: Final = re.compile(r'[ \t\r\n]*\[[ \t\r\n]*"')
"""How a frame of the native dialect begins, with spaces wherever JSON allows them. Taken for a text
it would be passed on, and there may be a token in it."""

_NO_TOKEN: Final = frozenset({"unauthorized", "token_expired"})
"""Refusals that a fresh token helps against."""


class Visitor:
    """What is known of a connection."""

    __slots__ = ("began", "listener", "login", "token", "wanted")

    def __init__(self, token: str | None) -> None:
        # it has sent something, so it is known what it speaks
        self.began = False
        # one that was good when it was looked at; or, where none is needed, came with the request
        self.token = token
        # hears what is said before a login: while it has not logged in itself, or is in the room
        # that the anteroom is in front of. Its identity is that of the last token that was good.
        self.listener: PlainClient | None = None
        # as which it is (or was, before its token expired) in a room
        self.login: Said | None = None
        # the last login that was asked for, also when it was refused
        self.wanted: Said | None = None


class TutorialTalk:
    """One for all connections."""

    def __init__(self, rooms: PlainRooms, *, heartbeat: bool) -> None:
        """`heartbeat`: clients are asked for signs of life in the dialect's own frames."""
        self._rooms = rooms
        self._heartbeat = HEARTBEAT if heartbeat else None
        self._native = NativeTalk(rooms, Json())

    def begin(self, connection: PlainConnection) -> None:
        """A connection without a sub-protocol is there."""
        token = None if self._rooms.needs_tokens else connection.token
        connection.state = Visitor(token)
        connection.heartbeat, connection.strict = self._heartbeat, False

    async def look(self, connection: PlainConnection) -> None:
        """May it hear what is said before a login? The first thing that is done for a connection;
        where tokens are needed, the one that came with the request is looked at. Of a bad one, or a
        ban, nothing is said before the first frame: which dialect it speaks is not known yet, nor
        who it is going to be."""
        if connection.closed:
            return
        visitor: Visitor = connection.state
        identity = None
        if self._rooms.needs_tokens:
            if connection.token is None:
                return
            try:
                identity = await self._rooms.identify(connection, connection.token)
            except Refusal as error:
                log.debug("the token of a handshake was refused: %s", error)
                return
            visitor.token = connection.token
        await self._listen(connection, visitor, identity)

    def _may_come_in(self, visitor: Visitor) -> bool:
        return not self._rooms.needs_tokens or visitor.token is not None

    # ------------------------------------------------------------ what comes

    async def hear(self, connection: PlainConnection, data: str | bytes) -> None:
        """A frame has come."""
        visitor: Visitor = connection.state
        if isinstance(data, bytes):
            connection.broken()
            return
        if not visitor.began and _NATIVE.match(data):
            self._stop_listening(visitor)
            connection.become(self._native, None)
            await self._native.hear(connection, data)
            return
        visitor.began = True
        try:
            await self._understand(connection, visitor, data)
        except Refusal as error:
            self._refuse(connection, visitor, error)
        except Exception:  # the client is told that it is our fault
            log.exception("a frame could not be handled")
            self._refuse(connection, visitor, Refusal("internal"))

    async def _understand(self, connection: PlainConnection, visitor: Visitor, text: str) -> None:
        said = tutorial.read(text)
        if said is not None:
            connection.strict = True
            if said.event == "heartbeat":
                connection.alive()
            elif said.event == "auth":
                await self._auth(connection, visitor, str(said.message))
                return
        if not self._may_come_in(visitor):
            raise Refusal("unauthorized")
        if said is None:
            await self._say(connection, visitor, text)
        elif said.event == "login":
            visitor.wanted = said
            await self._log_in(connection, visitor, said)
        elif said.event == "message":
            await self._message(connection, visitor, said)

    def _refuse(self, connection: PlainConnection, visitor: Visitor, refusal: Refusal) -> None:
        if refusal.code in _NO_TOKEN and not connection.clients:
            visitor.token = None
            if self._rooms.needs_tokens:
                self._stop_listening(visitor)
                self._expect(connection)
        if self._rooms.refused(connection, refusal):
            without = refusal.code in _NO_TOKEN
            connection.write(_NOAUTH if without else Frames([tutorial.error(refusal)]))

    async def _say(self, connection: PlainConnection, visitor: Visitor, text: str) -> None:
        if connection.clients:
            raise Refusal("bad_request", "after a login, a frame is a JSON object")
        self._rooms.metrics.count_event("other")
        self._rooms.guard.event(connection, None, "said")
        identity = None
        if visitor.token is not None and self._rooms.takes_tokens:
            identity = await self._rooms.identify(connection, visitor.token)
        if visitor.listener is None:
            await self._listen(connection, visitor, identity)
        await self._rooms.say(connection, visitor.listener, identity, text)

    async def _auth(self, connection: PlainConnection, visitor: Visitor, token: str) -> None:
        rooms = self._rooms
        rooms.metrics.count_event("auth")
        client = _client(connection)
        rooms.guard.event(connection, client, "auth")
        if not rooms.takes_tokens:
            return  # pages send one to whatever server they are given
        if client is not None and client.identity.authenticated:
            await rooms.answer(client, "auth", [{"token": token}])
            identity = client.identity
        else:
            identity = await rooms.identify(connection, token)
        visitor.token = token
        if connection.closed:
            return
        if client is None and visitor.login is not None:
            await self._log_in(connection, visitor, visitor.login)  # its token had expired
        elif client is None or (visitor.listener is not None and client.identity is identity):
            await self._listen(connection, visitor, identity)

    async def _log_in(self, connection: PlainConnection, visitor: Visitor, said: Said) -> None:
        rooms = self._rooms
        rooms.metrics.count_event("other")
        room = said.room or rooms.root
        if room.startswith("@"):
            raise Refusal("bad_room", "rooms that begin with @ need the native dialect")
        if (client := _client(connection)) is not None:
            visitor.login = None
            rooms.proofs.confirm_now(connection)  # or it would be told again when it comes back
            await rooms.leave(client)
        hello = wire.Hello(token=visitor.token, user=said.uid or connection.made_up, name=said.name)

        def greet(client: PlainClient, welcome: Event, pid: str) -> list[Frames]:
            text = tutorial.login(client.user, room, rooms.counts(client.room))
            return [Frames([text], alone=True)]

        entered = await rooms.enter(connection, room, hello, greet)
        if entered is None:
            return
        visitor.login = Said("login", name=said.name, room=room, uid=hello.user)
        if room != rooms.root:
            self._stop_listening(visitor)
        elif visitor.listener is None:
            await self._listen(connection, visitor, entered.identity)

    async def _message(self, connection: PlainConnection, visitor: Visitor, said: Said) -> None:
        if not connection.clients:
            # not elsewhere than where they wanted to be, whoever may read it there
            login = visitor.wanted or Said("login", name=said.name)
            await self._log_in(connection, visitor, login)
        client = _client(connection)
        self._rooms.metrics.count_event("message")
        self._rooms.guard.event(connection, client, "message")
        if client is not None:
            await self._rooms.answer(client, "message", [said.message])

    async def _listen(
        self, connection: PlainConnection, visitor: Visitor, identity: Identity | None
    ) -> None:
        """From now on it hears what is said before a login as this user (None: a guest), if it
        may."""
        before = visitor.listener
        visitor.listener = await self._rooms.wait(connection, identity)
        if before is not None:
            self._rooms.stop_waiting(before)  # behind that, so that nothing is missed
        if visitor.listener is None:
            self._expect(connection)

    def _expect(self, connection: PlainConnection) -> None:
        if not self.may_stay(connection) and not connection.closed and connection.due is None:
            self._rooms.expect(connection)

    def _stop_listening(self, visitor: Visitor) -> None:
        if visitor.listener is not None:
            self._rooms.stop_waiting(visitor.listener)
            visitor.listener = None

    # ------------------------------------------------------------ what goes out

    def encode(self, event: Event, room: str, but: Collection[str] = ()) -> Frames:
        """See `Talk`."""
        return Frames(tutorial.tell(event, room, self._rooms.counts(room), but))

    # ------------------------------------------------------------ the end

    async def end(self, client: PlainClient, ending: Disconnect) -> None:
        """See `Talk`: whose token has expired may show a fresh one, and goes on where it was."""
        connection = client.session
        visitor: Visitor | None = connection.state
        if client.room == ROOM and (visitor is None or client is not visitor.listener):
            return  # it has stopped meanwhile
        if ending.code == "token_expired":
            if visitor is not None and (client.here or client is visitor.listener):
                visitor.token = None
                self._stop_listening(visitor)
                for one in list(connection.clients.values()):
                    await self._rooms.leave(one)
                connection.write(_NOAUTH)
                self._rooms.expect(connection)
            return
        if ending.code == "token_revoked":
            connection.write(_NOAUTH)
        connection.end("", ending.code)

    def may_stay(self, connection: PlainConnection) -> bool:
        """See `Talk`: who has not logged in may only listen, if it may."""
        return bool(connection.clients) or connection.state.listener is not None

    def gone(self, connection: PlainConnection) -> bool:
        """See `Talk`: who closes, as a page does with close(), is told to have left at once; who is
        cut off, or goes to another page, may come back."""
        if connection.state is None:
            return False  # it never began
        self._stop_listening(connection.state)
        return connection.ws is not None and connection.ws.said == OK


def _client(connection: PlainConnection) -> PlainClient | None:
    return next(iter(connection.clients.values()), None)
