"""To whom a session belongs: what every request of it has in common with the first one.

A session's id is 144 random bits, but ids leak: into logs of proxies, over shoulders, between pages
of several origins in one browser. So the id alone opens nothing (docs/decisions/0019). Pure: header
values and an address in, values out.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from typing import Final, NamedTuple

from aiohttp import hdrs
from multidict import istr

from sioserver.addresses import of_this_machine
from sioserver.auth.bearer import bearer
from sioserver.origins import same_host

ORIGIN, TOKEN, ADDRESS = "origin", "token", "address"
MISMATCHES: Final = (ORIGIN, TOKEN, ADDRESS)
"""What can be another's."""

OURS: Final = ""
"""The origin of our own pages, and of whoever is no page at all: browsers send no `Origin` with a
GET to where the page came from, so that the two cannot be told apart."""

# A name that is known to be in no particular case is found in a third of the time.
_SEC_FETCH_SITE: Final = istr("Sec-Fetch-Site")


class Binding(NamedTuple):
    """What is remembered of the request that opened a session, or read from a later one."""

    origin: str
    """Of the page, in lower case; `OURS`."""
    token: bytes
    """The SHA-256 of the bearer token in the Authorization header; empty: there was none."""
    local: bool
    """It came from this machine itself."""

    def mismatch(self, other: Binding) -> str | None:
        """What of a later request is not as it was with the first, one of `MISMATCHES`."""
        if other is self:
            return None
        if other.origin != self.origin:
            return ORIGIN
        if other.token != self.token:
            return TOKEN
        return None if other.local == self.local else ADDRESS


def read(headers: Mapping[str, str], address: str, host: str | None) -> Binding:
    """The binding of a request.

    `headers` find names in whatever case; `address` is the client's (empty: a unix socket), `host`
    the name under which the client knows the server.
    """
    origin = headers.get(hdrs.ORIGIN)
    if origin is None or headers.get(_SEC_FETCH_SITE) == "same-origin" or same_host(origin, host):
        # A proxy may end the TLS and tell nobody, or give the server another name: so the scheme
        # does not count here, and a browser's own word (no script can write it) does. Whether the
        # origin may ask at all has been decided before, by other means.
        origin = OURS
    token = bearer(headers.get(hdrs.AUTHORIZATION))
    local = of_this_machine(address)
    if token is None:
        return _common(origin.lower(), local)
    return Binding(origin.lower(), sha256(token.encode("utf-8", "surrogateescape")).digest(), local)


@lru_cache(maxsize=256)
def _common(origin: str, local: bool) -> Binding:
    """One for all who are alike: nearly everybody is."""
    return Binding(origin, b"", local)
