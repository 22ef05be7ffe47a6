"""What a Redis or Valkey says of itself, and what that means for stored messages and for safety.

Pure: facts in, findings out; `look_redis` gathers them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from sioserver.addresses import is_loopback
from sioserver.config import Config
from sioserver.doctor.findings import Finding, fail, ok, skip, warn

SLOW_CLOCK: Final = 1.0
WRONG_CLOCK: Final = 30.0
"""Seconds. Half of what proofs and signatures forgive."""

Fixes = Mapping[tuple[int, int], int]
"""By branch: the first release of it in which something is fixed."""


class Hole(NamedTuple):
    """Memory of the server that is used after it was freed, or past its end: whoever may send the
    server what it takes may run code of theirs in it."""

    names: tuple[str, ...]
    fixed: Mapping[str, Fixes]
    """By product."""


# From the release notes of both. Redis gives no numbers to what it mended in July and August 2026
# (a stream for RESTORE with one entry for two consumers; the list of TLS connections with something
# to read); the same in Valkey has one each.
HOLES: Final = (
    Hole(
        ("CVE-2025-49844",),
        {
            "Redis": {(6, 2): 20, (7, 2): 11, (7, 4): 6, (8, 0): 4, (8, 2): 2},
            "Valkey": {(7, 2): 11, (8, 0): 6, (8, 1): 4},
        },
    ),
    Hole(
        ("CVE-2026-23479", "CVE-2026-23631", "CVE-2026-25243"),
        {
            "Redis": {(6, 2): 22, (7, 2): 14, (7, 4): 9, (8, 2): 6, (8, 4): 3, (8, 6): 3},
            "Valkey": {(7, 2): 13, (8, 0): 9, (8, 1): 7, (9, 0): 4},
        },
    ),
    Hole(
        ("CVE-2026-63639",),
        {
            "Redis": {(6, 2): 23, (7, 2): 15, (7, 4): 10, (8, 2): 8, (8, 4): 5, (8, 6): 5},
            "Valkey": {(7, 2): 14, (8, 0): 10, (8, 1): 9, (9, 0): 5, (9, 1): 1},
        },
    ),
    Hole(
        ("CVE-2026-56684",),
        {
            "Redis": {
                (6, 2): 24,
                (7, 2): 16,
                (7, 4): 11,
                (8, 2): 9,
                (8, 4): 6,
                (8, 6): 6,
                (8, 8): 2,
                (8, 10): 1,
            },
            "Valkey": {(7, 2): 14, (8, 0): 10, (8, 1): 9, (9, 0): 5, (9, 1): 1},
        },
    ),
)
"""Oldest first; what is fixed in a later one is fixed in the same branch's releases after it."""


class Server(NamedTuple):
    """Facts of one server."""

    where: str
    """Its address, without user and password."""
    host: str
    """Empty: a unix socket."""
    encrypted: bool
    password: bool
    """We show one."""
    open: bool | None
    """It lets in who shows none; None: that could not be found out."""
    skew: float
    """Seconds by which its clock is ahead of ours, at the least."""
    info: Mapping[str, str] | None
    """What INFO says; None: it is not allowed."""
    appendfsync: str
    """Empty: it is not told."""
    sentinels: int
    is_private: bool = False
    """Our own, on a socket of our own user."""

    @property
    def product(self) -> str:
        """Whose it is."""
        return "Valkey" if self.info and "valkey_version" in self.info else "Redis"

    @property
    def version(self) -> tuple[int, ...]:
        """Its own; empty when it is not told."""
        info = self.info or {}
        text = info.get("valkey_version") or info.get("redis_version") or ""
        return tuple(int(part) for part in text.split(".") if part.isdecimal())


def findings(config: Config, server: Server) -> Iterator[Finding]:
    """All of them."""
    yield ok("redis.url", f"{server.where} answers")
    yield from _access(server)
    yield from clock("redis.clock", f"Redis at {server.where}", server.skew)
    if server.info is None:
        yield skip("redis.info", "INFO is forbidden to us: version, persistence, memory, replicas")
        return
    yield from _version(server)
    if config.store.path != ":memory:":
        yield from _persistence(server, server.info)
    yield from _memory(server.info)
    yield from _replicas(server, server.info)


def _access(server: Server) -> Iterator[Finding]:
    near = not server.host or is_loopback(server.host)
    acl = "set a password, or better the ACL of docs/operations.md"
    if server.open and not near:
        yield fail("redis.access", f"{server.where} lets in whoever can reach it", acl)
    elif server.open and server.host:
        yield warn(
            "redis.access",
            f"{server.where} lets in who shows no password, and so every program here",
            f"{acl}, or use a unix socket",
        )
    elif server.open is None:
        yield skip("redis.access", "whether it lets anybody in could not be found out")
    else:
        yield ok("redis.access", "not everybody is let in" if server.host else "a unix socket")
    if not near and not server.encrypted:
        yield warn(
            "redis.tls",
            f"what is said to {server.where} can be read on its way, the password included",
            "rediss:// in redis.url, or a network of your own",
        )


def clock(check: str, whose: str, skew: float) -> Iterator[Finding]:
    """What a difference of clocks means."""
    words = f"{whose} is {abs(skew):.1f} s {'ahead' if skew > 0 else 'behind'}"
    remedy = "run NTP (chrony, systemd-timesyncd) on all hosts"
    if abs(skew) >= WRONG_CLOCK:
        yield fail(check, f"{words}: nodes do not believe each other at 60 s", remedy)
    elif abs(skew) >= SLOW_CLOCK:
        yield warn(check, words, remedy)
    else:
        yield ok(check, f"{whose} agrees with ours")


def _version(server: Server) -> Iterator[Finding]:
    version, product = server.version, server.product
    words = f"{product} {'.'.join(map(str, version))}"
    if len(version) < 3:
        yield skip("redis.version", f"{product} does not tell its version")
    elif names := holes(product, version):
        newest = HOLES[-1].fixed[product]
        branches = ", ".join(f"{a}.{b}.{c}" for (a, b), c in sorted(newest.items()))
        yield warn(
            "redis.version",
            f"{words}: whoever may send it any command can take it over ({', '.join(names)})",
            f"{product} {branches} or later (some distributions mend older ones under their "
            "old number); until then let nobody else have EVAL, RESTORE or CLIENT KILL",
        )
    else:
        yield ok("redis.version", words)


def holes(product: str, version: tuple[int, ...]) -> list[str]:
    """What is known to be wrong with a version: the names of the holes."""
    return [
        name for hole in HOLES if is_vulnerable(version, hole.fixed[product]) for name in hole.names
    ]


def is_vulnerable(version: tuple[int, ...], fixed: Fixes) -> bool:
    """Whether the version is older than the one of its branch that is fixed. A branch of its own
    that is older than the newest fixed one was never fixed; newer ones always were."""
    branch = version[0], version[1]
    if branch in fixed:
        return version[2] < fixed[branch]
    return branch < max(fixed)


def _persistence(server: Server, info: Mapping[str, str]) -> Iterator[Finding]:
    name = "redis.persistence"
    for field, what in (
        ("aof_last_write_status", "its append-only file"),
        ("rdb_last_bgsave_status", "its snapshot"),
    ):
        if info.get(field, "ok") != "ok":
            yield fail(name, f"it could not write {what}", "look at its log, and at its disk")
    if info.get("aof_enabled") != "1":
        yield fail(
            name,
            "it writes no append-only file: when it dies, messages that were acknowledged are gone",
            "appendonly yes, and appendfsync always or everysec",
        )
    elif server.appendfsync == "no":
        yield fail(
            name,
            "appendfsync is no: a power cut may cost the last half minute",
            "appendfsync always, or everysec",
        )
    elif server.appendfsync == "everysec":
        yield ok(name, "append-only file, each second: a crash may cost the last one or two")
    elif server.appendfsync == "always":
        yield ok(name, "append-only file, with each write")
    else:
        yield ok(name, "append-only file (CONFIG GET is forbidden to us, so not how often)")


def _memory(info: Mapping[str, str]) -> Iterator[Finding]:
    policy, limit = info.get("maxmemory_policy", "noeviction"), int(info.get("maxmemory", 0))
    used = int(info.get("used_memory", 0))
    if policy != "noeviction":
        report = fail if limit else warn
        yield report(
            "redis.memory",
            f"maxmemory-policy is {policy}: when memory is full, it throws messages away",
            "maxmemory-policy noeviction",
        )
    elif not limit:
        yield ok("redis.memory", "no maxmemory: the system's memory is the limit")
    elif used > 0.9 * limit:
        yield warn(
            "redis.memory",
            f"{used / limit:.0%} of maxmemory are used; posting is refused when it is full",
            "raise maxmemory, or shorten rooms.history_length and redis.dedup_window",
        )
    else:
        yield ok("redis.memory", f"noeviction; {used / limit:.0%} of maxmemory are used")


def _replicas(server: Server, info: Mapping[str, str]) -> Iterator[Finding]:
    count = int(info.get("connected_slaves", 0))
    if server.sentinels and not count:
        yield warn(
            "redis.replicas",
            "there are Sentinels, and no replica that they could make the master",
            "start one, or look why it is not connected",
        )
    elif info.get("role") == "slave":
        yield fail("redis.replicas", "this is a replica", "name the master, or redis.sentinels")
    else:
        yield ok("redis.replicas", f"{count} replicas" if count else "none: it stands alone")
