"""Events of clients that a room passes on to the others: which, how often, and which is the newest.

Ephemeral: nothing is stored, and who is not here is told nothing. What comes too fast is refused;
but where only the newest counts (`relay_latest`) it waits for its turn instead, so that the others
end up with a cursor's last place. Who may send at all is decided before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sioserver import wire
from sioserver.auth import Policy
from sioserver.errors import Refusal
from sioserver.hub import Client
from sioserver.limits import Budget
from sioserver.metrics import Metrics
from sioserver.model import Event


class Relay:
    """The events on the rooms' lists."""

    def __init__(
        self,
        policy: Policy,
        budget: Budget,
        metrics: Metrics,
        *,
        tell: Callable[[str, Event, Client | None], None],
        may_send: Callable[[Client], bool],
    ) -> None:
        """`tell` sends an ephemeral event to a room's clients on all nodes, except one. `may_send`
        is asked again when something has waited: its sender may have gone, or been muted."""
        self._policy = policy
        self._budget = budget
        self._metrics = metrics
        self._tell = tell
        self._may_send = may_send
        self._late: dict[tuple[str, str, str], tuple[Client, Event]] = {}
        """The newest that waits for its turn, by (room, user id, name): as many as there are users
        here and names on the lists."""

    def passes(self, room: str, name: str) -> bool:
        """Is this one of the events that the room passes on?"""
        rule = self._policy.rule(room)
        return (name in rule.relay or name in rule.relay_latest) and wire.may_be_relayed(name)

    def send(self, client: Client, name: str, args: Sequence[Any], now: float) -> None:
        """Pass an event on to the others. Raises `Refusal("rate_limited")`."""
        room, user = client.room, client.user
        rule = self._policy.rule(room)
        latest = name in rule.relay_latest
        event = wire.relayed_event(name, args, user, latest=latest)
        wait = self._budget.take_relayed(user.id, room, rule, now)
        if latest and (wait or self._late):
            who = room, user.id, name
            if self._late.pop(who, None) is not None:
                self._metrics.count_drop("coalesced")
            if wait:
                self._metrics.count_limit("relay_rate")
                self._late[who] = client, event
                return
        if wait:
            raise Refusal("rate_limited", retry_after=wait, limit="relay_rate")
        self._tell(room, event, client)

    def sweep(self, now: float) -> None:
        """Pass on what has waited and may go now."""
        for who, (client, event) in list(self._late.items()):
            room, user_id, _ = who
            if not self._may_send(client):
                del self._late[who]
            elif not self._budget.take_relayed(user_id, room, self._policy.rule(room), now):
                del self._late[who]
                self._tell(room, event, client)
