"""Some thousands of hostile inputs against a live server, whose healthy clients must not notice.

The invariants are in invariants.py. `make fuzz` sends more, and others each time.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from sioserver.valkey import Valkey

from ..redis_servers import free_port
from .attacks import Frames, Raw, Talk
from .campaign import Broken, campaign
from .drive import WARM, Drive, fuzz
from .grammar import frame

pytestmark = [
    pytest.mark.timeout(400),
]


@pytest.mark.parametrize(
    ("reader", "count", "seed"), [("aiohttp", 2000, 1), ("picows", 1000, 1001)]
)
def test_nobody_notices(reader: str, count: int, seed: int) -> None:
    with Drive(**{"transport.websocket": reader}) as drive:
        fuzz(drive, count, seed)
        assert drive.done >= count


def test_nobody_notices_with_redis(tmp_path: Path) -> None:
    with (
        Valkey(tmp_path / "valkey", port=free_port()) as valkey,
        Drive(**{"redis.url": valkey.url}) as drive,
    ):
        fuzz(drive, 500, 2001)
        assert drive.done >= 500


async def test_what_attackers_are_told_is_what_was_counted() -> None:
    async with campaign() as ready:
        await ready.warm_up(WARM)
        told = await ready.attack(
            [
                Frames((frame(3, b""),)),
                Talk("websocket", ('42/hall,1["nothing"]',)),
                Raw(b"nonsense\r\n\r\n"),
                Raw(b"GET /socket.io/?EIO=4&transport=polling&sid=nobody\r\n\r\n"),
                # what is refused before the client breaks the protocol is thrown away with the rest
                Talk("polling", ('42/hall,1["nothing"]', "4nonsense")),
            ]
        )
    assert [line.rpartition(": ")[2] for line in told] == [
        "['closed 1002 not a frame that may come here']",
        "['unknown_event']",
        "['status 400']",
        "['status 400']",
        "['status 400', 'status 400', 'status 400 of a goodbye']",
    ]


@pytest.mark.parametrize("way", ["polling", "lane"])
async def test_an_attacker_that_is_behind_is_told_everything(way: str) -> None:
    """Its refusal comes behind all that was posted since its user was here, in many polls."""
    async with campaign() as ready:
        await ready.warm_up(WARM)
        await ready.attack([Talk("websocket", ('42/hall,1["message","x"]',) * 300)])
        [told] = await ready.attack([Talk(way, ('42/hall,1["nothing"]',))])
    assert told.endswith(": ['unknown_event']")


async def test_a_session_that_is_left_behind_is_found() -> None:
    """A planted fault: somebody opens a session and stays."""
    async with campaign() as ready:
        await ready.warm_up(WARM)
        client = await ready.site.polling()
        await client.join("/hall", {"user": "eve"})
        ready.patience = 0.2
        with pytest.raises(Broken, match="sessions: 3, there were 2"):
            await ready.attack([Raw(b"nonsense\r\n\r\n")])


async def test_a_rejection_that_nobody_was_told_is_found() -> None:
    """A planted fault: the server counts something else."""
    async with campaign() as ready:
        await ready.warm_up(WARM)
        await ready.site.get("nobody")
        with pytest.raises(Broken, match="'request_refusals Session ID unknown': 1"):
            await ready.attack([Raw(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")])
