"""Sends one endpoint what it wants: which rooms now, how many at a time, what after a failure.

What waits is in the engine. Here is only what a node works at just now, and how long it rests from
what failed; all of it is bounded, and what does not fit is found by `Webhooks.due` later. A room is
never held up: nobody there waits for anything here.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine
from functools import partial
from math import inf
from typing import Any, Final, Protocol

from sioserver.config.schema import Webhook
from sioserver.engine.base import Engine
from sioserver.engine.base_webhooks import Webhooks
from sioserver.errors import Refusal
from sioserver.metrics import Metrics
from sioserver.model import Position
from sioserver.subscriptions import Lane, Subscriptions
from sioserver.webhooks import payload
from sioserver.webhooks.post import Answer

log = logging.getLogger(__name__)

LOOK_EVERY: Final = 5.0
"""Seconds between two looks for rooms where something waits that this node was not told of."""
FOUND: Final = 100
"""Rooms that one look finds."""
READY: Final = 10_000
"""Rooms that wait for their turn here; more are found by later looks."""
RESTING: Final = 1000
"""Rooms whose last try failed, and that rest; past that, those with the longest wait begin anew."""

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 300.0
"""Seconds that a room rests after its first failure in a row; at most."""
IN_A_ROW: Final = 5
"""Failures in a row, of whatever rooms, after which the endpoint is left alone for a while."""
LONGEST_REST: Final = 60.0
"""Seconds of that, at most; then one room tries."""
NAP: Final = 0.5
"""Seconds between two looks whether the endpoint is still left alone."""
LONGEST_WISH: Final = 3600.0
"""Seconds that an endpoint may ask for with Retry-After."""

AWAKE: Final = (inf, 0.0)

Spawn = Callable[[str, Coroutine[Any, Any, None]], asyncio.Task[None]]
Key = tuple[Lane, str]


class Post(Protocol):
    """How requests are made: see `post.Poster`."""

    async def post(self, body: bytes, headers: dict[str, str], /) -> Answer:
        """Send it."""

    async def close(self) -> None:
        """Let go of the connections."""


class Sender:
    """One endpoint, on this node."""

    def __init__(
        self,
        endpoint: Webhook,
        subscriptions: Subscriptions,
        engine: Engine,
        webhooks: Webhooks,
        poster: Post,
        metrics: Metrics,
        clock: Callable[[], float],
        spawn: Spawn,
    ) -> None:
        """`clock`: seconds since 1970."""
        self._endpoint = endpoint
        self._subscriptions = subscriptions
        self._lanes = subscriptions.lanes_of(endpoint)
        self._engine = engine
        self._webhooks = webhooks
        self._poster = poster
        self._metrics = metrics
        self._clock = clock
        self._spawn = spawn
        self._wake = asyncio.Event()
        self._ready: dict[Key, None] = {}
        self._working: dict[Key, bool] = {}
        """Whether something came meanwhile."""
        self._resting: dict[Key, tuple[float, float]] = {}
        """Until when (of the loop's clock; infinity: it may work again), and the next pause."""
        self._failures = 0
        """In a row."""
        self._closed_until = 0.0
        metrics.know_webhook(endpoint.name, self._now_open)

    def _now_open(self) -> bool:
        return self._failures < IN_A_ROW

    # ------------------------------------------------------------ which rooms

    def touched(self, room: str) -> None:
        """Something happened in the room, on this node."""
        for lane in self._subscriptions.lanes(room):
            if lane.endpoint == self._endpoint.name:
                self._add((lane, room))

    def _add(self, key: Key) -> None:
        if key in self._working:
            self._working[key] = True
        elif len(self._ready) < READY and self._resting.get(key, AWAKE)[0] == inf:
            self._ready[key] = None
            self._wake.set()

    async def run(self) -> None:
        """Send what there is, until cancelled."""
        loop = asyncio.get_running_loop()
        look_at = 0.0
        try:
            while True:
                now = loop.time()
                if now < self._closed_until:
                    await asyncio.sleep(min(NAP, self._closed_until - now))
                    continue
                self._rouse(now)
                if now >= look_at:
                    await self._look()
                    look_at = loop.time() + LOOK_EVERY
                self._start(loop.time())
                self._wake.clear()
                try:
                    async with asyncio.timeout(self._idle(look_at, loop.time())):
                        await self._wake.wait()
                except TimeoutError:
                    continue
        finally:
            await self._poster.close()

    def _rouse(self, now: float) -> None:
        """Those that have rested enough may try again."""
        for key in [key for key, (until, _) in self._resting.items() if until <= now]:
            pause = self._resting[key][1]
            if len(self._ready) < READY and key not in self._ready:
                self._ready[key] = None
                self._resting[key] = (inf, pause)  # it knows how long to rest the next time

    def _idle(self, look_at: float, now: float) -> float:
        return max(0.0, min([look_at, *(until for until, _ in self._resting.values())]) - now)

    async def _look(self) -> None:
        for lane in self._lanes:
            limit = FOUND + len(self._working) + len(self._resting)
            try:
                for room in await self._webhooks.due(lane, limit=limit):
                    if (lane, room) not in self._working:
                        self._add((lane, room))
            except Refusal as error:
                log.debug("webhook %s: what is due is not known: %s", self._endpoint.name, error)

    def _start(self, now: float) -> None:
        if now < self._closed_until:
            return
        # after many failures one tries for all
        places = self._endpoint.concurrency if self._now_open() else 1
        while self._ready and len(self._working) < places:
            key = next(iter(self._ready))
            del self._ready[key]
            self._working[key] = False
            self._spawn(f"webhook {self._endpoint.name}", self._work(key))

    # ------------------------------------------------------------ one room

    async def _work(self, key: Key) -> None:
        lane, room = key
        try:
            mark = await self._webhooks.claim(lane, room)
            if mark is not None:
                try:
                    wait = await self._go_through(lane, room, mark)
                except BaseException:
                    await self._webhooks.give_back(lane, room, 0.0)
                    raise
                if wait is not None:
                    await self._webhooks.give_back(lane, room, wait)
                    return
            self._resting.pop(key, None)  # nothing waits, or another node has it
        except Refusal as error:  # of the store: it is due again
            log.debug("webhook %s: the store is not there: %s", self._endpoint.name, error)
        finally:
            again = self._working.pop(key)
            if again:
                self._add(key)
            self._wake.set()

    async def _go_through(self, lane: Lane, room: str, mark: Position) -> float | None:
        """Send what waits. Returns how long to rest after a failure; None: nothing waits, or it is
        another's business now."""
        while True:
            events, end = await self._read(lane, room, mark)
            if events:
                answer = await self._send(events)
                if answer.result != "ok":
                    wait = self._failed((lane, room), answer)
                    given_up = self._too_old(events)
                    if given_up is not None:
                        await self._webhooks.advance(lane, room, given_up)
                    return wait
                self._succeeded((lane, room))
            if end != mark:
                if not await self._webhooks.advance(lane, room, end):
                    return None
                mark = end
            elif await self._webhooks.release(lane, room):
                return None

    async def _read(
        self, lane: Lane, room: str, mark: Position
    ) -> tuple[list[payload.Event], Position]:
        """The next events for one request, and the mark behind them."""
        limit = self._endpoint.batch
        if lane.source == "log":
            found, end = await self._read_log(lane, room, mark, limit)
        else:
            notes = await self._webhooks.notes(room, after=mark.offset, limit=limit)
            wanted = [note for note in notes if self._subscriptions.wants(lane, note.kind)]
            found = [payload.note(room, note) for note in wanted]
            end = Position(mark.epoch, notes[-1].number) if notes else mark
        events = payload.cut(found)
        if len(events) < len(found):
            end = Position(end.epoch, events[-1].after.offset)
        return events, end

    async def _read_log(
        self, lane: Lane, room: str, mark: Position, limit: int
    ) -> tuple[list[payload.Event], Position]:
        look = partial(self._engine.history, room, limit=limit, ops=True)
        page = await look(after=mark.offset)
        epoch, after = page.top.epoch, mark.offset
        if epoch != mark.epoch:
            # the log began anew: all that it has is news
            page = await look(after=0)
            epoch, after = page.top.epoch, 0
        events = []
        first = page.messages[0].offset if page.messages else page.top.offset + 1
        if first > after + 1 and page.top.offset > after:
            at = page.messages[0].at if page.messages else int(self._clock() * 1000)
            events.append(payload.gap(room, after + 1, Position(epoch, first - 1), at))
            self._metrics.count_webhook(self._endpoint.name, "lost", first - 1 - after)
        for entry in page.messages:
            if self._subscriptions.wants(lane, entry.kind):
                events.append(payload.entry(room, epoch, entry))
        end = page.messages[-1].offset if page.messages else max(after, page.top.offset)
        return events, Position(epoch, end)

    async def _send(self, events: list[payload.Event]) -> Answer:
        body, now = payload.body(self._endpoint.name, events), self._clock()
        answer = await self._poster.post(body, payload.headers(self._endpoint.secret, now, body))
        self._metrics.count_webhook_request(self._endpoint.name, answer.result)
        if answer.result == "ok":
            self._metrics.count_webhook(self._endpoint.name, "taken", len(events))
        return answer

    # ------------------------------------------------------------ failures

    def _succeeded(self, key: Key) -> None:
        self._resting.pop(key, None)
        if not self._now_open():
            log.warning("webhook %s takes events again", self._endpoint.name)
        self._failures, self._closed_until = 0, 0.0

    def _failed(self, key: Key, answer: Answer) -> float:
        """How long the room rests, in seconds."""
        now = asyncio.get_running_loop().time()
        pause = self._resting.get(key, (0.0, FIRST_PAUSE))[1]
        wait = max(_jittered(pause), min(answer.retry_after, LONGEST_WISH))
        if key not in self._resting and len(self._resting) >= RESTING:
            del self._resting[max(self._resting, key=lambda one: self._resting[one][0])]
        self._resting[key] = (now + wait, min(LONGEST_PAUSE, pause * 2))
        self._failures += 1
        if self._failures >= IN_A_ROW:
            rest = min(LONGEST_REST, FIRST_PAUSE * 2 ** min(self._failures - IN_A_ROW, 10))
            self._closed_until = now + _jittered(rest)
        if self._failures in (1, IN_A_ROW):
            # put together here: the log shows one line of a kind in a few seconds
            more = "; it is left alone for a while" if self._failures == IN_A_ROW else ""
            log.warning(
                f"webhook {self._endpoint.name} does not take events: {answer.detail}{more}"
            )
        return wait

    def _too_old(self, events: list[payload.Event]) -> Position | None:
        """The mark behind those that nobody tries to send any more."""
        limit = (self._clock() - self._endpoint.give_up) * 1000
        old = [event for event in events if event.at < limit]
        if not old:
            return None
        self._metrics.count_webhook(self._endpoint.name, "dropped", len(old))
        log.error(
            f"webhook {self._endpoint.name}: {len(old)} events were not taken within "
            f"{self._endpoint.give_up:g} s and are dropped"
        )
        return old[-1].after


def _jittered(seconds: float) -> float:
    return seconds * random.uniform(0.5, 1.0)  # noqa: S311
