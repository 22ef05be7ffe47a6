"""Who is online in which room on this node: devices counted by user, leaves held back for a while.

Plain data that is told the time: no event loop, no store. It does not know who is a member or who
listens; the embedded engine asks it what has become due and does the announcing.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from operator import attrgetter
from typing import Final

from sioserver.model import State, User


class _Person:
    """A user in a room, from the first device until the leave is told."""

    __slots__ = ("announced", "away", "devices", "due", "resting", "user")

    def __init__(self, user: User) -> None:
        self.user = user
        self.devices: set[str] = set()
        self.resting: set[str] | None = None
        """Devices that are not used, where there were any."""
        self.announced = False
        self.away = False
        """The others were told so."""
        self.due: float | None = None
        """When the leave falls due; None while a device is here."""

    @property
    def rests(self) -> bool:
        """Is none of the devices used? Without devices it is as it was told."""
        if not self.devices:
            return self.away
        return self.resting is not None and len(self.resting) == len(self.devices)


CROWD: Final = 1000
TOLD_PER_SECOND: Final = 4000
"""In a room with more than `CROWD` people somebody comes or goes all the time, and each time
everybody is told: so many of them a second, at most."""


class _Crowd:
    """The people of one room."""

    __slots__ = ("due", "fresh", "guests", "moved", "people", "told")

    def __init__(self) -> None:
        # when the others were last told who came and went
        self.told = float("-inf")
        self.people: dict[str, _Person] = {}
        self.guests = 0
        # Sets that keep their order: ids of users to be told as joined, and as left.
        self.fresh: dict[str, None] = {}
        self.due: dict[str, None] = {}
        # ... and those whose state may have changed
        self.moved: dict[str, None] = {}


class Presence:
    """The people of all rooms. A room with nobody in it costs nothing."""

    def __init__(self, grace: float) -> None:
        """`grace`: seconds between a user's last exit and the leave."""
        self._grace = grace
        self._crowds: dict[str, _Crowd] = {}
        self._changed: dict[str, None] = {}
        """Rooms with somebody in `fresh`, `due` or `moved`, in the order of their first change."""
        self._leaves: list[tuple[float, str, str]] = []
        """A heap of (due, room, user id); an entry counts if the person's `due` still says so."""

    def __contains__(self, room: str) -> bool:
        return room in self._crowds

    def __len__(self) -> int:
        return len(self._crowds)

    def enter(self, room: str, user: User, client: str) -> None:
        """A device came."""
        crowd = self._crowds.get(room)
        if crowd is None:
            crowd = self._crowds[room] = _Crowd()
        person = crowd.people.get(user.id)
        if person is None:
            person = crowd.people[user.id] = _Person(user)
            crowd.fresh[user.id] = None
            self._changed[room] = None
        else:
            crowd.guests -= person.user.guest
            person.user = user
            person.due = None
        crowd.guests += user.guest
        person.devices.add(client)
        self._look(room, crowd, person)

    def exit(self, room: str, user_id: str, client: str, now: float) -> None:
        """A device went; an unknown one is ignored."""
        person = self._person(room, user_id)
        if person is None or client not in person.devices:
            return
        person.devices.discard(client)
        if person.resting is not None:
            person.resting.discard(client)
        if not person.devices:
            person.due = now + self._grace
            heapq.heappush(self._leaves, (person.due, room, user_id))
        else:
            self._look(room, self._crowds[room], person)

    def rest(self, room: str, user_id: str, client: str, resting: bool) -> None:
        """A device is not used any more, or is again; an unknown one is ignored."""
        person = self._person(room, user_id)
        if person is None or client not in person.devices:
            return
        if person.resting is None:
            person.resting = set()
        if resting:
            person.resting.add(client)
        else:
            person.resting.discard(client)
        self._look(room, self._crowds[room], person)

    def _look(self, room: str, crowd: _Crowd, person: _Person) -> None:
        """Has the person another state than was told?"""
        if person.rests != person.away:
            crowd.moved[person.user.id] = None
            self._changed[room] = None

    def withdraw(self, room: str, user_id: str, client: str) -> None:
        """Undo an `enter` that nobody has been told of; where somebody has, it is an exit that is
        due at once."""
        person = self._person(room, user_id)
        if person is None:
            return
        self.exit(room, user_id, client, -self._grace)
        if not person.devices and not person.announced:
            self._remove(room, self._crowds[room], user_id)

    def changed(self, now: float) -> list[str]:
        """The rooms where something is to be told; see `take`."""
        while self._leaves and self._leaves[0][0] <= now:
            due, room, user_id = heapq.heappop(self._leaves)
            person = self._person(room, user_id)
            if person is not None and person.due == due:
                self._crowds[room].due[user_id] = None
                self._changed[room] = None
        return [room for room in self._changed if self._may_tell(self._crowds[room], now)]

    @staticmethod
    def _may_tell(crowd: _Crowd, now: float) -> bool:
        people = len(crowd.people)
        # a clock that was set back must not make it wait
        return people <= CROWD or not 0 <= now - crowd.told < people / TOLD_PER_SECOND

    def take(self, room: str, now: float) -> tuple[list[User], list[User]]:
        """Who came and who left since the last time. Those who left are gone afterwards; whoever
        came and left for good in between is in neither list."""
        self._changed.pop(room, None)
        crowd = self._crowds.get(room)
        if crowd is None:
            return [], []
        crowd.told = now
        left = []
        for user_id in crowd.due:
            person = crowd.people.get(user_id)
            if person is None or person.due is None or person.due > now:
                continue  # came back while the room could not be swept
            if person.announced:
                left.append(person.user)
            self._remove(room, crowd, user_id)
        crowd.due.clear()
        joined = []
        for user_id in crowd.fresh:
            person = crowd.people[user_id]
            person.announced = True
            joined.append(person.user)
        crowd.fresh.clear()
        return joined, left

    def take_moved(self, room: str) -> tuple[list[User], list[User]]:
        """Who of those that the others know is away now, and who is back, since the last time; to
        be called after `take`."""
        crowd = self._crowds.get(room)
        if crowd is None or not crowd.moved:
            return [], []
        found = [person for id in crowd.moved if (person := crowd.people.get(id)) is not None]
        crowd.moved.clear()
        moved = [person for person in found if person.rests != person.away]
        for person in moved:
            person.away = not person.away
        return (
            [person.user for person in moved if person.away],
            [person.user for person in moved if not person.away],
        )

    def states(self, room: str, user_ids: Iterable[str]) -> dict[str, State]:
        """What those of these users are who are in the room."""
        found = ((id, self._person(room, id)) for id in user_ids)
        return {
            id: "away" if person.rests else "online" for id, person in found if person is not None
        }

    def leaving(self) -> Iterator[tuple[str, User, float]]:
        """Those whose leave was not told yet: room, user, and when it falls due."""
        for due, room, user_id in self._leaves:
            person = self._person(room, user_id)
            if person is not None and person.due == due and person.announced:
                yield room, person.user, due

    def counts(self, room: str) -> tuple[int, int]:
        """(people online, the guests among them). O(1)."""
        crowd = self._crowds.get(room)
        return (0, 0) if crowd is None else (len(crowd.people), crowd.guests)

    def online(self, room: str, limit: int) -> list[User]:
        """The people, by name, at most `limit`."""
        crowd = self._crowds.get(room)
        if crowd is None:
            return []
        users = (person.user for person in crowd.people.values())
        return heapq.nsmallest(limit, users, key=attrgetter("name", "id"))

    def _person(self, room: str, user_id: str) -> _Person | None:
        crowd = self._crowds.get(room)
        return None if crowd is None else crowd.people.get(user_id)

    def _remove(self, room: str, crowd: _Crowd, user_id: str) -> None:
        person = crowd.people.pop(user_id)
        crowd.guests -= person.user.guest
        crowd.fresh.pop(user_id, None)
        crowd.moved.pop(user_id, None)
        if not crowd.people:
            del self._crowds[room]
            self._changed.pop(room, None)
