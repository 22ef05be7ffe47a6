"""Replies are told apart wherever they are cut."""

import pytest

from .resp import Dropper, end_of_reply

REPLIES = [
    b"+OK\r\n",
    b"-ERR no\r\n",
    b":42\r\n",
    b"$-1\r\n",
    b"$0\r\n\r\n",
    b"$9\r\n*1\r\n$1\r\nx\r\n",
    b"*0\r\n",
    b"*-1\r\n",
    b"*2\r\n*2\r\n:1\r\n$1\r\na\r\n*1\r\n*0\r\n",
    b"*3\r\n$7\r\nmessage\r\n$6\r\np:room\r\n$2\r\n\r\n\r\n",
]


@pytest.mark.parametrize("reply", REPLIES)
def test_where_a_reply_ends(reply: bytes) -> None:
    assert end_of_reply(reply) == len(reply)
    assert end_of_reply(reply + b"+next") == len(reply)
    assert end_of_reply(b"+a\r\n" + reply, 4) == 4 + len(reply)
    for size in range(len(reply)):
        assert end_of_reply(reply[:size]) is None


def test_what_is_no_reply_is_said() -> None:
    with pytest.raises(ValueError, match="not a reply"):
        end_of_reply(b"GET / HTTP/1.1\r\n")


def message(channel: bytes, number: int, kind: bytes = b"message") -> bytes:
    parts = [kind, channel, b"%d" % number]
    return b"*3\r\n" + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("kind", [b"message", b"smessage"])
def test_one_of_some_messages_is_left_out_and_nothing_else(size: int, kind: bytes) -> None:
    dropper = Dropper(3, b"{room}")
    numbered = [message(b"p:{room}", number, kind) for number in range(7)]
    others = [message(b"p:{other}", number, kind) for number in range(7)]
    data = b"".join(
        b"".join(REPLIES) + one + other for one, other in zip(numbered, others, strict=True)
    )
    rewrite = dropper()
    found = b"".join(rewrite(data[at : at + size]) for at in range(0, len(data), size))
    assert (dropper.seen, dropper.dropped) == (7, 2)
    assert [one in found for one in numbered] == [True, True, False, True, True, False, True]
    assert len(found) == len(data) - len(numbered[2]) - len(numbered[5])
    assert all(other in found for other in others)


def test_the_count_goes_on_over_connections() -> None:
    dropper = Dropper(2, b"room")
    assert dropper()(message(b"room", 1)) != b""
    assert dropper()(message(b"room", 2)) == b""
