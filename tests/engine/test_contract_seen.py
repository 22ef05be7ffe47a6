"""What every engine must know of when people were seen last: see `base_seen.Seen`."""

from __future__ import annotations

from sioserver.engine.base import Engine
from sioserver.model import User

from .conftest import ANN, GRACE, GUEST, Harness, until

AT = 1_700_000_000.0


async def known(engine: Engine, *user_ids: str) -> dict[str, int]:
    return dict(await engine.seen.of(user_ids))


async def go(engine: Engine, room: str, user: User, at: float) -> None:
    """Come, leave at a time, and be told to have left."""
    engine.watch(room)
    await engine.enter(room, user, "c1")
    await engine.sweep(at)
    await engine.exit(room, user.id, "c1", at)
    await engine.sweep(at + GRACE)


async def test_nobody_was_seen(engine: Engine) -> None:
    assert await known(engine) == {}
    assert await known(engine, "ann", "") == {}


async def test_who_has_left_was_seen_when_the_last_device_went(engine: Engine) -> None:
    await engine.enter("a", ANN, "c1")
    await engine.enter("a", ANN, "c2")
    await engine.sweep(AT)
    await engine.exit("a", "ann", "c1", AT + 10)
    await engine.sweep(AT + 10 + GRACE)
    assert await known(engine, "ann") == {}
    await engine.exit("a", "ann", "c2", AT + 30)
    await engine.sweep(AT + 30)
    assert await known(engine, "ann") == {}  # may come back
    await engine.sweep(AT + 30 + GRACE)
    assert await known(engine, "ann", "ben") == {"ann": round((AT + 30) * 1000)}


async def test_the_latest_of_all_rooms_counts(engine: Engine) -> None:
    await go(engine, "a", ANN, AT + 50)
    await go(engine, "b", ANN, AT + 10)
    await engine.sweep(AT + 99)
    assert await known(engine, "ann") == {"ann": round((AT + 50) * 1000)}
    await go(engine, "b", ANN, AT + 100)
    assert await known(engine, "ann") == {"ann": round((AT + 100) * 1000)}


async def test_guests_are_not_kept(engine: Engine) -> None:
    await go(engine, "a", GUEST, AT)
    assert await known(engine, GUEST.id) == {}


async def test_a_room_that_tells_nothing_tells_this_neither(engine: Engine) -> None:
    await go(engine, "hidden", ANN, AT)
    assert await known(engine, "ann") == {}


async def test_users_with_strange_ids(engine: Engine) -> None:
    users = [User(id, "?") for id in ("{a}", "a:b%", "\u00e9 \u4e2d", "x" * 128)]
    for user in users:
        await go(engine, "a", user, AT)
    assert set(await known(engine, *(user.id for user in users))) == {user.id for user in users}


async def test_many_at_once(engine: Engine) -> None:
    users = [User(f"u{number}", "?") for number in range(1200)]
    engine.watch("a")
    for user in users:
        await engine.enter("a", user, "c")
    await engine.sweep(AT)
    for user in users:
        await engine.exit("a", user.id, "c", AT)
    for pause in range(4):
        await engine.sweep(AT + GRACE + pause)
    ids = [user.id for user in users]
    assert await known(engine, *ids) == dict.fromkeys(ids, round(AT * 1000))


async def test_it_outlives_the_node(durable: Harness) -> None:
    await go(durable.engine, "a", ANN, AT)
    engine = await durable.restart()
    assert await known(engine, "ann") == {"ann": round(AT * 1000)}
    await engine.sweep(AT + 60)
    assert await known(engine, "ann") == {"ann": round(AT * 1000)}


async def test_it_is_written_soon(engine: Engine) -> None:
    await go(engine, "a", ANN, AT)
    await until(lambda: engine.stats()["seen_waiting"] == 0, "written")
    assert engine.stats()["seen_given_up_total"] == 0
    assert await known(engine, "ann") == {"ann": round(AT * 1000)}
