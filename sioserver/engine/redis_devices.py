"""Who is in which room on this node: devices counted by user, and what Redis is still to be told.

Plain data that is told the time: no event loop, no Redis. It does not know who is online elsewhere;
what it hands out with `take` is done by a script, or comes back with `put_back`.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from sioserver.model import User

_NOW: Final = float("-inf")
"""A time that is over by any clock."""


class Person:
    """A user in a room on this node, from the first device until the leave is handed out."""

    __slots__ = ("announced", "devices", "due", "known_rest", "moves", "resting", "user")

    def __init__(self, user: User) -> None:
        self.user = user
        self.devices: set[str] = set()
        self.resting: set[str] | None = None
        """Devices that are not used, where there were any."""
        self.known_rest: bool | None = False
        """What Redis was told of `rests`; None: it has to be told."""
        self.moves = 0
        """How often it has been."""
        self.announced = False
        """Everybody was told that the user is in the room, by this node or another one."""
        self.due: float | None = None
        """When the leave falls due; it does not count while a device is here."""

    @property
    def rests(self) -> bool:
        """Is none of the devices here used?"""
        resting = self.resting
        return resting is not None and len(resting) == len(self.devices) > 0


class Move(NamedTuple):
    """A person whose devices here all rest, or do not any more."""

    person: Person
    rests: bool


class Batch(NamedTuple):
    """People of one room whose coming is to be told, who have left this node, and who rest here or
    do not any more."""

    joined: list[Person]
    left: list[Person]
    moved: Sequence[Move] = ()

    def chunks(self, size: int) -> Iterator[Batch]:
        """The same in parts of at most `size` people. Whoever left comes first."""
        leaving, here = len(self.left), len(self.left) + len(self.joined)
        for start in range(0, here + len(self.moved), size):
            end = start + size
            turn, last = (min(max(place, start), end) for place in (leaving, here))
            yield Batch(
                self.joined[turn - leaving : last - leaving],
                self.left[start:turn],
                self.moved[last - here : end - here],
            )


class _Crowd:
    """The people of one room."""

    __slots__ = ("due", "fresh", "moved", "people")

    def __init__(self) -> None:
        self.people: dict[str, Person] = {}
        # Sets that keep their order: ids of users to be told as joined, and as left.
        self.fresh: dict[str, None] = {}
        self.due: dict[str, None] = {}
        # ... and those of whom Redis may have to be told that they rest, or do not
        self.moved: dict[str, None] = {}


class Devices:
    """The people of all rooms here. A room with nobody in it costs nothing."""

    def __init__(self, grace: float) -> None:
        """`grace`: seconds between a user's last exit and the leave."""
        self._grace = grace
        self._crowds: dict[str, _Crowd] = {}
        self._changed: dict[str, None] = {}
        """Rooms with somebody in `fresh`, `due` or `moved`, in the order of their first change."""
        self._leaves: list[tuple[float, str, str]] = []
        """A heap of (due, room, user id); an entry counts if the person's `due` still says so."""

    def __contains__(self, room: object) -> bool:
        return room in self._crowds

    def __len__(self) -> int:
        return len(self._crowds)

    def rooms(self) -> list[str]:
        """The rooms with somebody in them."""
        return list(self._crowds)

    def people(self, room: str) -> list[str]:
        """The ids of the users in a room, but of those whose leave could not be told yet."""
        crowd = self._crowds.get(room)
        if crowd is None:
            return []
        return [id for id, person in crowd.people.items() if person.devices or person.due != _NOW]

    def person(self, room: str, user_id: str) -> Person | None:
        """A user in a room, while here or until the leave is handed out."""
        crowd = self._crowds.get(room)
        return None if crowd is None else crowd.people.get(user_id)

    def enter(self, room: str, user: User, client: str) -> Person:
        """A device came."""
        crowd = self._crowds.get(room)
        if crowd is None:
            crowd = self._crowds[room] = _Crowd()
        person = crowd.people.get(user.id)
        if person is None:
            person = crowd.people[user.id] = Person(user)
        person.user = user
        person.devices.add(client)
        self._look(room, person)
        return person

    def entered(self, room: str, person: Person, *, announced: bool) -> None:
        """Redis has the person now. Whether somebody has announced it is Redis' word."""
        user_id = person.user.id
        if self.person(room, user_id) is not person:
            return  # left meanwhile
        person.announced = announced
        if not announced:
            self._crowds[room].fresh[user_id] = None
            self._changed[room] = None

    def exit(self, room: str, user_id: str, client: str, now: float) -> None:
        """A device went; an unknown one is ignored."""
        person = self.person(room, user_id)
        if person is None or client not in person.devices:
            return
        person.devices.discard(client)
        if person.resting is not None:
            person.resting.discard(client)
        if not person.devices:
            self._fall_due(room, person, now + self._grace)
        else:
            self._look(room, person)

    def rest(self, room: str, user_id: str, client: str, resting: bool) -> None:
        """A device is not used any more, or is again; an unknown one is ignored."""
        person = self.person(room, user_id)
        if person is None or client not in person.devices:
            return
        if person.resting is None:
            person.resting = set()
        if resting:
            person.resting.add(client)
        else:
            person.resting.discard(client)
        self._look(room, person)

    def knows(self, room: str, person: Person, rests: bool | None) -> None:
        """Redis was told, and has done, that the person rests here, or not. None: nobody knows."""
        person.known_rest = rests
        if self.person(room, person.user.id) is person:
            self._look(room, person)

    def _look(self, room: str, person: Person) -> None:
        """Has Redis to be told how it is?"""
        if person.rests != person.known_rest:
            self._crowds[room].moved[person.user.id] = None
            self._changed[room] = None

    def withdraw(self, room: str, user_id: str, client: str) -> None:
        """Undo an `enter` that Redis did not confirm. It may know of it all the same, so it is told
        of the leave: at once, or when the grace time is over that was running before."""
        person = self.person(room, user_id)
        if person is None:
            return
        person.devices.discard(client)
        if person.resting is not None:
            person.resting.discard(client)
        if not person.devices:
            self._fall_due(room, person, _NOW if person.due is None else person.due)

    def changed(self, now: float) -> list[str]:
        """The rooms where something is to be told; see `take`."""
        while self._leaves and self._leaves[0][0] <= now:
            due, room, user_id = heapq.heappop(self._leaves)
            person = self.person(room, user_id)
            if person is not None and person.due == due and not person.devices:
                self._crowds[room].due[user_id] = None
                self._changed[room] = None
        return list(self._changed)

    def take(self, room: str, now: float) -> Batch:
        """Who came and who left since the last time. Those who left are forgotten; whoever came
        and left for good in between has left."""
        self._changed.pop(room, None)
        crowd = self._crowds.get(room)
        if crowd is None:
            return Batch([], [])
        left = []
        for user_id in crowd.due:
            person = crowd.people.get(user_id)
            if person is None or person.devices or person.due is None or person.due > now:
                continue  # came back while the room could not be swept
            left.append(self._remove(room, crowd, user_id))
        crowd.due.clear()
        fresh = (crowd.people[user_id] for user_id in crowd.fresh)
        joined = [person for person in fresh if not person.announced]
        crowd.fresh.clear()
        return Batch(joined, left, self._take_moved(crowd))

    @staticmethod
    def _take_moved(crowd: _Crowd) -> list[Move]:
        moved = []
        for user_id in crowd.moved:
            person = crowd.people.get(user_id)
            # Without a device here they are what they were, until they leave.
            if person is not None and person.devices and person.rests != person.known_rest:
                person.moves += 1
                moved.append(Move(person, person.rests))
        crowd.moved.clear()
        return moved

    def take_quiet(self, room: str) -> Batch:
        """Everybody of whose coming nobody was told leaves, wherever their devices are."""
        crowd = self._crowds.get(room)
        if crowd is None:
            return Batch([], [])
        quiet = [user_id for user_id, person in crowd.people.items() if not person.announced]
        return Batch([], [self._remove(room, crowd, user_id) for user_id in quiet])

    def put_back(self, room: str, batch: Batch) -> None:
        """What `take` handed out could not be told: the next time it is handed out again."""
        for person in batch.left:
            # Whoever came back meanwhile is another person, whom Redis has been told of.
            if self.person(room, person.user.id) is None:
                crowd = self._crowds.setdefault(room, _Crowd())
                crowd.people[person.user.id] = person
                self._fall_due(room, person, _NOW)
        for person in batch.joined:
            if not person.announced:
                self.entered(room, person, announced=False)
        for move in batch.moved:
            self.knows(room, move.person, None)

    def _fall_due(self, room: str, person: Person, due: float) -> None:
        person.due = due
        heapq.heappush(self._leaves, (due, room, person.user.id))

    def _remove(self, room: str, crowd: _Crowd, user_id: str) -> Person:
        person = crowd.people.pop(user_id)
        crowd.fresh.pop(user_id, None)
        crowd.moved.pop(user_id, None)
        if not crowd.people:
            del self._crowds[room]
            self._changed.pop(room, None)
        return person
