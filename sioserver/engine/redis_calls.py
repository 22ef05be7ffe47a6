"""A command on its way, what its reply may mean, and who is told. No connection, no clock."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Protocol

from sioserver.engine.redis_access import ReplyError
from sioserver.engine.redis_scripts import Script

if TYPE_CHECKING:
    from sioserver.engine.redis_link import Link

# What an error reply means, by its first word.
AWAY: Final = frozenset({"LOADING", "READONLY", "MASTERDOWN"})
"""Another connection may reach a server that works."""
DENIED: Final = frozenset({"OOM", "MISCONF", "NOREPLICAS"})
"""Nothing can be written just now, and nothing was."""
AGAIN: Final = frozenset({"NOSCRIPT", "BUSY", "TRYAGAIN"})
"""The same server may answer in a moment."""
MOVED: Final = frozenset({"MOVED", "CLUSTERDOWN"})
"""Another server has the key from now on, or will have it."""


class Unavailable(Exception):
    """Not confirmed in time, or too much waits already. A call that was sent may have been done
    all the same."""

    def __init__(self, reason: str, retry_after: float = 1.0) -> None:
        super().__init__(reason)
        self.retry_after = retry_after
        """Seconds."""


class Call:
    """A command and who waits for its reply."""

    __slots__ = ("again", "data", "deadline", "future", "key", "script", "tries")

    def __init__(
        self,
        data: bytes,
        future: asyncio.Future[Any],
        deadline: float,
        key: str = "",
        script: Script | None = None,
        again: bool = True,
    ) -> None:
        self.data = data
        self.future = future
        self.deadline = deadline
        """Loop time."""
        self.key = key
        self.script = script
        """What has to be loaded for it."""
        self.again = again
        """False: it belongs to this connection and to nobody outside; an error is its result."""
        self.tries = 0


class Owner(Protocol):
    """What a link calls, on the event loop."""

    def on_up(self, link: Link) -> None:
        """The server answers. What is sent now goes out before everything that waits."""

    def on_down(self, link: Link, reason: str) -> None:
        """It was up, and is not any more."""

    def on_failed(self, link: Link, error: Exception) -> None:
        """An attempt to connect has failed (OSError, TimeoutError, NotReady); more will follow."""

    def on_denied(self, link: Link, call: Call, error: ReplyError) -> None:
        """Nothing can be written there; the call has failed because of it."""

    def on_ask(self, link: Link, call: Call, error: ReplyError) -> bool:
        """ASK: another server has the key, if at all. True: the call is the owner's now."""

    def on_moved(self, link: Link, error: ReplyError) -> bool:
        """One of MOVED. True: the owner will `hold` the link now, and go on with the call later."""

    def on_idle(self, link: Link) -> None:
        """After `hold`: the last reply has come, or never will."""
