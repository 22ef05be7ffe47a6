"""The contract's own values; what engines make of it is in test_contract_webhooks.py."""

from sioserver.engine.base_webhooks import LOOK, Note


def test_a_note_says_what_is_known_of_somebody() -> None:
    note = Note(7, "join", {"user": "ann"}, 1_700_000_000_000)
    assert (note.number, note.kind, note.data["user"]) == (7, "join", "ann")


def test_what_a_dead_node_left_is_found_within_a_minute() -> None:
    assert LOOK <= 60
