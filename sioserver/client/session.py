"""`Session`: a user's own place, `@me`, for Python scripts: their rooms, what is unread, mentions.

It keeps what the server tells of the user's rooms; being connected is the line's business, and what
is said in the rooms is for a `RoomClient`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from sioserver import private
from sioserver.client.identity import Identity, Token
from sioserver.client.line import Line
from sioserver.client.link import Address, Transport
from sioserver.model import Mention, User

log = logging.getLogger(__name__)

_STATES: Final = ("unread", "room_joined")


@dataclass(frozen=True, slots=True)
class RoomState:
    """A room that the user is a member of."""

    room: str
    unread: int
    """Messages that the user has not read, on whatever device."""
    last: int
    """The newest offset."""
    live: bool = True
    """It is kept up to date; else `refresh` tells."""
    mentions: int = 0
    """Of the user, in what is unread; as of the last `refresh`, or the connect."""
    peer: User | None = None
    """The other user, in a room of two, as they are called there."""


@dataclass(frozen=True, slots=True)
class PublicRoom:
    """A room in the directory."""

    room: str
    topic: str
    online: int | None
    """Users who are there; None: the room does not tell."""
    total: int | None
    """Members."""


class Session:
    """One user's session. Use it with `async with`; `rooms` is kept up to date meanwhile.

    `token`, `user` and `name` are as for a `RoomClient`, and so is what coming in raises.
    `on_event(name, payload)` is called with whatever the server tells (welcome, unread,
    room_joined, room_left, mention, notice), when `rooms` says so already. After a broken
    connection the session comes back, and `rooms` is as the server says then; a mention that was
    told in between is found with `mentions`.
    """

    def __init__(
        self,
        url: str,
        *,
        token: Token | None = None,
        user: str | None = None,
        name: str | None = None,
        transports: Sequence[Transport] | None = None,
        path: str = "socket.io",
        on_event: Callable[[str, dict[str, Any]], object] | None = None,
        timeout: float = 10.0,
    ) -> None:
        self._line = Line(
            Address(url, private.SESSION, path, list(transports) if transports else None),
            Identity(token, user, name),
            timeout=timeout,
            position=lambda: None,
            hear=self._hear,
            ended=lambda: None,
        )
        self._on_event = on_event
        self.user: User | None = None
        self.rooms: dict[str, RoomState] = {}

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
        """Disconnect."""
        await self._line.close()

    @property
    def connected(self) -> bool:
        """Is there a connection just now?"""
        return self._line.connected

    async def refresh(self) -> dict[str, RoomState]:
        """Ask for the rooms as the store has them."""
        answer = await self._line.ask("rooms")
        self.rooms = _states(answer["rooms"])
        return self.rooms

    async def mentions(self, *, after: int = 0) -> list[Mention]:
        """The newest mentions of the user with a number above `after`, ascending; raises what
        `RoomClient`'s questions raise."""
        answer = await self._line.ask("mentions", {"after": after})
        return [_mention(payload) for payload in answer["mentions"]]

    async def directory(
        self, query: str | None = None, *, after: str | None = None, limit: int = 50
    ) -> tuple[list[PublicRoom], str | None]:
        """Public rooms whose name or topic says all words of `query`, those first where the most
        are online, and the `after` of the next page (None: there is none)."""
        wanted = {"query": query, "after": after, "limit": limit}
        answer = await self._line.ask("directory", wanted)
        rooms = [
            PublicRoom(one["room"], one["topic"], one.get("online"), one.get("total"))
            for one in answer["rooms"]
        ]
        return rooms, answer.get("next")

    def _hear(self, name: str, *args: Any) -> None:
        payload: dict[str, Any] = args[0]
        if name == "welcome":
            self.user = User(payload["user"], payload["name"])
            self.rooms = _states(payload["rooms"])
            self._line.enter()
        elif name in _STATES:
            known = self.rooms.get(payload["room"])
            mentions = known.mentions if known is not None and payload["unread"] else 0
            self.rooms[payload["room"]] = _state({"mentions": mentions, **payload})
        elif name == "room_left":
            self.rooms.pop(payload["room"], None)
        elif name == "notice" and payload["code"] == "token_expiring":
            self._line.renew()
        if self._on_event is not None:
            try:
                self._on_event(name, payload)
            except Exception:
                log.exception("on_event failed")


def _states(payloads: Sequence[dict[str, Any]]) -> dict[str, RoomState]:
    return {payload["room"]: _state(payload) for payload in payloads}


def _state(payload: dict[str, Any]) -> RoomState:
    peer = payload.get("peer")
    return RoomState(
        payload["room"],
        payload["unread"],
        payload["last"],
        live=payload.get("live", True),
        mentions=payload.get("mentions", 0),
        peer=None if peer is None else User(peer["user"], peer["name"]),
    )


def _mention(payload: dict[str, Any]) -> Mention:
    return Mention(**{name: payload[name] for name in Mention.__struct_fields__})
