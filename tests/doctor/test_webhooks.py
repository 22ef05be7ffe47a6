"""What is made of the webhooks' answers."""

import pytest

from sioserver.config import Config, RoomRule
from sioserver.config.schema import Rooms, Webhook, Webhooks
from sioserver.doctor.webhooks import findings
from sioserver.webhooks.post import Answer


def found(answer: Answer, *rules: RoomRule, **endpoint: list[str]) -> list[tuple[str, str, str]]:
    hook = Webhook(name="crm", **endpoint)  # type: ignore[arg-type]
    config = Config(rooms=Rooms(rules=list(rules)), webhooks=Webhooks(endpoints=[hook]))
    return [(one.level, one.check, one.text) for one in findings(config, [answer])]


def test_one_that_takes_them() -> None:
    assert found(Answer("ok")) == [("ok", "webhooks.crm", "takes what we sign")]


@pytest.mark.parametrize("result", ["status", "timeout", "unreachable"])
def test_one_that_does_not(result: str) -> None:
    ((level, check, text),) = found(Answer(result, "the answer is 404"))
    assert (level, check) == ("fail", "webhooks.crm")
    assert text.endswith("the answer is 404")


@pytest.mark.parametrize(
    ("match", "length", "rooms", "events", "warned"),
    [
        ("calls/*", 0, ["*"], ["message"], True),
        ("calls/*", 0, ["calls/*"], ["edit"], True),
        ("calls/*", 1, ["*"], ["message"], False),
        ("calls/*", 0, ["team/*"], ["message"], False),
        ("calls/*", 0, ["*"], ["join", "moderation"], False),
    ],
)
def test_rooms_without_a_log(
    match: str, length: int, rooms: list[str], events: list[str], warned: bool
) -> None:
    rule = RoomRule(match=match, history_length=length)
    levels = [one[0] for one in found(Answer("ok"), rule, rooms=rooms, events=events)]
    assert levels == (["ok", "warn"] if warned else ["ok"])
