"""Posting from a program, straight into the log, with a real Valkey."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from sioserver.client import Gap, Publisher, RoomClient, publisher
from sioserver.config.schema import Redis as Settings
from sioserver.engine.redis_keys import Keys
from sioserver.engine.redis_log import RedisLog
from sioserver.engine.redis_servers import Redis
from sioserver.errors import Refusal
from sioserver.model import Message
from sioserver.valkey import Valkey
from tests import redis_servers
from tests.redis_servers import ask

from .kit import Served, config


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with redis_servers.standalone(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def settings(valkey: Valkey) -> Settings:
    return redis_servers.settings(valkey)


def publishing(settings: Settings, **options: Any) -> Publisher:
    return Publisher(
        settings.url,
        prefix=settings.prefix,
        sentinels=settings.sentinels,
        service=settings.service,
        **options,
    )


async def posted(settings: Settings, room: str) -> list[Message]:
    """What a room's log holds."""
    redis = Redis(settings, name="reader", on_connected=lambda: None, on_lost=lambda reason: None)
    await redis.start()
    try:
        page = await RedisLog(redis, Keys(settings.prefix), settings).page(room, None, None, 1000)
        return page.messages
    finally:
        await redis.stop()


@asynccontextmanager
async def server(settings: Settings) -> AsyncIterator[str]:
    served = Served(config(redis=settings))
    await served.start()
    try:
        yield served.url
    finally:
        await served.stop()


BODIES: list[Any] = [
    "text",
    "",
    0,
    None,
    [1, 2.5, True, {"deep": [b"\x00\xff"]}],
    b"binary",
    {"_placeholder": False},
]


async def test_clients_get_it_as_any_message(settings: Settings) -> None:
    async with server(settings) as url, publishing(settings) as outside:
        async with RoomClient(url, room="news", user="ann") as ann:
            sent = await ann.send("before")
            for body in BODIES:
                sent = await outside.publish("news", body, user="bot", name="The bot")
            assert sent.offset == len(BODIES) + 1
            messages = [await anext(ann) for _ in range(sent.offset)]
            assert not any(isinstance(message, Gap) for message in messages)
            first, *others = [message for message in messages if isinstance(message, Message)]
            assert first.body == "before"
            assert [message.body for message in others] == BODIES
            assert {(message.user, message.name) for message in others} == {("bot", "The bot")}
            assert (others[-1].id, others[-1].at) == (sent.id, sent.at)
            # somebody who was away gets it as well
            position = ann.position
        await outside.publish("news", "while away", user="bot")
        async with RoomClient(url, room="news", user="ann", position=position) as ann:
            message = await anext(ann)
            assert isinstance(message, Message)
            assert (message.body, message.name) == ("while away", "bot")


async def test_it_is_no_node(settings: Settings, valkey: Valkey) -> None:
    async with publishing(settings) as outside:
        await outside.publish("room", "x", user="bot")
        keys = {key.decode() for key in ask(valkey, "KEYS", f"{settings.prefix}:*")}
        room = Keys(settings.prefix).room("room")
        assert room.log in keys
        assert not any("@nodes" in key for key in keys)
    assert [message.body for message in await posted(settings, "room")] == ["x"]


async def test_an_id_makes_it_harmless_to_post_again(settings: Settings) -> None:
    async with publishing(settings) as one, publishing(settings) as two:
        first = await one.publish("room", "x", user="bot", id="job-7")
        assert await one.publish("room", "x", user="bot", id="job-7") == first
        assert await two.publish("room", "y", user="bot", id="job-7") == first
        other = await two.publish("room", "y", user="another", id="job-7")
        assert (first.id, first.offset, other.offset) == ("job-7", 1, 2)
        assert (await one.publish("room", "x", user="bot")).offset == 3
    assert [message.body for message in await posted(settings, "room")] == ["x", "y", "x"]


async def test_the_order_is_that_of_the_calls(settings: Settings) -> None:
    async with publishing(settings) as outside:
        sent = await asyncio.gather(
            *(outside.publish("room", number, user="bot") for number in range(200))
        )
    assert [one.offset for one in sent] == list(range(1, 201))
    assert [message.body for message in await posted(settings, "room")] == list(range(200))


async def test_nothing_is_deleted_unless_it_is_said(settings: Settings) -> None:
    for kept, least, most in ((None, 400, 400), (10, 10, 250)):
        room = f"room-{kept}"
        async with publishing(settings, history_length=kept) as outside:
            await asyncio.gather(*(outside.publish(room, "x", user="bot") for _ in range(400)))
        assert least <= len(await posted(settings, room)) <= most


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"room": ""}, "bad_room"),
    ({"room": "a b"}, "bad_room"),
    ({"room": "a{b}"}, "bad_room"),
    ({"room": "@me"}, "forbidden"),
    ({"user": ""}, "bad_request"),
    ({"user": "a\nb"}, "bad_request"),
    ({"user": "guest:x"}, "bad_request"),
    ({"id": ""}, "bad_request"),
    ({"id": "x" * 129}, "bad_request"),
    ({"id": "ä"}, "bad_request"),
    ({"body": "x" * 65_537}, "too_large"),
    ({"body": b"x" * 65_537}, "too_large"),
    ({"body": {"_placeholder": True, "num": 0}}, "bad_request"),
    ({"body": [{"deep": {"_placeholder": 1}}]}, "bad_request"),
    ({"body": "\ud800"}, "bad_request"),
    ({"body": 2**64}, "bad_request"),
    ({"body": float("nan")}, "bad_request"),
    ({"body": [float("inf")]}, "bad_request"),
    ({"body": {1: 2}}, "bad_request"),
    ({"body": (1, 2)}, "bad_request"),
    ({"body": {"set": {1}}}, "bad_request"),
    ({"body": 1j}, "bad_request"),
    ({"body": [b"x"] * 11}, "bad_request"),
]


@pytest.mark.parametrize(("what", "code"), REFUSED, ids=lambda value: str(value)[:40])
async def test_what_no_client_could_post_is_refused(
    settings: Settings, what: dict[str, Any], code: str
) -> None:
    async with publishing(settings) as outside:
        with pytest.raises(Refusal) as refused:
            await outside.publish(
                what.get("room", "room"),
                what.get("body", "x"),
                user=what.get("user", "bot"),
                id=what.get("id"),
            )
        assert refused.value.code == code
        assert not refused.value.temporary
    assert await posted(settings, "room") == []


async def test_what_is_nested_too_deeply_is_refused(settings: Settings) -> None:
    body: Any = "x"
    async with publishing(settings) as outside:
        for _ in range(publisher.MAX_LEVELS - 1):
            body = [body]
        await outside.publish("room", body, user="bot")
        for more in (1, 5000):
            for _ in range(more):
                body = [body]
            with pytest.raises(Refusal, match="deep"):
                await outside.publish("room", body, user="bot")
        while isinstance(body, list):  # or letting go of it would be nested too deeply
            body = body.pop()


async def test_a_name_is_cleaned(settings: Settings) -> None:
    async with publishing(settings) as outside:
        for name in ("  The\u202e bot ", "\u200b", None):
            await outside.publish("room", "x", user="bot", name=name)
    assert [message.name for message in await posted(settings, "room")] == ["The bot", "bot", "bot"]


async def test_larger_bodies_where_the_rooms_allow_them(settings: Settings) -> None:
    async with publishing(settings, max_body=100_000) as outside:
        assert (await outside.publish("room", "x" * 100_000, user="bot")).offset == 1


@pytest.mark.parametrize(
    "url", ["redis://127.0.0.1:1", "http://127.0.0.1", "redis://127.0.0.1:1?nonsense=1", "unix://"]
)
async def test_without_a_redis_nobody_enters(url: str) -> None:
    with pytest.raises(Refusal) as refused:
        async with Publisher(url, timeout=0.2):
            pytest.fail("entered")
    assert refused.value.code == "unavailable"
    assert len(str(refused.value)) > 20


async def test_only_while_it_is_entered(settings: Settings) -> None:
    outside = publishing(settings)
    before = asyncio.all_tasks()
    for _ in range(2):
        with pytest.raises(RuntimeError, match="async with"):
            await outside.publish("room", "x", user="bot")
        async with outside:
            await outside.publish("room", "x", user="bot")
        assert asyncio.all_tasks() == before
    await outside.close()


async def test_it_waits_for_a_redis_that_comes_back(tmp_path: Path) -> None:
    with redis_servers.standalone(tmp_path, fsync="always") as server:
        settings = redis_servers.settings(server)
        async with publishing(settings, timeout=0.3) as outside:
            await outside.publish("room", 1, user="bot")
            server.kill()
            waiting = asyncio.ensure_future(outside.publish("room", 2, user="bot"))
            with pytest.raises(TimeoutError):
                await outside.publish("elsewhere", "x", user="bot", timeout=1.0)
            assert not waiting.done()
            server.start()
            assert (await waiting).offset == 2
        assert [message.body for message in await posted(settings, "room")] == [1, 2]


async def test_a_cluster(tmp_path: Path) -> None:
    with redis_servers.Cluster(tmp_path) as cluster:
        settings = redis_servers.settings(cluster)
        async with publishing(settings) as outside:
            for room in map(str, range(20)):
                assert (await outside.publish(room, room, user="bot")).offset == 1
        assert [message.body for message in await posted(settings, "7")] == ["7"]


def test_a_room_client_needs_nothing_of_redis() -> None:
    script = (
        "import sys, sioserver.client\n"
        "assert sioserver.client.RoomClient\n"
        "assert not [name for name in sys.modules if name.startswith('sioserver.engine')]\n"
        "assert sioserver.client.Publisher.__module__ == 'sioserver.client.publisher'\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    with pytest.raises(AttributeError, match="Nothing"):
        _ = __import__("sioserver.client").client.Nothing
