"""What python-socketio's managers tell each other on their channel: JSON in, values out, and back.

The format is python-socketio's own, so that its programs understand us and we understand them. What
is not exactly of this form is a ValueError. It must not know how messages travel, nor what they
lead to. (There are managers that take pickles, too: CVE-2025-61765. These here never do.)
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from socketio import packet as stock

from sioserver.transport.packet import Packet, fits
from sioserver.wire.strict import MAX_DEPTH, StrictJSON, depth

RoomName = str | int
Several = str | int | list[RoomName] | None


class Shared(msgspec.Struct, tag_field="method", kw_only=True):
    """What every message has."""

    host_id: str = ""
    """Who sent it: random, one for each manager."""
    n: int = 0
    """Ours count their messages, so that one that was published twice is heard once."""


class Emit(Shared, tag="emit"):
    """An event for clients."""

    event: str
    data: list[Any]
    namespace: str | None = None
    room: Several = None
    skip_sid: Several = None
    callback: tuple[str, str, int] | None = None
    """Room, namespace and number of the ack that `host_id` waits for."""
    binary: bool = False


class Disconnect(Shared, tag="disconnect"):
    """The node that has the client is to disconnect it."""

    sid: str
    namespace: str | None = None


class EnterRoom(Shared, tag="enter_room"):
    """The node that has the client is to put it into a room."""

    sid: str
    room: RoomName
    namespace: str | None = None


class LeaveRoom(Shared, tag="leave_room"):
    """The node that has the client is to take it out of a room."""

    sid: str
    room: RoomName
    namespace: str | None = None


class CloseRoom(Shared, tag="close_room"):
    """All are to take everybody out of a room."""

    room: RoomName
    namespace: str | None = None


class Replaced(Shared, tag="replaced"):
    """Ours only: a session was recovered on the node that says so; whoever still has its old
    connection is to close it."""

    sid: str
    namespace: str | None = None


class Callback(Shared, tag="callback"):
    """A client has acknowledged; `host_id` is who waits for it."""

    sid: str
    id: int
    args: list[Any]
    namespace: str | None = None
    binary: bool = False
    """Ours only: the stock managers cannot pass binary acks on."""


Message = Emit | Disconnect | EnterRoom | LeaveRoom | CloseRoom | Replaced | Callback

_MESSAGE: Final[Any] = Message


def read(payload: bytes, loads: Callable[[str], Any] = StrictJSON.loads) -> Message:
    """A message, with its binaries in their places. Raises ValueError. `loads` is the server's."""
    try:
        text = payload.decode()
        if depth(text) > MAX_DEPTH:
            raise ValueError("nested too deeply")
        message: Message = msgspec.convert(loads(text), _MESSAGE)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
    if isinstance(message, Emit):
        message.data = _whole(message.data, message.binary)
        if not fits(stock.EVENT, [message.event]):
            raise ValueError("a name that is reserved: clients would close the connection")
    elif isinstance(message, Callback):
        message.args = _whole(message.args, message.binary)
    return message


def emit(
    event: str,
    data: Any,
    namespace: str,
    *,
    room: Any,
    skip_sid: Any,
    callback: tuple[str, str, int] | None,
) -> dict[str, Any]:
    """The message of an `Emit`; `data` as `emit` takes it: a tuple is several arguments."""
    parts, binary = _parts(list(data) if isinstance(data, tuple) else [data])
    return {
        "method": "emit",
        "event": event,
        "data": parts,
        "binary": binary,
        "namespace": namespace,
        "room": _plain(room),
        "skip_sid": _plain(skip_sid),
        "callback": callback,
    }


def callback(sid: str, namespace: str, id: int, args: Sequence[Any]) -> dict[str, Any]:
    """The message of a `Callback`."""
    parts, binary = _parts(list(args))
    answer = {"method": "callback", "sid": sid, "namespace": namespace, "id": id, "args": parts}
    return answer | {"binary": True} if binary else answer


def arguments(data: list[Any]) -> Any:
    """The data of an `Emit` as `emit` takes them."""
    return data[0] if len(data) == 1 else tuple(data)


def _plain(names: Any) -> Any:
    """Several names as JSON has them."""
    return list(names) if isinstance(names, (tuple, set, frozenset)) else names


def _parts(data: list[Any]) -> tuple[list[Any], bool]:
    """As JSON carries it: the binaries behind it, in base64."""
    if not Packet.data_is_binary(data):
        return data, False
    whole, attachments = Packet.deconstruct_binary(data)
    return [whole, *(base64.b64encode(binary).decode() for binary in attachments)], True


def _whole(parts: list[Any], binary: bool) -> list[Any]:
    """The opposite of `_parts`. Raises ValueError."""
    if not binary:
        return parts
    if not parts or not all(isinstance(part, str) for part in parts[1:]):
        raise ValueError("illegal attachments")
    try:
        attachments = [base64.b64decode(part, validate=True) for part in parts[1:]]
    except binascii.Error as error:
        raise ValueError(f"illegal attachments: {error}") from None
    whole = Packet.reconstruct_binary(parts[0], attachments)
    if not isinstance(whole, list):
        raise ValueError("the data is no list")
    return whole
