"""Hooks: functions of whoever embeds the server, asked before something happens or told after it.

`Hooks` is what they fill; `HookCalls` is how `RoomService` calls them: with patience, counted, and
with no way for a failure to get further than the one request. Neither knows a wire or a store.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import msgspec

from sioserver import wire
from sioserver.errors import Refusal
from sioserver.metrics import Metrics
from sioserver.model import Act, User
from sioserver.wire.strict import check_plain

log = logging.getLogger(__name__)

RETRY_AFTER: Final = 1.0
"""Seconds after which who was refused because a hook took too long may try again."""

TELLERS: Final = 32
"""Calls of `on_leave` at a time: 10 000 clients may leave in one moment."""
MOST_WAITING: Final = 100_000
"""Calls that wait for one of those; past that they are not made, and counted as dropped."""


class Joining(msgspec.Struct, frozen=True):
    """A client is about to join a room, or somebody without a connection to ask for something
    there by the HTTP API."""

    room: str
    user: User
    client: str
    """The connection's name within the server; a user may have several in a room. Empty: there is
    no connection."""


class Posting(msgspec.Struct, frozen=True):
    """A message is about to be posted."""

    room: str
    user: User
    client: str
    """See `Joining`."""
    id: str
    """The client's own, or one that was made up for it."""
    body: Any

    def with_body(self, body: Any) -> Posting:
        """The same with another body: what a hook returns to change the message."""
        return msgspec.structs.replace(self, body=body)


class Editing(msgspec.Struct, frozen=True):
    """A message is about to be edited. It may turn out that there is no such message, or that it is
    somebody else's; so with the next two."""

    room: str
    user: User
    """Who is about to do it."""
    client: str
    offset: int | None
    """The message is named by its offset, its id or both."""
    id: str | None
    body: Any
    """What it is to say from now on."""

    def with_body(self, body: Any) -> Editing:
        """The same with another body: what a hook returns to change it."""
        return msgspec.structs.replace(self, body=body)


class Deleting(msgspec.Struct, frozen=True):
    """A message is about to be deleted."""

    room: str
    user: User
    client: str
    offset: int | None
    id: str | None


class Reacting(msgspec.Struct, frozen=True):
    """A reaction is about to be put to a message, or taken back."""

    room: str
    user: User
    client: str
    offset: int | None
    id: str | None
    emoji: str
    on: bool


class Moderating(msgspec.Struct, frozen=True):
    """A moderator, or an operator, is about to do something."""

    room: str
    """`sioserver.model.EVERYWHERE` for what holds in all rooms."""
    act: Act
    """What, by whom, to whom, until when and why; or which settings."""


class Left(msgspec.Struct, frozen=True):
    """A client that had joined a room is no longer there."""

    room: str
    user: User
    client: str


Joins = TypeVar("Joins", bound=Callable[[Joining], Awaitable[None] | None])
Posts = TypeVar("Posts", bound=Callable[[Posting], Awaitable[Posting | None] | Posting | None])
Edits = TypeVar("Edits", bound=Callable[[Editing], Awaitable[Editing | None] | Editing | None])
Deletes = TypeVar("Deletes", bound=Callable[[Deleting], Awaitable[None] | None])
Reacts = TypeVar("Reacts", bound=Callable[[Reacting], Awaitable[None] | None])
Acts = TypeVar("Acts", bound=Callable[[Moderating], Awaitable[None] | None])
Leaves = TypeVar("Leaves", bound=Callable[[Left], Awaitable[None] | None])

F = TypeVar("F", bound=Callable[..., Any])
Written = TypeVar("Written", Posting, Editing)
Event = TypeVar("Event", Joining, Posting, Editing, Deleting, Reacting, Moderating, Left)


class Hooks:
    """The functions of an embedder, for `create_app(hooks=...)`; each method is a decorator.

    Functions may be `def` or `async def`. Several of a kind are called in the order in which they
    were added, and a function may be added at any time. Those that are asked refuse by raising
    `sioserver.Refusal`: the client gets its code and message. One that raises anything else, or
    takes longer than `hooks.timeout`, refuses too (`internal`, `unavailable`).
    """

    def __init__(self) -> None:
        self.functions: dict[str, list[Callable[[Any], Any]]] = {
            "join": [],
            "message": [],
            "edit": [],
            "delete": [],
            "react": [],
            "moderation": [],
            "leave": [],
        }

    def on_join(self, function: Joins) -> Joins:
        """Asked for each client that may join by the rules, on its own node, before it is a member,
        counts as online or is told anything. It may still fail to get in, for another reason. Asked
        as well for each request to the HTTP API by somebody who is no operator, and for each text
        that somebody says before a login to a plain WebSocket."""
        return self._add("join", function)

    def on_message(self, function: Posts) -> Posts:
        """Asked for each message that may be posted by the rules and limits, before it is stored;
        on the sender's node. Returns None, or what is to be posted instead: `posting.with_body()`.
        One that is sent again is asked about again, though it may have been posted before. Asked
        as well for texts before a login, which are stored nowhere and stay texts."""
        return self._add("message", function)

    def on_edit(self, function: Edits) -> Edits:
        """Asked before a message is edited; like `on_message`, also in what it may return."""
        return self._add("edit", function)

    def on_delete(self, function: Deletes) -> Deletes:
        """Asked before a message is deleted."""
        return self._add("delete", function)

    def on_react(self, function: Reacts) -> Reacts:
        """Asked before a reaction is put to a message, or taken back."""
        return self._add("react", function)

    def on_moderation(self, function: Acts) -> Acts:
        """Asked for each act of somebody who may moderate by the rules (a kick, mute, ban, what
        lifts them, other settings of a room), before it is done; on the node that was told to."""
        return self._add("moderation", function)

    def on_leave(self, function: Leaves) -> Leaves:
        """Told of each client that had joined and has gone, on its own node, soon after; not when
        the node dies. Nobody waits for it."""
        return self._add("leave", function)

    def _add(self, hook: str, function: F) -> F:
        if not callable(function):
            raise TypeError(f"on_{hook} expects a function, not {function!r}")
        self.functions[hook].append(function)
        return function


class HookCalls:
    """Calls an embedder's hooks on this node."""

    def __init__(
        self,
        hooks: Hooks,
        metrics: Metrics,
        timeout: float,
        timer: Callable[[], float] = time.perf_counter,
    ) -> None:
        """`timeout`: seconds that a function may take. `timer`: seconds, for the metrics."""
        self._functions = hooks.functions
        self._metrics = metrics
        self._timeout = timeout
        self._timer = timer
        self._waiting: deque[tuple[str, Any]] = deque()
        self._tellers: set[asyncio.Task[None]] = set()
        self._calls: set[asyncio.Future[Any]] = set()
        self._stopping = False

    # ------------------------------------------------------------ asking

    async def joining(self, room: str, user: User, client: str) -> None:
        """See `Hooks.on_join`. Raises `Refusal`."""
        if self._functions["join"]:
            await self._ask("join", Joining(room, user, client))

    async def moderating(self, room: str, act: Act) -> None:
        """See `Hooks.on_moderation`. Raises `Refusal`."""
        if self._functions["moderation"]:
            await self._ask("moderation", Moderating(room, act))

    async def posting(self, posting: Posting, most: int) -> Any:
        """See `Hooks.on_message`. Returns the body to be posted, which has at most `most` bytes.
        Raises `Refusal`."""
        return await self._with_body("message", posting, most)

    async def editing(self, editing: Editing, most: int) -> Any:
        """See `Hooks.on_edit`. As `posting`."""
        return await self._with_body("edit", editing, most)

    async def deleting(self, deleting: Deleting) -> None:
        """See `Hooks.on_delete`. Raises `Refusal`."""
        if self._functions["delete"]:
            await self._ask("delete", deleting)

    async def reacting(self, reacting: Reacting) -> None:
        """See `Hooks.on_react`. Raises `Refusal`."""
        if self._functions["react"]:
            await self._ask("react", reacting)

    async def _with_body(self, hook: str, event: Written, most: int) -> Any:
        if not self._functions[hook]:
            return event.body
        asked = await self._ask(hook, event)
        # an object may have been changed in place
        if asked.body is not event.body or not isinstance(event.body, str | bytes):
            try:
                check_plain(asked.body)
                wire.check_body(asked.body, most, "the body")
            except (Refusal, ValueError) as error:
                log.error("what on_%s made of a message cannot be posted: %s", hook, error)
                raise Refusal("internal") from error
        return asked.body

    async def _ask(self, hook: str, event: Event) -> Event:
        for function in self._functions[hook]:
            answer = await self._call(hook, function, event)
            if answer is not None and isinstance(event, Posting | Editing):
                if not isinstance(answer, type(event)):
                    log.error("the hook %s returned %.80r", _name(hook, function), answer)
                    raise Refusal("internal")
                event = msgspec.structs.replace(event, body=answer.body)
        return event

    async def _call(self, hook: str, function: Callable[[Any], Any], event: Any) -> Any:
        result, began = "failed", self._timer()
        try:
            answer = _begin(function, event)
            if inspect.isawaitable(answer):
                answer = await self._in_time(hook, function, answer)
            result = "done"
            return answer
        except Refusal as error:
            if not _can_be_told(error):
                # as ASCII: half a surrogate pair in it cannot be written everywhere
                said = error.message, error.retry_after
                name = _name(hook, function)
                log.error("nobody can be told what the hook %s refused: %a", name, said)
                raise Refusal("internal") from error
            result = "timeout" if isinstance(error, _TooLate) else "refused"
            raise
        except Exception as error:  # an embedder's function; the client is told
            log.exception("the hook %s failed", _name(hook, function))
            raise Refusal("internal") from error
        finally:
            self._metrics.observe_hook(hook, result, self._timer() - began)

    async def _in_time(
        self, hook: str, function: Callable[[Any], Any], answer: Awaitable[Any]
    ) -> Any:
        # A task, since whoever asks may run without one: see transport/eager.py.
        call = asyncio.ensure_future(answer)
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)
        try:
            await asyncio.wait([call], timeout=self._timeout)
            if call.done() and not call.cancelled():
                return call.result()
            if call.done() and not self._stopping:
                raise _Cancelled("what it waited for was cancelled")
        finally:
            if not call.done():
                call.cancel()
                call.add_done_callback(_heard)
        if not self._stopping:
            log.error("the hook %s took more than %g s", _name(hook, function), self._timeout)
        raise _TooLate("unavailable", "this takes too long just now", retry_after=RETRY_AFTER)

    # ------------------------------------------------------------ telling

    def left(self, room: str, user: User, client: str) -> None:
        """See `Hooks.on_leave`. Does not wait."""
        if not self._functions["leave"]:
            return
        if len(self._waiting) >= MOST_WAITING:
            self._metrics.observe_hook("leave", "dropped", 0.0)
            return
        self._waiting.append(("leave", Left(room, user, client)))
        if len(self._tellers) < TELLERS:
            teller = asyncio.get_running_loop().create_task(self._tell(), name="hooks")
            self._tellers.add(teller)
            teller.add_done_callback(self._tellers.discard)

    async def _tell(self) -> None:
        while self._waiting:
            hook, event = self._waiting.popleft()
            for function in self._functions[hook]:
                try:
                    await self._call(hook, function, event)
                except Refusal as error:
                    log.debug("on_%s: %s", hook, error)  # counted, and a failure is logged already

    async def stop(self) -> None:
        """Make the calls that wait, as far as `hooks.timeout` lets them; end the others."""
        if self._tellers:
            await asyncio.wait(self._tellers, timeout=self._timeout)
        self._stopping = True
        rest = [*self._tellers, *self._calls]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)


class _TooLate(Refusal):
    """A hook's own time was over; a hook may raise a Refusal of the same code."""


class _Cancelled(Exception):
    """A hook ended as if somebody had cancelled it, which nobody has: a failure of its own."""


def _begin(function: Callable[[Any], Any], event: Any) -> Any:
    try:
        return function(event)
    except asyncio.CancelledError as error:
        # nothing is waited for here: it is not the asker who is cancelled, and who wants an answer
        raise _Cancelled("it raised CancelledError") from error


def _can_be_told(refusal: Refusal) -> bool:
    """Could an answer hold what an embedder has put into it?"""
    message: object = refusal.message
    try:
        check_plain(refusal.retry_after)
        return isinstance(message, str) and bool(message.encode())
    except ValueError:  # half a surrogate pair, or no number
        return False


def _heard(call: asyncio.Future[Any]) -> None:
    """What a call that was given up ends with has been answered for."""
    if not call.cancelled() and (error := call.exception()) is not None:
        log.error("a hook that took too long failed", exc_info=error)


def _name(hook: str, function: Callable[[Any], Any]) -> str:
    """As it is found: on_message chat.rules.no_links."""
    name = getattr(function, "__qualname__", None) or repr(function)
    return f"on_{hook} {getattr(function, '__module__', '')}.{name}"
