"""`Session` against a real server in this process: a user's rooms, kept up to date."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sioserver.client import PublicRoom, RoomClient, RoomState, Session, Transport, room_with
from sioserver.config.schema import Limits, RoomRule, Rooms
from sioserver.errors import Refusal
from sioserver.model import User

from .kit import Served, both, config, serve, token, until, with_tokens


@both
async def test_rooms_are_kept_up_to_date(
    served: Served, transports: list[Transport] | None
) -> None:
    told: list[tuple[str, dict[str, Any]]] = []
    async with (
        RoomClient(served.url, "den", user="bob") as bob,
        Session(
            served.url,
            user="ann",
            name="Ann",
            transports=transports,
            on_event=lambda *event: told.append(event),
        ) as me,
    ):
        assert (me.user, me.rooms, me.connected) == (User("ann", "Ann"), {}, True)
        async with RoomClient(served.url, "den", user="ann") as ann:
            await until(lambda: me.rooms == {"den": RoomState("den", 0, 0)})
            await bob.send("x")
            await until(lambda: me.rooms == {"den": RoomState("den", 1, 1)})
            await ann.read(1)
            await until(lambda: me.rooms == {"den": RoomState("den", 0, 1)})
        async with RoomClient(served.url, room_with("ann"), user="bob", name="Bob") as there:
            await there.send("psst")
        await until(
            lambda: me.rooms.get("@dm/bob") == RoomState("@dm/bob", 1, 1, peer=User("bob", "Bob"))
        )
        assert await me.refresh() == me.rooms
        names = [name for name, _ in told]
        assert names[:3] == ["welcome", "room_joined", "unread"]
    assert not me.connected


async def test_rooms_that_were_left_are_gone(served: Served) -> None:
    async with Session(served.url, user="ann") as me:
        async with RoomClient(served.url, "den", user="ann") as ann:
            await until(lambda: "den" in me.rooms)
            await ann._line.ask("leave")
        await until(lambda: me.rooms == {})


async def test_mentions(served: Served) -> None:
    told: list[dict[str, Any]] = []

    def hear(name: str, payload: dict[str, Any]) -> None:
        if name == "mention":
            told.append(payload)

    async with RoomClient(served.url, "den", user="ann"):
        pass
    async with (
        Session(served.url, user="ann", on_event=hear) as me,
        RoomClient(served.url, "den", user="bob") as bob,
    ):
        await bob._line.ask("message", "look", {"id": "m1", "mentions": ["ann"]})
        await until(lambda: told)
        (mention,) = await me.mentions()
        assert (mention.room, mention.id, mention.offset, mention.user) == ("den", "m1", 1, "bob")
        assert mention.number == told[0]["number"]
        assert await me.mentions(after=mention.number) == []
        assert (await me.refresh())["den"].mentions == 1
        await bob.send("more")
        await until(lambda: me.rooms["den"].unread == 2)
        assert me.rooms["den"].mentions == 1  # as it was asked last
        async with RoomClient(served.url, "den", user="ann") as ann:
            await ann.read(2)
        await until(lambda: me.rooms["den"] == RoomState("den", 0, 2))


async def test_the_directory() -> None:
    rules = [RoomRule(match="tea*", public=True, topic="Hot")]
    async with (
        serve(config(rooms=Rooms(rules=rules))) as served,
        RoomClient(served.url, "tea", user="ann"),
        RoomClient(served.url, "tea/green", user="ann"),
        Session(served.url, user="bob") as me,
    ):
        found: list[PublicRoom] = []
        async with asyncio.timeout(30):
            while len(found) < 2:
                found, after = await me.directory()
                await asyncio.sleep(0.05)
        assert found == [PublicRoom("tea", "Hot", 1, 1), PublicRoom("tea/green", "Hot", 1, 1)]
        assert after is None
        found, after = await me.directory("hot", limit=1)
        assert [one.room for one in found] == ["tea"]
        found, after = await me.directory("hot", limit=1, after=after)
        assert ([one.room for one in found], after) == (["tea/green"], None)


async def test_it_comes_back(served: Served) -> None:
    async with (
        RoomClient(served.url, "den", user="bob") as bob,
        Session(served.url, user="ann") as me,
    ):
        async with RoomClient(served.url, "den", user="ann"):
            await until(lambda: "den" in me.rooms)
        await served.cut()
        await until(lambda: not me.connected or me.rooms["den"].unread)
        await bob.send("x")
        await until(lambda: me.connected and me.rooms["den"].unread == 1)


async def test_rooms_that_are_not_kept_up_to_date() -> None:
    async with serve(config(limits=Limits(followed_rooms=0))) as served:
        async with RoomClient(served.url, "den", user="ann") as ann:
            await ann.send("x")
        async with Session(served.url, user="ann") as me:
            assert me.rooms == {"den": RoomState("den", 1, 1, live=False)}


async def test_nobody_without_a_token_and_a_fresh_one_in_time() -> None:
    made: list[str] = []

    def fresh() -> str:
        made.append(token("ann", lives=1.0 if not made else 600.0))
        return made[-1]

    async with serve(with_tokens()) as served:
        with pytest.raises(Refusal):
            await Session(served.url, user="ann").__aenter__()
        async with Session(served.url, token=fresh) as me:
            await until(lambda: len(made) == 2)
            assert me.user == User("ann", "ann")
