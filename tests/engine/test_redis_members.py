"""Members as scripts keep them, and cursors on their way there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sioserver.engine import redis_members
from sioserver.engine.redis_keys import Keys
from sioserver.engine.redis_link import Unavailable
from sioserver.engine.redis_log import RedisLog
from sioserver.engine.redis_members import CHUNK, RedisMembers
from sioserver.engine.redis_servers import Redis
from sioserver.errors import Refusal
from sioserver.model import Membership, User
from tests.redis_servers import ask, settings

from .conftest import ANN, BEN, Keep, delete, draft, edit, react, server, until

KEEP = Keep()


class Kit:
    """Members of one node, and a log that they are members of."""

    def __init__(self) -> None:
        self.settings = settings(server("redis"))
        self.keys = Keys(self.settings.prefix)
        self.redis = Redis(
            self.settings, name="test", on_connected=lambda: None, on_lost=lambda reason: None
        )
        self.log = RedisLog(self.redis, self.keys, self.settings)
        self.members = RedisMembers(self.redis, self.keys, "node1")
        self.now = time.time()

    def ask(self, *command: Any) -> Any:
        return ask(server("redis"), *command)  # type: ignore[arg-type]

    async def fill(self, room: str, count: int) -> None:
        drafts = [draft(f"m{n}") for n in range(count)]
        await asyncio.gather(*(self.log.publish(room, one, KEEP) for one in drafts))

    def write(self) -> None:
        self.now += 1
        self.members.write(self.now)

    def waiting(self) -> float:
        return self.members.stats()["cursors_waiting"]

    def stored(self, room: str, user_id: str) -> Membership | None:
        found = self.ask("HGET", self.keys.room(room).members, user_id)
        return None if found is None else Membership(*map(int, found.split(b" ")[:4]))


@pytest.fixture
async def kit() -> AsyncIterator[Kit]:
    kit = Kit()
    await kit.redis.start()
    yield kit
    await kit.redis.stop()


def fail(*_: Any) -> asyncio.Future[Any]:
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    future.set_exception(Unavailable("planted"))
    return future


async def test_cursors_are_written_together_and_about_once_a_second(kit: Kit) -> None:
    users = [User(f"u{n}", f"User {n}") for n in range(20)]
    for user in users:
        await kit.members.join("a", user)
    await kit.fill("a", 10)
    for n, user in enumerate(users):
        kit.members.advance("a", user.id, n)
    kit.members.write(kit.now)
    await until(lambda: kit.waiting() == 0, "written")
    assert kit.stored("a", "u7") == Membership(0, 7, 0, 0)
    assert kit.stored("a", "u19") == Membership(0, 10, 0, 0)  # nothing lies beyond the top
    kit.members.advance("a", "u1", 9)
    kit.members.write(kit.now + 0.5)
    assert kit.waiting() == 1
    kit.members.write(kit.now + 1)
    await until(lambda: kit.waiting() == 0, "written")
    assert kit.stored("a", "u1") == Membership(0, 9, 0, 0)


async def test_one_script_writes_at_most_so_many(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    script = kit.redis.script

    def measured(script_: Any, keys: Any, args: Any) -> Any:
        sizes.append(len(args) // 2)
        return script(script_, keys, args)

    monkeypatch.setattr(kit.redis, "script", measured)
    for n in range(2 * CHUNK + 7):
        kit.members.advance("a", f"u{n}", 1)
    await kit.members.write_rest()
    assert sizes == [CHUNK, CHUNK, 7]
    assert kit.waiting() == 0


async def test_cursors_wait_for_redis(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    await kit.members.join("a", ANN)
    await kit.fill("a", 9)
    kit.members.advance("a", "ann", 5)
    with monkeypatch.context() as broken:
        broken.setattr(kit.redis, "script", fail)
        kit.write()
        kit.members.advance("a", "ann", 3)
        await asyncio.sleep(0)
        kit.write()
        await kit.members.write_rest()  # gives it up, for it is asked when the node stops
    assert kit.waiting() == 1
    assert await kit.members.join("a", ANN) == Membership(0, 5, 0, 0)
    kit.write()
    await until(lambda: kit.waiting() == 0, "written")
    assert kit.stored("a", "ann") == Membership(0, 5, 0, 0)


async def test_what_waits_is_bounded(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_members, "WAITING", 100)
    for n in range(250):
        kit.members.advance(f"room{n // 10}", f"u{n}", 1)
    stats = kit.members.stats()
    assert stats["cursors_waiting"] <= 100
    assert stats["cursors_given_up_total"] == 250 - stats["cursors_waiting"]
    await kit.members.write_rest()
    assert kit.waiting() == 0


async def test_what_was_proven_of_a_lost_log_is_forgotten(kit: Kit) -> None:
    kit.members.advance("a", "ann", 5)
    kit.members.advance("b", "ann", 5)
    kit.members.forget_room("a")
    assert kit.waiting() == 1


async def test_leaving_takes_the_waiting_cursor_along(kit: Kit) -> None:
    await kit.members.join("a", ANN)
    await kit.fill("a", 3)
    kit.members.advance("a", "ann", 3)
    await kit.members.leave("a", "ann")
    assert kit.waiting() == 0
    assert await kit.members.members("a", limit=9) == []
    assert kit.ask("EXISTS", kit.keys.room("a").members, kit.keys.room("a").names) == 0
    assert kit.ask("EXISTS", kit.keys.user("ann")) == 0


async def test_a_leave_is_told_with_who_told_it(kit: Kit) -> None:
    with_bus = kit.redis
    heard = []
    script = with_bus.script

    def listen(script_: Any, keys: Any, args: Any) -> Any:
        heard.append(args[-1])
        return script(script_, keys, args)

    with_bus.script = listen  # type: ignore[method-assign]
    await kit.members.leave("a", "ann")
    [payload] = heard
    assert payload[:1] == b"l"
    assert RedisMembers(kit.redis, kit.keys, "node2").left(payload[1:]) == "ann"
    assert kit.members.left(payload[1:]) is None
    for words in (b"", b"\xff", b"\x91\xa1a", payload):
        with pytest.raises(ValueError):
            kit.members.left(words)


async def test_the_list_of_rooms_passes_over_what_a_crash_left(kit: Kit) -> None:
    for room in ("a", "b", "c", "d"):
        await kit.members.join(room, ANN)
    keys = kit.keys
    kit.ask("HDEL", keys.room("b").members, "ann")  # left, but is still listed
    kit.ask("SREM", keys.user("ann"), "c")  # joined, but was not listed
    assert list(await kit.members.rooms_of("ann", limit=9)) == ["a", "d"]
    assert list(await kit.members.rooms_of("ann", limit=2)) == ["a", "d"]
    assert await kit.members.rooms_of("ann", limit=0) == {}
    await kit.members.join("c", ANN)
    assert list(await kit.members.rooms_of("ann", limit=9)) == ["a", "c", "d"]


async def test_names_in_any_script_and_with_anything_in_them(kit: Kit) -> None:
    users = [
        User("1", "Ünal"),
        User("a b:{c}", "Ann 1 2 3"),
        User("2", "Ann"),
        User("x", "\U0001f600"),
        User("3", "Ann"),
    ]
    for user in users:
        await kit.members.join("a", user)
        await kit.members.join("a", user)
    found = await kit.members.members("a", limit=9)
    assert found == sorted(users, key=lambda user: (user.name, user.id))
    for user in users:
        assert await kit.members.names({"a": user.id}) == {"a": user.name}
    await kit.members.join("a", User("a b:{c}", "Zoe"))
    assert (await kit.members.members("a", limit=9))[2] == User("a b:{c}", "Zoe")
    assert len(await kit.members.rooms_of("a b:{c}", limit=9)) == 1


async def test_reading_moves_the_cursor_and_never_back(kit: Kit) -> None:
    await kit.members.join("a", ANN)
    await kit.fill("a", 10)
    assert (await kit.members.read("a", "ann", 4)).membership == Membership(0, 4, 4, 4)
    assert (await kit.members.read("a", "ann", -1)).membership == Membership(0, 4, 4, 4)
    kit.members.advance("a", "ann", 8)
    assert (await kit.members.read("a", "ann", 6)).membership == Membership(0, 8, 6, 6)
    assert kit.stored("a", "ann") == Membership(0, 6, 6, 6)
    kit.members.write_one("a", "ben")
    assert kit.waiting() == 1
    kit.members.write_one("a", "ann")
    await until(lambda: kit.waiting() == 0, "written")
    assert kit.stored("a", "ann") == Membership(0, 8, 6, 6)
    assert (await kit.members.read("a", "ben", 3)).membership == Membership(10, 10, 10, 10)


@pytest.mark.parametrize("left", [24, 20, 9, 1])
async def test_what_is_read_is_counted_in_messages(kit: Kit, left: int) -> None:
    """Wherever the position is: on a message or an operation, in the stream or not, or before all
    that is kept."""
    posted: list[int] = []
    for n in range(8):
        position = (await kit.log.publish("a", draft(f"m{n}"), KEEP)).position
        posted.append(position.offset)
        done = (react("x", posted[n]), edit("new", posted[n]), delete(posted[n]))[n % 3]
        await kit.log.operate("a", done, KEEP)
        await kit.log.operate("a", react("y", posted[n - n % 3], by=BEN, on=n % 3 != 1), KEEP)
    top = (await kit.log.page("a", None, None, 0)).top.offset
    assert top == 24
    await kit.log.trim("a", (left, 0.0), 0)
    first = (await kit.log.page("a", None, None, 0)).first
    assert first == max(1, top - left + 1)
    for offset in range(1, top + 1):
        reader = User(f"r{offset}", "Reader")
        kit.ask("HSET", kit.keys.room("a").members, reader.id, f"0 0 0 0 {reader.name}")
        found = await kit.members.read("a", reader.id, offset)
        assert found.membership.number == sum(at <= max(offset, first - 1) for at in posted)
        assert (found.top, found.number) == (top, 8)


async def test_without_redis_everything_is_refused(kit: Kit) -> None:
    await kit.redis.stop()
    members = kit.members
    for call in (
        members.join("a", BEN),
        members.leave("a", "ben"),
        members.read("a", "ben", 1),
        members.members("a", limit=1),
        members.rooms_of("ben", limit=1),
        members.names({"a": "ben"}),
    ):
        with pytest.raises(Refusal):
            await call
