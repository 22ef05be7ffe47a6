"""When users were seen last in Redis, beside what test_contract_seen.py says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sioserver.engine.base_seen import KEPT
from sioserver.engine.redis_seen import AT_ONCE, RedisSeen
from sioserver.valkey import Valkey
from tests.redis_servers import ask, standalone
from tests.redis_servers import settings as redis_settings

from .redis_node import Node, nodes, until

AT = 1_700_000_000.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with standalone(tmp_path_factory.mktemp("valkey")) as server:
        yield server


def seen_of(node: Node) -> RedisSeen:
    return RedisSeen(node.redis, node.keys)


async def test_an_earlier_time_changes_nothing_and_it_ends_by_itself(server: Valkey) -> None:
    async with nodes(redis_settings(server), count=2) as (one, two):
        here, there = seen_of(one), seen_of(two)
        for part, at in ((here, AT + 9), (there, AT), (here, AT + 3)):
            part.note("ann", at)
            await part.write_rest()
        assert await there.of(["ann", "ben"]) == {"ann": round((AT + 9) * 1000)}
        assert KEPT - 60 < ask(server, "TTL", one.keys.seen("ann")) <= KEPT


async def test_a_crowd_is_written_in_lots(server: Valkey) -> None:
    async with nodes(redis_settings(server), count=1) as (node,):
        seen = seen_of(node)
        ids = [f"u{number}" for number in range(AT_ONCE + 10)]
        for user_id in ids:
            seen.note(user_id, AT)
        seen.write()
        seen.write()  # the first lot is under way
        assert seen.stats()["seen_waiting"] == len(ids)
        assert len(seen._under_way) == AT_ONCE
        await seen.write_rest()
        assert seen.stats()["seen_waiting"] == 0
        assert set(await seen.of(ids)) == set(ids)


async def test_what_cannot_be_written_waits(tmp_path: Path) -> None:
    with standalone(tmp_path) as server:
        async with nodes(redis_settings(server, timeout=0.3), count=1) as (node,):
            seen = seen_of(node)
            server.kill()
            await until(lambda: node.redis.up_since == float("inf"))
            seen.note("ann", AT)
            await seen.write_rest()  # gives up for now
            assert seen.stats()["seen_waiting"] == 1
            server.start()
            await until(lambda: node.redis.up_since != float("inf"))
            await seen.write_rest()
            assert await seen.of(["ann"]) == {"ann": round(AT * 1000)}
