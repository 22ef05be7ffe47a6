"""Who asks without a connection: the same rules, and what differs."""

from __future__ import annotations

from typing import Any

import pytest

from sioserver import wire
from sioserver.auth import Identity
from sioserver.config import RoomRule
from sioserver.errors import Refusal
from sioserver.hooks import Joining
from sioserver.model import (
    User,
)

from .fakes import (
    ANN,
    BEN,
)
from .world import Make, World, refused


def said(body: Any, id: str | None = None) -> wire.SendRequest:
    return wire.SendRequest(body, id)


PAGE = wire.HistoryRequest(None, None, 50)


async def test_a_visitor_posts_and_reads(world: World) -> None:
    ben = await world.enter(BEN)
    visitor = await world.service.visitors.visit(Identity(ANN, authenticated=True), "lobby")
    published = await world.service.visitors.post(visitor, said("hi", "a-1"))
    heard = [one.payload["body"] for one in world.outbox.told[ben.id] if one.name == "message"]
    assert heard == ["hi"]
    page = await world.service.history(visitor, PAGE)
    assert [(one.user, one.id) for one in page.messages] == [("ann", "a-1")]
    counts = await world.service.people.counts(visitor)
    assert counts.total == 2, "who posts becomes a member"
    assert "post" in world.service.moderation.permissions(visitor)
    again = await world.service.visitors.post(visitor, said("hi", "a-1"))
    assert (again.duplicate, again.position) == (True, published.position)


async def test_an_operator_s_message_makes_nobody_a_member(world: World) -> None:
    bot = Identity(User("bot", "Bot"), authenticated=True, operator=True)
    visitor = await world.service.visitors.visit(bot, "lobby")
    await world.service.visitors.post(visitor, said("beep"))
    assert (await world.service.people.counts(visitor)).total == 0
    permissions = world.service.moderation.permissions(visitor)
    assert permissions == ["join", "read", "history", "post", "moderate"]


async def test_who_may_not_come_in_may_not_visit(make: Make) -> None:
    world = await make(RoomRule(match="lobby", join=["ben"]))
    identity = Identity(ANN, authenticated=True)
    for room, code in (("lobby", "forbidden"), ("a b", "bad_room"), ("@me", "bad_room")):
        assert (await refused(world.service.visitors.visit(identity, room))).code == code, room
    await world.service.visitors.visit(Identity(ANN, authenticated=True, operator=True), "lobby")


async def test_what_a_visitor_may_is_asked_each_time(world: World) -> None:
    soon = Identity(ANN, authenticated=True, expires_at=world.clock() + 10)
    visitor = await world.service.visitors.visit(soon, "lobby")
    world.clock.pass_(11)
    for asked in (
        lambda: world.service.visitors.post(visitor, said("late")),
        lambda: world.service.history(visitor, PAGE),
        lambda: world.service.people.counts(visitor),
        lambda: world.service.people.members(visitor, everybody=False),
        lambda: world.service.visitors.visit(soon, "lobby"),
    ):
        assert (await refused(asked)).code == "token_expired"


async def test_who_may_not_post_becomes_no_member_by_trying(make: Make) -> None:
    world = await make(RoomRule(match="lobby", post=[]))
    visitor = await world.service.visitors.visit(Identity(ANN, authenticated=True), "lobby")
    assert (await refused(world.service.visitors.post(visitor, said("x")))).code == "forbidden"
    assert (await world.service.people.counts(visitor)).total == 0


async def test_hooks_of_visitors(world: World) -> None:
    asked: list[Joining] = []

    @world.hooks.on_join
    def joining(event: Joining) -> None:
        asked.append(event)
        raise Refusal("forbidden", "not you")

    identity = Identity(ANN, authenticated=True)
    assert (await refused(world.service.visitors.visit(identity, "lobby"))).message == "not you"
    assert asked == [Joining("lobby", ANN, "")]
    await world.service.visitors.visit(Identity(ANN, authenticated=True, operator=True), "lobby")
    assert len(asked) == 1


@pytest.mark.parametrize("kind", ["ban", "mute"])
@pytest.mark.parametrize("room", ["lobby", "*"])
async def test_what_moderators_decide_holds_for_visitors(
    world: World, kind: Any, room: str
) -> None:
    """In a room in which nobody is on this node, so that nothing of it is known here before."""
    order = wire.Order("ann", 60.0)
    ann = Identity(ANN, authenticated=True)
    await world.service.moderation.impose_in(room, kind, order, "ben")
    if kind == "ban":
        assert (await refused(world.service.visitors.visit(ann, "lobby"))).code == "banned"
    else:
        visitor = await world.service.visitors.visit(ann, "lobby")
        refusal = await refused(world.service.visitors.post(visitor, said("x")))
        assert (refusal.code, refusal.retry_after) == ("muted", 60.0)
        assert (await world.service.history(visitor, PAGE)).messages == []
    world.clock.pass_(61)
    visitor = await world.service.visitors.visit(ann, "lobby")
    await world.service.visitors.post(visitor, said("x"))


async def test_what_a_room_is_set_to_holds_for_visitors(world: World) -> None:
    await world.service.moderation.configure_in("lobby", {"read_only": True}, "ben")
    ann = await world.service.visitors.visit(Identity(ANN, authenticated=True), "lobby")
    assert (await refused(world.service.visitors.post(ann, said("x")))).code == "forbidden"
    assert "post" not in world.service.moderation.permissions(ann)
    bot = await world.service.visitors.visit(
        Identity(BEN, authenticated=True, operator=True), "lobby"
    )
    await world.service.visitors.post(bot, said("x"))
    await world.service.moderation.configure_in(
        "lobby", {"read_only": False, "slow_mode": 30.0}, "ben"
    )
    ann = await world.service.visitors.visit(Identity(ANN, authenticated=True), "lobby")
    await world.service.visitors.post(ann, said("x"))
    assert (
        await refused(world.service.visitors.post(ann, said("x")))
    ).retry_after == pytest.approx(30.0)
