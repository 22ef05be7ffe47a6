"""The page's types. Whether the page agrees with them is the compiler's to say (make check)."""

import pytest

from sioserver.protocol import CLIENT_EVENTS, SERVER_EVENTS, Place, typescript


def part(name: str) -> str:
    return typescript.text().split(f"export interface {name} {{\n")[1].split("\n}")[0]


def test_fields_that_may_be_left_out_are_marked() -> None:
    lines = [line.strip() for line in part("RefusalBody").splitlines()]
    assert "readonly code: string;" in lines
    assert "readonly retry_after?: number;" in lines


def test_every_event_is_in_the_map_of_its_place() -> None:
    for place in Place:
        requests, events = (
            part(f"{place.capitalize()}Requests"),
            part(f"{place.capitalize()}Events"),
        )
        for where, event in CLIENT_EVENTS:
            assert (f"\n  {event}: {{ arguments: [" in f"\n{requests}") >= (where is place)
        for where, event in SERVER_EVENTS:
            assert (f"\n  {event}: [" in f"\n{events}") >= (where is place)


def test_arguments_and_answers() -> None:
    assert "message: { arguments: [unknown, MessageOptions?]; answer: Published };" in part(
        "RoomRequests"
    )
    assert "  message: [Message, string];" in part("RoomEvents")
    assert "  typing: [Typing];" in part("RoomEvents")


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "string", "pattern": "^a"}, "string"),
        ({"anyOf": [{"type": "number"}, {"type": "null"}]}, "number | null"),
        ({"enum": [True]}, "true"),
        ({"enum": ["a", "b"]}, '"a" | "b"'),
        ({"description": "anything"}, "unknown"),
        ({"type": "array", "items": {"enum": ["a", "b"]}}, 'readonly ("a" | "b")[]'),
        ({"type": "array", "items": {"$ref": "#/Person"}}, "readonly Person[]"),
        (
            {"type": "object", "additionalProperties": {"type": "integer"}},
            "Readonly<Record<string, number>>",
        ),
    ],
)
def test_types(schema: dict[str, object], words: str) -> None:
    assert typescript._type(schema) == words


def test_what_it_does_not_know_is_an_error_and_no_any() -> None:
    with pytest.raises(KeyError):
        typescript._type({"type": "tuple"})
    with pytest.raises(KeyError):
        typescript._type({"allOf": []})
