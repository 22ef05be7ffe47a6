"""Answers in JSON, with the header fields that each has."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import Any, Final

import orjson
from aiohttp import web

from sioserver.api.headers import ANSWER

BINARY: Final = "_base64"
"""Bytes, which JSON has not, are told as an object with this member alone."""


def answer(
    value: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """The answer that says this."""
    fields = {**ANSWER, "Content-Type": "application/json; charset=utf-8", **(headers or {})}
    return web.Response(
        status=status, body=orjson.dumps(value, _binary, orjson.OPT_NON_STR_KEYS), headers=fields
    )


def _binary(value: Any) -> Any:
    if isinstance(value, (bytes, bytearray)):
        return {BINARY: b64encode(value).decode()}
    raise TypeError(f"{type(value).__name__} is not JSON")
