"""Channels of one server that are listened to, over a `redis_line`.

It knows the words of pub/sub, and neither what is said there nor which other servers there are.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, NamedTuple, Protocol

from sioserver.engine.redis_access import (
    Access,
    Address,
    Hello,
    ReplyError,
    pack,
)
from sioserver.engine.redis_line import Line, Wire

log = logging.getLogger(__name__)

CHUNK: Final = 512
"""Channels in one command."""
RETRY: Final = 0.05
"""Seconds after which a channel that was refused is tried again."""
LONGEST_RETRY: Final = 1.0


class Words(NamedTuple):
    """The commands, and how their replies and the messages are called."""

    subscribe: str
    unsubscribe: str
    subscribed: bytes
    unsubscribed: bytes
    message: bytes


PLAIN: Final = Words("SUBSCRIBE", "UNSUBSCRIBE", b"subscribe", b"unsubscribe", b"message")
SHARDED: Final = Words("SSUBSCRIBE", "SUNSUBSCRIBE", b"ssubscribe", b"sunsubscribe", b"smessage")
PATTERNS: Final = Words("PSUBSCRIBE", "PUNSUBSCRIBE", b"psubscribe", b"punsubscribe", b"pmessage")
_ALL: Final = (PLAIN, SHARDED, PATTERNS)
_MESSAGES: Final = frozenset(words.message for words in _ALL)
_SUBSCRIBED: Final = frozenset(words.subscribed for words in _ALL)
_UNSUBSCRIBED: Final = frozenset(words.unsubscribed for words in _ALL)


class Hearer(Protocol):
    """What an ear calls, on the event loop."""

    def on_heard(self, ear: Ear, channels: list[str]) -> None:
        """From now on these are listened to."""

    def on_deaf(self, ear: Ear, reason: str) -> None:
        """The connection broke: nothing is listened to."""

    def on_refused(self, ear: Ear, error: ReplyError | None) -> None:
        """The server does not let us listen, or not any more (None). The ear tries again."""


class _Asked:
    """A command whose replies have not all come."""

    __slots__ = ("answered", "answers", "names")

    def __init__(self, names: list[str], answers: bytes) -> None:
        self.names = names
        self.answers = answers
        """How the replies begin."""
        self.answered = 0

    def is_answered_by(self, kind: bytes, name: str) -> bool:
        """Whether this is the next of its replies."""
        return self.answers == kind and (not self.names or self.names[self.answered] == name)


class _Wire(Wire):
    """A connection that is up."""

    _line: Ear

    def data_received(self, data: bytes) -> None:
        ear, gets = self._line, self._reader.gets
        self._reader.feed(data)
        try:
            ear.on_data(self, gets)
        except (ConnectionError, IndexError, ValueError, TypeError) as error:
            ear.drop(self, f"the server does not speak as Redis does: {error!r}")


class Ear(Line[_Wire]):
    """Listens to what it is told to at the server that `where` finds.

    `hear(channel, payload)` is called for each message. `timeout`: seconds that the server may be
    silent.
    """

    def __init__(
        self,
        access: Access,
        where: Callable[[], Awaitable[Address]],
        hearer: Hearer,
        hear: Callable[[str, bytes], None],
        *,
        timeout: float,
        words: Words = PLAIN,
    ) -> None:
        super().__init__(access, where, timeout)
        self._hearer = hearer
        self._hear = hear
        self._words = words
        self.channels: dict[str, Words] = {}
        """What is wanted: channels and patterns."""
        self.heard: set[str] = set()
        """What is listened to; a part of `channels`."""
        self.messages = 0
        self._ask: dict[str, None] = {}
        self._forget: dict[str, Words] = {}
        self._asked: deque[_Asked] = deque()
        self._flushing = False
        self._retry: asyncio.TimerHandle | None = None
        self._retry_after = RETRY
        self._refused: set[str] = set()
        self._pinged = 0.0
        self._pinging = False
        self._sign_of_life = 0.0

    def listen(self, channel: str, words: Words | None = None) -> None:
        """Listen to one more; `Hearer.on_heard` tells when it is so. `words`: PATTERNS for a
        pattern."""
        self.channels[channel] = words or self._words
        self._forget.pop(channel, None)
        self._ask[channel] = None
        self._flush_soon()

    def forget(self, channel: str) -> None:
        """Do not listen to it any more."""
        words = self.channels.pop(channel, None)
        self._refused.discard(channel)
        if words is None:
            return
        self._ask.pop(channel, None)
        self._forget[channel] = words  # does no harm where it was not listened to yet
        self.heard.discard(channel)
        self._flush_soon()

    # -- writing

    def _flush_soon(self) -> None:
        if not self._flushing and self._wire is not None:
            self._flushing = True
            self.loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        wire = self._wire
        if wire is None:
            return
        commands: list[tuple[str, ...]] = []
        forget: dict[Words, list[str]] = {}
        for channel, words in self._forget.items():
            forget.setdefault(words, []).append(channel)
        ask: dict[Words, list[str]] = {}
        for channel in self._ask:
            ask.setdefault(self.channels[channel], []).append(channel)
        for words, channels in forget.items():
            for names in _chunks(words, channels):
                commands.append((words.unsubscribe, *names))
                self._asked.append(_Asked(names, words.unsubscribed))
        for words, channels in ask.items():
            for names in _chunks(words, channels):
                commands.append((words.subscribe, *names))
                self._asked.append(_Asked(names, words.subscribed))
        self._forget.clear()
        self._ask.clear()
        if commands:
            wire.transport.write(pack(commands))

    # -- reading

    def on_data(self, wire: _Wire, gets: Callable[[], Any]) -> None:
        """What has come; `gets` takes the next reply, or False."""
        self._sign_of_life = self.loop.time()
        hear, now_heard, messages = self._hear, [], 0
        while (reply := gets()) is not False:
            if reply.__class__ is ReplyError:
                self._on_error(reply)
                continue
            kind = reply[0]
            if kind in _MESSAGES:
                messages += 1
                try:
                    hear(reply[-2].decode(), reply[-1])
                except Exception:  # not the server's fault
                    log.exception("a message in %s was not taken", reply[-2])
                continue
            name = reply[1].decode() if reply[1] is not None else ""
            if kind == b"pong":
                self._pinging = False
                self._answered(kind, "")
            elif kind in _SUBSCRIBED:
                self._answered(kind, name)
                if name in self.channels and name not in self._forget:
                    self.heard.add(name)
                    now_heard.append(name)
            elif kind in _UNSUBSCRIBED:
                self._on_unsubscribed(kind, name)
            else:
                raise ValueError(f"{kind!r} is not known")
        self.messages += messages
        if now_heard and wire is self._wire:
            if self._retry is None:
                self._retry_after = RETRY
            self._hearer.on_heard(self, now_heard)

    def _answered(self, kind: bytes, name: str) -> None:
        """Replies come in the order of the commands."""
        asked = self._asked[0]
        if not asked.is_answered_by(kind, name):
            raise ValueError(f"an answer to nothing that was asked: {kind!r}")
        asked.answered += 1
        if asked.answered >= len(asked.names):
            self._asked.popleft()

    def _on_unsubscribed(self, kind: bytes, name: str) -> None:
        asked = self._asked[0] if self._asked else None
        if asked is not None and asked.is_answered_by(kind, name):
            self._answered(kind, name)
            self.heard.discard(name)
        elif name in self.channels:  # a slot has left this server, which says so by itself
            self.heard.discard(name)
            self._again([name], None)

    def _on_error(self, error: ReplyError) -> None:
        """The first command without an answer has failed as a whole."""
        asked = self._asked.popleft()
        if asked.answers in _SUBSCRIBED:
            self._again([name for name in asked.names if name in self.channels], error)

    def _again(self, channels: Iterable[str], error: ReplyError | None) -> None:
        """Try these again after a moment, if they are not taken away until then."""
        self._refused.update(channels)
        if self._retry is None:
            self._retry = self.loop.call_later(self._retry_after, self._try_again)
            self._retry_after = min(LONGEST_RETRY, self._retry_after * 2)
        self._hearer.on_refused(self, error)

    def _try_again(self) -> None:
        self._retry = None
        for channel in self._refused & self.channels.keys():
            self._ask[channel] = None
        self._refused.clear()
        self._flush_soon()

    # -- connecting

    async def stop(self) -> None:
        """Close. For good."""
        if self._retry is not None:
            self._retry.cancel()
        await super().stop()

    def on_transport(
        self, transport: asyncio.Transport, hello: Hello, address: Address
    ) -> asyncio.Future[None]:
        """See `User.on_transport`."""
        wire = _Wire(self, transport)
        self._go_up(wire, address)
        self._sign_of_life = self._pinged = self.loop.time()
        self._pinging = False
        self._forget.clear()
        self._refused.clear()
        self._ask = dict.fromkeys(self.channels)
        self._flush()
        return wire.broken

    def _lost(self, reason: str) -> None:
        self._hearer.on_deaf(self, reason)

    def _come_down(self, wire: _Wire, reason: str) -> None:
        super()._come_down(wire, reason)
        self.heard.clear()
        self._asked.clear()

    def _look(self, now: float) -> None:
        wire = self._wire
        if wire is None:
            return
        if self._pinging:
            silent = now - max(self._pinged, self._sign_of_life)
            if silent > self._timeout:
                self.drop(wire, f"no answer for {silent:.1f} s")
        elif now - self._pinged >= self._timeout / 2 and self.channels:
            self._pinging, self._pinged = True, now
            self._asked.append(_Asked([], b"pong"))
            wire.transport.write(pack([("PING",)]))


def _chunks(words: Words, channels: list[str]) -> Iterable[list[str]]:
    """Sharded channels in one command would have to be of one slot."""
    size = 1 if words is SHARDED else CHUNK
    for start in range(0, len(channels), size):
        yield channels[start : start + size]
