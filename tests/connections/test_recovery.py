"""Recovery tokens: made and read without a clock, a connection or a store."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sioserver.auth import Signer
from sioserver.connections.recovery import Claim, Recovery
from sioserver.errors import Refusal

MAX_AGE = 1000.0
NOW = 2_000_000_000
SECRET = b"0123456789abcdef0123456789abcdef"
CLAIM = Claim(user="alice", name="", room="lobby", sid="s1", issued=NOW)

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=128)
claims = st.builds(
    Claim, user=texts, name=texts, room=texts, sid=texts, issued=st.integers(0, 2**40)
)


def recovery(secret: bytes = SECRET) -> Recovery:
    made = Recovery(MAX_AGE)
    made.use(Signer(secret))
    return made


def fits(claim: Claim) -> bool:
    parts = (claim.user, claim.name, claim.room, claim.sid)
    return sum(len(part.encode()) for part in parts) < 1400


@given(claims.filter(fits))
def test_what_is_issued_can_be_read(claim: Claim) -> None:
    pid = recovery().issue(claim)
    assert recovery().read(pid, claim.room, claim.issued) == claim
    assert pid.isascii()
    assert len(pid) <= 2048


@given(claims.filter(fits))
def test_the_same_claim_is_the_same_token(claim: Claim) -> None:
    assert recovery().issue(claim) == recovery().issue(claim)


@given(
    st.integers(0, 200),
    st.sampled_from(string.ascii_letters + string.digits + "-_.=/+ \x00é"),
)
def test_an_altered_token_is_none(place: int, sign: str) -> None:
    pid = recovery().issue(CLAIM)
    place %= len(pid)
    altered = pid[:place] + sign + pid[place + 1 :]
    if altered != pid:
        assert recovery().read(altered, "lobby", NOW) is None


@given(st.integers(0, 200), texts)
def test_a_shortened_or_lengthened_token_is_none(place: int, more: str) -> None:
    pid = recovery().issue(CLAIM)
    place %= len(pid)
    assert recovery().read(pid[:place], "lobby", NOW) is None
    if more:
        assert recovery().read(pid + more, "lobby", NOW) is None
        assert recovery().read(more + pid, "lobby", NOW) is None


@given(st.text(max_size=3000))
def test_nonsense_is_none(text: str) -> None:
    assert recovery().read(text, "lobby", NOW) is None


def test_no_token_is_none() -> None:
    assert recovery().read(None, "lobby", NOW) is None
    assert recovery().read("", "lobby", NOW) is None


def test_another_clusters_token_is_none() -> None:
    pid = recovery(SECRET[::-1]).issue(CLAIM)
    assert recovery().read(pid, "lobby", NOW) is None


@pytest.mark.parametrize("room", ["lobby2", "Lobby", "", "lobb", "@me"])
def test_another_rooms_token_is_none(room: str) -> None:
    assert recovery().read(recovery().issue(CLAIM), room, NOW) is None


@given(st.floats(-10_000, 10_000))
def test_a_token_counts_for_a_while(age: float) -> None:
    """A little into the future too: another node's clock may be ahead."""
    pid = recovery().issue(CLAIM)
    expected = CLAIM if -60 <= (NOW + age) - NOW <= MAX_AGE else None
    assert recovery().read(pid, "lobby", NOW + age) == expected


@pytest.mark.parametrize(
    ("age", "counts"), [(-61, False), (-60, True), (1000, True), (1001, False)]
)
def test_the_edges_of_that_while(age: int, counts: bool) -> None:
    claim = recovery().read(recovery().issue(CLAIM), "lobby", NOW + age)
    assert (claim == CLAIM) is counts


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"u": "alice", "n": "", "r": "lobby", "s": "s1"},
        {"u": "alice", "n": "", "r": "lobby", "s": "s1", "t": "soon"},
        {"purpose": "something else", "t": NOW},
    ],
)
def test_a_token_that_we_signed_for_another_purpose_is_none(fields: dict[str, str | int]) -> None:
    pid = Signer(SECRET).sign(fields)
    assert recovery().read(pid, "lobby", NOW) is None


def test_before_the_store_is_open() -> None:
    """The secret lies in it: nobody is let in yet, and nobody recovered."""
    early = Recovery(MAX_AGE)
    with pytest.raises(Refusal) as refused:
        early.issue(CLAIM)
    assert refused.value.code == "draining"
    assert refused.value.temporary
    assert early.read(recovery().issue(CLAIM), "lobby", NOW) is None
