"""Polling payloads."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sioserver.transport import payload

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x1e"))
PACKETS = TEXTS.map(lambda text: "4" + text) | st.binary(max_size=20)


@given(st.lists(PACKETS, min_size=1))
def test_round_trip(packets: list[str | bytes]) -> None:
    written = [
        packet if isinstance(packet, str) else "b" + base64.b64encode(packet).decode()
        for packet in packets
    ]
    assert payload.decode(payload.encode(written), 100) == packets


@given(st.binary())
def test_any_body_is_packets_or_a_value_error(body: bytes) -> None:
    try:
        packets = payload.decode(body, 100)
    except ValueError:
        return
    assert all(isinstance(packet, bytes) or packet for packet in packets)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"4a\x1e",
        b"\x1e4a",
        b"4a\x1e\x1e4b",
        b"4\xff",
        b"b!",
        b"bAQ",
        b"bAQ==AQ==",
        b"\xed\xa0\x80",
    ],
)
def test_malformed(body: bytes) -> None:
    with pytest.raises(ValueError):
        payload.decode(body, 100)


def test_there_may_be_many_packets() -> None:
    assert len(payload.decode(b"\x1e".join([b"4a"] * 5000), 5000)) == 5000
    with pytest.raises(payload.TooMany):
        payload.decode(b"\x1e".join([b"4a"] * 5001), 5000)
