"""The real address of a client behind reverse proxies, and the origins that a page may come from.

Pure: header values in, values out. A forwarded header is believed only from a proxy that the
operator trusts; anybody can send one.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from functools import cache

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Proxies:
    """The trusted reverse proxies."""

    def __init__(self, networks: Sequence[str] = ()) -> None:
        """`networks`: addresses or networks, such as "10.0.0.0/8". Raises ValueError."""
        self._networks: list[Network] = [ipaddress.ip_network(text) for text in networks]

    def trusted(self, address: str | None) -> bool:
        """Is this the address of a trusted proxy?"""
        if address is None or not self._networks:
            return False
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
            parsed = parsed.ipv4_mapped
        return any(parsed in network for network in self._networks)

    def client(self, peer: str | None, forwarded_for: str | None) -> str:
        """The client's address: from the right of X-Forwarded-For, the first that is no proxy.

        `peer` is the other end of the TCP connection (None for a unix socket).
        """
        address = peer or ""
        if not self.trusted(peer) or not forwarded_for:
            return address
        for hop in reversed(forwarded_for.split(",")):
            hop = hop.strip()
            try:
                ipaddress.ip_address(hop)
            except ValueError:
                break
            address = hop
            if not self.trusted(hop):
                break
        return address


def same_origin(
    origin: str, scheme: str, host: str | None, forwarded: Mapping[str, str] | None
) -> bool:
    """Does a page of `origin` come from this server? `forwarded`: headers of a trusted proxy."""
    if forwarded is not None:
        scheme = forwarded.get("X-Forwarded-Proto", scheme).split(",")[0].strip()
        host = forwarded.get("X-Forwarded-Host", host or "").split(",")[0].strip() or host
    return host is not None and origin.lower() == f"{scheme}://{host}".lower()


def listed_origin(origin: str, allowed: Sequence[str]) -> bool:
    """Is the origin on the list? `*` alone stands for any; inside an entry, as in
    "https://*.example.com" or "http://localhost:*", for a part of the host or for the port."""
    return any(
        entry == "*" or _pattern(entry).fullmatch(origin.lower()) is not None for entry in allowed
    )


@cache
def _pattern(entry: str) -> re.Pattern[str]:
    # only what a host or a port is made of: a `*` must not swallow the end of another host's name
    return re.compile("[a-z0-9.-]+".join(map(re.escape, entry.lower().split("*"))))
