"""What is said over a connection that speaks the native dialect: one room, asked as over Socket.IO.

How frames are written is in `native`, what the events do in `requests`.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from typing import Any, Final

import msgspec

from sioserver import wire
from sioserver.errors import Disconnect, Refusal
from sioserver.gateway import native
from sioserver.gateway.clients import PlainClient
from sioserver.gateway.connection import PlainConnection
from sioserver.gateway.frames import Frames
from sioserver.gateway.rooms import PlainRooms
from sioserver.model import Event

log = logging.getLogger(__name__)

FIELDS: Final = frozenset({"room", "token", "user", "name", "position", "pid"})
"""What a join may say."""

MAX_SAID: Final = 128
"""Characters of an event's name that are said when it was refused."""


class NativeTalk:
    """One for all connections that write frames in the same way."""

    def __init__(self, rooms: PlainRooms, codec: native.Codec) -> None:
        self._rooms = rooms
        self._codec = codec

    async def hear(self, connection: PlainConnection, data: str | bytes) -> None:
        """A frame has come."""
        try:
            ask = native.read(self._codec.loads(data))
        except ValueError as error:
            log.debug("a client broke the protocol: %s", error)
            connection.broken()
            return
        rooms = self._rooms
        rooms.metrics.count_event(ask.event if isinstance(ask.event, str) else "other")
        answer: dict[str, Any] | None = None
        try:
            answer = await self._ask(connection, ask)
        except Refusal as error:
            refusal = error
        except Exception:  # the client is told that it is our fault
            log.exception("the event %.64r failed", ask.event)
            refusal = Refusal("internal")
        else:
            if answer is not None and ask.ack is not None:
                connection.write(self._ack(answer, ask.ack))
            return
        if not rooms.refused(connection, refusal):
            return
        if ask.ack is not None:
            connection.write(self._ack(wire.refusal_answer(refusal), ask.ack))
        else:
            # nobody waits for an answer, but somebody may be looking
            said = ask.event[:MAX_SAID] if isinstance(ask.event, str) else ask.event
            notice = wire.notice_event(refusal.code, refusal.message, event=said)
            connection.write(self.encode(notice, ""), droppable=True)

    async def _ask(self, connection: PlainConnection, ask: native.Ask) -> dict[str, Any] | None:
        """Its answer; None: there is none, or it has been given."""
        client = next(iter(connection.clients.values()), None)
        if ask.event == native.JOIN:
            await self._join(connection, client, ask)
            return None
        self._rooms.guard.event(connection, client, ask.event)
        if client is None or not client.joined:
            raise Refusal("not_member", 'join a room first: ["join", {"room": "lobby"}, 1]')
        return await self._rooms.answer(client, ask.event, ask.args)

    async def _join(
        self, connection: PlainConnection, client: PlainClient | None, ask: native.Ask
    ) -> None:
        options = ask.args[0] if ask.args else {}
        if len(ask.args) > 1 or not isinstance(options, Mapping):
            raise Refusal("bad_request", "join takes an object such as {room, token}")
        if unknown := options.keys() - FIELDS:
            # a misspelt room would be the default one, where everybody reads what is posted
            known = ", ".join(sorted(FIELDS))
            raise Refusal("bad_request", f"join: {min(unknown)[:64]!r} is not one of {known}")
        room = options.get("room")
        if room is None:
            room = self._rooms.root
        if not isinstance(room, str):
            raise Refusal("bad_request", "room is a string")
        if client is not None:
            raise Refusal("bad_request", "a connection is in one room; open another")
        hello = wire.parse_hello(options, connection.token)

        def greet(client: PlainClient, welcome: Event, pid: str) -> list[Frames]:
            if pid:
                payload = {**welcome.payload, "pid": pid}
                welcome = msgspec.structs.replace(welcome, payload=payload)
            frames = [self.encode(welcome, client.room)]
            return frames if ask.ack is None else [self._ack({"ok": True}, ask.ack), *frames]

        await self._rooms.enter(connection, room, hello, greet)

    # ------------------------------------------------------------ what goes out

    def encode(self, event: Event, room: str, but: Collection[str] = ()) -> Frames:
        """See `Talk`."""
        return Frames([self._codec.dumps(native.event_frame(event))])

    def _ack(self, answer: dict[str, Any], ack: int) -> Frames:
        return Frames([self._codec.dumps(native.ack_frame(answer, ack))], alone=True)

    # ------------------------------------------------------------ the end

    async def end(self, client: PlainClient, ending: Disconnect) -> None:
        """See `Talk`: with a notice, where the client should not come back."""
        session = client.session
        if not ending.reconnect and client.here:
            session.write(self.encode(wire.farewell(ending), client.room))
        session.end("", ending.code)

    def may_stay(self, connection: PlainConnection) -> bool:
        """See `Talk`: it has joined."""
        return bool(connection.clients)

    def gone(self, connection: PlainConnection) -> bool:
        """See `Talk`: as over Socket.IO, a user who comes back soon was never away."""
        return False
