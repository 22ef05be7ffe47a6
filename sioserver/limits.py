"""How fast is too fast: token buckets, singly and by key, and what the configuration makes of them.

Pure arithmetic on the `now` that callers pass in (seconds, any clock that runs). The null objects
do nothing with the same methods, so that nobody asks whether the limits are on.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Final, Protocol

from sioserver.config import RoomRule
from sioserver.config.schema import Limits
from sioserver.errors import Refusal

# Seconds added to a wait, so that rounding (of times as large as those since 1970) never makes who
# comes back exactly then come too early.
_ROUNDING: Final = 1e-6


class TokenBucket:
    """Allows `burst` at once and `rate` per second in the long run."""

    __slots__ = ("at", "burst", "level", "rate")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        if not rate > 0:
            raise ValueError("the rate of a bucket is more than 0")
        self.rate = rate
        self.burst = max(burst, 1.0)  # with less, not even the rate would be allowed
        self.level = self.burst
        self.at = now

    def take(self, now: float, cost: float = 1.0) -> float:
        """0.0 when it is allowed; else nothing is taken, and these are the seconds to wait.

        What costs more than the burst needs a full bucket: otherwise it would wait for ever.
        """
        elapsed = now - self.at
        if elapsed > 0:
            self.level = min(self.burst, self.level + elapsed * self.rate)
        # a clock that was set back gives nothing, and takes no longer to give again
        self.at = now
        cost = min(cost, self.burst)
        missing = cost - self.level
        if missing <= 0:
            self.level -= cost
            return 0.0
        return missing / self.rate + _ROUNDING


class Bucket(Protocol):
    """A limit on one thing."""

    def take(self, now: float, cost: float = 1.0, /) -> float:
        """See `TokenBucket.take`."""


class NoBucket:
    """No limit on one thing."""

    __slots__ = ()

    def take(self, now: float, cost: float = 1.0) -> float:
        """Always allowed."""
        return 0.0


class Budgets:
    """A bucket for each key, of the `capacity` keys that were used last.

    A key that was forgotten begins with a full bucket again. That is what a bucket that nobody
    used for `burst / rate` seconds holds anyway, so choose `capacity` larger than the number of
    keys in use within such a time.
    """

    def __init__(self, rate: float, burst: float, capacity: int = 100_000) -> None:
        TokenBucket(rate, burst, 0.0)  # says at once if it cannot be
        if capacity < 1:
            raise ValueError("the capacity is at least 1")
        self._rate = rate
        self._burst = burst
        self._capacity = capacity
        self._buckets: dict[Hashable, TokenBucket] = {}  # least recently used first

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: Hashable, now: float, cost: float = 1.0, *, rate: float = 0.0) -> float:
        """See `TokenBucket.take`. `rate`, unless 0, is this key's own."""
        bucket = self._buckets.pop(key, None)
        if bucket is None:
            if len(self._buckets) >= self._capacity:
                del self._buckets[next(iter(self._buckets))]
            bucket = TokenBucket(rate or self._rate, self._burst, now)
        self._buckets[key] = bucket
        return bucket.take(now, cost)

    def give_back(self, key: Hashable, cost: float = 1.0) -> None:
        """What was taken for a key was not needed after all."""
        bucket = self._buckets.get(key)
        if bucket is not None:
            bucket.level = min(bucket.burst, bucket.level + cost)


class NoLimit:
    """No limit for any key."""

    __slots__ = ()

    def __len__(self) -> int:
        return 0

    def take(self, key: Hashable, now: float, cost: float = 1.0, *, rate: float = 0.0) -> float:
        """Always allowed."""
        return 0.0

    def give_back(self, key: Hashable, cost: float = 1.0) -> None:
        """Nothing was taken."""


class Budget:
    """The rates of the configuration. `hit` is told the name of a limit that was reached."""

    def __init__(self, limits: Limits, hit: Callable[[str], object] | None = None) -> None:
        self._limits = limits
        self._hit = hit
        self._messages: Budgets | NoLimit = (
            Budgets(limits.message_rate, limits.message_burst) if limits.enabled else NoLimit()
        )

    def connection(self, now: float) -> Bucket:
        """A new connection's bucket for its events."""
        if not self._limits.enabled:
            return NoBucket()
        return TokenBucket(self._limits.event_rate, self._limits.event_burst, now)

    def check_message(self, user_id: str, room: str, rule: RoomRule, now: float) -> None:
        """One more message of a user in a room, on whichever connection.
        Raises `Refusal("rate_limited")`."""
        wait = self._messages.take((room, user_id), now, rate=rule.message_rate)
        if wait:
            if self._hit is not None:
                self._hit("message_rate")
            raise Refusal("rate_limited", retry_after=wait)
