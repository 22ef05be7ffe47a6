"""What may happen in a room, and in which order. The one service behind every edge.

`RoomService` asks the policy and the limits, calls the engine and registers clients in the hub. It
keeps no state of its own between calls and knows no wire: edges hand it parsed requests and turn
its `Refusal`s into answers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import msgspec

from sioserver import private, wire
from sioserver.activity import Activity
from sioserver.actors import Actor, Visitor
from sioserver.auth import Identity, Policy, Verifier
from sioserver.config import Config, RoomRule
from sioserver.direct import Direct
from sioserver.directory import Directory, Found
from sioserver.engine.base import Engine
from sioserver.errors import Disconnect, InvalidToken, Refusal
from sioserver.holders import credentials
from sioserver.hooks import HookCalls, Posting
from sioserver.hub import Client, Hub
from sioserver.ids import random_id
from sioserver.limits import Budget
from sioserver.mentions import Mentions
from sioserver.metrics import Metrics
from sioserver.model import (
    EVERYWHERE,
    Counts,
    Draft,
    Event,
    Membership,
    Page,
    Position,
    Published,
    RoomSettings,
    State,
    User,
)
from sioserver.moderation import Moderation
from sioserver.operations import Operations
from sioserver.relay import Relay
from sioserver.search import Search
from sioserver.sessions import Sessions

AT_ONCE: Final = 262_144
"""Bytes of bodies that a join brings along. More is not held for the client: it is behind, and
catches up from the log."""


class Joined(msgspec.Struct, frozen=True):
    """What a client is told when it has joined, in this order: the welcome, the gap, the missed."""

    counts: Counts
    membership: Membership
    top: Position
    number: int
    """How many messages there were up to `top`."""
    begins: Position
    """Where delivery goes on: the position before the gap or before the first missed message."""
    gap: Event | None
    after: Position
    """The position behind the gap, before the first missed message."""
    missed: list[Event] | None
    """None: it is too much to be told at once."""
    recovered: bool
    """Nothing since the client's own position is lost."""
    set_up: Callable[[], tuple[list[str], RoomSettings]]
    """What the client may do, and the room's settings: as they are when it is told, because it is
    told of changes from then on."""
    peer: User | None = None
    """With whom the user shares a room of two."""

    def welcome(self, client: Client, *, recovered: bool, begins: Position) -> Event:
        """The welcome event; `recovered` is the edge's verdict on the whole connection."""
        permissions, settings = self.set_up()
        return wire.welcome_event(
            private.shown(client.room, client.user.id),
            client.user,
            self.counts,
            max(0, self.number - self.membership.number),
            self.membership.read,
            self.top,
            begins,
            recovered=recovered,
            permissions=permissions,
            settings=settings,
            peer=self.peer,
            state="away" if client.device.rests else "online",
        )


class Missed(msgspec.Struct, frozen=True):
    """A stretch of what a client that is behind was not told yet."""

    events: list[Event]
    """In order; a gap comes first, where the log has lost something."""
    top: Position
    """Of the log, when it was read."""


class RoomService:
    """Joining, leaving, posting, reading. Methods raise `Refusal`."""

    def __init__(
        self,
        config: Config,
        engine: Engine,
        hub: Hub,
        verifier: Verifier,
        policy: Policy,
        budget: Budget,
        metrics: Metrics,
        clock: Callable[[], float],
        renew_keys: Callable[[], Awaitable[None]] | None = None,
        hooks: HookCalls | None = None,
    ) -> None:
        """`renew_keys`: called when a token names a key that is not known; returns when the issuer
        has been asked since, or raises `Refusal`. `hooks`: an embedder's."""
        self._config = config
        self._hooks = hooks
        self._engine = engine
        self._hub = hub
        self._verifier = verifier
        self._policy = policy
        self._budget = budget
        self._metrics = metrics
        self._clock = clock
        self._renew_keys = renew_keys
        self.sessions = Sessions(config, engine, hub, metrics)
        self.directory = Directory(
            config, engine, hub, policy, lambda actor: self.moderation.topic(actor)
        )
        self.moderation = Moderation(
            engine, hub, policy, metrics, clock, self._check, hooks, self.directory.configured
        )
        self.mentions = Mentions(engine, self.sessions.tell)
        self.operations = Operations(
            config,
            engine,
            policy,
            budget,
            metrics,
            may_post=self.check_post,
            max_body=self.max_body,
            hooks=hooks,
        )
        self.search = Search(engine, policy, budget, self._check)
        self._direct = Direct(config.limits, engine, budget, self.sessions.joined)
        self.activity = Activity(
            engine,
            lambda room: policy.rule(room).presence,
            away_after=config.presence.away_after,
        )
        self._relay = Relay(policy, budget, metrics, tell=self._tell, may_send=self._may_post)

    def sweep(self, now: float) -> None:
        """Do what has become due; called by the node every `presence.batch`."""
        self.activity.sweep(now)
        self._relay.sweep(now)
        self.directory.sweep(now)
        for room, user, (here, elsewhere) in self._hub.typists.sweep(now):
            event = wire.typing_event(user, on=False)
            if here:
                self._hub.tell(room, event)
            if elsewhere:
                self._engine.tell(room, event)

    # ------------------------------------------------------------ who

    async def identify(self, hello: wire.Hello, made_up: str) -> Identity:
        """Who is it? A token decides; without one, what the client says, where that is allowed."""
        if hello.token is None:
            return self._verifier.anonymous(hello.user, hello.name, made_up)
        return await self._identify(hello.token)

    async def _identify(self, token: str) -> Identity:
        try:
            identity = await self._verify(token)
        except InvalidToken as error:
            self._metrics.count_invalid_token(error.reason)
            raise
        await self._check_revoked(identity)
        return identity

    async def _check_revoked(self, identity: Identity) -> None:
        if identity.authenticated:
            token = credentials(identity)
            if await self._engine.revoked(token, self._clock()):
                self._metrics.count_invalid_token("revoked")
                raise InvalidToken("revoked", "it was revoked")

    async def admit(self, client: Client) -> None:
        """From now on the client is ended when its token is revoked, in whatever room it is or is
        about to be; and raises a `Refusal` if that has happened since it was identified, or its
        user is banned from all rooms."""
        self._hub.holders.add(client)
        await self._check_revoked(client.identity)
        await self.moderation.admit_anywhere(client)

    async def check(self, client: Client) -> None:
        """Is the client's token still good, and its user not banned? For one that was not let in
        yet: nobody has told it."""
        await self._check_revoked(client.identity)
        self.moderation.check_entry(client)

    def adopt(self, client: Client, identity: Identity) -> None:
        """The client speaks for this identity now, which was compared with the rules just before.
        Does not wait."""
        self._hub.holders.remove(client)
        client.identity = identity
        self._hub.holders.add(client)

    def forget(self, client: Client) -> None:
        """The client has gone. Does not wait."""
        self._hub.holders.remove(client)

    async def _verify(self, token: str) -> Identity:
        try:
            return self._verifier.verify(token, self._clock())
        except InvalidToken as error:
            if error.reason != "unknown_key" or self._renew_keys is None:
                raise
            try:
                await self._renew_keys()
            except Refusal:
                self._metrics.count_invalid_token(error.reason)
                raise
        return self._verifier.verify(token, self._clock())

    async def refresh(self, client: Client, token: str) -> Identity:
        """A fresh token on a live connection: the same user, perhaps with other permissions."""
        self._check_in(client)  # also when the old token has just expired
        identity = await self._identify(token)
        if identity.user.id != client.user.id:
            raise Refusal("forbidden", "the token is another user's; open a new connection")
        self._check_in(client)  # it may have been ended while it was looked at
        self._check_entry(identity, client.room)
        self.adopt(client, identity)
        return identity

    def _check_entry(self, identity: Identity, room: str) -> None:
        self._policy.check(identity, "join", room)
        self._policy.check(identity, "read", room)

    # ------------------------------------------------------------ coming and going

    @staticmethod
    def find(name: str, user: User) -> str:
        """The room that a user means by a name: what it is called inside. Whether they may go there
        is asked later."""
        if name == private.SESSION:
            return private.session_room(user.id)
        if name.startswith(private.DIRECT):
            return Direct.find(name, user)
        if wire.check_room(name).startswith("@"):
            raise Refusal("forbidden", "rooms that begin with @ are reserved")
        return name

    async def join(self, client: Client, since: Position | None) -> Joined:
        """Bring a client into its room, with everything it missed since `since`.

        Without `since` it is what no device of the user has received yet. The edge hands out what
        `Joined` holds and then calls `go_live` (or, if that is too much, `lag` and `catch_up`);
        what is announced until then is kept.
        """
        room, user = client.room, client.user
        self._check_entry(client.identity, room)
        rule = self._policy.rule(room)
        first = self._hub.begin(client, presence=rule.presence)
        if first:
            self._engine.watch(room)
        try:
            if self._hooks is not None:
                await self._hooks.joining(room, user, client.id)
                if not self._hub.knows(client):
                    raise _left_meanwhile()
            if first:
                # the rule may have become stricter, and messages older, while nobody was here
                await self._engine.trim(room, rule, self._clock())
            await self.moderation.admit(client)  # before a member is made of somebody banned
            membership = await self._engine.join(room, user, self._config.limits)
            peer = await self._direct.peer(room, user) if private.is_direct(room) else None
            page, at = await self._look_back(client, since, membership)
            known, begin, lost = _verdict(page, at)
            top, number, missed = page.top, page.number, _few(page, user)
            del page  # what is too much is not held any longer
            # last, so that nobody is told of somebody who did not get in
            counts = await self._engine.enter(room, user, client.id)
            if not self._hub.knows(client):
                raise _left_meanwhile()
            self.activity.begin(client, self._clock())
        except BaseException:
            await self.leave(client)  # again, if it left meanwhile: it may have entered after that
            raise
        client.proven = membership.cursor
        if _is_new(membership) and not user.guest:
            self.sessions.joined(user.id, room)
        if since is not None and known > membership.cursor:
            self._proved(client, known)
        if rule.public and not (user.guest and not top.offset):  # of a guest nothing is kept
            self.directory.visited(client, rule)
        after = Position(top.epoch, begin)
        return Joined(
            counts=counts,
            membership=membership,
            top=top,
            number=number,
            begins=Position(top.epoch, known),
            gap=None if lost is None else wire.gap_event(*lost, after),
            after=after,
            missed=missed,
            recovered=since is not None and lost is None,
            set_up=partial(self._set_up, client),
            peer=peer,
        )

    def _set_up(self, client: Client) -> tuple[list[str], RoomSettings]:
        return self.moderation.permissions(client), self.moderation.settings(client)

    async def _look_back(
        self, client: Client, since: Position | None, membership: Membership
    ) -> tuple[Page, Position]:
        """What the client missed, up to the top of the log (the newest of it, if it is much), and
        the position behind which it was looked for."""
        room, limit = client.room, self._config.rooms.recovery_limit
        known, least = membership.cursor, 0
        if since is not None:
            known = since.offset
            # it is only the client's word, and opens nothing to who may not see what was before
            if not self._policy.may(client.identity, "history", room):
                least = membership.joined
        look = partial(self._engine.history, room, limit=limit, ops=True)
        page = await look(after=max(known, least))
        at = since or Position(page.top.epoch, known)
        if at.epoch != page.top.epoch:
            page = await look(after=least)
        if page.messages and page.messages[-1].offset < page.top.offset:
            page = await look()
        client.epoch, client.offset = page.top.epoch, page.top.offset
        return page, at

    def go_live(self, client: Client) -> list[Event] | None:
        """The client has been handed everything up to the top of the log, as it was read last: from
        now on it gets events as they come.

        Returns what was announced meanwhile; the edge hands it out before it waits for anything.
        None when that has a hole: the client has to read on (`lag`, `catch_up`).
        """
        if not self._hub.knows(client):
            raise _left_meanwhile()
        missed = self._hub.live(client)
        if missed is None:
            return None
        return [wire.message_event(message, client.epoch) for message in missed]

    def states(self, client: Client) -> list[tuple[int, Event]]:
        """What changed while the client was behind, of what only the newest counts: see
        `Hub.states`. It is told that before it goes live."""
        if not self._hub.knows(client):
            raise _left_meanwhile()
        return self._hub.states(client)

    def lag(self, client: Client, offset: int) -> None:
        """The client was handed the log up to `offset`, and has no space for more now: nothing more
        is told or kept for it, until `catch_up`."""
        if not self._hub.knows(client):
            raise _left_meanwhile()
        self._hub.lag(client, offset)

    async def catch_up(self, client: Client, limit: int) -> Missed:
        """The next of what a client that is behind has to be told: at most `limit` entries
        of the log.

        The edge hands out of it what there is space for, and notes that with `handed`. Then, before
        it waits for anything, it calls `go_live` if that was all and reached the top, else `lag`.
        """
        if not self._hub.is_in(client):
            raise _left_meanwhile()
        self._hub.begin(client)
        at = Position(client.epoch, client.offset)
        try:
            look = partial(self._engine.history, client.room, limit=limit, ops=True)
            page = await look(after=at.offset)
            if page.top.epoch != at.epoch:
                allowed = self._policy.may(client.identity, "history", client.room)
                # who may not see what was before its time gets what comes
                page = await look(after=0 if allowed else page.top.offset)
        except BaseException:
            if self._hub.knows(client):
                self._hub.lag(client, at.offset)
            raise
        if not self._hub.knows(client):
            raise _left_meanwhile()
        _, begin, lost = _verdict(page, at)
        gap = [] if lost is None else [wire.gap_event(*lost, Position(page.top.epoch, begin))]
        return Missed([*gap, *_events(page, client.user)], page.top)

    def handed(self, client: Client, position: Position) -> None:
        """A client that is behind was handed everything up to there."""
        self._hub.handed(client, position)

    async def leave(self, client: Client, *, for_good: bool = False) -> None:
        """The connection is over; the user stays a member. Never refused.

        `for_good`: they will not come back soon, so the others are told without the grace time.
        """
        if private.is_session(client.room):
            self.sessions.leave(client)
            return
        self.activity.end(client)
        was_in = self._hub.is_in(client)
        if self._hub.remove(client):
            self._engine.unwatch(client.room)
        if was_in:
            self._type(client, on=False)
            if self._hooks is not None:
                self._hooks.left(client.room, client.user, client.id)
        grace = self._config.presence.grace if for_good else 0.0
        await self._engine.exit(client.room, client.user.id, client.id, self._clock() - grace)

    async def leave_for_good(self, client: Client) -> None:
        """The user is no longer a member, and all their clients in the room are ended, this one
        too; joining again makes a new member of them."""
        self._check(client)
        room, user = client.room, client.user
        await self._engine.mentions.forget(user.id, room)
        await self._engine.leave(room, user.id)
        if not user.guest:
            self.sessions.left(user.id, room)
        for device in self._hub.devices(room, user.id):
            device.outbox.close(device, Disconnect("left"))
            # one that is still joining is ended when it has been told that it joined
            if self._hub.is_in(device):
                # at once: what it had sent before it knew is no member's any more
                await self.leave(device, for_good=True)

    def delivered(self, client: Client, offset: int) -> None:
        """It is proven that the client has everything up to `offset`."""
        offset = min(offset, self._hub.written(client))
        if offset > client.proven:
            self._proved(client, offset)

    def _proved(self, client: Client, offset: int) -> None:
        client.proven = offset
        self._engine.advance(client.room, client.user.id, offset)

    # ------------------------------------------------------------ without a connection

    async def visit(self, identity: Identity, name: str, address: str | None = None) -> Visitor:
        """Somebody asks for something in a room without joining it: who may not join it is refused,
        and so is who would be refused by a hook (which an operator is not). Each request is a visit
        of its own, for nobody tells a visitor that something has changed."""
        room = self.find(name, identity.user)
        if private.is_session(room):
            raise Refusal("bad_room", "this is no room, but your connection's own")
        visitor = Visitor(room, identity, address)
        self._check(visitor)
        if self._hooks is not None and not identity.operator:
            await self._hooks.joining(room, identity.user, visitor.id)
        return await self.moderation.admit_visitor(visitor)

    async def overhear(self, client: Client, room: str) -> None:
        """May the client, which is in front of a room (`Hub.put_before`), hear what is said there?
        Who may not visit the room may not, from the beginning on; what is decided or revoked from
        now on finds the client, which is in the hub. `forget` it in the end."""
        self._hub.holders.add(client)
        await self._check_revoked(client.identity)
        await self.visit(client.identity, room, client.address)

    async def list_rooms(
        self, identity: Identity, request: wire.DirectoryRequest, address: str | None = None
    ) -> Found:
        """A page of the directory, for a visitor: who is banned from all rooms sees none."""
        await self.moderation.admit_visitor(Visitor(EVERYWHERE, identity, address))
        return await self.directory.find(identity, request.query, request.after, request.limit)

    async def post(self, visitor: Visitor, request: wire.SendRequest) -> Published:
        """`send` for a visitor, who becomes a member by it, as whoever joins does: so the bounds of
        members and rooms hold here too. Those in whose name an operator posts do not, but in a room
        of two, which is theirs."""
        room, user = visitor.room, visitor.user
        if not visitor.identity.operator or private.is_direct(room):
            self.check_post(visitor)
            membership = await self._engine.join(room, user, self._config.limits)
            if _is_new(membership):
                self.sessions.joined(user.id, room)
        return await self.send(visitor, request)

    async def pass_text(self, visitor: Visitor, text: str) -> str:
        """A text that is to be heard in the visitor's room, and kept nowhere: returns what it
        says then, for hooks are asked as about a message."""
        self.check_post(visitor)
        if self._hooks is None:
            return text
        asked = Posting(visitor.room, visitor.user, visitor.id, random_id(16), text)
        said = await self._hooks.posting(asked, self.max_body(visitor.room))
        if not isinstance(said, str):
            raise Refusal("bad_request", "only a text can be said before a login")
        return said

    async def counts(self, actor: Actor) -> tuple[Counts, list[str]]:
        """How many are in the room, and what the actor may do there."""
        self._check(actor)
        if not self._policy.rule(actor.room).presence:
            raise _untold()
        return await self._engine.counts(actor.room), self.moderation.permissions(actor)

    # ------------------------------------------------------------ requests

    def max_body(self, room: str) -> int:
        """Bytes that a message in this room may have."""
        return self._policy.rule(room).max_body or self._config.limits.max_body

    async def send(self, client: Actor, request: wire.SendRequest) -> Published:
        """Post a message. When this returns, the message is stored and will reach everybody."""
        now = self.check_post(client)
        rule = self._policy.rule(client.room)
        self._budget.check_message(client.user.id, client.room, rule, now)
        if request.mentions:
            self._budget.check_mentions(client.user.id, len(request.mentions), now)
        id, body = request.id or random_id(16), request.body
        if self._hooks is not None:
            asked = Posting(client.room, client.user, client.id, id, body)
            body = await self._hooks.posting(asked, self.max_body(client.room))
            # it may have left meanwhile, or may post no longer
            now = self.check_post(client)
        if private.is_direct(client.room):
            await self._direct.invite(client.room, client.user, now)
        draft = Draft(
            id=id,
            user=client.user,
            body=body,
            at=int(now * 1000),
            resendable=request.id is not None,
            pause=self._pause(client, rule),
            reply_to=request.reply_to,
            mentions=request.mentions,
        )
        published = await self._engine.publish(client.room, draft, rule)
        self._metrics.messages_published += not published.duplicate
        if rule.public:
            self.directory.visited(client, rule)
        self._metrics.observe_publish(max(0.0, self._clock() - now))
        if request.mentions:
            await self.mentions.note(
                client.room, client.user, published, request.mentions, resendable=draft.resendable
            )
        return published

    def _pause(self, client: Actor, rule: RoomRule) -> float:
        pause = self.moderation.pause(client, rule)
        if not pause or self._policy.may(client.identity, "moderate", client.room):
            return 0.0
        return pause

    def check_post(self, client: Actor) -> float:
        """The time, if the client may make itself heard in its room just now: what is asked for
        all that the others are told of. Raises `Refusal`."""
        now = self._check(client)
        self._policy.check(client.identity, "post", client.room)
        self.moderation.check_post(client, now, self._policy.rule(client.room))
        return now

    def _may_post(self, client: Client) -> bool:
        try:
            self.check_post(client)
        except Refusal:
            return False
        return True

    async def history(self, client: Actor, request: wire.HistoryRequest) -> Page:
        """A page of the room's log."""
        self._check(client)
        self._policy.check(client.identity, "history", client.room)
        return await self._engine.history(
            client.room,
            after=request.after,
            before=request.before,
            limit=request.limit,
            ops=request.operations,
        )

    async def members(
        self, client: Actor, *, everybody: bool
    ) -> tuple[list[User], Counts, list[User] | None, Mapping[str, State], Mapping[str, int]]:
        """Users online or away, the counts, (when `everybody`) the members; what those of both are
        who are in the room, and when the others were seen last, if that is known."""
        self._check(client)
        room, limit = client.room, self._config.rooms.members_page
        if not self._policy.rule(room).presence:
            raise _untold()
        counts = await self._engine.counts(room)
        online = await self._engine.online(room, limit=limit)
        members = await self._engine.members(room, limit=limit) if everybody else None
        asked = dict.fromkeys(user.id for user in (*online, *(members or ())))
        states = await self._engine.states(room, list(asked))
        gone = [user.id for user in members or () if user.id not in states]
        return online, counts, members, states, await self._engine.seen.of(gone)

    async def read(self, client: Client, offset: int) -> int:
        """Move the user's read position; returns how many messages are unread now."""
        self._check(client)
        room, user = client.room, client.user
        standing = await self._engine.read(room, user.id, offset)
        # of a guest nothing is kept, and the answer is that everything was read
        read, unread = standing.membership.read, standing.unread
        if user.guest and offset < read:
            read, unread = offset, await self._behind(room, offset)
        if read > client.told_read:
            client.told_read = read
            if not user.guest:
                self.sessions.has_read(user.id, room, standing.membership.number)
            if self._policy.rule(room).presence:
                counts = await self._engine.counts(room)
                # members, not only those who are online: it shall not change by the hour
                if counts.total <= self._config.rooms.receipts_max_members:
                    self._tell(room, wire.read_event(user, read), but=client)
        return unread

    async def _behind(self, room: str, offset: int) -> int:
        """How many messages there are behind an offset."""
        # with operations: a message may have thousands of them between itself and the offset
        page = await self._engine.history(room, after=offset, limit=1, ops=True)
        if not page.messages:
            return 0
        following = page.messages[0]
        return page.number - following.number + (following.kind == "message")

    def typing(self, client: Client, on: bool) -> None:
        """Tell the others, unless they know: see `Typists`."""
        if on:
            self.check_post(client)
        else:
            self._check(client)
        self._type(client, on=on)

    def _type(self, client: Client, *, on: bool) -> None:
        room, user = client.room, client.user
        here, elsewhere = self._hub.typists.says(room, user, client.id, on, self._clock())
        if here:
            self._hub.tell(room, wire.typing_event(user, on), client)
        if elsewhere:
            self._engine.tell(room, wire.typing_event(user, on))

    def status(self, client: Client, state: State) -> None:
        """The user says that this device, in all its rooms, is used or not: see `Activity`."""
        self.activity.say(client, state, self._check(client))

    def relays(self, room: str, name: str) -> bool:
        """Is this one of the events that the room passes on?"""
        return self._relay.passes(room, name)

    def relay(self, client: Client, name: str, args: Sequence[Any]) -> None:
        """Pass an event on to the others: ephemeral, in no log."""
        self._relay.send(client, name, args, self.check_post(client))

    def tell_user(self, user_id: str, event: Event) -> None:
        """Tell all sessions (`@me`) of a user, wherever they are: see `Sessions.tell`."""
        self.sessions.tell(user_id, event)

    # ------------------------------------------------------------ common

    def _tell(self, room: str, event: Event, but: Client | None = None) -> None:
        """Send an ephemeral event to the room's clients: here at once, elsewhere soon."""
        self._hub.tell(room, event, but)
        self._engine.tell(room, event)

    def _check(self, client: Actor) -> float:
        """The time, if the client may ask for something at all."""
        if isinstance(client, Client):
            self._check_in(client)
        else:
            self._check_entry(client.identity, client.room)  # nobody has let it in
        now = self._clock()
        expires = client.identity.expires_at
        if expires is not None and now >= expires:
            raise Refusal("token_expired")
        return now

    def _check_in(self, client: Client) -> None:
        if not self._hub.is_in(client):
            raise Refusal("not_member")


def _events(page: Page, reader: User) -> list[Event]:
    return [wire.message_event(entry, page.top.epoch, reader.id) for entry in page.messages]


def _few(page: Page, reader: User) -> list[Event] | None:
    """The entries of the page, unless they are too much to be told at once."""
    size = sum(wire.entry_size(entry) for entry in page.messages)
    return _events(page, reader) if size <= AT_ONCE else None


def _verdict(page: Page, at: Position) -> tuple[int, int, tuple[int, int] | None]:
    """Is everything behind a client's position on the page?

    Returns the offset that the client is at, the offset behind which the page begins, and the first
    and last offset of what is lost to the client in between.
    """
    top = page.top.offset
    begin = page.messages[0].offset - 1 if page.messages else top
    if at.epoch != page.top.epoch:
        # another life of the log: offsets mean nothing any more, so begin where it begins
        return 0, begin, (0, begin)
    if at.offset > top:
        # the log lost its end: what comes next under these offsets is something else
        return top, begin, (top + 1, at.offset)
    return at.offset, begin, (at.offset + 1, begin) if at.offset < begin else None


def _is_new(membership: Membership) -> bool:
    """A new member, or one who was given nothing yet: sessions that know the room ignore it."""
    return membership.cursor == membership.read == membership.joined


def _untold() -> Refusal:
    return Refusal("forbidden", "this room does not tell who is in it")


def _left_meanwhile() -> Refusal:
    return Refusal("not_member", "the client left before it had joined")
