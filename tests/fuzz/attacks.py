"""What a hostile client does, as values: which way in, and what is sent there.

`attacks` draws one of any kind. How it is carried out is known to campaign.py only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from hypothesis import strategies as st

from . import grammar

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
class Raw:
    """Raw bytes over a TCP connection: a new one, or ("lane") one whose requests are known."""

    data: bytes
    way: str = "polling"


Attack = Frames | Talk | Post | Upgrade | Raw

_ways = st.sampled_from(WAYS)
_often = st.sampled_from((True, True, True, False))

attacks: st.SearchStrategy[Attack] = st.one_of(
    st.builds(Frames, grammar.frames, _often),
    st.builds(Talk, _ways, grammar.conversations.map(tuple), _often),
    st.builds(Talk, _ways, st.lists(grammar.events, min_size=1, max_size=6).map(tuple)),
    st.builds(Post, st.sampled_from(WAYS[1:]), grammar.bodies),
    st.builds(Upgrade, grammar.frames, st.booleans(), st.booleans()),
    st.builds(Raw, grammar.requests, st.sampled_from(WAYS[1:])),
)


def inputs(attack: Attack) -> int:
    """How many inputs it is: a frame, a packet of a conversation, a body or what is sent raw."""
    match attack:
        case Talk(packets=pieces) | Frames(frames=pieces) | Upgrade(frames=pieces):
            return len(pieces)
    return 1


def short(attack: Attack, most: int = 200) -> str:
    """It as Python writes it, and no longer than a line or two of a report."""
    whole = repr(attack)
    if len(whole) <= most:
        return whole
    return f"{whole[: most - 40]}... ({len(whole)} characters)"
