"""Origins of web pages (RFC 6454): how they are written, and which of them may connect.

A browser tells the origin of the page that asks; that is what keeps a stranger's page from using
the server in the name, or from the network, of whoever looks at it. Pure: texts in, verdicts out.
This module must not know where the texts stand, in a request or in the configuration.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final, NamedTuple

from yarl import URL

LAST_PORT: Final = 65535
DEFAULT_PORTS: Final = {"http": "80", "https": "443"}

LOCAL: Final = frozenset({"localhost", "test", "local", "internal", "lan"})
"""Names without a dot that nobody can buy a sub-domain of: `*.localhost` is somebody's own."""

_HOST: Final = r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?|\[[0-9a-f:.]+\]"
_ORIGIN: Final = re.compile(
    rf"([a-z][a-z0-9+.-]*)://({_HOST})(?::([0-9]{{1,5}}))?", re.ASCII | re.IGNORECASE
)
_PATTERN: Final = re.compile(rf"([a-z][a-z0-9+.-]*)://(\*\.)?({_HOST})(?::([0-9]{{1,5}}|\*))?")

_EXPECTED: Final = (
    'expected scheme://host[:port] such as "https://app.example", or "https://*.example.com" for '
    "all sub-domains"
)


class Origin(NamedTuple):
    """Where a page comes from, in lower case."""

    scheme: str
    host: str
    port: str
    """Empty: the scheme's own."""


def parse(text: str) -> Origin | None:
    """What an Origin header says; None for "null" and for what is no origin, or several."""
    found = _ORIGIN.fullmatch(text)
    if found is None:
        return None
    scheme, host = found[1].lower(), found[2].lower()
    port = found[3] or ""
    return Origin(scheme, host, "" if port == DEFAULT_PORTS.get(scheme) else port)


def same_origin(origin: str, scheme: str, host: str | None) -> bool:
    """Does a page of `origin` come from this server? `scheme` and `host` (with the port) are those
    that it was asked by."""
    if host is None:
        return False
    own = f"{scheme}://{host}"
    if origin == own:
        return True
    # proxies write ":443" behind the host where browsers leave it out
    page = parse(origin)
    return page is not None and page == parse(own)


# ---------------------------------------------------------------------------- lists of them


class Pattern(NamedTuple):
    """An entry of a list: one origin, or those of all sub-domains of a host, at any depth."""

    scheme: str
    host: str
    """Of sub-domains: with the dot in front, so that no other name ends like this one."""
    port: str
    """Empty: the scheme's own; "*": any."""

    def matches(self, origin: Origin) -> bool:
        """Is it one of these?"""
        scheme, host, port = origin
        if scheme != self.scheme or self.port not in (port, "*"):
            return False
        if self.host[0] != ".":
            return host == self.host
        return host.endswith(self.host)


def parse_pattern(text: str) -> Pattern:
    """Read an entry. Raises ValueError, with the reason and what to write instead.

    It has to be written as browsers write origins: in lower case, in ASCII, without the default
    port, without a path. "null" is none: every page in a sandbox, and every file, has it.
    """
    found = _PATTERN.fullmatch(text)
    if found is None:
        raise ValueError(_no_origin(text))
    scheme, wild, host, port = found[1], bool(found[2]), found[3], found[4] or ""
    wrong = f'"{text}" is not an origin'
    if port.isdigit() and not 0 < int(port) <= LAST_PORT:
        raise ValueError(f"{wrong}: the port is at least 1 and at most {LAST_PORT}")
    if port and port == DEFAULT_PORTS.get(scheme):
        raise ValueError(f'{wrong} as browsers send it: leave out ":{port}"')
    if port.startswith("0"):
        raise ValueError(f'{wrong} as browsers send it: write ":{int(port)}"')
    if fault := _host_fault(host, wild):
        raise ValueError(f"{wrong}: {fault}")
    return Pattern(scheme, f".{host}" if wild else host, port)


def _host_fault(host: str, wild: bool) -> str:
    last = host.rpartition(".")[2]
    if host.startswith("["):
        try:
            written = f"[{IPv6Address(host[1:-1]).compressed}]"
        except AddressValueError:
            return f"{host} is not an IPv6 address"
        if wild:
            return "addresses have no sub-domains"
        return "" if written == host else f"browsers write the address {written}"
    if ".." in host:
        return "there is nothing between two dots"
    if last.isdigit():  # then browsers take it for an address
        try:
            IPv4Address(host)
        except AddressValueError:
            return f"{host} is not an IPv4 address"
        return "addresses have no sub-domains" if wild else ""
    if wild and host == last and host not in LOCAL:
        return f"everybody can have a sub-domain of {host}; name more of it"
    return ""


def _no_origin(text: str) -> str:
    if text == "*":
        return '"*" would be every page: list those that you trust'
    if text == "null":
        return '"null" cannot be listed: pages in a sandbox and files have it, whoever made them'
    meant = _as_browsers_write(text)
    if meant != text and _PATTERN.fullmatch(meant):
        return f'"{text}" is not an origin as browsers send it; did you mean "{meant}"?'
    return f'"{text}" is not an origin: {_EXPECTED}'


def _as_browsers_write(text: str) -> str:
    scheme, separator, rest = text.strip().rstrip("/").partition("://")
    wild = "*." if rest.startswith("*.") else ""
    host, colon, port = rest.removeprefix("*.").partition(":")
    if not host.isascii():
        try:
            host = URL.build(scheme="https", host=host).raw_host or ""
        except ValueError:
            return text
    host = host.rstrip(".")
    return f"{scheme}{separator}{wild}{host}{colon}{port}".lower()


def same_host(origin: str, host: str | None) -> bool:
    """Is the page's host this server's, whatever the scheme?"""
    scheme, _, place = origin.lower().partition("://")
    return host is not None and host.lower() in (place, f"{place}:{DEFAULT_PORTS.get(scheme)}")


def listed_origin(origin: str, allowed: Sequence[str]) -> bool:
    """Is the origin on a list that nobody has checked? It means what it does in python-socketio:
    an entry is the origin's text, `*` alone stands for any, "null" too. Entries such as
    "https://*.example.com" and "http://localhost:*" are patterns besides."""
    page = parse(origin)
    return any(
        entry in ("*", origin)
        or (page is not None and (pattern := _lenient(entry)) is not None and pattern.matches(page))
        for entry in allowed
    )


@lru_cache(maxsize=1024)
def _lenient(entry: str) -> Pattern | None:
    try:
        return parse_pattern(entry.lower())
    except ValueError:
        return None


class Origins:
    """Which pages may connect: the server's own, and those of a list."""

    def __init__(self, listed: Sequence[str] = (), *, anybody: bool = False) -> None:
        """`listed`: see `parse_pattern`, whose ValueError it raises. `anybody`: every page may,
        but no answer lets it bring cookies or the like."""
        self.anybody = anybody
        self._exact: set[Origin] = set()
        self._wide: list[Pattern] = []
        for pattern in map(parse_pattern, listed):
            if pattern.host[0] == "." or pattern.port == "*":
                self._wide.append(pattern)
            else:
                self._exact.add(Origin(*pattern))

    def __contains__(self, origin: str) -> bool:
        """Is a page of this origin on the list? `origin` as in the header."""
        page = parse(origin)
        if page is None:
            return False
        return page in self._exact or any(pattern.matches(page) for pattern in self._wide)
