"""`RoomClient`, what applications use: posting, asking, iterating, and what the events mean.

It joins the line (being connected) and the inbox (what has arrived). It must not know how a
connection is made or kept, nor how messages are put in order; what is asked of a room by who may
moderate it is in `moderating`.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Sequence
from typing import Any, Final, Self

from sioserver import private
from sioserver.client import payloads
from sioserver.client.identity import Identity, Token
from sioserver.client.inbox import Gap, Hole, Inbox
from sioserver.client.link import Address, Transport
from sioserver.client.moderating import Moderating
from sioserver.client.payloads import Change, Changed, Hits, Member, Received, Sent
from sioserver.errors import Disconnect, Refusal
from sioserver.model import Message, Position, State, User

log = logging.getLogger(__name__)

PAGE: Final = 200
"""Missed entries that are fetched at a time."""


def room_with(user_id: str) -> str:
    """The room that one shares with this user alone: for `RoomClient(url, room_with("bob"))`."""
    return private.direct_name(user_id)


class RoomClient(Moderating):
    """One user in one room. Use it with `async with`, and iterate over it in one task: over the
    room's messages, and what is done to them (`Change`), in order.

    `token` is a token or a function (plain or async) that gets a fresh one: it is called for every
    connection and when the server says that the token is about to expire. Without one, `user` and
    `name` are who you say you are, where the server allows it. `position` is `room.position` of an
    earlier run: everything posted since is delivered first.

    `on_event(name, *args)` is called with whatever else happens: welcome, presence, typing, read,
    room, notice, and the events that the room relays.

    Coming in takes at most `timeout` seconds (TimeoutError), and a server that says no raises
    its `Refusal`. Later, the client comes back as often as it takes.

    An application that reads slowly holds nothing up and needs no more memory than `buffer`
    messages: newer ones are let go and fetched from the room's history when their turn comes. What
    the history does not hold any more is told as a `Gap`.
    """

    def __init__(
        self,
        url: str,
        room: str = "lobby",
        *,
        token: Token | None = None,
        user: str | None = None,
        name: str | None = None,
        position: str | None = None,
        transports: Sequence[Transport] | None = None,
        path: str = "socket.io",
        on_event: Callable[..., object] | None = None,
        buffer: int = 1000,
        pending: int = 1000,
        timeout: float = 10.0,
    ) -> None:
        if not room or set(room) & {",", "?"}:  # they mean something else on the wire
            raise Refusal("bad_room")
        self._inbox = Inbox(buffer, None if position is None else Position.parse(position))
        self._news = asyncio.Event()
        super().__init__(
            Address(url, room, path, list(transports) if transports else None),
            Identity(token, user, name),
            on_event,
            timeout=timeout,
            position=lambda: self._inbox.received,
            ended=self._news.set,
        )
        # own messages go out one by one, or one that is sent again would come out of order
        self._turn = asyncio.Lock()
        self._sending = 0
        self._pending = pending
        # what the server says of us and the room
        self.user: User | None = None
        self.peer: User | None = None  # the other one, in a room of two
        self.permissions: list[str] = []
        self.online = 0
        self.total = 0
        self.topic = ""
        self.slow_mode = 0.0
        self.read_only = False

    @property
    def position(self) -> str | None:
        """The place after the last message that was taken from the iterator. Keep it and give it
        to the next `RoomClient`; None before the first connection."""
        return None if self._inbox.taken is None else str(self._inbox.taken)

    # ------------------------------------------------------------ posting and asking

    async def send(
        self,
        body: Any,
        *,
        id: str | None = None,
        reply_to: int | str | None = None,
        mentions: Sequence[str] = (),
        timeout: float | None = 30.0,
    ) -> Sent:
        """Post a message; when this returns, it is stored. `reply_to` is the offset or the id of
        the message that it answers, `mentions` are ids of users.

        It is sent again, with the same `id`, until the server has answered: after the connection
        was lost, and after a refusal that is temporary (but "muted"). Messages go out in the order
        of the calls.
        Raises the server's `Refusal`, `Disconnect` when it ended the connection for good, and
        TimeoutError when there was no answer: then the message may or may not have been posted, and
        sending it again with the same `id` is harmless. More than `pending` messages that wait
        raise `Refusal("too_many")`.
        """
        options: dict[str, Any] = {"id": secrets.token_urlsafe(12) if id is None else id}
        if reply_to is not None:
            options["reply_to"] = reply_to
        if mentions:
            options["mentions"] = list(mentions)
        answer = await self._post(timeout, "message", body, options)
        return payloads.sent(answer)

    async def edit(
        self, message: int | str | Message, body: Any, *, timeout: float | None = 30.0
    ) -> Changed:
        """Let a message say something else. It is named by its offset, by its id, or is itself
        given. Goes out in turn with what is posted, and again until there is an answer, as `send`
        does: that is harmless. Raises what `send` raises."""
        return await self._change(timeout, "edit", message, body=body)

    async def delete(
        self, message: int | str | Message, *, timeout: float | None = 30.0
    ) -> Changed:
        """Take a message's body away; see `edit`."""
        return await self._change(timeout, "delete", message)

    async def react(
        self,
        message: int | str | Message,
        emoji: str,
        *,
        on: bool = True,
        timeout: float | None = 30.0,
    ) -> Changed:
        """Put a reaction to a message, or (not `on`) take it back; see `edit`."""
        return await self._change(timeout, "react", message, emoji=emoji, on=on)

    async def _change(
        self, timeout: float | None, event: str, message: int | str | Message, **how: Any
    ) -> Changed:
        if isinstance(message, Message):
            target: dict[str, Any] = {"offset": message.offset, "id": message.id}
        else:
            target = {"id" if isinstance(message, str) else "offset": message}
        answer = await self._post(timeout, event, {**target, **how})
        return payloads.changed(answer)

    async def _post(self, timeout: float | None, event: str, *args: Any) -> dict[str, Any]:
        if self._sending >= self._pending:
            raise Refusal("too_many", f"{self._pending} messages wait to be sent")
        self._sending += 1
        try:
            async with asyncio.timeout(timeout), self._turn:
                return await self._line.ask(event, *args)
        finally:
            self._sending -= 1

    async def history(
        self, *, before: int | None = None, after: int | None = None, limit: int = 50
    ) -> list[Received]:
        """A page of messages with `after < offset < before`, ascending, as they are now: the oldest
        of them when `after` is given, else the newest. An empty one: there are no more."""
        while True:
            answer = await self._page(before, after, limit)
            found = [one for one in payloads.page(answer) if isinstance(one, Received)]
            if found or not answer["more"]:
                return found
            # the server has only passed over what was done to messages, as far as it does at once
            if after is None:
                before = answer["next"]
            else:
                after = answer["next"]

    async def search(self, query: str, *, before: int | None = None, limit: int = 20) -> Hits:
        """The newest messages before an offset that say all words and "phrases" of `query`, newest
        first."""
        wanted: dict[str, Any] = {"query": query, "limit": limit}
        if before is not None:
            wanted["before"] = before
        return payloads.hits(await self._line.ask("search", wanted))

    async def members(self, *, away: bool = False) -> list[Member]:
        """Who is online or away; with `away` everybody who belongs to the room."""
        answer = await self._line.ask("members", {"all": away})
        return [payloads.member(one) for one in answer["members" if away else "online"]]

    async def read(self, offset: int) -> int:
        """Everything up to `offset` has been read; returns how many messages are unread."""
        unread: int = (await self._line.ask("read", offset))["unread"]
        return unread

    async def typing(self, on: bool = True) -> None:
        """Tell the others, if there is a connection; it is not worth waiting for one. Call it every
        3 seconds while somebody types: it ends by itself after some 6."""
        await self._line.tell("typing", on)

    async def status(self, state: State) -> None:
        """Say that you are "away", until you say "online"; for this connection. Who does neither is
        shown as away after some minutes without a request, and back with the next."""
        await self._line.ask("status", {"state": state})

    async def relay(self, event: str, *args: Any) -> None:
        """Pass an event on to the others, if it is on the room's list and there is a connection: it
        is kept nowhere. What is refused is told as a `notice`."""
        await self._line.tell(event, *args)

    async def _page(
        self, before: int | None, after: int | None, limit: int, **more: bool
    ) -> dict[str, Any]:
        wanted = {"before": before, "after": after, "limit": limit, **more}
        return await self._line.ask(
            "history", {name: value for name, value in wanted.items() if value is not None}
        )

    # ------------------------------------------------------------ iterating

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message | Change | Gap:
        """The next message, or what was done to one. Raises `Disconnect` when the server ended the
        connection for good."""
        while True:
            item = self._inbox.take()
            if isinstance(item, Message | Change | Gap):
                return item
            if isinstance(self._line.end, ConnectionAbortedError):
                raise StopAsyncIteration  # closed
            if self._line.end is not None:
                raise self._line.end
            if item is None:
                self._news.clear()
                await self._news.wait()
            else:
                await self._fill(item)

    async def _fill(self, hole: Hole) -> None:
        try:
            answer = await self._page(None, hole.first - 1, PAGE, operations=True)
        except Refusal as refusal:
            log.warning("missed messages cannot be fetched: %s", refusal)
            hole.give_up()
        except (Disconnect, ConnectionError):
            return  # it is over, as `__anext__` will say
        else:
            hole.fill([*payloads.page(answer)], Position.parse(answer["position"]))

    # ------------------------------------------------------------ what the server tells

    def _hear(self, name: str, *args: Any) -> None:
        if name == "message":
            self._inbox.entry(payloads.message(args[0]), Position.parse(args[1]))
            self._news.set()
            return
        if name in payloads.CHANGES:
            after = Position.parse(args[1])
            self._inbox.entry(payloads.change(name, args[0], after.offset), after)
            self._news.set()
            return
        if name == "gap":
            self._inbox.gap(args[0]["from"], args[0]["to"], Position.parse(args[1]))
            self._news.set()
            return
        if name == "welcome":
            self._welcome(args[0], Position.parse(args[1]))
        elif name == "presence":
            self.online, self.total = args[0]["online"], args[0]["total"]
        elif name == "room":
            self._set_up(args[0])
        self._tell(name, *args)

    def _welcome(self, payload: dict[str, Any], begins: Position) -> None:
        self.user, self.peer = payloads.user(payload), payloads.peer(payload)
        self.permissions = payload["permissions"]
        self.online, self.total = payload["online"], payload["total"]
        self._set_up(payload)
        self._inbox.begin(begins)
        self._line.enter()

    def _set_up(self, payload: dict[str, Any]) -> None:
        self.topic = payload["topic"]
        self.slow_mode = payload["slow_mode"]
        self.read_only = payload["read_only"]
