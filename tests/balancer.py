"""The worst HTTP balancer there is: each request goes to the next server, on a new connection.

Nothing of it is sticky: not the client's address, not its connection, not the session. It counts
what it passes on, so that a test can say that not one request failed.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from itertools import cycle
from typing import Any, Final, Self
from urllib.parse import parse_qs, urlsplit

Address = tuple[str, int]

LARGEST_HEAD: Final = 65_536
CHUNK: Final = 65_536


class Balancer:
    """Listens on a free port of 127.0.0.1, with `async with`."""

    def __init__(self, servers: Sequence[Address]) -> None:
        self.servers = servers
        self.port = 0
        self.answers: Counter[int] = Counter()
        """Answers by status."""
        self.refused: list[tuple[str, int, bytes]] = []
        """What was answered with an error: the request's line, the status, the answer's end."""
        self.broken: list[str] = []
        """Requests whose server broke off."""
        self.asked: dict[str, set[Address]] = {}
        """The servers that each session's requests went to."""
        self._turn = cycle(servers)
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(
            self._serve, "127.0.0.1", 0, limit=LARGEST_HEAD, backlog=1024
        )
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while await self._request(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client has gone, or the test is over
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request; False when no further one can follow."""
        head = await reader.readuntil(b"\r\n\r\n")
        line, *fields = head[:-4].decode("latin-1").split("\r\n")
        named = {name.lower(): text.strip() for name, _, text in (f.partition(":") for f in fields)}
        assert "transfer-encoding" not in named, "the balancer knows no chunks"
        body = await reader.readexactly(int(named.get("content-length", 0)))
        server = next(self._turn)
        for sid in parse_qs(urlsplit(line.split(" ")[1]).query).get("sid", ()):
            self.asked.setdefault(sid, set()).add(server)
        there, onward = await asyncio.open_connection(*server)
        try:
            if "upgrade" in named:
                onward.write(head + body)
                await self._pipe(line, reader, writer, there, onward)
                return False
            kept = [field for field in fields if not field.lower().startswith("connection:")]
            onward.write("\r\n".join([line, *kept, "Connection: close", "", ""]).encode("latin-1"))
            onward.write(body)
            answer = await self._unless_gone(reader, there.read())
        finally:
            onward.transport.abort()
        return self._pass_back(line, answer, writer)

    async def _unless_gone(self, client: asyncio.StreamReader, waited: Any) -> bytes:
        """What is waited for, unless the client closes its connection before."""
        answer = asyncio.ensure_future(waited)
        gone = asyncio.create_task(client.read(1))
        await asyncio.wait((answer, gone), return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            answer.cancel()
            raise ConnectionResetError
        gone.cancel()
        await asyncio.wait([gone])
        assert gone.cancelled(), "the client did not wait for the answer"
        found: bytes = answer.result()
        return found

    def _pass_back(self, line: str, answer: bytes, writer: asyncio.StreamWriter) -> bool:
        head, _, body = answer.partition(b"\r\n\r\n")
        fields = head.split(b"\r\n")
        sizes = [int(f[15:]) for f in fields if f.lower().startswith(b"content-length:")]
        if not fields[0].startswith(b"HTTP/1.1 ") or sizes != [len(body)]:
            self.broken.append(line)
            return False
        self._note(line, int(fields[0][9:12]), body)
        kept = [field for field in fields if not field.lower().startswith(b"connection:")]
        writer.write(b"\r\n".join(kept) + b"\r\n\r\n" + body)
        return True

    def _note(self, line: str, status: int, body: bytes) -> None:
        self.answers[status] += 1
        if status >= 400:
            self.refused.append((line, status, body[-200:]))

    async def _pipe(
        self,
        line: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        there: asyncio.StreamReader,
        onward: asyncio.StreamWriter,
    ) -> None:
        answer = await self._unless_gone(reader, there.read(CHUNK))
        if not answer:
            self.broken.append(line)
            return
        self._note(line, int(answer[9:12]), answer)
        writer.write(answer)

        async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            while data := await source.read(CHUNK):
                target.write(data)
                await target.drain()

        ways = [asyncio.create_task(copy(reader, onward)), asyncio.create_task(copy(there, writer))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
