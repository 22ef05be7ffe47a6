"""The AsyncAPI document: whole, and nothing in it leads nowhere."""

from collections.abc import Iterator
from typing import Any

import orjson

from sioserver.protocol import CLIENT_EVENTS, SERVER_EVENTS
from sioserver.protocol.asyncapi import document, text


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        for name, value in part.items():
            if name == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


def test_every_event_is_an_operation() -> None:
    operations = document()["operations"]
    asked = {f"{place}.client.{event}" for place, event in CLIENT_EVENTS}
    told = {f"{place}.server.{event}" for place, event in SERVER_EVENTS}
    assert operations.keys() == asked | told
    for name in asked:
        assert operations[name]["action"] == "receive"
        assert operations[name]["reply"]["messages"]
    assert {operations[name]["action"] for name in told} == {"send"}


def test_every_reference_leads_somewhere() -> None:
    whole = document()
    found = [*references(whole)]
    assert len(found) > 50
    for reference in found:
        part: Any = whole
        for step in reference.removeprefix("#/").split("/"):
            part = part[step]
        assert part


def test_an_answer_is_what_was_done_or_a_refusal() -> None:
    answer = document()["components"]["messages"]["room.client.read.answer"]["payload"]
    assert [one["$ref"].rpartition("/")[2] for one in answer["oneOf"]] == ["Unread", "Refused"]


def test_a_durable_event_ends_with_its_position() -> None:
    messages = document()["components"]["messages"]
    assert messages["room.server.message"]["payload"]["maxItems"] == 2
    assert messages["room.server.message"]["payload"]["prefixItems"][1]["title"] == "Position"
    assert messages["room.server.typing"]["payload"]["maxItems"] == 1


def test_the_text_is_the_document() -> None:
    assert orjson.loads(text()) == document()
