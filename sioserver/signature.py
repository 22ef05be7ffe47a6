"""Signed messages on a channel that others can write to: proof of who sent it, when, and only once.

A signed message is `sioserver1 <sender> <number> <milliseconds since 1970> <signature>`, a newline,
and the payload; the signature is HMAC-SHA256 (RFC 2104) in hexadecimal, of the channel and all of
this but itself. Bytes in, bytes out: it must not know how they travel, nor what they say.
"""

from __future__ import annotations

import hmac
import itertools
import re
from collections.abc import Callable, Sequence
from typing import Final

SKEW: Final = 60.0
"""Seconds by which the clocks of two hosts may differ; older messages are not believed."""

SENDERS: Final = 1000
"""Senders whose numbers are remembered."""

WINDOW: Final = 64
"""Numbers by which a message may be overtaken by later ones of its sender (as in RFC 4303)."""

LONGEST_HEAD: Final = 176
"""Bytes by which a signed message is longer than its payload, at most."""

UNSIGNED, FORGED, STALE, REPLAYED = "unsigned", "forged", "stale", "replayed"
REASONS: Final = (UNSIGNED, FORGED, STALE, REPLAYED)

_HEAD: Final = re.compile(
    rb"(sioserver1 ([0-9A-Za-z_-]{1,64}) ([0-9]{1,15}) ([0-9]{1,15})) ([0-9a-f]{64})\n"
)


class Untrusted(ValueError):
    """A message is not believed. `reason`: one of `REASONS`."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class _Heard:
    """What is known of a sender: the highest number, which of the `WINDOW` up to it have come (as
    bits, its own the lowest), and the time of the latest message in milliseconds."""

    __slots__ = ("at", "bits", "highest")

    def __init__(self) -> None:
        self.highest = self.bits = self.at = 0

    def is_new(self, number: int) -> bool:
        """Whether the number comes for the first time; from now on it does not."""
        ahead = number - self.highest
        if ahead > 0:
            self.bits = (self.bits << ahead | 1) & (1 << WINDOW) - 1 if ahead < WINDOW else 1
            self.highest = number
            return True
        bit = 1 << -ahead
        if -ahead >= WINDOW or self.bits & bit:
            return False
        self.bits |= bit
        return True


class Signatures:
    """Signs what one sender sends, and verifies what others sent."""

    def __init__(
        self, secret: str, old: Sequence[str] = (), *, sender: str, clock: Callable[[], float]
    ) -> None:
        """`secret` signs; what was signed with one of `old` is believed too. `sender`: random, up
        to 64 of the letters of base64url, another one for each of these objects. `clock`: seconds
        since 1970."""
        self._secret = secret.encode()
        self._believed = (self._secret, *(text.encode() for text in old))
        self._clock = clock
        self._numbers = itertools.count(1)
        self._begin = f"sioserver1 {sender} ".encode()
        self._senders: dict[bytes, _Heard] = {}
        """Who was heard last stands last."""
        self._forgotten_until = 0
        """Senders that are not known any more were heard up to then, in milliseconds."""

    def sign(self, channel: str, payload: bytes) -> bytes:
        """The signed message. Safe to call from several threads."""
        head = self._begin + b"%d %d" % (next(self._numbers), self._clock() * 1000)
        return b"%b %b\n%b" % (head, _digest(self._secret, channel, head, payload), payload)

    def is_own(self, data: bytes) -> bool:
        """Whether it claims to be from this very sender: then it is not worth looking at."""
        return data.startswith(self._begin)

    def verify(self, channel: str, data: bytes) -> bytes:
        """The payload of a signed message that came on the channel. Raises `Untrusted`."""
        found = _HEAD.match(data)
        if found is None:
            raise Untrusted(UNSIGNED, "it is not signed")
        head, sender, number, at = found[1], found[2], int(found[3]), int(found[4])
        payload = data[found.end() :]
        for secret in self._believed:
            if hmac.compare_digest(_digest(secret, channel, head, payload), found[5]):
                break
        else:
            raise Untrusted(FORGED, "it was signed with another secret, or changed")
        if abs(self._clock() * 1000 - at) > SKEW * 1000:
            raise Untrusted(STALE, f"it was signed more than {SKEW:g} s ago, or the clocks differ")
        heard = self._senders.pop(sender, None)
        if heard is None:
            if at <= self._forgotten_until:
                raise Untrusted(STALE, "its sender was forgotten, with too many others")
            heard = _Heard()
        self._senders[sender] = heard
        if len(self._senders) > SENDERS:
            forgotten = self._senders.pop(next(iter(self._senders)))
            self._forgotten_until = max(self._forgotten_until, forgotten.at)
        if not heard.is_new(number):
            raise Untrusted(REPLAYED, "it came before")
        heard.at = max(heard.at, at)
        return payload


def _digest(secret: bytes, channel: str, head: bytes, payload: bytes) -> bytes:
    """The channel goes in with its length: what it is called is not in our hands."""
    name = channel.encode("utf-8", "surrogateescape")
    text = b"%d %b %b\n%b" % (len(name), name, head, payload)
    return hmac.digest(secret, text, "sha256").hex().encode()
