"""What the configuration itself says: secrets, who may come in, and what was meant for a while.

Pure: a `Config` in, findings out. What makes a configuration impossible is `sioserver.config`'s.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network
from typing import Final
from urllib.parse import urlsplit

from sioserver.addresses import is_loopback
from sioserver.config import Config
from sioserver.config.keys import KEYS
from sioserver.config.schema import KEY_SOURCES
from sioserver.config.secrets import HOW_TO_MAKE_ONE
from sioserver.doctor.findings import Finding, fail, ok, skip, warn
from sioserver.doctor.strength import weakness

NEW_SECRET: Final = f"make one with: {HOW_TO_MAKE_ONE}"
WIDE: Final = {4: 8, 6: 19}
"""Networks of fewer bits, by version of IP, are more than anybody has."""


def findings(config: Config) -> Iterator[Finding]:
    """All of them."""
    yield from _secrets(config)
    yield from _insecure(config)
    yield from _public(config)
    yield from _origins(config)
    yield from _proxies(config)
    yield from _bus(config)
    yield from _keeping(config)


def secrets_of(config: Config) -> dict[str, list[str]]:
    """The secrets that somebody has made up, by setting; not those that are part of an URL, nor
    what only opens a file."""
    found: dict[str, list[str]] = {}
    for key in KEYS.values():
        if key.secret and "secret" in key.name:
            value = getattr(getattr(config, key.section), key.name)
            texts = [value] if isinstance(value, str) else list(value)
            found[key.path] = [text for text in texts if text]
    return {path: texts for path, texts in found.items() if texts}


def _secrets(config: Config) -> Iterator[Finding]:
    owners: dict[str, str] = {}
    for path, texts in secrets_of(config).items():
        weak = next(filter(None, map(weakness, texts)), "")
        if weak:
            yield fail(path, f"the secret can be guessed: {weak}", NEW_SECRET)
        else:
            yield ok(path, "nothing speaks against the secret")
        for text in texts:
            if owners.setdefault(text, path) != path:
                yield warn(
                    path,
                    f"the same secret as {owners[text]}: who learns one has both",
                    f"one of its own; {NEW_SECRET}",
                )


def _insecure(config: Config) -> Iterator[Finding]:
    for key in KEYS.values():
        if key.name.startswith("insecure_") and getattr(getattr(config, key.section), key.name):
            yield warn(key.path, f"it is set. {key.about}", "take it out, unless that is meant")


def _public(config: Config) -> Iterator[Finding]:
    server, auth = config.server, config.auth
    if is_loopback(server.host):
        yield ok("server.host", f"{server.host} can be reached from this machine only")
        return
    if config.tls.cert:
        yield ok("server.host", f"{server.host} is public, and encrypted")
    elif server.trusted_proxies:
        yield ok("server.host", f"{server.host} is public; a proxy in front is named")
    else:
        yield warn(
            "server.host",
            f"{server.host} is public, without TLS and without a proxy that is named: tokens and "
            "messages can be read on their way",
            "set tls.cert, or put a proxy with TLS in front and name it in server.trusted_proxies",
        )
    if not auth.takes_tokens:
        yield fail(
            "server.host",
            f"{server.host} is public and everybody may join under any name",
            f"set {KEY_SOURCES}, and take out auth.insecure_anonymous",
        )
    if not config.limits.enabled:
        yield warn(
            "limits.enabled",
            "rates are not limited, and the address is public",
            "take out limits.enabled = false",
        )


def _origins(config: Config) -> Iterator[Finding]:
    if config.server.insecure_any_origin:
        return  # which was complained of by itself, and makes the list mean nothing
    origins = config.server.origins
    near = [origin for origin in origins if is_loopback(urlsplit(origin).hostname or "")]
    plain = [one for one in origins if one.startswith("http://") and one not in near]
    local = near if not is_loopback(config.server.host) else []
    if plain:
        yield warn(
            "server.origins",
            f"pages that came without encryption may connect ({', '.join(plain)}): whoever is on "
            "their way can act as their users",
            "list https:// only",
        )
    if local:
        yield warn(
            "server.origins",
            f"{', '.join(local)}: any program on a user's machine may serve such a page",
            "take it out where it is not a developer's server",
        )
    if not (plain or local):
        yield ok("server.origins", f"{len(origins)} besides the server's own")


def _proxies(config: Config) -> Iterator[Finding]:
    wide = []
    for text in config.server.trusted_proxies:
        network = ip_network(text)
        if network.prefixlen == 0:
            yield fail(
                "server.trusted_proxies",
                f"{text} is everybody: each client can claim any address and https",
                "name the proxies' own addresses",
            )
        elif network.prefixlen < WIDE[network.version]:
            wide.append(text)
    if wide:
        yield warn(
            "server.trusted_proxies",
            f"{', '.join(wide)}: very many could claim any address",
            "name the proxies' own addresses",
        )


def _bus(config: Config) -> Iterator[Finding]:
    if not config.redis.url:
        return
    if config.redis.bus_secret:
        yield ok("redis.bus_secret", "what comes on python-socketio's channel has to be signed")
    else:
        yield ok(
            "redis.bus_secret",
            "not set: who can publish in this Redis may emit to clients and disconnect them",
        )
    if not config.cluster.address:
        yield skip(
            "cluster.address",
            "not set: right for one host, whose workers find each other; polling through a "
            "balancer fails with several",
        )


def _keeping(config: Config) -> Iterator[Finding]:
    if config.store.path == ":memory:" and not config.redis.url:
        yield warn("store.path", ":memory: keeps nothing", "name a file")
