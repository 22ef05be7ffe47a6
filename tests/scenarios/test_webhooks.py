"""Webhooks of real servers that are killed: nothing that was acknowledged is lost, and what is told
of somebody last is true."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from sioserver.client import RoomClient
from sioserver.testing import ServerProcess
from tests import redis_servers
from tests.webhooks.kit import SECRET, Receiver, answers

PATIENCE = 90.0
"""Seconds for any one thing that has to come, however busy the machine."""

WHOLE = 300.0
"""Seconds for a whole test."""

pytestmark = pytest.mark.timeout(WHOLE + 60)


def configuration(directory: Path, receiver: Receiver) -> Path:
    """The receiver shares a busy machine, too: a timeout that is too short is a failure after which
    servers rest, twice as long each time."""
    path = directory / "config.toml"
    path.write_text(
        f"""
        [[webhooks]]
        url = "{receiver.url}"
        secret = "{SECRET}"
        timeout = 10
        batch = 7
        """
    )
    return path


def last_of(receiver: Receiver, user: str) -> str:
    """What is known of somebody by whom the highest generation counts for, as the docs say."""
    told = [event for event in receiver.events if event.get("user") == user]
    last: str = max(told, key=lambda event: event["generation"])["type"] if told else ""
    return last


async def refused(receiver: Receiver, kind: str) -> None:
    """Until the receiver, which takes nothing, was asked to take such an event. Not for longer:
    with each failure the servers rest twice as long, so what they rest afterwards is what this
    has taken, about."""

    def asked() -> bool:
        events = [event for request in receiver.requests for event in request["events"]]
        return any(event["type"] == kind for event in events)

    assert receiver.behaviour is not None
    await receiver.until(asked, PATIENCE)


def in_order(receiver: Receiver) -> list[Any]:
    """The bodies, each when it came first."""
    return list(dict.fromkeys(receiver.bodies("lobby")))


async def test_a_server_that_is_killed_while_nobody_takes_anything(tmp_path: Path) -> None:
    async with Receiver() as receiver, asyncio.timeout(WHOLE):
        settings = {"drain.seconds": 0, "presence.grace": 0.1, "presence.batch": 0.05}
        config = configuration(tmp_path, receiver)
        server = ServerProcess(tmp_path / "rooms.db", config=config, settings=settings)
        async with server:
            async with RoomClient(server.url, user="ann") as ann:
                await receiver.until(lambda: last_of(receiver, "ann") == "join", PATIENCE)
                receiver.behaviour = answers(503)
                for number in range(20):
                    await ann.send(number)
                await refused(receiver, "message")
                await server.kill()
            receiver.behaviour = None
            await server.start()
            await receiver.until(lambda: len(in_order(receiver)) == 20, PATIENCE)
            await receiver.until(lambda: last_of(receiver, "ann") == "leave", PATIENCE)
    assert in_order(receiver) == list(range(20))


async def test_a_server_that_is_killed_while_it_sends(tmp_path: Path) -> None:
    acked: list[int] = []

    async def talk(url: str) -> None:
        async with RoomClient(url, user="ann") as ann:
            for number in range(10_000):
                await ann.send(number, timeout=None)  # a busy machine starts a server slowly
                acked.append(number)

    async with Receiver() as receiver, asyncio.timeout(WHOLE):
        config = configuration(tmp_path, receiver)
        settings = {"drain.seconds": 0, "limits.enabled": False}
        server = ServerProcess(tmp_path / "rooms.db", config=config, settings=settings)
        async with server, asyncio.TaskGroup() as tasks:
            talking = tasks.create_task(talk(server.url))
            for _ in range(3):
                enough = len(receiver.events) + 60
                await receiver.until(
                    lambda enough=enough: len(receiver.events) >= enough,  # type: ignore[misc]
                    PATIENCE,
                )
                await server.kill()
                await server.start()
            talking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await talking
            last = acked[-1]
            await receiver.until(lambda: last in receiver.bodies("lobby"), PATIENCE)
    found = in_order(receiver)
    assert found[: len(acked)] == acked
    offsets = [one["message"]["offset"] for one in receiver.events if one["type"] == "message"]
    assert sorted(set(offsets)) == list(range(1, max(offsets) + 1))


async def test_two_nodes_of_which_one_dies(tmp_path: Path) -> None:
    """What the dead one was about to send, and its people's leaves, come from the other."""
    with redis_servers.standalone(tmp_path) as redis:
        async with Receiver() as receiver, asyncio.timeout(WHOLE):
            settings = {
                "drain.seconds": 0,
                "redis.url": redis.tcp_url,
                "redis.timeout": 1,
                "presence.lease": 1,
                "presence.grace": 0.1,
            }
            config = configuration(tmp_path, receiver)
            async with (
                ServerProcess(config=config, settings=settings) as one,
                ServerProcess(config=config, settings=settings) as other,
                RoomClient(other.url, user="ben"),
            ):
                async with RoomClient(one.url, user="ann") as ann:
                    await receiver.until(lambda: last_of(receiver, "ann") == "join", PATIENCE)
                    receiver.behaviour = answers(503)
                    for number in range(20):
                        await ann.send(number)
                    await refused(receiver, "message")
                    await one.kill()
                receiver.behaviour = None
                await receiver.until(lambda: len(in_order(receiver)) == 20, PATIENCE)
                await receiver.until(lambda: last_of(receiver, "ann") == "leave", PATIENCE)
                await receiver.until(lambda: last_of(receiver, "ben") == "join", PATIENCE)
    assert in_order(receiver) == list(range(20))


async def test_nodes_share_the_work(tmp_path: Path) -> None:
    """Whoever posted, each event is sent by one of them, in the room's order."""
    with redis_servers.standalone(tmp_path) as redis:
        async with Receiver() as receiver, asyncio.timeout(WHOLE):
            settings = {"drain.seconds": 0, "redis.url": redis.tcp_url, "limits.enabled": False}
            config = configuration(tmp_path, receiver)
            async with (
                ServerProcess(config=config, settings=settings) as one,
                ServerProcess(config=config, settings=settings) as other,
                RoomClient(one.url, user="ann") as ann,
                RoomClient(other.url, user="ben") as ben,
            ):
                for number in range(100):
                    await (ann if number % 2 else ben).send(number)
                await receiver.until(lambda: len(receiver.bodies("lobby")) >= 100, PATIENCE)
    assert receiver.bodies("lobby") == list(range(100))
