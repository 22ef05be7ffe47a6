"""The schema as data: one `Key` per setting, for everything that goes through all of them.

Only reads the structs of `schema`; knows neither values nor where they come from.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import Annotated, Any, Final, NamedTuple, get_args, get_origin

from msgspec import NODEFAULT, Meta
from msgspec.structs import fields

from sioserver.config.schema import Config, RoomRule, Webhook
from sioserver.config.sections.settings import Section

PREFIX: Final = "SIOSERVER_"
RULES: Final = "rooms.rules"
ENDPOINTS: Final = "webhooks.endpoints"
"""The settings whose values are tables."""


class Key(NamedTuple):
    """A setting: `kind` is its annotated type, `default` its value when nobody says anything."""

    section: str
    name: str
    kind: Any
    default: Any
    about: str
    secret: bool

    @property
    def path(self) -> str:
        """Its name on the command line and in messages."""
        return f"{self.section}.{self.name}"

    @property
    def env(self) -> str:
        """Its name in the environment."""
        return f"{PREFIX}{self.section}__{self.name}".upper()


def bare(kind: Any) -> tuple[Any, list[Meta]]:
    """An annotated type without its annotations, and these."""
    if get_origin(kind) is not Annotated:
        return kind, []
    inner, *metas = get_args(kind)
    return inner, [meta for meta in metas if isinstance(meta, Meta)]


def keys_of(section: str, struct: type[Section]) -> dict[str, Key]:
    """The settings of one table, by name, in the schema's order."""
    found = {}
    for item in fields(struct):
        about, secret = "", False
        for meta in bare(item.type)[1]:
            about = meta.description or about
            secret = secret or bool((meta.extra or {}).get("secret"))
        default = item.default
        if item.default_factory is not NODEFAULT:
            default = item.default_factory()
        found[item.name] = Key(section, item.name, item.type, default, about, secret)
    return found


SECTIONS: Final[dict[str, type[Section]]] = {item.name: item.type for item in fields(Config)}
SECTION_KEYS: Final = {name: keys_of(name, struct) for name, struct in SECTIONS.items()}
KEYS: Final = {key.path: key for section in SECTION_KEYS.values() for key in section.values()}
RULE_KEYS: Final = keys_of("rooms", RoomRule)
ENDPOINT_KEYS: Final = keys_of("webhooks", Webhook)


class Tables(NamedTuple):
    """A setting whose values are tables: in the file they are entries `[[<section>]]`, beside one
    that holds the other settings of the section."""

    path: str
    struct: type[Section]
    keys: dict[str, Key]
    mark: str
    """The key that only those have."""
    one: str
    """What messages call one of them."""
    example: str
    """A value of `mark`."""

    @property
    def section(self) -> str:
        """Where it belongs."""
        return self.path.partition(".")[0]


TABLES: Final = {
    tables.section: tables
    for tables in (
        Tables(RULES, RoomRule, RULE_KEYS, "match", "rule", "*"),
        Tables(ENDPOINTS, Webhook, ENDPOINT_KEYS, "url", "webhook", "https://app.example/hook"),
    )
}
"""By section."""
TABLE_PATHS: Final = {tables.path: tables for tables in TABLES.values()}


def nearest(name: str, valid: list[str]) -> str | None:
    """The valid name that was probably meant."""
    return next(iter(get_close_matches(name, valid, 1)), None)


def hint(section: str, name: str = "") -> str:
    """What to say of a setting that does not exist; `name` may be empty."""
    keys = SECTION_KEYS.get(section)
    if keys is None:
        return f"unknown section; {_section_hint(section, name)}"
    if not name:
        return f"this is a section; its keys are {', '.join(keys)}"
    if near := nearest(name, list(keys)):
        return f'unknown key; did you mean "{near}"?'
    if elsewhere := _called(name):
        return f"unknown key; did you mean {elsewhere}?"
    return f"unknown key; [{section}] has {', '.join(keys)}"


def _section_hint(section: str, name: str) -> str:
    near = nearest(section, list(SECTIONS))
    if near and name in SECTION_KEYS[near]:
        return f"did you mean {near}.{name}?"
    if elsewhere := _called(name or section):
        return f"did you mean {elsewhere}?"
    return f'did you mean "{near}"?' if near else f"there are {', '.join(SECTIONS)}"


def _called(name: str) -> str:
    """The settings of this name in all sections."""
    return " or ".join(key.path for key in KEYS.values() if key.name == name)
