"""A room on this node: its clients, by what they are told, and what is kept for who is behind.

A client is joining (not let in yet), live (told what comes, as it comes) or behind (let in, but to
be given the log before it is told anything more). When that changes is the hub's business; nothing
here sends anything.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final, Protocol

from sioserver import private, wire
from sioserver.auth import Identity
from sioserver.errors import Disconnect
from sioserver.model import Event, Message, RoomSettings, Sanction, User

STATES: Final = 256
"""States (who types, how far somebody has read) of a room that are kept for who is behind."""


class Outbox(Protocol):
    """What the hub needs of an edge (satisfied by each transport)."""

    def broadcast(self, clients: Collection[Client], event: Event) -> Sequence[Client]:
        """Send the event to all of them: encoded once, in this order for each of them, without
        waiting and without raising. Returns those for whom there was no space."""

    def fell_behind(self, client: Client) -> None:
        """The client is told nothing more: give it the log from `client.offset` on when it has
        space again, then make it live (`Replay.catch_up`). Soon, not from inside this call."""

    def close(self, client: Client, ending: Disconnect) -> None:
        """End the client's connection to its room, soon."""


class Moderator(Protocol):
    """Who knows what becomes of those about whom something was decided: the hub passes on to it
    what the engine tells (see `EngineListener`), as it knows no permission."""

    def on_sanction(self, room: str, sanction: Sanction) -> None:
        """Something was decided about a user."""

    def on_lifted(self, room: str, sanction: Sanction) -> None:
        """A decision was lifted."""

    def on_settings(self, room: str, settings: RoomSettings) -> None:
        """The room has other settings."""


class Device:
    """What the clients of one connection have in common: whether their user is there."""

    __slots__ = ("clients", "idle", "said_away", "slot", "used")

    def __init__(self) -> None:
        # those that are in a room
        self.clients: tuple[Client, ...] = ()
        # when one of them asked for something last; that was long ago; the user says they are away
        self.used = 0.0
        self.idle = False
        self.said_away = False
        # where it stands in `Activity`
        self.slot: int | None = None

    @property
    def rests(self) -> bool:
        """Does its user not use it?"""
        return self.idle or self.said_away


class Client:
    """One connection of a user to a room. Created by an edge, registered in the hub."""

    __slots__ = (
        "address",
        "begun_in",
        "buffer",
        "device",
        "epoch",
        "id",
        "identity",
        "joined",
        "offset",
        "outbox",
        "proven",
        "room",
        "told_read",
        "told_states",
    )

    def __init__(
        self,
        id: str,
        identity: Identity,
        room: str,
        outbox: Outbox,
        device: Device | None = None,
    ) -> None:
        """`device`: its connection's, where that may be in several rooms."""
        # for life
        self.id = id
        self.room = room
        self.outbox = outbox
        # where it comes from (`admission.whose`), if the edge says so
        self.address: str | None = None
        self.device = device or Device()
        # replaced by a fresh token
        self.identity = identity
        # it has been let in: it is live, or behind
        self.joined = False
        # while it is given the end of the log: live messages wait here (None: none do)
        self.buffer: list[Message] | None = []
        # ... and of which log the room's last announcement was when that began
        self.begun_in = ""
        # which log it is given, and up to where while it is not live (once live: see `Hub.written`)
        self.epoch = ""
        self.offset = 0
        # up to where it has provably got it
        self.proven = 0
        # how far the others were told that it has read
        self.told_read = 0
        # the last of the room's states (`LocalRoom.states`) that it was told before it fell behind
        self.told_states = 0

    @property
    def user(self) -> User:
        """Whose connection it is."""
        return self.identity.user


class LocalRoom:
    """The clients of a room on this node, and the top of what was announced to them."""

    __slots__ = (
        "ahead",
        "behind",
        "clients",
        "epoch",
        "is_private",
        "joining",
        "name",
        "presence",
        "states",
        "states_told",
        "top",
    )

    def __init__(self, name: str, presence: bool) -> None:
        self.name = name
        self.presence = presence
        # somebody's sessions: there is no log in which they could be behind
        self.is_private = private.is_session(name)
        # live, by outbox; those for whom live messages are kept; those who were let in but are not
        # live. The second and the third may have a client in common.
        self.clients: dict[Outbox, dict[str, Client]] = {}
        self.joining: dict[str, Client] = {}
        self.behind: dict[str, Client] = {}
        # for those who are behind, the newest event of each state: its number, and whom not to tell
        self.states: dict[str, tuple[int, Event, Client | None]] = {}
        self.states_told = 0
        # of the last announcement; nothing was announced: "" and 0
        self.epoch = ""
        self.top = 0
        # some live client may have read the log up to here, further than it was announced
        self.ahead = 0

    def groups(self) -> list[tuple[Outbox, list[Client]]]:
        """The live clients by outbox: a copy, because an outbox that closes a client while it is
        told something removes it from here."""
        return [(outbox, list(group.values())) for outbox, group in self.clients.items()]

    def holds(self, client: Client) -> bool:
        """Is the client here, in whatever way?"""
        return (
            self.is_live(client)
            or self.joining.get(client.id) is client
            or self.behind.get(client.id) is client
        )

    def is_live(self, client: Client) -> bool:
        """Does the client get events as they come?"""
        return self.clients.get(client.outbox, {}).get(client.id) is client

    def drop(self, client: Client) -> None:
        """Take the client out, wherever it is."""
        if self.is_live(client):
            group = self.clients[client.outbox]
            del group[client.id]
            if not group:
                del self.clients[client.outbox]
        for others in (self.joining, self.behind):
            if others.get(client.id) is client:
                del others[client.id]

    def keep(self, state: str, event: Event, but: Client | None) -> bool:
        """Keep the newest event of a state for those who are behind. False when another state had
        to go for it. Who is online is kept in any case."""
        self.states_told += 1
        self.states.pop(state, None)
        self.states[state] = (self.states_told, event, but)  # the newest comes last
        if len(self.states) <= STATES:
            return True
        del self.states[next(state for state in self.states if state != wire.PRESENCE)]
        return False
