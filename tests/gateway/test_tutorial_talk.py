"""The tutorial, step by step, as its pages speak; the table of docs/websocket.md, row by row."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import jwt
import pytest

from sioserver.errors import Refusal
from sioserver.gateway.anteroom import ROOM
from sioserver.hooks import Hooks, Joining, Posting
from sioserver.hub import Client
from sioserver.model import EVERYWHERE, Revocation
from sioserver.wire.moderation import Order

from .kit import SECRET, Gone, Place, Plain, configured, place, until

NOAUTH = {"event": "noauth", "message": "please auth again, your token is expired!"}


def token(user: str = "ann", seconds: float = 3600, **claims: Any) -> str:
    now = int(time.time())
    return jwt.encode({"sub": user, "exp": now + seconds, **claims}, SECRET, "HS256")


# ---------------------------------------------------------------------------- without tokens


async def test_what_is_no_json_is_passed_on_to_the_others_before_any_login() -> None:
    async with place() as here:
        one, two, three = [await here.open() for _ in range(3)]
        await until(lambda: len(here.door.connections) == 3)
        for text in ("hello", "42", '"a text in quotes"', "{no object", "[1, 2]"):
            await one.say(text)
        for other in (two, three):
            for text in ("hello", 42, "a text in quotes", "{no object", [1, 2]):
                assert await other.hear() == text
        await two.say("and back")
        assert await one.hear() == "and back"  # and nothing of its own


@pytest.mark.parametrize(
    "text", ['["join", {}, 1]', '\n[ "join", {}, 1 ]', '[\n\t"join", {}, 1\r\n]']
)
async def test_a_list_that_begins_with_a_text_is_the_native_dialect(text: str) -> None:
    async with place() as here:
        one, other = await here.open(), await here.open()
        await until(lambda: len(here.door.connections) == 2)
        await one.say(text)
        assert await one.hear() == ["ack", {"ok": True}, 1]
        await (await here.open()).say("hello")
        assert await other.hear() == "hello"  # and nothing before it


async def test_texts_are_heard_in_the_default_room_and_in_no_other() -> None:
    async with place() as here:
        talker, lobby, den = [await here.open() for _ in range(3)]
        await lobby.login("Lo")
        await den.login("Den", "den")
        await talker.say("hello")
        assert await lobby.hear() == "hello"
        await talker.login("Ta", "den")
        assert (await den.hear_until("login"))["name"] == "Ta"
        await lobby.say("too late for that")
        refused = await lobby.hear()
        assert (refused["event"], refused["code"]) == ("error", "bad_request")


@pytest.mark.parametrize("event", [{"event": "login"}, {}])
async def test_a_login_is_told_to_everybody_the_sender_too(event: dict[str, str]) -> None:
    async with place() as here:
        ann, ben = await here.open(), await here.open()
        await ann.say({**event, "name": "Ann", "roomid": "den", "uid": "ann"})
        told = {"event": "login", "name": "Ann", "roomid": "den", "uid": "ann"}
        assert await ann.hear() == {**told, "num": 1, "total": 1}
        await until(lambda: here.metrics.clients == 1)
        await ben.say({**event, "name": "Ben", "roomid": "den", "uid": 7})
        ben_told = {"event": "login", "name": "Ben", "roomid": "den", "uid": "7"}
        assert await ben.hear() == {**ben_told, "num": 2, "total": 2}
        assert await ann.hear() == {**ben_told, "num": 2, "total": 2}


async def test_without_a_room_it_is_the_default_one_and_without_a_uid_a_new_one() -> None:
    async with place(configured(rooms={"root": "hall"})) as here:
        ann = await here.open()
        told = await ann.login("Ann")
        assert told["roomid"] == "hall"
        assert told["uid"]
        await ann.close()
        back = await here.open()
        assert (await back.login("Ann", uid=told["uid"]))["uid"] == told["uid"]


@pytest.mark.parametrize("event", [{"event": "message"}, {}])
async def test_a_message_is_told_to_everybody_the_sender_too(event: dict[str, str]) -> None:
    async with place() as here:
        ann, ben = await here.open(), await here.open()
        await ann.login("Ann", "den", "ann")
        await ben.login("Ben", "den", "ben")
        await ben.say({**event, "name": "Ben", "message": "hi"})
        told = {"event": "message", "name": "Ben", "message": "hi", "num": 2, "total": 2}
        assert await ben.hear_until("message") == told
        assert await ann.hear_until("message") == told


async def test_a_message_before_a_login_is_one_in_the_default_room() -> None:
    async with place() as here:
        ann, ben = await here.open(), await here.open()
        await ben.login("Ben")
        await ann.say({"name": "Ann", "message": "hi"})
        assert (await ann.hear())["event"] == "login"
        for client in (ann, ben):
            told = await client.hear_until("message")
            assert (told["name"], told["message"]) == ("Ann", "hi")


async def test_who_closes_is_told_to_have_left_and_members_stay_members() -> None:
    async with place(configured(presence={"grace": 3600.0, "batch": 0.02})) as here:
        ann, ben = await here.open(), await here.open()
        await ann.login("Ann", "den", "ann")
        await ben.login("Ben", "den", "ben")
        assert (await ann.hear_until("login"))["name"] == "Ben"
        await ben.close()
        assert await ann.hear_until("logout") == {"event": "logout", "name": "Ben", "num": 1}
        await ann.say({"name": "Ann", "message": "alone"})
        told = await ann.hear_until("message")
        assert (told["num"], told["total"]) == (1, 2)


async def test_who_comes_back_gets_what_it_missed_once_and_in_order() -> None:
    async with place() as here:
        ann, ben = await here.open(), await here.open()
        await ann.login("Ann", "den", "ann")
        await ben.login("Ben", "den", "ben")
        await ann.say({"name": "Ann", "message": "seen"})
        await ben.hear_until("message")
        (client,) = [
            client
            for connection in here.door.connections
            for client in connection.clients.values()
            if client.user.id == "ben"
        ]
        await until(lambda: client.proven == 1)
        await ben.cut()
        await until(lambda: len(here.door.connections) == 1)
        for number in range(5):
            await ann.say({"name": "Ann", "message": f"missed {number}"})
        for _ in range(5):
            await ann.hear_until("message")
        back = await here.open()
        await back.login("Ben", "den", "ben")
        await ann.say({"name": "Ann", "message": "live"})
        heard = [(await back.hear_until("message"))["message"] for _ in range(6)]
        assert heard == [*(f"missed {number}" for number in range(5)), "live"]


async def test_nobody_is_told_of_those_who_were_there_before() -> None:
    async with place(configured(presence={"grace": 0.1, "batch": 0.3})) as here:
        clients = [await here.open() for _ in range(4)]
        for number, client in enumerate(clients):
            told = await client.login(f"u{number}", "den", f"u{number}")
            assert (told["num"], told["total"]) == (number + 1, number + 1)
        for number, client in enumerate(clients):
            logins = [(await client.hear())["uid"] for _ in clients[number + 1 :]]
            assert sorted(logins) == [f"u{later}" for later in range(number + 1, 4)]
        await clients[0].say({"name": "u0", "message": "hi"})
        for client in clients:
            assert (await client.hear())["message"] == "hi"


async def test_another_login_moves_to_another_room() -> None:
    async with place() as here:
        ann, ben = await here.open(), await here.open()
        await ann.login("Ann", "den", "ann")
        await ben.login("Ben", "den", "ben")
        assert (await ann.hear_until("login"))["name"] == "Ben"
        assert (await ben.login("Ben", "hall", "ben"))["roomid"] == "hall"
        assert (await ann.hear_until("logout"))["name"] == "Ben"
        await ben.say({"name": "Ben", "message": "in the hall"})
        await ben.hear_until("message")
        await ann.say({"name": "Ann", "message": "in the den"})
        assert (await ann.hear_until("message"))["message"] == "in the den"


async def test_who_comes_back_to_a_room_hears_nothing_again() -> None:
    async with place(configured(delivery={"confirm": 60})) as here:
        ann = await here.open()
        await ann.login("Ann", "den", "ann")
        [connection] = here.door.connections
        for text in ("one", "two", "three"):
            await ann.say({"message": text})
            await ann.hear_until("message")
            await until(lambda: not connection._ping_due)
        await ann.login("Ann", "hall", "ann")
        await until(lambda: not connection._ping_due)
        await ann.login("Ann", "den", "ann")
        await ann.say({"message": "four"})
        assert (await ann.hear_until("message"))["message"] == "four"


# ---------------------------------------------------------------------------- heartbeats


async def test_who_answers_stays_and_who_does_not_is_cut_off() -> None:
    async with place(configured(gateway={"heartbeat": 0.2})) as here:
        well, mute = await here.open(), await here.open()
        await well.login("Well", "den", "well")
        await mute.login("Mute", "den", "mute")
        assert (await well.hear_until("login"))["name"] == "Mute"
        mute.pongs = False
        assert await well.hear_until("logout") == {"event": "logout", "name": "Mute", "num": 1}
        await mute.gone()
        assert mute.beats >= 1
        assert here.metrics.disconnects["ping_timeout"] == 1
        beats = well.beats
        await until(lambda: well.beats >= beats + 3)
        assert not well.ws.closed


async def test_who_has_only_said_texts_need_not_answer_in_json() -> None:
    async with place(configured(gateway={"heartbeat": 0.1})) as here:
        plain = await here.open()
        plain.pongs = False
        await until(lambda: plain.beats >= 4)
        assert not plain.ws.closed


async def test_heartbeats_that_nobody_asked_for_cost_events() -> None:
    limits = {"event_burst": 5, "event_rate": 0.1, "refused_burst": 1, "refused_rate": 0.1}
    async with place(configured(limits=limits)) as here:
        flood = await here.open()
        for _ in range(100):
            await flood.say({"event": "heartbeat", "message": "pong"})
        assert await flood.gone() == 3505
        assert here.metrics.limit_hits["refused_rate"] == 1


# ---------------------------------------------------------------------------- with tokens

WITH_TOKENS = {"secret": SECRET}


@pytest.mark.parametrize(
    "frame",
    [
        {"event": "login", "name": "Ann"},
        {"name": "Ann"},
        {"name": "Ann", "message": "hi"},
        {"event": "heartbeat", "message": "pong"},
        "hello",
        {"event": "auth", "message": "no token"},
    ],
)
async def test_before_a_valid_token_nothing_is_done(frame: Any) -> None:
    async with place(configured(auth=WITH_TOKENS)) as here:
        other = await here.open()
        await other.say({"event": "auth", "message": token("ben")})
        await other.login("Ben")
        ann = await here.open()
        await ann.say(frame)
        assert await ann.hear() == NOAUTH
        await ann.say({"event": "auth", "message": token("ann")})
        told = await ann.login("Whoever", "lobby", "somebody else")
        assert (told["uid"], told["num"]) == ("ann", 2)
        assert (await other.hear())["event"] == "login"  # and nothing before it


async def test_a_token_that_expires_and_a_fresh_one() -> None:
    async with place(configured(auth={**WITH_TOKENS, "leeway": 0})) as here:
        ann, ben = await here.open(), await here.open()
        await ben.say({"event": "auth", "message": token("ben")})
        await ben.login("Ben", "den")
        await ann.say({"event": "auth", "message": token("ann", 2)})
        await ann.login("Ann", "den")
        assert (await ben.hear_until("login"))["uid"] == "ann"
        assert await ann.hear_until("noauth") == NOAUTH
        assert (await ben.hear_until("logout"))["name"] == "ann"
        await ann.say({"name": "Ann", "message": "lost"})
        assert await ann.hear() == NOAUTH
        await ben.say({"name": "Ben", "message": "missed"})
        await ben.hear_until("message")
        await ann.say({"event": "auth", "message": token("ann")})
        assert (await ann.hear())["event"] == "login"  # where it was
        assert (await ann.hear())["message"] == "missed"
        await ann.say({"name": "Ann", "message": "back"})
        assert (await ben.hear_until("message"))["message"] == "back"


async def test_a_fresh_token_in_time_changes_nothing() -> None:
    async with place(configured(auth={**WITH_TOKENS, "leeway": 0})) as here:
        ann = await here.open()
        await ann.say({"event": "auth", "message": token("ann", 60)})
        await ann.login("Ann")
        await ann.say({"event": "auth", "message": token("ann")})
        await ann.say({"event": "auth", "message": "no token"})
        assert await ann.hear() == NOAUTH
        await ann.say({"event": "auth", "message": token("ben")})
        assert (await ann.hear())["code"] == "forbidden"
        await ann.say({"name": "Ann", "message": "still here"})
        assert (await ann.hear_until("message"))["message"] == "still here"


async def test_a_revoked_token_ends_the_connection() -> None:
    async with place(configured(auth=WITH_TOKENS)) as here:
        ann = await here.open(headers={"Authorization": f"Bearer {token('ann', jti='j1')}"})
        await ann.login("Ann")
        engine = here.rooms._engine
        await engine.tokens.revoke(Revocation("token", "j1", time.time() + 3600))
        assert await ann.hear_until("noauth") == NOAUTH
        assert await ann.gone() == 3504


async def test_who_shows_no_token_does_not_stay() -> None:
    limits = {"connect_timeout": 0.1}
    async with place(configured(auth=WITH_TOKENS, limits=limits)) as here:
        assert await (await here.open()).gone() == 3004
    async with place(configured(limits=limits)) as here:
        listener, talker = await here.open(), await here.open()
        await until(lambda: [one.due for one in here.door.connections] == [None] * 2)
        await talker.say("still here")
        assert await listener.hear() == "still here"


async def test_where_no_tokens_are_taken_one_does_no_harm() -> None:
    async with place() as here:
        ann = await here.open()
        await ann.say({"event": "auth", "message": "whatever"})
        assert (await ann.login("Ann"))["event"] == "login"


# ---------------------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ({}, "bad_request"),
        ({"event": "no such event"}, "unknown_event"),
        ({"event": 5}, "unknown_event"),
        ({"event": "message", "name": "Ann"}, "bad_request"),
        ({"event": "auth"}, "bad_request"),
        ({"event": "login", "name": ["Ann"]}, "bad_request"),
        ({"event": "login", "name": "Ann", "roomid": "a room"}, "bad_room"),
        ({"event": "login", "name": "Ann", "roomid": "@me"}, "bad_room"),
        ({"event": "login", "name": "Ann", "uid": "guest:x"}, "bad_request"),
        ('{"a":' * 100 + "1" + "}" * 100, "bad_request"),
    ],
)
async def test_a_frame_that_says_nothing_is_answered(frame: Any, code: str) -> None:
    async with place() as here:
        ann = await here.open()
        await ann.say(frame)
        refused = await ann.hear()
        assert (refused["event"], refused["code"]) == ("error", code)
        assert refused["message"]
        assert (await ann.login("Ann"))["event"] == "login"


async def test_a_message_that_is_too_large_and_one_that_is_too_fast() -> None:
    limits = {"max_body": 100, "message_burst": 2, "message_rate": 0.01}
    async with place(configured(limits=limits)) as here:
        ann, ben = await here.open(), await here.open()
        await ben.say("x" * 101)
        assert (await ben.hear())["code"] == "too_large"
        await ann.login("Ann")
        await ann.say({"name": "Ann", "message": "x" * 101})
        assert (await ann.hear())["code"] == "too_large"
        for _ in range(3):
            await ann.say({"name": "Ann", "message": "hi"})
        assert (await ann.hear_until("error"))["code"] == "rate_limited"


async def test_binary_is_no_frame_of_the_tutorial() -> None:
    async with place() as here:
        ann = await here.open()
        await ann.say(b"binary")
        assert await ann.gone() == 3005


async def test_what_others_post_in_other_shapes(here: Place) -> None:
    nat, ann = await here.native("den", user="nat"), await here.open()
    await ann.login("Ann", "den", "ann")
    for body in ({"x": [1]}, 7, None):
        await nat.ask("message", [body])
        told = await ann.hear_until("message")
        assert (told["name"], told["message"]) == ("nat", [body])


async def test_what_was_lost_is_said() -> None:
    async with place(configured(rooms={"recovery_limit": 2})) as here:
        ann, ben = await here.open(), await here.open()
        await ann.login("Ann", "den", "ann")
        await ben.login("Ben", "den", "ben")
        await ben.close()
        for number in range(5):
            await ann.say({"name": "Ann", "message": number})
            await ann.hear_until("message")
        back = await here.open()
        await back.login("Ben", "den", "ben")
        assert await back.hear() == {
            "event": "gap",
            "message": "the messages 1 to 3 could not be recovered",
        }
        assert [(await back.hear())["message"] for _ in range(2)] == [3, 4]


@pytest.fixture
async def here() -> Any:
    async with place() as found:
        yield found


async def test_a_list_with_a_name_is_the_native_dialect(here: Place) -> None:
    nat = await here.open()
    await nat.say('["join",{"room":"den","user":"nat"},1]')
    assert await nat.hear() == ["ack", {"ok": True}, 1]
    other = await here.open()
    await other.say("for those who wait")
    assert [frame[0] for frame in await nat.hear_all()][:1] == ["welcome"]


async def test_nothing_is_left(here: Place) -> None:
    clients: list[Plain] = [await here.open() for _ in range(4)]
    await clients[0].login("Ann", "den", "ann")
    await clients[1].login("Ben")
    await clients[2].say("hello")
    await clients[0].cut()
    for client in clients[1:]:
        await client.close(1001)
    await until(lambda: not here.door.connections)
    await until(lambda: len(here.rooms._hub) == 0)
    assert here.metrics.clients == 0
    assert here.metrics.connections["raw"] == 0
    with pytest.raises(Gone):
        await clients[0].hear_until("nothing")


# ---------------------------------------------------------------------------- who says what where


async def test_a_token_of_the_handshake_is_looked_at_before_anything_is_heard_or_said() -> None:
    async with place(configured(auth={"secret": SECRET})) as here:
        ann = await here.open(headers={"Authorization": f"Bearer {token()}"})
        await ann.login("Ann")
        bad, good = [
            await here.open(headers={"Authorization": f"Bearer {shown}"})
            for shown in ("rubbish", token("ben"))
        ]
        await bad.say("from a stranger")
        assert await bad.hear() == NOAUTH
        await good.say("from a friend")
        assert await ann.hear() == "from a friend"
        await ann.say({"message": "hello"})
        assert (await ann.hear())["event"] == "message"
        await bad.say("once more")
        assert await bad.hear() == NOAUTH  # and nothing of what was said


async def test_who_may_not_post_in_the_default_room_says_no_texts_there_either() -> None:
    moderators = {"rules": [{"match": "lobby", "moderate": ["mod"]}]}
    async with place(configured(auth={"secret": SECRET}, rooms=moderators)) as here:
        mod = await here.native("lobby", token=token("mod"))
        eve = await here.open(headers={"Authorization": f"Bearer {token('eve')}"})
        await eve.say("one")
        assert (await mod.ask("mute", {"user": "eve", "seconds": 600}))["ok"]
        await eve.say("two")
        assert (await eve.hear())["code"] == "muted"
        assert (await mod.ask("unmute", {"user": "eve"}))["ok"]
        assert (await mod.ask("settings", {"read_only": True}))["ok"]
        await eve.say("three")
        assert (await eve.hear())["code"] == "forbidden"
        assert (await mod.ask("settings", {"read_only": False}))["ok"]
        assert (await mod.ask("ban", {"user": "eve"}))["ok"]
        assert await eve.gone() == 3506


async def test_a_revoked_token_says_no_more_texts() -> None:
    async with place(configured(auth=WITH_TOKENS)) as here:
        eve = await here.open(headers={"Authorization": f"Bearer {token('eve', jti='j1')}"})
        ann = await here.open(headers={"Authorization": f"Bearer {token('ann')}"})
        await ann.say("one")
        assert await eve.hear() == "one"
        await here.rooms._engine.tokens.revoke(Revocation("token", "j1", time.time() + 3600))
        assert await eve.hear() == NOAUTH
        assert await eve.gone() == 3504


async def test_hooks_are_asked_about_texts() -> None:
    hooks = Hooks()

    @hooks.on_message
    def polite(posting: Posting) -> Posting | None:
        assert posting.room == "lobby"
        if posting.body == "numbers":
            return posting.with_body([1, 2])
        return posting.with_body(posting.body.replace("darn", "d***"))

    async with place(hooks=hooks) as here:
        one, two = await here.open(), await here.open()
        await until(lambda: len(here.door.connections) == 2)
        await one.say("numbers")
        assert (await one.hear())["code"] == "bad_request"
        await one.say("darn it")
        assert await two.hear() == "d*** it"


async def test_after_a_login_that_was_refused_nothing_is_said_elsewhere() -> None:
    rules = {"rules": [{"match": "vip", "join": ["boss"]}]}
    async with place(configured(rooms=rules)) as here:
        lobby, ann = await here.open(), await here.open()
        await lobby.login("Lo")
        await ann.say({"event": "login", "name": "Ann", "roomid": "vip"})
        assert (await ann.hear())["code"] == "forbidden"
        await ann.say({"event": "message", "name": "Ann", "message": "for the vips"})
        assert (await ann.hear())["code"] == "forbidden"
        await lobby.say({"message": "nothing came before this"})
        assert (await lobby.hear())["message"] == "nothing came before this"


async def test_who_waits_for_a_slow_hook_has_not_gone_away() -> None:
    hooks, done = Hooks(), asyncio.Event()

    @hooks.on_message
    async def slow(posting: Posting) -> None:
        await done.wait()

    async with place(configured(gateway={"heartbeat": 0.05}), hooks=hooks) as here:
        ann = await here.open()
        await ann.login("Ann")
        for text in ("one", "two"):
            await ann.say({"message": text})
        [connection] = here.door.connections
        # the answer to a heartbeat stands behind a message, and the next one is due
        await until(lambda: connection._answer_due and len(connection._inbox or ()) > 1)
        connection._beats()
        done.set()
        assert (await ann.hear_until("message"))["message"] == "one"
        assert (await ann.hear())["message"] == "two"


# ---------------------------------------------------------------------------- who only hears

LOBBY_MOD = {"rules": [{"match": "lobby", "moderate": ["mod"]}]}
BEHIND_A_PROXY = {"trusted_proxies": ["127.0.0.1"]}


def bearer(shown: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {shown}"}


def from_(address: str) -> dict[str, str]:
    return {"X-Forwarded-For": address}


def listeners(here: Place) -> list[Client]:
    found: list[Client] = here.rooms._hub.live_in(ROOM)
    return found


async def heard_by(here: Place, number: int) -> None:
    """Wait until so many hear what is said before a login."""
    await until(lambda: len(listeners(here)) == number)


def nearly_an_hour_passes(here: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the clock by which tokens end: of what expires in an hour, only a moment is left."""
    monkeypatch.setattr(here.door._rooms._expiry, "_clock", lambda: time.time() + 3599.9)


async def banned_by_address(here: Place, where: str) -> None:
    """Eve is banned in the default room by its moderator, or everywhere by an operator, with the
    address that she comes from."""
    eve = await here.open("sioserver.v1", headers=from_("192.0.2.7"))
    await eve.join("lobby", token=token("eve"))
    if where == "lobby":
        mod = await here.native("lobby", token=token("mod"))
        assert (await mod.ask("ban", {"user": "eve", "address": True}))["ok"]
    else:
        order = Order("eve", address=True)
        await here.rooms.moderation.impose_in(EVERYWHERE, "ban", order, "ops")
    assert await eve.gone() == 3506


@pytest.mark.parametrize("where", ["lobby", EVERYWHERE])
async def test_a_ban_by_address_ends_who_only_listens_and_lets_nobody_listen(where: str) -> None:
    limits = {"connect_timeout": 0.3}
    config = configured(
        auth={"secret": SECRET, "anonymous": True},
        rooms=LOBBY_MOD,
        server=BEHIND_A_PROXY,
        limits=limits,
    )
    async with place(config) as here:
        alias = await here.open(headers=from_("192.0.2.7"))
        other, talker = [await here.open(headers=from_("192.0.2.8")) for _ in range(2)]
        await heard_by(here, 3)
        await talker.say("hello")
        assert [await one.hear() for one in (alias, other)] == ["hello"] * 2
        await banned_by_address(here, where)
        assert await alias.gone() == 3506
        assert here.metrics.disconnects["banned"] == 2
        back = await here.open(headers=from_("192.0.2.7"))
        await talker.say("without them")
        assert await other.hear() == "without them"
        await back.say("may I?")
        assert (await back.hear())["code"] == "banned"  # and nothing before
        assert await back.gone() == 3004  # it neither hears anything nor is anywhere
        await heard_by(here, 2)


async def test_who_waits_for_a_hook_is_put_out_at_once() -> None:
    hooks, asked, done = Hooks(), asyncio.Event(), asyncio.Event()

    @hooks.on_message
    async def slow(posting: Posting) -> None:
        asked.set()
        await done.wait()

    config = configured(auth={"secret": SECRET}, rooms=LOBBY_MOD)
    async with place(config, hooks=hooks) as here:
        mod = await here.native("lobby", token=token("mod"))
        eve = await here.open(headers=bearer(token("eve")))
        await eve.say("slowly")
        await asked.wait()
        assert (await mod.ask("ban", {"user": "eve"}))["ok"]
        assert await eve.gone() == 3506
        done.set()
        await until(lambda: len(here.door.connections) == 1)


async def test_who_is_banned_in_the_default_room_may_be_elsewhere() -> None:
    config = configured(
        auth={"secret": SECRET, "anonymous": True}, rooms=LOBBY_MOD, server=BEHIND_A_PROXY
    )
    async with place(config) as here:
        await banned_by_address(here, "lobby")
        alias = await here.open(headers=from_("192.0.2.7"))
        assert (await alias.login("Al", "den"))["roomid"] == "den"
        await alias.say({"message": "hello"})
        assert (await alias.hear_until("message"))["message"] == "hello"
        assert not listeners(here)


async def test_a_moderator_listens_wherever_a_moderator_has_banned_them() -> None:
    rules = {"rules": [{"match": "lobby", "moderate": ["mod", "mo"]}]}
    config = configured(auth={"secret": SECRET}, rooms=rules, server=BEHIND_A_PROXY)
    async with place(config) as here:
        mo = await here.open(headers={**bearer(token("mo")), **from_("192.0.2.7")})
        await heard_by(here, 1)
        await banned_by_address(here, "lobby")
        back = await here.open(headers={**bearer(token("mo")), **from_("192.0.2.7")})
        await mo.say("still here")
        assert await back.hear() == "still here"


async def test_whose_token_expires_hears_no_more_until_a_fresh_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = configured(auth=WITH_TOKENS, limits={"connect_timeout": 3600.0})
    async with place(config) as here:
        ann = await here.open(headers=bearer(token("ann", 7200)))
        await heard_by(here, 1)
        nearly_an_hour_passes(here, monkeypatch)
        eve = await here.open(headers=bearer(token("eve", 3600)))
        assert await eve.hear() == NOAUTH
        assert [client.user.id for client in listeners(here)] == ["ann"]
        await ann.say("not for her")
        await eve.say("what was that?")
        assert await eve.hear() == NOAUTH
        await eve.say({"event": "auth", "message": token("eve", 7200)})
        await heard_by(here, 2)
        await ann.say("welcome back")
        assert await eve.hear() == "welcome back"


async def test_a_fresh_token_takes_the_place_of_the_one_that_is_about_to_expire() -> None:
    async with place(configured(auth=WITH_TOKENS)) as here:
        eve = await here.open(headers=bearer(token("eve", 600)))
        ann = await here.open(headers=bearer(token("ann")))
        await heard_by(here, 2)

        def ends() -> int:
            [hers] = [one for one in listeners(here) if one.user.id == "eve"]
            assert hers.identity.expires_at is not None
            return round((hers.identity.expires_at - time.time()) / 600)

        assert ends() == 1
        await eve.say({"event": "auth", "message": token("eve", 6000)})
        await until(lambda: ends() == 10)
        # in the default room, too: whoever is in there hears as whom they are in there
        await eve.login("Eve")
        await eve.say({"event": "auth", "message": token("eve", 12000)})
        await until(lambda: ends() == 20)
        await ann.say("once")
        assert await eve.hear() == "once"
        assert len(here.rooms._hub.holders) == 2
        await eve.close()
        await until(lambda: len(here.rooms._hub.holders) == 1)


async def test_where_tokens_are_optional_one_that_expires_leaves_a_guest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = configured(auth={"secret": SECRET, "anonymous": True})
    async with place(config) as here:
        ann, eve = await here.open(), await here.open()
        await heard_by(here, 2)
        nearly_an_hour_passes(here, monkeypatch)
        await eve.say({"event": "auth", "message": token("eve", 3600)})
        assert await eve.hear() == NOAUTH
        await heard_by(here, 1)
        await eve.say("as a guest")
        assert await ann.hear() == "as a guest"
        await ann.say("hello, guest")
        assert await eve.hear() == "hello, guest"


async def test_who_shows_a_bad_token_hears_no_more_where_one_is_needed() -> None:
    async with place(configured(auth=WITH_TOKENS)) as here:
        eve = await here.open(headers=bearer(token("eve")))
        ann = await here.open(headers=bearer(token("ann")))
        await heard_by(here, 2)
        await eve.say({"event": "auth", "message": "rubbish"})
        assert await eve.hear() == NOAUTH
        assert [client.user.id for client in listeners(here)] == ["ann"]
        await ann.say("not for her")
        await eve.say({"event": "auth", "message": token("eve")})
        await heard_by(here, 2)
        await ann.say("but this")
        assert await eve.hear() == "but this"


async def test_a_token_that_is_revoked_while_it_is_looked_at_hears_nothing() -> None:
    hooks, asked, done = Hooks(), asyncio.Event(), asyncio.Event()

    @hooks.on_join
    async def slow(joining: Joining) -> None:
        asked.set()
        await done.wait()

    async with place(configured(auth=WITH_TOKENS), hooks=hooks) as here:
        eve = await here.open(headers=bearer(token("eve", jti="j1")))
        await asked.wait()
        await here.rooms._engine.tokens.revoke(Revocation("token", "j1", time.time() + 3600))
        done.set()
        assert await eve.hear() == NOAUTH
        assert await eve.gone() == 3504
        assert len(here.rooms._hub) == 0


async def test_whom_a_hook_does_not_let_join_hears_nothing_either() -> None:
    hooks = Hooks()

    @hooks.on_join
    def known(joining: Joining) -> None:
        if joining.user.guest:
            raise Refusal("forbidden", "no guests")

    config = configured(auth={"secret": SECRET, "anonymous": True})
    async with place(config, hooks=hooks) as here:
        eve = await here.open()
        ann, ben = await here.open(), await here.open()
        for one, name in ((ann, "ann"), (ben, "ben")):
            await one.say({"event": "auth", "message": token(name)})
        await heard_by(here, 2)
        await ann.say("among friends")
        assert await ben.hear() == "among friends"
        await eve.say("may I?")
        assert (await eve.hear())["code"] == "forbidden"


async def test_who_turns_out_to_speak_the_native_dialect_is_not_ended_for_having_waited() -> None:
    hooks, asked, done = Hooks(), asyncio.Event(), asyncio.Event()

    @hooks.on_join
    async def slow(joining: Joining) -> None:
        if joining.user.guest:
            asked.set()
            await done.wait()

    config = configured(
        auth={"secret": SECRET, "anonymous": True}, rooms=LOBBY_MOD, server=BEHIND_A_PROXY
    )
    async with place(config, hooks=hooks) as here:
        mod = await here.native("lobby", token=token("mod"))  # this node knows the room's rules
        mo = await here.open(headers=from_("192.0.2.7"))
        await asked.wait()
        await mo.say(["join", {"room": "lobby", "token": token("mod")}, 1])
        [connection] = [one for one in here.door.connections if not one.clients]
        await until(lambda: connection._inbox)
        assert (await mod.ask("ban", {"user": "eve", "address": True}))["ok"]
        here.rooms._engine.moderation.learn("lobby", "eve", ("192.0.2.7",))
        await until(lambda: len(connection._inbox or ()) == 2)  # the frame, and the end behind it
        done.set()
        assert await mo.hear() == ["ack", {"ok": True}, 1]
        assert (await mo.hear())[0] == "welcome"
        assert (await mo.ask("message", "still here"))["ok"]
