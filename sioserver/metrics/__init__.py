"""What a node counts, and how that is told to Prometheus."""

from sioserver.metrics.counters import Metrics

__all__ = ["Metrics"]
