"""From what the load found in single runs to what is shown: faults, figures, spreads and ratios.

It must not know where the numbers come from: no server, no load and no file here.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

Found = Mapping[str, Any]
"""What the load printed."""

BASE: Final = "node"
"""The server to which ratios are taken."""

MOST_BUSY: Final = 0.85
"""With more of its core in use the load itself might be what is measured."""


@dataclass(frozen=True)
class Figure:
    """One number of a run, as a column. None where the run does not tell it."""

    title: str
    of: Callable[[Found], float | None]
    digits: int = 2


def per(unit: str, count: Callable[[Found], float]) -> Figure:
    """Microseconds of the server's CPU time for one of these; None if there was none in time."""
    return Figure(
        f"CPU µs/{unit}", lambda found: cpu(found) / count(found) * 1e6 if count(found) else None
    )


def cpu(found: Found) -> float:
    """Seconds of CPU time that the servers spent while it was measured."""
    return float(found["cpu_s"]["server"])


def busy(found: Found) -> float:
    """The part of its core that the load used while it was measured."""
    if "cpu_s" in found:
        return float(found["cpu_s"]["load"] / found["seconds"])
    last = found["crowd"][-2]
    return float(last["cpu_s"]["load"] / last["at_s"])


def faults(found: Found) -> dict[str, int]:
    """What may not happen, and how often it did."""
    names = ("lost", "late", "foreign", "refused", "gone")
    counted = {name: found.get(name, 0) for name in names}
    counted["incomplete"] = int(not found.get("complete", True))
    return {name: count for name, count in counted.items() if count}


def spread(values: Sequence[float]) -> dict[str, Any]:
    """The least, the middle and the largest of some runs, and all of them."""
    return {
        "min": min(values),
        "median": statistics.median(values),
        "max": max(values),
        "runs": list(values),
    }


Run = Mapping[str, Found]
"""Server -> what was found: once round all servers."""


def summary(runs: Sequence[Run], figures: Mapping[str, Figure]) -> dict[str, dict[str, Any]]:
    """The runs of one case, as server -> {figure: spread, "ratio": spread, "faults": [...]}.

    The first figure is what the case is about; ratios are of it, to Node in the same round.
    """
    main = next(iter(figures))
    result: dict[str, dict[str, Any]] = {}
    for name in runs[0]:
        found = [run[name] for run in runs]
        row: dict[str, Any] = {}
        for figure, wanted in figures.items():
            values = [wanted.of(one) for one in found]
            known = [value for value in values if value is not None]
            if known:
                row[figure] = spread(known)
        ratios = [_ratio(figures[main], run[name], run[BASE]) for run in runs if BASE in run]
        known = [value for value in ratios if value is not None]
        if known:
            row["ratio"] = spread(known)
        row["load_busy"] = spread([busy(one) for one in found])
        row["faults"] = [faults(one) for one in found]
        result[name] = row
    return result


def _ratio(figure: Figure, mine: Found, theirs: Found) -> float | None:
    value, base = figure.of(mine), figure.of(theirs)
    return value / base if value is not None and base else None


def faulty(results: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether any server in any case lost, doubled or refused something."""
    return any(any(row["faults"]) for case in results.values() for row in case.values())
