"""What the attackers make of what they are told."""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

import msgspec
import pytest

from sioserver.websocket.frames import BINARY, TEXT, frame

from .wire import Line, frames, refused, refused_plainly, rejections, rejections_in_poll

NO = {"ok": False, "error": {"code": "bad_request"}}
NOTICE = {"code": "rate_limited", "message": "", "event": "typing"}
REFUSED: list[tuple[str, str]] = [
    (f"43/hall,7{json.dumps([NO])}", "bad_request"),
    (f"430{json.dumps([NO])}", "bad_request"),
    (f"42/hall,{json.dumps(['notice', NOTICE])}", "rate_limited"),
    ('44/{a,{"message":"","data":{"code":"bad_room"}}', "bad_room"),
    ('43/hall,1[{"ok":true}]', ""),
    ('42/hall,["notice",{"code":"shutdown","reconnect":true}]', ""),
    ('42/hall,["message",{"ok":false}]', ""),
    ("42/hall,[7]", ""),
    ('40/hall,{"sid":"x"}', ""),
    ("2", ""),
    ("41/hall,", ""),
]


@pytest.mark.parametrize(("packet", "code"), REFUSED)
def test_which_packets_are_refusals(packet: str, code: str) -> None:
    assert refused(packet) == code


def text(packet: str) -> bytes:
    return frame(TEXT, packet.encode())


def closed(code: int, reason: bytes = b"") -> bytes:
    return frame(0x88, code.to_bytes(2, "big") + reason)


UPGRADED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\nHTTP/1.0 200 OK\r\n\r\nHTTP/1.1 503 X", ["400", "503"]),
        (b"HTTP/0.9 400 Bad Request\r\n\r\nHTTP/2.0 400 Bad Request\r\n\r\n", ["400", "400"]),
        (UPGRADED + text(REFUSED[0][0]) + frame(BINARY, b"44") + text("2"), ["bad_request"]),
        (UPGRADED + closed(1002, b"why"), ["closed 1002 why"]),
        (UPGRADED + closed(1000), []),
        (UPGRADED + closed(3005), []),  # the client's own code comes back
        (UPGRADED + closed(1001, b"the node is stopping"), []),
        (UPGRADED + text("4" + "x" * 70_000) + closed(1009, b"so large"), ["closed 1009 so large"]),
        (UPGRADED + closed(1002, b"cut off")[:-2], []),
        (b"", []),
    ],
)
def test_what_a_connection_has_said_no_to(data: bytes, found: list[str]) -> None:
    assert [told.removeprefix("status ") for told in rejections(data)] == found


PLAINLY: list[tuple[Any, str]] = [
    (["ack", NO, 7], "bad_request"),
    (["notice", NOTICE], "rate_limited"),
    ({"event": "error", "message": "", "code": "bad_room"}, "bad_room"),
    ({"event": "noauth", "message": "please auth again, your token is expired!"}, "noauth"),
    (["ack", {"ok": True}, 7], ""),
    (["notice", {"code": "kicked", "reconnect": False}], ""),
    (["message", NO, "e1.1"], ""),
    ({"event": "message", "code": "bad_room"}, ""),
    (["ack", {"ok": False, "error": {"code": "what somebody has said"}}, 7], ""),
    ("hello", ""),
    (7, ""),
]


@pytest.mark.parametrize(("said", "code"), PLAINLY)
def test_which_plain_frames_are_refusals(said: Any, code: str) -> None:
    assert refused_plainly(1, json.dumps(said).encode()) == code
    assert refused_plainly(2, msgspec.msgpack.encode(said)) == code


def test_what_a_plain_connection_has_said_no_to() -> None:
    data = b"".join(text(json.dumps(said)) for said, _ in PLAINLY)
    packed = frame(BINARY, msgspec.msgpack.encode(PLAINLY[0][0]))
    told = rejections(
        UPGRADED + text("no JSON") + text("[" * 100_000) + data + packed + closed(3005, b"why"),
        plain=True,
    )
    codes = [code for _, code in PLAINLY if code]
    assert list(told) == [*codes, "bad_request", "closed 3005 why"]


def test_what_a_poll_has_brought() -> None:
    body = "\x1e".join(packet for packet, _ in REFUSED).encode()
    assert list(rejections_in_poll(body)) == [code for _, code in REFUSED if code]


def test_frames() -> None:
    sizes = [0, 125, 126, 65_535, 65_536]
    data = b"".join(frame(BINARY, b"x" * size) for size in sizes)
    assert [(kind, len(payload)) for kind, payload in frames(data)] == [(2, size) for size in sizes]
    assert list(frames(frame(TEXT, b"cut")[:-1])) == []


def test_it_reads_what_it_was_told_as_json() -> None:
    broken: Any = pytest.raises(ValueError)
    with broken:
        refused("43/hall,1[{]")


def test_an_answer_in_two_pieces_is_taken_when_it_is_whole() -> None:
    line = Line()
    line.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n4")
    assert line.answer() == (b"", b"")
    line.data_received(b"hiHTTP/1.1 400 ")
    assert line.answer() == (b"HTTP/1.1 200 OK\r\nContent-Length: 3", b"4hi")
    assert line.answer() == (b"", b"")


async def test_what_came_before_a_write_that_fails_is_read() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        line = await Line.open(listening.getsockname()[1])
        server, _ = listening.accept()
    server.send(b"told")
    server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    server.close()  # resets the connection
    line.send(b"too late")
    await line.until(lambda data: False)
    assert bytes(line.received) == b"told"
