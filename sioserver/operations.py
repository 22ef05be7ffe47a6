"""What may be done to messages that were posted: editing, deleting, reacting.

`RoomService` composes it. It asks the policy and the limits and calls the engine, which does the
rest in one step: finding the message, seeing whose it is, changing it, announcing that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from sioserver import wire
from sioserver.actors import Actor
from sioserver.auth import Policy
from sioserver.config import Config
from sioserver.engine.base import Engine
from sioserver.hooks import Deleting, Editing, HookCalls, Reacting
from sioserver.limits import Budget
from sioserver.metrics import Metrics
from sioserver.model import Operation, Published


class Operations:
    """See the module. Methods raise `Refusal`."""

    def __init__(
        self,
        config: Config,
        engine: Engine,
        policy: Policy,
        budget: Budget,
        metrics: Metrics,
        *,
        may_post: Callable[[Actor], float],
        max_body: Callable[[str], int],
        hooks: HookCalls | None = None,
    ) -> None:
        """`may_post` returns the time, or raises `Refusal`; `max_body`: bytes that a body in a room
        may have. `hooks`: an embedder's."""
        self._max_body = max_body
        self._hooks = hooks
        self._config = config
        self._engine = engine
        self._policy = policy
        self._budget = budget
        self._metrics = metrics
        self._may_post = may_post

    async def edit(self, client: Actor, request: wire.EditRequest) -> Published:
        """Change what a message says; one's own, or any with the permission `moderate`."""
        return await self._do(client, "edit", request.target, body=request.body)

    async def delete(self, client: Actor, target: wire.Target) -> Published:
        """Take a message's body away; one's own, or any with the permission `moderate`."""
        return await self._do(client, "delete", target)

    async def react(self, client: Actor, request: wire.ReactRequest) -> Published:
        """Put a reaction of one's own to a message, or take it back."""
        return await self._do(
            client, "reaction", request.target, emoji=request.emoji, on=request.on
        )

    async def _do(
        self,
        client: Actor,
        kind: Literal["edit", "delete", "reaction"],
        target: wire.Target,
        **how: Any,
    ) -> Published:
        now = self._may_post(client)
        room, user = client.room, client.user
        rule = self._policy.rule(room)
        self._budget.check_message(user.id, room, rule, now)
        if self._hooks is not None:
            await self._ask(self._hooks, client, kind, target, how)
            now = self._may_post(client)  # that may be another answer by now
        operation = Operation(
            kind=kind,
            user=user,
            at=int(now * 1000),
            offset=target.offset,
            id=target.id,
            author_only=kind != "reaction"
            and not self._policy.may(client.identity, "moderate", room),
            most=self._config.limits.reactions,
            **how,
        )
        published = await self._engine.operate(room, operation, rule)
        self._metrics.operations_done += not published.duplicate
        return published

    async def _ask(
        self, hooks: HookCalls, client: Actor, kind: str, target: wire.Target, how: dict[str, Any]
    ) -> None:
        """Ask an embedder's hooks, who may change the body of an edit."""
        about = client.room, client.user, client.id, target.offset, target.id
        if kind == "edit":
            editing = Editing(*about, how["body"])
            how["body"] = await hooks.editing(editing, self._max_body(client.room))
        elif kind == "delete":
            await hooks.deleting(Deleting(*about))
        else:
            await hooks.reacting(Reacting(*about, how["emoji"], how["on"]))
