"""What is counted: by plain numbers, and by labels that nobody can make up."""

import pytest

from sioserver import wire
from sioserver.errors import DISCONNECTS, REFUSALS
from sioserver.metrics import Metrics
from sioserver.metrics.labels import FORWARD_FAILURES, LIMITS

from .scraped import changes, scrape


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
        before = scrape(metrics)
        getattr(metrics, method)(label)
        assert changes(before, scrape(metrics)) == {(name, label): 1.0}
    before = scrape(metrics)
    for made_up in ("other", "", "x" * 10_000, 'a"} 1\nevil 2', "\ud800", "__class__"):
        getattr(metrics, method)(made_up)
    assert changes(before, scrape(metrics)) == {(name, "other"): 6.0}


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
    assert scrape(metrics)["connections_opened_total", ""] == 4


def test_drops_of_many_at_once() -> None:
    metrics = Metrics()
    metrics.count_drop("slow", 40)
    metrics.count_drop("whatever", 2)
    assert metrics.dropped == {"slow": 40, "coalesced": 0, "typists": 0, "other": 2}


def test_requests_to_the_api() -> None:
    metrics = Metrics()
    before = scrape(metrics)
    metrics.count_api("post_message", 201)
    metrics.count_api("post_message", 429)
    assert changes(before, scrape(metrics)) == {
        ("api_requests_total", "post_message,2xx"): 1.0,
        ("api_requests_total", "post_message,4xx"): 1.0,
    }


@pytest.mark.parametrize(
    ("status", "label"),
    [(101, "1xx"), (200, "2xx"), (304, "3xx"), (404, "4xx"), (503, "5xx"), (999, "other")],
)
def test_http_statuses(status: int, label: str) -> None:
    metrics = Metrics()
    before = scrape(metrics)
    metrics.count_http(status)
    assert changes(before, scrape(metrics)) == {("http_requests_total", label): 1.0}


def test_two_nodes_in_one_process_count_for_themselves() -> None:
    one, two = Metrics(), Metrics()
    one.deliveries += 1
    one.count_event("message")
    assert scrape(two)["deliveries_total", ""] == scrape(two)["events_total", "message"] == 0
