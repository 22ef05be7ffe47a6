"""When an issuer is asked, and what holds while it does not answer."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sioserver.auth.keys import Key
from sioserver.connections import eager
from sioserver.errors import Refusal
from sioserver.keys import issuer as module
from sioserver.keys.fetch import NotFetched
from sioserver.keys.issuer import Issuer

from ..auth.kit import jwk, key_set
from ..fakes import FakeClock

URL = "https://issuer.example/keys"
ONE, TWO = key_set(jwk("p256", kid="1")), key_set(jwk("p256", kid="2"))
NEVER = 1e6


class World:
    """An issuer that answers as a test says."""

    def __init__(self, refresh: float = NEVER, cooldown: float = 0.0) -> None:
        self.answer: bytes | Exception = ONE
        self.asked = 0
        self.under_way = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.keys: list[list[str | None]] = []
        self.counted: list[str] = []
        self.clock = FakeClock()
        self.news = asyncio.Event()
        self.issuer = Issuer(
            URL,
            self._publish,
            refresh=refresh,
            cooldown=cooldown,
            fetch=self._fetch,
            clock=self.clock,
            count=self._count,
        )

    def _publish(self, keys: Sequence[Key]) -> None:
        self.keys.append([key.id for key in keys])

    def _count(self, what: str) -> None:
        self.counted.append(what)
        self.news.set()

    async def _fetch(self, url: str) -> bytes:
        assert url == URL
        assert not self.under_way, "two requests at once"
        self.asked += 1
        self.under_way += 1
        self.news.set()
        try:
            await self.gate.wait()
        finally:
            self.under_way -= 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                self.news.clear()
                await self.news.wait()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.issuer.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def temporary(error: BaseException | None) -> float:
    assert isinstance(error, Refusal)
    assert (error.code, error.temporary) == ("unavailable", True)
    assert error.retry_after is not None
    return error.retry_after


async def test_the_first_set_makes_it_ready() -> None:
    world = World()
    world.gate.clear()
    async with world.running():
        await world.until(lambda: world.asked)
        assert world.issuer.ready() == "jwks"
        assert world.issuer.fetched_at is None
        world.gate.set()
        await world.until(lambda: world.counted)
        assert world.issuer.ready() is None
        assert world.issuer.fetched_at == world.clock()
    assert (world.keys, world.counted) == ([["1"]], ["fetched"])


async def test_it_is_asked_again_and_again() -> None:
    world = World(refresh=0.001)
    async with world.running():
        await world.until(lambda: len(world.keys) >= 2)
        world.answer = TWO
        await world.until(lambda: ["2"] in world.keys)
    assert world.keys == [["1"]] * world.keys.index(["2"]) + [["2"]] * world.keys.count(["2"])


async def test_an_unknown_key_makes_it_ask_at_once() -> None:
    world = World()
    async with world.running():
        await world.until(lambda: world.keys)
        world.answer = TWO
        await world.issuer.renew()
        assert world.keys == [["1"], ["2"]]


async def test_who_asks_together_shares_a_request() -> None:
    world = World()
    async with world.running():
        await world.until(lambda: world.keys)
        world.gate.clear()
        waiting = [asyncio.create_task(world.issuer.renew()) for _ in range(100)]
        await world.until(lambda: world.asked == 2)
        late = asyncio.create_task(world.issuer.renew())  # while it is under way
        waiting[0].cancel()  # who leaves takes nobody along
        world.gate.set()
        await asyncio.gather(*waiting[1:], late)
    assert world.asked == 2


async def test_it_can_be_asked_without_a_task() -> None:
    """Events are handled in the callback that has read them."""
    world = World()
    done = asyncio.Event()

    async def handler() -> None:
        assert asyncio.current_task() is None
        await world.issuer.renew()
        done.set()

    async with world.running():
        await world.until(lambda: world.keys)
        asyncio.get_running_loop().call_soon(lambda: eager.run_trusted(handler()))
        await asyncio.wait_for(done.wait(), 10)
    assert world.asked == 2


async def test_who_comes_before_the_first_set_waits_for_it() -> None:
    world = World(cooldown=NEVER)
    early = asyncio.create_task(world.issuer.renew())  # even before the task has begun
    await asyncio.sleep(0)
    async with world.running():
        await early
        assert (world.asked, world.keys) == (1, [["1"]])


async def test_strangers_cannot_make_it_ask_for_ever() -> None:
    world = World(cooldown=1000.0)
    async with world.running():
        await world.until(lambda: world.keys)
        for _ in range(50):
            with pytest.raises(Refusal) as caught:
                await world.issuer.renew()
            assert 990 < temporary(caught.value) <= 1000
    assert world.asked == 1


@pytest.mark.parametrize(
    "answer", [NotFetched("the answer is 500"), b"<html>", b'{"keys": []}', key_set({"kty": "oct"})]
)
async def test_the_last_good_set_stays(
    answer: bytes | Exception, caplog: pytest.LogCaptureFixture
) -> None:
    world = World()
    async with world.running():
        await world.until(lambda: world.keys)
        world.clock.now += 100
        world.answer = answer
        for _ in range(3):
            with pytest.raises(Refusal) as caught:
                await world.issuer.renew()
            temporary(caught.value)
        assert world.issuer.ready() is None
        (line,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
        assert f"({URL}), those of 100 s ago stay: " in line.getMessage()  # said once
        world.answer = TWO
        caplog.set_level(logging.INFO)
        await world.until(lambda: ["2"] in world.keys)  # by itself, without cooldown at once
        assert "can be had again, after" in caplog.text
    assert world.keys[:2] == [["1"], ["2"]]


async def test_an_issuer_that_was_never_there(caplog: pytest.LogCaptureFixture) -> None:
    world = World(cooldown=NEVER)
    world.answer = NotFetched("nobody there")
    async with world.running():
        await world.until(lambda: world.counted)
        assert world.issuer.ready() == "jwks"
        assert f"cannot be had ({URL}): nobody there" in caplog.text
        with pytest.raises(Refusal):
            await world.issuer.renew()
    assert (world.keys, world.counted) == ([], ["failed"])


async def test_pauses_grow_while_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(refresh=300.0, cooldown=10.0)
    pauses: list[float] = []

    def timeout(seconds: float) -> Any:
        pauses.append(seconds)
        return asyncio.timeout_at(0)  # it has passed

    monkeypatch.setattr(module, "SPREAD", 0.0)
    monkeypatch.setattr(module.asyncio, "timeout", timeout)
    world.answer = NotFetched("nobody there")
    task = asyncio.create_task(world.issuer.run())
    while len(pauses) < 8:
        await asyncio.sleep(0)
    world.answer = ONE
    while len(pauses) < 10:
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert pauses[:7] == [10, 20, 40, 80, 160, 300, 300]
    assert pauses[9] == 300


async def test_nobody_waits_for_a_request_that_does_not_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    monkeypatch.setattr(module, "PATIENCE", 0.01)
    with pytest.raises(Refusal) as caught:
        await world.issuer.renew()  # nothing runs
    temporary(caught.value)


async def test_keys_that_are_not_used_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    world.answer = key_set(jwk("p256"), {"kty": "oct", "k": "c2VjcmV0"})
    async with world.running():
        await world.until(lambda: world.keys)
        for _ in range(3):
            await world.issuer.renew()
    lines = [line for line in caplog.messages if "is not used" in line]
    assert lines == [
        f"a key of {URL} is not used: key 2: kty is RSA, EC or OKP; secrets do not belong into a "
        "key set"
    ]
