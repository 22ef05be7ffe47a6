"""Socket.IO packets, read as strictly as the reference parser reads them (protocol v5).

Pure: text in, `Packet` out, or `ValueError`; the connection closes whoever sends something else.
What is stricter than the reference is said below, with the reason. Knows no connection.
"""

from __future__ import annotations

import re
from typing import Any, Final

import orjson
from socketio import packet as stock

from sioserver.wire.strict import MAX_DEPTH, StrictJSON, depth

MAX_ATTACHMENTS: Final = 10
"""As socket.io-parser >= 4.2.6; clients close on more (CVE-2026-33151)."""

MAX_ACK_ID: Final = 2**53 - 1
"""Ack ids stay exact in JavaScript."""

MAX_NAMESPACE: Final = 1600
"""Characters of a namespace's name: it is kept for a while, also when nobody was let in. The
longest is that of a room of two, whose user has 128 characters of four bytes, percent-encoded."""

RESERVED: Final = frozenset(
    {
        "connect",
        "connect_error",
        "disconnect",
        "disconnecting",
        "newListener",
        "removeListener",
    }
)
"""Names that no client may use: they would run the server's own handlers."""

INTERNAL: Final = "__"
"""How the names begin that the libraries use among themselves; no client may use those either."""

_HEAD: Final = re.compile(r"([0-6])(?:([0-9]{1,10})-)?(?:(/[^,]*),?)?([0-9]{1,16})?", re.ASCII)


def fits(kind: int, data: Any) -> bool:
    """socket.io-parser's isPayloadValid."""
    match kind:
        case stock.CONNECT:
            return data is None or isinstance(data, dict)
        case stock.DISCONNECT:
            return data is None
        case stock.CONNECT_ERROR:
            return isinstance(data, (str, dict))
        case stock.EVENT | stock.BINARY_EVENT:
            if not isinstance(data, list) or not data:
                return False
            name = data[0]
            if isinstance(name, bool) or not isinstance(name, (str, int, float)):
                return False
            return not (isinstance(name, str) and (name in RESERVED or name[:2] == INTERNAL))
        case _:
            return isinstance(data, list)


def check(foreign: Any) -> None:
    """Is it what the parser here would have let through? Raises ValueError.

    For the packets of other serializers (msgpack), which have parsers of their own.
    """
    kind, namespace, ack = foreign.packet_type, foreign.namespace, foreign.id
    if type(kind) is not int or not 0 <= kind <= stock.BINARY_ACK:
        raise ValueError("unknown packet type")
    if namespace is not None and (
        not isinstance(namespace, str)
        or not namespace.startswith("/")
        or len(namespace) > MAX_NAMESPACE
    ):
        raise ValueError("illegal namespace")
    if ack is not None and (type(ack) is not int or not 0 <= ack <= MAX_ACK_ID):
        raise ValueError("the ack id is out of range")
    if not fits(kind, foreign.data):
        raise ValueError("the payload does not fit the packet")


def plain(kind: int, namespace: str, id: int | None, data: Any) -> str | None:
    """The text of a packet without attachments; None when its data hold binaries, or something else
    that only `Packet` can encode. It looks through all data first, and takes ten times as long."""
    try:
        text = orjson.dumps(data, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:
        return None
    where = "" if namespace == "/" else namespace + ","
    return f"{kind}{where}{'' if id is None else id}{text}"


# The stubs describe what users of python-socketio call; who extends it needs more.
Base: Any = stock.Packet


class Packet(Base):
    """A Socket.IO packet: the stock one with a strict decoder."""

    json = StrictJSON

    def __init__(self, *args: Any, encoded_packet: Any = None, **options: Any) -> None:
        if not encoded_packet:
            super().__init__(*args, **options)
            return
        # the stock constructor looks for binaries in data that are not there yet
        self.attachments: list[bytes] = []
        self.id: int | None = None
        self.attachment_count = self.decode(encoded_packet)

    def decode(self, encoded_packet: Any) -> int:
        """Read the text of a packet; returns how many binary attachments follow.

        Raises ValueError for everything that socket.io-parser 4.2.7 refuses, and for nesting
        beyond `MAX_DEPTH` and ack ids beyond `MAX_ACK_ID`.
        """
        if not isinstance(encoded_packet, str):
            raise ValueError("binary without a packet to belong to")
        head = _HEAD.match(encoded_packet)
        if head is None:
            raise ValueError("unknown packet type")
        kind, attachments, namespace, ack = head.groups()
        self.packet_type = int(kind)
        binary = self.packet_type in (stock.BINARY_EVENT, stock.BINARY_ACK)
        if binary != (attachments is not None):
            raise ValueError("illegal attachments")
        count = int(attachments) if binary else 0
        if binary and not 0 < count <= MAX_ATTACHMENTS:
            raise ValueError("illegal number of attachments")
        if namespace is not None and len(namespace) > MAX_NAMESPACE:
            raise ValueError("the namespace's name is too long")
        self.namespace = namespace and namespace.partition("?")[0]
        if ack is not None:
            self.id = int(ack)
            if self.id > MAX_ACK_ID:
                raise ValueError("the ack id is out of range")
        text = encoded_packet[head.end() :]
        if text:
            if text.count("[") + text.count("{") > MAX_DEPTH and depth(text) > MAX_DEPTH:
                raise ValueError("nested too deeply")
            self.data = self.json.loads(text)
            if self.json is not StrictJSON:
                StrictJSON.loads(text)  # other codecs take NaN, which closes whoever it is sent to
            if self.data is None:
                raise ValueError("null is no payload")
        else:
            self.data = None
        if not fits(self.packet_type, self.data):
            raise ValueError("the payload does not fit the packet")
        return count

    def add_attachment(self, attachment: Any) -> bool:
        """Take the next attachment; True when the packet is complete. Raises ValueError."""
        if not isinstance(attachment, (bytes, bytearray)):
            raise ValueError("a text where an attachment was due")
        return bool(super().add_attachment(bytes(attachment)))

    @classmethod
    def reconstruct_binary(cls, data: Any, attachments: list[bytes]) -> Any:
        """The data with each attachment in its place. Raises ValueError."""
        return cls._reconstruct_binary_internal(data, list(attachments))

    @classmethod
    def _reconstruct_binary_internal(cls, data: Any, attachments: list[Any]) -> Any:
        # The stock method takes any `num`: from the end, or of any type (CVE-2022-2421). And any
        # number of times, so that a small packet, sent on to a room, becomes an enormous one with
        # more attachments than clients take: here each is used once, as every encoder does.
        if isinstance(data, list):
            return [cls._reconstruct_binary_internal(item, attachments) for item in data]
        if isinstance(data, dict):
            if data.get("_placeholder") is True:
                number = data.get("num")
                if type(number) is not int or not 0 <= number < len(attachments):
                    raise ValueError("illegal attachments")
                attachment, attachments[number] = attachments[number], None
                if attachment is None:
                    raise ValueError("an attachment is used twice")
                return attachment
            return {
                name: cls._reconstruct_binary_internal(value, attachments)
                for name, value in data.items()
            }
        return data
