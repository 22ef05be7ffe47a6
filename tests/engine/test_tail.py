from hypothesis import given
from hypothesis import strategies as st

from sioserver.engine.tail import TAIL_BYTES, Tail, span
from sioserver.model import Message


def message(offset: int) -> Message:
    return Message(f"m{offset}", offset, "ann", "Ann", None, 0)


def edit(offset: int, target: int, body: object) -> Message:
    return Message(f"m{target}", offset, "ann", "Ann", body, 7, kind="edit", target=target)


def delete(offset: int, target: int) -> Message:
    return Message(f"m{target}", offset, "ann", "Ann", None, 8, kind="delete", target=target)


def react(offset: int, target: int, emoji: str = "x") -> Message:
    return Message(
        f"m{target}", offset, "ben", "Ben", None, 9, kind="reaction", target=target, emoji=emoji
    )


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


def test_operations_are_done_to_the_messages_in_memory() -> None:
    state = tail(top=0, oldest=1)
    for entry, size in ((message(1), 5), (message(2), 5), (edit(3, 1, "new"), 3), (react(4, 2), 0)):
        state.append(entry, size, cached=8)
    first, second = state.messages(1, 3) or []
    assert (first.body, first.edited) == ("new", 7)
    assert second.reactions == {"x": ("ben",)}
    assert (state.ops, state.sizes, state.tail_bytes) == (2, [3, 9, 3, 0], 15)
    state.append(edit(5, 1, "newer"), 4, cached=8)
    assert [(one.kind, one.body) for one in state.tail] == [
        ("message", "newer"), ("message", None), ("edit", "newer"), ("reaction", None),
        ("edit", "newer"),
    ]  # fmt: skip
    state.append(delete(6, 1), 0, cached=8)
    assert [one.body for one in state.tail] == [None] * 6
    assert (state.tail[0].deleted, state.tail[0].edited) == (8, 0)
    assert (state.sizes, state.tail_bytes) == ([0, 9, 0, 0, 0, 0], 9)


def test_operations_on_messages_that_are_not_in_memory() -> None:
    state = tail(top=10, oldest=9)
    state.append(edit(11, 3, "new"), 3, cached=8)
    state.append(react(12, 3), 0, cached=8)
    state.append(edit(13, 3, "newer"), 5, cached=8)
    assert [one.body for one in state.tail[2:]] == ["newer", None, "newer"]
    state.append(delete(14, 3), 0, cached=8)
    assert [one.body for one in state.tail] == [None] * 6
    assert state.tail_bytes == 2


def test_operations_that_are_cut_off_are_not_counted() -> None:
    state = Tail(4, [message(1), react(2, 1), react(3, 1, "y"), message(4)], [1, 0, 0, 1])
    assert state.ops == 2
    state.cut_before(3)
    assert state.ops == 1
    state.begin_at(9)
    assert state.ops == 0


@given(st.lists(st.booleans(), max_size=30), st.integers(1, 20), st.data())
def test_a_page_from_memory_is_that_of_the_log_or_none(
    kinds: list[bool], first: int, data: st.DataObject
) -> None:
    log = [
        message(n) if is_message else react(n, 0)
        for n, is_message in enumerate(kinds, first)
    ]  # fmt: skip
    top = first + len(log) - 1
    oldest = data.draw(st.integers(first, top + 1))
    known = [one for one in log if one.offset >= oldest]
    state = Tail(top, known, [1] * len(known))
    after = data.draw(st.none() | st.integers(-2, 60))
    before = data.draw(st.none() | st.integers(-2, 60))
    limit = data.draw(st.integers(0, 40))
    ops = data.draw(st.booleans())

    wanted = [
        one
        for one in log
        if (ops or one.kind == "message")
        and (after is None or one.offset > after)
        and (before is None or one.offset < before)
    ]
    if after is None:
        wanted = wanted[max(0, len(wanted) - limit) :]
    wanted = wanted[:limit]

    page = state.page(first, after, before, limit, ops=ops)
    if page is None:
        assert oldest > first  # there is more than what is in memory
        assert limit
        return
    assert page.messages == wanted
    assert all(page.start <= one.offset < page.end for one in wanted)
    # nothing that was asked for lies between what was found and the ends
    low = first if after is None else max(first, after + 1)
    high = max(low, top + 1 if before is None else min(top + 1, before))
    if len(wanted) < limit:
        assert (page.start, page.end) == (low, high)
    elif limit:
        assert page.end == wanted[-1].offset + 1 if after is not None else page.end == high
        assert page.start == low if after is not None else page.start == wanted[0].offset
    assert low <= page.start <= page.end <= high


def test_a_page_that_is_all_in_memory_comes_from_there() -> None:
    state = Tail(4, [message(3), react(4, 3)], [1, 0])
    assert state.page(3, None, None, 9, ops=False) == ([message(3)], 3, 5)
    assert state.page(1, None, None, 1, ops=False) == ([message(3)], 3, 5)
    assert state.page(1, 2, None, 9, ops=False) == ([message(3)], 3, 5)
    assert state.page(1, None, None, 2, ops=False) is None
    assert state.page(1, 1, None, 9, ops=False) is None
