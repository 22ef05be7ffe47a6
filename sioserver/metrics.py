"""What is counted, for Prometheus.

The hot path adds to plain numbers (a fiftieth of the price of a labelled counter); they become
samples when somebody asks. Label sets are fixed: a name that a client made up is counted under
"other", or clients could grow the table at will. Nothing is measured here: times are arguments.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from sioserver.errors import DISCONNECTS, REFUSALS, TOKEN_FAULTS

EVENTS: Final = (
    "message",
    "edit",
    "delete",
    "react",
    "history",
    "search",
    "members",
    "read",
    "typing",
    "status",
    "auth",
    "leave",
    "kick",
    "mute",
    "unmute",
    "ban",
    "unban",
    "bans",
    "settings",
    "moderation_log",
)
"""Events of clients that are counted by name."""

TRANSPORTS: Final = ("polling", "websocket", "raw")
VERDICTS: Final = ("recovered", "replayed", "gap", "fresh")
DROPS: Final = ("slow", "coalesced", "typists")
"""Why an ephemeral event was not sent to a client: it reads slowly; a newer one took its place; so
many people type that nobody is told of more."""

LIMITS: Final = (
    "connections",
    "address_connections",
    "user_connections",
    "accept_rate",
    "address_accept_rate",
    "auth_failure_rate",
    "unknown_session_rate",
    "memory",
    "http_connections",
    "address_http_connections",
    "tls_handshakes",
    "address_tls_handshakes",
    "header_timeout",
    "body_timeout",
    "keepalive_timeout",
    "max_line",
    "max_headers",
    "max_head",
    "rooms",
    "rooms_per_user",
    "followed_rooms",
    "members_per_room",
    "rooms_per_connection",
    "client_queue",
    "slow_after",
    "inbox",
    "max_body",
    "max_payload",
    "poll_packets",
    "connect_timeout",
    "upgrade_timeout",
    "event_rate",
    "user_event_rate",
    "refused_rate",
    "message_rate",
    "direct_rate",
    "mention_rate",
    "search_rate",
    "reactions",
    "relay_rate",
    "slow_mode",
    "sanctions",
)
REQUEST_REFUSALS: Final = (
    "Transport unknown",
    "Session ID unknown",
    "Bad handshake method",
    "Bad request",
    "Unsupported protocol version",
    "This origin is not allowed",
    "A token does not belong into the address: send it in auth, or as Authorization: Bearer",
    "The body is larger than maxPayload",
    "The body did not come in time",
    "No more connections just now",
    "Too many connections from this address",
    "Too many new connections just now",
    "Too many new connections from this address",
    "Too many unknown sessions from this address",
    "No memory for more connections",
    "The server is stopping",
    "Bad upgrade",
    "Bad WebSocket handshake",
    "Malformed HTTP",
    "Expectation failed",
)
"""Why a request was refused before anything in it was looked at. What ended a session is counted
with the disconnects instead: everything that is rejected is counted once."""

MISMATCHES: Final = ("origin", "token", "address")
"""What a request had of another than the owner of the session that it asked for."""

REVOCATIONS: Final = ("token", "user", "all", "lifted")
"""What operators did to the rules by which tokens are refused."""

MODERATION: Final = ("kick", "mute", "unmute", "ban", "unban", "settings")
"""What was decided about people and rooms."""

ADMIN_REFUSALS: Final = ("unauthorized", "token_expired", "forbidden", "rate_limited")
"""Why somebody was not taken for an operator."""

API_ROUTES: Final = (
    "revoke",
    "list_revocations",
    "lift_revocation",
    "lift_revocation_of_all",
    "ban_everywhere",
    "list_bans_everywhere",
    "unban_everywhere",
    "mute_everywhere",
    "list_mutes_everywhere",
    "unmute_everywhere",
    "moderation_log_everywhere",
    "list_rooms",
    "get_room",
    "list_members",
    "list_messages",
    "post_message",
    "search_messages",
    "get_message",
    "edit_message",
    "delete_message",
    "react",
    "unreact",
    "get_settings",
    "change_settings",
    "kick",
    "mute",
    "ban",
    "list_mutes",
    "list_bans",
    "unmute",
    "unban",
    "moderation_log",
    "describe",
)
"""What the HTTP API can be asked for."""

FORWARDS: Final = ("polling", "handoff", "relay")
"""How requests of other nodes' sessions were passed on: an HTTP request, the client's connection
itself, or (WebSocket) byte by byte."""

FORWARD_FAILURES: Final = ("unknown", "no_way", "unreachable", "busy", "distrusted", "denied")
"""Why not: no such node is known; it is, but has told no way to it; it does not answer; too many at
once; it does not believe this node. Or it came here, without a proof that a node has sent it."""

BUS: Final = (
    "heard",
    "ignored",
    "skipped",
    "lost",
    "unanswered",
    "overflow",
    "reconnected",
    "unsigned",
    "forged",
    "stale",
    "replayed",
)
"""What became of the messages of python-socketio's API between nodes: heard and done; not
well-formed or reserved; of a Node program, for nobody here; not published in time; an ack that is
waited for no longer; heard, but too many at once. And how often the connection came back. With a
`redis.bus_secret`, what was not believed: not signed; signed with another secret; too old; a
repetition."""

KEY_FETCHES: Final = ("fetched", "failed")
"""What became of requests for the issuer's keys (auth.jwks)."""

TLS_HANDSHAKES: Final = ("done", "plain", "version", "cipher", "alert", "unfinished")
"""How TLS handshakes ended: well; it was no TLS that the client spoke; only versions or ciphers
that are not offered; the client broke off, mostly since it does not trust the certificate; it went
away, or said nothing until its time was over."""
DEFLATE: Final = ("out_plain", "out_deflated", "in_plain", "in_deflated")
"""Bytes of messages that were compressed and inflated, before and after."""

DEFLATE_NOW: Final = ("contexts", "large")
"""Connections with a compressor of their own; large messages that a thread has or will have."""

UNASKED: Final = ("pong", "noop", "ack", "late")
"""What clients send that asks for nothing and answers nothing: pongs without a ping, empty packets,
acks that nobody waits for, packets for a room that they have been put out of."""

HOOKS: Final = ("join", "message", "edit", "delete", "react", "moderation", "leave")
HOOK_RESULTS: Final = ("done", "refused", "timeout", "failed", "dropped")
"""What became of a call of an embedder's hook: done; it refused; it took longer than
`hooks.timeout`; it raised something else; it was not made, since too many waited."""

WEBHOOK_EVENTS: Final = ("taken", "dropped", "lost")
"""What became of events for a webhook: taken; not taken within `give_up`; no longer in the log."""
WEBHOOK_REQUESTS: Final = ("ok", "status", "timeout", "unreachable")
"""How requests to it ended: it took the events; another status than 2xx; no answer in time; it
could not be reached, or its certificate is no good."""

STATUSES: Final = ("1xx", "2xx", "3xx", "4xx", "5xx")
OTHER: Final = "other"

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


class Metrics(Collector):
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
        self._publish_seconds = Durations(PUBLISH_BUCKETS)
        self._hooks = {(hook, result): 0 for hook in HOOKS for result in HOOK_RESULTS}
        self._hook_seconds = {hook: Durations(HOOK_BUCKETS) for hook in HOOKS}
        self._webhook_events: dict[tuple[str, str], int] = {}
        self._webhook_requests: dict[tuple[str, str], int] = {}
        self._webhook_open: dict[str, Callable[[], bool]] = {}
        self._gauges: list[Callable[[], Mapping[str, float]]] = []
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(self)

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
        self._publish_seconds.observe(seconds)

    def observe_hook(self, hook: str, result: str, seconds: float) -> None:
        """A hook of `HOOKS` was called, with a result of `HOOK_RESULTS`."""
        self._hooks[hook, result] += 1
        self._hook_seconds[hook].observe(seconds)

    def know_webhook(self, name: str, is_open: Callable[[], bool]) -> None:
        """There is such a webhook; `is_open`: whether it takes events, as far as is known."""
        self._webhook_open[name] = is_open
        self._webhook_events |= {(name, result): 0 for result in WEBHOOK_EVENTS}
        self._webhook_requests |= {(name, result): 0 for result in WEBHOOK_REQUESTS}

    def count_webhook(self, name: str, result: str, number: int) -> None:
        """What became of events for it, see `WEBHOOK_EVENTS`."""
        self._webhook_events[name, result] += number

    def count_webhook_request(self, name: str, result: str) -> None:
        """How a request to it ended, see `WEBHOOK_REQUESTS`."""
        self._webhook_requests[name, result] += 1

    def add_gauges(self, read: Callable[[], Mapping[str, float]]) -> None:
        """Expose what `read` returns as `sioserver_engine_...`, each time somebody asks."""
        self._gauges.append(read)

    # ------------------------------------------------------------ telling

    def render(self) -> tuple[bytes, str]:
        """The body and its content type."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST

    def collect(self) -> Iterator[Metric]:
        """The samples of this moment, for the registry."""
        if self.node:
            yield _gauges("node_info", "The node that answers.", "id", {self.node: 1})
        yield _gauges("connections", "Connections now.", "transport", self.connections)
        if self.http_connections is not None:
            waiting = self.http_connections()
            yield _gauge("http_connections", "HTTP connections now, WebSockets not.", waiting)
        yield _gauge("rooms", "Rooms with clients on this node.", self.rooms)
        followed = self.rooms_followed
        yield _gauge("rooms_followed", "Rooms whose unread counts are told here.", followed)
        yield _gauge("clients", "Clients in rooms on this node.", self.clients)
        yield _gauge("clients_behind", "Clients that catch up from the log.", self.clients_behind)
        yield _gauge("loop_lag_seconds", "How late the event loop is.", self.loop_lag)
        yield _gauge("memory_bytes", "Memory of the process.", self.memory)
        yield _gauge("memory_limit_bytes", "What it may have; 0: no limit.", self.memory_limit)
        waiting = 0.0 if self.queue_bytes is None else self.queue_bytes()
        yield _gauge("queue_bytes", "Bytes that wait for clients.", waiting)
        relays = 0.0 if self.relays is None else self.relays()
        yield _gauge("relays", "WebSockets relayed to other nodes.", relays)
        if self.keys_fetched_at is not None:
            at = self.keys_fetched_at() or 0.0
            yield _gauge("keys_fetched_at_seconds", "When the issuer's keys were fetched.", at)
            yield _counters("key_fetches", "Asked for keys.", "result", self.key_fetches)
        if self.tls_handshakes_now is not None:
            now = self.tls_handshakes_now()
            yield _gauge("tls_handshakes_now", "TLS handshakes under way.", now)
        if self.tls_expires_at is not None:
            at = self.tls_expires_at()
            yield _gauge("tls_expires_at_seconds", "When the certificate expires.", at)
        yield _gauges("deflate", "What compression keeps.", "what", self.deflate_now())

        yield _counter("connections_opened", "Connections ever opened.", self.connections_opened)
        yield _counter("messages_published", "Messages posted here.", self.messages_published)
        yield _counter(
            "operations_done", "Edits, deletes and reactions done here.", self.operations_done
        )
        yield _counter("deliveries", "Events handed to clients.", self.deliveries)
        yield _counter("catch_ups", "Times that a live client fell behind.", self.catch_ups)
        yield _counter("pings", "Pings sent.", self.pings)
        yield _counters("events", "Events from clients.", "event", self.events)
        yield _counters("unasked", "Useless packets from clients.", "what", self.unasked)
        yield _counters("refusals", "Requests refused.", "code", self.refusals)
        yield _counters("invalid_tokens", "Tokens refused.", "reason", self.invalid_tokens)
        yield _counters("disconnects", "Connections ended.", "code", self.disconnects)
        yield _counters("dropped", "Ephemeral events not sent.", "reason", self.dropped)
        yield _counters("recoveries", "Joins, by what was missed.", "verdict", self.recoveries)
        yield _counters("limit_hits", "Limits reached.", "limit", self.limit_hits)
        yield _counters(
            "request_refusals",
            "HTTP requests and WebSockets refused.",
            "reason",
            self.request_refusals,
        )
        yield _counters(
            "session_mismatches", "Requests for another's session.", "what", self.mismatches
        )
        yield _counters("revocations", "Revocations made here.", "what", self.revocations)
        yield _counters("moderation", "Decided here by moderators.", "what", self.moderation)
        yield _counters("admin_refusals", "Operators refused.", "code", self.admin_refusals)
        yield _counters("forwards", "Requests passed on to other nodes.", "kind", self.forwards)
        yield _counters(
            "forward_failures", "Requests not passed on.", "reason", self.forward_failures
        )
        yield _counters("http_requests", "HTTP answers.", "status", self.http_requests)
        asked = CounterMetricFamily(
            "sioserver_api_requests", "Requests to the API.", labels=["route", "status"]
        )
        for both, number in self.api_requests.items():
            asked.add_metric(both, number)
        yield asked
        if self.tls_handshakes is not None:
            yield _counters("tls_handshakes", "TLS handshakes.", "result", self.tls_handshakes())
        yield _counters("bus", "Messages of the API between nodes.", "what", self.bus)
        yield _counters("deflate_bytes", "Compressed, inflated.", "what", self.deflate_bytes)
        yield HistogramMetricFamily(
            "sioserver_publish_seconds",
            "Seconds until the engine had published a message.",
            buckets=self._publish_seconds.buckets(),
            sum_value=self._publish_seconds.total,
        )
        yield from self._hook_samples()
        if self._webhook_open:
            yield from self._webhook_samples()

        gauges: dict[str, float] = {}  # one sample for a name, or no scraper would read any
        for read in self._gauges:
            gauges.update(read())
        for name, value in sorted(gauges.items()):
            yield _gauge(f"engine_{name}", "Of the engine.", value)

    def _webhook_samples(self) -> Iterator[Metric]:
        is_open = {name: int(is_open()) for name, is_open in self._webhook_open.items()}
        yield _gauges("webhook_open", "Whether it takes events.", "webhook", is_open)
        for name, text, table in (
            ("webhook_events", "What became of events.", self._webhook_events),
            ("webhook_requests", "How requests ended.", self._webhook_requests),
        ):
            family = CounterMetricFamily(f"sioserver_{name}", text, labels=["webhook", "result"])
            for labels, number in table.items():
                family.add_metric(labels, number)
            yield family

    def _hook_samples(self) -> Iterator[Metric]:
        calls = CounterMetricFamily(
            "sioserver_hooks", "Calls of the embedder's hooks.", labels=["hook", "result"]
        )
        for labels, number in self._hooks.items():
            calls.add_metric(labels, number)
        yield calls
        seconds = HistogramMetricFamily(
            "sioserver_hook_seconds", "Seconds that such a call took.", labels=["hook"]
        )
        for hook, durations in self._hook_seconds.items():
            seconds.add_metric([hook], durations.buckets(), durations.total)
        yield seconds


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"sioserver_{name}", text, value)


def _gauges(name: str, text: str, label: str, table: Mapping[str, int]) -> Metric:
    family = GaugeMetricFamily(f"sioserver_{name}", text, labels=[label])
    for key, value in table.items():
        family.add_metric([key], value)
    return family


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"sioserver_{name}", text, value)


def _counters(name: str, text: str, label: str, table: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(f"sioserver_{name}", text, labels=[label])
    for key, value in table.items():
        family.add_metric([key], value)
    return family
