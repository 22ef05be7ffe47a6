"""Who types in which room: several devices of a user are one, and what is not said again ends.

Plain data that is told the time. It says what the clients here have to be told and what the other
nodes; who tells them is not its business. Each node keeps what it heard of the others' users, so
that nobody types for ever whose node has died.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from sioserver.model import User

REPEAT: Final = 2.0
"""Seconds within which the others are not told again that somebody types."""

SLACK: Final = 1.0
"""Seconds that another node's word counts longer: it says itself that they stopped, if it can."""

MOST: Final = 10_000
"""Users who type at the same time, here and on the other nodes; of more than that nobody is told.
Each sweep sees whether something is due, some 0.1 us each."""

_NEVER: Final = float("-inf")


class Change(NamedTuple):
    """Who has to be told."""

    here: bool
    elsewhere: bool


NOBODY: Final = Change(here=False, elsewhere=False)


class _Typist:
    """A user who types in a room, or did a moment ago."""

    __slots__ = ("devices", "due", "nodes", "passed_on", "told", "user")

    def __init__(self, user: User) -> None:
        self.user = user
        # when they said so last: by client here, and by other node
        self.devices: dict[str, float] = {}
        self.nodes: dict[str, float] = {}
        # when it was told last that they begin: here, and to the other nodes
        self.told = _NEVER
        self.passed_on = _NEVER
        # not before then there is anything to do
        self.due = _NEVER


class Typists:
    """The users who type, by room."""

    def __init__(self, lasts: float, full: Callable[[], None]) -> None:
        """`lasts`: seconds after which somebody has stopped who has not said it again. `full` is
        called when a beginning is not told because too many type."""
        self._lasts = lasts
        self._full = full
        self._typists: dict[tuple[str, str], _Typist] = {}

    def __len__(self) -> int:
        return len(self._typists)

    def says(self, room: str, user: User, client: str, on: bool, now: float) -> Change:
        """A client here says that its user types, or has stopped (it may be gone)."""
        typist = self._find(room, user, on)
        if typist is None:
            return NOBODY
        if not on:
            if typist.devices.pop(client, None) is None or typist.devices:
                return NOBODY
            typist.due = now
            return Change(here=not typist.nodes, elsewhere=True)
        if not self._may_begin(typist, now):
            return NOBODY
        typist.user = user
        self._expect(typist, now)
        typist.devices[client] = now
        change = Change(here=_is_old(typist.told, now), elsewhere=_is_old(typist.passed_on, now))
        if change.here:
            typist.told = now
        if change.elsewhere:
            typist.passed_on = now
        return change

    def heard(self, room: str, payload: dict[str, Any], node: str, now: float) -> bool:
        """Another node says that a user types, or has stopped. Are the clients here to be told?"""
        id, name, on = payload.get("user"), payload.get("name"), payload.get("on")
        if not (isinstance(id, str) and isinstance(name, str) and isinstance(on, bool)):
            return False  # whoever that was, it was none of ours
        typist = self._find(room, User(id, name), on)
        if typist is None:
            return False
        if not on:
            was_one = typist.nodes.pop(node, None) is not None
            typist.due = now
            return was_one and not (typist.nodes or typist.devices)
        if not self._may_begin(typist, now):
            return False
        self._expect(typist, now)
        typist.nodes[node] = now
        if not _is_old(typist.told, now):
            return False
        typist.told = now
        return True

    def sweep(self, now: float) -> Iterator[tuple[str, User, Change]]:
        """Who has stopped without a word: room, user, and who has to be told."""
        latest = now + self._lasts + SLACK
        # a due time beyond the latest is one of before the clock was set back
        found = [what for what in self._typists.items() if not now < what[1].due <= latest]
        for (room, user_id), typist in found:
            if typist.devices or typist.nodes:
                had_devices = bool(typist.devices)
                typist.devices = _still(typist.devices, now, self._lasts)
                typist.nodes = _still(typist.nodes, now, self._lasts + SLACK)
                elsewhere = had_devices and not typist.devices
                here = not (typist.devices or typist.nodes)
                if here or elsewhere:
                    yield room, typist.user, Change(here, elsewhere)
                said = *typist.devices.values(), *typist.nodes.values()
                typist.due = min(said, default=now) + (self._lasts if said else 0.0)
            elif _is_old(typist.told, now) and _is_old(typist.passed_on, now):
                del self._typists[room, user_id]

    def _find(self, room: str, user: User, on: bool) -> _Typist | None:
        typist = self._typists.get((room, user.id))
        if typist is None and on:
            if len(self._typists) >= MOST:
                self._full()
                return None
            typist = self._typists[room, user.id] = _Typist(user)
        return typist

    def _expect(self, typist: _Typist, now: float) -> None:
        if not (typist.devices or typist.nodes):
            typist.due = now + self._lasts

    @staticmethod
    def _may_begin(typist: _Typist, now: float) -> bool:
        """Somebody who stopped a moment ago begins again with the next word, or whoever goes on and
        off would tell everybody each time."""
        return bool(typist.devices or typist.nodes) or _is_old(typist.told, now)


def _is_old(told: float, now: float) -> bool:
    return not 0 <= now - told < REPEAT  # also after a clock was set back


def _still(said: dict[str, float], now: float, lasts: float) -> dict[str, float]:
    if all(0 <= now - at < lasts for at in said.values()):
        return said
    return {who: at for who, at in said.items() if 0 <= now - at < lasts}
