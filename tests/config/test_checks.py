"""What has to hold between settings."""

from fnmatch import fnmatchcase
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sioserver.config import Config, RoomRule
from sioserver.config.checks import MAX_WEBHOOKS, Problem, problems
from sioserver.config.schema import Api, Auth, Server, Webhook

SECRET = "0123456789abcdef0123456789abcdef"
REDIS = {"url": "redis://localhost"}


def config(**sections: dict[str, Any]) -> Config:
    """The defaults with some values replaced."""
    default = Config()
    return Config(
        **{
            name: msgspec.structs.replace(getattr(default, name), **values)
            for name, values in sections.items()
        }
    )


def found(**sections: dict[str, Any]) -> list[Problem]:
    return list(problems(config(**sections)))


def rules(*matches: str) -> list[Problem]:
    return found(rooms={"rules": [RoomRule(match=match) for match in matches]})


def test_the_defaults_are_fine() -> None:
    assert found() == []


# ---------------------------------------------------------------------------- who may come


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost", "LOCALHOST"])
def test_loopback_needs_no_secret(host: str) -> None:
    assert found(server={"host": host}) == []


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.1", "example.com", "localhost.com"])
def test_a_public_address_without_tokens_is_refused(host: str) -> None:
    (problem,) = found(server={"host": host})
    assert problem.keys == ("server.host", "auth.secret", "auth.insecure_anonymous")
    assert "set auth.secret" in problem.text
    assert "auth.insecure_anonymous = true" in problem.text
    assert found(server={"host": host}, auth={"secret": SECRET}) == []
    assert found(server={"host": host}, auth={"insecure_anonymous": True}) == []
    assert len(found(server={"host": host}, auth={"anonymous": True})) == 1


def test_a_key_without_a_certificate() -> None:
    assert found(tls={"cert": "a.pem"}) == []
    assert found(tls={"cert": "a.pem", "key": "b.pem", "password": "x"}) == []
    problems = found(tls={"key": "b.pem", "password": "x"})
    assert [problem.keys for problem in problems] == [
        ("tls.key", "tls.cert"),
        ("tls.password", "tls.cert"),
    ]
    assert {problem.text for problem in problems} == {
        "there is no TLS without a certificate: set tls.cert"
    }


def test_guests_without_a_secret_are_fine_at_home() -> None:
    assert found(auth={"anonymous": True}) == []


@pytest.mark.parametrize("host", ["", " ", "a b", "[::1]", "http://example.com"])
def test_what_is_no_address(host: str) -> None:
    assert found(server={"host": host}, auth={"secret": SECRET})[0].keys == ("server.host",)


@pytest.mark.parametrize("secret", ["a", SECRET[:-1], "é" * 15])
def test_a_short_secret_is_refused_without_being_told(secret: str) -> None:
    (problem,) = found(auth={"secret": secret})
    assert problem.keys == ("auth.secret",)
    assert f"{len(secret.encode())} bytes, at least 32" in problem.text
    assert len(secret) == 1 or secret not in problem.text


@pytest.mark.parametrize("secret", [SECRET, "éàèùâêîô" * 2, "kR7".join(SECRET)])
def test_a_long_secret_is_fine(secret: str) -> None:
    assert found(auth={"secret": secret}) == []
    assert found(auth={"secret": SECRET, "old_secrets": [secret]}) == []


@pytest.mark.parametrize(
    ("secret", "says"),
    [
        ("x" * 32, "only 1 different signs"),
        ("é" * 16, "only 2 different signs"),
        ("abcdefg" * 9, "only 7 different signs"),
        ("change-me-change-me-change-me-now", "an example"),
        ("CHANGEME_0123456789abcdef0123456789", "an example"),
        ("replace this with a long random text", "an example"),
        ("your-256-bit-secret-your-256-bit-secret", "an example"),
        ("your secret of at least 32 characters", "an example"),
        ("a-string-secret-at-least-256-bits-long", "an example"),
        ("password0123456789password0123456789", "an example"),
        ("<a secret with at least thirty-two bytes>", "an example"),
        ("secretsecretsecretsecret0123456789", "an example"),
        ("-----BEGIN PUBLIC KEY-----" + SECRET, "auth.public_keys"),
        ("ssh-ed25519 " + SECRET, "auth.public_keys"),
        ('{"kty": "oct", "k": "' + SECRET, "auth.public_keys"),
        (' [{"use": "sig", "kty": "RSA", "n": "' + SECRET, "auth.public_keys"),
    ],
)
def test_a_secret_that_is_none(secret: str, says: str) -> None:
    for auth in ({"secret": secret}, {"secret": SECRET, "old_secrets": [SECRET, secret]}):
        (problem,) = found(auth=auth)
        assert problem.keys == ("auth.old_secrets" if "old_secrets" in auth else "auth.secret",)
        assert says in problem.text
        assert secret not in problem.text


def test_what_is_too_many() -> None:
    (problem,) = found(auth={"secret": SECRET, "old_secrets": [SECRET] * 9})
    assert problem == Problem(("auth.old_secrets",), "there are 9, at most 8 are taken")
    (problem,) = found(auth={"public_keys": ["a.pem"] * 17})
    assert problem == Problem(("auth.public_keys",), "there are 17, at most 16 are taken")


@pytest.mark.parametrize(
    ("auth", "says"),
    [
        ({"algorithms": ["HS256"]}, "nothing to use them with"),
        ({"algorithms": ["RS256"], "secret": SECRET}, "none of them is for auth.secret"),
        ({"algorithms": ["HS384"], "secret": SECRET}, "none of them is for auth.secret"),
        ({"algorithms": ["HS384", "HS256"], "secret": SECRET}, None),
        ({"algorithms": ["HS384"], "secret": SECRET * 2}, None),
        ({"algorithms": ["RS256"], "public_keys": ["a.pem"]}, None),
        ({"algorithms": ["HS256"], "public_keys": ["a.pem"]}, "none of them is for auth.public_k"),
        ({"algorithms": ["HS512", "HS256"], "jwks": "k.json"}, "none of them is for auth.jwks"),
        ({"algorithms": ["HS256"], "jwks": "k.json", "secret": SECRET}, "is for auth.jwks"),
        ({"algorithms": ["HS256", "ES256"], "jwks": "k.json", "secret": SECRET}, None),
    ],
)
def test_algorithms_have_keys(auth: dict[str, Any], says: str | None) -> None:
    texts = [problem.text for problem in found(auth=auth)]
    assert len(texts) == bool(says)
    assert not says or says in texts[0]


@pytest.mark.parametrize(
    ("jwks", "says"),
    [
        ("https://issuer.example/.well-known/jwks.json?v=1", None),
        ("https://issuer.example:8443/keys", None),
        ("http://127.0.0.1:9000/keys", None),
        ("http://[::1]/keys", None),
        ("http://localhost/keys", None),
        ("keys.json", None),
        ("/etc/sioserver/keys.json", None),
        ("http://issuer.example/keys", "over http anybody"),
        ("http://localhost.issuer.example/keys", "over http anybody"),
        ("http://10.0.0.1/keys", "over http anybody"),
        ("file:///etc/passwd", "expected https"),
        ("ftp://issuer.example/keys", "expected https"),
        ("HTTPS://", "expected https"),
        ("https:///keys", "expected https"),
        ("https://issuer.example/a b", "expected https"),
        ("https://[::1/keys", "no URL"),
        ("https://issuer.example:99999/keys", "no URL"),
        ("https://joe:swordfish@issuer.example/keys", "without user"),
        ("https://issuer.example/keys#x", "without user"),
    ],
)
def test_where_a_key_set_is(jwks: str, says: str | None) -> None:
    problems = found(server={"host": "0.0.0.0"}, auth={"jwks": jwks})
    assert len(problems) == bool(says)
    if says:
        assert problems[0].keys == ("auth.jwks",)
        assert says in problems[0].text
        assert "swordfish" not in problems[0].text


@pytest.mark.parametrize(
    "auth", [{"old_secrets": [SECRET]}, {"public_keys": ["a.pem"]}, {"jwks": "keys.json"}]
)
def test_whatever_verifies_tokens_makes_an_address_safe(auth: dict[str, Any]) -> None:
    assert found(server={"host": "0.0.0.0"}, auth=auth) == []


# ---------------------------------------------------------------------------- addresses


@pytest.mark.parametrize("path", ["/socket.io", "/a/b-c_d~e", "/x"])
def test_paths(path: str) -> None:
    assert found(server={"path": path}) == []


@pytest.mark.parametrize("path", ["", "/", "socket.io", "/a/", "//a", "/a b", "/a?b", "/{x}", "/ä"])
def test_what_is_no_path(path: str) -> None:
    (problem,) = found(server={"path": path})
    assert 'begins with "/"' in problem.text


@pytest.mark.parametrize("path", ["/healthz", "/metrics/io", "/api", "/api/rooms"])
def test_where_socket_io_cannot_be(path: str) -> None:
    (problem,) = found(server={"path": path})
    assert problem.keys == ("server.path",)
    assert problem.text.startswith("something else is there")


@pytest.mark.parametrize("path", ["/ws", "/chat/ws", "/socket.io2"])
def test_where_plain_websockets_come_in(path: str) -> None:
    assert not found(gateway={"path": path})


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("ws", "begins with"),
        ("/ws/", "does not end"),
        ("/", "begins with"),
        ("/metrics", "something else"),
        ("/api/rooms", "something else"),
        ("/socket.io", "Socket.IO"),
        ("/socket.io/x", "something else"),
    ],
)
def test_where_they_cannot(path: str, says: str) -> None:
    [problem] = found(gateway={"path": path})
    assert problem.keys[0] == "gateway.path"
    assert says in problem.text


def test_proxies() -> None:
    proxies = ["10.0.0.1", "10.0.0.0/8", "::1", "fd00::/8", "0.0.0.0/0"]
    assert found(server={"trusted_proxies": proxies}) == []


def test_names_of_hosts() -> None:
    assert found(server={"hosts": ["chat.example", "*.example.com", "localhost"]}) == []
    (problem,) = found(server={"hosts": ["https://chat.example:8000"]})
    assert problem.keys == ("server.hosts",)
    assert problem.text.endswith('did you mean "chat.example"?')


def test_what_is_no_proxy() -> None:
    wrong = found(server={"trusted_proxies": ["10.0.0.1/8", "", "proxy", "10.0.0.0/33"]})
    assert len(wrong) == 4
    assert 'did you mean "10.0.0.0/8"' in wrong[0].text


@pytest.mark.parametrize(
    "origin",
    [
        "https://app.example",
        "http://localhost:3000",
        "http://localhost:*",
        "https://*.example.com",
        "http://127.0.0.1:8080",
        "http://[::1]:8080",
        "http://app.example:443",
        "capacitor://localhost",
        "chrome-extension://abcdefgh",
    ],
)
def test_origins(origin: str) -> None:
    assert found(server={"origins": [origin]}) == []


@pytest.mark.parametrize(
    ("origin", "text"),
    [
        ("https://app.example/", 'did you mean "https://app.example"?'),
        ("https://App.example", 'did you mean "https://app.example"?'),
        ("https://app.example:443", 'leave out ":443"'),
        ("http://app.example:80", 'leave out ":80"'),
        ("https://app.example:65536", "at most 65535"),
        ("app.example", "expected scheme://host[:port]"),
        ("https://app.example/page", "expected scheme://host[:port]"),
        ("https://", "expected scheme://host[:port]"),
        ("https://a.*.example", "expected scheme://host[:port]"),
        ("https://*", "expected scheme://host[:port]"),
        ("https://bücher.example", 'did you mean "https://xn--bcher-kva.example"?'),
        ("null", "cannot be listed"),
        ("*", "or set server.insecure_any_origin = true"),
        ("https://*.com", "everybody can have a sub-domain of com"),
        ("", "expected scheme://host[:port]"),
        ("https://a.example\n", 'did you mean "https://a.example"?'),
    ],
)
def test_what_is_no_origin(origin: str, text: str) -> None:
    (problem,) = found(server={"origins": [origin]})
    assert problem.keys == ("server.origins",)
    assert text in problem.text


def test_who_may_frame_the_page() -> None:
    pages = ["self", "https://a.example", "https://*.b.example:8443", "http://localhost:*"]
    assert found(server={"frame_ancestors": pages}) == []


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("'self'", 'or "self"'),
        ("*", 'or "self"'),
        ("https://a.example/", 'did you mean "https://a.example"?'),
        ("https://a.example; script-src *", "is not an origin"),
        ("capacitor://localhost", "over http or https"),
        ("http://[::1]", "no IPv6 address"),
    ],
)
def test_who_cannot_frame_the_page(page: str, text: str) -> None:
    (problem,) = found(server={"frame_ancestors": [page]})
    assert problem.keys == ("server.frame_ancestors",)
    assert text in problem.text


# ---------------------------------------------------------------------------- sizes


def test_a_body_fits_into_a_payload() -> None:
    assert found(limits={"max_body": 1_000_000}) == []
    (problem,) = found(limits={"max_body": 1_000_001})
    assert problem.keys == ("limits.max_body", "limits.max_payload")


def test_a_body_fits_into_a_queue() -> None:
    (problem,) = found(limits={"client_queue": 20_000})
    assert problem.keys == ("limits.max_body", "limits.client_queue")


def test_the_sizes_of_rules_are_held_to_the_same() -> None:
    rule = RoomRule(max_body=2_000_000)
    keys = [problem.keys[0] for problem in found(rooms={"rules": [RoomRule("a"), rule]})]
    assert keys == ["rooms.rules.1.max_body"] * 2


@pytest.mark.parametrize("offered", [[], ["polling", "polling"]])
def test_transports_are_offered_once(offered: list[str]) -> None:
    (problem,) = found(transport={"transports": offered})
    assert problem.keys == ("transport.transports",)


# ---------------------------------------------------------------------------- many nodes


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost",
        "redis://:pw@localhost:6379/0",
        "rediss://joe:p%40w@[::1]:6380/?ssl_ca_certs=/ca.pem",
        "unix:///run/redis.sock?db=1",
        "unix://joe:pw@/run/redis.sock",
    ],
)
def test_addresses_of_redis(url: str) -> None:
    assert found(redis={"url": url}) == []


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("localhost:6379", "expected redis://host:port"),
        ("http://:swordfish@localhost", "expected redis://host:port"),
        ("redis:localhost", "the host is missing: redis://host:port"),
        ("redis://", "the host is missing"),
        ("rediss://joe:swordfish@", "the host is missing: rediss://host:port"),
        ("redis://joe:swordfish@a:port", "no URL"),
        ("redis://joe:sword/fish@a", "no URL"),
        ("redis://joe:swordfish@[::1", "no URL"),
        ("redis://a:65536", "no URL"),
        ("redis://a:0", "from 1 to 65535"),
        ("redis://a/lobby", "number of a database"),
        ("unix://run.sock", "unix:///path"),
    ],
)
def test_what_is_no_redis_is_told_without_its_password(url: str, text: str) -> None:
    (problem,) = found(redis={"url": url})
    assert problem.keys[0] == "redis.url"
    assert text in problem.text
    assert "fish" not in problem.text


def test_sentinels() -> None:
    sentinels = ["10.0.0.1:26379", "[::1]:26379", "sentinel-3:1"]
    for url in ("redis://", "rediss://joe:pw@", "redis://whatever:1/2"):
        assert found(redis={"url": url, "sentinels": sentinels}) == []
    (problem,) = found(redis={"sentinels": sentinels})
    assert problem.keys == ("redis.url", "redis.sentinels")
    (problem,) = found(redis={"url": "unix:///x", "sentinels": sentinels})
    assert problem.text == "expected redis://host:port, rediss://host:port (TLS)"
    (problem,) = found(redis={"url": "redis://", "sentinels": sentinels, "service": ""})
    assert problem.keys == ("redis.service",)


@pytest.mark.parametrize(
    "address", ["", "a", "a:", ":1", "a:0", "a:65536", "a:1:2", "::1:2", "a b:1", "a:٣", "a/b:1"]
)
def test_what_is_no_host_and_port(address: str) -> None:
    wrong = found(redis={"url": "redis://", "sentinels": [address]})
    assert [problem.keys for problem in wrong] == [("redis.sentinels",)]
    cluster = {"address": address, "secret": SECRET}
    wrong = found(redis=REDIS, cluster=cluster)
    assert [problem.keys for problem in wrong] == [("cluster.address",)] * bool(address)


@pytest.mark.parametrize("prefix", ["sioserver", "a", "A.b_c:d-1", "x" * 64])
def test_prefixes(prefix: str) -> None:
    assert found(redis={"prefix": prefix}) == []


@pytest.mark.parametrize("prefix", ["", "a b", "{a}", "é", "x" * 65])
def test_what_is_no_prefix(prefix: str) -> None:
    assert [problem.keys for problem in found(redis={"prefix": prefix})] == [("redis.prefix",)]


def test_who_listens_for_other_hosts_needs_a_secret() -> None:
    address = "10.0.0.5:9000"
    assert found(redis=REDIS, cluster={"address": address, "secret": SECRET}) == []
    for secret in ("short", SECRET[:-1]):
        (problem,) = found(redis=REDIS, cluster={"address": address, "secret": secret})
        assert problem.keys == ("cluster.secret", "cluster.address")
        assert f"{len(secret)} bytes, at least 32" in problem.text
        assert secret not in problem.text
    (problem,) = found(redis=REDIS, cluster={"address": address})
    assert problem.keys == ("cluster.secret", "cluster.address")
    assert problem.text == (
        "cluster.address needs cluster.secret, at least 32 bytes; "
        "make one with: openssl rand -base64 48"
    )
    assert found(cluster={"secret": SECRET}) == []
    assert len(found(cluster={"secret": "short"})) == 1


def test_hosts_find_each_other_in_redis() -> None:
    (problem,) = found(cluster={"address": "10.0.0.5:9000", "secret": SECRET})
    assert problem.keys == ("redis.url", "cluster.address")
    assert problem.text.startswith("cluster.address needs redis.url: ")


@pytest.mark.parametrize("address", ["0.0.0.0:9000", "[::]:9000", "[0:0::0]:9000"])
def test_an_address_at_which_nobody_is_reached(address: str) -> None:
    (problem,) = found(redis=REDIS, cluster={"address": address, "secret": SECRET})
    assert problem.keys == ("cluster.address",)
    assert "the address at which the other hosts reach this one" in problem.text


def test_each_worker_needs_a_port_for_other_hosts() -> None:
    """And one is needed besides, for the first that is replaced."""
    cluster = {"address": "10.0.0.5:65530", "secret": SECRET}
    assert found(redis=REDIS, cluster=cluster, server={"workers": 5}) == []
    (problem,) = found(redis=REDIS, cluster=cluster, server={"workers": 6})
    assert problem.keys == ("cluster.address", "server.workers")
    assert "after 65530" in problem.text


# ---------------------------------------------------------------------------- rooms


@pytest.mark.parametrize("root", ["lobby", "a/b.c:d-e_f", "Straße", "दिल्ली", "x" * 128])
def test_root_rooms(root: str) -> None:
    assert found(rooms={"root": root}) == []


@pytest.mark.parametrize("root", ["", "@me", "a b", "a?", "a,b", "#a", "x" * 129, "e\u0301"])
def test_what_is_no_room(root: str) -> None:
    (problem,) = found(rooms={"root": root})
    assert problem.keys == ("rooms.root",)


def test_rules_in_a_sensible_order() -> None:
    assert rules("news", "support/*", "s*", "[ab]*", "a?", "ab*", "*") == []


@pytest.mark.parametrize(
    ("matches", "number", "text"),
    [
        (["a", "b", "a"], 2, "the same pattern"),
        (["*", "a"], 1, 'never reached: "*"'),
        (["s*", "support/*"], 1, 'never reached: "s*"'),
        (["*a*", "?a?"], 1, 'never reached: "*a*"'),
        ([""], 0, "empty"),
    ],
)
def test_rules_that_never_match(matches: list[str], number: int, text: str) -> None:
    (problem,) = rules(*matches)
    assert problem.keys == (f"rooms.rules.{number}.match",)
    assert text in problem.text


@given(
    st.text("ab*?[]", min_size=1, max_size=4),
    st.text("ab*?[]", min_size=1, max_size=4),
    st.text("ab*?[]", max_size=5),
)
def test_a_rule_that_is_called_dead_is_dead(first: str, second: str, name: str) -> None:
    if rules(first, second) and fnmatchcase(name, second):
        assert fnmatchcase(name, first)


def test_names_of_the_protocol_are_not_relayed() -> None:
    rooms = {"rules": [RoomRule(relay=["cursor", "message", ""])]}
    assert [problem.keys for problem in found(rooms=rooms)] == [("rooms.rules.0.relay",)]
    (first, second) = problems(config(rooms=rooms), {"message"})
    assert first.text.startswith('"message" cannot be relayed')
    assert second.text.startswith('"" cannot be relayed')
    rooms = {"rules": [RoomRule(relay_latest=["cursor", "typing"])]}
    (problem,) = problems(config(rooms=rooms), {"typing"})
    assert problem.keys == ("rooms.rules.0.relay_latest",)


def test_of_a_relayed_event_every_one_counts_or_the_newest() -> None:
    rooms = {"rules": [RoomRule(relay=["draw", "cursor"], relay_latest=["cursor"])]}
    (problem,) = found(rooms=rooms)
    assert problem.keys == ("rooms.rules.0.relay_latest",)
    assert problem.text.startswith('"cursor" is in relay too')


def test_all_problems_are_told_at_once() -> None:
    assert len(found(server={"host": "::", "path": "x"}, limits={"max_body": 2_000_000})) == 4


def test_secrets_of_the_bus_are_long() -> None:
    assert found(redis={**REDIS, "bus_secret": SECRET, "old_bus_secrets": [SECRET]}) == []
    for keys, values in (
        ("redis.bus_secret", {"bus_secret": "short"}),
        ("redis.old_bus_secrets", {"bus_secret": SECRET, "old_bus_secrets": [SECRET, "short"]}),
    ):
        (problem,) = found(redis={**REDIS, **values})
        assert problem.keys == (keys,)
        assert "5 bytes, at least 32" in problem.text


def test_an_old_secret_without_a_new_one_is_a_mistake() -> None:
    (problem,) = found(redis={**REDIS, "old_bus_secrets": [SECRET]})
    assert problem.keys == ("redis.bus_secret", "redis.old_bus_secrets")
    assert "nothing is signed" in problem.text


ENTRY = f"ops:admin:sha256:{'0f' * 32}"


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ([], ""),
        ([ENTRY, ENTRY.replace("ops", "ci")], ""),
        ([ENTRY, "sio_secret"], "entry 2: this is no entry"),
        ([ENTRY, ENTRY.replace("0f", "1e")], "ops is there twice"),
        ([ENTRY.replace("ops", f"n{number}") for number in range(101)], "at most 100"),
    ],
)
def test_api_keys(keys: list[str], says: str) -> None:
    found = [problem.text for problem in problems(Config(api=Api(keys=keys)))]
    assert ("\n".join(found) == "") if not says else says in "\n".join(found)
    assert "sio_secret" not in "\n".join(found)


def test_metrics_that_nobody_could_read() -> None:
    secret = "correct horse battery staple, and more"
    hidden = Server(metrics="admin")
    assert [problem.keys[0] for problem in problems(Config(server=hidden))] == ["server.metrics"]
    assert not [*problems(Config(server=hidden, api=Api(keys=[ENTRY])))]
    assert not [*problems(Config(server=hidden, auth=Auth(secret=secret)))]


def webhooks(**values: Any) -> list[Problem]:
    endpoint = Webhook(**{"url": "https://app.example/hook", "secret": SECRET, **values})
    return found(webhooks={"endpoints": [endpoint]})


def test_a_webhook() -> None:
    assert webhooks() == []
    assert webhooks(url="http://127.0.0.1:9/hook?x=1", name="crm_2-b") == []


@pytest.mark.parametrize(
    ("values", "key", "text"),
    [
        ({"url": ""}, "url", "expected https://host/path"),
        ({"url": "ftp://app.example"}, "url", "expected https://host/path"),
        ({"url": "https://[::1"}, "url", "this is no URL"),
        ({"url": "https://app.example:port"}, "url", "this is no URL"),
        ({"url": "http://app.example/hook"}, "url", "over http anybody on the way could read"),
        ({"url": "https://me:pw@app.example"}, "url", "without user, password and #"),
        ({"url": "https://app.example#x"}, "url", "without user, password and #"),
        ({"name": ""}, "name", "expected 1 to 32 letters"),
        ({"name": "a b"}, "name", "expected 1 to 32 letters"),
        ({"secret": ""}, "secret", "at least 32"),
        ({"events": []}, "events", "nothing would be sent"),
        ({"rooms": []}, "rooms", "nothing would be sent"),
    ],
)
def test_a_webhook_that_is_wrong(values: dict[str, Any], key: str, text: str) -> None:
    (problem,) = webhooks(**values)
    assert problem.keys == (f"webhooks.endpoints.0.{key}",)
    assert text in problem.text


def test_webhooks_have_names_of_their_own_and_a_limit() -> None:
    endpoints = [Webhook(url="https://a.example", secret=SECRET) for _ in range(MAX_WEBHOOKS + 1)]
    problems = found(webhooks={"endpoints": endpoints})
    assert problems[0].text == "there are 17, at most 16 are taken"
    assert problems[1].text == "default is there twice: give each webhook a name"
    assert len(problems) == 1 + MAX_WEBHOOKS
