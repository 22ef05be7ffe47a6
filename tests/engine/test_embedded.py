"""The embedded engine, beside the contract: memory, the disk's failures, and a kill."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from sioserver.config import Config
from sioserver.config.schema import Store
from sioserver.engine import create_engine, store_path
from sioserver.engine import embedded as module
from sioserver.engine import embedded_pages as pages
from sioserver.engine.base import Engine
from sioserver.engine.embedded import EmbeddedEngine
from sioserver.engine.tail import TAIL_BYTES
from sioserver.errors import Refusal
from sioserver.model import Counts, Membership, Standing, User

from .conftest import ANN, GUEST, Keep, Listener, draft
from .embedded_kit import T, pragma, refused

KEEP = Keep()


@pytest.fixture
def engine(embedded: EmbeddedEngine) -> EmbeddedEngine:
    return embedded


async def test_a_crowd_that_leaves_does_not_keep_the_loop(
    engine: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SLICE", -1.0)  # no time at all: one room a turn
    for n in range(5):
        await engine.enter(f"r{n}", ANN, "c")
    turns = 0
    sweeping = asyncio.create_task(engine.sweep(T))
    while not sweeping.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns >= 5


@pytest.mark.parametrize("what", ["webhooks", "_listener"])
async def test_who_posts_is_answered_whatever_becomes_of_the_announcement(
    engine: EmbeddedEngine,
    what: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken:
        def touch(self, room: str) -> None:
            raise RuntimeError("a fault of ours")

        def on_message(self, *_: object) -> None:
            raise RuntimeError("a fault of ours")

    engine.watch("a")
    monkeypatch.setattr(engine, what, Broken())
    published = await asyncio.wait_for(engine.publish("a", draft("m1"), KEEP), 20)
    assert published.position.offset == 1
    assert (await engine.history("a", limit=9)).messages[0].id == "m1"
    assert "a message could not be announced" in caplog.text


# -- the disk fails -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fail", "mend", "says"),
    [
        ("max_page_count = 1", "max_page_count = 1073741823", "full"),
        ("query_only = 1", "query_only = 0", "readonly"),
    ],
)
async def test_posting_is_refused_while_reading_goes_on(
    engine: EmbeddedEngine, fail: str, mend: str, says: str
) -> None:
    big = "x" * 50_000
    await engine.join("a", ANN)
    for n in range(10):
        await engine.publish("a", draft(f"m{n}"), KEEP)
    engine.watch("a")
    await pragma(engine, fail)
    lost = [engine.publish("a", draft(f"lost{n}", body=big), KEEP) for n in range(5)]
    errors = await asyncio.gather(*lost, return_exceptions=True)
    assert [(e.code, e.temporary, e.retry_after) for e in errors if isinstance(e, Refusal)] == [
        ("unavailable", True, 1)
    ] * 5
    assert says in (engine.ready() or "")

    # Whoever is a member gets in, sees who is here, and reads what there is.
    assert await engine.join("a", ANN) == Membership(0, 0, 0, 0)
    assert await engine.join("a", GUEST) == Membership(10, 10, 10, 10)
    assert await engine.enter("a", ANN, "c1") == Counts(1, 1)
    for after in (0, 8):
        page = await engine.history("a", after=after, limit=99)
        assert [message.offset for message in page.messages] == list(range(after + 1, 11))
    assert (await engine.history("never-seen", limit=9)).top.offset == 0
    engine.advance("a", "ann", 9)
    await engine.sweep(T)
    assert await engine.join("a", ANN) == Membership(0, 9, 0, 0)

    await pragma(engine, mend)
    now = T
    while engine.ready() is not None:  # the sweep finds out
        now += 1
        await engine.sweep(now)
        await engine.history("a", after=0, limit=1)
    again = [engine.publish("a", draft(f"lost{n}", body=big), KEEP) for n in range(5)]
    results = await asyncio.gather(*again)
    assert [(r.position.offset, r.duplicate) for r in results] == [
        (n, False) for n in range(11, 16)
    ]
    listener = engine._listener
    assert isinstance(listener, Listener)
    assert listener.offsets("a") == list(range(11, 16))
    await engine.sweep(now + 1)
    assert list((await engine.rooms_of("ann", limit=9)).values()) == [
        Standing(Membership(0, 9, 0, 0), 15, 15)
    ]


async def test_a_refused_draft_is_not_under_way_any_more(engine: EmbeddedEngine) -> None:
    await pragma(engine, "query_only = 1")
    calls = [engine.publish("a", draft("m"), KEEP) for _ in range(3)]
    errors = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(error, Refusal) for error in errors)
    assert len({id(error) for error in errors}) == 3
    assert engine._under_way == {}
    await pragma(engine, "query_only = 0")
    result = await engine.publish("a", draft("m"), KEEP)
    assert (result.position.offset, result.duplicate) == (1, False)


async def test_a_room_that_cannot_be_read(
    engine: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry that fails is undone."""
    with monkeypatch.context() as patch:
        patch.setattr(pages, "load", lambda *_: 1 / 0)
        assert await refused(engine.enter("a", GUEST, "c1")) == "internal"
        entering = asyncio.create_task(engine.enter("a", GUEST, "c2"))
        await asyncio.sleep(0)
        await engine.sweep(T)  # the room is not there yet: nothing to announce
        assert await refused(entering) == "internal"
    assert await engine.counts("a") == Counts(0, 0)
    assert await engine.online("a", limit=9) == []


async def test_an_exit_may_overtake_an_enter(engine: EmbeddedEngine) -> None:
    entering = asyncio.create_task(engine.enter("a", ANN, "c1"))
    await asyncio.sleep(0)
    await engine.exit("a", "ann", "c1", T)
    await entering
    await engine.sweep(T + 5)
    assert await engine.counts("a") == Counts(0, 0)


async def test_only_posting_is_refused_while_the_queue_is_full(tmp_path: Path) -> None:
    engine = EmbeddedEngine(Store(queue=3), grace=5, path=":memory:")
    await engine.start(Listener())
    calls = [engine.publish("a", draft(f"m{n}"), KEEP) for n in range(5)]
    others = [engine.join("a", User(f"u{n}", "U")) for n in range(200)]
    reads = [engine.history(f"room{n}", limit=9) for n in range(200)]
    results = await asyncio.gather(*calls, *others, *reads, return_exceptions=True)
    codes = [r.code if isinstance(r, Refusal) else "ok" for r in results]
    assert codes == ["ok"] * 3 + ["unavailable"] * 2 + ["ok"] * 400
    await engine.sweep(T)
    assert (await engine.publish("a", draft("m3"), KEEP)).position.offset == 4
    await engine.stop()


# -- memory ---------------------------------------------------------------------------------------


async def test_idle_rooms_are_let_go(engine: EmbeddedEngine) -> None:
    for n in range(10):
        await engine.publish(f"room{n}", draft("m"), KEEP)
        await engine.history(f"room{n}", limit=9)
    assert engine.stats()["rooms_cached"] == 2
    engine.watch("room0")
    await engine.enter("room1", ANN, "c1")
    for n in range(10):
        page = await engine.history(f"room{n}", limit=9)
        assert [message.offset for message in page.messages] == [1]
    assert engine.stats()["rooms_cached"] == 4
    engine.unwatch("room0")
    await engine.exit("room1", "ann", "c1", T)
    await engine.sweep(T + 5)
    assert engine.stats()["rooms_cached"] == 2
    assert engine.stats()["rooms_with_people"] == 0


async def test_members_are_counted_in_memory_and_out(engine: EmbeddedEngine) -> None:
    for n in range(5):
        await engine.join("a", User(f"u{n}", "U"))
    assert (await engine.counts("a")).total == 5
    await asyncio.gather(
        *(engine.join("a", User(f"u{n}", "U")) for n in range(3, 9)),
        engine.leave("a", "u0"),
        engine.leave("a", "nobody"),
        engine.counts("b"),
    )
    assert (await engine.counts("a")).total == 8
    for room in "bcd":
        await engine.counts(room)
    assert engine._rooms.get("a") is None
    assert (await engine.counts("a")).total == 8


async def test_messages_in_memory_are_bounded(engine: EmbeddedEngine) -> None:
    await engine.history("a", limit=1)
    for n in range(50):
        await engine.publish("a", draft(f"m{n}"), Keep(history_length=20))
    room = engine._rooms.get("a")
    assert room is not None
    assert 4 <= len(room.tail) < 8
    page = await engine.history("a", limit=99)
    assert [message.offset for message in page.messages] == list(range(page.first, 51))


async def test_big_messages_are_not_all_kept_in_memory(tmp_path: Path) -> None:
    engine = EmbeddedEngine(Store(), grace=5, path=tmp_path / "big.db")
    await engine.start(Listener())
    await engine.history("a", limit=1)
    for n in range(40):
        await engine.publish("a", draft(f"m{n}", body="x" * 60_000), KEEP)
        assert engine.stats()["tail_bytes"] <= TAIL_BYTES
    assert engine.stats()["tail_bytes"] > TAIL_BYTES - 70_000
    page = await engine.history("a", limit=99)
    assert [message.offset for message in page.messages] == list(range(1, 41))
    await engine.stop()
    engine = EmbeddedEngine(Store(), grace=5, path=tmp_path / "big.db")
    await engine.start(Listener())
    assert await engine.history("a", limit=99) == page
    assert TAIL_BYTES - 70_000 < engine.stats()["tail_bytes"] <= TAIL_BYTES
    await engine.stop()


async def test_a_room_without_history(engine: EmbeddedEngine) -> None:
    engine.watch("a")
    await engine.history("a", limit=1)
    for n in range(5):
        await engine.publish("a", draft(f"m{n}"), Keep(history_length=0))
        page = await engine.history("a", after=0, limit=9)
        assert (page.messages, page.first, page.top.offset) == ([], n + 2, n + 1)
    assert isinstance(engine._listener, Listener)
    assert engine._listener.offsets("a") == [1, 2, 3, 4, 5]


# -- which engine, where --------------------------------------------------------------------------


async def test_the_engine_of_a_configuration(tmp_path: Path) -> None:
    config = Config(store=Store(path=str(tmp_path / "x" / "rooms.db")))
    engine: Engine = create_engine(config)
    await engine.start(Listener())
    await engine.stop()
    assert (tmp_path / "x" / "rooms.db").is_file()


def test_where_the_store_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert store_path(":memory:") == ":memory:"
    assert store_path("some/rooms.db") == Path("some/rooms.db")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert store_path("~/rooms.db") == tmp_path / "rooms.db"
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert store_path("") == tmp_path / "data" / "sioserver" / "sioserver.db"
    for ignored in ("relative", ""):
        monkeypatch.setenv("XDG_DATA_HOME", ignored)
        assert store_path("") == tmp_path / ".local" / "share" / "sioserver" / "sioserver.db"
    monkeypatch.setattr(sys, "platform", "darwin")
    library = tmp_path / "Library" / "Application Support"
    assert store_path("") == library / "sioserver" / "sioserver.db"
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert store_path("") == tmp_path / "local" / "sioserver" / "sioserver.db"


# -- real processes -------------------------------------------------------------------------------

PUBLISHER = """
    import asyncio, sys
    from pathlib import Path
    from sioserver.config.schema import Store
    from sioserver.engine.embedded import EmbeddedEngine
    from sioserver.errors import Refusal
    from sioserver.model import Draft, User

    class Keep:
        history_length = 100_000
        history_age = 0.0

    class Listener:
        def on_message(self, room, epoch, message): ...
        def on_presence(self, room, diff): ...

    async def publish(engine, run, n):
        i = 0
        while True:
            draft = Draft(f"{run}-{n}-{i}", User(f"u{n}", "U"), "x" * 100, 1, i % 2 == 0)
            try:
                result = await engine.publish(f"room{n % 3}", draft, Keep)
            except Refusal as refusal:
                print("refused", refusal.code, engine.ready(), flush=True)
                return
            print(result.position.epoch, n % 3, result.position.offset, draft.id, flush=True)
            i += 1

    async def main():
        engine = EmbeddedEngine(Store(durability=sys.argv[3]), grace=5, path=Path(sys.argv[1]))
        await engine.start(Listener())
        await asyncio.gather(*(publish(engine, sys.argv[2], n) for n in range(8)))
        await engine.stop()

    asyncio.run(main())
"""


async def messages_of(path: Path) -> tuple[str, dict[tuple[int, int], str]]:
    """(epoch, {(number of the room, offset): message id}) of a store."""
    engine = EmbeddedEngine(Store(), grace=5, path=path)
    await engine.start(Listener())
    found = {}
    epoch = ""
    for n in range(3):
        page = await engine.history(f"room{n}", after=0, limit=100_000)
        epoch = page.top.epoch
        assert [m.offset for m in page.messages] == list(range(1, page.top.offset + 1))
        found |= {(n, message.offset): message.id for message in page.messages}
    await engine.stop()
    assert len(set(found.values())) == len(found)
    return epoch, found


@pytest.mark.parametrize("durability", ["full", "normal"])
async def test_a_kill_loses_nothing_that_was_acknowledged(tmp_path: Path, durability: str) -> None:
    path = tmp_path / "rooms.db"
    acked: dict[tuple[int, int], str] = {}
    epochs = set()
    chance = random.Random(11)
    for run in range(4):
        arguments = [sys.executable, "-c", textwrap.dedent(PUBLISHER), str(path), f"run{run}"]
        with subprocess.Popen(
            [*arguments, durability], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(chance.randint(5, 600))]
            process.send_signal(signal.SIGKILL)
            lines += process.stdout.readlines()
        for line in lines:
            if not line.endswith("\n"):
                continue  # the kill came while it was printed
            epoch, room, offset, id = line.split()
            assert (int(room), int(offset)) not in acked
            acked[int(room), int(offset)] = id
            epochs.add(epoch)
        epoch, stored = await messages_of(path)
        epochs.add(epoch)
        assert {place: stored.get(place) for place in acked} == acked
    assert len(epochs) == 1


async def test_a_file_that_cannot_grow(tmp_path: Path) -> None:
    """The operating system refuses the write (here by a limit on the size of files)."""
    path = tmp_path / "rooms.db"
    limited = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))\n"
    code = limited + textwrap.dedent(PUBLISHER)
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", code, str(path), "run", "normal"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    refusals = [line for line in done.stdout.splitlines() if line.startswith("refused")]
    acked = [line.split() for line in done.stdout.splitlines() if not line.startswith("refused")]
    assert len(refusals) == 8
    assert all(line.startswith("refused unavailable ") for line in refusals)
    assert not any(line.endswith("None") for line in refusals)
    assert len(acked) > 20  # how many depends on how they fall into transactions
    _, stored = await messages_of(path)
    assert stored == {(int(room), int(offset)): id for _, room, offset, id in acked}
    assert os.path.getsize(path) > 0
