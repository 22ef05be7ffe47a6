"""The layers of the configuration: defaults < TOML text < environment < command line.

Pure: the caller reads the file and the environment and hands over text and a mapping. Every fault
of every layer is found in one go, each with where it came from, its key and a remedy.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

from sioserver.config.checks import problems
from sioserver.config.keys import (
    KEYS,
    PREFIX,
    SECTION_KEYS,
    SECTIONS,
    TABLE_PATHS,
    TABLES,
    Key,
    Tables,
    hint,
    nearest,
)
from sioserver.config.lines import Path, line_numbers
from sioserver.config.schema import Config
from sioserver.config.sections.settings import Section
from sioserver.config.values import accept, json_text, parse, refused, shown

FLAGS: Final = {
    "--host": "server.host",
    "--port": "server.port",
    "--workers": "server.workers",
    "--store": "store.path",
}
"""Options of the command line that are short for a `--set`."""

Where = Callable[[Path], str]


class Fault(NamedTuple):
    """One thing that is wrong: `source` is a place in the file, a variable or an option."""

    source: str
    key: str
    text: str

    def __str__(self) -> str:
        return ": ".join(part for part in self if part)


class ConfigError(Exception):
    """The configuration cannot be used; `faults` are all the reasons."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = list(faults)


class Loaded(NamedTuple):
    """A configuration and where each value came from, by key; defaults are not in it."""

    config: Config
    sources: dict[str, str]


def build(
    text: str = "",
    environ: Mapping[str, str] | None = None,
    sets: Sequence[str] = (),
    flags: Mapping[str, str] | None = None,
    *,
    name: str = "config",
    taken_events: Collection[str] = (),
) -> Config:
    """The configuration of all layers, or `ConfigError` with every fault; see `load`."""
    return load(text, environ, sets, flags, name=name, taken_events=taken_events).config


def load(
    text: str = "",
    environ: Mapping[str, str] | None = None,
    sets: Sequence[str] = (),
    flags: Mapping[str, str] | None = None,
    *,
    name: str = "config",
    taken_events: Collection[str] = (),
) -> Loaded:
    """Build the configuration.

    `text` is the TOML file's, `name` what messages call it; `sets` are `section.key=value`; `flags`
    map the options of `FLAGS` to their values and win over `sets`. `taken_events` are names of the
    protocol's own that no room may relay.
    """
    layers = _Layers()
    readable = _file(layers, text, _printable(name))
    _environment(layers, environ or {})
    _command_line(layers, sets, flags or {})
    config = layers.config()
    if readable:
        _check(layers, config, taken_events)
    if layers.faults:
        raise ConfigError(layers.faults)
    return Loaded(config, layers.sources)


class _Layers:
    """What is known so far; later layers overwrite earlier ones."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.sources: dict[str, str] = {}
        self.faults: list[Fault] = []
        self.broken: set[str] = set()

    def fault(self, source: str, key: str, text: str) -> None:
        self.faults.append(Fault(*map(_printable, (source, key, text))))

    def put(self, key: Key, value: Any, source: str) -> None:
        """Take a value of its TOML type."""
        if key.path in TABLE_PATHS:
            self.put_tables(TABLE_PATHS[key.path], value, [], lambda _: source)
            return
        self.broken.discard(key.path)
        try:
            self.values[key.path] = accept(value, key.kind, secret=key.secret)
            self.sources[key.path] = source
        except ValueError as error:
            self.broken.add(key.path)
            self.fault(source, key.path, str(error))

    def put_text(self, key: Key, text: str, source: str) -> None:
        """Take a value that is a text, whatever it stands for."""
        try:
            value = parse(text, key.kind, secret=key.secret)
        except ValueError as error:
            self.broken.add(key.path)
            self.fault(source, key.path, str(error))
        else:
            self.put(key, value, source)

    def put_tables(self, tables: Tables, entries: Any, paths: list[Path], where: Where) -> None:
        """Take the rules of rooms, or the like; `paths` is where each stands in the file."""
        setting = tables.path
        self.sources = {k: v for k, v in self.sources.items() if not k.startswith(setting)}
        self.broken = {key for key in self.broken if not key.startswith(setting)}
        source = where(paths[0] if paths else ())
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            self.broken.add(setting)
            self.fault(source, setting, str(refused(entries, KEYS[setting].kind)))
            return
        self.sources[setting] = source
        self.values[setting] = [
            self._entry(tables, number, entry, paths[number] if paths else (), where)
            for number, entry in enumerate(entries)
        ]

    def _entry(
        self, tables: Tables, number: int, entry: dict[str, Any], path: Path, where: Where
    ) -> Section:
        label = table_label(tables, number, entry.get(tables.mark))
        values = {}
        for name, value in entry.items():
            internal, source = f"{tables.path}.{number}.{name}", where((*path, name))
            self.sources[internal] = source
            try:
                if name not in tables.keys:
                    raise ValueError(_entry_hint(tables, name))
                key = tables.keys[name]
                values[name] = accept(value, key.kind, secret=key.secret)
            except ValueError as error:
                self.broken.add(internal)
                self.fault(source, f"{label}: {_legible(name)}", str(error))
        return tables.struct(**values)

    def config(self) -> Config:
        """The configuration, with the default where a value is missing or faulty."""
        sections: dict[str, Any] = {}
        for section, struct in SECTIONS.items():
            keys = SECTION_KEYS[section].values()
            given = {key.name: self.values[key.path] for key in keys if key.path in self.values}
            sections[section] = struct(**given)
        return Config(**sections)


# ---------------------------------------------------------------------------- the file


def _file(layers: _Layers, text: str, name: str) -> bool:
    """Take the TOML text; False if it is not TOML at all."""
    try:
        tree = tomllib.loads(text)
        lines = line_numbers(text)
    except RecursionError:
        layers.fault(name, "", "not valid TOML: brackets are nested too deeply")
        return False
    except ValueError as error:
        layers.fault(*_syntax_fault(text, name, str(error)))
        return False

    def where(path: Path) -> str:
        while path and path not in lines:
            path = path[:-1]
        return f"{name}:{lines[path]}" if path else name

    for section, table in tree.items():
        if section in TABLES and isinstance(table, list):
            _entries(layers, TABLES[section], table, where)
        elif section not in SECTIONS:
            _unknown_section(layers, section, table, where)
        elif not isinstance(table, dict):
            layers.fault(where((section,)), section, f"expected the table [{section}]")
        else:
            _table(layers, section, table, (section,), where)
    return True


def _unknown_section(layers: _Layers, section: str, table: Any, where: Where) -> None:
    name = next(iter(table), "") if isinstance(table, dict) else ""
    layers.fault(where((section,)), _legible(section), hint(section, name))


def _table(layers: _Layers, section: str, table: dict[str, Any], path: Path, where: Where) -> None:
    for name, value in table.items():
        key = SECTION_KEYS[section].get(name)
        source = where((*path, name))
        if key is None:
            layers.fault(source, f"{section}.{_legible(name)}", _hint(section, name))
        elif key.path in TABLE_PATHS and isinstance(value, list):
            paths: list[Path] = [(*path, name, number) for number in range(len(value))]
            layers.put_tables(TABLE_PATHS[key.path], value, paths, where)
        else:
            layers.put(key, value, source)


def _entries(layers: _Layers, tables: Tables, entries: list[Any], where: Where) -> None:
    """`[[rooms]]` and the like: entries with `match` are rules, others hold settings of all
    rooms."""
    section, name = tables.path.split(".")
    found, paths = [], []
    given: set[str] = set()
    for number, entry in enumerate(entries):
        path: Path = (section, number)
        if not isinstance(entry, dict):
            text = f"expected [[{section}]] tables, found {shown(entry)}"
            layers.fault(where(path), section, text)
        elif tables.mark in entry:
            found.append(entry)
            paths.append(path)
        else:
            for key in sorted(given & entry.keys()):
                layers.fault(where((*path, key)), f"{section}.{key}", "given twice")
            given |= entry.keys()
            _table(layers, section, entry, path, where)
    if found and name in given:
        text = f"write all {name} as [[{section}]] entries with {tables.mark}"
        layers.fault(where(paths[0]), tables.path, text)
    elif found:
        layers.put_tables(tables, found, paths, where)


def _hint(section: str, name: str) -> str:
    tables = TABLES.get(section)
    if tables is not None and name in tables.keys:
        example = json_text(tables.example)
        return (
            f"this belongs to a {tables.one}: a [[{section}]] entry with {tables.mark}, such as "
            f"{tables.mark} = {example}"
        )
    return hint(section, name)


def _entry_hint(tables: Tables, name: str) -> str:
    if name in SECTION_KEYS[tables.section]:
        return (
            f"this is for all {tables.section}: put it into a [[{tables.section}]] entry without "
            f"{tables.mark}"
        )
    near = nearest(name, list(tables.keys))
    return (
        f'unknown key; did you mean "{near}"?'
        if near
        else (f"unknown key; a {tables.one} has {', '.join(tables.keys)}")
    )


def _syntax_fault(text: str, name: str, message: str) -> Fault:
    place = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", message)
    words = message[: place.start()] if place else message
    if place and place[1]:
        name = f"{name}:{place[1]}:{place[2]}"
    elif place:
        last = text.rstrip("\n").split("\n")
        name = f"{name}:{len(last)}:{len(last[-1]) + 1}"
    words = f"not valid TOML: {words[:1].lower()}{words[1:]}"
    if re.search(r"^\s*\[rooms\]", text, re.M) and re.search(r"^\s*\[\[rooms\]\]", text, re.M):
        words += "; beside [[rooms]] entries, write [rooms] as [[rooms]] too"
    return Fault(name, "", words)


# ---------------------------------------------------------------------------- the other layers


def _environment(layers: _Layers, environ: Mapping[str, str]) -> None:
    """Take `SIOSERVER_SECTION__KEY`. Other names that begin alike are for tools and tests."""
    known = {key.env: key for key in KEYS.values()}
    single = {name.replace("__", "_"): name for name in known}
    for name, text in environ.items():
        if not name.startswith(PREFIX):
            continue
        if name in known:
            layers.put_text(known[name], text, name)
        elif name in single and not re.match(r"(tcp|udp)://", text):  # Kubernetes makes such names
            layers.fault(name, "", f"two underscores go after the section: {single[name]}")
        elif "__" in name:
            near = nearest(name.upper(), list(known))
            section, _, key = name.removeprefix(PREFIX).lower().partition("__")
            text = f"unknown setting; did you mean {near}?" if near else hint(section, key)
            layers.fault(name, "", text)


def _command_line(layers: _Layers, sets: Sequence[str], flags: Mapping[str, str]) -> None:
    for assignment in sets:
        path, equals, text = assignment.partition("=")
        path = path.strip()
        section, _, name = path.partition(".")
        if not equals:
            layers.fault("--set", _legible(path), "expected section.key=value")
        elif path in KEYS:
            layers.put_text(KEYS[path], text, f"--set {path}")
        else:
            layers.fault("--set", _legible(path), hint(section, name))
    for option, text in flags.items():
        layers.put_text(KEYS[FLAGS[option]], text, option)


# ---------------------------------------------------------------------------- the whole


def _check(layers: _Layers, config: Config, taken_events: Collection[str]) -> None:
    """Add what is wrong between values, but for what a faulty value already explains."""
    for problem in problems(config, taken_events):
        if not layers.broken.intersection((*problem.keys, *TABLE_PATHS)):
            source = next(
                (layers.sources[key] for key in problem.keys if key in layers.sources), "defaults"
            )
            layers.fault(source, _label(problem.keys[0], config), problem.text)


def _label(key: str, config: Config) -> str:
    for tables in TABLES.values():
        if key.startswith(f"{tables.path}."):
            section, setting = tables.path.split(".")
            number, _, name = key.removeprefix(f"{tables.path}.").partition(".")
            entry = getattr(getattr(config, section), setting)[int(number)]
            return f"{table_label(tables, int(number), getattr(entry, tables.mark))}: {name}"
    return key


def table_label(tables: Tables, number: int, mark: object) -> str:
    """How messages call a rule, or the like."""
    if isinstance(mark, str):
        return f"{tables.section} {shown(mark)}"
    return f"{tables.section} {tables.one} {number + 1}"


def _legible(name: str) -> str:
    """A name that somebody else made up: in quotes, and cut, where it is no plain word."""
    return name if re.fullmatch(r"[\w.\[\]-]{0,60}", name, re.ASCII) else shown(name)


def _printable(text: str) -> str:
    """Without line breaks and control sequences, which names and values may hold."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)
