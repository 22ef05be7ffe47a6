"""Who we are, as every connection tells the server anew: a token, or our own word.

It must not know how the words get there. A token function is the application's and may fail or
take its time.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from sioserver.model import Position

Token = str | Callable[[], str | Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Identity:
    token: Token | None = None
    user: str | None = None
    name: str | None = None

    @property
    def renewable(self) -> bool:
        """Can a fresh token be had?"""
        return callable(self.token)

    async def fresh_token(self) -> str:
        token = self.token() if callable(self.token) else self.token
        if inspect.isawaitable(token):
            token = await token
        assert token is not None
        return token

    async def auth(self, pid: str | None, position: Position | None) -> dict[str, Any]:
        """What is said on connecting; `pid` makes us who we were (docs/protocol.md)."""
        auth = {
            "user": self.user,
            "name": self.name,
            "pid": pid,
            "token": None if self.token is None else await self.fresh_token(),
            "position": None if position is None else str(position),
        }
        return {key: value for key, value in auth.items() if value is not None}
