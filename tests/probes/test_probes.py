"""Every probe of the table, through every door that understands it, on each kind of store, with
victims in the house."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sioserver.transport import connection
from sioserver.valkey import Valkey

from ..hostile import DOORS, Attacker, Door, House, configured, house, through
from ..redis_servers import ask
from .conftest import Section
from .table import AREAS, ROOM, Join, Packets, Probe

SETTINGS: dict[str, dict[str, Any]] = {
    "limits": {"max_payload": 300_000},
    "rooms": {
        "rules": [
            {"match": "private", "join": ["ann"]},
            {"match": ROOM, "relay": ["cursor"]},
        ]
    },
}


def understood(probe: Probe, door: Door) -> bool:
    return ("packets" if isinstance(probe, Packets) else "events") in door.understands


def expected(probe: Probe, door: Door) -> str:
    if isinstance(probe, Join) and probe.plain and door.name == "plain":
        return probe.plain
    return probe.outcome


async def outcome(probe: Probe, attacker: Attacker) -> str:
    """What comes of it."""
    if isinstance(probe, Join):
        return str(await attacker.join(probe.room, probe.auth))
    if not (isinstance(probe, Packets) and probe.outside):
        assert str(await attacker.join(ROOM, {"user": "mallory"})) == "joined"
    if isinstance(probe, Packets):
        await attacker.send(*probe.packets)
        return str(await attacker.judge())
    return str(await attacker.call(probe.event, *probe.args))


async def outcomes(probes: list[Probe], door: Door, place: House) -> dict[str, str]:
    """One client for each, a few at a time."""
    found: dict[str, str] = {}
    turns = asyncio.Semaphore(8)

    async def try_out(probe: Probe) -> None:
        async with turns, door.attacker(place) as attacker:
            found[probe.name] = await outcome(probe, attacker)

    await asyncio.gather(*map(try_out, probes))
    return found


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
@pytest.mark.parametrize("area", AREAS)
async def test_area(area: str, door: Door, store: Section) -> None:
    probes = [probe for probe in AREAS[area] if understood(probe, door)]
    async with house(configured(**SETTINGS, **store)) as place, place.siege():
        found = await outcomes(probes, door, place)
        assert found == {probe.name: expected(probe, door) for probe in probes}
        # each is counted: an end as an end, a refusal as a refusal
        ended = sum(word == "closed" for word in found.values())
        assert place.metrics.disconnects["parse_error"] == ended
        told = sum(word.startswith("refused") for word in found.values())
        assert sum(place.metrics.refusals.values()) >= told


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
async def test_no_name_leaves_the_prefix(door: Door, valkey: Valkey) -> None:
    ask(valkey, "FLUSHALL")
    settings = {**SETTINGS, "redis": {"url": valkey.url, "prefix": "ours"}}
    async with house(configured(**settings)) as place, place.siege():
        for area in ("names", "text"):
            await outcomes([one for one in AREAS[area] if understood(one, door)], door, place)
        keys: list[bytes] = ask(valkey, "KEYS", "*")
    assert len(keys) > 10
    assert [key for key in keys if not key.startswith(b"ours:")] == []


def test_each_probe_has_a_name_of_its_own() -> None:
    for probes in AREAS.values():
        names = [probe.name for probe in probes]
        assert len(names) == len(set(names))


@pytest.mark.parametrize("door", through("packets"))
async def test_attachments_that_never_come(door: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "ATTACHMENT_TIMEOUT", 0.05)
    async with house() as place, place.siege(), DOORS[door].attacker(place) as attacker:
        await attacker.join(ROOM)
        await attacker.send(f'452-/{ROOM},["message"]', b"the first of two")
        assert str(await attacker.silence()) == "closed"


VERBATIM = [
    "a\0b",
    "\x01\x1b[31m\x7f\x85",
    "\u2028\u2029",
    "\u202eevil\u2066",
    "<img src=x onerror=alert(1)>",
    "zalgo" + "\u0301" * 10_000,
    "👩‍👩‍👧‍👦",
    "\ufeff\u200b\u200d",
    "\ud7ff\ue000\uffff\U0010ffff",
    "\x1e",
    {"__proto__": {"admin": True}, "constructor": 1, "": None, "a\0": "\0"},
    [[], {}, None, True, -0.5, "\\ud800"],
]


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
async def test_what_may_be_said_is_passed_on_as_it_is(door: Door, store: Section) -> None:
    """Escaping is for whoever shows it."""
    async with house(configured(**store)) as place, place.siege(), door.attacker(place) as attacker:
        await attacker.join(ROOM)
        heard: list[Any] = []
        for body in VERBATIM:
            verdict = await attacker.call("message", body)
            assert str(verdict) == "ok"
            heard += verdict.events
        heard += (await attacker.judge()).events
        said = [event[1]["body"] for event in heard if event[0] == "message"]
        assert said == VERBATIM
        page = (await attacker.call("history")).answers[0]
        assert [item["body"] for item in page["items"]] == VERBATIM


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
async def test_nobody_becomes_a_member_but_by_joining(door: Door, store: Section) -> None:
    async with house(configured(**store)) as place, place.siege(), door.attacker(place) as attacker:
        await attacker.join(ROOM, {"user": "mallory"})
        for number in range(9):
            assert str(await attacker.call("message", f"@ghost-{number}")) == "ok"
            refused = await attacker.call("message", "x", {"to": f"ghost-{number}"})
            assert str(refused) == "refused bad_request"
        answer = (await attacker.call("members", {"all": True})).answers[0]
        assert [one["user"] for one in answer["members"]] == ["mallory"]
