"""What is made of the machine's facts."""

from __future__ import annotations

import sys
from typing import Any

import msgspec
import pytest

from sioserver.config import Config
from sioserver.doctor.machine import Machine, Store, findings

STORE = Store("/s/sioserver.db", True, 0o600, 0o700, False, 2**40)
GOOD = Machine(
    files=sys.maxsize,
    somaxconn=4096,
    cores=4,
    memory=2**32,
    uvloop=True,
    c_parser="",
    trigrams=True,
    outdated=(),
    unknown_floors="",
    certificate=(),
    certificate_error="",
    certificate_days=60.0,
    store=STORE,
)


def levels(config: dict[str, Any], **facts: Any) -> list[tuple[str, str]]:
    found = findings(msgspec.convert(config, Config), GOOD._replace(**facts))
    return [(one.level, one.check) for one in found if one.level != "ok"]


def test_a_good_machine() -> None:
    assert levels({}) == []
    found = list(findings(Config(), GOOD))
    assert len({one.check for one in found}) == len(found) == 11


@pytest.mark.parametrize(
    ("config", "facts", "expected"),
    [
        ({}, {"files": 1023}, [("fail", "machine.files")]),
        ({}, {"files": 20_000}, [("warn", "machine.files")]),
        ({"limits": {"connections": 0}}, {"files": 20_000}, [("warn", "machine.files")]),
        ({"limits": {"connections": 19_800}}, {"files": 20_000}, []),
        ({"limits": {"connections": 19_801}}, {"files": 20_000}, [("warn", "machine.files")]),
        ({}, {"files": None}, [("skip", "machine.files")]),
        ({}, {"somaxconn": 128}, [("warn", "machine.backlog")]),
        ({}, {"somaxconn": None}, [("skip", "machine.backlog")]),
        ({"server": {"workers": 5}}, {}, [("warn", "server.workers")]),
        ({"server": {"workers": 4}}, {}, []),
        ({"limits": {"memory": 0}}, {}, [("warn", "limits.memory")]),
        ({"limits": {"memory": 2.0**32}}, {}, [("warn", "limits.memory")]),
        ({"limits": {"memory": 2.0**31}}, {}, []),
        (
            {"limits": {"memory": 2.0**31}, "server": {"workers": 2}},
            {},
            [("warn", "limits.memory")],
        ),
        ({}, {"memory": 0}, [("skip", "limits.memory")]),
        ({}, {"uvloop": False}, [("warn", "library.uvloop")]),
        ({"transport": {"loop": "asyncio"}}, {"uvloop": False}, []),
        ({}, {"c_parser": "it is missing"}, [("fail", "library.aiohttp")]),
        ({}, {"trigrams": False}, [("warn", "library.sqlite")]),
        ({}, {"trigrams": False, "store": None}, []),
        ({}, {"outdated": ("a 1", "b 2")}, [("fail", "library.version")] * 2),
        ({}, {"unknown_floors": "not a package"}, [("skip", "library.version")]),
        ({}, {"certificate": None}, []),
        ({}, {"certificate": ("soon",), "certificate_days": 3.0}, [("warn", "tls.cert")]),
        ({}, {"certificate": ("over",), "certificate_days": -1.0}, [("fail", "tls.cert")]),
        ({}, {"certificate_error": "no PEM"}, [("fail", "tls.cert")]),
        ({}, {"store": None}, []),
        ({}, {"store": STORE._replace(mode=0o644)}, [("fail", "store.path")]),
        ({}, {"store": STORE._replace(mode=0o640)}, [("warn", "store.path")]),
        ({}, {"store": STORE._replace(directory_mode=0o777)}, [("fail", "store.path")]),
        ({}, {"store": STORE._replace(directory_mode=0o1777)}, []),
        ({}, {"store": STORE._replace(exists=False, mode=0)}, []),
        ({}, {"store": STORE._replace(foreign=True)}, [("warn", "store.path")]),
        ({}, {"store": STORE._replace(free=2**20)}, [("fail", "store.disk")]),
        ({}, {"store": STORE._replace(free=2**29)}, [("warn", "store.disk")]),
    ],
)
def test_facts(config: dict[str, Any], facts: dict[str, Any], expected: list[Any]) -> None:
    assert levels(config, **facts) == expected
