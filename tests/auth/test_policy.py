"""The rules of the rooms and what a token permits, as one table."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sioserver import wire
from sioserver.auth import PERMISSIONS, SESSION_ROOM, Identity, Policy
from sioserver.config import Config, RoomRule
from sioserver.config.schema import Rooms
from sioserver.errors import Refusal
from sioserver.model import User

ALICE = Identity(User("alice", "Alice"), authenticated=True)
SELF_NAMED = Identity(User("alice", "Alice"))
GUEST = Identity(User("guest:1", "Guest-1", guest=True))
EVERYTHING = ["join", "read", "history", "post"]


def policy(*rules: RoomRule) -> Policy:
    return Policy(Config(rooms=Rooms(rules=list(rules))))


def test_the_first_rule_that_matches() -> None:
    rules = policy(
        RoomRule(match="support/vip-?", history_length=1),
        RoomRule(match="support/*", history_length=2),
        RoomRule(match="[ab]*", history_length=3),
    )
    lengths = {
        "support/vip-1": 1,
        "support/vip-10": 2,
        "support/a/b": 2,
        "Support/a": 10_000,
        "support": 10_000,
        "attic": 3,
        "lobby": 10_000,
        "@me": 10_000,
    }
    for _ in range(2):  # the second time from the cache
        assert {room: rules.rule(room).history_length for room in lengths} == lengths
    assert policy().rule("lobby") == RoomRule()


def test_a_rule_for_everything_is_not_for_reserved_rooms() -> None:
    rules = policy(RoomRule(match="*", history_length=7), RoomRule(match="@*", history_length=8))
    assert rules.rule("lobby").history_length == 7
    assert rules.rule("@me").history_length == 10_000


def test_the_cache_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Policy, "CACHED", 10)
    rules = policy(RoomRule(match="r1*", history_length=1))
    for number in range(1000):
        assert rules.rule(f"r{number}").history_length == (1 if f"{number}"[0] == "1" else 10_000)
    assert len(rules._known) <= 10


TOKEN_FOR_SOME = Identity(User("alice", "A"), rooms=("team/*", "lobby"), authenticated=True)
READER = Identity(User("alice", "A"), perms=frozenset({"join", "read"}), authenticated=True)
NOBODY = Identity(User("alice", "A"), perms=frozenset(), authenticated=True)
NOWHERE = Identity(User("alice", "A"), rooms=(), authenticated=True)
MODERATOR = Identity(User("alice", "A"), perms=frozenset({"moderate", "post"}), authenticated=True)
CLOSED = RoomRule(match="*", anonymous=False)


@pytest.mark.parametrize(
    ("rule", "who", "room", "permissions"),
    [
        (None, ALICE, "lobby", EVERYTHING),
        (None, SELF_NAMED, "lobby", EVERYTHING),
        (None, GUEST, "lobby", EVERYTHING),
        # not open to who has no token, guest or not
        (CLOSED, ALICE, "lobby", EVERYTHING),
        (CLOSED, SELF_NAMED, "lobby", []),
        (CLOSED, GUEST, "lobby", []),
        # by user id
        (RoomRule(join=["bob", "al*"]), ALICE, "lobby", EVERYTHING),
        (RoomRule(join=["bob", "Al*"]), ALICE, "lobby", []),
        (RoomRule(join=[]), ALICE, "lobby", []),
        (RoomRule(post=["bob"]), ALICE, "lobby", ["join", "read", "history"]),
        (RoomRule(post=["alice"]), ALICE, "lobby", EVERYTHING),
        (RoomRule(join=["bob"], post=["alice"]), ALICE, "lobby", []),
        (RoomRule(join=["guest:*"]), GUEST, "lobby", EVERYTHING),
        (RoomRule(match="other", join=[]), ALICE, "lobby", EVERYTHING),
        # by the token's rooms
        (None, TOKEN_FOR_SOME, "lobby", EVERYTHING),
        (None, TOKEN_FOR_SOME, "team/a/b", EVERYTHING),
        (None, TOKEN_FOR_SOME, "team", []),
        (None, TOKEN_FOR_SOME, "lobby2", []),
        (None, NOWHERE, "lobby", []),
        # by the token's permissions
        (None, READER, "lobby", ["join", "read"]),
        (None, NOBODY, "lobby", []),
        (None, MODERATOR, "lobby", ["post"]),
        # reserved
        (CLOSED, GUEST, "@me", ["join", "read"]),
        (None, TOKEN_FOR_SOME, "@me", ["join", "read"]),
        (None, ALICE, "@dm/bob", []),
        (None, ALICE, "@", []),
        (None, Identity(User("alice", "A"), rooms=("*", "@*")), "@other", []),
    ],
)
def test_permissions(
    rule: RoomRule | None, who: Identity, room: str, permissions: list[str]
) -> None:
    rules = policy(rule) if rule else policy()
    assert rules.permissions(who, room) == permissions
    checks = {
        "join": rules.check_join,
        "read": rules.check_read,
        "history": rules.check_history,
        "post": rules.check_post,
    }
    assert tuple(checks) == PERMISSIONS
    for what, check in checks.items():  # the checks and the list say the same
        if what in permissions:
            check(who, room)
        else:
            with pytest.raises(Refusal) as caught:
                check(who, room)
            assert caught.value.code == "forbidden"


@pytest.mark.parametrize(
    ("rule", "who", "room", "says"),
    [
        (CLOSED, GUEST, "lobby", "not open to anonymous users"),
        (RoomRule(join=[]), ALICE, "lobby", "you may not join"),
        (RoomRule(post=[]), ALICE, "lobby", "you may not post"),
        (RoomRule(), NOWHERE, "lobby", "token is not for this room"),
        (RoomRule(), READER, "lobby", "does not permit: post"),
        (RoomRule(), ALICE, "@me", "nothing to post"),
        (RoomRule(), ALICE, "@x", "reserved"),
    ],
)
def test_a_refusal_says_why(rule: RoomRule, who: Identity, room: str, says: str) -> None:
    with pytest.raises(Refusal, match=says):
        policy(rule).check_post(who, room)


@settings(deadline=None)
@given(st.text(max_size=40), st.text(st.sampled_from("a*?[]!-\\^/\n"), max_size=40))
def test_any_pattern_can_be_asked(room: str, pattern: str) -> None:
    """A token's patterns are its issuer's: they may be wrong, not harmful."""
    who = Identity(User("alice", "A"), rooms=(pattern,), authenticated=True)
    assert policy().permissions(who, "x" + room) in ([], EVERYTHING)


def test_the_session_room_is_the_wires() -> None:
    assert SESSION_ROOM == wire.SESSION_ROOM
