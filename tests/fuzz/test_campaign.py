"""Some thousands of hostile inputs against a live server, whose healthy clients must not notice.

The invariants are in invariants.py. `make fuzz` sends more, and others each time.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from sioserver.valkey import Valkey

from ..redis_servers import free_port
from .attacks import Frames, Knock, Plain, Raw, Talk
from .campaign import Broken, campaign
from .drive import WARM, Drive, fuzz
from .grammar import UPGRADE, frame, request

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


def test_nobody_notices_what_comes_to_the_plain_door() -> None:
    with Drive() as drive:
        fuzz(drive, 600, 3001, door="plain")
        assert drive.done >= 600


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


def said(*texts: str) -> tuple[bytes, ...]:
    return tuple(frame(1, text.encode()) for text in texts)


async def test_so_it_is_at_the_plain_door() -> None:
    async with campaign() as ready:
        await ready.warm_up(WARM)
        told = await ready.attack(
            [
                Plain("native", said('["nothing",null,1]')),
                Plain("native", said('["nothing"]')),
                Plain("native", said('["message"]'), joined=False),
                Plain("native", said("[[")),
                Plain("native", (frame(2, b"[]"),)),
                Plain("native", said("[[", '["nothing"]')),
                Plain("native", (frame(8, b"\x03\xe8"), *said('["nothing",null,1]'))),
                Plain("msgpack", (frame(2, b"\x93\xa7nothing\xc0\x01"),)),
                Plain("msgpack", (frame(2, b"\xc1"),), joined=False),
                Plain("tutorial", said("{}")),
                Plain("tutorial", said('{"name":"x","roomid":"a b"}', "a text"), joined=False),
                Plain("tutorial", (frame(2, b"x"),)),
                Plain("tutorial", (frame(3, b""),)),
                Knock(request("GET", "/ws", [*UPGRADE, "Sec-WebSocket-Protocol: chat"])),
                Knock(request("GET", "/ws", UPGRADE[:-1])),
            ]
        )
    broke = "['closed 3005 the client broke the protocol']"
    assert [line.rpartition("): ")[2] for line in told] == [
        "['unknown_event']",
        "['unknown_event']",
        "['not_member']",
        broke,
        broke,
        broke,
        "[]",
        "['unknown_event']",
        broke,
        "['bad_request']",
        "['bad_room']",
        broke,
        "['closed 1002 not a frame that may come here']",
        "['status 400']",
        "['status 400']",
    ]


async def test_a_plain_connection_that_is_left_behind_is_found() -> None:
    """A planted fault: somebody comes, says nothing, and stays."""
    async with campaign() as ready:
        await ready.warm_up(WARM)
        stays = await ready.http.ws_connect(f"{ready.site.origin}/ws")
        ready.patience = 0.2
        with pytest.raises(Broken, match="plain connections: 3, there were 2"):
            await ready.attack([Raw(b"nonsense\r\n\r\n")])
        await stays.close()


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
