"""Mentions in Redis: one list for each user, changed by one script.

Who is a member is asked of the room's server, the lists are on the users'.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from sioserver.engine.base_mentions import KEPT
from sioserver.engine.redis_keys import Keys
from sioserver.engine.redis_replies import answer, answers
from sioserver.engine.redis_scripts import load_script
from sioserver.engine.redis_servers import Redis
from sioserver.model import Mention, Position

log = logging.getLogger(__name__)

MENTION: Final = load_script("mention")
MENTIONS: Final = load_script("mentions")
UNMENTION: Final = load_script("unmention")

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(tuple[str, int, str, str, int]).decode


class RedisMentions:
    """See `base_mentions.Mentions`."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    async def add(
        self, room: str, position: Position, mention: Mention, users: Sequence[str]
    ) -> Mapping[str, int]:
        """See `Mentions.add`."""
        if not users:
            return {}
        members = self._keys.room(room).members
        known = await answer(self._redis.command(members, "HMGET", members, *users))
        told = [user for user, is_known in zip(users, known, strict=True) if is_known is not None]
        what = _encode((mention.id, mention.offset, mention.user, mention.name, mention.at))
        arguments = (f"{position} {room}", what, mention.at, KEPT)
        scripts = [
            self._redis.script(MENTION, self._keys.mentions(user), arguments) for user in told
        ]
        return dict(zip(told, map(int, await answers(*scripts)), strict=True))

    async def of(self, user_id: str, *, after: int = 0) -> list[Mention]:
        """See `Mentions.of`."""
        keys = self._keys.mentions(user_id)
        reply = await answer(self._redis.script(MENTIONS, keys, (after,)))
        found = []
        for number, place, what in zip(reply[::3], reply[1::3], reply[2::3], strict=True):
            try:
                room = place.decode().partition(" ")[2]
                found.append(Mention(int(number), room, *_decode(what)))
            except (msgspec.MsgspecError, UnicodeDecodeError):
                log.error("a mention of %r cannot be read", user_id)
        return found

    async def forget(self, user_id: str, room: str) -> None:
        """See `Mentions.forget`."""
        await answer(self._redis.script(UNMENTION, self._keys.mentions(user_id), (room,)))
