"""The page: the right files, the right header fields, and nothing from anywhere else."""

import asyncio
import gzip
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from sioserver.api.headers import page_headers
from sioserver.api.web import INDEX, PAGE, SOCKET_PATH, SOCKET_TRANSPORTS, TYPES, read, routes

Http = TestClient[web.Request, web.Application]

SCRIPT = "const answer = 42;\n" * 200
FILES = {
    "index.html": "<!doctype html><title>rooms</title>" + "<p>text</p>" * 100,
    "favicon.svg": "<svg xmlns='http://www.w3.org/2000/svg'/>",
    "assets/index-Dk3fL9a_.js": SCRIPT,
    "assets/index-B1c2d3.css": "a{}",
    "assets/font-abc.woff2": "\x00wOF2",
    "assets/odd.xyz": "?",
    ".secret": "no",
    "assets/.map": "no",
    "with space.txt": "no",
    "a{b}.txt": "no",
}


@pytest.fixture
def page(tmp_path: Path) -> Path:
    directory = tmp_path / "_web"
    for name, text in FILES.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "outside.txt").write_text("no")
    (directory / "link.txt").symlink_to(tmp_path / "outside.txt")
    (directory / "up").symlink_to(tmp_path)
    return directory


def client(directory: Path) -> Http:
    app = web.Application()
    app.add_routes(routes(directory))
    return TestClient(TestServer(app), auto_decompress=False)


PLAIN = {"Accept-Encoding": "identity"}


async def test_the_page(page: Path) -> None:
    async with client(page) as http:
        answer = await http.get("/", headers=PLAIN)
        assert answer.status == 200
        assert await answer.text() == FILES["index.html"]
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert answer.headers["Cache-Control"] == "no-cache"
        assert (await http.head("/")).status == 200
        assert (await http.post("/")).status == 405


@pytest.mark.parametrize(
    ("path", "content_type", "immutable"),
    [
        ("assets/index-Dk3fL9a_.js", "text/javascript; charset=utf-8", True),
        ("assets/index-B1c2d3.css", "text/css; charset=utf-8", True),
        ("assets/font-abc.woff2", "font/woff2", True),
        ("assets/odd.xyz", "application/octet-stream", True),
        ("favicon.svg", "image/svg+xml; charset=utf-8", False),
    ],
)
async def test_files(page: Path, path: str, content_type: str, immutable: bool) -> None:
    async with client(page) as http:
        answer = await http.get(f"/{path}", headers=PLAIN)
        assert answer.status == 200
        assert await answer.text() == FILES[path]
        assert answer.headers["Content-Type"] == content_type
        assert ("immutable" in answer.headers["Cache-Control"]) is immutable
        assert ("max-age=31536000" in answer.headers["Cache-Control"]) is immutable
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_the_page_is_told_where_socket_io_is(
    page: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = (Path(__file__).parents[2] / "web" / INDEX).read_bytes()
    assert (source.count(SOCKET_PATH), source.count(SOCKET_TRANSPORTS)) == (1, 1)
    (page / INDEX).write_bytes(source)
    app = web.Application()
    app.add_routes(routes(page, socket_path='/rt/i"o', transports=["websocket"]))
    async with TestClient(TestServer(app)) as http:
        text = await (await http.get("/")).text()
    assert '<meta name="socket-path" content="rt/i&quot;o" />' in text
    assert '<meta name="socket-transports" content="websocket" />' in text
    assert not caplog.messages
    (page / INDEX).write_text("a page of before")
    routes(page, socket_path="/rt")
    assert "will not find Socket.IO" in caplog.text
    async with client(page) as http:
        assert await (await http.get("/", headers=PLAIN)).text() == "a page of before"


def test_only_what_lies_in_the_directory_is_read(page: Path) -> None:
    served = {name for name, text in FILES.items() if text != "no"}
    assert read(page).keys() == served
    assert {route.path for route in routes(page)} == {"/"} | {
        f"/{name}" for name in served - {"index.html"}
    }


@pytest.mark.parametrize(
    "target",
    [
        "/outside.txt",
        "/../outside.txt",
        "/assets/../../outside.txt",
        "/%2e%2e/outside.txt",
        "/..%2foutside.txt",
        "/assets/..%5c..%5coutside.txt",
        "//outside.txt",
        "/up/outside.txt",
        "/link.txt",
        "/.secret",
        "/assets/.map",
        "/assets/",
        "/assets",
        "/index.html/",
        "/index.html",
        "/with%20space.txt",
        "/a%7Bb%7D.txt",
        "/assets/index-Dk3fL9a_.js%00",
        "/etc/passwd",
        "/file:///etc/passwd",
    ],
)
async def test_there_is_no_way_out(page: Path, target: str) -> None:
    """Sent as it is: a client of the usual kind would tidy the path up."""
    async with client(page) as http:
        reader, writer = await asyncio.open_connection(http.host, http.port)
        writer.write(f"GET {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode())
        answer = (await reader.read()).decode()
        writer.close()
        await writer.wait_closed()
        assert answer.split(" ")[1] in ("400", "404"), answer
        assert not answer.endswith("\r\nno")


async def test_what_the_browser_has_is_not_sent_again(page: Path) -> None:
    async with client(page) as http:
        first = await http.get("/", headers=PLAIN)
        tag = first.headers["ETag"]
        for known in (tag, f'"other", {tag}', "*"):
            again = await http.get("/", headers={"If-None-Match": known})
            assert again.status == 304
            assert await again.read() == b""
            assert again.headers["ETag"] == tag
            assert again.headers["Cache-Control"] == "no-cache"
        assert (await http.get("/", headers={"If-None-Match": '"other"'})).status == 200
        assert (await http.get("/favicon.svg")).headers["ETag"] != tag


@pytest.mark.parametrize(
    ("accepts", "zipped"),
    [
        ("gzip", True),
        ("deflate, GZIP;q=0.5, br", True),
        ("*", True),
        ("identity", False),
        ("", False),
        ("gzip;q=0", False),
        ("gzip; q=0.0", False),
        ("gzip;q=x", False),
        ("gzipped", False),
    ],
)
async def test_compression(page: Path, accepts: str, zipped: bool) -> None:
    async with client(page) as http:
        answer = await http.get("/assets/index-Dk3fL9a_.js", headers={"Accept-Encoding": accepts})
        body = await answer.read()
        assert answer.headers.get("Content-Encoding") == ("gzip" if zipped else None)
        assert answer.headers["Vary"] == "Accept-Encoding"
        assert int(answer.headers["Content-Length"]) == len(body)
        assert (gzip.decompress(body) if zipped else body).decode() == SCRIPT
        assert (len(body) < len(SCRIPT) / 5) is zipped
        small = await http.get("/assets/index-B1c2d3.css", headers={"Accept-Encoding": accepts})
        assert "Content-Encoding" not in small.headers  # it would grow


async def test_what_the_browser_is_told_to_forbid(page: Path) -> None:
    async with client(page) as http:
        for path in ("/", "/assets/index-Dk3fL9a_.js", "/favicon.svg"):
            answer = await http.get(path, headers={"Host": "chat.example:8443"})
            expected = page_headers("chat.example:8443")
            assert {name: answer.headers[name] for name in expected} == expected
            assert "Set-Cookie" not in answer.headers


async def test_who_may_frame_it(page: Path) -> None:
    app = web.Application()
    app.add_routes(routes(page, ["https://a.example"]))
    async with TestClient(TestServer(app)) as http:
        answer = await http.get("/")
        assert "frame-ancestors https://a.example;" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize("there", [True, False])
async def test_a_page_that_is_not_built(
    tmp_path: Path, there: bool, caplog: pytest.LogCaptureFixture
) -> None:
    directory = tmp_path / "_web"
    if there:
        directory.mkdir()
    async with client(directory) as http:
        answer = await http.get("/")
        assert answer.status == 503
        assert "make web" in await answer.text()
        assert answer.headers["Content-Type"].startswith("text/plain")
        assert answer.headers["Cache-Control"] == "no-store"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert caplog.text.count("make web") == 1


def test_the_page_lies_in_the_package() -> None:
    assert PAGE.name == "_web"
    assert PAGE.parent.name == "sioserver"
    assert (PAGE.parent / "py.typed").is_file()


def test_every_file_of_the_built_page_has_a_type() -> None:
    """The built one's when there is one; the table covers what Vite makes of our sources."""
    built = {Path(name).suffix for name in read(PAGE)}
    assert built <= TYPES.keys()
