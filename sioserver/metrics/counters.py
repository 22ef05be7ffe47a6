"""What is counted: plain numbers, so that the hot path only adds to them.

A plain number costs a fiftieth of a labelled counter of the library; they become samples when
somebody asks (`exposition`). Nothing is measured here: times are arguments.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Final

from sioserver.errors import DISCONNECTS, REFUSALS, TOKEN_FAULTS
from sioserver.metrics.labels import (
    ADMIN_REFUSALS,
    API_ROUTES,
    BUS,
    DEFLATE,
    DEFLATE_NOW,
    DROPS,
    EVENTS,
    FORWARD_FAILURES,
    FORWARDS,
    HOOK_RESULTS,
    HOOKS,
    KEY_FETCHES,
    LIMITS,
    MISMATCHES,
    MODERATION,
    OTHER,
    REQUEST_REFUSALS,
    REVOCATIONS,
    STATUSES,
    TRANSPORTS,
    UNASKED,
    VERDICTS,
    WEBHOOK_EVENTS,
    WEBHOOK_REQUESTS,
)

PUBLISH_BUCKETS: Final = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
HOOK_BUCKETS: Final = (0.0001, 0.001, 0.01, 0.1, 1.0, 10.0)


def _table(names: Iterable[str]) -> dict[str, int]:
    return dict.fromkeys((*names, OTHER), 0)


def _count(table: dict[str, int], name: str) -> None:
    table[name if name in table else OTHER] += 1


class Durations:
    """How long something took, by buckets."""

    def __init__(self, bounds: Sequence[float]) -> None:
        """`bounds`: seconds, ascending."""
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self.total = 0.0
        """Seconds, of all together."""

    def observe(self, seconds: float) -> None:
        """Once more."""
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self.total += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """As the library has it: how often it took at most that long."""
        names = (*map(str, self._bounds), "+Inf")
        return list(zip(names, map(float, accumulate(self._counts)), strict=True))


class Metrics:
    """All counters of a node. Add to the plain numbers, call `count_...` for what has a label."""

    def __init__(self) -> None:
        self.node = ""
        """The node's id, once it has one: the workers of a host answer at the same address."""
        # now
        self.connections = _table(TRANSPORTS)
        self.rooms = 0
        self.rooms_followed = 0
        self.clients = 0
        self.clients_behind = 0
        self.loop_lag = 0.0
        self.memory = 0
        self.memory_limit = 0
        self.queue_bytes: Callable[[], float] | None = None
        """Bytes that wait for clients; set by who knows."""
        self.relays: Callable[[], float] | None = None
        """WebSockets of other nodes that are relayed now; set by who knows."""
        self.http_connections: Callable[[], float] | None = None
        """HTTP connections of the public address now; set by who knows."""
        self.keys_fetched_at: Callable[[], float | None] | None = None
        """When the issuer's keys were fetched, in seconds since 1970; set where there are some."""
        self.tls_expires_at: Callable[[], float] | None = None
        """When the certificate expires, in seconds since 1970; set where there is one."""
        self.tls_handshakes: Callable[[], Mapping[str, int]] | None = None
        self.tls_handshakes_now: Callable[[], float] | None = None
        """TLS handshakes by how they ended; set where there are some."""
        self.deflate_now: Callable[[], Mapping[str, int]] = lambda: dict.fromkeys(DEFLATE_NOW, 0)
        """What compression keeps now; set by who knows."""
        # since the start
        self.connections_opened = 0
        self.messages_published = 0
        self.operations_done = 0
        self.deliveries = 0
        self.catch_ups = 0
        self.pings = 0
        self.events = _table(EVENTS)
        self.refusals = _table(REFUSALS)
        self.invalid_tokens = _table(TOKEN_FAULTS)
        self.key_fetches = _table(KEY_FETCHES)
        self.disconnects = _table(DISCONNECTS)
        self.unasked = _table(UNASKED)
        self.dropped = _table(DROPS)
        self.recoveries = _table(VERDICTS)
        self.limit_hits = _table(LIMITS)
        self.request_refusals = _table(REQUEST_REFUSALS)
        self.mismatches = _table(MISMATCHES)
        self.revocations = _table(REVOCATIONS)
        self.moderation = _table(MODERATION)
        self.admin_refusals = _table(ADMIN_REFUSALS)
        self.forwards = _table(FORWARDS)
        self.forward_failures = _table(FORWARD_FAILURES)
        self.http_requests = _table(STATUSES)
        self.api_requests = {(route, s): 0 for route in API_ROUTES for s in STATUSES[1:]}
        self.bus = _table(BUS)
        self.deflate_bytes = dict.fromkeys(DEFLATE, 0)
        self.publish_seconds = Durations(PUBLISH_BUCKETS)
        self.hooks = {(hook, result): 0 for hook in HOOKS for result in HOOK_RESULTS}
        self.hook_seconds = {hook: Durations(HOOK_BUCKETS) for hook in HOOKS}
        self.webhook_events: dict[tuple[str, str], int] = {}
        self.webhook_requests: dict[tuple[str, str], int] = {}
        self.webhook_open: dict[str, Callable[[], bool]] = {}
        self.gauges: list[Callable[[], Mapping[str, float]]] = []

    # ------------------------------------------------------------ counting

    def connection_opened(self, transport: str) -> None:
        """A connection began."""
        self.connections_opened += 1
        _count(self.connections, transport)

    def connection_upgraded(self, before: str, after: str) -> None:
        """A connection changed its transport."""
        self.connection_closed(before)
        _count(self.connections, after)

    def connection_closed(self, transport: str) -> None:
        """A connection ended; `transport` is its last."""
        self.connections[transport if transport in self.connections else OTHER] -= 1

    def count_event(self, name: str) -> None:
        """A client sent an event."""
        _count(self.events, name)

    def count_refusal(self, code: str) -> None:
        """A request was refused."""
        _count(self.refusals, code)

    def count_unasked(self, what: str) -> None:
        """A client sent something that is of no use to anybody."""
        _count(self.unasked, what)

    def count_invalid_token(self, reason: str) -> None:
        """A token was refused, by a key of `TOKEN_FAULTS`."""
        _count(self.invalid_tokens, reason)

    def count_key_fetch(self, result: str) -> None:
        """The issuer was asked for its keys."""
        _count(self.key_fetches, result)

    def count_disconnect(self, code: str) -> None:
        """A connection ended, by a code of `DISCONNECTS`."""
        _count(self.disconnects, code)

    def count_drop(self, reason: str, number: int = 1) -> None:
        """Ephemeral events were not sent to a client."""
        self.dropped[reason if reason in self.dropped else OTHER] += number

    def count_recovery(self, verdict: str) -> None:
        """A client joined a room: what became of what it had missed?"""
        _count(self.recoveries, verdict)

    def count_limit(self, limit: str) -> None:
        """A limit was reached."""
        _count(self.limit_hits, limit)

    def count_request_refusal(self, reason: str) -> None:
        """An Engine.IO request was refused."""
        _count(self.request_refusals, reason)

    def count_mismatch(self, what: str) -> None:
        """A request asked for a session of somebody else."""
        _count(self.mismatches, what)

    def count_revocation(self, what: str) -> None:
        """An operator revoked tokens, or lifted a rule."""
        _count(self.revocations, what)

    def count_moderation(self, what: str) -> None:
        """Something was decided here about somebody or a room."""
        _count(self.moderation, what)

    def count_admin_refusal(self, code: str) -> None:
        """Somebody was not let into the operator's API."""
        _count(self.admin_refusals, code)

    def count_forward(self, kind: str) -> None:
        """A request of another node's session was passed on."""
        _count(self.forwards, kind)

    def count_forward_failure(self, reason: str) -> None:
        """A request was not passed on to another node, or not taken from one."""
        _count(self.forward_failures, reason)

    def count_http(self, status: int) -> None:
        """An HTTP request was answered."""
        _count(self.http_requests, f"{status // 100}xx")

    def count_api(self, route: str, status: int) -> None:
        """A request to the HTTP API, by a name of `API_ROUTES`, was answered."""
        self.api_requests[route, f"{status // 100}xx"] += 1

    def count_bus(self, what: str) -> None:
        """Something happened between the nodes."""
        _count(self.bus, what)

    def observe_publish(self, seconds: float) -> None:
        """The engine published a message."""
        self.publish_seconds.observe(seconds)

    def observe_hook(self, hook: str, result: str, seconds: float) -> None:
        """A hook of `HOOKS` was called, with a result of `HOOK_RESULTS`."""
        self.hooks[hook, result] += 1
        self.hook_seconds[hook].observe(seconds)

    def know_webhook(self, name: str, is_open: Callable[[], bool]) -> None:
        """There is such a webhook; `is_open`: whether it takes events, as far as is known."""
        self.webhook_open[name] = is_open
        self.webhook_events |= {(name, result): 0 for result in WEBHOOK_EVENTS}
        self.webhook_requests |= {(name, result): 0 for result in WEBHOOK_REQUESTS}

    def count_webhook(self, name: str, result: str, number: int) -> None:
        """What became of events for it, see `WEBHOOK_EVENTS`."""
        self.webhook_events[name, result] += number

    def count_webhook_request(self, name: str, result: str) -> None:
        """How a request to it ended, see `WEBHOOK_REQUESTS`."""
        self.webhook_requests[name, result] += 1

    def add_gauges(self, read: Callable[[], Mapping[str, float]]) -> None:
        """Expose what `read` returns as `sioserver_engine_...`, each time somebody asks."""
        self.gauges.append(read)
