"""Addresses behind proxies."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sioserver.transport.address import Proxies

ADDRESSES = st.ip_addresses().map(str)


@given(ADDRESSES, st.lists(ADDRESSES | st.text(max_size=10)).map(",".join))
def test_nobody_is_believed_who_is_not_trusted(peer: str, forwarded: str) -> None:
    assert Proxies([]).client(peer, forwarded) == peer
    other = "203.0.113.1" if peer != "203.0.113.1" else "203.0.113.2"
    assert Proxies([other]).client(peer, forwarded) == peer


@given(st.text(), st.text())
def test_any_header_gives_an_address(peer: str, forwarded: str) -> None:
    proxies = Proxies(["127.0.0.1", "10.0.0.0/8"])
    assert proxies.client("127.0.0.1", forwarded)
    assert proxies.client(peer, forwarded) is not None


@given(ADDRESSES, st.lists(st.ip_addresses(network="10.0.0.0/8").map(str), max_size=4))
@example("::ffff:1.2.3.4", [])
def test_what_a_client_says_itself_is_not_believed(real: str, proxies: list[str]) -> None:
    trusted = Proxies(["10.0.0.0/8"])
    if trusted.trusted(real):
        return
    chain = ", ".join(["6.6.6.6", "nonsense", "7.7.7.7", real, *proxies])
    mapped = getattr(ipaddress.ip_address(real), "ipv4_mapped", None)
    assert trusted.client("10.1.1.1", chain) == str(mapped or real)


def forms(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> st.SearchStrategy[str]:
    """How proxies write an address."""
    if isinstance(address, ipaddress.IPv6Address):
        shown = [f"{address}", f"[{address}]", f"[{address}]:4711", f"{address}%eth0"]
    else:
        shown = [f"{address}", f"{address}:4711", f"::ffff:{address}", f"[::ffff:{address}]:1"]
    return st.sampled_from([*shown, *(f"  {form}\t" for form in shown)])


@given(
    st.text() | st.lists(ADDRESSES).map(",".join),
    st.ip_addresses(),
    st.lists(st.ip_addresses(network="10.0.0.0/8"), max_size=4),
    st.data(),
)
def test_whatever_a_client_writes_to_the_left_its_address_is_the_same(
    written: str,
    real: ipaddress.IPv4Address | ipaddress.IPv6Address,
    proxies: list[ipaddress.IPv4Address],
    data: st.DataObject,
) -> None:
    trusted = Proxies(["10.0.0.0/8"])
    if trusted.trusted(str(real)):
        return
    row = [data.draw(forms(address)) for address in (real, *proxies)]
    expected = str(getattr(real, "ipv4_mapped", None) or real)
    assert trusted.client("10.1.1.1", ",".join(row)) == expected
    assert trusted.client("10.1.1.1", ",".join([written, *row])) == expected


@given(st.text(), st.text())
def test_what_comes_out_is_an_address_and_nothing_else(written: str, zone: str) -> None:
    trusted = Proxies(["10.0.0.0/8"])
    for header in (written, f"fe80::1%{zone}", f"1.2.3.4:{zone}"):
        address = trusted.client("10.1.1.1", header)
        assert ipaddress.ip_address(address)
        assert "%" not in address


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("127.0.0.1", "1.2.3.4", "1.2.3.4"),
        ("127.0.0.1", "6.6.6.6, 1.2.3.4, 10.0.0.7", "1.2.3.4"),
        ("127.0.0.1", None, "127.0.0.1"),
        ("127.0.0.1", "", "127.0.0.1"),
        ("127.0.0.1", "unknown", "127.0.0.1"),
        ("127.0.0.1", "1.2.3.4, unknown", "127.0.0.1"),
        ("127.0.0.1", "10.0.0.1, 10.0.0.2", "10.0.0.1"),
        ("::ffff:127.0.0.1", "1.2.3.4", "1.2.3.4"),
        ("127.0.0.1", "2001:db8::1", "2001:db8::1"),
        ("8.8.8.8", "1.2.3.4", "8.8.8.8"),
        (None, "1.2.3.4", ""),
        ("127.0.0.1", "6.6.6.6, 1.2.3.4:5678", "1.2.3.4"),
        ("127.0.0.1", "[2001:db8::1]:443", "2001:db8::1"),
        ("127.0.0.1", "[2001:db8::1]", "2001:db8::1"),
        ("127.0.0.1", "2001:DB8:0::1", "2001:db8::1"),
        ("127.0.0.1", "::ffff:1.2.3.4", "1.2.3.4"),
        ("127.0.0.1", "1.2.3.4, [::ffff:10.0.0.1]:80", "1.2.3.4"),
        ("127.0.0.1", "fe80::1%x\r\nSet-Cookie: a=b", "fe80::1"),
        ("127.0.0.1", "6.6.6.6,", "127.0.0.1"),
        ("127.0.0.1", "6.6.6.6, , 10.0.0.1", "10.0.0.1"),
        ("127.0.0.1", "6.6.6.6, _hidden", "127.0.0.1"),
        ("127.0.0.1", '"1.2.3.4"', "127.0.0.1"),
        ("127.0.0.1", "for=1.2.3.4", "127.0.0.1"),
        ("127.0.0.1", "1.2.3.4:", "127.0.0.1"),
        ("127.0.0.1", "1.2.3.4:x", "127.0.0.1"),
        ("127.0.0.1", "1.2.3", "127.0.0.1"),
        ("127.0.0.1", "01.02.03.04", "127.0.0.1"),
        ("127.0.0.1", "\u0661.2.3.4", "127.0.0.1"),
        ("127.0.0.1", "[1.2.3.4", "127.0.0.1"),
        ("127.0.0.1", "6.6.6.6" + ", 10.0.0.1" * 1000, "10.0.0.1"),
    ],
)
def test_chains(peer: str | None, forwarded: str | None, client: str) -> None:
    assert Proxies(["127.0.0.1", "10.0.0.0/8"]).client(peer, forwarded) == client


@given(
    st.text() | st.lists(ADDRESSES).map(",".join),
    st.text(),
    st.lists(st.ip_addresses(network="10.0.0.0/8").map(str), max_size=4),
)
def test_what_a_client_writes_into_other_rows_is_not_believed(
    forwarded: str, written: str, proxies: list[str]
) -> None:
    trusted = Proxies(["10.0.0.0/8"])
    chain = ",".join([forwarded, "192.0.2.1", *proxies])
    row = ",".join([written, "https", *("http" for _ in proxies)])
    assert trusted.said("10.1.1.1", chain, row) == "https"
    assert trusted.said("192.0.2.7", chain, row) == ""


@pytest.mark.parametrize(
    ("forwarded", "row", "said"),
    [
        ("192.0.2.1", "https", "https"),
        ("192.0.2.1", "https, http", "http"),
        ("192.0.2.1, 10.0.0.1", "https, http", "https"),
        ("192.0.2.1, 10.0.0.1", " https ", "https"),  # one of both has replaced it
        ("192.0.2.1, 10.0.0.1, 10.0.0.2", "https,http", "https"),
        ("192.0.2.1, unknown", "https, http", "http"),
        ("10.0.0.1", "https, http", "http"),  # asked by a proxy itself
        (None, "https, http", "http"),
        ("192.0.2.1", "https,", ""),
        ("192.0.2.1", "", ""),
    ],
)
def test_what_was_said_of_the_clients_request(forwarded: str | None, row: str, said: str) -> None:
    assert Proxies(["10.0.0.0/8"]).said("10.1.1.1", forwarded, row) == said


def test_a_wrong_network_is_refused() -> None:
    with pytest.raises(ValueError):
        Proxies(["10.0.0.300"])


@given(st.ip_addresses(), st.ip_addresses(v=4))
def test_trusted_is_membership(
    address: ipaddress.IPv4Address, inside: ipaddress.IPv4Address
) -> None:
    network = f"{inside}/32"
    assert Proxies([network]).trusted(str(inside))
    assert Proxies([network]).trusted(f"::ffff:{inside}")
    assert Proxies([network]).trusted(str(address)) is (
        str(address) == str(inside) or getattr(address, "ipv4_mapped", None) == inside
    )
