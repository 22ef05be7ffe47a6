"""Engine.IO polling payloads (protocol v4): packets with a separator between them.

Pure: bytes to packets and back.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable

from sioserver.transport.frames import SEPARATOR

_SEPARATOR = SEPARATOR.encode()


class TooMany(ValueError):
    """More packets than one POST may bring."""


def decode(body: bytes, most: int) -> list[str | bytes]:
    """The packets of a POST body: texts with their type in front, binary messages as bytes.

    Raises ValueError for a body that is not UTF-8 or has an empty or malformed packet in it, and
    `TooMany` for one with more than `most` packets: half a million of two bytes fit into a body of
    a usual size, and each costs far more than its bytes.
    """
    if body.count(_SEPARATOR) >= most:
        raise TooMany(f"more than {most} packets")
    packets: list[str | bytes] = []
    for packet in body.decode().split(SEPARATOR):
        if not packet:
            raise ValueError("an empty packet")
        if packet[0] == "b":
            try:
                packets.append(base64.b64decode(packet[1:], validate=True))
            except binascii.Error as error:
                raise ValueError("malformed base64") from error
        else:
            packets.append(packet)
    return packets


def encode(packets: Iterable[str]) -> bytes:
    """The body of the answer to a poll."""
    return SEPARATOR.join(packets).encode()
