"""Frames by way of aiohttp's parser, which must mean the same as by way of picows."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ..transport.kit import frame
from .readers import Line

CLOSE = 0x88


async def test_the_handshake() -> None:
    line = Line("aiohttp")
    assert line.answer == (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nX-More: 1\r\n\r\n"
    )
    line.close()
    assert line.told.all == [None]


async def test_two_connections_share_the_buffer_for_reading() -> None:
    one, two = Line("aiohttp"), Line("aiohttp")
    data = frame(1, b"hello")
    for piece in (data[:3], data[3:]):
        for line in (one, two):
            line.tcp.protocol.get_buffer(-1)[: len(piece)] = piece
            line.tcp.protocol.buffer_updated(len(piece))
    assert one.told.all == two.told.all == ["hello"]
    one.close()
    two.close()


def test_connections_of_two_loops_do_not() -> None:
    """They belong to two threads, and the kernel is read without the interpreter's lock."""
    lines = []
    for data in (b"one", b"two"):

        async def begin(data: bytes = frame(1, data)) -> None:
            lines.append((Line("aiohttp"), data))

        asyncio.run(begin())
    for line, data in lines:
        line.tcp.protocol.get_buffer(-1)[: len(data)] = data
    for line, data in lines:
        line.tcp.protocol.buffer_updated(len(data))
    assert [line.told.all for line, _ in lines] == [["one"], ["two"]]
    for line, _ in lines:
        line.close()


async def test_a_fault_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    line = Line("aiohttp")
    line.told.on_text = None  # type: ignore[assignment, method-assign]
    line.feed(frame(1, b"x") + frame(1, b"y"))
    assert "TypeError" in caplog.text
    assert line.tcp.written == b"\x88\x02\x03\xf3"
    line.close()


async def test_nothing_is_parsed_behind_the_end() -> None:
    line = Line("aiohttp")
    line.feed(frame(8, b""))
    line.feed(b"nonsense")
    assert line.tcp.written == b"\x88\x02\x03\xe8"
    line.close()
    assert line.told.all == [None]


PAYLOADS = st.one_of(
    st.binary(max_size=30),
    st.text(max_size=20).map(str.encode),
    st.integers(120, 130).map(lambda size: b"x" * size),
    st.sampled_from([b"x" * 199, b"x" * 200, b"x" * 201, b"\x03\xe8", b"\x03\xe8bye"]),
)
FRAMES = st.builds(
    frame,
    st.sampled_from([0, 0, 1, 1, 2, 8, 9, 10, 3, 11]),
    PAYLOADS,
    mask=st.sampled_from([True] * 9 + [False]),
    fin=st.sampled_from([True, True, False]),
    rsv=st.sampled_from([0] * 9 + [1, 2, 4]),
)


@given(st.lists(FRAMES, max_size=8).map(b"".join), st.lists(st.integers(1, 40), max_size=20))
def test_both_readers_mean_the_same(data: bytes, sizes: list[int]) -> None:
    """However the bytes come in: the same messages, the same answers, the same end."""

    async def read(reader: str) -> Any:
        line = Line(reader, 200)
        rest, answers = data, []
        for size in [*sizes, len(data)]:
            line.feed(rest[:size])
            rest = rest[size:]
            answers += line.frames()
        line.close()
        # picows looks one frame ahead, and closes for that one before the one before is handled
        pongs = [answer for answer in answers if answer[0] != CLOSE]
        return line.told.all, pongs, len(answers) - len(pongs)

    assert asyncio.run(read("picows")) == asyncio.run(read("aiohttp"))
