"""What the nodes tell each other of who came and left: read, put in order, handed on.

It knows neither who is here nor what is in Redis: sweep.lua makes the diffs, and `redis_presence`
says of which rooms the counts are worth keeping.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Container

import msgspec

from sioserver.model import Counts, PresenceDiff, User

log = logging.getLogger(__name__)


class _Diff(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    """What sweep.lua publishes; a person is (id, name, "1" for a guest or "")."""

    node: str
    """Whose sweep it was; empty: a dead lease's people were taken away."""
    version: int
    online: int
    total: int
    joined: list[tuple[str, str, str]]
    left: list[tuple[str, str, str]]
    away: list[tuple[str, str, str]]
    back: list[tuple[str, str, str]]


class Diffs:
    """Hands each diff on once, as a `PresenceDiff` with the newest counts that are known."""

    def __init__(
        self, node: str, kept: Container[str], on_diff: Callable[[str, PresenceDiff], None]
    ) -> None:
        """`node`: this one. `kept`: the rooms whose newest counts are remembered."""
        self._node = node
        self._kept = kept
        self._on_diff = on_diff
        self._decode = msgspec.msgpack.Decoder(_Diff).decode
        self._newest: dict[str, tuple[int, Counts]] = {}
        """(version, counts) by room. Versions of a room rise, with holes."""
        self.told = 0
        self.reaped = 0
        """People who were told of as taken from the dead."""
        self.foreign = 0
        """Messages that were no diffs."""

    def on_answer(self, room: str, body: bytes | memoryview) -> None:
        """This node's own diff, from the answer of the script that made it."""
        diff = self._read(body)
        if diff is not None:
            self._tell(room, diff)

    def left(self, body: bytes | memoryview) -> list[User]:
        """Who has left, by a diff."""
        diff = self._read(body)
        return [] if diff is None else _users(diff.left)

    def on_bus(self, room: str, body: bytes | memoryview) -> None:
        """A diff that came over the bus. This node's own were told with the answer already."""
        diff = self._read(body)
        if diff is not None and diff.node != self._node:
            self._tell(room, diff)

    def begin(self, room: str, counts: Counts, version: int) -> None:
        """Somebody has come and was told these counts. Diffs up to this version, if none is known
        here yet, are not missed."""
        if room in self._kept:
            self._newest.setdefault(room, (version, counts))

    def misses(self, room: str, version: int) -> bool:
        """There is a diff of this version: are the counts that are known here older?"""
        return version > self._newest.get(room, (version, None))[0]

    def missed(self, room: str, counts: Counts, version: int) -> None:
        """These are the counts of the newest diff. If it did not come, who came and left is lost,
        so only the counts are told."""
        if self.misses(room, version):
            self._tell(room, _Diff("", version, counts.online, counts.total, [], [], [], []))

    def forget(self, room: str) -> None:
        """The room's counts are of no use any more."""
        self._newest.pop(room, None)

    def _read(self, body: bytes | memoryview) -> _Diff | None:
        try:
            return self._decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self.foreign += 1
            return None

    def _tell(self, room: str, diff: _Diff) -> None:
        counts = Counts(diff.online, diff.total)
        version, newest = self._newest.get(room, (0, counts))
        if version > diff.version:
            counts = newest  # it was overtaken
        elif room in self._kept:
            self._newest[room] = diff.version, counts
        self.told += 1
        if not diff.node:
            self.reaped += len(diff.left)
        lists = map(_users, (diff.joined, diff.left, diff.away, diff.back))
        try:
            self._on_diff(room, PresenceDiff(counts, *lists))
        except Exception:  # the other rooms are still told
            log.exception("presence could not be announced")


def _users(people: list[tuple[str, str, str]]) -> list[User]:
    return [User(id, name, bool(guest)) for id, name, guest in people]
