"""Who asks, and in whose name. Keys and tokens themselves: test_admin.py, test_rooms.py."""

from __future__ import annotations

import pytest

from sioserver.api.callers import Caller
from sioserver.auth import Grant, Identity, Policy
from sioserver.errors import Refusal
from sioserver.model import User

ANN, BOT = User("ann", "Ann"), User("bot", "Bot")
USER = Caller("the user ann", Identity(ANN, authenticated=True), operator=False, admin=False)
KEY = Caller("the key backend", None, operator=True, admin=False)
ADMIN_KEY = Caller("the key ops", None, operator=True, admin=True)
ROOT = Caller(
    "the user ann",
    Identity(ANN, authenticated=True, grants=(Grant.everywhere("admin"),)),
    operator=True,
    admin=True,
)


def test_a_user_asks_as_itself_only() -> None:
    assert USER.acting(None) is USER.acting(ANN) is USER.identity
    with pytest.raises(Refusal, match="only operators"):
        USER.acting(BOT)


@pytest.mark.parametrize("caller", [KEY, ADMIN_KEY, ROOT])
def test_an_operator_asks_as_anybody(caller: Caller) -> None:
    acting = caller.acting(BOT)
    assert (acting.user, acting.operator, acting.authenticated) == (BOT, True, True)
    assert Policy.is_admin(acting) is caller.admin
    assert acting.expires_at is None


def test_who_an_operator_is_without_a_name() -> None:
    assert ROOT.acting(None).user == ANN
    nobody = KEY.acting(None).user
    assert (nobody.id, nobody.guest) == ("the key backend", True), "nothing is ever kept of it"
