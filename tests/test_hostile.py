"""The kit that other tests rely on sees what it says it sees: each check is made to fail."""

from __future__ import annotations

import asyncio
import logging
import re

import pytest

from . import hostile
from .hostile import DOORS, SocketIO, house, through


@pytest.fixture(params=through("packets"))
def door(request: pytest.FixtureRequest) -> hostile.Door:
    return DOORS[request.param]


async def test_a_siege_of_nothing_is_survived() -> None:
    async with house() as place, place.siege():
        pass


async def test_each_outcome_has_its_word(door: hostile.Door) -> None:
    async with house() as place, place.siege():
        async with door.attacker(place) as attacker:
            assert isinstance(attacker, SocketIO)
            assert str(await attacker.judge()) == "ignored"
            assert str(await attacker.join("a b")) == "refused bad_room"
            assert str(await attacker.join("den")) == "joined"
            assert str(await attacker.call("message", "hi")) == "ok"
            assert str(await attacker.call("message")) == "refused bad_request"
            await attacker.send('42/den,["no such"]', '42/den,7["members"]')
            verdict = await attacker.judge()
            assert str(verdict) == "refused unknown_event"
            assert verdict.answers[0]["ok"]
            await attacker.send("42/den,[")
            assert str(await attacker.judge()) == "closed"
        async with door.attacker(place) as attacker:
            await attacker.join("den")
            assert str(await attacker.call("leave")) == "ok"
            assert str(await attacker.judge()) == "left"


async def test_a_victim_that_loses_its_connection_is_noticed() -> None:
    async with house() as place:
        with pytest.raises((ConnectionError, AssertionError)):
            async with place.siege():
                place.eio.sockets[place.victims[0].client.sid].broken("on purpose")
        place.victims.clear()


async def test_a_victim_that_misses_a_message_is_noticed() -> None:
    async with house() as place:
        with pytest.raises(AssertionError):
            async with place.siege():
                place.victims[0].offsets.append(place.victims[0].offsets[-1] + 1)


async def test_a_session_that_is_left_behind_is_noticed() -> None:
    async with house() as place:
        await DOORS["websocket"].open(place)
        async with place.siege():
            pass  # it was there before
        place.patience = 0.05
        with pytest.raises(TimeoutError):
            async with place.siege():
                await DOORS["websocket"].open(place)


async def test_a_task_that_is_left_behind_is_noticed() -> None:
    async with house() as place:
        place.patience = 0.05
        task = None
        with pytest.raises(TimeoutError):
            async with place.siege():
                task = asyncio.create_task(asyncio.Event().wait())
        assert task is not None
        task.cancel()


@pytest.mark.parametrize("how", ["exception", "error"])
async def test_a_complaint_in_the_log_is_noticed(how: str) -> None:
    async with house() as place:
        with pytest.raises(AssertionError, match=re.compile("on purpose")):
            async with place.siege():
                try:
                    raise ValueError("on purpose")
                except ValueError:
                    getattr(logging.getLogger("sioserver.rooms"), how)("on purpose")
        place.complaints.tracebacks.clear()
        place.complaints.errors.clear()


def test_doors_are_found_by_what_they_understand() -> None:
    assert through("packets") == ["polling", "websocket"]
    assert set(through("packets")) <= set(through("events")) == set(DOORS)
