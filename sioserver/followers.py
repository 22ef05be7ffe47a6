"""Who follows which rooms on this node without being in them: users, for their unread counts.

A message in a room that nobody follows costs one look into a table here, and in one that is
followed a note that it has news, however many follow it; what the followers are told, and how
often, is decided by who takes the notes. Numbers only: no store, no client and no wire.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from sioserver.model import Event, Message, Position, User

EARLY: Final = 256
"""Events kept for the sessions of a user that are just being let in."""

JOINED: Final = "@joined"
"""Told to a user's sessions on all nodes: the user has become a member of a room {room}."""
LEFT: Final = "@left"
"""The user is no member of a room any more {room}."""
READ: Final = "@read"
"""The user has read so many messages of a room {room, number}."""
NEWS: Final = "@news"
"""There is news in a room; told to nobody, but noted like the others."""


class Followed:
    """A room that somebody follows."""

    __slots__ = ("epoch", "followers", "name", "names", "number", "top")

    def __init__(self, name: str) -> None:
        self.name = name
        self.followers: dict[str, Follower] = {}
        # of the newest message: which log, where, and the how-manieth of the messages
        self.epoch = ""
        self.top = 0
        self.number = 0
        # of a room of two: what its users are called there
        self.names: dict[str, str] | None = None


class Follower:
    """A user with sessions on this node."""

    __slots__ = ("changes", "early", "joining", "late", "name", "news", "rooms", "settled")

    def __init__(self, name: str) -> None:
        # the session room's
        self.name = name
        # the rooms that are followed -> how many of their messages the user has read
        self.rooms: dict[str, int] = {}
        # all of that was asked of the store once
        self.settled = False
        # rooms that were joined or left, and what the sessions are to be told of which room
        self.changes: dict[str, str] = {}
        self.news: dict[str, str | Event] = {}
        # the same of those sessions that had no space for it, by the client's id
        self.late: dict[str, dict[str, str | Event]] = {}
        # sessions that are being let in, each with how much of `early` was there before
        self.joining: dict[str, int] = {}
        self.early: list[Event] = []


class Followers:
    """The followers on this node, and what is new to them."""

    def __init__(self) -> None:
        self.rooms: dict[str, Followed] = {}
        self.unsure: dict[str, None] = {}
        """Rooms of which it is not known how many messages they have: some were not announced."""
        self.wake: Callable[[], None] = lambda: None
        """Called when there is something to be taken, after there was nothing."""
        self._followers: dict[str, Follower] = {}
        self._news: dict[str, None] = {}
        self._changed: dict[str, None] = {}

    def __len__(self) -> int:
        """Users with sessions here."""
        return len(self._followers)

    # ------------------------------------------------------------ who follows

    def find(self, name: str) -> Follower | None:
        """The user with this session room, if there is a session here."""
        return self._followers.get(name)

    def add(self, name: str) -> Follower:
        """A session comes."""
        follower = self._followers.get(name)
        if follower is None:
            follower = self._followers[name] = Follower(name)
        return follower

    def drop(self, name: str) -> list[str]:
        """The user's last session has gone. Returns the rooms that nobody follows any more."""
        follower = self._followers.pop(name, None)
        if follower is None:
            return []
        self._changed.pop(name, None)
        return [room for room in list(follower.rooms) if self.unfollow(follower, room)]

    def follow(self, follower: Follower, room: str) -> None:
        """The user follows the room; how far it is is told by `settle`."""
        followed = self.rooms.get(room)
        if followed is None:
            followed = self.rooms[room] = Followed(room)
        followed.followers[follower.name] = follower
        follower.rooms.setdefault(room, 0)

    def unfollow(self, follower: Follower, room: str) -> bool:
        """The user follows the room no more. True when nobody does."""
        if follower.rooms.pop(room, None) is None:
            return False
        followed = self.rooms[room]
        del followed.followers[follower.name]
        if followed.followers:
            return False
        del self.rooms[room]
        self._news.pop(room, None)
        self.unsure.pop(room, None)
        return True

    def settle(self, follower: Follower, room: str, top: int, number: int, read: int) -> None:
        """What the store said after `follow`: the room's top, how many messages it has, and how
        many of them the user has read. What was announced since is newer."""
        if room not in follower.rooms:
            return
        self.place(room, top, number)
        follower.rooms[room] = max(follower.rooms[room], read)

    def place(self, room: str, top: int, number: int) -> None:
        """What the store said of a room alone."""
        followed = self.rooms.get(room)
        if followed is not None and top >= followed.top:
            followed.top, followed.number = top, number

    def call(self, room: str, user: User) -> None:
        """What the store says of somebody's name in a room of two; who posts there later is called
        as they are then."""
        followed = self.rooms.get(room)
        if followed is not None:
            followed.names = {**(followed.names or {}), user.id: user.name}

    def name(self, room: str, user_id: str) -> str:
        """What somebody is called in a room of two; their id, where that is not known."""
        followed = self.rooms.get(room)
        names = followed.names if followed is not None else None
        return user_id if names is None else names.get(user_id, user_id)

    def standing(self, follower: Follower, room: str) -> tuple[int, int] | None:
        """How many messages of a room the user has not read, and its top. None: it is not
        followed."""
        read = follower.rooms.get(room)
        if read is None:
            return None
        followed = self.rooms[room]
        return max(0, followed.number - read), followed.top

    # ------------------------------------------------------------ what happens

    def on_message(self, room: str, epoch: str, message: Message) -> None:
        """See `EngineListener`; only needed for a room in `rooms`."""
        followed = self.rooms.get(room)
        if followed is None or (epoch == followed.epoch and message.offset <= followed.top):
            return
        followed.epoch, followed.top, followed.number = epoch, message.offset, message.number
        if followed.names is not None:
            followed.names[message.user] = message.name
        if message.kind == "message":
            self.touch(room)

    def on_gap(self, room: str, after: Position) -> None:
        """See `EngineListener`; only needed for a room in `rooms`."""
        followed = self.rooms.get(room)
        if followed is not None:
            followed.epoch, followed.top = after.epoch, after.offset
            self.unsure[room] = None
            self.touch(room)

    def hear(self, name: str, event: Event) -> bool:
        """Something is told in a session room. False: it is meant for the followers alone."""
        follower = self._followers.get(name)
        if event.name not in (JOINED, LEFT, READ):
            if follower is not None and follower.joining and len(follower.early) < EARLY:
                follower.early.append(event)
            return True
        if follower is None:
            return False
        room: str = event.payload["room"]
        if event.name == READ:
            number: int = event.payload["number"]
            if number > follower.rooms.get(room, number):
                follower.rooms[room] = number
                self.tell(follower, room, NEWS)
        elif event.name == LEFT or room not in follower.rooms:
            follower.changes[room] = event.name
            self.again(follower)
        return False

    def tell(self, follower: Follower, room: str, what: str | Event) -> None:
        """The user's sessions are to be told of the room."""
        note(follower.news, room, what)
        self.again(follower)

    def again(self, follower: Follower) -> None:
        """There is something to be taken for this user."""
        self._wake()
        self._changed[follower.name] = None

    def touch(self, room: str) -> None:
        """There is news in a room."""
        if room in self.rooms:
            self._wake()
            self._news[room] = None

    def _wake(self) -> None:
        if not self._news and not self._changed:
            self.wake()

    # ------------------------------------------------------------ what is to be told

    def take(self) -> Iterator[Follower]:
        """The followers for whom something is new since the last time: see their `changes`, `news`
        and `late`."""
        rooms, self._news = self._news, {}
        for room in rooms:
            for follower in self.rooms[room].followers.values():
                note(follower.news, room, NEWS)
                self._changed[follower.name] = None
        names, self._changed = self._changed, {}
        for name in names:
            if (found := self._followers.get(name)) is not None:  # it may have gone since
                yield found


def note(news: dict[str, str | Event], room: str, what: str | Event) -> None:
    """Of each room the newest is told, with what a newer one says only to who knows the room."""
    if what != NEWS or room not in news:
        news[room] = what
