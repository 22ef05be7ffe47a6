"""Moderation: who is kept out or quiet, what a room is set to, and what that does to those here.

Part of `RoomService`. The engine keeps and tells what was decided; here is asked who may decide,
whom it binds, and done what follows for the clients of this node. It knows no wire but the events.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from math import inf
from typing import Any, Final, Literal

import msgspec

from sioserver import wire
from sioserver.actors import Actor, Visitor
from sioserver.auth import Identity, Policy
from sioserver.auth.names import clean_name
from sioserver.config import RoomRule
from sioserver.engine.base import Engine
from sioserver.engine.moderated import Rules
from sioserver.errors import Disconnect, Refusal
from sioserver.hooks import HookCalls
from sioserver.hub import Client, Hub
from sioserver.metrics import Metrics
from sioserver.model import EVERYWHERE, Act, RoomSettings, Sanction, SanctionKind, User

log = logging.getLogger(__name__)

KICK_KEPT: Final = 60.0
"""Seconds for which a kick is kept, for nodes that could not be told at once."""

Lift = Literal["unban", "unmute"]
_KINDS: Final[Mapping[Lift, SanctionKind]] = {"unban": "ban", "unmute": "mute"}


class Moderation:
    """See the module. Methods raise `Refusal`."""

    def __init__(
        self,
        engine: Engine,
        hub: Hub,
        policy: Policy,
        metrics: Metrics,
        clock: Callable[[], float],
        check: Callable[[Actor], float],
        hooks: HookCalls | None = None,
        configured: Callable[[str, str | None], None] = lambda room, topic: None,
    ) -> None:
        """`check`: may the client ask for something at all? See `Identities`. `hooks`: an
        embedder's. `configured`: called with a room and the topic that is set there (None: none),
        when its settings were changed."""
        self._configured = configured
        self._hooks = hooks
        self._engine = engine.moderation
        self._rules = engine.moderation.rules
        self._hub = hub
        self._policy = policy
        self._metrics = metrics
        self._clock = clock
        self._check = check
        hub.moderator = self

    # ------------------------------------------------------------ whom it binds

    async def admit(self, client: Client) -> None:
        """May the client come in? It has been registered, so that what is decided from now on finds
        it. Raises `Refusal("banned")`."""
        for room in (EVERYWHERE, client.room):
            rules = await self._engine.look(room)
            if rules:
                self._check_entry(client, room, rules, self._clock())

    async def admit_anywhere(self, client: Client) -> None:
        """The same for what holds in all rooms only."""
        rules = await self._engine.look(EVERYWHERE)
        if rules:
            self._check_entry(client, EVERYWHERE, rules, self._clock())

    def check_entry(self, client: Client) -> None:
        """May it still, by what is known here? Does not wait."""
        for room in (EVERYWHERE, client.room):
            rules = self._rules.get(room)
            if rules is not None:
                self._check_entry(client, room, rules, self._clock())

    def check_post(self, client: Actor, now: float, rule: RoomRule) -> None:
        """May the client make itself heard in its room just now? Whether it may at all was asked
        before. Raises `Refusal`: "muted", "banned" or "forbidden"."""
        closed: bool | None = None
        known = self._known(client)
        if known:  # else nothing was decided in any room here
            for room in (EVERYWHERE, client.room):
                rules = known.get(room)
                if rules is not None:
                    self._check_entry(client, room, rules, now)
                    self._check_mute(client, room, rules, now)
                    closed = rules.settings.read_only
        if rule.read_only if closed is None else closed:
            objection = self._policy.objection(client.identity, "moderate", client.room)
            if objection is not None:
                raise Refusal("forbidden", "this room is read-only; only moderators may post")

    def pause(self, client: Actor, rule: RoomRule) -> float:
        """Slow mode: seconds between two messages of a user in the room of the client."""
        rules = self._known(client).get(client.room)
        own = None if rules is None else rules.settings.slow_mode
        return rule.slow_mode if own is None else own

    def topic(self, client: Actor) -> str | None:
        """What moderators have set as the topic of the client's room; None: nothing."""
        rules = self._known(client).get(client.room)
        return None if rules is None else rules.settings.topic

    def settings(self, client: Actor) -> RoomSettings:
        """What is in force in the client's room."""
        rules, rule = self._known(client).get(client.room), self._policy.rule(client.room)
        own = _NONE if rules is None else rules.settings
        return _filled(own, rule)

    async def settings_of(self, room: str) -> RoomSettings:
        """The same of any room."""
        rules = await self._engine.look(room)
        return _filled(rules.settings, self._policy.rule(room))

    def permissions(self, client: Actor) -> list[str]:
        """What they may do in their room, as it is set now."""
        may = self._policy.permissions(client.identity, client.room)
        if "post" in may and "moderate" not in may and self.settings(client).read_only:
            may.remove("post")
        return may

    async def admit_visitor(self, visitor: Visitor) -> Visitor:
        """The same for somebody who is in no room: with what was decided there. Raises
        `Refusal("banned")`."""
        known = {room: await self._engine.look(room) for room in (EVERYWHERE, visitor.room)}
        now = self._clock()
        for room, rules in known.items():
            self._check_entry(visitor, room, rules, now)
        return msgspec.structs.replace(visitor, moderated=known)

    def _known(self, client: Actor) -> Mapping[str, Rules]:
        return client.moderated if isinstance(client, Visitor) else self._rules

    def _check_entry(self, client: Actor, room: str, rules: Rules, now: float) -> None:
        for ban in rules.bans_of(client.user.id, client.address, now):
            if self._binds(ban, client):
                raise Refusal("banned", _banned(ban, room))

    def _check_mute(self, client: Actor, room: str, rules: Rules, now: float) -> None:
        mute = rules.find("mute", client.user.id, now)
        if mute is not None and self._binds(mute, client):
            raise Refusal("muted", _muted(mute, room, now), retry_after=mute.until - now)

    def _binds(self, sanction: Sanction, client: Actor) -> bool:
        """Who may moderate is bound by an operator only: two moderators could put each other out,
        and whoever has stolen one's token all of them."""
        room = self._hub.room_for(client) if isinstance(client, Client) else client.room
        return sanction.final or not self._policy.may(client.identity, "moderate", room)

    # ------------------------------------------------------------ what moderators do

    async def kick(self, client: Actor, order: wire.Order) -> Sanction:
        """End a user's clients in the room; they may come again."""
        return await self._decide(client, "kick", order)

    async def mute(self, client: Actor, order: wire.Order) -> Sanction:
        """Keep a user quiet for some time."""
        return await self._decide(client, "mute", order)

    async def ban(self, client: Actor, order: wire.Order) -> Sanction:
        """Put a user out, and keep them out."""
        return await self._decide(client, "ban", order)

    async def lift(self, client: Actor, what: Lift, user_id: str) -> None:
        """End a ban or a mute. Raises `Refusal("bad_request")` when there is none."""
        room = self._check_moderator(client)
        final = self._policy.is_admin(client.identity)
        kind = _KINDS[what]
        found = (await self._engine.look(room)).find(kind, user_id, self._clock())
        if found is not None and found.final and not final:
            raise Refusal("forbidden", "an operator has decided this; only an operator can lift it")
        if found is None or not await self.lift_in(room, what, user_id, client.user.id):
            raise Refusal("bad_request", f"there is no {kind} for this user")

    async def configure(self, client: Actor, changes: Mapping[str, Any]) -> RoomSettings:
        """Change the room's settings; returns what is in force then."""
        room = self._check_moderator(client)
        if not changes:
            return self.settings(client)
        return await self.configure_in(room, changes, client.user.id)

    async def bans(self, client: Actor, request: wire.ListRequest) -> tuple[list[Sanction], bool]:
        """A page of the sanctions in the room, and whether there are more."""
        return await self.bans_in(self._check_moderator(client), request)

    async def log(self, client: Actor, request: wire.LogRequest) -> tuple[list[Act], bool]:
        """A page of what was done in the room, newest first, and whether there is more."""
        return await self.log_in(self._check_moderator(client), request)

    async def _decide(self, client: Actor, kind: SanctionKind, order: wire.Order) -> Sanction:
        room = self._check_moderator(client)
        final = self._policy.is_admin(client.identity)
        if order.user == client.user.id:
            raise Refusal("bad_request", f"you cannot {kind} yourself")
        if not final and self._is_moderator(room, order.user):
            raise Refusal("forbidden", f"they may moderate, too: only an operator can {kind} them")
        return await self.impose_in(room, kind, order, client.user.id, final=final)

    def _check_moderator(self, client: Actor) -> str:
        self._check(client)
        self._policy.check(client.identity, "moderate", client.room)
        return client.room

    def _is_moderator(self, room: str, user_id: str) -> bool:
        """As far as it is known here: by the room's rule, or by the token of somebody who is here.
        Of others the decision is kept, and does not bind them (`_binds`)."""
        shown = Identity(User(user_id, ""), authenticated=True)
        identities = [shown, *(device.identity for device in self._hub.devices(room, user_id))]
        return any(self._policy.may(identity, "moderate", room) for identity in identities)

    # ------------------------------------------------------------ what anybody does who may

    async def impose_in(
        self, room: str, kind: SanctionKind, order: wire.Order, by: str, *, final: bool = True
    ) -> Sanction:
        """Decide about a user in a room or `EVERYWHERE`; who asks may do that. `final`: it binds
        moderators, too."""
        now = self._clock()
        kept = KICK_KEPT if kind == "kick" else order.seconds
        sanction = Sanction(
            kind,
            order.user,
            inf if kept is None else now + kept,
            now,
            by,
            clean_name(order.reason, wire.MAX_REASON),
            final,
            order.address,
        )
        act = Act(kind, by, now, order.user, sanction.until, sanction.reason)
        await self._ask(room, act)
        await self._engine.impose(room, sanction, act)
        self._metrics.count_moderation(kind)
        if final:
            log.info("%s decided: %s of %.80r in %.80r", by, kind, order.user, room)
        return sanction

    async def lift_in(self, room: str, what: Lift, user_id: str, by: str) -> bool:
        """The same of ending it. False: there is none."""
        act = Act(what, by, self._clock(), user_id)
        await self._ask(room, act)
        done = await self._engine.lift(room, _KINDS[what], user_id, act)
        if done:
            self._metrics.count_moderation(what)
        return done

    async def configure_in(self, room: str, changes: Mapping[str, Any], by: str) -> RoomSettings:
        """The same of a room's settings; returns what is in force then."""
        changes = dict(changes)
        if changes.get("topic") is not None:
            changes["topic"] = clean_name(changes["topic"], wire.MAX_TOPIC)
        act = Act("settings", by, self._clock(), settings=changes)
        await self._ask(room, act)
        own = await self._engine.configure(room, changes, act)
        self._metrics.count_moderation("settings")
        self._configured(room, own.topic)
        return _filled(own, self._policy.rule(room))

    async def _ask(self, room: str, act: Act) -> None:
        if self._hooks is not None:
            await self._hooks.moderating(room, act)

    async def bans_in(self, room: str, request: wire.ListRequest) -> tuple[list[Sanction], bool]:
        """A page of the sanctions in a room or `EVERYWHERE`, and whether there are more."""
        rules = await self._engine.look(room)
        limit = request.limit
        found = rules.page(request.kind, self._clock(), request.after, limit + 1)
        return found[:limit], len(found) > limit

    async def log_in(self, room: str, request: wire.LogRequest) -> tuple[list[Act], bool]:
        """A page of what was done there, newest first, and whether there is more."""
        found = await self._engine.acts(room, before=request.before, limit=request.limit + 1)
        return found[: request.limit], len(found) > request.limit

    # ------------------------------------------------------------ what follows, on this node

    def on_sanction(self, room: str, sanction: Sanction) -> None:
        """See `Moderator`."""
        now = self._clock()
        if sanction.until <= now:
            return
        if sanction.kind == "mute":
            text = _muted(sanction, room, now)
            event = wire.notice_event("muted", text, retry_after=sanction.until - now)
            bound = [
                one for one in self._devices(room, sanction.user) if self._binds(sanction, one)
            ]
            self._hub.tell_only(bound, event)
            return
        if sanction.kind == "kick":
            ending = Disconnect("kicked", _said("removed from the room", sanction.reason))
        else:
            ending = Disconnect("banned", _banned(sanction, room))
        theirs: set[str] = set()
        for client in self._concerned(room, sanction):
            if client.user.id == sanction.user and client.address is not None:
                theirs.add(client.address)
            if self._binds(sanction, client):
                client.outbox.close(client, ending)
        new = theirs.difference(sanction.addresses) if sanction.by_address else ()
        if new:
            self._engine.learn(room, sanction.user, tuple(sorted(new)))

    def on_lifted(self, room: str, sanction: Sanction) -> None:
        """See `Moderator`."""
        if sanction.kind == "mute" and sanction.until > self._clock():
            event = wire.notice_event("unmuted", f"you may post again {_where(room)}")
            self._hub.tell_only(self._devices(room, sanction.user), event)

    def on_settings(self, room: str, settings: RoomSettings) -> None:
        """See `Moderator`."""
        self._hub.tell(room, wire.room_event(_filled(settings, self._policy.rule(room))))

    def _devices(self, room: str, user_id: str) -> list[Client]:
        where = None if room == EVERYWHERE else room
        return [client for client in self._hub.clients(where) if client.user.id == user_id]

    def _concerned(self, room: str, sanction: Sanction) -> list[Client]:
        where = None if room == EVERYWHERE else room
        return [
            client
            for client in self._hub.clients(where)
            if client.user.id == sanction.user or client.address in sanction.addresses
        ]


_NONE: Final = RoomSettings()


def _filled(own: RoomSettings, rule: RoomRule) -> RoomSettings:
    """What moderators set, else what the configuration says."""
    return RoomSettings(
        rule.topic if own.topic is None else own.topic,
        rule.slow_mode if own.slow_mode is None else own.slow_mode,
        rule.read_only if own.read_only is None else own.read_only,
    )


def _banned(ban: Sanction, room: str) -> str:
    until = ""
    if ban.until != inf:
        until = f" until {datetime.fromtimestamp(ban.until, UTC).isoformat(timespec='seconds')}"
    where = "this server" if room == EVERYWHERE else "this room"
    return _said(f"you are banned from {where}{until}", ban.reason)


def _muted(mute: Sanction, room: str, now: float) -> str:
    text = f"you may not post {_where(room)} for {max(1, round(mute.until - now))} seconds"
    return _said(text, mute.reason)


def _where(room: str) -> str:
    return "on this server" if room == EVERYWHERE else "in this room"


def _said(text: str, reason: str) -> str:
    return f"{text}: {reason}" if reason else text
