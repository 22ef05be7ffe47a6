"""The embedded engine's operations on messages, in SQL: finding the message, checking, folding.

Like `embedded_tables`, on which it stands: called in the store's thread, inside its transactions.
It does not know who may do what; the operation says whether it has to be its author.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from sioserver.engine.base import MAX_EMOJI, SEARCHED
from sioserver.engine.embedded_entries import (
    AMBIGUOUS,
    NOT_FOUND,
    NOT_THEIRS,
    TOO_MANY,
    Operate,
)
from sioserver.engine.embedded_pages import KINDS, MESSAGE, Fold, folds
from sioserver.engine.embedded_tables import Head, Tables
from sioserver.engine.folding import reacted
from sioserver.model import NO_REACTIONS, Operation

_NOTHING: Final = b""
"""Where a body was: no encoded one is empty."""

_encode: Final = msgspec.msgpack.Encoder().encode


class _Target(NamedTuple):
    offset: int
    id: str
    user: str
    body: bytes
    folded: int | None
    """Its own offset, once something was done to it."""
    more: bytes | None


def operate(tables: Tables, job: Operate) -> None:
    """See `Log.operate`. What is wrong with it is the job's problem."""
    job.problem, job.duplicate = None, False  # it may be tried for a second time
    head = tables.head(job.room)
    target = NOT_FOUND if head is None else _find(tables, head, job)
    if head is None or isinstance(target, str):
        job.problem = str(target)
        return
    operation = job.operation
    if operation.author_only and target.user != operation.user.id:
        job.problem = NOT_THEIRS
        return
    fold = Fold(target.offset)
    if target.folded is not None:
        fold = folds(tables, head.id, [target.offset])[target.offset]
    job.id, job.target, job.at = target.id, target.offset, operation.at
    now = _done(job, target, fold)
    if isinstance(now, str):
        job.problem = now
    elif now is None:
        job.duplicate = True
        job.offset, job.number = fold.last, head.number
    else:
        _write(tables, job, target, now)


def _find(tables: Tables, head: Head, job: Operate) -> _Target | str:
    """The message, or what is wrong."""
    operation, first = job.operation, max(head.first, job.least)
    start, end = max(first, head.top - SEARCHED + 1), head.top
    if operation.offset is not None:
        if not first <= operation.offset <= head.top:
            return NOT_FOUND
        start = end = operation.offset
    rows = tables.connection.execute(
        "SELECT offset, id, user, body, target, more FROM message WHERE room = ? "
        "AND offset >= ? AND offset <= ? AND (id = ? OR ? IS NULL) AND kind = ? LIMIT 2",
        (head.id, start, end, operation.id, operation.id, MESSAGE),
    ).fetchall()
    if not rows:
        return NOT_FOUND
    return AMBIGUOUS if len(rows) > 1 else _Target(*rows[0])


def _done(job: Operate, target: _Target, fold: Fold) -> Fold | str | None:
    """What was done to the message, with this; None when that is what it was, or what is wrong."""
    operation = job.operation
    if operation.kind == "delete":
        if fold.deleted:
            return None
        return Fold(0, deleted=operation.at)
    if fold.deleted:
        return NOT_FOUND
    if operation.kind == "edit":
        if job.body == (target.body if fold.body is None else fold.body):
            return None
        return fold._replace(edited=operation.at, body=job.body)
    reactions = reacted(fold.reactions, operation.emoji, operation.user.id, on=operation.on)
    if reactions is fold.reactions:
        return None
    if operation.on and _is_too_much(fold, operation):
        return TOO_MANY
    job.count = len(reactions.get(operation.emoji, ()))
    return fold._replace(reactions=reactions)


def _is_too_much(fold: Fold, operation: Operation) -> bool:
    if sum(map(len, fold.reactions.values())) >= operation.most:
        return True
    return operation.emoji not in fold.reactions and len(fold.reactions) >= MAX_EMOJI


def _write(tables: Tables, job: Operate, target: _Target, fold: Fold) -> None:
    operation, user = job.operation, job.operation.user
    head = tables.touch(job.room)
    head.ops += 1
    head.top = job.offset = head.top + 1
    job.number = head.number
    execute = tables.connection.execute
    reaction = None
    if operation.kind == "reaction":
        reaction = _encode((operation.emoji, operation.on, job.count))
    execute(
        "INSERT INTO message (room, offset, id, user, name, at, body, ops, kind, target, more) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            head.id, job.offset, job.id, user.id, user.name, job.at, _NOTHING, head.ops,
            KINDS.index(operation.kind), job.target, reaction,
        ),
    )  # fmt: skip
    reactions = None if fold.reactions is NO_REACTIONS else _encode(fold.reactions)
    execute(
        "INSERT OR REPLACE INTO fold (room, offset, last, edited, deleted, body, reactions) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (head.id, job.target, job.offset, fold.edited, fold.deleted, fold.body, reactions),
    )
    body, more = target.body, target.more
    if operation.kind != "reaction":
        body = _NOTHING
        tables.unindex(head.id, job.target, job.target + 1)
    if fold.deleted:
        more = _without_mentions(more)
    if (body, more, target.folded) != (target.body, target.more, target.offset):
        execute(
            "UPDATE message SET body = ?, more = ?, target = offset WHERE room = ? AND offset = ?",
            (body, more, head.id, job.target),
        )
    tables.grown(head, job)


def _without_mentions(more: bytes | None) -> bytes | None:
    """What is left of it when the message is deleted."""
    reply_to = None if more is None else msgspec.msgpack.decode(more)[0]
    return None if reply_to is None else _encode((reply_to, ()))
