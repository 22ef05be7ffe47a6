from hypothesis import given
from hypothesis import strategies as st

from sioserver.engine.tail import TAIL_BYTES, Tail, span
from sioserver.model import Message


def message(offset: int) -> Message:
    return Message(f"m{offset}", offset, "ann", "Ann", None, 0)


def tail(top: int, oldest: int) -> Tail:
    messages = [message(n) for n in range(oldest, top + 1)]
    return Tail(top, messages, [1] * len(messages))


def test_messages_come_from_memory_or_not_at_all() -> None:
    state = tail(top=10, oldest=6)
    assert state.messages(5, 8) is None
    assert state.messages(6, 8) == [message(6), message(7)]
    assert state.messages(10, 11) == [message(10)]
    assert state.messages(3, 3) == []


def test_the_newest_are_kept() -> None:
    state = tail(top=0, oldest=1)
    for n in range(1, 100):
        state.append(message(n), 1, cached=8)
        assert 8 <= len(state.tail) < 16 or n < 8
        oldest = n - len(state.tail) + 1
        assert state.messages(oldest, n + 1) == [message(i) for i in range(oldest, n + 1)]


def test_what_is_cut_off_is_gone() -> None:
    state = tail(top=10, oldest=6)
    state.cut_before(4)
    assert len(state.tail) == 5
    state.cut_before(9)
    assert ([m.offset for m in state.tail], state.tail_bytes) == ([9, 10], 2)
    assert state.messages(8, 10) is None
    state.cut_before(99)
    assert (state.tail, state.top) == ([], 10)


def test_a_tail_begins_anew_behind_a_hole() -> None:
    state = tail(top=10, oldest=6)
    state.begin_at(20)
    assert state.messages(9, 11) is None
    state.append(message(21), 1, cached=8)
    assert state.messages(21, 22) == [message(21)]
    assert state.messages(20, 22) is None


def test_a_tail_is_bounded_by_its_bytes() -> None:
    state = tail(top=0, oldest=1)
    for n in range(1, 50):
        state.append(message(n), TAIL_BYTES // 10, cached=8)
        assert state.tail_bytes == sum(state.sizes) <= TAIL_BYTES
        assert len(state.tail) == len(state.sizes)
    assert len(state.tail) == 10
    state.append(message(50), TAIL_BYTES + 1, cached=8)
    assert (state.tail, state.tail_bytes) == ([], 0)
    assert state.messages(50, 51) is None
    state.append(message(51), 5, cached=8)
    assert state.messages(51, 52) == [message(51)]


@given(st.integers(1, 50), st.integers(-1, 60), st.data())
def test_a_span_is_what_the_contract_says(first: int, length: int, data: st.DataObject) -> None:
    top = max(first - 1, length)
    log = list(range(first, top + 1))
    after = data.draw(st.none() | st.integers(-2, 70))
    before = data.draw(st.none() | st.integers(-2, 70))
    limit = data.draw(st.integers(0, 80))
    wanted = [n for n in log if (after is None or n > after) and (before is None or n < before)]
    expected = wanted[:limit] if after is not None else wanted[len(wanted) - limit :][:limit]
    if limit >= len(wanted):
        expected = wanted
    assert list(range(*span(first, top, after, before, limit))) == expected
