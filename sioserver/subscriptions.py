"""Which webhook is told which events of which room: the configuration, as questions.

Pure. An endpoint has a lane for each source of events: each goes its own way and has its own mark
of how far it has got. Nothing here knows how anything is sent or kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Final, Literal, NamedTuple

from sioserver.config.schema import Webhook, Webhooks

Source = Literal["log", "notes"]

SOURCES: Final[dict[str, Source]] = {
    "message": "log",
    "edit": "log",
    "delete": "log",
    "reaction": "log",
    "join": "notes",
    "leave": "notes",
    "moderation": "notes",
}
"""Where each event comes from: the room's log, or what is noted since it is in no log."""

_CACHED: Final = 10_000
"""Rooms whose lanes are kept."""


class Lane(NamedTuple):
    """The events of one source on their way to one endpoint."""

    endpoint: str
    """The webhook's name."""
    source: Source

    def __str__(self) -> str:
        return f"{self.endpoint}:{self.source}"


class Subscriptions:
    """The webhooks of a configuration."""

    def __init__(self, webhooks: Webhooks) -> None:
        self.queue = webhooks.queue
        self._endpoints = {one.name: one for one in webhooks.endpoints}
        self._lanes: dict[str, tuple[Lane, ...]] = {}

    def __bool__(self) -> bool:
        return bool(self._endpoints)

    @property
    def endpoints(self) -> Sequence[Webhook]:
        """As they are configured."""
        return list(self._endpoints.values())

    def lanes_of(self, endpoint: Webhook) -> list[Lane]:
        """The lanes that an endpoint has."""
        sources = {SOURCES[event]: None for event in endpoint.events}
        return [Lane(endpoint.name, source) for source in sources]

    def lanes(self, room: str) -> tuple[Lane, ...]:
        """The lanes that a room has."""
        found = self._lanes.get(room)
        if found is None:
            if len(self._lanes) >= _CACHED:
                self._lanes.clear()
            found = self._lanes[room] = tuple(
                lane
                for endpoint in self._endpoints.values()
                if any(_matches(room, pattern) for pattern in endpoint.rooms)
                for lane in self.lanes_of(endpoint)
            )
        return found

    def from_(self, room: str, source: Source) -> tuple[Lane, ...]:
        """Those that get events of one source."""
        return tuple(lane for lane in self.lanes(room) if lane.source == source)

    def notes(self, room: str, kind: str) -> bool:
        """Has such an event to be noted?"""
        return any(
            kind in self._endpoints[lane.endpoint].events
            for lane in self.lanes(room)
            if lane.source == SOURCES[kind]
        )

    def patience(self, lane: Lane) -> float:
        """Seconds that a request to the lane's endpoint may take."""
        return self._endpoints[lane.endpoint].timeout

    def wants(self, lane: Lane, kind: str) -> bool:
        """Does the lane's endpoint want such events?"""
        return kind in self._endpoints[lane.endpoint].events


def _matches(room: str, pattern: str) -> bool:
    # "*" means the rooms that people make up, not what two people say to each other
    if room.startswith("@") and not pattern.startswith("@"):
        return False
    return fnmatchcase(room, pattern)
