"""What plain clients have in common: counts, one encoding for many, who was there before."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sioserver.errors import Refusal
from sioserver.gateway.frames import Frames
from sioserver.model import Counts, Event

from .kit import Place, configured, place, until


@pytest.fixture
async def here() -> Any:
    async with place() as found:
        yield found


async def test_an_event_is_encoded_once_for_each_dialect(
    here: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    natives = [await here.native(user=f"n{number}") for number in range(3)]
    plains = [await here.open() for _ in range(3)]
    for number, plain in enumerate(plains):
        await plain.login(f"p{number}", "den", f"p{number}")
    made: list[str] = []
    for talk in {connection.talk for connection in here.door.connections}:
        encode = talk.encode

        def counting(event: Event, *rest: Any, encode: Any = encode) -> Frames:
            made.append(event.name)
            return encode(event, *rest)

        monkeypatch.setattr(talk, "encode", counting)
    await natives[0].ask("message", "hi")
    for native in natives[1:]:
        await native.hear_until("message")
    for plain in plains:
        await plain.hear_until("message")
    assert made.count("message") == 2


async def test_the_counts_are_those_that_the_room_was_told_last(here: Place) -> None:
    rooms = here.door._rooms
    assert rooms.counts("den") == Counts(0, 0)
    one, two = await here.native(user="one"), await here.native(user="two")
    assert rooms.counts("den") == Counts(2, 2)
    await one.close()
    await until(lambda: rooms.counts("den") == Counts(1, 2))
    await two.close()
    await until(lambda: rooms.counts("den") == Counts(0, 0))
    assert rooms._clients == rooms._counts == rooms._came == {}


async def test_who_goes_while_it_is_let_in_leaves_nothing(here: Place) -> None:
    engine = here.rooms._engine
    join, waiting, go_on = engine.join, asyncio.Event(), asyncio.Event()

    async def slowly(*args: Any) -> Any:
        waiting.set()
        await go_on.wait()
        return await join(*args)

    engine.join = slowly
    client = await here.open("sioserver.v1")
    await client.say(["join", {"room": "den"}, 1])
    await waiting.wait()
    await client.cut()
    await until(lambda: not here.door.connections)
    go_on.set()
    await until(lambda: len(here.rooms._hub) == 0)
    assert here.metrics.clients == 0
    assert here.door._rooms._clients == {}


async def test_a_store_that_cannot_be_written_is_a_refusal(here: Place) -> None:
    ann = await here.native(user="ann")

    async def broken(*_: Any) -> Any:
        raise Refusal("unavailable")

    here.rooms._engine.publish = broken
    assert (await ann.ask("message", "hi"))["error"]["code"] == "unavailable"
    here.rooms._engine.join = broken
    ben = await here.open("sioserver.v1")
    answer = await ben.ask("join", {"room": "den"})
    assert answer["error"]["code"] == "unavailable"
    assert answer["error"]["temporary"]


async def test_what_goes_wrong_here_is_told_and_logged(
    here: Place, caplog: pytest.LogCaptureFixture
) -> None:
    ann, plain = await here.native(user="ann"), await here.open()
    await plain.login("Plain", "den")

    async def broken(*_: Any) -> Any:
        raise RuntimeError("a fault")

    here.rooms._engine.publish = broken
    assert (await ann.ask("message", "hi"))["error"]["code"] == "internal"
    await plain.say({"name": "Plain", "message": "hi"})
    assert (await plain.hear_until("error"))["code"] == "internal"
    assert caplog.text.count("RuntimeError: a fault") == 2


async def test_guessed_tokens_are_slowed_down() -> None:
    auth = {"secret": "a secret of the tests, longer than 32 bytes"}
    limits = {"auth_failure_burst": 2, "auth_failure_rate": 0.01}
    trusted = {"trusted_proxies": ["127.0.0.1"]}
    async with place(configured(auth=auth, limits=limits, server=trusted)) as here:
        client = await here.open("sioserver.v1", headers={"X-Forwarded-For": "192.0.2.7"})
        codes = []
        for _ in range(3):
            answer = await client.ask("join", {"room": "den", "token": "made.up.token"})
            codes.append(answer["error"]["code"])
        assert codes == ["unauthorized", "unauthorized", "rate_limited"]
