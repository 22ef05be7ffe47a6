"""JSON, read strictly, and how deep it may be nested; and what else may stand for it.

Pure: text in, builtins out, or `ValueError`. Knows no frame and no packet.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final

import orjson

MAX_DEPTH: Final = 64
"""Levels of nesting: decoded data are walked recursively here and by applications."""

# one that does not end goes to the end of the text: otherwise each quote in it would be tried again
_STRINGS: Final = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")


class StrictJSON:
    """The JSON codec: orjson, and the standard library where that is too narrow.

    Not JSON and therefore an error here though Python's parser takes it: NaN, Infinity. Numbers
    that overflow to infinity are an error too.
    """

    @staticmethod
    def loads(text: str | bytes) -> Any:
        """Parse; raises ValueError."""
        try:
            return orjson.loads(text)
        except (orjson.JSONDecodeError, UnicodeEncodeError):
            # A browser may send half a surrogate pair (JSON.stringify escapes it); orjson does not
            # take it, and closing the connection for an odd emoji would be worse.
            if isinstance(text, str) and _SURROGATE.search(text):
                try:
                    return json.loads(
                        text,
                        parse_constant=_no_constant,
                        parse_float=_finite,
                        parse_int=_whole,
                    )
                except RecursionError as error:
                    raise ValueError("nested too deeply") from error
            raise

    @staticmethod
    def dumps(value: Any, **_: Any) -> str:
        """Serialise; raises TypeError. NaN becomes null, as in JavaScript."""
        try:
            return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()
        except TypeError:
            # whole numbers beyond 64 bits, half surrogate pairs, subclasses of str
            try:
                return json.dumps(value, separators=(",", ":"), allow_nan=False)
            except ValueError as error:
                raise TypeError(str(error)) from error


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError("a number is out of range")
    return number


def _whole(text: str) -> int | float:
    """As orjson: beyond 64 bits a whole number is a double."""
    if len(text) <= 20 and -(2**63) <= (number := int(text)) < 2**64:
        return number
    return _finite(text)


def depth(text: str) -> int:
    """Levels of nesting of a JSON text, counted without recursion."""
    level = deepest = 0
    for sign in _STRINGS.sub("", text):
        if sign in "[{":
            level += 1
            deepest = max(deepest, level)
        elif sign in "]}":
            level -= 1
    return deepest


_LEAVES: Final = frozenset({str, bytes, bool, int, type(None)})


def check_plain(value: Any) -> None:
    """Raise ValueError for what did not come from JSON and could not be passed on in it: all that
    is no text, whole or finite number, true, false, None, binary, list (or tuple) or dict with
    texts for names. Without recursion."""
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH + 1):
        below: list[Any] = []
        for part in level:
            kind = type(part)
            if kind in _LEAVES:
                continue
            if kind is float:
                if not math.isfinite(part):
                    raise ValueError("a number is out of range")
            elif kind is list or kind is tuple:
                below.extend(part)
            elif kind is dict:
                if any(type(name) is not str for name in part):
                    raise ValueError("the names in an object are texts")
                below.extend(part.values())
            else:
                raise ValueError(f"{kind.__name__} is not JSON")
        if not below:
            return
        level = below
    raise ValueError("nested too deeply")
