"""What is counted, and how it is told."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sioserver import wire
from sioserver.config.schema import Limits
from sioserver.errors import DISCONNECTS, REFUSALS
from sioserver.metrics import (
    BUS,
    DEFLATE,
    DEFLATE_NOW,
    EVENTS,
    FORWARD_FAILURES,
    LIMITS,
    PUBLISH_BUCKETS,
    TLS_HANDSHAKES,
    Metrics,
)

Samples = dict[tuple[str, str], float]


def samples(metrics: Metrics) -> Samples:
    """(name, the value of its label) -> value, as a scraper reads them."""
    body, content_type = metrics.render()
    assert content_type.startswith("text/plain")
    found: Samples = {}
    for family in text_string_to_metric_families(body.decode()):
        for sample in family.samples:
            key = (sample.name.removeprefix("sioserver_"), ",".join(sample.labels.values()))
            assert sample.name.startswith("sioserver_")
            assert key not in found
            found[key] = sample.value
    return found


def test_everything_is_there_from_the_start_and_zero() -> None:
    found = samples(Metrics())
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
    before = samples(metrics)
    metrics.tls_expires_at = lambda: 2e9
    metrics.tls_handshakes = lambda: dict.fromkeys(TLS_HANDSHAKES, 3)
    after = samples(metrics)
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
    before = samples(metrics)
    setattr(metrics, attribute, getattr(metrics, attribute) + 3)
    assert changes(before, samples(metrics)) == {(name, ""): 3.0}


@pytest.mark.parametrize(
    ("method", "name", "labels"),
    [
        ("count_event", "events_total", wire.CLIENT_EVENTS),
        ("count_refusal", "refusals_total", REFUSALS),
        ("count_disconnect", "disconnects_total", DISCONNECTS),
        ("count_drop", "dropped_total", ["slow", "coalesced", "typists"]),
        ("count_recovery", "recoveries_total", ["recovered", "replayed", "gap", "fresh"]),
        ("count_limit", "limit_hits_total", LIMITS),
        ("count_forward", "forwards_total", ["polling", "handoff", "relay"]),
        ("count_forward_failure", "forward_failures_total", FORWARD_FAILURES),
    ],
)
def test_labelled_counters(method: str, name: str, labels: list[str]) -> None:
    metrics = Metrics()
    for label in labels:
        before = samples(metrics)
        getattr(metrics, method)(label)
        assert changes(before, samples(metrics)) == {(name, label): 1.0}
    before = samples(metrics)
    for made_up in ("other", "", "x" * 10_000, 'a"} 1\nevil 2', "\ud800", "__class__"):
        getattr(metrics, method)(made_up)
    assert changes(before, samples(metrics)) == {(name, "other"): 6.0}


def changes(before: Samples, after: Samples) -> Samples:
    assert before.keys() == after.keys()
    return {key: after[key] - before[key] for key in after if after[key] != before[key]}


def test_connections() -> None:
    metrics = Metrics()
    metrics.connection_opened("polling")
    metrics.connection_opened("polling")
    metrics.connection_opened("websocket")
    metrics.connection_opened("pigeon")
    metrics.connection_upgraded("polling", "websocket")
    metrics.connection_closed("websocket")
    metrics.connection_closed("pigeon")
    assert metrics.connections == {"polling": 1, "websocket": 1, "raw": 0, "other": 0}
    assert samples(metrics)["connections_opened_total", ""] == 4


def test_drops_of_many_at_once() -> None:
    metrics = Metrics()
    metrics.count_drop("slow", 40)
    metrics.count_drop("whatever", 2)
    assert metrics.dropped == {"slow": 40, "coalesced": 0, "typists": 0, "other": 2}


def test_requests_to_the_api() -> None:
    metrics = Metrics()
    before = samples(metrics)
    metrics.count_api("post_message", 201)
    metrics.count_api("post_message", 429)
    assert changes(before, samples(metrics)) == {
        ("api_requests_total", "post_message,2xx"): 1.0,
        ("api_requests_total", "post_message,4xx"): 1.0,
    }


@pytest.mark.parametrize(
    ("status", "label"),
    [(101, "1xx"), (200, "2xx"), (304, "3xx"), (404, "4xx"), (503, "5xx"), (999, "other")],
)
def test_http_statuses(status: int, label: str) -> None:
    metrics = Metrics()
    before = samples(metrics)
    metrics.count_http(status)
    assert changes(before, samples(metrics)) == {("http_requests_total", label): 1.0}


def test_the_histogram_of_publishing() -> None:
    metrics = Metrics()
    for seconds in (0.0, 0.0005, 0.0006, 0.03, 10.0, 11.0):
        metrics.observe_publish(seconds)
    found = samples(metrics)
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
    assert samples(metrics)["queue_bytes", ""] == 5
    waiting[0] = 7
    assert samples(metrics)["queue_bytes", ""] == 7


def test_gauges_of_the_engine() -> None:
    metrics = Metrics()
    stats = {"rooms": 3.0, "queue-depth": 1.5}
    metrics.add_gauges(lambda: stats)
    metrics.add_gauges(lambda: {"rooms": 4.0})  # the same name twice would spoil the answer
    found = samples(metrics)
    assert found["engine_rooms", ""] == 4
    assert found["engine_queue_depth", ""] == 1.5
    stats["queue-depth"] = 2
    assert samples(metrics)["engine_queue_depth", ""] == 2
    assert found["rooms", ""] == 0


def test_two_nodes_in_one_process_count_for_themselves() -> None:
    one, two = Metrics(), Metrics()
    one.deliveries += 1
    one.count_event("message")
    assert samples(two)["deliveries_total", ""] == samples(two)["events_total", "message"] == 0


def test_the_names_are_those_of_their_owners() -> None:
    assert EVENTS == wire.CLIENT_EVENTS
    knobs = {*Limits.__struct_fields__}
    # no limits of their own: a burst belongs to its rate
    switches = {"enabled", *(name for name in knobs if name.endswith("_burst"))}
    # rules of rooms, and a bound that is the engines'
    assert set(LIMITS) == knobs - switches | {"slow_mode", "relay_rate", "sanctions"}


def test_which_node_it_is() -> None:
    metrics = Metrics()
    metrics.node = "1dbcb2a8"
    metrics.relays = lambda: 7
    found = samples(metrics)
    assert found["node_info", "1dbcb2a8"] == 1
    assert found["relays", ""] == 7


def test_webhooks_are_told_of_where_there_are_some() -> None:
    metrics = Metrics()
    before = samples(metrics)
    metrics.know_webhook("crm", lambda: True)
    metrics.count_webhook("crm", "taken", 3)
    metrics.count_webhook_request("crm", "timeout")
    after = samples(metrics)
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
