"""The works: what is put on which servers, and what is shown of it. README.md says why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from benchmarks.figures import Figure, Found, per
from benchmarks.load import Load
from benchmarks.servers import Setting, most_files

ALONE: Final = Setting()
ALL: Final = ("sioserver", "bare", "node", "stock")


@dataclass(frozen=True)
class Scenario:
    """Loads by name, each put on every server in turn. Works may share one: it is run once."""

    loads: tuple[tuple[str, Load], ...]
    setting: Setting = ALONE
    crowd: Load | None = None
    """Is there before and stays, and comes from several processes if one may not have so many
    connections."""
    longer: float = 1.0
    """It is measured, and warmed up, so many times longer than the others."""


@dataclass(frozen=True)
class Work:
    """A question, and the figures that answer it."""

    title: str
    scenario: Scenario
    figures: Mapping[str, Figure]
    """The first is what the work is about, and what ratios are taken of."""
    servers: tuple[str, ...] = ALL
    target: float = 0.0
    """The ratio to Node that sioserver should have at most; 0: none is set."""
    headline: bool = True
    """It stands in the summary too."""
    extra: bool = False
    """Measured only where it is asked for by name."""


def _one(load: Load) -> Scenario:
    return Scenario((("", load),))


# ---------------------------------------------------------------------------- what is shown


def _deliveries(found: Found) -> float:
    return float(found["deliveries"])


def _acked(found: Found) -> float:
    return float(found["acked"])


def _latency(kind: str) -> dict[str, Figure]:
    parts = {"p50": "p50", "p99": "p99", "p999": "p99.9"}

    def figure(part: str, title: str) -> Figure:
        return Figure(f"{title} ms", lambda found: float(found[kind][part]))

    return {part: figure(part, title) for part, title in parts.items()}


def _mib(found: Found, when: str) -> float:
    return float(found[f"rss_{when}_kib"]["server"]) / 1024


MIB: Final = Figure("MiB", lambda found: _mib(found, "most"), 0)
DELIVERY: Final = {
    "cpu_us": per("delivery", _deliveries),
    "rate": Figure("deliveries/s", lambda found: _deliveries(found) / found["seconds"], 0),
    **_latency("delivery_ms"),
    "mib": MIB,
}
ECHO: Final = {
    "cpu_us": per("event", _acked),
    "rate": Figure("events/s", lambda found: _acked(found) / found["seconds"], 0),
    **_latency("ack_ms"),
    "mib": MIB,
}
REDIS: Final = {
    **DELIVERY,
    "redis_us": Figure(
        "Valkey µs", lambda found: found["cpu_s"]["redis"] / _deliveries(found) * 1e6
    ),
}


def _grown(found: Found, begin: int, end: int) -> tuple[float, float, float]:
    """Between two checkpoints, for one of the clients that came: CPU time in microseconds, memory
    in KiB; and clients a second."""
    a, b = found["crowd"][begin], found["crowd"][end]
    clients = b["clients"] - a["clients"]
    return (
        (b["cpu_s"]["server"] - a["cpu_s"]["server"]) / clients * 1e6,
        (b["rss_kib"]["server"] - a["rss_kib"]["server"]) / clients,
        clients / (b["at_s"] - a["at_s"]),
    )


def _idle_cpu(found: Found) -> float:
    a, b = found["crowd"][-2:]
    return float((b["cpu_s"]["server"] - a["cpu_s"]["server"]) / (b["at_s"] - a["at_s"]) * 100)


def _leave_cpu(found: Found) -> float:
    before, leave = found["before"], found["leave"]
    usual = before["cpu_s"]["server"] / before["seconds"] * leave["seconds"]
    return float((leave["cpu_s"]["server"] - usual) / found["crowd"][-1]["clients"] * 1e6)


def _clients_that_fit() -> int:
    """20 000, or nearly as many as a process may have connections here."""
    return min(20_000, (most_files() - 1_500) // 500 * 500)


def _workers_needed(clients: int) -> int:
    """Two, or more where a process may not have half of the connections."""
    return max(2, -(-clients // (most_files() - 1_500)))


# ---------------------------------------------------------------------------- the works

FANOUT: Final = Load(rooms=1, members=1000)
LONELY: Final = Load(rooms=100, members=1, echo=True)
FITTING: Final = _clients_that_fit()
GROWING: Final = Load(crowd=FITTING + 1000, checkpoint=(1000, 2000, FITTING), settle=3.0)
STALLED: Final = Load(rooms=1, members=1000, senders=10, window=10, rate=40, size=16_000)
IDLE: Final = Load(crowd=50_000, first_client=1000, first_room=1)
CROWD: Final = _one(Load(crowd=10_000, settle=3.0, leave=True))

WORKS: Final[dict[str, Work]] = {
    "fanout": Work("1 room x 1000, one message at a time", _one(FANOUT), DELIVERY, target=0.5),
    "rooms": Work(
        "100 rooms x 10, one message in each at a time",
        _one(Load(rooms=100, members=10)),
        DELIVERY,
        target=0.6,
    ),
    "echo": Work(
        "acked echo, 100 clients, each with one event under way",
        _one(LONELY),
        ECHO,
        target=0.6,
    ),
    "burst": Work(
        "1 room x 1000, 64 messages at a time",
        _one(Load(rooms=1, members=1000, senders=64)),
        DELIVERY,
        target=0.25,
    ),
    "polling": Work(
        "1 room x 200 over long-polling, one message at a time",
        _one(Load(rooms=1, members=200, polling=True)),
        DELIVERY,
        target=1.0,
    ),
    "latency": Work(
        "1 room x 1000, 100 messages a second",
        _one(Load(rooms=1, members=1000, senders=10, window=10, rate=100)),
        {
            "p99": _latency("delivery_ms")["p99"],
            "p50": _latency("delivery_ms")["p50"],
            "p999": _latency("delivery_ms")["p999"],
            "cpu_us": DELIVERY["cpu_us"],
            "sent": Figure("messages/s", lambda found: found["sent"] / found["seconds"], 0),
        },
    ),
    "idle10k": Work(
        "10 000 connections that only are there, in rooms of ten",
        CROWD,
        {
            "kib": Figure("KiB/connection", lambda found: _grown(found, 0, -1)[1]),
            "idle": Figure("CPU % of a core", _idle_cpu),
        },
        target=0.8,
    ),
    "connect": Work(
        "10 000 connect and join rooms of ten, 50 at a time",
        CROWD,
        {
            "cpu_us": Figure("CPU µs/connection", lambda found: _grown(found, 0, -2)[0], 0),
            "rate": Figure("connections/s", lambda found: _grown(found, 0, -2)[2], 0),
        },
        target=1.0,
    ),
    "leave": Work(
        "10 000 in rooms of ten leave at once",
        CROWD,
        {
            "stall": Figure("longest stall, ms", lambda found: found["leave"]["ping_ms"]["max"], 1),
            "cpu_us": Figure("CPU µs/leave", _leave_cpu, 0),
            "p99": Figure("ping p99 ms", lambda found: found["leave"]["ping_ms"]["p99"]),
            "before": Figure(
                "longest before, ms", lambda found: found["before"]["ping_ms"]["max"], 1
            ),
        },
    ),
    "grow-members": Work(
        "1 room of 10 to 10 000, one message at a time",
        Scenario(
            tuple(
                (f"{members} members", replace(FANOUT, members=members))
                for members in (10, 100, 1_000, 10_000)
            )
        ),
        {name: DELIVERY[name] for name in ("cpu_us", "p50", "p99", "p999")},
        servers=("sioserver", "node"),
        headline=False,
    ),
    "grow-clients": Work(
        f"1 000 more connect and join rooms of ten, where {FITTING:,} are already",
        _one(GROWING),
        {
            "late": Figure("CPU µs/connection", lambda found: _grown(found, 3, 4)[0], 0),
            "early": Figure("the same where 1 000 are", lambda found: _grown(found, 1, 2)[0], 0),
            "kib": Figure("KiB/connection", lambda found: _grown(found, 1, -1)[1]),
            "idle": Figure("CPU % of a core, idle", _idle_cpu),
        },
        servers=("sioserver", "bare", "node"),
        headline=False,
    ),
    "slow": Work(
        "1 room x 1000, 40 messages of 16 kB a second; 100 members stop reading",
        Scenario(
            (("all read", STALLED), ("100 stalled", replace(STALLED, stalled=100))), longer=2.5
        ),
        {
            "p99": _latency("delivery_ms")["p99"],
            "p50": _latency("delivery_ms")["p50"],
            "p999": _latency("delivery_ms")["p999"],
            "cpu_us": DELIVERY["cpu_us"],
            "grown": Figure(
                "MiB grown", lambda found: _mib(found, "most") - _mib(found, "before"), 0
            ),
        },
        servers=("sioserver", "node"),
        headline=False,
    ),
    "tls": Work(
        "fan-out and echo over wss://",
        Scenario((("fanout", FANOUT), ("echo", LONELY)), Setting(tls=True)),
        {
            "cpu_us": per("unit", lambda found: max(_deliveries(found), _acked(found))),
            "rate": Figure(
                "units/s",
                lambda found: max(_deliveries(found), _acked(found)) / found["seconds"],
                0,
            ),
            **_latency("ack_ms"),
            "mib": MIB,
        },
        servers=("sioserver", "bare", "node"),
    ),
    "idle": Work(
        "50 000 connections that only are there, beside 1 room x 1000 at 10 messages a second",
        Scenario(
            (("", Load(rooms=1, members=1000, senders=10, window=10, rate=10)),),
            Setting(workers=_workers_needed(51_000)),
            crowd=IDLE,
            longer=3.0,
        ),
        {
            "p99": _latency("delivery_ms")["p99"],
            "p50": _latency("delivery_ms")["p50"],
            "p999": _latency("delivery_ms")["p999"],
            "kib": Figure("KiB/connection", lambda found: found["staying"]["kib"]),
            "clients": Figure("connections", lambda found: found["staying"]["clients"], 0),
            "mib": MIB,
            "cpu": Figure(
                "CPU % of a core",
                lambda found: found["cpu_s"]["server"] / found["seconds"] * 100,
                0,
            ),
        },
        servers=("sioserver",),
        headline=False,
        extra=True,
    ),
    "cluster": Work(
        "two processes that share a Valkey",
        Scenario(
            (
                ("1 room x 1000", Load(rooms=1, members=1000, senders=10)),
                ("99 rooms x 10", Load(rooms=99, members=10)),
            ),
            Setting(processes=2, redis=True),
        ),
        REDIS,
        servers=("sioserver", "node", "stock"),
        target=0.6,
        extra=True,
    ),
}
