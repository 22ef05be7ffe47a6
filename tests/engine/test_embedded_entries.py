"""What becomes of drafts and operations, as their callers and everybody else are told."""

from __future__ import annotations

import msgspec
import pytest

from sioserver.engine.embedded_entries import (
    AMBIGUOUS,
    NOT_FOUND,
    NOT_THEIRS,
    TOO_MANY,
    TOO_SOON,
    Append,
    Entry,
    Operate,
)
from sioserver.model import Message, Operation

from .conftest import BEN, delete, draft, edit, react

AT = 1_700_000_000_000
HI = b"\xa2hi"


def appended(**options: object) -> Append:
    return Append("a", draft("m", **options), HI, 1000, 0.0)  # type: ignore[arg-type]


def operated(operation: Operation) -> Operate:
    job = Operate("a", operation, b"", 1000, 0.0)
    job.id, job.target, job.offset, job.number = "m", 3, 7, 5
    return job


def test_a_draft_is_announced_with_what_it_says_and_its_numbers() -> None:
    entry = appended(reply_to=2, mentions=("ben",))
    entry.offset, entry.number = 4, 3
    assert entry.announced() == Message(
        "m", 4, "ann", "Ann", "hi", AT, 3, "message", reply_to=2, mentions=("ben",)
    )


def test_a_duplicate_is_as_old_as_the_first() -> None:
    entry = appended(at=AT + 5)
    entry.at = AT
    assert entry.announced().at == AT


@pytest.mark.parametrize("operation", [edit("new", 3), delete(3), react("+1", 3, by=BEN)])
def test_an_operation_is_announced_with_the_message_it_is_about(operation: Operation) -> None:
    job = operated(operation)
    job.count = 2 if operation.kind == "reaction" else 0
    told = job.announced()
    assert (told.id, told.target, told.offset, told.number) == ("m", 3, 7, 5)
    assert (told.kind, told.user, told.at) == (operation.kind, operation.user.id, operation.at)
    assert told.body == ("new" if operation.kind == "edit" else None)
    assert (told.emoji, told.on, told.count) == (operation.emoji, operation.on, job.count)


@pytest.mark.parametrize(
    ("entry", "problem", "code", "limit"),
    [
        (appended(), TOO_SOON, "rate_limited", "slow_mode"),
        (appended(), "unavailable", "unavailable", None),
        (operated(delete(3)), NOT_FOUND, "not_found", None),
        (operated(delete(3)), AMBIGUOUS, "bad_request", None),
        (operated(delete(3)), NOT_THEIRS, "forbidden", None),
        (operated(react("+1", 3)), TOO_MANY, "too_many", "reactions"),
        (operated(delete(3)), "internal", "internal", None),
    ],
)
def test_everybody_who_waits_is_told_why_not(
    entry: Entry, problem: str, code: str, limit: str | None
) -> None:
    entry.problem = problem
    told, again = entry.refusal(), entry.refusal()
    assert told is not again
    assert (told.code, told.limit) == (again.code, again.limit) == (code, limit)


def test_who_posts_too_soon_is_told_how_long_to_wait() -> None:
    entry = appended(pause=5.0)
    entry.problem, entry.wait = TOO_SOON, 2.5
    assert entry.refusal().retry_after == 2.5


def test_an_entry_is_as_big_as_what_it_says() -> None:
    plain, special = appended(), appended(mentions=("ben", "cat"))
    assert (plain.size, plain.more) == (len(HI), None)
    assert special.more == msgspec.msgpack.encode((None, ("ben", "cat")))
    assert special.size == len(HI) + len(special.more)
