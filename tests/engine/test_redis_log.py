"""The scripts of the logs, through the class that calls them, on a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from sioserver.engine import redis_log
from sioserver.engine.redis_entries import opening
from sioserver.engine.redis_keys import Keys
from sioserver.engine.redis_log import RedisLog
from sioserver.engine.redis_servers import Redis
from sioserver.errors import Refusal
from sioserver.model import MAX_OFFSET, Message, Operation, Position, Published, User
from tests.redis_servers import ask, settings

from .conftest import ANN, BEN, WINDOW, Keep, delete, draft, edit, react, server

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

    async def do_twice(
        self, operation: Operation, between: Operation, monkeypatch: pytest.MonkeyPatch
    ) -> Published:
        """The connection breaks and sends it again; in between something else is done."""
        script = self.redis.script

        async def sent(*call: Any) -> Any:
            await script(*call)
            broken.undo()
            await self.do(between)
            return await script(*call)

        with monkeypatch.context() as broken:
            broken.setattr(self.redis, "script", lambda *call: asyncio.ensure_future(sent(*call)))
            return await self.do(operation)

    def ask(self, *command: Any) -> Any:
        return ask(server("redis"), *command)  # type: ignore[arg-type]

    async def post(self, id: str, keep: Keep = KEEP, **more: Any) -> Position:
        return (await self.log.publish("a", draft(id, **more), keep)).position

    async def do(self, operation: Operation, keep: Keep = KEEP) -> Published:
        return await self.log.operate("a", operation, keep)

    async def entries(self, after: int = 0) -> list[Message]:
        return (await self.log.page("a", after, None, 1000, ops=True)).messages

    def left(self) -> set[str]:
        """What there is of the room, besides the places of drafts and calls."""
        found = {key.decode() for key in self.ask("KEYS", f"{self.settings.prefix}:{{a}}:*")}
        ends = {key.rpartition("}:")[2] for key in found}
        return {end for end in ends if not end.startswith(("once:", "dedup:"))}

    def stored(self) -> bytes:
        """Everything that anybody could read of the room's log."""
        keys = self.keys.room("a")
        return repr(
            [
                self.ask("XRANGE", keys.log, "-", "+"),
                self.ask("HGETALL", keys.folds),
                self.ask("HGETALL", keys.meta),
                self.ask("HGETALL", keys.ids),
            ]
        ).encode()

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


# -- operations -----------------------------------------------------------------------------------


async def test_an_operation_that_the_connection_sends_again_is_done_once(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    await kit.post("m1", body="old")
    theirs = edit("theirs", 1, by=BEN, author_only=False)
    result = await kit.do_twice(edit("mine", 1), theirs, monkeypatch)
    assert (result.position.offset, result.duplicate) == (2, False)
    assert (result.target, result.id) == (1, "m1")
    result = await kit.do_twice(delete(id="m1"), delete(1), monkeypatch)
    assert (result.position.offset, result.duplicate) == (4, False)
    kinds = [(entry.kind, entry.user) for entry in await kit.entries(1)]
    assert kinds == [("edit", "ann"), ("edit", "ben"), ("delete", "ann")]


async def test_an_operation_that_comes_too_late_is_not_done(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    await kit.post("m1")
    now = kit.redis.server_time()
    monkeypatch.setattr(kit.redis, "server_time", lambda *_: now - kit.settings.timeout)
    with pytest.raises(Refusal) as refused:
        await kit.do(edit("new", 1))
    assert (refused.value.code, kit.log.late) == ("unavailable", 1)
    monkeypatch.undo()
    assert [entry.body for entry in await kit.entries()] == ["hi"]


@pytest.mark.parametrize("mentions", [(), ("ben",)])
async def test_what_somebody_took_back_is_nowhere(kit: Kit, mentions: tuple[str, ...]) -> None:
    sent = msgspec.structs.replace(draft("m1", body="first secret"), mentions=mentions)
    await kit.log.publish("a", sent, KEEP)
    await kit.do(react("x", id="m1"))
    await kit.do(edit("second secret", 1))
    assert b"first secret" not in kit.stored()
    assert kit.stored().count(b"second secret") == 1
    await kit.do(delete(id="m1"))
    assert b"secret" not in kit.stored()
    assert b"ben" not in kit.stored()


async def test_an_entry_begins_in_the_log_as_its_message_says(kit: Kit) -> None:
    """By that a node finds out that an offset was given again."""
    long = "n\u00e4" * 90
    await kit.log.publish("a", draft(long, User(long * 2, long)), KEEP)
    for operation in (edit("new", 1), react("x", 1), delete(1)):
        by = msgspec.structs.replace(operation, user=User(long, long), author_only=False)
        await kit.do(by)
    stream = dict(kit.ask("XRANGE", kit.keys.room("a").log, "-", "+"))
    folds = kit.ask("HGETALL", kit.keys.room("a").folds)
    for entry in await kit.entries():
        fields = stream.get(f"{entry.offset}-0".encode())
        data = fields[b"d"] if fields else folds[b"1"].split(b" ", 4)[4]
        assert data[1:].startswith(opening(entry))
    assert len(stream) == 3


async def test_folds_go_with_the_last_operation_on_their_message(kit: Kit) -> None:
    keys = kit.keys.room("a")
    for n in (1, 2, 3):
        await kit.post(f"m{n}")
    await kit.do(edit("new", 1))  # 4
    await kit.do(react("x", 2))  # 5
    await kit.do(react("y", 2, by=BEN))  # 6
    await kit.do(delete(3))  # 7
    assert await kit.log.trim("a", (4, 0.0), 0) == 4
    assert kit.ask("HKEYS", keys.folds) == [b"1", b"2", b"2r", b"3"]
    assert [(entry.kind, entry.body) for entry in await kit.entries()] == [
        ("edit", "new"), ("reaction", None), ("reaction", None), ("delete", None),
    ]  # fmt: skip
    assert await kit.log.trim("a", (2, 0.0), 0) == 6
    assert kit.ask("HKEYS", keys.folds) == [b"2", b"2r", b"3"]
    assert await kit.log.trim("a", (1, 0.0), 0) == 7
    assert kit.ask("HKEYS", keys.folds) == [b"3"]
    assert kit.ask("ZRANGE", keys.done, 0, -1) == [b"3"]
    await kit.post("m4", Keep(history_length=0))
    assert kit.left() == {"meta"}
    assert await kit.post("m5") == Position((await kit.log.page("a", 0, None, 1)).top.epoch, 9)
    assert [(entry.id, entry.number) for entry in await kit.entries()] == [("m5", 5)]


async def test_a_room_with_operations_is_trimmed_while_entries_come(kit: Kit) -> None:
    keep = Keep(history_length=20)
    for n in range(400):
        if n % 3 == 0:
            posted = await kit.post(f"m{n}", keep)
        elif n % 3 == 1:
            await kit.do(edit(n, posted.offset), keep)
        else:
            await kit.do(react("x", id=f"m{n - 2}"), keep)
        page = await kit.log.page("a", None, None, 1000, ops=True)
        assert 20 <= len(page.messages) <= 20 + 64 or page.first == 1
        assert [entry.offset for entry in page.messages] == list(
            range(page.first, page.top.offset + 1)
        )
    assert len(kit.ask("HKEYS", kit.keys.room("a").folds)) < 100


async def test_age_is_that_of_the_messages_also_where_they_were_edited(kit: Kit) -> None:
    ages = [900, 900, 5, 900]
    for n, age in enumerate(ages, 1):
        await kit.post(f"m{n}", at=AT - age * 1000)
    await kit.do(edit("new", 2, at=AT))
    await kit.do(edit("new", 3, at=AT))
    assert await kit.log.trim("a", (1000, 600.0), AT / 1000) == 3
    assert [entry.offset for entry in await kit.entries()] == [3, 4, 5, 6]
    assert (await kit.entries())[0].body == "new"
    assert await kit.log.trim("a", (1000, 600.0), AT / 1000 + 700) == 7
    assert kit.left() == {"meta", "log"}
    assert (await kit.post("m8")).offset == 7
    assert [entry.offset for entry in await kit.entries()] == [7]


async def test_trimming_much_by_age_takes_several_calls(kit: Kit) -> None:
    for n in range(1, 500):
        await kit.post(f"m{n}", at=AT)
    for n in range(1, 500):
        await kit.do(react("x", n, at=AT))
    first, more = await kit.log.trim_once("a", (10_000, 60.0), AT / 1000 + 100)
    assert (1 < first < 999, more) == (True, 1)
    assert await kit.log.trim("a", (10_000, 60.0), AT / 1000 + 100) == 999
    assert kit.left() == {"meta", "log"}


async def test_what_expires_expires_together(kit: Kit) -> None:
    keep = Keep(history_age=60)
    keys = kit.keys.room("a")
    await kit.post("m1", keep)
    await kit.do(edit("new", 1), keep)
    await kit.post("m2", keep)
    three = keys.log, keys.folds, keys.done
    assert len({kit.ask("PEXPIRETIME", key) for key in three}) == 1
    assert 50_000 < kit.ask("PTTL", keys.folds) <= 60_000
    for call in (kit.post("m3"), kit.do(edit("newer", 1)), kit.log.trim("a", (99, 0.0), 0)):
        await kit.do(react("x", 1, on=not kit.ask("HEXISTS", keys.folds, "1r")), keep)
        assert kit.ask("PTTL", keys.folds) > 0
        await call
        assert [kit.ask("PTTL", key) for key in three] == [-1, -1, -1]
    await kit.log.trim("a", (99, 60.0), AT / 1000)
    assert len({kit.ask("PEXPIRETIME", key) for key in three}) == 1


async def test_a_log_that_has_expired_begins_behind_its_top(kit: Kit) -> None:
    keys = kit.keys.room("a")
    await kit.post("m1")
    await kit.do(edit("new", 1))
    await kit.do(react("x", 1))
    kit.ask("DEL", keys.log, keys.folds, keys.done)  # as time does
    page = await kit.log.page("a", None, None, 9, ops=True)
    assert (page.messages, page.first, page.top.offset, page.number) == ([], 4, 3, 1)
    page = await kit.log.page("a", 0, None, 9)
    assert (page.messages, page.start, page.end) == ([], 4, 4)
    with pytest.raises(Refusal):
        await kit.do(react("x", 1))
    await kit.post("m2")
    await kit.do(react("x", id="m2"))
    assert [(entry.offset, entry.number) for entry in await kit.entries()] == [(4, 2), (5, 2)]
    assert (await kit.log.page("a", None, None, 9)).first == 4


async def test_a_meta_that_was_evicted_takes_the_folds_along(kit: Kit) -> None:
    await kit.post("m1")
    await kit.do(edit("new", 1))
    kit.ask("DEL", kit.keys.room("a").meta)
    assert (await kit.log.page("a", None, None, 9)).messages == []
    assert kit.left() == {"meta"}
    await kit.post("m1")
    await kit.do(react("x", 1))
    kit.ask("DEL", kit.keys.room("a").meta)
    await kit.post("m2")
    assert [(entry.id, entry.number, entry.reactions) for entry in await kit.entries()] == [
        ("m2", 1, {})
    ]


async def test_who_is_named_by_id_is_looked_up(kit: Kit) -> None:
    """Only what is new is read again for the next one."""
    ids = kit.keys.room("a").ids
    for n in range(1, 251):
        await kit.post(f"m{n}")
    assert (await kit.do(react("x", id="m7"))).target == 7
    assert kit.ask("HLEN", ids) == 252
    assert kit.ask("HGET", ids, "upto") == b"250"
    assert 50_000 < kit.ask("PTTL", ids) <= 60_000
    await kit.post("upto")
    await kit.log.publish("a", draft("m9", BEN), KEEP)
    for wanted, found in (("upto", 252), ("m250", 250), ("m7", 7)):
        assert (await kit.do(react("y", id=wanted))).target == found
    with pytest.raises(Refusal, match="several"):
        await kit.do(react("y", id="m9"))
    kit.ask("HSET", ids, "epoch", "another")  # the log was lost meanwhile
    assert (await kit.do(react("z", id="upto"))).target == 252


async def test_what_is_known_of_ids_is_bounded(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_log, "SEARCHED", 20)
    ids = kit.keys.room("a").ids
    for n in range(1, 301):
        await kit.post(f"m{n}")
        with pytest.raises(Refusal):
            await kit.do(react("x", id="nobody's"))
        assert kit.ask("HLEN", ids) <= 4 * 20 + 3
    assert (await kit.do(react("x", id="m300"))).target == 300
    with pytest.raises(Refusal):
        await kit.do(react("x", id="m281"))  # 20 entries, and the reaction is one
    assert (await kit.do(react("x", id="m282"))).target == 282


async def test_an_id_of_many_messages_takes_no_space(kit: Kit) -> None:
    for _ in range(100):
        await kit.post("m", again=False)
        with pytest.raises(Refusal):
            await kit.do(react("x", id="n"))
    assert kit.ask("HGET", kit.keys.room("a").ids, "id m") == b"99 100"


async def test_a_page_looks_at_so_many_operations(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_log, "_SCANNED", 50)
    await kit.post("m1")
    for n in range(1, 200):
        await kit.do(react("x", 1, on=bool(n % 2)))
    await kit.post("m2")
    page = await kit.log.page("a", None, None, 2)
    assert ([one.id for one in page.messages], page.start, page.end) == (["m2"], 152, 202)
    page = await kit.log.page("a", 1, None, 2)
    assert (page.messages, page.start, page.end) == ([], 2, 52)


async def test_a_body_is_sent_once_for_all_its_edits(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    await kit.post("m1")
    for n in range(100):
        await kit.do(edit("x" * 10_000 + str(n), 1))
    answers: list[Any] = []
    script = kit.redis.script

    async def watched(*call: Any) -> Any:
        answers.append(await script(*call))
        return answers[-1]

    monkeypatch.setattr(kit.redis, "script", lambda *call: asyncio.ensure_future(watched(*call)))
    entries = await kit.entries()
    assert {entry.body for entry in entries} == {"x" * 10_000 + "99"}
    assert len(repr(answers)) < 40_000


async def test_what_somebody_spoiled_among_operations_is_passed_over(
    kit: Kit, caplog: pytest.LogCaptureFixture
) -> None:
    await kit.post("m1")
    await kit.do(react("x", 1))
    log = kit.keys.room("a").log
    kit.ask("XADD", log, "3-0", "a", AT, "d", b"\x95spoiled", "n", "?")
    kit.ask("XADD", log, "4-0", "other", "fields")
    kit.ask("HSET", kit.keys.room("a").meta, "s", 4)
    assert (await kit.post("m5")).offset == 5
    assert (await kit.do(react("x", id="m5"))).target == 5
    with pytest.raises(Refusal):
        await kit.do(react("x", 4))
    assert [entry.offset for entry in await kit.entries()] == [1, 2, 5, 6]
    assert caplog.text.count("cannot be read") == 2


async def test_a_wrong_kind_of_key_stops_an_operation_before_it_is_done(
    kit: Kit, caplog: pytest.LogCaptureFixture
) -> None:
    await kit.post("m1")
    keys = kit.keys.room("a")
    for key in (keys.folds, keys.done):
        kit.ask("SET", key, "not this")
        with pytest.raises(Refusal):
            await kit.do(edit("new", 1))
        kit.ask("DEL", key)
    assert "WRONGTYPE" in caplog.text
    assert (await kit.do(edit("new", 1))).position.offset == 2


async def test_numbers_of_operations_stay_exact_as_far_as_javascript_counts(kit: Kit) -> None:
    meta = kit.keys.room("a").meta
    await kit.post("m")
    await kit.do(react("x", 1))
    kit.ask("HSET", meta, "s", MAX_OFFSET - 4)
    last = (await kit.post("n")).offset
    result = await kit.do(edit("new", last))
    await kit.do(react("x", id="n"))
    assert (result.position.offset, result.target) == (MAX_OFFSET - 2, MAX_OFFSET - 3)
    [message, *entries] = await kit.entries(MAX_OFFSET - 4)
    assert (message.offset, message.body, message.number) == (last, "new", last - 1)
    assert [(entry.offset, entry.target) for entry in entries] == [
        (last + 1, last), (last + 2, last),
    ]  # fmt: skip
