"""The values: a position's text form, and that nothing can be changed."""

import inspect

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sioserver import model
from sioserver.model import (
    MAX_OFFSET,
    Counts,
    Credentials,
    Event,
    Membership,
    Position,
    Revocation,
    User,
)

EPOCHS = st.text("abcXYZ0189", min_size=1, max_size=32)
OFFSETS = st.integers(0, MAX_OFFSET)


@given(EPOCHS, OFFSETS)
def test_the_text_of_a_position_is_read_back(epoch: str, offset: int) -> None:
    position = Position(epoch, offset)
    assert Position.parse(str(position)) == position


@given(st.text() | st.from_regex(r"[a-z0-9]{0,40}\.?[0-9-]{0,20}", fullmatch=True))
def test_garbage_is_a_value_error_and_nothing_else(text: str) -> None:
    try:
        position = Position.parse(text)
    except ValueError:
        return
    assert 0 <= position.offset <= MAX_OFFSET
    assert text.startswith(f"{position.epoch}.")


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "a",
        "7",
        "a.",
        ".7",
        "a.-1",
        "a.+1",
        "a.1_0",
        "a. 1",
        "a.1 ",
        "a.1.5",
        "a.b.1",
        "ä.1",
        "a-b.1",
        "a.٣",  # a digit, but not one of ours
        "a.²",
        f"a.{MAX_OFFSET + 1}",
        "a." + "0" * 17,
        "a" * 33 + ".1",
        "\ud800.1",
    ],
)
def test_no_positions(text: str) -> None:
    with pytest.raises(ValueError, match="position"):
        Position.parse(text)


def test_the_largest_position() -> None:
    assert Position.parse(f"{'z' * 32}.{2**53 - 1}") == Position("z" * 32, 2**53 - 1)


@given(EPOCHS, OFFSETS, OFFSETS)
def test_positions_of_one_log_are_ordered_as_their_offsets(epoch: str, one: int, two: int) -> None:
    assert (Position(epoch, one) < Position(epoch, two)) == (one < two)
    assert (Position(epoch, one) == Position(epoch, two)) == (one == two)


def test_an_event_is_ephemeral_unless_it_says_otherwise() -> None:
    event = Event("typing", {"on": True})
    assert event.position is None
    assert event.before == ()


@pytest.mark.parametrize(
    "kind",
    [
        kind
        for _, kind in inspect.getmembers(model, inspect.isclass)
        if issubclass(kind, msgspec.Struct) and kind is not msgspec.Struct
    ],
)
def test_values_are_frozen(kind: type[msgspec.Struct]) -> None:
    assert kind.__struct_config__.frozen


def test_equal_values_are_one() -> None:
    assert User("ann", "Ann") == User("ann", "Ann")
    assert len({Counts(1, 2), Counts(1, 2), Counts(2, 1)}) == 2


@pytest.mark.parametrize(
    ("rule", "refused"),
    [
        (Revocation("token", "t", 9.0), True),
        (Revocation("token", "u", 9.0), False),
        (Revocation("token", "ann", 9.0), False),
        (Revocation("user", "ann", 9.0, 5.1), True),
        (Revocation("user", "ann", 9.0, 5.0), False),
        (Revocation("user", "t", 9.0, 5.1), False),
        (Revocation("all", "", 9.0, 5.1), True),
        (Revocation("all", "", 9.0, 5.0), False),
    ],
)
def test_which_tokens_a_rule_concerns(rule: Revocation, refused: bool) -> None:
    assert rule.concerns(Credentials("ann", "t", 5.0)) is refused


def test_a_token_without_an_id_has_none() -> None:
    assert not Revocation("token", "None", 9.0).concerns(Credentials("ann"))
    assert Revocation("user", "ann", 9.0, 0.1).concerns(Credentials("ann"))


def test_joined_rules_do_what_both_do() -> None:
    one, two = Revocation("user", "a", 9.0, 1.0), Revocation("user", "a", 5.0, 2.0)
    assert one.joined(two) == two.joined(one) == Revocation("user", "a", 9.0, 2.0)


@pytest.mark.parametrize(
    ("membership", "new"),
    [
        (Membership(3, 3, 3, 1), True),
        (Membership(3, 4, 3, 1), False),
        (Membership(3, 4, 4, 1), False),
        (Membership(3, 3, 4, 1), False),
    ],
)
def test_who_is_a_new_member(membership: Membership, new: bool) -> None:
    assert membership.is_new is new
