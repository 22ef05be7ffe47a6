"""The examples do what they say."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import socketio

from sioserver.client import RoomClient
from sioserver.errors import Refusal
from sioserver.model import Message
from sioserver.testing import ServerFailed, ServerProcess
from tests import redis_servers

from .kit import until

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "examples").glob("*.py"))
CHATS = [path for path in EXAMPLES if path.stem.endswith("_client")]


def test_there_are_examples() -> None:
    assert [path.stem for path in EXAMPLES] == [
        "bare_client",
        "chat_client",
        "cursors",
        "embedded_app",
        "hooks",
        "publish",
        "websocket_client",
    ]


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


@pytest.mark.parametrize("workers", [1, 2])
async def test_hooks_in_every_process(workers: int, tmp_path: Path) -> None:
    server = ServerProcess(
        tmp_path / "rooms.db",
        workers=workers,
        settings={"drain.seconds": 0},
        extension="hooks:setup",
        directory=EXAMPLES[0].parent,
    )
    async with server, aiohttp.ClientSession(server.url) as http, asyncio.timeout(60):
        async with RoomClient(server.url, user="ann", name="Ann") as ann:
            await ann.send("darn it")
            message = await anext(ann)
            assert isinstance(message, Message)
            assert message.body == "d*** it"
            with pytest.raises(Refusal, match="links have to be https://"):
                await ann.send("see http://spam.example")
        await server.printed("Ann left lobby")
        with pytest.raises(Refusal, match="staff rooms are not for guests"):
            await RoomClient(server.url, room="staff/kitchen").__aenter__()
        async with http.get("/about") as answer:
            assert await answer.text() == "the room behind / is lobby"


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_function_that_is_not_there(workers: int, tmp_path: Path) -> None:
    server = ServerProcess(
        tmp_path / "rooms.db",
        workers=workers,
        extension="hooks:set_up",
        directory=EXAMPLES[0].parent,
    )
    with pytest.raises(ServerFailed) as caught:
        await server.start()
    assert caught.value.code == 1
    assert "--app hooks:set_up: the module hooks has no set_up" in caught.value.output
    assert "Traceback" not in caught.value.output


async def test_below_a_path_of_an_application() -> None:
    (path,) = (path for path in EXAMPLES if path.stem == "embedded_app")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(path), "0"), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            first = (await process.stdout.readline()).decode()
            url = first.split()[-2]
            async with aiohttp.ClientSession(url) as http:
                async with http.get("/") as answer:
                    assert "to the rooms" in await answer.text()
                async with http.get("/chat?name=Ann") as answer:  # on to the page
                    assert str(answer.url) == f"{url}/chat/?name=Ann"
                    assert answer.status in (200, 503)  # 503: it is not built
            client = socketio.AsyncClient()
            await client.connect(url, namespaces=["/lobby"], socketio_path="/chat/socket.io")
            answer = await client.call("message", "hello", namespace="/lobby")
            assert answer["offset"] == 1
            answer = await client.call("message", "HELLO", namespace="/lobby")
            assert answer["error"]["message"] == "no shouting"
            await client.disconnect()
    finally:
        process.terminate()
        await process.wait()
