"""Asking nodes at their internal addresses: real ones, one with another secret, and none."""

from __future__ import annotations

import time

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from sioserver.config import Config
from sioserver.config.schema import Cluster
from sioserver.doctor.look_peers import ahead, look
from sioserver.model import Peer

from ..redis_servers import free_port
from ..transport.cluster import SECRET, free_address, on_both_loops
from ..transport.cluster import Cluster as Nodes


def config(secret: str) -> Config:
    return Config(cluster=Cluster(secret=secret))


@on_both_loops
async def test_who_believes_us_and_who_does_not(cluster: Nodes) -> None:
    member = await cluster.add(address=free_address())
    silent = Peer("f0", address=f"127.0.0.1:{free_port()}")
    near = Peer("f1", "/run/somewhere")
    believed, gone, local = await look(config(SECRET), [member.peer, silent, near], 5.0)
    assert (believed.status, believed.error) == (400, "")
    assert believed.skew == 0.0
    assert gone.status == 0
    assert gone.error
    assert (local.address, local.status) == ("", 0)
    (denied,) = await look(config("another secret that has 32 bytes..."), [member.peer], 5.0)
    assert denied.status == 403
    (denied,) = await look(config(""), [member.peer], 5.0)
    assert denied.status == 403


async def test_whose_clock_is_wrong() -> None:
    ahead = 0.0

    async def answer(request: web.Request) -> web.Response:
        moment = time.gmtime(time.time() + ahead)
        text = time.strftime("%a, %d %b %Y %H:%M:%S GMT", moment) if ahead < 1e6 else "yesterday"
        return web.Response(status=400, headers={"Date": text})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server:
        peer = Peer("a", address=f"127.0.0.1:{server.port}")
        for planted in (0.0, 100.0, -100.0):
            ahead = planted
            (found,) = await look(config(SECRET), [peer], 5.0)
            assert found.skew is not None
            # at the least: an answer may have been on its way for as long as it took
            assert min(planted, 0) - 1 <= found.skew <= max(planted, 0)
            assert (abs(found.skew) > 60) == (planted != 0)
        ahead = 1e7
        (found,) = await look(config(SECRET), [peer], 5.0)
        assert found.skew is None


@pytest.mark.parametrize(
    ("said", "skew"), [(99.0, -1.0), (100.0, 0.0), (101.5, 0.0), (102.0, 0.0), (105.0, 3.0)]
)
def test_a_clock_is_wrong_by_what_cannot_be_otherwise(said: float, skew: float) -> None:
    assert ahead(said, 100.0, 102.0) == skew
