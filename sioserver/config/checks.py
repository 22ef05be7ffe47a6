"""What has to hold between settings, and inside a value beyond its type.

Pure functions of a whole `Config`; they know neither files nor flags. Each problem names the keys
it is about, the one to change first. What a URL or an address may be is for `urls`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

from sioserver import hosts
from sioserver.addresses import is_loopback
from sioserver.config.api_keys import parse_api_key
from sioserver.config.schema import KEY_SOURCES, Config
from sioserver.config.secrets import (
    ALGORITHMS,
    HOW_TO_MAKE_ONE,
    LEAST_BYTES,
    algorithms_for,
    secret_fault,
)
from sioserver.config.urls import (
    is_address,
    is_unspecified,
    jwks_fault,
    network_fault,
    port_of,
    redis_fault,
    webhook_fault,
)
from sioserver.origins import LAST_PORT, parse_pattern

MAX_API_KEYS: Final = 100
MAX_OLD_SECRETS: Final = 8
MAX_KEY_FILES: Final = 16
MAX_WEBHOOKS: Final = 16
TAKEN_PATHS: Final = ("/healthz", "/readyz", "/metrics")


class Problem(NamedTuple):
    """`keys` are paths such as `auth.secret`; those of rules are `rooms.rules.<n>.<key>`."""

    keys: tuple[str, ...]
    text: str


def problems(config: Config, taken_events: Collection[str] = ()) -> Iterator[Problem]:
    """Everything that is wrong. `taken_events` are names that the protocol keeps for itself."""
    yield from _addresses(config)
    yield from _tls(config)
    yield from _auth(config)
    yield from _api(config)
    yield from _origins(config)
    yield from _frames(config)
    yield from _sizes(config)
    yield from _transports(config)
    yield from _gateway(config)
    yield from _cluster(config)
    yield from _rooms(config)
    yield from _relays(config, taken_events)
    yield from _webhooks(config)


def _addresses(config: Config) -> Iterator[Problem]:
    server = config.server
    if not re.fullmatch(r"[^\s/\[\]]+", server.host):
        yield Problem(
            ("server.host",), "expected an address or a host name, such as 127.0.0.1, 0.0.0.0 or ::"
        )
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", server.path):
        yield Problem(
            ("server.path",),
            'expected a path that begins with "/" and does not end with it, such as /socket.io',
        )
    elif f"{server.path}/".startswith(tuple(f"{path}/" for path in (*TAKEN_PATHS, "/api"))):
        yield Problem(("server.path",), "something else is there; the default is /socket.io")
    for name in server.hosts:
        if text := hosts.fault(name):
            yield Problem(("server.hosts",), text)
    for proxy in server.trusted_proxies:
        if text := network_fault(proxy):
            yield Problem(("server.trusted_proxies",), text)


def _gateway(config: Config) -> Iterator[Problem]:
    path = config.gateway.path
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", path):
        yield Problem(
            ("gateway.path",),
            'expected a path that begins with "/" and does not end with it, such as /ws',
        )
    elif path.startswith((f"{config.server.path or path}/", "/api/")) or path in TAKEN_PATHS:
        yield Problem(("gateway.path",), "something else is there; the default is /ws")
    elif path == config.server.path:
        yield Problem(("gateway.path", "server.path"), "Socket.IO is there; the default is /ws")


def _tls(config: Config) -> Iterator[Problem]:
    tls = config.tls
    for name in ("key", "password"):
        if getattr(tls, name) and not tls.cert:
            yield Problem(
                (f"tls.{name}", "tls.cert"), "there is no TLS without a certificate: set tls.cert"
            )


def _auth(config: Config) -> Iterator[Problem]:
    auth, host = config.auth, config.server.host
    for key, secret in (
        *([("auth.secret", auth.secret)] if auth.secret else ()),
        *(("auth.old_secrets", secret) for secret in auth.old_secrets),
    ):
        if text := secret_fault(secret):
            yield Problem((key,), text)
    for key, found, most in (
        ("auth.old_secrets", auth.old_secrets, MAX_OLD_SECRETS),
        ("auth.public_keys", auth.public_keys, MAX_KEY_FILES),
    ):
        if len(found) > most:
            yield Problem((key,), f"there are {len(found)}, at most {most} are taken")
    if auth.jwks_is_url and (text := jwks_fault(auth.jwks)):
        yield Problem(("auth.jwks",), text)
    if auth.algorithms and not auth.takes_tokens:
        yield Problem(("auth.algorithms",), f"there is nothing to use them with: set {KEY_SOURCES}")
    elif (
        auth.algorithms
        and auth.secret
        and not set(auth.algorithms) & set(algorithms_for(auth.secret))
    ):
        yield Problem(
            ("auth.algorithms", "auth.secret"),
            "none of them is for auth.secret: HS256, and with at least 48 and 64 bytes HS384 and "
            "HS512, are",
        )
    public = [key for key in ("public_keys", "jwks") if getattr(auth, key)]
    if auth.algorithms and public and not set(auth.algorithms) - ALGORITHMS.keys():
        yield Problem(
            ("auth.algorithms", *(f"auth.{key}" for key in public)),
            f"none of them is for auth.{public[0]}: those that begin with HS are for secrets only",
        )
    if not auth.takes_tokens and not auth.insecure_anonymous and host and not is_loopback(host):
        yield Problem(
            ("server.host", "auth.secret", "auth.insecure_anonymous"),
            f"{host} can be reached from outside and nobody needs a token: set {KEY_SOURCES}, "
            "or auth.insecure_anonymous = true to let everybody in",
        )


def _api(config: Config) -> Iterator[Problem]:
    names: set[str] = set()
    if len(config.api.keys) > MAX_API_KEYS:
        text = f"there are {len(config.api.keys)}, at most {MAX_API_KEYS} are taken"
        yield Problem(("api.keys",), text)
    for number, entry in enumerate(config.api.keys, 1):
        try:
            key = parse_api_key(entry)
        except ValueError as error:
            yield Problem(("api.keys",), f"entry {number}: {error}")
            continue
        if key.name in names:
            yield Problem(("api.keys",), f"{key.name} is there twice: give each key a name")
        names.add(key.name)
    if config.server.metrics == "admin" and not config.api.keys and not config.auth.takes_tokens:
        yield Problem(
            ("server.metrics", "api.keys"),
            "nobody could read them: add a key to api.keys (sioserver apikey make NAME --for "
            "metrics)",
        )


def _origins(config: Config) -> Iterator[Problem]:
    for origin in config.server.origins:
        try:
            parse_pattern(origin)
        except ValueError as error:
            also = "; or set server.insecure_any_origin = true" if origin == "*" else ""
            yield Problem(("server.origins",), f"{error}{also}")


def _frames(config: Config) -> Iterator[Problem]:
    for page in config.server.frame_ancestors:
        key = ("server.frame_ancestors",)
        if page == "self":
            continue
        try:
            scheme, host, _ = parse_pattern(page)
        except ValueError as error:
            yield Problem(key, f'{error}; or "self"')
            continue
        if scheme not in ("http", "https"):
            yield Problem(key, f'"{page}": pages that have frames come over http or https')
        elif host.startswith("["):
            yield Problem(key, f'"{page}": browsers take no IPv6 address here; give it a name')


def _sizes(config: Config) -> Iterator[Problem]:
    limits = config.limits
    bodies = {"limits.max_body": limits.max_body}
    for number, rule in enumerate(config.rooms.rules):
        bodies[f"rooms.rules.{number}.max_body"] = rule.max_body
    for key, body in bodies.items():
        if body > limits.max_payload:
            yield Problem(
                (key, "limits.max_payload"),
                f"{body} is more than limits.max_payload ({limits.max_payload}) lets through",
            )
        if body > limits.client_queue:
            yield Problem(
                (key, "limits.client_queue"),
                f"{body} is more than limits.client_queue ({limits.client_queue}): "
                "such a message would cut off everybody who gets it",
            )


def _transports(config: Config) -> Iterator[Problem]:
    offered = config.transport.transports
    if not offered or len(set(offered)) < len(offered):
        yield Problem(
            ("transport.transports",), 'expected "polling", "websocket" or both, each once'
        )


def _cluster(config: Config) -> Iterator[Problem]:
    redis, cluster = config.redis, config.cluster
    if redis.url and (text := redis_fault(redis.url, bool(redis.sentinels))):
        yield Problem(("redis.url", "redis.sentinels"), text)
    if redis.sentinels and not redis.url:
        yield Problem(
            ("redis.url", "redis.sentinels"),
            "without it the embedded engine is used; redis:// is enough beside redis.sentinels",
        )
    if redis.sentinels and not redis.service:
        yield Problem(
            ("redis.service",), "expected the name that the Sentinels have for the master"
        )
    for address in redis.sentinels:
        if not is_address(address):
            yield Problem(("redis.sentinels",), f'"{address}" is not host:port')
    if not re.fullmatch(r"[A-Za-z0-9._:-]{1,64}", redis.prefix):
        yield Problem(("redis.prefix",), "expected 1 to 64 letters, digits and . _ : -")
    if cluster.address and not is_address(cluster.address):
        yield Problem(("cluster.address",), "expected host:port, such as 10.0.0.5:9000")
    elif cluster.address and port_of(cluster.address) + config.server.workers > LAST_PORT:
        yield Problem(
            ("cluster.address", "server.workers"),
            f"each worker has a port of its own, and one more is needed when they are replaced: "
            f"there are not that many after {port_of(cluster.address)}",
        )
    elif cluster.address and is_unspecified(cluster.address):
        yield Problem(
            ("cluster.address",),
            f"expected the address at which the other hosts reach this one, such as 10.0.0.5:9000; "
            f"{cluster.address} is nobody's",
        )
    if cluster.address and not redis.url:
        yield Problem(
            ("redis.url", "cluster.address"),
            "cluster.address needs redis.url: hosts find each other, and share their rooms, in "
            "one Redis",
        )
    yield from _bus_secrets(config)
    size = len(cluster.secret.encode())
    if cluster.address and not size:
        yield Problem(
            ("cluster.secret", "cluster.address"),
            f"cluster.address needs cluster.secret, at least {LEAST_BYTES} bytes; "
            f"make one with: {HOW_TO_MAKE_ONE}",
        )
    elif 0 < size < LEAST_BYTES:
        yield Problem(
            ("cluster.secret", "cluster.address"),
            f"the secret has {size} bytes, at least {LEAST_BYTES} are needed; "
            f"make one with: {HOW_TO_MAKE_ONE}",
        )


def _bus_secrets(config: Config) -> Iterator[Problem]:
    redis = config.redis
    for key, secrets in (
        ("redis.bus_secret", [redis.bus_secret] if redis.bus_secret else []),
        ("redis.old_bus_secrets", redis.old_bus_secrets),
    ):
        for secret in secrets:
            if text := secret_fault(secret):
                yield Problem((key,), text)
    if redis.old_bus_secrets and not redis.bus_secret:
        yield Problem(
            ("redis.bus_secret", "redis.old_bus_secrets"),
            "without it nothing is signed, and old secrets are of no use: set redis.bus_secret, "
            "or leave out redis.old_bus_secrets",
        )


def _rooms(config: Config) -> Iterator[Problem]:
    if not _is_room_name(config.rooms.root):
        yield Problem(
            ("rooms.root",),
            "expected a room name: 1 to 128 letters, digits and _ . : - / in Unicode form NFC",
        )
    earlier: list[str] = []
    for number, rule in enumerate(config.rooms.rules):
        key = f"rooms.rules.{number}.match"
        if not rule.match:
            yield Problem((key,), 'the pattern is empty; "*" matches every room')
        elif rule.match in earlier:
            yield Problem((key,), "an earlier rule has the same pattern, and the first match wins")
        elif winner := next((match for match in earlier if _covers(match, rule.match)), None):
            yield Problem(
                (key,), f'never reached: "{winner}" stands before it, and the first match wins'
            )
        earlier.append(rule.match)


def _is_room_name(name: str) -> bool:
    return (
        0 < len(name) <= 128
        and unicodedata.normalize("NFC", name) == name
        and all(sign in "_.:-/" or unicodedata.category(sign)[0] in "LNM" for sign in name)
    )


def _covers(pattern: str, later: str) -> bool:
    """Whether every name that `later` matches is certainly matched by `pattern` too.

    With `*` as the only wild card of `pattern` it is enough to match the later pattern's own text;
    a `[` in either could stand for signs that the text does not show, so nothing is claimed then.
    """
    if set(pattern) & set("?[") or "[" in later:
        return False
    return fnmatchcase(later, pattern)


def _relays(config: Config, taken: Collection[str]) -> Iterator[Problem]:
    for number, rule in enumerate(config.rooms.rules):
        for setting in ("relay", "relay_latest"):
            for name in getattr(rule, setting):
                if not name or name in taken or name.startswith("__"):
                    yield Problem(
                        (f"rooms.rules.{number}.{setting}",),
                        f'"{name}" cannot be relayed: the protocol uses the name itself',
                    )
        for name in sorted({*rule.relay} & {*rule.relay_latest}):
            yield Problem(
                (f"rooms.rules.{number}.relay_latest",),
                f'"{name}" is in relay too: either every one counts, or only the newest',
            )


def _webhooks(config: Config) -> Iterator[Problem]:
    endpoints = config.webhooks.endpoints
    if len(endpoints) > MAX_WEBHOOKS:
        text = f"there are {len(endpoints)}, at most {MAX_WEBHOOKS} are taken"
        yield Problem(("webhooks.endpoints",), text)
    names: set[str] = set()
    for number, endpoint in enumerate(endpoints):
        key = f"webhooks.endpoints.{number}"
        if text := webhook_fault(endpoint.url):
            yield Problem((f"{key}.url",), text)
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,32}", endpoint.name):
            yield Problem((f"{key}.name",), "expected 1 to 32 letters, digits and _ -")
        elif endpoint.name in names:
            text = f"{endpoint.name} is there twice: give each webhook a name"
            yield Problem((f"{key}.name",), text)
        names.add(endpoint.name)
        if text := secret_fault(endpoint.secret):
            yield Problem((f"{key}.secret",), text)
        for name in ("events", "rooms"):
            if not getattr(endpoint, name):
                yield Problem((f"{key}.{name}",), "the list is empty, so nothing would be sent")
