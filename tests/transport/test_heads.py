"""Heads of known requests: only what stands in the gaps may differ."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sioserver.transport.heads import LARGEST, Fit, Form, Head, whose

FORM = Form(b"Cache-Control: no-store\r\n", "gzip")
REST = " HTTP/1.1\r\nHost: a.example\r\nAccept: */*\r\n"
MARKED = f"GET /socket.io/?EIO=4&t=abc&transport=polling&sid=node-1_x{REST}\r\n"
PLAIN = f"GET /socket.io/?EIO=4&transport=polling&sid=node-1_x{REST}\r\n"
LAST = f"GET /socket.io/?EIO=4&transport=polling&sid=node-1_x&t=a.b-c{REST}\r\n"
POST = f"POST /socket.io/?EIO=4&sid=node-1_x&t=abc{REST}Content-Length: 5\r\nOrigin: x\r\n\r\n"
POST_PLAIN = f"POST /socket.io/?sid=node-1_x HTTP/1.1\r\ncontent-length: 12\r\n{REST[11:]}\r\n"
HEADS = {"abc": [MARKED, POST], "a.b-c": [LAST], None: [PLAIN, POST_PLAIN]}
ALL = [(mark, head) for mark, heads in HEADS.items() for head in heads]


def known(head: str, mark: str | None) -> Head:
    read = Head.read(head.encode(), [] if mark is None else [mark], FORM, "way")
    assert read is not None
    return read


@pytest.mark.parametrize(("mark", "head"), ALL)
def test_a_head_fits_itself_whatever_follows(mark: str | None, head: str) -> None:
    length = 0 if head.startswith("GET") else 5 if head is POST else 12
    for behind in ("", "body", head):
        assert known(head, mark).fit((head + behind).encode()) == Fit(len(head), mark, length)
    assert known(head, mark).fit(head[:-1].encode()) is None


def test_another_mark_and_another_length() -> None:
    other = POST.replace("t=abc", "t=Zz_9.-").replace("Length: 5", "Length: 4711")
    assert known(POST, "abc").fit(other.encode()) == Fit(len(other), "Zz_9.-", 4711)


@pytest.mark.parametrize(
    "other",
    [
        MARKED.replace("t=abc", "t="),
        MARKED.replace("t=abc", "t=a%20c"),
        MARKED.replace("t=abc", "t=a&j=0"),
        MARKED.replace("t=abc", "t=a+c"),
        MARKED.replace("t=abc", "t=a;c"),
        MARKED.replace("t=abc", "t=a\u00e4"),
        MARKED.replace("t=abc", "t=" + "a" * 65),
        MARKED.replace("sid=node-1_x", "sid=node-1_y"),
        MARKED.replace("Host: a", "Host: b"),
        MARKED.replace("Host:", "host:"),
        MARKED.replace("HTTP/1.1", "HTTP/1.0"),
        MARKED.replace("\r\n\r\n", "\r\nX: y\r\n\r\n"),
        MARKED.replace("GET", "HEAD"),
        " " + MARKED,
    ],
)
def test_what_does_not_fit(other: str) -> None:
    assert known(MARKED, "abc").fit(other.encode()) is None


@pytest.mark.parametrize("length", ["", "-5", "+5", " 5", "5 ", "5,5", "0x5", "\u0665", "1" * 11])
def test_lengths_that_do_not_fit(length: str) -> None:
    assert known(POST, "abc").fit(POST.replace(": 5", f": {length}").encode()) is None


@pytest.mark.parametrize(
    ("head", "marks"),
    [
        (MARKED, []),
        (MARKED, ["abd"]),
        (MARKED, ["abc", "abc"]),
        (MARKED.replace("sid=", "t=abc&sid="), ["abc", "abc"]),
        (PLAIN, ["abc"]),
        (PLAIN.replace("/socket.io/?", "/socket&t=x&/?"), []),
        (PLAIN.replace("\r\n\r\n", "\r\nContent-Length: 0\r\n\r\n"), []),
        (PLAIN + "x", []),
        (PLAIN.replace("a.example", "a" * LARGEST), []),
        (POST.replace("Content-Length: 5", "X: 5"), ["abc"]),
        (POST.replace("Content-Length: 5", "Content-Length: 5\r\nContent-Length: 5"), ["abc"]),
        (POST.replace("Content-Length: 5", "Content-Length: 5 "), ["abc"]),
    ],
)
def test_heads_that_are_not_kept(head: str, marks: list[str]) -> None:
    assert Head.read(head.encode(), marks, FORM, "way") is None


@given(
    st.sampled_from(ALL),
    st.integers(0, 200),
    st.integers(0, 3),
    st.binary(max_size=3) | st.sampled_from([b"7", b"a", b"&", b" ", b"\r\n", b"\r\n\r\n"]),
)
def test_what_fits_differs_in_the_gaps_only(
    which: tuple[str | None, str], at: int, gone: int, instead: bytes
) -> None:
    mark, head = which
    data = head.encode()
    changed = data[:at] + instead + data[at + gone :]
    one = known(head, mark)
    fit = one.fit(changed)
    if fit is not None:
        length = changed[: fit.end].split(b"ength: ")[-1].split(b"\r\n")[0] if one.after else b""
        written = one.before + (fit.mark or "").encode() + one.between + length + one.after
        assert changed[: fit.end] == written
        assert (fit.mark is not None) == one.marked
        assert int(length or 0) == fit.length
        assert not set(fit.mark or "") & set("&? %+#;=\r\n")


@pytest.mark.parametrize(
    ("data", "sid"),
    [
        (PLAIN, "node-1_x"),
        (POST, "node-1_x"),
        ("POST /?sid=x HTTP", "x"),
        ("GET /?sid=%20 ", None),
        ("GET /?asid=x ", None),
        ("PUT /?sid=x ", None),
        ("GET / HTTP/1.1\r\nReferer: /?sid=x", None),
        ("GET", None),
        ("", None),
    ],
)
def test_whose(data: str, sid: str | None) -> None:
    assert whose(data.encode()) == sid
