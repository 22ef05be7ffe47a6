"""The body of a request to the API, as bytes: how large it may be, and what a browser may not send
by itself.

What is in it is for whoever asked for it to understand.
"""

from __future__ import annotations

from aiohttp import web

from sioserver.errors import Refusal

JSON = "application/json"


async def read(request: web.Request, most: int, *kinds: str) -> bytearray:
    """All of it, unpacked, and no more than `most` bytes. `kinds`: the media types that it may be
    of, by default JSON. None of them is one that a page of another site can send without being
    asked for its origin first.

    Raises `Refusal("bad_request" | "too_large")`, and `web.HTTPRequestTimeout` where it does not
    come in time.
    """
    kinds = kinds or (JSON,)
    if request.content_type not in kinds:
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


def _too_large(most: int) -> Refusal:
    return Refusal("too_large", f"at most {most} bytes are read")
