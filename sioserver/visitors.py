"""Whoever asks for something in a room without a connection: let in for the length of one request.

Part of `RoomService`, which asks the same of them as of clients; here is what differs. Knows
neither HTTP nor who called: an identity has been proved before.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sioserver import private, wire
from sioserver.actors import Actor, Visitor
from sioserver.auth import Identity
from sioserver.config.schema import Limits
from sioserver.directory import Directory, Found
from sioserver.engine.base import Engine
from sioserver.errors import Refusal
from sioserver.hooks import HookCalls, Posting
from sioserver.ids import random_id
from sioserver.model import EVERYWHERE, Published, User


class Visitors:
    """See the module. Methods raise `Refusal`."""

    def __init__(
        self,
        limits: Limits,
        engine: Engine,
        directory: Directory,
        hooks: HookCalls | None,
        *,
        admit: Callable[[Visitor], Awaitable[Visitor]],
        joined: Callable[[str, str], None],
        find: Callable[[str, User], str],
        check: Callable[[Actor], float],
        check_post: Callable[[Actor], float],
        max_body: Callable[[str], int],
        send: Callable[[Actor, wire.SendRequest], Awaitable[Published]],
    ) -> None:
        """`admit`: see `Moderation.admit_visitor`; `joined` is called with a user and a room that
        they have become a member of; `check`: may the visitor ask for something at all? The others
        are of `RoomService`. `hooks`: an embedder's."""
        self._limits = limits
        self._engine = engine
        self._directory = directory
        self._hooks = hooks
        self._admit = admit
        self._joined = joined
        self._find = find
        self._check = check
        self._check_post = check_post
        self._max_body = max_body
        self._send = send

    async def visit(self, identity: Identity, name: str, address: str | None = None) -> Visitor:
        """Somebody asks for something in a room without joining it: who may not join it is refused,
        and so is who would be refused by a hook (which an operator is not). Each request is a visit
        of its own, for nobody tells a visitor that something has changed."""
        room = self._find(name, identity.user)
        if private.is_session(room):
            raise Refusal("bad_room", "this is no room, but your connection's own")
        visitor = Visitor(room, identity, address)
        self._check(visitor)
        if self._hooks is not None and not identity.operator:
            await self._hooks.joining(room, identity.user, visitor.id)
        return await self._admit(visitor)

    async def list_rooms(
        self, identity: Identity, request: wire.DirectoryRequest, address: str | None = None
    ) -> Found:
        """A page of the directory, for a visitor: who is banned from all rooms sees none."""
        await self._admit(Visitor(EVERYWHERE, identity, address))
        return await self._directory.find(identity, request.query, request.after, request.limit)

    async def post(self, visitor: Visitor, request: wire.SendRequest) -> Published:
        """`send` for a visitor, who becomes a member by it, as whoever joins does: so the bounds of
        members and rooms hold here too. Those in whose name an operator posts do not, but in a room
        of two, which is theirs."""
        room, user = visitor.room, visitor.user
        if not visitor.identity.operator or private.is_direct(room):
            self._check_post(visitor)
            membership = await self._engine.join(room, user, self._limits)
            if membership.is_new:
                self._joined(user.id, room)
        return await self._send(visitor, request)

    async def pass_text(self, visitor: Visitor, text: str) -> str:
        """A text that is to be heard in the visitor's room, and kept nowhere: returns what it
        says then, for hooks are asked as about a message."""
        self._check_post(visitor)
        if self._hooks is None:
            return text
        asked = Posting(visitor.room, visitor.user, visitor.id, random_id(16), text)
        said = await self._hooks.posting(asked, self._max_body(visitor.room))
        if not isinstance(said, str):
            raise Refusal("bad_request", "only a text can be said before a login")
        return said
