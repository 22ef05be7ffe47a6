"""Edits, deletes and reactions as Python's clients see them: live, read back, and after being away.

On the embedded engine and on a cluster of two workers, over both transports; what a JavaScript
client sees of it is in tests/interop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import socketio

from sioserver.client import Change, Received, RoomClient
from sioserver.errors import Refusal
from sioserver.testing import ServerProcess

DURABLE = ("message", "edit", "delete", "reaction")
PATIENCE = 30.0


@pytest.fixture(params=[1, 2], ids=["embedded", "cluster"])
async def server(request: pytest.FixtureRequest) -> AsyncIterator[ServerProcess]:
    async with ServerProcess(workers=request.param) as server:
        yield server


@pytest.fixture(params=["websocket", "polling"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Plain:
    """python-socketio with nothing around it."""

    def __init__(self, url: str, user: str, kind: str) -> None:
        self._url, self._user, self._kind = url, user, kind
        self.position: str | None = None
        self.seen: list[tuple[str, dict[str, Any], str]] = []

    async def __aenter__(self) -> Plain:
        self.sio = socketio.AsyncClient(reconnection=False, handle_sigint=False)
        self.sio.on("*", self._hear, namespace="/den")
        auth = {"user": self._user, **({"position": self.position} if self.position else {})}
        await self.sio.connect(
            self._url, auth=auth, namespaces=["/den"], transports=[self._kind], wait_timeout=10
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.sio.shutdown()

    def _hear(self, event: str, *args: Any) -> None:
        if event in DURABLE:
            self.seen.append((event, *args))
        if isinstance(args[-1], str):
            self.position = args[-1]

    async def ask(self, event: str, *args: Any) -> dict[str, Any]:
        answer: dict[str, Any] = await self.sio.call(
            event, args, namespace="/den", timeout=PATIENCE
        )
        return answer

    async def until(self, count: int) -> list[tuple[str, Any]]:
        """The events, each with what it says."""
        async with asyncio.timeout(PATIENCE):
            while len(self.seen) < count:
                await asyncio.sleep(0.01)
        return [
            (event, payload.get("body", payload.get("emoji"))) for event, payload, _ in self.seen
        ]


async def test_a_plain_client(server: ServerProcess, kind: str) -> None:
    async with Plain(server.url, "ann", kind) as ann:
        ben = Plain(server.url, "ben", kind)
        async with ben:
            await ann.ask("message", "one", {"id": "m1"})
            await ben.ask("react", {"offset": 1, "emoji": "👍"})
            await ann.ask("edit", {"id": "m1", "body": b"\x00\xff"})
            for who in (ann, ben):
                assert await who.until(3) == [
                    ("message", "one"),
                    ("reaction", "👍"),
                    ("edit", b"\x00\xff"),
                ]
        await ann.ask("message", "two", {"id": "m2", "reply_to": 1})
        await ann.ask("edit", {"id": "m2", "body": "zwei"})
        await ann.ask("delete", {"offset": 1})
        ben.seen.clear()
        async with ben:
            assert await ben.until(3) == [("message", "zwei"), ("edit", "zwei"), ("delete", None)]
            page = (await ben.ask("history", {}))["items"]
            assert [(one["body"], "deleted" in one) for one in page] == [
                (None, True),
                ("zwei", False),
            ]
            assert (await ben.ask("edit", {"id": "m2", "body": "x"}))["error"][
                "code"
            ] == "forbidden"
            assert (await ben.ask("read", 1))["unread"] == 1
        offsets = [int(position.rpartition(".")[2]) for _, _, position in ann.seen]
        assert offsets == list(range(1, 7))


async def test_a_room_client(server: ServerProcess, kind: str) -> None:
    transports: Any = [kind]
    async with (
        RoomClient(server.url, "den", user="ann", transports=transports) as ann,
        RoomClient(server.url, "den", user="ben", transports=transports, buffer=2) as ben,
    ):
        sent = await ann.send("one", mentions=["ben"])
        await ann.send("two", reply_to=sent.id)
        changed = await ann.edit(sent.offset, "eins")
        assert (changed.id, changed.target, changed.offset) == (sent.id, 1, 3)
        await ben.react(sent.id, "👍")
        await ben.react(sent.id, "👍")  # once more is no more
        await ann.delete(2)
        with pytest.raises(Refusal) as refused:
            await ben.edit(1, "mine")
        assert refused.value.code == "forbidden"
        with pytest.raises(Refusal) as refused:
            await ann.react(2, "👍")
        assert refused.value.code == "not_found"

        for client in (ann, ben):
            seen = []
            async with asyncio.timeout(PATIENCE):
                while len(seen) < 5:
                    item = await anext(client)
                    assert isinstance(item, Received | Change)
                    seen.append(item)
            assert [item.offset for item in seen] == [1, 2, 3, 4, 5]
            # ben's buffer was too small, so he has read back what it had no space for
            assert seen[0].body in ("one", "eins")
            assert [
                (one.kind, one.target, one.body, one.emoji, one.count)
                for one in seen
                if isinstance(one, Change)
            ] == [
                ("edit", 1, "eins", "", 0),
                ("reaction", 1, None, "👍", 1),
                ("delete", 2, None, "", 0),
            ]
        page = await ben.history()
        assert [(one.body, dict(one.counts), one.mine, one.mentions) for one in page] == [
            ("eins", {"👍": 1}, ("👍",), ("ben",)),
            (None, {}, (), ()),
        ]
        assert (page[1].deleted > 0, page[1].reply_to) == (True, sent.id)
