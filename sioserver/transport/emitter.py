"""What Node programs publish with `@socket.io/redis-emitter` 5: read strictly, done on this node.

Events come as msgpack, [uid, packet, {rooms, except, flags}], on the channels `<key>#<namespace>#`
and `<key>#<namespace>#<room>#`; requests come as JSON on `<key>-request#<namespace>#`. Every node
hears all of them, so the channel's name is looked at first: nothing is decoded that is not for a
client here. It must not know how messages travel, nor how an event gets to a client.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import msgspec
from socketio import packet as stock

from sioserver.transport.packet import fits
from sioserver.wire.strict import MAX_DEPTH, StrictJSON

JOIN, LEAVE, DISCONNECT = 2, 3, 4
"""Requests that are done here. The others ask for an answer, or are for Node servers only."""

RoomName = str | int | float


class Target(msgspec.Struct):
    """Whom it is for: nobody named is everybody."""

    rooms: list[RoomName] = []
    but: list[RoomName] = msgspec.field(default_factory=list, name="except")
    flags: dict[str, Any] = {}


class Sent(msgspec.Struct):
    """A Socket.IO packet before it is encoded."""

    type: int
    data: list[Any]
    nsp: str


class Broadcast(msgspec.Struct, array_like=True):
    """An event."""

    uid: str
    packet: Sent
    target: Target


class Request(msgspec.Struct):
    """Something that is to be done with clients."""

    type: int
    target: Target = msgspec.field(default_factory=Target, name="opts")
    rooms: list[RoomName] = []
    close: bool = False


_BROADCAST: Final = msgspec.msgpack.Decoder(Broadcast)


class Clients(Protocol):
    """What is needed of the manager and its server."""

    rooms: dict[str, dict[Any, dict[str, str]]]

    def get_participants(self, namespace: str, room: Any) -> Iterator[tuple[str, str]]: ...

    def is_connected(self, sid: str, namespace: str) -> bool: ...

    def basic_enter_room(self, sid: str, namespace: str, room: Any) -> None: ...

    def basic_leave_room(self, sid: str, namespace: str, room: Any) -> None: ...

    async def deliver(
        self,
        event: Any,
        arguments: tuple[Any, ...],
        namespace: str,
        rooms: list[Any] | None,
        skip: set[str],
        volatile: bool,
    ) -> None:
        """Emit to the clients of this node."""

    def end(self, sid: str, namespace: str, close: bool) -> None:
        """Disconnect a client of this node, soon; `close`: its connection too."""


class Emitter:
    """The receiving end of `new Emitter(redis, {key})`."""

    def __init__(
        self, clients: Clients, key: str, limit: Callable[[], int], count: Callable[[str], None]
    ) -> None:
        """`limit()`: bytes that a message may have. `count` is called for "skipped" (nobody here is
        meant) and "ignored" (a request that is for Node servers)."""
        self._clients = clients
        self._events = f"{key}#"
        self._requests = f"{key}-request#"
        self._limit = limit
        self._count = count

    @property
    def patterns(self) -> list[str]:
        """What to subscribe to, as Redis writes patterns."""
        return [re.sub(r"([*?\[\]\\])", r"\\\1", name) + "*" for name in self._prefixes]

    @property
    def _prefixes(self) -> tuple[str, str]:
        return self._events, self._requests

    async def hear(self, channel: str, payload: bytes) -> None:
        """Do what a message says. Raises ValueError when it is none."""
        prefix = self._requests if channel.startswith(self._requests) else self._events
        namespace, room = _target(channel.removeprefix(prefix))
        rooms = self._clients.rooms.get(namespace)
        if rooms is None or (room and not _is_known(rooms, room)):
            self._count("skipped")
            return
        if len(payload) > self._limit():
            raise ValueError("a message of a Node program is too large")
        try:
            if prefix == self._requests:
                self._obey(namespace, msgspec.convert(StrictJSON.loads(payload), Request))
            else:
                await self._emit(namespace, _BROADCAST.decode(payload))
        except (msgspec.MsgspecError, RecursionError) as error:
            raise ValueError(str(error)) from None

    async def _emit(self, namespace: str, broadcast: Broadcast) -> None:
        sent, target = broadcast.packet, broadcast.target
        data = _plain(sent.data, MAX_DEPTH)
        if sent.nsp != namespace or sent.type != stock.EVENT or not fits(stock.EVENT, data):
            raise ValueError("not an event, or not of its channel")
        name, *arguments = data
        skip = {sid for sid, _ in self._members(namespace, target.but)} if target.but else set()
        await self._clients.deliver(
            name,
            tuple(arguments),
            namespace,
            target.rooms or None,
            skip,
            target.flags.get("volatile") is True,
        )

    def _obey(self, namespace: str, request: Request) -> None:
        if request.type not in (JOIN, LEAVE, DISCONNECT):
            self._count("ignored")
            return
        target = request.target
        meant = dict(self._members(namespace, target.rooms or None))
        if target.but:
            for sid, _ in self._members(namespace, target.but):
                meant.pop(sid, None)
        for sid in meant:
            if not self._clients.is_connected(sid, namespace):
                continue
            if request.type == DISCONNECT:
                self._clients.end(sid, namespace, request.close)
                continue
            for room in request.rooms:
                if request.type == LEAVE:
                    self._clients.basic_leave_room(sid, namespace, room)
                elif room not in self._clients.rooms[namespace][None]:  # nobody joins a client
                    self._clients.basic_enter_room(sid, namespace, room)

    def _members(self, namespace: str, rooms: list[RoomName] | None) -> Iterator[tuple[str, str]]:
        return self._clients.get_participants(namespace, rooms)


def _target(rest: str) -> tuple[str, str]:
    """Namespace and room (or nothing) of a channel's name behind the key."""
    namespace, sharp, room = rest.partition("#")
    if not sharp or (room and not room.endswith("#")):
        raise ValueError("a channel that no emitter publishes on")
    return namespace, room[:-1]


def _is_known(rooms: dict[Any, dict[str, str]], room: str) -> bool:
    """Is somebody in it? It may be a client's own, or have had a number for its name."""
    return room in rooms or room in rooms.get(None, {}) or room.lstrip("-").isdigit()


def _plain(value: Any, levels: int) -> Any:
    """The data as JSON has them (and binaries), as JavaScript would write them. Raises
    ValueError."""
    kind = type(value)
    if kind in (str, bytes, int, float, bool) or value is None:
        return value
    if levels == 0:
        raise ValueError("nested too deeply")
    if kind is list:
        return [_plain(item, levels - 1) for item in value]
    if kind is dict and all(type(key) is str for key in value):
        return {key: _plain(item, levels - 1) for key, item in value.items()}
    if kind is datetime:
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    raise ValueError(f"{kind.__name__} is nothing that JSON has")
