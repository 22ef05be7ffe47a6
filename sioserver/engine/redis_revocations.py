"""The rules by which tokens are refused, in Redis, and this node's copy of them.

A client that connects is compared with the copy, which costs no round trip. A script writes a rule
and tells it over a channel in one step. What the copy may have missed (the bus was deaf, Redis was
away, a message says that there was one before it) is read from Redis; until then nobody is let in
on the copy's word alone. This module knows neither who is connected nor what a token looks like.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from math import inf
from typing import Any, Final, Literal

import msgspec

from sioserver.engine.base_tokens import TokensListener
from sioserver.engine.redis_keys import Keys
from sioserver.engine.redis_replies import answer, answers
from sioserver.engine.redis_scripts import load_script
from sioserver.engine.redis_servers import Redis
from sioserver.engine.revocations import MOST, Revocations, too_many
from sioserver.errors import Refusal
from sioserver.model import Credentials, Revocation

log = logging.getLogger(__name__)

REVOKE: Final = load_script("revoke")
READ: Final = load_script("revocations")

KEPT: Final = 3600.0
"""Seconds that a rule is kept at the least, from when it was made."""
LIFTED: Final = 86400.0
"""Seconds for which it is remembered that a rule was lifted. A node that was away for half of that
begins its copy anew."""
PAGE: Final = 500
"""Rules that are read, or written again, at a time."""
PAUSE: Final = 0.1
"""Seconds between the beginnings of two readings, however many clients wait for one."""
ROUND: Final = 10.0
"""Seconds between two readings that nobody has asked for: a bus may lose things without a word."""
SWEEP: Final = 600.0

_KINDS: Final[Mapping[str, Literal["token", "user", "all"]]] = {
    "t": "token",
    "u": "user",
    "a": "all",
}


class _Change(msgspec.Struct, array_like=True, frozen=True):
    """What the hash holds."""

    version: int
    until: float
    before: float
    lifted: int


class _Notice(msgspec.Struct, array_like=True, frozen=True):
    """What revoke.lua publishes."""

    last: int
    """The version before."""
    name: str
    version: int
    until: float
    before: float
    lifted: int


class RedisRevocations:
    """See `base_tokens.Tokens`."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys
        self._listener: TokensListener
        self._rules = Revocations()
        self._version = 0
        """Of the newest change that the copy has, with all before it."""
        self._heard = False
        """The bus tells of changes."""
        self._doubts = 1
        self._settled = 0
        """How many doubts there were when the last reading began that went well."""
        self._restoring = False
        self._reading: asyncio.Task[None] | None = None
        self._began = self._read_at = -inf
        self._swept = self._forgot = -inf
        self._stopped = False
        self._change = msgspec.msgpack.Decoder(_Change).decode
        self._notice = msgspec.msgpack.Decoder(_Notice).decode
        self._reads = self._restored = self._foreign = 0

    async def start(self, listener: TokensListener) -> None:
        """Read all rules, and announce them. Raises a `Refusal`."""
        self._listener = listener
        await self._read_on()

    async def stop(self) -> None:
        """Read no more. Safe to call twice."""
        self._stopped = True
        self._heard = False  # nobody is let in any more on the copy's word
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    # -- the contract -----------------------------------------------------------------------------

    async def revoke(self, rule: Revocation) -> Revocation:
        """See `Tokens.revoke`."""
        name = _name(rule.kind, rule.id)
        found = await answer(self._send(name, "revoke", rule.until, rule.before))
        state, version, until, before = found
        if state < 0:
            raise too_many()
        rule = Revocation(rule.kind, rule.id, float(until), float(before))
        if version > self._version:  # this node need not hear of it first
            self._put(rule)
        return rule

    async def lift(self, kind: str, id: str) -> bool:
        """See `Tokens.lift`."""
        state, version, _, _ = await answer(self._send(_name(kind, id), "lift"))
        if state and version > self._version:
            self._rules.drop(kind, id)
        return bool(state)

    async def revoked(self, token: Credentials, now: float) -> bool:
        """See `Tokens.revoked`."""
        if not self.current:
            await self._read_on()
        return self._rules.refuses(token, now)

    async def revocations(
        self, now: float, *, after: tuple[str, str] | None = None, limit: int
    ) -> list[Revocation]:
        """See `Tokens.revocations`."""
        if not self.current:
            await self._read_on()
        return self._rules.page(now, after, limit)

    @property
    def current(self) -> bool:
        """Whether the copy has everything that was changed until now, as far as is known."""
        return self._heard and self._settled == self._doubts

    # -- what happens -----------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Some time has passed (`now`: seconds since 1970): read what may have been missed."""
        at = asyncio.get_running_loop().time()
        if now - self._forgot >= ROUND:  # it looks at every rule
            self._forgot = now
            self._rules.forget(now)
        if not self.current or at - self._read_at >= ROUND:
            self._read_soon()
        if at - self._swept >= SWEEP:
            self._swept = at
            self._send("", "sweep").add_done_callback(_ignore)

    def on_bus(self, body: bytes | memoryview) -> None:
        """A rule was changed, without the byte that says so."""
        try:
            notice = self._notice(body)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            self._foreign += 1
            return
        if notice.version <= self._version:
            return  # it was read already, and perhaps a later one of its name
        # The word of whoever can publish there is enough to put somebody out, which cannot wait. It
        # is not enough to let somebody in again, nor to pass over what comes later: a made-up
        # version would hide it. So only what is read moves the copy on.
        if notice.lifted or notice.last > self._version:
            self._doubt()
        else:
            self._read_soon()
        if not notice.lifted:
            self._apply(notice.name, notice)

    def on_subscribed(self, channels: Iterable[str]) -> None:
        """The bus tells of these channels now."""
        if self._keys.tokens in channels:
            self._heard = True
            self._doubt()

    def on_deaf(self) -> None:
        """The bus tells of nothing any more."""
        self._heard = False
        self._doubt()

    def on_connected(self) -> None:
        """Redis is there again, perhaps without its data, or without their end."""
        self._restoring = True
        self._doubt()

    def stats(self) -> Mapping[str, float]:
        """For `Engine.stats`."""
        return {
            "revocations": len(self._rules),
            "revocations_current": self.current,
            "revocations_read_total": self._reads,
            "revocations_restored_total": self._restored,
            "revocations_foreign_total": self._foreign,
        }

    # -- reading ----------------------------------------------------------------------------------

    def _doubt(self) -> None:
        self._doubts += 1
        self._read_soon()

    def _read_soon(self) -> None:
        """Read, in a task that everybody shares. Not before `start`, nor after `stop`."""
        if self._stopped or self._read_at == -inf:
            return
        self._task().add_done_callback(_ignore)

    async def _read_on(self) -> None:
        """Wait for a reading. Raises a `Refusal`."""
        if self._stopped:
            raise Refusal("unavailable", retry_after=1.0)
        await asyncio.shield(self._task())

    def _task(self) -> asyncio.Task[None]:
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read(), name="revocations")
        return self._reading

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        wait = self._began + PAUSE - loop.time()
        if wait > 0:
            await asyncio.sleep(wait)
        self._began = loop.time()
        self._reads += 1
        doubts, restoring = self._doubts, self._restoring
        if len(self._rules) and self._began - self._read_at > LIFTED / 2:
            self._rules.clear()  # something may have been lifted that nobody remembers
            self._version, restoring = 0, False
        while await self._read_page():
            pass
        if restoring:
            await self._restore()
            self._restoring = self._restoring and self._doubts != doubts
        self._settled, self._read_at = doubts, loop.time()
        if self._doubts != doubts and not self._stopped:
            loop.call_soon(self._read_soon)

    async def _read_page(self) -> bool:
        """Read some of what is not known here. True: there may be more."""
        keys = self._keys
        call = self._redis.script(READ, (keys.rules, keys.changes), (self._version, PAGE))
        newest, *found = await answer(call)
        if newest < self._version:
            # Redis has lost its end, and its clock may be behind that of the server before it: what
            # comes next must not look old.
            self._version = 0
            return True
        for name, data in zip(found[::2], found[1::2], strict=True):
            try:
                change = self._change(data)
                self._version = max(self._version, change.version)
                self._apply(name.decode(), change)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                self._foreign += 1
        return len(found) == 2 * PAGE

    async def _restore(self) -> None:
        """What this node knows stays in force, also when Redis has lost it."""
        rules = list(self._rules)
        for start in range(0, len(rules), PAGE):
            some = {_name(rule.kind, rule.id): rule for rule in rules[start : start + PAGE]}
            key = self._keys.rules
            known = await answer(self._redis.command(key, "HMGET", key, *some))
            lost = [rule for rule, data in zip(some.values(), known, strict=True) if data is None]
            await answers(
                *(
                    self._send(_name(rule.kind, rule.id), "restore", rule.until, rule.before)
                    for rule in lost
                )
            )
            self._restored += len(lost)

    def _apply(self, name: str, change: _Change | _Notice) -> None:
        kind, id = _KINDS.get(name[:1]), name[2:]
        if kind is None or name[1:2] != ":":
            self._foreign += 1
        elif change.lifted:
            self._rules.drop(kind, id)
        else:
            self._put(Revocation(kind, id, change.until, change.before))

    def _put(self, rule: Revocation) -> None:
        if self._rules.put(rule):
            try:
                self._listener.on_revoked(rule)
            except Exception:  # the rule counts, whoever could not be ended
                log.exception("a revocation could not be announced")

    # -- writing ----------------------------------------------------------------------------------

    def _send(
        self, name: str, what: str, until: float = 0.0, before: float = 0.0
    ) -> asyncio.Future[Any]:
        keys = self._keys
        times = (repr(float(until)), repr(float(before)), KEPT, LIFTED)
        publish = "SPUBLISH" if self._redis.cluster else "PUBLISH"
        return self._redis.script(
            REVOKE,
            (keys.rules, keys.changes, keys.ends),
            (name, what, *times, MOST, keys.tokens, publish),
        )


def _name(kind: str, id: str) -> str:
    return f"{kind[:1]}:{id}"


def _ignore(future: asyncio.Future[Any]) -> None:
    """What cannot be done now is done with the next tick."""
    if not future.cancelled():
        future.exception()
