"""Whose an address is, however it is written."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sioserver.addresses import is_loopback, of_this_machine, parse

ADDRESSES = st.ip_addresses().map(str)


@given(st.text(), st.text())
def test_any_text_is_an_address_or_none(text: str, zone: str) -> None:
    found = parse(text)
    assert found is None or parse(str(found)) == found
    assert parse(f"{text}%{zone}") == (parse(text.partition("%")[0]))


@given(st.ip_addresses(v=4))
def test_one_address_in_two_clothes_is_one(address: ipaddress.IPv4Address) -> None:
    assert parse(f"::ffff:{address}") == parse(str(address)) == address


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", "localhost", "LOCALHOST"]
)
def test_only_this_machine_can_reach_it(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["", "0.0.0.0", "::", "192.168.1.1", "example.com", "localhost.com", "127.0.0.1.nip.io"]
)
def test_others_can_reach_it(host: str) -> None:
    assert not is_loopback(host)


@given(ADDRESSES)
def test_addresses_of_this_machine(address: str) -> None:
    assert of_this_machine(address) is ipaddress.ip_address(address).is_loopback


@given(st.ip_addresses(v=4).map(str))
def test_addresses_of_this_machine_in_the_clothes_of_version_6(address: str) -> None:
    assert of_this_machine(f"::ffff:{address}") is ipaddress.ip_address(address).is_loopback


def test_a_unix_socket_is_of_this_machine() -> None:
    assert of_this_machine("")
