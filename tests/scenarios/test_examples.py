"""The examples do what they say."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from sioserver.client import RoomClient
from sioserver.model import Message
from sioserver.testing import ServerProcess
from tests import redis_servers

from .kit import until

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "examples").glob("*.py"))
CHATS = [path for path in EXAMPLES if path.stem.endswith("_client")]


def test_there_are_examples() -> None:
    assert [path.stem for path in EXAMPLES] == ["bare_client", "chat_client", "cursors", "publish"]


async def test_publishing_from_a_program(tmp_path: Path) -> None:
    (path,) = (path for path in EXAMPLES if path.stem == "publish")
    with redis_servers.standalone(tmp_path) as redis:
        async with (
            ServerProcess(settings={"drain.seconds": 0, "redis.url": redis.tcp_url}) as server,
            RoomClient(server.url, room="news", user="ann") as ann,
            asyncio.timeout(60),
        ):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, str(path), redis.tcp_url, "news", "it is out"),
                stdout=asyncio.subprocess.PIPE,
            )
            message = await anext(ann)
            assert isinstance(message, Message)
            assert (message.user, message.body) == ("bot", "it is out")
            printed, _ = await process.communicate()
            assert (process.returncode, printed) == (0, b"number 1 of news\n")


@pytest.mark.parametrize("path", CHATS, ids=lambda path: path.stem)
async def test_an_example_chats(path: Path) -> None:
    async with (
        ServerProcess(settings={"drain.seconds": 0}) as server,
        RoomClient(server.url, user="ann", name="Ann") as ann,
        asyncio.timeout(60),
    ):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(path), server.url, "zoe"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"hello from the example\n")
        message = await anext(ann)
        assert isinstance(message, Message)
        assert (message.user, message.body) == ("zoe", "hello from the example")
        await ann.send("hello back")
        lines = [(await process.stdout.readline()).decode().strip() for _ in range(2)]
        assert lines == ["zoe: hello from the example", "Ann: hello back"]
        process.stdin.close()
        assert await process.wait() == 0


async def test_live_cursors(tmp_path: Path) -> None:
    (path,) = (path for path in EXAMPLES if path.stem == "cursors")
    rule = path.read_text().split("config.toml:", 1)[1].split('"""', 1)[0]
    config = tmp_path / "config.toml"
    config.write_text(rule.replace("\n    ", "\n"))
    seen: list[Any] = []

    def hear(event: str, *args: Any) -> None:
        if event == "cursor":
            seen.append(args)

    async with (
        ServerProcess(settings={"drain.seconds": 0}, config=config) as server,
        RoomClient(server.url, room="board", user="ann", name="Ann", on_event=hear) as ann,
        asyncio.timeout(60),
    ):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(path), server.url, "zoe"), stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        await until(lambda: len(seen) >= 2)
        (first, sender), (second, _) = seen[:2]
        assert sender == {"user": "zoe", "name": "zoe"}
        assert first != second
        await ann.relay("cursor", {"x": 1, "y": 2.4})
        assert await process.stdout.readline() == b"Ann is at 1, 2\n"
        process.terminate()
        await process.wait()
