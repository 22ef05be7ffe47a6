"""Planted mistakes in a configuration are found, each once, and a good one has none."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from sioserver.config import Config
from sioserver.doctor.findings import Finding
from sioserver.doctor.settings import findings, secrets_of

GOOD = "kZq3vX8mT1cR7pLw0bYh5sNd2gJf9aUe"
OTHER = "Qw7Zt4Lk9Xb2Vn6Mp1Hd8Rs3Yc5Fj0Ga"
PUBLIC = {"host": "0.0.0.0"}


def found(**sections: Any) -> list[Finding]:
    return list(findings(msgspec.convert(sections, Config)))


def bad(**sections: Any) -> list[tuple[str, str]]:
    return [(one.level, one.check) for one in found(**sections) if one.level in ("warn", "fail")]


def test_the_defaults_have_no_fault() -> None:
    assert bad() == []


def test_a_public_server_as_it_should_be() -> None:
    assert (
        bad(
            server={**PUBLIC, "origins": ["https://app.example"], "trusted_proxies": ["10.0.0.1"]},
            auth={"secret": GOOD},
            redis={"url": "redis://h", "bus_secret": OTHER},
        )
        == []
    )


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({"auth": {"secret": "changeme" * 5}}, [("fail", "auth.secret")]),
        ({"cluster": {"secret": "k" * 40}}, [("fail", "cluster.secret")]),
        ({"redis": {"bus_secret": "secret" * 8}}, [("fail", "redis.bus_secret")]),
        (
            {"redis": {"bus_secret": GOOD, "old_bus_secrets": [OTHER, "password" * 4]}},
            [("fail", "redis.old_bus_secrets")],
        ),
        (
            {"auth": {"secret": GOOD}, "cluster": {"secret": GOOD}},
            [("warn", "cluster.secret")],
        ),
        (
            {"server": PUBLIC, "auth": {"insecure_anonymous": True}},
            [("warn", "auth.insecure_anonymous"), ("warn", "server.host"), ("fail", "server.host")],
        ),
        (  # it says nothing any more
            {
                "server": {**PUBLIC, "trusted_proxies": ["10.0.0.1"]},
                "auth": {"insecure_anonymous": True, "secret": GOOD},
            },
            [("warn", "auth.insecure_anonymous")],
        ),
        ({"server": {"insecure_any_origin": True}}, [("warn", "server.insecure_any_origin")]),
        ({"server": PUBLIC, "auth": {"secret": GOOD}}, [("warn", "server.host")]),
        (
            {
                "server": {**PUBLIC, "trusted_proxies": ["10.0.0.1"]},
                "auth": {"secret": GOOD},
                "limits": {"enabled": False},
            },
            [("warn", "limits.enabled")],
        ),
        ({"server": {"origins": ["http://app.example"]}}, [("warn", "server.origins")]),
        ({"server": {"origins": ["http://localhost:5173", "http://[::1]:80"]}}, []),
        ({"server": {"origins": ["http://localhost:*", "https://*.example.com"]}}, []),
        ({"server": {"origins": ["http://localhost.example"]}}, [("warn", "server.origins")]),
        (
            {
                "server": {
                    **PUBLIC,
                    "trusted_proxies": ["10.0.0.1"],
                    "origins": ["http://localhost:*"],
                },
                "auth": {"secret": GOOD},
            },
            [("warn", "server.origins")],
        ),
        ({"server": {"trusted_proxies": ["0.0.0.0/0"]}}, [("fail", "server.trusted_proxies")]),
        ({"server": {"trusted_proxies": ["::/0"]}}, [("fail", "server.trusted_proxies")]),
        ({"server": {"trusted_proxies": ["128.0.0.0/1"]}}, [("warn", "server.trusted_proxies")]),
        ({"server": {"trusted_proxies": ["10.0.0.0/8", "fd00::/32"]}}, []),
        ({"store": {"path": ":memory:"}}, [("warn", "store.path")]),
    ],
)
def test_planted_mistakes(sections: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert bad(**sections) == expected


def test_a_list_that_means_nothing_is_not_praised() -> None:
    server = {"insecure_any_origin": True, "origins": ["https://a.example"]}
    assert "server.origins" not in [one.check for one in found(server=server)]
    assert "server.origins" in [one.check for one in found()]


def test_every_secret_is_looked_at_and_none_is_told() -> None:
    sections = {"auth": {"secret": GOOD}, "cluster": {"secret": "letmein" * 5}}
    config = msgspec.convert(sections, Config)
    assert secrets_of(config) == {"auth.secret": [GOOD], "cluster.secret": ["letmein" * 5]}
    for finding in findings(config):
        assert GOOD not in finding.line()
        assert "letmein" not in finding.line()


def test_each_complaint_says_what_to_do() -> None:
    for finding in found(
        server={**PUBLIC, "origins": ["http://a.example"]}, store={"path": ":memory:"}
    ):
        assert finding.remedy or finding.level in ("ok", "skip")
