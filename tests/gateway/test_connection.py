"""A plain WebSocket without a network: bounds, signs of life, proofs, the end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from sioserver.connections import eager
from sioserver.connections.slices import Slices
from sioserver.gateway.connection import PlainConnection
from sioserver.gateway.frames import NOTHING, Frames
from sioserver.limits import NoAllowance
from sioserver.metrics import Metrics


class Deadline:
    def __init__(self, wheel: Wheel, delay: float, callback: Callable[[], None]) -> None:
        self.wheel, self.due, self.callback = wheel, wheel.now + delay, callback

    def moved(self, delay: float) -> Deadline:
        self.due = self.wheel.now + delay
        return self

    def cancel(self) -> None:
        self.wheel.deadlines.remove(self)


class Wheel:
    def __init__(self) -> None:
        self.now = 0.0
        self.deadlines: list[Deadline] = []

    def after(self, delay: float, callback: Callable[[], None]) -> Deadline:
        self.deadlines.append(Deadline(self, delay, callback))
        return self.deadlines[-1]

    def go_on(self, seconds: float) -> None:
        end = self.now + seconds
        while due := [one for one in self.deadlines if one.due <= end]:
            first = min(due, key=lambda one: one.due)
            self.now = first.due
            self.deadlines.remove(first)
            first.callback()
        self.now = end


class Socket:
    """A WebSocket that keeps what is written."""

    deflates = False

    def __init__(self) -> None:
        self.said = 0
        self.faulty = False
        self.sent: list[bytes] = []
        self.backlog = 0
        self.reading = True
        self.end: Any = None
        self.on_pong: Any = None

    def write(self, frames: bytes, limit: float = float("inf")) -> bool:
        if self.backlog + len(frames) > limit:
            return False
        self.sent.append(frames)
        return True

    def close(self, code: int, reason: bytes) -> None:
        self.end = (code, reason)

    def abort(self) -> None:
        self.end = "cut off"

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    @property
    def pings(self) -> list[bytes]:
        return [data[2:] for data in self.sent if data[0] == 0x89]


class Scene:
    """A server with one connection."""

    ping_interval, ping_timeout, heartbeat = 25.0, 20.0, 5.0
    inbox, inbox_bytes, client_queue, offer_queue = 4, 1000, 100, 50
    logger = logging.getLogger(__name__)

    def __init__(self, heartbeat: Frames | None = None) -> None:
        self.metrics = Metrics()
        self.wheel: Any = Wheel()
        self.slices = Slices()
        self.proofs: Any = self
        self.heard: list[Any] = []
        self.useless: list[str] = []
        self.over: list[str] = []
        self.sent: Any = None
        self.proved: list[Any] = []
        nobody: Any = None
        me: Any = self
        self.connection = PlainConnection(me, nobody, None, NoAllowance(), None)
        self.connection.heartbeat = heartbeat
        self.socket = Socket()
        ws: Any = self.socket
        self.connection.begin(ws)

    def start(self, coroutine: Coroutine[Any, Any, None]) -> Any:
        return eager.run_trusted(coroutine)

    async def handle(self, connection: PlainConnection, data: Any) -> None:
        self.heard.append(data)

    def unasked(self, connection: PlainConnection, what: str) -> None:
        self.useless.append(what)

    def ended(self, connection: PlainConnection, code: str) -> None:
        self.over.append(code)

    def written(self, connection: PlainConnection) -> Any:
        return self.sent

    def proven(self, connection: PlainConnection, sent: Any) -> None:
        self.proved.append(sent)


BEAT = Frames(["beat"])


async def test_pings_that_are_answered_go_on() -> None:
    scene = Scene()
    for number in range(1, 4):
        scene.wheel.go_on(25.0)
        assert len(scene.socket.pings) == number
        scene.sent = None
        scene.socket.on_pong(scene.socket.pings[-1])
    assert scene.over == []
    scene.wheel.go_on(25.0 + 20.0)
    assert scene.over == ["ping_timeout"]
    assert scene.socket.end == "cut off"
    assert scene.wheel.deadlines == []


async def test_a_pong_proves_what_was_written_before_its_ping() -> None:
    scene = Scene()
    scene.sent = "five"
    scene.connection.ping()
    scene.sent = "seven"
    scene.connection.ping()  # one at a time
    [payload] = scene.socket.pings
    scene.socket.on_pong(b"another")
    scene.socket.on_pong(payload)
    scene.socket.on_pong(payload)
    assert scene.proved == ["five"]
    assert scene.useless == ["pong", "pong"]


async def test_heartbeats_are_answered_by_the_next_one() -> None:
    scene = Scene(BEAT)
    scene.sent = "five"
    scene.wheel.go_on(5.0)
    assert scene.socket.sent == [BEAT.frames]
    scene.connection.alive()
    assert scene.proved == ["five"]
    scene.connection.alive()
    assert scene.useless == ["pong"]
    scene.wheel.go_on(5.0)
    assert len(scene.socket.sent) == 2
    scene.wheel.go_on(5.0)
    assert scene.over == ["ping_timeout"]


async def test_who_speaks_no_json_answers_by_a_pong() -> None:
    scene = Scene(BEAT)
    scene.connection.strict = False
    for _ in range(3):
        scene.wheel.go_on(5.0)
        scene.socket.on_pong(scene.socket.pings[-1])
    assert scene.over == []
    scene.wheel.go_on(5.0)
    scene.connection.strict = True
    scene.socket.on_pong(scene.socket.pings[-1])
    scene.wheel.go_on(5.0)
    assert scene.over == ["ping_timeout"]


async def test_who_is_not_read_is_not_cut_off_for_its_silence() -> None:
    scene = Scene()
    scene.wheel.go_on(25.0)
    scene.connection.pause_reading()
    assert scene.metrics.limit_hits["inbox"] == 1
    assert not scene.socket.reading
    scene.wheel.go_on(20.0)
    assert scene.over == []
    scene.connection.resume_reading()
    assert scene.socket.reading
    scene.wheel.go_on(20.0)
    assert scene.over == ["ping_timeout"]


async def test_another_dialect_has_other_signs_of_life() -> None:
    scene = Scene(BEAT)
    talk: Any = None
    scene.connection.become(talk, None)
    scene.wheel.go_on(24.0)
    assert scene.socket.sent == []
    scene.wheel.go_on(1.0)
    assert len(scene.socket.pings) == 1


async def test_what_may_wait() -> None:
    scene = Scene()
    out = Frames(["x" * 38])  # 40 bytes
    scene.socket.backlog = 20
    assert not scene.connection.offer(out)
    assert scene.connection.write(out)
    assert scene.connection.offer(NOTHING)
    scene.socket.backlog = 90
    assert scene.connection.queued == 90
    assert not scene.connection.write(out, droppable=True)
    assert scene.metrics.dropped["slow"] == 1
    assert scene.over == []
    assert not scene.connection.write(out)
    assert not scene.connection.write(NOTHING)  # nothing may go out behind what did not
    assert scene.metrics.limit_hits["client_queue"] == 1
    await asyncio.sleep(0)
    assert scene.over == ["slow"]
    assert scene.socket.end[0] == 3001


@pytest.mark.parametrize(
    ("faulty", "said", "code"),
    [(True, 0, "parse_error"), (False, 1000, "left"), (False, 0, "transport_close")],
)
async def test_how_it_ends(faulty: bool, said: int, code: str) -> None:
    scene = Scene()
    scene.socket.faulty, scene.socket.said = faulty, said
    scene.connection.on_gone()
    scene.connection.end("", "kicked")
    assert scene.over == [code]
    scene.connection.on_text("too late")
    scene.connection.on_binary(b"too late")
    assert scene.heard == []
    assert not scene.connection.offer(BEAT)


async def test_what_comes_is_handled_in_order() -> None:
    scene = Scene()
    scene.connection.on_text("one")
    scene.connection.on_binary(b"two")
    assert scene.heard == ["one", b"two"]
    scene.connection.broken()
    assert scene.over == ["parse_error"]
    assert scene.socket.end[0] == 3005


async def test_a_connection_that_never_was() -> None:
    me: Any = Scene()
    nobody: Any = None
    connection = PlainConnection(me, nobody, None, NoAllowance(), None)
    assert not connection.write(BEAT)
    assert not connection.offer(BEAT)
    assert connection.queued == 0
    await connection.drain(0)
    connection.ping()
    connection.end("", "transport_close", flush=False)
    assert me.over == ["transport_close"]
