"""Scripts by name: sioserver/engine/lua/<name>.lua, and the number Redis knows each by.

A script that begins with "-- with: <name>" has the text of that one before its own.

It does not know what a script does, nor which server has it already.
"""

from __future__ import annotations

from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import Final

_WITH: Final = "-- with: "


class Script:
    """A Lua script. Two of the same text are still two: `load_script` gives each name one."""

    __slots__ = ("name", "sha1", "source")

    def __init__(self, name: str, source: str) -> None:
        self.name = name
        self.source = source
        self.sha1 = sha1(source.encode(), usedforsecurity=False).hexdigest()
        """What EVALSHA takes."""

    def __repr__(self) -> str:
        return f"Script({self.name})"


@cache
def load_script(name: str) -> Script:
    """The script in engine/lua/<name>.lua; raises FileNotFoundError."""
    return Script(name, _read(name))


def _read(name: str) -> str:
    source = files("sioserver.engine").joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")
    if source.startswith(_WITH):
        other, _, source = source.removeprefix(_WITH).partition("\n")
        return _read(other) + source
    return source
