"""An engine against a simple model of it, by whatever sequence of calls hypothesis thinks of."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec.structs import replace

from sioserver.errors import Refusal
from sioserver.model import Counts, Membership, Message, Operation, Standing, User

from .conftest import DURABLE, GRACE, KINDS, REDIS, WINDOW, Harness, Keep, build, draft

ROOMS = st.sampled_from(["a", "b", "c/d", "raum-ü", "e", "f"])
USERS = st.sampled_from([User("ann", "Ann"), User("ben", "Ben"), User("ben", "Benjamin")])
GUEST = User("guest-1", "Guest", guest=True)
ANYBODY = USERS | st.just(GUEST)
CLIENTS = st.sampled_from(["c1", "c2"])
IDS = st.sampled_from([f"m{n}" for n in range(8)])
KEEP = Keep(history_length=5)
HOW = st.one_of(
    st.builds(dict, kind=st.just("edit"), body=st.sampled_from(["hi", "x", {"a": b"1"}])),
    st.just({"kind": "delete"}),
    st.builds(dict, kind=st.just("reaction"), emoji=st.sampled_from("xy"), on=st.booleans()),
)


@dataclass
class Room:
    log: list[Message] = field(default_factory=list)  # all of it, as it is now
    first: int = 1  # as last told
    told: list[int] = field(default_factory=list)  # offsets that must have been announced
    watched: bool = False
    dedup: dict[tuple[str, str], Message] = field(default_factory=dict)
    members: dict[str, tuple[str, Membership]] = field(default_factory=dict)
    here: dict[str, set[str]] = field(default_factory=dict)
    due: dict[str, float] = field(default_factory=dict)

    @property
    def top(self) -> int:
        return len(self.log)

    def number(self, offset: int | None = None) -> int:
        """How many messages there were up to there."""
        return sum(entry.kind == "message" for entry in self.log[:offset])

    def add(self, entry: Message) -> None:
        self.log.append(entry)
        self.log[-1] = replace(entry, number=self.number())
        if self.watched:
            self.told.append(entry.offset)

    def change(self, offset: int, **how: Any) -> None:
        self.log[offset - 1] = replace(self.log[offset - 1], **how)


class Machine(RuleBasedStateMachine):
    kind = ""

    @initialize()
    def start(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.directory = Path(tempfile.mkdtemp())
        self.harness = Harness(lambda: build(self.kind, self.directory))
        self.run(self.harness.start())
        self.rooms: dict[str, Room] = {}
        self.now = 1_700_000_000.0

    def run(self, call: Any) -> Any:
        return self.loop.run_until_complete(call)

    def call(self, method: Any, *args: Any) -> None:
        async def called() -> None:
            method(*args)

        self.run(called())

    @property
    def engine(self) -> Any:
        return self.harness.engine

    def room(self, name: str) -> Room:
        return self.rooms.setdefault(name, Room())

    # -- messages

    @rule(name=ROOMS, user=ANYBODY, id=IDS, again=st.booleans())
    def publish(self, name: str, user: User, id: str, again: bool) -> None:
        sent = draft(id, user, at=int(self.now * 1000), again=again)
        self.check_published(name, sent, self.run(self.engine.publish(name, sent, KEEP)))

    @rule(name=ROOMS, drafts=st.lists(st.tuples(USERS, IDS), max_size=80))
    def publish_at_once(self, name: str, drafts: list[tuple[User, str]]) -> None:
        sent = [draft(id, user, at=int(self.now * 1000)) for user, id in drafts]

        async def publish() -> list[Any]:
            calls = [self.engine.publish(name, one, KEEP) for one in sent]
            return list(await asyncio.gather(*calls))

        for one, result in zip(sent, self.run(publish()), strict=True):
            self.check_published(name, one, result)

    def check_published(self, name: str, sent: Any, result: Any) -> None:
        room = self.room(name)
        before = room.dedup.get((sent.user.id, sent.id)) if sent.resendable else None
        if before is not None and before.at > sent.at - WINDOW * 1000:
            assert (result.position.offset, result.at) == (before.offset, before.at)
            assert result.duplicate
            return
        message = Message(sent.id, room.top + 1, sent.user.id, sent.user.name, sent.body, sent.at)
        room.add(message)
        assert (result.position.offset, result.at, result.duplicate) == (room.top, sent.at, False)
        if sent.resendable:
            room.dedup[sent.user.id, sent.id] = message

    # -- what is done to them

    @rule(name=ROOMS, user=USERS, how=HOW, back=st.integers(0, 8), author=st.booleans())
    def operate(
        self, name: str, user: User, how: dict[str, Any], back: int, author: bool
    ) -> None:  # fmt: skip
        room = self.room(name)
        self.do(name, Operation(**how, **self.by(user, author), offset=room.top - back, id=None))

    @rule(name=ROOMS, user=USERS, how=HOW, id=IDS, author=st.booleans())
    def operate_by_id(
        self, name: str, user: User, how: dict[str, Any], id: str, author: bool
    ) -> None:  # fmt: skip
        self.do(name, Operation(**how, **self.by(user, author), offset=None, id=id))

    def by(self, user: User, author: bool) -> dict[str, Any]:
        return {"user": user, "at": int(self.now * 1000), "author_only": author}

    def do(self, name: str, operation: Operation) -> None:
        room = self.room(name)
        first = self.run(self.engine.history(name, limit=0)).first
        expected = self.expected(room, operation, first)
        if isinstance(expected, str):
            with pytest.raises(Refusal) as refused:
                self.run(self.engine.operate(name, operation, KEEP))
            assert refused.value.code == expected
            return
        result = self.run(self.engine.operate(name, operation, KEEP))
        assert (result.id, result.target) == (expected.id, expected.offset)
        assert result.position.offset == room.top if not result.duplicate else True
        about = [one.offset for one in room.log if expected.offset in (one.offset, one.target)]
        assert result.position.offset == about[-1]

    def expected(self, room: Room, wanted: Operation, first: int) -> Message | str:
        """Does to the model what the engine has to do; its message, or why it is refused."""
        found = [
            one
            for one in room.log[first - 1 :]
            if one.kind == "message" and wanted.offset in (None, one.offset)
            and wanted.id in (None, one.id)
        ]  # fmt: skip
        if len(found) != 1:
            return "bad_request" if found else "not_found"
        (message,) = found
        if wanted.author_only and message.user != wanted.user.id:
            return "forbidden"
        if message.deleted:
            return message if wanted.kind == "delete" else "not_found"
        entry = Message(
            message.id, room.top + 1, wanted.user.id, wanted.user.name, None, wanted.at,
            kind=wanted.kind, target=message.offset,
        )  # fmt: skip
        if wanted.kind == "delete":
            left = {"body": None, "edited": 0, "deleted": wanted.at, "reactions": {}}
            room.change(message.offset, **left)
            self.edits(room, message.offset, None)
        elif wanted.kind == "edit":
            if message.body == wanted.body:
                return message
            room.change(message.offset, body=wanted.body, edited=wanted.at)
            self.edits(room, message.offset, wanted.body)
            entry = replace(entry, body=wanted.body)
        else:
            users = list(message.reactions.get(wanted.emoji, ()))
            if (wanted.user.id in users) == wanted.on:
                return message
            (users.append if wanted.on else users.remove)(wanted.user.id)
            reactions = {**message.reactions, wanted.emoji: tuple(users)}
            room.change(
                message.offset, reactions={one: who for one, who in reactions.items() if who}
            )
            entry = replace(entry, emoji=wanted.emoji, on=wanted.on, count=len(users))
        room.add(entry)
        return message

    def edits(self, room: Room, target: int, body: Any) -> None:
        for one in list(room.log):
            if one.kind == "edit" and one.target == target:
                room.change(one.offset, body=body)

    @rule(
        name=ROOMS,
        after=st.none() | st.integers(-1, 200),
        before=st.none() | st.integers(-1, 200),
        limit=st.integers(0, 50),
        ops=st.booleans(),
    )
    def history(
        self, name: str, after: int | None, before: int | None, limit: int, ops: bool
    ) -> None:  # fmt: skip
        room = self.room(name)
        page = self.run(
            self.engine.history(name, after=after, before=before, limit=limit, ops=ops)
        )  # fmt: skip
        assert (page.top.offset, page.number) == (room.top, room.number())
        assert room.first <= page.first <= max(1, room.top - KEEP.history_length + 1)
        room.first = page.first
        wanted = [
            message
            for message in room.log[page.first - 1 :]
            if (ops or message.kind == "message")
            and (after is None or message.offset > after)
            and (before is None or message.offset < before)
        ]
        if after is None:
            wanted = wanted[max(0, len(wanted) - limit) :]
        assert page.messages == wanted[:limit]

    @rule(name=ROOMS)
    def watch(self, name: str) -> None:
        self.room(name).watched = True
        self.call(self.engine.watch, name)

    @rule(name=ROOMS)
    def unwatch(self, name: str) -> None:
        self.room(name).watched = False
        self.call(self.engine.unwatch, name)

    # -- members

    @rule(name=ROOMS, user=ANYBODY)
    def join(self, name: str, user: User) -> None:
        room = self.room(name)
        top = room.top
        if user.guest:
            expected = Membership(top, top, top, room.number())
        else:
            _, expected = room.members.get(user.id, ("", Membership(top, top, top, room.number())))
            room.members[user.id] = user.name, expected
        assert self.run(self.engine.join(name, user)) == expected

    @rule(name=ROOMS, user=ANYBODY)
    def leave(self, name: str, user: User) -> None:
        self.room(name).members.pop(user.id, None)
        self.run(self.engine.leave(name, user.id))

    @rule(name=ROOMS, user=ANYBODY, part=st.floats(0, 1))
    def advance(self, name: str, user: User, part: float) -> None:
        room = self.room(name)
        offset = round(room.top * part)
        self.call(self.engine.advance, name, user.id, offset)
        if user.id in room.members:
            called, known = room.members[user.id]
            cursor = max(known.cursor, offset)
            room.members[user.id] = called, replace(known, cursor=cursor)

    @rule(name=ROOMS, user=ANYBODY, offset=st.integers(-1, 200))
    def read(self, name: str, user: User, offset: int) -> None:
        room = self.room(name)
        expected = Membership(room.top, room.top, room.top, room.number())
        if user.id in room.members:
            called, known = room.members[user.id]
            read = max(known.read, min(offset, room.top))
            cursor = max(known.cursor, min(offset, room.top))
            number = known.number
            if offset > known.read:
                first = self.run(self.engine.history(name, limit=0)).first
                number = max(number, room.number(max(min(offset, room.top), first - 1)))
            expected = Membership(known.joined, cursor, read, number)
            room.members[user.id] = called, expected
        standing = Standing(expected, room.top, room.number())
        assert self.run(self.engine.read(name, user.id, offset)) == standing

    @rule(user=ANYBODY)
    def rooms_of(self, user: User) -> None:
        assert self.run(self.engine.rooms_of(user.id, limit=99)) == {
            name: Standing(room.members[user.id][1], room.top, room.number())
            for name, room in self.rooms.items()
            if user.id in room.members
        }

    @rule(user=ANYBODY)
    def names(self, user: User) -> None:
        assert self.run(self.engine.names(dict.fromkeys(self.rooms, user.id))) == {
            name: room.members[user.id][0]
            for name, room in self.rooms.items()
            if user.id in room.members
        }

    # -- presence

    @rule(name=ROOMS, user=ANYBODY, client=CLIENTS)
    def enter(self, name: str, user: User, client: str) -> None:
        room = self.room(name)
        room.here.setdefault(user.id, set()).add(client)
        room.due.pop(user.id, None)
        assert self.run(self.engine.enter(name, user, client)) == self.counts(room)

    @rule(name=ROOMS, user=ANYBODY, client=CLIENTS)
    def exit(self, name: str, user: User, client: str) -> None:
        room = self.room(name)
        if client in room.here.get(user.id, ()):
            room.here[user.id].discard(client)
            if not room.here[user.id]:
                room.due[user.id] = self.now + GRACE
        self.run(self.engine.exit(name, user.id, client, self.now))

    def counts(self, room: Room) -> Counts:
        return Counts(len(room.here), len(room.members) + (GUEST.id in room.here))

    # -- time and life

    @rule(seconds=st.sampled_from([0.0, 1.0, GRACE, 60.0, WINDOW]))
    def sweep(self, seconds: float) -> None:
        self.now += seconds
        for room in self.rooms.values():
            for user_id in [user_id for user_id, due in room.due.items() if due <= self.now]:
                del room.due[user_id], room.here[user_id]
        self.run(self.engine.sweep(self.now))

    @rule()
    def restart(self) -> None:
        if self.kind not in DURABLE:
            return
        if self.kind in REDIS and any(room.here for room in self.rooms.values()):
            return  # they stay for a while, because they may come to another node
        self.run(self.harness.restart())
        for room in self.rooms.values():
            room.watched = False
            room.here.clear()
            room.due.clear()

    @invariant()
    def everything_agrees(self) -> None:
        for name, room in getattr(self, "rooms", {}).items():
            assert self.harness.listener.offsets(name) == room.told
            assert self.run(self.engine.counts(name)) == self.counts(room)
            online = self.run(self.engine.online(name, limit=99))
            assert {user.id for user in online} == set(room.here)
            members = self.run(self.engine.members(name, limit=99))
            expected = [(called, user_id) for user_id, (called, _) in room.members.items()]
            assert [(user.name, user.id) for user in members] == sorted(expected)

    def teardown(self) -> None:
        if hasattr(self, "harness"):
            self.run(self.harness.engine.stop())
            self.loop.close()
            shutil.rmtree(self.directory)


@pytest.mark.timeout(450)  # as in the uppermost conftest.py, which does not know this for one
@pytest.mark.parametrize("kind", KINDS)
def test_an_engine_does_as_its_model(kind: str) -> None:
    machine = type("Machine", (Machine,), {"kind": kind})
    case = machine.TestCase
    case.settings = settings(
        max_examples=20 if kind in REDIS else 60, stateful_step_count=30, deadline=None
    )
    case().runTest()
