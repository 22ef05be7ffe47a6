"""Around every request: the shape of errors, the access log, the count."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from sioserver.api.headers import ANSWER
from sioserver.api.middleware import is_quiet, middleware
from sioserver.errors import REFUSALS, Refusal
from sioserver.metrics import Metrics

Http = TestClient[web.Request, web.Application]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def raising(error: Exception) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        raise error

    return handler


async def fine(request: web.Request) -> web.StreamResponse:
    return web.json_response({"ok": True})


def application(
    handler: Handler = fine, metrics: Metrics | None = None, **options: Any
) -> web.Application:
    app = web.Application(middlewares=[middleware(metrics or Metrics(), **options)])
    for path in ("/x", "/healthz", "/socket.io/", "/x/{rest}"):
        app.router.add_get(path, handler)
    return app


def client(handler: Handler = fine, metrics: Metrics | None = None, **options: Any) -> Http:
    # as the command line runs it: without the library's own access log
    return TestClient(TestServer(application(handler, metrics, **options), access_log=None))


@pytest.mark.parametrize("code", REFUSALS)
async def test_a_refusal(code: str) -> None:
    metrics = Metrics()
    kind = REFUSALS[code]
    async with client(raising(Refusal(code)), metrics) as http:
        answer = await http.get("/x")
        assert answer.status == kind.status
        assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
        assert answer.headers.items() >= ANSWER.items()
        assert await answer.json() == {
            "ok": False,
            "error": {"code": code, "message": kind.message, "temporary": kind.temporary},
        }
        assert "Retry-After" not in answer.headers
    assert metrics.refusals[code] == 1
    assert sum(metrics.refusals.values()) == 1
    assert metrics.http_requests[f"{kind.status // 100}xx"] == 1


async def test_a_refusal_with_a_time() -> None:
    async with client(raising(Refusal("rate_limited", "slowly", retry_after=1.2345))) as http:
        answer = await http.get("/x")
        assert answer.headers["Retry-After"] == "2"  # whole seconds, never too early
        error = (await answer.json())["error"]
        assert error["retry_after"] == pytest.approx(1.2345, abs=0.001)
        assert error["message"] == "slowly"


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (web.HTTPBadRequest(), "bad_request", 400),
        (web.HTTPUnauthorized(), "unauthorized", 401),
        (web.HTTPForbidden(), "forbidden", 403),
        (web.HTTPNotFound(), "bad_request", 404),
        (web.HTTPRequestEntityTooLarge(10, 11), "too_large", 413),
        (web.HTTPTooManyRequests(), "rate_limited", 429),
        (web.HTTPInternalServerError(), "internal", 500),
        (web.HTTPServiceUnavailable(), "unavailable", 503),
        (web.HTTPGatewayTimeout(), "internal", 504),
    ],
)
async def test_errors_of_the_http_library(error: web.HTTPException, code: str, status: int) -> None:
    metrics = Metrics()
    async with client(raising(error), metrics) as http:
        answer = await http.get("/x")
        assert answer.status == status
        body = await answer.json()
        assert body["ok"] is False
        assert body["error"]["code"] == code
    assert metrics.refusals[code] == 1


async def test_addresses_and_methods_that_are_not_there() -> None:
    async with client() as http:
        answer = await http.get("/nowhere?token=abc")
        assert answer.status == 404
        assert answer.headers.items() >= ANSWER.items()
        assert (await answer.json())["error"]["message"] == "there is nothing at this address"
        answer = await http.post("/x")
        assert answer.status == 405
        assert answer.headers["Allow"] == "GET,HEAD"
        assert (await answer.json())["error"]["code"] == "bad_request"


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("application/json", '{"code":1}'),
        ("text/html", "<p>not here, but <a href='/'>there</a></p>"),
        ("text/plain", "nobody is at home"),
    ],
)
async def test_an_answer_in_a_shape_of_its_own_stays(kind: str, text: str) -> None:
    metrics = Metrics()
    async with client(raising(web.HTTPBadRequest(text=text, content_type=kind)), metrics) as http:
        answer = await http.get("/x")
        assert (answer.status, await answer.text()) == (400, text)
        assert answer.content_type == kind
    assert metrics.http_requests["4xx"] == 1


async def test_a_redirect_is_no_error() -> None:
    metrics = Metrics()
    async with client(raising(web.HTTPFound("/healthz")), metrics) as http:
        answer = await http.get("/x", allow_redirects=False)
        assert (answer.status, answer.headers["Location"]) == (302, "/healthz")
    assert metrics.http_requests["3xx"] == 1
    assert sum(metrics.refusals.values()) == 0


@pytest.mark.parametrize("error", [ValueError("the cause"), ConnectionError("the cause")])
async def test_an_unexpected_failure_is_logged_once_and_not_told(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = Metrics()
    async with client(raising(error), metrics) as http:
        answer = await http.get("/x?token=abc")
        assert answer.status == 500
        body = await answer.text()
        assert (await answer.json())["error"]["code"] == "internal"
    assert "the cause" not in body
    assert "Traceback" not in body
    logged = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(logged) == 1
    assert logged[0].name == "sioserver.http"
    assert logged[0].exc_info is not None
    assert logged[0].exc_info[1] is error
    assert "abc" not in logged[0].getMessage()
    assert metrics.refusals["internal"] == 1
    assert metrics.http_requests["5xx"] == 1


async def test_a_client_that_has_gone_is_not_a_failure(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.close()
        raise ConnectionResetError("gone")

    metrics = Metrics()
    async with client(handler, metrics) as http:
        with pytest.raises(Exception, match=r"disconnected|reset|closed"):
            await http.get("/x")
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert sum(metrics.refusals.values()) == 0
    assert metrics.http_requests["4xx"] == 1


async def test_a_response_is_passed_on_as_it_is() -> None:
    """Also one that was begun, or whose connection is another protocol's by now."""

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.WebSocketResponse()
        await response.prepare(request)
        async for message in response:
            await response.send_str(message.data + "!")
        return response

    metrics = Metrics()
    async with client(handler, metrics) as http:
        async with http.ws_connect("/x") as socket:
            await socket.send_str("hi")
            assert await socket.receive_str() == "hi!"
        assert (await http.get("/x")).status == 400  # not an upgrade
    assert metrics.http_requests["1xx"] == 1
    assert metrics.http_requests["4xx"] == 1


# ---------------------------------------------------------------------------- access log


def access(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    return [
        (record.levelno, record.getMessage())
        for record in caplog.records
        if record.name == "sioserver.access"
    ]


async def test_a_line_for_a_request(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with client() as http:
        await http.get("/x/a%0Ab?token=abc&sid=def")
    [(level, line)] = access(caplog)
    assert level == logging.INFO
    assert line.startswith("127.0.0.1 GET /x/a%0Ab 200 ")
    assert line.endswith(" ms")
    for record in caplog.records:
        if record.name.startswith("sioserver"):
            assert "abc" not in record.getMessage()
            assert "def" not in record.getMessage()


@pytest.mark.parametrize(
    ("path", "quiet", "level"),
    [
        ("/healthz", (), logging.DEBUG),
        ("/socket.io/", ("/socket.io",), logging.DEBUG),
        ("/socket.io/", (), logging.INFO),
        ("/x", ("/socket.io",), logging.INFO),
        ("/readyz", (), logging.DEBUG),  # a 404: anybody can ask for a thousand
    ],
)
async def test_what_is_asked_all_the_time_is_quiet(
    path: str, quiet: tuple[str, ...], level: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with client(quiet=quiet) as http:
        await http.get(path)
    assert [line[0] for line in access(caplog)] == [level]


@pytest.mark.parametrize(
    ("path", "level"),
    [
        ("/healthz", logging.DEBUG),
        ("/socket.io/", logging.DEBUG),
        ("/x", logging.INFO),
        ("/x/healthz", logging.INFO),
    ],
)
@pytest.mark.parametrize("mounts", [("/chat",), ("/healthz",), ("/inner", "/outer")])
async def test_what_is_quiet_is_quiet_below_a_mount_too(
    mounts: tuple[str, ...], path: str, level: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    app = application(quiet=("/socket.io",))
    for mount in mounts:
        outer = web.Application()
        outer.add_subapp("/else", web.Application())
        outer.add_subapp(mount, app)
        app = outer
    async with TestClient(TestServer(app, access_log=None)) as http:
        assert (await http.get("".join(reversed(mounts)) + path)).status == 200
    assert [line[0] for line in access(caplog)] == [level]


def test_whether_it_is_quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "sioserver.access")
    assert is_quiet()
    caplog.set_level(logging.DEBUG, "sioserver.access")
    assert not is_quiet()


async def test_a_mount_by_domain_has_no_path(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    outer = web.Application()
    outer.add_domain("example.org", application())
    async with TestClient(TestServer(outer, access_log=None)) as http:
        for path in ("/healthz", "/x"):
            assert (await http.get(path, headers={"Host": "example.org"})).status == 200
    assert [line[0] for line in access(caplog)] == [logging.DEBUG, logging.INFO]


async def test_failures_are_in_the_access_log_too(caplog: pytest.LogCaptureFixture) -> None:
    """What was refused only at level debug: anybody can be refused a thousand times."""
    caplog.set_level(logging.DEBUG)
    errors = [ValueError(), Refusal("forbidden"), web.HTTPFound("/"), web.HTTPGone()]
    for error in errors:
        async with client(raising(error)) as http:
            await http.get("/x", allow_redirects=False)
    assert [(level, line.split(" ")[3]) for level, line in access(caplog)] == [
        (logging.INFO, "500"),
        (logging.DEBUG, "403"),
        (logging.INFO, "302"),
        (logging.DEBUG, "410"),
    ]


async def test_the_address_is_the_one_that_the_application_believes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    async with client(address=lambda request: request.headers.get("X-Real")) as http:
        await http.get("/x", headers={"X-Real": "192.0.2.7"})
        await http.get("/x")
    assert [line.split(" ")[0] for _, line in access(caplog)] == ["192.0.2.7", "-"]
