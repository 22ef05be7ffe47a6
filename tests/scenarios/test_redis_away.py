"""Redis is away, or forgets: what nodes say and do meanwhile, and that all comes back by itself."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio

from sioserver.client import RoomClient
from sioserver.testing import ServerProcess
from sioserver.valkey import Valkey

from ..chaos import Proxy
from ..redis_servers import ask, free_port
from .kit import READY_WITHIN, UNREADY_WITHIN, Bare, becomes, nodes, status, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUICK = {
    "presence.batch": 0.05,
    "presence.grace": 0.5,
    "presence.lease": 1,
    "redis.timeout": 1.5,  # longer than the lease, and far from what has to be done in time
}
POSTED = 20
LINES = 20
"""Most lines that a node prints of one outage (requests apart)."""


class Far:
    """Two nodes, and a Valkey behind a proxy."""

    valkey: Valkey
    proxy: Proxy
    a: ServerProcess
    b: ServerProcess


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def far(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Far]:
    directory, far = tmp_path_factory.mktemp("far"), Far()
    with Valkey(directory, port=free_port(), fsync="always") as far.valkey:
        async with (
            Proxy(far.valkey.port) as far.proxy,
            nodes(2, f"redis://127.0.0.1:{far.proxy.port}/0", settings=QUICK) as (far.a, far.b),
        ):
            yield far


async def killed(far: Far) -> None:
    far.valkey.kill()


async def frozen(far: Far) -> None:
    far.valkey.pause()


async def cut_off(far: Far) -> None:
    await far.proxy.cut("rst")


async def ended(far: Far) -> None:
    await far.proxy.cut("fin")


async def half_open(far: Far) -> None:
    far.proxy.stall()


async def back(far: Far) -> None:
    if far.valkey.running:
        far.valkey.resume()
    else:
        await far.valkey.async_start()
    far.proxy.heal()


@pytest.fixture
def room() -> str:
    return f"room-{secrets.token_hex(4)}"


@pytest.mark.parametrize("fault", [killed, frozen, cut_off, ended, half_open])
async def test_while_redis_is_away_everybody_stays_and_nothing_is_promised(
    far: Far, room: str, fault: Callable[[Far], Awaitable[None]]
) -> None:
    both = (far.a, far.b)
    async with (
        Bare(far.a.url, "websocket", room, user="ann") as ann,
        Bare(far.b.url, "polling", room, user="bob") as bob,
        RoomClient(far.a.url, room, user="cid") as cid,
    ):
        for number in range(POSTED):
            await cid.send(number)
        await until(lambda: len(ann.messages) == len(bob.messages) == POSTED)
        await until(lambda: ann.counts == bob.counts == (3, 3))
        printed = [len(server.output) for server in both]

        began = time.monotonic()
        await fault(far)
        try:
            patient = asyncio.create_task(cid.send("patient", timeout=60))
            unready = await asyncio.gather(
                *(becomes(503, server.url, UNREADY_WITHIN) for server in both)
            )
            await nothing_is_promised(ann, bob)
            assert [await status(f"{server.url}/healthz") for server in both] == [200, 200]
            # who comes now is let in when that is possible
            late = RoomClient(far.b.url, room, user="dan", timeout=60)
            coming = asyncio.create_task(late.__aenter__())
            assert not patient.done()
        finally:
            await back(far)
        away = time.monotonic() - began
        assert away > QUICK["presence.lease"]

        ready = await asyncio.gather(*(becomes(200, server.url, READY_WITHIN) for server in both))
        began = time.monotonic()
        sent = await patient
        await until(lambda: len(ann.messages) == len(bob.messages) == POSTED + 1)
        took = time.monotonic() - began
        await coming
        try:
            await late.send("all is well")
            await until(lambda: len(ann.messages) == len(bob.messages) == POSTED + 2)
            for bare in (ann, bob):
                # nothing of what was refused has come to be
                assert bare.offsets == list(range(1, POSTED + 3))
                told = [message["body"] for message in bare.messages]
                assert told == [*range(POSTED), "patient", "all is well"]
                assert (bare.disconnects, bare.gaps, len(bare.welcomes)) == (0, [], 1)
            assert sent.offset == POSTED + 1
            # nobody was away for the others, though it lasted longer than a lease
            await until(lambda: ann.counts == bob.counts == (4, 4))
            for bare in (ann, bob):
                assert [person for diff in bare.presence for person in diff["left"]] == []
        finally:
            await late.close()
        for server, before in zip(both, printed, strict=True):
            lines = [line for line in server.output[before:] if "sioserver.access" not in line]
            assert len(lines) <= LINES, "\n".join(lines)
        print(  # noqa: T201
            f"away for {away:.1f} s: not ready after {max(unready):.1f} s, ready again "
            f"{max(ready):.1f} s after it was back, a waiting message {took:.1f} s later"
        )


async def nothing_is_promised(ann: Bare, bob: Bare) -> None:
    """Posts are refused in time and as temporary; the rest goes on."""
    began = time.monotonic()
    answers = await asyncio.gather(
        *(bare.call("message", f"refused {n}") for bare in (ann, bob) for n in range(3))
    )
    assert time.monotonic() - began < UNREADY_WITHIN
    for answer in answers:
        assert answer["ok"] is False
        assert answer["error"]["code"] == "unavailable"
        assert answer["error"]["temporary"] is True
        assert answer["error"]["retry_after"] > 0
    for bare in (ann, bob):
        # what is in memory can be read, and what goes through no store works
        page = await bare.call("history", {"limit": 10})
        assert [item["body"] for item in page["items"]] == list(range(POSTED - 10, POSTED))
        assert (await bare.call("typing", True))["ok"]


async def test_a_log_that_redis_has_lost_is_told_as_a_gap(far: Far, room: str) -> None:
    async with (
        Bare(far.a.url, "websocket", room, user="ann") as ann,
        Bare(far.b.url, "polling", room, user="bob") as bob,
    ):
        for number in range(5):
            await ann.call("message", number)
        await until(lambda: len(ann.messages) == len(bob.messages) == 5)
        await until(lambda: ann.counts == bob.counts == (2, 2))
        ask(far.valkey, "FLUSHALL")
        # this finds it out, and is announced behind the gap
        answer = await ann.call("message", "anew")
        assert (answer["ok"], answer["offset"]) == (True, 1)
        await until(lambda: ann.gaps and bob.gaps)
        assert (await bob.call("message", "behind it"))["offset"] == 2
        await until(lambda: ann.offsets[-1:] == bob.offsets[-1:] == [2])
        for bare in (ann, bob):
            (gap,) = bare.gaps
            assert (gap["from"], gap["to"]) == (0, 0)
            assert bare.offsets[5:] == [1, 2]
        assert ann.position == bob.position
        assert ann.counts[0] == bob.counts[0] == 2
        for bare in (ann, bob):  # they are entered again
            async with asyncio.timeout(10):
                while len((await bare.call("members"))["online"]) != 2:
                    await asyncio.sleep(0.05)
        # who comes back from before is told as well
        async with Bare(far.b.url, "websocket", room, user="cid", position="gone.5") as cid:
            await until(lambda: cid.gaps)
            await bob.call("message", "for all")
            everybody = (ann, bob, cid)
            await until(
                lambda: all(
                    bare.messages and bare.messages[-1]["body"] == "for all" for bare in everybody
                )
            )
            assert ann.position == bob.position == cid.position
