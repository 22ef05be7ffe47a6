"""What is wrong with a URL or an address that a setting names.

Pure functions of a text, which may hold a password: what is told of it never does. Knows no
setting, and nobody is asked whether there is something at the address.
"""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

from sioserver.addresses import is_loopback
from sioserver.origins import LAST_PORT


def network_fault(text: str) -> str:
    """Of an address or a network of addresses; empty: nothing."""
    try:
        ip_network(text)
    except ValueError:
        try:
            meant = ip_network(text, strict=False)
        except ValueError:
            return f'"{text}" is not an address or network, such as 10.0.0.0/8'
        return f'"{text}" is an address inside of a network; did you mean "{meant}"?'
    return ""


def jwks_fault(url: str) -> str:
    """Of where an issuer's keys are; empty: nothing."""
    return _web_fault(
        url,
        expected="expected https://host/path, or the name of a file",
        danger="put keys of their own into it",
        bare="a key set is public: expected an address without user, password and #",
    )


def webhook_fault(url: str) -> str:
    """Of where a webhook's events are sent; empty: nothing."""
    return _web_fault(
        url,
        expected="expected https://host/path",
        danger="read along",
        bare="expected an address without user, password and #: what is sent is signed",
    )


def _web_fault(url: str, *, expected: str, danger: str, bare: str) -> str:
    """`danger`: what anybody on the way could do; `bare`: that there is to be no user and no #."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return f"this is no URL; {expected}"
    if parts.scheme not in ("https", "http") or not host or re.search(r"\s", url):
        return expected
    if parts.scheme == "http" and not is_loopback(host):
        return (
            f"over http anybody on the way could {danger}: expected https:// (http:// is for "
            "addresses of this machine)"
        )
    if parts.username is not None or parts.fragment:
        return bare
    return ""


def redis_fault(url: str, by_sentinels: bool) -> str:
    """Of a Redis; empty: nothing. It is never repeated, for a password may be in it.
    `by_sentinels`: who its master is, they know."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "this is no URL; signs in the password other than letters and digits are written %XX"
    if parts.scheme == "unix" and not by_sentinels:
        return "" if parts.path.startswith("/") else "expected unix:///path/of/the.sock"
    if parts.scheme not in ("redis", "rediss"):
        also = "" if by_sentinels else " or unix:///path/of/the.sock"
        return f"expected redis://host:port, rediss://host:port (TLS){also}"
    if not by_sentinels and not host:
        return f"the host is missing: {parts.scheme}://host:port"
    if port == 0:
        return "a port is from 1 to 65535"
    if not re.fullmatch(r"/?|/[0-9]{1,9}", parts.path):
        return "after the host comes nothing but the number of a database, such as /0"
    return ""


def is_address(text: str) -> bool:
    """Is it host:port?"""
    host, _, port = text.rpartition(":")
    return bool(re.fullmatch(r"[^\s/\[\]:]+|\[[0-9a-fA-F:.]+\]", host)) and (
        bool(re.fullmatch(r"[0-9]{1,5}", port)) and 0 < int(port) <= LAST_PORT
    )


def port_of(address: str) -> int:
    """The port of host:port."""
    return int(address.rpartition(":")[2])


def is_unspecified(address: str) -> bool:
    """Is the host of host:port one to listen at only, such as 0.0.0.0?"""
    try:
        return ip_address(address.rpartition(":")[0].strip("[]")).is_unspecified
    except ValueError:  # a name
        return False
