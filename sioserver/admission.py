"""May one more come? Places and paces of a node, of an address and of a user.

Pure: the callers bring addresses and the time (seconds of any clock that runs). What a connection
is, and how who has to stay outside is told so, is the edges' business.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import Final, NamedTuple

from sioserver.addresses import parse
from sioserver.config.schema import Limits
from sioserver.limits import Budgets, NoLimit

FULL_RETRY: Final = 5.0
"""Seconds after which who found no place may try again: places become free when others leave."""

MEMORY_RETRY: Final = 10.0
"""Seconds after which to try again where memory is short."""

LOW: Final = 0.95
"""Share of the mark that the memory has to be below, once it was above, to be enough again."""

NETWORK_BITS: Final = 64
"""Of an IPv6 address: a household, or one rented machine, has all addresses behind them."""

_NODE: Final = ""


class Full(NamedTuple):
    """Why one more cannot come now."""

    limit: str
    """The setting, in [limits]."""
    retry_after: float
    """Seconds."""


@lru_cache(maxsize=16_384)
def whose(address: str) -> str | None:
    """Under what an address is counted: IPv4 by itself (also in its IPv6 form), IPv6 by its first
    64 bits. None: it is not counted, which goes for loopback (a proxy on the same host that is not
    in server.trusted_proxies would otherwise be one client) and for what is no address, such as the
    empty one of a unix socket."""
    parsed = parse(address)
    if parsed is None or parsed.is_loopback:
        return None
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((parsed.packed, NETWORK_BITS), strict=False))
    return str(parsed)


class Places:
    """Who has how many places: at most `total` altogether and `each` for one key. 0: no bound.

    The key None has places of the whole only.
    """

    def __init__(self, total: int = 0, each: int = 0) -> None:
        self._total = total
        self._each = each
        self.taken = 0
        self._by_key: dict[str, int] = {}  # never more than places

    def __len__(self) -> int:
        """How many keys have places."""
        return len(self._by_key)

    def of(self, key: str | None) -> int:
        """The places of a key."""
        return 0 if key is None else self._by_key.get(key, 0)

    @property
    def full(self) -> bool:
        """Is the whole taken?"""
        return 0 < self._total <= self.taken

    def full_for(self, key: str | None) -> bool:
        """Has the key as many as it may have?"""
        return key is not None and 0 < self._each <= self._by_key.get(key, 0)

    def take(self, key: str | None) -> None:
        """One more. Does not ask whether there is space."""
        self.taken += 1
        if key is not None:
            self._by_key[key] = self._by_key.get(key, 0) + 1

    def free(self, key: str | None) -> None:
        """One less: each place that was taken is freed once, under the same key."""
        self.taken -= 1
        if key is not None:
            left = self._by_key[key] - 1
            if left:
                self._by_key[key] = left
            else:
                del self._by_key[key]


class Watermark:
    """How full the memory is: `full` from `most` bytes on, until it is well below again, or it
    would say one thing and the other in turns. `most` 0: never."""

    def __init__(self, most: int = 0) -> None:
        self.most = most
        self.used = 0
        self.full = False

    def note(self, used: int) -> bool:
        """So many bytes are used now. True: that makes a difference."""
        self.used = used
        full = 0 < self.most * (LOW if self.full else 1.0) <= used
        changed, self.full = full != self.full, full
        return changed


class Admission:
    """What the configuration allows. `hit` is told the name of a limit that was reached.

    Counts connections (Engine.IO sessions; one that is moving to a WebSocket counts twice as long
    as it has both), of this node only. `limits.enabled = false` lets the paces go, not the places.
    """

    def __init__(
        self,
        limits: Limits,
        hit: Callable[[str], object] = lambda limit: None,
        memory: Watermark | None = None,
    ) -> None:
        """`memory`: while that is full, nobody new comes in."""
        self._hit = hit
        self._memory = memory or Watermark()
        self.connections = Places(limits.connections, limits.address_connections)
        self.users = Places(each=limits.user_connections)
        self._accepts: Budgets | NoLimit = NoLimit()
        self._address_accepts: Budgets | NoLimit = NoLimit()
        self._auth_failures: Budgets | NoLimit = NoLimit()
        self._guesses: Budgets | NoLimit = NoLimit()
        if limits.enabled:
            self._accepts = Budgets(limits.accept_rate, limits.accept_burst, 1)
            self._address_accepts = Budgets(limits.address_accept_rate, limits.address_accept_burst)
            self._auth_failures = Budgets(limits.auth_failure_rate, limits.auth_failure_burst)
            self._guesses = Budgets(limits.unknown_session_rate, limits.unknown_session_burst)

    # ------------------------------------------------------------ connections

    def enter(self, address: str | None, now: float) -> Full | None:
        """One more connection from an address (`whose`): None, and it has a place that has to be
        freed with `leave`; or why not, and then nothing was taken."""
        full = self._place(address) or self._pace(address, now)
        if full is None:
            self.connections.take(address)
        else:
            self._hit(full.limit)
        return full

    def _place(self, address: str | None) -> Full | None:
        if self._memory.full:
            return Full("memory", MEMORY_RETRY)
        if self.connections.full:
            return Full("connections", FULL_RETRY)
        if self.connections.full_for(address):
            return Full("address_connections", FULL_RETRY)
        return None

    def _pace(self, address: str | None, now: float) -> Full | None:
        if address is not None and (wait := self._address_accepts.take(address, now)):
            return Full("address_accept_rate", wait)
        if wait := self._accepts.take(_NODE, now):
            if address is not None:
                self._address_accepts.give_back(address)
            return Full("accept_rate", wait)
        return None

    def occupy(self, address: str | None) -> None:
        """A connection that is here takes another place for a while. It is not refused: it has at
        most two, and the second saves more than it costs."""
        self.connections.take(address)

    def leave(self, address: str | None) -> None:
        """A place is free again."""
        self.connections.free(address)

    def ask_for_unknown(self, address: str | None, now: float) -> Full | None:
        """A session was asked for that is not there: after a restart each client does that once,
        who guesses does it all the time. None: it may be told so; else it has to wait."""
        if address is None or not (wait := self._guesses.take(address, now)):
            return None
        self._hit("unknown_session_rate")
        return Full("unknown_session_rate", wait)

    # ------------------------------------------------------------ users

    def enter_user(self, user_id: str) -> Full | None:
        """One more connection of a user; like `enter`. Freed with `leave_user`."""
        if self.users.full_for(user_id):
            self._hit("user_connections")
            return Full("user_connections", FULL_RETRY)
        self.users.take(user_id)
        return None

    def leave_user(self, user_id: str) -> None:
        """A connection of the user is over."""
        self.users.free(user_id)

    # ------------------------------------------------------------ tokens

    def try_token(self, address: Hashable | None, now: float) -> float:
        """May a token from this address be looked at? 0.0: yes. Else the seconds to wait: too many
        were no good. Any number may be looked at at the same time (when a server was started again,
        all who share an address come at once): only what is known to be bad counts."""
        if address is None:
            return 0.0
        wait = self._auth_failures.take(address, now)
        if wait:
            self._hit("auth_failure_rate")
        else:
            self._auth_failures.give_back(address)
        return wait

    def token_was_bad(self, address: Hashable | None, now: float) -> None:
        """It was no good, and never has been."""
        if address is not None:
            self._auth_failures.take(address, now)
