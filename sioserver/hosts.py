"""The names under which the server is asked (the Host header, RFC 9110 section 7.2), and which of
them are its own.

Against DNS rebinding: somebody's page makes its own name point to this machine, and is then, for
the browser that shows it, a page of this server. Only the name gives it away. Pure: texts in,
verdicts out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import ip_address
from typing import Final, Protocol

LONGEST: Final = 260
"""Characters of a name (253, RFC 1035) with its port."""

_HEADER: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:@/?#\s\[\]]+)(?::[0-9]{0,5})?")
_NAME: Final = re.compile(r"(?:\*\.)?[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?|\[[0-9a-f:.]+\]")


class Hosts(Protocol):
    """Names that the server answers to."""

    def __contains__(self, header: object, /) -> bool:
        """Is what stands in a Host header one of them?"""


class Listed:
    """The names of a list; `*.example.com` stands for all sub-domains of example.com, at any
    depth. Ports do not matter: who has the name has all ports of it."""

    def __init__(self, names: Sequence[str]) -> None:
        """Raises ValueError, with what is wrong and what may have been meant."""
        for name in names:
            if text := fault(name):
                raise ValueError(text)
        self._exact = {name for name in names if not name.startswith("*.")}
        self._ends = tuple(name[1:] for name in names if name.startswith("*."))

    def __contains__(self, header: object) -> bool:
        name = name_of(str(header))
        return name is not None and (name in self._exact or name.endswith(self._ends))


class Local:
    """The names that no stranger can make point here: addresses, `localhost` and what is below it
    (RFC 6761, section 6.3), and names without a dot, which nobody can buy."""

    def __contains__(self, header: object) -> bool:
        name = name_of(str(header))
        if name is None:
            return False
        return "." not in name or name.endswith(".localhost") or _is_address(name)


def name_of(header: str) -> str | None:
    """The name in a Host header, in lower case, without port and final dot; None: there is none."""
    found = _HEADER.fullmatch(header) if len(header) <= LONGEST else None
    return None if found is None else found[1].lower().removesuffix(".") or None


def fault(entry: str) -> str:
    """What is wrong with an entry of a list of names; empty: nothing."""
    if _NAME.fullmatch(entry):
        return ""
    meant = entry.strip().lower().rpartition("://")[2].partition("/")[0]
    meant = name_of(meant) or ""
    hint = f'; did you mean "{meant}"?' if meant and _NAME.fullmatch(meant) else ""
    return (
        f'"{entry}" is not the name of a host, without scheme and port, such as "chat.example" '
        f'or "*.example.com" (all sub-domains){hint}'
    )


@lru_cache(256)
def _is_address(name: str) -> bool:
    # remembered: it takes 6 us, of every poll and every connection where no hosts are listed
    try:
        ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True
