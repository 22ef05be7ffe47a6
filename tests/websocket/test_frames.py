"""Frames as another implementation reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.frame_protocol import FrameProtocol

from sioserver.websocket.frames import BINARY, TEXT, frame


def read(data: bytes) -> list[str | bytes]:
    """What another implementation's client reads."""
    protocol = FrameProtocol(client=True, extensions=[])
    protocol.receive_bytes(data)
    messages: list[str | bytes] = []
    for found in protocol.received_frames():
        assert found.frame_finished
        assert found.message_finished
        messages.append(found.payload if isinstance(found.payload, str) else bytes(found.payload))
    return messages


@given(st.binary(max_size=300), st.text(st.characters(exclude_categories=["Cs"]), max_size=300))
def test_another_implementation_reads_the_frames(binary: bytes, text: str) -> None:
    both = frame(BINARY, binary) + frame(TEXT, text.encode())
    assert read(both) == [binary, text]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 200_000])
def test_each_form_of_length(size: int) -> None:
    assert b"".join(read_all(frame(BINARY, b"x" * size))) == b"x" * size


def read_all(data: bytes) -> list[bytes]:
    protocol = FrameProtocol(client=True, extensions=[])
    protocol.receive_bytes(data)
    return [bytes(found.payload) for found in protocol.received_frames()]
