"""JSON Schemas of what is in the registry."""

from sioserver.protocol import CLIENT_EVENTS, SERVER_EVENTS, Place, shapes
from sioserver.protocol.documents import arguments, kinds, schemas


def test_every_type_of_the_registry_is_there_once() -> None:
    found = [repr(kind) for kind in kinds()]
    assert len(found) == len({*found})
    for told in SERVER_EVENTS.values():
        assert repr(told.payload) in found
    for asked in CLIENT_EVENTS.values():
        assert {repr(kind) for kind in (*asked.arguments, asked.answer)} <= {*found}


def test_named_ones_are_referred_to() -> None:
    by_kind, components = schemas("#/here/{name}")
    assert by_kind[repr(shapes.Message)] == {"$ref": "#/here/Message"}
    assert components["Message"]["required"] == ["id", "offset", "user", "name", "body", "at"]
    assert components["HistoryPage"]["properties"]["items"]["items"] == {"$ref": "#/here/Message"}


def test_arguments_are_a_list_of_which_the_last_may_be_left_out() -> None:
    by_kind, _ = schemas("#/here/{name}")
    message = arguments(CLIENT_EVENTS[Place.ROOM, "message"], by_kind)
    assert (message["minItems"], message["maxItems"]) == (1, 2)
    assert message["prefixItems"][1] == {"$ref": "#/here/MessageOptions"}
    leave = arguments(CLIENT_EVENTS[Place.ROOM, "leave"], by_kind)
    assert (leave["minItems"], leave["maxItems"], leave["prefixItems"]) == (0, 0, [])
