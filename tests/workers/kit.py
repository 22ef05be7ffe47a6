"""Supervisors as processes of their own, with real workers or with stubs."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sioserver.testing import _MAIN, ServerProcess

STUB = Path(__file__).with_name("stub.py")
PATIENCE = 60.0

# Workers with an engine each: what is tested is the supervisor, which does not know the difference.
_ALONE = """
import os, sys
from functools import partial
from sioserver.workers import process, supervisor
supervisor.Supervisor = partial(supervisor.Supervisor, private=False)
"""
_STUBS = """
supervisor.Supervisor = partial(supervisor.Supervisor, command=[sys.executable, {stub!r}])
process.GRACE = 0.3
os.environ["STUB_PLACE"] = {place!r}
"""


class Alone(ServerProcess):
    """Workers that share nothing but their address."""

    program = _ALONE + _MAIN


class Stubs(ServerProcess):
    """Workers that do as a file says, see stub.py."""

    def __init__(self, place: Path, plan: str = "serve", **options: Any) -> None:
        options.setdefault("workers", 3)
        options["settings"] = {"drain.seconds": 0, **options.get("settings", {})}
        super().__init__(**options)
        self.place = place
        self.program = _ALONE + _STUBS.format(stub=str(STUB), place=str(place)) + _MAIN
        self.plan(plan)

    def plan(self, plan: str) -> None:
        """What workers do that start from now on."""
        (self.place / "plan").write_text(plan)

    def notes(self, what: str = "") -> list[dict[str, Any]]:
        """What they wrote down, of one kind."""
        path = self.place / "notes"
        lines = path.read_text().splitlines() if path.exists() else []
        notes = [json.loads(line) for line in lines]
        return [note for note in notes if what in ("", note["what"])]

    async def who_answers(self) -> int:
        """The pid of the worker that accepts a connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        async with asyncio.timeout(PATIENCE):
            pid = int(await reader.readline())
        writer.close()
        await writer.wait_closed()
        return pid


def alive(pid: int) -> bool:
    """Whether there is such a process that is no zombie."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


async def until(condition: Callable[[], bool], timeout: float = PATIENCE) -> None:
    """Wait for something that nobody tells of."""
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.01)
