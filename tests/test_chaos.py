"""The proxy does to connections what it says, and counts it."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from .chaos import How, Proxy

MEGABYTE = bytes(range(256)) * 4096


class Echo:
    """A target that sends everything back, and remembers what it saw."""

    def __init__(self) -> None:
        self.port = 0
        self.received = b""
        self.reads: list[int] = []
        self.ends: list[str] = []
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        try:
            while data := await reader.read(65536):
                self.received += data
                self.reads.append(len(data))
                writer.write(data)
                await writer.drain()
            self.ends.append("fin")
        except ConnectionResetError:
            self.ends.append("rst")
        finally:
            writer.close()


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    echo = Echo()
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    echo.port = server.sockets[0].getsockname()[1]
    yield echo
    server.close()
    for writer in echo.writers:
        writer.close()
    await server.wait_closed()
    await until(lambda: len(echo.ends) == len(echo.writers))


@pytest.fixture
async def proxy(echo: Echo) -> AsyncIterator[Proxy]:
    async with Proxy(echo.port) as proxy:
        yield proxy


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self, data: bytes) -> bytes:
        self.writer.write(data)
        async with asyncio.timeout(10):
            return await self.reader.readexactly(len(data))

    async def ends(self) -> str:
        """How the connection ends, when it does."""
        try:
            async with asyncio.timeout(10):
                assert await self.reader.read() == b""
        except ConnectionResetError:
            return "rst"
        return "fin"


Connect = Callable[[], Awaitable[Client]]


@pytest.fixture
async def connect(proxy: Proxy) -> AsyncIterator[Connect]:
    clients: list[Client] = []

    async def connect() -> Client:
        clients.append(Client(*await asyncio.open_connection("127.0.0.1", proxy.port)))
        return clients[-1]

    yield connect
    for client in clients:
        client.writer.close()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def test_everything_passes_unchanged_both_ways_and_is_counted(
    proxy: Proxy, connect: Connect, echo: Echo
) -> None:
    client = await connect()
    assert await client.ask(MEGABYTE) == MEGABYTE
    assert echo.received == MEGABYTE
    assert (proxy.up.bytes, proxy.down.bytes) == (len(MEGABYTE), len(MEGABYTE))
    assert (proxy.accepted, proxy.refused, proxy.broken, proxy.open) == (1, 0, 0, 1)


async def test_an_end_of_one_side_goes_on_to_the_other(
    proxy: Proxy, connect: Connect, echo: Echo
) -> None:
    client = await connect()
    client.writer.write(b"last words")
    client.writer.write_eof()
    async with asyncio.timeout(10):
        assert await client.reader.read() == b"last words"
    await until(lambda: proxy.open == 0)
    assert echo.ends == ["fin"]


async def test_a_reset_goes_on_as_a_reset(proxy: Proxy, connect: Connect, echo: Echo) -> None:
    client = await connect()
    await client.ask(b"x")
    end = echo.writers[0].get_extra_info("socket")
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    echo.writers[0].transport.abort()
    assert await client.ends() == "rst"


@pytest.mark.parametrize("how", ["rst", "fin"])
async def test_a_cut_breaks_what_there_is_and_what_comes(
    proxy: Proxy, connect: Connect, echo: Echo, how: How
) -> None:
    first, second = await connect(), await connect()
    await first.ask(b"1")
    await second.ask(b"2")
    await proxy.cut(how)
    assert [await first.ends(), await second.ends()] == [how, how]
    await until(lambda: len(echo.ends) == 2)
    assert echo.ends == [how, how]
    third = await connect()
    assert await third.ends() == how
    assert (proxy.accepted, proxy.broken, proxy.refused, proxy.open) == (3, 2, 1, 0)
    proxy.heal()
    fourth = await connect()
    assert await fourth.ask(b"again") == b"again"
    assert echo.received == b"12again"


async def test_a_blip_lets_the_next_one_through(proxy: Proxy, connect: Connect, echo: Echo) -> None:
    first = await connect()
    await first.ask(b"1")
    await proxy.blip()
    assert await first.ends() == "rst"
    assert await (await connect()).ask(b"2") == b"2"
    assert (proxy.broken, proxy.refused) == (1, 0)


async def test_a_target_that_is_away_breaks_the_connection(
    proxy: Proxy, connect: Connect, echo: Echo
) -> None:
    async with Proxy(1) as nowhere:
        reader, writer = await asyncio.open_connection("127.0.0.1", nowhere.port)
        assert await Client(reader, writer).ends() == "rst"
        assert (nowhere.accepted, nowhere.refused) == (1, 1)
        writer.close()


async def test_a_stall_keeps_everything_and_gives_it_back_late(
    proxy: Proxy, connect: Connect, echo: Echo
) -> None:
    client = await connect()
    await client.ask(b"before")
    proxy.stall()
    late = await connect()  # accepted, and nobody answers
    reached = len(echo.writers)
    client.writer.write(MEGABYTE * 16)  # more than all buffers: it has to be held here
    late.writer.write(b"late")
    passed = proxy.up.bytes
    answers = [asyncio.create_task(c.reader.readexactly(1)) for c in (client, late)]
    # both ends of the first one's way there, which had read something already, and the late one
    await until(lambda: proxy.up.held == 3)
    assert not any(answer.done() for answer in answers)
    assert client.writer.transport.get_write_buffer_size() > 0  # it is not read
    assert (proxy.up.bytes, len(echo.writers), proxy.open) == (passed, reached, 2)
    proxy.heal()
    async with asyncio.timeout(30):
        assert await asyncio.gather(*answers) == [b"\x00", b"l"]
        rest = await client.reader.readexactly(len(MEGABYTE) * 16 - 1)
    assert b"\x00" + rest == MEGABYTE * 16
    assert (proxy.broken, proxy.refused) == (0, 0)


async def test_the_end_of_a_client_does_not_get_through_a_stall(
    proxy: Proxy, connect: Connect, echo: Echo
) -> None:
    client = await connect()
    await client.ask(b"before")
    proxy.stall()
    client.writer.write(b" and during")
    client.writer.close()
    await client.writer.wait_closed()
    await until(lambda: proxy.up.held == 2)  # what was read is held, and nothing more is read
    assert not echo.ends
    assert echo.received == b"before"
    proxy.heal()
    await until(lambda: echo.ends)
    assert echo.received == b"before and during"


async def test_one_way_can_be_stalled_alone(proxy: Proxy, connect: Connect, echo: Echo) -> None:
    client = await connect()
    proxy.down.stall()
    client.writer.write(b"there")
    await until(lambda: echo.received == b"there")
    assert proxy.down.bytes == 0
    assert (proxy.up.stalled, proxy.down.stalled) == (False, True)
    proxy.down.go_on()
    assert await client.reader.readexactly(5) == b"there"


async def test_what_is_cut_while_it_is_stalled_is_lost(
    proxy: Proxy, connect: Connect, echo: Echo
) -> None:
    client = await connect()
    await client.ask(b"kept")
    proxy.stall()
    client.writer.write(b"lost")
    await proxy.cut("rst")
    assert await client.ends() == "rst"
    await until(lambda: echo.ends)
    assert (echo.received, proxy.broken) == (b"kept", 1)


async def test_latency_is_of_one_way_and_does_not_add_up(
    proxy: Proxy, connect: Connect, echo: Echo
) -> None:
    client = await connect()
    await client.ask(b"x")
    loop = asyncio.get_running_loop()
    proxy.up.latency = 0.2
    began = loop.time()
    for number in range(10):  # all are under way at once
        client.writer.write(bytes([number]))
        await asyncio.sleep(0)
    assert await client.reader.readexactly(10) == bytes(range(10))
    assert 0.19 < loop.time() - began < 1.5
    proxy.heal()
    assert proxy.up.latency == 0


async def test_pieces_are_small_and_complete(proxy: Proxy, connect: Connect, echo: Echo) -> None:
    client = await connect()
    proxy.down.piece = 3
    pieces = proxy.down.pieces
    assert await client.ask(MEGABYTE[:1000]) == MEGABYTE[:1000]
    assert proxy.down.pieces - pieces == 334
    proxy.heal()
    pieces = proxy.down.pieces
    await client.ask(MEGABYTE[:1000])
    assert proxy.down.pieces - pieces == 1


async def test_bytes_can_be_rewritten_for_each_connection_anew(
    proxy: Proxy, connect: Connect, echo: Echo
) -> None:
    def made() -> Callable[[bytes], bytes]:
        seen = 0

        def rewrite(data: bytes) -> bytes:
            nonlocal seen
            kept = bytes(byte for place, byte in enumerate(data, seen) if place % 2 == 0)
            seen += len(data)
            return kept

        return rewrite

    proxy.down.rewrite = made
    for client in [await connect(), await connect()]:
        client.writer.write(b"0123")
        assert await client.reader.readexactly(2) == b"02"
    assert echo.received == b"01230123"


async def test_a_rewrite_that_fails_is_heard_of(echo: Echo) -> None:
    def wrong(data: bytes) -> bytes:
        raise ValueError("the test's own fault")

    with pytest.raises(ExceptionGroup, match="unhandled"):
        async with Proxy(echo.port) as proxy:
            proxy.up.rewrite = lambda: wrong
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            writer.write(b"x")
            await Client(reader, writer).ends()
            writer.close()
