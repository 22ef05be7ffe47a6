"""What every engine must do with operations on messages: edits, deletes, reactions.

As in test_contract.py, only the contract (sioserver/engine/base.py) is used, and the `engine`
fixture runs each test with each engine.
"""

import asyncio
from typing import Any

import pytest

from sioserver.engine.base import MAX_EMOJI, SEARCHED, Engine
from sioserver.errors import Refusal
from sioserver.model import Membership, Message, Operation, Position, Standing, User

from .conftest import (
    ANN,
    BEN,
    CACHED,
    GUEST,
    Harness,
    Keep,
    Listener,
    delete,
    draft,
    edit,
    react,
    until,
)

KEEP = Keep()
AT = 1_700_000_000_000
EDITED, DELETED, REACTED = AT + 1000, AT + 2000, AT + 3000


async def fill(engine: Engine, room: str, count: int, keep: Keep = KEEP) -> None:
    sent = [draft(f"f{n}", BEN, again=False) for n in range(count)]
    await asyncio.gather(*(engine.publish(room, one, keep) for one in sent))


async def refused(engine: Engine, room: str, operation: Operation) -> str:
    """Nothing was done: the code of the refusal."""
    before = await engine.history(room, limit=1, ops=True)
    with pytest.raises(Refusal) as refusal:
        await engine.operate(room, operation, KEEP)
    assert await engine.history(room, limit=1, ops=True) == before
    return refusal.value.code


async def one(engine: Engine, room: str, offset: int) -> Message:
    """The entry of this offset."""
    page = await engine.history(room, after=offset - 1, limit=1, ops=True)
    assert page.messages[0].offset == offset
    return page.messages[0]


FAR: list[int] = [0, 3 * CACHED]
"""Messages that come between a message and the reading: some are read from memory, others not."""


# -- one operation --------------------------------------------------------------------------------


async def test_messages_are_numbered(engine: Engine, listener: Listener) -> None:
    engine.watch("a")
    for n in range(3):
        await engine.publish("a", draft(f"m{n}"), KEEP)
        await engine.operate("a", edit("new", n * 2 + 1), KEEP)
    page = await engine.history("a", limit=9, ops=True)
    assert [message.number for message in page.messages] == [1, 1, 2, 2, 3, 3]
    assert [message.number for _, _, message in listener.messages] == [1, 1, 2, 2, 3, 3]
    assert (page.number, page.top.offset) == (3, 6)


@pytest.mark.parametrize("far", FAR)
async def test_an_edit_changes_the_message(engine: Engine, far: int) -> None:
    first = await engine.publish("a", draft("m1", body={"old": 1}), KEEP)
    result = await engine.operate("a", edit(["new", b"\0"], 1), KEEP)
    assert (result.id, result.at, result.duplicate, result.target) == ("m1", EDITED, False, 1)
    assert result.position == Position(first.position.epoch, 2)
    await fill(engine, "a", far)
    new = Message("m1", 1, "ann", "Ann", ["new", b"\0"], AT, 1, edited=EDITED)
    entry = Message("m1", 2, "ann", "Ann", ["new", b"\0"], EDITED, 1, "edit", target=1)
    assert (await engine.history("a", before=3, limit=9)).messages == [new]
    assert (await engine.history("a", before=3, limit=9, ops=True)).messages == [new, entry]


@pytest.mark.parametrize("far", FAR)
async def test_a_delete_takes_the_body_away(engine: Engine, far: int) -> None:
    sent = draft("m1", body="secret", mentions=("ben",), reply_to="m0")
    await engine.publish("a", sent, KEEP)
    await engine.operate("a", react("👍", 1), KEEP)
    await engine.operate("a", edit("still secret", 1), KEEP)
    result = await engine.operate("a", delete(1), KEEP)
    assert (result.id, result.position.offset, result.target) == ("m1", 4, 1)
    await fill(engine, "a", far)
    page = await engine.history("a", before=5, limit=9, ops=True)
    assert page.messages == [
        Message("m1", 1, "ann", "Ann", None, AT, 1, reply_to="m0", deleted=DELETED),
        Message("m1", 2, "ann", "Ann", None, REACTED, 1, "reaction", target=1, emoji="👍", count=1),
        Message("m1", 3, "ann", "Ann", None, EDITED, 1, "edit", target=1),
        Message("m1", 4, "ann", "Ann", None, DELETED, 1, "delete", target=1),
    ]
    assert (await engine.history("a", before=5, limit=9)).messages == page.messages[:1]


@pytest.mark.parametrize("far", FAR)
async def test_reactions_are_kept_by_user(engine: Engine, far: int) -> None:
    await engine.publish("a", draft("m1"), KEEP)
    for emoji, by, on in (
        ("👍", BEN, True),
        ("❤️", ANN, True),
        ("👍", ANN, True),
        ("❤️", ANN, False),
        ("👍", GUEST, True),
    ):
        await engine.operate("a", react(emoji, 1, by=by, on=on), KEEP)
    await fill(engine, "a", far)
    message = await one(engine, "a", 1)
    assert message == Message(
        "m1", 1, "ann", "Ann", "hi", AT, 1, reactions={"👍": ("ben", "ann", "guest-1")}
    )
    entries = (await engine.history("a", after=1, limit=5, ops=True)).messages
    assert [(one.kind, one.emoji, one.user, one.on, one.count) for one in entries] == [
        ("reaction", "👍", "ben", True, 1),
        ("reaction", "❤️", "ann", True, 1),
        ("reaction", "👍", "ann", True, 2),
        ("reaction", "❤️", "ann", False, 0),
        ("reaction", "👍", "guest-1", True, 3),
    ]
    assert all((one.target, one.body, one.id) == (1, None, "m1") for one in entries)


async def test_an_edit_keeps_the_rest(engine: Engine) -> None:
    await engine.publish("a", draft("m1", mentions=("ben", "cid"), reply_to=7), KEEP)
    await engine.operate("a", react("👍", 1, by=BEN), KEEP)
    await engine.operate("a", edit("second", 1), KEEP)
    await engine.operate("a", edit("third", 1, at=EDITED + 5), KEEP)
    assert await one(engine, "a", 1) == Message(
        "m1", 1, "ann", "Ann", "third", AT, 1,
        reply_to=7, mentions=("ben", "cid"), edited=EDITED + 5, reactions={"👍": ("ben",)},
    )  # fmt: skip
    # whoever reads the first edit now is shown what the message says now
    assert [(await one(engine, "a", offset)).body for offset in (3, 4)] == ["third", "third"]


async def test_operations_are_announced_whole(engine: Engine, listener: Listener) -> None:
    engine.watch("a")
    await engine.publish("a", draft("m1", mentions=("ben",), reply_to=3), KEEP)
    await engine.operate("a", edit("new", 1), KEEP)
    await engine.operate("a", react("👍", 1, by=BEN), KEEP)
    await engine.operate("a", react("👍", 1, by=BEN, on=False), KEEP)
    await engine.operate("a", delete(1, by=BEN, author_only=False), KEEP)
    assert [message for _, _, message in listener.messages] == [
        Message("m1", 1, "ann", "Ann", "hi", AT, 1, reply_to=3, mentions=("ben",)),
        Message("m1", 2, "ann", "Ann", "new", EDITED, 1, "edit", target=1),
        Message("m1", 3, "ben", "Ben", None, REACTED, 1, "reaction", target=1, emoji="👍", count=1),
        Message(
            "m1", 4, "ben", "Ben", None, REACTED, 1, "reaction", target=1, emoji="👍", on=False
        ),
        Message("m1", 5, "ben", "Ben", None, DELETED, 1, "delete", target=1),
    ]


@pytest.mark.parametrize("body", ["", None, True, -1.5, 2**53, b"\x00\xff", {"a": [b"x", None]}])
async def test_bodies_of_edits_come_back_as_they_went(engine: Engine, body: Any) -> None:
    await engine.publish("a", draft("m1", body="old"), KEEP)
    await engine.operate("a", edit(body, 1), KEEP)
    await fill(engine, "a", 3 * CACHED)
    message = await one(engine, "a", 1)
    assert (message.body, type(message.body)) == (body, type(body))
    assert (message.edited, message.deleted) == (EDITED, 0)


# -- whom it is done to ---------------------------------------------------------------------------


async def test_a_message_is_named_by_its_id(engine: Engine) -> None:
    await engine.publish("a", draft("m1"), KEEP)
    await engine.publish("a", draft("m2"), KEEP)
    result = await engine.operate("a", edit("new", id="m1"), KEEP)
    assert (result.id, result.target, result.position.offset) == ("m1", 1, 3)
    # operations have their message's id, but are none
    assert (await engine.operate("a", delete(id="m1"), KEEP)).target == 1
    assert (await engine.operate("a", edit("new", 2, id="m2"), KEEP)).target == 2
    assert [one.body for one in (await engine.history("a", limit=9)).messages] == [None, "new"]


async def test_what_is_not_there(engine: Engine) -> None:
    assert await refused(engine, "nowhere", edit("new", 1)) == "not_found"
    assert await refused(engine, "nowhere", edit("new", id="m1")) == "not_found"
    await engine.publish("a", draft("m1"), KEEP)
    await engine.operate("a", react("👍", 1), KEEP)
    for operation in (
        edit("new", 0),
        edit("new", 2),  # an operation
        delete(3),
        react("👍", 2**53 - 1),
        edit("new", id="m2"),
        delete(1, id="m2"),
    ):
        assert await refused(engine, "a", operation) == "not_found"


async def test_two_messages_of_an_id(engine: Engine) -> None:
    await engine.publish("a", draft("m", ANN), KEEP)
    await engine.publish("a", draft("m", BEN), KEEP)
    for operation in (edit("new", id="m"), delete(id="m"), react("👍", id="m")):
        assert await refused(engine, "a", operation) == "bad_request"
    assert (await engine.operate("a", edit("new", 1, id="m"), KEEP)).target == 1


async def test_old_messages_are_named_by_their_offset_only(engine: Engine) -> None:
    keep = Keep(history_length=2 * SEARCHED)
    await engine.publish("a", draft("m1"), keep)
    await engine.publish("a", draft("m2"), keep)
    await fill(engine, "a", SEARCHED - 1, keep)
    assert await refused(engine, "a", edit("new", id="m1")) == "not_found"
    assert (await engine.operate("a", edit("new", 1, id="m1"), keep)).target == 1


async def test_the_newest_are_found_by_their_id(engine: Engine) -> None:
    keep = Keep(history_length=2 * SEARCHED)
    await engine.publish("a", draft("m1"), keep)
    await fill(engine, "a", SEARCHED - 1, keep)
    assert (await engine.operate("a", react("👍", id="m1"), keep)).target == 1


async def test_what_was_trimmed_is_not_found(engine: Engine) -> None:
    keep = Keep(history_length=2)
    await engine.publish("a", draft("m1"), keep)
    await engine.operate("a", edit("new", 1), keep)
    await fill(engine, "a", 200, keep)
    await engine.trim("a", keep, AT / 1000)
    assert (await engine.history("a", limit=0)).first > 2
    for operation in (edit("newer", 1), delete(1), delete(id="m1"), react("👍", 1)):
        assert await refused(engine, "a", operation) == "not_found"


async def test_a_room_that_keeps_nothing_has_nothing_to_edit(engine: Engine) -> None:
    keep = Keep(history_length=0)
    await engine.publish("a", draft("m1"), keep)
    assert await refused(engine, "a", edit("new", 1)) == "not_found"
    assert await refused(engine, "a", delete(id="m1")) == "not_found"


async def test_only_the_author(engine: Engine) -> None:
    await engine.publish("a", draft("m1"), KEEP)
    assert await refused(engine, "a", edit("new", 1, by=BEN)) == "forbidden"
    assert await refused(engine, "a", delete(id="m1", by=BEN)) == "forbidden"
    renamed = User("ann", "Anna")
    await engine.operate("a", edit("new", 1, by=renamed), KEEP)
    assert (await one(engine, "a", 1)).name == "Ann"
    assert (await one(engine, "a", 2)).name == "Anna"
    await engine.operate("a", edit("newer", 1, by=BEN, author_only=False), KEEP)
    assert (await one(engine, "a", 1)).user == "ann"
    assert (await one(engine, "a", 3)).user == "ben"


async def test_a_deleted_message_stays_deleted(engine: Engine) -> None:
    await engine.publish("a", draft("m1"), KEEP)
    await engine.operate("a", delete(1), KEEP)
    assert await refused(engine, "a", edit("new", 1)) == "not_found"
    assert await refused(engine, "a", react("👍", 1)) == "not_found"
    assert await refused(engine, "a", react("👍", 1, on=False)) == "not_found"
    assert await refused(engine, "a", edit("new", 1, by=BEN)) == "forbidden"
    assert await refused(engine, "a", delete(1, by=BEN)) == "forbidden"
    assert (await one(engine, "a", 1)).deleted == DELETED


@pytest.mark.parametrize("body", ["\ud800", object(), 2**100])
async def test_a_body_that_cannot_be_stored_is_refused(engine: Engine, body: Any) -> None:
    await engine.publish("a", draft("m1"), KEEP)
    assert await refused(engine, "a", edit(body, 1)) == "bad_request"


# -- again ----------------------------------------------------------------------------------------


async def test_what_is_as_it_should_be_is_left_alone(engine: Engine, listener: Listener) -> None:
    engine.watch("a")
    await engine.publish("a", draft("m1", body={"x": 1}), KEEP)
    nothing = await engine.operate("a", react("👍", 1, on=False), KEEP)
    assert (nothing.position.offset, nothing.duplicate, nothing.target) == (1, True, 1)
    same = await engine.operate("a", edit({"x": 1}, 1), KEEP)
    assert (same.position.offset, same.duplicate) == (1, True)
    for number, operation in enumerate((react("👍", 1), edit("new", 1), delete(1)), 2):
        first = await engine.operate("a", operation, KEEP)
        await engine.publish("b", draft("other"), KEEP)
        again = await engine.operate("a", operation, KEEP)
        assert (first.position.offset, first.duplicate) == (number, False)
        assert (again.position.offset, again.duplicate, again.id) == (number, True, "m1")
    assert listener.offsets("a") == [1, 2, 3, 4]
    assert (await one(engine, "a", 1)).edited == 0


async def test_an_edit_back_is_an_edit(engine: Engine) -> None:
    await engine.publish("a", draft("m1", body="old"), KEEP)
    await engine.operate("a", edit("new", 1), KEEP)
    result = await engine.operate("a", edit("old", 1, at=EDITED + 1), KEEP)
    assert (result.position.offset, result.duplicate) == (3, False)
    assert (await one(engine, "a", 1)).edited == EDITED + 1


async def test_the_same_at_once_is_done_once(engine: Engine, listener: Listener) -> None:
    engine.watch("a")
    await engine.publish("a", draft("m1"), KEEP)
    results = await asyncio.gather(*(engine.operate("a", delete(1), KEEP) for _ in range(5)))
    assert [result.duplicate for result in results] == [False, True, True, True, True]
    assert {result.position.offset for result in results} == {2}
    assert listener.offsets("a") == [1, 2]


# -- how much -------------------------------------------------------------------------------------


async def test_a_message_has_so_many_reactions(engine: Engine) -> None:
    await engine.publish("a", draft("m1"), KEEP)
    for n in range(3):
        await engine.operate("a", react("👍", 1, by=User(f"u{n}", "U"), most=3), KEEP)
    with pytest.raises(Refusal) as refusal:
        await engine.operate("a", react("👍", 1, by=BEN, most=3), KEEP)
    assert (refusal.value.code, refusal.value.limit) == ("too_many", "reactions")
    # what is there already is no more, and what goes makes space
    again = await engine.operate("a", react("👍", 1, by=User("u1", "U"), most=3), KEEP)
    assert again.duplicate
    await engine.operate("a", react("👍", 1, by=User("u1", "U"), on=False, most=3), KEEP)
    await engine.operate("a", react("🎉", 1, by=BEN, most=3), KEEP)
    assert (await one(engine, "a", 1)).reactions == {"👍": ("u0", "u2"), "🎉": ("ben",)}


async def test_a_message_has_so_many_different_emoji(engine: Engine) -> None:
    await engine.publish("a", draft("m1"), KEEP)
    for n in range(MAX_EMOJI):
        await engine.operate("a", react(f"e{n}", 1), KEEP)
    assert await refused(engine, "a", react("another", 1)) == "too_many"
    await engine.operate("a", react("e7", 1, by=BEN), KEEP)
    await engine.operate("a", react("e0", 1, on=False), KEEP)
    await engine.operate("a", react("another", 1), KEEP)
    assert list((await one(engine, "a", 1)).reactions)[-1] == "another"


# -- order ----------------------------------------------------------------------------------------


async def test_what_is_not_waited_for_keeps_its_order(engine: Engine, listener: Listener) -> None:
    engine.watch("a")
    made = []
    for n in range(40):
        made.append(engine.publish("a", draft(f"m{n}", body=n), KEEP))
        made.append(engine.operate("a", edit(-n - 1, id=f"m{n}"), KEEP))
        if n % 2:
            made.append(engine.operate("a", delete(id=f"m{n}"), KEEP))
    results = await asyncio.gather(*made)
    assert [result.position.offset for result in results] == list(range(1, 101))
    assert listener.offsets("a") == list(range(1, 101))
    page = await engine.history("a", limit=100)
    assert [one.body for one in page.messages] == [
        None if n % 2 else -n - 1 for n in range(40)
    ]  # fmt: skip


async def test_rooms_do_not_mix(engine: Engine) -> None:
    for room in ("a", "b"):
        await engine.publish(room, draft("m1"), KEEP)
    await engine.operate("a", delete(1), KEEP)
    assert (await one(engine, "b", 1)).body == "hi"


# -- pages ----------------------------------------------------------------------------------------


async def mixed(engine: Engine, room: str) -> None:
    """Offsets 1, 4, 7, ..., 28 are messages, the two behind each operations on it."""
    for n in range(10):
        await engine.publish(room, draft(f"m{n}", body=n), KEEP)
        await engine.operate(room, react("👍", 3 * n + 1, by=BEN), KEEP)
        await engine.operate(room, edit(-n - 1, 3 * n + 1), KEEP)


@pytest.mark.parametrize(
    ("after", "before", "limit", "expected", "start", "end"),
    [
        (None, None, 3, [22, 25, 28], 22, 31),
        (None, None, 99, list(range(1, 31, 3)), 1, 31),
        (None, 22, 2, [16, 19], 16, 22),
        (None, 23, 2, [19, 22], 19, 23),
        (None, 1, 5, [], 1, 1),
        (0, None, 2, [1, 4], 1, 5),
        (1, None, 2, [4, 7], 2, 8),
        (26, None, 5, [28], 27, 31),
        (28, None, 5, [], 29, 31),
        (5, 14, 9, [7, 10, 13], 6, 14),
        (5, 14, 2, [7, 10], 6, 11),
        (1, 4, 9, [], 2, 4),
    ],
)
async def test_pages_of_messages_have_no_operations(
    engine: Engine, after: int | None, before: int | None, limit: int,
    expected: list[int], start: int, end: int,
) -> None:  # fmt: skip
    await mixed(engine, "a")
    page = await engine.history("a", after=after, before=before, limit=limit)
    assert [message.offset for message in page.messages] == expected
    assert [message.body for message in page.messages] == [-(n // 3) - 1 for n in expected]
    assert (page.first, page.top.offset, page.number) == (1, 30, 10)
    assert (page.start, page.end) == (start, end)


async def test_pages_of_entries_have_every_one(engine: Engine) -> None:
    await mixed(engine, "a")
    page = await engine.history("a", after=3, limit=5, ops=True)
    assert [message.offset for message in page.messages] == [4, 5, 6, 7, 8]
    assert [message.number for message in page.messages] == [2, 2, 2, 3, 3]
    assert (page.start, page.end) == (4, 9)
    page = await engine.history("a", limit=5, ops=True)
    assert [message.offset for message in page.messages] == [26, 27, 28, 29, 30]
    assert (page.start, page.end) == (26, 31)


async def test_a_message_among_many_operations_is_found(engine: Engine) -> None:
    keep = Keep(history_length=10_000)
    await engine.publish("a", draft("m1"), keep)
    calls = [
        engine.operate("a", react("👍", 1, on=not n % 2, by=ANN), keep) for n in range(1500)
    ]  # fmt: skip
    await asyncio.gather(*calls)
    found: list[Message] = []
    before: int | None = None
    while True:
        page = await engine.history("a", before=before, limit=2)
        found = page.messages + found
        if page.start <= page.first:
            break
        assert before is None or page.start < before
        before = page.start
    assert [message.offset for message in found] == [1]
    after = 1
    while True:
        page = await engine.history("a", after=after, limit=2)
        assert page.messages == []
        if page.end > page.top.offset:
            break
        assert page.end > after + 1
        after = page.end - 1


# -- trimming -------------------------------------------------------------------------------------


async def test_an_edit_outlives_its_message(engine: Engine) -> None:
    keep = Keep(history_length=3)
    await engine.publish("a", draft("m1", body="old"), keep)
    await fill(engine, "a", 100, keep)
    await engine.publish("a", draft("m2", body="old"), keep)
    await engine.operate("a", edit("new", 102), keep)
    await engine.publish("a", draft("m3"), keep)
    await engine.publish("a", draft("m4"), keep)
    await engine.trim("a", keep, AT / 1000)
    page = await engine.history("a", limit=9, ops=True)
    assert [(one.offset, one.kind, one.body, one.number) for one in page.messages] == [
        (103, "edit", "new", 102),
        (104, "message", "hi", 103),
        (105, "message", "hi", 104),
    ]
    assert [one.offset for one in (await engine.history("a", limit=9)).messages] == [104, 105]
    assert await refused(engine, "a", edit("newer", 102)) == "not_found"


async def test_a_log_of_operations_only(engine: Engine) -> None:
    keep = Keep(history_length=4)
    await engine.publish("a", draft("m1"), keep)
    for n in range(200):
        await engine.operate("a", react("👍", 1, on=not n % 2), Keep())
    await engine.trim("a", keep, AT / 1000)
    page = await engine.history("a", limit=9, ops=True)
    assert [one.offset for one in page.messages] == [198, 199, 200, 201]
    page = await engine.history("a", limit=9)
    assert (page.messages, page.first, page.start, page.end) == ([], 198, 198, 202)
    assert page.number == 1
    assert (await engine.publish("a", draft("m2"), keep)).position.offset == 202
    assert (await one(engine, "a", 202)).number == 2


async def test_retention_counts_entries(engine: Engine) -> None:
    keep = Keep(history_length=100)
    await engine.publish("a", draft("m1"), keep)
    for n in range(300):
        await engine.operate("a", react("👍", 1 + n // 300, on=not n % 2), Keep())
    await engine.publish("a", draft("m2"), keep)
    await engine.trim("a", keep, AT / 1000)
    assert (await engine.history("a", limit=0)).first == 203


# -- unread ---------------------------------------------------------------------------------------


async def test_operations_are_not_unread(engine: Engine) -> None:
    await mixed(engine, "a")  # ten messages
    assert await engine.join("a", BEN) == Membership(30, 30, 30, 10)
    await engine.publish("a", draft("n1"), KEEP)  # 31
    await engine.operate("a", edit("new", 31), KEEP)  # 32
    await engine.publish("a", draft("n2"), KEEP)  # 33
    await engine.operate("a", delete(31), KEEP)  # 34
    standing = (await engine.rooms_of("ben", limit=9))["a"]
    assert standing == Standing(Membership(30, 30, 30, 10), 34, 12)
    assert standing.unread == 2
    read = await engine.read("a", "ben", 32)
    assert (read.membership.read, read.membership.number, read.top, read.number) == (32, 11, 34, 12)
    assert (await engine.read("a", "ben", 31)).unread == 1
    assert (await engine.join("a", BEN)).number == 11
    assert (await engine.read("a", "ben", 99)).unread == 0
    assert (await engine.rooms_of("ben", limit=9))["a"].unread == 0


async def test_somebody_who_is_no_member_has_read_everything(engine: Engine) -> None:
    await mixed(engine, "a")
    assert await engine.read("a", "cid", 3) == Standing(Membership(30, 30, 30, 10), 30, 10)
    assert await engine.join("a", GUEST) == Membership(30, 30, 30, 10)
    assert (await engine.read("nowhere", "cid", 3)).unread == 0


async def test_what_was_trimmed_is_not_unread_once_it_was_passed(engine: Engine) -> None:
    keep = Keep(history_length=2)
    await engine.join("a", BEN)
    for n in range(150):
        await engine.publish("a", draft(f"m{n}"), Keep())
    assert (await engine.rooms_of("ben", limit=9))["a"].unread == 150
    await engine.trim("a", keep, AT / 1000)
    assert (await engine.rooms_of("ben", limit=9))["a"].unread == 150
    read = await engine.read("a", "ben", 20)
    assert (read.membership.read, read.membership.number, read.unread) == (20, 148, 2)
    # it does not go back
    await engine.publish("a", draft("more"), keep)
    read = await engine.read("a", "ben", 148)
    assert (read.membership.number, read.unread) == (148, 3)


# -- for good -------------------------------------------------------------------------------------


async def test_everything_is_there_after_a_restart(durable: Harness) -> None:
    await mixed(durable.engine, "a")
    await durable.engine.operate("a", delete(1), KEEP)
    before = await durable.engine.history("a", limit=99, ops=True)
    engine = await durable.restart()
    assert await engine.history("a", limit=99, ops=True) == before
    assert await refused(engine, "a", edit("x", 1)) == "not_found"
    result = await engine.operate("a", react("👍", 4, by=ANN), KEEP)
    assert (result.position.offset, result.duplicate) == (32, False)
    assert (await one(engine, "a", 4)).reactions == {"👍": ("ben", "ann")}
    assert (await one(engine, "a", 32)).number == 10


async def test_who_watches_later_reads_it_as_it_is(engine: Engine, listener: Listener) -> None:
    await engine.publish("a", draft("m1"), KEEP)
    await engine.operate("a", edit("new", 1), KEEP)
    engine.watch("a")
    await engine.operate("a", edit("newer", 1), KEEP)
    await until(lambda: listener.offsets("a") == [3], "the edit is announced")
    page = await engine.history("a", limit=9, ops=True)
    assert [(message.offset, message.body) for message in page.messages] == [
        (1, "newer"), (2, "newer"), (3, "newer"),
    ]  # fmt: skip
