"""Where a request came from, as one node tells it to another that answers the request.

Header values in, values out; nothing here knows how the nodes reach each other. The headers are
believed only on a node's internal listeners: anybody can send them.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from aiohttp import web

CALLER_HEADER: Final = "Sioserver-Caller"
PROOF_HEADER: Final = "Sioserver-Proof"
OURS: Final = frozenset({CALLER_HEADER.lower(), PROOF_HEADER.lower()})
"""Names that are never passed on from outside, in lower case."""

SKEW: Final = 60.0
"""Seconds by which the clocks of two hosts may differ."""

LOST, MALFORMED, TOO_LARGE, TOO_SLOW = "lost", "malformed", "too_large", "too_slow"
RELEASE = "release"
NOTES: Final = {
    "": "an ordinary request",
    LOST: "the connection broke before the whole body was there",
    MALFORMED: "the body was malformed",
    TOO_LARGE: "the body was too large",
    TOO_SLOW: "the body did not come in time",
    RELEASE: "the node that waits for the session's poll is stopping: let go of the poll",
}


class Caller(NamedTuple):
    """The other end of the connection on which a request came to the first node."""

    remote: str | None
    """Its address; None: a unix socket's."""
    scheme: str
    """"https" when that connection was encrypted, else "http"."""
    note: str = ""
    """What else the first node has to say, one of `NOTES`; with a note there is no body."""


CALLER: Final = web.RequestKey("sioserver.caller", Caller)
"""Set on requests that another node has passed on."""


def caller_of(request: web.Request) -> Caller:
    """Where the request came from, whichever node it reached first."""
    passed = request.get(CALLER)
    return Caller(request.remote or None, request.scheme) if passed is None else passed


def note_of(request: web.Request) -> str:
    """What the node that passed the request on has to say, one of `NOTES`."""
    passed = request.get(CALLER)
    return "" if passed is None else passed.note


def write(caller: Caller) -> str:
    """The header's value."""
    remote = caller.remote
    if not remote or not remote.isascii() or not remote.isprintable() or " " in remote:
        remote = "-"
    return f"{remote} {caller.scheme} {caller.note or '-'}"


def read(text: str) -> Caller | None:
    """The header's value, read; None when it is malformed."""
    parts = text.split(" ")
    if len(parts) != 3:
        return None
    remote, scheme, note = (part if part != "-" else "" for part in parts)
    if scheme not in ("http", "https") or note not in NOTES:
        return None
    return Caller(remote or None, scheme, note)


class Seal:
    """Proofs that a request was passed on by a node that knows the secret, just now."""

    def __init__(self, secret: str, clock: Callable[[], float]) -> None:
        """`secret`: empty is no secret, and nothing is believed. `clock`: seconds since 1970."""
        self._secret = secret.encode()
        self._clock = clock

    def headers(self, method: str, path: str, caller: Caller) -> dict[str, str]:
        """What goes with a request; `path` as it stands in the request's first line, the query
        (with the session's id, and so its node's) included."""
        text, now = write(caller), str(int(self._clock()))
        proof = self._proof(method, path, text, now)
        return {CALLER_HEADER: text, PROOF_HEADER: f"{now} {proof}"}

    def open(self, method: str, path: str, headers: Mapping[str, str]) -> Caller | None:
        """Who called, when the headers prove it; else None."""
        now, _, proof = headers.get(PROOF_HEADER, "").partition(" ")
        text = headers.get(CALLER_HEADER, "")
        if not self._secret or not (now.isascii() and now.isdigit() and len(now) < 16):
            return None
        if abs(self._clock() - int(now)) > SKEW:
            return None
        expected = self._proof(method, path, text, now)
        if not hmac.compare_digest(expected.encode(), proof.encode("utf-8", "surrogateescape")):
            return None
        return read(text)

    def _proof(self, *parts: str) -> str:
        words = "\n".join(("sioserver 1", *parts)).encode("utf-8", "surrogateescape")
        return hmac.new(self._secret, words, hashlib.sha256).hexdigest()
