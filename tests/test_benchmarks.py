"""The load generator finds what it is there to find, and the benchmarks' arithmetic is right."""

import asyncio
import contextlib
import itertools
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import socketio
from aiohttp import web

from benchmarks import load, plot, record, report, servers
from benchmarks.__main__ import main, parts
from benchmarks.figures import Figure, faults, faulty, per, summary
from benchmarks.load import Dialect, Load
from benchmarks.servers import KINDS, Setting
from benchmarks.works import WORKS, Scenario

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the load needs epoll")

ROOMS = Dialect("/", '{"user":"u%i","room":"r%r"}')
ECHO = replace(ROOMS, event="echo", echo=True)
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
        self.echo = lambda body: body
        self.sio.on("echo", lambda sid, body: self.echo(body))

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


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_it_compiles_without_a_warning(tmp_path: Path, tls: bool) -> None:
    load.compile_to(tmp_path / "load", "-Werror", tls=tls)


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


async def test_a_late_one_is_found(chat: Chat) -> None:
    """Two messages of one sender change places."""
    kept: list[str] = []

    async def message(sid: str, body: str) -> dict[str, bool]:
        kept.append(body)
        if len(kept) == 2:
            for one in reversed(kept):
                await chat.sio.emit("message", {"body": one})
        return {"ok": True}

    chat.sio.on("message", message)
    found = await put_on(chat, Load(members=2, window=2), messages=2, patience=2.0)
    assert faults(found) == {"late": 2, "lost": 2, "incomplete": 1}


async def test_an_echo(chat: Chat) -> None:
    work = Load(rooms=3, members=1, window=2)
    found = await put_on(chat, work, ECHO, messages=5)
    assert faults(found) == {}
    assert found["total"] == {"sent": 15, "acked": 15, "deliveries": 0}


async def test_an_echo_that_is_another_ones_is_found(chat: Chat) -> None:
    chat.echo = lambda body: body.replace("~0.0.3.", "~0.0.2.")
    found = await put_on(chat, Load(members=1), ECHO, messages=5)
    assert faults(found) == {"refused": 1}


async def test_who_stalls_is_not_expected_to_get_anything(chat: Chat) -> None:
    found = await put_on(chat, Load(members=5, senders=2, stalled=2), messages=3)
    assert faults(found) == {}
    assert found["total"] == {"sent": 6, "acked": 6, "deliveries": 18}


async def test_a_rate(chat: Chat) -> None:
    found = await put_on(chat, Load(members=2, window=9, rate=50), warmup=0.0, seconds=0.5)
    assert faults(found) == {}
    assert 15 <= found["sent"] <= 25


async def test_a_crowd_comes_and_leaves(chat: Chat) -> None:
    crowd = Load(crowd=30, crowd_rooms=3, checkpoint=(10,), settle=0.1, leave=True)
    command_line = {"server": [os.getpid()]}
    found = await asyncio.to_thread(
        load.run, crowd, ROOMS, [chat.port], pids=command_line, quiet=0.3
    )
    assert faults(found) == {}
    assert [point["clients"] for point in found["crowd"]] == [0, 10, 30, 30]
    assert found["crowd"][-1]["rss_kib"]["server"] > 0
    assert found["before"]["ping_ms"]["p50"] > 0
    assert found["leave"]["ping_ms"]["max"] > 0
    assert {room: len(members) for room, members in chat.rooms.items()} == {
        **{f"r{number}": 10 for number in (1, 2, 3)},
        "r4": 1,  # the one that pings
    }


async def test_a_crowd_stays_while_others_talk(chat: Chat) -> None:
    crowd = Load(crowd=5, crowd_rooms=1, settle=0.0, first_client=100, first_room=50)
    with contextlib.ExitStack() as stack:
        coming = load.staying(crowd, ROOMS, [chat.port], pids={})
        noted = await asyncio.to_thread(stack.enter_context, coming)
        found = await put_on(chat, Load(members=2), messages=2)
    assert noted["crowd"][-1]["clients"] == 5
    assert faults(found) == {}
    assert len(chat.rooms["r51"]) == 5


def test_over_tls() -> None:
    setting = Setting(tls=True)
    dialect = replace(KINDS["bare"].dialect, tls=True)
    with servers.running("bare", setting, servers=set(), rest=set()) as served:
        found = load.run(Load(members=4), dialect, served.ports, pids=served.pids, messages=3)
    assert faults(found) == {}
    assert found["deliveries"] == 12


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
    shown = report.table({"": {"stock": rows["ours"]}}, FIGURES)
    assert "| python-socketio | -" in shown


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


def test_a_crowd_that_is_too_much_for_one_process_is_divided() -> None:
    crowd = Load(crowd=50_000, crowd_rooms=100, first_client=1000, first_room=1)
    divided = parts(crowd, 19_000)
    assert [one.crowd for one in divided] == [16_666, 16_667, 16_667]
    assert [one.first_client for one in divided] == [1000, 17_666, 34_333]
    for one, after in itertools.pairwise(divided):
        assert after.first_room >= one.first_room + (one.crowd // 1000 + 2) * one.crowd_rooms
    assert parts(crowd, 60_000) == [crowd]


# ---------------------------------------------------------------------------- what is shown


def test_the_figures_in_the_readme_are_the_recorded_ones() -> None:
    text = record.README.read_text("utf-8")
    assert record.render(text, record.load()) == text, "stale: python -m benchmarks.record"
    for name, drawing in record.plots(record.load()).items():
        assert (record.RESULTS / name).read_text("utf-8") == drawing


def test_every_work_is_in_the_readme() -> None:
    shown = re.findall(r"<!-- figures: ([\w-]+) -->", record.README.read_text("utf-8"))
    assert sorted(shown) == sorted([*WORKS, "summary", "machine"])


def test_a_block_of_no_work_is_refused() -> None:
    with pytest.raises(ValueError, match="nonsense"):
        record.render("<!-- figures: nonsense -->\n<!-- end -->", {})


def test_a_plot_is_well_formed_and_has_every_mark() -> None:
    rows = [
        plot.Row("a < b", {"ours": plot.Dot(0.4, 0.5, 0.6), "theirs": plot.Dot(1, 1, 1)}, 0.5),
        plot.Row("beyond", {"ours": plot.Dot(30, 40, 50)}),
    ]
    drawing = ElementTree.fromstring(plot.ratios(rows, ["ours", "theirs"], "ratios"))
    kinds = [element.tag.rpartition("}")[2] for element in drawing]
    assert kinds.count("circle") == 5  # the legend's two too
    points = {"ours": {10: 5, 100: 2}, "theirs": {10: 9, 100: 8}}
    lines = plot.growth(points, [*points], "growth", "members")
    assert len(re.findall("<polyline", lines)) == 2
    ElementTree.fromstring(lines)


@pytest.mark.parametrize(("value", "place"), [(0.1, 0), (1, 50), (10, 100), (99, 100)])
def test_the_axis_is_logarithmic(value: float, place: float) -> None:
    assert plot.Axis(0.1, 10, 0, 100)(value) == place


def test_an_unknown_work_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["nonsense"])
    assert "no such work: nonsense; there are fanout" in capsys.readouterr().err


def test_a_work_that_cannot_be_measured_is_said_to_be(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise load.Failed("no server")

    monkeypatch.setattr("benchmarks.__main__.measure", fail)
    assert main(["echo", "--only", "node"]) == 2
    assert "echo, run 1 of 3, node: no server" in capsys.readouterr().err


def test_one_work_from_beginning_to_end(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("benchmarks.__main__.SCRATCH", tmp_path)
    small = Scenario((("", Load(rooms=2, members=4)),))
    monkeypatch.setitem(WORKS, "rooms", replace(WORKS["rooms"], scenario=small))
    options = ["--runs", "1", "--seconds", "0.2", "--warmup", "0.1", "--only", "sioserver", "bare"]
    assert main(["rooms", *options]) == 0
    shown = capsys.readouterr()
    assert "rooms, run 1 of 1, bare" in shown.err
    assert "| sioserver, bare emit |" in shown.out
    kept = record.load(tmp_path)["rooms"]
    assert kept["settings"] == {"runs": 1, "seconds": 0.2, "warmup": 0.1}
    assert len(kept["results"][""]["bare"]["cpu_us"]["runs"]) == 1
    text = record.render("<!-- figures: rooms -->\n<!-- end -->", {"rooms": kept})
    assert "| sioserver " in text
    assert "rooms" in record.plots({"rooms": kept})["ratios.svg"]
