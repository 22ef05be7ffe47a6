"""When a watched room's log is looked at, and that all ways of a message end in one order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec import msgpack

from sioserver.engine import redis_watch
from sioserver.engine.redis_entries import pack
from sioserver.engine.redis_keys import Keys
from sioserver.engine.redis_link import Unavailable
from sioserver.engine.redis_log import RedisLog
from sioserver.engine.redis_rooms import EARLY, Room
from sioserver.engine.redis_servers import Redis
from sioserver.engine.redis_watch import RedisWatch
from sioserver.errors import Refusal
from sioserver.model import Draft, Position
from tests.redis_servers import ask, settings

from .conftest import BEN, Keep, Listener, delete, draft, edit, react, server, until

KEEP = Keep()
MESSAGE = pack("m", "ann", "Ann", 1, "hi")


class Kit:
    """Watched rooms without a bus: the test is the bus."""

    def __init__(self) -> None:
        self.settings = settings(server("redis"), timeout=1.0)
        self.keys = Keys(self.settings.prefix)
        self.redis = Redis(
            self.settings, name="test", on_connected=lambda: None, on_lost=lambda reason: None
        )
        self.lost: list[str] = []
        self.looks: list[tuple[str, int]] = []
        self.watch = RedisWatch(
            self.redis,
            self.keys,
            cached=8,
            on_new_epoch=self.lost.append,
            on_looked=lambda *look: self.looks.append(look),
        )
        self.elsewhere = RedisLog(self.redis, self.keys, self.settings)
        self.here = RedisLog(
            self.redis,
            self.keys,
            self.settings,
            watched=self.watch.rooms,
            on_own=self.watch.on_own,
        )
        self.listener = Listener()
        self.script = self.redis.script

    def start(self) -> None:
        """Without the ticks of the clock: a busy machine has more of them while a test works."""
        self.watch.start(self.listener, self.here)
        self._no_more_ticks()

    def tick(self) -> None:
        """A second has passed."""
        self.watch._tick()
        self._no_more_ticks()

    def _no_more_ticks(self) -> None:
        assert self.watch._timer is not None
        self.watch._timer.cancel()

    def counted(self, name: str) -> float:
        return self.watch.stats()[name]

    async def room(self, name: str = "a") -> Room:
        self.watch.add(name)
        room = self.watch.rooms[name]
        await self.watch.placed(room, 5)
        return room

    async def post(self, id: str, log: RedisLog | None = None, room: str = "a") -> Position:
        return (await (log or self.elsewhere).publish(room, draft(id), KEEP)).position

    def payload(self, id: str, position: Position) -> bytes:
        data = pack(id, "ann", "Ann", 1_700_000_000_000, "hi")
        return f"m{position.offset}:{position.epoch}:".encode() + data

    def offsets(self, room: str = "a") -> list[int]:
        return self.listener.offsets(room)


@pytest.fixture
async def kit() -> AsyncIterator[Kit]:
    kit = Kit()
    await kit.redis.start()
    kit.start()
    yield kit
    kit.watch.stop()
    await kit.redis.stop()


def fail(*_: Any) -> asyncio.Future[Any]:
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    future.set_exception(Unavailable("planted"))
    return future


async def test_announcing_begins_where_the_log_stands(kit: Kit) -> None:
    await kit.post("m1")
    room = await kit.room()
    assert (room.base, kit.offsets()) == (1, [])
    await kit.post("m2", kit.here)
    assert kit.offsets() == [2]


async def test_the_copy_of_an_own_message_changes_nothing_whichever_comes_first(kit: Kit) -> None:
    room = await kit.room()
    first = await kit.post("m1", kit.here)
    kit.watch.on_bus(room, kit.payload("m1", first))
    second = await kit.post("m2")
    kit.watch.on_bus(room, kit.payload("m2", second))
    again = await kit.post("m2", kit.here)
    assert again == second
    assert kit.offsets() == [1, 2]
    assert kit.counted("room_holes_total") == 0


async def test_what_was_published_before_the_bus_tells_is_read(kit: Kit) -> None:
    room = await kit.room()
    for n in range(1, 6):
        await kit.post(f"m{n}")
    kit.watch.on_subscribed([room.keys.channel, "foreign"])
    await until(lambda: kit.offsets() == [1, 2, 3, 4, 5], "announced")
    assert kit.counted("rooms_heard") == 1
    assert kit.counted("room_filled_total") == 5
    kit.watch.on_deaf()
    assert kit.counted("rooms_heard") == 0


async def test_a_look_also_brings_the_version_of_the_presence(kit: Kit) -> None:
    room = await kit.room()
    assert kit.looks == [("a", 0)]
    version = 1_700_000_000_001
    await kit.redis.command(room.keys.meta, "HSET", room.keys.meta, "v", version)
    kit.watch.on_subscribed([room.keys.channel])
    await until(lambda: kit.looks[1:] == [("a", version)], "looked at")


async def test_a_hole_is_given_a_moment_and_then_read(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = await kit.room()
    positions = [await kit.post(f"m{n}") for n in range(1, 5)]
    before = kit.counted("room_checks_total")
    kit.watch.on_bus(room, kit.payload("m2", positions[1]))
    kit.watch.on_bus(room, kit.payload("m1", positions[0]))
    assert kit.offsets() == [1, 2]
    kit.watch.on_bus(room, kit.payload("m4", positions[3]))
    assert kit.offsets() == [1, 2]
    assert kit.counted("rooms_with_holes") == 1
    await until(lambda: kit.offsets() == [1, 2, 3, 4], "announced")
    assert kit.counted("room_checks_total") == before + 1
    await until(lambda: kit.counted("rooms_with_holes") == 0, "forgotten")


async def test_a_long_hole_is_read_in_pages(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    room = await kit.room()
    monkeypatch.setattr(redis_watch, "PAGE", 4)
    for n in range(1, 20):
        await kit.post(f"m{n}")
    kit.watch.look(room)
    await until(lambda: kit.offsets() == list(range(1, 20)), "announced")
    assert kit.listener.gaps == []


async def test_a_duplicate_of_what_was_not_announced_is_a_hole(kit: Kit) -> None:
    await kit.room()
    await kit.post("m1")
    await kit.post("m1", kit.here)
    assert kit.offsets() == []
    await until(lambda: kit.offsets() == [1], "announced")


async def test_another_epoch_is_looked_into_before_anything_is_believed(kit: Kit) -> None:
    room = await kit.room()
    first = await kit.post("m1", kit.here)
    # what a master says that is none any more
    kit.watch.on_bus(room, kit.payload("lie", Position("e0", 2)))
    assert not room.is_whole
    await until(lambda: room.is_whole, "looked into")
    assert (kit.offsets(), kit.listener.gaps, room.epoch) == ([1], [], first.epoch)
    # and what is true
    ask(server("redis"), "DEL", room.keys.meta)  # type: ignore[arg-type]
    again = await kit.post("m2", kit.here)
    assert kit.offsets() == [1]
    await until(lambda: kit.listener.gaps, "told")
    assert kit.listener.gaps == [("a", Position(again.epoch, 0))]
    assert kit.lost == ["a"]
    await until(lambda: kit.offsets() == [1, 1], "announced")
    await kit.post("m3", kit.here)
    assert [epoch for _, epoch, _ in kit.listener.messages] == [
        *(first.epoch, again.epoch, again.epoch)
    ]


@pytest.mark.parametrize(
    "payload",
    [
        *(b"m", b"m1", b"m1:e", b"m1:e:", b"mx:e:x", b"m1:\xff:\xff", b"m-1:e:x"),
        b"m" + b"9" * 5000 + b":e:x",
        b"m1:e:" + b"\x91" * 100_000,  # nested more deeply than anybody can read
        b"m1:e:" + b"\x95" * 100_000,
        *(b"o1:e:1", b"o1:e:1:", b"o1:e:x:y", b"o1:e:2:" + MESSAGE, b"o1:e:-1:" + MESSAGE),
        b"o1:e:0:" + msgpack.encode(("m", "ann", "Ann", 1, "delete", 7, "", True, 0)),
        b"o1:e:1:" + b"\x9a" + b"\x91" * 100_000,
    ],
)
async def test_foreign_words_change_nothing(kit: Kit, payload: bytes) -> None:
    room = await kit.room()
    kit.watch.on_bus(room, payload.replace(b":e:", b":" + room.raw_epoch + b":"))
    await until(lambda: room.is_whole, "looked into, if need be")
    assert (kit.listener.messages, kit.listener.gaps) == ([], [])
    await kit.post("m1", kit.here)
    assert kit.offsets() == [1]


@pytest.mark.parametrize("offset", [EARLY + 2, 2**53, 10**1000])
async def test_who_claims_that_much_is_missing_is_not_believed(kit: Kit, offset: int) -> None:
    """One forged announcement must not have the log taken for one that has lost its end."""
    room = await kit.room()
    first = await kit.post("m1", kit.here)
    kit.watch.on_bus(room, kit.payload("forged", Position(first.epoch, offset)))
    assert not room.is_whole  # history asks the log meanwhile
    await until(lambda: room.is_whole, "looked into")
    assert kit.counted("room_strange_total") == 1
    assert (await kit.post("m2", kit.here)).epoch == first.epoch
    assert (kit.offsets(), kit.listener.gaps) == ([1, 2], [])


async def test_a_look_that_failed_is_made_again(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(kit.redis, "script", fail)
        kit.watch.add("a")
        room = kit.watch.rooms["a"]
        with pytest.raises(Refusal) as refused:
            await kit.watch.placed(room, 0.05)
        assert refused.value.code == "unavailable"
    kit.tick()
    await kit.watch.placed(room, 5)
    assert room.is_whole


async def test_every_room_is_looked_at_now_and_then(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    rooms = [await kit.room(f"room{n}") for n in range(30)]
    kit.watch.on_subscribed([room.keys.channel for room in rooms])
    await until(lambda: kit.counted("room_checks_total") == 60, "all were looked at twice")
    for n in range(30):
        await kit.post("m", room=f"room{n}")
    for _ in range(20):
        kit.tick()
        await until(lambda: not any(room.checking for room in rooms), "the looks are over")
    assert all(kit.offsets(f"room{n}") == [1] for n in range(30))
    assert kit.counted("room_checks_total") <= 60 + 20 * 3


async def test_the_rounds_go_by_themselves(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_watch, "TICK", 0.01)
    kit.watch.start(kit.listener, kit.here)
    await kit.room()
    before = kit.counted("room_checks_total")
    await until(lambda: kit.counted("room_checks_total") >= before + 3, "looked at again")


async def test_so_many_looks_at_once_and_no_more(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    rooms = [await kit.room(f"room{n}") for n in range(50)]
    monkeypatch.setattr(redis_watch, "UNDER_WAY", 8)
    under_way = most = 0

    def counting(*call: Any) -> asyncio.Future[Any]:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        future = kit.script(*call)

        def answered(_: Any) -> None:
            nonlocal under_way
            under_way -= 1

        future.add_done_callback(answered)
        return future

    monkeypatch.setattr(kit.redis, "script", counting)
    before = kit.counted("room_checks_total")
    for _ in range(2):  # the second time they are waiting already
        for room in rooms:
            kit.watch.look(room)
    assert kit.counted("checks_waiting") == 42
    await until(lambda: kit.counted("checks_waiting") == 0, "all were begun")
    await until(lambda: not any(room.checking or room.queued for room in rooms), "all are over")
    assert most <= 9
    assert kit.counted("room_checks_total") - before == 58


async def test_when_the_connection_is_back_the_looks_come_first(kit: Kit) -> None:
    rooms = [await kit.room(f"room{n}") for n in range(300)]
    kit.watch.on_connected()
    assert all(room.checking == 1 for room in rooms)
    kit.watch.on_connected()  # again: what is under way may stand behind messages
    assert all(room.checking == 2 for room in rooms)
    await until(lambda: not any(room.checking or room.queued for room in rooms), "all are over")
    assert kit.counted("room_checks_total") == 300 * 3


async def test_two_looks_that_find_a_new_log_tell_of_it_once(kit: Kit) -> None:
    room = await kit.room()
    await kit.post("m1", kit.here)
    ask(server("redis"), "DEL", room.keys.meta)  # type: ignore[arg-type]
    kit.watch.on_connected()
    kit.watch.on_connected()
    positions = await asyncio.gather(*(kit.post(f"n{n}") for n in range(3)))
    await until(lambda: kit.offsets() == [1, 1, 2, 3], "announced")
    epoch = positions[0].epoch
    assert kit.listener.gaps == [("a", Position(epoch, 0))]
    assert room.is_whole


async def test_nothing_comes_of_a_room_that_is_watched_no_more(kit: Kit) -> None:
    room = await kit.room()
    kit.watch.look(room)
    kit.watch.remove("a")
    kit.watch.remove("a")
    await kit.post("m1", kit.here)
    assert kit.offsets() == []
    new = await kit.room()
    assert new is not room
    assert new.base == 1
    assert kit.counted("rooms_watched") == 1


async def test_whoever_waits_looks_again_when_the_room_goes(kit: Kit) -> None:
    kit.watch.add("a")
    room = kit.watch.rooms["a"]
    waiting = asyncio.create_task(kit.watch.placed(room, 5))
    await asyncio.sleep(0)
    kit.watch.remove("a")
    await waiting
    assert room.epoch == ""


async def test_old_messages_go_with_the_round(kit: Kit) -> None:
    room = await kit.room()
    for n in range(3):
        await kit.elsewhere.publish("a", draft(f"m{n}", at=1_700_000_000_000 + n * 100_000), KEEP)
    kit.watch.look(room)
    await until(lambda: kit.offsets() == [1, 2, 3], "announced")
    room.rule = (1000, 600.0)
    for _ in range(3):  # once is enough
        kit.watch.tidy(1_700_000_000 + 750)
    await until(lambda: room.first == 3, "trimmed")
    assert (await kit.elsewhere.page("a", 0, None, 9)).first == 3
    assert room.messages(1, 4) is None


# -- operations -----------------------------------------------------------------------------------


async def same_as_the_log(kit: Kit, room: Room) -> None:
    """What is in memory of the room is what the log says."""
    for ops in (True, False):
        page = await kit.elsewhere.page("a", None, None, 8, ops=ops)
        found = room.page(room.first, None, None, 8, ops=ops)
        assert found is not None
        assert found.messages == page.messages
    assert room.number == page.number


async def test_operations_that_were_missed_are_read(kit: Kit) -> None:
    room = await kit.room()
    for n in (1, 2, 3):
        await kit.post(f"m{n}")
    for operation in (
        edit("new", 1),
        react("x", 2, by=BEN),
        edit("newer", 1),
        delete(3),
        react("x", 2, by=BEN, on=False),
    ):
        await kit.elsewhere.operate("a", operation, KEEP)
    kit.watch.look(room)
    await until(lambda: kit.offsets() == [1, 2, 3, 4, 5, 6, 7, 8], "announced")
    told = [(one.kind, one.body, one.target) for _, _, one in kit.listener.messages]
    assert told == [
        ("message", "newer", 0),
        ("message", "hi", 0),
        ("message", None, 0),
        ("edit", "newer", 1),
        ("reaction", None, 2),
        ("edit", "newer", 1),
        ("delete", None, 3),
        ("reaction", None, 2),
    ]
    await same_as_the_log(kit, room)
    assert kit.counted("room_foreign_total") == 0


async def test_a_message_at_the_top_that_was_changed_is_the_same_message(kit: Kit) -> None:
    """It is not in the stream any more, where the log is compared with what is known."""
    room = await kit.room()
    await kit.post("m1", kit.here)
    await kit.elsewhere.operate("a", edit("new", 1), KEEP)
    assert room.top == 1
    kit.watch.look(room)
    await until(lambda: kit.offsets() == [1, 2], "announced")
    for operation in (react("x", 1), delete(1)):  # the top is an operation
        await kit.elsewhere.operate("a", operation, KEEP)
        kit.watch.look(room)
        await until(lambda: room.is_whole and not room.checking, "looked at")
    mentioning = Draft("m2", BEN, "hi", 1, True, mentions=("ann",))
    await kit.elsewhere.publish("a", mentioning, KEEP)
    await kit.elsewhere.operate("a", delete(5, by=BEN), KEEP)
    await kit.elsewhere.publish("a", mentioning, KEEP)  # changes nothing
    kit.watch.look(room)
    await until(lambda: kit.offsets() == [1, 2, 3, 4, 5, 6], "announced")
    kit.watch.look(room)
    await until(lambda: not (room.checking or room.queued), "looked at")
    assert (kit.listener.gaps, kit.lost) == ([], [])
    await same_as_the_log(kit, room)


async def test_a_deleted_message_at_the_top_of_a_look_is_the_same_message(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = await kit.room()
    await kit.elsewhere.publish("a", Draft("m1", BEN, "hi", 1, True, mentions=("ann",)), KEEP)
    await kit.elsewhere.operate("a", delete(1, by=BEN), KEEP)
    with monkeypatch.context() as small:
        small.setattr(redis_watch, "PAGE", 1)
        kit.watch.look(room)
        await until(lambda: kit.offsets() == [1, 2], "announced, one after the other")
    assert (kit.listener.gaps, kit.lost) == ([], [])


async def test_a_message_at_the_top_that_was_trimmed_is_no_other_message(kit: Kit) -> None:
    """The reactions to it are there longer than itself."""
    room = await kit.room()
    await kit.post("m1", kit.here)
    for id in ("m2", "m3"):
        await kit.post(id)
    await kit.elsewhere.operate("a", react("x", 1), KEEP)
    await kit.elsewhere.trim("a", (2, 0.0), 0.0)
    assert kit.offsets() == [1]
    kit.watch.look(room)
    await until(lambda: kit.offsets() == [1, 3, 4], "announced")
    epoch = room.epoch
    assert (kit.listener.gaps, kit.lost) == ([("a", Position(epoch, 2))], [])
    await same_as_the_log(kit, room)


async def test_another_entry_under_the_offset_of_an_operation_is_found_out(kit: Kit) -> None:
    room = await kit.room()
    await kit.post("m1", kit.here)
    await kit.here.operate("a", react("x", 1), KEEP)
    keys = room.keys
    for command in (("DEL", keys.log), ("HSET", keys.meta, "s", 1)):
        ask(server("redis"), *command)  # type: ignore[arg-type]
    await kit.post("other")
    kit.watch.look(room)
    await until(lambda: kit.lost == ["a"], "found out")


async def test_own_operations_are_announced_before_they_return(kit: Kit) -> None:
    room = await kit.room()
    await kit.post("m1", kit.here)
    await kit.here.operate("a", edit("new", id="m1"), KEEP)
    await kit.here.operate("a", react("x", 1), KEEP)
    assert kit.offsets() == [1, 2, 3]
    await kit.elsewhere.operate("a", react("y", 1), KEEP)
    again = await kit.here.operate("a", react("y", 1), KEEP)
    assert (again.duplicate, again.position.offset, kit.offsets()) == (True, 4, [1, 2, 3])
    await until(lambda: kit.offsets() == [1, 2, 3, 4], "announced")
    await same_as_the_log(kit, room)


async def test_what_is_trimmed_on_the_way_is_not_shown_either(kit: Kit) -> None:
    room = await kit.room()
    keep = Keep(history_length=3)
    await kit.post("m1", kit.here)
    for n in range(63):
        await kit.here.operate("a", react("x", 1, on=not n % 2), keep)
    await until(lambda: room.first == 62, "trimmed")
    await same_as_the_log(kit, room)
