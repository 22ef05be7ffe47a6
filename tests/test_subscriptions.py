"""Which webhook is told which events of which room."""

from sioserver.config.schema import Webhook, Webhooks
from sioserver.subscriptions import _CACHED, Lane, Subscriptions

CRM = Webhook(name="crm", rooms=["team/*", "lobby"])
AUDIT = Webhook(name="audit", rooms=["*"], events=["leave"], timeout=3.0)
PRIVATE = Webhook(name="private", rooms=["@dm*"], events=["message"])


def subscriptions(*endpoints: Webhook) -> Subscriptions:
    return Subscriptions(Webhooks(endpoints=list(endpoints), queue=7))


def test_nothing() -> None:
    assert not subscriptions()
    assert subscriptions().lanes("lobby") == ()
    assert not subscriptions().notes("lobby", "join")


def test_a_lane_for_each_source() -> None:
    found = subscriptions(CRM, AUDIT)
    assert found
    assert found.queue == 7
    assert found.endpoints == [CRM, AUDIT]
    assert set(found.lanes_of(CRM)) == {Lane("crm", "log"), Lane("crm", "notes")}
    assert found.lanes_of(AUDIT) == [Lane("audit", "notes")]
    assert str(Lane("crm", "log")) == "crm:log"


def test_the_lanes_of_a_room() -> None:
    found = subscriptions(CRM, AUDIT)
    assert {lane.endpoint for lane in found.lanes("team/a")} == {"crm", "audit"}
    assert found.lanes("elsewhere") == (Lane("audit", "notes"),)
    assert found.from_("lobby", "log") == (Lane("crm", "log"),)
    assert found.from_("elsewhere", "log") == ()


def test_which_events() -> None:
    found = subscriptions(CRM, AUDIT)
    assert found.notes("lobby", "join")
    assert not found.notes("elsewhere", "join")
    assert found.notes("elsewhere", "leave")
    assert found.wants(Lane("crm", "notes"), "join")
    assert not found.wants(Lane("audit", "notes"), "join")
    assert not found.notes("lobby", "moderation")
    moderated = subscriptions(Webhook(name="crm", events=["moderation"]))
    assert moderated.lanes("*") == (Lane("crm", "notes"),)  # what holds everywhere
    assert found.patience(Lane("audit", "notes")) == 3.0


def test_what_two_people_say_to_each_other_is_only_for_whom_it_is_named_to() -> None:
    found = subscriptions(AUDIT, PRIVATE)
    assert found.lanes("@dm:ann:ben") == (Lane("private", "log"),)
    assert found.lanes("lobby") == (Lane("audit", "notes"),)


def test_rooms_are_not_remembered_without_end() -> None:
    found = subscriptions(AUDIT)
    for number in range(_CACHED + 2):
        found.lanes(f"r{number}")
    assert len(found._lanes) <= _CACHED
