"""Engine.IO's own packets, on both transports."""

from __future__ import annotations

from sioserver.transport.control import PING_PACKET, Control


def test_control_packets_are_no_messages() -> None:
    assert Control("2").packets == ["2"]
    assert Control("2").frames == b"\x81\x012"


def test_a_ping_is_the_same_for_all() -> None:
    assert (PING_PACKET.packets, PING_PACKET.frames) == (["2"], b"\x81\x012")
