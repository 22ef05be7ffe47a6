"""An ear: what it listens to, over breaks, refusals and a server that says something else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sioserver.config.schema import Redis as Settings
from sioserver.engine.redis_access import Access, ReplyError
from sioserver.engine.redis_ear import CHUNK, PATTERNS, PLAIN, SHARDED, Ear, Words

from .redis_kit import Conversation, FakeRedis, always, on_both_loops, until


class Heard:
    """Writes down what the ear tells."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, bytes]] = []
        self.channels: list[list[str]] = []
        self.deaf: list[str] = []
        self.refused: list[ReplyError | None] = []

    def hear(self, channel: str, payload: bytes) -> None:
        self.messages.append((channel, payload))

    def on_heard(self, ear: Ear, channels: list[str]) -> None:
        self.channels.append(channels)

    def on_deaf(self, ear: Ear, reason: str) -> None:
        assert not ear.heard
        self.deaf.append(reason)

    def on_refused(self, ear: Ear, error: ReplyError | None) -> None:
        self.refused.append(error)


class PubSub(FakeRedis):
    """Confirms subscriptions."""

    def __init__(self) -> None:
        super().__init__(self.listen)
        self.refuse: dict[str, str] = {}
        """By channel: an error instead."""

    def listen(self, line: Conversation, command: list[str]) -> None:
        for name in command[1:]:
            if error := self.refuse.get(name):
                line.say(f"-{error}\r\n".encode())
                return
        for name in command[1:]:
            line.say(push(command[0].lower(), name, 1))

    def _obey(self, line: Conversation, command: list[str]) -> None:
        if command == ["PING"] and any("SUBSCRIBE" in seen[0] for seen in self.seen):
            if not self.stalled:
                line.say(push("pong", ""))
        else:
            super()._obey(line, command)


def push(*items: str | int) -> bytes:
    text = b"*%d\r\n" % len(items)
    for item in items:
        data = str(item).encode()
        text += b":%s\r\n" % data if isinstance(item, int) else b"$%d\r\n%s\r\n" % (len(data), data)
    return text


@asynccontextmanager
async def an_ear(
    fake: FakeRedis, heard: Heard, *, timeout: float = 5.0, words: Words = PLAIN
) -> AsyncIterator[Ear]:
    access = Access(Settings(url=fake.url), "test")
    ear = Ear(access, always(access.address), heard, heard.hear, timeout=timeout, words=words)
    ear.start()
    try:
        yield ear
    finally:
        await ear.stop()


@on_both_loops
async def test_it_hears_what_it_listens_to() -> None:
    heard = Heard()
    async with PubSub() as fake, an_ear(fake, heard) as ear:
        assert ear.trouble
        ear.listen("a")
        ear.listen("ä")
        await until(lambda: ear.heard == {"a", "ä"})
        assert ear.trouble is None
        assert fake.seen == [["SUBSCRIBE", "a", "ä"]]
        fake.open[0].say(push("message", "ä", "hello") + push("message", "a", "again"))
        await until(lambda: len(heard.messages) == 2)
        assert heard.messages == [("ä", b"hello"), ("a", b"again")]
        assert ear.messages == 2


async def test_many_channels_of_one_turn_are_few_commands() -> None:
    heard = Heard()
    async with PubSub() as fake, an_ear(fake, heard) as ear:
        await until(lambda: ear.up)
        for number in range(CHUNK * 2 + 1):
            ear.listen(f"c{number}")
        await until(lambda: len(ear.heard) == CHUNK * 2 + 1)
        assert [len(command) - 1 for command in fake.seen] == [CHUNK, CHUNK, 1]
        assert sum(map(len, heard.channels)) == CHUNK * 2 + 1


async def test_sharded_channels_are_asked_for_one_by_one() -> None:
    async with PubSub() as fake, an_ear(fake, Heard(), words=SHARDED) as ear:
        ear.listen("{a}")
        ear.listen("{b}")
        await until(lambda: len(ear.heard) == 2)
        ear.forget("{a}")
        await until(lambda: len(fake.seen) == 3)
        commands = [["SSUBSCRIBE", "{a}"], ["SSUBSCRIBE", "{b}"], ["SUNSUBSCRIBE", "{a}"]]
        assert fake.seen == commands


async def test_patterns() -> None:
    heard = Heard()
    async with PubSub() as fake, an_ear(fake, heard) as ear:
        ear.listen("a.*", PATTERNS)
        await until(lambda: ear.heard == {"a.*"})
        fake.open[0].say(push("pmessage", "a.*", "a.b", "hello"))
        await until(lambda: heard.messages)
        assert heard.messages == [("a.b", b"hello")]
        ear.forget("a.*")
        await until(lambda: len(fake.seen) == 2)
        assert fake.seen == [["PSUBSCRIBE", "a.*"], ["PUNSUBSCRIBE", "a.*"]]


async def test_what_is_forgotten_and_wanted_again_is_heard_in_the_end() -> None:
    async with PubSub() as fake, an_ear(fake, Heard()) as ear:
        ear.listen("a")
        await until(lambda: ear.heard)
        ear.forget("a")
        assert not ear.heard
        await until(lambda: len(fake.seen) == 2)
        ear.listen("a")
        await until(lambda: ear.heard)
        ear.forget("a")
        ear.listen("a")
        ear.forget("a")
        await until(lambda: fake.seen[-1] == ["UNSUBSCRIBE", "a"])
        assert not ear.channels
        ear.forget("never")
        ear.listen("b")
        await until(lambda: ear.heard == {"b"})


@on_both_loops
async def test_after_a_break_everything_is_listened_to_again() -> None:
    heard = Heard()
    async with PubSub() as fake, an_ear(fake, heard) as ear:
        for name in ("a", "b", "c"):
            ear.listen(name)
        await until(lambda: len(ear.heard) == 3)
        ear.forget("b")
        fake.open[0].reset()
        await until(lambda: heard.deaf)
        await until(lambda: ear.heard == {"a", "c"})
        assert fake.seen[-1] == ["SUBSCRIBE", "a", "c"]


async def test_a_half_open_connection_is_noticed() -> None:
    heard, timeout = Heard(), 0.2
    async with PubSub() as fake, an_ear(fake, heard, timeout=timeout) as ear:
        ear.listen("a")
        await until(lambda: ear.heard)
        fake.stalled = True
        began = asyncio.get_running_loop().time()
        await until(lambda: heard.deaf)
        assert "no answer" in heard.deaf[0]
        assert asyncio.get_running_loop().time() - began < timeout * 1.5 + 2
        fake.stalled = False
        await until(lambda: ear.heard == {"a"})


async def test_a_connection_that_is_answered_stays() -> None:
    async with PubSub() as fake, an_ear(fake, Heard(), timeout=0.1) as ear:
        ear.listen("a")
        loop = asyncio.get_running_loop()
        began = loop.time()
        await until(lambda: loop.time() - began > 0.5)  # five timeouts
        assert ear.heard
        assert fake.connections == 1


async def test_a_channel_that_is_refused_is_tried_again_and_the_others_work() -> None:
    heard = Heard()
    async with PubSub() as fake, an_ear(fake, heard, words=SHARDED) as ear:
        fake.refuse["{b}"] = "MOVED 3300 127.0.0.1:1"
        for name in ("{a}", "{b}", "{c}"):
            ear.listen(name)
        await until(lambda: ear.heard == {"{a}", "{c}"} and len(heard.refused) > 1)
        assert {str(error) for error in heard.refused} == {"MOVED 3300 127.0.0.1:1"}
        del fake.refuse["{b}"]
        await until(lambda: len(ear.heard) == 3)


async def test_a_refused_channel_that_nobody_wants_any_more_is_not_tried_again() -> None:
    heard = Heard()
    async with PubSub() as fake, an_ear(fake, heard, words=SHARDED) as ear:
        fake.refuse["{a}"] = "MOVED 1 127.0.0.1:1"
        ear.listen("{a}")
        await until(lambda: heard.refused)
        ear.forget("{a}")
        ear.listen("{b}")
        await until(lambda: ear.heard == {"{b}"})
        fake.seen.clear()
        ear.listen("{c}")
        await until(lambda: len(ear.heard) == 2)
        assert ["SSUBSCRIBE", "{a}"] not in fake.seen


async def test_a_slot_that_leaves_the_server_takes_its_channels_away() -> None:
    heard = Heard()
    async with PubSub() as fake, an_ear(fake, heard, words=SHARDED) as ear:
        ear.listen("{a}")
        await until(lambda: ear.heard)
        fake.open[0].say(push("sunsubscribe", "{a}", 0))  # nobody asked for that
        await until(lambda: heard.refused == [None])
        await until(lambda: ear.heard and len(heard.channels) == 2)
        assert fake.seen == [["SSUBSCRIBE", "{a}"]] * 2


async def test_a_server_that_answers_what_nobody_asked_is_left() -> None:
    for nonsense in (push("subscribe", "x", 1), push("pong", ""), push("what", "x"), b":1\r\n"):
        heard = Heard()
        async with PubSub() as fake, an_ear(fake, heard) as ear:
            ear.listen("a")
            await until(lambda ear=ear: ear.heard)
            fake.open[0].say(nonsense)
            await until(lambda heard=heard: heard.deaf)
            assert "does not speak as Redis does" in heard.deaf[0]
            await until(lambda ear=ear: ear.heard)


async def test_a_hearer_that_fails_does_not_end_the_connection() -> None:
    heard = Heard()

    def fail(channel: str, payload: bytes) -> None:
        raise ValueError(payload)

    async with PubSub() as fake:
        access = Access(Settings(url=fake.url), "test")
        ear = Ear(access, always(access.address), heard, fail, timeout=5)
        ear.start()
        ear.listen("a")
        await until(lambda: ear.heard)
        fake.open[0].say(push("message", "a", "1") + push("message", "a", "2"))
        await until(lambda: ear.messages == 2)
        assert not heard.deaf
        await ear.stop()
