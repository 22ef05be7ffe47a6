"""Scripts under Node, and the conversation with them (rooms_kit.mjs is the other side)."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
PATIENCE = 60.0


def find_node() -> str:
    """Node's program; the test fails where it is missing."""
    found = os.environ.get("SIOSERVER_TEST_NODE") or shutil.which("node")
    if not found:
        pytest.fail("Node.js is needed here; type: make node")
    if not (HERE / "node_modules" / "socket.io-client").is_dir():
        pytest.fail("socket.io-client is needed here; type: make test, or npm ci in tests/interop")
    return found


class Script:
    """A script under Node, and the conversation with it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def hear(self) -> Any:
        """What it says next."""
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            line = await self.process.stdout.readline()
        if not line:
            assert self.process.stderr is not None
            pytest.fail((await self.process.stderr.read()).decode()[-2000:])
        return json.loads(line)

    def go_on(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")


@asynccontextmanager
async def script(
    node: str, name: str, url: str, transports: str, *more: str, trust: Path | None = None
) -> AsyncIterator[Script]:
    """`trust`: a file with an authority of our own, for https."""
    process = await asyncio.create_subprocess_exec(
        node,
        str(HERE / name),
        url,
        transports,
        *more,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=None if trust is None else {**os.environ, "NODE_EXTRA_CA_CERTS": str(trust)},
        limit=2**24,
    )
    try:
        yield Script(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def events(seen: list[Any], *names: str) -> list[Any]:
    return [event for event in seen if event[0] in names]


def bodies(seen: list[Any]) -> list[Any]:
    return [event[1]["body"] for event in events(seen, "message")]
