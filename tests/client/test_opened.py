"""What a `RoomClient` and a `Session` have in common."""

from __future__ import annotations

from typing import Any

import pytest

from sioserver.client import RoomClient, Session

from .kit import Served, take


async def test_a_callback_that_fails_harms_nobody(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*event: Any) -> None:
        raise ValueError("boom")

    async with RoomClient(served.url, user="ann", on_event=fails) as ann:
        await ann.send("x")
        assert await take(ann, 1) == ["x"]
    assert "on_event failed" in caplog.text


async def test_nor_does_one_of_a_session(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    def fail(name: str, payload: dict[str, Any]) -> None:
        raise RuntimeError("planted")

    async with Session(served.url, user="ann", on_event=fail) as me:
        assert await me.refresh() == {}
    assert "on_event failed" in caplog.text


@pytest.mark.parametrize("kind", [RoomClient, Session])
async def test_it_is_open_in_its_block_only(
    served: Served, kind: type[RoomClient] | type[Session]
) -> None:
    client = kind(served.url, user="ann")
    assert not client.connected
    async with client as same:
        assert same is client
        assert client.connected
    assert not client.connected
    await client.close()  # more than once without harm
