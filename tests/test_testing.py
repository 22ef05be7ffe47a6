"""The test kit: the checker finds every planted fault and no other, the process obeys."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sioserver.testing import Checker, Report, ServerFailed, ServerProcess

from .workers.kit import Alone

# ---------------------------------------------------------------------------- the checker


@dataclass
class Story:
    """What happened in a room, correct as it is drawn: a record that faults are planted in."""

    log: list[str]
    """Ids; the offset of the first is 1."""
    unacked: set[str]
    """Stored, but the sender never heard of it."""
    members: dict[str, int]
    """Name -> the offset after which it joined."""
    got: dict[str, list[tuple[str, int, Any]]] = field(default_factory=dict)
    sent: dict[str, Any] = field(default_factory=dict)
    acked: dict[str, int] = field(default_factory=dict)
    nacked: set[str] = field(default_factory=set)
    gaps: list[tuple[str, int, int]] = field(default_factory=list)
    through: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.sent = {id: {"text": id} for id in self.log} | {
            "lost": "never stored",
            "no": "refused",
        }
        self.nacked = {"no"}
        self.acked = {id: offset for offset, id in enumerate(self.log, 1) if id not in self.unacked}
        self.got = {
            name: [
                (id, offset, {"text": id})
                for offset, id in enumerate(self.log, 1)
                if offset > after
            ]
            for name, after in self.members.items()
        }

    def tell(self) -> Report:
        checker = Checker()
        for number, (id, body) in enumerate(self.sent.items()):
            checker.sent(id, body, f"sender {number % 2}")
        for id, offset in self.acked.items():
            checker.acked(id, offset)
        for id in self.nacked:
            checker.nacked(id)
        for name, after in self.members.items():
            checker.joined(name, after)
            if name in self.through:
                checker.left(name, self.through[name])
        for name, first, last in self.gaps:
            checker.gap(name, first, last)
        for name, items in self.got.items():
            for id, offset, body in items:
                checker.received(name, id, offset, body)
        report = checker.check()
        again = checker.check()
        assert (again.findings, again.announced) == (report.findings, report.announced)
        return report


@st.composite
def stories(draw: st.DrawFn) -> Story:
    size = draw(st.integers(3, 12))
    log = [f"m{number}" for number in range(size)]
    return Story(
        log,
        unacked=set(draw(st.lists(st.sampled_from(log), max_size=3))),
        members={
            f"r{number}": draw(st.integers(0, size)) for number in range(draw(st.integers(2, 4)))
        },
    )


def kinds(report: Report) -> set[str]:
    return {finding.kind for finding in report.findings}


def pick(data: st.DataObject, story: Story, least: int = 1) -> tuple[str, int]:
    """A member that got at least so many messages, and an index with that many from it on."""
    rich = [name for name, got in story.got.items() if len(got) >= least]
    assume(rich)
    name = data.draw(st.sampled_from(rich))
    return name, data.draw(st.integers(0, len(story.got[name]) - least))


@given(stories())
def test_a_correct_history_gives_no_finding(story: Story) -> None:
    report = story.tell()
    assert report.ok, str(report)
    assert report.announced == 0


@given(stories(), st.data())
def test_a_lost_message_is_named(story: Story, data: st.DataObject) -> None:
    name, index = pick(data, story)
    id, offset, _ = story.got[name].pop(index)
    report = story.tell()
    was_last = index == len(story.got[name])
    if id in story.acked:
        (loss,) = report.of("loss")
        assert (loss.member, loss.id, loss.offset) == (name, id, offset)
    else:
        assert not report.of("loss")
    assert [(gap.member, gap.offset) for gap in report.of("gap")] == (
        [] if was_last else [(name, offset)]
    )
    assert kinds(report) <= {"loss", "gap"}


@given(stories(), st.data())
def test_a_loss_that_was_told_is_counted_and_no_finding(story: Story, data: st.DataObject) -> None:
    name, index = pick(data, story)
    id, offset, _ = story.got[name].pop(index)
    story.gaps.append((name, offset, offset))
    report = story.tell()
    assert report.ok
    assert report.announced == (id in story.acked)


@given(stories(), st.data())
def test_a_duplicate_is_named(story: Story, data: st.DataObject) -> None:
    name, index = pick(data, story)
    item = story.got[name][index]
    story.got[name].insert(data.draw(st.integers(index, len(story.got[name]))), item)
    report = story.tell()
    (finding,) = report.findings
    assert (finding.kind, finding.member, finding.offset) == ("duplicate", name, item[1])


@given(stories(), st.data())
def test_a_swap_is_named(story: Story, data: st.DataObject) -> None:
    name, index = pick(data, story, 2)
    got = story.got[name]
    got[index], got[index + 1] = got[index + 1], got[index]
    (finding,) = story.tell().findings
    assert (finding.kind, finding.member, finding.offset) == ("order", name, got[index + 1][1])


@given(stories(), st.data())
def test_members_who_disagree_are_named(story: Story, data: st.DataObject) -> None:
    name, index = pick(data, story, 2)
    (a, one, x), (b, two, y) = story.got[name][index : index + 2]
    assume(any(a in {id for id, *_ in got} for who, got in story.got.items() if who != name))
    story.got[name][index : index + 2] = [(b, one, y), (a, two, x)]
    report = story.tell()
    assert kinds(report) <= {"order", "duplicate"}
    assert {one, two} & {finding.offset for finding in report.of("order")}


@given(stories(), st.data())
def test_a_message_that_is_stored_twice_is_named(story: Story, data: st.DataObject) -> None:
    id = data.draw(st.sampled_from(story.log))
    assume(story.got["r0"] or id in story.acked)
    for got in story.got.values():
        got.append((id, len(story.log) + 1, {"text": id}))
    report = story.tell()
    first = story.log.index(id) + 1
    known = id in story.acked or any(after < first for after in story.members.values())
    assert kinds(report) == ({"duplicate"} if known else set())
    assert all(finding.id == id for finding in report.findings)


@given(stories(), st.data())
def test_a_phantom_is_named(story: Story, data: st.DataObject) -> None:
    name, index = pick(data, story)
    offset = len(story.log) + 1
    for got in story.got.values():
        got.append(("ghost", offset, "boo"))
    assert {finding.member for finding in story.tell().of("phantom")} == set(story.members)
    assert kinds(story.tell()) == {"phantom"}
    for got in story.got.values():
        got.pop()
    id, at, _ = story.got[name][index]
    story.got[name][index] = (id, at, "something else")
    (finding,) = story.tell().findings
    assert (finding.kind, finding.member, finding.id) == ("phantom", name, id)


@given(stories())
def test_a_refused_message_that_was_delivered_is_named(story: Story) -> None:
    for got in story.got.values():
        got.append(("no", len(story.log) + 1, "refused"))
    report = story.tell()
    assert {finding.member for finding in report.of("nacked")} == set(story.members)
    assert kinds(report) == {"nacked"}


@given(stories(), st.data())
def test_a_senders_messages_out_of_order_are_named(story: Story, data: st.DataObject) -> None:
    story.unacked = set()
    story.__post_init__()
    index = data.draw(st.integers(0, len(story.log) - 3))
    ids = list(story.sent)  # told in another order than they are in the log
    ids[index], ids[index + 2] = ids[index + 2], ids[index]
    story.sent = {id: story.sent[id] for id in ids}
    assert kinds(story.tell()) == {"order"}


def test_who_left_is_entitled_up_to_there() -> None:
    def tell(through: int) -> Report:
        story = Story(["a", "b", "c"], set(), {"r": 0})
        story.got["r"].pop()
        story.through = {"r": through}
        return story.tell()

    assert tell(2).ok
    assert kinds(tell(3)) == {"loss"}


def test_two_acknowledgements_must_agree() -> None:
    checker = Checker()
    checker.sent("a", 1)
    checker.acked("a", 1)
    checker.acked("a", 1)
    assert checker.check().ok
    checker.acked("a", 2)
    assert "acknowledged as 1 and 2" in str(checker.check())


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
