"""An identity says as little as is known."""

import pytest

from sioserver.auth import Identity
from sioserver.model import User


def test_of_somebody_without_a_token_nothing_is_known() -> None:
    guest = Identity(User("guest:1", "Guest-1", guest=True))
    assert not guest.authenticated
    assert (guest.expires_at, guest.issued_at, guest.token_id) == (None, None, None)
    assert (guest.rooms, guest.perms) == (None, None)


def test_it_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Identity(User("a", "A")).authenticated = True  # type: ignore[misc]
