"""The checker finds every planted fault and no other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sioserver.checker import Checker, Done, Report


@dataclass
class Story:
    """What happened in a room, correct as it is drawn: a record that faults are planted in."""

    log: list[str]
    """Ids; the offset of the first is 1."""
    unacked: set[str]
    """Stored, but the sender never heard of it."""
    members: dict[str, int]
    """Name -> the offset after which it joined."""
    got: dict[str, list[tuple[str, int, Any]]] = field(default_factory=dict)
    sent: dict[str, Any] = field(default_factory=dict)
    acked: dict[str, int] = field(default_factory=dict)
    nacked: set[str] = field(default_factory=set)
    gaps: list[tuple[str, int, int]] = field(default_factory=list)
    through: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.sent = {id: {"text": id} for id in self.log} | {
            "lost": "never stored",
            "no": "refused",
        }
        self.nacked = {"no"}
        self.acked = {id: offset for offset, id in enumerate(self.log, 1) if id not in self.unacked}
        self.got = {
            name: [
                (id, offset, {"text": id})
                for offset, id in enumerate(self.log, 1)
                if offset > after
            ]
            for name, after in self.members.items()
        }

    def tell(self) -> Report:
        checker = Checker()
        for number, (id, body) in enumerate(self.sent.items()):
            checker.sent(id, body, f"sender {number % 2}")
        for id, offset in self.acked.items():
            checker.acked(id, offset)
        for id in self.nacked:
            checker.nacked(id)
        for name, after in self.members.items():
            checker.joined(name, after)
            if name in self.through:
                checker.left(name, self.through[name])
        for name, first, last in self.gaps:
            checker.gap(name, first, last)
        for name, items in self.got.items():
            for id, offset, body in items:
                checker.received(name, id, offset, body)
        report = checker.check()
        again = checker.check()
        assert (again.findings, again.announced) == (report.findings, report.announced)
        return report


@st.composite
def stories(draw: st.DrawFn) -> Story:
    size = draw(st.integers(3, 12))
    log = [f"m{number}" for number in range(size)]
    return Story(
        log,
        unacked=set(draw(st.lists(st.sampled_from(log), max_size=3))),
        members={
            f"r{number}": draw(st.integers(0, size)) for number in range(draw(st.integers(2, 4)))
        },
    )


def kinds(report: Report) -> set[str]:
    return {finding.kind for finding in report.findings}


def pick(data: st.DataObject, story: Story, least: int = 1) -> tuple[str, int]:
    """A member that got at least so many messages, and an index with that many from it on."""
    rich = [name for name, got in story.got.items() if len(got) >= least]
    assume(rich)
    name = data.draw(st.sampled_from(rich))
    return name, data.draw(st.integers(0, len(story.got[name]) - least))


@given(stories())
def test_a_correct_history_gives_no_finding(story: Story) -> None:
    report = story.tell()
    assert report.ok, str(report)
    assert report.announced == 0


@given(stories(), st.data())
def test_a_lost_message_is_named(story: Story, data: st.DataObject) -> None:
    name, index = pick(data, story)
    id, offset, _ = story.got[name].pop(index)
    report = story.tell()
    was_last = index == len(story.got[name])
    if id in story.acked:
        (loss,) = report.of("loss")
        assert (loss.member, loss.id, loss.offset) == (name, id, offset)
    else:
        assert not report.of("loss")
    assert [(gap.member, gap.offset) for gap in report.of("gap")] == (
        [] if was_last else [(name, offset)]
    )
    assert kinds(report) <= {"loss", "gap"}


@given(stories(), st.data())
def test_a_loss_that_was_told_is_counted_and_no_finding(story: Story, data: st.DataObject) -> None:
    name, index = pick(data, story)
    id, offset, _ = story.got[name].pop(index)
    story.gaps.append((name, offset, offset))
    report = story.tell()
    assert report.ok
    assert report.announced == (id in story.acked)


@given(stories(), st.data())
def test_a_duplicate_is_named(story: Story, data: st.DataObject) -> None:
    name, index = pick(data, story)
    item = story.got[name][index]
    story.got[name].insert(data.draw(st.integers(index, len(story.got[name]))), item)
    report = story.tell()
    (finding,) = report.findings
    assert (finding.kind, finding.member, finding.offset) == ("duplicate", name, item[1])


@given(stories(), st.data())
def test_a_swap_is_named(story: Story, data: st.DataObject) -> None:
    name, index = pick(data, story, 2)
    got = story.got[name]
    got[index], got[index + 1] = got[index + 1], got[index]
    (finding,) = story.tell().findings
    assert (finding.kind, finding.member, finding.offset) == ("order", name, got[index + 1][1])


@given(stories(), st.data())
def test_members_who_disagree_are_named(story: Story, data: st.DataObject) -> None:
    name, index = pick(data, story, 2)
    (a, one, x), (b, two, y) = story.got[name][index : index + 2]
    assume(any(a in {id for id, *_ in got} for who, got in story.got.items() if who != name))
    story.got[name][index : index + 2] = [(b, one, y), (a, two, x)]
    report = story.tell()
    assert kinds(report) <= {"order", "duplicate"}
    assert {one, two} & {finding.offset for finding in report.of("order")}


@given(stories(), st.data())
def test_a_message_that_is_stored_twice_is_named(story: Story, data: st.DataObject) -> None:
    id = data.draw(st.sampled_from(story.log))
    assume(story.got["r0"] or id in story.acked)
    for got in story.got.values():
        got.append((id, len(story.log) + 1, {"text": id}))
    report = story.tell()
    first = story.log.index(id) + 1
    known = id in story.acked or any(after < first for after in story.members.values())
    assert kinds(report) == ({"duplicate"} if known else set())
    assert all(finding.id == id for finding in report.findings)


@given(stories(), st.data())
def test_a_phantom_is_named(story: Story, data: st.DataObject) -> None:
    name, index = pick(data, story)
    offset = len(story.log) + 1
    for got in story.got.values():
        got.append(("ghost", offset, "boo"))
    assert {finding.member for finding in story.tell().of("phantom")} == set(story.members)
    assert kinds(story.tell()) == {"phantom"}
    for got in story.got.values():
        got.pop()
    id, at, _ = story.got[name][index]
    story.got[name][index] = (id, at, "something else")
    (finding,) = story.tell().findings
    assert (finding.kind, finding.member, finding.id) == ("phantom", name, id)


@given(stories())
def test_a_refused_message_that_was_delivered_is_named(story: Story) -> None:
    for got in story.got.values():
        got.append(("no", len(story.log) + 1, "refused"))
    report = story.tell()
    assert {finding.member for finding in report.of("nacked")} == set(story.members)
    assert kinds(report) == {"nacked"}


@given(stories(), st.data())
def test_a_senders_messages_out_of_order_are_named(story: Story, data: st.DataObject) -> None:
    story.unacked = set()
    story.__post_init__()
    index = data.draw(st.integers(0, len(story.log) - 3))
    ids = list(story.sent)  # told in another order than they are in the log
    ids[index], ids[index + 2] = ids[index + 2], ids[index]
    story.sent = {id: story.sent[id] for id in ids}
    assert kinds(story.tell()) == {"order"}


def test_who_left_is_entitled_up_to_there() -> None:
    def tell(through: int) -> Report:
        story = Story(["a", "b", "c"], set(), {"r": 0})
        story.got["r"].pop()
        story.through = {"r": through}
        return story.tell()

    assert tell(2).ok
    assert kinds(tell(3)) == {"loss"}


def test_two_acknowledgements_must_agree() -> None:
    checker = Checker()
    checker.sent("a", 1)
    checker.acked("a", 1)
    checker.acked("a", 1)
    assert checker.check().ok
    checker.acked("a", 2)
    assert "acknowledged as 1 and 2" in str(checker.check())


# ---------------------------------------------------------------------------- operations

FIRST, SECOND = {"text": "first"}, {"text": "second"}


class Changes:
    """A message that is edited, reacted to, edited again and deleted, and what ann was told of it:
    right, until a fault is planted."""

    def __init__(self) -> None:
        self.made = [
            ("e1", Done("m", "edit", SECOND), 2),
            ("r1", Done("m", "reaction", emoji="x"), 3),
            ("r2", Done("m", "reaction", emoji="x", on=False), 4),
            ("r3", Done("m", "reaction", emoji="y"), 5),
        ]
        self.acked = {name: offset for name, _, offset in self.made}
        self.first: tuple[Any, ...] = ("m", 1, FIRST)
        self.told = [(offset, done) for _, done, offset in self.made]
        self.stored: list[tuple[str, Any, list[str], bool]] = [("m", SECOND, ["y"], False)]
        self.more: dict[str, Any] = {}

    def delete(self) -> None:
        self.made.append(("d", Done("m", "delete"), 6))
        self.acked["d"] = 6
        self.told.append((6, Done("m", "delete")))
        self.stored = [("m", None, [], True)]

    def report(self) -> Report:
        checker = Checker()
        checker.sent("m", FIRST, "sender")
        checker.acked("m", 1)
        for name, done, _ in self.made:
            checker.operated(name, done)
        for name, offset in self.acked.items():
            checker.acked_operation(name, offset)
        checker.joined("ann", 0)
        checker.received("ann", *self.first, **self.more)
        for offset, done in self.told:
            checker.told("ann", offset, done)
        checker.stored(self.stored)
        return checker.check()


@pytest.fixture(params=[False, True], ids=["kept", "deleted"])
def changes(request: pytest.FixtureRequest) -> Changes:
    changes = Changes()
    if request.param:
        changes.delete()
    return changes


def test_what_was_done_and_told_is_right(changes: Changes) -> None:
    assert changes.report().ok


def test_who_comes_later_sees_it_as_it_is_and_is_told_all_the_same(changes: Changes) -> None:
    """Each message as it is by then, and then what was done, edits with the body of now."""
    (id, body, reactions, deleted) = changes.stored[0]
    changes.first = (id, 1, body, reactions)
    changes.more = {"deleted": deleted}
    if deleted:
        changes.told[0] = (2, Done("m", "edit", None))
    assert changes.report().ok


def test_what_was_never_answered_may_be_there_or_not(changes: Changes) -> None:
    name, _, _ = changes.made[-1]
    del changes.acked[name]
    assert changes.report().ok
    changes.told.pop()
    changes.stored = []
    assert changes.report().ok


def test_what_was_refused_must_not_be_there() -> None:
    checker = Checker()
    checker.sent("m", FIRST)
    checker.operated("e", Done("m", "edit", SECOND))
    checker.refused_operation("e")
    checker.stored([("m", FIRST, [], False)])
    assert checker.check().ok
    checker.stored([("m", SECOND, [], False)])
    assert kinds(checker.check()) == {"state"}


def test_an_operation_that_is_lost_is_named() -> None:
    for lost in ("e1", "r2", "r3"):
        changes = Changes()
        changes.told = [(offset, done) for name, done, offset in changes.made if name != lost]
        found = kinds(changes.report())
        assert found == ({"loss"} if lost == "r3" else {"gap", "state"}), lost


def test_a_history_without_it_is_named(changes: Changes) -> None:
    right = changes.stored[0]
    for wrong in (
        ("m", FIRST, ["y"], False),
        ("m", SECOND, [], False),
        ("m", SECOND, ["x", "y"], False),
        ("m", None, [], not right[3]),
    ):
        changes.stored = [wrong]
        assert kinds(changes.report()) == {"state"}, wrong
    changes.stored = [("other", FIRST, [], False)]
    assert kinds(changes.report()) == {"phantom"}


def test_an_operation_that_is_in_the_log_twice_is_named(changes: Changes) -> None:
    last = changes.told[-1]
    changes.told.append((7, last[1]))
    changes.told.insert(-1, (6, last[1])) if last[0] < 6 else None
    assert "duplicate" in kinds(changes.report())


def test_an_operation_that_nobody_made_is_named(changes: Changes) -> None:
    end = changes.told[-1][0]
    for phantom in (
        Done("m", "reaction", emoji="z"),
        Done("m", "edit", "never said"),
        Done("other", "delete"),
    ):
        told = [*changes.told, (end + 1, phantom)]
        changes.told, kept = told, changes.told
        assert "phantom" in kinds(changes.report()), phantom
        changes.told = kept


def test_a_body_that_nobody_gave_a_message_is_named(changes: Changes) -> None:
    changes.first = ("m", 1, "never said")
    assert "phantom" in kinds(changes.report())


def test_operations_that_come_in_another_order_are_named(changes: Changes) -> None:
    changes.told[0], changes.told[1] = changes.told[1], changes.told[0]
    assert kinds(changes.report()) == {"order"}


def test_members_who_disagree_about_an_operation_are_named(changes: Changes) -> None:
    checker = Checker()
    checker.sent("m", FIRST)
    for number, emoji in enumerate("xy"):
        checker.operated(emoji, Done("m", "reaction", emoji=emoji))
        checker.joined(f"member {number}", 1)
        checker.told(f"member {number}", 2, Done("m", "reaction", emoji=emoji))
    assert kinds(checker.check()) == {"order"}


def test_a_deleted_body_that_comes_back_is_named() -> None:
    changes = Changes()
    changes.delete()
    changes.stored = [("m", SECOND, [], False)]
    assert kinds(changes.report()) == {"state"}


def test_who_was_told_of_a_gap_need_not_know_what_was_done(changes: Changes) -> None:
    checker = Checker()
    checker.sent("m", FIRST)
    checker.acked("m", 1)
    checker.operated("e", Done("m", "edit", SECOND))
    checker.acked_operation("e", 2)
    checker.joined("ann", 0)
    checker.received("ann", "m", 1, FIRST)
    checker.gap("ann", 2, 2)
    assert checker.check().ok
