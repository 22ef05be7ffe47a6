"""Tokens that expire on a live connection, with a clock and a wheel that the test turns."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import pytest

from sioserver.auth import Identity
from sioserver.connections.clients import ConnectedClient
from sioserver.connections.expiry import Expiry
from sioserver.errors import Disconnect
from sioserver.hub import Client
from sioserver.limits import NoBucket
from sioserver.model import Event, User

from .somewhere import Somewhere


class Deadline:
    def __init__(self, callback: Callable[[], None]) -> None:
        self.run = callback

    def cancel(self) -> None:
        self.run = lambda: None


class Time:
    """A clock, and a wheel that runs by it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.due: list[tuple[float, Deadline]] = []

    def __call__(self) -> float:
        return self.now

    def after(self, delay: float, callback: Callable[[], None]) -> Deadline:
        assert delay >= 0
        deadline = Deadline(callback)
        self.due.append((self.now + delay, deadline))
        return deadline

    def run_until(self, moment: float) -> None:
        while self.due and min(self.due, key=lambda one: one[0])[0] <= moment:
            first = min(self.due, key=lambda one: one[0])
            self.due.remove(first)
            self.now = first[0]
            first[1].run()
        self.now = moment


class Told:
    """An outbox that writes down what clients are told."""

    def __init__(self, time: Time) -> None:
        self.time = time
        self.said: list[tuple[float, str]] = []

    def broadcast(self, clients: Collection[Client], event: Event) -> None:
        assert len(clients) == 1
        assert event.position is None
        self.said.append((self.time.now, f"{event.payload['code']} {event.payload['expires_in']}"))

    def close(self, client: Client, ending: Disconnect) -> None:
        self.said.append((self.time.now, f"end {ending.code}"))


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def told(time: Time) -> Told:
    return Told(time)


@pytest.fixture
def expiry(time: Time) -> Expiry:
    wheel: Any = time
    return Expiry(wheel, time, notice=60.0)


def client_until(told: Told, expires_at: float | None) -> ConnectedClient:
    return Somewhere(Identity(User("a", "A"), expires_at=expires_at), "lobby", told, NoBucket())


def test_a_notice_and_then_the_end(time: Time, told: Told, expiry: Expiry) -> None:
    expiry.watch(client_until(told, 1100.0))
    time.run_until(1039.9)
    assert told.said == []
    time.run_until(2000.0)
    assert told.said == [(1040.0, "token_expiring 60.0"), (1100.0, "end token_expired")]


def test_the_notice_comes_at_once_when_there_is_less_time(
    time: Time, told: Told, expiry: Expiry
) -> None:
    expiry.watch(client_until(told, 1007.0))
    assert told.said == [(1000.0, "token_expiring 7.0")]
    time.run_until(2000.0)
    assert told.said[1:] == [(1007.0, "end token_expired")]


def test_a_token_that_has_expired_meanwhile(time: Time, told: Told, expiry: Expiry) -> None:
    expiry.watch(client_until(told, 900.0))
    time.run_until(1000.0)
    assert told.said == [(1000.0, "token_expiring 0.0"), (1000.0, "end token_expired")]


def test_who_needs_no_token_is_left_alone(time: Time, told: Told, expiry: Expiry) -> None:
    expiry.watch(client_until(told, None))
    assert time.due == []


@pytest.mark.parametrize("refreshed_at", [1010.0, 1050.0])
def test_a_fresh_token_starts_anew(
    time: Time, told: Told, expiry: Expiry, refreshed_at: float
) -> None:
    client = client_until(told, 1100.0)
    expiry.watch(client)
    time.run_until(refreshed_at)
    before = len(told.said)
    client.identity = Identity(User("a", "A"), expires_at=1500.0)
    expiry.watch(client)
    time.run_until(3000.0)
    assert told.said[before:] == [(1440.0, "token_expiring 60.0"), (1500.0, "end token_expired")]


def test_a_fresh_token_without_an_end(time: Time, told: Told, expiry: Expiry) -> None:
    client = client_until(told, 1100.0)
    expiry.watch(client)
    client.identity = Identity(User("a", "A"))
    expiry.watch(client)
    time.run_until(3000.0)
    assert told.said == []


@pytest.mark.parametrize("left_at", [1010.0, 1050.0])
def test_who_has_left_hears_no_more(time: Time, told: Told, expiry: Expiry, left_at: float) -> None:
    client = client_until(told, 1100.0)
    expiry.watch(client)
    time.run_until(left_at)
    before = len(told.said)
    expiry.forget(client)
    expiry.forget(client)
    time.run_until(3000.0)
    assert len(told.said) == before
    assert client.expiry is None
