"""Requests of a command to a server."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from sioserver.remote import RemoteError, ask


class Server:
    """Answers what the test says, and writes down what it was asked."""

    def __init__(self) -> None:
        self.status = 200
        self.answer: bytes = b'{"ok": true, "n": 1}'
        self.location = ""
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                outer.seen.append((self.command, self.path, dict(self.headers), body))
                self.send_response(outer.status)
                if outer.location:
                    self.send_header("Location", outer.location)
                self.end_headers()
                self.wfile.write(outer.answer)

            do_GET = do_POST

            def log_message(self, *args: Any) -> None: ...

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.http.shutdown()
    server.http.server_close()
    thread.join()


def test_what_is_sent(server: Server) -> None:
    assert ask(f"{server.url}/chat/", "sio_x", "POST", "/api/x", {"user": "ä"}) == {
        "ok": True,
        "n": 1,
    }
    ((method, path, headers, body),) = server.seen
    assert (method, path, json.loads(body)) == ("POST", "/chat/api/x", {"user": "ä"})
    assert headers["Authorization"] == "Bearer sio_x"
    assert headers["Content-Type"] == "application/json"
    ask(server.url, "sio_x", "GET", "/api/x")
    assert server.seen[1][:2] == ("GET", "/api/x")
    assert "Content-Type" not in server.seen[1][2]


def test_a_refusal_in_the_server_s_words(server: Server) -> None:
    server.status = 403
    server.answer = b'{"ok": false, "error": {"code": "forbidden", "message": "not you"}}'
    with pytest.raises(RemoteError, match=r"answers 403: not you$"):
        ask(server.url, "x", "GET", "/")


def test_what_is_not_there_is_told_from_an_address_that_is_not(server: Server) -> None:
    server.status = 404
    server.answer = b'{"ok": false, "error": {"code": "not_found", "message": "no such ban"}}'
    with pytest.raises(RemoteError, match=r"answers 404: no such ban$"):
        ask(server.url, "x", "GET", "/")
    server.answer = b'{"ok": false, "error": {"code": "bad_request", "message": "nothing here"}}'
    with pytest.raises(RemoteError, match=r"nothing here; is it the right address"):
        ask(server.url, "x", "GET", "/")


@pytest.mark.parametrize("answer", [b"", b"<html>", b"[]", b'{"ok": false}', b"\xff", b"5"])
@pytest.mark.parametrize("status", [200, 404])
def test_what_is_no_answer_of_ours(server: Server, status: int, answer: bytes) -> None:
    server.status, server.answer = status, answer
    with pytest.raises(RemoteError, match=f"answers {status}: this is no answer of sioserver"):
        ask(server.url, "x", "GET", "/")


def test_the_key_is_taken_nowhere_else(server: Server) -> None:
    server.status, server.location = 307, f"{server.url}/elsewhere"
    with pytest.raises(RemoteError, match="answers 307"):
        ask(server.url, "x", "POST", "/", {})
    assert len(server.seen) == 1


def test_nobody_there(server: Server) -> None:
    server.http.socket.close()
    with pytest.raises(RemoteError, match="does not answer"):
        ask("http://127.0.0.1:1", "x", "GET", "/")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:8000",
        "ftp://a",
        "http://",
        "http://a:x",
        "http://u:p@a",
        "http://a/?q",
        "http://a/#f",
    ],
)
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(RemoteError, match=r"is no|is not"):
        ask(url, "x", "GET", "/")


def test_a_key_that_no_header_can_hold(server: Server) -> None:
    with pytest.raises(RemoteError):
        ask(server.url, "x\r\ny", "GET", "/")
    assert server.seen == []
