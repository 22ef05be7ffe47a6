"""A request to a running server's HTTP API, for a command: no proxies, no redirects, one answer.

An operator's key goes to the address that the operator named and nowhere else. Knows neither what
is asked for nor where the key comes from.
"""

from __future__ import annotations

import http.client
import json
from typing import Any, Final
from urllib.parse import urlsplit

TIMEOUT: Final = 10.0
LARGEST: Final = 1_000_000


class RemoteError(Exception):
    """The server did not do it. The message says why, and what to do."""


def ask(
    url: str, key: str, method: str, path: str, body: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The answer of the server at `url` (with the path that it is mounted at, if any). Raises
    `RemoteError`."""
    connection, base = _connection(url)
    headers = {"Authorization": f"Bearer {key}", "Accept": "application/json"}
    if body is not None:
        headers["Content-Type"] = "application/json"
    try:
        data = None if body is None else json.dumps(body).encode()
        connection.request(method, base + path, data, headers)
        response = connection.getresponse()
        answer = response.read(LARGEST)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise RemoteError(f"{url} does not answer: {error}") from error
    finally:
        connection.close()
    try:
        found = json.loads(answer)
        if response.status == 200 and found["ok"]:
            return dict(found)
        reason = str(found["error"]["message"])
    except (ValueError, LookupError, TypeError):
        reason = "this is no answer of sioserver; look at the address"
    if response.status == 404 and not _is_told(answer):
        reason += "; is it the right address, and has the server an api.keys entry?"
    raise RemoteError(f"{url} answers {response.status}: {reason}")


def _is_told(answer: bytes) -> bool:
    """Does the server itself say that something is not there? It is the right address then."""
    try:
        return bool(json.loads(answer)["error"]["code"] == "not_found")
    except (ValueError, LookupError, TypeError):
        return False


def _connection(url: str) -> tuple[http.client.HTTPConnection, str]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise RemoteError(f"{url!r} is no address: {error}") from None
    kinds = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
    if parts.scheme not in kinds or not host or parts.username or parts.query or parts.fragment:
        raise RemoteError(f"{url!r} is not the address of a server, such as http://127.0.0.1:8000")
    return kinds[parts.scheme](host, port, timeout=TIMEOUT), parts.path.rstrip("/")
