"""The body of a request to the API, as bytes: how large it may be, and what a browser may not send
by itself.

What an object in it means is for whoever asked for it.
"""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web

from sioserver.errors import Refusal
from sioserver.wire.strict import MAX_DEPTH, StrictJSON, depth

JSON: Final = "application/json"


def kind_of(request: web.Request) -> str:
    """The media type of the body; empty where none is said, for what a browser sends without one
    is nobody's intention."""
    return request.content_type if "Content-Type" in request.headers else ""


async def read(request: web.Request, most: int, *kinds: str) -> bytearray:
    """All of it, unpacked, and no more than `most` bytes. `kinds`: the media types that it may be
    of, by default JSON. None of them is one that a page of another site can send without being
    asked for its origin first.

    Raises `Refusal("bad_request" | "too_large")`, and `web.HTTPRequestTimeout` where it does not
    come in time.
    """
    kinds = kinds or (JSON,)
    if kind_of(request) not in kinds:
        raise Refusal("bad_request", f"the Content-Type has to be {' or '.join(kinds)}")
    if (request.content_length or 0) > most:
        raise _too_large(most)
    body = bytearray()
    try:
        while chunk := await request.content.readany():
            body += chunk
            if len(body) > most:
                raise _too_large(most)
    except web.RequestPayloadError:  # no chunks, or not packed as it says
        raise Refusal("bad_request", "the body is malformed") from None
    return body


async def read_object(request: web.Request, most: int, *kinds: str) -> dict[str, Any]:
    """The body, which has to be JSON as clients may send it: one object, in UTF-8, no deeper than
    theirs and with numbers that everybody can read. `kinds`: besides JSON, what could be sent to
    this address, for who has sent something else. Raises as `read` does."""
    if kinds and kind_of(request) != JSON:
        raise Refusal("bad_request", f"the Content-Type has to be {' or '.join(kinds)}")
    body = await read(request, most)
    try:
        value = StrictJSON.loads(bytes(body))
        if depth(body.decode()) > MAX_DEPTH:
            raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels")
    except ValueError as error:
        raise Refusal("bad_request", f"the body is not understood: {error}") from None
    if not isinstance(value, dict):
        raise Refusal("bad_request", "the body is an object")
    return value


def _too_large(most: int) -> Refusal:
    return Refusal("too_large", f"at most {most} bytes are read")
