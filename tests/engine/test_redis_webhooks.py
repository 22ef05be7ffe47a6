"""What of the marks and claims is Redis's: said once, in order, and what happens without it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from secrets import token_hex
from typing import Any

import msgspec
import pytest

from sioserver.config.schema import Webhook, Webhooks
from sioserver.engine.redis import RedisEngine
from sioserver.engine.redis_access import ReplyError
from sioserver.engine.redis_webhooks import RedisWebhooks
from sioserver.errors import Refusal
from sioserver.model import Peer
from sioserver.subscriptions import Lane

from .conftest import PATIENCE, Listener, config

ENDPOINTS = Webhooks(endpoints=[Webhook(name="crm", rooms=["a"], timeout=7.0)])
LOG = Lane("crm", "log")


class Place:
    """An engine, and the names of the scripts that its webhooks have called."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        whole = config("redis", token_hex(6), timeout=PATIENCE)
        whole = msgspec.structs.replace(whole, webhooks=ENDPOINTS)
        self.engine = RedisEngine(whole, Peer(token_hex(4)))
        assert self.engine.webhooks is not None
        self.webhooks: RedisWebhooks = self.engine.webhooks
        self.scripts: list[str] = []
        redis = self.engine._redis
        script = redis.script

        def noted(what: Any, *args: Any, **options: Any) -> Any:
            self.scripts.append(what.name)
            return script(what, *args, **options)

        monkeypatch.setattr(redis, "script", noted)


@pytest.fixture
async def place(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Place]:
    place = Place(monkeypatch)
    await place.engine.start(Listener())
    yield place
    await place.engine.stop()


async def test_it_is_said_once_for_all_who_ask_meanwhile(place: Place) -> None:
    await asyncio.gather(*(place.webhooks.expect("a") for _ in range(10)))
    await place.webhooks.expect("a")
    await place.webhooks.expect("nobody asked")
    assert place.scripts.count("hook_expect") == 1


async def test_and_again_after_a_while(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sioserver.engine.redis_webhooks.EXPECTED", -1.0)
    await place.webhooks.expect("a")
    await asyncio.sleep(0)
    await place.webhooks.expect("a")
    assert place.scripts.count("hook_expect") == 2


async def test_who_comes_while_others_are_let_go_on_waits_behind_them(place: Place) -> None:
    order: list[str] = []

    async def go(name: str) -> None:
        await place.webhooks.expect("a")
        order.append(name)

    first = [asyncio.create_task(go(f"{number}")) for number in range(3)]
    while "a" not in place.webhooks._expected:
        await asyncio.sleep(0)
    assert order == []  # they are about to
    await asyncio.gather(*first, asyncio.create_task(go("last")))
    assert order == ["0", "1", "2", "last"]
    assert not place.webhooks._asking


async def test_one_who_is_cancelled_takes_nobody_along(place: Place) -> None:
    asking = [asyncio.create_task(place.webhooks.expect("a")) for _ in range(3)]
    await asyncio.sleep(0)
    asking[0].cancel()
    results = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert results[1:] == [None, None]


async def test_what_redis_refuses_is_refused_to_all(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: Any, **__: Any) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        future.set_exception(ReplyError("OOM command not allowed"))
        return future

    monkeypatch.setattr(place.engine._redis, "script", refuses)
    found = await asyncio.gather(
        *(place.webhooks.expect("a") for _ in range(3)), return_exceptions=True
    )
    assert [type(one) for one in found] == [Refusal] * 3
    assert "a" not in place.webhooks._expected
    with pytest.raises(Refusal):
        await place.webhooks.claim(LOG, "a")


async def test_rooms_are_not_remembered_without_end(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sioserver.engine.redis_webhooks._ROOMS", 1)
    await place.webhooks.expect("a")
    while place.webhooks._asking:
        await asyncio.sleep(0)
    place.webhooks._expected["b"] = float("inf")
    place.webhooks._expected["a"] = 0.0
    await place.webhooks.expect("a")
    assert list(place.webhooks._expected) == ["a"]


async def test_the_end_of_it_lets_nobody_wait_for_ever(place: Place) -> None:
    asking = asyncio.create_task(place.webhooks.expect("a"))
    await asyncio.sleep(0)
    await place.webhooks.stop()
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(Refusal):
            await asking


def test_a_claim_lasts_as_long_as_a_request_may(place: Place, tmp_path: Path) -> None:
    assert place.webhooks._claim_of(LOG) == 7.0 + PATIENCE
    place.webhooks._lease = 100.0
    assert place.webhooks._claim_of(LOG) == 100.0
