"""The HTTP API described for machines (OpenAPI 3.1), made of the table of routes.

Pure but for the route that hands it out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec
from aiohttp import web

from sioserver._version import __version__
from sioserver.api.answers import BINARY, answer
from sioserver.api.table import Route
from sioserver.protocol import shapes

PATH: Final = "/api/openapi.json"
REFERENCE: Final = "#/components/schemas/{name}"

Schema = Mapping[str, Any]

TEXT: Final[Schema] = {"type": "string"}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
USER: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": 128}
ID: Final[Schema] = {"type": "string", "pattern": "^[!-~]{1,128}$"}

PARAMETERS: Final[Mapping[str, Mapping[str, Any]]] = {
    "as": {"name": "as", "schema": USER, "description": "For operators: in whose name."},
    "all": {
        "name": "all",
        "schema": {"type": "boolean"},
        "description": "The members who are away, too.",
    },
    "id": {"name": "id", "schema": ID, "description": "Makes sending it again harmless."},
    "before": {"name": "before", "schema": COUNT, "description": "Only smaller offsets."},
    "after": {"name": "after", "schema": COUNT, "description": "Only larger offsets."},
    "limit": {"name": "limit", "schema": {"type": "integer", "minimum": 1, "maximum": 1000}},
    "after_user": {"name": "after", "schema": TEXT, "description": "`next` of the page before."},
    "query": {
        "name": "query",
        "schema": {"type": "string", "maxLength": 200},
        "description": 'Words and "phrases", all of which have to occur.',
    },
    "after_room": {"name": "after", "schema": TEXT, "description": "`next` of the page before."},
    "before_act": {"name": "before", "schema": COUNT, "description": "Only smaller numbers."},
    "after_rule": {"name": "after", "schema": TEXT, "description": "`next` of the page before."},
}
"""What may stand in the query, by the names in the table of routes."""

PLACES: Final[Mapping[str, Schema]] = {
    "room": {"type": "string", "description": "Percent-encoded, `/` too: team%2Fred."},
    "id": TEXT,
    "offset": {"type": "integer", "minimum": 1, "maximum": 2**53 - 1},
    "emoji": {"type": "string", "description": "Percent-encoded."},
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
    own = Route("describe", "GET", PATH, summary, describe, dict[str, Any], shared=True)
    description = document([*routes, own])
    return own


def document(routes: Iterable[Route]) -> dict[str, Any]:
    """The description of these routes."""
    routes = list(routes)
    kinds = [kind for one in routes for kind in (one.answer, one.body) if kind is not None]
    kinds.append(shapes.Refused)
    found, components = msgspec.json.schema_components(kinds, ref_template=REFERENCE)
    schemas = {repr(kind): schema for kind, schema in zip(kinds, found, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for one in routes:
        path = _PART.sub(r"{\1}", one.path)
        paths.setdefault(path, {})[one.method.lower()] = _operation(one, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "sioserver",
            "version": __version__,
            "description": f'Bytes in a message are told as {{"{BINARY}": "..."}}.',
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }


def _operation(one: Route, schemas: Mapping[str, Schema]) -> dict[str, Any]:
    def in_json(kind: Any) -> dict[str, Any]:
        return {"application/json": {"schema": schemas[repr(kind)]}}

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
            str(one.status): {"description": "Done.", "content": in_json(one.answer)},
            "default": {"description": "Refused.", "content": in_json(shapes.Refused)},
        },
    }
    if one.body is not None:
        content = in_json(one.body)
        if one.binary:
            content["application/octet-stream"] = {}
        operation["requestBody"] = {"required": True, "content": content}
    return operation
