"""Who a request came from, in words that only nodes are believed."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request

from sioserver.transport import caller
from sioserver.transport.caller import CALLER, Caller, Seal

from ..fakes import FakeClock

SECRET = "thirty-two bytes, or a few more."
PATH = "/socket.io/?EIO=4&transport=polling&sid=aaaaaaaa-x"


@pytest.mark.parametrize(
    "origin",
    [
        Caller("1.2.3.4", "http"),
        Caller("2001:db8::1", "https"),
        Caller("fe80::1%eth0", "http", caller.LOST),
        Caller(None, "https", caller.RELEASE),
    ],
)
def test_there_and_back(origin: Caller) -> None:
    assert caller.read(caller.write(origin)) == origin


@pytest.mark.parametrize("remote", ["", "a b", "a\nb", "gr\xfcn", "\x00"])
def test_an_address_that_is_none(remote: str) -> None:
    assert caller.read(caller.write(Caller(remote, "http"))) == Caller(None, "http")


@pytest.mark.parametrize(
    "text", ["", "1.2.3.4", "1.2.3.4 http", "1.2.3.4 ftp -", "- http what", "- http - x", "-  -"]
)
def test_malformed(text: str) -> None:
    assert caller.read(text) is None


def test_an_ordinary_request() -> None:
    request = make_mocked_request("GET", PATH)
    assert caller.caller_of(request) == Caller(request.remote or None, "http")
    assert caller.note_of(request) == ""
    request[CALLER] = Caller("1.2.3.4", "https", caller.LOST)
    assert caller.caller_of(request) == ("1.2.3.4", "https", "lost")
    assert caller.note_of(request) == caller.LOST


class Sealed:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.origin = Caller("1.2.3.4", "https")
        self.seal = Seal(SECRET, self.clock)
        self.headers = self.seal.headers("GET", PATH, self.origin)

    def opened(self, **other: Any) -> Caller | None:
        said = {"method": "GET", "path": PATH, "headers": self.headers, **other}
        return self.seal.open(**said)


@pytest.fixture
def sealed() -> Sealed:
    return Sealed()


def test_the_proof(sealed: Sealed) -> None:
    assert sealed.opened() == sealed.origin
    sealed.clock.pass_(-60)
    assert sealed.opened() == sealed.origin
    sealed.clock.pass_(120)
    assert sealed.opened() == sealed.origin


@pytest.mark.parametrize("seconds", [-61, 61, 1e9])
def test_an_old_proof(sealed: Sealed, seconds: float) -> None:
    sealed.clock.pass_(seconds)
    assert sealed.opened() is None


@pytest.mark.parametrize(
    "other",
    [
        {"method": "POST"},
        {"path": PATH + "y"},
        {"headers": {}},
        {"headers": {caller.CALLER_HEADER: "1.2.3.4 https -"}},
    ],
)
def test_of_another_request(sealed: Sealed, other: dict[str, Any]) -> None:
    assert sealed.opened(**other) is None


@pytest.mark.parametrize(
    ("header", "text"),
    [
        (caller.CALLER_HEADER, "6.6.6.6 https -"),
        (caller.PROOF_HEADER, ""),
        (caller.PROOF_HEADER, "1700000000"),
        (caller.PROOF_HEADER, "1700000000 00"),
        (caller.PROOF_HEADER, "1700000000 \udcff"),
        (caller.PROOF_HEADER, "-1700000000 x"),
        (caller.PROOF_HEADER, "\u0661 x"),
        (caller.PROOF_HEADER, "9" * 5000 + " x"),
    ],
)
def test_a_forged_header(sealed: Sealed, header: str, text: str) -> None:
    assert sealed.opened(headers=sealed.headers | {header: text}) is None


def test_the_time_is_part_of_it(sealed: Sealed) -> None:
    now, _, proof = sealed.headers[caller.PROOF_HEADER].partition(" ")
    later = f"{int(now) + 1} {proof}"
    assert sealed.opened(headers=sealed.headers | {caller.PROOF_HEADER: later}) is None


def test_no_secret_proves_nothing() -> None:
    seal = Seal("", FakeClock())
    assert seal.open("GET", PATH, seal.headers("GET", PATH, Caller("1.2.3.4", "http"))) is None
    another = Seal(SECRET + "x", FakeClock())
    headers = another.headers("GET", PATH, Caller("1.2.3.4", "http"))
    assert Seal(SECRET, FakeClock()).open("GET", PATH, headers) is None
