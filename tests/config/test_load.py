"""The layers, and that every fault of all of them is found with its place."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sioserver.config import Config, ConfigError, Fault, RoomRule, build
from sioserver.config.keys import KEYS, RULE_KEYS
from sioserver.config.load import FLAGS, load

SECRET = "0123456789abcdef0123456789abcdef"


def faults(
    text: str = "",
    environ: dict[str, str] | None = None,
    sets: list[str] | None = None,
    flags: dict[str, str] | None = None,
) -> list[str]:
    """The faults as they are printed."""
    with pytest.raises(ConfigError) as caught:
        build(text, environ, sets or [], flags, name="s.toml")
    assert str(caught.value).split("\n") == [str(fault) for fault in caught.value.faults]
    return [str(fault) for fault in caught.value.faults]


# ---------------------------------------------------------------------------- layers


def test_nothing_gives_the_defaults() -> None:
    assert build() == Config()


LAYERS = (
    ("", {}, [], {}),
    ("server.port = 1", {}, [], {}),
    ("server.port = 1", {"SIOSERVER_SERVER__PORT": "2"}, [], {}),
    ("server.port = 1", {"SIOSERVER_SERVER__PORT": "2"}, ["server.port=3"], {}),
    ("server.port = 1", {"SIOSERVER_SERVER__PORT": "2"}, ["server.port=3"], {"--port": "4"}),
)


@pytest.mark.parametrize(("layers", "port"), list(zip(LAYERS, (8000, 1, 2, 3, 4), strict=True)))
def test_later_layers_win(
    layers: tuple[str, dict[str, str], list[str], dict[str, str]], port: int
) -> None:
    assert build(*layers).server.port == port


@given(*[st.none() | st.integers(0, 65535)] * 4)
def test_the_last_layer_that_says_something_wins(
    file: int | None, env: int | None, by_set: int | None, flag: int | None
) -> None:
    given = [8000, file, env, by_set, flag]
    config = build(
        "" if file is None else f"[server]\nport = {file}",
        {} if env is None else {"SIOSERVER_SERVER__PORT": str(env)},
        [] if by_set is None else [f"server.port={by_set}"],
        {} if flag is None else {"--port": str(flag)},
    )
    assert config.server.port == [port for port in given if port is not None][-1]


def test_layers_only_replace_what_they_name() -> None:
    config = build(
        '[server]\nhost = "::1"\nport = 1', {"SIOSERVER_SERVER__PORT": "2"}, ["server.web=no"]
    )
    assert (config.server.host, config.server.port, config.server.web) == ("::1", 2, False)


def test_of_two_equal_options_the_last_wins() -> None:
    assert build(sets=["server.port=1", "server.port = 2"]).server.port == 2


def test_each_flag_means_a_setting() -> None:
    assert set(FLAGS.values()) <= KEYS.keys()
    config = build(flags={"--host": "::1", "--port": "1", "--store": ":memory:"})
    assert (config.server.host, config.server.port, config.store.path) == ("::1", 1, ":memory:")


def test_a_value_may_hold_an_equals_sign() -> None:
    assert build(sets=["auth.audience=a=b"]).auth.audience == "a=b"


def test_where_values_came_from() -> None:
    text = f'[auth]\n\nsecret = "{SECRET}"\n[log]\nlevel = "debug"\n[[rooms]]\nmatch = "a"'
    loaded = load(
        text,
        {"SIOSERVER_LOG__FORMAT": "json"},
        ["log.level=info", "store.queue=5"],
        {"--port": "1"},
        name="s.toml",
    )
    assert loaded.sources == {
        "auth.secret": "s.toml:3",
        "log.level": "--set log.level",
        "log.format": "SIOSERVER_LOG__FORMAT",
        "rooms.rules": "s.toml:6",
        "rooms.rules.0.match": "s.toml:7",
        "store.queue": "--set store.queue",
        "server.port": "--port",
    }


# ---------------------------------------------------------------------------- the file


def test_every_shape_of_a_value() -> None:
    config = build(
        """
        server.origins = ["https://a.example"]
        [transport]
        ping_interval = 5
        loop = "asyncio"
        [limits]
        enabled = false
        """
    )
    assert config.server.origins == ["https://a.example"]
    assert config.transport.ping_interval == 5.0
    assert config.transport.loop == "asyncio"
    assert not config.limits.enabled


def test_all_faults_are_found_at_once() -> None:
    text = """\
port = 9
[server]
prot = 3
path = "socket.io"
[auth]
secret = 31337
[lmits]
max_body = 3
[limits]
enabled = "yes"
max_body = 2_000_000
zzz = 1
[log]
level = "loud"
"""
    environ = {"SIOSERVER_SERVER__PORT": "99999", "SIOSERVER_LOG__LEVL": "info"}
    assert faults(text, environ, ["log", "log.zzz=1"], {"--port": "eight"}) == [
        "s.toml:1: port: unknown section; did you mean server.port?",
        's.toml:3: server.prot: unknown key; did you mean "port"?',
        "s.toml:6: auth.secret: expected a text, found another kind of value",
        "s.toml:7: lmits: unknown section; did you mean limits.max_body?",
        's.toml:10: limits.enabled: expected true or false, found "yes"',
        "s.toml:12: limits.zzz: unknown key; [limits] has "
        + ", ".join(key.name for key in KEYS.values() if key.section == "limits"),
        's.toml:14: log.level: expected one of "debug", "info", "warning", "error", found "loud"',
        "SIOSERVER_SERVER__PORT: server.port: expected a whole number from 0 to 65535, found 99999",
        "SIOSERVER_LOG__LEVL: unknown setting; did you mean SIOSERVER_LOG__LEVEL?",
        "--set: log: expected section.key=value",
        "--set: log.zzz: unknown key; [log] has level, format",
        '--port: server.port: expected a whole number from 0 to 65535, found "eight"',
        's.toml:4: server.path: expected a path that begins with "/" and does not end with it, '
        "such as /socket.io",
        "s.toml:11: limits.max_body: 2000000 is more than limits.max_payload (1000000) lets "
        "through",
        "s.toml:11: limits.max_body: 2000000 is more than limits.client_queue (1048576): such a "
        "message would cut off everybody who gets it",
    ]


@pytest.mark.parametrize("text", ["server = 1", "[[server]]\nport = 1"])
def test_a_section_is_a_table(text: str) -> None:
    assert faults(text) == ["s.toml:1: server: expected the table [server]"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a = [", "s.toml:1:6: not valid TOML: invalid value"),
        ("[server]\nport 1", "s.toml:2:6: not valid TOML: expected '=' after a key"),
        ("[a]\n[a]", "s.toml:2:3: not valid TOML: cannot declare"),
        ("a = " + "[" * 100_000, "s.toml: not valid TOML: brackets are nested too deeply"),
        ("a = " + "9" * 5000, "s.toml: not valid TOML: exceeds the limit"),
        ("a = 'x\ny'", "s.toml:1:7: not valid TOML"),
    ],
)
def test_what_is_not_toml_is_one_fault_with_its_place(text: str, fault: str) -> None:
    (found,) = faults(text)
    assert found.startswith(fault)
    assert "\n" not in found


def test_the_other_layers_of_a_broken_file_are_looked_at_too() -> None:
    broken = "[server\nhost = '0.0.0.0'"
    assert len(faults(broken, {"SIOSERVER_SERVER__PORT": "x"}, ["a=1"])) == 3


def test_strange_names_make_no_strange_lines() -> None:
    found = faults(
        '"a\\nb\\u001b[0m" = 1\n[server]\n"x\\ny" = 1\n[[rooms]]\nmatch = "x\\ny"\nq = 1'
    )
    assert len(found) == 4
    assert all(line.isprintable() for line in found)


def test_a_strange_name_of_the_file_makes_no_strange_lines() -> None:
    assert load("log.level = 'info'", name="a\nb").sources == {"log.level": "a\\nb:1"}


# ---------------------------------------------------------------------------- rooms


def test_rooms_as_entries() -> None:
    config = build(
        """
        [[rooms]]
        root = "hall"
        [[rooms]]
        match = "support/*"
        relay = ["cursor"]
        [[rooms]]
        recovery_limit = 5
        [[rooms]]
        match = "*"
        presence = false
        """
    )
    assert config.rooms.root == "hall"
    assert config.rooms.recovery_limit == 5
    assert config.rooms.rules == [
        RoomRule(match="support/*", relay=["cursor"]),
        RoomRule(match="*", presence=False),
    ]


@pytest.mark.parametrize(
    "text",
    [
        '[rooms]\nroot = "hall"\n[[rooms.rules]]\nmatch = "a"',
        'rooms = {root = "hall", rules = [{match = "a"}]}',
        'rooms = [{root = "hall"}, {match = "a"}]',
        '[[rooms]]\nroot = "hall"\n[[rooms.rules]]\nmatch = "a"',
    ],
)
def test_other_ways_to_write_rooms(text: str) -> None:
    rooms = build(text).rooms
    assert rooms.root == "hall"
    assert rooms.rules == [RoomRule(match="a")]


def test_a_plain_table_is_enough() -> None:
    assert build('[rooms]\nroot = "hall"').rooms.root == "hall"
    assert build("rooms = []") == Config()


def test_faults_of_rooms() -> None:
    text = """\
[[rooms]]
root = "a b"
history_length = 3
rot = "x"
[[rooms]]
match = "*"
colour = 3
root = "x"
zzzzzz = 1
[[rooms]]
match = "support/*"
max_body = -1
relay = [1]
[[rooms]]
root = "c"
[[rooms]]
match = 1
"""
    found = faults(text)
    assert found == [
        "s.toml:3: rooms.history_length: this belongs to a rule: a [[rooms]] entry with match, "
        'such as match = "*"',
        's.toml:4: rooms.rot: unknown key; did you mean "root"?',
        "s.toml:15: rooms.root: given twice",
        f's.toml:7: rooms "*": colour: unknown key; a rule has {", ".join(RULE_KEYS)}',
        's.toml:8: rooms "*": root: this is for all rooms: put it into a [[rooms]] entry without '
        "match",
        f's.toml:9: rooms "*": zzzzzz: unknown key; a rule has {", ".join(RULE_KEYS)}',
        's.toml:12: rooms "support/*": max_body: expected a whole number from 0 to 2147483647, '
        "found -1",
        's.toml:13: rooms "support/*": relay: expected a list of texts, found [1]',
        "s.toml:17: rooms rule 3: match: expected a text, found 1",
        's.toml:11: rooms "support/*": match: never reached: "*" stands before it, and the first '
        "match wins",
    ]


def test_a_misspelt_key_of_a_rule() -> None:
    (found,) = faults('[[rooms]]\nmatch = "a"\nhistory_lenght = 1')
    assert found.endswith('unknown key; did you mean "history_length"?')


def test_both_ways_of_rules_at_once() -> None:
    text = '[[rooms]]\n[[rooms.rules]]\nmatch = "a"\n[[rooms]]\nmatch = "b"'
    assert faults(text) == [
        "s.toml:4: rooms.rules: write all rules as [[rooms]] entries with match"
    ]


def test_a_table_beside_entries_is_explained() -> None:
    (found,) = faults('[rooms]\nroot = "a"\n[[rooms]]\nmatch = "b"')
    assert found.endswith("beside [[rooms]] entries, write [rooms] as [[rooms]] too")


@pytest.mark.parametrize("text", ["rooms = 1", "rooms = [1]", "[rooms]\nrules = [1]"])
def test_what_is_no_room(text: str) -> None:
    (found,) = faults(text)
    assert "expected" in found


def test_rules_of_a_later_layer_replace_all_of_an_earlier_one() -> None:
    text = '[[rooms]]\nmatch = "a"\nmax_body = -1\n[[rooms]]\nmatch = "b"'
    environ = {"SIOSERVER_ROOMS__RULES": '[{"match": "c", "presence": false}]'}
    sets = ['rooms.rules=[{match = "d"}]']
    assert build(text.replace("-1", "1"), environ).rooms.rules == [
        RoomRule(match="c", presence=False)
    ]
    assert build("", environ, sets).rooms.rules == [RoomRule(match="d")]
    assert build("", environ, ["rooms.rules="]).rooms.rules == []
    assert len(faults(text, environ)) == 1


def test_faults_of_rules_from_elsewhere() -> None:
    environ = {"SIOSERVER_ROOMS__RULES": '[{"match": "a", "zz": 1}, {"match": "a"}]'}
    found = faults("", environ)
    assert found[0].startswith('SIOSERVER_ROOMS__RULES: rooms "a": zz: unknown key; a rule has')
    assert found[1].startswith('SIOSERVER_ROOMS__RULES: rooms "a": match: an earlier rule')
    (found_,) = faults(sets=["rooms.rules=a,b"])
    assert found_.startswith("--set rooms.rules: rooms.rules: expected a list of tables, found")


# ---------------------------------------------------------------------------- the environment


def test_the_environment_by_type() -> None:
    config = build(
        environ={
            "SIOSERVER_LIMITS__ENABLED": "off",
            "SIOSERVER_SERVER__ORIGINS": "https://a.example, https://b.example",
            "SIOSERVER_TRANSPORT__TRANSPORTS": '["websocket"]',
            "SIOSERVER_PRESENCE__GRACE": "0.5",
            "SIOSERVER_LOG__LEVEL": "debug",
        }
    )
    assert not config.limits.enabled
    assert config.server.origins == ["https://a.example", "https://b.example"]
    assert config.transport.transports == ["websocket"]
    assert config.presence.grace == 0.5
    assert config.log.level == "debug"


def test_other_names_are_left_alone() -> None:
    environ = {
        "SIOSERVER_CONFIG": "x",
        "SIOSERVER_SKIP_WEB": "1",
        "SIOSERVER_CHROME": "x",
        "SIOSERVER_NODE": "x",
        "SIOSERVER_TEST_UPDATE": "1",
        "SIOSERVER_PORT": "tcp://10.0.0.1:80",
        "SIOSERVER_SERVICE_HOST": "10.0.0.1",
        "SIOSERVER_SERVER_PORT": "tcp://10.0.0.1:80",
        "PATH": "/bin",
        "OTHER__NAME": "x",
    }
    assert build(environ=environ) == Config()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("SIOSERVER_SERVER__PROT", "unknown setting; did you mean SIOSERVER_SERVER__PORT?"),
        ("SIOSERVER_server__port", "unknown setting; did you mean SIOSERVER_SERVER__PORT?"),
        ("SIOSERVER_SERVER_PORT", "two underscores go after the section: SIOSERVER_SERVER__PORT"),
        ("SIOSERVER_ZZ__QQQQQQQQQQQQQQQQQQQQQQQQQ", "unknown section; there are server, tls, auth"),
    ],
)
def test_misspelt_names_are_faults(name: str, text: str) -> None:
    (found,) = faults(environ={name: "1"})
    assert found.startswith(f"{name}: {text}")


# ---------------------------------------------------------------------------- between settings


def test_the_place_of_a_fault_between_settings_is_the_setting_that_was_given() -> None:
    (found,) = faults("[limits]\nmax_payload = 2000")
    assert found.startswith("s.toml:2: limits.max_body: 65536 is more than limits.max_payload")


def test_a_public_address_needs_a_secret() -> None:
    (found,) = faults(flags={"--host": "0.0.0.0"})
    assert found.startswith("--host: server.host: 0.0.0.0 can be reached from outside")
    assert build(flags={"--host": "0.0.0.0"}, sets=[f"auth.secret={SECRET}"]).auth.secret == SECRET
    assert build(flags={"--host": "0.0.0.0"}, sets=["auth.insecure_anonymous=yes"])


def test_a_fault_is_not_told_twice() -> None:
    """A secret of the wrong type does not make its absence a second fault."""
    (found,) = faults("[auth]\nsecret = 1", flags={"--host": "0.0.0.0"})
    assert found.startswith("s.toml:2: auth.secret")


def test_a_fault_of_a_lower_layer_is_told_but_does_not_hide_the_rest() -> None:
    found = faults('[auth]\nsecret = 1\n[server]\nhost = "::"', sets=["auth.secret="])
    assert len(found) == 2


@pytest.mark.parametrize("name", ["", "__proto__", "__x"])
def test_names_that_the_libraries_keep_cannot_be_relayed(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be relayed"):
        build(f'[[rooms]]\nmatch = "a"\nrelay = ["{name}"]')


def test_names_of_the_protocol_cannot_be_relayed() -> None:
    text = '[[rooms]]\nmatch = "a"\nrelay = ["message"]'
    assert build(text).rooms.rules[0].relay == ["message"]
    with pytest.raises(ConfigError) as caught:
        build(text, taken_events={"message"})
    assert caught.value.faults == [
        Fault(
            "config:3",
            'rooms "a": relay',
            '"message" cannot be relayed: the protocol uses the name itself',
        )
    ]


@pytest.mark.parametrize("secret", ["hunter2", f"{SECRET}\n"])
def test_no_message_repeats_a_secret(secret: str) -> None:
    for found in (
        faults(environ={"SIOSERVER_AUTH__SECRET": secret}),
        faults(sets=[f"auth.secret={secret}"]),
        faults(f"[auth]\nsecret = [{secret.strip()!r}]"),
        faults(f"[auth]\nsecret = {secret.strip()}x"),
    ):
        assert secret.strip() not in "\n".join(found)


# ---------------------------------------------------------------------------- garbage

HEADERS = ["[server]", "[[rooms]]", "[rooms]", "[rooms.rules]", "[[rooms.rules]]"]
NAMES = ["match", "port", "host", "rules", "rooms", "server"]
VALUES = ["1", "-1", "1.5", "true", "nan", "2026-01-01", '"x"', "[]", "{}"]
SIGNS = ["=", "=", "=", '"""', "[", "]", "{", "}", ".", ",", "#", "\n", "\n"]
WORDS = st.sampled_from([*HEADERS, *NAMES, *VALUES, *SIGNS])


def built_or_refused(text: str = "", **layers: Any) -> None:
    found = [Fault("", "", "none")]
    try:
        build(text, **layers)
    except ConfigError as error:
        found = error.faults
    assert found
    assert all(str(fault).isprintable() for fault in found)


@given(st.text())
def test_any_text_is_a_configuration_or_a_fault(text: str) -> None:
    built_or_refused(text)


@given(st.lists(WORDS, max_size=30).map(" ".join))
def test_any_likely_text_is_a_configuration_or_a_fault(text: str) -> None:
    built_or_refused(text)


def trees() -> st.SearchStrategy[object]:
    plain = st.integers() | st.floats() | st.booleans() | st.text() | st.dates()
    return st.recursive(plain, lambda inner: st.lists(inner, max_size=3), max_leaves=5)


@given(st.sampled_from(sorted(KEYS)), trees())
def test_any_value_is_taken_or_refused(path: str, value: object) -> None:
    built_or_refused(f"{path} = {as_toml(value)}")


def as_toml(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(as_toml, value))}]"
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(sign):08x}" for sign in value) + '"'
    return str(value).lower() if isinstance(value, bool) else str(value)


ENV_NAMES = st.sampled_from([key.env for key in KEYS.values()]) | st.text(max_size=20).map(
    "SIOSERVER_{}".format
)


@given(st.dictionaries(ENV_NAMES, st.text(st.characters()), max_size=4))
def test_any_environment_is_a_configuration_or_a_fault(environ: dict[str, str]) -> None:
    built_or_refused(environ=environ)


@given(
    st.lists(st.text() | st.tuples(st.sampled_from(sorted(KEYS)), st.text()).map("=".join)),
    st.dictionaries(st.sampled_from(sorted(FLAGS)), st.text()),
)
def test_any_command_line_is_a_configuration_or_a_fault(
    sets: list[str], flags: dict[str, str]
) -> None:
    built_or_refused(sets=sets, flags=flags)


def test_webhooks() -> None:
    text = f"""
    [[webhooks]]
    queue = 7
    [[webhooks]]
    url = "https://a.example"
    secret = "{SECRET}"
    events = ["message"]
    [[webhooks]]
    url = "https://b.example"
    name = "b"
    secret = "{SECRET}"
    """
    webhooks = build(text).webhooks
    assert webhooks.queue == 7
    assert [(one.url, one.name) for one in webhooks.endpoints] == [
        ("https://a.example", "default"),
        ("https://b.example", "b"),
    ]


def test_faults_of_webhooks() -> None:
    text = '[[webhooks]]\nurl = "https://a.example"\nevnts = []\nqueue = 3\nsecret = 5\n'
    assert faults(text) == [
        's.toml:3: webhooks "https://a.example": evnts: unknown key; did you mean "events"?',
        's.toml:4: webhooks "https://a.example": queue: this is for all webhooks: put it into a '
        "[[webhooks]] entry without url",
        's.toml:5: webhooks "https://a.example": secret: expected a text, found another kind of '
        "value",
    ]
    text = '[[webhooks]]\nsecret = "x"\n'
    assert faults(text) == [
        "s.toml:2: webhooks.secret: this belongs to a webhook: a [[webhooks]] entry with url, such "
        'as url = "https://app.example/hook"'
    ]
    text = '[[webhooks]]\nurl = "http://a.example"\nsecret = "x"\n'
    assert faults(text)[0].startswith('s.toml:2: webhooks "http://a.example": url: over http')
