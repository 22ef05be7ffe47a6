"""What is made of a server's own words."""

from __future__ import annotations

from typing import Any

import pytest

from sioserver.config import Config
from sioserver.config.schema import Store
from sioserver.doctor.redis import HOLES, Server, clock, findings, holes

INFO = {
    "redis_version": "7.2.4",
    "valkey_version": "8.1.9",
    "aof_enabled": "1",
    "aof_last_write_status": "ok",
    "rdb_last_bgsave_status": "ok",
    "maxmemory": "1000",
    "maxmemory_policy": "noeviction",
    "used_memory": "100",
    "connected_slaves": "1",
    "role": "master",
}
GOOD = Server(
    where="10.0.0.9:6379",
    host="10.0.0.9",
    encrypted=True,
    password=True,
    open=False,
    skew=0.01,
    info=INFO,
    appendfsync="always",
    sentinels=0,
)
NEAR = {"host": "127.0.0.1", "where": "127.0.0.1:6379"}


def levels(config: Config | None = None, **facts: Any) -> list[tuple[str, str]]:
    if "more" in facts:
        facts["info"] = INFO | facts.pop("more")
    found = findings(config or Config(), GOOD._replace(**facts))
    return [(one.level, one.check) for one in found if one.level != "ok"]


def test_a_good_one() -> None:
    assert levels() == []
    assert GOOD.product == "Valkey"
    assert GOOD.version == (8, 1, 9)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"open": True}, [("fail", "redis.access")]),
        ({"open": True, "password": False}, [("fail", "redis.access")]),
        ({"open": None}, [("skip", "redis.access")]),
        ({**NEAR, "open": True, "password": False}, [("warn", "redis.access")]),
        ({**NEAR, "open": True, "encrypted": False}, [("warn", "redis.access")]),
        ({"host": "", "where": "/s.sock", "open": True, "encrypted": False}, []),
        ({"encrypted": False}, [("warn", "redis.tls")]),
        ({**NEAR, "encrypted": False}, []),
        ({"skew": 2.0}, [("warn", "redis.clock")]),
        ({"skew": -31.0}, [("fail", "redis.clock")]),
        ({"info": None}, [("skip", "redis.info")]),
        ({"more": {"valkey_version": "8.1.8"}}, [("warn", "redis.version")]),
        ({"more": {"valkey_version": ""}}, [("warn", "redis.version")]),  # then it is 7.2.4
        ({"more": {"valkey_version": "9"}}, [("skip", "redis.version")]),
        ({"more": {"aof_enabled": "0"}}, [("fail", "redis.persistence")]),
        ({"appendfsync": "no"}, [("fail", "redis.persistence")]),
        ({"appendfsync": "everysec"}, []),
        ({"appendfsync": ""}, []),
        ({"more": {"aof_last_write_status": "err"}}, [("fail", "redis.persistence")]),
        ({"more": {"rdb_last_bgsave_status": "err"}}, [("fail", "redis.persistence")]),
        ({"more": {"maxmemory_policy": "allkeys-lru"}}, [("fail", "redis.memory")]),
        (
            {"more": {"maxmemory_policy": "volatile-lru", "maxmemory": "0"}},
            [("warn", "redis.memory")],
        ),
        ({"more": {"used_memory": "901"}}, [("warn", "redis.memory")]),
        ({"more": {"maxmemory": "0"}}, []),
        ({"sentinels": 3}, []),
        ({"sentinels": 3, "more": {"connected_slaves": "0"}}, [("warn", "redis.replicas")]),
        ({"more": {"connected_slaves": "0"}}, []),
        ({"more": {"role": "slave"}}, [("fail", "redis.replicas")]),
    ],
)
def test_facts(facts: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert levels(**facts) == expected


def test_what_nothing_is_kept_in_need_not_keep_it() -> None:
    memory = Config(store=Store(path=":memory:"))
    assert levels(memory, more={"aof_enabled": "0"}) == []


LUA, MAY = ["CVE-2025-49844"], ["CVE-2026-23479", "CVE-2026-23631", "CVE-2026-25243"]
JULY, TLS = ["CVE-2026-63639"], ["CVE-2026-56684"]


@pytest.mark.parametrize(
    ("product", "version", "names"),
    [
        ("Redis", (6, 2, 19), LUA + MAY + JULY + TLS),
        ("Redis", (6, 2, 20), MAY + JULY + TLS),
        ("Redis", (6, 2, 22), JULY + TLS),
        ("Redis", (6, 2, 24), []),
        ("Redis", (7, 0, 15), LUA + MAY + JULY + TLS),
        ("Redis", (8, 0, 6), MAY + JULY + TLS),  # a branch that was given up
        ("Redis", (8, 2, 8), TLS),
        ("Redis", (8, 8, 1), TLS),
        ("Redis", (8, 10, 1), []),
        ("Redis", (8, 12, 0), []),
        ("Valkey", (7, 2, 12), MAY + JULY + TLS),
        ("Valkey", (8, 0, 8), MAY + JULY + TLS),  # it was withdrawn
        ("Valkey", (8, 0, 10), []),
        ("Valkey", (8, 1, 8), JULY + TLS),
        ("Valkey", (9, 0, 4), JULY + TLS),
        ("Valkey", (9, 1, 0), JULY + TLS),
        ("Valkey", (9, 1, 1), []),
        ("Valkey", (9, 2, 0), []),
    ],
)
def test_versions(product: str, version: tuple[int, ...], names: list[str]) -> None:
    assert holes(product, version) == names


def test_what_is_told_to_upgrade_to_mends_everything() -> None:
    for product in ("Redis", "Valkey"):
        for (major, minor), release in HOLES[-1].fixed[product].items():
            assert holes(product, (major, minor, release)) == []
    info = INFO | {"valkey_version": "9.1.0"}
    (finding,) = [one for one in findings(Config(), GOOD._replace(info=info)) if one.level != "ok"]
    assert "CVE-2026-56684" in finding.text
    assert "9.1.1" in finding.remedy


@pytest.mark.parametrize(
    ("skew", "level"), [(0.0, "ok"), (0.99, "ok"), (-1.0, "warn"), (29.9, "warn"), (30.0, "fail")]
)
def test_clocks(skew: float, level: str) -> None:
    (finding,) = clock("x", "theirs", skew)
    assert finding.level == level
    if level != "ok":
        assert ("ahead" if skew > 0 else "behind") in finding.text
