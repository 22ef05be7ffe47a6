"""The configuration as text: the example file, the table of the docs, and what is in force.

Made from the schema and from values alone; writing anything anywhere is the caller's business.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from textwrap import wrap
from typing import Any, Final

import msgspec

from sioserver.config.keys import SECTION_KEYS, SECTIONS, TABLE_PATHS, TABLES, Key, Tables
from sioserver.config.schema import Config
from sioserver.config.values import expected, json_text

WIDTH: Final = 100
HIDDEN: Final = "(hidden)"
_EXAMPLES: Final = {"rooms": "support/*"}
"""What stands in the example where that of messages is not the best."""


def example() -> str:
    """A configuration file with every setting at its default, and what it means."""
    lines = [
        *_comment(
            "sioserver: every setting, with its default. Keep what you change and delete the rest. "
            "Times are in seconds, sizes in bytes. Printed by: sioserver config example"
        )
    ]
    for section, struct in SECTIONS.items():
        lines += ["", *_comment(_summary(struct)), _header(section)]
        for key in _plain_keys(section):
            lines += ["", *_comment(_meaning(key)), f"{key.name} = {toml(key.default)}"]
        if section in TABLES:
            lines += ["", *_example_entry(TABLES[section])]
    return "\n".join(lines) + "\n"


def _example_entry(tables: Tables) -> Iterator[str]:
    mark = tables.mark
    yield from _comment(
        f"{_summary(tables.struct)} Write as many of these entries as you like, each with a {mark}:"
    )
    yield "#"
    yield f"# [[{tables.section}]]"
    for key in tables.keys.values():
        default = key.default
        if key.name == mark:
            default = _EXAMPLES.get(tables.section, tables.example)
        yield from (f"# {line}" for line in _comment(_meaning(key)))
        yield f"# {key.name} = {toml(default)}"


def table() -> str:
    """The reference of all settings in Markdown."""
    lines: list[str] = []
    for section, struct in SECTIONS.items():
        lines += [f"### `{_header(section)}`", "", _summary(struct), ""]
        lines += _rows(_plain_keys(section))
        if section in TABLES:
            entries = TABLES[section]
            title = f"### `[[{section}]]` with `{entries.mark}`"
            lines += ["", title, "", _summary(entries.struct), ""]
            lines += _rows(list(entries.keys.values()))
        lines.append("")
    return "\n".join(lines)


def _rows(keys: list[Key]) -> Iterator[str]:
    yield "| Key | Default | Value | Meaning |"
    yield "|---|---|---|---|"
    for key in keys:
        cells = (
            f"`{key.name}`",
            f"`{toml(key.default)}`",
            expected(key.kind, brief=True),
            key.about,
        )
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def show(config: Config, sources: Mapping[str, str] | None = None, *, mask: bool = True) -> str:
    """The whole configuration as TOML; `sources` adds where each value came from as a comment."""
    origins = sources or {}
    lines: list[str] = []
    for section in SECTIONS:
        lines += ["", _header(section)]
        values = getattr(config, section)
        for key in _plain_keys(section):
            value = getattr(values, key.name)
            if key.secret and mask and value:
                value = HIDDEN
            lines.append(_assignment(key.name, value, origins.get(key.path)))
        if section in TABLES:
            entries = getattr(values, TABLES[section].path.partition(".")[2])
            lines += _shown_entries(TABLES[section], entries, origins, mask=mask)
    return "\n".join(lines[1:]) + "\n"


def _shown_entries(
    tables: Tables, entries: list[Any], origins: Mapping[str, str], *, mask: bool
) -> Iterator[str]:
    for number, entry in enumerate(entries):
        yield from ("", f"[[{tables.section}]]")
        for name, key in tables.keys.items():
            value = getattr(entry, name)
            if key.secret and mask and value:
                value = HIDDEN
            yield _assignment(name, value, origins.get(f"{tables.path}.{number}.{name}"))


def _assignment(name: str, value: Any, origin: str | None) -> str:
    line = f"{name} = {toml(value)}"
    return f"{line}  # {origin}" if origin else line


def toml(value: Any) -> str:
    """A value in TOML. Whole numbers lose their fraction; the schema gives it back."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and not value.is_integer():
        return repr(value)
    if isinstance(value, int | float):
        whole = int(value)
        return f"{whole:_}" if whole >= 10_000 else str(whole)
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json_text(value, ascii_only=False)


def _plain_keys(section: str) -> list[Key]:
    """The settings that are written as `key = value`: all but those whose values are tables."""
    return [key for key in SECTION_KEYS[section].values() if key.path not in TABLE_PATHS]


def _header(section: str) -> str:
    # [[rooms]], for in TOML a [rooms] cannot stand beside [[rooms]] rules.
    return f"[[{section}]]" if section in TABLES else f"[{section}]"


def _summary(struct: type[msgspec.Struct]) -> str:
    """The first paragraph of a table's description."""
    return " ".join((struct.__doc__ or "").split("\n\n")[0].split())


def _meaning(key: Key) -> str:
    """The description, with the choices where there are some."""
    choices = expected(key.kind)
    return f"{key.about} {choices[0].upper()}{choices[1:]}." if '"' in choices else key.about


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in wrap(text, WIDTH - 4, break_on_hyphens=False)]
