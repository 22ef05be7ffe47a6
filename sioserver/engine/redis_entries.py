"""How the entries of a room's log are packed: as they are stored, and told to the nodes.

A message is [id, user, name, at, body], or [id, user, name, at, reply_to, mentions, body]; the body
comes last, so that a script can put another in its place. An operation is packed by the script that
numbers it: [id, user, name, at, kind, target, emoji, on, count], and the new body behind that where
an edit is told whole. Offsets and numbers are beside them. Nothing here knows where that is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal

import msgspec

from sioserver.model import NO_REACTIONS, Message

_Kind = Literal["edit", "delete", "reaction"]
_Reactions = list[str | tuple[str, ...]]

_encode: Final = msgspec.msgpack.Encoder().encode
_plain: Final = msgspec.msgpack.Decoder(tuple[str, str, str, int, Any]).decode
_addressed: Final = msgspec.msgpack.Decoder(
    tuple[str, str, str, int, int | str | None, tuple[str, ...], Any]
).decode
_operation: Final = msgspec.msgpack.Decoder(
    tuple[str, str, str, int, _Kind, int, str, bool, int]
).decode
_edit: Final = msgspec.msgpack.Decoder(
    tuple[str, str, str, int, _Kind, int, str, bool, int, Any]
).decode
_state: Final = msgspec.msgpack.Decoder(tuple[int, int, int, _Reactions]).decode

_PLAIN: Final = b"\x95"
_ADDRESSED: Final = b"\x97"
_OPERATION: Final = b"\x99"
_EDIT: Final = b"\x9a"


def pack(
    id: str,
    user: str,
    name: str,
    at: int,
    body: Any,
    reply_to: int | str | None = None,
    mentions: Sequence[str] = (),
) -> bytes:
    """A message. Raises what msgspec raises: TypeError, ValueError, OverflowError or
    RecursionError."""
    if reply_to is None and not mentions:
        return _encode((id, user, name, at, body))
    return _encode((id, user, name, at, reply_to, mentions, body))


def pack_body(body: Any) -> bytes:
    """The body alone, as it is in the message; raises as `pack` does."""
    return _encode(body)


def unpack(offset: int, data: bytes, number: int) -> Message:
    """Read an entry; raises ValueError (msgspec's are of that kind) or RecursionError. An edit
    that comes without its body has None."""
    shape = data[:1]
    if shape == _PLAIN:
        id, user, name, at, body = _plain(data)
        return Message(id, offset, user, name, body, at, number)
    if shape == _ADDRESSED:
        id, user, name, at, reply_to, mentions, body = _addressed(data)
        return Message(
            id, offset, user, name, body, at, number, reply_to=reply_to, mentions=mentions
        )
    if shape == _EDIT:
        id, user, name, at, kind, target, emoji, on, count, body = _edit(data)
    else:
        id, user, name, at, kind, target, emoji, on, count = _operation(data)
        body = None
    if not 0 < target < offset:
        raise ValueError(f"an operation {offset} on the message {target}")
    return Message(
        id, offset, user, name, body, at, number, kind,
        target=target, emoji=emoji, on=on, count=count,
    )  # fmt: skip


def opening(message: Message) -> bytes:
    """How the packed entry begins behind its first byte, so far that no other entry of the room
    begins so. What is done to a message changes nothing in that."""
    begin = _encode(message.id) + _encode(message.user)
    if message.kind == "message":
        return begin
    return begin + _encode(message.name) + _encode(message.at)


def entries(
    found: Sequence[Any], states: Sequence[bytes] | None
) -> Iterator[tuple[int, Message | None, int]]:
    """What a script answered: `found` is [offset, packed entry, ...], `states` what became of each
    since ({number, edited, deleted, reactions}, packed), or None where nothing did. Offset, entry
    (None: it cannot be read) and bytes of each."""
    offsets, packed = found[::2], found[1::2]
    if states is None:
        for offset, data in zip(offsets, packed, strict=True):
            try:
                yield offset, unpack(offset, data, offset), len(data)
            except (ValueError, RecursionError):
                yield offset, None, len(data)
        return
    bodies: dict[int, Any] = {}
    for offset, data, state in zip(offsets, packed, states, strict=True):
        try:
            yield offset, _as_it_is(offset, data, state, bodies), len(data)
        except (ValueError, RecursionError):
            yield offset, None, len(data)


def _as_it_is(offset: int, data: bytes, state: bytes, bodies: dict[int, Any]) -> Message:
    """`bodies`: of the messages that edits before were about. Each is told once."""
    number, edited, deleted, flat = _state(state)
    message = unpack(offset, data, number)
    if message.kind == "edit":
        if data[:1] == _EDIT:
            bodies[message.target] = message.body
        elif message.target in bodies:
            return msgspec.structs.replace(message, body=bodies[message.target])
        return message
    if not (edited or deleted or flat):
        return message
    reactions: Any = dict(zip(flat[::2], flat[1::2], strict=True)) if flat else NO_REACTIONS
    return msgspec.structs.replace(message, edited=edited, deleted=deleted, reactions=reactions)
