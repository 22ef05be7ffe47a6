"""How the arguments of any event are read: objects with known names, whole numbers in bounds.

Raises `Refusal("bad_request")` that says what was expected. Knows no event.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sioserver.errors import Refusal

MAX_ID: Final = 128

_ID: Final = re.compile(r"[!-~]{1,128}", re.ASCII)


def one_object(args: Sequence[Any], event: str) -> Any:
    """What an event comes with that takes one object, or nothing (None)."""
    if len(args) > 1:
        raise Refusal("bad_request", f"{event} takes one object")
    return args[0] if args else None


def options(value: Any, event: str, names: set[str]) -> Mapping[str, Any]:
    """An object with some of these names; None is an empty one."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Refusal("bad_request", f"{event}: the options are an object")
    if unknown := value.keys() - names:
        known = ", ".join(sorted(names))
        raise Refusal("bad_request", f"{event}: {min(unknown)[:64]!r} is not one of {known}")
    return value


def whole(value: Any, what: str, least: int, most: int) -> int:
    """A whole number, also one that looks like a fraction."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # JavaScript has one kind of number
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise Refusal("bad_request", f"{what} is a whole number from {least} to {most}")
    return value


def message_id(value: Any, what: str) -> str:
    """The id of a message, as clients may choose it."""
    if not (isinstance(value, str) and _ID.fullmatch(value)):
        raise Refusal("bad_request", f"{what} is a string of 1 to 128 printable ASCII characters")
    return value
