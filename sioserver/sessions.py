"""The sessions of the users, `@me`: what they are told, wherever they are, of all their rooms.

All sessions of a user, on all nodes, are in one room (`private.session_room`) that has no log: what
is told there is told now or never. Besides, they follow the user's rooms, without being in them,
and are told how many messages are unread there: the newest only, at most so often, and later where
there is no space now. It knows no wire but the events.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from sioserver import private, wire
from sioserver.config import Config
from sioserver.engine.base import Engine
from sioserver.errors import Refusal
from sioserver.followers import JOINED, LEFT, NEWS, READ, Follower, note
from sioserver.hub import Client, Hub
from sioserver.mentions import counted
from sioserver.metrics import Metrics
from sioserver.model import Event, Mention, Standing, User

log = logging.getLogger(__name__)

Standings = Mapping[str, Standing]
"""A user's rooms, as `Engine.rooms_of` has them."""


class Rooms(NamedTuple):
    """What the store knows of a user's rooms."""

    standings: Standings
    mentions: list[Mention]
    peers: Mapping[str, User]
    """The other user of each room of two."""


SLICE: Final = 0.005
"""Seconds for which sessions are told in one turn of the event loop."""

REST: Final = 4.0
"""After telling for a while, that many times as long nothing is told: in rooms with thousands of
followers the counts come less often, and never take more than a fifth of the node's time."""

ROOMS: Final = 10_000
"""Rooms of a user that are looked through for one that was joined, where they have no limit."""


class Sessions:
    """See the module. Methods raise `Refusal`."""

    def __init__(self, config: Config, engine: Engine, hub: Hub, metrics: Metrics) -> None:
        self._listed = config.rooms.members_page
        self._all_rooms = config.limits.rooms_per_user or ROOMS
        self._limit = config.limits.followed_rooms
        self._pause = config.presence.batch
        self._engine = engine
        self._hub = hub
        self._followers = hub.followers
        self._metrics = metrics
        self._news = asyncio.Event()
        self._followers.wake = self._news.set

    # ------------------------------------------------------------ coming and going

    async def enter(self, client: Client) -> Rooms:
        """Bring a client into its user's session room. The edge gives what is returned to
        `go_live` when it has said that the client is in."""
        if self._hub.begin(client, presence=False):
            self._engine.listen(client.room)
        follower = self._followers.add(client.room)
        follower.joining[client.id] = len(follower.early)
        try:
            rooms = await self._standings(client)
            if not follower.settled:
                for room in list(rooms)[: self._limit]:
                    self._follow(follower, room)
                # again: what was announced before they were followed was not heard
                rooms = await self._standings(client)
                follower.settled = True
                if len(rooms) > self._limit:
                    self._metrics.count_limit("followed_rooms")
            found = await self._known(client, rooms)
        except BaseException:
            self.leave(client)  # again, if it left meanwhile
            raise
        self._settle(follower, found.standings, found.peers)
        return found

    def go_live(self, client: Client, rooms: Rooms) -> list[Event]:
        """From now on the client is told what its user is told. Returns the welcome, and what was
        told meanwhile: the edge writes it before it waits for anything."""
        self._hub.live(client)
        follower = self._followers.add(client.room)
        early = follower.early[follower.joining.pop(client.id) :]
        if not follower.joining:
            follower.early.clear()
        return [wire.session_event(client.user, self._list(follower, rooms)), *early]

    def leave(self, client: Client) -> None:
        """The client has gone. Never refused; more than once without harm."""
        name = client.room
        follower = self._followers.find(name)
        if follower is not None:
            follower.joining.pop(client.id, None)
        if self._hub.remove(client):
            self._engine.unlisten(name)
        if not self._hub.has(name):
            self._unwatch(*self._followers.drop(name))

    async def rooms(self, client: Client) -> list[dict[str, Any]]:
        """The user's rooms, by name, as the store has them: see `wire.standing`; at most
        `rooms.members_page`."""
        rooms = await self._known(client, await self._standings(client))
        follower = self._followers.add(client.room)
        self._settle(follower, rooms.standings, rooms.peers)
        return self._list(follower, rooms)

    # ------------------------------------------------------------ telling

    def tell(self, user_id: str, event: Event) -> None:
        """Tell all sessions of a user, here at once, on the other nodes soon, if there are any.
        Ephemeral: who cannot be told now is not told. Does not wait, never fails."""
        room = private.session_room(user_id)
        self._hub.tell(room, event)
        self._engine.tell(room, event)

    def joined(self, user_id: str, room: str) -> None:
        """The user may have become a member of a room."""
        self.tell(user_id, Event(JOINED, {"room": room}))

    def left(self, user_id: str, room: str) -> None:
        """The user is no member of a room any more."""
        self.tell(user_id, Event(LEFT, {"room": room}))

    def has_read(self, user_id: str, room: str, number: int) -> None:
        """The user has read so many messages of a room, on whichever device."""
        self.tell(user_id, Event(READ, {"room": room, "number": number}))

    async def run(self) -> None:
        """Tell the sessions what is new in their rooms, at once, but at most once in
        `presence.batch` of each room; until the task is cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            took = 0.0
            try:
                took = await self._tell_news()
            except Exception:  # this task is for all sessions: the next news are told again
                log.exception("sessions could not be told what is new")
            await asyncio.sleep(max(self._pause, REST * took))

    async def _tell_news(self) -> float:
        """Returns the seconds that it took."""
        loop = asyncio.get_running_loop()
        await self._place()
        took, began = 0.0, loop.time()
        for follower in self._followers.take():
            if follower.changes:
                await self._change(follower)
            self._tell(follower)
            if (slice := loop.time() - began) > SLICE:
                took += slice
                await asyncio.sleep(0)
                began = loop.time()
        return took + loop.time() - began

    async def _place(self) -> None:
        """Ask how many messages the rooms have of which that is not known."""
        for room in list(self._followers.unsure):
            self._followers.unsure.pop(room, None)
            try:
                page = await self._engine.history(room, limit=0)
            except Refusal:
                self._followers.unsure[room] = None
                self._news.set()  # with the next round
                return
            self._followers.place(room, page.top.offset, page.number)
            self._followers.touch(room)

    async def _change(self, follower: Follower) -> None:
        """The user has joined or left rooms."""
        changes, follower.changes = follower.changes, {}
        fresh = []
        for room, what in changes.items():
            if what == LEFT:
                if self._followers.unfollow(follower, room):
                    self._unwatch(room)
                note(follower.news, room, LEFT)
            elif room not in follower.rooms:
                fresh.append(room)
                if len(follower.rooms) < self._limit:
                    self._follow(follower, room)
        if not fresh:
            return
        user_id = private.session_user(follower.name)
        try:
            rooms = await self._engine.rooms_of(user_id, limit=self._all_rooms)
            peers = await self._peers(user_id, [room for room in fresh if room in rooms])
        except Refusal as refusal:
            log.debug("the rooms of %r cannot be read: %s", user_id, refusal)
            follower.changes = {**dict.fromkeys(fresh, JOINED), **follower.changes}
            for room in fresh:
                if self._followers.unfollow(follower, room):
                    self._unwatch(room)
            self._followers.again(follower)
            return
        self._settle(follower, rooms, peers)
        for room in fresh:
            if room in follower.rooms:
                note(follower.news, room, JOINED)
            elif room in rooms:
                now = rooms[room]
                peer = peers.get(room)
                payload = _standing(user_id, room, now.unread, now.top, live=False, peer=peer)
                note(follower.news, room, wire.room_joined_event(payload))

    def _tell(self, follower: Follower) -> None:
        news, follower.news = follower.news, {}
        late, follower.late = follower.late, {}
        for client in self._hub.live_in(follower.name):
            mine = late.pop(client.id, {})
            for room, what in news.items():
                note(mine, room, what)
            for room, what in list(mine.items()):
                event = self._event(follower, room, what)
                if event is not None and not self._hub.offer(client, event):
                    break
                del mine[room]
            if mine:
                follower.late[client.id] = mine
        if follower.late:
            self._followers.again(follower)

    def _event(self, follower: Follower, room: str, what: str | Event) -> Event | None:
        """None: there is nothing to tell any more."""
        if isinstance(what, Event):
            return what
        user_id = private.session_user(follower.name)
        if what == LEFT:
            return wire.room_left_event(private.shown(room, user_id))
        standing = self._followers.standing(follower, room)
        if standing is None:
            return None
        peer = None
        if private.is_direct(room):
            other = private.other_of(room, user_id)
            peer = User(other, self._followers.name(room, other))
        payload = _standing(user_id, room, *standing, peer=peer)
        return wire.unread_event(payload) if what == NEWS else wire.room_joined_event(payload)

    # ------------------------------------------------------------ inside

    async def _standings(self, client: Client) -> Standings:
        rooms = await self._engine.rooms_of(client.user.id, limit=self._listed)
        self._check(client)
        return rooms

    async def _known(self, client: Client, standings: Standings) -> Rooms:
        mentions = await self._engine.mentions.of(client.user.id)
        peers = await self._peers(client.user.id, standings)
        self._check(client)
        return Rooms(standings, mentions, peers)

    async def _peers(self, user_id: str, rooms: Iterable[str]) -> dict[str, User]:
        """Of those of the user's rooms that are of two: the other one. Asks nothing of a store
        where there are none."""
        others = {
            room: private.other_of(room, user_id) for room in rooms if private.is_direct(room)
        }
        if not others:
            return {}
        names = await self._engine.names(others)
        return {room: User(other, names.get(room, other)) for room, other in others.items()}

    def _check(self, client: Client) -> None:
        if not self._hub.knows(client):
            raise Refusal("not_member", "the client has left")

    def _follow(self, follower: Follower, room: str) -> None:
        self._followers.follow(follower, room)
        self._engine.watch(room)
        self._metrics.rooms_followed = len(self._followers.rooms)

    def _unwatch(self, *rooms: str) -> None:
        """Nobody follows these rooms any more."""
        for room in rooms:
            if not self._hub.needs(room):
                self._engine.unwatch(room)
        self._metrics.rooms_followed = len(self._followers.rooms)

    def _settle(self, follower: Follower, rooms: Standings, peers: Mapping[str, User]) -> None:
        for room, now in rooms.items():
            self._followers.settle(follower, room, now.top, now.number, now.membership.number)
        for room, peer in peers.items():
            self._followers.call(room, peer)

    def _list(self, follower: Follower, rooms: Rooms) -> list[dict[str, Any]]:
        user_id = private.session_user(follower.name)
        listed = []
        for room, now in rooms.standings.items():
            live = self._followers.standing(follower, room)
            unread, last = live or (now.unread, now.top)
            mentions = counted(rooms.mentions, room, now.membership.read)
            more = {"peer": rooms.peers.get(room), "mentions": mentions}
            listed.append(_standing(user_id, room, unread, last, live=live is not None, **more))
        return listed


def _standing(user_id: str, room: str, unread: int, last: int, **more: Any) -> dict[str, Any]:
    """A room as this user calls it; `more` as of `wire.standing`."""
    name = private.shown(room, user_id)
    return wire.standing(name, unread, last, **more)
