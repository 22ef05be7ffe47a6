"""The schema as data, and the help for names that do not exist."""

import pytest

from sioserver.config.keys import KEYS, RULE_KEYS, SECTION_KEYS, SECTIONS, hint, nearest


def test_every_setting_has_its_names() -> None:
    key = KEYS["limits.max_body"]
    assert (key.section, key.name) == ("limits", "max_body")
    assert key.path == "limits.max_body"
    assert key.env == "SIOSERVER_LIMITS__MAX_BODY"
    assert key.default == 65_536


def test_names_in_the_environment_are_unambiguous() -> None:
    names = [key.env for key in KEYS.values()]
    assert len({name.replace("__", "_") for name in names}) == len(names)


def test_nothing_is_left_out() -> None:
    assert list(SECTION_KEYS) == list(SECTIONS)
    assert sum(map(len, SECTION_KEYS.values())) == len(KEYS)
    assert next(iter(RULE_KEYS)) == "match"


def test_defaults_that_are_made_anew_are_found() -> None:
    assert KEYS["transport.transports"].default == ["polling", "websocket"]
    assert RULE_KEYS["join"].default == ["*"]


def test_the_nearest_name() -> None:
    assert nearest("prot", ["host", "port"]) == "port"
    assert nearest("xyz", ["host", "port"]) is None


@pytest.mark.parametrize(
    ("section", "name", "text"),
    [
        ("server", "prot", 'unknown key; did you mean "port"?'),
        ("server", "grace", "unknown key; did you mean presence.grace?"),
        ("log", "zzz", "unknown key; [log] has level, format"),
        ("log", "", "this is a section; its keys are level, format"),
        ("sever", "port", "unknown section; did you mean server.port?"),
        ("sever", "zzz", 'unknown section; did you mean "server"?'),
        ("grace", "", "unknown section; did you mean presence.grace?"),
        ("max_body", "", "unknown section; did you mean limits.max_body?"),
        ("zzz", "", "unknown section; there are server, tls, auth, rooms"),
    ],
)
def test_hints(section: str, name: str, text: str) -> None:
    assert hint(section, name).startswith(text)
