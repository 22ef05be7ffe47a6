"""What may happen in a room, and in which order. The one service behind every edge.

`RoomService` asks the policy and the limits, calls the engine and registers clients in the hub.
What is a subject of its own is a part of it, in a module of its own, which edges call directly:
`rooms.replay`, `rooms.people`. It keeps no state of its own between calls and knows no wire: edges
hand it parsed requests and turn its `Refusal`s into answers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from sioserver import private, wire
from sioserver.activity import Activity
from sioserver.actors import Actor
from sioserver.auth import Policy, Verifier
from sioserver.config import Config, RoomRule
from sioserver.direct import Direct
from sioserver.directory import Directory
from sioserver.engine.base import Engine
from sioserver.errors import Disconnect, Refusal
from sioserver.hooks import HookCalls, Posting
from sioserver.hub import Client, Hub
from sioserver.identities import Identities
from sioserver.ids import random_id
from sioserver.limits import Budget
from sioserver.mentions import Mentions
from sioserver.metrics import Metrics
from sioserver.model import Draft, Event, Page, Position, Published, RoomSettings, User
from sioserver.moderation import Moderation
from sioserver.operations import Operations
from sioserver.people import People
from sioserver.relay import Relay
from sioserver.replay import Joined, Replay, few, left_meanwhile, verdict
from sioserver.search import Search
from sioserver.sessions import Sessions
from sioserver.visitors import Visitors


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
        self._policy = policy
        self._budget = budget
        self._metrics = metrics
        self._clock = clock
        self.identities = Identities(engine, hub, verifier, policy, metrics, clock, renew_keys)
        self._check = check = self.identities.check
        self.sessions = Sessions(config, engine, hub, metrics)
        self.directory = Directory(
            config, engine, hub, policy, lambda actor: self.moderation.topic(actor)
        )
        self.moderation = Moderation(
            engine, hub, policy, metrics, clock, check, hooks, self.directory.configured
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
        self.search = Search(engine, policy, budget, check)
        self._direct = Direct(config.limits, engine, budget, self.sessions.joined)
        self.activity = Activity(
            engine,
            lambda room: policy.rule(room).presence,
            away_after=config.presence.away_after,
        )
        self._relay = Relay(policy, budget, metrics, tell=self._tell, may_send=self._may_post)
        self.replay = Replay(engine, hub, policy, config.rooms.recovery_limit)
        self.people = People(
            config.rooms,
            engine,
            hub,
            policy,
            clock,
            check=check,
            check_post=self.check_post,
            says=self.activity.say,
            has_read=self.sessions.has_read,
        )
        self.visitors = Visitors(
            config.limits,
            engine,
            self.directory,
            hooks,
            admit=self.moderation.admit_visitor,
            joined=self.sessions.joined,
            find=self.find,
            check=check,
            check_post=self.check_post,
            max_body=self.max_body,
            send=self.send,
        )

    def sweep(self, now: float) -> None:
        """Do what has become due; called by the node every `presence.batch`."""
        self.activity.sweep(now)
        self._relay.sweep(now)
        self.directory.sweep(now)
        self.people.sweep(now)

    # ------------------------------------------------------------ who

    async def admit(self, client: Client) -> None:
        """From now on the client is ended when its token is revoked, in whatever room it is or is
        about to be; and raises a `Refusal` if that has happened since it was identified, or its
        user is banned from all rooms."""
        self._hub.holders.add(client)
        await self.identities.check_revoked(client.identity)
        await self.moderation.admit_anywhere(client)

    async def check(self, client: Client) -> None:
        """Is the client's token still good, and its user not banned? For one that was not let in
        yet: nobody has told it."""
        await self.identities.check_revoked(client.identity)
        self.moderation.check_entry(client)

    def forget(self, client: Client) -> None:
        """The client has gone. Does not wait."""
        self._hub.holders.remove(client)

    async def overhear(self, client: Client, room: str) -> None:
        """May the client, which is in front of a room (`Hub.put_before`), hear what is said there?
        Who may not visit the room may not, from the beginning on; what is decided or revoked from
        now on finds the client, which is in the hub. `forget` it in the end."""
        self._hub.holders.add(client)
        await self.identities.check_revoked(client.identity)
        await self.visitors.visit(client.identity, room, client.address)

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
        `Joined` holds and then calls `Replay.go_live` (or, if that is too much, `lag` and
        `catch_up`); what is announced until then is kept.
        """
        room, user = client.room, client.user
        self.identities.check_entry(client.identity, room)
        rule = self._policy.rule(room)
        first = self._hub.begin(client, presence=rule.presence)
        if first:
            self._engine.watch(room)
        try:
            if self._hooks is not None:
                await self._hooks.joining(room, user, client.id)
                if not self._hub.knows(client):
                    raise left_meanwhile()
            if first:
                # the rule may have become stricter, and messages older, while nobody was here
                await self._engine.trim(room, rule, self._clock())
            await self.moderation.admit(client)  # before a member is made of somebody banned
            membership = await self._engine.join(room, user, self._config.limits)
            peer = await self._direct.peer(room, user) if private.is_direct(room) else None
            page, at = await self.replay.look_back(client, since, membership)
            known, begin, lost = verdict(page, at)
            top, number, missed = page.top, page.number, few(page, user)
            del page  # what is too much is not held any longer
            # last, so that nobody is told of somebody who did not get in
            counts = await self._engine.enter(room, user, client.id)
            if not self._hub.knows(client):
                raise left_meanwhile()
            self.activity.begin(client, self._clock())
        except BaseException:
            await self.leave(client)  # again, if it left meanwhile: it may have entered after that
            raise
        client.proven = membership.cursor
        if membership.is_new and not user.guest:
            self.sessions.joined(user.id, room)
        if since is not None and known > membership.cursor:
            self.replay.proved(client, known)
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
            self.people.types(client, on=False)
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

    def relays(self, room: str, name: str) -> bool:
        """Is this one of the events that the room passes on?"""
        return self._relay.passes(room, name)

    def relay(self, client: Client, name: str, args: Sequence[Any]) -> None:
        """Pass an event on to the others: ephemeral, in no log."""
        self._relay.send(client, name, args, self.check_post(client))

    # ------------------------------------------------------------ common

    def _tell(self, room: str, event: Event, but: Client | None = None) -> None:
        """Send an ephemeral event to the room's clients: here at once, elsewhere soon."""
        self._hub.tell(room, event, but)
        self._engine.tell(room, event)
