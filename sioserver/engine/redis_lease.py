"""The lease under which a node's people are online: kept alive, renewed, and ended for the dead.

Each node shows a sign of life several times per lease; whose lease has ended is dead to the others,
and whichever node sees it first begins to take the dead node's people away. All times of leases are
the server's (TIME), so the nodes' clocks do not matter. Who the people are is `redis_presence`'s
business, who the nodes are `redis_nodes`'.

The one place of an engine that runs tasks: a sign of life must not depend on anybody's calls.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Mapping
from math import inf
from typing import Final

import msgspec

from sioserver.engine.redis_keys import Keys
from sioserver.engine.redis_nodes import RedisNodes
from sioserver.engine.redis_presence import RedisPresence
from sioserver.engine.redis_replies import answer
from sioserver.engine.redis_servers import Redis, load_script
from sioserver.errors import Refusal
from sioserver.model import Peer

log = logging.getLogger(__name__)

# In parts of the lease: a node is found dead at the latest after LENGTH + EVERY, and its people are
# to be gone within one.
_EVERY: Final = 0.1
"""Between two signs of life, which are also looks at the others."""
_LENGTH: Final = 0.7
"""How long a sign of life counts."""
_PAUSE: Final = 0.35
"""A longer pause between two own signs means that the server stood still, or this node: the others
may not have been able to show theirs, so nobody is declared dead for a whole lease."""

_REMEMBERED: Final = 24 * 3600.0
"""Seconds for which a lease that ended is told from one that Redis lost."""

_WELL, _LATE, _ENDED, _UNKNOWN = range(4)  # the states that lease.lua answers with


class Lease:
    """The lease of this node. `id` is its name, which is another one after each renewal."""

    def __init__(
        self,
        redis: Redis,
        keys: Keys,
        peer: Peer,
        presence: RedisPresence,
        nodes: RedisNodes,
        *,
        seconds: float,
        grace: float,
    ) -> None:
        """`peer`: how the others find this node. `seconds`: within which a dead node's people are
        gone. `grace`: seconds for which they stay when the node stops in good order."""
        self._redis = redis
        self._keys = keys
        self._peer = msgspec.json.encode(peer)
        self._presence = presence
        self._nodes = nodes
        self._seconds = seconds
        self._grace = grace
        self._script = load_script("lease")
        self._farewell = load_script("farewell")
        self.id = ""
        self._begun = -inf
        """When the lease was begun; like all times here, of the event loop."""
        self._calm_since = -inf
        self._doubted = False
        self._owed = False
        """The people here are to be entered again under this lease."""
        self._quietly = True
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._reaping: asyncio.Task[None] | None = None
        self._signs = self._renewals = self._expired = 0

    async def start(self) -> None:
        """Begin the lease; from then on the others find this node, and people can come. Raises a
        `Refusal`."""
        await self._begin()
        await self._nodes.refresh()
        self._task = asyncio.create_task(self._run(), name="lease")

    async def stop(self) -> None:
        """End it. The people stay for the grace time, because they usually come back through
        another node; then some other node takes them away. Never fails."""
        tasks = [task for task in (self._task, self._reaping) if task is not None]
        self._task = self._reaping = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        lease, self.id = self.id, ""
        if lease:
            # Nobody waits for a Redis that is away: the lease ends by itself.
            if self._is_connected():
                await self._presence.let_go()
            if self._is_connected():
                await self._say_farewell(lease)
        self._nodes.stop()

    def doubt(self) -> None:
        """Redis may not know any more what it was told (it was away): soon, and at most once in a
        lease, everybody is entered under a new one."""
        if not self.id:
            return
        self._doubted = True
        self._wake.set()

    async def beat(self) -> None:
        """Show a sign of life and look at the others. Done by itself after `start`. Raises a
        `Refusal`."""
        loop = asyncio.get_running_loop()
        calm = loop.time() - max(self._redis.up_since, self._calm_since) >= self._seconds
        state, ends, dying = await self._show(self.id, look=calm)
        if state == _LATE:
            self._calm_since = loop.time()
        lost = state in (_ENDED, _UNKNOWN)
        if not lost:
            self._presence.hold(self.id, ends)
        else:
            log.warning(
                "the lease of this node %s; its people are entered again",
                "had ended" if state == _ENDED else "is unknown to Redis, which has lost data",
            )
            self._quietly = self._quietly and state == _UNKNOWN
            if state == _UNKNOWN:
                # The other nodes have to find out as well before they are in the list again.
                self._nodes.keep(self._seconds)
        if lost or (self._doubted and loop.time() - self._begun >= self._seconds):
            await self._begin(self.id)
            self._renewals += 1
            self._doubted, self._owed = False, True
        if self._owed:
            await self._presence.enter_again(quietly=self._quietly)
            self._owed, self._quietly = False, True
        if dying and (self._reaping is None or self._reaping.done()):
            self._reaping = asyncio.create_task(self._reap(dying), name="reap")
        await self._nodes.refresh()
        self._signs += 1

    def stats(self) -> Mapping[str, float]:
        """Gauges and counters for `/metrics`, by name."""
        return {
            "signs_of_life_total": self._signs,
            "leases_renewed_total": self._renewals,
            "leases_expired_total": self._expired,
        }

    async def _run(self) -> None:
        well = True
        while True:
            try:
                async with asyncio.timeout(self._seconds * _EVERY):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            try:
                await self.beat()
            except Refusal as refusal:
                if well:  # said once, not with every try
                    log.warning("no sign of life could be shown: %s", refusal.message)
                well = False
            except Exception:  # without this task the node would die for the others
                if well:
                    log.exception("no sign of life could be shown")
                well = False
            else:
                well = True

    async def _begin(self, replaces: str = "") -> None:
        """Begin a new lease. The one that it replaces, if Redis still holds anybody under it, is
        ended a little later, when everybody was entered under the new one."""
        lease = secrets.token_hex(8)
        if replaces:
            await self._presence.record_again()
        _, ends, _ = await self._show(lease, begins=True, replaces=replaces)
        self.id = lease
        self._begun = asyncio.get_running_loop().time()
        self._presence.hold(lease, ends)

    async def _show(
        self, lease: str, *, begins: bool = False, look: bool = False, replaces: str = ""
    ) -> tuple[int, int, dict[str, float]]:
        """What lease.lua answers; the leases with when they ended, in seconds since 1970."""
        keys = self._keys
        # One that lay in the socket of a server that stood still must not find the others dead
        # before they can show that they live.
        now = self._redis.server_time(keys.leases)
        look_until = round((now + self._seconds * _PAUSE) * 1000) if look else 0
        call = self._redis.script(
            self._script,
            [keys.leases, keys.dying, keys.dead, keys.peers],
            [
                lease,
                round(self._seconds * _LENGTH * 1000),
                self._peer,
                "1" if begins else "",
                round(self._seconds * _PAUSE * 1000),
                look_until,
                round(_REMEMBERED * 1000),
                keys.nodes,
                self._publish(),
                replaces,
            ],
        )
        state, ends, dying = await answer(call)
        ended = zip(dying[::2], dying[1::2], strict=True)
        return state, ends, {name.decode(): float(at) / 1000 for name, at in ended}

    async def _reap(self, leases: Mapping[str, float]) -> None:
        for lease, ended in leases.items():
            try:
                await self._presence.reap(lease, ended)
                dying = self._keys.dying
                await answer(self._redis.command(dying, "ZREM", dying, lease))
            except Refusal:
                return  # found again with one of the next looks, here or elsewhere
            except Exception:  # another look will find them
                log.exception("a dead node's people could not be taken away")
                return
            self._expired += 1

    async def _say_farewell(self, lease: str) -> None:
        keys = self._keys
        call = self._redis.script(
            self._farewell,
            [keys.leases, keys.dying, keys.peers],
            [lease, round(self._grace * 1000), keys.nodes, self._publish()],
        )
        try:
            await answer(call)
        except Refusal as refusal:
            log.warning("no farewell could be said, so the lease ends by itself: %s", refusal)

    def _is_connected(self) -> bool:
        return self._redis.up_since != inf

    def _publish(self) -> str:
        return "SPUBLISH" if self._redis.cluster else "PUBLISH"
