"""Serves the built page.

The files are read once, and each gets a route of its own: what is not one of them cannot be asked
for, however the address is spelt, and no request waits for a disk.
"""

from __future__ import annotations

import gzip
import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import Final

import msgspec
from aiohttp import web

from sioserver.api.headers import page_headers

log = logging.getLogger("sioserver.web")

PAGE: Final = Path(__file__).resolve().parent.parent / "_web"
"""Where `make web` puts the page, and the wheel has it."""

INDEX: Final = "index.html"
HASHED: Final = "assets/"
"""Files under here have their content's hash in the name: they never change."""

# Our own table: the one of the standard library differs between systems.
TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json; charset=utf-8",
    ".map": "application/json; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".mp3": "audio/mpeg",
    ".png": "image/png",
    ".svg": "image/svg+xml; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json; charset=utf-8",
    ".webp": "image/webp",
    ".woff2": "font/woff2",
}
_NAME: Final = re.compile(r"[\w.-]+(?:/[\w.-]+)*", re.ASCII)

NOT_BUILT: Final = """\
sioserver is running, but its page is not built.

Build it with

    make web

and start the server again. Socket.IO clients can connect without it.
"""

SOCKET_PATH: Final = b'<meta name="socket-path" content="socket.io" />'
"""Where the page says to its scripts at which path, from its own, Socket.IO is."""
SOCKET_TRANSPORTS: Final = b'<meta name="socket-transports" content="" />'
"""Where it says by which transports; empty: by all."""

Fields = Callable[[web.Request], dict[str, str]]
Handler = Callable[[web.Request], Awaitable[web.Response]]


class File(msgspec.Struct, frozen=True):
    """A file of the page, ready to be sent."""

    body: bytes
    zipped: bytes | None
    """None where it would not be smaller."""
    content_type: str
    etag: str
    caching: str


def routes(
    directory: Path = PAGE,
    frame_ancestors: Sequence[str] = (),
    socket_path: str = "/socket.io",
    transports: Sequence[str] = ("polling", "websocket"),
) -> list[web.RouteDef]:
    """A route for each file in the directory, and `/` for the page itself. `frame_ancestors`: who
    may show it in a frame, see `page_headers`. `socket_path` and
    `transports`: where and how its scripts find Socket.IO."""

    def fields(request: web.Request) -> dict[str, str]:
        return page_headers(request.host, frame_ancestors)

    files = read(directory)
    index = files.pop(INDEX, None)
    if index is None:
        log.warning("the page is not built: make web")
        return [web.get("/", _teller(fields))]
    index = _file(INDEX, _told(index.body, socket_path, transports))
    found = [web.get("/", _sender(index, fields))]
    found += [web.get(f"/{name}", _sender(file, fields)) for name, file in files.items()]
    return found


def read(directory: Path) -> dict[str, File]:
    """The files by their path below the directory. What leads out of it is left out."""
    root = directory.resolve()
    files = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
        inside = path.resolve().is_relative_to(root)
        if path.is_file() and inside and not hidden and _NAME.fullmatch(name):
            files[name] = _file(name, path.read_bytes())
    return files


def _file(name: str, body: bytes) -> File:
    zipped = gzip.compress(body, mtime=0)
    return File(
        body=body,
        zipped=zipped if len(zipped) < 0.9 * len(body) else None,
        content_type=TYPES.get(Path(name).suffix, "application/octet-stream"),
        etag=sha256(body).hexdigest()[:32],
        caching="public, max-age=31536000, immutable" if name.startswith(HASHED) else "no-cache",
    )


def _told(page: bytes, socket_path: str, transports: Sequence[str]) -> bytes:
    """The page, with what it has to know where that is not as usual."""
    told = {}
    if socket_path != "/socket.io":
        path = escape(socket_path.removeprefix("/"))
        told[SOCKET_PATH] = SOCKET_PATH.replace(b"socket.io", path.encode())
    if len(transports) == 1:
        told[SOCKET_TRANSPORTS] = SOCKET_TRANSPORTS.replace(b'""', f'"{transports[0]}"'.encode())
    for place, said in told.items():
        if place not in page:
            log.warning("the page is an old one and will not find Socket.IO: make web")
        page = page.replace(place, said)
    return page


def _sender(file: File, fields: Fields) -> Handler:
    async def send(request: web.Request) -> web.Response:
        headers = {
            **fields(request),
            "Cache-Control": file.caching,
            # weak: it stands for both codings
            "ETag": f'W/"{file.etag}"',
            "Vary": "Accept-Encoding",
        }
        if any(tag.value in (file.etag, "*") for tag in request.if_none_match or ()):
            return web.Response(status=304, headers=headers)
        headers["Content-Type"] = file.content_type
        body = file.body
        if file.zipped is not None and _takes_gzip(request.headers.get("Accept-Encoding", "")):
            headers["Content-Encoding"] = "gzip"
            body = file.zipped
        return web.Response(body=body, headers=headers)

    return send


def _teller(fields: Fields) -> Handler:
    async def tell(request: web.Request) -> web.Response:
        # not 200: a monitor that looks for the page should see that there is none
        headers = {**fields(request), "Cache-Control": "no-store"}
        return web.Response(status=503, text=NOT_BUILT, headers=headers)

    return tell


def _takes_gzip(accepted: str) -> bool:
    """Does the Accept-Encoding header name gzip, other than to refuse it?"""
    for item in accepted.lower().split(","):
        coding, _, quality = item.replace(" ", "").partition(";q=")
        if coding in ("gzip", "*"):
            try:
                return not quality or float(quality) > 0
            except ValueError:
                return False
    return False
