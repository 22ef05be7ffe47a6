"""Drawing attacks and carrying them out: so many, from this seed, for so long at the most.

hypothesis draws them. What breaks a promise is halved until it no longer does: hypothesis' own way
of making it smaller takes a new server for each of hundreds of attempts. A server that broke one is
replaced before the next batch.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

from .attacks import DOORS, Attack, Frames, Plain, Post, Raw, Talk, Upgrade, inputs, short
from .campaign import Campaign, campaign
from .grammar import frame

BATCH: Final = 24
ROUND: Final = 12
"""Batches that are drawn from one seed."""

WARM: Final[Sequence[Attack]] = [
    *(Frames((frame(1, b'42/hall,1["message","warm"]'),)) for _ in range(8)),
    *(
        Talk(way, ('42/hall,1["history"]', "4nonsense"))
        for way in ("polling", "lane")
        for _ in "12"
    ),
    *(Post("polling", b"4" * 70_000) for _ in "1234"),
    *(Upgrade((), probed) for probed in (True, False)),
    *(Raw(b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n" * 3) for _ in range(8)),
    *(
        Plain(dialect, (frame(1, text), frame(1, b"{}"), frame(2, b"\x90")), joined)
        for dialect, text in (
            ("native", b'["message","warm",1]'),
            ("tutorial", b'{"message":"warm"}'),
            ("tutorial", b"warm"),
            ("msgpack", b""),
        )
        for joined in (True, False)
    ),
]


class Failure(AssertionError):
    """A promise was broken; says by what, and where to read it whole."""


class Drive:
    """A campaign in an event loop of its own, for tests that are no coroutines; with `with`."""

    def __init__(self, **options: Any) -> None:
        self._options = options
        self._runner = asyncio.Runner()
        self._stack: AsyncExitStack | None = None
        self._campaign: Campaign | None = None
        self.done = 0
        """Inputs that were sent."""

    def __enter__(self) -> Drive:
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._leave())
        self._runner.close()

    def attack(self, batch: Sequence[Attack]) -> None:
        """Carry out a batch. Raises `Broken`, and what the healthy clients raise."""
        self._run(self._attack(batch))
        self.done += sum(map(inputs, batch))

    def narrowed(self, batch: Sequence[Attack]) -> Sequence[Attack]:
        """As small a part of a batch that breaks a promise as still does."""
        while len(batch) > 1:
            middle = len(batch) // 2
            for half in (batch[:middle], batch[middle:]):
                try:
                    self.attack(half)
                except Exception:
                    batch = half
                    break
            else:
                break
        return batch

    def _run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._runner.run(coroutine)

    async def _attack(self, batch: Sequence[Attack]) -> None:
        if self._campaign is None:
            self._stack = AsyncExitStack()
            self._campaign = await self._stack.enter_async_context(campaign(**self._options))
            await self._campaign.warm_up(WARM)
        try:
            await self._campaign.attack(batch)
        except BaseException:
            await self._leave()
            raise

    async def _leave(self) -> None:
        stack, self._stack, self._campaign = self._stack, None, None
        if stack is not None:
            await stack.aclose()


def fuzz(
    drive: Drive,
    count: int,
    seed: int,
    *,
    door: str = "all",
    until: float = float("inf"),
    progress: Callable[[int, int], None] = lambda done, seed: None,
) -> None:
    """Send `count` inputs to a door (`attacks.DOORS`), or fewer when `time.monotonic()` is beyond
    `until`. Raises `Failure`.

    `progress` is told how many were sent, and the seed of the next round: who begins with it goes
    on from there.
    """

    failed: list[Exception] = []

    def batch(attacks: list[Attack]) -> None:
        if drive.done < count and time.monotonic() < until and not failed:
            try:
                drive.attack(attacks)
            except Exception as error:
                # hypothesis is not told: it would print everything, and more than once
                failed.append(Failure(_report(drive, seed, error, attacks)))
                failed[0].__cause__ = error

    lists = st.lists(DOORS[door], min_size=BATCH // 2, max_size=BATCH)
    wanted = settings(
        max_examples=ROUND,
        database=None,
        deadline=None,
        print_blob=False,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    while drive.done < count and time.monotonic() < until:
        seeded(seed)(wanted(given(lists)(batch)))()
        if failed:
            raise failed[0]
        seed += 1
        progress(drive.done, seed)


def _report(drive: Drive, seed: int, error: Exception, batch: Sequence[Attack]) -> str:
    """What went wrong, with all inputs shortened, and where they are as they were."""
    culprits = drive.narrowed(batch)
    path = Path(tempfile.mkdtemp(prefix="fuzz-")) / f"seed-{seed}.txt"
    parts = [f"seed {seed}: {error!r}", "the batch:", *map(repr, batch)]
    parts += ["part of it that fails again:", *map(repr, culprits)]
    path.write_text("\n".join(parts) + "\n", errors="backslashreplace")
    again = "all of it" if len(culprits) == len(batch) else "\n".join(map(short, culprits))
    return f"seed {seed}: {error!s:.20000}\nfails again, at the most: {again}\nthe whole: {path}"
