"""Several nodes, one room: it does not matter to anybody which of them one is connected to.

The nodes are processes with an address each, so that a test knows which one it talks to.
"""

import asyncio
import os
import random
import secrets
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from sioserver.client import RoomClient, Session, Transport, room_with
from sioserver.errors import Disconnect
from sioserver.model import Message, User
from sioserver.testing import ServerProcess
from sioserver.valkey import Valkey

from ..interop.kit import bodies, events, find_node, script
from ..redis_servers import free_port
from .crowd import Client, Crowd
from .kit import Bare, nodes, take, until

both = pytest.mark.parametrize("transport", ["websocket", "polling"])

QUICK = {
    "delivery.confirm": 0.05,
    "presence.batch": 0.05,
    "presence.grace": 0.3,
    "presence.lease": 2,
}


pytestmark = pytest.mark.asyncio(loop_scope="module")


class Site:
    """Two nodes for all tests; each test has rooms of its own, and does the two no harm."""

    def __init__(self, valkey: Valkey, config: Path) -> None:
        self._url = valkey.tcp_url
        self._config = config
        self._prefix = f"t{secrets.token_hex(4)}"
        self.a: ServerProcess
        self.b: ServerProcess

    def nodes(
        self, count: int, **settings: object
    ) -> AbstractAsyncContextManager[list[ServerProcess]]:
        """More of them, for a test that needs one of its own."""
        wanted = {**QUICK, **{name.replace("_", ".", 1): settings[name] for name in settings}}
        return nodes(count, self._url, prefix=self._prefix, settings=wanted, config=self._config)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    directory = tmp_path_factory.mktemp("site")
    config = directory / "config.toml"
    config.write_text('[[rooms]]\nmatch = "*"\nrelay = ["cursor"]\nrelay_latest = ["pointer"]\n')
    with Valkey(directory / "valkey", port=free_port()) as valkey:
        site = Site(valkey, config)
        async with site.nodes(2) as (site.a, site.b):
            yield site


@pytest.fixture
def room() -> str:
    return f"room-{secrets.token_hex(4)}"


def named(told: Sequence[dict[str, Any]], key: str) -> list[str]:
    """Who came (or left), one after the other, by what a client was told."""
    return [person["user"] for diff in told for person in diff[key]]


async def came(user: str, *clients: Bare) -> None:
    """Wait until they were all told of somebody: who goes before that goes unheard."""
    await until(lambda: all(user in named(client.presence, "joined") for client in clients))


async def people(room: RoomClient, *, away: bool = False) -> list[str]:
    return [user.id for user in await room.members(away=away)]


# ---------------------------------------------------------------------------- one order


async def test_every_client_sees_one_order(site: Site, room: str) -> None:
    each, kinds = 40, [["websocket"], ["polling"]]
    async with site.nodes(1) as (third,):
        users = [(server, kind) for server in (site.a, site.b, third) for kind in kinds]
        everybody = [
            RoomClient(server.url, room, user=f"user{number}", transports=kind)  # type: ignore[arg-type]
            for number, (server, kind) in enumerate(users)
        ]
        try:
            for client in everybody:
                await client.__aenter__()
            async with asyncio.timeout(60), asyncio.TaskGroup() as sending:
                for number, client in enumerate(everybody):
                    for count in range(each):
                        sending.create_task(client.send(f"{number}-{count}"))
            seen = [await take(client, each * len(everybody)) for client in everybody]
            pages = [await client.history(limit=200) for client in everybody]
        finally:
            for client in everybody:
                await client.close()
    messages = seen[0]
    assert [message.offset for message in messages] == list(range(1, each * len(everybody) + 1))
    assert all(other == messages for other in seen)
    assert all(page == messages[-200:] for page in pages)
    for number in range(len(everybody)):
        own = [message.body for message in messages if message.user == f"user{number}"]
        assert own == [f"{number}-{count}" for count in range(each)]
    # they really took turns, or this shows nothing
    assert len({message.user for message in messages[: each * 2]}) > 2


async def test_a_message_sent_again_through_another_node_is_posted_once(
    site: Site,
    room: str,
) -> None:
    a, b = site.a, site.b
    async with (
        RoomClient(a.url, room, user="ann") as here,
        RoomClient(b.url, room, user="ann") as there,
        RoomClient(b.url, room, user="bob") as bob,
    ):
        sent = await here.send("once", id="x")
        assert await there.send("once", id="x") == sent
        twice = await asyncio.gather(here.send("both", id="y"), there.send("both", id="y"))
        assert twice[0] == twice[1]
        await there.send("last")
        assert [message.body for message in await take(bob, 3)] == ["once", "both", "last"]
        await take(here, 3)  # its node has heard of all
        assert len(await here.history()) == 3


# ---------------------------------------------------------------------------- another node


@pytest.fixture(params=["polling", "websocket", "polling,websocket"])
def transports(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_a_stock_client_recovers_on_another_node(
    site: Site, room: str, transports: str
) -> None:
    await recovers(site.a, site.b, room, transports, lambda: asyncio.sleep(0))


async def test_a_stock_client_recovers_when_its_node_was_killed(
    site: Site, room: str, transports: str
) -> None:
    async with site.nodes(1) as (victim,):
        await recovers(victim, site.b, room, transports, victim.kill)


async def recovers(
    a: ServerProcess,
    b: ServerProcess,
    room: str,
    transports: str,
    meanwhile: Callable[[], Awaitable[None]],
) -> None:
    async with (
        RoomClient(b.url, room, user="bob") as bob,
        script(find_node(), "rooms_move.mjs", a.url, transports, b.url, room) as run,
    ):
        assert await run.hear() == "post two"
        await bob.send("missed 1")
        await bob.send(b"missed 2")
        await meanwhile()
        run.go_on()
        result = await run.hear()
        assert [message.offset for message in await take(bob, 4)] == [1, 2, 3, 4]
    assert (result["recovered"], result["same"]) == (True, True)
    seen = result["seen"]
    order = [event[0] for event in events(seen, "disconnect", "message", "connect", "gap")]
    # what was missed comes before `connect`
    assert order == ["disconnect", "message", "message", "connect", "message"]
    missed = bodies(seen)
    assert missed[0] == "missed 1"
    assert bytes(missed[1]["data"]) == b"missed 2"
    assert missed[2] == "from the other node"
    assert events(seen, "welcome")[0][1]["recovered"] is True
    assert result["sent"]["offset"] == 4


@both
async def test_the_python_client_goes_on_at_another_node(
    site: Site, room: str, transport: Transport
) -> None:
    a, b = site.a, site.b
    async with RoomClient(b.url, room, user="bob") as bob:
        async with RoomClient(a.url, room, user="ann", transports=[transport]) as ann:
            await bob.send("seen")
            await take(ann, 1)
            position = ann.position
        for number in range(5):
            await bob.send(number)
        async with RoomClient(
            b.url, room, user="ann", transports=[transport], position=position
        ) as ann:
            await bob.send("live")
            found = await take(ann, 6)
            assert [message.body for message in found] == [0, 1, 2, 3, 4, "live"]
            # and back again, from where that one was
            await ann.close()
            async with RoomClient(a.url, room, user="ann", position=ann.position) as again:
                await bob.send("more")
                assert [message.body for message in await take(again, 1)] == ["more"]


@both
async def test_without_a_position_the_other_node_knows_what_was_delivered(
    site: Site, room: str, transport: Transport
) -> None:
    a, b = site.a, site.b
    async with RoomClient(b.url, room, user="bob") as bob:
        async with Bare(a.url, transport, room, user="ann") as ann:
            await until(lambda: ann.welcomes)
            await bob.send("seen")
            await bob.send("read")
            await until(lambda: len(ann.messages) == 2)
            await ann.call("read", 2)  # the proof that does not take a ping
        for number in range(3):
            await bob.send(number)
        async with Bare(b.url, transport, room, user="ann") as ann:
            await bob.send("live")
            await until(lambda: 6 in ann.offsets)
            assert ann.offsets == [3, 4, 5, 6]
            assert ann.welcomes[0]["unread"] == 3


async def test_who_recovers_elsewhere_is_not_in_the_room_twice(site: Site, room: str) -> None:
    """The connection that was left may not have noticed yet, and has the same session."""
    a, b = site.a, site.b
    place = [a.url]
    crowd = Crowd(lambda: place[0], room, 1, rng=random.Random(1))
    old = crowd.clients[0]
    other = Client(crowd, old.user)
    async with asyncio.timeout(20), RoomClient(b.url, room, user="bob") as bob:
        assert await old.come_in()
        await bob.send("seen")
        await crowd.until(lambda: old.received == 1)
        other.go_on_from(old)
        place[0] = b.url
        assert await other.come_in()
        assert other.recovered == 1
        await crowd.until(lambda: not old.connected)
        await bob.send("once")
        await crowd.until(lambda: other.received == 1)
        assert crowd.wrong == []
        other.leave()


# ---------------------------------------------------------------------------- who is here


async def test_presence_and_counts_agree_everywhere(site: Site, room: str) -> None:
    a, b = site.a, site.b
    async with (
        Bare(a.url, "websocket", room, user="ann") as ann,
        Bare(b.url, "polling", room, user="bob") as bob,
        RoomClient(a.url, room, user="cid") as cid,
        RoomClient(b.url, room, user="dan") as dan,
    ):
        everybody = ["ann", "bob", "cid", "dan"]
        await until(lambda: ann.counts == bob.counts == (4, 4))
        await until(lambda: (cid.online, dan.online) == (4, 4))
        assert await people(cid) == await people(dan) == everybody
        for bare in (ann, bob):
            answer = await bare.call("members")
            assert answer["total"] == 4
            assert [person["user"] for person in answer["online"]] == everybody
        async with Bare(a.url, "websocket", room, user="eve") as eve:
            await came("eve", ann, bob)
            assert ann.counts == bob.counts == (5, 5)
            assert eve.welcomes[0]["online"] == 5
        await until(lambda: ann.counts == bob.counts == (4, 5))  # away, and still a member
        assert await people(cid) == await people(dan) == everybody
        assert await people(cid, away=True) == await people(dan, away=True) == [*everybody, "eve"]
        for bare in (ann, bob):
            assert named(bare.presence, "joined").count("eve") == 1
            assert named(bare.presence, "left") == ["eve"]


async def test_a_user_with_devices_on_two_nodes_is_one_user(site: Site, room: str) -> None:
    a, b = site.a, site.b
    async with (
        Bare(a.url, "websocket", room, user="ann") as ann,
        Bare(b.url, "websocket", room, user="bob") as bob,
    ):
        await until(lambda: ann.counts == bob.counts == (2, 2))
        async with Bare(a.url, "websocket", room, user="zoe") as phone:
            await came("zoe", ann, bob)
            assert ann.counts == bob.counts == (3, 3)
            async with Bare(b.url, "polling", room, user="zoe") as laptop:
                assert laptop.welcomes[0]["online"] == 3
                async with RoomClient(b.url, room, user="cid") as cid:
                    assert await people(cid) == ["ann", "bob", "cid", "zoe"]
                    await cid.send("to both devices")
                await until(lambda: phone.messages and laptop.messages)
                await until(lambda: ann.counts == bob.counts == (3, 4))
            # one device is gone; longer than the grace time later she is still here
            async with RoomClient(a.url, room, user="cid") as cid:
                await until(lambda: ann.counts == bob.counts == (4, 4))
                assert await people(cid) == ["ann", "bob", "cid", "zoe"]
            await until(lambda: ann.counts == bob.counts == (3, 4))
            assert "zoe" not in named(ann.presence, "left") + named(bob.presence, "left")
        await until(lambda: ann.counts == bob.counts == (2, 4))
        for bare in (ann, bob):
            assert named(bare.presence, "joined").count("zoe") == 1
            assert named(bare.presence, "left").count("zoe") == 1


async def test_going_to_another_node_makes_no_noise(site: Site, room: str) -> None:
    async with (
        site.nodes(2, presence_grace=30) as (a, b),
        Bare(a.url, "websocket", room, user="ann") as ann,
        Bare(b.url, "websocket", room, user="bob") as bob,
    ):
        async with Bare(a.url, "websocket", room, user="zoe"):
            await came("zoe", ann, bob)
        for server in (b, a, b):
            async with Bare(server.url, "websocket", room, user="zoe") as zoe:
                await until(lambda zoe=zoe: zoe.welcomes)
                assert zoe.welcomes[0]["online"] == 3
        # whatever would have been told about zoe comes before this
        async with Bare(a.url, "websocket", room, user="cid"):
            await came("cid", ann, bob)
        for bare in (ann, bob):
            assert named(bare.presence, "joined").count("zoe") == 1
            assert named(bare.presence, "left") == []


async def test_the_people_of_a_node_that_died_are_gone_within_a_lease(
    site: Site, room: str
) -> None:
    a, b = site.a, site.b
    async with (
        site.nodes(1) as (c,),
        Bare(a.url, "websocket", room, user="ann") as ann,
        Bare(b.url, "websocket", room, user="bob") as bob,
        Bare(c.url, "websocket", room, user="zoe", name="Zoe") as zoe,
        Bare(c.url, "websocket", room, user="bob") as other,  # bob's second device
    ):
        await came("zoe", ann, bob)
        zoe.sio.reconnection = other.sio.reconnection = False
        loop = asyncio.get_running_loop()
        began = loop.time()
        os.kill(c.pid, signal.SIGKILL)
        await until(lambda: ann.counts == bob.counts == (2, 3))
        took = loop.time() - began
        print(f"gone {took:.1f} s after the node died")  # noqa: T201
        assert (
            took < float(QUICK["presence.lease"]) + 1
        )  # and the time to tell it on a busy machine
        async with RoomClient(b.url, room, user="cid") as cid:
            assert await people(cid) == ["ann", "bob", "cid"]
            await came("cid", ann, bob)
        for bare in (ann, bob):
            assert named(bare.presence, "left").count("zoe") == 1
            assert "bob" not in named(bare.presence, "left")


async def test_a_node_that_stops_in_good_order_gives_its_people_time_to_move(
    site: Site, room: str
) -> None:
    a = site.a
    async with (
        site.nodes(1, presence_grace=3) as (b,),
        Bare(a.url, "websocket", room, user="ann") as ann,
    ):
        async with (
            Bare(b.url, "websocket", room, user="zoe"),
            Bare(b.url, "polling", room, user="eve"),
        ):
            await came("zoe", ann)
            await came("eve", ann)
            assert await b.stop() == 0
        async with Bare(a.url, "websocket", room, user="zoe") as zoe:
            assert zoe.welcomes[0]["online"] == 3
            await until(lambda: ann.counts == (2, 3))  # eve did not come back
            assert named(ann.presence, "left") == ["eve"]
            assert named(ann.presence, "joined").count("zoe") == 1


@both
async def test_a_user_is_away_when_no_device_on_any_node_is_used(
    site: Site, room: str, transport: Transport
) -> None:
    def states(client: Bare) -> list[tuple[str, str]]:
        return [
            (key, person["user"])
            for diff in client.presence
            for key in ("away", "back")
            for person in diff.get(key, ())
        ]

    async def seen(client: Bare) -> dict[str, str]:
        answer = await client.call("members")
        return {person["user"]: person["state"] for person in answer["online"]}

    a, b = site.a, site.b
    async with (
        Bare(a.url, transport, room, user="near") as near,
        Bare(b.url, transport, room, user="far") as far,
        Bare(a.url, transport, room, user="ann") as laptop,
        Bare(b.url, transport, room, user="ann") as phone,
    ):
        await came("ann", near, far)
        assert laptop.welcomes[0]["state"] == "online"
        assert (await laptop.call("status", {"state": "away"}))["state"] == "away"
        await laptop.call("message", "does not make it used")
        assert (await seen(near))["ann"] == "online"
        assert (await phone.call("status", {"state": "away"}))["ok"]
        await until(lambda: states(near) == states(far) == [("away", "ann")])
        assert (await seen(near))["ann"] == (await seen(far))["ann"] == "away"
        assert (await phone.call("status", {"state": "online"}))["ok"]
        await until(lambda: states(near) == states(far) == [("away", "ann"), ("back", "ann")])
        assert (await seen(far))["near"] == "online"


@both
async def test_who_asks_for_nothing_is_away(site: Site, room: str, transport: Transport) -> None:
    async with (
        site.nodes(1, presence_away_after=1.0) as (strict,),
        Bare(site.a.url, transport, room, user="bob") as bob,
        Bare(strict.url, transport, room, user="ann") as ann,
    ):
        await until(lambda: any(diff.get("away") for diff in bob.presence))
        await ann.call("message", "here I am")
        await until(lambda: any(diff.get("back") for diff in bob.presence))
        lists = [
            (key, [person["user"] for person in diff[key]])
            for diff in bob.presence
            for key in ("away", "back")
            if key in diff
        ]
        assert lists[:2] == [("away", ["ann"]), ("back", ["ann"])]


# ---------------------------------------------------------------------------- from node to node


@both
async def test_nobody_types_for_ever_whose_node_has_died(
    site: Site, room: str, transport: Transport
) -> None:
    async with site.nodes(1, presence_typing_lasts=1.0) as (b,), site.nodes(1) as (dying,):
        ann = RoomClient(dying.url, room, user="ann")
        ben = RoomClient(dying.url, room, user="ben")
        await ann.__aenter__()
        await ben.__aenter__()
        try:
            async with Bare(b.url, transport, room, user="far") as far:
                await ann.send("now the nodes hear of the room")
                await until(lambda: far.messages)
                await ann.typing()
                await until(lambda: [event["on"] for event in far.typing] == [True])
                await dying.kill()
                await until(lambda: [event["on"] for event in far.typing] == [True, False])
                assert {event["user"] for event in far.typing} == {"ann"}
        finally:
            await ann.close()
            await ben.close()


@both
async def test_typing_reaches_the_other_node(site: Site, room: str, transport: Transport) -> None:
    a, b = site.a, site.b
    async with (
        RoomClient(a.url, room, user="ann", name="Ann") as ann,
        Bare(a.url, transport, room, user="near") as near,
        Bare(b.url, transport, room, user="far") as far,
    ):
        await until(lambda: near.welcomes and far.welcomes)
        # the node may not hear of the room yet: what is ephemeral is not kept for it
        await ann.send("now it does")
        await until(lambda: near.messages and far.messages)
        await ann.typing(True)
        await until(lambda: near.typing and far.typing)
        await ann.typing(False)
        await until(lambda: len(near.typing) == len(far.typing) == 2)
        assert near.typing == far.typing
        assert [event["on"] for event in far.typing] == [True, False]
        assert far.typing[0]["user"] == "ann"


async def test_a_relayed_event_reaches_the_other_node_with_its_bytes(site: Site, room: str) -> None:
    a, b = site.a, site.b
    async with (
        Bare(a.url, "websocket", room, user="ann") as ann,
        Bare(b.url, "websocket", room, user="bob") as bob,
    ):
        seen: list[Any] = []
        echoed: list[Any] = []
        bob.sio.on("cursor", lambda *args: seen.append(args), namespace=f"/{room}")
        ann.sio.on("cursor", lambda *args: echoed.append(args), namespace=f"/{room}")
        await ann.call("message", "both hear of the room")
        await until(lambda: ann.messages and bob.messages)
        assert (await ann.call("cursor", {"at": [1, b"\x00\xff"]}, "last"))["ok"]
        await until(lambda: seen)
        assert seen == [({"at": [1, b"\x00\xff"]}, "last", {"user": "ann", "name": "ann"})]
        await ann.call("message", "after it")
        await until(lambda: len(ann.messages) == len(bob.messages) == 2)
        assert echoed == []


@both
async def test_the_newest_of_a_storm_of_pointers_reaches_the_other_node(
    site: Site, room: str, transport: Transport
) -> None:
    last = 300
    async with (
        Bare(site.a.url, transport, room, user="ann") as ann,
        Bare(site.b.url, transport, room, user="bob") as bob,
    ):
        seen: list[int] = []
        bob.sio.on("pointer", lambda at, who: seen.append(at), namespace=f"/{room}")
        await ann.call("message", "both hear of the room")
        await until(lambda: bob.messages)
        for at in range(last + 1):
            await ann.sio.emit("pointer", at, namespace=f"/{room}")
        await until(lambda: seen and seen[-1] == last)
        assert seen == sorted(seen)


@both
async def test_leaving_for_good_ends_the_devices_on_the_other_node(
    site: Site, room: str, transport: Transport
) -> None:
    a, b = site.a, site.b
    async with (
        Bare(a.url, "websocket", room, user="ann") as ann,
        Bare(b.url, "websocket", room, user="bob") as bob,
        Bare(b.url, transport, room, user="zoe") as phone,
        RoomClient(b.url, room, user="zoe") as script,
        Bare(a.url, transport, room, user="zoe") as laptop,
    ):
        await came("zoe", ann, bob)
        await ann.call("message", "all are here")
        await until(lambda: phone.messages and laptop.messages)
        assert await laptop.call("leave") == {"ok": True}
        await until(lambda: laptop.disconnects and phone.disconnects)
        for device in (phone, laptop):
            assert [(note["code"], note["reconnect"]) for note in device.notices] == [
                ("left", False)
            ]
        with pytest.raises(Disconnect) as ended:
            async with asyncio.timeout(10):
                while isinstance(await anext(script), Message):
                    pass
        assert ended.value.code == "left"
        await until(lambda: ann.counts == bob.counts == (2, 2))
        for bare in (ann, bob):
            assert named(bare.presence, "left") == ["zoe"]
            assert not bare.disconnects
        async with RoomClient(b.url, room, user="cid") as cid:
            assert await people(cid, away=True) == ["ann", "bob", "cid"]
        # who joins again is a new member, who is not sent the past
        async with Bare(b.url, transport, room, user="zoe") as zoe:
            await ann.call("message", "new")
            await until(lambda: zoe.messages)
            assert zoe.offsets == [2]


async def test_what_was_read_on_one_node_is_read_on_the_other(site: Site, room: str) -> None:
    a, b, user = site.a, site.b, f"reader of {room}"
    async with (
        RoomClient(a.url, room, user=user) as here,
        RoomClient(b.url, room, user=user) as there,
    ):
        for number in range(5):
            await here.send(number)
        assert await here.read(3) == 2
        assert await there.read(0) == 2
        async with Bare(b.url, "websocket", room="@me", user=user) as me:
            assert (await me.call("rooms"))["rooms"] == [{"room": room, "unread": 2, "last": 5}]


@both
async def test_a_session_is_told_of_its_rooms_through_any_node(
    site: Site, room: str, transport: Transport
) -> None:
    a, b, user = site.a, site.b, f"ann of {room}"
    async with (
        Bare(b.url, transport, room="@me", user=user) as me,
        RoomClient(a.url, room, user="ben") as ben,
    ):
        async with RoomClient(a.url, room, user=user) as ann:
            await until(lambda: me.rooms == [{"room": room, "unread": 0, "last": 0}])
            await ben.send(1)
            await until(lambda: me.rooms[-1] == {"room": room, "unread": 1, "last": 1})
            await ann.read(1)
            await until(lambda: me.rooms[-1] == {"room": room, "unread": 0, "last": 1})
        await ben.send(2)  # nobody of hers is in the room
        await until(lambda: me.rooms[-1] == {"room": room, "unread": 1, "last": 2})
        async with Bare(a.url, transport, room, user=user) as bare:
            await bare.call("leave")
        await until(lambda: me.rooms[-1] == {"room": room})


@both
async def test_two_find_their_room_through_any_node(
    site: Site, room: str, transport: Transport
) -> None:
    a, b, ann, ben = site.a, site.b, f"ann of {room}", f"ben@{room}"
    async with (
        Bare(b.url, transport, room="@me", user=ben) as me,
        RoomClient(a.url, room_with(ben), user=ann, name="Ann") as there,
    ):
        assert there.peer == User(ben, ben)
        await there.send("psst")
        peer = {"user": ann, "name": "Ann"}
        theirs = {"room": room_with(ann), "unread": 1, "last": 1, "peer": peer}
        await until(lambda: me.rooms == [theirs])
        async with Bare(b.url, transport, room_with(ann), user=ben, name="Ben") as here:
            await until(lambda: [message["body"] for message in here.messages] == ["psst"])
            assert here.welcomes[0]["peer"] == {"user": ann, "name": "Ann"}
            assert (await here.call("message", "yes?"))["offset"] == 2
            assert [message.body for message in await take(there, 2)] == ["psst", "yes?"]


@both
async def test_a_mention_on_one_node_is_told_on_the_other(
    site: Site, room: str, transport: Transport
) -> None:
    a, b, ann = site.a, site.b, f"ann of {room}"
    async with RoomClient(a.url, room, user=ann):
        pass
    told: list[dict[str, Any]] = []
    async with (
        Session(
            b.url,
            user=ann,
            transports=[transport],
            on_event=lambda name, payload: told.append(payload) if name == "mention" else None,
        ) as me,
        Bare(a.url, transport, room, user="ben") as ben,
    ):
        answer = await ben.call("message", "look", {"id": "m1", "mentions": [ann]})
        await until(lambda: told)
        (mention,) = await me.mentions()
        assert (mention.room, mention.offset, mention.user) == (room, answer["offset"], "ben")
        assert told[0]["number"] == mention.number
    async with Session(a.url, user=ann) as me:
        assert me.rooms[room].mentions == 1
        assert [one.number for one in await me.mentions()] == [mention.number]
