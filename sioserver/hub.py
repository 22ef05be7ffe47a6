"""Who is in which room on this node, and the way of an announcement to them.

The hub receives announcements from the engine (it is the engine's listener) and hands each to the
outboxes of the clients that are here. A client whose outbox has no space for what it must not miss
falls behind: it is told nothing more until its edge has given it the log, at its own pace. It knows
no wire, no store and no permission. Everything runs on the event loop, nothing here waits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Final

from sioserver import wire
from sioserver.errors import Disconnect
from sioserver.followers import Followers
from sioserver.holders import Holders
from sioserver.local import Client, Device, LocalRoom, Moderator, Outbox
from sioserver.metrics import Metrics
from sioserver.model import (
    Event,
    Message,
    Position,
    PresenceDiff,
    Revocation,
    RoomSettings,
    Sanction,
)
from sioserver.typists import Typists

__all__ = ["Client", "Device", "Hub", "Outbox"]

JOIN_BUFFER: Final = 2000
"""Live messages kept for a client that is given the log; past that it has to read the log again."""


class Hub:
    """Local clients by room; the engine's listener."""

    def __init__(
        self,
        metrics: Metrics,
        *,
        typing_lasts: float = 6.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`typing_lasts`: see `Typists`. `clock`: seconds since 1970."""
        self._metrics = metrics
        self._clock = clock
        self.typists = Typists(typing_lasts, lambda: metrics.count_drop("typists"))
        self._rooms: dict[str, LocalRoom] = {}
        self.holders = Holders()
        self.followers = Followers()
        # rooms that others are in front of, and those others: each way
        self._fronts: dict[str, str] = {}
        self._behind: dict[str, str] = {}
        self.moderator: Moderator | None = None

    def __len__(self) -> int:
        """Rooms with clients here, those of sessions too."""
        return len(self._rooms)

    # ------------------------------------------------------------ registering

    def begin(self, client: Client, *, presence: bool = True) -> bool:
        """Register a client whose join is under way, or get one that is behind ready to be given
        the end of the log: from now on live messages wait for it.

        `presence`: whether the room's clients are told who comes and goes. True when the client is
        the first of its room on this node.
        """
        room = self._rooms.get(client.room)
        first = room is None
        if room is None:
            room = self._rooms[client.room] = LocalRoom(client.room, presence)
        if not client.joined:
            client.told_states = room.states_told
        client.buffer, client.begun_in = [], room.epoch
        room.joining[client.id] = client
        return first

    def live(self, client: Client) -> list[Message] | None:
        """The client has been handed the log `client.epoch` up to `client.offset`: from now on it
        gets events as they come.

        Returns what was announced beyond that meanwhile; the caller hands it out before it waits
        for anything. None, and nothing has changed, when that has a hole: it was too much to keep,
        or the log began anew.
        """
        room = self._rooms[client.room]
        buffer = client.buffer or []
        missed = [message for message in buffer if message.offset > client.offset]
        end = client.offset + len(missed)
        if client.epoch == room.epoch:
            if end < room.top:
                return None
        elif buffer or room.epoch != client.begun_in:
            return None  # announced since `begin`, and not of the log that was read
        self._move(room, client)
        client.offset = end
        room.ahead = max(room.ahead, end)
        room.clients.setdefault(client.outbox, {})[client.id] = client
        return missed

    def lag(self, client: Client, offset: int) -> None:
        """The client has been handed the log up to `offset` and has no space for more: it is
        behind. Nothing waits for it, until `begin`."""
        room = self._rooms[client.room]
        if not room.behind:
            room.states.clear()  # kept for somebody who is no longer behind, and not up to date
        self._move(room, client)
        client.offset = offset
        room.behind[client.id] = client
        self._metrics.clients_behind += 1

    def _move(self, room: LocalRoom, client: Client) -> None:
        """Take the client out of where it is, to put it elsewhere; it has been let in by now."""
        self._metrics.clients_behind -= client.id in room.behind
        room.drop(client)
        client.joined = True
        client.buffer = None

    def _fall_behind(self, room: LocalRoom, client: Client, offset: int) -> None:
        """A live client has no space."""
        if not room.is_live(client):
            return  # the outbox has let it go
        client.told_states = room.states_told
        self.lag(client, offset)
        self._metrics.catch_ups += 1
        client.outbox.fell_behind(client)

    def handed(self, client: Client, position: Position) -> None:
        """A client that is behind has been handed the log up to there."""
        if position.epoch != client.epoch:
            client.epoch, client.proven = position.epoch, 0
        client.offset = position.offset

    def remove(self, client: Client) -> bool:
        """Forget the client. True when nobody here has to do with its room any more: see
        `needs`."""
        room = self._rooms.get(client.room)
        if room is None or not room.holds(client):
            return False
        client.offset = self.written(client) if room.is_live(client) else client.offset
        self._metrics.clients_behind -= client.id in room.behind
        room.drop(client)
        if room.clients or room.joining or room.behind:
            return False
        del self._rooms[client.room]
        return not self.needs(client.room)

    def put_before(self, front: str, room: str) -> None:
        """Who is in `front`, which has no log, waits for being in `room`: what was decided there
        binds them too. For as long as the hub is there; before anybody is in either."""
        self._fronts[room] = front
        self._behind[front] = room

    # ------------------------------------------------------------ asking

    def knows(self, client: Client) -> bool:
        """Is the client registered, live, behind or joining?"""
        room = self._rooms.get(client.room)
        return room is not None and room.holds(client)

    def devices(self, room: str, user_id: str) -> list[Client]:
        """A user's clients in the room here, those that are still joining too."""
        local = self._rooms.get(room)
        if local is None:
            return []
        groups = [*local.clients.values(), {**local.joining, **local.behind}]
        return [one for group in groups for one in group.values() if one.user.id == user_id]

    def has(self, room: str) -> bool:
        """Are there clients in the room here?"""
        return room in self._rooms

    def needs(self, room: str) -> bool:
        """Has anybody here to do with the room: is in it, or in front of it, or follows it?"""
        return (
            room in self._rooms
            or room in self.followers.rooms
            or self._fronts.get(room, "") in self._rooms
        )

    def room_for(self, client: Client) -> str:
        """The room whose rules bind the client: its own, or the one that it is in front of."""
        return self._behind.get(client.room, client.room)

    def live_in(self, room: str) -> list[Client]:
        """The room's live clients here."""
        local = self._rooms.get(room)
        return [] if local is None else [one for _, group in local.groups() for one in group]

    def clients(self, room: str | None = None) -> Iterator[Client]:
        """The clients in the room here and in front of it, those that are still joining too;
        None: in all rooms."""
        rooms: Iterable[LocalRoom | None] = list(self._rooms.values())
        if room is not None:
            rooms = [self._rooms.get(name) for name in (room, self._fronts.get(room, ""))]
        for local in rooms:
            if local is not None:
                for group in [*local.clients.values(), {**local.joining, **local.behind}]:
                    yield from list(group.values())

    def is_in(self, client: Client) -> bool:
        """Is the client registered and past its join, live or behind?"""
        return client.joined and self.knows(client)

    def is_live(self, client: Client) -> bool:
        """Does the client get events as they come?"""
        room = self._rooms.get(client.room)
        return room is not None and room.is_live(client)

    def written(self, client: Client) -> int:
        """The offset up to which everything was handed to the client's outbox; 0 until the client
        is let in, because nobody here knows how much of what it missed it has been handed."""
        if not client.joined:
            return 0
        room = self._rooms.get(client.room)
        if room is None:
            return client.offset
        if room.is_live(client):
            return max(client.offset, room.top) if client.epoch == room.epoch else client.offset
        if room.holds(client) and room.epoch not in ("", client.epoch):
            return 0  # what it was given of a log that is gone says nothing of the one there is
        return client.offset

    def states(self, client: Client) -> list[tuple[int, Event]]:
        """The newest event of each state that a client which is behind was not told, each with its
        number; the edge notes in `client.told_states` how far it has told them."""
        room = self._rooms[client.room]
        if room.behind.get(client.id) is not client:
            return []
        return [
            (number, event)
            for number, event, but in room.states.values()
            if number > client.told_states and but is not client
        ]

    # ------------------------------------------------------------ telling

    def tell(self, room: str, event: Event, but: Client | None = None) -> None:
        """Send an ephemeral event to the room's live clients here, except one. Who has no space for
        the news of a state falls behind, and is told the newest then; anything else is dropped."""
        local = self._rooms.get(room)
        if local is None or (local.is_private and not self.followers.hear(room, event)):
            return
        self._tell(local, event, event, but)

    def offer(self, client: Client, event: Event) -> bool:
        """Send an event to one client. False: it has no space, or is not live."""
        return self.is_live(client) and not self._hand_out(client.outbox, (client,), event)

    def tell_only(self, clients: Iterable[Client], event: Event) -> None:
        """Send an event that tells no state to some clients, wherever they are; who was not let in
        yet, or has no space, is not told."""
        by_outbox: dict[Outbox, list[Client]] = {}
        for client in clients:
            if self.is_in(client):
                by_outbox.setdefault(client.outbox, []).append(client)
        for outbox, some in by_outbox.items():
            if refused := self._hand_out(outbox, some, event):
                self._metrics.count_drop("slow", len(refused))

    def _tell(self, room: LocalRoom, event: Event, later: Event, but: Client | None = None) -> None:
        """`later`: what those are told instead who cannot be told now."""
        state = None if room.is_private else wire.state_of(event)
        dropped = 0
        for outbox, clients in room.groups():
            others = [client for client in clients if client is not but]
            for client in self._hand_out(outbox, others, event):
                if state is None:
                    dropped += 1
                else:
                    self._fall_behind(room, client, self.written(client))
        if room.behind:
            if state is None:
                dropped += len(room.behind) - (but is not None and but.id in room.behind)
            else:
                if state in room.states:
                    self._metrics.count_drop("coalesced")
                dropped += not room.keep(state, later, but)
        if dropped:
            self._metrics.count_drop("slow", dropped)

    def on_message(self, room: str, epoch: str, message: Message) -> None:
        """See `EngineListener`."""
        if room in self.followers.rooms:
            self.followers.on_message(room, epoch, message)
        local = self._rooms.get(room)
        if local is None:
            return
        if epoch != local.epoch:
            self._begin_anew(local, epoch, message.offset - 1)
        elif message.offset <= local.top:
            return  # announced twice, as an engine may after it lost touch
        local.top = message.offset
        for client in local.joining.values():
            self._keep(client, message)
        event = wire.message_event(message, epoch)
        for outbox, clients in local.groups():
            if message.offset <= local.ahead:
                clients = [client for client in clients if client.offset < message.offset]
            for client in self._hand_out(outbox, clients, event):
                self._fall_behind(local, client, message.offset - 1)

    def on_gap(self, room: str, after: Position) -> None:
        """See `EngineListener`."""
        if room in self.followers.rooms:
            self.followers.on_gap(room, after)
        local = self._rooms.get(room)
        if local is None:
            return
        anew = after.epoch != local.epoch
        if not anew and after.offset <= local.top:
            return
        known = 0 if anew else local.top
        # clients that are still joining have a hole now, which `live` sees
        missing: dict[tuple[int, Outbox], list[Client]] = {}
        for outbox, clients in local.groups():
            for client in clients:
                if client.epoch == after.epoch and client.offset < after.offset:
                    missing.setdefault((max(known, client.offset), outbox), []).append(client)
        if anew:
            self._begin_anew(local, after.epoch, after.offset)
        local.top = after.offset
        for (last, outbox), clients in missing.items():
            gap = wire.gap_event(last + 1, after.offset, after)
            for client in self._hand_out(outbox, clients, gap):
                self._fall_behind(local, client, last)

    def on_event(self, room: str, event: Event, node: str) -> None:
        """See `EngineListener`."""
        if event.name == "typing" and not self.typists.heard(
            room, event.payload, node, self._clock()
        ):
            return
        self.tell(room, event)

    def on_left(self, room: str, user_id: str) -> None:
        """See `EngineListener`."""
        for device in self.devices(room, user_id):
            device.outbox.close(device, Disconnect("left"))

    def on_revoked(self, rule: Revocation) -> None:
        """See `EngineListener`."""
        self.holders.revoked(rule)

    def on_sanction(self, room: str, sanction: Sanction) -> None:
        """See `EngineListener`."""
        if self.moderator is not None:
            self.moderator.on_sanction(room, sanction)

    def on_lifted(self, room: str, sanction: Sanction) -> None:
        """See `EngineListener`."""
        if self.moderator is not None:
            self.moderator.on_lifted(room, sanction)

    def on_settings(self, room: str, settings: RoomSettings) -> None:
        """See `EngineListener`."""
        if self.moderator is not None:
            self.moderator.on_settings(room, settings)

    def on_presence(self, room: str, diff: PresenceDiff) -> None:
        """See `EngineListener`."""
        local = self._rooms.get(room)
        if local is not None and local.presence:
            # who came and went meanwhile is not kept, but how many there are now has to be right
            counts = PresenceDiff(diff.counts, [], [])
            self._tell(local, wire.presence_event(diff), wire.presence_event(counts))

    def _hand_out(
        self, outbox: Outbox, clients: Collection[Client], event: Event
    ) -> Sequence[Client]:
        """Returns those that could not be told."""
        if not clients:
            return ()
        refused = outbox.broadcast(clients, event)
        self._metrics.deliveries += len(clients) - len(refused)
        return refused

    @staticmethod
    def _keep(client: Client, message: Message) -> None:
        """Keep a message for a client that is given the log just now."""
        assert client.buffer is not None
        client.buffer.append(message)
        if len(client.buffer) > JOIN_BUFFER:
            del client.buffer[:-1]  # `live` sees the hole

    def _begin_anew(self, room: LocalRoom, epoch: str, last: int) -> None:
        """The first announcement of a log: whoever was given another one is told of the gap."""
        room.epoch, room.ahead = epoch, 0
        for client in room.joining.values():
            assert client.buffer is not None
            client.buffer.clear()
        gap = wire.gap_event(0, last, Position(epoch, last))
        for outbox, clients in room.groups():
            others = [client for client in clients if client.epoch != epoch]
            for client in self._hand_out(outbox, others, gap):
                # still in the old log: the new one's first page tells of the gap
                self._fall_behind(room, client, client.offset)
            live = [client for client in clients if room.is_live(client)]
            for client in live:
                if client.epoch != epoch:
                    client.epoch, client.offset, client.proven = epoch, 0, 0
            room.ahead = max((room.ahead, *(client.offset for client in live)))
