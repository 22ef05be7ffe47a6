"""Who may do what to messages. That it is done is the engine's (tests/engine)."""

from __future__ import annotations

from typing import Any

import pytest

from sioserver.auth import Identity, Policy
from sioserver.config import Config, RoomRule
from sioserver.config.schema import Limits, Rooms
from sioserver.engine.base import Retention, not_found
from sioserver.errors import Refusal
from sioserver.hooks import Deleting, Editing, HookCalls, Hooks, Reacting
from sioserver.hub import Client
from sioserver.limits import Budget
from sioserver.metrics import Metrics
from sioserver.model import Operation, Position, Published
from sioserver.operations import Operations
from sioserver.wire import EditRequest, ReactRequest, Target

from .fakes import ANN, FakeOutbox, client

TARGET = Target(4, "m4")


class Stage:
    """Operations, and an engine that writes them down."""

    def __init__(self, *rules: RoomRule, **limits: Any) -> None:
        config = Config(rooms=Rooms(rules=list(rules)), limits=Limits(**limits))
        self.asked: list[tuple[str, Operation]] = []
        self.refusal: Refusal | None = None
        self.metrics = Metrics()
        self.duplicate = False
        self.keep: Retention | None = None
        self.hooks = Hooks()
        engine: Any = self
        self.operations = Operations(
            config,
            engine,
            Policy(config),
            Budget(config.limits),
            self.metrics,
            may_post=self.may_post,
            max_body=lambda room: 100,
            hooks=HookCalls(self.hooks, self.metrics, 60.0),
        )

    def may_post(self, who: Client) -> float:
        if self.refusal is not None:
            raise self.refusal
        return 12.5

    async def operate(self, room: str, operation: Operation, keep: Retention) -> Published:
        self.asked.append((room, operation))
        self.keep = keep
        if operation.offset == 404:
            raise not_found()
        return Published("m4", Position("e", 9), operation.at, self.duplicate, 4)


async def test_what_the_engine_is_asked() -> None:
    stage = Stage(RoomRule(match="*", history_length=7), reactions=5)
    who = client(FakeOutbox(), "c1")
    done = await stage.operations.edit(who, EditRequest(TARGET, {"x": 1}))
    assert done == Published("m4", Position("e", 9), 12500, False, 4)
    await stage.operations.delete(who, Target(None, "m4"))
    await stage.operations.react(who, ReactRequest(TARGET, "👍", False))
    common: Any = {"user": ANN, "at": 12500, "most": 5}
    assert stage.asked == [
        ("lobby", Operation("edit", offset=4, id="m4", author_only=True, body={"x": 1}, **common)),
        ("lobby", Operation("delete", offset=None, id="m4", author_only=True, **common)),
        (
            "lobby",
            Operation(
                "reaction", offset=4, id="m4", author_only=False, emoji="👍", on=False, **common
            ),
        ),
    ]
    assert stage.keep is not None
    assert stage.keep.history_length == 7
    assert stage.metrics.operations_done == 3


async def test_moderators_may_change_what_others_said() -> None:
    stage = Stage(RoomRule(match="*", moderate=["ann"]))
    plain, moderator = client(FakeOutbox(), "c1"), client(FakeOutbox(), "c2")
    moderator.identity = Identity(ANN, authenticated=True)
    for who in (plain, moderator):
        await stage.operations.edit(who, EditRequest(TARGET, "x"))
        await stage.operations.delete(who, TARGET)
        await stage.operations.react(who, ReactRequest(TARGET, "x", True))
    assert [one.author_only for _, one in stage.asked] == [True, True, False, False, False, False]


async def test_who_may_not_post_may_not_change_anything() -> None:
    stage = Stage()
    stage.refusal = Refusal("forbidden")
    who = client(FakeOutbox(), "c1")
    for call in (
        stage.operations.edit(who, EditRequest(TARGET, "x")),
        stage.operations.delete(who, TARGET),
        stage.operations.react(who, ReactRequest(TARGET, "x", True)),
    ):
        with pytest.raises(Refusal):
            await call
    assert stage.asked == []


async def test_they_are_as_often_as_messages_but_know_no_slow_mode() -> None:
    stage = Stage(RoomRule(match="*", slow_mode=60.0), message_rate=1, message_burst=2)
    who = client(FakeOutbox(), "c1")
    await stage.operations.react(who, ReactRequest(TARGET, "x", True))
    await stage.operations.delete(who, TARGET)
    with pytest.raises(Refusal) as refused:
        await stage.operations.edit(who, EditRequest(TARGET, "x"))
    assert (refused.value.code, refused.value.limit) == ("rate_limited", "message_rate")


async def test_what_was_not_done_is_not_counted() -> None:
    stage = Stage()
    who = client(FakeOutbox(), "c1")
    with pytest.raises(Refusal) as refused:
        await stage.operations.delete(who, Target(404, None))
    assert (refused.value.code, refused.value.status) == ("not_found", 404)
    stage.duplicate = True
    await stage.operations.delete(who, TARGET)
    assert stage.metrics.operations_done == 0


async def test_hooks_are_asked_and_may_change_an_edit() -> None:
    stage = Stage()
    asked: list[Any] = []

    @stage.hooks.on_edit
    async def polite(editing: Editing) -> Editing:
        asked.append(editing)
        return editing.with_body(f"{editing.body}, please")

    stage.hooks.on_delete(asked.append)
    stage.hooks.on_react(asked.append)
    ann = client(FakeOutbox())
    await stage.operations.edit(ann, EditRequest(TARGET, "tea"))
    await stage.operations.delete(ann, TARGET)
    await stage.operations.react(ann, ReactRequest(TARGET, "👍", True))
    who = "lobby", ANN, ann.id, 4, "m4"
    assert asked == [Editing(*who, "tea"), Deleting(*who), Reacting(*who, "👍", True)]
    assert [operation.kind for _, operation in stage.asked] == ["edit", "delete", "reaction"]
    assert stage.asked[0][1].body == "tea, please"


async def test_hooks_may_refuse_what_is_done_to_messages() -> None:
    stage = Stage()

    def no(event: Any) -> None:
        raise Refusal("forbidden", "hands off")

    stage.hooks.on_edit(no)
    stage.hooks.on_delete(no)
    stage.hooks.on_react(no)
    ann = client(FakeOutbox())
    for call in (
        stage.operations.edit(ann, EditRequest(TARGET, "tea")),
        stage.operations.delete(ann, TARGET),
        stage.operations.react(ann, ReactRequest(TARGET, "👍", True)),
    ):
        with pytest.raises(Refusal, match="hands off"):
            await call
    assert stage.asked == []


async def test_who_may_post_no_longer_when_a_hook_has_answered() -> None:
    stage = Stage()

    @stage.hooks.on_delete
    async def meanwhile(deleting: Deleting) -> None:
        stage.refusal = Refusal("not_member")

    with pytest.raises(Refusal) as caught:
        await stage.operations.delete(client(FakeOutbox()), TARGET)
    assert caught.value.code == "not_member"
    assert stage.asked == []
