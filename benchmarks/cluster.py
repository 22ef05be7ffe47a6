"""What a delivery costs when two workers share a Redis: sioserver, Node's socket.io, stock Python.

    .venv/bin/python -m benchmarks.cluster [--runs N] [--seconds S] [--only NAME ...] [--json]

README.md, section "cluster", says what is measured and how.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any, Final

from benchmarks import load
from benchmarks.load import Failed, Work
from benchmarks.servers import KINDS, on_cores, running
from sioserver.valkey import ValkeyError

WORKS: Final = {
    "1 room x 1000": Work(rooms=1, members=1000, senders=10),
    "99 rooms x 10": Work(rooms=99, members=10, senders=1),
}
PEERS: Final = ("sioserver", "node", "stock")
FIGURES: Final = {
    "cpu_us": "CPU us/delivery",
    "x_node": "x Node",
    "redis_us": "Redis us",
    "deliveries_per_s": "deliveries/s",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
}
"""What is shown of a run: name and title. Of a delivery, but for the rate."""


def measure(name: str, work: Work, args: argparse.Namespace) -> dict[str, Any]:
    """Start the servers, put the work on them, and return the figures of this run."""
    servers, rest = cores()
    with running(name, servers=servers, rest=rest) as served, on_cores(rest):
        found = load.run(
            work,
            served.ports,
            namespace=served.kind.namespace,
            auth=served.kind.auth,
            pids=served.pids,
            warmup=args.warmup,
            seconds=args.seconds,
        )
    deliveries, cpu = found["deliveries"], found["cpu_s"]
    if not deliveries:
        raise Failed(f"{name}: nothing was delivered: {found}")
    return {
        "cpu_us": cpu["server"] / deliveries * 1e6,
        "redis_us": cpu.get("redis", 0.0) / deliveries * 1e6,
        "deliveries_per_s": deliveries / found["seconds"],
        "p50_ms": found["delivery_ms"]["p50"],
        "p99_ms": found["delivery_ms"]["p99"],
        "server_busy": cpu["server"] / found["seconds"],
        "load_busy": cpu["load"] / found["seconds"],
        "faults": faults(found),
        "load": found,
    }


def cores() -> tuple[set[int], set[int]]:
    """One core for the servers, another for Valkey and the load; two empty sets with only one."""
    available = sorted(os.sched_getaffinity(0))
    return ({available[0]}, {available[-1]}) if len(available) > 1 else (set(), set())


def faults(found: dict[str, Any]) -> dict[str, int]:
    """What may not happen, and how often it did."""
    counted = {name: found[name] for name in ("lost", "late", "foreign", "refused", "gone")}
    counted["incomplete"] = int(not found["complete"])
    return {name: count for name, count in counted.items() if count}


def spread(values: Sequence[float]) -> dict[str, Any]:
    """The least, the middle and the largest of some runs, and all of them."""
    return {
        "min": min(values),
        "median": statistics.median(values),
        "max": max(values),
        "runs": list(values),
    }


def summary(runs: list[dict[str, dict[str, Any]]]) -> dict[str, Any]:
    """The runs of one work, as name -> figure -> spread; ratios are to Node in the same run."""
    for run in runs:
        for figures in run.values():
            if "node" in run:
                figures["x_node"] = figures["cpu_us"] / run["node"]["cpu_us"]
    result: dict[str, Any] = {}
    for name in runs[0]:
        mine = [run[name] for run in runs]
        result[name] = {
            figure: spread([figures[figure] for figures in mine])
            for figure in (*FIGURES, "server_busy", "load_busy")
            if figure in mine[0]
        }
        result[name]["faults"] = [figures["faults"] for figures in mine]
    return result


def table(results: dict[str, dict[str, Any]]) -> str:
    """All of it for people: min / median / max of the CPU time and its ratio, else medians."""
    rows = [["work", "server", *FIGURES.values(), "faults"]]
    for work, servers in results.items():
        for name, figures in servers.items():
            shown = [_cell(figure, figures.get(figure)) for figure in FIGURES]
            bad = [fault for fault in figures["faults"] if fault]
            rows.append([work, name, *shown, str(bad) if bad else "none"])
    rows.insert(1, ["---"] * len(rows[0]))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(_line(row, widths) for row in rows)


def _line(row: Iterable[str], widths: Iterable[int]) -> str:
    return "| " + " | ".join(map(str.ljust, row, widths)) + " |"


def _cell(figure: str, values: dict[str, Any] | None) -> str:
    if values is None:
        return "-"
    if figure in ("cpu_us", "x_node"):
        return " / ".join(f"{values[part]:.2f}" for part in ("min", "median", "max"))
    if figure == "deliveries_per_s":
        return f"{values['median']:,.0f}".replace(",", " ")
    return f"{values['median']:.2f}"


def machine() -> dict[str, Any]:
    """Where it was measured."""
    servers, rest = cores()
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "servers_on": sorted(servers),
        "load_and_redis_on": sorted(rest),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def _cpu_model() -> str:
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        models = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
    return models[0] if models else platform.machine()


def say(text: str) -> None:
    """Progress, for whoever waits."""
    print(text, file=sys.stderr, flush=True)


def bench(args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """All works on all servers, in turns, so that a change of the machine's mood hits all alike."""
    results = {}
    for work in args.work:
        runs: list[dict[str, dict[str, Any]]] = []
        for number in range(args.runs):
            run = {}
            for name in args.only:
                run[name] = figures = measure(name, WORKS[work], args)
                say(
                    f"{work}, run {number + 1}, {name}: {figures['cpu_us']:.2f} us of CPU for a "
                    f"delivery, {figures['deliveries_per_s']:,.0f} deliveries/s"
                    + (f", FAULTS: {figures['faults']}" if figures["faults"] else "")
                )
            runs.append(run)
        results[work] = summary(runs)
    return results


def main() -> int:
    """Run it; the exit code is 1 when a server lost, doubled or refused something."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.cluster", description="CPU time of a delivery with two workers and Redis."
    )
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0, help="measured in each run")
    parser.add_argument("--warmup", type=float, default=2.0, help="seconds of load before that")
    parser.add_argument("--only", nargs="+", default=PEERS, choices=KINDS, metavar="SERVER")
    parser.add_argument("--work", nargs="+", default=list(WORKS), choices=WORKS, metavar="WORK")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    args = parser.parse_args()
    if sys.platform != "linux":
        parser.error("it needs Linux: epoll, and the CPU times in /proc")
    try:
        results = bench(args)
    except (Failed, ValkeyError) as error:
        say(f"benchmarks.cluster: {error}")
        return 2
    if args.json:
        works = {name: asdict(WORKS[name]) | {"servers": found} for name, found in results.items()}
        print(json.dumps({"machine": machine(), "works": works}, indent=2))
    else:
        print(table(results))
    bad = [
        fault for work in results.values() for found in work.values() for fault in found["faults"]
    ]
    return 1 if any(bad) else 0


if __name__ == "__main__":
    sys.exit(main())
