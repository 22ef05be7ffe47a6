"""What every engine must do about people who are here and do nothing: see `base.Presence`.

Only the Protocols are used here; the `engine` fixture runs each test with each engine.
"""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sioserver.engine.base import Engine
from sioserver.model import Counts, User

from .conftest import ANN, BEN, GRACE, GUEST, KINDS, Harness, Listener, build

AT = 1_700_000_000.0


def moved(listener: Listener) -> list[tuple[list[str], list[str]]]:
    """Who was told to be away, and who to be back, diff by diff."""
    return [
        ([user.id for user in diff.away], [user.id for user in diff.back])
        for _, diff in listener.presence
        if diff.away or diff.back
    ]


async def come(engine: Engine, *users: User) -> None:
    engine.watch("a")
    for user in users:
        await engine.enter("a", user, f"{user.id}-1")
    await engine.sweep(AT)


async def test_who_rests_is_away_until_they_do_not(engine: Engine, listener: Listener) -> None:
    await come(engine, ANN, BEN, GUEST)
    assert await engine.states("a", ["ann", "ben", "nobody"]) == {"ann": "online", "ben": "online"}
    engine.rest("a", "ann", "ann-1", True)
    engine.rest("a", GUEST.id, f"{GUEST.id}-1", True)
    await engine.sweep(AT)
    assert moved(listener) == [(["ann", GUEST.id], [])]
    diff = listener.presence[-1][1]
    assert (diff.joined, diff.left, diff.counts) == ([], [], Counts(3, 1))
    assert diff.away == [ANN, GUEST]
    assert await engine.states("a", ["ann", "ben"]) == {"ann": "away", "ben": "online"}
    assert [user.id for user in await engine.online("a", limit=9)] == ["ann", "ben", GUEST.id]
    engine.rest("a", "ann", "ann-1", True)  # again
    await engine.sweep(AT)
    engine.rest("a", "ann", "ann-1", False)
    engine.rest("a", "ben", "ben-1", False)  # is not away
    await engine.sweep(AT)
    assert moved(listener)[1:] == [([], ["ann"])]


async def test_to_and_fro_between_two_sweeps_makes_no_noise(
    engine: Engine, listener: Listener
) -> None:
    await come(engine, ANN)
    engine.rest("a", "ann", "ann-1", True)
    engine.rest("a", "ann", "ann-1", False)
    await engine.sweep(AT)
    assert len(listener.presence) == 1


async def test_devices_of_a_user_are_one_person(engine: Engine, listener: Listener) -> None:
    await come(engine, ANN)
    engine.rest("a", "ann", "ann-1", True)
    await engine.sweep(AT)
    await engine.enter("a", ANN, "ann-2")  # who comes does not rest
    await engine.sweep(AT)
    assert moved(listener) == [(["ann"], []), ([], ["ann"])]
    engine.rest("a", "ann", "ann-2", True)
    await engine.sweep(AT)
    engine.rest("a", "ann", "ann-1", False)
    await engine.sweep(AT)
    assert moved(listener)[2:] == [(["ann"], []), ([], ["ann"])]
    await engine.exit("a", "ann", "ann-1", AT)  # the other one rests
    await engine.sweep(AT)
    assert moved(listener)[4:] == [(["ann"], [])]
    assert await engine.states("a", ["ann"]) == {"ann": "away"}


async def test_within_the_grace_they_are_what_they_were(engine: Engine, listener: Listener) -> None:
    await come(engine, ANN, BEN)
    engine.rest("a", "ann", "ann-1", True)
    await engine.sweep(AT)
    for user in (ANN, BEN):
        await engine.exit("a", user.id, f"{user.id}-1", AT)
    await engine.sweep(AT + GRACE / 2)
    assert await engine.states("a", ["ann", "ben"]) == {"ann": "away", "ben": "online"}
    await engine.enter("a", ANN, "ann-2")
    await engine.sweep(AT + GRACE)
    assert moved(listener) == [(["ann"], []), ([], ["ann"])]
    assert [user.id for _, diff in listener.presence for user in diff.left] == ["ben"]
    assert await engine.states("a", ["ann", "ben"]) == {"ann": "online"}


async def test_who_comes_and_rests_at_once_is_told_as_both(
    engine: Engine, listener: Listener
) -> None:
    engine.watch("a")
    await engine.enter("a", ANN, "c1")
    engine.rest("a", "ann", "c1", True)
    await engine.sweep(AT)
    (told,) = [diff for _, diff in listener.presence]
    assert (told.joined, told.away, told.back) == ([ANN], [ANN], [])


async def test_who_leaves_away_and_comes_again_is_online(
    engine: Engine, listener: Listener
) -> None:
    await come(engine, ANN)
    engine.rest("a", "ann", "ann-1", True)
    await engine.sweep(AT)
    await engine.exit("a", "ann", "ann-1", AT)
    await engine.sweep(AT + GRACE)
    assert await engine.states("a", ["ann"]) == {}
    await engine.enter("a", ANN, "ann-2")
    await engine.sweep(AT + GRACE)
    assert await engine.states("a", ["ann"]) == {"ann": "online"}
    assert moved(listener) == [(["ann"], [])]


async def test_strangers_who_rest_are_ignored(engine: Engine, listener: Listener) -> None:
    await come(engine, ANN)
    for room, user, client in (("b", "ann", "ann-1"), ("a", "ben", "x"), ("a", "ann", "x")):
        engine.rest(room, user, client, True)
    await engine.exit("a", "ann", "x", AT)
    await engine.sweep(AT)
    assert len(listener.presence) == 1
    assert await engine.states("a", ["ann"]) == {"ann": "online"}
    assert await engine.states("b", ["ann"]) == {}
    assert await engine.states("a", []) == {}


async def test_rooms_are_apart(engine: Engine, listener: Listener) -> None:
    await come(engine, ANN)
    engine.watch("b")
    await engine.enter("b", ANN, "ann-1")
    await engine.sweep(AT)
    engine.rest("b", "ann", "ann-1", True)
    await engine.sweep(AT)
    assert [room for room, diff in listener.presence if diff.away] == ["b"]
    assert await engine.states("a", ["ann"]) == {"ann": "online"}


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["enter", "exit", "rest", "wake", "sweep"]),
        st.sampled_from([ANN, BEN]),
        st.sampled_from(["1", "2"]),
    ),
    max_size=40,
)


@given(steps=STEPS)
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_whatever_happens_everybody_is_told_what_is_true(
    tmp_path_factory: Any, steps: list[tuple[str, User, str]]
) -> None:
    async def run(kind: str) -> None:
        harness = Harness(lambda: build(kind, tmp_path_factory.mktemp("states")))
        await harness.start()
        engine = harness.engine
        engine.watch("a")
        resting: dict[str, dict[str, bool]] = {ANN.id: {}, BEN.id: {}}
        for what, user, device in steps:
            devices, client = resting[user.id], f"{user.id}-{device}"
            if what == "enter":
                await engine.enter("a", user, client)
                devices.setdefault(device, False)
            elif what == "exit":
                await engine.exit("a", user.id, client, AT)
                devices.pop(device, None)
            elif what == "sweep":
                await engine.sweep(AT)
            else:
                engine.rest("a", user.id, client, what == "rest")
                if device in devices:
                    devices[device] = what == "rest"
        await engine.sweep(AT)
        await engine.sweep(AT + 2 * GRACE)
        told: dict[str, str] = {}
        for _, diff in harness.listener.presence:
            for user in diff.left:
                del told[user.id]
            for user in diff.joined:
                assert user.id not in told
                told[user.id] = "online"
            for user in diff.away:
                assert told[user.id] == "online"
                told[user.id] = "away"
            for user in diff.back:
                assert told[user.id] == "away"
                told[user.id] = "online"
        true = {
            id: "away" if all(devices.values()) else "online"
            for id, devices in resting.items()
            if devices
        }
        assert told == true == await engine.states("a", ["ann", "ben"])
        await engine.stop()

    for kind in KINDS:
        asyncio.run(run(kind))
