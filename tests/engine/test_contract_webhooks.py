"""The contract of engines, the part for webhooks: what is stored or noted is found, until taken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from typing import Any

import msgspec
import pytest

from sioserver.config.schema import Store, Webhook, Webhooks
from sioserver.engine.base import Engine
from sioserver.engine.base_webhooks import Webhooks as Marks
from sioserver.engine.embedded import EmbeddedEngine
from sioserver.engine.redis import RedisEngine
from sioserver.engine.redis_webhooks import RedisWebhooks
from sioserver.model import Draft, Peer, Position, User
from sioserver.subscriptions import Lane

from .conftest import DURABLE, GRACE, KINDS, PATIENCE, REDIS, Harness, Keep, config, until

ANN, BEN = User("ann", "Ann"), User("ben", "Ben")
KEEP = Keep()
LOG, NOTES = Lane("crm", "log"), Lane("crm", "notes")
OTHER = Lane("audit", "notes")
ENDPOINTS = Webhooks(
    queue=5,
    endpoints=[
        Webhook(name="crm", rooms=["a", "b", "c", "many*"]),
        Webhook(name="audit", rooms=["c"], events=["leave"]),
    ],
)


def build(kind: str, directory: Path, endpoints: Webhooks = ENDPOINTS) -> Engine:
    if kind in REDIS:
        prefix = sha256(str(directory).encode()).hexdigest()[:12]
        whole = msgspec.structs.replace(config(kind, prefix, timeout=PATIENCE), webhooks=endpoints)
        return RedisEngine(whole, Peer(token_hex(4)))
    path = directory / "rooms.db" if kind == "embedded-file" else ":memory:"
    return EmbeddedEngine(Store(durability="normal"), grace=GRACE, path=path, endpoints=endpoints)


class Place(Harness):
    """Knows how to give its store to a second engine, too."""

    def __init__(self, kind: str, directory: Path) -> None:
        super().__init__(lambda: build(kind, directory))
        self.kind = kind
        self.directory = directory

    @property
    def marks(self) -> Marks:
        assert self.engine.webhooks is not None
        return self.engine.webhooks


async def running(kind: str, directory: Path) -> AsyncIterator[Place]:
    place = Place(kind, directory)
    await place.start()
    yield place
    await place.engine.stop()


@pytest.fixture(params=KINDS)
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    async for place in running(request.param, tmp_path):
        yield place


@pytest.fixture(params=DURABLE)
async def durable(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    async for place in running(request.param, tmp_path):
        yield place


@pytest.fixture(params=REDIS)
async def shared(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    async for place in running(request.param, tmp_path):
        yield place


async def post(engine: Engine, room: str, body: Any = "hi") -> Position:
    draft = Draft(token_hex(4), ANN, body, 1_700_000_000_000, resendable=False)
    return (await engine.publish(room, draft, KEEP)).position


async def claimed(marks: Marks, lane: Lane, room: str) -> Position:
    mark = await marks.claim(lane, room)
    assert mark is not None
    return mark


async def come_and_go(engine: Engine, room: str, now: float) -> None:
    """Ann comes and, after the grace time, has left."""
    await engine.enter(room, ANN, "c1")
    await engine.sweep(now)
    await engine.exit(room, ANN.id, "c1", now)
    await engine.sweep(now + GRACE)


async def noted(marks: Marks, room: str, count: int) -> list[tuple[str, str]]:
    """(kind, user) of the notes, once there are that many: they are written down soon."""
    found: list[Any] = []
    async with asyncio.timeout(PATIENCE):
        while len(found) < count:
            found = await marks.notes(room, after=0, limit=99)
            await asyncio.sleep(0)
    return [(note.kind, note.data["user"]) for note in found]


async def test_without_webhooks_there_is_nothing(tmp_path: Path) -> None:
    engine = build("embedded-memory", tmp_path, Webhooks())
    assert engine.webhooks is None


async def test_what_is_posted_is_due_from_before_the_first_on(place: Place) -> None:
    marks = place.marks
    touched: list[str] = []
    marks.touched = touched.append
    first = await post(place.engine, "a")
    await post(place.engine, "a")
    await post(place.engine, "nobody asked")
    assert await marks.due(LOG, limit=9) == ["a"]
    assert set(touched) == {"a"}
    mark = await claimed(marks, LOG, "a")
    assert mark.offset == 0
    assert await marks.claim(LOG, "nobody asked") is None
    page = await place.engine.history("a", after=mark.offset, limit=9)
    assert [message.offset for message in page.messages] == [1, 2]
    assert not await marks.release(LOG, "a")  # something waits
    assert await marks.advance(LOG, "a", first)
    assert not await marks.release(LOG, "a")
    assert await marks.advance(LOG, "a", page.top)
    assert await marks.release(LOG, "a")
    assert await marks.due(LOG, limit=9) == []


async def test_what_was_there_before_the_webhook_is_not_sent(durable: Place) -> None:
    without = build(durable.kind, durable.directory, Webhooks())
    await durable.engine.stop()
    await without.start(durable.listener)
    await post(without, "a", "old")
    await without.stop()
    await durable.start()
    assert await durable.marks.due(LOG, limit=9) == []
    await post(durable.engine, "a", "new")
    assert await durable.marks.due(LOG, limit=9) == ["a"]
    assert (await claimed(durable.marks, LOG, "a")).offset == 1


async def test_one_at_a_time(place: Place) -> None:
    await post(place.engine, "a")
    marks = place.marks
    await claimed(marks, LOG, "a")
    assert await marks.due(LOG, limit=9) == []
    await marks.give_back(LOG, "a", 0.0)
    assert await marks.due(LOG, limit=9) == ["a"]
    mark = await claimed(marks, LOG, "a")
    assert mark.offset == 0


async def test_a_mark_outlives_the_engine(durable: Place) -> None:
    first = await post(durable.engine, "a")
    await post(durable.engine, "a")
    await claimed(durable.marks, LOG, "a")
    assert await durable.marks.advance(LOG, "a", first)
    await durable.marks.give_back(LOG, "a", 0.0)
    await durable.restart()
    assert await durable.marks.due(LOG, limit=9) == ["a"]
    assert await claimed(durable.marks, LOG, "a") == first


async def test_a_few_of_many(place: Place) -> None:
    for number in range(5):
        await post(place.engine, f"many{number}")
    found = await place.marks.due(LOG, limit=3)
    assert len(found) == len(set(found)) == 3


async def test_who_comes_and_goes_is_noted_in_order(place: Place) -> None:
    touched: list[str] = []
    place.marks.touched = touched.append
    await come_and_go(place.engine, "a", 1_700_000_000.0)
    assert await noted(place.marks, "a", 2) == [("join", "ann"), ("leave", "ann")]
    await until(lambda: touched, "somebody is told")
    assert await place.marks.due(NOTES, limit=9) == ["a"]
    mark = await claimed(place.marks, NOTES, "a")
    first, second = await place.marks.notes("a", after=mark.offset, limit=9)
    assert first.number < second.number
    assert first.data == {"user": "ann", "name": "Ann", "guest": False}
    assert await place.marks.notes("a", after=mark.offset, limit=1) == [first]
    assert await place.marks.advance(NOTES, "a", Position(mark.epoch, second.number))
    assert await place.marks.release(NOTES, "a")
    assert await place.marks.notes("a", after=0, limit=9) == []  # all lanes have passed


async def test_notes_stay_until_the_last_lane_has_passed(place: Place) -> None:
    await come_and_go(place.engine, "c", 1_700_000_000.0)
    await noted(place.marks, "c", 2)
    for lane, left in ((NOTES, 2), (OTHER, 0)):
        mark = await claimed(place.marks, lane, "c")
        last = (await place.marks.notes("c", after=0, limit=9))[-1]
        assert await place.marks.advance(lane, "c", Position(mark.epoch, last.number))
        assert len(await place.marks.notes("c", after=0, limit=9)) == left


async def test_the_newest_notes_are_kept(place: Place) -> None:
    for number in range(8):
        await place.marks.note("a", "leave", {"user": f"u{number}"}, 1_700_000_000.0 + number)
    assert await noted(place.marks, "a", 5) == [("leave", f"u{number}") for number in range(3, 8)]
    await claimed(place.marks, NOTES, "a")
    assert place.marks.stats()["webhook_notes_dropped_total"] == 3


async def test_numbers_rise_when_the_clock_goes_back(place: Place) -> None:
    for now in (1_700_000_100.0, 1_700_000_050.0, 1_700_000_050.0):
        await place.marks.note("a", "join", {"user": "ann"}, now)
    numbers = [note.number for note in await place.marks.notes("a", after=0, limit=9)]
    assert numbers == sorted(set(numbers))


async def test_what_nobody_wants_is_not_noted(place: Place) -> None:
    await come_and_go(place.engine, "nobody asked", 1_700_000_000.0)
    await place.marks.note("nobody asked", "join", {}, 1_700_000_000.0)
    await place.marks.note("a", "join", {"user": "ben"}, 1_700_000_000.0)
    assert await noted(place.marks, "a", 1) == [("join", "ben")]
    assert await place.marks.notes("nobody asked", after=0, limit=9) == []
    assert await place.marks.claim(NOTES, "nobody asked") is None


async def test_drafts_without_waiting_keep_their_order(place: Place) -> None:
    """Also where the first of a room has to wait for the room's marks."""
    bodies = list(range(20))
    await asyncio.gather(*(post(place.engine, "b", body) for body in bodies))
    page = await place.engine.history("b", after=0, limit=99)
    assert [message.body for message in page.messages] == bodies


async def test_after_a_crash_of_all_everybody_has_left(tmp_path: Path) -> None:
    place = Place("embedded-file", tmp_path)
    await place.start()
    await place.engine.enter("a", ANN, "c1")
    await place.engine.sweep(1_700_000_000.0)
    assert await noted(place.marks, "a", 1) == [("join", "ann")]
    (join,) = await place.marks.notes("a", after=0, limit=9)
    await place.restart()
    found = await place.marks.notes("a", after=join.number, limit=9)
    assert [(note.kind, note.data["user"]) for note in found] == [("leave", "ann")]
    await place.restart()
    assert len(await place.marks.notes("a", after=0, limit=9)) == 2  # said once
    await place.engine.stop()


# -- nodes that share a store -------------------------------------------------------------------


async def test_two_nodes_do_not_work_on_the_same(shared: Place) -> None:
    other = Place(shared.kind, shared.directory)
    await other.start()
    try:
        await post(shared.engine, "a")
        mark = await claimed(shared.marks, LOG, "a")
        assert await other.marks.claim(LOG, "a") is None
        assert not await other.marks.advance(LOG, "a", mark)
        await shared.marks.give_back(LOG, "a", 0.0)
        assert await claimed(other.marks, LOG, "a") == mark
        assert not await shared.marks.advance(LOG, "a", mark)
    finally:
        await other.engine.stop()


async def test_a_dead_nodes_work_is_taken_over(
    shared: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RedisWebhooks, "_claim_of", lambda *_: 0.2)
    dead, other = Place(shared.kind, shared.directory), Place(shared.kind, shared.directory)
    await dead.start()
    await other.start()
    try:
        await post(dead.engine, "a")
        mark = await claimed(dead.marks, LOG, "a")  # and says no more
        found: list[str] = []

        async def look() -> bool:
            found[:] = await other.marks.due(LOG, limit=9)
            return found == ["a"]

        async with asyncio.timeout(PATIENCE):
            while not await look():
                await asyncio.sleep(0.01)
        assert await claimed(other.marks, LOG, "a") == mark
    finally:
        await other.engine.stop()
        await dead.engine.stop()


async def test_a_room_in_which_nothing_happens_any_more_leaves_nothing_behind(
    shared: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = shared.engine
    assert isinstance(engine, RedisEngine)
    assert engine.webhooks is not None
    monkeypatch.setattr(engine.webhooks, "_expect_ms", 0)
    top = await post(engine, "a")
    for lane in (LOG, NOTES):
        mark = await claimed(shared.marks, lane, "a")
        assert await shared.marks.advance(lane, "a", top if lane is LOG else mark)
        await shared.marks.release(lane, "a")
        assert await shared.marks.claim(lane, "a") is None
    redis, keys = engine._redis, engine._keys
    assert await redis.command(keys.room("a").hooks, "HLEN", keys.room("a").hooks) == 0
    for lane in (LOG, NOTES):
        key = keys.due(str(lane))
        assert await redis.command(key, "ZRANGE", key, 0, -1) == []
    # and the next message is found all the same, by whoever has not just said that it may come
    engine.webhooks._expected.clear()
    await post(engine, "a")
    assert (await claimed(shared.marks, LOG, "a")).offset == 1


async def test_while_somebody_is_there_the_room_is_looked_after(
    shared: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = shared.engine
    assert isinstance(engine, RedisEngine)
    assert engine.webhooks is not None
    monkeypatch.setattr(engine.webhooks, "_expect_ms", 0)
    await engine.enter("a", ANN, "c1")
    await claimed(shared.marks, NOTES, "a")
    assert await shared.marks.release(NOTES, "a")
    key = engine._keys.due(str(NOTES))
    assert await engine._redis.command(key, "ZRANGE", key, 0, -1) == [b"a"]
