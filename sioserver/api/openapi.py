"""The HTTP API described for machines (OpenAPI 3.1): the table of routes, and what its words mean.

Pure but for the route that hands it out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, get_args

from aiohttp import web

from sioserver._version import __version__
from sioserver.api.answers import BINARY, answer
from sioserver.api.table import Route
from sioserver.errors import REFUSALS
from sioserver.model import State
from sioserver.wire.moderation import MAX_REASON, MAX_TOPIC

PATH: Final = "/api/openapi.json"

Schema = Mapping[str, Any]


def _object(properties: Mapping[str, Schema], *optional: str) -> Schema:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": dict(properties), "required": required}


def _ok(properties: Mapping[str, Schema], *optional: str) -> Schema:
    return _object({"ok": {"const": True}, **properties}, *optional)


def _closed(properties: Mapping[str, Schema], *optional: str) -> Schema:
    return {**_object(properties, *optional), "additionalProperties": False}


def _list(item: Schema) -> Schema:
    return {"type": "array", "items": item}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


TEXT: Final[Schema] = {"type": "string"}
BOOL: Final[Schema] = {"type": "boolean"}
SECONDS: Final[Schema] = {"type": "number", "description": "Seconds since 1970."}
MILLISECONDS: Final[Schema] = {"type": "integer", "description": "Milliseconds since 1970."}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
OFFSET: Final[Schema] = {"type": "integer", "minimum": 1, "maximum": 2**53 - 1}
USER: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": 128}
ID: Final[Schema] = {"type": "string", "pattern": "^[!-~]{1,128}$"}
REASON: Final[Schema] = {"type": "string", "maxLength": MAX_REASON}
NEVER: Final[Schema] = {"type": ["integer", "null"], "description": "Milliseconds; null: never."}
SANCTION: Final[Mapping[str, Schema]] = {
    "user": USER,
    "until": NEVER,
    "by": TEXT,
    "reason": TEXT,
    "at": MILLISECONDS,
    "address": BOOL,
}
BODY: Final[Schema] = {
    "description": f'Any JSON. Bytes in it are told as {{"{BINARY}": "..."}}.',
}

SCHEMAS: Final[Mapping[str, Schema]] = {
    "Refused": _object(
        {
            "ok": {"const": False},
            "error": _object(
                {
                    "code": {"type": "string", "enum": list(REFUSALS)},
                    "message": TEXT,
                    "temporary": BOOL,
                    "retry_after": {"type": "number", "description": "Seconds."},
                },
                "retry_after",
            ),
        }
    ),
    "Done": _ok({}),
    "Person": _object(
        {"user": USER, "name": TEXT, "state": {"enum": [*get_args(State), "offline"]}}
    ),
    "Room": _ok(
        {"room": TEXT, "online": COUNT, "total": COUNT, "permissions": _list(TEXT)},
    ),
    "Members": _ok(
        {
            "online": _list(_ref("Person")),
            "total": COUNT,
            "members": _list(_ref("Person")),
        },
        "members",
    ),
    "Message": _object(
        {
            "id": TEXT,
            "offset": OFFSET,
            "user": USER,
            "name": TEXT,
            "body": BODY,
            "at": MILLISECONDS,
        }
    ),
    "Messages": _ok({"items": _list(_ref("Message")), "more": BOOL, "position": TEXT}),
    "NewMessage": _closed(
        {
            "body": BODY,
            "id": {**ID, "description": "Makes sending it again harmless."},
            "as": {
                "description": "For operators: in whose name it is posted.",
                "oneOf": [USER, _closed({"user": USER, "name": TEXT}, "name")],
            },
        },
        *("id", "as"),
    ),
    "Posted": _ok({"id": TEXT, "offset": OFFSET, "at": MILLISECONDS}),
    "Settings": _ok({"topic": TEXT, "slow_mode": {"type": "number"}, "read_only": BOOL}),
    "NewSettings": _closed(
        {
            "topic": {"type": ["string", "null"], "maxLength": MAX_TOPIC},
            "slow_mode": {"type": ["number", "null"], "minimum": 0, "description": "Seconds."},
            "read_only": {"type": ["boolean", "null"]},
        },
        *("topic", "slow_mode", "read_only"),
    ),
    "Kick": _closed({"user": USER, "reason": REASON}, "reason"),
    "Mute": _closed({"user": USER, "seconds": COUNT, "reason": REASON}, "reason"),
    "Ban": _closed(
        {
            "user": USER,
            "seconds": {**COUNT, "description": "0, or without it: for good."},
            "reason": REASON,
            "address": {**BOOL, "description": "Also where they are connected from."},
        },
        *("seconds", "reason", "address"),
    ),
    "Sanction": _object(SANCTION),
    "Sanctioned": _ok(SANCTION),
    "Sanctions": _ok({"items": _list(_ref("Sanction")), "next": TEXT}, "next"),
    "Act": _object(
        {
            "number": COUNT,
            "what": TEXT,
            "by": TEXT,
            "at": MILLISECONDS,
            "user": USER,
            "until": NEVER,
            "reason": TEXT,
            "settings": {"type": "object"},
        },
        *("user", "until", "reason", "settings"),
    ),
    "Acts": _ok({"items": _list(_ref("Act")), "more": BOOL}),
    "Rule": _object(
        {"until": SECONDS, "before": SECONDS, "user": TEXT, "token": TEXT},
        *("before", "user", "token"),
    ),
    "Revoke": _closed(
        {"user": TEXT, "token": TEXT, "before": SECONDS, "until": SECONDS},
        *("user", "token", "before", "until"),
    ),
    "Revoked": _ok({"revocation": _ref("Rule")}),
    "Revocations": _ok({"items": _list(_ref("Rule")), "next": TEXT}, "next"),
    "Description": {"type": "object", "description": "This."},
}
"""What is sent and answered, by the names in the table of routes."""

PARAMETERS: Final[Mapping[str, Mapping[str, Any]]] = {
    "as": {"name": "as", "schema": USER, "description": "For operators: in whose name."},
    "all": {"name": "all", "schema": BOOL, "description": "The members who are away, too."},
    "id": {"name": "id", "schema": ID, "description": "Makes sending it again harmless."},
    "before": {"name": "before", "schema": COUNT, "description": "Only smaller offsets."},
    "after": {"name": "after", "schema": COUNT, "description": "Only larger offsets."},
    "limit": {"name": "limit", "schema": {"type": "integer", "minimum": 1, "maximum": 1000}},
    "after_user": {"name": "after", "schema": TEXT, "description": "`next` of the page before."},
    "before_act": {"name": "before", "schema": COUNT, "description": "Only smaller numbers."},
    "after_rule": {"name": "after", "schema": TEXT, "description": "`next` of the page before."},
}
"""What may stand in the query, by the names in the table of routes."""

PLACES: Final[Mapping[str, Schema]] = {
    "room": {"type": "string", "description": "Percent-encoded, `/` too: team%2Fred."},
    "id": TEXT,
    "user": {"type": "string", "description": "Percent-encoded."},
}
"""What may stand in the path, where no expression says so."""

SECURITY: Final[Mapping[str, list[dict[str, list[str]]]]] = {
    "admin": [{"token": []}, {"key": []}],
    "user": [{"token": []}, {"key": []}],
    "": [],
}
"""What has to be shown, by the words in the table of routes."""

_PART: Final = re.compile(r"\{(\w+)(?::([^{}]*))?\}")


def route(routes: Iterable[Route], reachable: Callable[[], bool]) -> Route:
    """The line of the table by which it is handed out, with itself in it."""

    async def describe(request: web.Request) -> web.Response:
        if not reachable():
            raise web.HTTPNotFound
        return answer(description)

    summary = "This description"
    own = Route("describe", "GET", PATH, summary, describe, "Description", shared=True)
    description = document([*routes, own])
    return own


def document(routes: Iterable[Route]) -> dict[str, Any]:
    """The description of these routes."""
    paths: dict[str, dict[str, Any]] = {}
    for one in routes:
        path = _PART.sub(r"{\1}", one.path)
        paths.setdefault(path, {})[one.method.lower()] = _operation(one)
    return {
        "openapi": "3.1.0",
        "info": {"title": "sioserver", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": dict(SCHEMAS),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }


def _operation(one: Route) -> dict[str, Any]:
    parameters: list[dict[str, Any]] = []
    for name, allowed in _PART.findall(one.path):
        schema = PLACES.get(name, {"type": "string", "enum": allowed.split("|")})
        parameters.append({"name": name, "in": "path", "required": True, "schema": schema})
    parameters += [{"in": "query", **PARAMETERS[name]} for name in one.query]
    operation: dict[str, Any] = {
        "operationId": one.name,
        "summary": one.summary,
        "security": SECURITY[one.needs],
        "parameters": parameters,
        "responses": {
            str(one.status): {"description": "Done.", "content": _json(one.answer)},
            "default": {"description": "Refused.", "content": _json("Refused")},
        },
    }
    if one.body:
        content: dict[str, Any] = _json(one.body)
        if one.binary:
            content["application/octet-stream"] = {}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _json(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": _ref(name)}}
