"""Who is kept out or quiet, whom that binds, and what follows for those who are here."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from sioserver import wire
from sioserver.auth import Grant
from sioserver.config import RoomRule
from sioserver.config.schema import Store, Webhook, Webhooks
from sioserver.engine import moderated
from sioserver.engine.embedded import EmbeddedEngine
from sioserver.errors import Refusal
from sioserver.hooks import Moderating
from sioserver.hub import Client
from sioserver.model import EVERYWHERE, User
from sioserver.moderation import KICK_KEPT
from sioserver.webhooks import payload
from sioserver.wire.moderation import ListRequest, LogRequest, Order

from .fakes import ANN, BEN, CAT, GUEST, StagedEngine
from .world import GRACE, World, config, refused

MOD, ADMIN = User("mod", "Mo"), User("admin", "Ada")
ALL = ("join", "read", "history", "post", "moderate")


class House(World):
    """A room service with a moderator and an operator."""

    async def moderator(self, user: User = MOD, room: str = "lobby") -> Client:
        return await self.enter(user, room, authenticated=True, grants=(Grant.everywhere(*ALL),))

    async def operator(self, user: User = ADMIN, room: str = "lobby") -> Client:
        grants = (Grant.everywhere(*ALL, "admin"),)
        return await self.enter(user, room, authenticated=True, grants=grants)

    @property
    def moderation(self) -> Any:
        return self.service.moderation

    def notices(self, who: Client) -> list[str]:
        told = self.outbox.told[who.id]
        return [event.payload["code"] for event in told if event.name == "notice"]

    def rooms_told(self, who: Client) -> list[dict[str, Any]]:
        return [event.payload for event in self.outbox.told[who.id] if event.name == "room"]


@pytest.fixture
async def make() -> AsyncIterator[Callable[..., Any]]:
    engines: list[EmbeddedEngine] = []

    async def make(*rules: RoomRule, endpoints: Webhooks | None = None) -> House:
        engine = EmbeddedEngine(
            Store(cached_messages=4), grace=GRACE, path=":memory:", endpoints=endpoints
        )
        house = House(config(*rules), StagedEngine(engine))
        await engine.start(house.hub)
        engines.append(engine)
        return house

    yield make
    for engine in engines:
        await engine.stop()


@pytest.fixture
async def house(make: Callable[..., Any]) -> House:
    made: House = await make(RoomRule(match="*", relay=["cursor"], moderate=["boss"]))
    return made


# -- kick -----------------------------------------------------------------------------------------


async def test_a_kick_ends_all_clients_of_a_user_who_may_come_again(house: House) -> None:
    mod, one, two = await house.moderator(), await house.enter(ANN), await house.enter(ANN)
    elsewhere, other = await house.enter(ANN, "other"), await house.enter(BEN)
    await house.moderation.kick(mod, Order("ann", reason="enough"))
    assert house.outbox.closed == [(one, "kicked"), (two, "kicked")]
    for client in (one, two):
        await house.service.leave(client)
    again = await house.enter(ANN)
    await house.post(again, "hello")
    await house.post(elsewhere, "hello")
    await house.post(other, "hello")
    assert house.outbox.closed == [(one, "kicked"), (two, "kicked")]
    house.clock.pass_(KICK_KEPT)
    await house.sweep()
    assert not house.engine.moderation.rules


# -- mute -----------------------------------------------------------------------------------------


async def test_who_is_muted_is_told_and_heard_no_more(house: House) -> None:
    mod, ann, ben = await house.moderator(), await house.enter(ANN), await house.enter(BEN)
    await house.moderation.mute(mod, Order("ann", 60.0, "spam"))
    notice = house.outbox.told[ann.id][-1].payload
    assert (notice["code"], notice["retry_after"]) == ("muted", 60)
    assert notice["message"] == "you may not post in this room for 60 seconds: spam"
    assert house.notices(ben) == house.notices(mod) == []
    house.clock.pass_(20)
    for attempt in (
        house.post(ann, "hello"),
        lambda: house.service.people.typing(ann, True),
        lambda: house.service.relay(ann, "cursor", [1]),
    ):
        refusal = await refused(attempt)
        assert (refusal.code, refusal.retry_after) == ("muted", 40)
    house.service.people.typing(ann, False)
    await house.post(ben, "hello")
    assert (await house.service.history(ann, wire.HistoryRequest(None, None, 9))).messages
    late = await house.enter(ANN)
    assert (await refused(house.post(late, "hello"))).code == "muted"
    house.clock.pass_(40)
    await house.post(ann, "hello")


async def test_what_waits_of_who_is_muted_is_not_passed_on(make: Callable[..., Any]) -> None:
    rule = RoomRule(match="*", relay_latest=["cursor"], relay_rate=1, moderate=["boss"])
    house: House = await make(rule)
    mod, ann, ben = await house.moderator(), await house.enter(ANN), await house.enter(BEN)

    def cursors() -> list[Any]:
        return [event.before[0] for event in house.outbox.told[ben.id] if event.name == "cursor"]

    for number in range(9):
        house.service.relay(ann, "cursor", [number])
    known = cursors()
    assert known[-1] < 8
    await house.moderation.mute(mod, Order("ann", 60.0))
    house.clock.pass_(5)
    house.service.sweep(house.clock())
    assert cursors() == known


async def test_a_mute_is_lifted(house: House) -> None:
    mod, ann = await house.moderator(), await house.enter(ANN)
    await house.moderation.mute(mod, Order("ann", 60.0))
    await house.moderation.lift(mod, "unmute", "ann")
    assert house.notices(ann) == ["muted", "unmuted"]
    await house.post(ann, "hello")
    refusal = await refused(house.moderation.lift(mod, "unmute", "ann"))
    assert (refusal.code, refusal.message) == ("bad_request", "there is no mute for this user")


async def test_who_types_is_not_put_out_for_being_muted(house: House) -> None:
    allowance = house.service._budget.connection(house.clock())
    assert all(allowance.refused("muted", house.clock()) for _ in range(100))


# -- ban ------------------------------------------------------------------------------------------


async def test_who_is_banned_is_put_out_and_kept_out(house: House) -> None:
    mod, ann, ben = await house.moderator(), await house.enter(ANN), await house.enter(BEN)
    ban = await house.moderation.ban(mod, Order("ann", 90.0, "a\u202ereason\n here"))
    assert (ban.by, ban.reason, ban.until) == ("mod", "areason here", house.clock() + 90)
    assert house.outbox.closed == [(ann, "banned")]
    assert (await refused(house.post(ann, "one last word"))).code == "banned"
    await house.service.leave(ann)
    members = await house.engine.members("lobby", limit=9)
    refusal = await refused(house.enter(ANN))
    assert refusal.code == "banned"
    assert refusal.message == (
        "you are banned from this room until 2023-11-14T22:14:50+00:00: areason here"
    )
    assert await house.engine.members("lobby", limit=9) == members, "they are a member still"
    await house.enter(ANN, "other")
    await house.post(ben, "hello")
    house.clock.pass_(90)
    await house.post(await house.enter(ANN), "hello")


async def test_no_member_is_made_of_who_is_banned(house: House) -> None:
    mod = await house.moderator()
    await house.moderation.ban(mod, Order("ann"))
    assert (await refused(house.enter(ANN))).message == "you are banned from this room"
    assert [user.id for user in await house.engine.members("lobby", limit=9)] == ["mod"]
    await house.moderation.lift(mod, "unban", "ann")
    await house.enter(ANN)


@pytest.mark.parametrize("step", ["trim", "join", "history", "enter"])
@pytest.mark.parametrize("after", [False, True])
async def test_a_ban_meets_who_is_just_joining(house: House, step: str, after: bool) -> None:
    """Whatever the join waits for: it is refused, or the client is ended."""
    mod = await house.moderator(room="other")
    gate = house.engine.hold(step, after=after)
    ann = house.client(ANN)
    joining = asyncio.create_task(house.service.join(ann, None))
    await gate.reached.wait()
    await house.moderation.impose_in("lobby", "ban", Order("ann"), mod.user.id)
    gate.open()
    try:
        await joining
    except Refusal as refusal:
        assert refusal.code == "banned"  # noqa: PT017 - either is right
    else:
        assert (ann, "banned") in house.outbox.closed
        assert (await refused(house.service.check(ann))).code == "banned"


async def test_everywhere_is_everywhere(house: House) -> None:
    one, two = await house.enter(ANN), await house.enter(ANN, "other")
    mod, ben = await house.moderator(), await house.enter(BEN)
    await house.moderation.impose_in(EVERYWHERE, "ban", Order("ann"), "ops")
    assert house.outbox.closed == [(one, "banned"), (two, "banned")]
    for room in ("lobby", "third"):
        refusal = await refused(house.enter(ANN, room))
        assert refusal.message == "you are banned from this server"
    session = house.client(ANN, "@me:ann")
    assert (await refused(house.service.admit(session))).code == "banned"
    await house.moderation.impose_in(EVERYWHERE, "mute", Order("mod", 9), "ops")
    assert (await refused(house.post(mod, "hello"))).code == "muted", "moderators too"
    await house.post(ben, "hello")
    assert await house.moderation.lift_in(EVERYWHERE, "unban", "ann", "ops")
    await house.enter(ANN, "third")


# -- by address -----------------------------------------------------------------------------------


async def test_a_ban_by_address_holds_for_whoever_comes_from_there(house: House) -> None:
    mod = await house.moderator()

    async def enter(user: User, address: str | None, room: str = "lobby") -> Client:
        client = house.client(user, room)
        client.address = address
        await house.join(client)
        return client

    ann, far = await enter(ANN, "10.0.0.1"), await enter(ANN, "10.0.0.2", "other")
    evader, local = await enter(CAT, "10.0.0.1"), await enter(BEN, None)
    mod.address = "10.0.0.1"
    await house.moderation.ban(mod, Order("ann", address=True))
    await house.engine.members("lobby", limit=1)  # what was learned has been written
    assert {client for client, _ in house.outbox.closed} == {ann, evader}
    assert (await refused(enter(GUEST, "10.0.0.1"))).code == "banned"
    await enter(GUEST, "10.0.0.2")
    await enter(GUEST, None)
    await house.post(mod, "who moderates is not bound")
    await house.post(local, "hello")
    await house.post(far, "hello")
    (listed,), _ = await house.moderation.bans(mod, ListRequest("ban", None, 9))
    assert listed.addresses == ("10.0.0.1",)
    assert "10.0.0.1" not in str(wire.bans_answer([listed], False))
    await house.moderation.lift(mod, "unban", "ann")
    await enter(GUEST, "10.0.0.1")


async def test_who_is_in_front_of_a_room_is_bound_by_what_is_decided_there(house: House) -> None:
    house.hub.put_before("@front", "lobby")
    mod = await house.moderator()

    async def wait(user: User, address: str | None = None, **identity: Any) -> Client:
        client = house.client(user, "@front", **identity)
        client.address = address
        house.hub.begin(client)
        await house.service.overhear(client, "lobby")
        house.hub.live(client)
        return client

    ann, other = house.client(ANN), await wait(BEN, "10.0.0.2")
    ann.address = "10.0.0.1"
    await house.join(ann)
    evader = await wait(GUEST, "10.0.0.1")
    colleague = await wait(CAT, "10.0.0.1", authenticated=True, grants=(Grant.everywhere(*ALL),))
    await house.moderation.ban(mod, Order("ann", address=True))
    await house.engine.members("lobby", limit=1)  # what was learned has been written
    assert set(house.outbox.closed) == {(ann, "banned"), (evader, "banned")}
    assert (await refused(wait(GUEST, "10.0.0.1"))).code == "banned"
    house.outbox.closed.clear()
    await house.moderation.kick(mod, Order("ben"))
    await house.moderation.impose_in("lobby", "ban", Order("cat"), "ops")
    assert house.outbox.closed == [(other, "kicked"), (colleague, "banned")]


async def test_without_the_wish_it_is_for_the_user_only(house: House) -> None:
    mod, ann = await house.moderator(), house.client(ANN)
    ann.address = "10.0.0.1"
    await house.join(ann)
    await house.moderation.ban(mod, Order("ann"))
    await house.engine.members("lobby", limit=1)
    evader = house.client(CAT)
    evader.address = "10.0.0.1"
    await house.join(evader)


# -- who may, and whom it binds -------------------------------------------------------------------


@pytest.mark.parametrize(
    "ask",
    [
        lambda service, client: service.kick(client, Order("ben")),
        lambda service, client: service.mute(client, Order("ben", 9)),
        lambda service, client: service.ban(client, Order("ben")),
        lambda service, client: service.lift(client, "unban", "ben"),
        lambda service, client: service.lift(client, "unmute", "ben"),
        lambda service, client: service.bans(client, ListRequest("ban", None, 9)),
        lambda service, client: service.configure(client, {"topic": "x"}),
        lambda service, client: service.log(client, LogRequest(None, 9)),
    ],
)
async def test_nobody_moderates_who_may_not(house: House, ask: Any) -> None:
    for client in (
        await house.enter(ANN),
        await house.enter(GUEST),
        await house.enter(User("boss", "B")),  # named by the rule, but has shown no token
        await house.enter(CAT, authenticated=True, grants=(Grant.everywhere("join", "read"),)),
    ):
        assert (await refused(ask(house.moderation, client))).code == "forbidden"
    assert (await refused(ask(house.moderation, house.client(MOD)))).code == "not_member"
    late = await house.moderator()
    late.identity = type(late.identity)(late.user, expires_at=house.clock())
    assert (await refused(ask(house.moderation, late))).code == "token_expired"
    assert await house.engine.moderation.acts("lobby", limit=9) == []


async def test_moderators_do_not_put_each_other_out(house: House) -> None:
    mod, other = await house.moderator(), await house.moderator(CAT)
    for kind in ("kick", "mute", "ban"):
        for user in ("cat", "boss"):
            refusal = await refused(getattr(house.moderation, kind)(mod, Order(user, 9)))
            assert refusal.code == "forbidden"
            assert "only an operator" in refusal.message
        assert (await refused(getattr(house.moderation, kind)(mod, Order("mod", 9)))).code == (
            "bad_request"
        )
    # of one who is not here nothing is known: it is kept, and does not bind them
    await house.service.leave(other)
    await house.moderation.ban(mod, Order("cat"))
    other = await house.moderator(CAT)
    assert house.outbox.closed == []
    assert (await refused(house.enter(CAT))).code == "banned", "without the permission it does"
    await house.post(other, "hello")


async def test_an_operator_binds_moderators(house: House) -> None:
    admin, mod = await house.operator(), await house.moderator()
    await house.moderation.ban(admin, Order("mod"))
    assert house.outbox.closed == [(mod, "banned")]
    assert (await refused(house.moderator())).code == "banned"
    other = await house.moderator(CAT)
    refusal = await refused(house.moderation.lift(other, "unban", "mod"))
    assert (refusal.code, "only an operator" in refusal.message) == ("forbidden", True)
    await house.moderation.lift(admin, "unban", "mod")
    await house.moderator()


# -- settings -------------------------------------------------------------------------------------


async def test_settings_are_told_to_who_is_here_and_who_comes(house: House) -> None:
    mod, ann = await house.moderator(), await house.enter(ANN)
    settings = await house.moderation.configure(mod, {"topic": "tea \u202e\n time"})
    assert settings.topic == "tea time"
    expected = {"topic": "tea time", "slow_mode": 0.0, "read_only": False}
    assert house.rooms_told(ann) == house.rooms_told(mod) == [expected]
    ben = await house.enter(BEN)
    welcome = house.outbox.told[ben.id][0]
    assert {name: welcome.payload[name] for name in expected} == expected
    await house.moderation.configure(mod, {"topic": "tea time"})
    assert house.rooms_told(ann) == [expected], "nothing has changed"
    assert await house.moderation.configure(mod, {}) == settings
    assert len(await house.engine.moderation.acts("lobby", limit=9)) == 2


async def test_who_is_welcomed_is_told_what_holds_then(house: House) -> None:
    mod, ben = await house.moderator(), house.client(BEN)
    joined = await house.service.join(ben, None)
    await house.moderation.configure(mod, {"topic": "late"})
    await house.hand_out(ben, joined)
    assert house.outbox.told[ben.id][0].payload["topic"] == "late"


async def test_in_a_read_only_room_moderators_post(house: House) -> None:
    mod, ann = await house.moderator(), await house.enter(ANN)
    await house.moderation.configure(mod, {"read_only": True})
    for attempt in (house.post(ann, "hello"), lambda: house.service.relay(ann, "cursor", [])):
        refusal = await refused(attempt)
        assert (refusal.code, "read-only" in refusal.message) == ("forbidden", True)
    await house.post(mod, "hello")
    ben = await house.enter(BEN)
    assert house.outbox.told[ben.id][0].payload["permissions"] == ["join", "read", "history"]
    cat = await house.moderator(CAT)
    assert "post" in house.outbox.told[cat.id][0].payload["permissions"]
    await house.moderation.configure(mod, {"read_only": None})
    await house.post(ann, "hello")


async def test_the_configuration_is_the_default(make: Callable[..., Any]) -> None:
    rule = RoomRule(match="*", topic="rules", read_only=True, slow_mode=30.0)
    house: House = await make(rule)
    mod, ann = await house.moderator(), await house.enter(ANN)
    assert house.outbox.told[ann.id][0].payload["topic"] == "rules"
    assert (await refused(house.post(ann, "hello"))).code == "forbidden"
    settings = await house.moderation.configure(mod, {"read_only": False, "slow_mode": 0.0})
    assert (settings.topic, settings.read_only, settings.slow_mode) == ("rules", False, 0.0)
    await house.post(ann, "hello", "at once")
    await house.moderation.configure(mod, {"slow_mode": 7.5, "topic": ""})
    await house.post(ann, "hello")
    refusal = await refused(house.post(ann, "hello"))
    assert (refusal.code, refusal.limit) == ("rate_limited", "slow_mode")
    assert (await house.moderation.settings_of("lobby")).topic == ""
    assert (await house.moderation.settings_of("empty")).topic == "rules"
    settings = await house.moderation.configure(
        mod, {"slow_mode": None, "topic": None, "read_only": None}
    )
    assert (settings.topic, settings.slow_mode, settings.read_only) == ("rules", 30.0, True)


# -- what is written down -------------------------------------------------------------------------


async def test_everything_is_recorded_and_counted(house: House) -> None:
    mod = await house.moderator()
    service = house.moderation
    await service.kick(mod, Order("ann", reason="r1"))
    await service.mute(mod, Order("ann", 9))
    await service.ban(mod, Order("ann"))
    await service.lift(mod, "unmute", "ann")
    await service.lift(mod, "unban", "ann")
    await service.configure(mod, {"topic": "tea", "read_only": None})
    acts, more = await service.log(mod, LogRequest(None, 4))
    assert more
    rest, more = await service.log(mod, LogRequest(acts[-1].number, 4))
    assert not more
    found = [(act.what, act.by, act.user, act.reason) for act in reversed([*acts, *rest])]
    assert found == [
        ("kick", "mod", "ann", "r1"),
        ("mute", "mod", "ann", ""),
        ("ban", "mod", "ann", ""),
        ("unmute", "mod", "ann", ""),
        ("unban", "mod", "ann", ""),
        ("settings", "mod", "", ""),
    ]
    assert acts[0].settings == {"topic": "tea", "read_only": None}
    counted = {what: count for what, count in house.metrics.moderation.items() if count}
    whats = ["kick", "mute", "ban", "unmute", "unban", "settings"]
    assert counted == dict.fromkeys(whats, 1)


async def test_bans_are_listed_in_pages(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    mod = await house.moderator()
    for user in ("c", "a", "b"):
        await house.moderation.ban(mod, Order(user, 9 if user == "b" else None))
    await house.moderation.mute(mod, Order("d", 9))
    page, more = await house.moderation.bans(mod, ListRequest("ban", None, 2))
    assert ([ban.user for ban in page], more) == (["a", "b"], True)
    page, more = await house.moderation.bans(mod, ListRequest("ban", "b", 2))
    assert ([ban.user for ban in page], more) == (["c"], False)
    page, _ = await house.moderation.bans(mod, ListRequest("mute", None, 2))
    assert [mute.user for mute in page] == ["d"]
    house.clock.pass_(9)
    page, _ = await house.moderation.bans(mod, ListRequest("ban", None, 9))
    assert [ban.user for ban in page] == ["a", "c"]
    monkeypatch.setattr(moderated, "MOST", 4)
    refusal = await refused(house.moderation.ban(mod, Order("e")))
    assert (refusal.code, refusal.limit) == ("too_many", "sanctions")


# -- hooks and webhooks ---------------------------------------------------------------------------


async def test_a_hook_may_refuse_what_a_moderator_does(house: House) -> None:
    mod, ann = await house.moderator(), await house.enter(ANN)
    asked: list[Moderating] = []

    @house.hooks.on_moderation
    async def not_ann(moderating: Moderating) -> None:
        asked.append(moderating)
        if moderating.act.user == "ann":
            raise Refusal("forbidden", "Ann is the owner")

    attempt = house.moderation.ban(mod, Order("ann", reason="spam"))
    assert (await refused(attempt)).message == "Ann is the owner"
    assert not house.engine.moderation.rules
    assert house.outbox.closed == []
    (one,) = asked
    assert (one.room, one.act.what, one.act.by, one.act.reason) == ("lobby", "ban", "mod", "spam")
    await house.moderation.mute(mod, Order("ben", 60.0))
    await house.moderation.lift(mod, "unmute", "ben")
    await house.moderation.configure(mod, {"topic": "tea"})
    assert [moderating.act.what for moderating in asked] == ["ban", "mute", "unmute", "settings"]
    await house.post(ann, "still here")


async def test_webhooks_are_told_what_moderators_did(make: Callable[..., Any]) -> None:
    endpoint = Webhook(name="crm", events=["moderation"])
    house = await make(endpoints=Webhooks(endpoints=[endpoint]))
    mod = await house.moderator()
    await house.moderation.ban(mod, Order("ann", 60.0, "spam"))
    await house.moderation.lift(mod, "unban", "ann")
    await house.moderation.configure(mod, {"topic": "tea"})
    assert await house.moderation.lift_in("lobby", "unban", "ann", "mod") is False
    notes = await house.engine.webhooks.notes("lobby", after=0, limit=9)
    told = [json.loads(payload.note("lobby", note).body) for note in notes]
    at = round(house.clock() * 1000)
    head = {"type": "moderation", "room": "lobby", "at": at, "by": "mod"}
    for event, note in zip(told, notes, strict=True):
        assert event.pop("generation") == note.number
        assert event.pop("id") == f"lobby@{note.number}"
    assert told == [
        {
            **head,
            "what": "ban",
            "user": "ann",
            "until": at + 60_000,
            "reason": "spam",
        },
        {**head, "what": "unban", "user": "ann"},
        {**head, "what": "settings", "settings": {"topic": "tea"}},
    ]
