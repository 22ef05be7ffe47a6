"""What is looked for, and what is found: searching a room's history, and the directory of rooms.

Arguments in, values out; values in, objects of builtins out. How something matches is not known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from sioserver.errors import Refusal
from sioserver.matching import Query, parse_query
from sioserver.model import Counts
from sioserver.wire.arguments import one_object, options, whole
from sioserver.wire.names import MAX_ROOM_NAME

LISTED: Final = 100
"""Most rooms on a page of the directory."""


class DirectoryRequest(msgspec.Struct, frozen=True):
    """A page of the directory."""

    query: Query | None
    after: tuple[int, str] | None
    """The place of the last room of the page before: users online, and its name."""
    limit: int


def parse_directory(args: Sequence[Any]) -> DirectoryRequest:
    """`directory` [{query?, after?, limit?}]."""
    given = options(one_object(args, "directory"), "directory", {"query", "after", "limit"})
    query, after = given.get("query"), given.get("after")
    return DirectoryRequest(
        None if query is None else _query(query),
        None if after is None else _place(after),
        whole(given.get("limit", 50), "limit", 1, LISTED),
    )


def directory_answer(
    rooms: Iterable[tuple[str, str, Counts | None]], after: tuple[int, str] | None
) -> dict[str, Any]:
    """The ack of `directory`: names, topics and counts (None: the room does not tell). `after`: the
    place behind which it goes on; None: nowhere."""
    items: list[Mapping[str, Any]] = []
    for room, topic, counts in rooms:
        item: dict[str, Any] = {"room": room, "topic": topic}
        if counts is not None:
            item |= {"online": counts.online, "total": counts.total}
        items.append(item)
    answer: dict[str, Any] = {"ok": True, "rooms": items}
    if after is not None:
        answer["next"] = f"{after[0]} {after[1]}"
    return answer


def _query(value: Any) -> Query:
    if not isinstance(value, str):
        raise Refusal("bad_request", "query is a text")
    try:
        return parse_query(value)
    except ValueError as error:
        raise Refusal("bad_request", str(error)) from None


def _place(value: Any) -> tuple[int, str]:
    if isinstance(value, str) and len(value) <= MAX_ROOM_NAME + 11:
        online, space, room = value.partition(" ")
        if space and online.isascii() and online.isdigit() and len(online) <= 10:
            return int(online), room
    raise Refusal("bad_request", "after is `next` of the page before")
