"""Configuration files of nginx and HAProxy: what they do to connections that live for hours.

Pure: texts in, findings out. Only what is written in the file is known: files that it includes
are not, and neither is what the program has for defaults of its own but for time-outs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from sioserver.config import Config
from sioserver.doctor.findings import Finding, fail, ok, skip, warn

NO_NAME: Final = (
    "does not set X-Forwarded-Host: what clients write there passes, and counts as the name by "
    "which they asked"
)

NO_PROTOCOL: Final = (
    "takes the sub-protocol away that plain WebSockets ask for: their pages give up"
)

NGINX_TIMEOUT: Final = 60.0
"""Seconds: `proxy_read_timeout` and `proxy_send_timeout` where nothing is written."""


class Signs(NamedTuple):
    """The signs of life on a connection on which nobody speaks."""

    what: str
    every: float
    """Seconds from one to the next."""
    late: float
    """The same where a client takes as long to answer as it may."""
    setting: str


def signs(config: Config, *, plain: bool) -> Signs:
    """The rarest ones. `plain`: of plain WebSockets too, of which those of the tutorial's dialect
    have heartbeats in place of pings (`gateway.heartbeat`)."""
    every = config.transport.ping_interval
    late = every + config.transport.ping_timeout
    heartbeat = config.gateway.heartbeat if plain else 0.0
    if heartbeat > every:
        return Signs("heartbeat", heartbeat, max(late, heartbeat), "gateway.heartbeat")
    return Signs("ping", every, late, "transport.ping_interval")


def timeout(config: Config, check: str, name: str, seconds: float, *, plain: bool) -> Finding:
    """What it means that a proxy closes connections on which nothing happens for so long.
    `plain`: plain WebSockets come that way too."""
    what, every, late, setting = signs(config, plain=plain)
    words = f"{name} is {seconds:g} s"
    remedy = f"more than {late:g} s, or a shorter {setting}"
    if seconds <= every:
        return fail(
            check,
            f"{words}: connections on which nobody speaks are cut, {what}s come every {every:g} s",
            remedy,
        )
    if seconds <= late:
        return warn(check, f"{words}: a client that is slow to answer a {what} is cut", remedy)
    return ok(check, words)


def seconds_of(text: str, unit: float) -> float:
    """A time as nginx and HAProxy write it: 90s, 1m30s, 500ms; a number alone is in `unit`. Raises
    ValueError."""
    sizes = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
    if text.isdecimal():
        return int(text) * unit
    parts = re.findall(r"(\d+)(us|ms|[smhdw])", text)
    if not parts or "".join(map("".join, parts)) != text:
        raise ValueError(f"{text!r} is no time")
    return sum(int(number) * sizes[name] for number, name in parts)


# ---------------------------------------------------------------------------- nginx


@dataclass(eq=False)
class Block:
    """A block of nginx' file, or all of it."""

    name: str
    arguments: Sequence[str] = ()
    parent: Block | None = None
    directives: list[tuple[str, Sequence[str]]] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)

    def value(self, name: str) -> Sequence[str] | None:
        """What is in force here: the last one of this block, else of the ones around it."""
        for known, arguments in reversed(self.directives):
            if known == name:
                return arguments
        return self.parent.value(name) if self.parent is not None else None

    def headers(self) -> Mapping[str, str]:
        """The headers that are set, by their names in lower case: those of the innermost block that
        sets any, as nginx has it."""
        own = {
            arguments[0].lower(): " ".join(arguments[1:])
            for name, arguments in self.directives
            if name == "proxy_set_header" and arguments
        }
        return own if own or self.parent is None else self.parent.headers()

    def walk(self) -> Iterator[Block]:
        """This one and all inside."""
        yield self
        for block in self.blocks:
            yield from block.walk()


_TOKEN: Final = re.compile(
    r"""\s+|\#[^\n]*|([{};])|"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|((?:[^\s{};"'\\]|\\.|\$\{[^}]*\})+)"""
)


def parse_nginx(text: str) -> Block:
    """The blocks of a file. Raises ValueError."""
    root = here = Block("")
    words: list[str] = []
    place = 0
    while place < len(text):
        found = _TOKEN.match(text, place)
        if found is None:
            raise ValueError(f"line {text.count(chr(10), 0, place) + 1} cannot be read")
        place = found.end()
        sign = found[1]
        if sign is None:
            words += [word for word in found.groups()[1:] if word is not None]
            continue
        if sign == "}":
            if here.parent is None or words:
                raise ValueError(f"line {text.count(chr(10), 0, place) + 1}: a }} too many")
            here = here.parent
        elif not words:
            raise ValueError(f"line {text.count(chr(10), 0, place) + 1}: {sign} without a word")
        elif sign == ";":
            here.directives.append((words[0], words[1:]))
        else:
            block = Block(words[0], words[1:], here)
            here.blocks.append(block)
            here = block
        words = []
    if here is not root or words:
        raise ValueError("it ends inside of a block")
    return root


def nginx(config: Config, file: str, text: str) -> Iterator[Finding]:
    """What a file of nginx does to the server behind it."""
    try:
        root = parse_nginx(text)
    except ValueError as error:
        yield skip(f"nginx {file}", f"it cannot be understood: {error}")
        return
    locations = [
        block
        for block in root.walk()
        if block.name == "location" and any(name == "proxy_pass" for name, _ in block.directives)
    ]
    chosen = _chosen(locations, config.server.path + "/")
    plain = _chosen(locations, config.gateway.path) if config.gateway.enabled else []
    if not chosen:
        yield skip(f"nginx {file}", f"no location with a proxy_pass is for {config.server.path}")
    if config.gateway.enabled and not plain:
        yield skip(
            f"nginx {file}",
            f"no location with a proxy_pass is for {config.gateway.path}: plain WebSockets do not "
            "get through here",
            "one like that of Socket.IO; or gateway.enabled = false",
        )
    for block in locations:
        if block in chosen or block in plain:
            check = f"nginx {file} location {' '.join(block.arguments)}"
            yield from _location(
                config, check, block, socketio=block in chosen, plain=block in plain
            )
    # requests of sessions may have a location of their own, as in deploy/nginx.conf
    once = any(block.value("proxy_next_upstream") == ["off"] for block in chosen)
    if chosen and config.cluster.address and not once:
        yield warn(
            f"nginx {file}",
            "may send a poll a second time to another host: what the first was answered is lost",
            "proxy_next_upstream off; where sessions are (see deploy/nginx.conf)",
        )


def _chosen(locations: Sequence[Block], path: str) -> list[Block]:
    """Where requests for the path may end: of each server the longest prefix, those whose regular
    expression matches, and those with a name, which others lead to."""
    longest: dict[int, Block] = {}
    others = []
    for block in locations:
        *modifier, pattern = block.arguments or [""]
        if pattern.startswith("@") or _matches(modifier, pattern, path):
            others.append(block)
        elif modifier == ["="] and pattern != path:
            continue
        elif modifier not in (["~"], ["~*"]) and path.startswith(pattern):
            known = longest.get(id(block.parent))
            if known is None or len(known.arguments[-1]) <= len(pattern):
                longest[id(block.parent)] = block
    return [block for block in locations if block in [*longest.values(), *others]]


def _matches(modifier: Sequence[str], pattern: str, path: str) -> bool:
    if modifier not in (["~"], ["~*"]):
        return False
    try:
        flags = re.IGNORECASE if modifier == ["~*"] else 0
        return re.search(pattern, path, flags) is not None
    except re.error:  # one that only PCRE knows
        return False


def _location(
    config: Config, check: str, block: Block, *, socketio: bool, plain: bool
) -> Iterator[Finding]:
    for name in ("proxy_read_timeout", "proxy_send_timeout"):
        given = block.value(name)
        try:
            seconds = seconds_of(given[0], 1.0) if given else NGINX_TIMEOUT
        except ValueError as error:
            yield skip(check, f"{name}: {error}")
        else:
            words = name if given else f"{name} (not written)"
            yield timeout(config, check, words, seconds, plain=plain)
    headers = block.headers()
    version = block.value("proxy_http_version")
    if "upgrade" in headers and "connection" in headers and version == ["1.1"]:
        yield ok(check, "passes the upgrade to WebSocket on")
    elif plain or "websocket" in config.transport.transports:
        path = config.gateway.path
        yield fail(
            check,
            "does not pass the upgrade to WebSocket on"
            + (f", without which nobody comes in at {path}" if plain else ""),
            "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; "
            'proxy_set_header Connection "upgrade";',
        )
    if plain and headers.get("sec-websocket-protocol") == "":
        yield fail(check, NO_PROTOCOL, "take out proxy_set_header Sec-WebSocket-Protocol")
    missing = [
        name
        for name in ("Host", "X-Forwarded-For", "X-Forwarded-Proto")
        if name.lower() not in headers
    ]
    if missing:
        yield warn(
            check,
            f"does not set {', '.join(missing)}: all clients have the proxy's address, or pages "
            "that came by https are taken for another site's",
            "see deploy/nginx.conf",
        )
    else:
        yield ok(check, "tells who the client is")
    if "x-forwarded-host" in headers:
        yield ok(check, "tells by what name it was asked")
    else:
        yield warn(check, NO_NAME, "proxy_set_header X-Forwarded-Host $http_host;")
    if not socketio:
        return  # of a WebSocket nothing is buffered
    if block.value("proxy_buffering") == ["off"]:
        yield ok(check, "does not buffer answers")
    else:
        yield warn(check, "buffers answers", "proxy_buffering off;")


# ---------------------------------------------------------------------------- HAProxy


class Section(NamedTuple):
    """A section of HAProxy's file, with the defaults that hold in it."""

    kind: str
    name: str
    lines: list[Sequence[str]]
    defaults: Sequence[Sequence[str]]

    def last(self, *words: str) -> Sequence[str] | None:
        """What follows these words, in the last line that begins so."""
        for line in reversed([*self.defaults, *self.lines]):
            if tuple(line[: len(words)]) == words:
                return line[len(words) :]
        return None


def parse_haproxy(text: str) -> list[Section]:
    """The sections of a file."""
    found: list[Section] = []
    defaults: Sequence[Sequence[str]] = ()
    kinds = {"global", "defaults", "frontend", "backend", "listen", "userlist", "resolvers"}
    for line in text.splitlines():
        words = re.sub(r"(?<!\\)#.*", "", line).split()
        if not words:
            continue
        if words[0] in kinds:
            name = words[1] if len(words) > 1 else ""
            found.append(Section(words[0], name, [], defaults))
            if words[0] == "defaults":
                found[-1] = found[-1]._replace(defaults=())
                defaults = found[-1].lines
        elif found:
            found[-1].lines.append(words)
    return found


def haproxy(config: Config, file: str, text: str) -> Iterator[Finding]:
    """What a file of HAProxy does to the server behind it."""
    sections = parse_haproxy(text)
    ends = [one for one in sections if one.kind in ("frontend", "backend", "listen")]
    if not ends:
        yield skip(f"haproxy {file}", "there is no frontend, backend or listen in it")
        return
    for section in ends:
        check = f"haproxy {file} {section.kind} {section.name}".rstrip()
        sides = {"frontend": ["client"], "backend": ["server"], "listen": ["client", "server"]}
        names = [*sides[section.kind], *(["tunnel"] if section.kind != "frontend" else [])]
        for name in names:
            yield from _haproxy_timeout(config, check, section, name)
        if section.kind != "frontend":
            retry = section.last("retry-on")
            if config.cluster.address and retry and list(retry) != ["conn-failure"]:
                yield warn(
                    check,
                    f"may send a poll a second time (retry-on {' '.join(retry)}): what the first "
                    "was answered is lost",
                    "retry-on conn-failure",
                )
    if any(section.last("option", "forwardfor") is not None for section in ends):
        yield ok(f"haproxy {file}", "tells who the client is")
    else:
        yield warn(
            f"haproxy {file}",
            "does not say who the client is: all have the proxy's address",
            "option forwardfor",
        )
    sets = {
        line[2].lower()
        for section in ends
        for line in [*section.defaults, *section.lines]
        if line[:2] == ["http-request", "set-header"] and len(line) > 2
    }
    taken = {
        line[2].lower()
        for section in ends
        for line in [*section.defaults, *section.lines]
        if line[:2] == ["http-request", "del-header"] and len(line) > 2
    }
    if config.gateway.enabled and "sec-websocket-protocol" in taken:
        yield fail(f"haproxy {file}", NO_PROTOCOL, "take out del-header Sec-WebSocket-Protocol")
    if "x-forwarded-host" in sets:
        yield ok(f"haproxy {file}", "tells by what name it was asked")
    else:
        yield warn(
            f"haproxy {file}",
            NO_NAME,
            "http-request set-header X-Forwarded-Host %[req.hdr(host)]",
        )
    if "x-forwarded-proto" in sets:
        yield ok(f"haproxy {file}", "tells whether the client came by https")
    else:
        yield warn(
            f"haproxy {file}",
            "does not set X-Forwarded-Proto: pages that came by https are another site's",
            "see deploy/haproxy.cfg",
        )


def _haproxy_timeout(config: Config, check: str, section: Section, name: str) -> Iterator[Finding]:
    given = section.last("timeout", name)
    if not given:
        if name != "tunnel":  # then WebSockets have that of client and server
            yield warn(
                check,
                f"timeout {name} is not written: broken connections stay for ever",
                f"timeout {name} 90s",
            )
        return
    try:
        seconds = seconds_of(given[0], 1e-3)
        # which paths come here is not looked at: those of plain WebSockets may
        yield timeout(config, check, f"timeout {name}", seconds, plain=config.gateway.enabled)
    except ValueError as error:
        yield skip(check, f"timeout {name}: {error}")
