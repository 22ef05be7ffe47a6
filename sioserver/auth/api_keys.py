"""API keys: made once, shown by whoever has one, known here by their hashes only.

Values in, values out. How a key is sent is for the edge.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Final

from sioserver.config.api_keys import ApiKey, parse_api_key

MARK: Final = "sio_"
"""With what keys begin, so that those who look for secrets in public places find them."""
BYTES: Final = 32
LONGEST: Final = 256


class ApiKeys:
    """The keys of the configuration."""

    def __init__(self, entries: Sequence[str]) -> None:
        """`entries`: those of `api.keys`. Raises ValueError."""
        self._keys = [parse_api_key(entry) for entry in entries]

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, shown: str) -> ApiKey | None:
        """Whose key it is. Takes as long whichever it is, or none."""
        if len(shown) > LONGEST:
            return None
        digest = _digest(shown)
        found = None
        for key in self._keys:
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found


def make(name: str, perms: Iterable[str], random: bytes) -> tuple[str, ApiKey]:
    """A new key and how the server knows it; `random` are `BYTES` random bytes."""
    if len(random) != BYTES:
        raise ValueError(f"a key is made of {BYTES} random bytes")
    key = MARK + random.hex()
    return key, ApiKey(name, frozenset(perms), _digest(key))


def _digest(key: str) -> bytes:
    return sha256(key.encode("utf-8", "surrogateescape")).digest()
