"""The protocol as an AsyncAPI 3.0 document, for programs and generators.

https://www.asyncapi.com/docs/reference/specification/v3.0.0
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from sioserver.protocol import shapes
from sioserver.protocol.documents import Schema, arguments, schemas
from sioserver.protocol.registry import (
    CLIENT_EVENTS,
    SERVER_EVENTS,
    ClientEvent,
    Place,
    ServerEvent,
)

_SCHEMA: Final = "#/components/schemas/{name}"
_PLACES: Final = {
    Place.ROOM: (
        "/{room}",
        "A room: the Socket.IO namespace of its name (`/` is the room `rooms.root`).",
    ),
    Place.SESSION: ("/@me", "The session: who am I, and what concerns me in all my rooms."),
}


def document() -> dict[str, Any]:
    """The document, of builtins."""
    by_kind, components = schemas(_SCHEMA)
    messages: dict[str, Any] = {}
    channels: dict[str, Any] = {
        place.value: {
            "address": address,
            "description": description,
            "messages": {},
            **(
                {"parameters": {"room": {"description": "1 to 128 characters, see protocol.md."}}}
                if "{" in address
                else {}
            ),
        }
        for place, (address, description) in _PLACES.items()
    }
    operations: dict[str, Any] = {}

    def add(place: Place, name: str, message: dict[str, Any]) -> dict[str, str]:
        messages[name] = message
        channels[place]["messages"][name] = {"$ref": f"#/components/messages/{name}"}
        return {"$ref": f"#/channels/{place}/messages/{name}"}

    for (place, event), asked in CLIENT_EVENTS.items():
        name = f"{place}.client.{event}"
        operations[name] = {
            "action": "receive",
            "summary": asked.summary,
            "channel": {"$ref": f"#/channels/{place}"},
            "messages": [add(place, name, _asked(event, asked, by_kind))],
            "reply": {
                "channel": {"$ref": f"#/channels/{place}"},
                "messages": [
                    add(place, f"{name}.answer", _answer(event, asked, by_kind)),
                ],
            },
        }
    for (place, event), told in SERVER_EVENTS.items():
        name = f"{place}.server.{event}"
        operations[name] = {
            "action": "send",
            "summary": told.summary,
            "channel": {"$ref": f"#/channels/{place}"},
            "messages": [add(place, name, _told(event, told, by_kind))],
        }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "sioserver",
            "version": "1",
            "description": (
                "Rooms over Socket.IO. The payload of a message is the list of the arguments of "
                "the event of that name; an answer is the ack. docs/protocol.md says it in words."
            ),
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": components},
    }


def text() -> str:
    """The document, as its file has it."""
    return orjson.dumps(document(), option=orjson.OPT_INDENT_2).decode() + "\n"


def _asked(event: str, asked: ClientEvent, by_kind: dict[str, Schema]) -> dict[str, Any]:
    return {"name": event, "summary": asked.summary, "payload": arguments(asked, by_kind)}


def _answer(event: str, asked: ClientEvent, by_kind: dict[str, Schema]) -> dict[str, Any]:
    done, refused = by_kind[repr(asked.answer)], {"$ref": _SCHEMA.format(name="Refused")}
    return {"name": f"{event} (ack)", "payload": {"oneOf": [done, refused]}}


def _told(event: str, told: ServerEvent, by_kind: dict[str, Schema]) -> dict[str, Any]:
    items = [by_kind[repr(told.payload)]]
    if told.durable:
        items.append(by_kind[repr(shapes.Position)])
    return {
        "name": event,
        "summary": told.summary,
        "payload": {
            "type": "array",
            "prefixItems": items,
            "minItems": len(items),
            "maxItems": len(items),
        },
    }
