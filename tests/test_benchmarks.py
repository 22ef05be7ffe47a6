"""The load generator finds what it is there to find, and the benchmarks' arithmetic is right."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import socketio
from aiohttp import web

from benchmarks import load, report, servers
from benchmarks.figures import Figure, faults, faulty, per, summary
from benchmarks.load import Dialect, Load
from benchmarks.servers import KINDS, Setting

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the load needs epoll")

ROOMS = Dialect("/", '{"user":"u%i","room":"r%r"}')
Deliver = Callable[[int, list[str]], list[str]]


class Chat:
    """A chat of stock python-socketio. `deliver` says who gets a message (its number, all who are
    there -> some of them, perhaps twice); numbers in `refused` are answered with a refusal."""

    def __init__(self) -> None:
        self.deliver: Deliver = lambda number, members: members
        self.refused: set[int] = set()
        self.open = asyncio.Event()
        self.open.set()
        self.port = 0
        self.rooms: dict[str, list[str]] = {}
        self.sio = socketio.AsyncServer(async_mode="aiohttp")
        self.sio.on("connect", self.connect)
        self.sio.on("message", self.message)

    async def connect(self, sid: str, environ: dict[str, Any], auth: dict[str, str]) -> None:
        await self.sio.save_session(sid, auth)
        self.rooms.setdefault(auth["room"], []).append(sid)

    async def message(self, sid: str, body: str) -> dict[str, bool]:
        number = int(body.split(".")[2])
        if number in self.refused:
            return {"ok": False}
        room = (await self.sio.get_session(sid))["room"]
        await self.open.wait()
        for member in self.deliver(number, self.rooms[room]):
            await self.sio.emit("message", {"body": body}, to=member)
        return {"ok": True}


@pytest.fixture
async def chat() -> AsyncIterator[Chat]:
    chat = Chat()
    app = web.Application()
    chat.sio.attach(app)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    chat.port = runner.addresses[0][1]
    yield chat
    await chat.sio.shutdown()
    await runner.cleanup()


async def put_on(
    chat: Chat, work: Load, dialect: Dialect = ROOMS, **options: float
) -> dict[str, Any]:
    return await asyncio.to_thread(load.run, work, dialect, [chat.port], pids={}, **options)


# ---------------------------------------------------------------------------- the generator


def test_it_compiles_without_a_warning(tmp_path: Path) -> None:
    load.compile_to(tmp_path / "load", "-Werror")


def test_without_a_compiler_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(load.Failed, match="apt-get install gcc"):
        load.compile_to(Path("unused"))


@pytest.mark.parametrize("polling", [False, True], ids=["websocket", "polling"])
def test_a_small_load_on_sioserver(polling: bool) -> None:
    with servers.running("sioserver", Setting(), servers=set(), rest=set()) as served:
        found = load.run(
            Load(rooms=1, members=10, senders=2, polling=polling),
            KINDS["sioserver"].dialect,
            served.ports,
            pids=served.pids,
            messages=10,
        )
    assert faults(found) == {}, found
    assert found["joined"] == 10
    assert found["total"] == {"sent": 20, "acked": 20, "deliveries": 200}
    assert found["cpu_s"].keys() == {"load", "server"}
    latency = found["delivery_ms"]
    assert 0 < latency["p50"] <= latency["p99"] <= latency["p999"] <= latency["max"]


async def test_rooms_are_apart_and_their_senders_take_turns(chat: Chat) -> None:
    found = await put_on(chat, Load(rooms=3, members=4, senders=2, window=2), messages=5)
    assert faults(found) == {}
    assert found["total"] == {"sent": 30, "acked": 30, "deliveries": 120}


async def test_what_comes_after_the_end_is_not_measured(chat: Chat) -> None:
    chat.open.clear()
    asyncio.get_running_loop().call_later(1.0, chat.open.set)
    found = await put_on(chat, Load(members=4), warmup=0.0, seconds=0.05)
    assert faults(found) == {}
    assert found["total"]["sent"] == 1
    assert found["deliveries"] == 0
    assert found["total"]["deliveries"] == 4


async def test_a_loss_is_found(chat: Chat) -> None:
    chat.deliver = lambda number, members: members[1:] if number in (2, 7) else members
    found = await put_on(chat, Load(members=4, window=8), messages=8, patience=2.0)
    assert faults(found) == {"lost": 2, "incomplete": 1}


async def test_what_comes_twice_is_found(chat: Chat) -> None:
    chat.deliver = lambda number, members: members + members[:1] * (number == 2)
    found = await put_on(chat, Load(members=4), messages=4)
    assert faults(found) == {"late": 1}


async def test_a_refusal_is_found_and_is_not_a_loss(chat: Chat) -> None:
    chat.refused = {1}
    found = await put_on(chat, Load(members=4), messages=4)
    assert faults(found) == {"refused": 1}
    assert found["total"]["deliveries"] == 12


async def test_what_belongs_elsewhere_is_found(chat: Chat) -> None:
    chat.deliver = lambda number, members: (
        members + chat.rooms["r1"] * (members == chat.rooms["r0"])
    )
    found = await put_on(chat, Load(rooms=2, members=2), messages=3)
    assert faults(found) == {"foreign": 6}


async def test_a_client_that_is_cut_off_is_found(chat: Chat) -> None:
    def deliver(number: int, members: list[str]) -> list[str]:
        if number == 1:
            chat.sio.start_background_task(chat.sio.disconnect, members.pop())
        return members

    chat.deliver = deliver
    found = await put_on(chat, Load(members=4), messages=3, patience=2.0)
    assert found["gone"] == 1
    assert found["complete"] is False


async def test_a_server_that_is_not_there(chat: Chat) -> None:
    chat.port = servers.free_port()
    with pytest.raises(load.Failed, match="0 of 4 clients joined"):
        await put_on(chat, Load(members=4), messages=1)


# ---------------------------------------------------------------------------- the arithmetic


def found(cpu_s: float, **more: int) -> dict[str, Any]:
    """What a run of 1000 deliveries in a second found."""
    common = {"seconds": 1.0, "deliveries": 1000, "cpu_s": {"server": cpu_s, "load": 0.5}}
    return {**common, "complete": True, **more}


FIGURES = {
    "cpu_us": per("delivery", lambda found: float(found["deliveries"])),
    "rate": Figure("deliveries/s", lambda found: found["deliveries"] / found["seconds"], 0),
}


def test_ratios_are_of_the_same_run() -> None:
    runs = [
        {"ours": found(cpu_s=0.005), "node": found(cpu_s=0.010)},
        {"ours": found(cpu_s=0.008), "node": found(cpu_s=0.020)},
        {"ours": found(cpu_s=0.006), "node": found(cpu_s=0.010)},
    ]
    rows = summary(runs, FIGURES)
    assert rows["ours"]["ratio"] == {
        "min": 0.4,
        "median": 0.5,
        "max": 0.6,
        "runs": [0.5, 0.4, 0.6],
    }
    assert rows["ours"]["cpu_us"]["median"] == pytest.approx(6)
    assert rows["node"]["ratio"]["max"] == 1
    assert rows["ours"]["load_busy"]["max"] == 0.5


def test_what_was_never_delivered_has_no_figure() -> None:
    rows = summary([{"ours": found(0.1, deliveries=0), "node": found(0.1)}], FIGURES)
    assert rows["ours"].keys() == {"rate", "load_busy", "faults"}
    assert "| ours" not in report.lines([["x"]])


@pytest.mark.parametrize("fault", ["lost", "late", "foreign", "refused", "gone"])
def test_every_fault_counts(fault: str) -> None:
    good, bad = found(0.1), found(0.1, **{fault: 3})
    assert faults(good) == {}
    assert faults(bad) == {fault: 3}
    assert not faulty({"": summary([{"node": good}], FIGURES)})
    assert faulty({"": summary([{"node": good}, {"node": bad}], FIGURES)})


def test_what_never_ended_is_a_fault() -> None:
    assert faults(found(0.1, complete=False)) == {"incomplete": 1}


def test_the_table_shows_ratios_and_faults() -> None:
    runs = [{"sioserver": found(0.005, lost=3), "node": found(0.010)}, {}]
    runs[1] = {"sioserver": found(0.006), "node": found(0.010)}
    rows = report.table({"small": summary(runs, FIGURES)}, FIGURES).splitlines()
    assert len(rows) == 4
    assert "5.00 / 5.50 / 6.00" in rows[2]
    assert "0.50 / 0.55 / 0.60" in rows[2]
    assert "1 000" in rows[2]
    assert "3 lost" in rows[2]
    assert rows[3].endswith("| none   |")
    assert json.dumps(report.machine())
