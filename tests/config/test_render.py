"""The configuration as text, and back."""

import tomllib
from typing import Any, Literal, get_args, get_origin

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sioserver.config import Config, ConfigError, RoomRule, build
from sioserver.config.keys import (
    ENDPOINT_KEYS,
    ENDPOINTS,
    KEYS,
    RULE_KEYS,
    RULES,
    SECTION_KEYS,
    SECTIONS,
    TABLE_PATHS,
    Key,
    bare,
)
from sioserver.config.load import load
from sioserver.config.render import HIDDEN, example, show, table, toml
from sioserver.config.schema import Webhook, Webhooks

SECRET = "0123456789abcdef0123456789abcdef"


# ---------------------------------------------------------------------------- the example


def test_the_example_is_the_defaults() -> None:
    assert build(example()) == Config()


def test_the_example_has_every_setting_with_its_meaning() -> None:
    tree = tomllib.loads(example())
    for name in ("rooms", "webhooks"):
        tree[name] = tree[name][0]
    assert {name: list(values) for name, values in tree.items()} == {
        name: [key for key in keys if f"{name}.{key}" not in TABLE_PATHS]
        for name, keys in SECTION_KEYS.items()
    }
    words = " ".join(example().replace("\n#", "\n").split())
    for key in [*KEYS.values(), *RULE_KEYS.values(), *ENDPOINT_KEYS.values()]:
        if key.path not in TABLE_PATHS:
            assert key.about in words.replace(" # ", " ")


def test_the_rule_of_the_example_can_be_uncommented() -> None:
    before, rule = example().split("# [[rooms]]\n")
    rule, after = rule.split("\n\n", 1)
    lines = [line.removeprefix("# ") for line in rule.split("\n")]
    config = build("\n".join([before, "[[rooms]]", *lines, after]))
    assert config.rooms.rules == [RoomRule(match="support/*")]


def test_the_webhook_of_the_example_needs_only_a_secret() -> None:
    before, entry = example().split("# [[webhooks]]\n")
    entry, after = entry.split("\n\n", 1)
    lines = [line.removeprefix("# ") for line in entry.split("\n")]
    lines[lines.index('secret = ""')] = f'secret = "{SECRET}"'
    config = build("\n".join([before, "[[webhooks]]", *lines, after]))
    assert config.webhooks.endpoints == [Webhook(url="https://app.example/hook", secret=SECRET)]


def test_the_secret_of_a_webhook_is_hidden() -> None:
    config = Config(webhooks=Webhooks(endpoints=[Webhook(url="https://a.example", secret=SECRET)]))
    assert SECRET not in show(config)
    assert SECRET in show(config, mask=False)


def test_the_example_fits_into_a_terminal() -> None:
    assert max(map(len, example().split("\n"))) <= 100


# ---------------------------------------------------------------------------- the table


def test_the_table_has_every_setting() -> None:
    text = table()
    for key in [*KEYS.values(), *RULE_KEYS.values(), *ENDPOINT_KEYS.values()]:
        if key.path not in TABLE_PATHS:
            assert f"\n| `{key.name}` | `{toml(key.default)}` |" in text
    assert text.count("\n| `") == len(KEYS) - 2 + len(RULE_KEYS) + len(ENDPOINT_KEYS)


def test_the_table_is_a_table() -> None:
    rows = [line for line in table().split("\n") if line.startswith("|")]
    assert {row.replace("\\|", "").count("|") for row in rows} == {5}


# ---------------------------------------------------------------------------- what is in force


def test_what_is_shown_of_the_defaults_is_the_defaults() -> None:
    assert build(show(Config())) == Config()


def test_the_secret_is_hidden() -> None:
    config = build(sets=[f"auth.secret={SECRET}"])
    text = show(config)
    assert SECRET not in text
    assert f'secret = "{HIDDEN}"' in text
    assert SECRET in show(config, mask=False)
    assert 'secret = ""' in show(Config())


def test_a_list_of_secrets_is_hidden() -> None:
    sets = [f"redis.bus_secret={SECRET}", f'redis.old_bus_secrets=["{SECRET}", "{SECRET[::-1]}"]']
    text = show(build(sets=sets))
    assert SECRET not in text
    assert SECRET[::-1] not in text


def test_the_password_of_redis_is_hidden() -> None:
    config = build(sets=["redis.url=redis://joe:swordfish@localhost", f"cluster.secret={SECRET}"])
    text = show(config)
    assert "swordfish" not in text
    assert SECRET not in text
    assert f'url = "{HIDDEN}"' in text
    assert "swordfish" in show(config, mask=False)
    assert 'url = ""' in show(Config())


def test_it_is_shown_where_a_value_came_from() -> None:
    text = '[[rooms]]\nmatch = "a"'
    shown = show(*load(text, {"SIOSERVER_LOG__LEVEL": "debug"}, flags={"--port": "1"}, name="s"))
    assert '\nlevel = "debug"  # SIOSERVER_LOG__LEVEL\n' in shown
    assert "\nport = 1  # --port\n" in shown
    assert '\nmatch = "a"  # s:2\n' in shown
    assert shown.count("  # ") == 3


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (8000, "8000"),
        (65_536, "65_536"),
        (5.0, "5"),
        (0.25, "0.25"),
        (1e-7, "1e-07"),
        (["a", "b"], '["a", "b"]'),
        ([], "[]"),
        ('a"\\\n\x7fé', '"a\\"\\\\\\n\\u007fé"'),
    ],
)
def test_values_in_toml(value: object, text: str) -> None:
    assert toml(value) == text
    assert tomllib.loads(f"x = {text}")["x"] == value


TEXTS = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=20)
ORIGINS = st.sampled_from(
    ["http://a:*", "https://a.example", "http://*.example.com", "http://[::1]:80"]
)
NAMES = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20)
SECRETS = st.text("abc'\"\\ é", min_size=32, max_size=40).map("0123456789".__add__)
# the libraries' own names begin with two of these
EVENTS = st.lists(NAMES.filter(lambda name: not name.startswith("__")), max_size=3)
# an event is in one of the two lists of a rule
LATEST = st.lists(st.text("0123", min_size=1, max_size=3).map("latest-".__add__), max_size=3)
SPECIAL: dict[str, st.SearchStrategy[Any]] = {
    "server.host": st.sampled_from(["127.0.0.1", "::1", "localhost"]),
    "server.path": st.from_regex(r"(/[a-z0-9._~-]{1,5}){1,3}", fullmatch=True).filter(
        lambda path: not f"{path}/".startswith("/api/")
    ),
    "gateway.path": st.from_regex(r"/plain-[a-z0-9]{1,5}", fullmatch=True),
    "server.origins": st.lists(ORIGINS.filter(lambda text: not text.endswith(":80")), max_size=3),
    "server.frame_ancestors": st.lists(
        st.sampled_from(["self", "https://*.b.example"]), max_size=2
    ),
    "server.hosts": st.lists(st.sampled_from(["a.example", "*.b.example", "[::1]"]), max_size=2),
    "server.trusted_proxies": st.lists(st.ip_addresses().map(str), max_size=3),
    "auth.secret": SECRETS,
    "auth.jwks": st.sampled_from(["", "keys.json", "https://issuer.example/keys"]),
    "auth.old_secrets": st.lists(SECRETS, max_size=8),
    # one for secrets and one for public keys: either kind has to be served where it is set
    "auth.algorithms": st.sampled_from([[], ["HS256", "RS256"], ["EdDSA", "HS256"]]),
    "api.keys": st.sampled_from(
        [f"a:admin:sha256:{'0f' * 32}", f"b:admin+metrics:sha256:{'1e' * 32}"]
    ).map(lambda entry: [entry]),
    "tls.cert": st.just("a.pem"),
    "redis.url": st.sampled_from(["redis://a", "rediss://joe:p%40w@[::1]:6380/3"]),
    "redis.sentinels": st.lists(st.sampled_from(["a:26379", "[::1]:1"]), max_size=3),
    "redis.service": NAMES,
    "redis.prefix": st.text("Az0._:-", min_size=1, max_size=10),
    "cluster.address": st.sampled_from(["10.0.0.5:9000", "[::1]:1", "host-1:64000"]),
    "redis.bus_secret": SECRETS,
    "redis.old_bus_secrets": st.lists(SECRETS, max_size=2),
    "cluster.secret": SECRETS,
    "rooms.root": st.text("aé0_.:-/", min_size=1, max_size=20),
    "transport.transports": st.permutations(["polling", "websocket"]),
    "limits.max_body": st.integers(1, 16_384),
    "limits.max_payload": st.integers(16_384, 2**31 - 1),
    "rooms.max_body": st.integers(0, 16_384),
    "webhooks.url": st.sampled_from(["https://a.example/hook?x=1", "http://127.0.0.1:9"]),
    "webhooks.rooms": st.lists(TEXTS, min_size=1, max_size=3),
    "webhooks.events": st.lists(st.sampled_from(["join", "leave"]), min_size=1, max_size=3),
    "rooms.relay": EVENTS.filter(lambda names: not any(n.startswith("latest-") for n in names)),
    "rooms.relay_latest": LATEST,
}


def values(key: Key) -> st.SearchStrategy[Any]:
    """Valid values of a setting, from its type."""
    kind, metas = bare(key.kind)
    bounds: dict[str, Any] = {}
    for meta in metas:
        if meta.ge is not None:
            bounds["min_value"] = meta.ge
        if meta.gt is not None:
            bounds |= {"min_value": meta.gt, "exclude_min": True}
        if meta.le is not None:
            bounds["max_value"] = meta.le
    if key.path in SPECIAL:
        return SPECIAL[key.path]
    if get_origin(kind) is Literal:
        return st.sampled_from(get_args(kind))
    if kind is int:
        return st.integers(**bounds)
    if kind is float:
        return st.floats(**bounds)
    return {bool: st.booleans(), str: TEXTS, list[str]: st.lists(TEXTS, max_size=3)}[kind]


RULE = st.fixed_dictionaries(
    {name: values(key) for name, key in RULE_KEYS.items() if name != "match"}
)


def distinct_rules(rules: list[dict[str, Any]]) -> list[RoomRule]:
    return [RoomRule(match=f"room{number}/*", **rule) for number, rule in enumerate(rules)]


SPECIAL[RULES] = st.lists(RULE, max_size=3).map(distinct_rules)
ENDPOINT = st.fixed_dictionaries(
    {name: values(key) for name, key in ENDPOINT_KEYS.items() if name not in ("name", "secret")}
)


def distinct_endpoints(endpoints: list[dict[str, Any]]) -> list[Webhook]:
    return [
        Webhook(name=f"hook{number}", secret=SECRET, **endpoint)
        for number, endpoint in enumerate(endpoints)
    ]


SPECIAL[ENDPOINTS] = st.lists(ENDPOINT, max_size=3).map(distinct_endpoints)
CONFIGS = st.builds(
    Config,
    **{
        section: st.builds(struct, **{k: values(v) for k, v in SECTION_KEYS[section].items()})
        for section, struct in SECTIONS.items()
    },
)


@settings(deadline=None)
@given(CONFIGS)
def test_what_is_shown_loads_as_the_same(config: Config) -> None:
    assert build(show(config, mask=False)) == config


@settings(deadline=None)
@given(CONFIGS)
def test_what_is_given_by_the_environment_loads_as_the_same(config: Config) -> None:
    environ = {}
    for key in KEYS.values():
        value = getattr(getattr(config, key.section), key.name)
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        environ[key.env] = text
    assert build(environ=environ) == config


@settings(deadline=None)
@given(CONFIGS)
def test_sources_in_comments_change_nothing(config: Config) -> None:
    text = show(config, dict.fromkeys(KEYS, "s.toml:1"), mask=False)
    assert build(text) == config


def test_the_hidden_secret_cannot_be_used_by_mistake() -> None:
    with pytest.raises(ConfigError, match="at least 32"):
        build(show(build(sets=[f"auth.secret={SECRET}"])))
