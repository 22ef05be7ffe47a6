"""Which server gets a command: the only one, the master that the Sentinels name, or a cluster's.

It knows nothing of what the commands mean. Each server's line is a `Link`, which keeps the order
and mends itself; here it is decided where it leads.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from math import inf
from typing import Any, Final
from weakref import WeakKeyDictionary

from sioserver.config.schema import Redis as Settings
from sioserver.engine.base import StoreError
from sioserver.engine.redis_access import (
    Access,
    Address,
    Argument,
    NotReady,
    ReplyError,
    pack_command,
    pauses,
)
from sioserver.engine.redis_calls import DENIED, Call, Unavailable
from sioserver.engine.redis_cluster import QUESTION, Cluster
from sioserver.engine.redis_link import Link
from sioserver.engine.redis_scripts import Script, load_script
from sioserver.engine.redis_sentinel import Sentinels

__all__ = ["Redis", "ReplyError", "Script", "Unavailable", "load_script"]

log = logging.getLogger(__name__)

OLDEST_CLUSTER: Final = (7, 0)
"""Has sharded pub/sub."""
LOADING: Final = 300.0
"""Seconds that `start` waits for a server that reads its data."""
MASTER_CHECK: Final = 5.0
"""Seconds between two questions to the Sentinels: a master that is cut off from them may go on
answering us."""


class Redis:
    """The servers behind `config.redis`; made in a running event loop.

    `name`: of our connections, for CLIENT LIST. `on_connected` is called when a connection is up,
    the first one, too: what is sent in it goes out before everything that waits for that server.
    `on_lost(reason)` is called when one breaks.
    """

    def __init__(
        self,
        config: Settings,
        *,
        name: str,
        on_connected: Callable[[], None],
        on_lost: Callable[[str], None],
    ) -> None:
        self.settings = config
        self._name = name
        self._on_connected = on_connected
        self._on_lost = on_lost
        self._timeout = config.timeout
        self._access: Access | None = None
        self._only: Link | None = None
        """The one link, unless it is a cluster."""
        self._cluster: Cluster | None = None
        self._sentinels: Sentinels | None = None
        self._changed = asyncio.Event()
        """A link is up, or has failed to come up."""
        self._failure: Exception | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._said: WeakKeyDictionary[Link, str] = WeakKeyDictionary()
        """The last failure of a link that was logged: not again and again."""
        self._followers: list[Callable[[], None]] = []
        self._denied: str | None = None
        self._denied_key = ""
        self._probe: asyncio.TimerHandle | None = None

    # -- commands ---------------------------------------------------------------------------------

    def command(self, key: str, *args: Argument) -> asyncio.Future[Any]:
        """Send a command to the server that has `key`. The future gets the reply (bytes, int, None,
        lists of these), or raises Unavailable or ReplyError; it may be cancelled."""
        call = Call(pack_command(args), self._future(), self._now() + self._timeout, key)
        (self._only or self._link(key)).send(call)
        return call.future

    def script(
        self, script: Script, keys: Sequence[str], args: Sequence[Argument]
    ) -> asyncio.Future[Any]:
        """The same for a script; the server that has the first key gets it."""
        data = pack_command(("EVALSHA", script.sha1, len(keys), *keys, *args))
        key = keys[0]
        call = Call(data, self._future(), self._now() + self._timeout, key, script)
        (self._only or self._link(key)).send(call)
        return call.future

    def _link(self, key: str) -> Link:
        assert self._cluster is not None, "not started"
        return self._cluster.link(key)

    # -- what is known of the servers -------------------------------------------------------------

    @property
    def cluster(self) -> bool:
        """Whether the keys are spread over servers (known after `start`)."""
        return self._cluster is not None

    @property
    def trouble(self) -> str | None:
        """None while commands are answered, else why they are not."""
        links = self._all()
        for link in links:
            if link.trouble:
                return link.trouble
        if self._cluster is not None and self._cluster.trouble:
            return f"Redis: {self._cluster.trouble}"
        return self._denied if links else "Redis: not connected yet"

    @property
    def up_since(self) -> float:
        """Loop time since when all servers have been answering without a break; inf when one does
        not."""
        return max((link.up_since for link in self._all()), default=inf)

    def server_time(self, key: str = "") -> float:
        """The clock of the server that has `key`, seconds since 1970, give or take a round trip."""
        return (self._only or self._link(key)).server_time()

    def stats(self) -> Mapping[str, float]:
        """Gauges and counters, by name."""
        links = self._all()
        stats: dict[str, float] = {
            "redis_waiting": sum(link.unanswered for link in links),
            "redis_waiting_bytes": sum(link.bytes_waiting for link in links),
            "redis_connections": sum(link.up for link in links),
            "redis_servers": len(links),
        }
        for name in ("commands", "writes", "resent", "expired", "refused", "breaks"):
            stats[f"redis_{name}"] = sum(getattr(link, name) for link in links)
        if self._cluster is not None:
            stats["redis_slot_changes"] = self._cluster.changes
            stats["redis_asks"] = self._cluster.asks
        return stats

    @property
    def access(self) -> Access:
        """How its servers are reached (after `start`)."""
        assert self._access is not None, "not started"
        return self._access

    def follow(self, callback: Callable[[], None]) -> None:
        """Have it called when channels may be found at another server than before."""
        self._followers.append(callback)

    def owner(self, channel: str) -> Address | None:
        """The server of a cluster that has the channel; None where there is only one server."""
        return self._cluster.owner(channel) if self._cluster is not None else None

    def serves(self, address: Address | None) -> bool:
        """Whether commands go to this server; false, too, while nobody knows."""
        return any(link.up and link.address == address for link in self._all())

    async def anybody(self) -> Address:
        """A server to connect to: the master, or any node of a cluster."""
        if self._sentinels is not None:
            return await self._sentinels.master()
        for link in self._all():
            if link.up and link.address is not None:
                return link.address
        return self.access.address

    def _all(self) -> Sequence[Link]:
        if self._cluster is not None:
            return list(self._cluster.links.values())
        return [self._only] if self._only is not None else []

    # -- starting and stopping --------------------------------------------------------------------

    async def start(self) -> None:
        """Find the servers and connect. Raises StoreError with what to do about it when that cannot
        be done within the timeout (longer, while a server reads its data)."""
        loop = asyncio.get_running_loop()
        self._future, self._now = loop.create_future, loop.time
        where = ", ".join(self.settings.sentinels)
        try:
            self._access = access = Access(self.settings, self._name)
            where = where or str(access.address)
            if self.settings.sentinels:
                self._sentinels = Sentinels(self.settings, access)
                self._only = self._new_link(self._sentinels.master)
                self._tasks.append(loop.create_task(self._check_master(), name="redis sentinels"))
            else:
                await self._look(access)
            if self._only is not None:
                self._only.start()
            await self._connected()
        except NotReady as error:
            await self.stop()
            raise StoreError(f"Redis at {where or 'redis.url'}: {error}") from error
        except BaseException:
            await self.stop()
            raise

    async def _look(self, access: Access) -> None:
        """Is it one server or a cluster?"""
        patience, waits = _Patience(self._timeout), pauses()
        while True:
            try:
                async with asyncio.timeout(self._timeout):
                    transport, hello, replies = await access.connect(access.address, QUESTION)
                transport.abort()
                break
            except (OSError, UnicodeError, NotReady) as error:
                patience.with_(error)
            await asyncio.sleep(next(waits))
        if hello.cluster and hello.version < OLDEST_CLUSTER:
            raise NotReady(f"a cluster of version {hello.version[0]}, at least 7 is needed")
        if not hello.cluster:
            self._only = self._new_link(_always(access.address))
            return
        self._cluster = Cluster(
            access, access.address, lambda address: self._new_link(_always(address))
        )
        self._cluster.on_change = self._tell_followers
        self._cluster.apply(replies[0], access.address)
        follow = self._cluster.follow()
        self._tasks.append(asyncio.get_running_loop().create_task(follow, name="redis slots"))

    def _new_link(self, where: Callable[[], Awaitable[Address]]) -> Link:
        assert self._access is not None
        return Link(self._access, where, self, timeout=self._timeout, most=self.settings.queue)

    async def _connected(self) -> None:
        """Wait until every link is up; in a cluster some may be missing in the end: their rooms
        cannot be used, the others can."""
        patience = _Patience(self._timeout)
        failure: Exception = NotReady("no answer")
        while not all(link.up for link in self._all()):
            self._changed.clear()
            self._failure = None
            try:
                async with asyncio.timeout(self._timeout):
                    await self._changed.wait()
            except TimeoutError:
                pass  # the last failure counts
            else:
                if self._failure is None:  # a link is up
                    continue
                failure = self._failure
            try:
                patience.with_(failure)
            except NotReady:
                if not (self._cluster and any(link.up for link in self._all())):
                    raise
                return

    async def stop(self) -> None:
        """Wait until what was accepted is answered or has timed out, and close. For good; safe to
        call twice."""
        if self._probe is not None:
            self._probe.cancel()
        if self._only is not None:
            await self._only.stop()
        if self._cluster is not None:
            await self._cluster.stop()
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _check_master(self) -> None:
        """Follow the Sentinels also when the old master does not notice that it is none any more;
        runs until it is cancelled."""
        assert self._sentinels is not None
        assert self._only is not None
        said = ""
        while True:
            await asyncio.sleep(MASTER_CHECK)
            try:
                master = await self._sentinels.master()
            except NotReady as error:
                if str(error) != said:
                    said = str(error)
                    log.warning("Redis: %s", said)
                continue
            said = ""
            if self._only.up and master != self._only.address:
                self._only.reconnect(f"the master is {master} now")

    # -- what links tell (see `redis_link.Owner`) -------------------------------------------------

    def on_up(self, link: Link) -> None:
        """See `Owner.on_up`."""
        log.info("Redis: connected to %s as %s", link.address, self._name)
        self._said.pop(link, None)
        self._changed.set()
        if self._cluster is None:
            self._tell_followers()
        try:
            self._on_connected()
        except Exception:  # the connection is there nevertheless
            log.exception("Redis: what is done at each connect has failed")

    def _tell_followers(self) -> None:
        for callback in self._followers:
            callback()

    def suspect(self) -> None:
        """Somebody was told that slots are elsewhere: have a look."""
        if self._cluster is not None:
            self._cluster.suspect()

    def on_down(self, link: Link, reason: str) -> None:
        """See `Owner.on_down`."""
        log.warning("Redis at %s: %s", link.address, reason)
        if self._cluster is not None:
            self._cluster.suspect()
        try:
            self._on_lost(reason)
        except Exception:  # a link that is down comes back nevertheless
            log.exception("Redis: what is done when a connection breaks has failed")

    def on_failed(self, link: Link, error: Exception) -> None:
        """See `Owner.on_failed`."""
        if link.trouble and self._said.get(link) != link.trouble:
            self._said[link] = link.trouble
            log.warning("%s", link.trouble)
        self._failure = error
        self._changed.set()
        if self._cluster is not None:
            self._cluster.suspect()

    def on_ask(self, link: Link, call: Call, error: ReplyError) -> bool:
        """See `Owner.on_ask`."""
        if self._cluster is None or link.address is None:
            return False
        return self._cluster.on_ask(call, error, link.address)

    def on_moved(self, link: Link, error: ReplyError) -> bool:
        """See `Owner.on_moved`."""
        if self._cluster is None:
            return False
        self._cluster.on_moved(link, error)
        return True

    def on_idle(self, link: Link) -> None:
        """See `Owner.on_idle`."""
        if self._cluster is not None:
            self._cluster.on_idle()

    def on_denied(self, link: Link, call: Call, error: ReplyError) -> None:
        """See `Owner.on_denied`. When nobody writes because of `trouble`, nobody would ever learn
        that it is over; so it is tried from time to time."""
        if self._denied is None:
            log.error("Redis at %s cannot be written to: %s", link.address, error)
            self._probe_later()
        self._denied = f"Redis at {link.address} cannot be written to: {error}"
        self._denied_key = call.key

    def _probe_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._probe = loop.call_later(self._timeout / 2, self._try_to_write)

    def _try_to_write(self) -> None:
        link = self._only or self._link(self._denied_key)
        self._probe_later()
        if link.up:
            key = _beside(self._denied_key, f"{self.settings.prefix}:probe")
            link.ask(("SET", key, "1", "PX", 1000)).add_done_callback(self._tried)

    def _tried(self, answer: asyncio.Future[Any]) -> None:
        if self._denied is None or answer.cancelled():
            return
        reply = answer.result()
        if isinstance(reply, ReplyError) and reply.code in DENIED:
            return
        log.info("Redis can be written to again")
        self._denied = None
        if self._probe is not None:
            self._probe.cancel()


class _Patience:
    """How long to wait for the first connection."""

    def __init__(self, timeout: float) -> None:
        self._now = asyncio.get_running_loop().time
        self._until = self._now() + timeout
        self._loading_until = self._now() + LOADING

    def with_(self, error: Exception) -> None:
        """Raise NotReady unless it is worth to try on."""
        if isinstance(error, NotReady) and error.loading:
            if self._now() < self._loading_until:
                return
        elif self._now() < self._until and not (isinstance(error, NotReady) and error.hopeless):
            return
        if isinstance(error, NotReady):
            raise error
        reason = str(error) or "no answer"
        raise NotReady(f"{reason}; is it running, and is redis.url right?") from error


def _always(address: Address) -> Callable[[], Awaitable[Address]]:
    async def where() -> Address:
        return address

    return where


def _beside(key: str, name: str) -> str:
    """A key of another name in the same slot."""
    start = key.find("{")
    end = key.find("}", start + 1)
    tag = key[start + 1 : end] if -1 < start < end - 1 else key
    return f"{name}:{{{tag}}}"
