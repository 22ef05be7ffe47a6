"""The servers of a cluster: who has which slot, and what is done when slots change hands.

Calls of one slot keep their order while it moves: the links stop writing, the replies on their way
are waited for, and only then what is left is dealt out anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from math import inf
from typing import Any, Final

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from sioserver.engine.redis_access import (
    Access,
    Address,
    Command,
    NotReady,
    ReplyError,
    pauses,
)
from sioserver.engine.redis_link import Call, Link

log = logging.getLogger(__name__)

DRAIN: Final = 0.5
"""Seconds that all links wait for the replies of one, before slots change hands."""
ANSWER: Final = 1.0
"""Seconds for a server to tell who has the slots; then another one is asked."""
FRESH: Final = 5.0
"""Seconds for which it counts that a cluster was down; there are heartbeats, so it is asked
again."""
CALM: Final = 2.0
"""Seconds without trouble after which the next is looked into at once."""
ASKS: Final = 16
"""Redirections of one call."""
QUESTION: Final[Command] = ("CLUSTER", "SLOTS")
_CACHED: Final = 8192
"""Keys whose slots are kept."""


class Cluster:
    """The links to the masters of a cluster.

    `first`: any node, for when nobody else can be asked. `new_link` makes one, which is started
    here.
    """

    def __init__(self, access: Access, first: Address, new_link: Callable[[Address], Link]) -> None:
        self._access = access
        self._first = first
        self._new_link = new_link
        self.links: dict[Address, Link] = {}
        self.on_change: Callable[[], None] = lambda: None
        """Called when slots have changed hands."""
        self.changes = 0
        self.asks = 0
        self._down = ("", -inf)
        self._owners: list[Address] = [first] * REDIS_CLUSTER_HASH_SLOTS
        self._by_slot: list[Link] = []
        self._slots: dict[str, int] = {}
        self._wanted = asyncio.Event()
        self._idle = asyncio.Event()
        self._hint: Address | None = None
        self._ending: set[asyncio.Task[None]] = set()

    @property
    def trouble(self) -> str | None:
        """What the cluster has said a moment ago of not being able to serve."""
        text, at = self._down
        return text if asyncio.get_running_loop().time() - at < FRESH else None

    def slot(self, key: str) -> int:
        """The slot of a key or channel."""
        slot = self._slots.get(key)
        if slot is None:
            if len(self._slots) >= _CACHED:
                self._slots.clear()
            slot = self._slots[key] = key_slot(key.encode())
        return slot

    def link(self, key: str) -> Link:
        """Where commands for a key go."""
        return self._by_slot[self.slot(key)]

    def owner(self, key: str) -> Address:
        """The server that has a key or channel."""
        return self._owners[self.slot(key)]

    def suspect(self, hint: Address | None = None) -> None:
        """Find out soon who has which slot. `hint`: who should know."""
        self._hint = hint
        self._wanted.set()

    # -- what links tell (see `redis_link.Owner`)

    def on_ask(self, call: Call, error: ReplyError, source: Address) -> bool:
        """The slot is moving, and the key is not at its old place any more."""
        target = _target(error, source)
        if target is None or call.tries > ASKS:
            return False
        self.asks += 1
        self._linked(target).take_asked(call)
        return True

    def on_moved(self, link: Link, error: ReplyError) -> None:
        """The table is wrong. The link waits until that is mended."""
        if error.code == "CLUSTERDOWN":
            self._down = (str(error), asyncio.get_running_loop().time())
        self.suspect(_target(error, link.address) if link.address else None)
        link.hold()

    def on_idle(self) -> None:
        """A held link waits for nothing any more."""
        self._idle.set()

    # -- following the slots

    def apply(self, reply: Any, source: Address) -> None:
        """Begin with an answer to `QUESTION` by `source`; raises NotReady when it is none."""
        self._take_over(_owners(reply, source, self._first))

    def _take_over(self, owners: list[Address]) -> None:
        """Every link waits for nothing; what they have not sent is dealt out anew."""
        calls = [call for link in self.links.values() for call in link.give_back()]
        calls.sort(key=lambda call: call.deadline)  # stable, so those of one slot keep their order
        self._owners = owners
        wanted = set(owners)
        for address in wanted:
            self._linked(address)
        for address in self.links.keys() - wanted:
            ending = asyncio.get_running_loop().create_task(self.links.pop(address).stop())
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)
        self._by_slot = [self.links[address] for address in owners]
        for call in calls:
            self.link(call.key).take([call])
        self.changes += 1
        self.on_change()

    def _linked(self, address: Address) -> Link:
        link = self.links.get(address)
        if link is None:
            link = self.links[address] = self._new_link(address)
            link.start()
        return link

    async def follow(self) -> None:
        """Look when somebody says that slots have moved; runs until it is cancelled."""
        loop = asyncio.get_running_loop()
        waits, last, said = pauses(), loop.time(), ""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            if loop.time() - last > CALM:
                waits = pauses()
            try:
                owners = await self._look()
                if owners != self._owners:
                    await self._quiet()
                    self._take_over(owners)
                    self._release()
            except NotReady as error:
                if str(error) != said:
                    said = str(error)
                    log.warning("nobody tells who has which slot of the cluster: %s", said)
                self._wanted.set()
            except Exception:  # without this task moved slots would be lost for ever
                log.exception("a look at the cluster's slots has failed in an unforeseen way")
                self._wanted.set()
            # A cluster that is down answers as before: it is asked again, but not all the time.
            await asyncio.sleep(next(waits))
            self._release()
            last = loop.time()

    def _release(self) -> None:
        for link in list(self.links.values()):
            link.release()

    async def stop(self) -> None:
        """Wait until everything is answered or timed out, and close the links."""
        links = list(self.links.values())
        await asyncio.gather(*(link.stop() for link in links), *self._ending)

    async def _quiet(self) -> None:
        """Stop writing everywhere, and wait for what is on its way. A server that is silent for
        long loses its connection: what it has not answered is dealt out with the rest."""
        try:
            async with asyncio.timeout(DRAIN):
                while True:
                    for link in list(self.links.values()):  # there may be a new one
                        link.hold()
                    if not any(link.in_flight for link in self.links.values()):
                        return
                    self._idle.clear()
                    await self._idle.wait()
        except TimeoutError:
            for link in list(self.links.values()):
                if link.in_flight:
                    link.reconnect("it did not answer while slots moved")

    async def _look(self) -> list[Address]:
        """Ask the servers, one after the other; raises NotReady when none can tell."""
        reason = "nobody can be asked"
        for address in self._candidates():
            try:
                async with asyncio.timeout(ANSWER):
                    transport, _, replies = await self._access.connect(address, QUESTION)
                transport.abort()
                return _owners(replies[0], address, self._first)
            except TimeoutError:
                reason = f"{address}: no answer within {ANSWER:g} s"
            except (OSError, UnicodeError, NotReady) as error:
                reason = f"{address}: {error}"
        raise NotReady(reason)

    def _candidates(self) -> Iterator[Address]:
        hint, self._hint = self._hint, None
        asked = set()
        up = [address for address, link in self.links.items() if link.up]
        for address in (hint, *up, *self.links, self._first):
            if address is not None and address not in asked:
                asked.add(address)
                yield address


def _owners(reply: Any, source: Address, default: Address) -> list[Address]:
    """By slot. One that nobody has goes to somebody who will say so."""
    if isinstance(reply, ReplyError) or not reply:
        raise NotReady(f"it does not say who has which slot: {reply or 'nobody has one'}")
    owners: list[Address | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
    try:
        for first, last, master, *_replicas in reply:
            address = _address(master[0], master[1], source)
            for slot in range(first, last + 1):
                owners[slot] = address
    except (TypeError, ValueError, IndexError, AttributeError) as error:
        raise NotReady(f"it does not say who has which slot as Redis does: {error}") from error
    anybody = next(filter(None, owners), default)
    return [owner or anybody for owner in owners]


def _address(host: bytes | None, port: int, source: Address) -> Address:
    """A node that does not know its own name is where we asked."""
    name = (host or b"").decode()
    return Address(source.host if name in ("", "?") else name, port)


def _target(error: ReplyError, source: Address) -> Address | None:
    """Of "MOVED <slot> <host>:<port>"; None for an error without an address."""
    words = str(error).split(" ")
    if len(words) < 3 or words[0] not in ("MOVED", "ASK"):
        return None
    host, _, port = words[2].rpartition(":")
    if not port.isdecimal():
        return None
    return _address(host.strip("[]").encode(), int(port), source)
