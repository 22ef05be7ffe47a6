"""The examples do what they say."""

import asyncio
import sys
from pathlib import Path

import pytest

from sioserver.client import RoomClient
from sioserver.model import Message
from sioserver.testing import ServerProcess

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "examples").glob("*.py"))


def test_there_are_examples() -> None:
    assert [path.stem for path in EXAMPLES] == ["bare_client", "chat_client"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
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
