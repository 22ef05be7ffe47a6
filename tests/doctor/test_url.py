"""What is made of what clients find."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from sioserver.config import Config
from sioserver.doctor.url import Site, findings

PAGE = dict.fromkeys(
    (
        "content-security-policy",
        "x-content-type-options",
        "referrer-policy",
        "strict-transport-security",
    ),
    "x",
)
GOOD = Site(
    url="https://chat.example",
    host="chat.example",
    https=True,
    given=True,
    error="",
    handshake={"sid": "x", "pingInterval": 25000},
    refusal="",
    late=0.01,
    lost="",
    upgrade="",
    websocket="",
    compressed=False,
    own_origin=200,
    foreign_origin=403,
    page=PAGE,
    metrics=404,
    certificate_days=60.0,
    skew=0.0,
)
NOTHING = dict.fromkeys(
    ("handshake", "late", "lost", "upgrade", "own_origin", "foreign_origin"), None
)


def levels(config: dict[str, Any], **facts: Any) -> list[tuple[str, str]]:
    found = findings(msgspec.convert(config, Config), GOOD._replace(**facts))
    return [(one.level, one.check) for one in found if one.level != "ok"]


def test_a_good_one() -> None:
    assert levels({}) == []
    assert len(list(findings(Config(), GOOD))) == 11


@pytest.mark.parametrize(
    ("config", "facts", "expected"),
    [
        ({}, {"error": "refused"}, [("fail", "url")]),
        ({}, {"error": "refused", "given": False}, [("skip", "url")]),
        ({}, {"https": False, "certificate_days": None}, [("warn", "url.tls")]),
        ({}, {"https": False, "certificate_days": None, "host": "localhost"}, []),
        ({}, {"certificate_days": 5.0}, [("warn", "url.tls")]),
        ({}, {**NOTHING, "refusal": "404"}, [("fail", "url.polling")]),
        (
            {"transport": {"transports": ["websocket"]}},
            {**NOTHING, "upgrade": None},
            [],
        ),
        ({"transport": {"ping_interval": 20.0}}, {}, [("warn", "url.polling")]),
        ({}, {"lost": "400 unknown", "late": None, "upgrade": None}, [("fail", "url.sessions")]),
        ({}, {"late": 3.5}, [("fail", "url.buffering")]),
        ({}, {"websocket": "it is answered with 400"}, [("fail", "url.websocket")]),
        ({}, {"upgrade": "no answer"}, [("fail", "url.websocket")]),
        ({"transport": {"transports": ["polling"]}}, {"websocket": None, "upgrade": None}, []),
        ({"deflate": {"enabled": True}}, {}, [("warn", "url.compression")]),
        ({"deflate": {"enabled": True}}, {"compressed": True}, []),
        ({}, {"own_origin": 403}, [("fail", "url.origin")]),
        ({}, {"foreign_origin": 200}, [("warn", "url.foreign_origin")]),
        ({}, {"page": {}}, [("warn", "url.headers")]),
        (
            {},
            {"page": {k: v for k, v in PAGE.items() if not k.startswith("strict")}},
            [("warn", "url.headers")],
        ),
        ({"server": {"web": False}}, {"page": {}}, []),
        ({}, {"page": None}, []),
        ({}, {"metrics": 200}, [("warn", "url.metrics")]),
        ({}, {"metrics": 200, "host": "127.0.0.1"}, []),
        ({}, {"metrics": 200, "page": {}, "given": False}, []),
        ({}, {"skew": 70.0}, [("fail", "url.clock")]),
    ],
)
def test_facts(config: dict[str, Any], facts: dict[str, Any], expected: list[Any]) -> None:
    assert levels(config, **facts) == expected
