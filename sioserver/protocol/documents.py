"""JSON Schemas of the shapes, as the documents that are made of them want them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from sioserver.protocol import shapes
from sioserver.protocol.registry import CLIENT_EVENTS, SERVER_EVENTS, ClientEvent

Schema = dict[str, Any]


def kinds() -> list[Any]:
    """Every type that is in the tables, each once, in their order."""
    found: dict[str, Any] = {}
    for kind in _all_kinds():
        found.setdefault(repr(kind), kind)
    return list(found.values())


def _all_kinds() -> Iterator[Any]:
    for asked in CLIENT_EVENTS.values():
        yield from asked.arguments
        yield asked.answer
    yield shapes.Refused
    for told in SERVER_EVENTS.values():
        yield told.payload
    yield shapes.Position


def schemas(template: str) -> tuple[dict[str, Schema], dict[str, Schema]]:
    """Of every type, by its `repr`; and of the named ones, by name, to which the others refer with
    `template`, such as "#/components/schemas/{name}"."""
    types = kinds()
    found, components = msgspec.json.schema_components(types, ref_template=template)
    return {repr(kind): schema for kind, schema in zip(types, found, strict=True)}, components


def arguments(event: ClientEvent, by_kind: dict[str, Schema]) -> Schema:
    """Of the arguments of an event, as a list."""
    return {
        "type": "array",
        "prefixItems": [by_kind[repr(kind)] for kind in event.arguments],
        "minItems": event.least,
        "maxItems": len(event.arguments),
    }
