"""What is made of a server's own words."""

from __future__ import annotations

from typing import Any

import pytest

from sioserver.config import Config
from sioserver.config.schema import Store
from sioserver.doctor.redis import FIXED, Server, clock, findings, is_vulnerable

INFO = {
    "redis_version": "7.2.4",
    "valkey_version": "8.1.4",
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
    assert GOOD.version == (8, 1, 4)


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
        ({"more": {"valkey_version": "8.1.3"}}, [("warn", "redis.version")]),
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


@pytest.mark.parametrize(
    ("product", "version", "vulnerable"),
    [
        ("Redis", (6, 2, 19), True),
        ("Redis", (6, 2, 20), False),
        ("Redis", (7, 0, 15), True),
        ("Redis", (8, 2, 1), True),
        ("Redis", (8, 2, 2), False),
        ("Redis", (8, 4, 0), False),
        ("Valkey", (7, 2, 10), True),
        ("Valkey", (8, 0, 6), False),
        ("Valkey", (9, 0, 0), False),
    ],
)
def test_versions(product: str, version: tuple[int, ...], vulnerable: bool) -> None:
    assert is_vulnerable(version, FIXED[product]) is vulnerable


@pytest.mark.parametrize(
    ("skew", "level"), [(0.0, "ok"), (0.99, "ok"), (-1.0, "warn"), (29.9, "warn"), (30.0, "fail")]
)
def test_clocks(skew: float, level: str) -> None:
    (finding,) = clock("x", "theirs", skew)
    assert finding.level == level
    if level != "ok":
        assert ("ahead" if skew > 0 else "behind") in finding.text
