"""An identity says as little as is known."""

import pytest

from sioserver.auth import Grant, Identity
from sioserver.model import User

ANN = User("ann", "Ann")


def test_of_somebody_without_a_token_nothing_is_known() -> None:
    guest = Identity(User("guest:1", "Guest-1", guest=True))
    assert not guest.authenticated
    assert (guest.expires_at, guest.issued_at, guest.token_id) == (None, None, None)
    assert (guest.rooms, guest.grants) == (None, None)


def test_it_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Identity(ANN).authenticated = True  # type: ignore[misc]


def test_what_is_granted_is_what_all_patterns_grant_together() -> None:
    grants = (Grant("team/*", frozenset({"post"})), Grant.everywhere("join", "read"))
    ann = Identity(ANN, grants=grants)
    assert [ann.permits(word, "team/a") for word in ("join", "read", "post", "x")] == [
        True, True, True, False,
    ]  # fmt: skip
    assert [ann.permits(word, "lobby") for word in ("join", "post")] == [True, False]
    assert not Identity(ANN, grants=()).permits("join", "lobby")
