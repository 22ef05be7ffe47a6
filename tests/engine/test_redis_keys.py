import pytest
from redis.crc import key_slot

from sioserver.engine.redis_keys import Keys


def slot(key: str) -> int:
    return key_slot(key.encode())


@pytest.mark.parametrize("prefix", ["sioserver", "a:b", "{a}", "a{", "}{}", ""])
@pytest.mark.parametrize("room", ["lobby", "raum-ü/2", "@dm/ann", "nodes"])
def test_a_rooms_keys_are_apart_and_on_one_server(prefix: str, room: str) -> None:
    keys = Keys(prefix)
    all_keys = [
        *keys.room(room),
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
