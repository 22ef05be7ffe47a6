"""The native dialect: frames `[event, data, id]`, as JSON texts or as msgpack.

Pure: frames to values and back, or ValueError for what is no frame. What the events mean is the
same as over Socket.IO, and is not known here.
"""

from __future__ import annotations

import json
from typing import Any, Final, Protocol

import msgspec
import orjson

from sioserver.gateway.tutorial import binary
from sioserver.model import Event
from sioserver.wire.names import SERVER_EVENTS
from sioserver.wire.strict import MAX_DEPTH, StrictJSON, check_plain, depth

JOIN: Final = "join"
"""The first event of a client: [join, {room, token | user, name, position, pid}, id]."""
ACK: Final = "ack"
"""The answer to the frame with this id: [ack, {ok, ...}, id]."""

MAX_ACK: Final = 2**53 - 1
MAX_ARGS: Final = 100
"""What one frame may bring along."""


class Ask(msgspec.Struct, frozen=True):
    """A frame of a client."""

    event: str | float
    args: list[Any]
    ack: int | None
    """The number of the answer that is waited for."""


def read(frame: Any) -> Ask:
    """[event, data?, id?, more...]: data is the event's first argument, null stands for none, and
    what is behind the id are further ones. Raises ValueError."""
    if not isinstance(frame, list) or not 1 <= len(frame) <= MAX_ARGS:
        raise ValueError("a frame is a list: [event, data, id]")
    event = frame[0]
    if isinstance(event, bool) or not isinstance(event, (str, int, float)):
        raise ValueError("the event's name is a text")  # or a number, as over Socket.IO
    ack = frame[2] if len(frame) > 2 else None
    if ack is not None and (type(ack) is not int or not 0 <= ack <= MAX_ACK):
        raise ValueError("an id is a whole number from 0 to 2**53 - 1")
    more = frame[3:]
    data = frame[1] if len(frame) > 1 else None
    return Ask(event, [data, *more] if more or data is not None else [], ack)


def event_frame(event: Event) -> list[Any]:
    """[event, data], [event, data, position] of what is in the log, or [event, first argument,
    null, more..., sender] of what a room passes on (the first null where there is none)."""
    if event.position is not None:
        return [event.name, event.payload, str(event.position)]
    if event.before or event.name not in SERVER_EVENTS:
        first, *more = event.before or (None,)
        return [event.name, first, None, *more, event.payload]
    return [event.name, event.payload]


def ack_frame(answer: dict[str, Any], ack: int) -> list[Any]:
    """The answer to a frame."""
    return [ACK, answer, ack]


class Codec(Protocol):
    """How frames are written."""

    protocol: str
    """The name of the sub-protocol."""

    def loads(self, data: str | bytes) -> Any:
        """Read a message; raises ValueError."""

    def dumps(self, value: Any) -> str | bytes:
        """Write one."""


class Json:
    """JSON in text messages; binary in what others have posted is {"base64": text}."""

    protocol = "sioserver.v1"

    def loads(self, data: str | bytes) -> Any:
        """Read a message; raises ValueError."""
        if isinstance(data, bytes):
            raise ValueError("frames are text messages here")
        if data.count("[") + data.count("{") > MAX_DEPTH and depth(data) > MAX_DEPTH:
            raise ValueError("nested too deeply")
        return StrictJSON.loads(data)

    def dumps(self, value: Any) -> str:
        """Write one."""
        try:
            return orjson.dumps(value, default=binary, option=orjson.OPT_NON_STR_KEYS).decode()
        except TypeError:
            # half a surrogate pair, in the name of an event that is refused
            return json.dumps(value, default=binary, separators=(",", ":"), allow_nan=False)


class Msgpack:
    """msgpack in binary messages: what JSON has, and binary."""

    protocol = "sioserver.v1.msgpack"

    def loads(self, data: str | bytes) -> Any:
        """Read a message; raises ValueError."""
        if isinstance(data, str):
            raise ValueError("frames are binary messages here")
        try:
            found = msgspec.msgpack.decode(data)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            raise ValueError(f"not msgpack: {error}") from None
        check_plain(found)
        return found

    def dumps(self, value: Any) -> bytes:
        """Write one."""
        return msgspec.msgpack.encode(value)
