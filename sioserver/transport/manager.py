"""Which clients are in which Socket.IO rooms, and emitting to them.

The stock manager's interface on indexes of its own: joining, leaving and disconnecting cost what
the one client is in, however many rooms and clients there are; an emit is encoded once and written
straight to every member. Also a mix-in for the stock managers that share a bus.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterable, Iterator
from typing import Any

import socketio

from sioserver.transport.frames import Outgoing
from sioserver.transport.session import DRAINED

# The stubs describe what users of python-socketio call; who extends it needs more.
Base: Any = socketio.AsyncManager


class Manager(Base):
    """A client manager for `AsyncServer`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # rooms[namespace][room][sid] = eio_sid; the room None is everybody
        self.rooms: dict[str, dict[Any, dict[str, str]]] = {}
        self._namespaces: dict[str, dict[str, str]] = {}
        """eio_sid -> namespace -> sid."""
        self._entered: dict[str, set[Any]] = {}
        """sid -> the rooms it was put into (its own, private one is not kept)."""
        self._connecting: set[str] = set()
        self._leaving: set[str] = set()

    # ------------------------------------------------------------ connecting

    async def pre_connect(self, eio_sid: str, namespace: str, sid: str | None = None) -> str | None:
        """Register a client whose connect handler has still to agree; None: it is here already."""
        namespaces = self._namespaces.setdefault(eio_sid, {})
        old = namespaces.get(namespace)
        if old is not None and old not in self._leaving:
            return None
        sid = sid or str(self.server.eio.generate_id())
        namespaces[namespace] = sid
        self.rooms.setdefault(namespace, {}).setdefault(None, {})[sid] = eio_sid
        self._connecting.add(sid)
        return sid

    async def connect(self, sid: str, namespace: str) -> str:
        """The connect handler has agreed."""
        self._connecting.discard(sid)
        return sid

    def is_pre_connected(self, sid: str, namespace: str) -> bool:
        """Is its connect handler still running?"""
        return sid in self._connecting

    def is_connected(self, sid: str, namespace: str) -> bool:
        """Is it connected, and neither about to connect nor about to leave?"""
        return (
            sid not in self._connecting
            and sid not in self._leaving
            and self.eio_sid_from_sid(sid, namespace) is not None
        )

    def pre_disconnect(self, sid: str, namespace: str) -> str | None:
        """Its disconnect handler is about to run."""
        self._leaving.add(sid)
        return self.eio_sid_from_sid(sid, namespace)

    def basic_disconnect(self, sid: str, namespace: str, **_: Any) -> None:
        """Forget a client, in time that depends only on the rooms it is in."""
        everybody = self.rooms.get(namespace, {}).get(None, {})
        eio_sid = everybody.get(sid)
        for room in self._entered.pop(sid, ()):
            self._drop(sid, namespace, room)
        self._drop(sid, namespace, None)
        if eio_sid is not None and (namespaces := self._namespaces.get(eio_sid)) is not None:
            if namespaces.get(namespace) == sid:  # it may have come back meanwhile
                del namespaces[namespace]
            if not namespaces:
                del self._namespaces[eio_sid]
        self.callbacks.pop(sid, None)
        self._connecting.discard(sid)
        self._leaving.discard(sid)

    def replaced(self, sid: str, namespace: str) -> None:
        """A session was recovered here, and no connection that still has it is: the other nodes, if
        there are any, look for one."""

    def _drop(self, sid: str, namespace: str, room: Any) -> None:
        rooms = self.rooms.get(namespace)
        if rooms is None or room not in rooms:
            return
        rooms[room].pop(sid, None)
        if not rooms[room]:
            del rooms[room]
            if not rooms:
                del self.rooms[namespace]

    # ------------------------------------------------------------ asking

    def get_namespaces(self) -> Iterable[str]:
        """Namespaces with clients."""
        return list(self.rooms)

    def namespaces_of(self, eio_sid: str) -> list[str]:
        """The namespaces that a connection is in."""
        return list(self._namespaces.get(eio_sid, ()))

    def sid_from_eio_sid(self, eio_sid: str, namespace: str) -> str | None:
        """The client of a connection in a namespace."""
        return self._namespaces.get(eio_sid, {}).get(namespace)

    def eio_sid_from_sid(self, sid: str, namespace: str) -> str | None:
        """The connection of a client."""
        return self.rooms.get(namespace, {}).get(None, {}).get(sid)

    def get_participants(self, namespace: str, room: Any) -> Iterator[tuple[str, str]]:
        """(sid, eio_sid) of everybody in a room, or in any of a list of rooms, each once."""
        rooms = self.rooms.get(namespace, {})
        if isinstance(room, str) or not hasattr(room, "__len__"):
            yield from list(self._members(rooms, room).items())
        else:
            found: dict[str, str] = {}
            for one in room:
                found.update(self._members(rooms, one))
            yield from found.items()

    @staticmethod
    def _members(rooms: dict[Any, dict[str, str]], room: Any) -> dict[str, str]:
        if (members := rooms.get(room)) is not None:
            return members
        # every client is alone in the room of its own name
        eio_sid = rooms.get(None, {}).get(room)
        return {} if eio_sid is None else {room: eio_sid}

    def _is_client(self, namespace: str, room: Any) -> bool:
        return isinstance(room, str) and self.eio_sid_from_sid(room, namespace) is not None

    def get_rooms(self, sid: str, namespace: str) -> list[Any]:
        """The rooms a client is in, its own among them."""
        if self.eio_sid_from_sid(sid, namespace) is None:
            return []
        return [sid, *self._entered.get(sid, ())]

    # ------------------------------------------------------------ rooms

    def basic_enter_room(
        self, sid: str, namespace: str, room: Any, eio_sid: str | None = None
    ) -> None:
        """Put a client into a room. Raises ValueError."""
        eio_sid = eio_sid or self.eio_sid_from_sid(sid, namespace)
        if eio_sid is None:
            raise ValueError("sid is not connected to requested namespace")
        if room == sid:
            return
        if self.is_sid_room(namespace, room):
            raise ValueError("cannot enter a sid room")
        self.rooms[namespace].setdefault(room, {})[sid] = eio_sid
        self._entered.setdefault(sid, set()).add(room)

    def basic_leave_room(self, sid: str, namespace: str, room: Any) -> None:
        """Take a client out of a room."""
        entered = self._entered.get(sid)
        if entered is not None and room in entered:
            entered.discard(room)
            if not entered:
                del self._entered[sid]
            self._drop(sid, namespace, room)

    # ------------------------------------------------------------ emitting

    async def emit(
        self,
        event: str,
        data: Any,
        namespace: str,
        room: Any = None,
        skip_sid: Any = None,
        callback: Any = None,
        to: Any = None,
        *,
        volatile: bool = False,
        **_: Any,
    ) -> None:
        """Emit to a client, a room, or everybody in the namespace; `volatile`: not to those who are
        far behind with reading."""
        arguments = list(data) if isinstance(data, tuple) else [] if data is None else [data]
        skipped = skip_sid if isinstance(skip_sid, (list, tuple, set, frozenset)) else (skip_sid,)
        sessions = self.server.eio.sockets
        out: Outgoing | None = None
        crowded = False
        for sid, eio_sid in self.get_participants(namespace, to or room):
            session = sessions.get(eio_sid)
            if session is None or sid in skipped:
                continue
            if callback is not None or out is None:
                ack = None if callback is None else self._generate_ack_id(sid, callback)
                out = self.server.encode_emitted(namespace, [event, *arguments], ack)
                out.alone = callback is not None or self._is_client(namespace, to or room)
            session.write(out, droppable=volatile)
            crowded = crowded or session.queued > DRAINED
        if crowded:
            # Whoever emits in a loop and never waits would not let anything be sent, and the
            # clients would be taken for slow ones.
            await asyncio.sleep(0)

    async def trigger_callback(self, sid: str, id: int, data: list[Any]) -> bool:
        """A client has acknowledged. False: nobody waits for that."""
        callback = self.callbacks.get(sid, {}).pop(id, None) if id != 0 else None
        if callback is not None:
            result = callback(*data)
            if inspect.isawaitable(result):
                await result
        return callback is not None
