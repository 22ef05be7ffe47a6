"""A thousand hostile inputs of a class write no more than a few lines of log at the usual level."""

from __future__ import annotations

import pytest

from .attacks import Attack, Frames, Knock, Plain, Post, Raw, Talk, Upgrade
from .campaign import Campaign, campaign
from .drive import WARM
from .grammar import UPGRADE, frame, request
from .served import LOOK

INPUTS = 1000
MOST = 4
"""Lines that a class of inputs may write: one for each cause, and there are few causes in each."""

pytestmark = pytest.mark.timeout(400)


def requests(method: str, target: str, *headers: str) -> list[Attack]:
    """So many of them, a hundred behind each other."""
    one = request(method, target, ["Host: 127.0.0.1", *headers])
    return [Raw(one * 100)] * (INPUTS // 100)


POLL = "/socket.io/?EIO=4&transport=polling"
DEEP = '42/hall,["message",' + "[" * 900

# who need not have joined the room has not: a join is what takes longest here
CLASSES: dict[str, list[Attack]] = {
    "frames": [Frames((frame(3, b""),), joined=False)] * INPUTS,
    "deep packets": [Talk("websocket", (DEEP,), joined=False)] * INPUTS,
    "bodies": [Post("polling", b"\xff\xfe")] * INPUTS,
    "refused events": [Talk("websocket", ('42/hall,1["nothing"]',) * 100)] * (INPUTS // 100),
    "tokens": [Talk("websocket", ('42/hall,1["auth",{"token":"a.b.c"}]',) * 100)] * (INPUTS // 100),
    "rooms": [Talk("websocket", ("40/{x},",), joined=False)] * INPUTS,
    "upgrades": [Upgrade((frame(1, b"nonsense"),), joined=False)] * INPUTS,
    "no HTTP": [Raw(b"\x16\x03\x01\r\n\r\n")] * INPUTS,
    "sessions": requests("GET", POLL + "&sid=nobody"),
    "origins": requests("GET", POLL, "Origin: https://evil.example"),
    "addresses": requests("GET", "/nothing"),
    "methods": requests("PUT", "/"),
    "plain frames": [Plain("native", (frame(3, b""),), joined=False)] * INPUTS,
    "plain JSON": [Plain("native", (frame(1, b"[["),), joined=False)] * INPUTS,
    "plain msgpack": [Plain("msgpack", (frame(2, b"\xc1"),), joined=False)] * INPUTS,
    "plain events": [Plain("native", (frame(1, b'["nothing"]'),) * 100)] * (INPUTS // 100),
    "plain tokens": [Plain("native", (frame(1, b'["auth",{"token":"a.b.c"},1]'),) * 100)]
    * (INPUTS // 100),
    "tutorial": [Plain("tutorial", (frame(1, b"{}"),) * 100, joined=False)] * (INPUTS // 100),
    "sub-protocols": [Knock(request("GET", "/ws", [*UPGRADE, "Sec-WebSocket-Protocol: chat"]))]
    * INPUTS,
    "expectations": [Raw(request("GET", "/", ["Host: 127.0.0.1", "Expect: tea"]))] * INPUTS,
}


def lines(ready: Campaign, since: int) -> list[str]:
    """What was written since then about anything but our own looking at it."""
    return [line for line in ready.server.output[since:] if f" {LOOK} " not in line]


async def test_no_class_of_inputs_fills_the_log() -> None:
    async with campaign() as ready:
        await ready.warm_up(WARM)
        for name, attacks in CLASSES.items():
            since = len(ready.server.output)
            told = await ready.attack(attacks, log=False)
            assert all(": []" not in line for line in told), name  # each of them was refused
            written = lines(ready, since)
            assert len(written) <= MOST, (name, written[:10])
            assert not [line for line in written if "Traceback" in line], name
            assert all(len(line) < 400 for line in written), name
