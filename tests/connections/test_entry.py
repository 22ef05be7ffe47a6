"""Who comes in: tokens that are guessed, and places of users."""

from __future__ import annotations

from typing import Any

import pytest

from sioserver import wire
from sioserver.admission import Admission
from sioserver.auth import Identity
from sioserver.config.schema import Limits
from sioserver.connections.entry import Entry
from sioserver.errors import InvalidToken, Refusal
from sioserver.model import User

ANN = Identity(User("ann", "Ann"), authenticated=True)
BEN = Identity(User("ben", "Ben"), authenticated=True)


class Speaker:
    subject: str | None = None


class Scene:
    """An entry before rooms that know one token."""

    def __init__(self, **limits: Any) -> None:
        self.asked: list[wire.Hello] = []
        self.admission = Admission(Limits(**limits))
        rooms: Any = self
        self.entry = Entry(rooms, self.admission, lambda: 1000.0)

    async def identify(self, hello: wire.Hello, made_up: str) -> Identity:
        self.asked.append(hello)
        if hello.token == "old":
            raise InvalidToken("expired", "it was good once")
        if hello.token not in (None, "good"):
            raise InvalidToken("signature", "made up")
        return ANN if hello.token else Identity(User("guest:" + made_up, "Guest", guest=True))


async def test_who_guesses_tokens_has_to_wait_before_any_is_looked_at() -> None:
    scene = Scene(auth_failure_burst=2, auth_failure_rate=0.1)
    for _ in range(2):
        with pytest.raises(InvalidToken):
            await scene.entry.identify("192.0.2.1", wire.Hello(token="bad"), "x")
    looked_at = len(scene.asked)
    with pytest.raises(Refusal) as refused:
        await scene.entry.identify("192.0.2.1", wire.Hello(token="good"), "x")
    assert refused.value.code == "rate_limited"
    assert refused.value.retry_after
    assert len(scene.asked) == looked_at
    assert await scene.entry.identify("192.0.2.2", wire.Hello(token="good"), "x") == ANN
    guest = await scene.entry.identify("192.0.2.1", wire.Hello(), "x")
    assert guest.user.id == "guest:x"


async def test_a_token_that_was_good_once_is_no_guess() -> None:
    scene = Scene(auth_failure_burst=1, auth_failure_rate=0.1)
    for _ in range(5):
        with pytest.raises(InvalidToken) as refused:
            await scene.entry.identify("192.0.2.1", wire.Hello(token="old"), "x")
        assert refused.value.code == "token_expired"


def test_a_connection_speaks_for_one_user_who_has_so_many() -> None:
    scene = Scene(user_connections=1)
    one, other = Speaker(), Speaker()
    scene.entry.admit(one, ANN, over=False)
    scene.entry.admit(one, ANN, over=False)  # in another room: the same place
    assert one.subject == "ann"
    with pytest.raises(Refusal, match="one user"):
        scene.entry.admit(one, BEN, over=False)
    with pytest.raises(Refusal) as refused:
        scene.entry.admit(other, ANN, over=False)
    assert refused.value.code == "too_many"
    assert refused.value.retry_after
    assert other.subject is None
    scene.entry.leave(other)
    scene.entry.leave(one)
    scene.entry.admit(other, ANN, over=False)


def test_who_is_gone_and_who_is_anonymous_takes_no_place() -> None:
    scene = Scene(user_connections=1)
    speaker = Speaker()
    scene.entry.admit(speaker, ANN, over=True)
    scene.entry.admit(speaker, Identity(User("ann", "Ann")), over=False)
    assert speaker.subject is None
    assert len(scene.admission.users) == 0
