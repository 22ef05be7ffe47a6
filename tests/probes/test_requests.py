"""Engine.IO's HTTP requests as nobody decent sends them: each is answered as the reference
implementation answers it, and nobody notices."""

from __future__ import annotations

import secrets
from typing import NamedTuple

import pytest

from ..hostile import House, house


class Ask(NamedTuple):
    """A request; SID in the query is a session of the asker's own, VICTIM the victim's."""

    name: str
    method: str
    query: str
    status: int
    message: str
    body: bytes = b""
    kind: str = "text/plain"


UNKNOWN, METHOD = "Session ID unknown", "Bad handshake method"
TRANSPORT, VERSION, BAD = "Transport unknown", "Unsupported protocol version", "Bad request"

ASKS = [
    Ask("an old version", "GET", "EIO=3&transport=polling", 400, VERSION),
    Ask("no version", "GET", "transport=polling", 400, VERSION),
    Ask("no number", "GET", "EIO=abc&transport=polling", 400, VERSION),
    Ask("another version later", "GET", "EIO=3&transport=polling&sid=SID", 400, VERSION),
    Ask("no transport", "GET", "EIO=4", 400, TRANSPORT),
    Ask("a made-up transport", "GET", "EIO=4&transport=abc", 400, TRANSPORT),
    Ask("a WebSocket without an upgrade", "GET", "EIO=4&transport=websocket", 400, BAD),
    Ask("a handshake by POST", "POST", "EIO=4&transport=polling", 400, METHOD),
    *(
        Ask(f"{method} of a session", method, "EIO=4&transport=polling&sid=SID", 400, METHOD)
        for method in ("PUT", "DELETE", "PATCH")
    ),
    Ask("a guess", "GET", "EIO=4&transport=polling&sid=GUESS", 400, UNKNOWN),
    Ask("a guess to post to", "POST", "EIO=4&transport=polling&sid=GUESS", 400, UNKNOWN, b"3"),
    Ask("half a sid", "GET", "EIO=4&transport=polling&sid=HALF", 400, UNKNOWN),
    Ask("no sid", "GET", "EIO=4&transport=polling&sid=", 400, UNKNOWN),
    Ask("a sid with everything", "GET", "EIO=4&transport=polling&sid=%00%0a%ff../*", 400, UNKNOWN),
    Ask("JSONP", "GET", "EIO=4&transport=polling&j=0", 400, BAD),
    Ask("nothing", "POST", "EIO=4&transport=polling&sid=SID", 400, BAD),
    Ask("no UTF-8", "POST", "EIO=4&transport=polling&sid=SID", 400, BAD, b"4\xff\xfe"),
    Ask("a surrogate", "POST", "EIO=4&transport=polling&sid=SID", 400, BAD, b"4\xed\xa0\x80"),
    Ask("no base64", "POST", "EIO=4&transport=polling&sid=SID", 400, BAD, b"b!!!!"),
    Ask("binary", "POST", "EIO=4&transport=polling&sid=SID", 400, BAD, b"4x",
        "application/octet-stream"),
    Ask("a separator", "POST", "EIO=4&transport=polling&sid=SID", 400, BAD, b"\x1e"),
    Ask("a ping", "POST", "EIO=4&transport=polling&sid=SID", 400, BAD, b"2"),
    Ask("too much", "POST", "EIO=4&transport=polling&sid=SID", 413,
        "The body is larger than maxPayload", b"4" + b"x" * 1_000_000),
]  # fmt: skip


async def asked(place: House, ask: Ask) -> tuple[int, str]:
    sid = (await place.websocket()).sid if "SID" not in ask.query else await opened(place)
    query = (
        ask.query.replace("SID", sid)
        .replace("GUESS", f"{sid[:9]}{secrets.token_urlsafe(18)}")
        .replace("HALF", sid[: len(sid) // 2])
    )
    url = f"{place.origin}/socket.io/?{query}"
    headers = {"Content-Type": ask.kind}
    async with place.http.request(ask.method, url, data=ask.body, headers=headers) as answer:
        said = await answer.json(content_type=None)
    if sid in place.eio.sockets:
        place.eio.sockets[sid].end("the test is over", "left", flush=False)
    return answer.status, said["message"]


async def opened(place: House) -> str:
    """A polling session of an attacker, which has joined nothing."""
    status, text = await place.get()
    assert status == 200
    return text.partition('"sid":"')[2].partition('"')[0]


@pytest.mark.parametrize("ask", ASKS, ids=[ask.name for ask in ASKS])
async def test_request(ask: Ask) -> None:
    async with house() as place, place.siege():
        assert await asked(place, ask) == (ask.status, ask.message)
        # once: as a refusal, or, where it breaks a session, as the end of that
        ended = place.metrics.disconnects["parse_error"]
        assert place.metrics.request_refusals[ask.message] + ended == 1


async def test_guesses_at_sids_find_nothing_and_all_look_alike() -> None:
    async with house() as place, place.siege():
        known = place.victims[0].client.sid
        texts = set()
        for number in range(300):
            guess = (known[:-1] + chr(33 + number % 90)) if number % 2 else secrets.token_hex(12)
            if guess != known:
                url = f"{place.origin}/socket.io/"
                query = {"EIO": "4", "transport": "polling", "sid": guess}
                async with place.http.get(url, params=query) as answer:
                    texts.add((answer.status, await answer.text()))
        assert texts == {(400, '{"code":1,"message":"Session ID unknown"}')}
