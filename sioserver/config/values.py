"""Single values: from text to the type of a setting, and what to say of one that does not fit.

Knows types and values, not keys or sources. A value that is refused is never repeated where the
setting is a secret.
"""

from __future__ import annotations

import json
import tomllib
import unicodedata
from math import isfinite
from typing import Any, Final, Literal, get_args, get_origin

import msgspec

from sioserver.config.keys import bare

WORDS: Final = {
    "true": True,
    "yes": True,
    "on": True,
    "1": True,
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}
_LONGEST_SHOWN: Final = 60
_BEYOND_REACH: Final = 100_000_000
# Control characters and halves of surrogate pairs (an environment that is not UTF-8).
_UNFIT: Final = ("Cc", "Cs")


def accept(value: Any, kind: Any, *, secret: bool = False) -> Any:
    """A TOML value as the type of a setting; raises ValueError saying what was expected."""
    try:
        accepted = msgspec.convert(value, kind)
    except ValueError:  # of msgspec, or of Python for half a surrogate pair
        raise refused(value, kind, secret=secret) from None
    if isinstance(accepted, float) and not isfinite(accepted):
        raise refused(value, kind, secret=secret)
    for text in accepted if isinstance(accepted, list) else [accepted]:
        if isinstance(text, str) and any(unicodedata.category(sign)[:2] in _UNFIT for sign in text):
            raise ValueError("expected a text without line breaks or other control characters")
    return accepted


def parse(text: str, kind: Any, *, secret: bool = False) -> Any:
    """The text of a flag or of an environment variable as a TOML value of about the right type."""
    plain = bare(kind)[0]
    try:
        if plain is bool:
            return WORDS[text.strip().lower()]
        if plain is int:
            return int(text)
        if plain is float:
            return float(text)
        if get_origin(plain) is list:
            return parse_list(text)
    except (KeyError, ValueError, RecursionError):
        raise refused(text, kind, secret=secret) from None
    return text if plain is str else text.strip()


def parse_list(text: str) -> list[Any]:
    """A list written as in TOML or JSON, or with commas."""
    text = text.strip()
    if not text.startswith("["):
        return [item.strip() for item in text.split(",") if item.strip()]
    try:
        table = tomllib.loads(f"list = {text}")
    except ValueError:
        table = {"list": msgspec.json.decode(text)}  # tables are written differently in JSON
    if table.keys() != {"list"} or not isinstance(table["list"], list):
        raise ValueError("more than a list")
    return table["list"]


def refused(value: Any, kind: Any, *, secret: bool = False) -> ValueError:
    """The error for a value of the wrong type or out of its bounds."""
    what = "another kind of value" if secret else shown(value)
    return ValueError(f"expected {expected(kind)}, found {what}")


def expected(kind: Any, *, brief: bool = False) -> str:
    """A type and its bounds in words; `brief` leaves out those that nobody will ever reach."""
    plain, metas = bare(kind)
    if get_origin(plain) is Literal:
        return "one of " + ", ".join(json.dumps(choice) for choice in get_args(plain))
    if get_origin(plain) is list:
        inner = bare(get_args(plain)[0])[0]
        if get_origin(inner) is Literal:
            return "a list of " + ", ".join(json.dumps(choice) for choice in get_args(inner))
        return "a list of texts" if inner is str else "a list of tables"
    if plain is bool:
        return "true or false"
    if plain is str:
        return "a text"
    name = "a whole number" if plain is int else "a number"
    return " ".join([name, *_bounds(metas, brief)])


def _bounds(metas: list[msgspec.Meta], brief: bool) -> list[str]:
    words = []
    for meta in metas:
        if meta.ge is not None:
            words.append(f"from {meta.ge}")
        if meta.gt is not None:
            words.append(f"above {meta.gt}")
        if meta.le is not None and not (brief and meta.le > _BEYOND_REACH):
            words.append(f"to {meta.le}" if meta.gt is None else f"and at most {meta.le}")
    return words


def json_text(value: Any, *, ascii_only: bool = True) -> str:
    """JSON whose escapes are TOML's too: of all control characters, JSON lets DEL through."""
    return json.dumps(value, ensure_ascii=ascii_only).replace("\x7f", "\\u007f")


def shown(value: Any) -> str:
    """A value as it is repeated in a message: short, and on one line."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list | str | bool | int | float):
        try:
            text = json_text(value)
        except (TypeError, ValueError, RecursionError):  # dates in a list, endless numbers
            return "a list" if isinstance(value, list) else "a huge number"
    else:
        text = str(value)
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 3] + "..."
