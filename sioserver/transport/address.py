"""The real address of a client behind reverse proxies.

Pure: header values in, values out. A forwarded header is believed only from a proxy that the
operator trusts; anybody can send one.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import Final

from sioserver.addresses import Address, parse

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


MOST_HOPS: Final = 32
"""Proxies in a row that are looked at: a header of 8 KiB has space for a thousand."""

_WITH_PORT: Final = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::[0-9]{1,5})?|([0-9.]+):[0-9]{1,5}")


class Proxies:
    """The trusted reverse proxies."""

    def __init__(self, networks: Sequence[str] = ()) -> None:
        """`networks`: addresses or networks, such as "10.0.0.0/8". Raises ValueError."""
        self._networks: list[Network] = [ipaddress.ip_network(text) for text in networks]

    def trusted(self, address: str | None) -> bool:
        """Is this the address of a trusted proxy?"""
        if address is None or not self._networks:
            return False
        parsed = parse(address)
        return parsed is not None and self._has(parsed)

    def _has(self, address: Address) -> bool:
        return any(address in network for network in self._networks)

    def client(self, peer: str | None, forwarded_for: str | None) -> str:
        """The client's address: from the right of X-Forwarded-For, the first that is no proxy.

        `peer` is the other end of the TCP connection (None for a unix socket). Each trusted proxy
        has put the address that it was asked from at the right end, so what stands to the left of
        one that is not trusted is only that one's word. Where a proxy has put something else
        (nothing, "unknown"), its own address is the last that is known. Ports and brackets are left
        out, and so is what could stand behind a "%".
        """
        return self._followed(peer, forwarded_for)[0]

    def said(self, peer: str | None, forwarded_for: str | None, row: str) -> str:
        """What the proxy that the client asked has put into another row that each appends to, such
        as X-Forwarded-Proto; "" where nobody is believed, or nothing was said.

        It stands as far from the right as the client's address does in X-Forwarded-For. A shorter
        row was begun anew by a proxy on the way (most replace these fields, and do not append):
        then its left end, which still is a trusted one's word.
        """
        if not self.trusted(peer) or not row:
            return ""
        _, hops = self._followed(peer, forwarded_for)
        entries = row.rsplit(",", hops)
        return entries[-min(hops, len(entries))].strip(" \t")

    def _followed(self, peer: str | None, forwarded_for: str | None) -> tuple[str, int]:
        """The client's address, and how many proxies have spoken: entries from the right."""
        address, hops = peer or "", 0
        if not self.trusted(peer) or not forwarded_for:
            return address, 1
        for hop in reversed(forwarded_for.rsplit(",", MOST_HOPS)[-MOST_HOPS:]):
            hops += 1
            parsed = _hop(hop.strip(" \t"))
            if parsed is None:
                break
            address = str(parsed)
            if not self._has(parsed):
                break
        return address, hops


def _hop(text: str) -> Address | None:
    """An entry of X-Forwarded-For; some proxies write the port too."""
    found = _WITH_PORT.fullmatch(text)
    return parse((found[1] or found[2]) if found else text)
