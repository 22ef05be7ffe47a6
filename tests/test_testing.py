"""The test kit: the process obeys."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sioserver.testing import ServerFailed, ServerProcess

from .workers.kit import Alone

# ---------------------------------------------------------------------------- the process


async def test_a_server_is_killed_and_comes_back_on_its_port(tmp_path: Path) -> None:
    async with ServerProcess(tmp_path / "s.db", settings={"drain.seconds": 0}) as server:
        port, pid = server.port, server.pid
        await server.restart()
        assert server.port == port
        assert server.pid != pid
        assert not alive(pid)
        pid = server.pid
        assert await server.stop() == 0
        assert not alive(pid)
        assert any(str(tmp_path) in line for line in server.output)


async def test_workers_are_known_and_killed_one_by_one() -> None:
    async with Alone(workers=2, settings={"drain.seconds": 0}) as server:
        assert sorted(server.workers) == [1, 2]
        assert len({worker.pid for worker in server.workers.values()} | {server.pid}) == 3
        assert all(len(worker.node) == 8 for worker in server.workers.values())
        before, seen = server.workers[2], len(server.output)
        server.kill_worker(2)
        found = await server.printed(r"worker 2 is ready: pid (\d+)", since=seen)
        assert server.workers[2].pid == int(found[1]) != before.pid
        pids = [worker.pid for worker in server.workers.values()]
        await server.kill()
        await until(lambda: not any(map(alive, pids)))
        assert server.workers == {}


async def test_waiting_for_a_line_that_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    async with ServerProcess(settings={"drain.seconds": 0}) as server:
        assert await server.printed("serves http://")
        monkeypatch.setattr("sioserver.testing.READY_WITHIN", 0.01)
        with pytest.raises(TimeoutError):
            await server.printed("serves http://", since=len(server.output))


async def test_a_server_that_cannot_start_says_why() -> None:
    server = ServerProcess(settings={"server.prot": 1})
    with pytest.raises(ServerFailed, match=r"prot") as caught:
        await server.start()
    assert caught.value.code == 2
    await server.kill()  # harmless


@pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux tells a process of its parent's end"
)
async def test_a_server_ends_with_its_parent() -> None:
    script = (
        "import asyncio, os, signal\n"
        "from sioserver.testing import ServerProcess\n"
        "async def main():\n"
        "    server = ServerProcess()\n"
        "    await server.start()\n"
        "    print(server.pid, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", script], capture_output=True, text=True, timeout=60
    )
    pid = int(done.stdout)
    await until(lambda: not alive(pid))


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        # a zombie that nobody has waited for is dead too
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


async def until(condition: Callable[[], bool], timeout: float = 10.0) -> None:
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.01)
