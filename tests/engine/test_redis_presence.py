"""Who is online over several nodes, beside what test_contract.py says of every engine."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sioserver.engine.redis_link import Unavailable
from sioserver.engine.redis_presence import CHUNK
from sioserver.errors import Refusal
from sioserver.model import Counts, PresenceDiff, User
from sioserver.valkey import Valkey
from tests.redis_servers import Cluster, ask, standalone
from tests.redis_servers import settings as redis_settings

from .conftest import ANN, BEN, GRACE, GUEST
from .redis_node import Node, nodes, people, until, until_so


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with standalone(tmp_path_factory.mktemp("valkey")) as server:
        yield server


async def test_a_user_with_devices_on_two_nodes_is_one(server: Valkey) -> None:
    async with nodes(redis_settings(server), "a") as (one, two):
        assert await one.presence.enter("a", ANN, "c1") == Counts(1, 0)
        assert await two.presence.enter("a", ANN, "c2") == Counts(1, 0)
        await one.presence.sweep(0)
        await two.presence.sweep(0)
        await until(two.joined)
        assert one.joined() == two.joined() == ["ann"]
        await one.exit(ANN, client="c1")
        await one.presence.sweep(GRACE)
        assert await one.ids() == await two.ids() == ["ann"]
        await two.exit(ANN, client="c2")
        await two.presence.sweep(GRACE)
        await until(one.left)
        assert one.left() == two.left() == ["ann"]
        assert one.diffs[-1] == two.diffs[-1] == ("a", PresenceDiff(Counts(0, 0), [], [ANN]))
        assert await one.presence.counts("a") == Counts(0, 0)
        await until(lambda: one.received == two.received == 2)  # and nothing else was told


def moved(node: Node) -> list[tuple[list[str], list[str]]]:
    diffs = [diff for _, diff in node.diffs if diff.away or diff.back]
    return [([one.id for one in diff.away], [one.id for one in diff.back]) for diff in diffs]


async def test_one_node_notes_when_somebody_left(server: Valkey) -> None:
    async with nodes(redis_settings(server), "a") as (one, two):
        for node in (one, two):
            await node.enter(ANN, client="c")
            await node.presence.sweep(1000)
        await one.enter(GUEST)
        await one.presence.sweep(1000)
        await one.exit(ANN, now=1000)
        await one.exit(GUEST, now=1000)
        await one.presence.sweep(1000 + GRACE)
        assert one.gone == []  # the other device
        await two.exit(ANN, now=2000)
        await two.presence.sweep(2000 + GRACE)
        await until(lambda: "ann" in one.left())
        assert (one.gone, two.gone) == ([], [("a", "ann", 2000)])


async def test_who_is_on_a_dead_node_was_seen_until_its_lease_ended(server: Valkey) -> None:
    async with nodes(redis_settings(server), "a", lease=1.0) as (one, two):
        began = one.redis.server_time(one.keys.leases)
        await two.enter(ANN)
        await two.presence.sweep(0)
        two.freeze()
        await until(lambda: one.gone)
        ((room, user_id, at),) = one.gone
        assert (room, user_id) == ("a", "ann")
        assert began - GRACE < at < one.redis.server_time(one.keys.leases) - GRACE
        assert two.gone == []


async def test_who_rests_on_one_node_and_not_on_the_other_is_online(server: Valkey) -> None:
    async with nodes(redis_settings(server), "a") as (one, two):
        await one.enter(ANN, client="c1")
        await two.enter(ANN, client="c2")
        await one.presence.sweep(0)
        one.presence.rest("a", "ann", "c1", True)
        await one.presence.sweep(0)
        assert await two.presence.states("a", ["ann"]) == {"ann": "online"}
        two.presence.rest("a", "ann", "c2", True)
        await two.presence.sweep(0)
        await until(lambda: moved(one) == moved(two) == [(["ann"], [])])
        assert await one.presence.states("a", ["ann"]) == {"ann": "away"}
        one.presence.rest("a", "ann", "c1", False)
        await one.presence.sweep(0)
        await until(lambda: moved(one) == moved(two) == [(["ann"], []), ([], ["ann"])])
        await one.exit(ANN, client="c1")
        await one.presence.sweep(GRACE)
        await until(lambda: moved(two)[2:] == [(["ann"], [])])
        # a new device, where nobody of the user is yet
        await one.enter(ANN, client="c3")
        await one.presence.sweep(GRACE)
        await until(lambda: moved(two)[3:] == [([], ["ann"])])


async def test_the_devices_of_a_dead_node_keep_nobody_from_being_away(server: Valkey) -> None:
    async with nodes(redis_settings(server), "a", lease=1.0) as (one, two):
        await one.enter(ANN, client="c1")
        await two.enter(ANN, client="c2")
        await one.presence.sweep(0)
        one.presence.rest("a", "ann", "c1", True)
        await one.presence.sweep(0)
        two.freeze()
        await until(lambda: moved(one) == [(["ann"], [])])
        assert one.left() == []


async def test_states_survive_a_renewal_and_the_loss_of_all_data(server: Valkey) -> None:
    async with nodes(redis_settings(server), "a") as (one, two):
        await one.enter(ANN, client="c1")
        await one.enter(BEN, client="c2")
        await two.enter(BEN, client="c3")
        await one.presence.sweep(0)
        for user, client in ((ANN, "c1"), (BEN, "c2")):
            one.presence.rest("a", user.id, client, True)
        await one.presence.sweep(0)
        await until(lambda: moved(two) == [(["ann"], [])])
        ask(server, "FLUSHALL")
        await one.lease.beat()
        await two.lease.beat()
        await one.presence.sweep(0)
        await two.presence.sweep(0)
        assert await two.presence.states("a", ["ann", "ben"]) == {"ann": "away", "ben": "online"}
        two.presence.rest("a", "ben", "c3", True)
        await two.presence.sweep(0)
        assert await one.presence.states("a", ["ann", "ben"]) == {"ann": "away", "ben": "away"}


async def test_moving_within_the_grace_is_silent(server: Valkey) -> None:
    async with nodes(redis_settings(server), "a") as (one, two):
        await one.enter(ANN)
        await one.presence.sweep(0)
        await until(two.diffs.copy)
        await one.exit(ANN, now=10)
        await two.enter(ANN)
        await two.presence.sweep(11)
        await one.presence.sweep(10 + GRACE)
        assert await one.ids() == ["ann"]
        await two.enter(BEN)
        await two.presence.sweep(12)
        await until(lambda: "ben" in one.joined())  # whatever was told before has come as well
        assert one.joined() == two.joined() == ["ann", "ben"]
        assert one.left() == two.left() == []


async def test_whoever_enters_first_may_not_be_the_one_who_announces(server: Valkey) -> None:
    async with nodes(redis_settings(server), "a") as (one, two):
        await one.enter(ANN)
        await two.enter(ANN)
        await one.exit(ANN)
        await one.presence.sweep(GRACE)
        assert one.diffs == []
        await two.presence.sweep(GRACE)
        assert two.joined() == ["ann"]


async def test_names_and_guests_change(server: Valkey) -> None:
    async with nodes(redis_settings(server)) as (one, two):
        assert await one.presence.enter("a", GUEST, "c") == Counts(1, 1)
        assert await two.presence.enter("a", GUEST, "c") == Counts(1, 1)
        assert await two.presence.online("a", limit=9) == [GUEST]
        known = User(GUEST.id, "Zoe")
        assert await two.presence.enter("a", known, "d") == Counts(1, 0)
        await one.enter(User("yve", "Yve"))
        assert await one.presence.online("a", limit=9) == [User("yve", "Yve"), known]
        assert await one.presence.online("a", limit=0) == []


async def test_a_chunk_at_a_time(server: Valkey) -> None:
    config = redis_settings(server)
    crowd = people(range(CHUNK + 10))
    async with nodes(config, "a", count=1) as (node,):
        await node.enter(*crowd)
        await node.presence.sweep(0)
        assert [len(diff.joined) for _, diff in node.diffs] == [CHUNK, 10]
        assert node.diffs[-1][1].counts == Counts(len(crowd), 0)
        for user in crowd:
            await node.exit(user)
        await node.presence.sweep(GRACE)
        assert sorted(node.left()) == sorted(node.joined()) == [user.id for user in crowd]
        # Nothing is left of them but the version of the diffs.
        keys = ask(server, "KEYS", f"{config.prefix}:*{{a}}*")
        assert {key.rsplit(b":", 1)[1] for key in keys} - {b"meta"} <= {node.lease.id.encode()}
        assert ask(server, "EXISTS", node.keys.at("a", node.lease.id)) == 0
        assert ask(server, "EXISTS", node.keys.rooms(node.lease.id)) == 0


STEPS = st.lists(
    st.tuples(
        st.sampled_from([0, 1]),
        st.sampled_from(["enter", "exit", "sweep"]),
        st.sampled_from([ANN, BEN, GUEST]),
        st.sampled_from(["c1", "c2"]),
        st.integers(0, 4),
    ),
    max_size=40,
)


@given(steps=STEPS)
@settings(max_examples=25, deadline=None)
def test_counts_are_right_on_two_nodes(server: Valkey, steps: list[Any]) -> None:
    """After every step; and what each node is told adds up to who is there, and what the last word
    was that a device got is true."""

    async def run() -> None:
        async with nodes(redis_settings(server), "a") as both:
            here: list[dict[str, set[str]]] = [{}, {}]
            due: list[dict[str, float]] = [{}, {}]
            begins: dict[tuple[int, str, str], tuple[int, Counts]] = {}
            now = 0.0
            for place, action, user, client, wait in steps:
                node, held, leaving = both[place], here[place], due[place]
                if action == "enter":
                    held.setdefault(user.id, set()).add(client)
                    leaving.pop(user.id, None)
                    counts = await node.presence.enter("a", user, client)
                    begins[place, user.id, client] = len(node.diffs), counts
                elif action == "exit":
                    if client in held.get(user.id, ()):
                        held[user.id].discard(client)
                        del begins[place, user.id, client]
                        if not held[user.id]:
                            leaving[user.id] = now + GRACE
                    await node.exit(user, client=client, now=now)
                    counts = await node.presence.counts("a")
                else:
                    now += wait
                    for user_id in [id for id, at in leaving.items() if at <= now]:
                        del leaving[user_id], held[user_id]
                    await sweep(both, node, now)
                    counts = await node.presence.counts("a")
                online = here[0].keys() | here[1].keys()
                assert counts == Counts(len(online), "guest-1" in online)
                assert await both[0].presence.counts("a") == counts
                assert set(await both[1].ids()) == online
            for node in both:
                for place in (0, 1):
                    held, leaving = here[place], due[place]
                    for user_id in [id for id, at in leaving.items() if at <= now]:
                        del leaving[user_id], held[user_id]
                await sweep(both, node, now)
            for node in both:
                told: set[str] = set()
                for _, diff in node.diffs:
                    joined = {user.id for user in diff.joined}
                    left = {user.id for user in diff.left}
                    assert left <= told
                    assert not joined & (told - left)
                    told = (told - left) | joined
                    assert diff.counts.online >= len(told)
                assert told == here[0].keys() | here[1].keys()
            counts = await both[0].presence.counts("a")
            for (place, _, _), (heard, first) in begins.items():
                diffs = both[place].diffs[heard:]
                assert (diffs[-1][1].counts if diffs else first) == counts

    async def sweep(both: list[Node], node: Node, now: float) -> None:
        before = len(node.diffs)
        await node.presence.sweep(now)
        if len(node.diffs) > before:
            await until(lambda: len(both[0].diffs) == len(both[1].diffs))

    asyncio.run(run())


async def test_ten_thousand_join_through_three_nodes(server: Valkey) -> None:
    """As many diffs as there are rounds and chunks, not as there are people."""
    async with nodes(redis_settings(server), "a", count=3) as three:
        crowd = people(range(10_000))
        before = sum(node.received for node in three)

        async def sweep() -> None:
            while True:
                await asyncio.sleep(0.05)  # as often as a node does by itself
                for node in three:
                    await node.presence.sweep(0)

        sweeper = asyncio.create_task(sweep())
        for start in range(0, len(crowd), 3000):
            await asyncio.gather(
                *(
                    node.enter(*crowd[start + place * 1000 : start + place * 1000 + 1000])
                    for place, node in enumerate(three)
                )
            )
        await until(lambda: all(len(node.joined()) == len(crowd) for node in three))
        sweeper.cancel()
        await asyncio.gather(sweeper, return_exceptions=True)
        published = (sum(node.received for node in three) - before) / 3
        assert len(crowd) / CHUNK <= published < 150
        for node in three:
            assert sorted(node.joined()) == [user.id for user in crowd]
            assert await node.presence.counts("a") == Counts(10_000, 0)


async def test_a_sweep_that_is_sent_twice_tells_once(server: Valkey) -> None:
    """As the connection does when it breaks before the answer has come."""
    async with nodes(redis_settings(server), "a") as (one, two):
        await one.enter(ANN)
        scripts: list[Any] = []
        script = one.redis.script

        def twice(*call: Any) -> Any:
            scripts.append(script(*call))
            return script(*call)

        one.redis.script = twice
        await one.presence.sweep(0)
        assert one.joined() == ["ann"]
        await one.exit(ANN)
        await one.presence.sweep(GRACE)
        assert one.left() == ["ann"]
        await until(two.left)
        assert two.joined() == two.left() == ["ann"]
        assert len(scripts) == 2
        assert two.received == one.received


async def test_a_refused_entry_leaves_nobody_behind(tmp_path: Path) -> None:
    """The server stands still, the call is given up; what lies in its socket is not done later."""
    with standalone(tmp_path) as server:
        async with nodes(redis_settings(server, timeout=0.5), "a") as (one, two):
            await one.enter(BEN)
            server.pause()
            try:
                with pytest.raises(Refusal) as refused:
                    await one.enter(ANN)
                with pytest.raises(Refusal):
                    await one.presence.sweep(0)
            finally:
                server.resume()
            assert refused.value.code == "unavailable"
            assert refused.value.retry_after is not None
            await until_so(two.ids, ["ben"])
            await until_so(lambda: one.presence.sweep(0), None)
            assert await two.ids() == ["ben"]
            await until(two.joined)
            assert one.joined() == two.joined() == ["ben"]  # the sweep that failed kept him


async def test_a_sweep_that_is_given_up_takes_nobody_away_later(tmp_path: Path) -> None:
    with standalone(tmp_path) as server:
        async with nodes(redis_settings(server, timeout=0.5), "a") as (one, two):
            await one.enter(ANN)
            await one.presence.sweep(0)
            await one.exit(ANN)
            server.pause()
            try:
                with pytest.raises(Refusal):
                    await one.presence.sweep(GRACE)
            finally:
                server.resume()
            await until_so(lambda: one.presence.enter("a", ANN, "d"), Counts(1, 0))
            await one.enter(BEN)
            await one.presence.sweep(2 * GRACE)
            await until(lambda: "ben" in two.joined())
            assert await two.ids() == ["ann", "ben"]
            assert two.joined() == ["ann", "ben"]
            assert one.left() == two.left() == []


async def test_a_cancelled_sweep_is_finished_by_the_next(server: Valkey) -> None:
    async with nodes(redis_settings(server), "a", count=1) as (node,):
        await node.enter(*people(range(2 * CHUNK)))
        sweep = asyncio.create_task(node.presence.sweep(0))
        await asyncio.sleep(0)
        sweep.cancel()
        await asyncio.gather(sweep, return_exceptions=True)
        assert sweep.cancelled()
        await node.presence.sweep(0)
        await node.presence.sweep(0)
        assert len(node.joined()) == len(set(node.joined())) == 2 * CHUNK


def look(server: Valkey, node: Node) -> None:
    """As check.lua and the watch of the room do."""
    node.presence.on_looked("a", int(ask(server, "HGET", node.keys.room("a").meta, "v") or 0))


async def test_what_the_bus_lost_is_made_good(server: Valkey) -> None:
    async with nodes(redis_settings(server), "a") as (one, two):
        look(server, two)  # nothing was told yet
        await one.enter(ANN)
        await two.enter(BEN)
        await one.presence.sweep(0)
        await two.presence.sweep(0)
        await until(lambda: len(two.diffs) == 2)
        on_bus = two.presence.on_bus
        two.presence.on_bus = lambda room, body: None
        await one.enter(GUEST)
        await one.presence.sweep(0)
        await until(lambda: two.received == one.received == 3)
        two.presence.on_bus = on_bus
        look(server, two)
        await until(lambda: len(two.diffs) == 3)
        look(server, two)  # nothing was lost since
        await two.presence.counts("a")
        assert two.diffs[2:] == [("a", PresenceDiff(Counts(3, 1), [], []))]


async def test_the_first_diff_may_be_the_one_that_is_lost(server: Valkey) -> None:
    """Ann has moved, so the node that she came to has not heard of any. And what is told instead is
    what the diff has said: it does not count those who are not announced."""
    async with nodes(redis_settings(server), "a") as (one, two):
        await one.enter(ANN)
        await one.presence.sweep(0)
        await until(two.diffs.copy)
        assert await two.presence.enter("a", ANN, "d") == Counts(1, 0)
        look(server, two)
        two.presence.on_bus = lambda room, body: None
        await one.enter(BEN)
        await one.presence.sweep(0)
        await until(lambda: two.received == 2)
        await one.enter(GUEST)
        look(server, two)
        await until(lambda: len(two.diffs) == 2)
        assert two.diffs[1:] == [("a", PresenceDiff(Counts(2, 0), [], []))]


async def test_whoever_was_counted_and_goes_unannounced_is_not_counted_any_more(
    server: Valkey,
) -> None:
    async with nodes(redis_settings(server), "a") as (one, two):
        await one.enter(ANN)
        await two.enter(GUEST)
        await one.presence.sweep(0)
        assert one.diffs == [("a", PresenceDiff(Counts(2, 1), [ANN], []))]
        await two.exit(GUEST)
        await two.presence.sweep(GRACE)
        await until(lambda: len(one.diffs) == 2)
        await until(lambda: len(two.diffs) == 2)
        assert one.diffs[1:] == two.diffs[1:] == [("a", PresenceDiff(Counts(1, 0), [], []))]


async def test_what_one_was_told_who_came_is_put_right_as_well(server: Valkey) -> None:
    """Ann's second device is told of two, by the answer. The diff before and what is true then are
    the same, but not to her."""
    async with nodes(redis_settings(server), "a") as (one, two):
        await one.enter(ANN)
        await one.presence.sweep(0)
        await two.enter(GUEST)
        assert await one.presence.enter("a", ANN, "d") == Counts(2, 1)
        await two.exit(GUEST)
        await two.presence.sweep(GRACE)
        await until(lambda: len(one.diffs) == 2)
        await one.presence.sweep(GRACE)  # it would have told, too, but it was told already
        assert one.diffs[1:] == [("a", PresenceDiff(Counts(1, 0), [], []))]


async def test_counts_that_change_with_somebody_who_is_known_are_told(server: Valkey) -> None:
    """A guest becomes a member. Also when the first try to tell it fails."""
    async with nodes(redis_settings(server), "a") as (one, two):
        await one.enter(GUEST)
        await one.presence.sweep(0)
        await until(lambda: len(two.diffs) == 1)
        known = User(GUEST.id, "Zoe")
        assert await two.presence.enter("a", known, "d") == Counts(1, 0)
        script = two.redis.script

        def fail(*_: Any) -> asyncio.Future[Any]:
            future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            future.set_exception(Unavailable("planted"))
            return future

        two.redis.script = fail
        with pytest.raises(Refusal):
            await two.presence.sweep(0)
        two.redis.script = script
        await two.presence.sweep(0)
        await two.presence.sweep(0)
        await until(lambda: len(one.diffs) == 2)
        assert one.diffs[1:] == two.diffs[1:] == [("a", PresenceDiff(Counts(1, 0), [], []))]


async def test_a_newcomer_is_told_of_with_the_name_only(server: Valkey) -> None:
    """When a device goes whose user stays, there is nothing to tell, whoever is counted by then."""
    async with nodes(redis_settings(server), "a") as (one, two):
        await one.enter(ANN)
        await two.enter(ANN)
        await one.presence.sweep(0)
        await two.enter(BEN)
        await one.exit(ANN)
        await one.presence.sweep(GRACE)
        assert len(one.diffs) == 1
        await two.presence.sweep(GRACE)
        await until(lambda: len(one.diffs) == 2)
        assert one.diffs[1:] == [("a", PresenceDiff(Counts(2, 0), [BEN], []))]


async def test_a_listener_that_fails_stops_nobody(
    server: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    async with nodes(redis_settings(server), "a", count=1) as (node,):
        node.diffs = None  # type: ignore[assignment]
        await node.enter(ANN)
        await node.presence.sweep(0)
        assert "could not be announced" in caplog.text
        node.diffs = []
        await node.enter(BEN)
        await node.presence.sweep(0)
        assert node.joined() == ["ben"]


async def test_without_a_lease_nobody_comes(server: Valkey) -> None:
    node = Node(redis_settings(server))
    for call in (
        node.presence.enter("a", ANN, "c"),
        node.presence.online("a", limit=1),
        node.presence.counts("a"),
    ):
        with pytest.raises(Refusal):
            await call
    await node.presence.sweep(0)
    await node.exit(ANN)


async def test_on_a_cluster(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        rooms = ["a", "b", "c", "d", "e"]
        async with nodes(redis_settings(cluster), *rooms, lease=2.0) as (one, two):
            for room in rooms:
                await one.enter(ANN, GUEST, room=room)
                await two.enter(BEN, ANN, room=room)
            await one.presence.sweep(0)
            await two.presence.sweep(0)
            for node in (one, two):
                await until(lambda node=node: len(node.joined()) == 3 * len(rooms))
                for room in rooms:
                    assert await node.ids(room) == ["ann", "ben", "guest-1"]
                    assert await node.presence.counts(room) == Counts(3, 1)
            one.freeze()
            await until(lambda: len(two.left()) == len(rooms))
            assert set(two.left()) == {GUEST.id}
