"""The members of the rooms in Redis, and the cursors that are still on their way there.

Cursors move with every proof of delivery; they are collected here and written about once a second.
It does not know who is online, nor which rooms are watched.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import chain, islice
from typing import Any, Final

import msgspec

from sioserver.engine.base import UNLIMITED, Quota, too_many
from sioserver.engine.redis_access import ReplyError
from sioserver.engine.redis_keys import Keys
from sioserver.engine.redis_link import Unavailable
from sioserver.engine.redis_replies import answer, answers
from sioserver.engine.redis_scripts import load_script
from sioserver.engine.redis_servers import Redis
from sioserver.errors import Refusal
from sioserver.model import Membership, Standing, User

log = logging.getLogger(__name__)

JOIN: Final = load_script("join")
ENLIST: Final = load_script("enlist")
FOUND: Final = load_script("found")
LEAVE: Final = load_script("leave")
READ: Final = load_script("read")
ADVANCE: Final = load_script("advance")

WRITE_EVERY: Final = 1.0
"""Seconds from one writing of the cursors to the next."""
CHUNK: Final = 500
"""Cursors that one script writes."""
WAITING: Final = 100_000
"""Most cursors that wait while Redis is away; those of the rooms that wait longest are given up,
and those users are shown again what they had seen since."""

_encode: Final = msgspec.msgpack.Encoder().encode
_left: Final = msgspec.msgpack.Decoder(tuple[str, str]).decode


class RedisMembers:
    """The members part of an engine. See `base.Members`."""

    def __init__(self, redis: Redis, keys: Keys, node: str) -> None:
        """`node`: the id of this node, which is not told of what it has done itself."""
        self._redis = redis
        self._keys = keys
        self._node = node
        self._cursors: dict[str, dict[str, int]] = {}
        """Proven, still to be written: room -> user id -> offset."""
        self._under_way: dict[str, tuple[dict[str, int], asyncio.Future[Any]]] = {}
        """The same, of which Redis was told; it has not answered."""
        self._waiting = 0
        self._written = float("-inf")
        self._counts = {"cursors_written": 0, "cursors_given_up": 0}

    def stats(self) -> Mapping[str, float]:
        """For `Engine.stats`."""
        return {
            "cursors_waiting": self._waiting + sum(len(lot) for lot, _ in self._under_way.values()),
            **{f"{name}_total": count for name, count in self._counts.items()},
        }

    async def join(self, room: str, user: User, quota: Quota = UNLIMITED) -> Membership:
        """See `Members.join`."""
        if user.guest:
            *numbers, _, known = await answer(self._join(room, user, "guest", quota))
            if quota.rooms and not known:
                await self._find_room("", quota)
            return Membership(*numbers)
        # Each time, so that what a crash left out is mended when they come again. A room too many
        # in the set is passed over, but counts until they leave it.
        user_key = self._keys.user(user.id)
        listed = self._redis.script(ENLIST, (user_key,), (room, quota.rooms_per_user))
        reply, is_listed = await answers(self._join(room, user, "member", quota), listed)
        if len(reply) == 1:
            reply = await self._join_anew(room, user, quota, bool(is_listed), bool(reply[0]))
        *numbers, top = reply
        return self._as_proven(room, user.id, Membership(*numbers), top)

    async def _join_anew(
        self, room: str, user: User, quota: Quota, is_listed: bool, is_known: bool
    ) -> list[int]:
        """Of somebody who is no member: what the script answers of the new one. `is_listed`: there
        was space in the user's rooms; `is_known`: there is such a room."""
        if not is_listed:
            raise too_many("rooms_per_user")
        user_key = self._keys.user(user.id)
        try:
            if not is_known and quota.rooms:
                await self._find_room(room, quota)
            elif not is_known:
                self.count_room(room)
            joined = self._join(room, user, "new", quota)
            # Again, after the membership: a leave at the same time on another node does the two the
            # other way round, and must leave a room too many in the set rather than one too few.
            listed = self._redis.command(user_key, "SADD", user_key, room)
            reply, _ = await answers(joined, listed)
            if not reply:
                raise too_many("members_per_room")
        except Refusal as refusal:
            if refusal.limit is not None:
                await answer(self._redis.command(user_key, "SREM", user_key, room))
            raise
        numbers: list[int] = reply
        return numbers

    def _join(self, room: str, user: User, how: str, quota: Quota) -> asyncio.Future[Any]:
        keys = self._keys.room(room)
        return self._redis.script(
            JOIN,
            (keys.meta, keys.members, keys.names),
            (user.id, user.name, how, quota.members_per_room),
        )

    async def _find_room(self, room: str, quota: Quota) -> None:
        """Count a new room (""; only see whether there may be one)."""
        known = self._keys.known
        if not await answer(self._redis.script(FOUND, (known,), (room, quota.rooms))):
            raise too_many("rooms")

    def count_room(self, room: str) -> None:
        """There is a room that there was not, and nobody asks how many there are. Counted soon, or
        not at all if Redis does not answer just now."""
        known = self._keys.known
        self._redis.command(known, "PFADD", known, room).add_done_callback(_ignore)

    async def leave(self, room: str, user_id: str) -> None:
        """See `Members.leave`."""
        self._forget(room, user_id)
        keys = self._keys.room(room)
        user_key = self._keys.user(user_id)
        unlisted = self._redis.command(user_key, "SREM", user_key, room)
        left = self._redis.script(
            LEAVE,
            (keys.meta, keys.members, keys.names),
            (
                user_id,
                "SPUBLISH" if self._redis.cluster else "PUBLISH",
                b"l" + _encode((self._node, user_id)),
            ),
        )
        await answers(left, unlisted)

    def left(self, body: bytes) -> str | None:
        """Read what another node told of a leave: who it was; None when it was this node that did
        it. Raises ValueError."""
        node, user_id = _left(body)
        return None if node == self._node else user_id

    async def read(self, room: str, user_id: str, offset: int) -> Standing:
        """See `Members.read`."""
        keys = self._keys.room(room)
        reply = await answer(
            self._redis.script(
                READ,
                (keys.meta, keys.members, keys.log, keys.folds),
                (user_id, max(0, offset)),
            )
        )
        *numbers, top, number = reply
        membership = Membership(top, top, top, number)
        if numbers:
            membership = self._as_proven(room, user_id, Membership(*numbers), top)
        return Standing(membership, top, number)

    async def members(self, room: str, *, limit: int) -> list[User]:
        """See `Members.members`."""
        if limit <= 0:
            return []
        names = self._keys.room(room).names
        found = await answer(self._redis.command(names, "ZRANGE", names, 0, limit - 1))
        pairs = (entry.decode().rpartition("\0") for entry in found)
        return [User(id, name) for name, _, id in pairs]

    async def names(self, wanted: Mapping[str, str]) -> Mapping[str, str]:
        """See `Members.names`."""
        calls = []
        for room, user_id in wanted.items():
            members = self._keys.room(room).members
            calls.append(self._redis.command(members, "HGET", members, user_id))
        return {
            room: stored.split(b" ", 4)[4].decode()
            for room, stored in zip(wanted, await answers(*calls), strict=True)
            if stored is not None
        }

    async def rooms_of(self, user_id: str, *, limit: int) -> Mapping[str, Standing]:
        """See `Members.rooms_of`; in the order of the rooms' names."""
        user_key = self._keys.user(user_id)
        listed = await answer(self._redis.command(user_key, "SMEMBERS", user_key))
        rooms = iter(sorted(room.decode() for room in listed))
        found: dict[str, Standing] = {}
        while len(found) < limit and (some := list(islice(rooms, min(limit, CHUNK)))):
            for room, known in zip(some, await self._known(some, user_id), strict=True):
                if known is not None and len(found) < limit:
                    found[room] = known
        return found

    async def _known(self, rooms: Sequence[str], user_id: str) -> list[Standing | None]:
        calls = []
        for room in rooms:
            keys = self._keys.room(room)
            calls.append(self._redis.command(keys.members, "HGET", keys.members, user_id))
            calls.append(self._redis.command(keys.meta, "HMGET", keys.meta, "s", "o"))
        found = await answers(*calls)
        known: list[Standing | None] = []
        for room, stored, meta in zip(rooms, found[::2], found[1::2], strict=True):
            if stored is None:
                known.append(None)
                continue
            membership = Membership(*map(int, stored.split(b" ", 4)[:4]))
            top, ops = int(meta[0] or 0), int(meta[1] or 0)
            membership = self._as_proven(room, user_id, membership, top)
            known.append(Standing(membership, top, top - ops))
        return known

    # -- cursors ----------------------------------------------------------------------------------

    def advance(self, room: str, user_id: str, offset: int) -> None:
        """See `Members.advance`."""
        cursors = self._cursors.get(room)
        if cursors is None:
            cursors = self._cursors[room] = {}
        known = cursors.get(user_id)
        if known is None:
            if self._waiting >= WAITING:
                self._give_up()
                cursors = self._cursors.setdefault(room, {})
            self._waiting += 1
            cursors[user_id] = offset
        elif offset > known:
            cursors[user_id] = offset

    def write(self, now: float) -> None:
        """Write down what is to be written, if it is time. Does not wait."""
        if 0 <= now - self._written < WRITE_EVERY:
            return
        self._written = now
        self._write_all()

    async def write_rest(self) -> None:
        """Write down everything and wait for it; what fails now is given up."""
        while self._cursors or self._under_way:
            before = self._counts["cursors_written"]
            self._write_all()
            await asyncio.wait([future for _, future in self._under_way.values()])
            await asyncio.sleep(0)  # the answers are taken after the futures are done
            if self._counts["cursors_written"] == before:
                break

    def _write_all(self) -> None:
        for room in [room for room in self._cursors if room not in self._under_way]:
            self._write(room)

    def write_one(self, room: str, user_id: str) -> None:
        """Write this cursor down now: the user may come back through another node."""
        if user_id in self._cursors.get(room, ()) and room not in self._under_way:
            self._write(room)

    def forget_room(self, room: str) -> None:
        """The room's log was lost: what was proven of it says nothing about the next one."""
        self._waiting -= len(self._cursors.pop(room, ()))

    def _write(self, room: str) -> None:
        cursors = self._cursors.pop(room)
        lot = dict(islice(cursors.items(), CHUNK))
        rest = dict(islice(cursors.items(), CHUNK, None))
        if rest:
            self._cursors[room] = rest
        self._waiting -= len(lot)
        keys = self._keys.room(room)
        future = self._redis.script(
            ADVANCE, (keys.meta, keys.members), tuple(chain.from_iterable(lot.items()))
        )
        self._under_way[room] = lot, future
        future.add_done_callback(partial(self._was_written, room))

    def _was_written(self, room: str, future: asyncio.Future[Any]) -> None:
        lot, _ = self._under_way.pop(room)
        try:
            future.result()
        except (Unavailable, asyncio.CancelledError):
            for user_id, offset in lot.items():
                self.advance(room, user_id, offset)
        except ReplyError as error:
            log.error("cursors of the room %r could not be written: %s", room, error)
        else:
            self._counts["cursors_written"] += len(lot)
            if len(self._cursors.get(room, ())) >= CHUNK:
                self._write(room)

    def _give_up(self) -> None:
        room = next(name for name, cursors in self._cursors.items() if cursors)
        lost = len(self._cursors.pop(room))
        self._waiting -= lost
        self._counts["cursors_given_up"] += lost

    def _forget(self, room: str, user_id: str) -> None:
        cursors = self._cursors.get(room)
        if cursors is not None and cursors.pop(user_id, None) is not None:
            self._waiting -= 1
            if not cursors:
                del self._cursors[room]

    def _as_proven(self, room: str, user_id: str, stored: Membership, top: int) -> Membership:
        """A membership with the cursor that is not written down yet."""
        under_way = self._under_way.get(room)
        proven = max(
            self._cursors.get(room, {}).get(user_id, 0),
            under_way[0].get(user_id, 0) if under_way is not None else 0,
        )
        if min(proven, top) <= stored.cursor:
            return stored
        return Membership(stored.joined, min(proven, top), stored.read, stored.number)


def _ignore(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()
