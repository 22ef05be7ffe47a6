"""The scripts of the logs, through the class that calls them, on a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sioserver.engine.redis_keys import Keys
from sioserver.engine.redis_log import RedisLog
from sioserver.engine.redis_servers import Redis
from sioserver.errors import Refusal
from sioserver.model import MAX_OFFSET, Position
from tests.redis_servers import ask, settings

from .conftest import ANN, WINDOW, Keep, draft, server

KEEP = Keep()
AT = 1_700_000_000_000


class Kit:
    """A log on a connection, and a plain client beside it."""

    def __init__(self) -> None:
        self.settings = settings(server("redis"), dedup_window=WINDOW)
        self.keys = Keys(self.settings.prefix)
        self.redis = Redis(
            self.settings, name="test", on_connected=lambda: None, on_lost=lambda reason: None
        )
        self.log = self.another()

    def another(self) -> RedisLog:
        return RedisLog(self.redis, self.keys, self.settings)

    def ask(self, *command: Any) -> Any:
        return ask(server("redis"), *command)  # type: ignore[arg-type]

    async def post(self, id: str, keep: Keep = KEEP, **more: Any) -> Position:
        return (await self.log.publish("a", draft(id, **more), keep)).position

    async def ids(self, after: int | None = 0, limit: int = 1000) -> list[str]:
        return [message.id for message in (await self.log.page("a", after, None, limit)).messages]


@pytest.fixture
async def kit() -> AsyncIterator[Kit]:
    kit = Kit()
    await kit.redis.start()
    yield kit
    await kit.redis.stop()


async def test_a_log_needs_no_node(kit: Kit) -> None:
    results = [await kit.log.publish("a", draft(f"m{n}"), KEEP) for n in range(3)]
    assert [result.position.offset for result in results] == [1, 2, 3]
    assert await kit.ids() == ["m0", "m1", "m2"]
    again = await kit.another().publish("a", draft("m1"), KEEP)
    assert (again.duplicate, again.position) == (True, results[1].position)


async def test_what_comes_too_late_is_not_stored(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    first = await kit.post("m1")
    now = kit.redis.server_time()
    monkeypatch.setattr(kit.redis, "server_time", lambda *_: now - kit.settings.timeout)
    with pytest.raises(Refusal) as refused:
        await kit.post("m2")
    assert (refused.value.code, refused.value.temporary) == ("unavailable", True)
    assert await kit.post("m1") == first  # what is there already is told all the same
    assert kit.log.late == 1
    monkeypatch.undo()
    assert await kit.ids() == ["m1"]
    assert (await kit.post("m2")).offset == 2


async def test_a_draft_without_an_id_of_its_own_may_be_sent_twice_by_the_connection(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = kit.redis.script

    def twice(*call: Any) -> asyncio.Future[Any]:
        script(*call)
        return script(*call)

    monkeypatch.setattr(kit.redis, "script", twice)
    for n in (1, 2):
        result = await kit.log.publish("a", draft("m", again=False), KEEP)
        assert (result.position.offset, result.duplicate) == (n, False)
    assert await kit.ids() == ["m", "m"]
    [once] = kit.ask("KEYS", f"{kit.settings.prefix}:{{a}}:once:*1")
    assert 50_000 < kit.ask("PTTL", once) <= 60_000


async def test_a_drafts_place_has_an_end(kit: Kit) -> None:
    await kit.post("m")
    left = kit.ask("PTTL", kit.keys.draft("a", ANN.id, "m"))
    assert WINDOW * 1000 - 20_000 < left <= WINDOW * 1000


async def test_length_is_trimmed_a_little_late_and_never_undercut(kit: Kit) -> None:
    for n in range(1, 301):
        await kit.post(f"m{n}", Keep(history_length=20))
        page = await kit.log.page("a", None, None, 1000)
        assert min(n, 20) <= len(page.messages) <= 120
        assert page.first == page.messages[0].offset


async def test_age_is_trimmed_while_messages_come(kit: Kit) -> None:
    keep = Keep(history_age=60)
    for n in range(1, 201):
        await kit.post(f"m{n}", keep, at=AT + n * 1000)
    page = await kit.log.page("a", None, None, 1000)
    assert 60 <= len(page.messages) < 60 + 64 + 1
    assert page.messages[0].at >= AT + (200 - 60 - 65) * 1000
    assert 50_000 < kit.ask("PTTL", kit.keys.room("a").log) <= 60_000


async def test_an_expiry_does_not_take_what_a_publisher_without_a_rule_posts(kit: Kit) -> None:
    await kit.post("m1", Keep(history_age=60))
    await kit.post("m2", Keep(history_length=2**31 - 1))
    assert kit.ask("PTTL", kit.keys.room("a").log) == -1  # nobody with a rule need come again
    await kit.log.trim("a", (1000, 60.0), 0)
    assert 50_000 < kit.ask("PTTL", kit.keys.room("a").log) <= 60_000
    await kit.log.trim("a", (1000, 0.0), AT / 1000)
    assert kit.ask("PTTL", kit.keys.room("a").log) == -1


async def test_a_rule_without_a_history_keeps_nothing_but_the_number(kit: Kit) -> None:
    await kit.post("m1")
    assert (await kit.post("m2", Keep(history_length=0))).offset == 2
    page = await kit.log.page("a", 0, None, 9)
    assert (page.messages, page.first, page.top.offset) == ([], 3, 2)
    assert (await kit.post("m3")).offset == 3
    assert await kit.ids() == ["m3"]


async def test_trimming_goes_by_the_messages_own_times(kit: Kit) -> None:
    """Oldest first, up to the first that is fresh: a clock that was wrong drops nobody else's."""
    ages = [900] * 700 + [5, 900, 5]
    await asyncio.gather(*(kit.post(f"m{n}", at=AT - age * 1000) for n, age in enumerate(ages)))
    assert await kit.log.trim("a", (10_000, 600.0), AT / 1000) == 701
    assert await kit.ids() == ["m700", "m701", "m702"]
    assert await kit.log.trim("a", (1, 600.0), AT / 1000) == 703
    assert await kit.log.trim("a", (10, 600.0), AT / 1000 + 1000) == 704
    assert await kit.ids() == []
    assert (await kit.post("new")).offset == 704


async def test_a_meta_that_was_evicted_takes_the_log_along(kit: Kit) -> None:
    first = await kit.post("m1")
    await kit.post("m2")
    kit.ask("DEL", kit.keys.room("a").meta)
    again = await kit.post("m1")  # its place is of another life
    assert (again.offset, again.epoch == first.epoch) == (1, False)
    assert await kit.ids() == ["m1"]
    kit.ask("DEL", kit.keys.room("a").meta)
    page = await kit.log.page("a", None, None, 9)
    assert (page.messages, page.first, page.top.offset) == ([], 1, 0)
    assert page.top.epoch not in (first.epoch, again.epoch)
    assert await kit.post("m3") == Position(page.top.epoch, 1)


async def test_every_life_has_a_name_of_its_own(kit: Kit) -> None:
    epochs = set()
    for _ in range(5):
        epochs.add((await kit.post("m")).epoch)
        kit.ask("DEL", kit.keys.room("a").meta)
    assert len(epochs) == 5


async def test_a_room_that_was_only_looked_at_is_forgotten_some_day(kit: Kit) -> None:
    meta = kit.keys.room("a").meta
    epoch = (await kit.log.page("a", None, None, 9)).top.epoch
    assert 80_000 < kit.ask("TTL", meta) <= 86_400
    assert await kit.post("m") == Position(epoch, 1)
    assert kit.ask("TTL", meta) == -1


async def test_numbers_stay_exact_as_far_as_javascript_counts(kit: Kit) -> None:
    meta, log = kit.keys.room("a").meta, kit.keys.room("a").log
    epoch = (await kit.post("m")).epoch
    kit.ask("HSET", meta, "s", MAX_OFFSET - 3)
    kit.ask("DEL", log)
    for n in (2, 1, 0):
        assert await kit.post(f"m{n}") == Position(epoch, MAX_OFFSET - n)
    page = await kit.log.page("a", MAX_OFFSET - 2, None, 9)
    assert [message.offset for message in page.messages] == [MAX_OFFSET - 1, MAX_OFFSET]
    assert (page.first, page.top.offset) == (MAX_OFFSET - 2, MAX_OFFSET)


async def test_a_body_may_be_as_large_as_it_likes(kit: Kit) -> None:
    body = b"\x00\xff" * 500_000
    await kit.post("m", body=body)
    assert (await kit.log.page("a", 0, None, 1)).messages[0].body == body


async def test_a_wrong_kind_of_key_is_a_refusal_and_nothing_is_stored(
    kit: Kit, caplog: pytest.LogCaptureFixture
) -> None:
    kit.ask("SET", kit.keys.room("a").log, "not a stream")
    await kit.post("m1")  # the first message of a room makes its log anew
    kit.ask("SET", kit.keys.room("a").log, "not a stream")
    with pytest.raises(Refusal):
        await kit.post("m2")
    assert "WRONGTYPE" in caplog.text
    kit.ask("DEL", kit.keys.room("a").log)
    assert (await kit.post("m2")).offset == 2
    assert await kit.log.trim("a", (1000, 0.0), 0) == 2


async def test_a_message_that_somebody_spoiled_is_passed_over(
    kit: Kit, caplog: pytest.LogCaptureFixture
) -> None:
    await kit.post("m1")
    log = kit.keys.room("a").log
    kit.ask("XADD", log, "2-0", "a", AT, "d", "no message")
    kit.ask("XADD", log, "3-0", "other", "fields")
    kit.ask("HSET", kit.keys.room("a").meta, "s", 3)
    assert (await kit.post("m4")).offset == 4
    assert await kit.ids() == ["m1", "m4"]
    assert caplog.text.count("cannot be read") == 2


async def test_trimming_never_fails(kit: Kit) -> None:
    await kit.redis.stop()
    assert await kit.log.trim("a", (1, 0.0), 0) is None
