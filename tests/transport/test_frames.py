"""What goes out, in each form."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.frame_protocol import FrameProtocol

from sioserver.transport import frames
from sioserver.transport.frames import Outgoing


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


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])) | st.binary(), min_size=1))
def test_the_forms_say_the_same(parts: list[str | bytes]) -> None:
    out = Outgoing(parts)
    over_websocket = read(out.frames)
    over_polling = [
        base64.b64decode(packet[1:]) if packet[0] == "b" else packet for packet in out.packets
    ]
    wanted = ["4" + part if isinstance(part, str) else part for part in parts]
    assert over_websocket == over_polling == wanted


def test_each_form_is_made_once_and_only_when_needed() -> None:
    out = Outgoing(["hello", b"\1"])
    assert out._payload is None
    with pytest.raises(AttributeError):
        Outgoing.frames.__get__(out)  # the slot is empty
    assert out.frames is out.frames
    assert out.packets is out.packets
    with pytest.raises(AttributeError, match="nothing"):
        out.nothing  # noqa: B018


def test_ping_is_an_engineio_packet() -> None:
    assert read(frames.PING) == ["2"]


def test_an_outgoing_packets_messages() -> None:
    out = Outgoing(["x", b"\1"])
    assert list(out.messages()) == [(0x81, b"4x"), (0x82, b"\1")]
    assert (out.alone, out.compressed) == (False, {})
    assert out.compressed is out.compressed
    with pytest.raises(AttributeError):
        _ = out.nothing
