"""The lane past aiohttp: when it is taken, that nobody can tell, that nothing gets lost in it."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest
import trustme
import uvloop
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from sioserver.origins import Origins
from sioserver.transport import polling as module
from sioserver.transport import sessions
from sioserver.transport.frames import Outgoing
from sioserver.transport.polling import Bypass, Lane

from . import kit
from .kit import CLOSE, NOOP, PONG, engineio_server, soon, until

PATH = "/engine.io/?EIO=4&transport=polling"
TURNS = 12
"""Turns of the loop after which everything that does not wait for more has happened."""


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class Memory(asyncio.Transport):
    """A connection in memory: what is written can be read, what is fed is received."""

    def __init__(self, server: web.Server, peer: str = "127.0.0.1") -> None:
        super().__init__({"peername": (peer, 1), "sockname": ("127.0.0.1", 2)})
        self.written = bytearray()
        self.reading = True
        self.closed = False
        self.aborted = False
        self.on_write: Callable[[], None] = lambda: None
        self.protocol: Any = server()
        self.protocol.connection_made(self)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self.protocol  # type: ignore[no-any-return]

    def write(self, data: Any) -> None:
        assert not self.closed
        self.written += data
        self.on_write()

    def writelines(self, pieces: Any) -> None:
        self.write(b"".join(pieces))

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self.lose)

    def abort(self) -> None:
        self.aborted = True
        self.close()

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def get_write_buffer_size(self) -> int:
        return 0

    def lose(self) -> None:
        """The connection is over."""
        self.closed = True
        self.protocol.connection_lost(None)

    # ------------------------------------------------------------ for tests

    @property
    def in_lane(self) -> bool:
        return isinstance(self.protocol, Lane)

    async def feed(self, *pieces: bytes) -> None:
        """Receive the pieces, and let happen what does."""
        for piece in pieces:
            if not self.closed:
                self.protocol.data_received(piece)
                await turns()

    async def ask(self, request: bytes) -> Answer:
        """The one answer to a request."""
        await self.feed(request)
        (answer,) = self.answers()
        return answer

    def answers(self) -> list[Answer]:
        """All answers since the last time."""
        data, found = bytes(self.written), []
        while data:
            head, end, data = data.partition(b"\r\n\r\n")
            assert end
            first, *lines = head.decode().split("\r\n")
            headers = dict(line.split(": ", 1) for line in lines)
            size = int(headers.get("Content-Length", 0))
            found.append(Answer(int(first.split(" ")[1]), headers, data[:size]))
            data = data[size:]
        self.written.clear()
        return found


async def turns(number: int = TURNS) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


class Scene:
    """A server without a network."""

    def __init__(self, eio: Any, runner: web.AppRunner) -> None:
        self.eio = eio
        self.runner = runner
        self.handled: list[str] = []
        """Requests that aiohttp has handled."""
        self.seen: list[Any] = []
        """Messages that have come."""

    def connect(self, peer: str = "127.0.0.1") -> Memory:
        assert self.runner.server is not None
        return Memory(self.runner.server, peer)

    async def open(self, peer: str = "127.0.0.1", **headers: str) -> str:
        """The id of a new session."""
        answer = await self.connect(peer).ask(get("", **headers))
        return str(json.loads(answer.body[1:])["sid"])

    async def known(self, sid: str, peer: str = "127.0.0.1", **headers: str) -> Memory:
        """A connection on which the server knows the requests of a session."""
        tcp = self.connect(peer)
        for _ in range(2):
            self.eio.sockets[sid].answered("known", NOOP.encode())
            assert (await tcp.ask(get(sid, "known", **headers))).body == b"6"
            assert (await tcp.ask(post(sid, PONG, **headers))).body == b"ok"
        self.handled.clear()
        return tcp

    async def client(self, **headers: str) -> tuple[str, Memory]:
        sid = await self.open(**headers)
        return sid, await self.known(sid, **headers)

    def write(self, sid: str, *texts: str) -> None:
        for text in texts:
            self.eio.sockets[sid].write(Outgoing([text]))


def _lines(first: str, headers: dict[str, str]) -> bytes:
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([f"{first} HTTP/1.1", "Host: test", *lines, "", ""]).encode()


def target(sid: str, mark: str = "") -> str:
    return PATH + (f"&t={mark}" if mark else "") + (f"&sid={sid}" if sid else "")


def get(sid: str, mark: str = "1", **headers: str) -> bytes:
    return _lines(f"GET {target(sid, mark)}", headers)


def post(sid: str, body: str | bytes, **headers: str) -> bytes:
    data = body.encode() if isinstance(body, str) else body
    headers = {"Content_Type": "text/plain", "Content_Length": str(len(data)), **headers}
    return _lines(f"POST {target(sid)}", headers) + data


@asynccontextmanager
async def staged(
    app: web.Application | None = None, *, keepalive_timeout: float = 75, **options: Any
) -> AsyncIterator[Scene]:
    options.setdefault("ping_interval", 20)
    options.setdefault("ping_timeout", 20)
    eio = engineio_server(**options)
    eio.trusted_handlers = True
    app = app or web.Application()
    eio.attach(app)
    runner = web.AppRunner(
        app, access_log=None, shutdown_timeout=0.1, keepalive_timeout=keepalive_timeout
    )
    await runner.setup()
    scene = Scene(eio, runner)
    admit = eio.admit_origin

    def noted(request: web.Request) -> bool:
        scene.handled.append(request.method)
        return bool(admit(request))

    eio.admit_origin = noted

    async def message(sid: str, data: Any) -> None:
        scene.seen.append(data)
        await eio.send(sid, data)

    eio.on("message", message)
    try:
        yield scene
    finally:
        await runner.cleanup()


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with staged() as scene:
        yield scene


# -- what goes through the lane ------------------------------------------------------------------


async def test_known_requests_never_reach_aiohttp(scene: Scene) -> None:
    sid, tcp = await scene.client()
    for number in range(3):
        assert (await tcp.ask(post(sid, f"4{number}"))).body == b"ok"
        assert (await tcp.ask(get(sid, f"m{number}"))).body == f"4{number}".encode()
    assert scene.handled == []
    assert scene.seen == ["0", "1", "2"]


async def test_the_second_request_of_a_connection_proves_it(scene: Scene) -> None:
    sid = await scene.open()
    tcp = scene.connect()
    scene.write(sid, "a")
    await tcp.ask(get(sid, "1"))
    assert (tcp.in_lane, scene.eio.sockets[sid].heads) == (True, None)
    scene.write(sid, "b")
    await tcp.ask(get(sid, "2"))
    assert set(scene.eio.sockets[sid].heads) == {b"GET "}
    scene.handled.clear()
    scene.write(sid, "c")
    assert (await tcp.ask(get(sid, "3"))).body == b"4c"
    assert scene.handled == []


async def test_pieces_and_two_at_once_prove_it_too_or_nothing(scene: Scene) -> None:
    sid = await scene.open()
    tcp = scene.connect()
    await tcp.ask(post(sid, PONG))
    request = post(sid, PONG)
    await tcp.feed(request[:30], request[30:-1], request[-1:])
    assert set(scene.eio.sockets[sid].heads) == {b"POST"}
    other = scene.connect()
    await other.ask(post(sid, PONG))
    await other.feed(request + request)  # neither is all that there was
    assert len(other.answers()) == 2
    scene.handled.clear()
    await other.ask(request)
    assert scene.handled == ["POST"]
    await other.ask(request)
    assert scene.handled == ["POST"]


async def test_half_a_request_behind_the_one_that_brings_the_lane(scene: Scene) -> None:
    """The rest of it is not taken for the beginning of another."""
    sid = await scene.open()
    tcp = scene.connect()
    request = post(sid, "4x")
    await tcp.feed(request + request[:20], request[20:], request)
    assert [answer.status for answer in tcp.answers()] == [200] * 3
    assert scene.seen == ["x"] * 3


async def test_a_client_that_is_quicker_than_aiohttp(scene: Scene) -> None:
    """Its next request comes before aiohttp, which has answered, waits for one."""
    sid, _ = await scene.client()
    tcp = scene.connect()
    loop = asyncio.get_running_loop()
    await tcp.ask(post(sid, PONG))
    rest = [post(sid, "4a"), post(sid, "4b")]
    tcp.on_write = lambda: rest and loop.call_soon(tcp.protocol.data_received, rest.pop())
    scene.handled.clear()
    await tcp.feed(post(sid, PONG))
    assert [answer.status for answer in tcp.answers()] == [200] * 3
    assert scene.handled == ["POST"]  # the first of the three
    assert scene.seen == ["b", "a"]


async def test_many_clients_behind_a_proxy(scene: Scene) -> None:
    sids = [await scene.open() for _ in range(3)]
    for sid in sids:
        await scene.known(sid, X_Forwarded_For=f"10.0.0.{sids.index(sid)}")
    tcp = await scene.known(sids[0], X_Forwarded_For="10.0.0.0")
    for sid in sids * 2:
        client = f"10.0.0.{sids.index(sid)}"
        assert (await tcp.ask(post(sid, "4x", X_Forwarded_For=client))).body == b"ok"
        assert (await tcp.ask(get(sid, X_Forwarded_For=client))).body == b"4x"
        scene.eio.sockets[sid].answered("other", b"")
    assert scene.handled == []


async def test_a_lane_goes_on_behind_a_request_that_is_not_for_it(scene: Scene) -> None:
    sid, tcp = await scene.client()
    await tcp.feed(_lines("GET /nothing", {}))
    assert [answer.status for answer in tcp.answers()] == [404]
    # the first that aiohttp reads after another has not been proven, the second is
    for _ in range(2):
        await tcp.ask(post(sid, PONG))
    scene.handled.clear()
    await tcp.ask(post(sid, "4x"))
    assert (scene.handled, scene.seen) == ([], ["x"])


async def test_a_broadcast_is_built_once(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    clients = [await scene.client() for _ in range(5)]
    for sid, tcp in clients:
        await tcp.feed(get(sid))
        assert scene.eio.sockets[sid].polling
    built: list[bytes] = []
    original = Lane._built
    monkeypatch.setattr(
        Lane, "_built", lambda self, form, body: built.append(body) or original(self, form, body)
    )
    one, two = Outgoing(["one"]), Outgoing(["two"])
    for out in (one, two):
        for sid, _ in clients:
            scene.eio.sockets[sid].write(out)
    assert not any(tcp.written for _, tcp in clients)  # not before the end of the turn
    await turns(1)
    assert built == [b"4one\x1e4two"]
    assert {tcp.answers()[0].body for _, tcp in clients} == {b"4one\x1e4two"}
    assert scene.handled == []


async def test_one_that_fails_does_not_keep_the_others_waiting(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, logged: pytest.LogCaptureFixture
) -> None:
    clients = [await scene.client() for _ in range(3)]
    for sid, tcp in clients:
        await tcp.feed(get(sid))
    bad = scene.eio.sockets[clients[1][0]]
    original = scene.eio.fetch

    def fetch(session: Any) -> Any:
        if session is bad:
            raise RuntimeError("no")
        return original(session)

    monkeypatch.setattr(scene.eio, "fetch", fetch)
    for sid, _ in clients:
        scene.write(sid, "x")
    await turns()
    assert [tcp.aborted for _, tcp in clients] == [False, True, False]
    assert [len(tcp.answers()) for _, tcp in clients] == [1, 0, 1]
    assert logged.text.count("RuntimeError: no") == 1


# -- what does not -------------------------------------------------------------------------------


def _onlooker() -> web.Application:
    @web.middleware
    async def middleware(request: web.Request, handler: Any) -> web.StreamResponse:
        response: web.StreamResponse = await handler(request)
        return response

    return web.Application(middlewares=[middleware])


def _signal() -> web.Application:
    async def prepare(request: web.Request, response: web.StreamResponse) -> None: ...

    app = web.Application()
    app.on_response_prepare.append(prepare)
    return app


@pytest.mark.parametrize("make", [_onlooker, _signal])
@pytest.mark.parametrize("spared", [False, True])
async def test_applications_that_look_at_each_request(make: Any, spared: bool) -> None:
    app = make()
    async with staged(app) as scene:
        told: list[int] = []
        if spared:
            onlookers = (*app.middlewares, *app.on_response_prepare)
            scene.eio.bypass = Bypass(onlookers, told.append)
        sid, tcp = await scene.client()
        assert tcp.in_lane == spared
        told.clear()
        await tcp.ask(post(sid, "4x"))
        assert scene.handled == ([] if spared else ["POST"])
        assert told == ([200] if spared else [])


async def test_an_application_above_that_looks_at_each_request() -> None:
    app = _onlooker()
    below = web.Application()
    eio = engineio_server(ping_interval=20)
    eio.attach(below)
    app.add_subapp("/below", below)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    assert runner.server is not None
    tcp = Memory(runner.server)
    for _ in range(3):
        await tcp.ask(get("").replace(b"/engine.io", b"/below/engine.io"))
        sid = next(iter(eio.sockets))
        await tcp.ask(post(sid, PONG).replace(b"/engine.io", b"/below/engine.io"))
        assert not tcp.in_lane
    await runner.cleanup()


async def test_a_handler_of_somebody_else_around_ours() -> None:
    app = web.Application()
    eio = engineio_server(ping_interval=20)
    asked: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        asked.append(request.method)
        return await eio.handle_request(request)

    app.router.add_route("*", "/engine.io/", handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    assert runner.server is not None
    tcp = Memory(runner.server)
    await tcp.ask(get(""))
    for _ in range(4):
        await tcp.ask(post(next(iter(eio.sockets)), PONG))
    assert asked == ["GET", *["POST"] * 4]
    await eio.shutdown()
    await runner.cleanup()


async def test_closed_to_all() -> None:
    async with staged() as scene:
        scene.eio.bypass = Bypass(open=lambda: False)
        _, tcp = await scene.client()
        assert not tcp.in_lane


async def test_an_access_log(logged: pytest.LogCaptureFixture) -> None:
    # whatever somebody's logs.setup has left behind
    logged.set_level(logging.INFO, logger="aiohttp.access")
    eio = engineio_server(ping_interval=20)
    app = web.Application()
    eio.attach(app)
    runner = web.AppRunner(app, access_log_format="%r %s")
    await runner.setup()
    assert runner.server is not None
    tcp = Memory(runner.server)
    await tcp.ask(get(""))
    for _ in range(3):
        await tcp.ask(post(next(iter(eio.sockets)), PONG))
    assert logged.text.count("POST /engine.io/") == 3
    await eio.shutdown()
    await runner.cleanup()


async def test_origins_that_a_function_decides_about() -> None:
    async with staged(cors_allowed_origins=lambda origin: True) as scene:
        _, tcp = await scene.client(Origin="http://a.example")
        assert not tcp.in_lane


@pytest.mark.parametrize(
    "headers",
    [
        {"Connection": "close"},
        {"Expect": "100-continue"},
        {"Upgrade": "h2c"},
        {"Content_Encoding": "identity"},
        {"Trailer": "x"},
    ],
)
async def test_unusual_requests(scene: Scene, headers: dict[str, str]) -> None:
    sid = await scene.open()
    for _ in range(3):
        tcp = scene.connect()
        for _ in range(3):
            await tcp.feed(post(sid, PONG, **headers))
        assert not tcp.in_lane
    assert scene.eio.sockets[sid].heads is None


async def test_http_1_0(scene: Scene) -> None:
    sid = await scene.open()
    tcp = scene.connect()
    for _ in range(3):
        await tcp.feed(post(sid, PONG, Connection="keep-alive").replace(b"/1.1", b"/1.0"))
    assert [answer.status for answer in tcp.answers()] == [200] * 3
    assert not tcp.in_lane


async def test_a_chunked_body(scene: Scene) -> None:
    sid, tcp = await scene.client()
    lines = {"Content_Type": "text/plain", "Transfer_Encoding": "chunked"}
    chunked = _lines(f"POST {target(sid)}", lines) + b"2\r\n4x\r\n0\r\n\r\n"
    for _ in range(3):
        await tcp.ask(chunked)
    both = post(sid, "4y", Transfer_Encoding="chunked")
    await tcp.feed(both)
    assert [answer.status for answer in tcp.answers()] == [400]
    assert scene.seen == ["x"] * 3


async def test_what_is_decided_anew_for_each_request(scene: Scene) -> None:
    """The head is known, but the session has gone, is stopping, or has got that poll already."""
    sid, tcp = await scene.client()
    scene.write(sid, "x")
    first = await tcp.ask(get(sid, "m"))
    assert await tcp.ask(get(sid, "m")) == first  # repeated: nothing is fetched
    assert scene.handled == ["GET"]
    other, tcp = await scene.client()
    assert (await tcp.ask(post(other, CLOSE))).status == 200
    assert (await tcp.ask(post(other, "4x"))).status == 400
    third, tcp = await scene.client()
    scene.eio.sockets[third].upgraded = True
    scene.eio.sockets[third].heads = None
    assert (await tcp.ask(get(third))).status == 400


async def test_bodies_that_are_refused_as_by_aiohttp(scene: Scene) -> None:
    for body in (b"", b"4\xff", b"4x\x1e", b"b*", b"4x\x1e9"):
        sid, tcp = await scene.client()
        answer = await tcp.ask(post(sid, body))
        assert answer.status == 400
        assert sid not in scene.eio.sockets
    assert len(scene.seen) == 1


async def test_too_large(scene: Scene) -> None:
    scene.eio.max_http_buffer_size = 100
    sid, tcp = await scene.client()
    assert (await tcp.ask(post(sid, "4" + "x" * 99))).status == 200
    assert (await tcp.ask(post(sid, "4" + "x" * 100))).status == 413
    assert sid not in scene.eio.sockets


async def test_a_head_is_worth_as_much_as_the_connection_it_came_on() -> None:
    """What a trusted proxy says of the origin is not believed when somebody else says it."""
    async with staged(trusted_proxies=["10.0.0.1"]) as scene:
        said = {"Origin": "https://a.example", "X_Forwarded_Host": "a.example"}
        said["X_Forwarded_Proto"] = "https"
        sid = await scene.open("10.0.0.1")
        proxy = await scene.known(sid, "10.0.0.1", **said)
        assert (await proxy.ask(post(sid, PONG, **said))).status == 200
        assert scene.handled == []
        other = await scene.known(sid, "10.0.0.2")
        await scene.known(sid, "10.0.0.1", **said)
        assert (await other.ask(post(sid, PONG, **said))).status == 400
        assert (await proxy.ask(post(sid, PONG, **said))).status == 200


# -- nobody can tell -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://test"},
        {"Origin": "http://test", "Access_Control_Request_Headers": "x-a"},
        {"Origin": "https://b.a.example"},
        {"Origin": "https://b.a.example", "Sec_Fetch_Site": "cross-site"},
        {"Accept_Encoding": "deflate, gzip;q=0.5"},
        {"Accept_Encoding": "br"},
    ],
)
async def test_the_same_headers_as_from_aiohttp(headers: dict[str, str]) -> None:
    got: list[list[Answer]] = []
    policy = {"origins": Origins(["https://*.a.example"])} if "a.example" in str(headers) else {}
    for bypass in (Bypass(), Bypass(open=lambda: False)):
        async with staged(**policy) as scene:
            scene.eio.bypass = bypass
            sid, tcp = await scene.client(**headers)
            answers = [await tcp.ask(post(sid, "4hello", **headers))]
            answers.append(await tcp.ask(get(sid, "a", **headers)))
            scene.write(sid, "x" * 5000)
            answers.append(await tcp.ask(get(sid, "b", **headers)))
            scene.eio.receiver = lambda session, data: session.broken("x")
            answers.append(await tcp.ask(post(sid, "4hello", **headers)))
            assert tcp.in_lane == bool(not scene.handled)
            for answer in answers:
                answer.headers.pop("Date")
            got.append(answers)
    assert got[0] == got[1]
    assert [answer.status for answer in got[0]] == [200, 200, 200, 400]
    told = got[0][0].headers.get("Access-Control-Allow-Origin")
    assert told == headers.get("Origin")
    coding = {"deflate, gzip;q=0.5": "gzip"}.get(headers.get("Accept_Encoding", ""))
    assert got[0][2].headers.get("Content-Encoding") == coding


async def test_the_date(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    sid, tcp = await scene.client()
    monkeypatch.setattr(module.time, "time", lambda: 784111777.9)
    answer = await tcp.ask(post(sid, "4x"))
    assert answer.headers["Date"] == "Sun, 06 Nov 1994 08:49:37 GMT"


# -- waiting -------------------------------------------------------------------------------------


async def test_a_poll_that_waits_and_what_comes_behind_it(scene: Scene) -> None:
    sid, tcp = await scene.client()
    await tcp.feed(get(sid, "1") + post(sid, "4x") + get(sid, "2"), get(sid, "3"))
    assert tcp.answers() == []
    scene.write(sid, "first")
    await turns()
    bodies = [answer.body for answer in tcp.answers()]
    assert bodies == [b"4first", b"ok", b"4x"]
    scene.write(sid, "last")
    await turns()
    assert [answer.body for answer in tcp.answers()] == [b"4last"]
    assert scene.handled == []


async def test_what_comes_behind_is_bounded(scene: Scene) -> None:
    sid, tcp = await scene.client()
    await tcp.feed(get(sid))
    flood = post(sid, "4" + "x" * 20_000)
    fed = 0
    while tcp.reading:
        await tcp.feed(flood)
        fed += 1
    assert fed == -(-module.HELD // len(flood))
    scene.write(sid, "go")
    await turns()
    assert tcp.reading
    assert len(tcp.answers()) == 1 + fed
    assert len(scene.seen) == fed


async def test_answers_that_the_client_does_not_read_are_bounded(scene: Scene) -> None:
    sid, tcp = await scene.client()
    tcp.on_write = lambda: len(tcp.written) > 1000 and tcp.protocol.pause_writing()
    flood = post(sid, "4x") * 500
    await tcp.feed(flood, flood)
    assert len(tcp.written) < 2000
    assert not tcp.reading
    before = len(scene.seen)
    assert before < 10
    tcp.on_write = lambda: None
    tcp.protocol.resume_writing()
    await until(lambda: len(scene.seen) == 1000)
    assert (len(tcp.answers()), tcp.reading) == (1000, True)
    assert scene.handled == []


async def test_a_lost_connection_ends_the_session_whose_poll_waits(scene: Scene) -> None:
    sid, tcp = await scene.client()
    session = scene.eio.sockets[sid]
    await tcp.feed(get(sid), post(sid, "4never"))
    known = len(scene.runner.server.connections)  # type: ignore[union-attr]
    tcp.lose()
    assert session.closed
    await turns()
    assert (scene.seen, scene.eio.sockets) == ([], {})
    assert len(scene.runner.server.connections) == known - 1  # type: ignore[union-attr]


async def test_a_connection_that_is_lost_between_the_message_and_the_answer(scene: Scene) -> None:
    sid, tcp = await scene.client()
    session = scene.eio.sockets[sid]
    await tcp.feed(get(sid))
    scene.write(sid, "x")
    tcp.close()
    await turns()
    assert session.closed
    assert tcp.answers() == []


async def test_two_polls_at_the_same_time(scene: Scene) -> None:
    sid, tcp = await scene.client()
    other = await scene.known(sid)
    await tcp.feed(get(sid, "1"))
    assert (await other.ask(get(sid, "2"))).status == 400
    await turns()
    assert [answer.status for answer in tcp.answers()] == [200]
    assert sid not in scene.eio.sockets


async def test_a_post_waits_for_room_in_the_inbox() -> None:
    async with staged(inbox=2) as scene:
        gate = asyncio.Event()

        async def message(sid: str, data: str) -> None:
            await gate.wait()
            scene.seen.append(data)

        scene.eio.on("message", message)
        sid, tcp = await scene.client()
        other = await scene.known(sid)
        await tcp.feed(post(sid, "\x1e".join(["4a"] * 6)), post(sid, "4b"))
        assert (tcp.answers(), scene.eio.sockets[sid].posting) == ([], True)
        gate.set()
        await turns(40)
        assert [answer.body for answer in tcp.answers()] == [b"ok", b"ok"]
        assert scene.seen == ["a"] * 6 + ["b"]
        gate.clear()
        await tcp.feed(post(sid, "\x1e".join(["4a"] * 6)))
        assert (await other.ask(post(sid, "4c"))).status == 400  # two at the same time
        gate.set()
        await turns(40)
        assert sid not in scene.eio.sockets


async def test_a_fault_while_a_post_is_handled_cuts_the_connection_off(scene: Scene) -> None:
    sid, tcp = await scene.client()

    def receive(session: Any, data: Any) -> None:
        raise RuntimeError("mine")

    scene.eio.receiver = receive
    with pytest.raises(RuntimeError, match="mine"):
        tcp.protocol.data_received(post(sid, "4x"))
    await turns()
    assert tcp.aborted
    assert not scene.eio.sockets[sid].posting


async def test_an_upgrade_lets_go_of_the_poll(scene: Scene) -> None:
    sid, tcp = await scene.client()
    session = scene.eio.sockets[sid]
    await tcp.feed(get(sid))
    session.release_poll()
    await until(lambda: tcp.written)
    assert [answer.body for answer in tcp.answers()] == [b"6"]


async def test_a_server_that_stops_closes_the_connection_behind_its_answer(scene: Scene) -> None:
    sid, tcp = await scene.client()
    other, idle = await scene.client()
    await tcp.feed(get(sid))
    await scene.eio.shutdown()
    await turns()
    (answer,) = tcp.answers()
    assert (answer.body, answer.headers["Connection"]) == (b"6", "close")
    assert tcp.closed
    assert (await idle.ask(get(other))).status == 400
    assert not idle.closed
    await scene.runner.cleanup()
    assert idle.closed


async def test_idle_connections_are_closed_but_not_while_a_poll_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = asyncio.get_running_loop()
    now = loop.time()
    monkeypatch.setattr(loop, "time", lambda: now)  # it passes when the test says so
    async with staged(keepalive_timeout=5, ping_interval=1000) as scene:
        sid, tcp = await scene.client()
        await tcp.feed(get(sid))
        now += 60
        await turns()
        assert not tcp.closed
        scene.write(sid, "x")
        await turns()
        assert [answer.body for answer in tcp.answers()] == [b"4x"]
        now += 4.9
        await turns()
        assert not tcp.closed
        now += 0.2
        await turns()
        assert tcp.closed


# -- the same as from aiohttp, whatever comes ----------------------------------------------------


class Twins:
    """Two servers: one with lanes and one without."""

    def __init__(self, loop: asyncio.Runner) -> None:
        self.loop = loop
        self.stages = [staged() for _ in range(2)]
        self.scenes = [loop.run(stage.__aenter__()) for stage in self.stages]
        self.scenes[1].eio.bypass = Bypass(open=lambda: False)
        for scene in self.scenes:
            scene.eio.generate_id = lambda: "the-session"

    def close(self) -> None:
        for stage in self.stages:
            self.loop.run(stage.__aexit__(None, None, None))

    async def _play(self, scene: Scene, pieces: list[bytes]) -> Any:
        scene.seen.clear()
        tcp = await scene.known(await scene.open())
        session = scene.eio.sockets["the-session"]
        await tcp.feed(*pieces)
        await turns(10 * TURNS)
        result = [_said(answer) for answer in tcp.answers()], tcp.closed, session.closed
        if not tcp.closed:
            tcp.lose()
        session.end("x", "kicked", flush=False)
        await turns()
        return *result, list(scene.seen)

    def lane(self, pieces: list[bytes]) -> Any:
        """What comes of the pieces."""
        return self.loop.run(self._play(self.scenes[0], pieces))

    def aiohttp(self, pieces: list[bytes]) -> Any:
        """What comes of them without a lane."""
        return self.loop.run(self._play(self.scenes[1], pieces))


def _said(answer: Answer) -> tuple[int, bytes]:
    # what aiohttp says of a malformed request is put in words that depend on the pieces
    ours = answer.status == 200 or "json" in answer.headers["Content-Type"]
    return answer.status, answer.body if ours else b""


@pytest.fixture(scope="module")
def twins() -> Iterator[Twins]:
    with pytest.MonkeyPatch.context() as patch, asyncio.Runner() as loop:
        # all sessions have the same id here: none may be forgotten in the place of an earlier one
        patch.setattr(sessions, "LINGER", 3600)
        twins = Twins(loop)
        yield twins
        twins.close()


SID = "the-session"
REQUESTS = st.sampled_from(
    [
        post(SID, "4a"),
        post(SID, "4a\x1e4b\x1eb/w=="),
        post(SID, PONG),
        post(SID, "4" + "x" * 3000),
        get(SID, "m1"),
        get(SID, "m2"),
        get(SID, "m1", X_Other="y"),
        post(SID, "4a", X_Other="y"),
        _lines("GET /nothing", {}),
        _lines(f"OPTIONS {target(SID)}", {"Origin": "http://test"}),
        get("another"),
        post(SID, "9"),
        b"\r\n",
    ]
)
STREAMS = st.lists(REQUESTS, max_size=6)
FIRST = post(SID, "4z")  # so that a poll has something to answer


@settings(deadline=None, max_examples=120)
@given(STREAMS, st.data())
def test_streams_in_any_pieces(twins: Twins, requests: list[bytes], data: st.DataObject) -> None:
    stream = b"".join([FIRST, *requests])
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=6)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    found = twins.lane(pieces)
    assert found == twins.aiohttp(pieces)
    assert found[0][0] == (200, b"ok")


@settings(deadline=None, max_examples=300)
@given(
    STREAMS,
    st.integers(0, 200),
    st.integers(0, 3),
    st.sampled_from([b"", b" ", b"\r\n", b"\0", b"\r", b"\n", b"%", b":", b"GET ", b"0", b"\xff"])
    | st.binary(max_size=2),
)
def test_malformed_requests(
    twins: Twins, requests: list[bytes], at: int, gone: int, instead: bytes
) -> None:
    *well, last = [FIRST, *requests]
    last = last[:at] + instead + last[at + gone :]
    found = twins.lane([*well, last])
    if found != twins.aiohttp([*well, last]):
        # when there is nonsense behind a request in the same piece, aiohttp forgets the request
        assert found == twins.aiohttp([*well, *(bytes([byte]) for byte in last)])


# -- real connections ----------------------------------------------------------------------------


async def _over(encrypted: bool) -> None:
    authority = trustme.CA()
    server, client = None, None
    if encrypted:
        server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("127.0.0.1").configure_cert(server)
        client = ssl.create_default_context()
        authority.configure_trust(client)
    eio = engineio_server(ping_interval=20)
    app = web.Application()
    eio.attach(app)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server).start()
    port = runner.addresses[0][1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client)
    handled: list[str] = []
    admit = eio.admit_origin
    eio.admit_origin = lambda request: handled.append(request.method) or admit(request)

    async def ask(request: bytes) -> bytes:
        writer.write(request)
        head = await soon(reader.readuntil(b"\r\n\r\n"))
        size = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0])
        return await soon(reader.readexactly(size))

    opened = await ask(get(""))
    sid = json.loads(opened[1:])["sid"]
    for number in range(5):
        assert await ask(post(sid, f"4{number}")) == b"ok"
        assert await ask(get(sid, f"m{number}")) == b"4%d" % number
    # the first proves the connection, the second makes itself known
    assert handled == ["GET", "POST", "GET", "POST"] or handled == ["GET", "POST", "GET"]
    session = eio.sockets[sid]
    writer.write(get(sid, "waits"))
    await until(lambda: session.polling)
    writer.transport.abort()
    await until(lambda: session.closed)
    await runner.cleanup()


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_on_both_loops_and_encrypted(loop: Any, encrypted: bool) -> None:
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(_over(encrypted))


async def test_the_kit_asks_through_the_lane(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or all the other tests would test aiohttp's way twice."""
    async with kit.serve(engineio_server(ping_interval=20), "engine.io") as site:
        client = await site.polling()
        monkeypatch.setattr(site.eio, "handle_request", None)
        monkeypatch.setattr(site.eio, "admit_origin", None)
        await client.send("4x")
        assert await client.packet() == "4x"
