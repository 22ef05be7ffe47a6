"""`Session`: a user's own place, `@me`, for Python scripts: their rooms, what is unread, mentions.

It keeps what the server tells of the user's rooms; being connected is the line's business, and what
is said in the rooms is for a `RoomClient`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sioserver import private
from sioserver.client import payloads
from sioserver.client.identity import Identity, Token
from sioserver.client.link import Address, Transport
from sioserver.client.opened import Opened
from sioserver.model import Mention, User

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


class Session(Opened):
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
        super().__init__(
            Address(url, private.SESSION, path, list(transports) if transports else None),
            Identity(token, user, name),
            on_event,
            timeout=timeout,
        )
        self.user: User | None = None
        self.rooms: dict[str, RoomState] = {}

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
            self.user = payloads.user(payload)
            self.rooms = _states(payload["rooms"])
            self._line.enter()
        elif name in _STATES:
            known = self.rooms.get(payload["room"])
            mentions = known.mentions if known is not None and payload["unread"] else 0
            self.rooms[payload["room"]] = _state({"mentions": mentions, **payload})
        elif name == "room_left":
            self.rooms.pop(payload["room"], None)
        self._tell(name, payload)


def _states(told: Sequence[dict[str, Any]]) -> dict[str, RoomState]:
    return {payload["room"]: _state(payload) for payload in told}


def _state(payload: dict[str, Any]) -> RoomState:
    return RoomState(
        payload["room"],
        payload["unread"],
        payload["last"],
        live=payload.get("live", True),
        mentions=payload.get("mentions", 0),
        peer=payloads.peer(payload),
    )


def _mention(payload: dict[str, Any]) -> Mention:
    return Mention(**{name: payload[name] for name in Mention.__struct_fields__})
