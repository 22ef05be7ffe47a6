"""Being connected: one link after the other, until it is over for good.

It knows how to come in, come back and ask until there is an answer. It must not know what the
server tells a room, nor what the application does with it: events pass it by.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from sioserver.client import payloads, retry
from sioserver.client.identity import Identity
from sioserver.client.link import Address, Link
from sioserver.errors import Disconnect, Refusal
from sioserver.model import Position

log = logging.getLogger(__name__)


class Line:
    """`hear` gets the events of the present link, and calls `enter` when the server lets us in.

    `position` is asked for before every connection; `ended` is called once, when there will be no
    more of them: `end` says why.
    """

    def __init__(
        self,
        address: Address,
        identity: Identity,
        *,
        timeout: float,
        position: Callable[[], Position | None],
        hear: Callable[..., None],
        ended: Callable[[], None],
    ) -> None:
        self.end: Exception | None = None
        self._address = address
        self._identity = identity
        self._timeout = timeout
        self._position = position
        self._hear = hear
        self._ended = ended
        self._link: Link | None = None
        self._settled = asyncio.Event()
        """Set while the link can be used, and when it is over for good."""
        self._pid: str | None = None
        self._was_in = False
        self._trouble: Exception | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._leaving: set[asyncio.Task[None]] = set()

    @property
    def connected(self) -> bool:
        return self._settled.is_set() and self.end is None

    # ------------------------------------------------------------ coming and going

    async def open(self) -> None:
        """Come in; raises what `RoomClient` promises."""
        self._spawn(self._tasks, self._stay())
        try:
            async with asyncio.timeout(self._timeout):
                await self._settled.wait()
            if self.end is not None:
                raise self.end
        except TimeoutError:
            await self.close()
            raise TimeoutError(
                f"{self._address.url} did not let us in within {self._timeout:g} s: "
                f"{self._trouble!r}"
            ) from self._trouble
        except BaseException:
            await self.close()
            raise

    def enter(self) -> None:
        """The server has let us in: the present link can be used."""
        link = self._link
        assert link is not None
        self._pid = link.pid or self._pid
        self._was_in = True
        link.welcomed.set_result(None)
        self._settled.set()

    async def close(self) -> None:
        self._finish(ConnectionAbortedError("closed"))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*self._leaving, return_exceptions=True)

    # ------------------------------------------------------------ asking and telling

    async def ask(self, event: str, *args: Any) -> dict[str, Any]:
        """Ask until there is an answer; all requests may be repeated without harm."""
        failures = 0
        while True:
            await self._settled.wait()
            if self.end is not None:
                raise self.end
            assert self._link is not None
            try:
                answer = await self._link.ask(event, *args)
            except ConnectionError:
                continue  # with the next link
            if answer["ok"]:
                return answer
            refusal = payloads.refusal(answer["error"])
            if not retry.is_worth_waiting(refusal):
                raise refusal
            await asyncio.sleep(retry.pause(failures, refusal.retry_after))
            failures += 1

    async def tell(self, event: str, *args: Any) -> None:
        """Say it if there is a connection."""
        if self.connected and self._link is not None:
            try:
                await self._link.tell(event, *args)
            except ConnectionError:
                pass

    def renew(self) -> None:
        """Give the server a fresh token, if one can be had."""
        if self._identity.renewable:
            self._spawn(self._tasks, self._renew())

    async def _renew(self) -> None:
        try:
            await self.ask("auth", {"token": await self._identity.fresh_token()})
        except Exception as error:  # the old token still counts; the next connection tries again
            log.warning("no fresh token: %r", error)

    # ------------------------------------------------------------ one link after the other

    async def _stay(self) -> None:
        """Be connected, until it is over for good."""
        failures = 0
        while True:
            link = self._link = Link(self._address, self._hear, self._lost)
            why = await self._visit(link)
            if retry.is_final(why, renewable=self._identity.renewable):
                return self._finish(why)
            log.info("no connection to %s: %r", self._address.url, why)
            failures = 0 if link.welcomed.done() else failures + 1
            await asyncio.sleep(retry.pause(failures, getattr(why, "retry_after", None)))

    async def _visit(self, link: Link) -> Exception:
        """A connection from its beginning to its end; returns why it ended."""
        try:
            async with asyncio.timeout(self._timeout):
                await link.open(await self._identity.auth(self._pid, self._position()))
                either: set[asyncio.Future[Any]] = {link.welcomed, link.over}
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            return await asyncio.shield(link.over)
        except Exception as error:  # of the network, of the libraries, or of the token function
            self._trouble = error
            return error
        finally:
            link.end(ConnectionError("the connection is given up"))
            self._spawn(self._leaving, link.leave())

    def _lost(self) -> None:
        if self.end is None:
            self._settled.clear()

    def _finish(self, why: Exception) -> None:
        """There will be no more connections."""
        if self.end is not None:
            return
        if isinstance(why, Refusal) and self._was_in:
            self.end = payloads.ending(why.code, why.message)
            self.end.__cause__ = why
        else:
            self.end = why
        self._settled.set()
        self._ended()

    def _spawn(self, tasks: set[asyncio.Task[None]], coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        tasks.add(task)
        task.add_done_callback(partial(self._done, tasks))

    def _done(self, tasks: set[asyncio.Task[None]], task: asyncio.Task[None]) -> None:
        tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the room client failed", exc_info=error)
            self._finish(Disconnect("parse_error", repr(error)))
