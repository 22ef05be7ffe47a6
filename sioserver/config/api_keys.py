"""An entry of `api.keys`: who has an API key, what it is for, and by what hash it is known.

Texts in, values out. Keys themselves are never in the configuration; who shows one is none of this
module's business.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

ADMIN, METRICS, ROOMS = "admin", "metrics", "rooms"
PERMS: Final = (ADMIN, METRICS, ROOMS)
"""What a key may be for: everything; reading the metrics; reading and writing in all rooms, in
anybody's name."""

_ENTRY: Final = re.compile(r"([A-Za-z0-9_.-]{1,64}):([a-z+]+):sha256:([0-9a-f]{64})")


class ApiKey(NamedTuple):
    """An API key as the server knows it."""

    name: str
    """For the log."""
    perms: frozenset[str]
    digest: bytes
    """The SHA-256 of the key. It has 256 random bits, so that nobody finds it by trying: a slow
    hash, as passwords need one, would only serve who wants to keep the server busy."""

    def __str__(self) -> str:
        perms = "+".join(perm for perm in PERMS if perm in self.perms)
        return f"{self.name}:{perms}:sha256:{self.digest.hex()}"


def parse_api_key(text: str) -> ApiKey:
    """Read an entry. Raises ValueError, without the text, which may be a key."""
    found = _ENTRY.fullmatch(text)
    if found is None:
        raise ValueError(
            "this is no entry such as ops:admin:sha256:<64 hexadecimal digits>; make a key and its "
            "entry with: sioserver apikey make NAME"
        )
    perms = frozenset(found[2].split("+"))
    if unknown := perms.difference(PERMS):
        known = f"{', '.join(PERMS[:-1])} or {PERMS[-1]}"
        raise ValueError(f"a key is for {known}, not for {min(unknown)!r}")
    return ApiKey(found[1], perms, bytes.fromhex(found[3]))
