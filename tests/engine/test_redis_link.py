"""A link: order, deadlines, bounds, and what becomes of calls when a connection breaks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from sioserver.engine.redis_access import pack
from sioserver.engine.redis_calls import Call, Unavailable
from sioserver.engine.redis_link import BYTES_WAITING, Link, ReplyError
from sioserver.engine.redis_scripts import Script

from ..redis_servers import ask, standalone
from .redis_kit import Conversation, FakeRedis, Witness, a_link, on_both_loops, until

NUMBERED = Script("numbered", "return redis.call('RPUSH', KEYS[1], ARGV[1])")


def send(
    link: Link, *command: str, timeout: float = 5.0, script: Any = None
) -> asyncio.Future[Any]:
    loop = asyncio.get_running_loop()
    call = Call(pack([command]), loop.create_future(), loop.time() + timeout, script=script)
    link.send(call)
    return call.future


def send_script(link: Link, key: str, *args: str, script: Script = NUMBERED) -> asyncio.Future[Any]:
    return send(link, "EVALSHA", script.sha1, "1", key, *args, script=script)


async def up(link: Link) -> None:
    await until(lambda: link.up)


async def results(futures: Iterable[asyncio.Future[Any]]) -> list[Any]:
    return await asyncio.gather(*futures, return_exceptions=True)


def echo(line: Conversation, command: list[str]) -> None:
    line.say(b"+%s\r\n" % command[-1].encode())


# -- in good weather


@on_both_loops
async def test_calls_of_one_turn_are_one_write_and_answered_in_order() -> None:
    async with FakeRedis(echo) as fake, a_link(fake.url) as link:
        await up(link)
        replies = [send(link, "ECHO", str(number)) for number in range(100)]
        assert await results(replies) == [b"%d" % number for number in range(100)]
        assert (link.commands, link.writes) == (100, 1)
        assert link.unanswered == link.bytes_waiting == 0


@on_both_loops
async def test_what_was_sent_before_the_connection_goes_out_when_it_is_up() -> None:
    async with FakeRedis(echo) as fake, a_link(fake.url) as link:
        replies = [send(link, "ECHO", str(number)) for number in range(3)]
        assert not link.up
        assert link.trouble
        assert await results(replies) == [b"0", b"1", b"2"]
        assert link.trouble is None


async def test_what_is_sent_in_on_up_goes_out_first() -> None:
    witness = Witness()
    witness.when_up = lambda link: firsts.append(send(link, "ECHO", "first"))
    firsts: list[asyncio.Future[Any]] = []
    async with FakeRedis(echo) as fake, a_link(fake.url, witness) as link:
        await send(link, "ECHO", "second")
        assert [command[1] for command in fake.seen] == ["first", "second"]
        fake.open[0].reset()
        send(link, "ECHO", "third")
        await until(lambda: len(fake.seen) >= 4)
        assert [command[1] for command in fake.seen][2:] == ["first", "third"]
        assert await results(firsts) == [b"first", b"first"]


async def test_a_reply_may_come_in_pieces() -> None:
    async with FakeRedis() as fake, a_link(fake.url) as link:
        await up(link)
        pieces = [b"$1", b"1\r\nhello ", b"world\r", b"\n:4", b"2\r\n"]

        def slowly(line: Conversation, command: list[str]) -> None:
            if command[0] == "SECOND":
                asyncio.get_running_loop().call_soon(one_more, line)

        def one_more(line: Conversation) -> None:
            line.say(pieces.pop(0))
            if pieces:
                asyncio.get_running_loop().call_later(0.002, one_more, line)

        fake.handler = slowly
        assert await results([send(link, "FIRST"), send(link, "SECOND")]) == [b"hello world", 42]


async def test_an_error_reply_fails_its_call_only() -> None:
    def answer(line: Conversation, command: list[str]) -> None:
        line.say(b"-WRONGTYPE of you\r\n" if command[0] == "BAD" else b"+OK\r\n")

    async with FakeRedis(answer) as fake, a_link(fake.url) as link:
        first, bad, last = await results(send(link, word) for word in ("A", "BAD", "B"))
        assert (first, last) == (b"OK", b"OK")
        assert isinstance(bad, ReplyError)
        assert bad.code == "WRONGTYPE"


async def test_a_cancelled_call_takes_its_reply_with_it() -> None:
    async with FakeRedis(echo) as fake, a_link(fake.url) as link:
        await up(link)
        first, second = send(link, "ECHO", "1"), send(link, "ECHO", "2")
        first.cancel()
        assert await second == b"2"
        assert link.bytes_waiting == 0


async def test_a_call_that_was_cancelled_before_it_was_sent_never_is() -> None:
    async with FakeRedis(echo) as fake, a_link(fake.url) as link:
        first, second = send(link, "ECHO", "1"), send(link, "ECHO", "2")
        first.cancel()
        assert await second == b"2"
        assert fake.seen == [["ECHO", "2"]]
        assert link.bytes_waiting == 0


# -- when it breaks


@on_both_loops
async def test_calls_without_a_reply_are_sent_again_in_their_order() -> None:
    """The first connection answers two of six and is cut; more is called while it is away."""

    def answer(line: Conversation, command: list[str]) -> None:
        echo(line, command)
        if command[-1] == "1" and fake.connections == 1:
            line.hang_up()

    witness = Witness()
    async with FakeRedis(answer) as fake, a_link(fake.url, witness) as link:
        await up(link)
        calls = [send(link, "ECHO", str(number)) for number in range(6)]
        await until(lambda: "up" not in witness.told[-1])
        assert link.up_since == float("inf")
        calls += [send(link, "ECHO", str(number)) for number in (6, 7)]
        assert await results(calls) == [b"%d" % number for number in range(8)]
        again = [command[1] for command in fake.seen]
        assert again == ["0", "1", *"234567"]
        assert link.resent == 4
        assert link.breaks == 1
        assert link.bytes_waiting == 0


async def test_a_reset_after_the_last_byte_was_sent_loses_nothing() -> None:
    def answer(line: Conversation, command: list[str]) -> None:
        if fake.connections < 3:
            line.reset()
        else:
            echo(line, command)

    async with FakeRedis(answer) as fake, a_link(fake.url) as link:
        assert await results([send(link, "ECHO", "a"), send(link, "ECHO", "b")]) == [b"a", b"b"]
        assert fake.connections == 3


async def test_a_connection_that_is_cut_in_the_middle_of_a_reply() -> None:
    def answer(line: Conversation, command: list[str]) -> None:
        if fake.connections == 1:
            line.say(b"$5\r\nhal")
            line.hang_up()
        else:
            line.say(b"$5\r\nwhole\r\n")

    async with FakeRedis(answer) as fake, a_link(fake.url) as link:
        assert await send(link, "GET", "it") == b"whole"


async def test_a_server_that_speaks_something_else_is_left() -> None:
    def answer(line: Conversation, command: list[str]) -> None:
        line.say(b"HTTP/1.1 400 Bad Request\r\n" if fake.connections == 1 else b"+OK\r\n")

    witness = Witness()
    async with FakeRedis(answer) as fake, a_link(fake.url, witness) as link:
        assert await send(link, "PUT") == b"OK"
        assert "does not speak" in witness.told[1]


@on_both_loops
async def test_a_half_open_connection_is_noticed_and_calls_end_in_time() -> None:
    timeout = 0.4
    async with FakeRedis(echo) as fake, a_link(fake.url, timeout=timeout) as link:
        await send(link, "ECHO", "0")
        loop = asyncio.get_running_loop()
        fake.stalled, began = True, loop.time()
        call = send(link, "ECHO", "1", timeout=timeout)
        with pytest.raises(Unavailable):
            await call
        assert loop.time() - began >= timeout * 0.95
        await until(lambda: not link.up)
        assert "no answer" in str(link.trouble)
        fake.stalled = False
        await up(link)
        assert await send(link, "ECHO", "2") == b"2"
        assert [command[1] for command in fake.seen] == ["0", "2"]
        assert link.expired == 1
        assert link.bytes_waiting == 0


async def test_an_idle_half_open_connection_is_noticed() -> None:
    timeout = 0.2
    async with FakeRedis(echo) as fake, a_link(fake.url, timeout=timeout) as link:
        await up(link)
        fake.stalled = True
        began = asyncio.get_running_loop().time()
        await until(lambda: not link.up)
        # A question every timeout/2, and a timeout for its answer: the rest is this machine.
        assert asyncio.get_running_loop().time() - began < timeout * 1.5 + 2


async def test_a_slow_server_that_goes_on_answering_keeps_its_connection() -> None:
    timeout = 0.5
    async with FakeRedis(echo) as fake, a_link(fake.url, timeout=timeout) as link:
        await up(link)
        fake.pause = 0.1
        calls = [send(link, "ECHO", str(number)) for number in range(10)]
        assert await results(calls) == [b"%d" % number for number in range(10)]
        assert fake.connections == 1


async def test_nothing_is_sent_after_its_deadline() -> None:
    async with FakeRedis(echo) as fake:
        await fake.close()
        async with a_link(fake.url, timeout=0.2) as link:
            calls = [send(link, "ECHO", str(number), timeout=0.2) for number in range(3)]
            assert [type(error) for error in await results(calls)] == [Unavailable] * 3
            async with fake:
                await up(link)
                assert await send(link, "ECHO", "late") == b"late"
            assert fake.seen == [["ECHO", "late"]]


async def test_while_the_server_is_known_to_be_away_nobody_waits() -> None:
    """Requests of one client come one after the other: each would wait the whole timeout."""
    timeout = 0.3
    async with FakeRedis(echo) as fake, a_link(fake.url, timeout=timeout) as link:
        await up(link)
        fake.stalled = True
        with pytest.raises(Unavailable):
            await send(link, "ECHO", "1", timeout=timeout)
        await until(lambda: not link.up)
        for _ in range(3):
            refused = send(link, "ECHO", "2", timeout=timeout)
            assert refused.done()
            with pytest.raises(Unavailable, match="no answer"):
                await refused
        assert link.refused == 3
        fake.stalled = False
        await up(link)
        assert await send(link, "ECHO", "3") == b"3"


async def test_a_short_break_is_waited_for() -> None:
    async with FakeRedis(echo) as fake, a_link(fake.url) as link:
        await up(link)
        await fake.close()
        await until(lambda: not link.up)
        waiting = send(link, "ECHO", "1")
        async with fake:
            assert await waiting == b"1"


# -- bounds


async def test_too_many_waiting_calls_are_refused_at_once() -> None:
    async with FakeRedis(echo) as fake, a_link(fake.url, most=3) as link:
        await up(link)
        calls = [send(link, "ECHO", str(number)) for number in range(5)]
        assert calls[3].done()
        assert calls[4].done()
        kept, refused = (await results(calls))[:3], calls[3].exception()
        assert kept == [b"0", b"1", b"2"]
        assert isinstance(refused, Unavailable)
        assert isinstance(calls[4].exception(), Unavailable)
        assert link.refused == 2
        assert await send(link, "ECHO", "again") == b"again"


async def test_too_many_waiting_bytes_are_refused_at_once() -> None:
    async with FakeRedis(echo) as fake:
        await fake.close()
        async with a_link(fake.url) as link:
            loop = asyncio.get_running_loop()
            block = bytes(BYTES_WAITING // 4)
            calls = [Call(block, loop.create_future(), loop.time() + 0.1) for _ in range(5)]
            for call in calls:
                link.send(call)
            assert [call.future.done() for call in calls] == [False] * 4 + [True]
            found = await results(call.future for call in calls)
            assert [type(error) for error in found] == [Unavailable] * 5
            assert link.bytes_waiting == 0


async def test_a_server_that_does_not_read_makes_calls_wait_here() -> None:
    """Beyond what the transport takes nothing is written, so it can time out unsent."""
    size = 4_000_000
    async with FakeRedis(echo) as fake, a_link(fake.url, timeout=5) as link:
        await up(link)
        reader = fake.open[0]._writer.transport
        reader.pause_reading()  # type: ignore[attr-defined]
        first = [send(link, "ECHO", "x" * size) for _ in range(4)]
        await asyncio.sleep(0)  # they are written at the end of the turn
        late = send(link, "ECHO", "late")
        assert link._waiting
        late.cancel()
        reader.resume_reading()  # type: ignore[attr-defined]
        assert [len(reply) for reply in await results(first)] == [size] * 4
        assert ["ECHO", "late"] not in fake.seen


# -- scripts


@on_both_loops
async def test_a_script_is_loaded_once_a_connection_before_its_first_use() -> None:
    async with FakeRedis(echo) as fake, a_link(fake.url) as link:
        await results(send_script(link, "k", str(number)) for number in range(3))
        assert fake.loaded == [NUMBERED.source]
        fake.open[0].reset()
        await send_script(link, "k", "3")
        assert fake.loaded == [NUMBERED.source] * 2


async def test_scripts_that_the_server_forgot_are_loaded_again_in_order() -> None:
    known = False

    def answer(line: Conversation, command: list[str]) -> None:
        if fake.loaded[1:]:
            echo(line, command)
        else:
            line.say(b"-NOSCRIPT No matching script\r\n")
            if command[-1] == "1":  # while more are on their way
                more.extend(send_script(link, "k", str(number)) for number in (3, 4))

    more: list[asyncio.Future[Any]] = []
    async with FakeRedis(answer) as fake, a_link(fake.url) as link:
        assert not known
        calls = [send_script(link, "k", str(number)) for number in range(3)]
        assert await results(calls) == [b"0", b"1", b"2"]
        assert await results(more) == [b"3", b"4"]
        assert [command[-1] for command in fake.seen[-5:]] == ["0", "1", "2", "3", "4"]


async def test_a_script_that_cannot_be_loaded_fails() -> None:
    def never(line: Conversation, command: list[str]) -> None:
        line.say(b"-NOSCRIPT No matching script\r\n")

    async with FakeRedis(never) as fake, a_link(fake.url) as link:
        with pytest.raises(ReplyError, match="NOSCRIPT"):
            await send_script(link, "k", "1")


# -- servers that cannot


@pytest.mark.parametrize("error", ["LOADING data", "READONLY replica", "MASTERDOWN link"])
async def test_a_server_that_is_none_for_us_is_left_and_asked_anew(error: str) -> None:
    def answer(line: Conversation, command: list[str]) -> None:
        if fake.connections == 1 and command[-1] != "0":
            line.say(f"-{error}\r\n".encode())
        else:
            echo(line, command)

    async with FakeRedis(answer) as fake, a_link(fake.url) as link:
        calls = [send(link, "ECHO", str(number)) for number in range(4)]
        assert await results(calls) == [b"0", b"1", b"2", b"3"]
        assert fake.connections == 2
        assert [command[1] for command in fake.seen[-3:]] == ["1", "2", "3"]


@pytest.mark.parametrize("error", ["BUSY script", "TRYAGAIN later"])
async def test_what_a_busy_server_refused_is_sent_again_before_later_calls(error: str) -> None:
    busy = 4

    def answer(line: Conversation, command: list[str]) -> None:
        nonlocal busy
        busy -= 1
        if busy >= 0:
            line.say(f"-{error}\r\n".encode())
        else:
            echo(line, command)

    async with FakeRedis(answer) as fake, a_link(fake.url) as link:
        await up(link)
        first = [send(link, "ECHO", "0"), send(link, "ECHO", "1")]
        await until(lambda: link.held)
        last = send(link, "ECHO", "2")
        assert await results([*first, last]) == [b"0", b"1", b"2"]
        assert [command[1] for command in fake.seen] == ["0", "1", "0", "0", "0", "1", "2"]
        assert fake.connections == 1


@pytest.mark.parametrize("error", ["OOM memory", "MISCONF disk", "NOREPLICAS few"])
async def test_a_server_that_cannot_write_refuses_at_once(error: str) -> None:
    witness = Witness()
    fake = FakeRedis(lambda line, _: line.say(f"-{error}\r\n".encode()))
    async with fake, a_link(fake.url, witness) as link:
        with pytest.raises(Unavailable, match=error):
            await send(link, "SET", "a", "b")
        assert witness.denied == [error]
        assert link.up


async def test_a_replica_is_not_used() -> None:
    witness = Witness()
    async with FakeRedis(echo) as fake:
        fake.role = b"replica"
        async with a_link(fake.url, witness) as link:
            await until(lambda: len(witness.failures) > 1)
            assert "replica" in str(link.trouble)
            fake.role = b"master"
            assert await send(link, "ECHO", "1") == b"1"


# -- holding still


async def test_a_held_link_waits_for_what_is_on_its_way_and_gives_the_rest_back() -> None:
    witness = Witness()
    async with FakeRedis(echo) as fake, a_link(fake.url, witness) as link:
        await up(link)
        first = send(link, "ECHO", "1")
        link.hold()
        second = send(link, "ECHO", "2")
        assert await first == b"1"
        await until(lambda: "idle" in witness.told)
        assert not second.done()
        [call] = link.give_back()
        assert call.future is second
        assert link.bytes_waiting == 0
        link.release()
        link.take([call])
        assert await second == b"2"


async def test_moved_calls_keep_their_place_while_the_link_is_held() -> None:
    def answer(line: Conversation, command: list[str]) -> None:
        line.say(b"-MOVED 1 127.0.0.1:1\r\n")

    witness = Witness()
    witness.takes_moved = True
    async with FakeRedis(answer) as fake, a_link(fake.url, witness) as link:
        await up(link)
        calls = [send(link, "ECHO", str(number)) for number in range(3)]
        await until(lambda: witness.told[-1] == "idle" and not link.in_flight)
        calls.append(send(link, "ECHO", "3"))
        fake.handler = echo
        link.release()
        assert await results(calls) == [b"0", b"1", b"2", b"3"]
        assert [command[1] for command in fake.seen[-4:]] == ["0", "1", "2", "3"]


# -- time


async def test_the_servers_clock_is_followed_also_when_it_is_set() -> None:
    async with FakeRedis(echo) as fake, a_link(fake.url, timeout=0.2) as link:
        await up(link)
        assert abs(link.server_time() - fake.clock) < 1
        fake.clock += 3600
        await until(lambda: abs(link.server_time() - fake.clock) < 1)


# -- the end


async def test_stop_waits_for_the_replies_and_refuses_what_comes_later() -> None:
    def later(line: Conversation, command: list[str]) -> None:
        asyncio.get_running_loop().call_later(0.05, line.say, b"+OK\r\n")

    async with FakeRedis(later) as fake, a_link(fake.url) as link:
        await up(link)
        call = send(link, "SLOW")
        stopping = asyncio.ensure_future(link.stop())
        await asyncio.sleep(0)
        with pytest.raises(Unavailable, match="closed"):
            await send(link, "LATE")
        await stopping
        assert call.result() == b"OK"
        await until(lambda: not fake.open)


async def test_stop_does_not_wait_for_ever() -> None:
    async with FakeRedis(echo) as fake, a_link(fake.url, timeout=0.2) as link:
        await up(link)
        fake.stalled = True
        call = send(link, "ECHO", "1", timeout=0.2)
        await link.stop()
        assert isinstance(call.exception(), Unavailable)


# -- a real server


@on_both_loops
async def test_a_real_server_that_is_killed_frozen_and_started_again() -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        server = standalone(Path(directory), fsync="always")
        await server.async_start()
        try:
            for url in (server.url, server.tcp_url):
                await _ordeal(server, url)
        finally:
            server.kill()


async def _ordeal(server: Any, url: str) -> None:
    ask(server, "DEL", "list")
    async with a_link(url, timeout=10, most=1000) as link:
        await send_script(link, "list", "0")
        server.kill()
        calls = [send_script(link, "list", str(number)) for number in range(1, 50)]
        await server.async_start()
        assert await results(calls) == list(range(2, 51))
        server.pause()
        calls = [send_script(link, "list", str(number)) for number in range(50, 100)]
        link.reconnect("to see what becomes of it")
        server.resume()
        await results(calls)
        kept = [int(item) for item in ask(server, "LRANGE", "list", 0, -1)]
        assert list(dict.fromkeys(kept)) == list(range(100))  # in order; some may be there twice
