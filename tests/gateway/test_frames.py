"""Messages that are encoded once."""

from __future__ import annotations

from sioserver.gateway.frames import NOTHING, Frames
from sioserver.websocket.frames import BINARY, TEXT, frame


def test_texts_and_binary_one_behind_the_other() -> None:
    out = Frames(["grün", b"\0"])
    assert out.frames == frame(TEXT, "grün".encode()) + frame(BINARY, b"\0")
    assert list(out.messages()) == [(TEXT, "grün".encode()), (BINARY, b"\0")]
    assert not out.alone


def test_nothing_is_nothing() -> None:
    assert NOTHING.frames == b""
    assert list(NOTHING.messages()) == []
