"""Compressed messages, in and out, in order."""

from __future__ import annotations

import asyncio
import threading
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from sioserver.transport.frames import Outgoing
from sioserver.websocket import deflating as module
from sioserver.websocket.deflate import Agreed, Settings
from sioserver.websocket.deflating import Codec, DeflatingWebSocket

from ..transport.kit import frame, soon, until
from .readers import READERS, Line

TEXT, BINARY, CLOSE, PING, CONTINUATION = 1, 2, 8, 9, 0
COMPRESSED = 4
EACH = pytest.mark.parametrize("by", READERS)


def connected(
    by: str = "aiohttp",
    codec: Codec | None = None,
    *,
    limit: int = 2_000_000,
    bits: int = 15,
    server_takeover: bool = True,
    client_takeover: bool = True,
) -> Line:
    agreed = Agreed(bits, 15, server_takeover, client_takeover, "")
    codec = codec or Codec(Settings(threshold=100))
    return Line(by, limit, lambda *rest: DeflatingWebSocket(*rest, codec, agreed))


class Window:
    """A client's compression: zlib alone, as RFC 7692 says."""

    def __init__(self, bits: int = 15) -> None:
        self.stream = zlib.decompressobj(-bits)
        self.out = zlib.compressobj(6, zlib.DEFLATED, -15)

    def read(self, frames: list[tuple[int, bytes]]) -> list[bytes]:
        return [
            self.stream.decompress(payload + b"\0\0\xff\xff") if first & 0x40 else payload
            for first, payload in frames
        ]

    def packed(self, message: bytes) -> bytes:
        return (self.out.compress(message) + self.out.flush(zlib.Z_SYNC_FLUSH))[:-4]

    def text(self, message: str, kind: int = TEXT) -> bytes:
        return frame(kind, self.packed(message.encode()), rsv=COMPRESSED)


async def the_end_of_the_turn() -> None:
    await asyncio.sleep(0)
    await asyncio.sleep(0)


def chatter(number: int, size: int = 1000) -> str:
    """A text that can be compressed, and more so by somebody who has seen another."""
    words = " ".join(f"word{number * index % 97}" for index in range(size // 5))
    return f"{number}: {words}"[:size]


# -- in -------------------------------------------------------------------------------------------


@EACH
async def test_messages_of_every_kind(by: str) -> None:
    line, client = connected(by), Window()
    line.feed(client.text("one " * 50))
    line.feed(client.text("one " * 50))  # refers to the first
    line.feed(frame(TEXT, b"not compressed"))
    line.feed(frame(BINARY, client.packed(b"\1\2\3" * 50), rsv=COMPRESSED))
    line.feed(frame(TEXT, b"\x00", rsv=COMPRESSED))
    line.feed(client.text("grün " * 50))
    assert line.told.all == [
        "one " * 50,
        "one " * 50,
        "not compressed",
        b"\1\2\3" * 50,
        "",
        "grün " * 50,
    ]
    line.close()


@EACH
async def test_fragments(by: str) -> None:
    line, client = connected(by), Window()
    data = client.packed(("grün " * 50).encode())
    line.feed(frame(TEXT, data[:2], fin=False, rsv=COMPRESSED))
    line.feed(frame(PING, b"between"))
    line.feed(frame(CONTINUATION, data[2:5], fin=False) + frame(CONTINUATION, b"", fin=False))
    line.feed(frame(CONTINUATION, data[5:]))
    line.feed(frame(TEXT, b"in ", fin=False) + frame(CONTINUATION, b"two"))
    assert line.told.all == ["grün " * 50, "in two"]
    assert line.frames() == [(0x8A, b"between")]
    line.close()


@given(
    st.lists(st.tuples(st.text(max_size=300), st.booleans()), max_size=5),
    st.lists(st.integers(0, 40), max_size=20),
    st.lists(st.integers(1, 60), max_size=20),
    st.booleans(),
)
@effort(deadline=None)
def test_however_it_is_cut(
    texts: list[tuple[str, bool]], cuts: list[int], reads: list[int], takeover: bool
) -> None:
    """Into fragments, and by the network."""

    async def read(by: str) -> Any:
        line, client = connected(by, client_takeover=takeover), Window()
        data, sizes = b"", iter(cuts)
        for text, compress in texts:
            if not takeover:
                client = Window()
            rest = client.packed(text.encode()) or b"\x00" if compress else text.encode()
            kind, rsv = TEXT, COMPRESSED if compress else 0
            for size in sizes:
                data += frame(kind, rest[:size], fin=False, rsv=rsv)
                rest, kind, rsv = rest[size:], CONTINUATION, 0
                if not rest:
                    break
            data += frame(kind, rest, rsv=rsv)
        for size in [*reads, len(data)]:
            line.feed(data[:size])
            data = data[size:]
        line.close()
        return line.told.all

    meant = [*(text for text, _ in texts), None]
    assert asyncio.run(read("picows")) == asyncio.run(read("aiohttp")) == meant


BOMB = Window().packed(bytes(100_000_000))
WRONG = {
    "a continuation that says it is compressed": (
        frame(TEXT, b"x", fin=False) + frame(CONTINUATION, b"x", rsv=COMPRESSED),
        1002,
    ),
    "rsv2": (frame(TEXT, b"x", rsv=COMPRESSED | 2), 1002),
    "rsv3": (frame(TEXT, b"x", rsv=1), 1002),
    "nonsense": (frame(TEXT, b"\xff\xff\xff", rsv=COMPRESSED), 1007),
    "nothing": (frame(TEXT, b"\x07", rsv=COMPRESSED), 1007),
    "not utf-8": (frame(TEXT, Window().packed(b"\xff" * 200), rsv=COMPRESSED), 1007),
    "a bomb": (frame(BINARY, BOMB, rsv=COMPRESSED), 1009),
    "a small bomb": (frame(BINARY, Window().packed(bytes(2_000_001)), rsv=COMPRESSED), 1009),
}


@EACH
@pytest.mark.parametrize(("data", "code"), WRONG.values(), ids=WRONG.keys())
async def test_what_is_refused(by: str, data: bytes, code: int) -> None:
    line = connected(by)
    line.feed(data)
    frames: list[tuple[int, bytes]] = []
    await until(lambda: frames.extend(line.frames()) or frames)
    assert [(kind, payload[:2]) for kind, payload in frames] == [(0x88, code.to_bytes(2, "big"))]
    assert line.told.all == []
    line.close()


async def test_a_compressed_control_frame_is_refused() -> None:
    """aiohttp's parser does not tell; the payload is never inflated there either."""
    line = connected("picows")
    line.feed(frame(PING, b"x", rsv=COMPRESSED))
    [(kind, payload)] = line.frames()
    assert (kind, payload[:2]) == (0x88, b"\x03\xea")
    line.close()


async def test_a_bomb_costs_no_more_than_the_limit() -> None:
    import tracemalloc

    line = connected(limit=400_000)
    tracemalloc.start()
    try:
        line.feed(frame(BINARY, BOMB, rsv=COMPRESSED))
        await until(lambda: line.ws._closing)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(BOMB) < 100_000
    assert most < 2_000_000
    line.close()


class Gate:
    """Holds up the threads of a codec."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open, self.most, self._now = threading.Event(), 0, 0
        lock = threading.Lock()
        before = Codec.on_thread

        def on_thread(codec: Codec, work: Any, done: Any) -> None:
            def gated() -> Any:
                with lock:
                    self._now += 1
                    self.most = max(self.most, self._now)
                try:
                    assert self.open.wait(10)
                    return work()
                finally:
                    with lock:
                        self._now -= 1

            before(codec, gated, done)

        monkeypatch.setattr(Codec, "on_thread", on_thread)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    return Gate(monkeypatch)


@EACH
async def test_a_large_message_is_inflated_by_a_thread_and_keeps_its_place(
    by: str, gate: Gate
) -> None:
    line, client = connected(by), Window()
    large = chatter(1, 900_000)
    data = client.text(large) + client.text(large[:500_000]) + frame(PING, b"?")
    line.feed(frame(TEXT, b"before") + data + frame(TEXT, b"after"))
    await the_end_of_the_turn()
    assert line.told.all == ["before"]
    assert (line.tcp.reading, line.ws._codec.now()["large"]) == (False, 1)
    assert line.frames() == []
    gate.open.set()
    await until(lambda: len(line.told.all) == 4)
    assert line.told.all == ["before", large, large[:500_000], "after"]
    assert line.frames() == [(0x8A, b"?")]
    assert line.tcp.reading
    await line.ws._codec.stop()
    line.close()


@EACH
async def test_whoever_pauses_meanwhile_stays_paused(by: str, gate: Gate) -> None:
    line, client = connected(by), Window()
    line.feed(client.text(chatter(1, 900_000)))
    line.ws.pause_reading()
    line.ws.resume_reading()
    assert not line.tcp.reading  # it is still being inflated
    line.ws.pause_reading()
    gate.open.set()
    await until(lambda: line.told.all)
    assert not line.tcp.reading
    line.ws.resume_reading()
    assert line.tcp.reading
    line.close()


@EACH
async def test_the_connection_ends_meanwhile(by: str, gate: Gate) -> None:
    line, client = connected(by), Window()
    line.feed(client.text(chatter(1, 900_000)) + frame(TEXT, b"after"))
    line.close()
    gate.open.set()
    await until(lambda: not line.ws._codec.now()["large"])
    await the_end_of_the_turn()
    assert line.told.all == [None]


@EACH
async def test_the_server_stops_meanwhile(by: str, gate: Gate) -> None:
    codec = Codec(Settings(concurrency=1))
    lines, client = [connected(by, codec) for _ in range(3)], Window()
    data = client.text(chatter(1, 900_000))
    for line in lines:
        line.feed(data)
    stopping = asyncio.create_task(codec.stop())
    await the_end_of_the_turn()
    gate.open.set()
    await soon(stopping)
    await the_end_of_the_turn()
    assert lines[0].told.all == [chatter(1, 900_000)]
    assert [line.frames() for line in lines[1:]] == [[(0x88, b"\x03\xe9")]] * 2
    for line in lines:
        line.close()


async def test_no_more_threads_than_allowed(gate: Gate) -> None:
    codec = Codec(Settings(concurrency=2))
    lines = [connected("aiohttp", codec) for _ in range(6)]
    for line in lines:
        line.feed(Window().text(chatter(1, 900_000)))
    await until(lambda: gate.most == 2)
    assert codec.now()["large"] == 6
    gate.open.set()
    await until(lambda: all(line.told.all for line in lines))
    assert gate.most == 2
    await codec.stop()
    for line in lines:
        line.close()


async def test_a_fault_of_ours_on_the_thread(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(module, "_to_the_end", fails)
    monkeypatch.setattr(Codec, "_compress", fails)
    codec = Codec(Settings())
    one, two = connected("aiohttp", codec), connected("aiohttp", codec)
    one.feed(Window().text(chatter(1, 900_000)))
    out = Outgoing([chatter(2, 100_000)])
    two.ws.send(out)
    await until(lambda: not codec.now()["large"])
    await the_end_of_the_turn()
    assert one.frames() == [(0x88, b"\x03\xf3")]
    await the_end_of_the_turn()
    assert two.tcp.written == out.frames
    assert "could not be compressed" in caplog.text
    assert "could not be inflated" in caplog.text
    one.close()
    two.close()


# -- out ------------------------------------------------------------------------------------------


def alone(*parts: str | bytes) -> Outgoing:
    out = Outgoing([*parts])
    out.alone = True
    return out


async def sent(line: Line, *outs: Outgoing) -> list[tuple[int, bytes]]:
    for out in outs:
        assert line.ws.send(out)
    await the_end_of_the_turn()
    return line.frames()


async def test_the_threshold() -> None:
    line = connected()
    small, exact = Outgoing(["x" * 98]), Outgoing(["x" * 99])  # and the packet's type
    (first, second) = await sent(line, small, exact)
    assert first == (0x81, b"4" + b"x" * 98)
    assert second[0] == 0xC1
    assert len(second[1]) < 20
    assert Window().read([second]) == [b"4" + b"x" * 99]
    # each message of a packet for itself
    parts = await sent(line, Outgoing(['51-["a"]', b"y" * 500, b"z"]))
    assert [first for first, _ in parts] == [0x81, 0xC2, 0x82]
    assert Window().read(parts) == [b'451-["a"]', b"y" * 500, b"z"]
    line.close()


@pytest.mark.parametrize("out", [Outgoing, alone])
async def test_what_gets_no_smaller(out: Any) -> None:
    """Stays as it is, unless the compressor has seen it: then the client must, too."""
    line, client = connected(), Window()
    noise = bytes(number * number * 131 % 251 for number in range(150))
    frames = await sent(line, out([noise]) if out is Outgoing else out(noise))
    assert client.read(frames) == [noise]
    assert frames[0][0] == (0x82 if out is Outgoing else 0xC2)
    assert client.read(await sent(line, out(["a" * 500]) if out is Outgoing else out("a" * 500)))
    line.close()


async def test_an_empty_message_is_never_compressed() -> None:
    line = connected(codec=Codec(Settings(threshold=0)))
    assert await sent(line, alone(b""), Outgoing([b""])) == [(0x82, b"")] * 2
    line.close()


async def test_a_broadcast_is_compressed_once_for_each_window() -> None:
    codec = Codec(Settings())
    lines = [connected("aiohttp", codec, bits=9 + number % 3) for number in range(30)]
    out, made = Outgoing([chatter(1, 3000)]), []
    before = codec._compress

    def compress(*rest: Any, **more: Any) -> bytes:
        made.append(rest)
        return before(*rest, **more)

    codec._compress = compress  # type: ignore[method-assign]
    for line in lines:
        line.ws.send(out)
    await the_end_of_the_turn()
    assert len(made) == len(out.compressed) == 3
    for number, line in enumerate(lines):
        assert Window(9 + number % 3).read(line.frames()) == [b"4" + chatter(1, 3000).encode()]
        line.close()
    assert codec.bytes["out_plain"] == 3 * len(out.frames)
    assert 0 < codec.bytes["out_deflated"] < codec.bytes["out_plain"]


async def test_what_one_client_gets_refers_to_what_it_had() -> None:
    line, client = connected(), Window()
    first, again = await sent(line, alone(chatter(1)), alone(chatter(1)))
    assert len(again[1]) * 5 < len(first[1])
    assert client.read([first, again]) == [b"4" + chatter(1).encode()] * 2
    # what is not compressed changes nothing
    between, third = await sent(line, Outgoing(["x"]), alone(chatter(1)))
    assert client.read([between, third]) == [b"4x", b"4" + chatter(1).encode()]
    assert len(third[1]) < len(again[1]) + 5
    # what others get too comes between
    shared, fourth = await sent(line, Outgoing([chatter(2)]), alone(chatter(1)))
    assert client.read([shared, fourth]) == [b"4" + chatter(n).encode() for n in (2, 1)]
    assert len(fourth[1]) == len(first[1])
    line.close()


async def test_a_client_that_keeps_nothing() -> None:
    line = connected(server_takeover=False)
    first, again = await sent(line, alone(chatter(1)), alone(chatter(1)))
    assert first == again
    assert line.ws._codec.now()["contexts"] == 0
    line.close()


async def test_contexts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """All clients understand what they get, whoever has a compressor of its own just now."""
    monkeypatch.setattr(module, "MAX_CONTEXTS", 3)
    monkeypatch.setattr(module, "PATIENCE", 3)
    codec = Codec(Settings(threshold=10))
    lines = [connected("aiohttp", codec) for _ in range(5)]
    windows = [Window() for _ in lines]
    for order, own in [
        ([0, 1, 2, 0, 3, 4], [0, 1, 2]),  # 3 and 4 are turned away
        ([3], [0, 2, 3]),  # and then not, at the cost of 1
        ([2, 0, 3, 4, 1], [0, 2, 3]),
        ([1], [0, 1, 3]),
    ]:
        for number in order:
            frames = await sent(lines[number], alone(chatter(1)))
            assert windows[number].read(frames) == [b"4" + chatter(1).encode()]
        assert [lines.index(line) for line in lines if line.ws in codec._contexts] == own
    for line in lines:
        line.close()
    assert codec.now()["contexts"] == 0


async def test_what_was_refused_leaves_no_trace() -> None:
    """The compressor has seen it, the client has not."""
    line, client = connected(), Window()
    assert client.read(await sent(line, alone(chatter(1))))
    line.ws.pause_writing()
    line.tcp.get_write_buffer_size = lambda: 1000
    assert not line.ws.send(alone(chatter(2)), 1000)
    line.ws.resume_writing()
    line.tcp.get_write_buffer_size = lambda: 0
    frames = await sent(line, alone(chatter(2)), alone(chatter(3)))
    assert client.read(frames) == [b"4" + chatter(n).encode() for n in (2, 3)]
    line.close()


async def test_a_large_packet_is_compressed_by_a_thread_and_keeps_its_place(gate: Gate) -> None:
    codec = Codec(Settings())
    lines = [connected("aiohttp", codec) for _ in range(3)]
    large = Outgoing([chatter(1, 100_000)])
    texts = [chatter(0, 2000), chatter(1, 100_000), "small", chatter(2, 2000), chatter(1, 100_000)]
    outs = [alone(texts[0]), large, Outgoing(["small"]), alone(texts[3]), large]
    for line in lines:
        for out in outs:
            assert line.ws.send(out)
    await the_end_of_the_turn()
    assert [len(Window().read(line.frames())) for line in lines] == [1] * 3
    assert lines[0].ws.backlog == sum(len(out.frames) for out in outs[1:])
    assert codec.now()["large"] == 1  # for all of them
    waiting = asyncio.create_task(lines[0].ws.drained())
    gate.open.set()
    await soon(waiting)
    await until(lambda: not codec.now()["large"])
    await the_end_of_the_turn()
    for line in lines:
        client = Window()
        assert client.read(line.frames()) == [b"4" + text.encode() for text in texts[1:]]
        assert line.ws.backlog == 0
        line.close()
    await codec.stop()


async def test_closing_waits_for_no_thread(gate: Gate) -> None:
    line = connected()
    line.ws.send(Outgoing([chatter(1, 100_000)]))
    line.ws.send(Outgoing(["last"]))
    line.ws.close(1001)
    text, last, close = line.frames()
    assert (text[0], len(text[1])) == (0x81, 100_001)
    assert (last, close) == ((0x81, b"4last"), (0x88, b"\x03\xe9"))
    assert line.ws.send(Outgoing([chatter(2, 100_000)]))
    gate.open.set()
    await until(lambda: not line.ws._codec.now()["large"])
    await the_end_of_the_turn()
    assert line.frames() == []
    line.close()


async def test_aborting_drops_what_waits_and_lets_go_of_who_waits(gate: Gate) -> None:
    line = connected()
    line.ws.send(Outgoing([chatter(1, 100_000)]))
    waiting = asyncio.create_task(line.ws.drained())
    await the_end_of_the_turn()
    assert not waiting.done()
    line.ws.abort()
    line.ws.on_gone()
    await soon(waiting)
    assert line.ws.backlog == 0
    gate.open.set()
    await until(lambda: not line.ws._codec.now()["large"])
    assert line.frames() == []
    for end in line.tcp.ends:
        end.close()


async def test_what_waits_for_a_thread_counts_against_the_limit(gate: Gate) -> None:
    line = connected()
    assert line.ws.send(Outgoing([chatter(1, 100_000)]), 120_000)  # one of any size
    assert line.ws.send(Outgoing(["x" * 10_000]), 120_000)
    assert not line.ws.send(Outgoing(["x" * 10_000]), 120_000)
    gate.open.set()
    await until(lambda: line.ws.backlog == 0)
    assert len(Window().read(line.frames())) == 2
    line.close()


PACKETS = st.lists(
    st.tuples(
        st.sampled_from([10, 200, 3000, 40_000]), st.integers(0, 3), st.booleans(), st.booleans()
    ),
    max_size=12,
)


@given(PACKETS, st.integers(9, 15), st.booleans())
@effort(deadline=None, max_examples=60)
def test_whatever_is_sent_is_understood(packets: list[Any], bits: int, takeover: bool) -> None:
    """To one or to many, small or large, in order, by a client that has nothing but zlib."""

    async def run() -> None:
        codec = Codec(Settings(threshold=100))
        kinds = [{"bits": bits, "server_takeover": takeover}, {"bits": 15}]
        lines = [connected("aiohttp", codec, **kind) for kind in kinds]
        meant: list[list[bytes]] = [[], []]
        for size, number, single, wait in packets:
            text = chatter(number, size)
            out = alone(text) if single else Outgoing([text])
            for line, texts in zip(lines[: 1 if single else 2], meant, strict=False):
                assert line.ws.send(out)
                texts.append(b"4" + text.encode())
            if wait:
                await until(lambda: not codec.now()["large"])
        await until(lambda: not codec.now()["large"])
        await the_end_of_the_turn()
        for line, window, texts in zip(lines, (bits, 15), meant, strict=True):
            assert Window(window).read(line.frames()) == texts
            line.close()
        await codec.stop()

    asyncio.run(run())
