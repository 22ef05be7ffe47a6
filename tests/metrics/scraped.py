"""What a scraper reads of a node's metrics."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from sioserver.metrics import Metrics
from sioserver.metrics.exposition import render

Samples = dict[tuple[str, str], float]


def scrape(metrics: Metrics) -> Samples:
    """(name, the value of its label) -> value, as a scraper reads them."""
    body, content_type = render(metrics)
    assert content_type.startswith("text/plain")
    found: Samples = {}
    for family in text_string_to_metric_families(body.decode()):
        for sample in family.samples:
            key = (sample.name.removeprefix("sioserver_"), ",".join(sample.labels.values()))
            assert sample.name.startswith("sioserver_")
            assert key not in found
            found[key] = sample.value
    return found


def changes(before: Samples, after: Samples) -> Samples:
    """What has another value, by how much."""
    assert before.keys() == after.keys()
    return {key: after[key] - before[key] for key in after if after[key] != before[key]}
