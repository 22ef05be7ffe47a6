"""The protocol as TypeScript types, for the page and whoever likes to copy them.

Made of the same JSON Schemas as the AsyncAPI document; of those only what the shapes use is known
here, and anything else raises an error rather than become `any`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson

from sioserver.protocol.documents import Schema, schemas
from sioserver.protocol.registry import (
    CLIENT_EVENTS,
    SERVER_EVENTS,
    ClientEvent,
    Place,
    ServerEvent,
)

_REF: Final = "#/"
_WORDS: Final = {
    "string": "string",
    "integer": "number",
    "number": "number",
    "boolean": "boolean",
    "null": "null",
}
_HEAD: Final = """\
/**
 * What is on the wire, as the server's registry of events has it. Generated; tests/test_docs.py
 * says when it is stale, and how it is made anew.
 */
"""


def text() -> str:
    """The module, as its file has it."""
    by_kind, components = schemas(_REF + "{name}")
    parts = [_HEAD]
    parts += [_interface(name, schema) for name, schema in components.items()]
    for place in Place:
        name = place.capitalize()
        asked = {event: row for (where, event), row in CLIENT_EVENTS.items() if where == place}
        told = {event: row for (where, event), row in SERVER_EVENTS.items() if where == place}
        parts.append(_requests(f"{name}Requests", asked, by_kind))
        parts.append(_events(f"{name}Events", told, by_kind))
    return "\n".join(parts)


def _interface(name: str, schema: Schema) -> str:
    required = set(schema.get("required", ()))
    lines = [_comment(schema.get("description", "")), f"export interface {name} {{"]
    for field, inner in schema["properties"].items():
        description = inner.get("description", "")
        if description:
            lines.append(_comment(description, "  "))
        mark = "" if field in required else "?"
        lines.append(f"  readonly {field}{mark}: {_type(inner)};")
    return "\n".join([*lines, "}\n"])


def _requests(name: str, rows: Mapping[str, ClientEvent], by_kind: Mapping[str, Schema]) -> str:
    lines = [
        "/** What may be asked for: the arguments, and the answer to what was not refused. */",
        f"export interface {name} {{",
    ]
    for event, row in rows.items():
        arguments = [
            _type(by_kind[repr(kind)]) + ("" if number < row.least else "?")
            for number, kind in enumerate(row.arguments)
        ]
        answer = _type(by_kind[repr(row.answer)])
        lines.append(_comment(row.summary, "  "))
        lines.append(f"  {event}: {{ arguments: [{', '.join(arguments)}]; answer: {answer} }};")
    return "\n".join([*lines, "}\n"])


def _events(name: str, rows: Mapping[str, ServerEvent], by_kind: Mapping[str, Schema]) -> str:
    lines = ["/** What the server tells. */", f"export interface {name} {{"]
    for event, row in rows.items():
        arguments = [_type(by_kind[repr(row.payload)]), *(["string"] if row.durable else [])]
        lines.append(_comment(row.summary, "  "))
        lines.append(f"  {event}: [{', '.join(arguments)}];")
    return "\n".join([*lines, "}\n"])


def _comment(words: str, indent: str = "") -> str:
    return f"{indent}/** {' '.join(words.split())} */"


def _type(schema: Schema) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).removeprefix(_REF)
    if "anyOf" in schema:
        return _union(_type(one) for one in schema["anyOf"])
    if "enum" in schema:
        return _union(orjson.dumps(value).decode() for value in schema["enum"])
    kind: Any = schema.get("type")
    if kind is None and schema.keys() <= {"description", "title"}:
        return "unknown"
    if kind == "array":
        inner = _type(schema["items"])
        return f"readonly ({inner})[]" if " " in inner else f"readonly {inner}[]"
    if kind == "object" and "additionalProperties" in schema and "properties" not in schema:
        return f"Readonly<Record<string, {_type(schema['additionalProperties'])}>>"
    return _WORDS[kind]


def _union(types: Iterable[str]) -> str:
    return " | ".join(dict.fromkeys(types))
