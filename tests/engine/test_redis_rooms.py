"""One watched room: whatever comes in whatever order, announcements are in order, and what is
missing is said."""

from collections.abc import Iterable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sioserver.engine.redis_keys import Keys
from sioserver.engine.redis_rooms import EARLY, Room
from sioserver.engine.tail import TAIL_BYTES
from sioserver.model import Message, Position

EPOCH = "e1"


class Told:
    """Writes down what is announced: offsets, and gaps as (epoch, offset)."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def message(self, room: str, epoch: str, message: Message) -> None:
        self.events.append(message.offset)

    def gap(self, room: str, after: Position) -> None:
        self.events.append((after.epoch, after.offset))


def message(offset: int) -> Message:
    return Message(f"m{offset}", offset, "ann", "Ann", "hi", 1, offset)


def found(*offsets: int) -> list[tuple[Message, int]]:
    return [(message(offset), 10) for offset in offsets]


def room(top: int = 0, first: int = 1) -> tuple[Room, Told]:
    told = Told()
    state = Room("a", Keys("p").room("a"), told, cached=8)
    state.settle(EPOCH, top, first, [], all=True, begin=top, number=top)
    return state, told


def test_announcing_begins_behind_the_first_look() -> None:
    state, told = room(top=5)
    assert (state.base, state.is_whole) == (5, True)
    assert not state.offer(message(5), 1)
    assert not state.offer(message(6), 1)
    assert told.events == [6]
    assert state.messages(6, 7) == [message(6)]


def test_before_the_first_look_a_room_is_not_whole() -> None:
    state = Room("a", Keys("p").room("a"), Told(), cached=8)
    assert not state.is_whole
    assert not state.has_hole


def test_what_came_too_early_waits_for_what_is_missing() -> None:
    state, told = room()
    assert state.offer(message(3), 1)
    assert state.offer(message(2), 1)
    assert state.has_hole
    assert told.events == []
    assert not state.offer(message(1), 1)
    assert told.events == [1, 2, 3]
    assert state.is_whole


def test_a_hole_is_filled_from_the_log() -> None:
    state, told = room()
    state.offer(message(4), 1)
    state.offer(message(6), 1)
    state.settle(EPOCH, 5, 1, found(1, 2, 3, 4, 5), all=True, begin=5, number=5)
    assert told.events == [1, 2, 3, 4, 5, 6]
    assert not state.has_hole


def test_what_the_log_no_longer_holds_is_a_gap() -> None:
    state, told = room()
    state.offer(message(3), 1)
    state.settle(EPOCH, 8, 6, found(6, 8), all=True, begin=8, number=8)
    assert told.events == [(EPOCH, 2), 3, (EPOCH, 5), 6, (EPOCH, 7), 8]
    assert (state.top, state.first) == (8, 6)
    assert state.messages(7, 9) is None


def test_a_log_that_keeps_nothing_leaves_only_gaps() -> None:
    state, told = room()
    state.settle(EPOCH, 4, 5, [], all=True, begin=4, number=4)
    assert told.events == [(EPOCH, 4)]
    state.offer(message(5), 1)
    assert told.events[1:] == [5]


def test_a_page_that_is_not_all_says_nothing_of_what_comes_after_it() -> None:
    state, told = room()
    state.offer(message(9), 1)
    state.settle(EPOCH, 9, 1, found(1, 2), all=False, begin=9, number=9)
    assert told.events == [1, 2]
    assert state.has_hole


def test_a_number_that_was_given_elsewhere_is_a_hole() -> None:
    state, told = room(top=3)
    state.note(3)
    assert state.is_whole
    state.note(4)
    assert state.has_hole
    assert (state.known, told.events) == (4, [])
    state.offer(message(4), 1)
    assert (state.is_whole, told.events) == (True, [4])


def test_a_lost_log_begins_anew_behind_a_gap() -> None:
    state, told = room(top=3)
    state.offer(message(4), 1)
    state.offer(message(6), 1)
    state.settle("e2", 2, 1, [], all=True, begin=2, number=2)
    assert told.events == [4, ("e2", 2)]
    assert (state.epoch, state.raw_epoch, state.top, state.tail) == ("e2", b"e2", 2, [])
    assert state.is_whole
    state.offer(message(3), 1)
    assert told.events[2:] == [3]


def test_what_a_log_that_began_anew_holds_is_news() -> None:
    state, told = room(top=3)
    state.settle("e2", 2, 1, [], all=True, begin=0, number=2)
    assert told.events == [("e2", 0)]
    assert (state.has_hole, state.is_whole, state.top) == (True, False, 0)
    state.settle("e2", 2, 1, found(1, 2), all=True, begin=2, number=2)
    assert told.events == [("e2", 0), 1, 2]
    assert state.is_whole


def test_the_first_look_announces_nothing() -> None:
    told = Told()
    state = Room("lobby", Keys("t").room("lobby"), told, 8)
    state.settle("e2", 2, 1, [], all=True, begin=0, number=2)
    assert (told.events, state.top, state.base, state.is_whole) == ([], 2, 2, True)


def test_what_waits_is_bounded() -> None:
    state, told = room()
    for offset in range(2, EARLY + 100):
        state.offer(message(offset), 1)
    state.settle(EPOCH, 1, 1, found(1), all=True, begin=1, number=1)
    assert told.events == list(range(1, EARLY + 2))
    assert state.has_hole
    state, told = room()
    for offset in range(2, 50):
        state.offer(message(offset), TAIL_BYTES // 10)
    state.offer(message(1), 1)
    assert told.events == list(range(1, 12))


def test_a_room_that_keeps_nothing_remembers_nothing() -> None:
    state, told = room()
    state.rule = (0, 0.0)
    for offset in (1, 2, 3):
        state.offer(message(offset), 1)
    assert told.events == [1, 2, 3]
    assert (state.tail, state.first, state.top) == ([], 4, 3)


def test_what_was_trimmed_is_not_shown() -> None:
    state, _ = room()
    for offset in range(1, 6):
        state.offer(message(offset), 1)
    state.drop_before(4)
    state.drop_before(2)
    assert (state.first, state.messages(4, 6)) == (4, [message(4), message(5)])
    assert state.messages(3, 6) is None


@given(st.data())
def test_nothing_is_announced_twice_skipped_or_out_of_order(data: st.DataObject) -> None:
    """Messages come by two ways, each may lose some; a look at the log mends what is missing."""
    state, told = room()
    length, kept = 0, 1

    def look(offsets: Iterable[int], *, all: bool) -> None:
        state.settle(EPOCH, length, kept, found(*offsets), all=all, begin=length, number=length)

    for _ in range(data.draw(st.integers(1, 30))):
        step = data.draw(st.sampled_from(["publish", "again", "trim", "look", "part"]))
        if step == "publish":
            burst = data.draw(st.integers(1, 8))
            sent = list(range(length + 1, length + burst + 1))
            length += burst
            for offset in data.draw(st.permutations(sent)):
                if data.draw(st.booleans()):
                    state.offer(message(offset), 10)
        elif step == "again" and length:
            state.offer(message(data.draw(st.integers(1, length))), 10)
        elif step == "trim":
            kept = data.draw(st.integers(kept, length + 1))
        elif step == "part":
            some = list(range(max(kept, state.top + 1), length + 1))[:3]
            look(some, all=len(some) < 3)
        else:
            rest = range(max(kept, state.top + 1), length + 1)
            look(rest, all=True)
            assert state.top == state.number == length
            assert state.is_whole
    at = 0
    for event in told.events:
        if isinstance(event, int):
            assert event == at + 1
            at = event
        else:
            assert event[1] > at
            at = event[1]
    assert at == state.top
    assert state.tail_bytes == 10 * len(state.tail)
