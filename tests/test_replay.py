"""What a client missed, and when it has all of it: nothing is missing silently or comes twice."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from sioserver import wire
from sioserver.auth import Grant
from sioserver.config import Config, RoomRule
from sioserver.config.schema import Rooms
from sioserver.model import (
    Membership,
    Position,
)
from sioserver.replay import AT_ONCE

from .fakes import (
    ANN,
    BEN,
    CAT,
    FakeEngine,
    Reader,
)
from .world import Make, World, change, offsets, told

T = TypeVar("T")


# -- joining ---------------------------------------------------------------------------------------


async def test_the_welcome(world: World) -> None:
    await world.fill(3)
    who = world.client()
    joined = await world.join(who)
    welcome = joined.welcome(who, recovered=True, begins=joined.top)
    assert welcome.position == joined.top
    assert welcome.payload == {
        "room": "lobby",
        "user": "ann",
        "name": "Ann",
        "online": 1,
        "total": 1,
        "position": str(joined.top),
        "recovered": True,
        "unread": 0,
        "read": 3,
        "permissions": ["join", "read", "history", "post"],
        "topic": "",
        "slow_mode": 0.0,
        "read_only": False,
        "state": "online",
    }


async def test_by_position(world: World) -> None:
    top = await world.fill(7)
    joined = await world.join(world.client(), Position(top.epoch, 4))
    assert joined.recovered
    assert (joined.begins, joined.gap) == (Position(top.epoch, 4), None)
    assert offsets(joined.missed) == [5, 6, 7]
    assert [event.position for event in joined.missed] == [
        Position(top.epoch, offset) for offset in (5, 6, 7)
    ]


async def test_nothing_was_missed(world: World) -> None:
    top = await world.fill(7)
    joined = await world.join(world.client(), top)
    assert joined.recovered
    assert (joined.begins, joined.gap, joined.missed) == (top, None, [])


async def test_without_position_it_is_what_no_device_has_received(world: World) -> None:
    who = await world.enter()
    await world.fill(2)
    assert world.outbox.offsets(who) == [1, 2]
    world.service.replay.delivered(who, 2)
    await world.fill(1)
    await world.service.leave(who)
    await world.fill(1)
    joined = await world.join(world.client())
    assert joined.begins.offset == 2
    assert offsets(joined.missed) == [3, 4]
    assert not joined.recovered  # nobody said where they were


async def test_too_much_was_missed(world: World) -> None:
    top = await world.fill(9)
    joined = await world.join(world.client(), Position(top.epoch, 2))
    assert joined.gap == wire.gap_event(3, 4, Position(top.epoch, 4))
    assert joined.begins == Position(top.epoch, 2)
    assert offsets(joined.missed) == [5, 6, 7, 8, 9]
    assert not joined.recovered


async def test_as_much_as_is_replayed(world: World) -> None:
    top = await world.fill(9)
    joined = await world.join(world.client(), Position(top.epoch, 4))
    assert joined.recovered
    assert offsets(joined.missed) == [5, 6, 7, 8, 9]


async def test_nothing_is_replayed_where_the_limit_is_none(make: Make) -> None:
    world = await make(recovery_limit=0)
    top = await world.fill(3)
    joined = await world.join(world.client(), Position(top.epoch, 1))
    assert (joined.gap, joined.missed) == (wire.gap_event(2, 3, top), [])
    assert not joined.recovered
    assert (await world.join(world.client(), top)).recovered


async def test_another_life_of_the_log(world: World) -> None:
    top = await world.fill(3)
    joined = await world.join(world.client(), Position("another", 2))
    assert joined.begins == Position(top.epoch, 0)
    assert joined.gap == wire.gap_event(0, 0, Position(top.epoch, 0))
    assert offsets(joined.missed) == [1, 2, 3]
    assert not joined.recovered


async def test_another_and_long_life_of_the_log(world: World) -> None:
    """The gap reaches to the first message that follows: nothing is left out silently."""
    top = await world.fill(9)
    joined = await world.join(world.client(), Position("another", 7))
    assert joined.begins == Position(top.epoch, 0)
    assert joined.gap == wire.gap_event(0, 4, Position(top.epoch, 4))
    assert offsets(joined.missed) == [5, 6, 7, 8, 9]


async def test_another_life_proves_nothing(world: World) -> None:
    """An offset of another log is no proof that anything of this one has arrived."""
    who = await world.enter()
    await world.service.leave(who)
    await world.fill(3)
    who = world.client()
    await world.service.join(who, Position("another", 3))
    await world.service.leave(who)  # before anything was written
    joined = await world.join(world.client())
    assert offsets(joined.missed) == [1, 2, 3]


async def test_a_position_beyond_the_top(world: World) -> None:
    top = await world.fill(3)
    joined = await world.join(world.client(), Position(top.epoch, 5))
    assert joined.begins == top
    assert joined.gap == wire.gap_event(4, 5, top)
    assert joined.missed == []
    assert not joined.recovered


async def test_a_position_beyond_the_top_proves_nothing_of_what_comes(world: World) -> None:
    top = await world.fill(1)
    await world.join(world.client(), Position(top.epoch, 2**53 - 1))
    await world.service.leave(world.client())
    who = world.client()
    await world.fill(3)
    joined = await world.join(who)
    assert offsets(joined.missed) == [2, 3, 4]


async def test_a_position_proves_what_has_arrived(world: World) -> None:
    who = await world.enter()
    top = await world.fill(3)
    await world.service.leave(who)
    who = await world.enter()
    assert world.outbox.offsets(who) == [1, 2, 3]
    await world.service.leave(who)
    who = world.client()
    joined = await world.join(who, Position(top.epoch, 2))
    assert (offsets(joined.missed), who.proven) == ([3], 2)
    await world.service.leave(who)
    assert world.outbox.offsets(await world.enter()) == [3]


async def test_a_trimmed_log(make: Make) -> None:
    world = await make()
    await world.fill(5, keep=RoomRule(history_length=0))
    top = await world.fill(2)
    joined = await world.join(world.client(), Position(top.epoch, 2))
    assert joined.gap == wire.gap_event(3, 5, Position(top.epoch, 5))
    assert joined.begins == Position(top.epoch, 2)
    assert offsets(joined.missed) == [6, 7]
    assert not joined.recovered
    assert (await world.join(world.client(), Position(top.epoch, 5))).recovered


async def test_a_log_that_keeps_nothing(make: Make) -> None:
    world = await make()
    top = await world.fill(5, keep=RoomRule(history_length=0))
    joined = await world.join(world.client(), Position(top.epoch, 2))
    assert (joined.gap, joined.missed) == (wire.gap_event(3, 5, top), [])
    assert (await world.join(world.client(BEN), top)).recovered


async def test_who_may_not_see_what_was_before_does_not_by_a_made_up_position(
    world: World,
) -> None:
    top = await world.fill(3)
    grants = (Grant.everywhere("join", "read"),)
    joined = await world.join(world.client(grants=grants), Position(top.epoch, 0))
    assert (joined.gap, joined.missed) == (wire.gap_event(1, 3, top), [])
    joined = await world.join(world.client(CAT, grants=grants), Position("another", 0))
    assert (joined.gap, joined.missed) == (wire.gap_event(0, 3, top), [])
    await world.fill(2)  # what came since they joined is theirs
    joined = await world.join(world.client(grants=grants), Position(top.epoch, 3))
    assert (joined.recovered, offsets(joined.missed)) == (True, [4, 5])
    joined = await world.join(world.client(grants=grants), Position(top.epoch, 1))
    assert joined.gap == wire.gap_event(2, 3, top)
    assert offsets(joined.missed) == [4, 5]


# -- joining while things happen -------------------------------------------------------------------


async def test_not_all_that_comes_during_a_long_replay_can_be_kept(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the log has it."""
    monkeypatch.setattr("sioserver.hub.JOIN_BUFFER", 2)
    who = world.client()
    joined = await world.service.join(who, None)
    await world.fill(3)
    assert world.service.replay.go_live(who) is None
    assert not world.hub.is_in(who)
    await world.hand_out(who, joined)
    assert world.outbox.offsets(who) == [1, 2, 3]
    assert world.outbox.closed == []
    await world.fill(1)
    assert world.outbox.offsets(who) == [1, 2, 3, 4]


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """A coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as result:
        value: T = result.value
        return value
    raise AssertionError("it waited")


# Not shrunk: that takes longer than a test may; the draws are labelled, so a failure can be read.
@settings(max_examples=100, deadline=None, phases=[Phase.reuse, Phase.generate])
@given(st.data(), st.booleans())
def test_nothing_is_missing_silently_and_nothing_comes_twice(
    data: st.DataObject, may_begin_anew: bool
) -> None:
    draw = data.draw
    engine = FakeEngine()
    limit = draw(st.integers(0, 6), "recovery_limit")
    world = World(Config(rooms=Rooms(recovery_limit=limit)), engine)
    engine.listener = world.hub
    few = st.integers(0, 2)
    log_ends: list[tuple[str, int, int]] = []

    def something_happens(point: str) -> None:
        if may_begin_anew and draw(st.integers(0, 9), f"anew, {point}") == 0:
            engine.begin_anew(engine.epoch + "x")
        engine.post(draw(few, f"posts, {point}"))
        engine.announce(draw(few, f"announced, {point}"))
        if draw(st.booleans(), f"trim, {point}") and engine.log:
            engine.trim(engine.log[0].offset + draw(few))
        if draw(st.integers(0, 19), f"lost, {point}") == 0:
            engine.lose()
        if point == "history ends":
            return
        if point == "history begins":  # what this call will see
            first = engine.log[0].offset if engine.log else engine.top + 1
            log_ends.append((engine.epoch, first, engine.top))

    engine.post(draw(st.integers(0, 8), "log"))
    witness = world.client(BEN)
    with_witness = draw(st.booleans(), "witness")
    witness_reader = Reader(None)
    if with_witness:
        joined = run(world.service.join(witness, None))
        witness_reader.read(joined.welcome(witness, recovered=False, begins=joined.begins))
        assert world.service.replay.go_live(witness) == []
    something_happens("before")
    if draw(st.booleans(), "known"):
        cursor = draw(st.integers(0, engine.top), "cursor")
        engine.memberships["ann"] = Membership(0, cursor, cursor, cursor)
    since = draw(
        st.none()
        | st.builds(Position, st.just("a"), st.integers(0, engine.top + 3))
        | st.builds(Position, st.just("z"), st.integers(0, 12)),
        "since",
    )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sioserver.hub.JOIN_BUFFER", draw(st.sampled_from([1, 3, 2000]), "buffer"))
        engine.at = something_happens
        who = world.client()
        reader = Reader(since)
        joined = run(world.service.join(who, since))
        seen = list(log_ends)
        start = joined.membership.cursor if since is None else since.offset
        reader.read(joined.welcome(who, recovered=False, begins=joined.begins))
        if since is not None and since.epoch == joined.top.epoch and since <= joined.top:
            assert joined.begins == since
        reader.read(joined.gap)
        something_happens("replay")
        assert joined.missed is not None
        reader.read(*joined.missed)
        assert world.hub.written(who) == 0
        if not world.went_live(who):
            run(world.catch_up(who, draw(st.integers(1, 4), "page")))
        assert world.hub.is_live(who)

    for _ in range(3):
        something_happens("later")
    engine.post()
    engine.announce()
    end = Position(engine.epoch, engine.top)
    reader.read(*world.outbox.told[who.id])
    assert reader.position == end
    assert world.hub.written(who) == end.offset
    if with_witness:
        witness_reader.read(*world.outbox.told[witness.id])
        assert witness_reader.position == end

    # the verdict
    lost = joined.gap is not None
    assert joined.recovered == (since is not None and not lost)
    epoch, first, top = seen[-1]
    if since is not None and since.epoch != epoch:
        assert joined.gap is not None
        assert joined.gap.payload["from"] == 0
    elif start > top:
        assert lost
    elif first <= start + 1 and top - start <= limit and len(seen) == 1:
        assert not lost
    if engine.epoch == "a" == (since or end).epoch and start <= top:
        covered = [n for first, last in reader.gaps for n in range(first, last + 1)]
        covered += [position.offset for position in reader.got]
        assert sorted(covered) == list(range(start + 1, end.offset + 1))
    # what was proven is no more than what the client said it had, of this log
    for user_id, offset in engine.advanced:
        assert user_id == "ann"
        assert since is not None
        assert offset <= since.offset
        assert since.epoch == epoch


# -- proof of delivery -----------------------------------------------------------------------------


async def test_delivered_is_monotonic(world: World) -> None:
    who = await world.enter()
    await world.fill(4)
    for offset, proven in [(2, 2), (1, 2), (0, 2), (3, 3), (3, 3)]:
        world.service.replay.delivered(who, offset)
        assert who.proven == proven
    await world.service.leave(who)
    assert world.outbox.offsets(await world.enter()) == [4]


async def test_delivered_is_never_more_than_was_written(world: World) -> None:
    who = await world.enter()
    await world.fill(2)
    world.service.replay.delivered(who, 99)
    assert who.proven == 2
    await world.service.leave(who)
    await world.fill(1)
    world.service.replay.delivered(who, 99)  # a late answer to a ping
    assert who.proven == 2
    assert world.outbox.offsets(await world.enter()) == [3]


async def test_nothing_is_proven_before_the_replay_is_over(world: World) -> None:
    who = await world.enter()
    await world.service.leave(who)
    await world.fill(3)
    who = world.client()
    await world.service.join(who, None)
    world.service.replay.delivered(who, 3)  # of which nobody knows whether it was written
    assert who.proven == 0
    await world.service.leave(who)
    assert world.outbox.offsets(await world.enter()) == [1, 2, 3]


# -- reading ---------------------------------------------------------------------------------------


async def test_what_is_too_much_at_once_is_not_held(make: Make) -> None:
    world = await make(RoomRule(match="*"))
    ben = await world.enter(BEN)
    top = (await world.engine.history("lobby", limit=0)).top
    large = "x" * 60_000
    fit = AT_ONCE // (len(large) + 2)
    await world.post(ben, *[large] * fit)
    joined = await world.service.join(world.client(), top)
    assert len(joined.missed or ()) == fit
    await world.post(ben, large)
    who = world.client()
    joined = await world.service.join(who, top)
    assert (joined.missed, joined.gap, joined.after) == (None, None, top)
    # the log has it, and nothing is lost
    assert joined.recovered
    await world.hand_out(who, joined)
    assert world.outbox.offsets(who) == list(range(1, fit + 2))


# -- what is done to messages ----------------------------------------------------------------------


async def test_who_was_away_is_told_what_was_done_and_sees_it_done(world: World) -> None:
    ann, ben = await world.enter(), await world.enter(BEN)
    await world.post(ann, "one", "two")
    world.service.replay.delivered(ben, 1)
    await world.service.leave(ben)
    await change(world, ann, 1)
    await world.service.operations.react(
        ann, wire.ReactRequest(wire.Target(2, None), "y", True)
    )  # fmt: skip
    back = await world.enter(BEN)
    assert told(world, back) == [
        ("message", "two"),
        ("reaction", "x"),
        ("edit", None),  # it has no body any more
        ("delete", None),
        ("reaction", "y"),
    ]
    message = world.outbox.told[back.id][1].payload
    assert message["reactions"] == {"y": 1}
    assert "mine" not in message


async def test_what_is_recovered_says_what_is_ones_own(world: World) -> None:
    ann = await world.enter()
    await world.post(ann, "one")
    start = Position(world.outbox.told[ann.id][-1].position.epoch, 0)  # type: ignore[union-attr]
    await world.service.operations.react(
        ann, wire.ReactRequest(wire.Target(1, None), "x", True)
    )  # fmt: skip
    assert "mine" not in world.outbox.told[ann.id][1].payload
    for user, mine in ((ANN, ["x"]), (BEN, None)):
        who = world.client(user)
        await world.join(who, start)
        assert world.outbox.told[who.id][1].payload.get("mine") == mine


async def test_who_is_behind_catches_up_with_what_was_done(world: World) -> None:
    ann, ben = await world.enter(), await world.enter(BEN)
    world.service.replay.lag(ben, 0)
    await world.post(ann, "one", "two")
    await change(world, ann, 1)
    await world.post(ann, "three")
    await world.catch_up(ben, limit=2)
    assert told(world, ben) == [
        ("message", None),
        ("message", "two"),
        ("reaction", "x"),
        ("edit", None),
        ("delete", None),
        ("message", "three"),
    ]
