"""A checker of what a room promises: told what was sent, acknowledged and received, it says which
promises were broken.

Pure: it knows no server and no client, and has no other truth than what it is told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple


@dataclass(frozen=True, slots=True)
class Finding:
    """A broken promise. `kind` is one of `Report.KINDS`."""

    kind: str
    what: str
    member: str | None = None
    id: str | None = None
    offset: int | None = None


@dataclass(slots=True)
class Report:
    """What a checker has found."""

    KINDS = ("loss", "duplicate", "order", "phantom", "nacked", "gap", "state")

    findings: list[Finding]
    announced: int
    """Acknowledged messages that members were told they would not get."""

    @property
    def ok(self) -> bool:
        """No promise was broken."""
        return not self.findings

    def of(self, kind: str) -> list[Finding]:
        """The findings of a kind."""
        assert kind in self.KINDS
        return [finding for finding in self.findings if finding.kind == kind]

    def __str__(self) -> str:
        shown = [f"{finding.kind}: {finding.what}" for finding in self.findings[:20]]
        return "\n".join([f"{len(self.findings)} findings", *shown])


class Done(NamedTuple):
    """Something that is done to a message: `body` is an edit's, `emoji` and `on` a reaction's."""

    id: str
    kind: str
    body: Any = None
    emoji: str = ""
    on: bool = True

    @property
    def label(self) -> str:
        """What everybody who is told of it, however late, calls it. The body of an edit may have
        been changed again by then."""
        return f"{self.kind} {self.id} {self.emoji} {self.on}"


class State(NamedTuple):
    """What a message is at some moment."""

    body: Any
    reactions: frozenset[str] = frozenset()
    deleted: bool = False

    def after(self, done: Done) -> State:
        """... and then."""
        if self.deleted:
            return self
        if done.kind == "delete":
            return State(None, frozenset(), True)
        if done.kind == "edit":
            return self._replace(body=done.body)
        changed = {done.emoji}
        if done.on:
            return self._replace(reactions=self.reactions | changed)
        return self._replace(reactions=self.reactions - changed)


class _Seen(NamedTuple):
    """An entry of the log, as a member got it: a message, or what was done to one."""

    offset: int
    id: str
    what: State | Done

    @property
    def label(self) -> str:
        return self.what.label if isinstance(self.what, Done) else self.id


@dataclass(slots=True)
class _Member:
    """What one member saw, in the order in which it saw it."""

    after: int
    through: float = float("inf")
    received: list[_Seen] = field(default_factory=list)
    gaps: set[int] = field(default_factory=set)


class Checker:
    """The history of one room (in one epoch): tell it what happened, then `check()`.

    - loss: a message was acknowledged, and a member who was entitled to it never got it.
    - duplicate: a member got a message twice, or it is in the log twice.
    - order: a member got offsets that do not grow, two members saw different messages under one
      offset, or a sender's messages are not in the order in which they were sent.
    - phantom: somebody received what nobody sent, or with another body.
    - nacked: a message that was refused for good was delivered.
    - gap: a member got past an offset that it never received, and was not told.
    - state: a member ended up with a message that is not what was made of it, or the history has it
      so. What is done to a message has to be done by one client, one after the other.

    A member is entitled to everything that has an offset larger than the one it joined `after`,
    and (when it left) not larger than the one it left `through`.
    """

    def __init__(self) -> None:
        self._sent: dict[str, Any] = {}
        self._senders: dict[str, list[str]] = {}
        self._acked: dict[str, int] = {}
        self._nacked: set[str] = set()
        self._done: dict[str, list[tuple[str, Done]]] = {}
        """By message: what was done to it, in order, each under a name."""
        self._done_by: dict[str, int] = {}
        """By that name: the offset by which it was done, once it was acknowledged."""
        self._members: dict[str, _Member] = {}
        self._findings: list[Finding] = []

    def sent(self, id: str, body: Any, sender: str | None = None) -> None:
        """A message was sent for the first time. With `sender`, behind its earlier ones."""
        self._sent[id] = body
        if sender is not None:
            self._senders.setdefault(sender, []).append(id)

    def acked(self, id: str, offset: int) -> None:
        """It was acknowledged."""
        known = self._acked.setdefault(id, offset)
        if known != offset:
            self._find("duplicate", f"{id} was acknowledged as {known} and {offset}", None, id)

    def nacked(self, id: str) -> None:
        """It was refused for good, and not sent again."""
        self._nacked.add(id)

    def operated(self, name: str, done: Done) -> None:
        """Something is done to a message for the first time; `name` is nothing else's."""
        self._done.setdefault(done.id, []).append((name, done))

    def acked_operation(self, name: str, offset: int) -> None:
        """It was acknowledged; `offset` is the newest entry about the message, its own or not."""
        self._done_by[name] = offset

    def refused_operation(self, name: str) -> None:
        """It was refused for good, and not done: the message was no longer there, say."""
        for made in self._done.values():
            made[:] = [one for one in made if one[0] != name]

    def joined(self, member: str, after: int) -> None:
        """Somebody became a member; `after` is the offset at which its welcome began."""
        self._members[member] = _Member(after)

    def left(self, member: str, through: int) -> None:
        """It left for good; `through` is the last offset that it must have got."""
        self._members[member].through = through

    def received(
        self,
        member: str,
        id: str,
        offset: int,
        body: Any,
        reactions: Iterable[str] = (),
        *,
        deleted: bool = False,
    ) -> None:
        """A member got a message, as it was by then."""
        state = State(body, frozenset(reactions), deleted)
        self._members[member].received.append(_Seen(offset, id, state))

    def told(self, member: str, offset: int, done: Done) -> None:
        """A member was told that something was done to a message."""
        self._members[member].received.append(_Seen(offset, done.id, done))

    def stored(self, messages: Iterable[tuple[str, Any, Iterable[str], bool]]) -> None:
        """The history has these messages when all is over: id, body, reactions, is it deleted."""
        for id, body, reactions, deleted in messages:
            if id not in self._sent:
                self._find("phantom", f"the history has {id}, which nobody sent", None, id)
                continue
            wrong = self._wrong(id, State(body, frozenset(reactions), deleted), float("inf"))
            if wrong:
                self._find("state", f"the history has {id} with {wrong}", None, id)

    def gap(self, member: str, first: int, last: int) -> None:
        """A member was told that it will not get these."""
        self._members[member].gaps.update(range(first, last + 1))

    def check(self) -> Report:
        """Everything that is wrong with what happened so far."""
        found, self._findings = self._findings, list(self._findings)
        try:
            self._check_log()
            self._check_senders()
            announced = sum(self._check_member(name) for name in self._members)
            return Report(self._findings, announced)
        finally:
            self._findings = found

    def _find(self, kind: str, what: str, *where: Any) -> None:
        self._findings.append(Finding(kind, what, *where))

    def _check_log(self) -> None:
        """All must have the same entry under the same offset, and no other offset for it."""
        log: dict[int, str] = {}
        offsets: dict[str, int] = {}
        seen: list[tuple[str | None, int, str, bool]]
        seen = [(None, offset, id, True) for id, offset in self._acked.items()]
        for name, member in self._members.items():
            seen += [
                (name, one.offset, one.label, isinstance(one.what, State))
                for one in member.received
            ]
        for who, offset, label, is_message in seen:
            if log.setdefault(offset, label) != label:
                what = (
                    f"{offset} is {log[offset]} for others, but {label} for {who or 'its sender'}"
                )
                self._find("order", what, who, label, offset)
            elif is_message and offsets.setdefault(label, offset) != offset:
                what = f"{label} is in the log twice, as {offsets[label]} and {offset}"
                self._find("duplicate", what, who, label, offset)
        made = Counter(done.label for _, done in self._all_done())
        for label, times in Counter(log.values()).items():
            if label in made and times > made[label]:
                what = f"{label!r} is in the log {times} times, and was done {made[label]} times"
                self._find("duplicate", what, None, label)

    def _all_done(self) -> Iterator[tuple[str, Done]]:
        for made in self._done.values():
            yield from made

    def _check_senders(self) -> None:
        for sender, ids in self._senders.items():
            offsets = [(self._acked[id], id) for id in ids if id in self._acked]
            for (before, _), (offset, id) in pairwise(offsets):
                if offset < before:
                    what = f"{sender} sent {id} ({offset}) after what became {before}"
                    self._find("order", what, None, id, offset)

    def _check_member(self, name: str) -> int:
        member = self._members[name]
        had: set[int] = set()
        top = member.after
        for seen in member.received:
            offset, id = seen.offset, seen.id
            self._check_entry(name, seen)
            if offset in had:
                self._find("duplicate", f"{name} got {offset} again", name, id, offset)
            elif offset < top:
                self._find("order", f"{name} got {offset} after {top}", name, id, offset)
            had.add(offset)
            top = max(top, offset)
        if not member.gaps:
            self._check_states(name, member, top)
        announced = 0
        for id, offset in self._acked.items():
            if member.after < offset <= member.through and offset not in had:
                if offset in member.gaps:
                    announced += 1
                else:
                    self._find("loss", f"{name} never got {offset}, {id}", name, id, offset)
        for label, offset in self._done_by.items():
            if max(member.after, top) < offset <= member.through and offset not in member.gaps:
                self._find("loss", f"{name} never got {offset}, {label}", name, label, offset)
        silent = set(range(member.after + 1, top)) - had - member.gaps
        for offset in sorted(silent):
            self._find("gap", f"{name} got past {offset} without it", name, None, offset)
        return announced

    def _check_entry(self, name: str, seen: _Seen) -> None:
        """Has anybody made it so?"""
        offset, id, what = seen
        if id not in self._sent:
            self._find("phantom", f"{name} got {id}, which nobody sent", name, id, offset)
            return
        if isinstance(what, Done):
            if all(done.label != what.label for _, done in self._done.get(id, ())):
                self._find("phantom", f"{name} was told of {what.label!r}", name, id, offset)
                return
        elif id in self._nacked and id not in self._acked:
            self._find("nacked", f"{name} got {id}, which was refused", name, id, offset)
        if isinstance(what, State) or what.kind == "edit":
            bodies = [state.body for state in self._states(id)]
            if what.body not in bodies:
                self._find("phantom", f"{name} got {id} with another body", name, id, offset)

    def _states(self, id: str) -> list[State]:
        """What the message was, from its posting on."""
        states = [State(self._sent[id])]
        for _, done in self._done.get(id, ()):
            states.append(states[-1].after(done))
        return states

    def _wrong(self, id: str, state: State, top: float) -> str:
        """What is wrong with a message in the eyes of who knows everything up to `top`: nothing
        that was acknowledged up to there may be missing, and what came later may be there."""
        made = self._done.get(id, ())
        least = max(
            (
                number
                for number, (name, _) in enumerate(made, 1)
                if self._done_by.get(name, float("inf")) <= top
            ),
            default=0,
        )
        allowed = self._states(id)[least:]
        if all(state.body != one.body for one in allowed):
            return f"the body {state.body!r:.100}"
        if all(state.reactions != one.reactions for one in allowed):
            return f"the reactions {sorted(state.reactions)}"
        if all(state.deleted != one.deleted for one in allowed):
            return "no delete" if not state.deleted else "a delete that was not"
        return ""

    def _check_states(self, name: str, member: _Member, top: int) -> None:
        """What the member makes of what it was told, in that order."""
        states: dict[str, State] = {}
        for _, id, what in member.received:
            if isinstance(what, State):
                states[id] = what
            elif id in states:
                states[id] = states[id].after(what)
        for id, state in states.items():
            if id not in self._sent or state.body not in [one.body for one in self._states(id)]:
                continue  # a phantom
            wrong = self._wrong(id, state, top)
            if wrong:
                self._find("state", f"{name} has {id} with {wrong}", name, id)
