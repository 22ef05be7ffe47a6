"""What the acks say: values in, objects of builtins out.

It knows neither how a packet is made of them nor what else the client is told.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from sioserver.errors import Refusal
from sioserver.model import Counts, Mention, Message, Page, Published, State, User
from sioserver.wire.bodies import body_size, count_binaries
from sioserver.wire.operations import operation_item
from sioserver.wire.requests import HistoryRequest


def person(user: User) -> dict[str, str]:
    """A user as others see them."""
    return {"user": user.id, "name": user.name}


def message_payload(message: Message, reader: str | None = None) -> dict[str, Any]:
    """A message as clients get it, live, recovered or in a page of history; `reader` is the id of
    the user who gets it, where it is for one alone."""
    payload = {
        "id": message.id,
        "offset": message.offset,
        "user": message.user,
        "name": message.name,
        "body": message.body,
        "at": message.at,
    }
    if message.reply_to is not None:
        payload["reply_to"] = message.reply_to
    if message.mentions:
        payload["mentions"] = list(message.mentions)
    if message.edited:
        payload["edited"] = message.edited
    if message.deleted:
        payload["deleted"] = message.deleted
    if message.reactions:
        payload["reactions"] = {emoji: len(who) for emoji, who in message.reactions.items()}
        mine = [emoji for emoji, who in message.reactions.items() if reader in who]
        if mine:
            payload["mine"] = mine
    return payload


def entry_size(entry: Message) -> int:
    """About how many bytes an entry is told with, beside the little that each one has."""
    size = body_size(entry.body)
    if entry.mentions:
        size += sum(len(user.encode()) + 3 for user in entry.mentions)
    if entry.reactions:
        # with its number, and a second time where it is the reader's own
        size += sum(2 * len(emoji.encode()) + 10 for emoji in entry.reactions)
    return size


def published_answer(published: Published) -> dict[str, Any]:
    """The ack of `message`."""
    return {
        "ok": True,
        "id": published.id,
        "offset": published.position.offset,
        "at": published.at,
    }


def cut_page(page: Page, request: HistoryRequest, most_binaries: int, most_bytes: int) -> Page:
    """As much of a page as one answer carries: at most so many binaries and bytes of bodies, but a
    message at least.

    What is cut off lies in the direction of reading: who reads on gets it with the next page.
    """
    messages = page.messages
    ordered = messages if request.after is not None else messages[::-1]
    kept = fitting(ordered, most_binaries, most_bytes)
    if kept == len(messages):
        return page
    if request.after is not None:
        return replace(page, messages=messages[:kept], end=messages[kept - 1].offset + 1)
    messages = messages[-kept:]
    return replace(page, messages=messages, start=messages[0].offset)


def fitting(messages: Sequence[Message], most_binaries: int, most_bytes: int) -> int:
    """How many of the messages fit into one answer; if there is any, one at least."""
    kept = binaries = size = 0
    for message in messages:
        size += entry_size(message)
        if kept and size > most_bytes:
            break
        binaries += count_binaries(message.body)
        if kept and binaries > most_binaries:
            break
        kept += 1
    return kept


def history_answer(page: Page, request: HistoryRequest, reader: str) -> dict[str, Any]:
    """The ack of `history`, for the user of this id. `more`: the log goes on in the direction in
    which it was read, and `next` is what to give as `after` or `before` to read on."""
    items = [message_payload(one, reader) for one in page.messages if one.kind == "message"]
    answer = {"ok": True, "items": items, "more": False, "position": str(page.top)}
    if request.operations:
        answer["operations"] = [
            operation_item(one) for one in page.messages if one.kind != "message"
        ]
    if request.after is not None:
        end = page.top.offset + 1
        if page.end < (end if request.before is None else min(end, request.before)):
            answer |= {"more": True, "next": page.end - 1}
    elif page.start > page.first:
        answer |= {"more": True, "next": page.start}
    return answer


def members_answer(
    online: Iterable[User],
    counts: Counts,
    members: Iterable[User] | None,
    states: Mapping[str, State],
    seen: Mapping[str, int],
) -> dict[str, Any]:
    """The ack of `members`. `states`: of those who are in the room; `seen`: when others were, in
    milliseconds. Who came between two looks is online."""
    answer: dict[str, Any] = {
        "ok": True,
        "online": [{**person(user), "state": states.get(user.id, "online")} for user in online],
        "total": counts.total,
    }
    if members is not None:
        answer["members"] = [_member(user, states, seen) for user in members]
    return answer


def _member(user: User, states: Mapping[str, State], seen: Mapping[str, int]) -> dict[str, Any]:
    state = states.get(user.id)
    if state is not None:
        return {**person(user), "state": state}
    at = {"seen": seen[user.id]} if user.id in seen else {}
    return {**person(user), "state": "offline", **at}


def mention_payload(mention: Mention) -> dict[str, Any]:
    """A mention, told or listed. What the message says is in the room."""
    return {
        "number": mention.number,
        "room": mention.room,
        "id": mention.id,
        "offset": mention.offset,
        "user": mention.user,
        "name": mention.name,
        "at": mention.at,
    }


def mentions_answer(mentions: Iterable[Mention]) -> dict[str, Any]:
    """The ack of `mentions`."""
    return {"ok": True, "mentions": [mention_payload(mention) for mention in mentions]}


def refusal_body(refusal: Refusal) -> dict[str, Any]:
    """`{code, message, temporary, retry_after?}`; `retry_after` in seconds."""
    body: dict[str, Any] = {
        "code": refusal.code,
        "message": refusal.message,
        "temporary": refusal.temporary,
    }
    if refusal.retry_after is not None:
        # rounded up: who comes back exactly then must not be too early
        body["retry_after"] = math.ceil(refusal.retry_after * 1000) / 1000
    return body


def refusal_answer(refusal: Refusal) -> dict[str, Any]:
    """The ack of a request that was refused."""
    return {"ok": False, "error": refusal_body(refusal)}
