"""`RoomClient` against a real server in this process: what an application sees."""

import asyncio
from typing import Any

import pytest

from sioserver.app import ROOMS
from sioserver.client import Gap, RoomClient, Transport
from sioserver.config.schema import Limits, RoomRule, Rooms
from sioserver.engine import embedded_pages, tail
from sioserver.errors import Refusal
from sioserver.model import Message

from .kit import Served, both, config, serve, take, until

# ---------------------------------------------------------------------------- everyday use


@both
async def test_two_chat(served: Served, transports: list[Transport] | None) -> None:
    async with (
        RoomClient(served.url, user="ann", name="Ann", transports=transports) as ann,
        RoomClient(served.url, user="bob", transports=transports) as bob,
    ):
        sent = await ann.send("hello")
        answer = await bob.send({"text": "hi", "data": b"\x00\x01"}, id="mine")
        assert (sent.offset, answer.id, answer.offset) == (1, "mine", 2)
        for room in (ann, bob):
            first = await anext(room)
            assert isinstance(first, Message)
            assert (first.id, first.offset, first.at) == (sent.id, 1, sent.at)
            assert (first.user, first.name, first.body) == ("ann", "Ann", "hello")
            assert await take(room, 1) == [{"text": "hi", "data": b"\x00\x01"}]
        assert [message.body for message in await bob.history(limit=1)] == [
            {"text": "hi", "data": b"\x00\x01"}
        ]
        assert [message.offset for message in await bob.history(after=0, before=2)] == [1]
        hits = await bob.search("HELL")
        assert [message.body for message in hits.messages] == ["hello"]
        assert (hits.next, hits.complete) == (None, True)
        hits = await bob.search("h", before=3, limit=1)
        assert [message.offset for message in hits.messages] == [hits.next] == [2]
        assert [user.id for user in await ann.members()] == ["ann", "bob"]
        assert await ann.read(1) == 1
        await until(lambda: ann.online == 2 and bob.online == 2)
        assert ann.total == 2
        assert ann.user is not None
        assert ann.user.name == "Ann"
        assert "post" in ann.permissions
        assert bob.connected
    assert not bob.connected
    async with RoomClient(served.url, user="cid") as cid:
        members = await cid.members(away=True)
        assert [user.id for user in members] == ["ann", "bob", "cid"]


async def test_what_else_happens_is_told(served: Served) -> None:
    told: list[tuple[Any, ...]] = []
    async with (
        RoomClient(served.url, user="ann", on_event=lambda *event: told.append(event)) as ann,
        RoomClient(served.url, user="bob") as bob,
    ):
        await bob.send("x")
        await bob.typing()
        await bob.read(1)
        await until(lambda: {"welcome", "presence", "typing", "read"} <= {one[0] for one in told})
        await until(lambda: ann.online == 2)
    assert next(one for one in told if one[0] == "typing")[1]["user"] == "bob"


async def test_a_status(served: Served) -> None:
    told: list[tuple[Any, ...]] = []
    async with (
        RoomClient(served.url, user="ann", on_event=lambda *event: told.append(event)),
        RoomClient(served.url, user="bob") as bob,
    ):
        await bob.status("away")
        await until(lambda: any("away" in event[1] for event in told if event[0] == "presence"))
        members = [(member.id, member.name, member.state) for member in await bob.members()]
        assert members == [("ann", "ann", "online"), ("bob", "bob", "away")]
        assert {member.seen for member in await bob.members(away=True)} == {None}
        await bob.status("online")
        await until(lambda: any("back" in event[1] for event in told if event[0] == "presence"))


async def test_events_for_the_others() -> None:
    told: list[tuple[Any, ...]] = []
    rules = Rooms(rules=[RoomRule(relay=["draw"])])
    async with (
        serve(config(rooms=rules)) as served,
        RoomClient(served.url, user="ann", on_event=lambda *event: told.append(event)),
        RoomClient(served.url, user="bob") as bob,
    ):
        await bob.relay("draw", [1, 2], b"\xff")
        await until(lambda: "draw" in {one[0] for one in told})
        drawn = next(one for one in told if one[0] == "draw")
        assert drawn[1:] == ([1, 2], b"\xff", {"user": "bob", "name": "bob"})


async def test_many_sends_at_once_keep_their_order(served: Served) -> None:
    async with RoomClient(served.url, user="ann", pending=50) as ann:
        sends = [asyncio.create_task(ann.send(number)) for number in range(60)]
        results = await asyncio.gather(*sends, return_exceptions=True)
        offsets = [result.offset for result in results if not isinstance(result, BaseException)]
        assert offsets == list(range(1, 51))
        assert {result.code for result in results[50:] if isinstance(result, Refusal)} == {
            "too_many"
        }
        assert await take(ann, 50) == list(range(50))


async def test_refusals_are_raised() -> None:
    rules = [RoomRule(match="read-only", post=["nobody"]), RoomRule(match="closed", join=[])]
    limits = Limits(max_body=1024, message_rate=50, message_burst=1)
    async with serve(config(rooms=Rooms(rules=rules), limits=limits)) as served:
        async with RoomClient(served.url, room="read-only", user="ann") as room:
            with pytest.raises(Refusal) as refusal:
                await room.send("x")
            assert refusal.value.code == "forbidden"
            assert "post" not in room.permissions
        for name, user, code in [
            ("closed", "ann", "forbidden"),
            ("a b", "ann", "bad_room"),
            ("lobby", "guest:x", "bad_request"),
        ]:
            with pytest.raises(Refusal) as refusal:
                await RoomClient(served.url, room=name, user=user).__aenter__()
            assert refusal.value.code == code
        with pytest.raises(Refusal):
            RoomClient(served.url, room="a?b")
        async with RoomClient(served.url, user="ann") as ann:
            with pytest.raises(Refusal) as refusal:
                await ann.send("x" * 2000)
            assert refusal.value.code == "too_large"
            with pytest.raises(TypeError):
                await ann.send({1, 2})
            # a refusal that is temporary is waited out
            assert [(await ann.send(number)).offset for number in range(4)] == [1, 2, 3, 4]


# ---------------------------------------------------------------------------- iterating


async def test_a_position_is_where_the_next_run_goes_on(served: Served) -> None:
    async with RoomClient(served.url, user="ann") as ann:
        assert ann.position is not None
        for number in range(3):
            await ann.send(number)
        assert await take(ann, 2) == [0, 1]
        kept = ann.position
        assert kept.endswith(".2")
    async with RoomClient(served.url, user="bob") as bob:
        await bob.send(3)
    async with RoomClient(served.url, user="ann", position=kept) as ann:
        assert ann.position == kept
        assert await take(ann, 2) == [2, 3]


async def test_a_position_of_another_life_of_the_log_is_a_gap(served: Served) -> None:
    async with RoomClient(served.url, user="bob") as bob:
        await bob.send("new")
        async with RoomClient(served.url, user="ann", position="otherlife.7") as ann:
            assert await take(ann, 2) == [Gap(0, 0), "new"]


async def test_a_log_that_lost_its_end_is_a_gap(served: Served) -> None:
    async with RoomClient(served.url, user="bob") as bob:
        await bob.send("one")
        await take(bob, 1)
        assert bob.position is not None
        ahead = bob.position.replace(".1", ".9")
        async with RoomClient(served.url, user="ann", position=ahead) as ann:
            await bob.send("two")
            assert await take(ann, 2) == [Gap(2, 9), "two"]


@both
async def test_who_missed_much_gets_it_from_the_history(
    transports: list[Transport] | None,
) -> None:
    async with (
        serve(config(rooms=Rooms(recovery_limit=10, history_page=7))) as served,
        RoomClient(served.url, user="bob") as bob,
    ):
        async with RoomClient(served.url, user="ann") as ann:
            kept = ann.position
        for number in range(50):
            await bob.send(number)
        async with RoomClient(served.url, user="ann", position=kept, transports=transports) as ann:
            assert await take(ann, 50) == list(range(50))
            await bob.send("live")
            assert await take(ann, 1) == ["live"]


async def test_a_page_of_history_lies_behind_many_operations(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_pages, "SCAN", 3)
    monkeypatch.setattr(tail, "TAIL_BYTES", 0)  # so that the store is asked
    async with RoomClient(served.url, user="ann") as ann:
        await ann.send("one")
        await ann.send("two")
        for number in range(7):
            await ann.react(1, f"x{number}")
        assert [message.body for message in await ann.history()] == ["one", "two"]
        assert [message.body for message in await ann.history(limit=1)] == ["two"]
        await ann.send("three")
        assert [message.body for message in await ann.history(after=2)] == ["three"]
        assert await ann.history(after=2, before=10) == []
        assert await ann.history(before=1) == []


async def test_what_the_history_does_not_hold_is_a_gap() -> None:
    rules = [RoomRule(match="*", history_length=5)]
    async with (
        serve(config(rooms=Rooms(recovery_limit=2, rules=rules))) as served,
        RoomClient(served.url, user="bob") as bob,
    ):
        async with RoomClient(served.url, user="ann") as ann:
            kept = ann.position
        for number in range(300):
            await bob.send(number)
        kept_from = (await bob.history(after=0))[0].offset
        assert kept_from > 1
        async with RoomClient(served.url, user="ann", position=kept) as ann:
            gap, first = await take(ann, 2)
            assert gap == Gap(1, kept_from - 1)
            assert first == kept_from - 1
            assert await take(ann, 300 - kept_from) == list(range(kept_from, 300))


async def test_a_slow_reader_holds_nothing_up_and_gets_everything(served: Served) -> None:
    async with (
        RoomClient(served.url, user="ann", buffer=5) as ann,
        RoomClient(served.url, user="bob") as bob,
    ):
        for number in range(40):
            await bob.send(number)
        await served.cut()
        for number in range(40, 60):
            await bob.send(number)
        assert len(ann._inbox) == 6  # five messages and a hole
        assert (await ann.send("I can post")).offset == 61
        assert await take(ann, 10) == list(range(10))
        await bob.send("more")
        assert await take(ann, 52) == [*range(10, 60), "I can post", "more"]
        await bob.send("live")
        assert await take(ann, 1) == ["live"]


async def test_closing_ends_the_iteration(served: Served) -> None:
    async with RoomClient(served.url, user="ann") as ann:

        async def read() -> list[Any]:
            return [message async for message in ann]

        reading = asyncio.create_task(read())
        await ann.send("x")
        await until(lambda: ann.position is not None and ann.position.endswith(".1"))
        await ann.close()
        assert [message.body for message in await reading] == ["x"]
        with pytest.raises(ConnectionError):
            await ann.send("y")


async def test_closing_while_missed_messages_are_fetched_ends_the_iteration(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, over = asyncio.Event(), asyncio.Event()

    async def slow(*args: Any) -> Any:
        asked.set()
        await over.wait()
        raise Refusal("forbidden")

    monkeypatch.setattr(served.app[ROOMS], "history", slow)
    async with RoomClient(served.url, user="ann", buffer=1) as ann:
        for number in range(3):
            await ann.send(number)
        assert await take(ann, 1) == [0]
        reading = asyncio.create_task(take(ann, 1))
        await asked.wait()
        await ann.close()
        with pytest.raises(StopAsyncIteration):
            await anext(ann)
        with pytest.raises(StopAsyncIteration):
            await reading
        over.set()
