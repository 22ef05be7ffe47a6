"""The inbox alone: no socket, no loop; at last against a simple model of a room's log."""

from collections import deque
from dataclasses import dataclass
from typing import Any

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sioserver.client.inbox import Gap, Hole, Inbox
from sioserver.model import Message, Position


def inbox(limit: int = 3) -> Inbox:
    return Inbox(limit, Position("a", 0))


def message_at(offset: int) -> Message:
    return Message(f"m{offset}", offset, "ann", "ann", offset, 0)


def put(box: Inbox, *offsets: int, epoch: str = "a") -> None:
    for offset in offsets:
        box.entry(message_at(offset), Position(epoch, offset))


def drain(box: Inbox) -> list[Any]:
    found: list[Any] = []
    while (item := box.take()) is not None and not isinstance(item, Hole):
        found.append(item if isinstance(item, Gap) else item.offset)
    return found


def test_a_message_that_comes_again_is_dropped() -> None:
    box = inbox()
    put(box, 1, 2, 1, 2)
    assert drain(box) == [1, 2]
    assert str(box.taken) == "a.2"


def test_a_hole_that_nobody_announced_is_filled_too() -> None:
    box = inbox()
    put(box, 1, 4)
    assert drain(box) == [1]
    hole = box.take()
    assert isinstance(hole, Hole)
    assert (hole.first, hole.last) == (2, 3)


def test_another_epoch_makes_gaps_of_holes() -> None:
    box = inbox(1)
    put(box, 1, 2, 3)
    put(box, 2, epoch="b")
    assert drain(box) == [1, Gap(2, 3), Gap(0, 1)]
    assert isinstance(box.take(), Hole)


def test_a_hole_is_filled_in_pages_and_what_is_missing_is_a_gap() -> None:
    box = inbox(1)
    put(box, 1, 2, 3, 4, 5, 6)
    assert drain(box) == [1]
    hole = box.take()
    assert isinstance(hole, Hole)
    hole.fill([message_at(3)], Position("a", 6))  # 2 is not in the history any more
    assert drain(box) == [Gap(2, 2), 3]
    assert str(box.taken) == "a.3"
    put(box, 7)  # meanwhile
    hole.fill([message_at(offset) for offset in (4, 5, 6, 7, 8)], Position("a", 8))
    assert drain(box) == [4, 5, 6, 7]  # 8 comes by itself
    assert str(box.taken) == "a.7"
    put(box, 8)
    assert drain(box) == [8]


def test_a_hole_of_which_the_history_knows_nothing_is_a_gap() -> None:
    for messages, top in [
        ([], Position("a", 3)),
        ([], Position("a", 1)),  # the log has lost its end
        ([message_at(2)], Position("b", 3)),
    ]:
        box = inbox()
        put(box, 1)
        box.gap(2, 3, Position("a", 3))
        put(box, 4)
        assert drain(box) == [1]
        hole = box.take()
        assert isinstance(hole, Hole)
        hole.fill(messages, top)
        assert drain(box) == [Gap(2, 3), 4]


def test_what_comes_after_a_hole_is_kept_as_soon_as_there_is_room() -> None:
    box = inbox(2)
    put(box, 1, 2, 3)
    assert drain(box) == [1, 2]
    put(box, 4, 5)
    hole = box.take()
    assert isinstance(hole, Hole)
    assert (hole.first, hole.last) == (3, 3)
    hole.fill([message_at(3), message_at(4)], Position("a", 4))
    assert drain(box) == [3, 4]
    assert isinstance(box.take(), Hole)


def test_what_comes_while_the_history_says_that_it_has_nothing_is_not_lost() -> None:
    box = inbox(1)
    put(box, 1, 2)
    assert drain(box) == [1]
    hole = box.take()
    assert isinstance(hole, Hole)
    put(box, 3, 4)  # after the history was asked
    hole.fill([], Position("a", 2))
    assert drain(box) == [Gap(2, 2)]
    hole.fill([message_at(3), message_at(4)], Position("a", 4))
    assert drain(box) == [3, 4]


def test_a_log_that_begins_anew_while_a_hole_is_filled_wins() -> None:
    box = inbox(1)
    put(box, 1, 2, 3)
    assert drain(box) == [1]
    hole = box.take()
    assert isinstance(hole, Hole)
    box.gap(0, 0, Position("b", 0))
    hole.fill([message_at(2), message_at(3)], Position("a", 3))  # asked before, answered after
    put(box, 1, epoch="b")
    assert drain(box) == [Gap(2, 3), Gap(0, 0)]
    assert str(box.taken) == "b.0"


def test_a_hole_that_was_given_up_stays_so() -> None:
    box = inbox(1)
    put(box, 1, 2, 3, 4)
    assert drain(box) == [1]
    hole = box.take()
    assert isinstance(hole, Hole)
    box.gap(3, 4, Position("a", 2))
    hole.fill([], Position("a", 2))  # asked before, answered after
    assert drain(box) == [Gap(2, 4), Gap(3, 4)]


def test_a_gap_falls_into_the_hole_that_is_there() -> None:
    box = inbox(1)
    put(box, 1, 2)
    box.gap(3, 9, Position("a", 9))
    put(box, 10)
    assert len(box) == 2
    assert drain(box) == [1]
    hole = box.take()
    assert isinstance(hole, Hole)
    assert (hole.first, hole.last) == (2, 10)


# ------------------------------------------------------------ whatever may happen, in any order


@dataclass(frozen=True)
class Anew:
    """The log began anew or lost its end, and the server said so with this gap."""

    gap: Gap


@dataclass
class Asked:
    """A page of the history on its way."""

    hole: Hole
    messages: list[Message]
    top: Position


class Delivery(RuleBasedStateMachine):
    """A room's log, a server that sends it with losses and repetitions, and a reader.

    Each message has a body of its own, so that one of an earlier life of the log is told from the
    one that has its offset now. `owed` is what the reader is to find, in this order.
    """

    @initialize(limit=st.integers(1, 4), top=st.integers(0, 3))
    def start(self, limit: int, top: int) -> None:
        self.serial = 0
        self.life = 0
        self.log: dict[int, Message] = {}
        self.top = self.sent = top
        self.limit = limit
        self.lives = 1  # how often the log began anew or lost its end, and once
        self.given_up = 0  # the last message before that: what is missing of them is not fetched
        self.box = Inbox(limit, Position(self.epoch, top))
        self.owed: deque[Message | Anew] = deque()
        self.asked: Asked | None = None

    @property
    def epoch(self) -> str:
        return f"life{self.life}"

    @property
    def held(self) -> list[Message]:
        """What the history has, ascending."""
        return [self.log[offset] for offset in sorted(self.log)]

    # the room

    @rule(count=st.integers(1, 5))
    def post(self, count: int) -> None:
        for _ in range(count):
            self.serial += 1
            self.top += 1
            self.log[self.top] = Message("", self.top, "ann", "Ann", self.serial, 0)
            self.owed.append(self.log[self.top])

    @rule(count=st.integers(1, 5))
    def trim(self, count: int) -> None:
        """The history is not kept for ever; what has not been sent yet is kept."""
        for message in self.held[:count]:
            if message.offset <= self.sent:
                del self.log[message.offset]

    # the server

    @rule(count=st.integers(1, 9))
    def send(self, count: int) -> None:
        for offset in range(self.sent + 1, min(self.sent + count, self.top) + 1):
            self.box.entry(self.log[offset], Position(self.epoch, offset))
            self.sent = offset

    @rule(back=st.integers(0, 9))
    def send_again(self, back: int) -> None:
        """As after a connection that ended before it was known what had arrived."""
        for message in self.held:
            if self.sent - back < message.offset <= self.sent:
                self.box.entry(message, Position(self.epoch, message.offset))

    @precondition(lambda self: self.sent < self.top)
    @rule(data=st.data(), announced=st.booleans())
    def leave_out(self, data: st.DataObject, announced: bool) -> None:
        """Too much was missed; the server should say so, but need not."""
        to = data.draw(st.integers(self.sent + 1, self.top))
        if announced:
            self.box.gap(self.sent + 1, to, Position(self.epoch, to))
            self.sent = to
        elif to < self.top:
            self.box.entry(self.log[to + 1], Position(self.epoch, to + 1))
            self.sent = to + 1

    @rule(answer=st.booleans())
    def begin_anew(self, answer: bool) -> None:
        self.log.clear()
        self.life += 1
        self.top = self.sent = 0
        if answer and self.asked is not None:  # who asked hears of it first
            other = Message("", self.asked.hole.first, "ann", "Ann", "of another life", 0)
            self.asked.hole.fill([other], Position(self.epoch, other.offset))
            self.asked = None
            self._take(page=1)
        self._said(Gap(0, 0))

    @precondition(lambda self: self.sent > 0)
    @rule(data=st.data())
    def lose_the_end(self, data: st.DataObject) -> None:
        while self.owed and isinstance(self.owed[-1], Message) and self.owed[-1].offset > self.sent:
            self.owed.pop()  # nobody has heard of these
        self.top = data.draw(st.integers(0, self.sent - 1))
        self.log = {offset: one for offset, one in self.log.items() if offset <= self.top}
        gap, self.sent = Gap(self.top + 1, self.sent), self.top
        self._said(gap)

    def _said(self, gap: Gap) -> None:
        # of the life before, the reader finds what had been told to the inbox
        while self.owed and isinstance(last := self.owed[-1], Message):
            received = self.box.received
            assert received is not None
            if last.offset <= received.offset:
                break
            self.owed.pop()
        self.box.gap(gap.first, gap.last, Position(self.epoch, self.sent))
        self.owed.append(Anew(gap))
        self.lives += 1
        self.given_up = self.serial

    # the reader, who asks for one page at a time

    @rule(most=st.integers(1, 12), page=st.integers(1, 4))
    def read(self, most: int, page: int) -> None:
        for _ in range(most):
            if self.asked is not None or not self._take(page):
                return

    @precondition(lambda self: self.asked is not None)
    @rule()
    def answer(self) -> None:
        assert self.asked is not None
        self.asked.hole.fill(self.asked.messages, self.asked.top)
        self.asked = None

    def _take(self, page: int) -> bool:
        item = self.box.take()
        if isinstance(item, Hole):
            rest = [message for message in self.held if message.offset >= item.first]
            self.asked = Asked(item, rest[:page], Position(self.epoch, self.top))
            return False
        assert self.box.taken is not None
        if isinstance(item, Message):
            assert self.owed.popleft() == item
            assert self.box.taken.offset == item.offset
        elif isinstance(item, Gap) and self.owed[0] == Anew(item):
            self.owed.popleft()
        elif isinstance(item, Gap):
            for offset in range(item.first, item.last + 1):
                lost = self.owed.popleft()
                assert isinstance(lost, Message)
                assert lost.offset == offset
                assert lost.offset <= self.box.taken.offset == item.last
                assert lost.body <= self.given_up or lost not in self.held, "it could be had"
        return item is not None

    @invariant()
    def it_is_bounded(self) -> None:
        # the messages and a hole, and with each new life of the log its gap and one hole more
        assert len(self.box) <= self.limit - 1 + 2 * self.lives

    def teardown(self) -> None:
        """In the end the reader has everything that was sent, and knows where that was."""
        if not hasattr(self, "box"):
            return
        more = True
        while more:
            if self.asked is not None:
                self.answer()
            more = self._take(page=3) or self.asked is not None
        assert self.box.taken == self.box.received == Position(self.epoch, self.sent)
        unsent = [self.log[offset] for offset in range(self.sent + 1, self.top + 1)]
        assert list(self.owed) == unsent


class TestDelivery(Delivery.TestCase):  # type: ignore[misc,name-defined]
    settings = settings(
        max_examples=200,
        stateful_step_count=40,
        deadline=None,
        phases=set(Phase) - {Phase.explain},  # it would take longer than a test may
    )
