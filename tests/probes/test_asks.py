"""Every request of the table to the HTTP API, with victims in the house: each is answered as it has
to be, in the shape of all refusals, and nothing is done that was not asked for properly."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from typing import Any, NamedTuple

import jwt
import pytest

from sioserver.auth.api_keys import BYTES, make

from ..hostile import House, configured, house
from ..scenarios.test_http_probes import HEADS
from ..transport import kit
from ..transport.kit import soon
from .asks import AREAS, JSON, MAX_PAYLOAD, MESSAGES, RULES, Ask
from .conftest import Section

KEY, ENTRY = make("ops", ["admin"], b"o" * BYTES)
SECRET = "correct horse battery staple, and more"
TOKEN = jwt.encode({"sub": "mallory", "exp": time.time() + 3600}, SECRET, "HS256")
SETTINGS: dict[str, dict[str, Any]] = {
    "api": {"keys": [str(ENTRY)]},
    "auth": {"secret": SECRET, "anonymous": True},
    "limits": {"max_payload": MAX_PAYLOAD, "message_rate": 1e6, "user_event_rate": 1e6},
    "rooms": {"rules": [{"match": "private", "join": ["ann"]}]},
    "server": {"origins": ["http://listed.example"], "trusted_proxies": ["127.0.0.1"]},
}


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: Any

    def __str__(self) -> str:
        """The outcome, as the table writes it."""
        if self.body["ok"]:
            return str(self.status)
        return f"{self.status} {self.body['error']['code']}"


def as_bytes(place: House, ask: Ask) -> bytes:
    body = ask.body if isinstance(ask.body, bytes) else ask.body.encode("utf-8", "surrogatepass")
    lines = [f"Host: 127.0.0.1:{place.port}", "Connection: close", *ask.headers]
    framed = ("content-length", "transfer-encoding")
    if not any(line.lower().startswith(framed) for line in lines):
        lines.append(f"Content-Length: {len(body)}")
    head = "\r\n".join([f"{ask.method} {ask.path} HTTP/1.1", *lines, "", ""])
    return head.replace("{key}", KEY).replace("{token}", TOKEN).encode() + body


async def exchange(place: House, data: bytes) -> bytes:
    """Everything that comes back until the connection is closed."""
    reader, writer = await place.raw()
    try:
        writer.write(data)
        return await soon(reader.read())
    finally:
        writer.transport.abort()


async def answer_to(place: House, ask: Ask) -> Answer:
    reader, writer = await place.raw()
    try:
        writer.write(as_bytes(place, ask))
        status, fields, body = await soon(kit.Kept(reader, writer).answer())
    finally:
        writer.transport.abort()  # a body that was refused may still be waited for
    assert fields["content-type"] == "application/json; charset=utf-8", (ask.name, body)
    assert fields["x-content-type-options"] == "nosniff"
    assert fields["cache-control"] == "no-store"
    assert fields["server"] == "sioserver"
    return Answer(status, fields, json.loads(body))


async def revoked(place: House) -> list[str]:
    """The users about whom there are rules."""
    url, headers = f"{place.origin}{RULES}?limit=1000", {"X-API-Key": KEY}
    async with place.http.get(url, headers=headers) as answer:
        return [rule["user"] for rule in (await answer.json())["items"]]


@pytest.mark.parametrize("area", AREAS)
async def test_area(area: str, store: Section) -> None:
    asks = AREAS[area]
    async with house(configured(**SETTINGS, **store)) as place, place.siege():
        found = {ask.name: str(await answer_to(place, ask)) for ask in asks}
        assert found == {ask.name: ask.outcome for ask in asks}
        # each refusal is counted, and nothing was done but what was asked for
        refused = sum(outcome not in ("200", "201") for outcome in found.values())
        assert sum(place.metrics.refusals.values()) == refused
        done = [ask for ask in asks if ask.method == "POST" and ask.outcome in ("200", "201")]
        rules = {json.loads(ask.body)["user"] for ask in done if ask.path == RULES}
        assert set(await revoked(place)) == rules
        posted = sum(ask.path == MESSAGES for ask in done)
        assert await messages(place) == posted


async def messages(place: House) -> int:
    """How many there are in the attackers' room."""
    url, headers = f"{place.origin}{MESSAGES}?limit=1", {"X-API-Key": KEY}
    async with place.http.get(url, headers=headers) as answer:
        items = (await answer.json())["items"]
        return items[-1]["offset"] if items else 0


def test_each_ask_has_a_name_of_its_own() -> None:
    for asks in AREAS.values():
        names = [ask.name for ask in asks]
        assert len(names) == len(set(names))


async def test_heads_that_parsers_could_read_differently() -> None:
    """With the operator's key in them, and each a rule to be made by the part that is smuggled."""
    body = '{"user":"smuggled"}'
    behind = as_bytes_of("POST", RULES, body)
    async with house(configured(**SETTINGS)) as place, place.siege():
        for what, (head, status) in HEADS.items():
            asked = head.replace("/socket.io/?EIO=4&transport=polling", RULES).replace(
                "Host: a\r\n", f"Host: a\r\nAuthorization: Bearer {KEY}\r\n", 1
            )
            answers = await exchange(place, asked.encode() + behind)
            assert answers.split(b" ")[1:2] == [str(status).encode()], (what, answers[:200])
            assert answers.count(b"HTTP/1.") == 1, what
        assert await revoked(place) == []


def as_bytes_of(method: str, path: str, body: str) -> bytes:
    lines = ["Host: a", *JSON, f"Authorization: Bearer {KEY}", f"Content-Length: {len(body)}"]
    return "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", body]).encode()


async def test_a_body_that_never_comes() -> None:
    async with (
        house(configured(**{**SETTINGS, "limits": {"body_timeout": 0.2}})) as place,
        place.siege(),
    ):
        ask = Ask("", '{"user":', "", headers=(*JSON, f"X-API-Key: {KEY}", "Content-Length: 20"))
        assert str(await answer_to(place, ask)) == "408 bad_request"
        assert await revoked(place) == []
        assert place.limits()["body_timeout"] == 1


async def test_a_flood_of_guesses_is_slowed_down_and_good_keys_are_not() -> None:
    limits = {"auth_failure_rate": 0.01, "auth_failure_burst": 20}
    async with house(configured(**{**SETTINGS, "limits": limits})) as place, place.siege():
        found: Counter[str] = Counter()
        for number in range(100):
            guess = f"X-API-Key: sio_{number:064x}"
            ask = Ask("", "", "", "GET", headers=(guess, "X-Forwarded-For: 203.0.113.1"))
            answer = await answer_to(place, ask)
            found[str(answer)] += 1
        assert found == {"401 unauthorized": 20, "429 rate_limited": 80}
        assert int(answer.headers["retry-after"]) > 10
        assert place.limits()["auth_failure_rate"] == 80
        good = Ask("", "", "", "GET", headers=(f"X-API-Key: {KEY}", "X-Forwarded-For: 203.0.113.1"))
        assert str(await answer_to(place, good)) == "200"


async def test_a_name_that_is_not_ours() -> None:
    settings = {**SETTINGS, "server": {"hosts": ["127.0.0.1", "test", "chat.example"]}}
    async with house(configured(**settings)) as place, place.siege():
        for host, status in (
            ("chat.example", 200),
            ("evil.example", 421),
            ("chat.example.evil", 421),
        ):
            data = f"GET {RULES} HTTP/1.1\r\nHost: {host}\r\nX-API-Key: {KEY}\r\n"
            answer = await exchange(place, f"{data}Connection: close\r\n\r\n".encode())
            assert answer.startswith(f"HTTP/1.1 {status} ".encode()), host


async def test_no_answer_names_the_versions_of_libraries() -> None:
    """Whoever gives it: the application, the lane past aiohttp, and what has read no request."""
    polling = "/socket.io/?EIO=4&transport=polling"
    asks = (
        *(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" for path in (
            "/healthz", "/readyz", "/metrics", "/", "/nothing", RULES, polling, f"{polling}&sid=x",
            "/socket.io/?EIO=3", "/socket.io/?EIO=4&transport=websocket",
        )),
        "TRACE / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nExpect: x\r\nConnection: close\r\n\r\n",
        "no HTTP\r\n\r\n",
        f"GET / HTTP/1.1\r\nX: {'x' * 40_000}",
    )  # fmt: skip
    async with house(configured(**SETTINGS)) as place:
        answers = [await exchange(place, ask.encode()) for ask in asks]
        client = await place.polling()  # its requests go past aiohttp from now on
        kept = place.kept[client.sid][0]
        _, fields, _ = await kept.ask(place.request("POST", place.url(sid=client.sid), b"3"))
        assert (fields["server"], "access-control-allow-origin" in fields) == ("sioserver", False)
        for ask, answer in zip(asks, answers, strict=True):
            head = answer.partition(b"\r\n\r\n")[0].decode()
            assert re.findall(r"^server: (.*)$", head, re.M | re.I) == ["sioserver\r"], (ask, head)
            assert not re.search("aiohttp|python", head, re.I), head
