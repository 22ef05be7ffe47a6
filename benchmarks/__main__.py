"""sioserver beside Node's socket.io and stock python-socketio, in turns.

    .venv/bin/python -m benchmarks [WORK ...] [--runs N] [--seconds S] [--only SERVER ...]

README.md says what is measured and how.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from benchmarks import load, record
from benchmarks.figures import MOST_BUSY, Found, busy, faults, faulty, summary
from benchmarks.load import ROOT, Dialect, Failed, Load
from benchmarks.report import cores, machine, table
from benchmarks.servers import KINDS, Running, most_files, on_cores, running
from benchmarks.works import WORKS, Scenario
from sioserver.valkey import ValkeyError

EVERY: Final = "every"
"""The name of all works together; without a name it is those that are not extra."""

SCRATCH: Final = ROOT / ".cache" / "benchmarks"


def say(text: str) -> None:
    """Progress, for whoever waits."""
    print(text, file=sys.stderr, flush=True)


def measure(name: str, scenario: Scenario, work: Load, args: argparse.Namespace) -> Found:
    """Start a server, put the load on it, and return what was found."""
    kind, setting = KINDS[name], scenario.setting
    servers, rest = cores() if setting.workers == 1 else (set(), set())
    with running(name, setting, servers=servers, rest=rest) as served, on_cores(rest):
        dialect = replace(kind.echo if work.echo else kind.dialect, tls=setting.tls)
        with staying(scenario.crowd, dialect, served) as noted:
            found = load.run(
                work,
                dialect,
                served.ports,
                pids=served.pids,
                warmup=args.warmup * scenario.longer,
                seconds=args.seconds * scenario.longer,
            )
        return found | {"staying": noted}


@contextlib.contextmanager
def staying(crowd: Load | None, dialect: Dialect, served: Running) -> Iterator[dict[str, float]]:
    """Those that are there all the time: how many, and the memory of each in KiB."""
    with contextlib.ExitStack() as stack:
        notes: list[Any] = []
        if crowd is None:
            yield {}
            return
        for part in parts(crowd, most_files() - 1_000):
            one = load.staying(part, dialect, served.ports, pids=served.pids)
            notes += stack.enter_context(one)["crowd"]
            say(f"{part.first_client + part.crowd - crowd.first_client} are there")
        grown = notes[-1]["rss_kib"]["server"] - notes[0]["rss_kib"]["server"]
        yield {"clients": crowd.crowd, "kib": grown / crowd.crowd}


def parts(crowd: Load, most: int) -> list[Load]:
    """The crowd, in as many loads as have at most so many clients each."""
    result: list[Load] = []
    count = -(-crowd.crowd // most)
    for number in range(count):
        begin, end = (crowd.crowd * place // count for place in (number, number + 1))
        rooms = begin + number * crowd.crowd_rooms  # more than they can need
        result.append(
            replace(
                crowd,
                crowd=end - begin,
                first_client=crowd.first_client + begin,
                first_room=crowd.first_room + rooms,
            )
        )
    return result


def rounds(
    title: str, scenario: Scenario, servers: Sequence[str], args: argparse.Namespace
) -> dict[str, list[dict[str, Found]]]:
    """All loads on all servers, in turns, so that a change of the machine's mood hits all alike."""
    result: dict[str, list[dict[str, Found]]] = {}
    for case, work in scenario.loads:
        runs = result[case] = []
        for number in range(args.runs):
            runs.append({})
            for name in servers:
                told = f"{title}{case and f', {case}'}, run {number + 1} of {args.runs}, {name}"
                try:
                    found = runs[-1][name] = measure(name, scenario, work, args)
                except Failed as error:
                    raise Failed(f"{told}: {error}") from error
                if busy(found) > MOST_BUSY:
                    told += f"; the load was busy for {busy(found):.0%} of its time"
                if bad := faults(found):
                    told += f"; FAULTS: {bad}"
                say(told)
    return result


def bench(names: Iterable[str], args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """The works, those with the same scenario together: work -> case -> server -> figures.

    One that could not be measured is missing, and said to be.
    """
    shared: dict[tuple[Scenario, tuple[str, ...]], list[str]] = {}
    for name in names:
        work = WORKS[name]
        servers = tuple(server for server in work.servers if server in args.only)
        if servers:
            shared.setdefault((work.scenario, servers), []).append(name)
    results = {}
    for (scenario, servers), together in shared.items():
        try:
            runs = rounds(", ".join(together), scenario, servers, args)
        except (Failed, ValkeyError) as error:
            say(f"benchmarks: {error}")
            continue
        for name in together:
            figures = WORKS[name].figures
            results[name] = {case: summary(found, figures) for case, found in runs.items()}
            content = {
                "work": name,
                "title": WORKS[name].title,
                "machine": machine(),
                "settings": {key: getattr(args, key) for key in ("runs", "seconds", "warmup")},
                "results": results[name],
            }
            record.save(record.RESULTS if args.record else SCRATCH, name, content)
            print(f"\n{name}: {WORKS[name].title}\n\n{table(results[name], figures)}", flush=True)
    return results


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; the exit code is 1 when a server lost, doubled or refused something, and 2 when a
    work could not be measured at all."""
    parser = argparse.ArgumentParser(
        prog="benchmarks", description="sioserver beside Node's socket.io and python-socketio."
    )
    parser.add_argument("works", nargs="*", metavar="WORK", help=f"{', '.join(WORKS)}; or {EVERY}")
    parser.add_argument("--runs", type=int, default=3, help="rounds (%(default)s)")
    parser.add_argument("--seconds", type=float, default=2.0, help="measured in each run")
    parser.add_argument("--warmup", type=float, default=1.5, help="seconds of load before that")
    parser.add_argument("--only", nargs="+", default=list(KINDS), choices=KINDS, metavar="SERVER")
    parser.add_argument(
        "--record",
        action="store_true",
        help="keep the figures: in results/, README.md and its plots",
    )
    args = parser.parse_args(arguments)
    if unknown := set(args.works) - {*WORKS, EVERY}:
        parser.error(f"no such work: {', '.join(unknown)}; there are {', '.join(WORKS)}")
    if sys.platform != "linux":
        parser.error("it needs Linux: epoll, and the CPU times in /proc")
    wanted = [name for name in WORKS if name in args.works or (EVERY in args.works)]
    wanted = wanted or [name for name, work in WORKS.items() if not work.extra]
    results = bench(wanted, args)
    if args.record:
        record.write()
    if wanted != [name for name in wanted if name in results]:
        return 2
    return 1 if any(map(faulty, results.values())) else 0


if __name__ == "__main__":
    sys.exit(main())
