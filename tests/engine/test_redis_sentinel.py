"""Asking Sentinels: one after the other, and why none of them can tell."""

from __future__ import annotations

from typing import Any

import pytest

from sioserver.config.schema import Redis as Settings
from sioserver.engine.redis_access import Access, Address, NotReady
from sioserver.engine.redis_sentinel import Sentinels

from ..redis_servers import free_port
from .redis_kit import Conversation, FakeRedis

MASTER = b"*2\r\n$7\r\n10.0.0.1\r\n$4\r\n6379\r\n".replace(b"$7", b"$8")


def sentinels(*ports: int, url: str = "redis://", **more: Any) -> Sentinels:
    settings = Settings(
        url=url, sentinels=[f"127.0.0.1:{port}" for port in ports], service="chat", **more
    )
    return Sentinels(settings, Access(settings, "test"))


def knows(line: Conversation, command: list[str]) -> None:
    line.say(MASTER)


async def test_a_sentinel_names_the_master() -> None:
    async with FakeRedis(knows) as fake:
        assert await sentinels(fake.port).master() == Address("10.0.0.1", 6379)
        assert fake.seen == [["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "chat"]]


async def test_the_one_that_knew_is_asked_first_the_next_time() -> None:
    async with FakeRedis(knows) as fake, FakeRedis(lambda line, _: line.say(b"*-1\r\n")) as other:
        asked = sentinels(free_port(), other.port, fake.port)
        await asked.master()
        await asked.master()
        assert len(fake.seen) == 2
        assert len(other.seen) == 1


async def test_why_nobody_knows() -> None:
    async with FakeRedis() as silent, FakeRedis(lambda line, _: line.say(b"*-1\r\n")) as other:
        silent.handler = lambda line, command: None
        gone = free_port()
        with pytest.raises(NotReady) as raised:
            await sentinels(gone, silent.port, other.port, timeout=0.4).master()
        for text in (
            "no Sentinel names the master",
            f"127.0.0.1:{gone}: ",
            f"127.0.0.1:{silent.port}: no answer within 0.1 s",
            f"127.0.0.1:{other.port}: it knows no master called chat",
        ):
            assert text in str(raised.value)


@pytest.mark.parametrize("reply", [b"*0\r\n", b"+OK\r\n", b":1\r\n", b"*2\r\n+h\r\n+port\r\n"])
async def test_one_that_speaks_something_else_is_passed_over(reply: bytes) -> None:
    async with FakeRedis(lambda line, _: line.say(reply)) as odd, FakeRedis(knows) as fake:
        assert await sentinels(odd.port, fake.port).master() == Address("10.0.0.1", 6379)
        with pytest.raises(NotReady, match="it does not speak as Sentinels do"):
            await sentinels(odd.port).master()


async def test_one_that_wants_a_password_gets_it() -> None:
    def answer(line: Conversation, command: list[str]) -> None:
        if command[0] == "AUTH":
            line.say(b"+OK\r\n")
            trusted.append(line)
        else:
            line.say(MASTER if line in trusted else b"-NOAUTH Authentication required.\r\n")

    trusted: list[Conversation] = []
    async with FakeRedis(answer) as fake:
        with pytest.raises(NotReady, match="NOAUTH"):
            await sentinels(fake.port).master()
        fake.seen.clear()
        assert await sentinels(fake.port, url="redis://ann:hush@").master()
        assert fake.seen[1] == ["AUTH", "ann", "hush"]
        await sentinels(fake.port, url="redis://:hush@").master()
        assert ["AUTH", "hush"] in fake.seen
