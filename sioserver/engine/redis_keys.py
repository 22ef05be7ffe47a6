"""The names of all keys and channels of the Redis engine, made in one place.

What shares the tag in braces lies on one server of a cluster, so one script may touch it: a room's
keys do. Nothing here knows what the keys hold. Room names have no braces (`wire.names`), but
nothing depends on that here: whatever a room, a user or a message is called, its keys begin with
the prefix, and the room alone says on which server they lie.
"""

from __future__ import annotations

from typing import Final, NamedTuple
from urllib.parse import quote

_ENDS: Final = (
    "meta",
    "log",
    "members",
    "names",
    "on",
    "here",
    "hooks",
    "notes",
    "folds",
    "done",
    "ids",
)
_CACHED: Final = 4096
"""Rooms whose names are kept: those that are posted in right now."""


class RoomKeys(NamedTuple):
    """A room's. All on one server."""

    channel: str
    """What happens in the room is told here, to the nodes that have clients in it."""
    meta: str
    """Hash: `e` epoch, `s` top, `o` how many operations there were and `f` the first offset (both
    only if there were any), `g` guests online, `v` version of the presence diffs, `c` "online
    total" as the newest of them said, with a "?" behind when somebody was told others since; `p`,
    `q`: the epoch before, and up to where its log is still the same; `l`: how the newest message
    begins, of a room that keeps none."""
    log: str
    """Stream: <offset>-0 with `a` (milliseconds since 1970) and `d` (the packed entry). After the
    first operation also `n` (its number), and of operations `t` (the message's offset) and `k`
    (the kind). A message that was edited or deleted is in `folds` instead."""
    members: str
    """Hash: user id -> "joined cursor read number name"."""
    names: str
    """Sorted set, all scores 0: name NUL id of the members."""
    on: str
    """Hash: user id -> who is online."""
    here: str
    """Sorted set, all scores 0: name NUL id NUL whether a guest, of who is online."""
    hooks: str
    """Hash of what webhooks need: lane -> mark (epoch, a space, offset), <lane>! -> who works there
    and until when; `until`: something may happen until then (both in milliseconds of the server's
    clock); `n`: the last note's number, `q`: most notes, `x`: notes dropped that are to be counted.
    """
    notes: str
    """Stream: <number>-0 with `k` kind, `a` (milliseconds since 1970), `d` (what is noted)."""
    folds: str
    """Hash: offset of a message -> "edited deleted number at <the message, if it is not in the
    stream>"; and the offset with an "r" behind it -> [emoji, users, emoji, users, ...], packed."""
    done: str
    """Sorted set: offset of a message -> that of the newest operation on it."""
    ids: str
    """Hash with an end: "id <id>" -> offsets of the two newest messages of that id, among the
    newest entries; `epoch`, `upto`: for which log, how far. It is made when it is needed."""


class ModerationKeys(NamedTuple):
    """A room's that hold what its moderators decided. With its other keys."""

    channel: str
    """The room's."""
    decisions: str
    """Hash: name of a record -> the record; `v`: version of the last change."""
    ends: str
    """Sorted set: the same names -> when it is forgotten, in seconds of the server's clock."""
    acts: str
    """Stream: <version>-0 with `d` (what was done)."""


class Keys:
    """The names below one prefix."""

    def __init__(self, prefix: str) -> None:
        # A brace in the prefix would move the tag that holds a room together.
        self._prefix = prefix = prefix.replace("{", "%7B").replace("}", "%7D")
        self._rooms: dict[str, RoomKeys] = {}
        # Room names that begin with @ are the server's own.
        self.nodes = f"{prefix}:{{@nodes}}"
        """Channel: nodes that come and go."""
        self.known = f"{prefix}:{{@nodes}}:rooms"
        """HyperLogLog: the rooms in which something is kept."""
        self.leases = f"{prefix}:{{@nodes}}:leases"
        """Sorted set: lease -> its end, in milliseconds of the server's clock."""
        self.peers = f"{prefix}:{{@nodes}}:peers"
        """Hash: lease -> the node's `Peer`. On the same server as `leases`, as are the next two."""
        self.dying = f"{prefix}:{{@nodes}}:dying"
        """Sorted set: lease -> from when on its people may be taken away, in milliseconds, too."""
        self.dead = f"{prefix}:{{@nodes}}:dead"
        """Sorted set: lease -> when it was found to be over."""
        self.directory = f"{prefix}:{{@directory}}:seen", f"{prefix}:{{@directory}}:topics"
        """Sorted set: room that is listed -> when somebody was there last (seconds since 1970), and
        hash: room -> its topic, if one was set. On one server."""
        self.tokens = f"{prefix}:{{@tokens}}"
        """Channel: rules by which tokens are refused, new and lifted."""
        self.rules = f"{prefix}:{{@tokens}}:rules"
        """Hash: <kind>:<id> -> the rule, or that it was lifted. On one server with the next two."""
        self.changes = f"{prefix}:{{@tokens}}:changes"
        """Sorted set: the same names -> version of the latest change."""
        self.ends = f"{prefix}:{{@tokens}}:ends"
        """Sorted set: the same names -> when it is forgotten, in seconds of the server's clock."""

    def room(self, room: str) -> RoomKeys:
        """The keys of a room."""
        keys = self._rooms.get(room)
        if keys is None:
            if len(self._rooms) >= _CACHED:
                self._rooms.clear()
            tag = f"{self._prefix}:{{{_without_braces(room)}}}"
            keys = self._rooms[room] = RoomKeys(tag, *(f"{tag}:{end}" for end in _ENDS))
        return keys

    def moderation(self, room: str) -> ModerationKeys:
        """The keys of what was decided in a room, or `EVERYWHERE`."""
        tag = self.room(room).channel
        return ModerationKeys(tag, f"{tag}:decisions", f"{tag}:ends", f"{tag}:acts")

    def draft(self, room: str, user_id: str, id: str) -> str:
        """String with an end: the place of the draft that a user sent with this id. With the room's
        other keys."""
        return f"{self.room(room).channel}:dedup:{len(user_id)}:{user_id}:{id}"

    def once(self, room: str, token: str) -> str:
        """The same of one call that nobody makes again but the connection itself."""
        return f"{self.room(room).channel}:once:{token}"

    def said(self, room: str, user_id: str) -> str:
        """String with an end: when the user posted last in a room with slow mode, in milliseconds
        of the server's clock. With the room's other keys."""
        return f"{self.room(room).channel}:said:{user_id}"

    def at(self, room: str, lease: str) -> str:
        """Set of the users whom a lease holds in a room. With the room's other keys."""
        return f"{self.room(room).channel}:at:{lease}"

    def swept(self, room: str, lease: str) -> str:
        """String with an end: what the lease's last sweep of a room told. With the room's other
        keys."""
        return f"{self.room(room).channel}:swept:{lease}"

    def rooms(self, lease: str) -> str:
        """Set of the rooms in which a lease holds somebody."""
        return f"{self._prefix}:rooms:{lease}"

    def user(self, user_id: str) -> str:
        """Set of the rooms that a user is a member of."""
        return f"{self._prefix}:user:{{{quote(user_id, safe='')}}}"

    def due(self, lane: str) -> str:
        """Sorted set: room -> when to look whether something waits for a webhook's lane, in
        milliseconds of the server's clock."""
        return f"{self._prefix}:{{@hooks}}:due:{lane}"

    def mentions(self, user_id: str) -> tuple[str, str]:
        """Sorted set: "<position of a message> <room>" -> number, and hash: the same -> what is
        known of the message, both of a user's mentions. On one server."""
        key = self.user(user_id)
        return f"{key}:mentions", f"{key}:mentioned"

    def seen(self, user_id: str) -> str:
        """String with an end: when the user was here last, in milliseconds since 1970."""
        return f"{self._prefix}:seen:{quote(user_id, safe='')}"

    def secret(self, name: str) -> str:
        """String."""
        return f"{self._prefix}:secret:{name}"


def _without_braces(room: str) -> str:
    """The room's name as the tag; different rooms have different ones. A tag that is empty would be
    none (each key would lie somewhere else)."""
    if not room:
        return "%"
    return room.replace("%", "%25").replace("{", "%7B").replace("}", "%7D")
