"""IP addresses as texts: read in one way by everybody who has to tell whose they are.

Texts in, verdicts out. Knows neither headers nor sockets, nor what follows from an address.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_KEPT: Final = 4096
"""Texts whose answers are kept: to read one takes ten times as long as to look it up, and one
handshake asks for the same several times. Who sends many others makes it no slower than it was."""


@lru_cache(maxsize=_KEPT)
def parse(text: str) -> Address | None:
    """The address: IPv4 in the form of IPv6 as IPv4, and without a zone (what stands behind "%"),
    which can be anything. None: it is none."""
    try:
        parsed = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return mapped or parsed


@lru_cache(maxsize=_KEPT)
def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address, or the name `localhost`."""
    if host.lower() == "localhost":
        return True
    parsed = parse(host)
    return parsed is not None and parsed.is_loopback


def of_this_machine(address: str) -> bool:
    """Is it a loopback address, or none at all (a unix socket)?"""
    return not address or is_loopback(address)
