"""What the people of a room know of each other: who is here, who types, what was read."""

from __future__ import annotations

import pytest

from sioserver import wire
from sioserver.config import Config, RoomRule
from sioserver.engine import embedded_pages
from sioserver.model import (
    Counts,
)
from sioserver.typists import REPEAT

from .fakes import (
    ANN,
    BEN,
    CAT,
    GUEST,
    FakeEngine,
)
from .world import GRACE, Make, World, change, refused

# -- reading ---------------------------------------------------------------------------------------


async def test_read_moves_the_unread_and_is_told_to_the_others(world: World) -> None:
    one, ben = await world.enter(), await world.enter(BEN)
    await world.fill(5)
    assert await world.service.people.read(one, 3) == 2
    assert await world.service.people.read(one, 1) == 2  # forwards only
    assert await world.service.people.read(one, 99) == 0
    assert "read" not in world.outbox.names(one)
    told = [event.payload["offset"] for event in world.outbox.told[ben.id] if event.name == "read"]
    assert told == [3, 5]  # what moves nothing is no news
    await world.service.leave(one)
    joined = await world.join(world.client())
    assert (joined.membership.read, joined.missed) == (5, [])


async def test_a_room_without_presence_tells_nobody_who_has_read(make: Make) -> None:
    world = await make(RoomRule(match="*", presence=False))
    one, ben = await world.enter(), await world.enter(BEN)
    await world.fill(2)
    assert await world.service.people.read(one, 1) == 1
    assert "read" not in world.outbox.names(ben)


async def test_what_a_guest_has_read(world: World) -> None:
    guest, ben = await world.enter(GUEST), await world.enter(BEN)
    await world.fill(5)
    assert await world.service.people.read(guest, 3) == 2
    assert world.outbox.told[ben.id][-1] == wire.read_event(GUEST, 3)
    assert await world.service.people.read(guest, 99) == 0
    assert world.outbox.told[ben.id][-1] == wire.read_event(GUEST, 5)


async def test_read_is_not_told_in_large_rooms(make: Make) -> None:
    world = await make(receipts_max_members=1)
    one = await world.enter()
    again = await world.enter()
    await world.fill(1)
    await world.service.people.read(one, 1)
    assert world.outbox.names(again)[-1] == "read"  # still one person
    ben = await world.enter(BEN)
    await world.fill(1)
    await world.service.people.read(one, 2)
    assert "read" not in world.outbox.names(ben)
    await world.service.leave(ben)
    world.clock.pass_(GRACE)
    await world.sweep()
    await world.fill(1)
    await world.service.people.read(one, 3)  # nor while the others are away: they are as many
    assert world.outbox.names(again).count("read") == 1


# -- what is done to messages ----------------------------------------------------------------------


async def test_what_is_done_to_messages_is_not_unread(world: World) -> None:
    ann, ben = await world.enter(), await world.enter(BEN)
    await world.post(ann, "one", "two")
    await change(world, ann, 1)
    await world.post(ann, "three")
    assert await world.service.people.read(ben, 1) == 2
    assert await world.service.people.read(ben, 4) == 1
    await world.service.leave(ben)
    again = world.client(BEN)
    joined = await world.join(again)
    assert joined.welcome(again, recovered=False, begins=joined.begins).payload["unread"] == 1
    guest = await world.enter(GUEST)
    assert await world.service.people.read(guest, 1) == 2
    assert await world.service.people.read(guest, 6) == 0


async def test_what_a_guest_has_not_read_lies_behind_many_operations(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More of them than a page of messages passes over."""
    monkeypatch.setattr(embedded_pages, "SCAN", 4)
    ann, guest = await world.enter(), await world.enter(GUEST)
    await world.post(ann, "one")
    for number in range(6):
        request = wire.ReactRequest(wire.Target(1, None), f"x{number}", True)
        await world.service.operations.react(ann, request)
    await world.post(ann, "two", "three", "four", "five", "six")
    assert [await world.service.people.read(guest, offset) for offset in (1, 3, 7, 8)] == [
        5,
        5,
        5,
        4,
    ]


# -- people ----------------------------------------------------------------------------------------


async def test_members(world: World) -> None:
    one, ben = await world.enter(), await world.enter(BEN)
    await world.enter(GUEST)
    await world.sweep()
    await world.service.leave(ben)
    world.clock.pass_(GRACE)
    await world.sweep()
    online, counts, members, states, _ = await world.service.people.members(one, everybody=False)
    assert (online, counts, members) == ([ANN, GUEST], Counts(2, 3), None)
    assert states == {"ann": "online", GUEST.id: "online"}
    world.service.people.status(one, "away")
    *_, members, states, seen = await world.service.people.members(one, everybody=True)
    assert members == [ANN, BEN]
    assert states == {"ann": "away", GUEST.id: "online"}
    assert seen == {"ben": round((world.clock() - GRACE) * 1000)}


async def test_a_page_of_members(make: Make) -> None:
    world = await make(members_page=2)
    one = await world.enter()
    for user in (BEN, CAT):
        await world.enter(user)
    online, counts, members, *_ = await world.service.people.members(one, everybody=True)
    assert (online, counts.total, members) == ([ANN, BEN], 3, [ANN, BEN])


async def test_a_room_that_does_not_tell_who_is_in_it(make: Make) -> None:
    world = await make(RoomRule(presence=False))
    one = await world.enter()
    assert (await refused(world.service.people.members(one, everybody=False))).code == "forbidden"
    await world.enter(BEN)
    await world.sweep()
    assert world.outbox.names(one) == ["welcome"]


async def test_who_asks_for_nothing_is_away(make: Make) -> None:
    world = await make(RoomRule(match="quiet", presence=False))
    one, ben = await world.enter(), await world.enter(BEN)
    quiet = await world.enter(CAT, room="quiet")

    async def told_after(seconds: float) -> list[tuple[list[str], list[str]]]:
        world.clock.pass_(seconds)
        world.service.sweep(world.clock())
        before = len(world.outbox.told[one.id])
        await world.sweep()
        events = world.outbox.told[one.id][before:]
        return [
            tuple([who["user"] for who in event.payload.get(key, ())] for key in ("away", "back"))
            for event in events
            if event.name == "presence"
        ]

    after = world.config.presence.away_after
    await told_after(0)
    assert await told_after(after - 1) == []
    world.service.activity.used(one, world.clock())
    assert await told_after(6) == [(["ben"], [])]
    world.service.activity.used(ben, world.clock())
    assert await told_after(0) == [([], ["ben"])]
    world.service.people.status(ben, "away")
    assert await told_after(0) == [(["ben"], [])]
    world.service.activity.used(ben, world.clock())  # by their own word: until they say otherwise
    assert await told_after(0) == []
    world.service.people.status(ben, "online")
    assert await told_after(0) == [([], ["ben"])]
    # a room that tells nothing
    assert world.outbox.names(quiet) == ["welcome"]
    assert await world.engine.states("quiet", ["cat"]) == {"cat": "online"}
    await world.service.leave(ben)
    assert (await refused(lambda: world.service.people.status(ben, "away"))).code == "not_member"


async def test_who_joins_with_a_device_that_rests_is_away(world: World) -> None:
    one = await world.enter()
    world.service.people.status(one, "away")
    other = world.client(room="attic")
    other.device = one.device
    joined = await world.join(other)
    assert joined.welcome(other, recovered=False, begins=joined.top).payload["state"] == "away"
    assert await world.engine.states("attic", ["ann"]) == {"ann": "away"}


# -- what is ephemeral -----------------------------------------------------------------------------


async def test_typing(world: World) -> None:
    one, ben = await world.enter(), await world.enter(BEN)

    def told() -> list[bool]:
        return [
            event.payload["on"] for event in world.outbox.told[ben.id] if event.name == "typing"
        ]

    world.service.people.typing(one, False)  # nobody thinks that she is
    assert told() == []
    for _ in range(3):
        world.service.people.typing(one, True)
    assert told() == [True]
    world.clock.pass_(REPEAT)
    world.service.people.typing(one, True)
    assert told() == [True, True]
    world.service.people.typing(one, False)
    world.service.people.typing(one, False)
    assert told() == [True, True, False]
    world.service.people.typing(one, True)  # a beginning too soon after the last
    world.service.people.typing(one, False)
    assert told() == [True, True, False]
    world.clock.pass_(REPEAT)
    world.service.people.typing(one, True)
    world.clock.pass_(-1000)  # the clock is set back
    world.service.people.typing(one, True)
    assert told() == [True, True, False, True, True]
    await world.service.leave(one)
    assert told() == [True, True, False, True, True, False]
    assert "typing" not in world.outbox.names(one)


async def test_who_does_not_say_again_that_they_type_has_stopped() -> None:
    engine = FakeEngine()
    world = World(Config(), engine)
    engine.listener = world.hub
    one, two, ben = await world.enter(), await world.enter(), await world.enter(BEN)

    def told() -> list[bool]:
        return [event.payload["on"] for event in world.outbox.told[ben.id][1:]]

    world.service.people.typing(one, True)
    world.clock.pass_(3)
    world.service.people.typing(two, True)  # another device of the same user
    world.clock.pass_(3)
    world.service.sweep(world.clock())
    assert told() == [True, True]
    world.clock.pass_(3)
    world.service.sweep(world.clock())
    world.service.sweep(world.clock())
    assert told() == [True, True, False]
    passed_on = [event for _, event in engine.passed_on if event.name == "typing"]
    assert [event.payload["on"] for event in passed_on] == told()


async def test_who_leaves_without_typing_makes_no_noise(world: World) -> None:
    one, ben = await world.enter(), await world.enter(BEN)
    await world.service.leave(one)
    assert world.outbox.names(ben) == ["welcome"]
