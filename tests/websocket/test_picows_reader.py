"""Frames by way of picows: what is its own. The rest is in test_connection.py, for both readers."""

from __future__ import annotations

import logging

import pytest

from sioserver.websocket import connection as websocket

from ..transport.kit import frame
from .readers import Line


async def test_the_handshake() -> None:
    line = Line("picows")
    head = line.answer.decode().lower().split("\r\n")
    assert head[0].startswith("http/1.1 101 ")
    assert {"upgrade: websocket", "connection: upgrade", "x-more: 1"} < set(head)
    assert "sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=" in head
    line.close()
    assert line.told.all == [None]


async def test_reads_are_bounded() -> None:
    """picows doubles its buffer whenever a read fills it, without end."""
    line = Line("picows", 10_000_000)
    line.feed(frame(1, b"x" * 5_000_000))
    assert [len(text) for text in line.told.all] == [5_000_000]
    assert len(line.tcp.protocol.get_buffer(-1)) == websocket.READ_AT_ONCE
    line.close()


@pytest.mark.parametrize(
    "wrong",
    [frame(2, b"x" * 1001), frame(2, b"x", mask=False), frame(2, b"x", rsv=2), frame(3, b"x")],
    ids=["too large", "unmasked", "rsv", "opcode"],
)
async def test_a_wrong_frame_is_the_end(wrong: bytes) -> None:
    """picows itself hands out what it has refused when more comes."""
    line = Line("picows")
    line.feed(wrong[:4])
    line.feed(wrong[4:] + frame(1, b"more"))
    assert (line.told.all, line.tcp.closed) == ([], True)
    (answer,) = line.frames()
    assert answer[0] == 0x88
    line.close()


async def test_a_peers_faults_are_no_news_and_ours_are(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    line = Line("picows")
    line.feed(frame(3, b"x"))
    assert caplog.records == []
    line.close()
    line = Line("picows")
    line.told.on_text = None  # type: ignore[assignment, method-assign]
    line.feed(frame(1, b"x"))
    assert "TypeError" in caplog.text
    line.close()
