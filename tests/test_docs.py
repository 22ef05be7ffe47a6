"""Nothing is undocumented: settings, events, codes and commands, and what is generated is current.

`SIOSERVER_TEST_UPDATE=1 pytest tests/test_docs.py` writes the generated parts anew.
"""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sioserver import wire
from sioserver.config import Config, build
from sioserver.config.keys import ENDPOINT_KEYS, KEYS, RULE_KEYS, TABLE_PATHS, TABLES
from sioserver.config.render import example, table, toml
from sioserver.errors import DISCONNECTS, REFUSALS
from sioserver.metrics.labels import LIMITS
from sioserver.protocol import CLIENT_EVENTS, SERVER_EVENTS, Place, asyncapi, typescript

from .protocol.conform import answered, asked, told

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "config.example.toml"
CONFIGURATION = ROOT / "docs" / "configuration.md"
BEGIN, END = "<!-- settings: begin -->\n", "<!-- settings: end -->"
UPDATE = bool(os.environ.get("SIOSERVER_TEST_UPDATE"))


def read(name: str) -> str:
    path = ROOT / name
    if not path.is_file():
        pytest.fail(f"{name} is missing")
    return path.read_text(encoding="utf-8")


def test_the_example_is_current() -> None:
    if UPDATE:
        EXAMPLE.write_text(example(), encoding="utf-8")
    assert read("config.example.toml") == example(), "stale: run sioserver config example"


def test_the_table_of_settings_is_current() -> None:
    text = read("docs/configuration.md")
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    current = f"{before}{BEGIN}\n{table()}\n{END}{after}"
    if UPDATE:
        CONFIGURATION.write_text(current, encoding="utf-8")
    assert read("docs/configuration.md") == current, "stale: see the end of docs/configuration.md"


def test_the_example_loads_as_the_defaults() -> None:
    assert build(read("config.example.toml")) == Config()


def test_the_examples_of_the_docs_load() -> None:
    blocks = re.findall(r"^```toml\n(.*?)^```", read("docs/configuration.md"), re.M | re.S)
    assert len(blocks) >= 2
    for block in blocks:
        assert build(block) != Config()


@pytest.mark.parametrize("path", sorted(KEYS.keys() - TABLE_PATHS.keys()))
def test_every_setting_is_documented(path: str) -> None:
    section, name = path.split(".")
    title = f"[[{section}]]" if section in TABLES else f"[{section}]"
    part = read("docs/configuration.md").split(f"### `{title}`\n")[1].split("\n### ")[0]
    assert f"\n| `{name}` |" in part
    part = read("config.example.toml").split(f"\n{title}\n")[1].split("\n[")[0]
    assert f"\n{name} = " in part


@pytest.mark.parametrize("name", sorted(RULE_KEYS))
def test_every_setting_of_a_rule_is_documented(name: str) -> None:
    part = read("docs/configuration.md").split("### `[[rooms]]` with `match`\n")[1]
    assert f"\n| `{name}` |" in part.split("\n### ")[0]
    part = read("config.example.toml").split("\n# [[rooms]]\n")[1].split("\n[")[0]
    assert f"\n# {name} = " in f"\n{part}"


@pytest.mark.parametrize("name", sorted(ENDPOINT_KEYS))
def test_every_setting_of_a_webhook_is_documented(name: str) -> None:
    part = read("docs/configuration.md").split("### `[[webhooks]]` with `url`\n")[1]
    assert f"\n| `{name}` |" in part.split("\n### ")[0]
    part = read("config.example.toml").split("\n# [[webhooks]]\n")[1].split("\n[")[0]
    assert f"\n# {name} = " in f"\n{part}"


@pytest.mark.parametrize("path", sorted(path for path in KEYS if path.startswith("limits.")))
def test_every_limit_is_documented(path: str) -> None:
    """In the table of limits, with its default; a burst in the row of its rate."""
    name = path.removeprefix("limits.")
    rate = name.replace("_burst", "_rate")
    if name == "enabled":
        assert "`limits.enabled = false`" in read("docs/limits.md")
        return
    assert rate in LIMITS
    rows = [line.split(" | ") for line in read("docs/limits.md").splitlines()]
    found = [row for row in rows if len(row) == 3 and row[0].startswith(f"| `{rate}`")]
    assert len(found) == 1
    names, defaults = (cell.strip("| ").split(", ") for cell in found[0][:2])
    assert defaults[names.index(f"`{name}`")] == toml(KEYS[path].default)


@pytest.mark.parametrize("event", sorted({*wire.CLIENT_EVENTS, *wire.SERVER_EVENTS}))
def test_every_event_is_documented(event: str) -> None:
    assert re.search(rf"`{event}\b", read("docs/protocol.md"))


def test_every_event_has_its_shape() -> None:
    """In the registry that docs/asyncapi.json and the page's types are made from."""
    where = "sioserver/protocol/registry.py needs a row"
    assert {*wire.CLIENT_EVENTS} - {event for _, event in CLIENT_EVENTS} == set(), where
    assert {*wire.SERVER_EVENTS} - {event for _, event in SERVER_EVENTS} == set(), where


def examples(place: Place) -> list[tuple[str, Any]]:
    """(mark, value) of each line of the protocol's examples."""
    part = (
        read("docs/protocol.md").split("## An example of each")[1].split("In the session, `/@me`:")
    )
    lines = part[place is Place.SESSION].splitlines()
    return [(line[4], json.loads(line[6:])) for line in lines if line.startswith("    ")]


@pytest.mark.parametrize("place", Place)
def test_every_event_has_an_example_and_it_is_true(place: Place) -> None:
    """In docs/protocol.md, at its end."""
    seen: set[tuple[str, str]] = set()
    event = ""
    for mark, value in examples(place):
        if mark == "=":
            answered(place, event, value)
            continue
        event, *args = value
        seen.add((mark, event))
        if mark == ">":
            assert asked(place, event, args), value
        else:
            told(place, event, args)
    rows = {(">", name) for where, name in CLIENT_EVENTS if where is place}
    rows |= {("<", name) for where, name in SERVER_EVENTS if where is place}
    assert seen == rows


@pytest.mark.parametrize(
    ("name", "render"),
    [("docs/asyncapi.json", asyncapi.text), ("web/src/realtime/protocol.ts", typescript.text)],
)
def test_what_is_made_from_the_registry_is_current(name: str, render: Callable[[], str]) -> None:
    if UPDATE:
        (ROOT / name).write_text(render(), encoding="utf-8")
    assert read(name) == render(), "stale: SIOSERVER_TEST_UPDATE=1 pytest tests/test_docs.py"


@pytest.mark.parametrize("place", Place)
def test_every_event_of_a_client_is_in_the_table_of_its_place(place: Place) -> None:
    begin = {Place.ROOM: "## Events from a client", Place.SESSION: "## The session: `/@me`"}[place]
    lines = read("docs/protocol.md").split(f"{begin}\n")[1].split("\n## ")[0].splitlines()
    rows = lines[next(at for at, line in enumerate(lines) if line.startswith("|---")) + 1 :]
    named: set[str] = set()
    for row in rows:
        if not row.startswith("| "):
            break
        named |= set(re.findall(r"`(\w+)`", row.split(" | ")[0]))
    assert {name for where, name in CLIENT_EVENTS if where is place} <= named


@pytest.mark.parametrize("code", sorted(REFUSALS))
def test_every_refusal_is_documented(code: str) -> None:
    assert f"`{code}`" in read("docs/protocol.md")


@pytest.mark.parametrize("code", sorted(DISCONNECTS))
def test_every_disconnect_is_documented(code: str) -> None:
    """On a line with its number: clients are told both."""
    number = DISCONNECTS[code].number
    lines = [line for line in read("docs/protocol.md").splitlines() if f"`{code}`" in line]
    assert any(re.search(rf"\b{number}\b", line) for line in lines)


@pytest.mark.parametrize("target", ["run", "test", "check"])
def test_every_command_a_user_needs_is_in_the_readme(target: str) -> None:
    assert re.search(rf"^{target}:", read("Makefile"), re.M)
    assert re.search(rf"\bmake {target}\b", read("README.md"))


# ---- what is written is whole -------------------------------------------------------------------


def pages() -> list[str]:
    """Everything that is written for people."""
    found = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")]
    return sorted(str(path.relative_to(ROOT)) for path in found)


def test_no_page_has_what_a_merge_left_behind() -> None:
    left = re.compile(r"^(<{7} |={7}$|>{7} )", re.M)
    assert "CHANGELOG.md" in pages()
    assert not [name for name in pages() if left.search(read(name))]


@pytest.mark.parametrize("name", pages())
def test_every_row_of_a_table_is_below_its_head(name: str) -> None:
    """An empty line within a table makes text with bars of the rest."""
    text = re.sub(r"^```.*?^```", "", read(name), flags=re.M | re.S)
    for part in re.findall(r"(?:^\|.*\n?)+", text, re.M):
        assert re.match(r"\|.*\n\|[ :|-]+\|$", part, re.M), part[:200]


# ---- what stands against known holes ------------------------------------------------------------

PROOF = re.compile(r"`(tests/[\w/]+\.py)(?:::(test_\w+))?`")


def proofs() -> list[tuple[str, str]]:
    """The tests that docs/security.md names."""
    return [(path, name) for path, name in PROOF.findall(read("docs/security.md"))]


def holes() -> list[str]:
    """The rows of its table of known holes."""
    _, table_and_rest = read("docs/security.md").split("| hole | where |")
    rows = table_and_rest.split("\n\n")[0].splitlines()[2:]
    return [row for row in rows if row.startswith("| ")]


def test_each_known_hole_has_a_test_that_is_there() -> None:
    assert len(holes()) > 20
    assert not [row for row in holes() if not PROOF.search(row)]
    for path, name in proofs():
        assert re.search(
            rf"^ *(?:async )?def {name}\b" if name else "def test_", read(path), re.M
        ), name


def test_each_hole_that_a_floor_names_is_explained() -> None:
    """tests/test_packaging.py has the floors; what is behind them stands here."""
    text = read("docs/security.md")
    for word in ("python-socketio", "python-engineio", "aiohttp", "PyJWT", "redis"):
        assert f"({word})" in text, word
