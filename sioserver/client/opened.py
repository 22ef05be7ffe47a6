"""What a `RoomClient` and a `Session` have in common: each is open for as long as it is used, and
tells the application what happens.

It joins a line with an application's function. It must not know what events mean, but for the one
that asks for a fresh token.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from sioserver.client.identity import Identity
from sioserver.client.line import Line
from sioserver.client.link import Address
from sioserver.model import Position

log = logging.getLogger(__name__)


class Opened(ABC):
    """A line that is open in `async with`."""

    def __init__(
        self,
        address: Address,
        identity: Identity,
        on_event: Callable[..., object] | None,
        *,
        timeout: float,
        position: Callable[[], Position | None] = lambda: None,
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_event` is the application's; the others are the line's."""
        self._on_event = on_event
        self._line = Line(
            address, identity, timeout=timeout, position=position, hear=self._hear, ended=ended
        )

    async def __aenter__(self) -> Self:
        await self._line.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Disconnect (the user stays a member). Iterating ends, sending raises."""
        await self._line.close()

    @property
    def connected(self) -> bool:
        """Is there a connection just now?"""
        return self._line.connected

    @abstractmethod
    def _hear(self, name: str, *args: Any) -> None:
        """The server tells this."""

    def _tell(self, name: str, *args: Any) -> None:
        """Pass on what the server tells: a fault of the application is its own."""
        if name == "notice" and args[0]["code"] == "token_expiring":
            self._line.renew()
        if self._on_event is not None:
            try:
                self._on_event(name, *args)
            except Exception:  # the application's own
                log.exception("on_event failed")
