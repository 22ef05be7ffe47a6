"""What an endpoint is sent: a body of JSON, and the header that proves who sent it.

Pure. docs/webhooks.md describes the same for receivers.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Final

import msgspec

from sioserver import wire
from sioserver._version import __version__
from sioserver.engine.base_webhooks import Note
from sioserver.model import Act, Message, Position

MOST_BYTES: Final = 1_000_000
"""Of the events of one request, unless one alone has more."""

SIGNATURE: Final = "Sioserver-Signature"

_encode: Final = msgspec.json.Encoder().encode


class Event(msgspec.Struct, frozen=True):
    """An event, ready to be sent."""

    after: Position
    """The lane's mark when it has been taken."""
    at: int
    """Milliseconds since 1970."""
    body: bytes
    """JSON."""


def entry(room: str, epoch: str, told: Message) -> Event:
    """Of a message in a room's log, or an operation on one. Binary in its body is base64."""
    after = Position(epoch, told.offset)
    return Event(
        after,
        told.at,
        _encode(
            {
                "id": f"{room}@{after}",
                "type": told.kind,
                "room": room,
                "at": told.at,
                "position": str(after),
                told.kind: wire.message_event(told, epoch).payload,
            }
        ),
    )


def gap(room: str, first: int, after: Position, at: int) -> Event:
    """Of messages that the log no longer had, from `first` up to and including `after`."""
    return Event(
        after,
        at,
        _encode(
            {
                "id": f"{room}@{after}/gap",
                "type": "gap",
                "room": room,
                "at": at,
                "from": first,
                "to": after.offset,
            }
        ),
    )


def note(room: str, told: Note) -> Event:
    """Of what is in no log."""
    fields = told.data
    if told.kind == "moderation":
        fields = wire.act_details(msgspec.convert(fields, Act))
    return Event(
        Position("", told.number),
        told.at,
        _encode(
            {
                "id": f"{room}@{told.number}",
                "type": told.kind,
                "room": room,
                "at": told.at,
                "generation": told.number,
                **fields,
            }
        ),
    )


def cut(events: Sequence[Event]) -> list[Event]:
    """The first of them that fit into one request; at least one."""
    space = MOST_BYTES
    for number, event in enumerate(events):
        space -= len(event.body)
        if space < 0 and number:
            return list(events[:number])
    return list(events)


def body(webhook: str, events: Sequence[Event]) -> bytes:
    """The whole body."""
    head = b'{"webhook":' + _encode(webhook) + b',"events":['
    return head + b",".join(event.body for event in events) + b"]}"


def headers(secret: str, at: float, content: bytes) -> dict[str, str]:
    """The header fields that go with a body. `at`: seconds since 1970."""
    return {
        "Content-Type": "application/json",
        "User-Agent": f"sioserver/{__version__}",
        SIGNATURE: f"t={int(at)},v1={sign(secret, int(at), content)}",
    }


def sign(secret: str, at: int, content: bytes) -> str:
    """HMAC-SHA256 of "<seconds since 1970>.<body>", in hexadecimal digits."""
    return hmac.digest(secret.encode(), b"%d." % at + content, "sha256").hex()
