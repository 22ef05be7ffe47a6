"""What may happen in a room, and in which order; above all: joining without a hole."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from sioserver import wire
from sioserver.auth import Grant
from sioserver.config import Config, RoomRule
from sioserver.config.schema import Limits, Rooms
from sioserver.errors import Refusal
from sioserver.followers import JOINED
from sioserver.hooks import Joining, Left, Posting
from sioserver.hub import Client
from sioserver.metrics.exposition import render
from sioserver.model import Counts, Event, Membership, Revocation

from .fakes import (
    ANN,
    BEN,
    CAT,
    GUEST,
    FakeEngine,
)
from .world import GRACE, Make, World, change, refused, told

# -- joining ---------------------------------------------------------------------------------------


async def test_a_fresh_member(world: World) -> None:
    top = await world.fill(3)
    joined = await world.join(world.client())
    assert joined.membership == Membership(3, 3, 3, 3)
    assert joined.counts == Counts(1, 1)
    assert (joined.top, joined.begins, joined.gap, joined.missed) == (top, top, None, [])
    assert not joined.recovered
    assert joined.set_up()[0] == ["join", "read", "history", "post"]
    assert await world.engine.members("lobby", limit=9) == [ANN]


async def test_an_empty_room(world: World) -> None:
    joined = await world.join(world.client())
    assert joined.begins.offset == 0
    assert (joined.gap, joined.missed) == (None, [])


async def test_a_guest_begins_at_the_top_and_is_not_kept(world: World) -> None:
    top = await world.fill(3)
    who = world.client(GUEST)
    joined = await world.join(who)
    assert (joined.begins, joined.missed, joined.counts) == (top, [], Counts(1, 1))
    assert await world.engine.members("lobby", limit=9) == []
    await world.service.leave(who)
    world.clock.pass_(GRACE)
    await world.sweep()
    assert await world.engine.counts("lobby") == Counts(0, 0)


@pytest.mark.parametrize(
    ("rule", "identity"),
    [
        (RoomRule(join=["ben"]), {}),
        (RoomRule(anonymous=False), {}),
        (RoomRule(), {"rooms": ("other",), "authenticated": True}),
        (RoomRule(), {"grants": (Grant.everywhere("read", "post"),)}),
        (RoomRule(), {"grants": (Grant.everywhere("join", "post"),)}),
    ],
)
async def test_who_may_not_come_in(make: Make, rule: RoomRule, identity: dict[str, Any]) -> None:
    world = await make(rule)
    who = world.client(**identity)
    assert (await refused(world.service.join(who, None))).code == "forbidden"
    assert not world.hub.knows(who)
    assert await world.engine.counts("lobby") == Counts(0, 0)


async def test_what_one_may(make: Make) -> None:
    world = await make(RoomRule(post=["ben"], moderate=["ben"]))
    assert (await world.join(world.client())).set_up()[0] == ["join", "read", "history"]
    ben = world.client(BEN, authenticated=True)
    assert (await world.join(ben)).set_up()[0] == ["join", "read", "history", "post", "moderate"]


async def test_a_rule_keeps_what_was_before_to_some(make: Make) -> None:
    world = await make(RoomRule(history=["ben"]))
    await world.fill(3)
    request = wire.HistoryRequest(None, None, 9)
    ann, ben = await world.enter(), await world.enter(BEN)
    assert len((await world.service.history(ben, request)).messages) == 3
    error = await refused(world.service.history(ann, request))
    assert (error.code, error.message) == (
        "forbidden",
        "you may not read what was here before you",
    )


# -- joining while things happen -------------------------------------------------------------------


async def begun(world: World, method: str, who: Client, *, after: bool, **join: Any) -> Any:
    """A join that has got to a call of the engine and is held there."""
    gate = world.engine.hold(method, after=after)
    task = asyncio.create_task(world.service.join(who, join.get("since")))
    await gate.reached.wait()
    return gate, task


@pytest.mark.parametrize("method", ["join", "history", "enter"])
@pytest.mark.parametrize("after", [False, True])
async def test_messages_that_come_in_the_middle(world: World, method: str, after: bool) -> None:
    ben = await world.enter(BEN)
    await world.post(ben, "1", "2")
    who = world.client()
    gate, task = await begun(world, method, who, after=after)
    await world.post(ben, "3", "4")
    gate.open()
    joined = await task
    await world.post(ben, "5")  # during the replay
    await world.hand_out(who, joined)
    await world.post(ben, "6")
    got = world.outbox.offsets(who)
    assert got == list(range(got[0], 7))
    assert joined.begins.offset == got[0] - 1
    assert joined.membership.cursor == joined.begins.offset
    assert world.outbox.offsets(ben) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("method", ["join", "history", "enter"])
@pytest.mark.parametrize("after", [False, True])
async def test_a_client_that_leaves_while_it_joins(world: World, method: str, after: bool) -> None:
    who = world.client()
    gate, task = await begun(world, method, who, after=after)
    await world.service.leave(who)
    gate.open()
    assert (await refused(task)).code == "not_member"
    await nobody_is_here(world)


@pytest.mark.parametrize("method", ["join", "history", "enter"])
@pytest.mark.parametrize("after", [False, True])
async def test_an_engine_that_fails_in_the_middle_of_a_join(
    world: World, method: str, after: bool
) -> None:
    who = world.client()
    gate, task = await begun(world, method, who, after=after)
    gate.fail(Refusal("unavailable"))
    assert (await refused(task)).code == "unavailable"
    if (method, after) != ("enter", True):
        assert await world.engine.online("lobby", limit=9) == []  # not even for the grace time
    await nobody_is_here(world)
    await world.enter()  # and it works again


@pytest.mark.parametrize("method", ["join", "history", "enter"])
async def test_a_join_that_is_cancelled(world: World, method: str) -> None:
    _, task = await begun(world, method, world.client(), after=True)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await nobody_is_here(world)


async def nobody_is_here(world: World) -> None:
    assert len(world.hub) == 0
    assert world.engine.stats()["rooms_watched"] == 0
    world.clock.pass_(GRACE)
    await world.sweep()
    assert await world.engine.online("lobby", limit=9) == []
    assert (await world.engine.counts("lobby")).online == 0


async def test_others_go_on_when_a_join_fails(world: World) -> None:
    ben = await world.enter(BEN)
    world.engine.fail("history", Refusal("unavailable"))
    await refused(world.service.join(world.client(), None))
    await world.post(ben, "hi")
    assert world.outbox.offsets(ben) == [1]


async def test_a_client_that_left_during_the_replay_does_not_go_live(world: World) -> None:
    who = world.client()
    await world.service.join(who, None)
    await world.service.leave(who)
    assert (await refused(lambda: world.service.replay.go_live(who))).code == "not_member"
    await nobody_is_here(world)


# -- leaving ---------------------------------------------------------------------------------------


async def test_leaving(world: World) -> None:
    one, two = await world.enter(), await world.enter(BEN)
    await world.sweep()
    await world.service.leave(one)
    await world.post(two, "hi")
    assert world.outbox.offsets(one) == []
    assert await world.engine.counts("lobby") == Counts(2, 2)
    world.clock.pass_(GRACE)
    await world.sweep()
    assert await world.engine.counts("lobby") == Counts(1, 2)  # a member all the same
    left = world.outbox.told[two.id][-1]
    assert (left.name, left.payload["left"]) == ("presence", [wire.person(ANN)])


async def test_leaving_again_does_nothing(world: World) -> None:
    one = await world.enter()
    again = await world.enter()  # another device
    world.service.people.typing(one, on=True)
    for _ in range(3):
        await world.service.leave(one)
    assert world.outbox.names(again) == ["welcome", "typing", "typing"]
    world.clock.pass_(GRACE)
    await world.sweep()
    assert await world.engine.online("lobby", limit=9) == [ANN]
    await world.service.leave(again)
    await world.service.leave(again)
    await nobody_is_here(world)


async def test_leaving_what_was_never_entered(world: World) -> None:
    await world.service.leave(world.client())
    await nobody_is_here(world)


def events(world: World, who: Client, name: str) -> list[dict[str, Any]]:
    return [event.payload for event in world.outbox.told[who.id] if event.name == name]


async def test_leaving_for_good(world: World) -> None:
    ben = await world.enter(BEN)
    one, two = await world.enter(), await world.enter()
    elsewhere = await world.enter(room="other")
    await world.post(ben, 1, 2, 3)
    world.service.people.typing(one, on=True)
    await world.sweep()
    await world.service.leave_for_good(one)
    assert world.outbox.closed == [(one, "left"), (two, "left")]
    assert [said["on"] for said in events(world, ben, "typing")] == [True, False]
    assert await world.engine.members("lobby", limit=9) == [BEN]
    # nothing more for them, and nothing more of what they had sent already
    await world.post(ben, 4)
    assert world.outbox.offsets(one) == world.outbox.offsets(two) == [1, 2, 3]
    for who in (one, two):
        assert (await refused(world.post(who, "x"))).code == "not_member"
    # told with the next batch, without the grace time
    await world.sweep()
    told = events(world, ben, "presence")[-1]
    assert told == {"online": 1, "total": 1, "joined": [], "left": [wire.person(ANN)]}
    # the edge ends them; that is not told again
    for who in (one, two):
        await world.service.leave(who, for_good=True)
    world.clock.pass_(2 * GRACE)
    await world.sweep()
    assert events(world, ben, "presence")[-1] is told
    # the other room is another matter
    await world.post(elsewhere, "hi")
    again = world.client()
    joined = await world.join(again)
    assert joined.membership == Membership(4, 4, 4, 4)  # a new member
    assert joined.missed == []


async def test_a_guest_leaves_for_good(world: World) -> None:
    ben, guest = await world.enter(BEN), await world.enter(GUEST)
    await world.sweep()
    await world.service.leave_for_good(guest)
    assert world.outbox.closed == [(guest, "left")]
    await world.sweep()
    told = events(world, ben, "presence")[-1]
    assert told == {"online": 1, "total": 1, "joined": [], "left": [wire.person(GUEST)]}


async def test_a_device_that_is_joining_while_its_user_leaves_for_good(world: World) -> None:
    one = await world.enter()
    late = world.client()
    gate, task = await begun(world, "enter", late, after=True)
    await world.service.leave_for_good(one)
    assert world.outbox.closed == [(one, "left"), (late, "left")]
    gate.open()
    await world.hand_out(late, await task)  # told as ever; then the edge ends it
    await world.service.leave(late, for_good=True)
    await world.sweep()
    assert await world.engine.counts("lobby") == Counts(0, 0)


async def test_a_user_whose_connections_are_over_before_they_have_left(world: World) -> None:
    one, ben = await world.enter(), await world.enter(BEN)
    for others in ([ben], []):
        gate = world.engine.hold("leave")
        task = asyncio.create_task(world.service.leave_for_good(one))
        await gate.reached.wait()
        await world.service.leave(one)
        if not others:
            await world.service.leave(ben)
        gate.open()
        await task
        assert world.outbox.closed == []
        one = await world.enter()
    await world.service.leave(one)


async def test_who_cannot_leave_for_good_stays(world: World) -> None:
    one = await world.enter()
    world.engine.fail("leave", Refusal("unavailable"))
    assert (await refused(world.service.leave_for_good(one))).code == "unavailable"
    assert world.outbox.closed == []
    assert await world.engine.members("lobby", limit=9) == [ANN]
    await world.post(one, "still here")
    assert world.outbox.offsets(one) == [1]


async def test_only_who_is_there_may_leave_for_good(world: World) -> None:
    who = world.client()
    assert (await refused(world.service.leave_for_good(who))).code == "not_member"
    who = await world.enter(expires_at=world.clock() + 10)
    world.clock.pass_(10)
    assert (await refused(world.service.leave_for_good(who))).code == "token_expired"
    assert await world.engine.members("lobby", limit=9) == [ANN]


async def test_a_page_that_is_reloaded_makes_no_noise(world: World) -> None:
    ben = await world.enter(BEN)
    one = await world.enter()
    await world.sweep()
    told = len(world.outbox.told[ben.id])
    await world.service.leave(one)
    world.clock.pass_(GRACE - 1)
    await world.enter()
    world.clock.pass_(GRACE)
    await world.sweep()
    assert len(world.outbox.told[ben.id]) == told


# -- posting ---------------------------------------------------------------------------------------


async def test_a_message(world: World) -> None:
    one, two = await world.enter(), await world.enter(BEN)
    published = await world.service.send(one, wire.SendRequest({"text": "hi"}, "id-1"))
    assert (published.id, published.position.offset, published.duplicate) == ("id-1", 1, False)
    assert published.at == int(world.clock() * 1000)
    for who in (one, two):
        event = world.outbox.told[who.id][-1]
        assert event.position == published.position
        assert event.payload == {
            "id": "id-1",
            "offset": 1,
            "user": "ann",
            "name": "Ann",
            "body": {"text": "hi"},
            "at": published.at,
        }
    assert world.metrics.messages_published == 1


async def test_an_id_is_made_where_none_is_given(world: World) -> None:
    one = await world.enter()
    ids = [(await world.service.send(one, wire.SendRequest("hi", None))).id for _ in range(3)]
    assert len(set(ids)) == 3
    for made in ids:
        assert wire.parse_send(["hi", {"id": made}], 9).id == made


async def test_a_message_that_is_sent_again(world: World) -> None:
    one, again = await world.enter(), await world.enter()
    first = await world.service.send(one, wire.SendRequest("hi", "id-1"))
    second = await world.service.send(again, wire.SendRequest("hi", "id-1"))
    assert second == msgspec.structs.replace(first, duplicate=True)
    assert world.outbox.offsets(one) == [1]
    assert world.metrics.messages_published == 1
    other = await world.enter(BEN)
    assert not (await world.service.send(other, wire.SendRequest("hi", "id-1"))).duplicate


async def test_too_fast(make: Make) -> None:
    world = await make(
        RoomRule(match="slow", message_rate=0.5), limits=Limits(message_rate=10, message_burst=2)
    )
    one, again, ben = await world.enter(), await world.enter(), await world.enter(BEN)
    slow = await world.enter(room="slow")
    await world.post(one, "a")
    await world.post(again, "b")
    refusal = await refused(world.post(again, "c"))
    assert (refusal.code, refusal.retry_after) == ("rate_limited", pytest.approx(0.1, abs=1e-4))
    await world.post(ben, "by somebody else")
    await world.post(slow, "elsewhere", "twice")
    refusal = await refused(world.post(slow, "c"))
    assert refusal.retry_after == pytest.approx(2.0, abs=1e-4)
    world.clock.pass_(0.11)
    assert await world.post(one, "c") == [4]
    assert refusal.limit == "message_rate"


async def test_slow_mode(make: Make) -> None:
    world = await make(RoomRule(match="hall", slow_mode=30, moderate=["cat"]))
    ann, again = await world.enter(room="hall"), await world.enter(room="hall")
    ben, elsewhere = await world.enter(BEN, room="hall"), await world.enter(room="attic")
    await world.post(ann, "a")
    world.clock.pass_(10)
    for device in (ann, again):
        refusal = await refused(world.post(device, "b"))
        assert (refusal.code, refusal.limit) == ("rate_limited", "slow_mode")
        assert refusal.retry_after == pytest.approx(20, abs=0.002)
    await world.post(ben, "c")
    await world.post(elsewhere, "d", "e")
    world.clock.pass_(20)
    await world.post(again, "b")
    moderator = await world.enter(CAT, room="hall", authenticated=True)
    await world.post(moderator, "f", "g")


async def test_the_store_has_so_much_space(make: Make) -> None:
    world = await make(limits=Limits(rooms_per_user=1))
    await world.enter()
    refusal = await refused(world.enter(room="attic"))
    assert (refusal.code, refusal.limit) == ("too_many", "rooms_per_user")
    assert "leave one" in refusal.message
    assert len(world.hub) == 1  # nothing is left of it


async def test_limits_that_are_switched_off(make: Make) -> None:
    world = await make(limits=Limits(enabled=False, message_rate=1, message_burst=1))
    assert len(await world.post(await world.enter(), *range(20))) == 20


async def test_the_largest_body(make: Make) -> None:
    world = await make(
        RoomRule(match="small", max_body=10),
        RoomRule(match="large", max_body=10_000),
        limits=Limits(max_body=100),
    )
    rooms = ["small", "large", "lobby"]
    assert [world.service.max_body(room) for room in rooms] == [10, 10_000, 100]


async def test_who_may_not_post(make: Make) -> None:
    world = await make(RoomRule(post=["ben"], relay=["cursor"]))
    one, ben = await world.enter(), await world.enter(BEN)
    mute = await world.enter(BEN, grants=(Grant.everywhere("join", "read"),))
    for who in (one, mute):
        assert (await refused(world.post(who, "hi"))).code == "forbidden"
        for call in (
            lambda who=who: world.service.people.typing(who, True),
            lambda who=who: world.service.relay(who, "cursor", [1]),
        ):
            assert (await refused(call)).code == "forbidden"
        world.service.people.typing(who, False)  # nobody has to know
    assert await world.post(ben, "hi") == [1]
    assert world.outbox.names(one) == ["welcome", "message"]


async def test_a_post_that_the_engine_refuses_is_not_counted(world: World) -> None:
    one = await world.enter()
    world.engine.fail("publish", Refusal("unavailable"))
    assert (await refused(world.post(one, "hi"))).code == "unavailable"
    assert world.metrics.messages_published == 0


async def test_a_clock_that_is_set_back_while_a_message_is_stored(world: World) -> None:
    one = await world.enter()
    gate = world.engine.hold("publish")
    task = asyncio.create_task(world.post(one, "hi"))
    await gate.reached.wait()
    world.clock.pass_(-100.0)
    gate.open()
    await task
    assert b"publish_seconds_sum 0.0" in render(world.metrics)[0]


# -- reading ---------------------------------------------------------------------------------------


async def test_history(world: World) -> None:
    await world.fill(9)
    who = await world.enter()
    page = await world.service.history(who, wire.HistoryRequest(before=6, after=None, limit=2))
    assert [said.offset for said in page.messages] == [4, 5]
    page = await world.service.history(who, wire.HistoryRequest(before=None, after=6, limit=9))
    assert [said.offset for said in page.messages] == [7, 8, 9]
    reader = await world.enter(BEN, grants=(Grant.everywhere("join", "read"),))
    request = wire.HistoryRequest(None, None, 9)
    assert (await refused(world.service.history(reader, request))).code == "forbidden"


async def test_what_became_too_old_while_nobody_was_there_is_not_served(make: Make) -> None:
    world = await make(RoomRule(match="*", history_age=60.0))
    await world.fill(3)
    world.clock.pass_(61)
    who = world.client()
    await world.join(who)
    assert (await world.service.history(who, wire.HistoryRequest(None, None, 10))).messages == []


# -- what is done to messages ----------------------------------------------------------------------


async def test_what_is_done_is_told_in_order(world: World) -> None:
    ann, ben = await world.enter(), await world.enter(BEN)
    await world.post(ann, "one", "two")
    await change(world, ann, 1)
    await world.post(ben, "three")
    for who in (ann, ben):
        assert told(world, who) == [
            ("message", "one"),
            ("message", "two"),
            ("reaction", "x"),
            ("edit", "new"),
            ("delete", None),
            ("message", "three"),
        ]
        offsets = [event.position.offset for event in world.outbox.told[who.id] if event.position]
        assert offsets == list(range(7))


async def test_history_has_messages_as_they_are_now(world: World) -> None:
    ann = await world.enter()
    await world.post(ann, "one", "two")
    await world.service.operations.edit(ann, wire.EditRequest(wire.Target(1, None), "new"))
    page = await world.service.history(ann, wire.HistoryRequest(None, None, 9))
    assert [one.body for one in page.messages] == ["new", "two"]
    page = await world.service.history(ann, wire.HistoryRequest(None, None, 9, operations=True))
    assert [one.kind for one in page.messages] == ["message", "message", "edit"]


async def test_who_may_not_post_may_not_change_anything(make: Make) -> None:
    world = await make(RoomRule(post=["ann"]))
    ann, ben = await world.enter(), await world.enter(BEN)
    await world.post(ann, "one")
    target = wire.Target(1, None)
    for call in (
        world.service.operations.edit(ben, wire.EditRequest(target, "x")),
        world.service.operations.delete(ben, target),
        world.service.operations.react(ben, wire.ReactRequest(target, "x", True)),
    ):
        with pytest.raises(Refusal) as refused:
            await call
        assert refused.value.code == "forbidden"
    await world.service.leave(ann)
    with pytest.raises(Refusal) as refused:
        await world.service.operations.delete(ann, target)
    assert refused.value.code == "not_member"


async def test_replies_and_mentions_are_passed_on(world: World) -> None:
    ann, ben = await world.enter(), await world.enter(BEN)
    await world.service.send(ann, wire.SendRequest("hi", None, reply_to="m9", mentions=("ben",)))
    payload = world.outbox.told[ben.id][-1].payload
    assert (payload["reply_to"], payload["mentions"]) == ("m9", ["ben"])


# -- what is ephemeral -----------------------------------------------------------------------------


async def test_what_is_ephemeral_is_passed_on_to_the_other_nodes() -> None:
    engine = FakeEngine()
    world = World(Config(rooms=Rooms(rules=[RoomRule(relay=["cursor"])])), engine)
    engine.listener = world.hub
    one = await world.enter()
    world.service.people.typing(one, True)
    world.service.relay(one, "cursor", [{"x": 1}])
    await world.service.leave(one)
    assert [(room, event.name) for room, event in engine.passed_on] == [
        ("@me:ann", JOINED),
        ("lobby", "typing"),
        ("lobby", "cursor"),
        ("lobby", "typing"),
    ]
    assert engine.passed_on[2][1].before == ({"x": 1},)
    assert [event.payload["on"] for _, event in engine.passed_on[1::2]] == [True, False]


async def test_relayed_events(world: World) -> None:
    one, ben = await world.enter(), await world.enter(BEN)
    world.service.relay(one, "cursor", [1, "two"])
    event = world.outbox.told[ben.id][-1]
    assert event == Event("cursor", wire.person(ANN), before=(1, "two"))
    assert world.outbox.names(one) == ["welcome"]


async def test_what_is_relayed(make: Make) -> None:
    names = ["cursor", "message", "connect", "welcome", "notice"]
    world = await make(RoomRule(match="board/*", relay=names))
    assert [name for name in names if world.service.relays("board/1", name)] == ["cursor"]
    assert not world.service.relays("board/1", "other")
    assert not world.service.relays("lobby", "cursor")


# -- an embedder's hooks ---------------------------------------------------------------------------


async def test_a_hook_may_keep_somebody_out(world: World) -> None:
    asked: list[Joining] = []

    @world.hooks.on_join
    async def only_ann(joining: Joining) -> None:
        asked.append(joining)
        if joining.user != ANN:
            raise Refusal("forbidden", "the party is Ann's")

    ann, ben = world.client(ANN), world.client(BEN)
    await world.join(ann)
    refusal = await refused(world.join(ben))
    assert (refusal.code, refusal.message) == ("forbidden", "the party is Ann's")
    assert asked == [Joining("lobby", ANN, "c1"), Joining("lobby", BEN, "c2")]
    assert await world.engine.members("lobby", limit=9) == [ANN]
    assert await world.engine.counts("lobby") == Counts(1, 1)
    assert not world.hub.knows(ben)


async def test_it_is_not_asked_about_who_may_not_join_by_the_rules(make: Make) -> None:
    world = await make(RoomRule(match="*", join=["ben"]))
    asked: list[Joining] = []
    world.hooks.on_join(asked.append)
    assert (await refused(world.join(world.client(ANN)))).code == "forbidden"
    assert asked == []


async def test_who_leaves_while_a_hook_is_asked_does_not_get_in(world: World) -> None:
    asked, answer = asyncio.Event(), asyncio.Event()

    @world.hooks.on_join
    async def ponder(joining: Joining) -> None:
        asked.set()
        await answer.wait()

    who = world.client()
    joining = asyncio.create_task(world.join(who))
    await asked.wait()
    await world.service.leave(who)
    answer.set()
    assert (await refused(joining)).code == "not_member"
    assert not world.hub.knows(who)
    assert await world.engine.members("lobby", limit=9) == []


async def test_what_is_announced_while_a_hook_is_asked_is_not_lost(world: World) -> None:
    ben = await world.enter(BEN)

    @world.hooks.on_join
    async def meanwhile(joining: Joining) -> None:
        await world.post(ben, "during the question")

    ann = world.client(ANN)
    await world.join(ann)
    await world.post(ben, "afterwards")
    assert world.outbox.offsets(ann) == [2]  # the first was before Ann's time
    assert world.outbox.offsets(ben) == [1, 2]


async def test_a_hook_may_change_what_is_posted(world: World) -> None:
    ann = await world.enter(ANN)
    asked: list[Posting] = []

    @world.hooks.on_message
    def polite(posting: Posting) -> Posting:
        asked.append(posting)
        return posting.with_body(f"{posting.body}, please")

    await world.service.send(ann, wire.SendRequest("tea", "m1"))
    assert asked == [Posting("lobby", ANN, "c1", "m1", "tea")]
    page = await world.engine.history("lobby", limit=9)
    assert [message.body for message in page.messages] == ["tea, please"]


async def test_a_hook_may_refuse_a_message(world: World) -> None:
    ann = await world.enter(ANN)

    @world.hooks.on_message
    def quiet(posting: Posting) -> None:
        raise Refusal("forbidden", "quiet hours")

    assert (await refused(world.post(ann, "psst"))).message == "quiet hours"
    assert (await world.engine.history("lobby", limit=9)).messages == []


async def test_it_is_not_asked_about_what_may_not_be_posted_by_the_rules(make: Make) -> None:
    world = await make(RoomRule(match="*", post=["ben"]))
    asked: list[Posting] = []
    world.hooks.on_message(asked.append)
    assert (await refused(world.post(await world.enter(ANN), "hi"))).code == "forbidden"
    assert asked == []


async def test_who_is_gone_when_the_hook_has_answered_posts_nothing(world: World) -> None:
    ann = await world.enter(ANN)

    @world.hooks.on_message
    async def meanwhile(posting: Posting) -> None:
        await world.service.leave(ann)

    assert (await refused(world.post(ann, "hi"))).code == "not_member"
    assert (await world.engine.history("lobby", limit=9)).messages == []


async def test_a_hook_for_one_room_keeps_no_other_waiting(world: World) -> None:
    answer = asyncio.Event()

    @world.hooks.on_message
    async def slow(posting: Posting) -> None:
        if posting.room == "lobby":
            await answer.wait()

    ann, ben = await world.enter(ANN), await world.enter(BEN, "elsewhere")
    posting = asyncio.create_task(world.post(ann, "hi"))
    assert await world.post(ben, "hi") == [1]
    assert not posting.done()
    answer.set()
    assert await posting == [1]


async def test_who_has_left_is_told_once_and_who_never_got_in_is_not(world: World) -> None:
    told: list[Left] = []
    world.hooks.on_leave(told.append)

    @world.hooks.on_join
    def only_ann(joining: Joining) -> None:
        if joining.user != ANN:
            raise Refusal("forbidden")

    ann = await world.enter(ANN)
    await refused(world.enter(BEN))
    await world.service.leave(ann)
    await world.service.leave(ann)
    for _ in range(3):
        await asyncio.sleep(0)
    assert told == [Left("lobby", ANN, ann.id)]


# -- in front of a room ---------------------------------------------------------------------------


async def test_who_overhears_may_visit_and_is_found_by_what_is_revoked(make: Make) -> None:
    world = await make(RoomRule("vip", join=["ann"]))
    one = Revocation("token", "j1", world.clock.now + 60.0)

    async def overhear(room: str, **identity: Any) -> Client:
        who = world.client(ANN, "@front", authenticated=True, **identity)
        await world.service.overhear(who, room)
        return who

    heard = await overhear("vip", token_id="j1")
    assert (await refused(overhear("vip", rooms=("den",)))).code == "forbidden"
    late = overhear("vip", expires_at=world.clock.now - 1.0)
    assert (await refused(late)).code == "token_expired"
    await world.engine.tokens.revoke(one)
    assert world.outbox.closed == [(heard, "token_revoked")]
    assert (await refused(overhear("vip", token_id="j1"))).code == "unauthorized"
    world.service.forget(heard)
