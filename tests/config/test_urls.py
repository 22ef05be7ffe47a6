"""What is wrong with a URL or an address. Which settings name one: test_checks.py."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sioserver.config.urls import (
    is_address,
    is_unspecified,
    jwks_fault,
    network_fault,
    port_of,
    redis_fault,
    webhook_fault,
)


@pytest.mark.parametrize("fault", [jwks_fault, webhook_fault])
@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("https://app.example/x?y=1", ""),
        ("http://[::1]:8000/x", ""),
        ("http://localhost.app.example/x", "over http anybody"),
        ("wss://app.example/x", "expected https://host/path"),
        ("https://", "expected https://host/path"),
        ("https://app.example/a b", "expected https://host/path"),
        ("https://app.example:99999", "no URL"),
        ("https://joe:swordfish@app.example", "without user, password and #"),
        ("https://app.example/#x", "without user, password and #"),
    ],
)
def test_addresses_on_the_web(fault: Callable[[str], str], url: str, says: str) -> None:
    text = fault(url)
    assert says in text if says else not text
    assert "swordfish" not in text


def test_what_anybody_on_the_way_could_do() -> None:
    url = "http://app.example"
    assert "put keys of their own into it" in jwks_fault(url)
    assert "read along" in webhook_fault(url)
    assert "or the name of a file" in jwks_fault("ftp://app.example")


def test_networks() -> None:
    for text in ("10.0.0.1", "10.0.0.0/8", "::1", "fd00::/8"):
        assert not network_fault(text)
    assert network_fault("10.0.0.1/8").endswith('did you mean "10.0.0.0/8"?')
    assert "is not an address or network" in network_fault("proxy")


def test_a_redis_by_its_sentinels_or_not() -> None:
    assert not redis_fault("unix:///run/redis.sock", by_sentinels=False)
    assert redis_fault("unix:///run/redis.sock", by_sentinels=True)
    assert not redis_fault("redis://", by_sentinels=True)
    assert "the host is missing" in redis_fault("redis://", by_sentinels=False)


@given(st.text(max_size=40) | st.from_regex(r"(rediss?|unix|https?)://[a-z:@/\[\]0-9#?%]*"))
def test_whatever_is_written_has_a_fault_or_none(text: str) -> None:
    for by_sentinels in (False, True):
        assert isinstance(redis_fault(text, by_sentinels), str)
    for fault in (jwks_fault, webhook_fault, network_fault):
        assert isinstance(fault(text), str)
    if is_address(text):
        assert 0 < port_of(text) <= 65535
        assert isinstance(is_unspecified(text), bool)


def test_the_host_and_port_of_an_address() -> None:
    assert is_address("[::1]:26379")
    assert not is_address("::1:26379")
    assert port_of("[::1]:26379") == 26379
    assert [is_unspecified(f"{host}:1") for host in ("0.0.0.0", "[::]", "[::1]", "a")] == [
        True,
        True,
        False,
        False,
    ]
