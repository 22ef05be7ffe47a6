"""Too much of anything ends by itself: the flood is refused and put out, and the victims do not
notice. Each is sent as fast as the server takes it; nothing here measures time."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jwt
import pytest

from ..hostile import DOORS, Door, SocketIO, configured, house, through
from .conftest import Section

# For the victims too, who stay far below; nothing is given back within a test.
TIGHT = {"event_rate": 0.01, "refused_rate": 0.01, "refused_burst": 10}
TOO_FAST = {"event_rate", "refused_rate"}


class Flood(NamedTuple):
    """`packet(n)` again and again; `limits`: which counters tell an operator what happened."""

    name: str
    packet: Callable[[int], str]
    limits: set[str]
    count: int = 400
    burst: int = 100


FLOODS = [
    Flood("events", lambda n: f'42/den,{n}["typing",true]', TOO_FAST),
    Flood("without acks", lambda n: '42/den,["typing",true]', TOO_FAST),
    Flood("messages", lambda n: f'42/den,{n}["message","x"]', TOO_FAST),
    Flood("history", lambda n: f'42/den,{n}["history"]', TOO_FAST),
    Flood("members", lambda n: f'42/den,{n}["members",{{"all":true}}]', TOO_FAST),
    Flood("fresh tokens", lambda n: f'42/den,{n}["auth",{{"token":"x"}}]', TOO_FAST),
    Flood("nonsense", lambda n: f'42/den,{n}["nothing"]', {"refused_rate"}),
    Flood("too large", lambda n: LARGE, {"max_body", "refused_rate"}, count=50),
    Flood("pongs", lambda n: "3", TOO_FAST),
    Flood("acks", lambda n: f"43/den,{n}[]", TOO_FAST),
    Flood("rooms", lambda n: f"40/{n},", {"rooms_per_connection", "refused_rate"}, burst=10_000),
    Flood("rooms that are none", lambda n: f"40/a b{n},", {"refused_rate"}, burst=10_000),
    Flood("joining and leaving", lambda n: ("40/in,", "41/in,")[n % 2], TOO_FAST),
    Flood("late packets", lambda n: '42/left,["typing",true]', TOO_FAST),
]
LARGE = f'42/den,["message","{"x" * 70_000}"]'


@pytest.mark.parametrize("door", through("packets"))
@pytest.mark.parametrize("flood", FLOODS, ids=[flood.name for flood in FLOODS])
async def test_flood(flood: Flood, door: str, store: Section) -> None:
    settings = configured(limits={**TIGHT, "event_burst": flood.burst}, **store)
    async with house(settings) as place, place.siege():
        before = place.limits()
        async with DOORS[door].attacker(place) as attacker:
            assert isinstance(attacker, SocketIO)
            await attacker.join("left")
            await attacker.send("41/left,")
            assert str(await attacker.join("den")) == "joined"
            for start in range(0, flood.count, 50):
                await attacker.send(*map(flood.packet, range(start, start + 50)))
            assert str(await attacker.silence()) == "closed"
        assert place.metrics.disconnects["too_many_errors"] == 1
        # where the flood comes faster than it is answered, it is not read for a while
        assert {*place.counted(before, place.limits())} - {"inbox"} == flood.limits


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
async def test_a_user_with_many_connections_is_one_user(door: Door) -> None:
    settings = configured(limits={"user_event_rate": 0.01, "user_event_burst": 100})
    async with house(settings) as place, place.siege():
        refused = 0
        for _ in range(12):  # each join takes ten
            async with door.attacker(place) as attacker:
                refused += str(await attacker.join("den", {"user": "mallory"})) != "joined"
        assert refused == 2
        assert place.limits()["user_event_rate"] == 2


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
async def test_whoever_comes_back_with_bad_tokens_again_and_again(door: Door) -> None:
    """Each connection is refused once; what is worth a limit by address is not of loopback."""
    secret = "s" * 32
    token = jwt.encode({"sub": "mallory", "exp": 2_000_000_000}, "x" * 32, "HS256")
    settings = configured(auth={"secret": secret, "anonymous": True})
    async with house(settings) as place, place.siege():
        for _ in range(25):
            async with door.attacker(place) as attacker:
                assert str(await attacker.join("den", {"token": token})) == "refused unauthorized"
        assert place.metrics.refusals["unauthorized"] == 25


@pytest.mark.parametrize("packet", ["3", "6", '42/den,["typing",true]', "4x"])
async def test_a_post_with_more_packets_than_one_may_bring(packet: str) -> None:
    async with house(configured(limits={"poll_packets": 100})) as place, place.siege():
        async with DOORS["polling"].attacker(place) as attacker:
            await attacker.join("den")
            assert isinstance(attacker, SocketIO)
            status, _ = await place.post(attacker.sid, "\x1e".join([packet] * 101))
            assert status == 400
            assert str(await attacker.judge()) == "closed"
        assert place.limits()["poll_packets"] == 1
