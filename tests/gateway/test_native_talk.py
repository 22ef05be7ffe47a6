"""The native dialect over the wire: joining, asking, missing something, being put out."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import jwt
import msgspec
import pytest

from sioserver.client import RoomClient
from sioserver.model import Message, Revocation

from .kit import SECRET, Place, Plain, configured, place, until


@pytest.fixture
async def here() -> Any:
    async with place() as found:
        yield found


def token(user: str = "ann", seconds: float = 3600, **claims: Any) -> str:
    now = int(time.time())
    return jwt.encode({"sub": user, "exp": now + seconds, **claims}, SECRET, "HS256")


async def test_a_join_is_answered_and_then_welcomed(here: Place) -> None:
    ann = await here.open("sioserver.v1")
    event, payload, position = await ann.join("den", user="ann", name="Ann")
    assert event == "welcome"
    assert payload["room"] == "den"
    assert (payload["user"], payload["name"]) == ("ann", "Ann")
    assert (payload["online"], payload["total"]) == (1, 1)
    assert payload["recovered"] is False
    assert payload["pid"]
    assert position == payload["position"]
    assert ann.ws.protocol == "sioserver.v1"


async def test_what_is_asked_and_answered(here: Place) -> None:
    ann, ben = await here.native(user="ann"), await here.native(user="ben")
    posted = await ann.ask("message", {"deep": [1, None]}, {"id": "m1"})
    assert (posted["ok"], posted["id"], posted["offset"]) == (True, "m1", 1)
    assert await ann.ask("message", {"deep": [1, None]}, {"id": "m1"}) == posted
    event, payload, position = await ben.hear_until("message")
    assert event == "message"
    assert payload["body"] == {"deep": [1, None]}
    assert position.endswith(".1")
    page = await ben.ask("history", {"limit": 5})
    assert [item["id"] for item in page["items"]] == ["m1"]
    assert await ben.ask("read", 1) == {"ok": True, "unread": 0}
    everybody = await ben.ask("members", {"all": True})
    assert {one["user"] for one in everybody["members"]} == {"ann", "ben"}
    assert (await ben.ask("typing", True)) == {"ok": True}
    typing = await ann.hear_until("typing")
    assert typing == ["typing", {"user": "ben", "name": "ben", "on": True}]
    assert await ben.ask("leave") == {"ok": True}
    assert await ben.gone() == 1000


async def test_what_is_done_to_messages(here: Place) -> None:
    ann, ben = await here.native(user="ann"), await here.native(user="ben")
    assert (await ann.ask("message", "helo", {"id": "m1"}))["offset"] == 1
    edited = await ann.ask("edit", {"id": "m1", "body": "hello"})
    assert (edited["offset"], edited["target"]) == (2, 1)
    event, payload, position = await ben.hear_until("edit")
    assert (event, payload["offset"], payload["body"]) == ("edit", 1, "hello")
    assert position.endswith(".2")
    assert (await ben.ask("delete", {"offset": 1}))["error"]["code"] == "forbidden"
    assert (await ben.ask("react", {"offset": 1, "emoji": "🎉"}))["ok"]
    assert (await ann.hear_until("reaction"))[1]["count"] == 1
    (shown,) = (await ben.ask("history"))["items"]
    assert (shown["body"], shown["reactions"], shown["mine"]) == ("hello", {"🎉": 1}, ["🎉"])
    assert (await ann.ask("delete", {"offset": 1}))["ok"]
    assert (await ben.hear_until("delete"))[1]["id"] == "m1"
    (shown,) = (await ben.ask("history"))["items"]
    assert (shown["body"], "deleted" in shown) == (None, True)
    # who was there before, and comes back, is told of it in order
    _, payload, *_ = await (again := await here.open("sioserver.v1")).join(
        "den", user="ben", position=position
    )
    assert payload["recovered"]
    assert (await again.hear_until("reaction"))[1]["user"] == "ben"
    assert (await again.hear_until("delete"))[2].endswith(".4")


async def test_a_room_of_two(here: Place) -> None:
    ann, ben = await here.open("sioserver.v1"), await here.open("sioserver.v1")
    _, payload, *_ = await ann.join("@dm/ben", user="ann")
    assert (payload["room"], payload["peer"]["user"]) == ("@dm/ben", "ben")
    assert (await ann.ask("message", "psst"))["ok"]
    _, payload, *_ = await ben.join("@dm/ann", user="ben")
    assert (payload["room"], payload["unread"]) == ("@dm/ann", 1)
    assert (await ben.hear_until("message"))[1]["body"] == "psst"


async def test_events_that_the_room_passes_on() -> None:
    rules = [{"match": "den", "relay": ["cursor"]}]
    async with place(configured(rooms={"rules": rules})) as here:
        ann, ben = await here.native(user="ann"), await here.native(user="ben")
        sender = {"user": "ann", "name": "ann"}
        for frame, told in (
            (["cursor"], ["cursor", None, None, sender]),
            (["cursor", {"x": 1}], ["cursor", {"x": 1}, None, sender]),
            (["cursor", {"x": 1}, None, 2], ["cursor", {"x": 1}, None, 2, sender]),
        ):
            await ann.say(frame)
            assert await ben.hear_until("cursor") == told


async def test_the_default_room_and_the_session(here: Place) -> None:
    ann = await here.open("sioserver.v1")
    assert (await ann.join())[1]["room"] == "lobby"
    session = await here.open("sioserver.v1")
    _, payload, *_ = await session.join("@me", user="ann")
    assert payload["user"] == "ann"
    answer = await session.ask("rooms")
    assert answer["ok"]
    assert (await session.ask("message", "hi"))["error"]["code"] == "unknown_event"


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"room": 5}, "bad_request"),
        ({"room": "a room"}, "bad_room"),
        ({"room": "@anteroom"}, "forbidden"),
        ({"user": "guest:x"}, "bad_request"),
        ({"position": "nowhere"}, "bad_request"),
        ({"token": "no token"}, "unauthorized"),
        ("den", "bad_request"),
        ({"rom": "den"}, "bad_request"),
        ({"room": ""}, "bad_room"),
        ({"room": False}, "bad_request"),
    ],
)
async def test_a_join_that_is_refused_may_be_tried_again(
    here: Place, options: Any, code: str
) -> None:
    ann = await here.open("sioserver.v1")
    answer = await ann.ask("join", options)
    assert (answer["ok"], answer["error"]["code"]) == (False, code)
    assert (await ann.ask("message", "hi"))["error"]["code"] == "not_member"
    await ann.join("den")
    assert (await ann.ask("join", {"room": "hall"}))["error"]["code"] == "bad_request"


@pytest.mark.parametrize("event", ["no such event", "half a pair \ud800", 7])
async def test_a_refusal_that_nobody_waits_for_is_a_notice(here: Place, event: str) -> None:
    ann = await here.native()
    await ann.say([event, 1])
    notice = await ann.hear_until("notice")
    assert notice[1]["code"] == "unknown_event"
    assert notice[1]["event"] == event


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "x",
        "{}",
        "[]",
        "[true]",
        '["message", "x", -1]',
        '["read", 1, "1"]',
        "[" * 100,
        b"x",
    ],
)
async def test_what_is_no_frame_ends_the_connection(here: Place, frame: Any) -> None:
    ann = await here.native()
    await ann.say(frame)
    assert await ann.gone() == 3005
    assert here.metrics.disconnects["parse_error"] == 1


async def test_who_comes_back_gets_what_it_missed_from_its_position(here: Place) -> None:
    ann, ben = await here.native(user="ann"), await here.native(user="ben")
    await ann.ask("message", "seen")
    position = (await ben.hear_until("message"))[2]
    await ben.cut()
    for number in range(3):
        await ann.ask("message", number)
    ben = await here.open("sioserver.v1")
    welcome = await ben.join("den", user="ben", position=position)
    assert welcome[1]["recovered"] is True
    assert welcome[2] == position  # from there on it is told everything
    assert [(await ben.hear_until("message"))[1]["body"] for _ in range(3)] == [0, 1, 2]
    assert here.metrics.recoveries["recovered"] == 1


async def test_without_a_position_the_server_knows_what_has_arrived(here: Place) -> None:
    ann, ben = await here.native(user="ann"), await here.native(user="ben")
    await ann.ask("message", "seen")
    await ben.hear_until("message")
    clients = [c for one in here.door.connections for c in one.clients.values()]
    await until(lambda: all(client.proven == 1 for client in clients))
    await ben.cut()
    await ann.ask("message", "missed")
    ben = await here.native(user="ben")
    assert (await ben.hear_until("message"))[1]["body"] == "missed"


async def test_a_gap_is_said() -> None:
    async with place(configured(rooms={"recovery_limit": 2})) as here:
        ann, ben = await here.native(user="ann"), await here.native(user="ben")
        await ben.close()
        for number in range(5):
            await ann.ask("message", number)
        ben = await here.native(user="ben")
        gap = await ben.hear()
        assert gap[:2] == ["gap", {"from": 1, "to": 3}]
        assert gap[2].endswith(".3")


async def test_a_guest_is_the_same_again_with_a_recovery_token(here: Place) -> None:
    guest = await here.open("sioserver.v1")
    welcome = (await guest.join("den", name="Gus"))[1]
    assert welcome["user"].startswith("guest:")
    await guest.close()
    again = await here.open("sioserver.v1")
    back = (await again.join("den", pid=welcome["pid"]))[1]
    assert (back["user"], back["name"]) == (welcome["user"], "Gus")
    other = await here.open("sioserver.v1")
    stranger = (await other.join("hall", pid=welcome["pid"]))[1]  # it is for one room
    assert stranger["user"] != welcome["user"]


async def test_msgpack_carries_binary(here: Place) -> None:
    packed, ann = await here.open("sioserver.v1.msgpack"), await here.native(user="ann")
    await packed.say(msgspec.msgpack.encode(["join", {"room": "den", "user": "mp"}, 1]))
    assert await packed.hear() == ["ack", {"ok": True}, 1]
    await packed.say(msgspec.msgpack.encode(["message", {"picture": b"\0\xff"}, 2]))
    assert (await packed.hear_until("message"))[1]["body"] == {"picture": b"\0\xff"}
    assert (await ann.hear_until("message"))[1]["body"] == {"picture": {"base64": "AP8="}}
    page = await ann.ask("history")
    assert page["items"][0]["body"] == {"picture": {"base64": "AP8="}}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        msgspec.msgpack.encode(["message", msgspec.msgpack.Ext(5, b"x")]),
        msgspec.msgpack.encode(["message", float("nan")]),
        msgspec.msgpack.encode(["message", {1: 2}]),
        b"\x92\xa7message\xd6\xff\x00\x00\x00\x00",
        "text",
    ],
)
async def test_msgpack_that_json_could_not_pass_on(here: Place, data: Any) -> None:
    packed = await here.open("sioserver.v1.msgpack")
    await packed.say(msgspec.msgpack.encode(["join", {"room": "den"}]))
    assert (await packed.hear())[0] == "welcome"
    await packed.say(data)
    assert await packed.gone() == 3005


async def test_socketio_clients_are_in_the_same_room(here: Place) -> None:
    nat, plain = await here.native("den", user="nat"), await here.open()
    await plain.login("Plain", "den", "plain")
    async with RoomClient(here.url, room="den", user="bob", name="Bob") as bob:
        assert (await plain.hear_until("login"))["uid"] == "bob"
        await bob.send("from Socket.IO")
        assert (await nat.hear_until("message"))[1]["body"] == "from Socket.IO"
        told = await plain.hear_until("message")
        assert (told["message"], told["num"], told["total"]) == ("from Socket.IO", 3, 3)
        await nat.ask("message", "from native")
        await plain.hear_until("message")
        await plain.say({"name": "Plain", "message": "from the tutorial"})
        await plain.hear_until("message")
        bodies = []
        async for message in bob:
            assert isinstance(message, Message)
            bodies.append(message.body)
            if len(bodies) == 3:
                break
        assert bodies == ["from Socket.IO", "from native", "from the tutorial"]


# ---------------------------------------------------------------------------- being put out


async def test_a_token_that_expires_is_announced_and_then_the_end() -> None:
    auth = {"secret": SECRET, "leeway": 0, "expiry_notice": 60}
    async with place(configured(auth=auth)) as here:
        ann = await here.open("sioserver.v1")
        await ann.join("den", token=token("ann", 2))
        assert (await ann.hear_until("notice"))[1]["code"] == "token_expiring"
        ben = await here.open("sioserver.v1")
        await ben.join("den", token=token("ben", 2))
        fresh = token("ben")
        assert (await ben.ask("auth", {"token": fresh}))["ok"]
        assert (await ann.hear_until("notice"))[1]["code"] == "token_expired"
        assert await ann.gone() == 3500
        assert (await ben.ask("message", "still here"))["ok"]


async def test_a_revoked_user_is_put_out() -> None:
    async with place(configured(auth={"secret": SECRET})) as here:
        ann = await here.open("sioserver.v1", headers={"Authorization": f"Bearer {token()}"})
        await ann.join("den")
        now = time.time()
        await here.rooms._engine.tokens.revoke(Revocation("user", "ann", now + 99, before=now + 1))
        assert (await ann.hear_until("notice"))[1]["code"] == "token_revoked"
        assert await ann.gone() == 3504
        late = await here.open("sioserver.v1")
        answer = await late.ask("join", {"room": "den", "token": token()})
        assert answer["error"]["code"] == "unauthorized"


async def test_who_joins_no_room_in_time_does_not_stay() -> None:
    async with place(configured(limits={"connect_timeout": 0.1})) as here:
        idle = await here.open("sioserver.v1")
        joined = await here.native()
        assert await idle.gone() == 3004
        assert (await joined.ask("typing", False))["ok"]
        assert here.metrics.limit_hits["connect_timeout"] == 1


async def test_who_is_refused_too_often_is_put_out() -> None:
    async with place(configured(limits={"refused_burst": 3, "refused_rate": 0.1})) as here:
        ann = await here.native()
        for number in range(20):
            await ann.say(["no such event", None, number])
        _, notice = await ann.hear_until("notice")
        assert (notice["code"], notice["reconnect"]) == ("too_many_errors", False)
        assert await ann.gone() == 3505
        assert here.metrics.limit_hits["refused_rate"] == 1


async def test_a_user_has_so_many_connections() -> None:
    settings = configured(auth={"secret": SECRET}, limits={"user_connections": 1})
    async with place(settings) as here:
        one, two = await here.open("sioserver.v1"), await here.open("sioserver.v1")
        await one.join("den", token=token())
        answer = await two.ask("join", {"room": "den", "token": token()})
        assert answer["error"]["code"] == "too_many"
        await one.close()
        await until(lambda: len(here.door.connections) == 1)
        await two.join("den", token=token())


async def test_who_does_not_answer_pings_is_cut_off() -> None:
    transport = {"ping_interval": 0.1, "ping_timeout": 0.1}
    async with place(configured(transport=transport)) as here:
        ws = await here.http.ws_connect(
            f"ws://127.0.0.1:{here.port}/ws", protocols=["sioserver.v1"], autoping=False
        )
        await ws.send_str('["join",{"room":"den"}]')
        well = await here.native(user="well")
        await until(lambda: here.metrics.disconnects["ping_timeout"] == 1)
        assert (await well.ask("typing", False))["ok"]
        await ws.close()


async def test_who_reads_nothing_falls_behind_and_gets_it_all_later() -> None:
    limits = {"client_queue": 65_536, "slow_after": 60.0, "enabled": False}
    async with place(configured(limits=limits)) as here:
        ann, ben = await here.native(user="ann"), await here.native(user="ben")
        transport = ben.ws._response.connection
        assert transport is not None
        assert transport.transport is not None
        transport.transport.pause_reading()
        for number in range(300):
            await ann.ask("message", f"{number} " + "x" * 20_000)
        await until(lambda: here.metrics.catch_ups >= 1)
        transport.transport.resume_reading()
        bodies = [(await ben.hear_until("message"))[1]["body"] for _ in range(300)]
        assert [int(body.split()[0]) for body in bodies] == [*range(300)]


async def test_in_order_while_something_waits(here: Place) -> None:
    ann = await here.native(user="ann")
    for number in range(200):
        await ann.say(["message", number, number])
    answers = []
    while len(answers) < 200:
        frame = await ann.hear()
        if frame[0] == "ack":
            answers.append((frame[2], frame[1]["offset"]))
    assert answers == [(number, number + 1) for number in range(200)]


async def test_two_at_once_in_one_room(here: Place) -> None:
    clients: list[Plain] = [await here.native(user=f"u{number}") for number in range(5)]
    await asyncio.gather(*(client.ask("message", "hi") for client in clients))
    page = await clients[0].ask("history")
    assert len(page["items"]) == 5
