"""Scripts by name: sioserver/engine/lua/<name>.lua, and the number Redis knows each by.

It does not know what a script does, nor which server has it already.
"""

from __future__ import annotations

from functools import cache
from hashlib import sha1
from importlib.resources import files


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
    source = files("sioserver.engine").joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")
    return Script(name, source)
