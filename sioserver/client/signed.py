"""`SignedJSON`: what programs outside emit through python-socketio's managers, signed.

It must not know how it is published, nor by which manager.
"""

from __future__ import annotations

import json
import secrets
import time
from typing import Any

from sioserver.signature import Signatures


class SignedJSON:
    """For the `json` argument of a write-only manager, where the servers have a `redis.bus_secret`:

        socketio.AsyncRedisManager(url, write_only=True, json=SignedJSON(secret))

    `channel` is the manager's. Each manager needs one of its own; it may be used by several
    threads. The clock may differ from the servers' by `signature.SKEW` seconds.
    """

    def __init__(self, secret: str, channel: str = "socketio") -> None:
        self._channel = channel
        self._signatures = Signatures(secret, sender=secrets.token_urlsafe(12), clock=time.time)

    def dumps(self, data: Any) -> bytes:
        """The signed message of a manager; raises what the standard library's `dumps` does."""
        return self._signatures.sign(self._channel, json.dumps(data).encode())

    @staticmethod
    def loads(text: str | bytes) -> Any:
        """For who asks a JSON module for it: a write-only manager never does."""
        return json.loads(text)
