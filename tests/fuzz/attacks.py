"""What a hostile client does, as values: which way in, and what is sent there.

`DOORS` has what draws one of any kind. How it is carried out is known to campaign.py only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from hypothesis import strategies as st

from . import grammar, plain

WAYS: Final = ("websocket", "polling", "lane")
"""Over which transport; "lane" is polling over connections that the server answers past aiohttp."""


@dataclass(frozen=True)
class Frames:
    """Raw bytes over a WebSocket whose client has joined the room."""

    frames: tuple[bytes, ...]
    joined: bool = True


@dataclass(frozen=True)
class Talk:
    """Engine.IO packets, each in a frame or all in one POST, of a client that has joined the room
    or of one that has not."""

    way: str
    packets: tuple[str | bytes, ...]
    joined: bool = True


@dataclass(frozen=True)
class Post:
    """The body of a POST of a client that has joined the room."""

    way: str
    body: bytes


@dataclass(frozen=True)
class Upgrade:
    """Raw bytes over a WebSocket that a polling client opens to move there. `probed`: the server
    has answered the probe before; `twice`: there is such a WebSocket already; `joined`: the client
    has joined the room."""

    frames: tuple[bytes, ...]
    probed: bool = False
    twice: bool = False
    joined: bool = True


@dataclass(frozen=True)
class Plain:
    """Raw bytes over a plain WebSocket that was opened for this dialect (`plain.PROTOCOLS`), whose
    client is in the room, or has said nothing yet."""

    dialect: str
    frames: tuple[bytes, ...]
    joined: bool = True


@dataclass(frozen=True)
class Knock:
    """A request for a plain WebSocket and what comes behind it, over a new TCP connection."""

    data: bytes


@dataclass(frozen=True)
class Raw:
    """Raw bytes over a TCP connection: a new one, or ("lane") one whose requests are known."""

    data: bytes
    way: str = "polling"


Attack = Frames | Talk | Post | Upgrade | Plain | Knock | Raw

_ways = st.sampled_from(WAYS)
_often = st.sampled_from((True, True, True, False))

_socketio: list[st.SearchStrategy[Attack]] = [
    st.builds(Frames, grammar.frames, _often),
    st.builds(Talk, _ways, grammar.conversations.map(tuple), _often),
    st.builds(Talk, _ways, st.lists(grammar.events, min_size=1, max_size=6).map(tuple)),
    st.builds(Post, st.sampled_from(WAYS[1:]), grammar.bodies),
    st.builds(Upgrade, grammar.frames, st.booleans(), st.booleans()),
    st.builds(Raw, grammar.requests, st.sampled_from(WAYS[1:])),
]
_plain: list[st.SearchStrategy[Attack]] = [
    *(
        st.builds(Plain, st.just(dialect), frames, _often)
        for dialect, frames in plain.conversations.items()
    ),
    st.builds(Knock, plain.handshakes),
]

DOORS: Final[dict[str, st.SearchStrategy[Attack]]] = {
    "all": st.one_of(*_socketio, *_plain),
    "socketio": st.one_of(*_socketio),
    "plain": st.one_of(*_plain),
}
"""Attacks of any kind, by the door that they come to."""


def inputs(attack: Attack) -> int:
    """How many inputs it is: a frame, a packet of a conversation, a body or what is sent raw."""
    match attack:
        case Talk(packets=packets):
            return len(packets)
        case Frames(frames=frames) | Upgrade(frames=frames) | Plain(frames=frames):
            return len(frames)
    return 1


def short(attack: Attack, most: int = 200) -> str:
    """It as Python writes it, and no longer than a line or two of a report."""
    whole = repr(attack)
    if len(whole) <= most:
        return whole
    return f"{whole[: most - 40]}... ({len(whole)} characters)"
