"""How what is counted is told: as samples of Prometheus, made when somebody asks.

Knows nothing of who counts, and who may read it is asked before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from prometheus_client import generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from sioserver.metrics.counters import Metrics


class Exposition(Collector):
    """The samples of a node, as the library asks for them."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        """See `samples`."""
        return samples(self._metrics)


def render(metrics: Metrics) -> tuple[bytes, str]:
    """The body and its content type."""
    return generate_latest(Exposition(metrics)), CONTENT_TYPE_LATEST


def samples(metrics: Metrics) -> Iterator[Metric]:
    """The samples of this moment."""
    if metrics.node:
        yield _gauges("node_info", "The node that answers.", "id", {metrics.node: 1})
    yield _gauges("connections", "Connections now.", "transport", metrics.connections)
    if metrics.http_connections is not None:
        waiting = metrics.http_connections()
        yield _gauge("http_connections", "HTTP connections now, WebSockets not.", waiting)
    yield _gauge("rooms", "Rooms with clients on this node.", metrics.rooms)
    followed = metrics.rooms_followed
    yield _gauge("rooms_followed", "Rooms whose unread counts are told here.", followed)
    yield _gauge("clients", "Clients in rooms on this node.", metrics.clients)
    yield _gauge("clients_behind", "Clients that catch up from the log.", metrics.clients_behind)
    yield _gauge("loop_lag_seconds", "How late the event loop is.", metrics.loop_lag)
    yield _gauge("memory_bytes", "Memory of the process.", metrics.memory)
    yield _gauge("memory_limit_bytes", "What it may have; 0: no limit.", metrics.memory_limit)
    waiting = 0.0 if metrics.queue_bytes is None else metrics.queue_bytes()
    yield _gauge("queue_bytes", "Bytes that wait for clients.", waiting)
    relays = 0.0 if metrics.relays is None else metrics.relays()
    yield _gauge("relays", "WebSockets relayed to other nodes.", relays)
    if metrics.keys_fetched_at is not None:
        at = metrics.keys_fetched_at() or 0.0
        yield _gauge("keys_fetched_at_seconds", "When the issuer's keys were fetched.", at)
        yield _counters("key_fetches", "Asked for keys.", "result", metrics.key_fetches)
    if metrics.tls_handshakes_now is not None:
        now = metrics.tls_handshakes_now()
        yield _gauge("tls_handshakes_now", "TLS handshakes under way.", now)
    if metrics.tls_expires_at is not None:
        at = metrics.tls_expires_at()
        yield _gauge("tls_expires_at_seconds", "When the certificate expires.", at)
    yield _gauges("deflate", "What compression keeps.", "what", metrics.deflate_now())

    yield _counter("connections_opened", "Connections ever opened.", metrics.connections_opened)
    yield _counter("messages_published", "Messages posted here.", metrics.messages_published)
    yield _counter(
        "operations_done", "Edits, deletes and reactions done here.", metrics.operations_done
    )
    yield _counter("deliveries", "Events handed to clients.", metrics.deliveries)
    yield _counter("catch_ups", "Times that a live client fell behind.", metrics.catch_ups)
    yield _counter("pings", "Pings sent.", metrics.pings)
    yield _counters("events", "Events from clients.", "event", metrics.events)
    yield _counters("unasked", "Useless packets from clients.", "what", metrics.unasked)
    yield _counters("refusals", "Requests refused.", "code", metrics.refusals)
    yield _counters("invalid_tokens", "Tokens refused.", "reason", metrics.invalid_tokens)
    yield _counters("disconnects", "Connections ended.", "code", metrics.disconnects)
    yield _counters("dropped", "Ephemeral events not sent.", "reason", metrics.dropped)
    yield _counters("recoveries", "Joins, by what was missed.", "verdict", metrics.recoveries)
    yield _counters("limit_hits", "Limits reached.", "limit", metrics.limit_hits)
    yield _counters(
        "request_refusals",
        "HTTP requests and WebSockets refused.",
        "reason",
        metrics.request_refusals,
    )
    yield _counters(
        "session_mismatches", "Requests for another's session.", "what", metrics.mismatches
    )
    yield _counters("revocations", "Revocations made here.", "what", metrics.revocations)
    yield _counters("moderation", "Decided here by moderators.", "what", metrics.moderation)
    yield _counters("admin_refusals", "Operators refused.", "code", metrics.admin_refusals)
    yield _counters("forwards", "Requests passed on to other nodes.", "kind", metrics.forwards)
    yield _counters(
        "forward_failures", "Requests not passed on.", "reason", metrics.forward_failures
    )
    yield _counters("http_requests", "HTTP answers.", "status", metrics.http_requests)
    asked = CounterMetricFamily(
        "sioserver_api_requests", "Requests to the API.", labels=["route", "status"]
    )
    yield _filled(asked, metrics.api_requests.items())
    if metrics.tls_handshakes is not None:
        yield _counters("tls_handshakes", "TLS handshakes.", "result", metrics.tls_handshakes())
    yield _counters("bus", "Messages of the API between nodes.", "what", metrics.bus)
    yield _counters("deflate_bytes", "Compressed, inflated.", "what", metrics.deflate_bytes)
    yield HistogramMetricFamily(
        "sioserver_publish_seconds",
        "Seconds until the engine had published a message.",
        buckets=metrics.publish_seconds.buckets(),
        sum_value=metrics.publish_seconds.total,
    )
    yield from _hook_samples(metrics)
    if metrics.webhook_open:
        yield from _webhook_samples(metrics)

    gauges: dict[str, float] = {}  # one sample for a name, or no scraper would read any
    for read in metrics.gauges:
        gauges.update(read())
    for name, value in sorted(gauges.items()):
        yield _gauge(f"engine_{name}", "Of the engine.", value)


def _webhook_samples(metrics: Metrics) -> Iterator[Metric]:
    is_open = {name: int(is_open()) for name, is_open in metrics.webhook_open.items()}
    yield _gauges("webhook_open", "Whether it takes events.", "webhook", is_open)
    for name, text, table in (
        ("webhook_events", "What became of events.", metrics.webhook_events),
        ("webhook_requests", "How requests ended.", metrics.webhook_requests),
    ):
        family = CounterMetricFamily(f"sioserver_{name}", text, labels=["webhook", "result"])
        yield _filled(family, table.items())


def _hook_samples(metrics: Metrics) -> Iterator[Metric]:
    calls = CounterMetricFamily(
        "sioserver_hooks", "Calls of the embedder's hooks.", labels=["hook", "result"]
    )
    yield _filled(calls, metrics.hooks.items())
    seconds = HistogramMetricFamily(
        "sioserver_hook_seconds", "Seconds that such a call took.", labels=["hook"]
    )
    for hook, durations in metrics.hook_seconds.items():
        seconds.add_metric([hook], durations.buckets(), durations.total)
    yield seconds


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"sioserver_{name}", text, value)


def _gauges(name: str, text: str, label: str, table: Mapping[str, int]) -> Metric:
    family = GaugeMetricFamily(f"sioserver_{name}", text, labels=[label])
    return _filled(family, (((key,), value) for key, value in table.items()))


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"sioserver_{name}", text, value)


def _counters(name: str, text: str, label: str, table: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(f"sioserver_{name}", text, labels=[label])
    return _filled(family, (((key,), value) for key, value in table.items()))


def _filled(
    family: CounterMetricFamily | GaugeMetricFamily, rows: Iterable[tuple[Sequence[str], int]]
) -> Metric:
    """With a sample for each row: the values of the labels, and its own."""
    for labels, value in rows:
        family.add_metric(labels, value)
    return family
