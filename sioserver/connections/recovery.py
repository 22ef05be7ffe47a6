"""Connection state recovery on the wire of stock Socket.IO clients, without a session store.

A client is given a `pid` when it connects and keeps the last string argument of every event as its
`offset`; when it comes back it sends both. Our `pid` is a signed token that says who it is for, so
any node can recover any client, after any crash; the offset is a position in the room's own log.
Knows no connection: claims in, token out, and back; and by what name a join is counted.
"""

from __future__ import annotations

import msgspec

from sioserver import wire
from sioserver.auth import Signer
from sioserver.errors import Refusal
from sioserver.replay import Joined


class Claim(msgspec.Struct, frozen=True):
    """What a recovery token says."""

    user: str
    name: str
    room: str
    sid: str
    issued: int
    """Seconds since 1970."""


class Recovery:
    """Makes and reads recovery tokens."""

    def __init__(self, max_age: float) -> None:
        """`max_age`: seconds for which a token counts."""
        self._max_age = max_age
        self._signer: Signer | None = None

    def use(self, signer: Signer) -> None:
        """Sign with this: the secret lies in the store, which is opened when the node starts."""
        self._signer = signer

    def issue(self, claim: Claim) -> str:
        """The `pid` of a connection. Raises `Refusal("draining")` before `use`."""
        if self._signer is None:
            raise Refusal("draining", "this node is just starting")
        return self._signer.sign(
            {
                "u": claim.user,
                "n": claim.name,
                "r": claim.room,
                "s": claim.sid,
                "t": claim.issued,
            }
        )

    def read(self, pid: str | None, room: str, now: float) -> Claim | None:
        """The claim, when the token is ours, for this room and not too old."""
        fields = None if pid is None or self._signer is None else self._signer.open(pid)
        if fields is None:
            return None
        try:
            claim = Claim(
                user=str(fields["u"]),
                name=str(fields["n"]),
                room=str(fields["r"]),
                sid=str(fields["s"]),
                issued=int(fields["t"]),
            )
        except (KeyError, ValueError):
            return None  # signed by us, but for another purpose
        if claim.room != room or not -60 <= now - claim.issued <= self._max_age:
            return None
        return claim


def verdict(joined: Joined, hello: wire.Hello, *, recovered: bool) -> str:
    """How a join is counted (`metrics.VERDICTS`), by what was missed and what of it was given."""
    if recovered:
        return "recovered"
    if joined.gap is not None:
        return "gap"
    known = hello.offset or hello.position
    return "fresh" if known is None and joined.missed == [] else "replayed"
