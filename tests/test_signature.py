"""Signed messages: whatever is changed, repeated, late or somebody else's is not believed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sioserver import signature
from sioserver.signature import (
    FORGED,
    REPLAYED,
    SENDERS,
    SKEW,
    STALE,
    UNSIGNED,
    WINDOW,
    Signatures,
    Untrusted,
)

SECRET = "a secret of the bus that has 32 bytes"
NOW = 1_700_000_000.0


def party(
    sender: str = "a", secret: str = SECRET, *old: str, clock: Callable[[], float] = lambda: NOW
) -> Signatures:
    return Signatures(secret, old, sender=sender, clock=clock)


def reason(of: Signatures, data: bytes, channel: str = "c") -> str:
    with pytest.raises(Untrusted) as raised:
        of.verify(channel, data)
    return raised.value.reason


@given(st.text(), st.binary())
def test_what_was_signed_is_read(channel: str, payload: bytes) -> None:
    assert party("b").verify(channel, party("a").sign(channel, payload)) == payload


def test_the_format_is_what_the_docstring_says() -> None:
    """Programs in other languages sign by it: this is computed by hand."""
    import hashlib
    import hmac

    head = "sioserver1 a 1 1700000000000"
    text = f"1 c {head}\nx".encode()
    digest = hmac.new(SECRET.encode(), text, hashlib.sha256).hexdigest()
    assert party().sign("c", b"x") == f"{head} {digest}\nx".encode()


@given(st.binary(max_size=300))
def test_junk_is_not_signed(data: bytes) -> None:
    assert reason(party(), data) == UNSIGNED


@given(st.data())
def test_no_byte_can_be_changed(data: st.DataObject) -> None:
    signed = bytearray(party("a").sign("c", b"payload"))
    place = data.draw(st.integers(0, len(signed) - 1))
    signed[place] ^= data.draw(st.integers(1, 255))
    assert reason(party("b"), bytes(signed)) in (UNSIGNED, FORGED)


def test_another_channel_or_secret_is_another_signature() -> None:
    signed = party("a").sign("c", b"x")
    assert reason(party("b"), signed, "d") == FORGED
    assert reason(party("b", "another secret" * 3), signed) == FORGED
    # what ends one thing cannot begin the next
    assert reason(party("b"), party("a").sign("c ", b"x"), "c") == FORGED


def test_old_secrets_are_believed_and_do_not_sign() -> None:
    new = "the secret that comes after it, 32 bytes"
    early, late = party("early"), party("late", new, SECRET)
    assert late.verify("c", early.sign("c", b"x")) == b"x"
    assert reason(early, late.sign("c", b"x")) == FORGED
    assert party("both", SECRET, new).verify("c", late.sign("c", b"y")) == b"y"


@pytest.mark.parametrize("late", [SKEW + 0.1, -SKEW - 0.1])
def test_a_clock_that_is_too_different(late: float) -> None:
    signed = party("a").sign("c", b"x")
    assert reason(party("b", clock=lambda: NOW + late), signed) == STALE
    within = party("b", clock=lambda: NOW + late * 0.99)
    assert within.verify("c", signed) == b"x"


def test_nothing_is_taken_twice() -> None:
    sender, receiver = party("a"), party("b")
    signed = [sender.sign("c", b"%d" % number) for number in range(200)]
    for number, data in enumerate(signed):
        assert receiver.verify("c", data) == b"%d" % number
        assert reason(receiver, data) == REPLAYED
    for data in signed:
        assert reason(receiver, data) == REPLAYED
    # the same numbers of another sender are others
    assert receiver.verify("c", party("z").sign("c", b"x")) == b"x"


@given(st.permutations(range(WINDOW)))
def test_messages_may_overtake_each_other(order: list[int]) -> None:
    sender, receiver = party("a"), party("b")
    signed = [sender.sign("c", b"%d" % number) for number in range(WINDOW)]
    for number in order:
        assert receiver.verify("c", signed[number]) == b"%d" % number
    for number in order:
        assert reason(receiver, signed[number]) == REPLAYED


def test_one_that_was_overtaken_by_too_many_is_late() -> None:
    sender, receiver = party("a"), party("b")
    first, *others = [sender.sign("c", b"x") for _ in range(WINDOW + 1)]
    receiver.verify("c", others[-1])
    assert reason(receiver, first) == REPLAYED
    assert receiver.verify("c", others[0]) == b"x"


def test_senders_are_bounded_and_what_they_sent_stays_old() -> None:
    now = NOW

    def clock() -> float:
        return now

    receiver, first = party("b", clock=clock), party("first", clock=clock)
    taken = first.sign("c", b"x")
    assert receiver.verify("c", taken) == b"x"
    for number in range(SENDERS):
        now += 0.001
        receiver.verify("c", party(f"s{number}", clock=clock).sign("c", b"y"))
    assert len(receiver._senders) == SENDERS
    assert reason(receiver, taken) == STALE
    now += 0.001
    assert receiver.verify("c", first.sign("c", b"later")) == b"later"


def test_own_messages_are_known_by_how_they_begin() -> None:
    one, other = party("a"), party("ab")
    assert one.is_own(one.sign("c", b""))
    assert not one.is_own(other.sign("c", b""))
    assert not one.is_own(b"")


def test_the_counters_are_those_of_the_metrics() -> None:
    from sioserver.metrics.labels import BUS

    assert set(signature.REASONS) <= set(BUS)
