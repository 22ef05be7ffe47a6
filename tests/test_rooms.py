"""What may happen in a room, and in which order; above all: joining without a hole."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

import jwt
import msgspec
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from sioserver import wire
from sioserver.auth import Grant, Identity, Policy, Verifier
from sioserver.auth.keys import read_set
from sioserver.config import Config, RoomRule
from sioserver.config.schema import Auth, Limits, Rooms, Store
from sioserver.engine import embedded_pages
from sioserver.engine.embedded import EmbeddedEngine
from sioserver.errors import Refusal
from sioserver.followers import JOINED
from sioserver.hooks import HookCalls, Hooks, Joining, Left, Posting
from sioserver.hub import Client, Hub
from sioserver.limits import Budget
from sioserver.metrics import Metrics
from sioserver.model import (
    Counts,
    Draft,
    Event,
    Membership,
    Position,
    Revocation,
    User,
)
from sioserver.rooms import AT_ONCE, Joined, RoomService
from sioserver.typists import REPEAT

from .auth.kit import jwk, key_set, public_token
from .fakes import (
    ANN,
    BEN,
    CAT,
    GUEST,
    FakeClock,
    FakeEngine,
    FakeOutbox,
    Reader,
    StagedEngine,
    client,
)

T = TypeVar("T")

SECRET = "s" * 32
GRACE = 5.0


def config(*rules: RoomRule, limits: Limits | None = None, jwks: str = "", **rooms: Any) -> Config:
    return Config(
        auth=Auth(secret=SECRET, leeway=0.0, jwks=jwks),
        rooms=Rooms(rules=list(rules), **rooms),
        limits=limits or Limits(),
    )


class World:
    """A room service with everything it needs, and short words for what tests do with it."""

    def __init__(self, config: Config, engine: Any) -> None:
        self.config = config
        self.hooks = Hooks()
        self.engine = engine
        self.clock = FakeClock()
        self.metrics = Metrics()
        self.hub = Hub(self.metrics, clock=self.clock)
        self.outbox = FakeOutbox()
        budget = Budget(config.limits)
        self.service = RoomService(
            config,
            engine,
            self.hub,
            Verifier(config.auth),
            Policy(config),
            budget,
            self.metrics,
            self.clock,
            hooks=HookCalls(self.hooks, self.metrics, timeout=60.0),
        )
        self._clients = 0

    def client(self, user: User = ANN, room: str = "lobby", **identity: Any) -> Client:
        self._clients += 1
        found = client(self.outbox, f"c{self._clients}", user, room)
        found.identity = Identity(user, **identity)
        return found

    async def join(self, who: Client, since: Position | None = None) -> Joined:
        """Join and go live; what was missed is in the outbox, like everything else."""
        joined = await self.service.join(who, since)
        await self.hand_out(who, joined)
        return joined

    async def hand_out(self, who: Client, joined: Joined) -> None:
        """What an edge does with it, when there is space for all."""
        told = self.outbox.told[who.id]
        told.append(joined.welcome(who, recovered=False, begins=joined.begins))
        told.extend([joined.gap] if joined.gap else [])
        if joined.missed is None:
            self.service.lag(who, joined.after.offset)
        else:
            told.extend(joined.missed)
            if self.went_live(who):
                return
        await self.catch_up(who)

    def went_live(self, who: Client) -> bool:
        offset = who.offset
        rest = self.service.go_live(who)
        if rest is None:
            self.service.lag(who, offset)
            return False
        self.outbox.told[who.id].extend(rest)
        return True

    async def catch_up(self, who: Client, limit: int = 3) -> None:
        """Bring a client that is behind to the top of the log."""
        while True:
            missed = await self.service.catch_up(who, limit)
            for event in missed.events:
                assert event.position is not None
                self.outbox.told[who.id].append(event)
                self.service.handed(who, event.position)
            if who.offset >= missed.top.offset:
                if self.went_live(who):
                    return
            else:
                self.service.lag(who, who.offset)

    async def enter(self, user: User = ANN, room: str = "lobby", **identity: Any) -> Client:
        who = self.client(user, room, **identity)
        await self.join(who)
        return who

    async def post(self, who: Client, *bodies: Any) -> list[int]:
        sent = [await self.service.send(who, wire.SendRequest(body, None)) for body in bodies]
        return [published.position.offset for published in sent]

    async def fill(self, count: int, room: str = "lobby", keep: RoomRule | None = None) -> Position:
        """Messages of somebody who is not here."""
        for _ in range(count):
            draft = Draft("m", BEN, "hi", int(self.clock() * 1000), resendable=False)
            await self.engine.publish(room, draft, keep or RoomRule())
        return (await self.engine.history(room, limit=0)).top

    async def sweep(self) -> None:
        await self.engine.sweep(self.clock())


Make = Callable[..., Any]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    """Makes worlds on embedded engines in memory."""
    engines: list[EmbeddedEngine] = []

    async def make(*rules: RoomRule, limits: Limits | None = None, **rooms: Any) -> World:
        engine = EmbeddedEngine(Store(cached_messages=4), grace=GRACE, path=":memory:")
        world = World(config(*rules, limits=limits, **rooms), StagedEngine(engine))
        await engine.start(world.hub)
        engines.append(engine)
        return world

    yield make
    for engine in engines:
        await engine.stop()


@pytest.fixture
async def world(make: Make) -> World:
    world: World = await make(RoomRule(match="*", relay=["cursor"]), recovery_limit=5)
    return world


def token(sub: str = "ann", expires: float = 1_700_003_600, **claims: Any) -> str:
    return jwt.encode({"sub": sub, "exp": expires, **claims}, SECRET, algorithm="HS256")


def offsets(events: list[Event]) -> list[int]:
    return [event.payload["offset"] for event in events]


async def refused(call: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        result = call() if callable(call) else call
        if inspect.isawaitable(result):
            await result
    return caught.value


# -- who ------------------------------------------------------------------------------------------


async def test_a_token_decides_who_it_is(world: World) -> None:
    hello = wire.Hello(token=token(name="Ann A"), user="ben", name="Ben")
    identity = await world.service.identify(hello, "made up")
    assert identity.user == User("ann", "Ann A")
    assert identity.authenticated


async def test_a_revoked_token(world: World) -> None:
    hello = wire.Hello(token=token(jti="t1"))
    await world.service.identify(hello, "")
    await world.engine.revoke(Revocation("token", "t1", world.clock() + 100))
    assert (await refused(world.service.identify(hello, ""))).code == "unauthorized"


async def test_no_token_where_one_is_needed(world: World) -> None:
    assert (await refused(world.service.identify(wire.Hello(user="ann"), "x"))).code == (
        "unauthorized"
    )


async def test_without_tokens_people_say_who_they_are() -> None:
    world = World(Config(), FakeEngine())
    identity = await world.service.identify(wire.Hello(user="ann", name="Ann"), "x")
    assert identity == Identity(ANN)
    guest = await world.service.identify(wire.Hello(), "x")
    assert (guest.user.id, guest.user.guest) == ("guest:x", True)


# -- joining --------------------------------------------------------------------------------------


async def test_a_fresh_member(world: World) -> None:
    top = await world.fill(3)
    joined = await world.join(world.client())
    assert joined.membership == Membership(3, 3, 3, 3)
    assert joined.counts == Counts(1, 1)
    assert (joined.top, joined.begins, joined.gap, joined.missed) == (top, top, None, [])
    assert not joined.recovered
    assert joined.set_up()[0] == ["join", "read", "history", "post"]
    assert await world.engine.members("lobby", limit=9) == [ANN]


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
    world.service.delivered(who, 2)
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


# -- joining while things happen ------------------------------------------------------------------


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


async def test_not_all_that_comes_during_a_long_replay_can_be_kept(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the log has it."""
    monkeypatch.setattr("sioserver.hub.JOIN_BUFFER", 2)
    who = world.client()
    joined = await world.service.join(who, None)
    await world.fill(3)
    assert world.service.go_live(who) is None
    assert not world.hub.is_in(who)
    await world.hand_out(who, joined)
    assert world.outbox.offsets(who) == [1, 2, 3]
    assert world.outbox.closed == []
    await world.fill(1)
    assert world.outbox.offsets(who) == [1, 2, 3, 4]


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
    assert (await refused(lambda: world.service.go_live(who))).code == "not_member"
    await nobody_is_here(world)


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
        assert world.service.go_live(witness) == []
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


# -- leaving --------------------------------------------------------------------------------------


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
    world.service.typing(one, on=True)
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
    world.service.typing(one, on=True)
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


# -- proof of delivery ----------------------------------------------------------------------------


async def test_delivered_is_monotonic(world: World) -> None:
    who = await world.enter()
    await world.fill(4)
    for offset, proven in [(2, 2), (1, 2), (0, 2), (3, 3), (3, 3)]:
        world.service.delivered(who, offset)
        assert who.proven == proven
    await world.service.leave(who)
    assert world.outbox.offsets(await world.enter()) == [4]


async def test_delivered_is_never_more_than_was_written(world: World) -> None:
    who = await world.enter()
    await world.fill(2)
    world.service.delivered(who, 99)
    assert who.proven == 2
    await world.service.leave(who)
    await world.fill(1)
    world.service.delivered(who, 99)  # a late answer to a ping
    assert who.proven == 2
    assert world.outbox.offsets(await world.enter()) == [3]


async def test_nothing_is_proven_before_the_replay_is_over(world: World) -> None:
    who = await world.enter()
    await world.service.leave(who)
    await world.fill(3)
    who = world.client()
    await world.service.join(who, None)
    world.service.delivered(who, 3)  # of which nobody knows whether it was written
    assert who.proven == 0
    await world.service.leave(who)
    assert world.outbox.offsets(await world.enter()) == [1, 2, 3]


# -- posting --------------------------------------------------------------------------------------


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
            lambda who=who: world.service.typing(who, True),
            lambda who=who: world.service.relay(who, "cursor", [1]),
        ):
            assert (await refused(call)).code == "forbidden"
        world.service.typing(who, False)  # nobody has to know
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
    assert b"publish_seconds_sum 0.0" in world.metrics.render()[0]


# -- who is not there, and whose time is over -----------------------------------------------------

REQUESTS: dict[str, Callable[[RoomService, Client], Any]] = {
    "send": lambda service, who: service.send(who, wire.SendRequest("hi", None)),
    "history": lambda service, who: service.history(who, wire.HistoryRequest(None, None, 9)),
    "members": lambda service, who: service.members(who, everybody=False),
    "read": lambda service, who: service.read(who, 1),
    "typing": lambda service, who: service.typing(who, True),
    "relay": lambda service, who: service.relay(who, "cursor", []),
}


async def ask(request: str, world: World, who: Client) -> None:
    result = REQUESTS[request](world.service, who)
    if inspect.isawaitable(result):
        await result


@pytest.mark.parametrize("request_", [*REQUESTS, "refresh"])
async def test_only_who_is_live_may_ask(
    world: World, monkeypatch: pytest.MonkeyPatch, request_: str
) -> None:
    monkeypatch.setitem(REQUESTS, "refresh", lambda service, who: service.refresh(who, token()))
    who = world.client()
    assert (await refused(ask(request_, world, who))).code == "not_member"
    joined = await world.service.join(who, None)
    assert (await refused(ask(request_, world, who))).code == "not_member"
    await world.hand_out(who, joined)
    await ask(request_, world, who)
    await world.service.leave(who)
    assert (await refused(ask(request_, world, who))).code == "not_member"


@pytest.mark.parametrize("request_", REQUESTS)
async def test_a_token_that_has_expired(world: World, request_: str) -> None:
    who = await world.enter(expires_at=world.clock() + 10)
    world.clock.pass_(9.9)
    await ask(request_, world, who)
    world.clock.pass_(0.1)
    assert (await refused(ask(request_, world, who))).code == "token_expired"
    await world.service.refresh(who, token())
    await ask(request_, world, who)


# -- a fresh token --------------------------------------------------------------------------------


async def test_a_fresh_token(world: World) -> None:
    who = await world.enter(expires_at=world.clock() + 10)
    expires = int(world.clock()) + 100
    identity = await world.service.refresh(
        who, token(expires=expires, name="Ann", perms=["join", "read"])
    )
    assert who.identity is identity
    assert (identity.expires_at, identity.user) == (expires, ANN)
    assert (await refused(world.post(who, "hi"))).code == "forbidden"


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"sub": "ben"}, "forbidden"),
        ({"rooms": ["other", "rooms/*"]}, "forbidden"),
        ({"perms": ["read", "post"]}, "forbidden"),
        ({"perms": ["join", "post"]}, "forbidden"),
        ({"expires": 1_600_000_000}, "token_expired"),
        ({"jti": "revoked"}, "unauthorized"),
        (None, "unauthorized"),
    ],
)
async def test_a_token_that_is_no_better(
    world: World, claims: dict[str, Any] | None, code: str
) -> None:
    await world.engine.revoke(Revocation("token", "revoked", world.clock() + 100))
    who = await world.enter()
    before = who.identity
    fresh = "garbage" if claims is None else token(**claims)
    assert (await refused(world.service.refresh(who, fresh))).code == code
    assert who.identity is before


async def test_tokens_that_are_refused_are_counted_by_reason(world: World) -> None:
    await world.engine.revoke(Revocation("token", "revoked", world.clock() + 100))
    who = await world.enter()
    for text in ("garbage", token(jti="revoked"), token(expires=1_600_000_000), token()):
        for ask in (
            world.service.identify(wire.Hello(token=text), "m1"),
            world.service.refresh(who, text),
        ):
            with contextlib.suppress(Refusal):
                await ask
    counted = {reason: number for reason, number in world.metrics.invalid_tokens.items() if number}
    assert counted == {"malformed": 2, "revoked": 2, "expired": 2}


class IssuerKeys:
    """An issuer that has a key more, if it can be asked."""

    def __init__(self, world: World, *, well: bool) -> None:
        self.asked = 0
        self.well = well
        self.ring = world.service._verifier.ring
        world.service._renew_keys = self

    async def __call__(self) -> None:
        self.asked += 1
        if not self.well:
            raise Refusal("unavailable", retry_after=3.0)
        self.ring.publish(read_set(key_set(jwk("p256", kid="1"))).keys)


@pytest.fixture
async def issued(make: Make) -> World:
    world: World = await make(jwks="https://issuer.example/keys")
    return world


@pytest.mark.parametrize(
    ("kid", "well", "code", "asked", "counted"),
    [
        ("1", True, None, 1, 0),
        ("2", True, "unauthorized", 1, 1),
        ("1", False, "unavailable", 1, 1),
    ],
)
async def test_an_unknown_key_is_asked_for_once(
    issued: World, kid: str, well: bool, code: str | None, asked: int, counted: int
) -> None:
    keys = IssuerKeys(issued, well=well)
    text = public_token({"sub": "ann", "exp": 1_700_003_600}, "p256", "ES256", {"kid": kid})
    ask = issued.service.identify(wire.Hello(token=text), "m1")
    if code is None:
        assert (await ask).user.id == "ann"
        await issued.service.identify(wire.Hello(token=text), "m1")  # now it is known
    else:
        assert (await refused(ask)).code == code
    assert keys.asked == asked
    assert issued.metrics.invalid_tokens["unknown_key"] == counted


async def test_nobody_is_asked_for_what_no_key_could_mend(issued: World) -> None:
    keys = IssuerKeys(issued, well=True)
    for text in ("garbage", token("ann", expires=1), jwt.encode({"sub": "a"}, "x" * 40, "HS256")):
        await refused(issued.service.identify(wire.Hello(token=text), "m1"))
    assert keys.asked == 0
    assert (await issued.service.identify(wire.Hello(token=token()), "m1")).authenticated


# -- reading --------------------------------------------------------------------------------------


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


async def test_read_moves_the_unread_and_is_told_to_the_others(world: World) -> None:
    one, ben = await world.enter(), await world.enter(BEN)
    await world.fill(5)
    assert await world.service.read(one, 3) == 2
    assert await world.service.read(one, 1) == 2  # forwards only
    assert await world.service.read(one, 99) == 0
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
    assert await world.service.read(one, 1) == 1
    assert "read" not in world.outbox.names(ben)


async def test_what_became_too_old_while_nobody_was_there_is_not_served(make: Make) -> None:
    world = await make(RoomRule(match="*", history_age=60.0))
    await world.fill(3)
    world.clock.pass_(61)
    who = world.client()
    await world.join(who)
    assert (await world.service.history(who, wire.HistoryRequest(None, None, 10))).messages == []


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


async def test_what_a_guest_has_read(world: World) -> None:
    guest, ben = await world.enter(GUEST), await world.enter(BEN)
    await world.fill(5)
    assert await world.service.read(guest, 3) == 2
    assert world.outbox.told[ben.id][-1] == wire.read_event(GUEST, 3)
    assert await world.service.read(guest, 99) == 0
    assert world.outbox.told[ben.id][-1] == wire.read_event(GUEST, 5)


async def test_read_is_not_told_in_large_rooms(make: Make) -> None:
    world = await make(receipts_max_members=1)
    one = await world.enter()
    again = await world.enter()
    await world.fill(1)
    await world.service.read(one, 1)
    assert world.outbox.names(again)[-1] == "read"  # still one person
    ben = await world.enter(BEN)
    await world.fill(1)
    await world.service.read(one, 2)
    assert "read" not in world.outbox.names(ben)
    await world.service.leave(ben)
    world.clock.pass_(GRACE)
    await world.sweep()
    await world.fill(1)
    await world.service.read(one, 3)  # nor while the others are away: they are as many
    assert world.outbox.names(again).count("read") == 1


# -- what is done to messages ---------------------------------------------------------------------


def told(world: World, who: Client) -> list[tuple[str, Any]]:
    """The durable events that a client was told: name, and body or what comes nearest to it."""
    return [
        (event.name, event.payload.get("body", event.payload.get("emoji")))
        for event in world.outbox.told[who.id]
        if event.position is not None and event.name != "welcome"
    ]


async def change(world: World, who: Client, offset: int) -> None:
    """React, edit and delete."""
    target = wire.Target(offset, None)
    await world.service.operations.react(who, wire.ReactRequest(target, "x", True))
    await world.service.operations.edit(who, wire.EditRequest(target, "new"))
    await world.service.operations.delete(who, target)


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


async def test_who_was_away_is_told_what_was_done_and_sees_it_done(world: World) -> None:
    ann, ben = await world.enter(), await world.enter(BEN)
    await world.post(ann, "one", "two")
    world.service.delivered(ben, 1)
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
    world.service.lag(ben, 0)
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


async def test_history_has_messages_as_they_are_now(world: World) -> None:
    ann = await world.enter()
    await world.post(ann, "one", "two")
    await world.service.operations.edit(ann, wire.EditRequest(wire.Target(1, None), "new"))
    page = await world.service.history(ann, wire.HistoryRequest(None, None, 9))
    assert [one.body for one in page.messages] == ["new", "two"]
    page = await world.service.history(ann, wire.HistoryRequest(None, None, 9, operations=True))
    assert [one.kind for one in page.messages] == ["message", "message", "edit"]


async def test_what_is_done_to_messages_is_not_unread(world: World) -> None:
    ann, ben = await world.enter(), await world.enter(BEN)
    await world.post(ann, "one", "two")
    await change(world, ann, 1)
    await world.post(ann, "three")
    assert await world.service.read(ben, 1) == 2
    assert await world.service.read(ben, 4) == 1
    await world.service.leave(ben)
    again = world.client(BEN)
    joined = await world.join(again)
    assert joined.welcome(again, recovered=False, begins=joined.begins).payload["unread"] == 1
    guest = await world.enter(GUEST)
    assert await world.service.read(guest, 1) == 2
    assert await world.service.read(guest, 6) == 0


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
    assert [await world.service.read(guest, offset) for offset in (1, 3, 7, 8)] == [5, 5, 5, 4]


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


# -- people ---------------------------------------------------------------------------------------


async def test_members(world: World) -> None:
    one, ben = await world.enter(), await world.enter(BEN)
    await world.enter(GUEST)
    await world.sweep()
    await world.service.leave(ben)
    world.clock.pass_(GRACE)
    await world.sweep()
    online, counts, members, states, _ = await world.service.members(one, everybody=False)
    assert (online, counts, members) == ([ANN, GUEST], Counts(2, 3), None)
    assert states == {"ann": "online", GUEST.id: "online"}
    world.service.status(one, "away")
    *_, members, states, seen = await world.service.members(one, everybody=True)
    assert members == [ANN, BEN]
    assert states == {"ann": "away", GUEST.id: "online"}
    assert seen == {"ben": round((world.clock() - GRACE) * 1000)}


async def test_a_page_of_members(make: Make) -> None:
    world = await make(members_page=2)
    one = await world.enter()
    for user in (BEN, CAT):
        await world.enter(user)
    online, counts, members, *_ = await world.service.members(one, everybody=True)
    assert (online, counts.total, members) == ([ANN, BEN], 3, [ANN, BEN])


async def test_a_room_that_does_not_tell_who_is_in_it(make: Make) -> None:
    world = await make(RoomRule(presence=False))
    one = await world.enter()
    assert (await refused(world.service.members(one, everybody=False))).code == "forbidden"
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
    world.service.status(ben, "away")
    assert await told_after(0) == [(["ben"], [])]
    world.service.activity.used(ben, world.clock())  # by their own word: until they say otherwise
    assert await told_after(0) == []
    world.service.status(ben, "online")
    assert await told_after(0) == [([], ["ben"])]
    # a room that tells nothing
    assert world.outbox.names(quiet) == ["welcome"]
    assert await world.engine.states("quiet", ["cat"]) == {"cat": "online"}
    await world.service.leave(ben)
    assert (await refused(lambda: world.service.status(ben, "away"))).code == "not_member"


async def test_who_joins_with_a_device_that_rests_is_away(world: World) -> None:
    one = await world.enter()
    world.service.status(one, "away")
    other = world.client(room="attic")
    other.device = one.device
    joined = await world.join(other)
    assert joined.welcome(other, recovered=False, begins=joined.top).payload["state"] == "away"
    assert await world.engine.states("attic", ["ann"]) == {"ann": "away"}


# -- what is ephemeral ----------------------------------------------------------------------------


async def test_what_is_ephemeral_is_passed_on_to_the_other_nodes() -> None:
    engine = FakeEngine()
    world = World(Config(rooms=Rooms(rules=[RoomRule(relay=["cursor"])])), engine)
    engine.listener = world.hub
    one = await world.enter()
    world.service.typing(one, True)
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


async def test_typing(world: World) -> None:
    one, ben = await world.enter(), await world.enter(BEN)

    def told() -> list[bool]:
        return [
            event.payload["on"] for event in world.outbox.told[ben.id] if event.name == "typing"
        ]

    world.service.typing(one, False)  # nobody thinks that she is
    assert told() == []
    for _ in range(3):
        world.service.typing(one, True)
    assert told() == [True]
    world.clock.pass_(REPEAT)
    world.service.typing(one, True)
    assert told() == [True, True]
    world.service.typing(one, False)
    world.service.typing(one, False)
    assert told() == [True, True, False]
    world.service.typing(one, True)  # a beginning too soon after the last
    world.service.typing(one, False)
    assert told() == [True, True, False]
    world.clock.pass_(REPEAT)
    world.service.typing(one, True)
    world.clock.pass_(-1000)  # the clock is set back
    world.service.typing(one, True)
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

    world.service.typing(one, True)
    world.clock.pass_(3)
    world.service.typing(two, True)  # another device of the same user
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


# -- an embedder's hooks --------------------------------------------------------------------------


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


# -- without a connection -------------------------------------------------------------------------


def said(body: Any, id: str | None = None) -> wire.SendRequest:
    return wire.SendRequest(body, id)


PAGE = wire.HistoryRequest(None, None, 50)


async def test_a_visitor_posts_and_reads(world: World) -> None:
    ben = await world.enter(BEN)
    visitor = await world.service.visit(Identity(ANN, authenticated=True), "lobby")
    published = await world.service.post(visitor, said("hi", "a-1"))
    heard = [one.payload["body"] for one in world.outbox.told[ben.id] if one.name == "message"]
    assert heard == ["hi"]
    page = await world.service.history(visitor, PAGE)
    assert [(one.user, one.id) for one in page.messages] == [("ann", "a-1")]
    counts, permissions = await world.service.counts(visitor)
    assert (counts.total, "post" in permissions) == (2, True), "who posts becomes a member"
    again = await world.service.post(visitor, said("hi", "a-1"))
    assert (again.duplicate, again.position) == (True, published.position)


async def test_an_operator_s_message_makes_nobody_a_member(world: World) -> None:
    bot = Identity(User("bot", "Bot"), authenticated=True, operator=True)
    visitor = await world.service.visit(bot, "lobby")
    await world.service.post(visitor, said("beep"))
    counts, permissions = await world.service.counts(visitor)
    assert (counts.total, permissions) == (0, ["join", "read", "history", "post", "moderate"])


async def test_who_may_not_come_in_may_not_visit(make: Make) -> None:
    world = await make(RoomRule(match="lobby", join=["ben"]))
    identity = Identity(ANN, authenticated=True)
    for room, code in (("lobby", "forbidden"), ("a b", "bad_room"), ("@me", "bad_room")):
        assert (await refused(world.service.visit(identity, room))).code == code, room
    await world.service.visit(Identity(ANN, authenticated=True, operator=True), "lobby")


async def test_what_a_visitor_may_is_asked_each_time(world: World) -> None:
    soon = Identity(ANN, authenticated=True, expires_at=world.clock() + 10)
    visitor = await world.service.visit(soon, "lobby")
    world.clock.pass_(11)
    for asked in (
        lambda: world.service.post(visitor, said("late")),
        lambda: world.service.history(visitor, PAGE),
        lambda: world.service.counts(visitor),
        lambda: world.service.members(visitor, everybody=False),
        lambda: world.service.visit(soon, "lobby"),
    ):
        assert (await refused(asked)).code == "token_expired"


async def test_who_may_not_post_becomes_no_member_by_trying(make: Make) -> None:
    world = await make(RoomRule(match="lobby", post=[]))
    visitor = await world.service.visit(Identity(ANN, authenticated=True), "lobby")
    assert (await refused(world.service.post(visitor, said("x")))).code == "forbidden"
    assert (await world.service.counts(visitor))[0].total == 0


async def test_hooks_of_visitors(world: World) -> None:
    asked: list[Joining] = []

    @world.hooks.on_join
    def joining(event: Joining) -> None:
        asked.append(event)
        raise Refusal("forbidden", "not you")

    identity = Identity(ANN, authenticated=True)
    assert (await refused(world.service.visit(identity, "lobby"))).message == "not you"
    assert asked == [Joining("lobby", ANN, "")]
    await world.service.visit(Identity(ANN, authenticated=True, operator=True), "lobby")
    assert len(asked) == 1


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
    await world.engine.revoke(one)
    assert world.outbox.closed == [(heard, "token_revoked")]
    assert (await refused(overhear("vip", token_id="j1"))).code == "unauthorized"
    world.service.forget(heard)


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
        assert (await refused(world.service.visit(ann, "lobby"))).code == "banned"
    else:
        visitor = await world.service.visit(ann, "lobby")
        refusal = await refused(world.service.post(visitor, said("x")))
        assert (refusal.code, refusal.retry_after) == ("muted", 60.0)
        assert (await world.service.history(visitor, PAGE)).messages == []
    world.clock.pass_(61)
    visitor = await world.service.visit(ann, "lobby")
    await world.service.post(visitor, said("x"))


async def test_what_a_room_is_set_to_holds_for_visitors(world: World) -> None:
    await world.service.moderation.configure_in("lobby", {"read_only": True}, "ben")
    ann = await world.service.visit(Identity(ANN, authenticated=True), "lobby")
    assert (await refused(world.service.post(ann, said("x")))).code == "forbidden"
    assert "post" not in (await world.service.counts(ann))[1]
    bot = await world.service.visit(Identity(BEN, authenticated=True, operator=True), "lobby")
    await world.service.post(bot, said("x"))
    await world.service.moderation.configure_in(
        "lobby", {"read_only": False, "slow_mode": 30.0}, "ben"
    )
    ann = await world.service.visit(Identity(ANN, authenticated=True), "lobby")
    await world.service.post(ann, said("x"))
    assert (await refused(world.service.post(ann, said("x")))).retry_after == pytest.approx(30.0)
