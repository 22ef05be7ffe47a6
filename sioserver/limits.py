"""How fast is too fast: token buckets, singly and by key, and what the configuration makes of them.

Pure arithmetic on the `now` that callers pass in (seconds, any clock that runs). The null objects
do nothing with the same methods, so that nobody asks whether the limits are on.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Final, Protocol

from sioserver.config import RoomRule
from sioserver.config.schema import Limits
from sioserver.errors import Refusal
from sioserver.model import User

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

    def take(
        self,
        key: Hashable,
        now: float,
        cost: float = 1.0,
        *,
        rate: float = 0.0,
        burst: float = 0.0,
    ) -> float:
        """See `TokenBucket.take`. `rate` and `burst`, unless 0, are this key's own."""
        return self.bucket(key, now, rate=rate, burst=burst).take(now, cost)

    def bucket(
        self, key: Hashable, now: float, *, rate: float = 0.0, burst: float = 0.0
    ) -> TokenBucket:
        """The key's own, for whoever wants to keep it: then it is used without being looked up, and
        it counts as used last at this moment."""
        bucket = self._buckets.pop(key, None)
        if bucket is None:
            if len(self._buckets) >= self._capacity:
                del self._buckets[next(iter(self._buckets))]
            bucket = TokenBucket(rate or self._rate, burst or self._burst, now)
        self._buckets[key] = bucket
        return bucket

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

    def take(
        self,
        key: Hashable,
        now: float,
        cost: float = 1.0,
        *,
        rate: float = 0.0,
        burst: float = 0.0,
    ) -> float:
        """Always allowed."""
        return 0.0

    def give_back(self, key: Hashable, cost: float = 1.0) -> None:
        """Nothing was taken."""


COSTS: Final[Mapping[object, float]] = {
    "history": 10.0,
    "members": 10.0,
    "rooms": 10.0,
    "mentions": 10.0,
    "directory": 10.0,
    "search": 10.0,
    "auth": 10.0,
    "leave": 10.0,
    "kick": 10.0,
    "mute": 10.0,
    "unmute": 10.0,
    "ban": 10.0,
    "unban": 10.0,
    "bans": 10.0,
    "settings": 10.0,
    "moderation_log": 10.0,
}
"""Events that cost the server as much as that many others: they read pages of the store, verify a
signature, or write what everybody is told."""

JOIN_COST: Final = 10.0
"""The same of a CONNECT."""

LOT: Final = 10.0
"""What a connection takes from its user's bucket at a time: so many events have been when it does,
which saves a call for each. A user may have had as many too many on every connection."""

REFUSAL_COSTS: Final[Mapping[str, float]] = {
    # The server's fault, or its wish.
    "unavailable": 0.0,
    "draining": 0.0,
    "internal": 0.0,
    # Who has many requests under way learns that it is too fast when the first is answered.
    "rate_limited": 0.1,
    # A page goes on telling that its user types, and knows no better.
    "muted": 0.1,
}
"""How much a refusal counts of those after which a connection is closed; others count 1."""


class Allowance(TokenBucket):
    """What one connection may do, and how often it may be refused.

    The bucket is that of its events. Whoever goes on to ask for what is refused costs as much as
    others, is of no use to anybody, and has a much smaller one for that.
    """

    __slots__ = ("_limits", "_refusals")

    def __init__(self, limits: Limits, now: float) -> None:
        super().__init__(limits.event_rate, limits.event_burst, now)
        self._limits = limits
        self._refusals: TokenBucket | None = None  # most are never refused anything

    def refused(self, code: str, now: float) -> bool:
        """A request was refused with this code. False: that was once too often."""
        cost = REFUSAL_COSTS.get(code, 1.0)
        if not cost:
            return True
        if self._refusals is None:
            limits = self._limits
            self._refusals = TokenBucket(limits.refused_rate, limits.refused_burst, now)
        return not self._refusals.take(now, cost)


class NoAllowance(NoBucket):
    """Everything is allowed to one connection."""

    __slots__ = ()

    def refused(self, code: str, now: float) -> bool:
        """Never too often."""
        return True


class Budget:
    """The rates of the configuration."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._messages: Budgets | NoLimit = NoLimit()
        self._relayed: Budgets | NoLimit = NoLimit()
        self._users: Budgets | None = None
        self._conversations: Budgets | NoLimit = NoLimit()
        self._mentions: Budgets | NoLimit = NoLimit()
        self._searches: Budgets | NoLimit = NoLimit()
        if limits.enabled:
            self._conversations = Budgets(limits.direct_rate, limits.direct_burst)
            self._searches = Budgets(limits.search_rate, limits.search_burst)
            self._mentions = Budgets(limits.mention_rate, limits.mention_burst)
            self._messages = Budgets(limits.message_rate, limits.message_burst)
            self._relayed = Budgets(1.0, 1.0)  # each room's rule has its own rate
            self._users = Budgets(limits.user_event_rate, limits.user_event_burst)

    def connection(self, now: float) -> Allowance | NoAllowance:
        """What a new connection may do."""
        return Allowance(self._limits, now) if self._limits.enabled else NoAllowance()

    def user(self, user: User, now: float) -> Bucket:
        """The bucket for the events of all connections of a user here. A guest has none: it is
        another user on each connection."""
        if self._users is None or user.guest:
            return NoBucket()
        return self._users.bucket(user.id, now)

    def key(self, name: str, now: float) -> Bucket:
        """The bucket for the requests of an API key, which is as large as a user's."""
        return NoBucket() if self._users is None else self._users.bucket(("key", name), now)

    def check_message(self, user_id: str, room: str, rule: RoomRule, now: float) -> None:
        """One more message of a user in a room, on whichever connection.
        Raises `Refusal("rate_limited")`."""
        wait = self._messages.take((room, user_id), now, rate=rule.message_rate)
        if wait:
            raise Refusal("rate_limited", retry_after=wait, limit="message_rate")

    def take_relayed(self, user_id: str, room: str, rule: RoomRule, now: float) -> float:
        """One more event of a user for the others in a room, on whichever connection: 0.0 when it
        is allowed, else nothing is taken, and these are the seconds to wait. What one second allows
        may come at once."""
        rate = rule.relay_rate
        if not rate:
            return 0.0
        return self._relayed.take((room, user_id), now, rate=rate, burst=rate)

    def check_conversation(self, user_id: str, now: float) -> None:
        """A user begins one more room of two: somebody else becomes a member by it.
        Raises `Refusal("rate_limited")`."""
        wait = self._conversations.take(user_id, now)
        if wait:
            raise Refusal(
                "rate_limited",
                "you begin too many conversations; wait before the next one",
                retry_after=wait,
                limit="direct_rate",
            )

    def check_search(self, user_id: str, now: float) -> None:
        """One more search of a user, on whichever connection. Raises `Refusal("rate_limited")`."""
        wait = self._searches.take(user_id, now)
        if wait:
            raise Refusal("rate_limited", retry_after=wait, limit="search_rate")

    def check_mentions(self, user_id: str, number: int, now: float) -> None:
        """A message of a user names so many others, each of whom is told and has it kept.
        Raises `Refusal("rate_limited")`."""
        wait = self._mentions.take(user_id, now, number)
        if wait:
            raise Refusal(
                "rate_limited", "too many mentions", retry_after=wait, limit="mention_rate"
            )
