"""What every engine must do, in the words of its contract (sioserver/engine/base.py).

Only the Protocols are used here; the `engine` fixture runs each test with each engine.
"""

import asyncio
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sioserver.config.schema import Limits
from sioserver.engine import redis_revocations, revocations
from sioserver.engine.base import Engine
from sioserver.errors import Refusal
from sioserver.model import (
    Counts,
    Credentials,
    Draft,
    Membership,
    Message,
    Position,
    Revocation,
    Standing,
    User,
)

from .conftest import ANN, BEN, CACHED, GRACE, GUEST, WINDOW, Harness, Keep, Listener, draft

KEEP = Keep()
AT = 1_700_000_000_000


async def fill(engine: Engine, room: str, count: int) -> None:
    await asyncio.gather(*(engine.publish(room, draft(f"m{n}"), KEEP) for n in range(1, count + 1)))


def offsets(messages: list[Message]) -> list[int]:
    return [message.offset for message in messages]


# -- publish --------------------------------------------------------------------------------------


async def test_offsets_start_at_one_and_have_no_holes(engine: Engine) -> None:
    results = [await engine.publish("lobby", draft(f"m{n}"), KEEP) for n in range(3)]
    assert [result.position.offset for result in results] == [1, 2, 3]
    assert {result.position.epoch for result in results} == {results[0].position.epoch}
    assert [(result.id, result.at, result.duplicate) for result in results] == [
        (f"m{n}", AT, False) for n in range(3)
    ]


async def test_an_epoch_fits_into_a_position(engine: Engine) -> None:
    result = await engine.publish("lobby", draft("m"), KEEP)
    assert Position.parse(str(result.position)) == result.position


async def test_rooms_are_numbered_apart(engine: Engine) -> None:
    await engine.publish("a", draft("m"), KEEP)
    result = await engine.publish("b", draft("m"), KEEP)
    assert result.position.offset == 1
    assert not result.duplicate


async def test_callers_that_do_not_wait_keep_their_order(engine: Engine) -> None:
    rooms = ["a", "b", "c"]
    tasks = [
        asyncio.create_task(engine.publish(rooms[n % 3], draft(f"m{n}", body=n), KEEP))
        for n in range(300)
    ]
    results = await asyncio.gather(*tasks)
    assert [result.position.offset for result in results] == [n // 3 + 1 for n in range(300)]
    page = await engine.history("b", limit=1000)
    assert [message.body for message in page.messages] == list(range(1, 300, 3))


async def test_a_draft_that_is_sent_again_is_not_published_again(
    engine: Engine, listener: Listener
) -> None:
    engine.watch("lobby")
    first = await engine.publish("lobby", draft("m"), KEEP)
    await engine.publish("lobby", draft("other"), KEEP)
    again = await engine.publish("lobby", draft("m", body="changed", at=AT + 5000), KEEP)
    assert again.duplicate
    assert (again.id, again.position, again.at) == (first.id, first.position, first.at)
    assert listener.offsets("lobby") == [1, 2]


async def test_the_window_of_resends_ends_at_the_same_millisecond(engine: Engine) -> None:
    ends = round(WINDOW * 1000)
    for id, later, duplicate in (("in", ends - 1, True), ("out", ends, False)):
        await engine.publish("lobby", draft(id), KEEP)
        again = await engine.publish("lobby", draft(id, at=AT + later), KEEP)
        assert again.duplicate is duplicate


async def test_a_draft_that_is_under_way_is_not_published_twice(
    engine: Engine, listener: Listener
) -> None:
    engine.watch("lobby")
    results = await asyncio.gather(*(engine.publish("lobby", draft("m"), KEEP) for _ in range(5)))
    assert [result.duplicate for result in results] == [False, True, True, True, True]
    assert {result.position.offset for result in results} == {1}
    assert listener.offsets("lobby") == [1]


async def test_the_same_id_of_another_user_or_room_is_another_draft(engine: Engine) -> None:
    await engine.publish("a", draft("m", ANN), KEEP)
    other_user = await engine.publish("a", draft("m", BEN), KEEP)
    other_room = await engine.publish("b", draft("m", ANN), KEEP)
    assert not other_user.duplicate
    assert not other_room.duplicate


async def test_a_draft_that_is_not_resendable_is_published_each_time(engine: Engine) -> None:
    await engine.publish("a", draft("m", again=False), KEEP)
    second = await engine.publish("a", draft("m", again=False), KEEP)
    assert (second.position.offset, second.duplicate) == (2, False)


async def test_after_the_window_the_id_is_free(engine: Engine) -> None:
    await engine.publish("a", draft("m"), KEEP)
    late = AT + int(WINDOW * 1000)
    second = await engine.publish("a", draft("m", at=late + 1), KEEP)
    assert (second.position.offset, second.duplicate) == (2, False)
    third = await engine.publish("a", draft("m", at=late + 2), KEEP)
    assert (third.position.offset, third.duplicate) == (2, True)


async def test_dedup_outlives_the_history(engine: Engine) -> None:
    await engine.publish("a", draft("m"), KEEP)
    for n in range(200):
        await engine.publish("a", draft(f"n{n}"), Keep(history_length=2))
    await engine.sweep(AT / 1000)
    assert (await engine.history("a", limit=0)).first > 1
    again = await engine.publish("a", draft("m"), Keep(history_length=2))
    assert (again.position.offset, again.duplicate) == (1, True)


async def test_a_cancelled_caller_takes_nobody_along(engine: Engine) -> None:
    first = asyncio.create_task(engine.publish("a", draft("m"), KEEP))
    second = asyncio.create_task(engine.publish("a", draft("m"), KEEP))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).position.offset == 1
    assert first.cancelled()


@pytest.mark.parametrize(
    "body",
    [
        "text",
        "",
        None,
        True,
        -1.5,
        2**53,
        b"\x00\xff",
        {"file": b"\x00", "list": [1, [b"x", {"a": None}]], "": "\x00\u2028\U0001f600"},
    ],
)
async def test_bodies_come_back_as_they_went(engine: Engine, body: Any) -> None:
    await engine.publish("a", draft("m", body=body), KEEP)
    await fill(engine, "a", 3 * CACHED)
    assert (await engine.history("a", before=2, limit=1)).messages == [
        Message("m", 1, "ann", "Ann", body, AT, 1)
    ]
    assert type((await engine.history("a", before=2, limit=1)).messages[0].body) is type(body)


@pytest.mark.parametrize("body", ["\ud800", object(), 2**100])
async def test_a_body_that_cannot_be_stored_is_refused(engine: Engine, body: Any) -> None:
    with pytest.raises(Refusal) as refused:
        await engine.publish("a", draft("m", body=body), KEEP)
    assert refused.value.code == "bad_request"
    assert (await engine.publish("a", draft("m"), KEEP)).position.offset == 1


# -- slow mode ------------------------------------------------------------------------------------


async def too_soon(engine: Engine, room: str, sent: Draft) -> float:
    """The draft is refused for its pause: what is left of it."""
    with pytest.raises(Refusal) as refused:
        await engine.publish(room, sent, KEEP)
    assert (refused.value.code, refused.value.limit) == ("rate_limited", "slow_mode")
    assert refused.value.retry_after is not None
    return refused.value.retry_after


async def test_a_pause_between_two_messages_of_a_user(engine: Engine, listener: Listener) -> None:
    engine.watch("a")
    await engine.publish("a", draft("m1", pause=900), KEEP)
    assert 800 < await too_soon(engine, "a", draft("m2", pause=900, at=AT + 1)) <= 900
    # others, elsewhere, and who need not wait
    await engine.publish("a", draft("m3", BEN, pause=900), KEEP)
    await engine.publish("b", draft("m4", pause=900), KEEP)
    await engine.publish("a", draft("m5"), KEEP)
    await too_soon(engine, "a", draft("m2", pause=900, at=AT + 2))
    assert listener.offsets("a") == [1, 2, 3]
    page = await engine.history("a", limit=9)
    assert [message.id for message in page.messages] == ["m1", "m3", "m5"]


async def test_a_shorter_pause_counts_from_the_same_message(engine: Engine) -> None:
    await engine.publish("a", draft("m1", pause=900), KEEP)
    assert 0 < await too_soon(engine, "a", draft("m2", pause=300, at=AT + 1)) <= 300


async def test_a_resend_need_not_wait(engine: Engine) -> None:
    first = await engine.publish("a", draft("m", pause=900), KEEP)
    again = await engine.publish("a", draft("m", pause=900, at=AT + 5), KEEP)
    assert (again.position, again.duplicate) == (first.position, True)


async def test_what_was_refused_may_be_sent_again_when_the_pause_is_over(engine: Engine) -> None:
    await engine.publish("a", draft("m1", pause=0.2), KEEP)
    waits: list[float] = []
    result = None
    async with asyncio.timeout(20):
        while result is None:
            # a clock of the test's where there is one node, the server's where there are many
            later = draft("m2", pause=0.2, at=AT + 50 * (len(waits) + 1))
            try:
                result = await engine.publish("a", later, KEEP)
            except Refusal as refusal:
                waits.append(refusal.retry_after or 0.0)
                await asyncio.sleep(waits[-1] / 4)
    assert waits
    assert all(0 < wait <= 0.2 for wait in waits)
    assert (result.position.offset, result.duplicate) == (2, False)


async def test_of_two_messages_at_once_one_is_refused(engine: Engine) -> None:
    sent = [engine.publish("a", draft(f"m{n}", pause=900), KEEP) for n in range(3)]
    results = await asyncio.gather(*sent, return_exceptions=True)
    assert [isinstance(result, Refusal) for result in results] == [False, True, True]


async def test_a_clock_that_is_set_back_makes_nobody_wait_for_longer(engine: Engine) -> None:
    await engine.publish("a", draft("m1", pause=900), KEEP)
    wait = await too_soon(engine, "a", draft("m2", pause=900, at=AT - 10_000_000))
    assert wait <= 900


# -- announcements --------------------------------------------------------------------------------


async def test_watched_rooms_are_announced_in_order(engine: Engine, listener: Listener) -> None:
    engine.watch("a")
    results = await asyncio.gather(
        *(engine.publish(room, draft(f"m{n}"), KEEP) for n in range(100) for room in "ab")
    )
    assert listener.offsets("a") == list(range(1, 101))
    assert listener.offsets("b") == []
    room, epoch, message = listener.messages[0]
    assert (room, epoch) == ("a", results[0].position.epoch)
    assert message == Message("m0", 1, "ann", "Ann", "hi", AT, 1)


async def test_an_unwatched_room_is_quiet(engine: Engine, listener: Listener) -> None:
    engine.watch("a")
    engine.watch("a")
    await engine.publish("a", draft("m1"), KEEP)
    engine.unwatch("a")
    await engine.publish("a", draft("m2"), KEEP)
    engine.watch("a")
    await engine.publish("a", draft("m3"), KEEP)
    assert listener.offsets("a") == [1, 3]


async def test_history_reaches_to_where_the_announcements_begin(
    engine: Engine, listener: Listener
) -> None:
    publishing = [asyncio.create_task(engine.publish("a", draft(f"m{n}"), KEEP)) for n in range(99)]
    for _ in range(3):
        await asyncio.sleep(0)
    engine.watch("a")
    page = await engine.history("a", limit=1000)
    await asyncio.gather(*publishing)
    seen = {*offsets(page.messages), *listener.offsets("a")}
    assert seen == set(range(1, 100))


# -- history --------------------------------------------------------------------------------------


async def test_the_history_of_an_unknown_room_is_empty(engine: Engine) -> None:
    page = await engine.history("nowhere", limit=10)
    assert (page.messages, page.first, page.top.offset) == ([], 1, 0)
    result = await engine.publish("nowhere", draft("m"), KEEP)
    assert result.position == Position(page.top.epoch, 1)


@pytest.mark.parametrize(
    ("after", "before", "limit", "expected"),
    [
        (None, None, 3, [28, 29, 30]),
        (None, None, 100, list(range(1, 31))),
        (None, None, 0, []),
        (None, 30, 2, [28, 29]),
        (None, 10, 3, [7, 8, 9]),
        (None, 1, 3, []),
        (None, 99, 2, [29, 30]),
        (0, None, 2, [1, 2]),
        (5, None, 3, [6, 7, 8]),
        (28, None, 9, [29, 30]),
        (30, None, 9, []),
        (99, None, 9, []),
        (5, 10, 2, [6, 7]),
        (5, 8, 9, [6, 7]),
        (26, 29, 9, [27, 28]),
        (9, 10, 9, []),
        (9, 5, 9, []),
    ],
)
async def test_pages(
    engine: Engine, after: int | None, before: int | None, limit: int, expected: list[int]
) -> None:
    await fill(engine, "a", 30)
    page = await engine.history("a", after=after, before=before, limit=limit)
    assert offsets(page.messages) == expected
    assert [message.id for message in page.messages] == [f"m{n}" for n in expected]
    assert (page.first, page.top.offset) == (1, 30)


async def test_a_page_is_the_callers_own(engine: Engine) -> None:
    await fill(engine, "a", 3)
    (await engine.history("a", limit=3)).messages.clear()
    assert offsets((await engine.history("a", limit=3)).messages) == [1, 2, 3]


async def test_length_is_kept_and_not_far_exceeded(engine: Engine) -> None:
    keep = Keep(history_length=10)
    for n in range(500):
        await engine.publish("a", draft(f"m{n}"), keep)
        if n % 50 == 49:
            page = await engine.history("a", limit=1000)
            assert offsets(page.messages) == list(range(page.first, n + 2))
            assert 10 <= len(page.messages) <= 10 + 100
    before_first = await engine.history("a", after=0, limit=3)
    assert before_first.messages[0].offset == before_first.first > 1


async def test_age_is_reached_at_the_sweep(engine: Engine) -> None:
    keep = Keep(history_age=60)
    for n in range(20):
        await engine.publish("a", draft(f"m{n}", at=AT + n * 10_000), keep)
    await engine.sweep(AT / 1000 + 190 + 60)
    page = await engine.history("a", limit=100)
    assert page.top.offset == 20
    assert offsets(page.messages) == list(range(page.first, 21))
    assert page.messages[-1].offset == 20


async def test_an_emptied_log_goes_on_counting(engine: Engine) -> None:
    keep = Keep(history_age=60)
    for n in range(3 * CACHED):
        await engine.publish("a", draft(f"m{n}"), keep)
    await engine.sweep(AT / 1000 + 3600)
    page = await engine.history("a", limit=100)
    assert page.top.offset == 3 * CACHED
    assert len(page.messages) == page.top.offset - page.first + 1
    result = await engine.publish("a", draft("new", at=AT + 3_600_000), keep)
    assert result.position.offset == 3 * CACHED + 1
    assert offsets((await engine.history("a", limit=1)).messages) == [3 * CACHED + 1]


async def test_a_rule_is_applied_to_a_room_nobody_posts_in(durable: Harness) -> None:
    """After a restart the room's rule is another one, and no draft tells it."""
    engine = durable.engine
    for n in range(40):
        await engine.publish("a", draft(f"m{n}", at=AT + n * 1000), KEEP)
    for rule, now, kept in [
        (KEEP, AT / 1000 + 40, range(1, 41)),
        (Keep(history_length=30), AT / 1000 + 40, range(11, 41)),
        (Keep(history_age=60), AT / 1000 + 80, range(21, 41)),
        (Keep(history_length=5, history_age=60), AT / 1000 + 80, range(36, 41)),
        (Keep(history_age=60), AT / 1000 + 200, range(41, 41)),
    ]:
        engine = await durable.restart()
        await engine.trim("a", rule, now)
        for limit in (100, 3):
            page = await engine.history("a", limit=limit)
            assert offsets(page.messages) == list(kept)[-limit:]
            assert (page.first, page.top.offset) == (kept.start, 40)
        page = await engine.history("a", after=0, limit=100)
        assert offsets(page.messages) == list(kept)
    engine = await durable.restart()
    assert (await engine.history("a", limit=100)).first == 41
    assert (await engine.publish("a", draft("new"), KEEP)).position.offset == 41


async def test_a_rule_without_a_history_hides_everything(engine: Engine) -> None:
    await fill(engine, "a", 3 * CACHED)
    await engine.trim("a", Keep(history_length=0), AT / 1000)
    page = await engine.history("a", after=0, limit=100)
    assert (page.messages, page.first) == ([], 3 * CACHED + 1)


async def test_a_quiet_room_is_trimmed_while_it_is_watched(durable: Harness) -> None:
    for n in range(40):
        await durable.engine.publish("a", draft(f"m{n}", at=AT + n * 10_000), KEEP)
    engine = await durable.restart()
    engine.watch("a")
    await engine.trim("a", Keep(history_age=600), AT / 1000 + 400)
    for minute in range(7, 20):
        now = AT + minute * 60_000
        await engine.sweep(now / 1000)
        await engine.members("a", limit=1)  # a sweep does not wait for its round
        page = await engine.history("a", after=0, limit=100)
        first = max(1, (now - 600_000 - AT) // 10_000 + 1)
        assert offsets(page.messages) == list(range(first, 41))
    engine = await durable.restart()
    assert (await engine.history("a", limit=0)).first == 41


async def test_trimming_a_room_that_is_empty(engine: Engine) -> None:
    await engine.trim("never-seen", Keep(history_length=0, history_age=1), AT / 1000)
    assert (await engine.history("never-seen", limit=9)).first == 1
    await engine.stop()
    await engine.trim("a", KEEP, AT / 1000)


# -- members --------------------------------------------------------------------------------------


async def test_a_member_starts_at_the_top(engine: Engine) -> None:
    await fill(engine, "a", 5)
    assert await engine.join("a", ANN) == Membership(5, 5, 5, 5)
    await engine.publish("a", draft("next"), KEEP)
    assert await engine.join("a", ANN) == Membership(5, 5, 5, 5)


async def test_joining_again_changes_the_name(engine: Engine) -> None:
    await engine.join("a", ANN)
    await engine.join("a", User("ann", "Anna"))
    assert await engine.members("a", limit=10) == [User("ann", "Anna")]
    assert (await engine.counts("a")).total == 1


async def test_members_by_name_and_at_most_so_many(engine: Engine) -> None:
    for name in ("Cid", "Ann", "Ben", "Ann"):
        await engine.join("a", User(f"id-{name}", name))
    assert [user.name for user in await engine.members("a", limit=10)] == ["Ann", "Ben", "Cid"]
    assert [user.name for user in await engine.members("a", limit=2)] == ["Ann", "Ben"]
    assert await engine.members("a", limit=0) == []
    assert await engine.members("b", limit=10) == []


async def test_the_names_of_some_members(engine: Engine) -> None:
    for room, user in (("a", ANN), ("b", BEN), ("b", User("x y", "Ex 1 2"))):
        await engine.join(room, user)
    await engine.join("a", User("ann", "Anna 3"))
    await engine.join("c", ANN)
    await engine.leave("c", "ann")
    wanted = {"a": "ann", "b": "x y", "c": "ann", "nowhere": "ann"}
    assert await engine.names(wanted) == {"a": "Anna 3", "b": "Ex 1 2"}
    assert await engine.names({"a": "ben", "b": "ben"}) == {"b": "Ben"}
    assert await engine.names({}) == {}


async def test_a_guest_is_not_kept(engine: Engine) -> None:
    await fill(engine, "a", 4)
    assert await engine.join("a", GUEST) == Membership(4, 4, 4, 4)
    assert await engine.members("a", limit=10) == []
    assert await engine.rooms_of(GUEST.id, limit=10) == {}
    assert (await engine.read("a", GUEST.id, 2)).membership == Membership(4, 4, 4, 4)


async def test_the_cursor_only_goes_forward(engine: Engine) -> None:
    await engine.join("a", ANN)
    await fill(engine, "a", 10)
    engine.advance("a", "ann", 6)
    engine.advance("a", "ann", 4)
    assert await engine.join("a", ANN) == Membership(0, 6, 0, 0)
    await engine.sweep(AT / 1000)
    engine.advance("a", "ann", 5)
    assert await engine.join("a", ANN) == Membership(0, 6, 0, 0)
    engine.advance("a", "ann", 99)
    assert await engine.join("a", ANN) == Membership(0, 10, 0, 0)
    await engine.sweep(AT / 1000 + 1)
    assert await engine.rooms_of("ann", limit=9) == {"a": Standing(Membership(0, 10, 0, 0), 10, 10)}


async def test_reading_proves_delivery(engine: Engine) -> None:
    await engine.join("a", ANN)
    await fill(engine, "a", 10)
    assert (await engine.read("a", "ann", 4)).membership == Membership(0, 4, 4, 4)
    engine.advance("a", "ann", 8)
    assert (await engine.read("a", "ann", 2)).membership == Membership(0, 8, 4, 4)
    assert (await engine.read("a", "ann", 99)).membership == Membership(0, 10, 10, 10)


async def test_strangers_are_ignored(engine: Engine) -> None:
    await fill(engine, "a", 3)
    engine.advance("a", "nobody", 2)
    engine.advance("nowhere", "nobody", 2)
    await engine.sweep(AT / 1000)
    await engine.leave("a", "nobody")
    await engine.leave("nowhere", "nobody")
    assert (await engine.read("nowhere", "nobody", 2)).membership == Membership(0, 0, 0, 0)
    assert await engine.members("a", limit=9) == []
    assert await engine.counts("a") == Counts(0, 0)


async def test_leaving_forgets(engine: Engine) -> None:
    await engine.join("a", ANN)
    await engine.join("b", ANN)
    await fill(engine, "a", 3)
    engine.advance("a", "ann", 2)
    await engine.leave("a", "ann")
    assert await engine.members("a", limit=9) == []
    assert list(await engine.rooms_of("ann", limit=9)) == ["b"]
    assert await engine.join("a", ANN) == Membership(3, 3, 3, 3)


async def test_the_rooms_of_a_user(engine: Engine) -> None:
    for room in ("c", "a", "b"):
        await engine.join(room, ANN)
    await engine.join("d", BEN)
    await fill(engine, "b", 2)
    rooms = await engine.rooms_of("ann", limit=9)
    assert dict(rooms) == {
        "a": Standing(Membership(0, 0, 0, 0), 0, 0),
        "b": Standing(Membership(0, 0, 0, 0), 2, 2),
        "c": Standing(Membership(0, 0, 0, 0), 0, 0),
    }
    assert len(await engine.rooms_of("ann", limit=2)) == 2


# -- quotas ---------------------------------------------------------------------------------------


async def too_many(engine: Engine, room: str, user: User, quota: Limits) -> str | None:
    """Nobody else is let in: by which limit?"""
    before = await engine.counts(room), await engine.rooms_of(user.id, limit=99)
    with pytest.raises(Refusal) as refused:
        await engine.join(room, user, quota)
    assert refused.value.code == "too_many"
    assert (await engine.counts(room), await engine.rooms_of(user.id, limit=99)) == before
    return refused.value.limit


async def test_a_user_is_a_member_of_so_many_rooms(engine: Engine) -> None:
    quota = Limits(rooms_per_user=2)
    await engine.join("a", ANN, quota)
    await engine.join("b", ANN, quota)
    assert await too_many(engine, "c", ANN, quota) == "rooms_per_user"
    await engine.join("a", ANN, quota)  # again
    await engine.join("b", User(ANN.id, "Anna"), quota)
    await engine.join("c", BEN, quota)
    await engine.leave("a", ANN.id)
    await engine.join("c", ANN, quota)
    assert sorted(await engine.rooms_of(ANN.id, limit=9)) == ["b", "c"]
    assert await too_many(engine, "a", ANN, quota) == "rooms_per_user"


async def test_a_room_has_so_many_members(engine: Engine) -> None:
    quota = Limits(members_per_room=2)
    await engine.join("a", ANN, quota)
    await engine.join("a", BEN, quota)
    cat = User("cat", "Cat")
    assert await too_many(engine, "a", cat, quota) == "members_per_room"
    await engine.join("a", User(ANN.id, "Anna"), quota)
    await engine.join("a", GUEST, quota)  # who becomes none
    await engine.join("b", cat, quota)
    await engine.leave("a", BEN.id)
    await engine.join("a", cat, quota)
    assert [user.id for user in await engine.members("a", limit=9)] == ["ann", "cat"]


async def test_there_are_so_many_rooms(engine: Engine) -> None:
    quota = Limits(rooms=2)
    await engine.join("a", ANN, quota)
    await engine.publish("b", draft("m"), KEEP)
    await engine.history("c", limit=1)  # who looks makes none
    for user in (ANN, BEN, GUEST):
        assert await too_many(engine, "c", user, quota) == "rooms"
    await engine.join("b", ANN, quota)
    await engine.join("a", GUEST, quota)
    # what was left is still there
    await engine.leave("a", ANN.id)
    assert await too_many(engine, "c", BEN, quota) == "rooms"
    await engine.join("c", BEN, Limits(rooms=3))


async def test_a_quota_of_nothing_is_none(engine: Engine) -> None:
    quota = Limits(rooms=0, rooms_per_user=0, members_per_room=0)
    for room in "abc":
        for user in (ANN, BEN):
            await engine.join(room, user, quota)
    assert len(await engine.rooms_of(ANN.id, limit=9)) == 3


async def test_members_of_before_stay_members_whatever_the_quota(durable: Harness) -> None:
    for room in "abc":
        for user in (ANN, BEN):
            await durable.engine.join(room, user)
    engine = await durable.restart()
    quota = Limits(rooms=1, rooms_per_user=1, members_per_room=1)
    for room in "abc":
        for user in (ANN, BEN):
            await engine.join(room, user, quota)
    cat = User("cat", "Cat")
    assert await too_many(engine, "a", cat, quota) == "members_per_room"
    assert await too_many(engine, "d", cat, quota) == "rooms"


# -- presence -------------------------------------------------------------------------------------


async def test_two_devices_are_one_user(engine: Engine, listener: Listener) -> None:
    engine.watch("a")
    await engine.join("a", ANN)
    assert await engine.enter("a", ANN, "c1") == Counts(1, 1)
    assert await engine.enter("a", ANN, "c2") == Counts(1, 1)
    await engine.sweep(0)
    await engine.exit("a", "ann", "c1", 0)
    await engine.sweep(100)
    assert [diff.joined for _, diff in listener.presence] == [[ANN]]
    await engine.exit("a", "ann", "c2", 100)
    assert await engine.counts("a") == Counts(1, 1)
    await engine.sweep(100 + GRACE / 2)
    assert len(listener.presence) == 1
    await engine.sweep(100 + GRACE)
    assert [diff.left for _, diff in listener.presence] == [[], [ANN]]
    assert listener.presence[-1][1].counts == Counts(0, 1)
    assert await engine.online("a", limit=9) == []


async def test_coming_back_makes_no_noise(engine: Engine, listener: Listener) -> None:
    engine.watch("a")
    await engine.enter("a", ANN, "c1")
    await engine.sweep(0)
    await engine.exit("a", "ann", "c1", 10)
    await engine.enter("a", User("ann", "Anna"), "c2")
    await engine.sweep(10 + GRACE)
    await engine.sweep(10 + 2 * GRACE)
    assert len(listener.presence) == 1
    assert await engine.online("a", limit=9) == [User("ann", "Anna")]


async def test_comings_and_goings_are_told_together(engine: Engine, listener: Listener) -> None:
    engine.watch("a")
    await engine.enter("a", ANN, "c1")
    await engine.enter("a", BEN, "c2")
    await engine.sweep(0)
    await engine.exit("a", "ann", "c1", 1)
    await engine.enter("a", GUEST, "c3")
    await engine.sweep(1 + GRACE)
    assert [(diff.joined, diff.left) for _, diff in listener.presence] == [
        ([ANN, BEN], []),
        ([GUEST], [ANN]),
    ]
    assert listener.presence[-1][1].counts == Counts(2, 1)


async def test_a_visit_between_two_sweeps_is_not_told(engine: Engine, listener: Listener) -> None:
    engine.watch("a")
    await engine.enter("a", ANN, "c1")
    await engine.exit("a", "ann", "c1", 0)
    await engine.sweep(GRACE)
    assert listener.presence == []
    assert await engine.counts("a") == Counts(0, 0)


async def test_guests_are_counted_while_they_are_online(engine: Engine) -> None:
    await engine.join("a", ANN)
    await engine.join("a", GUEST)
    assert await engine.enter("a", GUEST, "c1") == Counts(1, 2)
    await engine.exit("a", GUEST.id, "c1", 0)
    assert await engine.counts("a") == Counts(1, 2)
    await engine.sweep(GRACE)
    assert await engine.counts("a") == Counts(0, 1)


async def test_unknown_clients_cannot_leave(engine: Engine) -> None:
    await engine.exit("a", "ann", "c1", 0)
    await engine.enter("a", ANN, "c1")
    await engine.exit("a", "ann", "c2", 0)
    await engine.exit("a", "ben", "c1", 0)
    await engine.exit("b", "ann", "c1", 0)
    await engine.sweep(GRACE)
    assert await engine.online("a", limit=9) == [ANN]


async def test_online_by_name_and_at_most_so_many(engine: Engine) -> None:
    for name in ("Cid", "Ann", "Ben"):
        await engine.enter("a", User(f"id-{name}", name), f"client-{name}")
    assert [user.name for user in await engine.online("a", limit=2)] == ["Ann", "Ben"]
    assert await engine.online("b", limit=2) == []


async def test_nobody_listens_to_an_unwatched_room(engine: Engine, listener: Listener) -> None:
    await engine.enter("a", ANN, "c1")
    await engine.sweep(0)
    assert listener.presence == []


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["enter", "exit", "sweep"]),
        st.sampled_from([ANN, BEN, GUEST]),
        st.sampled_from(["c1", "c2"]),
        st.integers(0, 4),
    ),
    max_size=40,
)


@given(steps=STEPS)
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_counts_are_always_right(tmp_path_factory: Any, steps: list[Any]) -> None:
    """What was told adds up to who is there; joins and leaves of a user alternate."""
    from .conftest import KINDS, build

    async def run(kind: str) -> None:
        harness = Harness(lambda: build(kind, tmp_path_factory.mktemp("presence")))
        await harness.start()
        engine = harness.engine
        engine.watch("a")
        here: dict[str, set[str]] = {}
        users: dict[str, User] = {}
        due: dict[str, float] = {}
        now = 0.0
        for action, user, client, wait in steps:
            if action == "enter":
                here.setdefault(user.id, set()).add(client)
                users[user.id] = user
                due.pop(user.id, None)
                counts = await engine.enter("a", user, client)
            elif action == "exit":
                if client in here.get(user.id, ()):
                    here[user.id].discard(client)
                    if not here[user.id]:
                        due[user.id] = now + GRACE
                await engine.exit("a", user.id, client, now)
                counts = await engine.counts("a")
            else:
                now += wait
                for user_id in [user_id for user_id, at in due.items() if at <= now]:
                    del due[user_id], here[user_id]
                await engine.sweep(now)
                counts = await engine.counts("a")
            assert counts == Counts(len(here), "guest-1" in here)
            assert {user.id for user in await engine.online("a", limit=9)} == set(here)
        await engine.sweep(now)
        told: set[str] = set()
        for _, diff in harness.listener.presence:
            joined = {user.id for user in diff.joined}
            left = {user.id for user in diff.left}
            assert left <= told
            assert not joined & (told - left)
            told = (told - left) | joined
            assert diff.counts.online == len(told)
        assert told == set(here)
        await engine.stop()

    for kind in KINDS:
        asyncio.run(run(kind))


# -- tokens ---------------------------------------------------------------------------------------


async def test_a_secret_stays_the_same(engine: Engine) -> None:
    first, again, other = await asyncio.gather(
        engine.secret("recovery"), engine.secret("recovery"), engine.secret("other")
    )
    assert len(first) == 32
    assert first == again == await engine.secret("recovery")
    assert first != other


ANNS = Credentials("ann", "t", 50.0)


async def test_a_revocation_lasts_until_its_end(engine: Engine) -> None:
    assert not await engine.tokens.revoked(ANNS, 0)
    await engine.tokens.revoke(Revocation("token", "t", until=100))
    await engine.tokens.revoke(Revocation("token", "t", until=60))
    assert await engine.tokens.revoked(ANNS, 99)
    await engine.sweep(99)
    assert await engine.tokens.revoked(ANNS, 99)
    assert not await engine.tokens.revoked(ANNS, 100)
    assert not await engine.tokens.revoked(Credentials("ann", "u", 50.0), 0)
    assert not await engine.tokens.revoked(Credentials("ann"), 0)
    await engine.sweep(10_000)
    assert not await engine.tokens.revoked(ANNS, 10_000)
    assert await engine.tokens.revocations(0, limit=9) == []


@pytest.mark.parametrize(
    ("kind", "id", "others"), [("user", "ann", False), ("all", "", True)], ids=["user", "all"]
)
async def test_tokens_that_were_issued_before(
    engine: Engine, kind: Literal["user", "all"], id: str, others: bool
) -> None:
    await engine.tokens.revoke(Revocation(kind, id, until=100, before=50))
    assert await engine.tokens.revoked(Credentials("ann", None, 49.9), 10)
    assert await engine.tokens.revoked(Credentials("ann"), 10), "it does not say when it was issued"
    assert not await engine.tokens.revoked(ANNS, 10)
    assert await engine.tokens.revoked(Credentials("ben", "x", 49.0), 10) is others
    assert not await engine.tokens.revoked(Credentials("ann"), 100)
    joined = await engine.tokens.revoke(Revocation(kind, id, until=80, before=60))
    assert joined == Revocation(kind, id, until=100, before=60)
    assert await engine.tokens.revoked(ANNS, 10)
    assert await engine.tokens.revoke(Revocation(kind, id, until=1, before=1)) == joined
    assert await engine.tokens.revocations(10, limit=9) == [joined]


async def test_a_rule_can_be_lifted(engine: Engine) -> None:
    rule = Revocation("user", "ann", until=100, before=60)
    assert not await engine.tokens.lift("user", "ann")
    await engine.tokens.revoke(rule)
    assert await engine.tokens.lift("user", "ann")
    assert not await engine.tokens.revoked(ANNS, 10)
    assert not await engine.tokens.lift("user", "ann")
    assert await engine.tokens.revocations(10, limit=9) == []
    weaker = Revocation("user", "ann", until=90, before=55)
    assert await engine.tokens.revoke(weaker) == weaker, "nothing is left of the first"
    assert await engine.tokens.revoked(ANNS, 10)


async def test_rules_are_told_in_pages(engine: Engine) -> None:
    ids = ["", "a:b", "ä \u2028", "x" * 256, "{b}", "z"]
    rules = [Revocation("user", id, until=100.25, before=1.5) for id in sorted(ids)]
    rules = [
        Revocation("all", "", until=99, before=3),
        Revocation("token", "ann", until=2e9),
        *rules,
    ]
    for rule in reversed(rules):
        await engine.tokens.revoke(rule)
    over = Revocation("token", "over", until=9)
    await engine.tokens.revoke(over)
    found: list[Revocation] = []
    after: tuple[str, str] | None = None
    while page := await engine.tokens.revocations(10, after=after, limit=3):
        assert len(page) <= 3
        found += page
        after = page[-1].kind, page[-1].id
    assert found == rules


async def test_a_rule_is_announced_when_it_refuses_more(engine: Engine, listener: Listener) -> None:
    rule = Revocation("user", "ann", until=100, before=60)
    await engine.tokens.revoke(rule)
    assert listener.revoked == [rule]
    await engine.tokens.revoke(Revocation("user", "ann", until=50, before=60))
    await engine.tokens.lift("user", "ann")
    more = await engine.tokens.revoke(Revocation("user", "ann", until=50, before=60))
    assert listener.revoked == [rule, more]


async def test_there_is_an_end_of_rules(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (revocations, redis_revocations):
        monkeypatch.setattr(module, "MOST", 2)
    await engine.tokens.revoke(Revocation("token", "a", until=100))
    await engine.tokens.revoke(Revocation("token", "b", until=100))
    with pytest.raises(Refusal, match="issued before a time") as refused:
        await engine.tokens.revoke(Revocation("token", "c", until=100))
    assert refused.value.code == "too_many"
    assert (await engine.tokens.revoke(Revocation("token", "b", until=200))).until == 200


# -- life -----------------------------------------------------------------------------------------


async def test_what_was_accepted_is_finished_at_the_stop(harness: Harness) -> None:
    harness.engine.watch("a")
    tasks = [
        asyncio.create_task(harness.engine.publish("a", draft(f"m{n}"), KEEP)) for n in range(50)
    ]
    await asyncio.sleep(0)
    await harness.engine.stop()
    assert [(await task).position.offset for task in tasks] == list(range(1, 51))
    assert harness.listener.offsets("a") == list(range(1, 51))


async def test_after_the_stop_everything_is_refused(engine: Engine) -> None:
    assert engine.ready() is None
    await asyncio.gather(engine.stop(), engine.stop())
    await engine.stop()
    assert engine.ready() is not None
    with pytest.raises(Refusal) as refused:
        await engine.publish("a", draft("m"), KEEP)
    assert refused.value.code == "unavailable"
    assert refused.value.temporary
    with pytest.raises(Refusal):
        await engine.join("a", ANN)
    with pytest.raises(Refusal):
        await engine.enter("a", ANN, "c1")
    engine.advance("a", "ann", 1)
    await engine.exit("a", "ann", "c1", 0)
    await engine.sweep(0)


async def test_a_listener_that_fails_stops_nobody(
    engine: Engine, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("planted")

    engine.watch("a")
    monkeypatch.setattr(listener, "on_message", fail)
    monkeypatch.setattr(listener, "on_presence", fail)
    assert (await engine.publish("a", draft("m1"), KEEP)).position.offset == 1
    await engine.enter("a", ANN, "c")
    await engine.sweep(0)
    monkeypatch.undo()
    assert (await engine.publish("a", draft("m2"), KEEP)).position.offset == 2
    assert listener.offsets("a") == [2]


async def test_stats_are_numbers(engine: Engine) -> None:
    await engine.publish("a", draft("m"), KEEP)
    stats = engine.stats()
    assert stats
    assert all(isinstance(value, int | float) for value in stats.values())


async def test_everything_durable_survives_a_restart(durable: Harness) -> None:
    engine = durable.engine
    await engine.join("a", ANN)
    await engine.join("a", BEN)
    await engine.leave("a", "ben")
    await fill(engine, "a", 20)
    engine.advance("a", "ann", 12)
    await engine.read("a", "ann", 7)
    await engine.enter("a", ANN, "c1")
    secret = await engine.secret("recovery")
    await engine.tokens.revoke(Revocation("token", "t", until=100))
    await engine.tokens.revoke(Revocation("user", "ben", until=100, before=70))
    await engine.tokens.lift("token", "u")
    before = await engine.history("a", limit=100)
    nothing = await engine.history("empty", limit=1)

    engine = await durable.restart()
    assert await engine.history("a", limit=100) == before
    assert await engine.history("empty", limit=1) == nothing
    assert await engine.join("a", ANN) == Membership(0, 12, 7, 7)
    assert await engine.members("a", limit=9) == [ANN]
    assert await engine.secret("recovery") == secret
    assert await engine.tokens.revoked(ANNS, 99)
    assert [rule.id for rule in await engine.tokens.revocations(99, limit=9)] == ["t", "ben"]
    assert await engine.counts("a") == Counts(0, 1)
    again = await engine.publish("a", draft("m4"), KEEP)
    assert (again.position.offset, again.duplicate) == (4, True)
    new = await engine.publish("a", draft("new"), KEEP)
    assert new.position == Position(before.top.epoch, 21)
