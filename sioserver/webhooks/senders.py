"""One sender for each endpoint of the configuration, and word to each of what happens here."""

from __future__ import annotations

from collections.abc import Callable

from sioserver.config import Config
from sioserver.engine.base import Engine
from sioserver.engine.base_webhooks import Webhooks as Marks
from sioserver.metrics import Metrics
from sioserver.subscriptions import Subscriptions
from sioserver.webhooks.post import Poster
from sioserver.webhooks.sender import Sender, Spawn


class Webhooks:
    """The webhooks of a node."""

    def __init__(
        self,
        config: Config,
        engine: Engine,
        metrics: Metrics,
        clock: Callable[[], float],
        spawn: Spawn,
    ) -> None:
        """`clock`: seconds since 1970."""
        self._subscriptions = Subscriptions(config.webhooks)
        self._engine = engine
        self._metrics = metrics
        self._clock = clock
        self._spawn = spawn
        self._senders: list[Sender] = []

    def start(self, marks: Marks) -> None:
        """Begin to send; the tasks are ended by who spawned them."""
        for endpoint in self._subscriptions.endpoints:
            poster = Poster(
                endpoint.url, timeout=endpoint.timeout, concurrency=endpoint.concurrency
            )
            sender = Sender(
                endpoint,
                self._subscriptions,
                self._engine,
                marks,
                poster,
                self._metrics,
                self._clock,
                self._spawn,
            )
            self._senders.append(sender)
            self._spawn(f"webhook {endpoint.name}", sender.run())
        marks.touched = self._touched

    def _touched(self, room: str) -> None:
        for sender in self._senders:
            sender.touched(room)
