"""Some nodes in one process, which know each other, and the ways in to each of them."""

from __future__ import annotations

import asyncio
import inspect
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop

from sioserver.metrics import Metrics
from sioserver.model import Peer
from sioserver.transport.binding import read
from sioserver.transport.engineio import EngineServer
from sioserver.transport.routing import Router

from ..redis_servers import free_port
from .kit import Client, Site, engineio_server, serve

SECRET = "a secret that the nodes share, 32 bytes"
NODE_IDS = [f"{number:08x}" for number in range(0xA0, 0xB0)]


class Member:
    """A node."""

    def __init__(self, peer: Peer, site: Site, router: Router, metrics: Metrics) -> None:
        self.peer, self.site, self.router, self.metrics = peer, site, router, metrics

    @property
    def eio(self) -> EngineServer:
        return self.site.eio  # type: ignore[no-any-return]

    def session(self, sid: str) -> Any:
        return self.eio.sockets[sid]

    @property
    def connections(self) -> list[Any]:
        """aiohttp's, of clients."""
        return [*self.site.runner.server.connections]


class Nodes:
    """The registry that they share: an engine's `peer`."""

    def __init__(self) -> None:
        self.peers: dict[str, Peer] = {}
        self.asked: list[str] = []

    async def peer(self, node: str) -> Peer | None:
        self.asked.append(node)
        return self.peers.get(node)


class Cluster:
    """Nodes that are started one by one."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self.nodes = Nodes()
        self.members: list[Member] = []
        self.hosts: dict[str, str] = {}

    def directory(self, host: str) -> str:
        """The run directory of a host, which only its nodes can enter."""
        if host not in self.hosts:
            # short: the path of a unix socket has a limit, and tmp_path is long
            self.hosts[host] = self._stack.enter_context(directory())
        return self.hosts[host]

    async def add(
        self, host: str = "", *, address: str = "", secret: str = SECRET, **options: Any
    ) -> Member:
        """A node on a host (empty: none that it shares with anybody), or at an address, or both."""
        node = NODE_IDS[len(self.members)]
        peer = Peer(node, self.directory(host) if host else "", address)
        options.setdefault("ping_interval", 20)
        runner = options.pop("runner", {})
        eio = engineio_server(node_id=node, **options)
        site = await self._stack.enter_async_context(serve(eio, "engine.io", **runner))
        metrics = Metrics()
        router = Router(peer, self.nodes.peer, eio, metrics, secret=secret, clock=time.time)
        await router.start()
        self._stack.push_async_callback(router.stop)
        self.nodes.peers[node] = peer
        member = Member(peer, site, router, metrics)
        self.members.append(member)
        return member


@contextmanager
def directory() -> Iterator[str]:
    """A directory with a short name, that nobody else can enter."""
    path = tempfile.mkdtemp(prefix="s")
    try:
        yield path
    finally:
        shutil.rmtree(Path(path))


def on_both_loops(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """A test of a `Cluster`, its first argument, which runs on asyncio's loop and on uvloop's."""

    def run(loop: Callable[[], asyncio.AbstractEventLoop], **arguments: Any) -> None:
        async def main() -> None:
            async with AsyncExitStack() as stack:
                await test(Cluster(stack), **arguments)

        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(main())

    others = [*inspect.signature(test).parameters.values()][1:]
    loop = inspect.Parameter("loop", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    run.__signature__ = inspect.Signature([loop, *others])  # type: ignore[attr-defined]
    run.__name__, run.__doc__ = test.__name__, test.__doc__
    run.pytestmark = getattr(test, "pytestmark", [])  # type: ignore[attr-defined]
    loops = [asyncio.new_event_loop, uvloop.new_event_loop]
    return pytest.mark.parametrize("loop", loops, ids=["asyncio", "uvloop"])(run)


def free_address() -> str:
    """Where a node can listen."""
    return f"127.0.0.1:{free_port()}"


def owned_by_a_page(owner: Member, client: Client, origin: str) -> None:
    """From now on the session is that of a page."""
    owner.session(client.sid).binding = read({"Origin": origin}, "127.0.0.1", None)


def at(site: Site, entry: Member) -> Site:
    """The site of a session's client, which is asked for at another node from now on."""
    moved = Site(site.server, site.path, entry.site.port, site.http)
    moved.opened = site.opened
    return moved
