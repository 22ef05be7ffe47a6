"""Serves the built page.

The files are read once, and each gets a route of its own: what is not one of them cannot be asked
for, however the address is spelt, and no request waits for a disk.
"""

from __future__ import annotations

import gzip
import logging
import re
from collections.abc import Awaitable, Callable
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec
from aiohttp import web

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
_HOST: Final = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")

NOT_BUILT: Final = """\
sioserver is running, but its page is not built.

Build it with

    make web

and start the server again. Socket.IO clients can connect without it.
"""


class File(msgspec.Struct, frozen=True):
    """A file of the page, ready to be sent."""

    body: bytes
    zipped: bytes | None
    """None where it would not be smaller."""
    content_type: str
    etag: str
    caching: str


def routes(directory: Path = PAGE) -> list[web.RouteDef]:
    """A route for each file in the directory, and `/` for the page itself."""
    files = read(directory)
    index = files.get(INDEX)
    if index is None:
        log.warning("the page is not built: make web")
        return [web.get("/", _not_built)]
    found = [web.get("/", _sender(index))]
    found += [web.get(f"/{name}", _sender(file)) for name, file in files.items() if name != INDEX]
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


def _sender(file: File) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def send(request: web.Request) -> web.Response:
        headers = {
            **security_headers(request.host),
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


async def _not_built(request: web.Request) -> web.Response:
    # not 200: a monitor that looks for the page should see that there is none
    headers = {**security_headers(request.host), "Cache-Control": "no-store"}
    return web.Response(status=503, text=NOT_BUILT, headers=headers)


def security_headers(host: str) -> dict[str, str]:
    """What the browser is told to forbid. `host` is the one that it asked for."""
    connect = "'self'"
    if _HOST.fullmatch(host):  # a stranger's text otherwise: it must not add a directive
        # older Safaris do not count WebSockets to the same host as 'self'
        connect += f" ws://{host} wss://{host}"
    return {
        "Content-Security-Policy": (
            f"default-src 'self'; connect-src {connect}; object-src 'none'; base-uri 'none'; "
            "form-action 'none'; frame-ancestors 'none'; "
            # text becomes markup or code through Vue's compiled templates only
            "require-trusted-types-for 'script'; trusted-types vue"
        ),
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
    }


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
