"""The contract of an engine: what is shared between the nodes and outlives them.

Both engines pass the same test-suite (tests/engine/test_contract.py). The contract is written
here, in the docstrings; an implementation points here. Nothing in an engine knows who is
connected to this node (that is the hub) or how anything looks on a wire.

Every method raises `Refusal("unavailable")` when the engine cannot do it now; then nothing was
done, or it will turn out to have been done when the same call is made again.
Times are arguments: `now` is seconds since 1970.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from sioserver.engine.base_directory import Directory
from sioserver.engine.base_mentions import Mentions
from sioserver.engine.base_moderation import Moderation, ModerationListener
from sioserver.engine.base_search import Search
from sioserver.engine.base_seen import Seen
from sioserver.engine.base_tokens import Tokens, TokensListener
from sioserver.engine.base_webhooks import Webhooks
from sioserver.errors import Refusal
from sioserver.model import (
    Counts,
    Draft,
    Event,
    Membership,
    Message,
    Operation,
    Page,
    Peer,
    Position,
    PresenceDiff,
    Published,
    Standing,
    State,
    User,
)

SEARCHED: Final = 1000
"""The newest entries of a log, among which a message is looked for that is named by its id."""

MAX_EMOJI: Final = 50
"""Different emoji on one message."""


class Retention(Protocol):
    """How much of a room's log is kept. Limits are reached lazily, never undercut."""

    @property
    def history_length(self) -> int:
        """Entries kept at the least (when there were that many), operations too; 0 keeps none."""

    @property
    def history_age(self) -> float:
        """Seconds after which an entry may be dropped; 0 means never because of its age."""


class Quota(Protocol):
    """How much of people and rooms the store takes; 0 is no limit. Who is a member stays one,
    whatever becomes of the limits. A limit may be exceeded by those who join at the same moment."""

    @property
    def rooms(self) -> int:
        """Rooms in which something is kept: a member, or that there was a message. (Where many
        nodes share a store they are estimated, to a few percent.)"""

    @property
    def rooms_per_user(self) -> int:
        """Rooms that a user is a member of."""

    @property
    def members_per_room(self) -> int:
        """Members of a room."""


class Unlimited:
    """No limit to anything."""

    rooms = 0
    rooms_per_user = 0
    members_per_room = 0


UNLIMITED: Final[Quota] = Unlimited()


class EngineListener(ModerationListener, TokensListener, Protocol):
    """What an engine calls (satisfied by the hub). Calls come on the event loop; they must not
    block."""

    def on_message(self, room: str, epoch: str, message: Message) -> None:
        """A message was published, or something was done to one (`message.kind`). Called for one
        room in the order of the offsets, without holes from the moment the room was watched (but
        see `on_gap`); never before the entry is as durable as the engine makes it. May come before
        `publish` or `operate` returns to whoever called it. What was missed and is announced late
        is announced as `history` would show it."""

    def on_gap(self, room: str, after: Position) -> None:
        """What was not announced of a watched room, up to and including `after`, never will be: it
        is no longer kept, or (when the epoch is another than before) the log was lost. The
        announcements go on behind it."""

    def on_presence(self, room: str, diff: PresenceDiff) -> None:
        """People came to a watched room or left it, all of the batch at once; `counts` are those
        after it."""

    def on_event(self, room: str, event: Event, node: str) -> None:
        """Another `node` passed an ephemeral event to the clients of a watched room."""

    def on_left(self, room: str, user_id: str) -> None:
        """Through another node a user left a watched room for good: end their clients here."""


class Log(Protocol):
    """Rooms' messages, and what was done to them.

    Every entry has an offset of its own. The entry of an operation also changes its message, in the
    same atomic step: whoever reads that from then on reads it as it is now. What it said before is
    kept nowhere.
    """

    async def publish(self, room: str, draft: Draft, keep: Retention) -> Published:
        """Number, store and announce a draft in one atomic step. A body that cannot be stored is a
        `Refusal("bad_request")`.

        Dedup: a draft with `resendable` and the same (room, user, id) as an earlier one within the
        dedup window is not published again; the result of the first time is returned with
        `duplicate=True`, also while the first is still under way. When this returns, the message
        is stored; when it raises, it is not and never will be, unless it is published again (or the
        store had it and was cut off before it could say so: sending it again tells).
        A draft with a `pause` is refused (`rate_limited`, by the limit "slow_mode"; `retry_after`
        is what is left) as long as the user's last draft with one is not so old, by the store's own
        clock where many nodes share it. Not one that is a duplicate; and a draft without a pause
        neither waits nor makes others wait. A store that begins anew may have forgotten.
        Offsets start at 1 and have no holes in an epoch. Drafts and operations of one caller, made
        one after another without waiting, keep their order.
        """

    async def operate(self, room: str, operation: Operation, keep: Retention) -> Published:
        """Do something to a message: number, store and announce an entry, and change the message,
        in one atomic step. Refused, in this order:

        `bad_request`: the body cannot be stored; or the message is named by its id alone, and
        several of the `SEARCHED` newest entries are messages of that id. `not_found`: the log holds
        no message of this offset (and id), or its newest entries none of this id. `forbidden`:
        somebody else posted it, and it is `author_only`. `not_found`: it was deleted, and is to be
        edited or reacted to. `too_many` (by the limit "reactions"): it has `most` reactions, or
        `MAX_EMOJI` different ones and this is another.

        Where the message is as it should be (deleted; with that body; with the user's reaction, or
        without) nothing is stored nor announced: `duplicate=True` with the position of the newest
        entry about the message, itself or an operation on it; `at` is the operation's. So an
        operation of which it is not known whether it was done is made again without harm.
        """

    async def history(
        self,
        room: str,
        *,
        after: int | None = None,
        before: int | None = None,
        limit: int,
        ops: bool = False,
    ) -> Page:
        """Read a page, ascending: the `limit` oldest messages with `offset > after`, or the
        `limit` newest with `offset < before`, or (neither) the newest. With both, the oldest of the
        stretch between. `limit=0` reads no message but tells `first` and `top`. With `ops` it is
        entries of every kind, each of which counts.

        Without `ops` operations are passed over: many of them at once may end a page early, even
        before there is a message on it; `Page.start` and `Page.end` say where to read on. A page
        that was not ended early reaches to the end of what was asked for, or to its last message
        if it has `limit` of them.
        """

    async def trim(self, room: str, keep: Retention, now: float) -> None:
        """Apply the rule to the room now, and from now on with each tidy round while the room is
        watched or cached; called when the first local client comes. Afterwards `history` answers
        with nothing that is too old, or too much, now, even when it cannot be deleted yet; what
        cannot be done now is done with a tidy round. Never fails."""


class Members(Protocol):
    """Who belongs to a room, and how far each has got. Durable."""

    async def join(self, room: str, user: User, quota: Quota = UNLIMITED) -> Membership:
        """Make the user a member (a guest is not kept) and return what is known of them. Joining
        again changes nothing but the name. A new member's cursor and read position are the top; a
        guest's always are, and so is `joined`.

        Raises `Refusal("too_many")`, with the name of the limit, for a new member whom the quota
        does not let in, and for a guest in a room that is not known when there are too many."""

    async def leave(self, room: str, user_id: str) -> None:
        """Leave for good: the membership and its cursors are forgotten. The other nodes that watch
        the room are told."""

    def advance(self, room: str, user_id: str, offset: int) -> None:
        """The user has provably received everything up to `offset`. Monotonic: a smaller offset
        changes nothing, and nothing lies beyond the top. Stored soon, not at once: after a crash
        the cursor may be older, never newer. Never fails; unknown members are ignored."""

    async def read(self, room: str, user_id: str, offset: int) -> Standing:
        """Move the read position (monotonic, at most the top; also a proof of delivery). Of
        somebody who is not a member nothing is kept; the answer is a guest's, as from `join`."""

    async def members(self, room: str, *, limit: int) -> list[User]:
        """The members, by name, at most `limit`."""

    async def names(self, wanted: Mapping[str, str]) -> Mapping[str, str]:
        """Room -> the name with which this user of it was there last; rooms without that member
        are left out. O(1) for each."""

    async def rooms_of(self, user_id: str, *, limit: int) -> Mapping[str, Standing]:
        """The rooms the user is a member of, by name. O(1) for each."""


class Presence(Protocol):
    """Who is online, by user; a user's devices are counted. Not durable.

    `Counts.total` is the stored members and the guests who count as online.
    """

    async def enter(self, room: str, user: User, client: str) -> Counts:
        """A client came. The user's first device is announced as joined with the next sweep."""

    async def exit(self, room: str, user_id: str, client: str, now: float) -> None:
        """A client went. When it was the user's last, the leave falls due after the grace time;
        until then the user counts as online, and coming back makes no noise. Unknown clients are
        ignored. Never fails."""

    def rest(self, room: str, user_id: str, client: str, resting: bool) -> None:
        """A client that is here is not used any more, or is again (as who comes is). A user all of
        whose clients in the room rest, on all nodes, is away: told with the next sweep, when that
        is another state than was told last. Who is within the grace time is what they were. Unknown
        clients are ignored. Never fails."""

    async def states(self, room: str, user_ids: Sequence[str]) -> Mapping[str, State]:
        """What those of these users are who are in the room; told or not."""

    async def online(self, room: str, *, limit: int) -> list[User]:
        """Users online or away, by name, at most `limit`."""

    async def counts(self, room: str) -> Counts:
        """O(1)."""

    async def sweep(self, now: float) -> None:
        """Announce what is due: joins and changes of states since the last sweep, leaves whose
        grace is over."""


class Nodes(Protocol):
    """Who else serves clients. An engine for one node knows nobody, and has nothing to do here."""

    def tell(self, room: str, event: Event) -> None:
        """Pass an ephemeral event to the other nodes that watch (or `listen` to) the room: at most
        once, in no order with the messages, and not at all while they cannot be reached. Of what is
        `latest`, one may be left out that a newer one has overtaken. Never fails."""

    def listen(self, room: str) -> None:
        """Pass on from now on what other nodes `tell` in this room, which has no log (a user's
        sessions): as in a watched one, but nothing is asked of the store."""

    def unlisten(self, room: str) -> None:
        """No more."""

    async def peer(self, node: str) -> Peer | None:
        """The node of this id, if it is alive, and is not this one. Costs next to nothing also for
        ids that somebody made up."""

    def peers(self) -> Mapping[str, Peer]:
        """The other nodes that were alive when this one last looked, by id."""


class Engine(Log, Members, Presence, Nodes, Protocol):
    """Everything that is shared."""

    @property
    def directory(self) -> Directory:
        """Which rooms are listed."""

    @property
    def mentions(self) -> Mentions:
        """Which messages name a user."""

    @property
    def seen(self) -> Seen:
        """When users were here last."""

    @property
    def moderation(self) -> Moderation:
        """What moderators decided."""

    @property
    def search(self) -> Search:
        """Searching in the logs."""

    @property
    def tokens(self) -> Tokens:
        """Which tokens are refused."""

    @property
    def webhooks(self) -> Webhooks | None:
        """What webhooks need; None when none is configured."""

    async def start(self, listener: EngineListener) -> None:
        """Open the store and begin to announce; raises `StoreError` with what to do about it. From
        now on the other nodes find this one."""

    async def stop(self) -> None:
        """Finish what was accepted, write everything down, let go. Safe to call twice."""

    async def secret(self, name: str) -> bytes:
        """32 random bytes, made on first use and the same ever after, on every node. Durable."""

    def watch(self, room: str) -> None:
        """This node has to do with the room from now on (somebody is in it or in front of it, or
        follows it): announce it. Again without harm."""

    def unwatch(self, room: str) -> None:
        """Nobody here has to do with the room any more."""

    def ready(self) -> str | None:
        """None when publishing works as far as is known; else the reason, for `/readyz`."""

    def stats(self) -> Mapping[str, float]:
        """Gauges and counters for `/metrics`, by name."""


class StoreError(Exception):
    """The store cannot be opened. The message says why and what to do; no file was changed."""


_FULL: Final = {
    "rooms": "no more rooms can be made here; join one that there is",
    "rooms_per_user": "you are a member of too many rooms; leave one first",
    "members_per_room": "this room has too many members",
}


def too_many(limit: str) -> Refusal:
    """What somebody is told whom a quota does not let in; `limit`: which of its limits."""
    return Refusal("too_many", _FULL[limit], limit=limit)


def too_soon(wait: float) -> Refusal:
    """What a draft is told that comes before its pause is over, `wait` seconds too early."""
    return Refusal(
        "rate_limited",
        "this room is in slow mode; wait before you post again",
        retry_after=wait,
        limit="slow_mode",
    )


def not_found() -> Refusal:
    """What an operation is told whose message is not there (any more)."""
    return Refusal("not_found", "there is no such message here (any more)")


def ambiguous() -> Refusal:
    """What an operation is told that names more than one message."""
    return Refusal("bad_request", "several messages have this id: name it by its offset")


def not_theirs() -> Refusal:
    """What an operation is told on a message of somebody else."""
    return Refusal("forbidden", "this message is somebody else's")


def too_many_reactions() -> Refusal:
    """What a reaction is told for which there is no space."""
    full = Refusal("too_many", "this message has too many reactions", limit="reactions")
    full.temporary = False  # to try again is no use: it takes somebody who takes one back
    return full
