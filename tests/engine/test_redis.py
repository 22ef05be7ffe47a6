"""Many nodes on one Redis, and a Redis that is frozen, killed, emptied and set back."""

from __future__ import annotations

import asyncio
import random
import secrets
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sioserver.config import Config
from sioserver.config.schema import Redis as Settings
from sioserver.config.schema import Store
from sioserver.engine import create_engine
from sioserver.engine.base import Engine, StoreError
from sioserver.engine.folding import folded
from sioserver.engine.redis import RedisEngine
from sioserver.errors import Refusal
from sioserver.model import (
    Counts,
    Event,
    Membership,
    Message,
    Operation,
    Peer,
    Position,
    Published,
    Standing,
    User,
)
from sioserver.valkey import Valkey
from tests.redis_servers import Watched, ask, standalone

from .conftest import (
    ANN,
    BEN,
    CACHED,
    GRACE,
    GUEST,
    REDIS,
    Keep,
    Listener,
    config,
    delete,
    draft,
    edit,
    react,
    server,
    until,
)

KEEP = Keep()
AT = 1_700_000_000_000


class Node:
    """An engine and what it announced."""

    def __init__(self, where: Any, prefix: str, **options: Any) -> None:
        self.peer = Peer(secrets.token_hex(4))
        self.engine = RedisEngine(config(where, prefix, **options), self.peer)
        self.listener = Listener()

    def offsets(self, room: str = "a") -> list[int]:
        return self.listener.offsets(room)

    def counted(self, name: str) -> float:
        return self.engine.stats()[name]


Start = Callable[..., Awaitable[Node]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts nodes of one cluster: `await start(kind or server, **options)`."""
    prefix = secrets.token_hex(4)
    async with AsyncExitStack() as stack:

        async def start(where: Any = "redis", **options: Any) -> Node:
            node = Node(where, prefix, **options)
            await node.engine.start(node.listener)
            stack.push_async_callback(node.engine.stop)
            return node

        yield start


@pytest.fixture(params=REDIS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def own(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A server of the test's own, that writes every change down before it answers."""
    directory = tmp_path_factory.mktemp("own")
    own = standalone(directory, fsync="always")
    own.start()
    yield own
    own.kill()


@pytest.fixture
def trio(tmp_path: Path) -> Iterator[Watched]:
    """A master with its replica, and a Sentinel that watches them."""
    with Watched(tmp_path) as trio:
        yield trio


async def watched(node: Node, *rooms: str) -> None:
    """The node watches the rooms, and the bus tells of them."""
    for room in rooms:
        node.engine.watch(room)
    await until(
        lambda: node.counted("rooms_heard") == node.counted("rooms_watched"),
        "the bus tells of the rooms",
    )


async def publish(node: Node, ids: list[str], room: str = "a", **more: Any) -> list[int]:
    results = await asyncio.gather(
        *(node.engine.publish(room, draft(id, **more), KEEP) for id in ids)
    )
    return [result.position.offset for result in results]


def forget_after(server: Valkey, log: str, last: int) -> None:
    """Make the log what it was when `last` was its top."""
    entries = ask(server, "XRANGE", log, "-", f"{last}-0")
    ask(server, "DEL", log)
    for id, fields in entries:
        ask(server, "XADD", log, id, *chain.from_iterable(fields.items()))


# -- many nodes -----------------------------------------------------------------------------------


async def test_all_nodes_announce_one_order(start: Start, kind: str) -> None:
    nodes = [await start(kind) for _ in range(3)]
    for node in nodes:
        await watched(node, "a", "b")

    async def post(number: int) -> None:
        for n in range(100):
            room = "ab"[n % 2]
            await nodes[number].engine.publish(room, draft(f"{number}-{n}"), KEEP)

    await asyncio.gather(*map(post, range(3)))
    for room in "ab":
        await until(lambda: all(len(node.offsets(room)) == 150 for node in nodes), "all announced")  # noqa: B023
        told = [
            [(epoch, message) for name, epoch, message in node.listener.messages if name == room]
            for node in nodes
        ]
        assert told[0] == told[1] == told[2]
        assert [message.offset for _, message in told[0]] == list(range(1, 151))
    assert not any(node.listener.gaps for node in nodes)


async def test_all_nodes_show_messages_as_they_are(start: Start, kind: str) -> None:
    """Whatever a node is told live, reads late or has in memory, it ends where the log does."""
    dice = random.Random(6)
    nodes = [await start(kind) for _ in range(3)]
    for node in nodes:
        await watched(node, "a")
    heard = nodes[1].engine._hearing._bus._on_message

    def deaf_by_halves(channel: str, payload: bytes) -> None:
        if dice.random() < 0.5:
            heard(channel, payload)

    nodes[1].engine._hearing._bus._on_message = deaf_by_halves
    for n in range(30):
        await nodes[0].engine.publish("a", draft(f"m{n}", body=n), KEEP)

    def operation(n: int) -> Operation:
        by, target, at = dice.choice((ANN, BEN)), dice.randint(1, 30), AT + n
        if n % 40 == 0:
            return delete(target, at=at)
        if n % 3 == 0:
            return edit(n, id=f"m{target - 1}", at=at)
        return react(dice.choice("xyz"), target, by=by, on=dice.random() < 0.7, at=at)

    refused: list[Refusal] = []

    async def act(number: int) -> None:
        for n in range(150):
            engine = nodes[number].engine
            try:
                await engine.operate("a", operation(150 * number + n), KEEP)
            except Refusal as refusal:
                refused.append(refusal)
            if n % 10 == 0:
                await engine.publish("a", draft(f"{number}-{n}"), KEEP)

    await asyncio.gather(*map(act, range(3)))
    assert {refusal.code for refusal in refused} <= {"not_found"}  # they were deleted
    truth = await nodes[0].engine._log.page("a", 0, None, 1000)
    for node in nodes:
        await until(lambda: node.offsets() == [*range(1, truth.top.offset + 1)], "told")  # noqa: B023
        shown: dict[int, Message] = {}
        for _, _, entry in node.listener.messages:
            if entry.kind == "message":
                shown[entry.offset] = entry
            else:
                shown[entry.target] = folded(shown[entry.target], entry)
        assert list(shown.values()) == truth.messages
        for ops in (True, False):
            known = await node.engine.history("a", limit=CACHED, ops=ops)
            stored = await node.engine._log.page("a", None, None, CACHED, ops=ops)
            assert known == stored
    assert not any(node.listener.gaps for node in nodes)


async def test_what_a_node_did_not_publish_it_announces_whole(start: Start) -> None:
    one, two = await start(), await start()
    await watched(two, "a")
    body = {"file": b"\x00\xff", "list": [1, [b"x", {"a": None}]], "": "\x00\u2028\U0001f600"}
    result = await one.engine.publish("a", draft("m", BEN, body=body), KEEP)
    await until(lambda: two.listener.messages, "announced")
    message = Message("m", 1, "ben", "Ben", body, AT, 1)
    assert two.listener.messages == [("a", result.position.epoch, message)]


async def test_a_draft_is_the_same_on_every_node(start: Start, kind: str) -> None:
    one, two = await start(kind), await start(kind)
    await watched(one, "a")
    first = await one.engine.publish("a", draft("m"), KEEP)
    again = await two.engine.publish("a", draft("m", at=AT + 5000), KEEP)
    assert (again.duplicate, again.position, again.at) == (True, first.position, first.at)
    both = await asyncio.gather(
        *(node.engine.publish("a", draft("n"), KEEP) for node in (one, two))
    )
    assert [result.position.offset for result in both] == [2, 2]
    assert sorted(result.duplicate for result in both) == [False, True]
    await until(lambda: one.offsets() == [1, 2], "announced once")


async def test_a_node_hears_nothing_of_rooms_that_it_does_not_host(start: Start) -> None:
    one, two = await start(), await start()
    await watched(one, "mine")
    before = two.counted("bus_messages")
    await publish(one, [f"m{n}" for n in range(200)], "mine")
    await watched(two, "theirs")
    await publish(one, ["m"], "theirs")
    await until(lambda: two.offsets("theirs"), "announced")
    assert two.counted("bus_messages") - before == 1
    assert two.offsets("mine") == []


async def test_history_reaches_to_where_the_announcements_begin_on_every_node(
    start: Start, kind: str
) -> None:
    one, two = await start(kind), await start(kind)
    publishing = asyncio.gather(*(publish(one, [f"m{n}"]) for n in range(300)))
    for _ in range(5):
        await asyncio.sleep(0)
        two.engine.watch("a")
        page = await two.engine.history("a", limit=1000)
        seen = {message.offset for message in page.messages}
        assert seen == set(range(1, page.top.offset + 1))
        await until(
            lambda: (
                publishing.done() or {*two.offsets()} - {*range(page.top.offset + 1)}  # noqa: B023
            ),
            "something comes after the page, or nothing more",
        )
        begins = [n for n in two.offsets() if n > page.top.offset]
        assert begins[:1] in ([], [page.top.offset + 1])
        two.engine.unwatch("a")
        two.listener.messages.clear()
    await publishing


async def test_a_page_from_memory_needs_no_redis(own: Valkey, start: Start) -> None:
    node = await start(own, timeout=1)
    await watched(node, "a")
    await publish(node, [f"m{n}" for n in range(CACHED)])
    own.pause()
    try:
        page = await node.engine.history("a", limit=CACHED)
        assert [message.offset for message in page.messages] == list(range(1, CACHED + 1))
        with pytest.raises(Refusal):
            await node.engine.history("b", limit=1)
    finally:
        own.resume()


async def test_who_knows_of_more_than_was_announced_gets_it(start: Start) -> None:
    one, two = await start(), await start()
    await watched(two, "a")
    await publish(one, ["m1", "m2"])
    page = await two.engine.history("a", after=1, limit=9)
    assert [message.id for message in page.messages] == ["m2"]
    page = await two.engine.history("a", after=2, limit=9)
    assert (page.messages, page.top.offset) == ([], 2)


async def test_leaving_is_told_to_the_other_nodes(start: Start, kind: str) -> None:
    one, two, three = [await start(kind) for _ in range(3)]
    for node in (one, two):
        await watched(node, "a")
    await one.engine.join("a", ANN)
    await one.engine.leave("a", "ann")
    await one.engine.leave("a", GUEST.id)
    await until(lambda: len(two.listener.left) == 2, "told")
    assert two.listener.left == [("a", "ann"), ("a", GUEST.id)]
    await publish(one, ["m"])
    await until(lambda: two.offsets() == [1], "told what came after it")
    assert (one.listener.left, three.listener.left) == ([], [])


async def test_nodes_know_one_set_of_people(start: Start) -> None:
    one, two = await start(), await start()
    await watched(two, "a")
    await one.engine.join("a", ANN)
    assert await one.engine.enter("a", ANN, "c1") == Counts(1, 1)
    assert await two.engine.enter("a", BEN, "c2") == Counts(2, 1)
    await one.engine.sweep(AT / 1000)
    await until(lambda: two.listener.presence, "told")
    assert two.listener.presence[0][1].joined == [ANN]
    assert await two.engine.online("a", limit=9) == [ANN, BEN]
    assert await one.engine.counts("a") == Counts(2, 1)


async def test_events_and_peers_reach_the_engine(start: Start) -> None:
    one, two = await start(), await start()
    await watched(one, "a")
    await watched(two, "a")
    event = Event("typing", {"user": b"\x00"}, before=(1, "x"))
    one.engine.tell("a", event)
    one.engine.tell("b", event)
    await until(lambda: two.listener.events, "passed on")
    assert two.listener.events == [("a", event)]
    assert one.listener.events == []
    await until(lambda: one.peer.id in two.engine.peers(), "known")
    assert await two.engine.peer(one.peer.id) == one.peer
    assert await two.engine.peer(two.peer.id) is None


async def test_events_are_heard_where_there_is_no_log(start: Start, kind: str) -> None:
    one, two = await start(kind), await start(kind)
    heard, event = two.counted("bus_heard"), Event("news", {"n": 1})
    two.engine.listen("@me:{ann}")
    await until(lambda: two.counted("bus_heard") == heard + 1, "listened to")
    one.engine.tell("@me:{ben}", event)
    one.engine.tell("@me:{ann}", event)
    await until(lambda: two.listener.events, "passed on")
    assert two.listener.events == [("@me:{ann}", event)]
    assert (two.counted("rooms_listened"), two.counted("rooms_watched")) == (1, 0)
    two.engine.unlisten("@me:{ann}")
    two.engine.unlisten("@me:{ann}")
    await watched(two, "a")
    one.engine.tell("@me:{ann}", event)  # still subscribed for a moment
    one.engine.tell("a", event)
    await until(lambda: len(two.listener.events) == 2, "passed on")
    assert two.listener.events[1] == ("a", event)
    assert (two.counted("rooms_listened"), two.counted("bus_foreign_total")) == (0, 0)


async def test_a_member_of_one_node_is_one_on_all(start: Start, kind: str) -> None:
    one, two = await start(kind), await start(kind)
    await one.engine.join("a", ANN)
    await publish(one, [f"m{n}" for n in range(10)])
    one.engine.advance("a", "ann", 6)
    assert await one.engine.join("a", ANN) == Membership(0, 6, 0, 0)
    assert (await two.engine.read("a", "ann", 4)).membership == Membership(0, 4, 4, 4)
    await one.engine.exit("a", "ann", "c", AT / 1000)  # a client went, perhaps to the other node
    await one.engine.members("a", limit=1)
    assert await two.engine.join("a", User("ann", "Anna")) == Membership(0, 6, 4, 4)
    assert await one.engine.members("a", limit=9) == [User("ann", "Anna")]
    standing = Standing(Membership(0, 6, 4, 4), 10, 10)
    assert await one.engine.rooms_of("ann", limit=9) == {"a": standing}


async def test_a_listener_that_fails_stops_no_node(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = await start(), await start()
    await watched(two, "a")

    def fail(*_: object) -> None:
        raise RuntimeError("planted")

    for name in ("on_message", "on_left", "on_event", "on_presence"):
        monkeypatch.setattr(two.listener, name, fail)
    await publish(one, ["m1"])
    await one.engine.leave("a", "ann")
    one.engine.tell("a", Event("typing", {}))
    await until(lambda: two.counted("bus_messages") >= 3, "all arrived")
    monkeypatch.undo()
    await publish(one, ["m2"])
    await until(lambda: two.offsets() == [2], "announced")


# -- the bus loses something ----------------------------------------------------------------------


async def test_a_broken_bus_loses_nothing(own: Valkey, start: Start) -> None:
    one, two = await start(own), await start(own)
    await watched(one, "a")
    await watched(two, "a")
    sent = 0
    for _ in range(4):
        burst = asyncio.create_task(publish(one, [f"m{n}" for n in range(sent, sent + 200)]))
        await asyncio.sleep(0)
        ask(own, "CLIENT", "KILL", "TYPE", "pubsub")
        await burst
        sent += 200
    for node in (one, two):
        await until(lambda: len(node.offsets()) == sent, "all announced")  # noqa: B023
        assert node.offsets() == list(range(1, sent + 1))
        assert node.listener.gaps == []
    assert two.counted("room_filled_total") > 0


async def test_a_message_that_the_bus_lost_is_read_from_the_log(start: Start) -> None:
    one, two = await start(), await start()
    await watched(two, "a")
    await publish(one, ["m1"])
    await until(lambda: two.offsets() == [1], "announced")
    room = two.engine._watch.rooms["a"]
    bus = two.engine._watch.on_bus
    lost: list[bytes] = []
    two.engine._watch.on_bus = lambda room, payload: lost.append(payload)  # type: ignore[method-assign]
    await publish(one, ["m2", "m3"])
    await until(lambda: len(lost) == 2, "lost")
    two.engine._watch.on_bus = bus  # type: ignore[method-assign]
    await publish(one, ["m4"])
    await until(lambda: two.offsets() == [1, 2, 3, 4], "all announced")
    assert room.is_whole
    assert two.counted("room_holes_total") == 1


@pytest.mark.parametrize("loss", ["bus away", "one message"])
async def test_a_diff_that_the_bus_lost_is_made_good(own: Valkey, start: Start, loss: str) -> None:
    one, two = await start(own), await start(own)
    for node, user in ((one, ANN), (two, BEN)):
        await watched(node, "a")
        await node.engine.enter("a", user, "c")
        await node.engine.sweep(AT / 1000)
    await until(lambda: two.listener.presence[-1:] == one.listener.presence[-1:] != [], "told")
    presence, on_bus = two.engine._presence, two.engine._presence.on_bus
    lost: list[Any] = []
    presence.on_bus = lambda room, body: lost.append(body)  # type: ignore[method-assign]
    await one.engine.enter("a", GUEST, "c")
    await one.engine.sweep(AT / 1000)
    await until(lambda: lost, "lost")
    presence.on_bus = on_bus  # type: ignore[method-assign]
    if loss == "bus away":
        ask(own, "CLIENT", "KILL", "TYPE", "pubsub")
    await until(lambda: two.listener.presence[-1][1].counts == Counts(3, 1), "made good")
    assert two.listener.presence[-1][1].joined == []


async def test_what_the_log_lost_meanwhile_is_a_gap(start: Start) -> None:
    one, two = await start(), await start()
    await watched(two, "a")
    first = await one.engine.publish("a", draft("m1"), KEEP)
    await until(lambda: two.offsets() == [1], "announced")
    bus = two.engine._watch.on_bus
    lost: list[bytes] = []
    two.engine._watch.on_bus = lambda room, payload: lost.append(payload)  # type: ignore[method-assign]
    await publish(one, [f"m{n}" for n in range(2, 11)])
    await until(lambda: len(lost) == 9, "lost")
    two.engine._watch.on_bus = bus  # type: ignore[method-assign]
    await one.engine.trim("a", Keep(history_length=3), AT / 1000)
    await publish(one, ["m11"])
    await until(lambda: two.offsets()[-1:] == [11], "announced")
    assert two.offsets() == [1, 8, 9, 10, 11] or two.offsets() == [1, 9, 10, 11]
    epoch = first.position.epoch
    assert two.listener.gaps == [("a", Position(epoch, two.offsets()[1] - 1))]


# -- Redis loses something ------------------------------------------------------------------------


async def test_a_redis_that_was_emptied_begins_anew(own: Valkey, start: Start) -> None:
    one, two = await start(own), await start(own)
    for node in (one, two):
        await watched(node, "a")
    await one.engine.join("a", ANN)
    first = await one.engine.publish("a", draft("m1"), KEEP)
    await until(lambda: two.offsets() == [1], "announced")
    secret = await one.engine.secret("recovery")
    ask(own, "FLUSHALL")
    again = await two.engine.publish("a", draft("m2"), KEEP)
    assert again.position.epoch != first.position.epoch
    assert again.position.offset == 1
    for node in (one, two):
        await until(lambda: node.listener.gaps, "told")  # noqa: B023
        assert node.listener.gaps == [("a", Position(again.position.epoch, 0))]
        # also the message that was the first to find the log gone
        await until(lambda: node.listener.messages[-1][2].id == "m2", "announced")  # noqa: B023
    one.engine.advance("a", "ann", 5)
    assert await one.engine.members("a", limit=9) == []
    third = await one.engine.publish("a", draft("m3"), KEEP)
    assert third.position == Position(again.position.epoch, 2)
    for node in (one, two):
        await until(lambda: node.listener.messages[-1][2].id == "m3", "announced")  # noqa: B023
        assert node.listener.messages[-1][1] == again.position.epoch
    assert (await one.engine.join("a", ANN)).joined == 2
    assert await one.engine.secret("recovery") == secret


async def test_a_redis_that_is_set_back_to_an_older_file_is_found_out(
    own: Valkey, start: Start, tmp_path: Path
) -> None:
    one, two = await start(own, timeout=30), await start(own, timeout=30)
    for node in (one, two):
        await watched(node, "a")
    await one.engine.join("a", ANN)
    first = await one.engine.publish("a", draft("m1"), KEEP)
    await publish(two, ["m2", "m3"])
    own.kill()
    file = own.directory / "appendonlydir"
    shutil.copytree(file, tmp_path / "older")
    await own.async_start()
    await publish(one, [f"m{n}" for n in range(4, 9)])
    for node in (one, two):
        await until(lambda: node.offsets() == list(range(1, 9)), "announced")  # noqa: B023
    one.engine.advance("a", "ann", 8)
    own.kill()
    shutil.rmtree(file)
    shutil.copytree(tmp_path / "older", file)
    waiting = asyncio.create_task(publish(two, ["m9", "m5"]))  # they come behind the looks
    await own.async_start()
    assert await waiting == [4, 5]
    for node in (one, two):
        await until(lambda: node.listener.gaps, "told")  # noqa: B023
        [(room, after)] = node.listener.gaps
        assert room == "a"
        assert after.epoch != first.position.epoch
        assert 3 <= after.offset <= 5  # whoever looked later is told of more at once
        rest = list(range(after.offset + 1, 6))
        await until(lambda: node.offsets()[8:] == rest, "announced")  # noqa: B023
        assert {epoch for _, epoch, _ in node.listener.messages[8:]} <= {after.epoch}
    assert two.listener.gaps[0][1].offset == 3
    page = await one.engine.history("a", after=0, limit=9)
    assert [message.id for message in page.messages] == ["m1", "m2", "m3", "m9", "m5"]
    assert await one.engine.join("a", ANN) == Membership(0, 0, 0, 0)


async def test_a_redis_that_lost_its_end_keeps_the_rest(own: Valkey, start: Start) -> None:
    """As a replica that was behind and became the master: also in a room that is quiet since."""
    one, two = await start(own), await start(own)
    for node in (one, two):
        await watched(node, "a", "quiet")
    await publish(one, ["q1"], "quiet")
    kept = [await one.engine.publish("a", draft(f"m{n}"), KEEP) for n in range(1, 6)]
    await until(lambda: two.offsets() == [1, 2, 3, 4, 5], "announced")
    old = one.counted("room_new_epochs_total")
    keys = one.engine._keys.room("a")
    lost = [await one.engine.publish("a", draft(f"m{n}"), KEEP) for n in range(6, 9)]
    await until(lambda: two.offsets()[-1] == 8, "announced")
    # what a replica that was behind, or an append-only file without its end, would hold
    forget_after(own, keys.log, 5)
    ask(own, "HSET", keys.meta, "s", "5")
    for n in range(6, 9):
        ask(own, "DEL", one.engine._keys.draft("a", "ann", f"m{n}"))
    ask(own, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    for node in (one, two):
        await until(lambda: node.listener.gaps, "told")  # noqa: B023
    gaps = {gap for node in (one, two) for gap in node.listener.gaps}
    [(room, after)] = gaps
    assert (room, after.offset) == ("a", 5)
    assert after.epoch != kept[0].position.epoch
    assert one.counted("room_new_epochs_total") == old + 1
    page = await two.engine.history("a", limit=9)
    assert [message.id for message in page.messages] == ["m1", "m2", "m3", "m4", "m5"]
    assert page.top == after
    # what is still there is not posted again, what was lost is
    again = await two.engine.publish("a", draft("m3"), KEEP)
    assert (again.duplicate, again.position) == (True, Position(after.epoch, 3))
    again = await two.engine.publish("a", draft("m7"), KEEP)
    assert (again.duplicate, again.position) == (False, Position(after.epoch, 6))
    assert lost[0].position.offset == again.position.offset
    for node in (one, two):
        await until(lambda: node.listener.messages[-1][2].id == "m7", "announced")  # noqa: B023


async def test_offsets_that_were_given_again_are_found_out(own: Valkey, start: Start) -> None:
    """The end was lost, and before anybody looked as much was posted anew."""
    one = await start(own)
    await watched(one, "a")
    first = await one.engine.publish("a", draft("m1"), KEEP)
    await publish(one, ["m2"])
    keys = one.engine._keys.room("a")
    forget_after(own, keys.log, 1)
    ask(own, "HSET", keys.meta, "s", "1")
    two = await start(own)
    other = await two.engine.publish("a", draft("other"), KEEP)
    assert other.position == Position(first.position.epoch, 2)
    ask(own, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    await until(lambda: one.listener.gaps, "told")
    [(_, after)] = one.listener.gaps
    assert after.offset == 2
    assert after.epoch != first.position.epoch
    page = await one.engine.history("a", after=0, limit=9)
    assert [message.id for message in page.messages] == ["m1", "other"]


async def test_offsets_given_again_in_a_room_that_keeps_nothing(own: Valkey, start: Start) -> None:
    nothing = Keep(history_length=0)
    one = await start(own)
    await watched(one, "a")
    for n in (1, 2, 3):
        last = await one.engine.publish("a", draft(f"m{n}"), nothing)
    ask(own, "HSET", one.engine._keys.room("a").meta, "s", "2")  # as of before m3
    two = await start(own)
    other = await two.engine.publish("a", draft("other"), nothing)
    assert other.position == last.position
    ask(own, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    await until(lambda: one.listener.gaps, "told")
    [(_, after)] = one.listener.gaps
    assert (after.offset, after.epoch != other.position.epoch) == (3, True)
    # and when nothing was lost, nothing is told
    await one.engine.publish("a", draft("m4"), nothing)
    ask(own, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    checks = one.counted("room_checks_total")
    await until(lambda: one.counted("room_checks_total") > checks + 1, "looked")
    await one.engine.publish("a", draft("m5"), nothing)
    await until(lambda: one.offsets()[-2:] == [4, 5], "announced")
    assert len(one.listener.gaps) == 1


async def test_a_new_master_may_lack_the_end_and_says_so(trio: Watched, start: Start) -> None:
    """A replica is a little behind: what was acknowledged and is not there is never passed over in
    silence, and nothing is there twice."""
    one, two = await start(trio, timeout=30), await start(trio, timeout=30)
    for node in (one, two):
        await watched(node, "a")
    acked: dict[str, Position] = {}

    async def post(number: int) -> None:
        for n in range(100):
            id = f"{number}-{n}"
            result = await (one, two)[number % 2].engine.publish("a", draft(id), KEEP)
            acked[id] = result.position

    posting = asyncio.gather(*map(post, range(6)))
    await until(lambda: len(acked) > 200, "some were acknowledged")
    trio.master.kill()
    await posting
    page = await one.engine.history("a", after=0, limit=1000)
    stored = {message.id: message.offset for message in page.messages}
    assert len(stored) == len(page.messages) == page.top.offset
    for id, position in acked.items():
        if position.epoch == page.top.epoch:
            assert stored[id] == position.offset
    is_whole = {position.epoch for position in acked.values()} == {page.top.epoch}
    for node in (one, two):
        room = node.engine._watch.rooms["a"]
        await until(
            lambda: (room.epoch, room.top) == (page.top.epoch, page.top.offset),  # noqa: B023
            "all announced",
        )
        told: dict[str, int] = {}
        for _, epoch, message in node.listener.messages:
            assert message.offset == told.get(epoch, message.offset - 1) + 1
            told[epoch] = message.offset
        assert is_whole == (node.listener.gaps == [])
    if is_whole:
        assert set(stored) == set(acked)


# -- Redis is away --------------------------------------------------------------------------------


async def test_a_frozen_redis_refuses_in_time_and_stores_nothing_later(
    own: Valkey, start: Start
) -> None:
    node = await start(own, timeout=1)
    await watched(node, "a")
    await publish(node, ["before"])
    own.pause()
    loop = asyncio.get_running_loop()
    begin = loop.time()
    results = await asyncio.gather(
        *(node.engine.publish("a", draft(f"m{n}"), KEEP) for n in range(50)),
        return_exceptions=True,
    )
    took = loop.time() - begin
    assert took < 2.5  # one timeout, and what a busy machine adds
    for result in results:
        assert isinstance(result, Refusal)
        assert (result.code, result.temporary) == ("unavailable", True)
        assert result.retry_after
    assert node.engine.ready() is not None
    # none of this may fail
    node.engine.watch("b")
    node.engine.unwatch("b")
    node.engine.advance("a", "ann", 1)
    node.engine.tell("a", Event("typing", {}))
    await node.engine.exit("a", "ann", "c", 0)
    await node.engine.trim("a", KEEP, AT / 1000)
    own.resume()
    await until(lambda: node.engine.ready() is None, "it is ready again")
    after = await node.engine.publish("a", draft("after"), KEEP)
    assert after.position.offset == 2
    page = await node.engine.history("a", after=0, limit=99)
    assert [message.id for message in page.messages] == ["before", "after"]
    assert node.offsets() == [1, 2]


async def test_what_became_of_a_refused_publish_is_found_out_by_sending_it_again(
    own: Valkey, start: Start
) -> None:
    """Redis freezes in the middle of its work: what it had stored, but not answered, is there."""
    node = await start(own, timeout=2)
    await watched(node, "a")
    ids = [f"m{n}" for n in range(1000)]
    drafts = [draft(id) for id in ids]
    publishing = [asyncio.create_task(node.engine.publish("a", one, KEEP)) for one in drafts]
    await until(lambda: any(task.done() for task in publishing), "some are published")
    own.pause()
    results = await asyncio.gather(*publishing, return_exceptions=True)
    own.resume()
    await until(lambda: node.engine.ready() is None, "it is ready again")
    assert {type(result) for result in results} <= {Published, Refusal}
    refused = [
        one for one, result in zip(drafts, results, strict=True) if isinstance(result, Refusal)
    ]
    await asyncio.gather(*(node.engine.publish("a", one, KEEP) for one in refused))
    page = await node.engine.history("a", after=0, limit=2000)
    assert sorted(message.id for message in page.messages) == sorted(ids)
    await until(lambda: node.offsets() == list(range(1, 1001)), "announced")


async def test_after_a_short_freeze_everything_goes_through(own: Valkey, start: Start) -> None:
    node = await start(own, timeout=20)
    await watched(node, "a")
    own.pause()
    publishing = asyncio.create_task(publish(node, [f"m{n}" for n in range(50)]))
    await until(lambda: node.counted("redis_waiting") >= 50, "all are on their way")
    own.resume()
    assert await publishing == list(range(1, 51))
    assert node.offsets() == list(range(1, 51))


async def test_a_redis_that_is_killed_and_started_loses_nothing(own: Valkey, start: Start) -> None:
    """What was acknowledged is there, and what waits goes through, once and in order."""
    one, two = await start(own, timeout=30), await start(own, timeout=30)
    for node in (one, two):
        await watched(node, "a")
    acked: dict[str, int] = {}

    async def post(number: int) -> None:
        for n in range(60):
            id = f"{number}-{n}"
            node = (one, two)[number % 2]
            result = await node.engine.publish("a", draft(id, again=number % 4 < 2), KEEP)
            acked[id] = result.position.offset

    posting = asyncio.gather(*map(post, range(8)))
    for share in (100, 250):
        await until(lambda: len(acked) > share, "some were acknowledged")  # noqa: B023
        own.kill()
        await asyncio.sleep(0)
        await own.async_start()
    await posting
    page = await one.engine.history("a", after=0, limit=1000)
    stored = {message.id: message.offset for message in page.messages}
    assert stored == acked
    assert len(page.messages) == 480
    for node in (one, two):
        await until(lambda: len(node.offsets()) == 480, "all announced")  # noqa: B023
        assert node.offsets() == list(range(1, 481))
        assert node.listener.gaps == []


# -- life -----------------------------------------------------------------------------------------


async def test_the_configuration_asks_for_it() -> None:
    engine: Engine = create_engine(config("redis", secrets.token_hex(4)), Peer("0badcafe"))
    assert isinstance(engine, RedisEngine)
    assert engine.ready() is not None
    with pytest.raises(Refusal):
        await engine.publish("a", draft("m"), KEEP)
    await engine.stop()


async def test_a_redis_that_is_not_there_is_a_store_error(tmp_path: Path) -> None:
    settings = Settings(url=f"unix://{tmp_path}/nothing.sock", timeout=0.5)
    engine = RedisEngine(Config(redis=settings), Peer("0badcafe"))
    with pytest.raises(StoreError):
        await engine.start(Listener())


async def test_a_redis_that_may_lose_messages_is_told_of(
    start: Start, own: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    await start(own)
    assert not [line for line in caplog.messages if "set " in line]
    ask(own, "CONFIG", "SET", "appendonly", "no")
    ask(own, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru", "maxmemory", "100mb")
    await start(own)
    lines = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert [line.rpartition("; ")[2] for line in lines] == [
        "set appendonly yes there",
        "set maxmemory-policy noeviction there",
    ]


async def test_a_redis_that_may_not_be_asked_is_used_all_the_same(
    start: Start, own: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    ask(own, "CONFIG", "SET", "appendonly", "no")
    ask(own, "ACL", "SETUSER", "default", "-info")
    node = await start(own)
    assert await publish(node, ["m"]) == [1]
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


async def test_where_nothing_is_to_be_kept_nothing_is_told(
    own: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    ask(own, "CONFIG", "SET", "appendonly", "no")
    settings = config(own, secrets.token_hex(4))
    settings = msgspec.structs.replace(settings, store=Store(path=":memory:"))
    engine = RedisEngine(settings, Peer("0badcafe"))
    await engine.start(Listener())
    await engine.stop()
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


async def test_a_join_while_redis_is_away_waits_and_is_refused(own: Valkey, start: Start) -> None:
    node = await start(own, timeout=1)
    own.pause()
    node.engine.watch("a")
    with pytest.raises(Refusal):
        await node.engine.history("a", limit=1)
    own.resume()
    await until(lambda: node.engine.ready() is None, "it is ready again")
    page = await node.engine.history("a", limit=1)
    assert page.top.offset == 0
    await publish(node, ["m"])
    await until(lambda: node.offsets() == [1], "announced")


async def test_foreign_words_are_ignored_and_counted(start: Start) -> None:
    node = await start()
    await watched(node, "a")
    keys = node.engine._keys
    words = [b"", b"x", b"m", b"m1:e", b"m1:e:\xff", b"l\xc1", b"lx", b"p\xff", b"e\xff"]
    before = node.counted("bus_messages")
    for word in words:
        ask(server("redis"), "PUBLISH", keys.room("a").channel, word)  # type: ignore[arg-type]
        ask(server("redis"), "PUBLISH", keys.nodes, word)  # type: ignore[arg-type]
    await until(lambda: node.counted("bus_messages") >= before + 2 * len(words), "all have arrived")
    foreign = {name: n for name, n in node.engine.stats().items() if "foreign" in name}
    assert sum(foreign.values()) >= 2 * len(words) - 2
    await publish(node, ["m"])
    assert node.offsets() == [1]


async def test_people_are_still_there_after_a_stop_in_good_order(start: Start) -> None:
    one, two = await start(), await start()
    await one.engine.enter("a", ANN, "c1")
    await one.engine.sweep(AT / 1000)
    await one.engine.stop()
    assert await two.engine.counts("a") == Counts(1, 0)
    assert GRACE > 1
