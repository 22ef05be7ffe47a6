"""The contract of engines, the part for webhooks: what is stored or noted is found, until taken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from hashlib import sha256
from math import inf
from pathlib import Path
from secrets import token_hex
from typing import Any

import msgspec
import pytest

from sioserver.config.schema import Store, Webhook, Webhooks
from sioserver.engine import moderated
from sioserver.engine.base import Engine
from sioserver.engine.base_webhooks import Webhooks as Marks
from sioserver.engine.embedded import EmbeddedEngine
from sioserver.engine.redis import RedisEngine
from sioserver.engine.redis_webhooks import RedisWebhooks
from sioserver.errors import Refusal
from sioserver.model import EVERYWHERE, Act, Draft, Peer, Position, Sanction, User
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
        Webhook(name="police", rooms=["p", "[*]"], events=["moderation"]),
    ],
)
POLICE = Lane("police", "notes")
NOW = 1_700_000_000.0


def build(
    kind: str, directory: Path, endpoints: Webhooks = ENDPOINTS, *, lease: float = 15.0
) -> Engine:
    if kind in REDIS:
        prefix = sha256(str(directory).encode()).hexdigest()[:12]
        whole = msgspec.structs.replace(
            config(kind, prefix, lease=lease, timeout=PATIENCE), webhooks=endpoints
        )
        return RedisEngine(whole, Peer(token_hex(4)))
    path = directory / "rooms.db" if kind == "embedded-file" else ":memory:"
    return EmbeddedEngine(Store(durability="normal"), grace=GRACE, path=path, endpoints=endpoints)


class Place(Harness):
    """Knows how to give its store to a second engine, too."""

    def __init__(self, kind: str, directory: Path, **options: float) -> None:
        super().__init__(lambda: build(kind, directory, **options))
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


async def ban(engine: Engine, room: str, user: str = "ann", at: float = NOW) -> None:
    act = Act("ban", "mod", at, user, inf, "spam")
    await engine.moderation.impose(room, Sanction("ban", user, inf, at, "mod", "spam"), act)


@pytest.mark.parametrize("room", ["p", EVERYWHERE])
async def test_what_moderators_do_is_noted_with_it(place: Place, room: str) -> None:
    touched: list[str] = []
    place.marks.touched = touched.append
    moderation = place.engine.moderation
    await ban(place.engine, room)
    kick = Sanction("kick", "ben", NOW + 60, NOW, "mod")
    await moderation.impose(room, kick, Act("kick", "mod", NOW, "ben", kick.until))
    assert await moderation.lift(room, "ban", "ann", Act("unban", "mod", NOW, "ann"))
    act = Act("settings", "mod", NOW + 1, settings={"topic": "tea", "read_only": None})
    await moderation.configure(room, act.settings, act)
    assert touched == [room] * 4
    assert await place.marks.due(POLICE, limit=9) == [room]
    mark = await claimed(place.marks, POLICE, room)
    notes = await place.marks.notes(room, after=mark.offset, limit=9)
    assert {note.kind for note in notes} == {"moderation"}
    assert [note.at for note in notes] == [1_700_000_000_000] * 3 + [1_700_000_001_000]
    found = [msgspec.convert(note.data, Act) for note in notes]
    recorded = await moderation.acts(room, limit=9)
    assert found == [msgspec.structs.replace(act, number=0) for act in reversed(recorded)]
    assert [act.what for act in found] == ["ban", "kick", "unban", "settings"]


async def test_what_is_not_done_is_not_noted(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    moderation = place.engine.moderation
    assert not await moderation.lift("p", "ban", "ann", Act("unban", "mod", NOW, "ann"))
    monkeypatch.setattr(moderated, "MOST", 1)
    await ban(place.engine, "p", "ann")
    with pytest.raises(Refusal, match="lift some"):
        await ban(place.engine, "p", "ben")
    moderation.learn("p", "ann", ("10.0.0.1",))
    await ban(place.engine, "p", "ann", NOW + 1)
    assert await noted(place.marks, "p", 2) == [("moderation", "ann")] * 2


async def test_what_nobody_wants_to_know_of_moderators_is_not_noted(place: Place) -> None:
    touched: list[str] = []
    place.marks.touched = touched.append
    await ban(place.engine, "a")
    await ban(place.engine, "nobody asked")
    assert await place.marks.notes("a", after=0, limit=9) == []
    assert touched == []


async def test_notes_of_moderators_outlive_the_engine(durable: Place) -> None:
    for room in ("p", EVERYWHERE):
        await ban(durable.engine, room)
    await durable.restart()
    assert set(await durable.marks.due(POLICE, limit=9)) == {"p", EVERYWHERE}
    for room in ("p", EVERYWHERE):
        assert await noted(durable.marks, room, 1) == [("moderation", "ann")]


async def test_the_newest_notes_are_kept(place: Place) -> None:
    for number in range(8):
        await ban(place.engine, "p", f"u{number}", NOW + number)
    assert await noted(place.marks, "p", 5) == [("moderation", f"u{n}") for n in range(3, 8)]
    await claimed(place.marks, POLICE, "p")
    assert place.marks.stats()["webhook_notes_dropped_total"] == 3


async def test_numbers_rise_when_the_clock_goes_back(place: Place) -> None:
    for at in (NOW + 100, NOW + 50, NOW + 50):
        await ban(place.engine, "p", at=at)
    numbers = [note.number for note in await place.marks.notes("p", after=0, limit=9)]
    assert len(numbers) == 3
    assert numbers == sorted(set(numbers))


async def test_who_comes_where_nobody_wants_to_know_is_not_noted(place: Place) -> None:
    for room in ("nobody asked", "p", "a"):
        await come_and_go(place.engine, room, NOW)
    assert await noted(place.marks, "a", 2) == [("join", "ann"), ("leave", "ann")]
    for room in ("nobody asked", "p"):
        assert await place.marks.notes(room, after=0, limit=9) == []
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

        async def take() -> Position | None:
            due = await other.marks.due(LOG, limit=9)
            # by its own estimate of the server's clock, which may be ahead: then it looks again
            return await other.marks.claim(LOG, "a") if due == ["a"] else None

        async with asyncio.timeout(PATIENCE):
            while (taken := await take()) is None:
                await asyncio.sleep(0.01)
        assert taken == mark
    finally:
        await other.engine.stop()
        await dead.engine.stop()


async def test_who_finds_it_taken_looks_again_when_that_claim_ends(shared: Place) -> None:
    """Also who would hold it longer, and may find that the other is dead."""
    other = Place(shared.kind, shared.directory)
    await other.start()
    try:
        for place, seconds in ((shared, 3600.0), (other, 9 * 3600.0)):
            assert isinstance(place.engine, RedisEngine)
            assert place.engine.webhooks is not None
            place.engine.webhooks._claim_of = lambda _, seconds=seconds: seconds  # type: ignore[method-assign]
        await post(shared.engine, "a")
        await claimed(shared.marks, LOG, "a")
        assert await other.marks.claim(LOG, "a") is None
        assert isinstance(other.engine, RedisEngine)
        redis, key = other.engine._redis, other.engine._keys.due(str(LOG))
        score = float(await redis.command(key, "ZSCORE", key, "a"))
        assert abs(score / 1000 - redis.server_time(key) - 3600) < PATIENCE
    finally:
        await other.engine.stop()


async def test_what_a_dead_node_had_not_begun_to_send_is_found_with_its_people(
    shared: Place,
) -> None:
    dead, other = (Place(shared.kind, shared.directory, lease=1.0) for _ in range(2))
    await dead.start()
    await other.start()
    touched: list[str] = []
    other.marks.touched = touched.append
    try:
        await dead.engine.enter("a", ANN, "c1")
        await dead.engine.sweep(NOW)
        top = await post(dead.engine, "a")
        for lane in (LOG, NOTES):  # all is sent, so the room is not due for a minute
            mark = await claimed(dead.marks, lane, "a")
            notes = await dead.marks.notes("a", after=mark.offset, limit=9)
            end = top if lane is LOG else Position(mark.epoch, notes[-1].number)
            assert await dead.marks.advance(lane, "a", end)
            assert await dead.marks.release(lane, "a")
        await post(dead.engine, "a", "last words")
        assert isinstance(dead.engine, RedisEngine)
        assert dead.engine._lease._task is not None
        dead.engine._lease._task.cancel()
        await until(lambda: "a" in touched, "the other has taken the people away", PATIENCE)
        mark = await claimed(other.marks, LOG, "a")
        page = await other.engine.history("a", after=mark.offset, limit=9)
        assert [message.body for message in page.messages] == ["last words"]
        mark = await claimed(other.marks, NOTES, "a")
        found = await other.marks.notes("a", after=mark.offset, limit=9)
        assert [(note.kind, note.data["user"]) for note in found] == [("leave", "ann")]
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
    await ban(engine, "p")
    mark = await claimed(shared.marks, POLICE, "p")
    (note,) = await shared.marks.notes("p", after=mark.offset, limit=9)
    assert await shared.marks.advance(POLICE, "p", Position(mark.epoch, note.number))
    assert await shared.marks.release(POLICE, "p")
    for key in keys.room("p").hooks, keys.room("p").notes:
        assert await redis.command(key, "PEXPIRE", key, 60_000) == 0, "there is no such key"
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
