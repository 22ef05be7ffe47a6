"""Imports go down only, and each library has its place: the layers, read from the sources."""

import ast
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Each module or package directly under sioserver/, lowest layer first.
LAYERS = (
    {"model", "errors", "ids", "addresses", "characters", "matching", "private", "_version"},
    {
        "config",
        "wire",
        "protocol",
        "auth",
        "origins",
        "hosts",
        "limits",
        "admission",
        "metrics",
        "signature",
        "subscriptions",
    },
    {"hub", "holders", "followers", "local", "typists", "engine", "timers", "hooks"},
    {
        "rooms",
        "identities",
        "replay",
        "people",
        "visitors",
        "sessions",
        "operations",
        "direct",
        "directory",
        "search",
        "mentions",
        "relay",
        "activity",
        "moderation",
        "actors",
        "admin",
    },
    {"node", "keys", "memory", "connections", "requests", "webhooks", "websocket"},
    {"transport", "api", "gateway"},
    {"app", "serve", "site", "startup", "tls", "extension"},
    {
        "cli",
        "tokens",
        "doctor",
        "workers",
        "valkey",
        "logs",
        "client",
        "remote",
        "checker",
        "testing",
        "__main__",
        "__init__",
    },
)
LAYER = {name: number for number, names in enumerate(LAYERS) for name in names}
PURE = LAYERS[0] | LAYERS[1]  # no coroutine, no clock, no socket: time is an argument

# Modules of one layer are strangers, but for these: who -> whom of its own layer it may import.
NEIGHBOURS = {
    "errors": {"model"},
    "subscriptions": {"config"},
    "config": {"origins", "hosts"},
    "wire": {"config"},
    "auth": {"config"},
    "limits": {"config"},
    "admission": {"config", "limits"},
    "node": {"memory"},
    "connections": {"websocket"},
    "requests": {"connections"},
    "metrics": {"config"},
    "rooms": {
        "actors",
        "activity",
        "direct",
        "directory",
        "search",
        "mentions",
        "operations",
        "relay",
        "sessions",
        "moderation",
        "identities",
        "replay",
        "people",
        "visitors",
    },
    "identities": {"actors"},
    "people": {"actors"},
    "visitors": {"actors", "directory"},
    "moderation": {"actors"},
    "directory": {"actors"},
    "search": {"actors"},
    "operations": {"actors"},
    "sessions": {"mentions"},
    "app": {"startup"},
    "serve": {"app", "extension", "site", "startup", "tls"},
    "extension": {"startup"},
    "site": {"startup", "tls"},
    "tls": {"startup"},
    "hub": {"holders", "followers", "local", "typists"},
    "holders": {"local"},
    "__init__": {"client"},
    "__main__": {"cli"},
    "cli": {"tokens", "doctor", "workers", "logs", "client", "remote"},
    "doctor": {"logs"},
    "workers": {"logs", "valkey"},
    "testing": {"client", "workers", "valkey"},
}
# Code that runs elsewhere than the server takes nothing of it but the words and the pure policy.
LOWEST_ONLY = {"client"}
# But for the one part that puts messages into the store itself, with no server between.
BESIDES = {"client/publisher": {"engine"}}

# Who may import a library, as patterns of paths under sioserver/ without the suffix.
LIBRARIES = {
    "socketio": ("transport/*", "client/link"),
    "engineio": ("transport/*",),
    "aiohttp": (
        "keys/fetch",
        "webhooks/post",
        "api/*",
        "transport/*",
        "websocket/*",
        "gateway/*",
        "app",
        "serve",
        "extension",
        "site",
        "cli",
        "doctor/look_*",
    ),
    "picows": ("websocket/picows_reader",),
    "redis": ("engine/redis*",),
    "hiredis": ("engine/redis*",),
    "sqlite3": ("engine/embedded*",),
    "jwt": ("auth/*",),
    "cryptography": ("auth/keys", "tls"),
}
IMPURE_LIBRARIES = {"asyncio", "socket", "ssl", "select", "selectors", "threading", "subprocess"}
CLOCKS = {
    "time": {
        "time",
        "time_ns",
        "monotonic",
        "monotonic_ns",
        "perf_counter",
        "perf_counter_ns",
        "sleep",
    },
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
}


def test_the_layers_hold() -> None:
    found = list(violations(ROOT / "sioserver"))
    assert not found, "\n" + "\n".join(found)


def test_the_checker_reads_the_tree() -> None:
    """A checker that looked at nothing would agree with everything."""
    assert {path.stem for path in sources(ROOT / "sioserver")} >= {"model", "errors"}


@pytest.mark.parametrize(
    ("path", "source", "complaint"),
    [
        ("hub.py", "from sioserver.rooms import RoomService", "imports rooms, which is above it"),
        ("hub.py", "from . import rooms", "imports rooms, which is above it"),
        ("hub.py", "def f():\n    import sioserver.app", "imports app, which is above it"),
        ("hub.py", "from .engine.base import Engine", "imports engine, a stranger"),
        ("engine/base.py", "from ..hub import Hub", "imports hub, a stranger"),
        ("api/rooms.py", "from sioserver.transport import server", "imports transport, a stranger"),
        ("transport/__init__.py", "from ..api import health", "imports api, a stranger"),
        ("config/schema.py", "from sioserver.wire import parse", "imports wire, a stranger"),
        ("model.py", "import sioserver", "imports __init__, which is above it"),
        ("model.py", "from sioserver import Thing", "imports __init__, which is above it"),
        ("client/room.py", "from sioserver.hub import Hub", "imports hub, but may know only"),
        (
            "client/room.py",
            "from sioserver.engine import base",
            "imports engine, but may know only",
        ),
        ("client/publisher.py", "from sioserver.hub import Hub", "imports hub, but may know only"),
        ("client/line.py", "import socketio", "imports socketio"),
        ("app.py", "from sioserver.client import RoomClient", "imports client, which is above it"),
        ("cli/program.py", "import sioserver.testing", "imports testing, a stranger"),
        ("rooms.py", "import socketio", "imports socketio"),
        ("rooms.py", "from engineio.packet import Packet", "imports engineio"),
        ("node.py", "from aiohttp import web", "imports aiohttp"),
        ("transport/server.py", "import picows.picows", "imports picows"),
        ("engine/embedded.py", "import redis.asyncio", "imports redis"),
        ("engine/redis.py", "import sqlite3", "imports sqlite3"),
        ("api/admin.py", "import jwt", "imports jwt"),
        ("limits.py", "async def take(): pass", "async def"),
        ("wire.py", "import asyncio", "imports asyncio"),
        ("limits.py", "import time\nnow = time.monotonic()", "time.monotonic"),
        ("limits.py", "import time as t\ndef f(clock=t.time): pass", "time.time"),
        ("limits.py", "from time import monotonic_ns as ns", "time.monotonic_ns"),
        ("model.py", "import datetime\nd = datetime.datetime.now()", "datetime.now"),
        ("model.py", "from datetime import datetime as D\nd = D.now()", "datetime.now"),
        ("novel.py", "", "has no layer"),
        ("novel/thing.py", "", "has no layer"),
    ],
)
def test_a_planted_violation_is_found(
    tmp_path: Path, path: str, source: str, complaint: str
) -> None:
    plant(tmp_path, path, source)
    found = list(violations(tmp_path))
    assert len(found) == 1
    assert found[0].startswith(f"sioserver/{path}:")
    assert complaint in found[0]


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("rooms.py", "from .engine.base import Engine\nfrom .hub import Hub\nfrom . import model"),
        ("engine/redis.py", "import redis.asyncio\nfrom .base import Engine\nfrom ..wire import x"),
        (
            "auth/verifier.py",
            "import jwt\nfrom sioserver.config import Config\nfrom ..errors import Refusal",
        ),
        ("transport/packet.py", "import engineio, aiohttp, socketio\nfrom .frames import x"),
        ("websocket/picows_reader.py", "import picows, aiohttp\nfrom .frames import frame"),
        ("node.py", "import asyncio, time\nasync def run(): time.monotonic()"),
        ("limits.py", "import time\ntext = time.strftime('%Y')"),
        (
            "__init__.py",
            "from .transport.server import AsyncServer\nfrom .client import RoomClient",
        ),
        ("testing.py", "from sioserver.app import create_app"),
        ("client/link.py", "import socketio\nfrom sioserver import errors, wire"),
        ("client/publisher.py", "from sioserver.engine.base import StoreError"),
    ],
)
def test_what_is_allowed_is_let_through(tmp_path: Path, path: str, source: str) -> None:
    plant(tmp_path, path, source)
    assert list(violations(tmp_path)) == []


def plant(root: Path, path: str, source: str) -> None:
    """A tree with every known module, empty, and one with a source."""
    for name in LAYER:
        (root / f"{name}.py").touch()
    target = root / path
    target.parent.mkdir(exist_ok=True)
    (root / f"{target.parent.name}.py").unlink(missing_ok=True)  # it is a package now
    target.write_text(source)


def sources(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*.py") if "_web" not in path.parts)


def violations(root: Path) -> Iterator[str]:
    """One line per broken rule of the package in `root`."""
    modules = {path.relative_to(root).parts[0].removesuffix(".py") for path in sources(root)}
    for path in sources(root):
        name = path.relative_to(root).with_suffix("").as_posix()
        here = name.split("/")[0]
        where = f"sioserver/{name}.py"
        if here not in LAYER:
            yield (
                f"{where}:1: {here} has no layer: decide which one it belongs to "
                "and add it to LAYERS in tests/test_layers.py"
            )
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
        for line, imported in imports(tree, package=("sioserver", *name.split("/")[:-1])):
            complaint = judge(name, imported, modules)
            if complaint:
                yield f"{where}:{line}: {complaint}"
        if here in PURE:
            for line, complaint in impurities(tree):
                yield f"{where}:{line}: {complaint}, but {here} is pure: time is an argument"


def judge(name: str, imported: str, modules: set[str]) -> str | None:
    """What is wrong with the module `name` importing `imported`, if anything is."""
    here = name.split("/")[0]
    library, _, rest = imported.partition(".")
    if library == "sioserver":
        there = rest.split(".")[0]
        if there not in modules | LAYER.keys():
            there = "__init__"  # a name of the package itself
        if there == here or there not in LAYER:  # one without a layer is reported where it stands
            return None
        if here in LOWEST_ONLY and there not in PURE | BESIDES.get(name, set()):
            return f"imports {there}, but may know only {', '.join(sorted(PURE))}"
        if LAYER[there] > LAYER[here]:
            return f"imports {there}, which is above it"
        if LAYER[there] == LAYER[here] and there not in NEIGHBOURS.get(here, ()):
            return f"imports {there}, a stranger of its own layer"
        return None
    if here in PURE and library in IMPURE_LIBRARIES:
        return f"imports {library}, but {here} is pure"
    allowed = LIBRARIES.get(library)
    if allowed and not any(fnmatch(name, pattern) for pattern in allowed):
        return f"imports {library}, which only {', '.join(allowed)} may do"
    return None


def imports(tree: ast.Module, package: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """Every import, wherever it stands, as an absolute dotted name, once per line and target."""
    seen = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else ()
            base += tuple(node.module.split(".")) if node.module else ()
            # `from package import x`: x may be a module of its own
            names = [".".join((*base, alias.name)) for alias in node.names]
        else:
            continue
        for name in names:
            target = (node.lineno, ".".join(name.split(".")[:2]))
            if target not in seen:
                seen.add(target)
                yield node.lineno, name


def impurities(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Coroutines and clocks."""
    known = {"time": "time", "datetime": "datetime", "date": "date"}  # name here -> name there
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            known |= {a.asname: a.name for a in node.names if a.asname and a.name in CLOCKS}
        elif isinstance(node, ast.ImportFrom):
            known |= {a.asname: a.name for a in node.names if a.asname and a.name in CLOCKS}
            for alias in node.names:
                if node.module == "time" and alias.name in CLOCKS["time"]:
                    yield node.lineno, f"takes time.{alias.name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncFunctionDef):
            yield node.lineno, f"has an async def, {node.name}"
        elif isinstance(node, ast.Attribute):
            owner = node.value
            last = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
            clock = known.get(last, "")
            if node.attr in CLOCKS.get(clock, ()):
                yield node.lineno, f"takes {clock}.{node.attr}"
