"""Being connected, against a real server in this process: coming back, fresh tokens, the end."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from sioserver.app import NODE, ROOMS, SERVER
from sioserver.client import RoomClient, Transport
from sioserver.errors import Disconnect, Refusal
from sioserver.model import Revocation

from .kit import Served, both, serve, take, token, until, with_tokens

# ---------------------------------------------------------------------------- coming back


@both
async def test_a_lost_connection_loses_nothing(
    served: Served, transports: list[Transport] | None
) -> None:
    async with (
        RoomClient(served.url, user="ann", transports=transports) as ann,
        RoomClient(served.url, user="bob") as bob,
    ):
        for number in range(5):
            await bob.send(number)
            await served.cut()
        assert await take(ann, 5) == list(range(5))
        await bob.send("end")
        assert await take(ann, 1) == ["end"]
        assert ann.position == bob.position or await take(bob, 6) == [0, 1, 2, 3, 4, "end"]


@both
async def test_a_message_under_way_when_the_connection_is_lost_is_posted_once(
    served: Served, transports: list[Transport] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    rooms = served.app[ROOMS]
    real = rooms.send
    tries = 0

    async def send(*args: Any) -> Any:
        nonlocal tries
        tries += 1
        published = await real(*args)
        if tries == 1:
            await served.cut()  # stored, but the sender will not hear of it
        return published

    monkeypatch.setattr(rooms, "send", send)
    async with RoomClient(served.url, user="ann", transports=transports) as ann:
        assert (await ann.send("once")).offset == 1
        assert (await ann.send("twice")).offset == 2
        assert await take(ann, 2) == ["once", "twice"]
    assert tries == 3


async def test_a_guest_stays_the_same_and_posts_once(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    rooms = served.app[ROOMS]
    real = rooms.send

    async def send(*args: Any) -> Any:
        published = await real(*args)
        monkeypatch.setattr(rooms, "send", real)
        await served.cut()
        return published

    monkeypatch.setattr(rooms, "send", send)
    async with RoomClient(served.url) as guest:
        before = guest.user
        assert (await guest.send("once")).offset == 1
        assert guest.user == before
        assert [message.offset for message in await guest.history()] == [1]


async def test_sending_waits_for_the_server_to_come_back(served: Served) -> None:
    async with RoomClient(served.url, user="ann") as ann:
        await served.unreachable()
        await until(lambda: not ann.connected)
        sends = [asyncio.create_task(ann.send(number)) for number in range(3)]
        with pytest.raises(TimeoutError):
            await ann.send("too long", timeout=0.05)
        await served.listen()
        assert [sent.offset for sent in await asyncio.gather(*sends)] == [1, 2, 3]
        assert await take(ann, 3) == [0, 1, 2]


# ---------------------------------------------------------------------------- the end


async def test_a_server_that_is_not_there() -> None:
    async with serve() as served:
        url = served.url
    with pytest.raises(TimeoutError, match="did not let us in"):
        await RoomClient(url, timeout=0.3).__aenter__()


@both
async def test_a_kick_ends_it(served: Served, transports: list[Transport] | None) -> None:
    async with RoomClient(served.url, user="ann", transports=transports) as ann:
        await ann.send("before")
        server = served.app[SERVER]
        (session,) = server.eio.sockets.values()
        waiting = asyncio.create_task(take(ann, 2))
        await server.disconnect(session.owner.clients["/lobby"].sid, "/lobby")
        with pytest.raises(Disconnect) as ending:
            await waiting
        assert ending.value.code == "kicked"
        with pytest.raises(Disconnect):
            await ann.send("after")
        with pytest.raises(Disconnect):
            await anext(ann)


async def test_closing_ends_a_send_under_way(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, over = asyncio.Event(), asyncio.Event()

    async def slow(*args: Any) -> Any:
        asked.set()
        await over.wait()
        raise Refusal("forbidden")

    monkeypatch.setattr(served.app[ROOMS], "send", slow)
    async with RoomClient(served.url, user="ann") as ann:
        sending = asyncio.create_task(ann.send("x"))
        await asked.wait()
        await ann.close()
        with pytest.raises(ConnectionError):
            await sending
        over.set()


# ---------------------------------------------------------------------------- tokens


@both
async def test_a_token_says_who_it_is(transports: list[Transport] | None) -> None:
    async with serve(with_tokens()) as served:
        with pytest.raises(Refusal) as refusal:
            await RoomClient(served.url, user="ann", transports=transports).__aenter__()
        assert refusal.value.code == "unauthorized"
        async with RoomClient(served.url, token=token("ann"), transports=transports) as ann:
            assert ann.user is not None
            assert ann.user.id == "ann"


async def test_each_connection_gets_a_fresh_token() -> None:
    asked = 0

    async def fresh() -> str:
        nonlocal asked
        asked += 1
        return token("ann")

    async with serve(with_tokens()) as served, RoomClient(served.url, token=fresh) as ann:
        await served.cut()
        await ann.send("x")
        assert asked == 2


@pytest.mark.parametrize("kind", ["plain", "async"])
async def test_a_token_is_refreshed_before_it_expires(kind: str) -> None:
    asked = 0

    def fresh() -> str:
        nonlocal asked
        asked += 1
        # the first lives so short that the notice comes at once
        return token("ann", lives=2.0 if asked == 1 else 600.0)

    async def wait_for_it() -> str:
        return fresh()

    get: Callable[[], str | Awaitable[str]] = fresh if kind == "plain" else wait_for_it
    async with serve(with_tokens(expiry_notice=60)) as served:
        connections = served.app[SERVER].eio.sockets
        async with RoomClient(served.url, token=get) as ann:
            (session,) = connections.values()
            client = session.owner.clients["/lobby"]
            await until(lambda: client.identity.expires_at > time.time() + 500)
            await ann.send("still here")
            assert list(connections.values()) == [session]
            assert asked == 2


async def test_a_token_function_that_fails_is_asked_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    asked = 0

    def fresh() -> str:
        nonlocal asked
        asked += 1
        if asked in (2, 3):  # when the first is about to expire, and at the next connection
            raise OSError("no network")
        return token("ann", lives=2.0 if asked == 1 else 600.0)

    async with (
        serve(with_tokens(expiry_notice=60)) as served,
        RoomClient(served.url, token=fresh) as ann,
    ):
        await until(lambda: "no network" in caplog.text)
        await served.cut()
        assert (await ann.send("x")).offset == 1
        assert asked == 4


async def test_a_token_that_expires_ends_it() -> None:
    async with (
        serve(with_tokens()) as served,
        RoomClient(served.url, token=token("ann", lives=1.0)) as ann,
    ):
        with pytest.raises(Disconnect) as ending:
            await take(ann, 1)
        assert ending.value.code == "token_expired"


async def test_a_token_that_is_refused_on_return_ends_it() -> None:
    async with (
        serve(with_tokens()) as served,
        RoomClient(served.url, token=token("ann", lives=600, jti="number 1")) as ann,
    ):
        hub = served.app[NODE]._hub
        hub.holders.remove(*hub.holders._users["ann"])  # it is not ended as long as it is here
        await served.app[NODE]._engine.tokens.revoke(
            Revocation("token", "number 1", time.time() + 600)
        )
        await served.cut()
        with pytest.raises(Disconnect) as ending:
            await take(ann, 1)
        assert isinstance(ending.value.__cause__, Refusal)
        assert ending.value.__cause__.code == "unauthorized"


async def test_a_token_that_is_revoked_ends_it() -> None:
    async with (
        serve(with_tokens()) as served,
        RoomClient(served.url, token=token("ann", lives=600, jti="number 1")) as ann,
    ):
        await served.app[NODE]._engine.tokens.revoke(
            Revocation("token", "number 1", time.time() + 600)
        )
        with pytest.raises(Disconnect) as ending:
            await take(ann, 1)
        assert ending.value.code == "token_revoked"
