"""The real address of a client behind reverse proxies.

Pure: header values in, values out. A forwarded header is believed only from a proxy that the
operator trusts; anybody can send one.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

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


def of_this_machine(address: str) -> bool:
    """Is it a loopback address, or none at all (a unix socket)?"""
    return not address or address == "::1" or address.startswith(("127.", "::ffff:127."))
