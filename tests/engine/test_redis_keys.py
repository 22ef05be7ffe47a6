import re
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from sioserver.engine.redis import RedisEngine
from sioserver.engine.redis_keys import Keys
from sioserver.model import Credentials, Event, Peer, Revocation, User
from tests.redis_servers import ask

from .conftest import Keep, Listener, config, draft, server

NASTY = [
    *("{", "}", "{}", "{x}", "}{", "a}b{c", "*", "?", "[a-z]", "\\", ":", "::meta", "a:meta", " "),
    *("\n", "\r\nFLUSHALL\r\n", "\x00", "$-1\r\n", "%", "%7B", "%25", "other:{a}", "é", "\u202e"),
    *("", "@nodes", "{@nodes}:leases", "secret:recovery", "}:log", "x" * 2000),
]
texts = st.sampled_from(NASTY) | st.text("{}%:*\n\x00ab", max_size=8) | st.text(max_size=20)


def slot(key: str) -> int:
    return key_slot(key.encode())


@pytest.mark.parametrize("prefix", ["sioserver", "a:b", "{a}", "a{", "}{}", ""])
@pytest.mark.parametrize("room", ["lobby", "raum-ü/2", "@dm/ann", "nodes"])
def test_a_rooms_keys_are_apart_and_on_one_server(prefix: str, room: str) -> None:
    keys = Keys(prefix)
    all_keys = [
        *keys.room(room),
        *keys.moderation(room)[1:],
        keys.draft(room, "ann", "1"),
        keys.once(room, "1"),
        keys.at(room, "lease"),
        keys.swept(room, "lease"),
    ]
    assert len(set(all_keys)) == len(all_keys)
    assert {slot(key) for key in all_keys} == {slot(keys.room(room).meta)}
    assert len({slot(Keys(prefix).room(f"room{n}").meta) for n in range(50)}) > 30
    assert keys.room(room).meta == keys.room(room).channel + ":meta"  # the scripts count on it


def test_what_the_nodes_share_is_on_one_server() -> None:
    keys = Keys("p")
    shared = [keys.nodes, keys.leases, keys.peers, keys.dying, keys.dead]
    assert len({slot(key) for key in shared}) == 1
    assert len(set(shared)) == 5


def test_no_two_drafts_share_a_place() -> None:
    keys = Keys("p")
    places = {
        keys.draft("a", user, id)
        for user, id in [("u", "1:2"), ("u:1", "2"), ("", "u:1:2"), ("1:u", "2"), ("u:1:", "2")]
    }
    assert len(places) == 5


def test_braces_in_a_users_id_do_not_move_the_key() -> None:
    keys = Keys("p")
    assert keys.user("a}b") != keys.user("a%7Db")
    assert slot(keys.user("{x}")) == slot("{%7Bx%7D}")


def test_names_are_kept_but_not_without_end() -> None:
    keys = Keys("p")
    first = keys.room("a")
    assert keys.room("a") is first
    for number in range(5000):
        keys.room(f"room{number}")
    assert keys.room("a") == first
    assert len(keys._rooms) < 5000


def tag(key: str) -> str:
    """What Redis hashes, in its own words: between the first brace and the next closing one."""
    found = re.search(r"\{([^}]+)\}", key, re.S)
    if found is None or key.index("{") != found.start():
        return key
    return found[1]


def every_key(keys: Keys, room: str, user: str, id: str, lease: str) -> Iterator[str]:
    """All that belongs to a room."""
    yield from keys.room(room)
    yield keys.draft(room, user, id)
    yield keys.once(room, id)
    yield keys.said(room, user)
    yield keys.at(room, lease)
    yield keys.swept(room, lease)


@given(texts, texts, texts, texts)
def test_nobody_steers_a_key_by_a_name(room: str, user: str, id: str, other: str) -> None:
    keys = Keys("p")
    found = [*every_key(keys, room, user, id, "lease")]
    assert all(key.startswith("p:{") for key in found)
    tags = {tag(key) for key in found}
    assert len(tags) == 1
    assert {slot(key) for key in found} == {slot(found[0])}
    others = {*every_key(keys, other, user, id, "lease")}
    if room != other:
        assert tags.isdisjoint(map(tag, others))
        assert others.isdisjoint(found)
    others = {keys.user(user), keys.secret(id), keys.rooms(id)}
    assert others.isdisjoint(found)
    if room != "@nodes":  # `wire.names` keeps the @ for the server itself
        assert {keys.leases, keys.peers, keys.dying, keys.dead, keys.nodes}.isdisjoint(found)
    if room != "@tokens":
        assert {keys.rules, keys.changes, keys.ends, keys.tokens}.isdisjoint(found)
    for key in (keys.user(user), keys.secret(id), keys.rooms(id)):
        assert key.startswith("p:")


@given(st.lists(st.tuples(texts, texts, texts), min_size=2, max_size=2, unique=True))
def test_different_drafts_have_different_places(drafts: list[tuple[str, str, str]]) -> None:
    keys = Keys("p")
    one, two = (keys.draft(*place) for place in drafts)
    assert one != two


async def test_no_key_and_no_channel_is_outside_of_the_prefix(tmp_path: Path) -> None:
    """Whatever rooms, users and messages are called, on a server whose ACL has nothing but the
    prefix, and that writes down what it denied."""
    prefix = sha256(str(tmp_path).encode()).hexdigest()[:12]
    running: Any = server("redis-acl")
    before = {key for key in ask(running, "KEYS", "*") if not key.startswith(prefix.encode())}
    engine, keep = RedisEngine(config("redis-acl", prefix), Peer("abc")), Keep()
    await engine.start(Listener())
    try:
        for room in NASTY:
            for name in NASTY[::3]:
                user = User(name, "A")
                engine.watch(room)
                await engine.join(room, user)
                await engine.enter(room, user, "c")
                await engine.publish(room, draft(name, user), keep)
                engine.tell(room, Event("typing", {}))
                await engine.read(room, name, 1)
                await engine.tokens.revoke(Revocation("user", name, 100.0, 1.0))
                await engine.tokens.revoked(Credentials(name, name), 0.0)
                await engine.rooms_of(name, limit=100)
            page = await engine.history(room, limit=100)
            assert len(page.messages) == len(NASTY[::3])
    finally:
        await engine.stop()
    keys = set(ask(running, "KEYS", "*"))
    mine = {key for key in keys if key.startswith(prefix.encode() + b":")}
    assert len(mine) > 5 * len(NASTY)
    # others of this server's tests have their own prefixes
    assert keys - mine <= before
    assert [one for one in ask(running, "ACL", "LOG") if prefix.encode() in one[9]] == []
