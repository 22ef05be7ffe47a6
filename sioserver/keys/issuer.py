"""The keys that an issuer publishes (JWKS), kept fresh while the server runs.

When they are fetched, and what happens while they cannot be. One task fetches, so there is never
more than one request; who meets an unknown key waits for it. How a request is made, and what is in
the answer, is decided elsewhere.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from sioserver.auth.keys import Key, read_set
from sioserver.errors import Refusal
from sioserver.keys.fetch import NotFetched

log = logging.getLogger(__name__)

SPREAD: Final = 0.1
"""The part of a pause that is left to chance, so that the nodes of a cluster do not ask at once."""

PATIENCE: Final = 10.0
"""Seconds after which who waits for a request gives up. Requests end before that by themselves."""


class Issuer:
    """Fetches the key set at an address, over and over, and hands its keys on."""

    def __init__(
        self,
        url: str,
        publish: Callable[[Sequence[Key]], None],
        *,
        refresh: float,
        cooldown: float,
        fetch: Callable[[str], Awaitable[bytes]],
        clock: Callable[[], float],
        count: Callable[[str], None],
    ) -> None:
        """`publish` takes the keys of each set. `refresh`: seconds between two fetches; `cooldown`:
        seconds after one within which no unknown key causes another. `fetch` raises NotFetched.
        `clock`: seconds since 1970. `count` is called with "fetched" or "failed"."""
        self.url = url
        self.fetched_at: float | None = None
        """When the set in force was fetched; None: there was none yet."""
        self._publish = publish
        self._refresh = refresh
        self._cooldown = cooldown
        self._fetch = fetch
        self._clock = clock
        self._count = count
        self._asked = asyncio.Event()
        self._done: asyncio.Future[bool] | None = None
        self._rests_until = 0.0
        self._failures = 0
        self._left_out: tuple[str, ...] = ()

    def ready(self) -> str | None:
        """Why no client should come yet: no key is known. Once there was a set it stays, and
        nothing stands in the way."""
        return None if self.fetched_at is not None else "jwks"

    async def run(self) -> None:
        """Fetch, now and whenever it is time, until cancelled."""
        while True:
            self._asked.clear()
            done = self._done = self._done or asyncio.get_running_loop().create_future()
            well = False
            try:
                well = await self._fetch_once()
            finally:  # also when this task ends: nobody waits for what does not come
                self._rests_until = asyncio.get_running_loop().time() + self._cooldown
                self._done = None
                done.set_result(well)
            await self._pause()

    async def renew(self) -> None:
        """A token names a key that is not known: return when a set has been fetched since.

        Raises `Refusal("unavailable")`, which says when to come again, where it cannot be had, or
        was fetched only just now: strangers can make up names of keys, and must not be able to
        make us ask for each.
        """
        loop = asyncio.get_running_loop()
        if self._done is None:
            rest = self._rests_until - loop.time()
            if rest > 0:
                raise _not_yet(rest)
            self._done = loop.create_future()
            self._asked.set()
        # not asyncio.timeout, which needs a task: handlers begin without one
        done, _ = await asyncio.wait([self._done], timeout=PATIENCE)
        if not done or not done.pop().result():
            raise _not_yet(self._cooldown)

    async def _fetch_once(self) -> bool:
        try:
            found = read_set(await self._fetch(self.url))
        except (NotFetched, ValueError) as error:
            self._fail(error)
            return False
        self._count("fetched")
        if self._failures:
            log.info("the keys of the issuer can be had again, after %d failures", self._failures)
            self._failures = 0
        if found.left_out != self._left_out:
            self._left_out = found.left_out
            for text in found.left_out:
                # put together here: the log shows one line of a kind in a few seconds
                log.warning(f"a key of {self.url} is not used: {text}")
        self._publish(found.keys)
        self.fetched_at = self._clock()
        return True

    def _fail(self, error: Exception) -> None:
        self._count("failed")
        self._failures += 1
        if self._failures > 1:
            return  # said once, not with every try
        if self.fetched_at is None:
            log.error("the keys of the issuer cannot be had (%s): %s", self.url, error)
        else:
            log.error(
                "the keys of the issuer cannot be had (%s), those of %d s ago stay: %s",
                self.url,
                self._clock() - self.fetched_at,
                error,
            )

    async def _pause(self) -> None:
        """Until it is time again, or somebody asks: longer and longer while it fails."""
        pause = self._refresh
        if self._failures:
            pause = min(pause, self._cooldown * 2 ** min(self._failures - 1, 30))
        pause *= 1 - SPREAD * random.random()  # noqa: S311
        try:
            async with asyncio.timeout(pause):
                await self._asked.wait()
        except TimeoutError:
            return


def _not_yet(seconds: float) -> Refusal:
    return Refusal(
        "unavailable", "the key of this token is not known here yet", retry_after=round(seconds, 3)
    )
