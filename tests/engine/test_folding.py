from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sioserver.engine.folding import folded, reacted
from sioserver.model import NO_REACTIONS, Message

MESSAGE = Message(
    "m", 3, "ann", "Ann", "old", 5, 2, reply_to=1, mentions=("ben",), reactions={"x": ("ben",)}
)


def entry(kind: Any, **more: Any) -> Message:
    return Message("m", 9, "ben", "Ben", more.pop("body", None), 7, 2, kind, target=3, **more)


def test_an_edit_changes_the_body() -> None:
    assert folded(MESSAGE, entry("edit", body="new")) == Message(
        "m", 3, "ann", "Ann", "new", 5, 2,
        reply_to=1, mentions=("ben",), reactions={"x": ("ben",)}, edited=7,
    )  # fmt: skip


def test_of_a_deleted_message_little_is_left() -> None:
    gone = Message("m", 3, "ann", "Ann", None, 5, 2, reply_to=1, deleted=7)
    edited = folded(MESSAGE, entry("edit", body="new"))
    assert folded(MESSAGE, entry("delete")) == folded(edited, entry("delete")) == gone


@pytest.mark.parametrize("kind", ["edit", "delete", "reaction"])
def test_what_was_deleted_stays_so(kind: str) -> None:
    gone = folded(MESSAGE, entry("delete"))
    assert folded(gone, entry(kind, body="back", emoji="y")) is gone


def test_a_reaction_is_on_or_off() -> None:
    on = folded(MESSAGE, entry("reaction", emoji="y"))
    assert on.reactions == {"x": ("ben",), "y": ("ben",)}
    assert folded(on, entry("reaction", emoji="x", on=False)).reactions == {"y": ("ben",)}
    assert (on.body, on.edited) == ("old", 0)


def test_what_changes_nothing_is_the_same_object() -> None:
    both = reacted({"x": ("ann",)}, "x", "ben", on=True)
    assert both == {"x": ("ann", "ben")}
    assert reacted(both, "x", "ann", on=True) is both
    assert reacted(both, "x", "cid", on=False) is both
    assert reacted(NO_REACTIONS, "x", "cid", on=False) is NO_REACTIONS
    assert reacted({"x": ("ann",)}, "x", "ann", on=False) == {}


@given(st.lists(st.tuples(st.sampled_from("xyz"), st.sampled_from("abc"), st.booleans())))
def test_who_replays_everything_gets_the_same(steps: list[tuple[str, str, bool]]) -> None:
    """Whoever was shown the message as it is now, and then everything that was done to it."""
    entries = [
        Message("m", 9, user, user, None, 7, kind="reaction", target=3, emoji=emoji, on=on)
        for emoji, user, on in steps
    ]
    now = MESSAGE
    for one in entries:
        now = folded(now, one)
    again = now
    for one in entries:
        again = folded(again, one)
    assert {emoji: set(users) for emoji, users in again.reactions.items()} == {
        emoji: set(users) for emoji, users in now.reactions.items()
    }
