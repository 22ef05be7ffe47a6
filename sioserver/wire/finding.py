"""What is looked for, and what is found: searching a room's history, and the directory of rooms.

Arguments in, values out; values in, objects of builtins out. How something matches is not known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from sioserver.errors import Refusal
from sioserver.matching import Query, parse_query
from sioserver.model import MAX_OFFSET, Counts, Message
from sioserver.wire.answers import message_payload
from sioserver.wire.arguments import one_object, options, whole
from sioserver.wire.names import MAX_ROOM_NAME
from sioserver.wire.requests import MAX_PAGE

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


class SearchRequest(msgspec.Struct, frozen=True):
    """The newest messages with `offset < before` that say something."""

    query: Query
    before: int | None
    limit: int


def parse_search(args: Sequence[Any], largest_page: int) -> SearchRequest:
    """`search` {query, before?, limit?}."""
    given = options(one_object(args, "search"), "search", {"query", "before", "limit"})
    limit = whole(given.get("limit", min(20, largest_page)), "limit", 1, MAX_PAGE)
    before = given.get("before")
    return SearchRequest(
        _query(given.get("query")),
        None if before is None else whole(before, "before", 0, MAX_OFFSET),
        min(limit, largest_page),
    )


def search_answer(
    messages: Sequence[Message],
    kept: int,
    end: int,
    following: int | None,
    reader: str,
    *,
    complete: bool,
) -> dict[str, Any]:
    """The ack of `search`, for the user of this id: the first `kept` of what was found down to the
    offset `end`. `following`: before which offset the search goes on, where it does."""
    if kept < len(messages):
        end = following = messages[kept - 1].offset
        complete = True
    answer: dict[str, Any] = {
        "ok": True,
        "items": [message_payload(one, reader) for one in messages[:kept]],
        "complete": complete,
        "searched_to": end,
    }
    if following is not None:
        answer["next"] = following
    return answer


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
