"""Results as tables, and where they were measured."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from benchmarks.figures import Figure

NAMES: Final = {
    "sioserver": "sioserver",
    "bare": "sioserver, bare emit",
    "node": "Node socket.io",
    "stock": "python-socketio",
}


def table(results: Mapping[str, Mapping[str, Any]], figures: Mapping[str, Figure]) -> str:
    """The results of a work as a table: what it is about as min / median / max, else medians."""
    main, *others = figures
    titles = [figures[main].title, "x Node", *(figures[name].title for name in others)]
    rows = [["case", "server", *titles, "faults"]]
    for case, servers in results.items():
        for server, row in servers.items():
            cells = [spread(row.get(main), figures[main].digits), spread(row.get("ratio"), 2)]
            cells += [median(row.get(name), figures[name].digits) for name in others]
            rows.append([case, NAMES[server], *cells, _faults(row["faults"])])
    if not any(results):  # a single case, which needs no name
        rows = [row[1:] for row in rows]
    return lines(rows)


def lines(rows: Sequence[Sequence[str]]) -> str:
    """Rows, of which the first are the titles, as a table in Markdown."""
    rows = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(_line(row, widths) for row in rows)


def _line(row: Iterable[str], widths: Iterable[int]) -> str:
    return "| " + " | ".join(map(str.ljust, row, widths)) + " |"


def number(value: float, digits: int) -> str:
    """With spaces between the thousands."""
    return f"{value:,.{digits}f}".replace(",", " ")


def spread(values: Mapping[str, Any] | None, digits: int) -> str:
    """min / median / max, or the only one."""
    if values is None:
        return "-"
    if len(values["runs"]) == 1:
        return number(values["median"], digits)
    return " / ".join(number(values[part], digits) for part in ("min", "median", "max"))


def median(values: Mapping[str, Any] | None, digits: int) -> str:
    """The middle one."""
    return "-" if values is None else number(values["median"], digits)


def _faults(runs: Sequence[Mapping[str, int]]) -> str:
    bad = [", ".join(f"{count} {name}" for name, count in fault.items()) for fault in runs if fault]
    return "; ".join(bad) or "none"


def cores() -> tuple[set[int], set[int]]:
    """One core for the servers, another for the load and Valkey; two empty sets with only one."""
    available = sorted(os.sched_getaffinity(0))
    return ({available[0]}, {available[-1]}) if len(available) > 1 else (set(), set())


def machine() -> dict[str, Any]:
    """Where it was measured."""
    servers, rest = cores()
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "servers_on": sorted(servers),
        "load_on": sorted(rest),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def _cpu_model() -> str:
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        models = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
    return models[0] if models else platform.machine()
