"""Who is in which room on this node, and the way of an announcement to them.

The hub receives announcements from the engine (it is the engine's listener) and hands each to the
outboxes of the clients that are here. It knows no wire, no store and no permission; a slow client
is the outbox's business. Everything runs on the event loop, nothing here waits.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, Protocol

from sioserver import wire
from sioserver.auth import Identity
from sioserver.errors import Disconnect
from sioserver.metrics import Metrics
from sioserver.model import Event, Message, Position, PresenceDiff, User

JOIN_BUFFER: Final = 2000
"""Live messages kept for a client whose join is still under way; past that it is closed as slow."""


class Outbox(Protocol):
    """What the hub needs of an edge (satisfied by each transport)."""

    def broadcast(self, clients: Collection[Client], event: Event) -> None:
        """Send the event to all of them: encoded once, in this order for each of them, without
        waiting and without raising. A client that cannot take a durable event is closed (it comes
        back and recovers); an ephemeral one is dropped for it."""

    def close(self, client: Client, ending: Disconnect) -> None:
        """End the client's connection to its room, soon."""


class Client:
    """One connection of a user to a room. Created by an edge, registered in the hub."""

    __slots__ = (
        "buffer",
        "epoch",
        "id",
        "identity",
        "offset",
        "outbox",
        "proven",
        "room",
        "told_read",
        "typing_at",
        "typing_told",
    )

    def __init__(self, id: str, identity: Identity, room: str, outbox: Outbox) -> None:
        # for life
        self.id = id
        self.room = room
        self.outbox = outbox
        # replaced by a fresh token
        self.identity = identity
        # while joining: live messages wait here (None: it has been live)
        self.buffer: list[Message] | None = []
        # which log it is given, and up to where before it went live (once live: see `Hub.written`)
        self.epoch = ""
        self.offset = 0
        # up to where it has provably got it
        self.proven = 0
        # since when the others believe that the user is typing here
        self.typing_at: float | None = None
        # when the others were last told that it begins, and how far it has read
        self.typing_told = float("-inf")
        self.told_read = 0

    @property
    def user(self) -> User:
        """Whose connection it is."""
        return self.identity.user


class LocalRoom:
    """The clients of a room on this node, and the top of what was announced to them."""

    __slots__ = ("ahead", "clients", "epoch", "joining", "name", "presence", "top")

    def __init__(self, name: str, presence: bool) -> None:
        self.name = name
        self.presence = presence
        self.clients: dict[Outbox, dict[str, Client]] = {}
        self.joining: dict[str, Client] = {}
        # of the last announcement; nothing was announced: "" and 0
        self.epoch = ""
        self.top = 0
        # some live client may have read the log up to here, further than it was announced
        self.ahead = 0

    def groups(self) -> list[tuple[Outbox, list[Client]]]:
        """The live clients by outbox: a copy, because an outbox that closes a client while it is
        told something removes it from here."""
        return [(outbox, list(group.values())) for outbox, group in self.clients.items()]


class Hub:
    """Local clients by room; the engine's listener."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._rooms: dict[str, LocalRoom] = {}

    def __len__(self) -> int:
        """Rooms with clients here."""
        return len(self._rooms)

    # ------------------------------------------------------------ registering

    def begin(self, client: Client, *, presence: bool = True) -> bool:
        """Register a client whose join is under way: from now on live messages wait for it.

        `presence`: whether the room's clients are told who comes and goes. True when the client is
        the first of its room on this node.
        """
        room = self._rooms.get(client.room)
        first = room is None
        if room is None:
            room = self._rooms[client.room] = LocalRoom(client.room, presence)
        client.buffer = []
        room.joining[client.id] = client
        return first

    def live(self, client: Client) -> list[Message] | None:
        """The client has been handed the log `client.epoch` up to `client.offset`: from now on it
        gets events as they come.

        Returns what was announced beyond that meanwhile; the caller hands it out before it waits
        for anything. None, and the client goes on joining, when that has a hole: it was too much to
        keep, or the log began anew.
        """
        room = self._rooms[client.room]
        buffer = client.buffer or []
        missed = [message for message in buffer if message.offset > client.offset]
        end = client.offset + len(missed)
        if client.epoch == room.epoch:
            if end < room.top:
                return None
        elif buffer:
            return None  # announced since the log was read, and not of that log
        del room.joining[client.id]
        client.buffer = None
        client.offset = end
        room.ahead = max(room.ahead, end)
        room.clients.setdefault(client.outbox, {})[client.id] = client
        return missed

    def remove(self, client: Client) -> bool:
        """Forget the client. True when it was the last of its room on this node."""
        room = self._rooms.get(client.room)
        if room is None or not self.knows(client):
            return False
        if client.buffer is not None:
            del room.joining[client.id]
        else:
            client.offset = self.written(client)
            group = room.clients[client.outbox]
            del group[client.id]
            if not group:
                del room.clients[client.outbox]
        if room.clients or room.joining:
            return False
        del self._rooms[client.room]
        return True

    # ------------------------------------------------------------ asking

    def knows(self, client: Client) -> bool:
        """Is the client registered, live or joining?"""
        room = self._rooms.get(client.room)
        if room is None:
            return False
        group = room.clients.get(client.outbox, {}) if client.buffer is None else room.joining
        return group.get(client.id) is client

    def devices(self, room: str, user_id: str) -> list[Client]:
        """A user's clients in the room here, those that are still joining too."""
        local = self._rooms.get(room)
        if local is None:
            return []
        groups = [*local.clients.values(), local.joining]
        return [one for group in groups for one in group.values() if one.user.id == user_id]

    def is_live(self, client: Client) -> bool:
        """Is the client registered and past its join?"""
        return client.buffer is None and self.knows(client)

    def written(self, client: Client) -> int:
        """The offset up to which everything was handed to the client's outbox; 0 until the client
        is live, because nobody here knows how much of what it missed it has been handed."""
        if client.buffer is not None:
            return 0
        room = self._rooms.get(client.room)
        if room is None or client.epoch != room.epoch or not self.knows(client):
            return client.offset
        return max(client.offset, room.top)

    # ------------------------------------------------------------ telling

    def tell(self, room: str, event: Event, but: Client | None = None) -> None:
        """Send an ephemeral event to the room's live clients here, except one."""
        local = self._rooms.get(room)
        if local is None:
            return
        for outbox, clients in local.groups():
            self._hand_out(outbox, [client for client in clients if client is not but], event)

    def on_message(self, room: str, epoch: str, message: Message) -> None:
        """See `EngineListener`."""
        local = self._rooms.get(room)
        if local is None:
            return
        if epoch != local.epoch:
            self._begin_anew(local, epoch, message.offset - 1)
        elif message.offset <= local.top:
            return  # announced twice, as an engine may after it lost touch
        local.top = message.offset
        for client in list(local.joining.values()):
            self._keep(client, message)
        event = wire.message_event(message, epoch)
        for outbox, clients in local.groups():
            if message.offset <= local.ahead:
                clients = [client for client in clients if client.offset < message.offset]
            self._hand_out(outbox, clients, event)

    def on_gap(self, room: str, after: Position) -> None:
        """See `EngineListener`."""
        local = self._rooms.get(room)
        if local is None:
            return
        anew = after.epoch != local.epoch
        if not anew and after.offset <= local.top:
            return
        known = 0 if anew else local.top
        # clients that are still joining have a hole now, which `live` sees
        behind: dict[tuple[int, Outbox], list[Client]] = {}
        for outbox, clients in local.groups():
            for client in clients:
                if client.epoch == after.epoch and client.offset < after.offset:
                    behind.setdefault((max(known, client.offset), outbox), []).append(client)
        if anew:
            self._begin_anew(local, after.epoch, after.offset)
        local.top = after.offset
        for (last, outbox), clients in behind.items():
            self._hand_out(outbox, clients, wire.gap_event(last + 1, after.offset, after))

    def on_event(self, room: str, event: Event) -> None:
        """See `EngineListener`."""
        self.tell(room, event)

    def on_left(self, room: str, user_id: str) -> None:
        """See `EngineListener`."""
        for device in self.devices(room, user_id):
            device.outbox.close(device, Disconnect("left"))

    def on_presence(self, room: str, diff: PresenceDiff) -> None:
        """See `EngineListener`."""
        local = self._rooms.get(room)
        if local is not None and local.presence:
            self.tell(room, wire.presence_event(diff))

    def _hand_out(self, outbox: Outbox, clients: Collection[Client], event: Event) -> None:
        if clients:
            self._metrics.deliveries += len(clients)
            outbox.broadcast(clients, event)

    @staticmethod
    def _keep(client: Client, message: Message) -> None:
        """Keep a message for a client that is still joining."""
        assert client.buffer is not None
        client.buffer.append(message)
        if len(client.buffer) > JOIN_BUFFER:
            del client.buffer[:-1]  # `live` sees the hole
            client.outbox.close(client, Disconnect("slow"))

    def _begin_anew(self, room: LocalRoom, epoch: str, last: int) -> None:
        """The first announcement of a log: whoever was given another one is told of the gap."""
        room.epoch, room.ahead = epoch, 0
        for client in room.joining.values():
            assert client.buffer is not None
            client.buffer.clear()
        gap = wire.gap_event(0, last, Position(epoch, last))
        for outbox, clients in room.groups():
            others = [client for client in clients if client.epoch != epoch]
            for client in others:
                client.epoch, client.offset, client.proven = epoch, 0, 0
            self._hand_out(outbox, others, gap)
            room.ahead = max((room.ahead, *(client.offset for client in clients)))
