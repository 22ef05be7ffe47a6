"""Who is here and what they are told: order, joining, leaving, slow clients."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pytest

from sioserver import wire
from sioserver.hub import JOIN_BUFFER, Client, Hub
from sioserver.local import STATES
from sioserver.metrics import Metrics
from sioserver.model import Event, Position, User

from .fakes import ANN, BEN, FakeOutbox, client, diff, message

TYPING = wire.typing_event(BEN, on=True)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def hub(metrics: Metrics) -> Hub:
    return Hub(metrics)


@pytest.fixture
def outbox() -> FakeOutbox:
    return FakeOutbox()


def enter(hub: Hub, who: Client, at: int = 0, epoch: str = "e") -> Client:
    """Let a client in that was given the log up to `at`."""
    hub.begin(who)
    who.epoch, who.offset = epoch, at
    assert hub.live(who) == []
    return who


def announce(hub: Hub, *offsets: int, room: str = "lobby", epoch: str = "e") -> None:
    for offset in offsets:
        hub.on_message(room, epoch, message(offset))


# -- registering ----------------------------------------------------------------------------------


def test_the_first_comes_and_the_last_goes(hub: Hub, outbox: FakeOutbox) -> None:
    one, two = client(outbox, "c1"), client(outbox, "c2")
    assert hub.begin(one) is True
    assert hub.begin(two) is False
    assert len(hub) == 1
    assert hub.remove(one) is False
    assert hub.remove(two) is True
    assert len(hub) == 0
    assert hub.begin(client(outbox, "c3")) is True


def test_a_client_is_joining_then_live_then_gone(hub: Hub, outbox: FakeOutbox) -> None:
    one = client(outbox)
    assert (hub.knows(one), hub.is_live(one)) == (False, False)
    hub.begin(one)
    assert (hub.knows(one), hub.is_live(one)) == (True, False)
    hub.live(one)
    assert (hub.knows(one), hub.is_live(one)) == (True, True)
    hub.remove(one)
    assert (hub.knows(one), hub.is_live(one)) == (False, False)


def test_rooms_are_apart(hub: Hub, outbox: FakeOutbox) -> None:
    one = enter(hub, client(outbox, "c1", room="a"))
    two = enter(hub, client(outbox, "c2", room="b"))
    announce(hub, 1, room="a")
    announce(hub, 1, 2, room="b")
    announce(hub, 1, room="nobody is here")
    assert (outbox.offsets(one), outbox.offsets(two)) == ([1], [1, 2])
    assert len(hub) == 2
    hub.tell("nobody is here", TYPING)


def test_who_is_in_front_of_a_room_is_among_those_whom_its_rules_bind(
    hub: Hub, outbox: FakeOutbox
) -> None:
    hub.put_before("@front", "lobby")
    waiting = enter(hub, client(outbox, "c1", room="@front"))
    inside = enter(hub, client(outbox, "c2", room="lobby"))
    other = enter(hub, client(outbox, "c3", room="den"))
    assert set(hub.clients("lobby")) == {waiting, inside}
    assert set(hub.clients("den")) == {other}
    assert set(hub.clients()) == {waiting, inside, other}
    assert [hub.room_for(one) for one in (waiting, inside, other)] == ["lobby", "lobby", "den"]
    announce(hub, 1)
    assert (outbox.offsets(waiting), outbox.offsets(inside)) == ([], [1])


def test_a_room_is_needed_by_who_is_in_it_or_in_front_of_it_or_follows_it(
    hub: Hub, outbox: FakeOutbox
) -> None:
    hub.put_before("@front", "lobby")
    assert not hub.needs("lobby")
    hub.followers.follow(hub.followers.add("@me:ann"), "lobby")
    assert hub.needs("lobby")
    hub.followers.drop("@me:ann")
    assert not hub.needs("lobby")
    waiting = enter(hub, client(outbox, "c1", room="@front"))
    inside = enter(hub, client(outbox, "c2", room="lobby"))
    assert hub.remove(inside) is False
    assert hub.needs("lobby")
    assert hub.remove(waiting) is True
    assert not hub.needs("lobby")


@pytest.mark.parametrize("live", [False, True])
def test_removing_again_does_nothing(hub: Hub, outbox: FakeOutbox, live: bool) -> None:
    one, other = client(outbox, "c1"), enter(hub, client(outbox, "c2"))
    if live:
        enter(hub, one)
    else:
        hub.begin(one)
    assert [hub.remove(one), hub.remove(one)] == [False, False]
    assert hub.remove(other) is True
    assert hub.remove(one) is False


def test_a_stranger_with_a_known_id_removes_nobody(hub: Hub, outbox: FakeOutbox) -> None:
    one = enter(hub, client(outbox, "c1"))
    joining = client(outbox, "c2")
    hub.begin(joining)
    live_stranger = client(outbox, "c1")
    live_stranger.buffer = None
    for stranger in (live_stranger, client(outbox, "c2"), client(FakeOutbox(), "c1")):
        assert not hub.knows(stranger)
        assert hub.remove(stranger) is False
    assert hub.is_live(one)
    assert hub.knows(joining)


def test_the_last_of_an_outbox_but_not_of_the_room(hub: Hub, outbox: FakeOutbox) -> None:
    other_outbox = FakeOutbox()
    one, other = enter(hub, client(outbox, "c1")), enter(hub, client(other_outbox, "c1"))
    assert hub.remove(one) is False
    announce(hub, 1)
    assert outbox.broadcasts == []
    assert other_outbox.offsets(other) == [1]
    assert hub.remove(other) is True


# -- order ----------------------------------------------------------------------------------------


def test_everybody_gets_everything_in_one_order(hub: Hub, metrics: Metrics) -> None:
    outboxes = [FakeOutbox(), FakeOutbox()]
    everybody = [enter(hub, client(outboxes[n % 2], f"c{n}")) for n in range(6)]
    announce(hub, *range(1, 11))
    for n, who in enumerate(everybody):
        assert outboxes[n % 2].offsets(who) == list(range(1, 11))
    # encoded once for all clients of an outbox
    assert [len(outbox.broadcasts) for outbox in outboxes] == [10, 10]
    assert metrics.deliveries == 60


def test_the_event_is_the_message_with_its_position(hub: Hub, outbox: FakeOutbox) -> None:
    one = enter(hub, client(outbox))
    announce(hub, 1)
    assert outbox.told[one.id] == [wire.message_event(message(1), "e")]


def test_what_is_announced_twice_is_told_once(hub: Hub, outbox: FakeOutbox) -> None:
    one = enter(hub, client(outbox, "c1"))
    announce(hub, 1, 2, 2, 1)
    joining = client(outbox, "c2")
    hub.begin(joining)
    joining.epoch, joining.offset = "e", 2
    announce(hub, 2, 3, 3, 1)
    assert outbox.offsets(one) == [1, 2, 3]
    assert hub.live(joining) == [message(3)]


def test_a_client_that_read_further_than_was_announced_gets_nothing_twice(
    hub: Hub, outbox: FakeOutbox
) -> None:
    one = enter(hub, client(outbox, "c1"))
    announce(hub, 1)
    two = enter(hub, client(outbox, "c2"), at=3)
    three = enter(hub, client(outbox, "c3"), at=2)
    announce(hub, 2, 3, 4)
    assert outbox.offsets(one) == [1, 2, 3, 4]
    assert outbox.offsets(two) == [4]
    assert outbox.offsets(three) == [3, 4]


# -- joining --------------------------------------------------------------------------------------


def test_what_is_announced_while_joining_waits(hub: Hub, outbox: FakeOutbox) -> None:
    one = client(outbox)
    hub.begin(one)
    announce(hub, 5, 6)
    one.epoch, one.offset = "e", 6  # the log, read between two announcements
    announce(hub, 7, 8)
    hub.tell("lobby", TYPING)
    assert outbox.told[one.id] == []
    assert hub.live(one) == [message(7), message(8)]
    announce(hub, 9)
    assert outbox.offsets(one) == [9]


def test_a_client_that_joins_does_not_hold_up_the_others(hub: Hub, outbox: FakeOutbox) -> None:
    one, joining = enter(hub, client(outbox, "c1")), client(outbox, "c2")
    hub.begin(joining)
    announce(hub, 1, 2)
    assert outbox.offsets(one) == [1, 2]


def test_too_much_while_joining(
    hub: Hub, outbox: FakeOutbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sioserver.hub.JOIN_BUFFER", 3)
    one = client(outbox)
    hub.begin(one)
    one.epoch = "e"
    announce(hub, 1, 2, 3, 4)
    # a hole, whether more is announced or not
    assert hub.live(one) is None
    announce(hub, 5)
    assert hub.live(one) is None
    assert not hub.is_live(one)
    assert hub.written(one) == 0
    announce(hub, *range(6, 20))
    assert len(one.buffer or ()) <= 3
    # it need not come again: it reads on
    hub.lag(one, 0)
    assert (one.buffer, hub.is_in(one), hub.is_live(one)) == (None, True, False)
    assert outbox.closed == []
    assert hub.remove(one) is True


@pytest.mark.parametrize("first", [False, True])
def test_the_log_begins_anew_behind_what_was_read(
    hub: Hub, outbox: FakeOutbox, first: bool
) -> None:
    """And nothing has been posted in it: the gap alone says so."""
    if not first:
        enter(hub, client(outbox, "c0"), 50, "a")
        announce(hub, 51, epoch="a")
    one = client(outbox)
    hub.begin(one)
    one.epoch, one.offset = "a", 51
    hub.on_gap("lobby", Position("b", 3))
    assert hub.live(one) is None
    hub.lag(one, 51)
    assert catch_up(hub, one, 3, "b") == []
    announce(hub, 4, 5, epoch="b")
    assert outbox.offsets(one) == [4, 5]


def test_a_log_that_began_anew_but_was_not_announced_yet(hub: Hub, outbox: FakeOutbox) -> None:
    enter(hub, client(outbox, "c0"), 50, "a")
    announce(hub, 51, epoch="a")
    one = enter(hub, client(outbox), 2, "b")
    announce(hub, 1, 2, 3, epoch="b")
    assert outbox.offsets(one) == [3]


def test_as_much_as_is_kept(hub: Hub, outbox: FakeOutbox) -> None:
    one = client(outbox)
    hub.begin(one)
    one.epoch = "e"
    announce(hub, *range(1, JOIN_BUFFER + 1))
    assert [said.offset for said in hub.live(one) or []] == list(range(1, JOIN_BUFFER + 1))
    assert outbox.closed == []


# -- telling --------------------------------------------------------------------------------------


def test_tell_all_but_one(hub: Hub, metrics: Metrics) -> None:
    outboxes = [FakeOutbox(), FakeOutbox()]
    everybody = [enter(hub, client(outboxes[n % 2], f"c{n}")) for n in range(4)]
    hub.tell("lobby", TYPING, but=everybody[0])
    told = [outboxes[n % 2].told[who.id] for n, who in enumerate(everybody)]
    assert told == [[], [TYPING], [TYPING], [TYPING]]
    hub.tell("lobby", TYPING)
    assert [len(outboxes[n % 2].told[who.id]) for n, who in enumerate(everybody)] == [1, 2, 2, 2]
    assert metrics.deliveries == 7


def test_nobody_else_is_nobody_to_tell(hub: Hub, outbox: FakeOutbox) -> None:
    one = enter(hub, client(outbox))
    hub.tell("lobby", TYPING, but=one)
    assert outbox.broadcasts == []


def test_presence(hub: Hub, outbox: FakeOutbox) -> None:
    one = enter(hub, client(outbox))
    hub.on_presence("lobby", diff([ANN], [], 1, 1))
    hub.on_presence("elsewhere", diff([ANN], [], 1, 1))
    assert outbox.told[one.id] == [wire.presence_event(diff([ANN], [], 1, 1))]


def test_a_room_without_presence(hub: Hub, outbox: FakeOutbox) -> None:
    one = client(outbox)
    hub.begin(one, presence=False)
    one.epoch = "e"
    hub.live(one)
    hub.on_presence("lobby", diff([ANN], [], 1, 1))
    assert outbox.told[one.id] == []
    announce(hub, 1)
    assert outbox.offsets(one) == [1]


@pytest.mark.parametrize("event", ["message", "presence"])
def test_an_outbox_that_removes_clients_in_the_middle_of_a_broadcast(hub: Hub, event: str) -> None:
    """Nobody else misses anything, and nothing breaks."""

    class Hasty(FakeOutbox):
        def broadcast(self, clients: Collection[Client], event: Event) -> Sequence[Client]:
            if any(who.id in self.slow for who in clients):
                for slow in everybody:
                    if slow.id in self.slow:
                        hub.remove(slow)
            return super().broadcast(clients, event)

    outboxes = [Hasty(), Hasty()]
    everybody = [enter(hub, client(outboxes[n % 2], f"c{n}")) for n in range(8)]
    for outbox in outboxes:
        outbox.slow = {"c0", "c3", "c5", "c7", "c1"}  # all of the second outbox
    for _ in range(2):
        if event == "message":
            announce(hub, hub.written(everybody[2]) + 1)
        else:
            hub.on_presence("lobby", diff([ANN], [], 1, 1))
    assert [len(outboxes[0].told[f"c{n}"]) for n in (2, 4, 6)] == [2, 2, 2]
    assert [hub.knows(who) for who in everybody] == [n in (2, 4, 6) for n in range(8)]
    assert [outbox.behind for outbox in outboxes] == [[], []]


# -- falling behind -------------------------------------------------------------------------------

RELAYED = wire.relayed_event("shout", ["hey"], BEN)


def behind(hub: Hub, outbox: FakeOutbox, id: str = "c1", at: int = 0) -> Client:
    """A client that fell behind with the message after `at`."""
    who = enter(hub, client(outbox, id), at)
    outbox.slow.add(who.id)
    announce(hub, at + 1)
    outbox.slow.discard(who.id)
    return who


def states(hub: Hub, who: Client) -> list[Event]:
    return [event for _, event in hub.states(who)]


def catch_up(hub: Hub, who: Client, to: int, epoch: str = "e") -> list[int]:
    """What an edge does that gives the client the log at once; the offsets of the rest."""
    hub.begin(who)
    hub.handed(who, Position(epoch, to))
    rest = hub.live(who)
    assert rest is not None
    return [said.offset for said in rest]


def test_who_has_no_space_falls_behind(hub: Hub, outbox: FakeOutbox, metrics: Metrics) -> None:
    slow, other = enter(hub, client(outbox, "c1")), enter(hub, client(outbox, "c2"))
    announce(hub, 1)
    outbox.slow.add(slow.id)
    announce(hub, 2)
    assert outbox.behind == [slow]
    assert (hub.knows(slow), hub.is_in(slow), hub.is_live(slow)) == (True, True, False)
    # up to where it was told, whatever is announced now: and that costs nothing
    announce(hub, 3, 4)
    assert [told for told, _ in outbox.broadcasts[2:]] == [[other.id]] * 2
    assert (hub.written(slow), slow.offset, slow.buffer) == (1, 1, None)
    assert outbox.offsets(other) == [1, 2, 3, 4]
    assert outbox.closed == []
    assert (metrics.clients_behind, metrics.catch_ups, metrics.deliveries) == (1, 1, 5)


def test_who_was_behind_is_live_without_a_hole(
    hub: Hub, outbox: FakeOutbox, metrics: Metrics
) -> None:
    slow = behind(hub, outbox)
    announce(hub, 2)
    hub.begin(slow)  # 1 to 3 are read
    announce(hub, 3, 4, 5)
    for offset in (1, 2, 3):
        hub.handed(slow, Position("e", offset))
        assert hub.written(slow) == offset
    assert hub.live(slow) == [message(4), message(5)]
    assert hub.is_live(slow)
    announce(hub, 6)
    assert outbox.offsets(slow) == [6]
    assert (metrics.clients_behind, metrics.catch_ups) == (0, 1)


def test_a_page_that_did_not_reach_the_top(hub: Hub, outbox: FakeOutbox, metrics: Metrics) -> None:
    slow = behind(hub, outbox)
    announce(hub, 2, 3)
    hub.begin(slow)
    announce(hub, 4)
    hub.handed(slow, Position("e", 1))
    assert hub.live(slow) is None
    assert slow.buffer == [message(4)]
    hub.lag(slow, 1)
    announce(hub, 5)
    assert (slow.buffer, hub.written(slow), metrics.clients_behind) == (None, 1, 1)
    assert catch_up(hub, slow, 5) == []
    assert metrics.clients_behind == 0


def test_too_much_while_the_end_is_read(
    hub: Hub, outbox: FakeOutbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sioserver.hub.JOIN_BUFFER", 2)
    slow = behind(hub, outbox)
    hub.begin(slow)
    announce(hub, 2, 3, 4)
    hub.handed(slow, Position("e", 1))
    assert hub.live(slow) is None
    assert len(slow.buffer or ()) <= 2
    hub.lag(slow, 1)
    assert catch_up(hub, slow, 4) == []


def test_of_what_is_latest_the_newest_is_kept_for_who_is_behind(
    hub: Hub, outbox: FakeOutbox, metrics: Metrics
) -> None:
    slow, other = behind(hub, outbox), enter(hub, client(outbox, "c2"), at=1)
    cursors = [wire.relayed_event("cursor", [at], BEN, latest=True) for at in range(9)]
    for cursor in cursors:
        hub.tell("lobby", cursor)
    hub.tell("lobby", RELAYED)
    assert outbox.told[other.id] == [*cursors, RELAYED]
    assert states(hub, slow) == [cursors[-1]]
    assert (metrics.dropped["coalesced"], metrics.dropped["slow"]) == (8, 1)
    # who has no space for one falls behind, or would never be told where the cursor came to rest
    outbox.slow.add(other.id)
    hub.tell("lobby", cursors[0])
    assert outbox.behind == [slow, other]
    assert states(hub, other) == [cursors[0]]


def test_states_kept_for_others_who_are_no_longer_behind_are_old(
    hub: Hub, outbox: FakeOutbox
) -> None:
    other = behind(hub, outbox, "c2")
    one = client(outbox)
    hub.begin(one)
    one.epoch, one.offset = "e", 1
    hub.tell("lobby", TYPING)
    assert catch_up(hub, other, 1) == []
    hub.tell("lobby", wire.typing_event(BEN, on=False))  # kept for nobody
    assert hub.live(one) == []
    hub.lag(one, 1)
    assert states(hub, one) == []
    hub.tell("lobby", TYPING)
    assert states(hub, one) == [TYPING]


def test_behind_from_the_join_on(hub: Hub, outbox: FakeOutbox, metrics: Metrics) -> None:
    one = client(outbox)
    hub.begin(one)
    one.epoch = "e"
    announce(hub, 5)
    hub.lag(one, 2)
    announce(hub, 6)
    assert (hub.is_in(one), hub.is_live(one), hub.written(one), one.buffer) == (
        True,
        False,
        2,
        None,
    )
    assert catch_up(hub, one, 6) == []
    # it was never live: that is a long replay, and no switch
    assert (metrics.clients_behind, metrics.catch_ups) == (0, 0)


@pytest.mark.parametrize("reading", [False, True])
def test_who_is_behind_can_go(
    hub: Hub, outbox: FakeOutbox, metrics: Metrics, reading: bool
) -> None:
    slow = behind(hub, outbox, at=4)
    if reading:
        hub.begin(slow)
    assert hub.devices("lobby", slow.user.id) == [slow]
    assert hub.remove(slow) is True
    assert (hub.knows(slow), hub.is_in(slow), hub.written(slow)) == (False, False, 4)
    assert (len(hub), metrics.clients_behind) == (0, 0)
    assert hub.remove(slow) is False


def test_who_falls_behind_with_a_gap(hub: Hub, outbox: FakeOutbox) -> None:
    slow, other = enter(hub, client(outbox, "c1")), enter(hub, client(outbox, "c2"))
    announce(hub, 1, 2)
    outbox.slow.add(slow.id)
    hub.on_gap("lobby", Position("e", 5))
    assert hub.written(slow) == 2
    assert gaps(outbox, other) == [(3, 5, "e.5")]


@pytest.mark.parametrize("how", ["message", "gap"])
def test_who_falls_behind_with_a_log_that_begins_anew(
    hub: Hub, outbox: FakeOutbox, how: str
) -> None:
    """It still has to be told: it stays in the old log, of which nothing can be proven now."""
    slow, other = enter(hub, client(outbox, "c1"), 7), enter(hub, client(outbox, "c2"), 7)
    announce(hub, 8)
    slow.proven = 5
    outbox.slow.add(slow.id)
    if how == "message":
        announce(hub, 3, epoch="f")
    else:
        hub.on_gap("lobby", Position("f", 2))
        announce(hub, 3, epoch="f")
    assert (slow.epoch, hub.written(slow)) == ("e", 0)
    assert outbox.offsets(other) == [8, 3]
    outbox.slow.clear()
    hub.begin(slow)
    hub.handed(slow, Position("f", 2))  # the gap
    assert (slow.epoch, slow.proven, hub.written(slow)) == ("f", 0, 2)
    hub.handed(slow, Position("f", 3))
    assert hub.live(slow) == []
    announce(hub, 4, epoch="f")
    assert outbox.offsets(slow)[-1] == 4


# -- what is ephemeral, for a slow client ---------------------------------------------------------


def test_news_are_dropped_for_who_has_no_space(
    hub: Hub, outbox: FakeOutbox, metrics: Metrics
) -> None:
    slow, other = enter(hub, client(outbox, "c1")), enter(hub, client(outbox, "c2"))
    outbox.slow.add(slow.id)
    hub.tell("lobby", RELAYED)
    assert (outbox.behind, metrics.dropped["slow"]) == ([], 1)
    announce(hub, 1)
    hub.tell("lobby", RELAYED)  # now it is behind
    hub.tell("lobby", RELAYED, but=slow)
    hub.tell("lobby", RELAYED, but=other)
    assert metrics.dropped["slow"] == 3
    assert states(hub, slow) == []
    assert outbox.names(other) == ["shout", "message", "shout", "shout"]


def test_of_a_state_the_newest_is_told_later(
    hub: Hub, outbox: FakeOutbox, metrics: Metrics
) -> None:
    slow, other = enter(hub, client(outbox, "c1")), enter(hub, client(outbox, "c2"))
    hub.on_presence("lobby", diff([ANN], [], 1, 1))
    outbox.slow.add(slow.id)
    hub.on_presence("lobby", diff([BEN], [], 2, 2))
    assert outbox.behind == [slow]  # nothing durable is missing, but the counts
    hub.tell("lobby", wire.typing_event(BEN, on=True))
    hub.tell("lobby", wire.read_event(BEN, 1))
    hub.tell("lobby", wire.read_event(ANN, 1), but=slow)  # its own
    hub.on_presence("lobby", diff([], [BEN], 1, 2))
    hub.tell("lobby", wire.typing_event(BEN, on=False))
    assert states(hub, slow) == [
        wire.read_event(BEN, 1),
        wire.presence_event(diff([], [], 1, 2)),
        wire.typing_event(BEN, on=False),
    ]
    assert metrics.dropped["coalesced"] == 2
    assert metrics.dropped["slow"] == 0
    assert states(hub, other) == []
    assert catch_up(hub, slow, 0) == []
    assert states(hub, slow) == []


def test_who_fell_behind_later_is_told_what_it_missed_only(hub: Hub, outbox: FakeOutbox) -> None:
    first, second = enter(hub, client(outbox, "c1")), enter(hub, client(outbox, "c2"))
    outbox.slow.add(first.id)
    announce(hub, 1)
    hub.tell("lobby", wire.typing_event(BEN, on=True))
    outbox.slow.add(second.id)
    announce(hub, 2)
    hub.tell("lobby", wire.read_event(BEN, 2))
    assert [event.name for event in states(hub, first)] == ["typing", "read"]
    assert [event.name for event in states(hub, second)] == ["read"]
    # and what nobody needs any more is forgotten
    hub.remove(first)
    outbox.slow.clear()
    catch_up(hub, second, 2)
    third = behind(hub, outbox, "c3", at=2)
    assert states(hub, third) == []


def test_states_are_bounded_and_the_counts_stay(
    hub: Hub, outbox: FakeOutbox, metrics: Metrics
) -> None:
    slow = behind(hub, outbox)
    hub.on_presence("lobby", diff([], [], 9, 9))
    for number in range(2 * STATES):
        hub.tell("lobby", wire.typing_event(User(f"u{number}", "U"), on=True))
    told = states(hub, slow)
    assert len(told) == STATES
    assert told[0] == wire.presence_event(diff([], [], 9, 9))
    assert told[-1].payload["user"] == f"u{2 * STATES - 1}"
    assert metrics.dropped["slow"] == STATES + 1


# -- what was written -----------------------------------------------------------------------------


def test_written_is_what_was_handed_out(hub: Hub, outbox: FakeOutbox) -> None:
    one = client(outbox)
    assert hub.written(one) == 0
    hub.begin(one)
    one.epoch, one.offset = "e", 3
    announce(hub, 4)
    assert hub.written(one) == 0  # nobody knows yet how much of it
    hub.live(one)
    assert hub.written(one) == 4
    announce(hub, 5)
    assert hub.written(one) == 5


def test_written_stays_when_the_client_goes(hub: Hub, outbox: FakeOutbox) -> None:
    one, other = enter(hub, client(outbox, "c1"), at=2), enter(hub, client(outbox, "c2"), at=2)
    announce(hub, 3)
    hub.remove(one)
    announce(hub, 4)
    assert (hub.written(one), hub.written(other)) == (3, 4)
    hub.remove(other)
    assert (hub.written(one), hub.written(other)) == (3, 4)


def test_nothing_was_written_to_who_left_while_joining(hub: Hub, outbox: FakeOutbox) -> None:
    one = client(outbox)
    hub.begin(one)
    one.epoch, one.offset = "e", 3
    hub.remove(one)
    assert hub.written(one) == 0


def test_written_does_not_fall_behind_what_was_read(hub: Hub, outbox: FakeOutbox) -> None:
    enter(hub, client(outbox, "c1"))
    announce(hub, 1)
    ahead = enter(hub, client(outbox, "c2"), at=3)
    assert hub.written(ahead) == 3
    announce(hub, 2)
    assert hub.written(ahead) == 3


# -- a log that begins anew -----------------------------------------------------------------------


def test_who_is_live_is_told_of_the_gap(hub: Hub, outbox: FakeOutbox) -> None:
    one = enter(hub, client(outbox), at=7)
    announce(hub, 8)
    one.proven = 8
    announce(hub, 3, 4, epoch="f")
    assert [str(event.position) for event in outbox.told[one.id]] == ["e.8", "f.2", "f.3", "f.4"]
    gap = outbox.told[one.id][1]
    assert (gap.name, gap.payload) == ("gap", {"from": 0, "to": 2})
    assert (hub.written(one), one.proven) == (4, 0)


def test_who_has_read_the_new_log_is_not(hub: Hub, outbox: FakeOutbox) -> None:
    one = enter(hub, client(outbox, "c1"), at=7)
    announce(hub, 8)
    two = enter(hub, client(outbox, "c2"), at=2, epoch="f")
    assert hub.written(two) == 2
    announce(hub, 1, 2, 3, epoch="f")
    assert outbox.names(one) == ["message", "gap", "message", "message", "message"]
    assert outbox.offsets(two) == [3]


def test_nothing_was_announced_of_the_log_that_they_were_given(
    hub: Hub, outbox: FakeOutbox
) -> None:
    one = enter(hub, client(outbox), at=7)
    announce(hub, 1, epoch="f")
    assert [str(event.position) for event in outbox.told[one.id]] == ["f.0", "f.1"]


@pytest.mark.parametrize("more", [0, 3, 5])
def test_a_join_on_the_old_log_has_to_come_again(
    hub: Hub, outbox: FakeOutbox, monkeypatch: pytest.MonkeyPatch, more: int
) -> None:
    monkeypatch.setattr("sioserver.hub.JOIN_BUFFER", 3)
    one = client(outbox)
    hub.begin(one)
    one.epoch, one.offset = "e", 7
    announce(hub, 8)
    announce(hub, *range(1, 2 + more), epoch="f")
    assert hub.live(one) is None
    assert outbox.told[one.id] == []


def test_a_join_on_the_new_log_waits_for_the_rest_of_it(hub: Hub, outbox: FakeOutbox) -> None:
    one = client(outbox)
    hub.begin(one)
    announce(hub, 8, 9)
    announce(hub, 1, 2, epoch="f")
    one.epoch, one.offset = "f", 1
    assert hub.live(one) == [message(2)]
    announce(hub, 3, epoch="f")
    assert outbox.offsets(one) == [3]


# -- a log with a hole ----------------------------------------------------------------------------


def gaps(outbox: FakeOutbox, who: Client) -> list[tuple[int, int, str]]:
    return [
        (event.payload["from"], event.payload["to"], str(event.position))
        for event in outbox.told[who.id]
        if event.name == "gap"
    ]


def test_what_will_not_be_announced_is_a_gap(hub: Hub, outbox: FakeOutbox) -> None:
    one = enter(hub, client(outbox, "c1"))
    ahead = enter(hub, client(outbox, "c2"), at=4)
    announce(hub, 1, 2)
    hub.on_gap("lobby", Position("e", 4))
    announce(hub, 3, 4, 5)
    assert outbox.names(one) == ["message", "message", "gap", "message"]
    assert gaps(outbox, one) == [(3, 4, "e.4")]
    assert outbox.names(ahead) == ["message"]
    assert hub.written(one) == hub.written(ahead) == 5


def test_a_gap_before_anything_was_announced(hub: Hub, outbox: FakeOutbox) -> None:
    one, two = enter(hub, client(outbox, "c1"), at=5), enter(hub, client(outbox, "c2"), at=6)
    hub.on_gap("lobby", Position("e", 8))
    announce(hub, 9)
    assert gaps(outbox, one) == [(6, 8, "e.8")]
    assert gaps(outbox, two) == [(7, 8, "e.8")]
    assert outbox.names(one) == ["gap", "message"]


def test_a_gap_that_is_known_is_no_news(hub: Hub, outbox: FakeOutbox) -> None:
    one = enter(hub, client(outbox))
    announce(hub, 1, 2)
    hub.on_gap("lobby", Position("e", 2))
    hub.on_gap("elsewhere", Position("e", 2))
    assert gaps(outbox, one) == []


def test_a_lost_log_is_a_gap_at_once(hub: Hub, outbox: FakeOutbox) -> None:
    one = enter(hub, client(outbox))
    announce(hub, 1, 2)
    hub.on_gap("lobby", Position("f", 7))
    announce(hub, 8, epoch="f")
    assert gaps(outbox, one) == [(0, 7, "f.7")]
    assert hub.written(one) == 8


def test_a_client_that_joins_over_a_gap_comes_again(hub: Hub, outbox: FakeOutbox) -> None:
    one, late = client(outbox, "c1"), client(outbox, "c2")
    hub.begin(one)
    one.epoch, one.offset = "e", 2
    announce(hub, 1, 2)
    hub.on_gap("lobby", Position("e", 4))
    announce(hub, 5)
    assert hub.live(one) is None
    hub.begin(late)
    late.epoch, late.offset = "e", 4
    assert hub.live(late) is None  # 5 came before it was registered
    late.offset = 5
    assert hub.live(late) == []


# -- other nodes ----------------------------------------------------------------------------------


def test_what_another_node_passes_on_reaches_everybody(hub: Hub, outbox: FakeOutbox) -> None:
    one = enter(hub, client(outbox))
    hub.on_event("lobby", TYPING, "1")
    hub.on_event("elsewhere", TYPING, "1")
    hub.on_event("lobby", TYPING, "2")  # the same user on a third node
    hub.on_event("lobby", wire.typing_event(BEN, on=False), "1")
    hub.on_event("lobby", RELAYED, "1")
    assert outbox.told[one.id] == [TYPING, RELAYED]
    hub.on_event("lobby", wire.typing_event(BEN, on=False), "2")
    assert outbox.names(one) == ["typing", "shout", "typing"]


def test_who_left_elsewhere_is_ended_here(hub: Hub, outbox: FakeOutbox) -> None:
    one, two = (
        enter(hub, client(outbox, "c1", user=ANN)),
        enter(hub, client(outbox, "c2", user=BEN)),
    )
    joining = client(outbox, "c3", user=ANN)
    hub.begin(joining)
    hub.on_left("lobby", "ann")
    hub.on_left("elsewhere", "ben")
    assert outbox.closed == [(one, "left"), (joining, "left")]
    assert two not in [who for who, _ in outbox.closed]


# -- sessions -------------------------------------------------------------------------------------


def test_nobody_falls_behind_in_a_room_without_a_log(
    hub: Hub, outbox: FakeOutbox, metrics: Metrics
) -> None:
    """There is nothing from which it could catch up."""
    phone, page = (client(outbox, id, ANN, "@me:ann") for id in ("phone", "page"))
    for device in (phone, page):
        hub.begin(device, presence=False)
        assert hub.live(device) == []
    outbox.slow = {"phone"}
    hub.tell("@me:ann", TYPING)
    assert (outbox.told["page"], outbox.behind) == ([TYPING], [])
    assert metrics.dropped["slow"] == 1
    outbox.slow.clear()
    hub.tell("@me:ann", TYPING)
    assert outbox.told["phone"] == [TYPING]
