"""How what is counted is told."""

import pytest

from sioserver import wire
from sioserver.errors import DISCONNECTS, REFUSALS
from sioserver.metrics import Metrics
from sioserver.metrics.counters import PUBLISH_BUCKETS
from sioserver.metrics.labels import (
    BUS,
    DEFLATE,
    DEFLATE_NOW,
    FORWARD_FAILURES,
    LIMITS,
    TLS_HANDSHAKES,
)

from .scraped import changes, scrape


def test_everything_is_there_from_the_start_and_zero() -> None:
    found = scrape(Metrics())
    assert set(found.values()) == {0.0}
    labelled = {
        "connections": ["polling", "websocket", "raw"],
        "events_total": wire.CLIENT_EVENTS,
        "refusals_total": REFUSALS,
        "disconnects_total": DISCONNECTS,
        "dropped_total": ["slow", "coalesced", "typists"],
        "recoveries_total": ["recovered", "replayed", "gap", "fresh"],
        "limit_hits_total": LIMITS,
        "forwards_total": ["polling", "handoff", "relay"],
        "forward_failures_total": FORWARD_FAILURES,
        "http_requests_total": ["1xx", "2xx", "3xx", "4xx", "5xx"],
        "bus_total": BUS,
        "deflate": DEFLATE_NOW,
        "deflate_bytes_total": DEFLATE,
        "publish_seconds_bucket": [*map(str, PUBLISH_BUCKETS), "+Inf"],
    }
    exact = {"publish_seconds_bucket", "deflate", "deflate_bytes_total"}
    for name, labels in labelled.items():
        rest = {"other"} if name not in exact else set()
        assert {label for known, label in found if known == name} == {*labels} | rest
    single = {name for name, label in found if not label}
    assert single == {
        "rooms",
        "rooms_followed",
        "clients",
        "clients_behind",
        "loop_lag_seconds",
        "memory_bytes",
        "memory_limit_bytes",
        "queue_bytes",
        "relays",
        "connections_opened_total",
        "messages_published_total",
        "operations_done_total",
        "deliveries_total",
        "catch_ups_total",
        "pings_total",
        "publish_seconds_count",
        "publish_seconds_sum",
    }


def test_tls_is_told_of_where_there_is_some() -> None:
    metrics = Metrics()
    before = scrape(metrics)
    metrics.tls_expires_at = lambda: 2e9
    metrics.tls_handshakes = lambda: dict.fromkeys(TLS_HANDSHAKES, 3)
    after = scrape(metrics)
    assert {key: after[key] for key in after.keys() - before.keys()} == {
        ("tls_expires_at_seconds", ""): 2e9,
        **{("tls_handshakes_total", name): 3.0 for name in TLS_HANDSHAKES},
    }


@pytest.mark.parametrize(
    ("attribute", "name"),
    [
        ("rooms", "rooms"),
        ("clients", "clients"),
        ("clients_behind", "clients_behind"),
        ("loop_lag", "loop_lag_seconds"),
        ("connections_opened", "connections_opened_total"),
        ("messages_published", "messages_published_total"),
        ("deliveries", "deliveries_total"),
        ("catch_ups", "catch_ups_total"),
        ("pings", "pings_total"),
    ],
)
def test_plain_numbers(attribute: str, name: str) -> None:
    metrics = Metrics()
    before = scrape(metrics)
    setattr(metrics, attribute, getattr(metrics, attribute) + 3)
    assert changes(before, scrape(metrics)) == {(name, ""): 3.0}


def test_the_histogram_of_publishing() -> None:
    metrics = Metrics()
    for seconds in (0.0, 0.0005, 0.0006, 0.03, 10.0, 11.0):
        metrics.observe_publish(seconds)
    found = scrape(metrics)
    buckets = {label: value for (name, label), value in found.items() if name.endswith("_bucket")}
    assert buckets["0.0005"] == 2  # a bound belongs to its bucket
    assert buckets["0.001"] == buckets["0.025"] == 3
    assert buckets["0.05"] == buckets["5.0"] == 4
    assert buckets["10.0"] == 5
    assert buckets["+Inf"] == found["publish_seconds_count", ""] == 6
    assert found["publish_seconds_sum", ""] == pytest.approx(21.0311)


def test_queue_bytes_are_asked_for_when_they_are_told() -> None:
    metrics = Metrics()
    waiting = [5]
    metrics.queue_bytes = lambda: waiting[0]
    assert scrape(metrics)["queue_bytes", ""] == 5
    waiting[0] = 7
    assert scrape(metrics)["queue_bytes", ""] == 7


def test_gauges_of_the_engine() -> None:
    metrics = Metrics()
    stats = {"rooms": 3.0, "queue-depth": 1.5}
    metrics.add_gauges(lambda: stats)
    metrics.add_gauges(lambda: {"rooms": 4.0})  # the same name twice would spoil the answer
    found = scrape(metrics)
    assert found["engine_rooms", ""] == 4
    assert found["engine_queue_depth", ""] == 1.5
    stats["queue-depth"] = 2
    assert scrape(metrics)["engine_queue_depth", ""] == 2
    assert found["rooms", ""] == 0


def test_which_node_it_is() -> None:
    metrics = Metrics()
    metrics.node = "1dbcb2a8"
    metrics.relays = lambda: 7
    found = scrape(metrics)
    assert found["node_info", "1dbcb2a8"] == 1
    assert found["relays", ""] == 7


def test_webhooks_are_told_of_where_there_are_some() -> None:
    metrics = Metrics()
    before = scrape(metrics)
    metrics.know_webhook("crm", lambda: True)
    metrics.count_webhook("crm", "taken", 3)
    metrics.count_webhook_request("crm", "timeout")
    after = scrape(metrics)
    found = {
        (name, frozenset(label.split(","))): value
        for (name, label), value in after.items()
        if (name, label) not in before and value
    }
    assert found == {
        ("webhook_open", frozenset({"crm"})): 1.0,
        ("webhook_events_total", frozenset({"crm", "taken"})): 3.0,
        ("webhook_requests_total", frozenset({"crm", "timeout"})): 1.0,
    }
    assert {name for name, _ in after.keys() - before.keys()} == {
        "webhook_open",
        "webhook_events_total",
        "webhook_requests_total",
    }
