"""Who follows which rooms, and what is new to them: numbers in, notes out."""

from __future__ import annotations

import pytest

from sioserver.followers import EARLY, JOINED, LEFT, NEWS, READ, Follower, Followers
from sioserver.model import Event, Position, User

from .fakes import message


class Desk:
    """Followers, and how often somebody was woken."""

    def __init__(self) -> None:
        self.followers = Followers()
        self.woken = 0
        self.followers.wake = self._wake

    def _wake(self) -> None:
        self.woken += 1

    def follower(self, name: str, *rooms: str) -> Follower:
        follower = self.followers.add(name)
        for room in rooms:
            self.followers.follow(follower, room)
        return follower

    def post(self, room: str, *offsets: int, epoch: str = "e") -> None:
        for offset in offsets:
            self.followers.on_message(room, epoch, message(offset))

    def read(self, name: str, room: str, number: int) -> None:
        assert not self.followers.hear(name, Event(READ, {"room": room, "number": number}))

    def taken(self) -> dict[str, dict[str, str | Event]]:
        found = {}
        for follower in self.followers.take():
            found[follower.name] = follower.news
            follower.news = {}
        return found


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_who_follows_has_news(desk: Desk) -> None:
    desk.follower("ann", "a", "b")
    desk.follower("ben", "a")
    desk.post("a", 1, 2, 3)
    desk.post("c", 1)
    assert desk.woken == 1  # not once for each message
    assert desk.taken() == {"ann": {"a": NEWS}, "ben": {"a": NEWS}}
    assert desk.taken() == {}
    desk.post("b", 1)
    assert desk.woken == 2
    assert desk.taken() == {"ann": {"b": NEWS}}


def test_unread_is_what_was_posted_but_not_read(desk: Desk) -> None:
    ann, ben = desk.follower("ann", "a"), desk.follower("ben", "a")
    desk.followers.settle(ann, "a", 5, 5, 3)
    assert desk.followers.standing(ann, "a") == (2, 5)
    desk.post("a", 6, 7)
    assert desk.followers.standing(ann, "a") == (4, 7)
    desk.followers.settle(ben, "a", 6, 6, 6)  # what the store said is older by now
    assert desk.followers.standing(ben, "a") == (1, 7)
    desk.read("ann", "a", 6)
    assert desk.followers.standing(ann, "a") == (1, 7)
    assert desk.followers.standing(ann, "b") is None


def test_what_somebody_is_called_in_a_room_of_two(desk: Desk) -> None:
    desk.follower("ann", "dm", "a")
    assert desk.followers.name("dm", "ben") == "ben"
    desk.followers.call("dm", User("ben", "Benjamin"))
    desk.followers.call("elsewhere", User("ben", "Benjamin"))  # which is not followed
    assert desk.followers.name("dm", "ben") == "Benjamin"
    assert desk.followers.name("elsewhere", "ben") == "ben"
    desk.post("dm", 1)  # as Ben
    desk.post("a", 1)
    assert desk.followers.name("dm", "ben") == "Ben"
    assert desk.followers.rooms["a"].names is None


def test_reading_is_news_only_when_it_goes_on(desk: Desk) -> None:
    ann = desk.follower("ann", "a")
    desk.followers.settle(ann, "a", 9, 9, 3)
    for number in (3, 2):
        desk.read("ann", "a", number)
    desk.read("ann", "b", 4)  # which is not followed
    desk.read("ben", "a", 4)  # who has no session here
    assert (desk.woken, desk.taken()) == (0, {})
    desk.read("ann", "a", 4)
    assert desk.taken() == {"ann": {"a": NEWS}}
    desk.followers.settle(ann, "a", 9, 9, 3)
    assert desk.followers.standing(ann, "a") == (5, 9)  # that was older


def test_what_is_announced_twice_is_no_news(desk: Desk) -> None:
    desk.follower("ann", "a")
    desk.post("a", 1, 2)
    assert desk.taken()
    desk.post("a", 1, 2)
    assert desk.taken() == {}
    desk.post("a", 1, epoch="another life")
    assert desk.taken() == {"ann": {"a": NEWS}}


def test_behind_a_gap_nobody_knows_how_many_there_are(desk: Desk) -> None:
    ann = desk.follower("ann", "a")
    desk.post("a", 1)
    desk.taken()
    desk.followers.on_gap("a", Position("e", 9))
    desk.followers.on_gap("b", Position("e", 9))
    assert list(desk.followers.unsure) == ["a"]
    assert desk.taken() == {"ann": {"a": NEWS}}
    desk.followers.place("a", 9, 8)
    assert desk.followers.standing(ann, "a") == (8, 9)
    desk.followers.unfollow(ann, "a")
    assert desk.followers.unsure == {}
    desk.followers.touch("a")
    assert (desk.followers.unsure, desk.taken()) == ({}, {})


def test_what_is_told_in_a_session_is_for_the_client(desk: Desk) -> None:
    assert desk.followers.hear("ann", Event("news", {}))
    desk.follower("ann", "a")
    assert desk.followers.hear("ann", Event("news", {}))
    assert desk.followers.add("ann").early == []


def test_what_is_told_while_a_session_comes_in_is_kept(desk: Desk) -> None:
    ann = desk.follower("ann")
    ann.joining["c1"] = 0
    for number in range(EARLY + 5):
        assert desk.followers.hear("ann", Event("news", {"n": number}))
    assert [event.payload["n"] for event in ann.early] == list(range(EARLY))


def test_joining_and_leaving_are_changes(desk: Desk) -> None:
    ann = desk.follower("ann", "a")
    for name, room in ((JOINED, "a"), (JOINED, "b"), (LEFT, "a"), (LEFT, "z")):
        assert not desk.followers.hear("ann", Event(name, {"room": room}))
    assert ann.changes == {"b": JOINED, "a": LEFT, "z": LEFT}
    assert desk.taken() == {"ann": {}}
    assert not desk.followers.hear("ben", Event(JOINED, {"room": "a"}))
    assert desk.woken == 1


def test_the_newest_of_a_room_is_told(desk: Desk) -> None:
    ann = desk.follower("ann", "a")
    desk.followers.tell(ann, "a", JOINED)
    desk.post("a", 1)
    assert desk.taken() == {"ann": {"a": JOINED}}  # its numbers are those of now
    desk.post("a", 2)
    desk.followers.tell(ann, "a", LEFT)
    assert desk.taken() == {"ann": {"a": LEFT}}


def test_a_room_is_given_back_when_nobody_follows_it(desk: Desk) -> None:
    ann = desk.follower("ann", "a", "b")
    desk.follower("ben", "b")
    desk.post("a", 1)
    assert desk.followers.unfollow(ann, "c") is False
    assert desk.followers.drop("ann") == ["a"]
    assert desk.followers.drop("ann") == []
    assert desk.taken() == {}
    assert list(desk.followers.rooms) == ["b"]
    assert desk.followers.find("ann") is None
    assert len(desk.followers) == 1
    assert desk.followers.drop("ben") == ["b"]
    assert desk.followers.rooms == {}


def test_who_goes_while_the_news_are_told(desk: Desk) -> None:
    desk.follower("ann", "a")
    desk.follower("ben", "a")
    desk.post("a", 1)
    names = []
    for follower in desk.followers.take():
        names.append(follower.name)
        desk.followers.drop("ben")
    assert names == ["ann"]
