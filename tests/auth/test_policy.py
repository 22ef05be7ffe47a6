"""The rules of the rooms and what a token permits, as one table."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sioserver.auth import PERMISSIONS, Grant, Identity, Policy
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
        "@me:ann": 10_000,
    }
    for _ in range(2):  # the second time from the cache
        assert {room: rules.rule(room).history_length for room in lengths} == lengths
    assert policy().rule("lobby") == RoomRule()


def test_a_rule_for_everything_is_not_for_reserved_rooms() -> None:
    rules = policy(RoomRule(match="*", history_length=7), RoomRule(match="@*", history_length=8))
    assert rules.rule("lobby").history_length == 7
    assert rules.rule("@me:ann").history_length == 10_000


@pytest.mark.parametrize(("pattern", "is_theirs"), [("*", 1), ("@dm/*", 1), ("@*", 1), ("a*", 0)])
def test_rooms_of_two_have_one_rule(pattern: str, is_theirs: bool) -> None:
    rules = policy(RoomRule(match=pattern, history_length=7))
    for room in ("@dm:3:ann:ben", "@dm:3:ann:cat"):
        assert rules.rule(room).history_length == (7 if is_theirs else 10_000)


def test_the_cache_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Policy, "CACHED", 10)
    rules = policy(RoomRule(match="r1*", history_length=1))
    for number in range(1000):
        assert rules.rule(f"r{number}").history_length == (1 if f"{number}"[0] == "1" else 10_000)
    assert len(rules._known) <= 10


def holder(*words: str, rooms: tuple[str, ...] | None = None, **by_room: str) -> Identity:
    """Alice with a token: `words` everywhere, `by_room` in rooms of such names."""
    grants = [Grant.everywhere(*words)] if words else []
    grants += [Grant(f"{name}/*", frozenset(text.split())) for name, text in by_room.items()]
    return Identity(User("alice", "A"), rooms=rooms, grants=tuple(grants), authenticated=True)


def for_rooms(*patterns: str) -> Identity:
    return Identity(User("alice", "A"), rooms=patterns, authenticated=True)


TOKEN_FOR_SOME = Identity(User("alice", "A"), rooms=("team/*", "lobby"), authenticated=True)
NOWHERE = Identity(User("alice", "A"), rooms=(), authenticated=True)
NOBODY = holder()
READER = holder("join", "read")
POSTER = holder("moderate", "post")
MODERATOR = holder("join", "read", "history", "post", "moderate")
TEAM = holder("join", "read", team="post", staff="moderate history")
ADMIN = holder("admin")
OPERATOR = Identity(User("bot", "Bot"), authenticated=True, operator=True)
CLOSED = RoomRule(match="*", anonymous=False)

NO_PERM = "does not permit"
NOT_HERE = "token is not for this room"
NO_ROOM = "you may not join this room"
NO_POST = "you may not post in this room"
NO_PAST = "you may not read what was here before you"
NO_MOD = "you may not moderate this room"
NO_TOKEN_MOD = "only who has shown a token may moderate"
NO_ANON = "not open to anonymous users"
RESERVED = "reserved"
BOTH = "@dm:5:alice:bob@x.org"
ELSES = "two other people's"
NO_GUEST = "guests have no rooms of two"
NOBODY_MOD = "nobody moderates a room of two"
NOTHING = "there is nothing to"


@pytest.mark.parametrize(
    ("rule", "who", "room", "join", "read", "history", "post", "moderate"),
    [
        # what nobody has said anything about
        (None, ALICE, "lobby", "", "", "", "", NO_MOD),
        (None, SELF_NAMED, "lobby", "", "", "", "", NO_TOKEN_MOD),
        (None, GUEST, "lobby", "", "", "", "", NO_TOKEN_MOD),
        # rules: not open to who has no token, guest or not
        (CLOSED, ALICE, "lobby", "", "", "", "", NO_MOD),
        (CLOSED, SELF_NAMED, "lobby", *[NO_ANON] * 5),
        (CLOSED, GUEST, "lobby", *[NO_ANON] * 5),
        # rules: by user id
        (RoomRule(join=["bob", "al*"]), ALICE, "lobby", "", "", "", "", NO_MOD),
        (RoomRule(join=["bob", "Al*"]), ALICE, "lobby", *[NO_ROOM] * 5),
        (RoomRule(join=[]), ALICE, "lobby", *[NO_ROOM] * 5),
        (RoomRule(post=["bob"]), ALICE, "lobby", "", "", "", NO_POST, NO_MOD),
        (RoomRule(post=["alice"]), ALICE, "lobby", "", "", "", "", NO_MOD),
        (RoomRule(join=["bob"], post=["alice"]), ALICE, "lobby", *[NO_ROOM] * 5),
        (RoomRule(join=["guest:*"]), GUEST, "lobby", "", "", "", "", NO_TOKEN_MOD),
        (RoomRule(match="other", join=[]), ALICE, "lobby", "", "", "", "", NO_MOD),
        (RoomRule(history=["bob"]), ALICE, "lobby", "", "", NO_PAST, "", NO_MOD),
        (RoomRule(history=[]), MODERATOR, "lobby", "", "", NO_PAST, "", ""),
        (RoomRule(history=["al*"]), SELF_NAMED, "lobby", "", "", "", "", NO_TOKEN_MOD),
        # moderators: named by a rule, or by their token; never who only says who they are
        (RoomRule(moderate=["alice"]), ALICE, "lobby", "", "", "", "", ""),
        (RoomRule(moderate=["al*"]), ALICE, "lobby", "", "", "", "", ""),
        (RoomRule(moderate=["bob"]), ALICE, "lobby", "", "", "", "", NO_MOD),
        (RoomRule(moderate=["*"]), SELF_NAMED, "lobby", "", "", "", "", NO_TOKEN_MOD),
        (RoomRule(moderate=["*"]), GUEST, "lobby", "", "", "", "", NO_TOKEN_MOD),
        (None, MODERATOR, "lobby", "", "", "", "", ""),
        (RoomRule(moderate=["bob"]), MODERATOR, "lobby", "", "", "", "", ""),
        (RoomRule(moderate=["alice"]), READER, "lobby", "", "", *[NO_PERM] * 3),
        (RoomRule(join=["bob"]), MODERATOR, "lobby", *[NO_ROOM] * 5),
        (RoomRule(post=["bob"]), MODERATOR, "lobby", "", "", "", NO_POST, ""),
        # who asks for the operator, in whoever's name
        (RoomRule(join=[], post=[], history=[]), OPERATOR, "lobby", *[""] * 5),
        # the token's rooms
        (None, TOKEN_FOR_SOME, "lobby", "", "", "", "", NO_MOD),
        (None, TOKEN_FOR_SOME, "team/a/b", "", "", "", "", NO_MOD),
        (None, TOKEN_FOR_SOME, "team", *[NOT_HERE] * 5),
        (None, TOKEN_FOR_SOME, "lobby2", *[NOT_HERE] * 5),
        (None, NOWHERE, "lobby", *[NOT_HERE] * 5),
        (None, holder("join", rooms=("a",)), "b", NOT_HERE, *[NO_PERM] * 4),
        # the token's permissions, everywhere or by room
        (None, READER, "lobby", "", "", *[NO_PERM] * 3),
        (None, NOBODY, "lobby", *[NO_PERM] * 5),
        (None, POSTER, "lobby", *[NO_PERM] * 3, "", ""),
        (None, TEAM, "lobby", "", "", *[NO_PERM] * 3),
        (None, TEAM, "team/a", "", "", NO_PERM, "", NO_PERM),
        (None, TEAM, "staff/a", "", "", "", NO_PERM, ""),
        (None, ADMIN, "lobby", *[NO_PERM] * 5),
        # reserved
        (CLOSED, GUEST, "@me:guest:1", "", "", *[NOTHING] * 3),
        (None, NOWHERE, "@me:alice", "", "", *[NOTHING] * 3),
        (None, MODERATOR, "@me:alice", "", "", *[NOTHING] * 3),
        (None, ALICE, "@me:bob", *[RESERVED] * 5),
        (None, ADMIN, "@me:bob", *[RESERVED] * 5),
        (None, ALICE, "@me", *[RESERVED] * 5),  # nobody's: it is a name that means another to each
        (None, ALICE, "@dm/bob", *[RESERVED] * 5),
        # of two: by the name that they have for the one who asks
        (None, ALICE, BOTH, "", "", "", "", NOBODY_MOD),
        (None, SELF_NAMED, BOTH, "", "", "", "", NOBODY_MOD),
        (None, ALICE, "@dm:5:alice:alice", "", "", "", "", NOBODY_MOD),
        (None, ALICE, "@dm:3:bob:carol", *[ELSES] * 5),
        (None, ADMIN, "@dm:3:bob:carol", *[ELSES] * 5),
        (None, ALICE, "@dm:nonsense", *[ELSES] * 5),
        (None, GUEST, "@dm:5:alice:guest:1", *[NO_GUEST] * 5),
        (None, TOKEN_FOR_SOME, BOTH, *[NOT_HERE] * 4, NOBODY_MOD),
        (None, for_rooms("@dm/*"), BOTH, "", "", "", "", NOBODY_MOD),
        (None, for_rooms("@dm/b*@x.org"), BOTH, "", "", "", "", NOBODY_MOD),
        (None, for_rooms("@dm/alice"), BOTH, *[NOT_HERE] * 4, NOBODY_MOD),
        (None, for_rooms("*"), BOTH, "", "", "", "", NOBODY_MOD),
        (None, READER, BOTH, "", "", *[NO_PERM] * 2, NOBODY_MOD),
        (None, MODERATOR, BOTH, "", "", "", "", NOBODY_MOD),
        (CLOSED, SELF_NAMED, BOTH, *[NO_ANON] * 4, NOBODY_MOD),
        (RoomRule(match="@dm/*", post=["bob*"]), ALICE, BOTH, "", "", "", NO_POST, NOBODY_MOD),
        (None, ALICE, "@", *[RESERVED] * 5),
        (None, Identity(User("alice", "A"), rooms=("*", "@*")), "@other", *[RESERVED] * 5),
    ],
)  # fmt: skip
def test_who_may_what(
    rule: RoomRule | None,
    who: Identity,
    room: str,
    join: str,
    read: str,
    history: str,
    post: str,
    moderate: str,
) -> None:
    """Identity x rule x question -> the objection, or nothing."""
    rules = policy(rule) if rule else policy()
    answers = dict(zip(PERMISSIONS, (join, read, history, post, moderate), strict=True))
    assert rules.permissions(who, room) == [
        what for what, objection in answers.items() if not objection
    ]
    for what, objection in answers.items():  # all ways to ask say the same
        assert rules.may(who, what, room) is not bool(objection)
        if objection:
            with pytest.raises(Refusal, match=objection) as caught:
                rules.check(who, what, room)
            assert caught.value.code == "forbidden"
            assert caught.value.message == rules.objection(who, what, room)
        else:
            rules.check(who, what, room)
            assert rules.objection(who, what, room) is None


@pytest.mark.parametrize(
    ("who", "may"),
    [
        (ADMIN, True),
        (holder("join", "admin"), True),
        (MODERATOR, False),
        (ALICE, False),  # no `perms`: the rules of rooms decide, and they make no administrators
        (GUEST, False),
        (OPERATOR, False),  # in rooms only
        (NOBODY, False),
        (holder(a="admin"), False),  # in some rooms: the server is more than they are
        (Identity(User("alice", "A"), grants=(Grant("[*]", frozenset({"admin"})),)), False),
    ],
)
def test_who_may_administer(who: Identity, may: bool) -> None:
    assert Policy.is_admin(who) is may
    if may:
        policy().check_admin(who)
    else:
        with pytest.raises(Refusal, match="does not permit: admin"):
            policy(RoomRule(moderate=["*"])).check_admin(who)


@settings(deadline=None)
@given(st.text(max_size=40), st.text(st.sampled_from("a*?[]!-\\^/\n"), max_size=40))
def test_any_pattern_can_be_asked(room: str, pattern: str) -> None:
    """A token's patterns are its issuer's: they may be wrong, not harmful."""
    who = Identity(User("alice", "A"), rooms=(pattern,), authenticated=True)
    assert policy().permissions(who, "x" + room) in ([], EVERYTHING)
    who = Identity(User("alice", "A"), grants=(Grant(pattern, frozenset(EVERYTHING)),))
    assert policy().permissions(who, "x" + room) in ([], EVERYTHING)


def test_an_operator_has_no_business_in_a_room_of_somebody_s_own() -> None:
    for what in PERMISSIONS:
        assert not policy().may(OPERATOR, what, "@me:ann"), what
