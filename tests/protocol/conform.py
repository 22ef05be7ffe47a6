"""Does something that was on the wire look as the registry says?"""

from __future__ import annotations

from typing import Any

import msgspec

from sioserver.protocol import CLIENT_EVENTS, SERVER_EVENTS, Place, shapes


def conforms(value: Any, kind: Any) -> None:
    """The value is of this kind, and has nothing besides. Raises AssertionError."""
    try:
        read = msgspec.convert(value, kind, strict=True)
    except msgspec.ValidationError as error:
        raise AssertionError(f"{error}: {value!r}") from error
    again = msgspec.to_builtins(read, builtin_types=(bytes, bytearray))
    assert again == value


def told(place: Place, event: str, args: list[Any]) -> None:
    """An event of the server, as a client got it."""
    row = SERVER_EVENTS[place, event]
    assert len(args) == 1 + row.durable, (event, args)
    conforms(args[0], row.payload)
    if row.durable:
        conforms(args[1], shapes.Position)


def answered(place: Place, event: str, answer: Any) -> None:
    """An answer of the server."""
    kind = CLIENT_EVENTS[place, event].answer if answer.get("ok") else shapes.Refused
    conforms(answer, kind)


def asked(place: Place, event: str, args: list[Any]) -> bool:
    """May a client ask so, by the registry?"""
    row = CLIENT_EVENTS[place, event]
    if not row.least <= len(args) <= len(row.arguments):
        return False
    try:
        for value, kind in zip(args, row.arguments, strict=False):
            msgspec.convert(value, kind, strict=True)
    except msgspec.ValidationError:
        return False
    return True
