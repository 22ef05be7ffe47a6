"""The bookkeeping of one node's people, beside what test_redis_presence.py shows with a server."""

from sioserver.engine.redis_devices import Batch, Devices, Move, Person
from sioserver.model import User

from .conftest import ANN, BEN


def come(devices: Devices, user: User, client: str, *, announced: bool = False) -> Person:
    person = devices.enter("a", user, client)
    devices.entered("a", person, announced=announced)
    return person


def ids(batch: Batch) -> tuple[list[str], list[str]]:
    return [one.user.id for one in batch.joined], [one.user.id for one in batch.left]


def told(devices: Devices, now: float) -> tuple[list[str], list[str]]:
    batch = devices.take("a", now)
    for person in batch.joined:
        person.announced = True
    return ids(batch)


def test_an_empty_room_costs_nothing() -> None:
    devices = Devices(5)
    come(devices, ANN, "c")
    devices.exit("a", "ann", "c", 0)
    assert devices.rooms() == ["a"]
    assert devices.changed(4) == ["a"]
    assert told(devices, 4) == (["ann"], [])
    assert devices.changed(5) == ["a"]
    assert told(devices, 5) == ([], ["ann"])
    assert "a" not in devices
    assert len(devices) == 0
    assert devices.people("a") == []
    assert devices.changed(100) == []
    assert ids(devices.take("a", 100)) == ([], [])


def test_nothing_is_told_before_redis_has_the_user() -> None:
    devices = Devices(5)
    person = devices.enter("a", ANN, "c")
    assert devices.changed(100) == []
    devices.entered("a", person, announced=False)
    assert devices.changed(100) == ["a"]


def test_whom_another_node_has_told_of_is_no_news() -> None:
    devices = Devices(5)
    come(devices, ANN, "c", announced=True)
    assert devices.changed(100) == []
    devices.exit("a", "ann", "c", 0)
    assert devices.changed(5) == ["a"]
    assert told(devices, 5) == ([], ["ann"])  # whether that is news the script knows


def test_a_visit_between_two_rounds_is_only_a_leave() -> None:
    devices = Devices(0)
    come(devices, ANN, "c")
    devices.exit("a", "ann", "c", 7)
    assert devices.changed(7) == ["a"]
    assert told(devices, 7) == ([], ["ann"])


def test_coming_back_in_time_is_no_leave() -> None:
    devices = Devices(5)
    come(devices, ANN, "c1")
    assert told(devices, 0) == (["ann"], [])
    devices.exit("a", "ann", "c1", 0)
    assert devices.changed(5) == ["a"]
    come(devices, ANN, "c2", announced=True)
    assert told(devices, 6) == ([], [])
    devices.exit("a", "ann", "c2", 6)
    assert devices.changed(10) == []
    assert devices.changed(11) == ["a"]
    assert told(devices, 11) == ([], ["ann"])


def test_a_second_device_holds_the_user() -> None:
    devices = Devices(0)
    come(devices, ANN, "c1", announced=True)
    come(devices, ANN, "c2", announced=True)
    devices.exit("a", "ann", "c1", 0)
    devices.exit("a", "ann", "unknown", 0)
    devices.exit("a", "ben", "c2", 0)
    devices.exit("b", "ann", "c2", 0)
    assert devices.changed(100) == []
    devices.exit("a", "ann", "c2", 0)
    assert devices.changed(0) == ["a"]


def test_an_entry_that_redis_did_not_confirm_is_taken_back_there() -> None:
    devices = Devices(5)
    devices.enter("a", ANN, "c1")
    devices.withdraw("a", "ann", "c1")
    devices.withdraw("a", "ann", "c1")
    devices.withdraw("a", "ben", "c1")
    assert devices.changed(0) == ["a"]
    assert told(devices, 0) == ([], ["ann"])
    assert "a" not in devices


def test_the_grace_goes_on_when_coming_back_fails() -> None:
    devices = Devices(5)
    come(devices, ANN, "c1", announced=True)
    devices.exit("a", "ann", "c1", 0)
    devices.enter("a", ANN, "c2")
    assert devices.changed(5) == []
    devices.withdraw("a", "ann", "c2")
    assert devices.changed(4) == []
    assert devices.changed(5) == ["a"]
    assert told(devices, 5) == ([], ["ann"])


def test_what_was_not_told_is_told_the_next_time() -> None:
    devices = Devices(5)
    come(devices, ANN, "c", announced=True)
    devices.exit("a", "ann", "c", 0)
    come(devices, BEN, "c")
    devices.changed(5)
    batch = devices.take("a", 5)
    assert ids(batch) == (["ben"], ["ann"])
    assert devices.people("a") == ["ben"]
    devices.put_back("a", batch)
    assert devices.people("a") == ["ben"]  # who left is not to be entered again
    assert devices.person("a", "ann") is not None
    assert devices.changed(5) == ["a"]
    assert told(devices, 5) == (["ben"], ["ann"])
    assert devices.changed(100) == []


def test_somebody_back_before_the_leave_is_put_back_stays() -> None:
    devices = Devices(0)
    come(devices, ANN, "c1", announced=True)
    devices.exit("a", "ann", "c1", 0)
    devices.changed(0)
    batch = devices.take("a", 0)
    come(devices, ANN, "c2", announced=True)
    devices.put_back("a", batch)
    assert devices.changed(100) == []
    assert devices.person("a", "ann") is not batch.left[0]


def test_a_late_answer_does_not_speak_of_the_next_visit() -> None:
    devices = Devices(0)
    first = devices.enter("a", ANN, "c1")
    devices.exit("a", "ann", "c1", 0)
    devices.changed(0)
    devices.take("a", 0)
    devices.enter("a", ANN, "c2")
    devices.entered("a", first, announced=False)
    assert devices.changed(100) == []


def test_a_clock_that_goes_back_keeps_nobody() -> None:
    devices = Devices(5)
    come(devices, ANN, "c1", announced=True)
    come(devices, BEN, "c2", announced=True)
    devices.exit("a", "ann", "c1", 1000)
    devices.exit("a", "ben", "c2", 0)
    devices.changed(5)
    assert told(devices, 5) == ([], ["ben"])
    assert devices.changed(1005) == ["a"]
    assert told(devices, 1005) == ([], ["ann"])


def test_those_nobody_was_told_of() -> None:
    devices = Devices(5)
    come(devices, ANN, "c1", announced=True)
    come(devices, BEN, "c2")
    assert ids(devices.take_quiet("a")) == ([], ["ben"])
    assert devices.people("a") == ["ann"]
    assert told(devices, 100) == ([], [])
    assert ids(devices.take_quiet("b")) == ([], [])


def test_parts_of_a_batch() -> None:
    people = [Person(User(str(number), "")) for number in range(7)]
    batch = Batch(people[:4], people[4:])
    assert [ids(part) for part in batch.chunks(2)] == [
        ([], ["4", "5"]),
        (["0"], ["6"]),
        (["1", "2"], []),
        (["3"], []),
    ]
    assert [ids(part) for part in batch.chunks(9)] == [ids(batch)]
    moved = Batch(people[:2], people[2:5], [Move(person, True) for person in people])
    parts = list(moved.chunks(4))
    assert [len(part.left) for part in parts] == [3, 0, 0]
    assert [len(part.joined) for part in parts] == [1, 1, 0]
    assert [len(part.moved) for part in parts] == [0, 3, 4]
    assert [move for part in parts for move in part.moved] == moved.moved
    assert list(Batch([], []).chunks(9)) == []


def moves(devices: Devices) -> list[tuple[str, bool]]:
    return [(person.user.id, rests) for person, rests in devices.take("a", 0).moved]


def test_only_what_redis_does_not_know_is_handed_out() -> None:
    devices = Devices(5)
    ann = come(devices, ANN, "c1", announced=True)
    devices.rest("a", "ann", "c1", True)
    assert devices.changed(0) == ["a"]
    assert moves(devices) == [("ann", True)]
    devices.knows("a", ann, True)
    devices.rest("a", "ann", "c1", True)
    assert devices.changed(0) == []
    devices.enter("a", ANN, "c2")
    assert moves(devices) == [("ann", False)]
    # it changed before there was an answer
    devices.rest("a", "ann", "c2", True)
    devices.knows("a", ann, False)
    assert moves(devices) == [("ann", True)]


def test_moves_that_could_not_be_told_are_handed_out_again() -> None:
    devices = Devices(5)
    come(devices, ANN, "c1", announced=True)
    devices.rest("a", "ann", "c1", True)
    batch = devices.take("a", 0)
    devices.put_back("a", batch)
    assert moves(devices) == [("ann", True)]
    # whatever it was: Redis may have done it
    devices.put_back("a", batch)
    devices.rest("a", "ann", "c1", False)
    assert moves(devices) == [("ann", False)]
    devices.exit("a", "ann", "c1", 0)
    devices.changed(5)
    devices.take("a", 5)
    devices.put_back("a", batch)  # gone meanwhile
    assert devices.changed(9) == []
