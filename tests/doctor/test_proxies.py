"""Files of nginx and HAProxy: those of deploy/ are good, and what is planted in them is found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sioserver.config import Config
from sioserver.doctor.proxies import (
    haproxy,
    nginx,
    parse_haproxy,
    parse_nginx,
    seconds_of,
    timeout,
)

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
NGINX = (DEPLOY / "nginx.conf").read_text()
HAPROXY = (DEPLOY / "haproxy.cfg").read_text()
CLUSTER: dict[str, Any] = {"cluster": {"address": "10.0.0.1:7000", "secret": "x" * 32}}


def bad(read: Any, text: str, **sections: Any) -> list[str]:
    found = read(msgspec.convert(sections, Config), "f", text)
    return [f"{one.level} {one.text}" for one in found if one.level != "ok"]


def test_the_samples_are_good() -> None:
    assert bad(nginx, NGINX) == []
    assert bad(nginx, NGINX, **CLUSTER) == []
    assert bad(haproxy, HAPROXY) == []
    assert bad(haproxy, HAPROXY, **CLUSTER) == []


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("proxy_read_timeout 90s", "proxy_read_timeout 20s", "fail proxy_read_timeout is 20 s"),
        ("proxy_read_timeout 90s", "proxy_read_timeout 40", "warn proxy_read_timeout is 40 s"),
        ("proxy_send_timeout 90s", "proxy_send_timeout 1m", ""),
        ("proxy_read_timeout 90s;", "", ""),  # nginx' own 60 s are enough
        ("proxy_read_timeout 90s", "proxy_read_timeout $some", "skip proxy_read_timeout: "),
        ("proxy_http_version 1.1;", "", "fail does not pass the upgrade"),
        ("    proxy_set_header Upgrade $http_upgrade;", "", "fail does not pass the upgrade"),
        (
            "    proxy_set_header X-Forwarded-Proto $scheme;",
            "",
            "warn does not set X-Forwarded-Proto",
        ),
        (
            "    proxy_set_header X-Forwarded-Host $http_host;",
            "",
            "warn does not set X-Forwarded-Host",
        ),
        ("proxy_buffering off;", "", "warn buffers answers"),
        ("location / {", "location /other {", ""),  # the named one is still there
        ("server {", "server {{", "skip it cannot be understood"),
        ("proxy_buffering off;", "proxy_buffering off; }", "skip it cannot be understood"),
    ],
)
def test_planted_in_nginx(old: str, new: str, words: str) -> None:
    assert old in NGINX
    found = bad(nginx, NGINX.replace(old, new))
    assert found == [] if not words else all(one.startswith(words) for one in found), found
    assert bool(found) == bool(words)


def test_the_shorter_pause_of_pings_helps() -> None:
    text = NGINX.replace("proxy_read_timeout 90s", "proxy_read_timeout 20s")
    pings = {"ping_interval": 10.0, "ping_timeout": 5.0}
    assert bad(nginx, text, transport=pings) == []


def test_only_what_serves_the_path_is_looked_at() -> None:
    text = """
    server {
        location / { proxy_pass http://page; }
        location /socket.io/ {
            proxy_pass http://127.0.0.1:8000; proxy_http_version 1.1; proxy_buffering off;
            proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";
            proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header 'X-Forwarded-Proto' https; proxy_set_header X-Forwarded-Host $host;
        }
        location ~ \\.php$ { proxy_pass http://php; }
    }
    """
    gateway = {"gateway": {"enabled": False}}
    assert bad(nginx, text, **gateway) == []
    assert "no location with a proxy_pass is for /socket.io" in bad(nginx, "server { }")[0]
    worse = text.replace("location /socket.io/", "location ~ ^/socket")
    assert any(
        "X-Forwarded-For" in one for one in bad(nginx, worse, **gateway)
    )  # of /, which is as good


PLAIN = """
server {
    proxy_http_version 1.1;
    proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Forwarded-Proto https; proxy_set_header X-Forwarded-Host $host;
    proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;
    location /socket.io/ { proxy_pass http://app; proxy_buffering off; }
    location = /ws { proxy_pass http://app; }
    location /page { proxy_pass http://page; }
}
"""


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("", "", ""),
        ("= /ws {", "/w {", ""),
        ("= /ws {", "/ {", ""),
        ("= /ws {", "~ ^/ws$ {", ""),
        ("= /ws {", "= /ws/ {", "skip no location with a proxy_pass is for /ws"),
        ("= /ws {", "/ws/ {", "skip no location with a proxy_pass is for /ws"),
        ("= /ws {", "= /ws { proxy_read_timeout 20s;", "fail proxy_read_timeout is 20 s"),
        ("= /ws {", "= /ws { proxy_set_header Host x;", "fail does not pass the upgrade"),
        ("= /ws {", '= /ws { proxy_set_header Sec-WebSocket-Protocol "";', "fail "),
        ("/page {", "/page { proxy_read_timeout 1s;", ""),
    ],
)
def test_what_serves_plain_websockets_is_looked_at(old: str, new: str, words: str) -> None:
    found = bad(nginx, PLAIN.replace(old, new) if old else PLAIN)
    assert bool(found) == bool(words)
    assert not words or found[0].startswith(words), found
    assert bad(nginx, PLAIN.replace("= /ws {", "/other {"), gateway={"enabled": False}) == []


def test_plain_websockets_need_the_upgrade_whatever_socketio_does() -> None:
    text = PLAIN.replace("proxy_http_version 1.1;", "")
    found = bad(nginx, text, transport={"transports": ["polling"]})
    assert [one.partition(", without")[0] for one in found] == [
        "fail does not pass the upgrade to WebSocket on"
    ]
    assert "nobody comes in at /ws" in found[0]


def test_a_sub_protocol_gets_through() -> None:
    inner = PLAIN.replace(
        "= /ws {", '= /ws { include h; proxy_set_header sec-websocket-protocol "";'
    )
    assert any("takes the sub-protocol away" in one for one in bad(nginx, inner))
    line = "    http-request del-header Sec-WebSocket-Protocol\n"
    text = HAPROXY.replace("    bind :80\n", "    bind :80\n" + line)
    (found,) = bad(haproxy, text)
    assert found.startswith("fail takes the sub-protocol away")
    assert bad(haproxy, text, gateway={"enabled": False}) == []


def test_where_heartbeats_come_less_often_than_the_proxy_waits() -> None:
    gateway = {"heartbeat": 100.0}
    assert {one.partition(": ")[2] for one in bad(nginx, NGINX, gateway=gateway)} == {
        "connections on which nobody speaks are cut, heartbeats come every 100 s"
    }
    assert len(bad(haproxy, HAPROXY, gateway=gateway)) == 3
    only = PLAIN.replace("= /ws {", "= /ws { proxy_read_timeout 99s; proxy_send_timeout 200;")
    found = bad(nginx, only, gateway=gateway)
    assert [one.partition(":")[0] for one in found] == ["fail proxy_read_timeout is 99 s"]


def test_headers_of_an_inner_block_replace_all_of_the_outer() -> None:
    inner = "location / {\n        proxy_set_header X-Mine 1;"
    found = bad(nginx, NGINX.replace("location / {", inner, 1))
    assert any("does not pass the upgrade" in one for one in found)


def test_a_poll_that_is_sent_twice() -> None:
    text = NGINX.replace("proxy_next_upstream off;", "")
    (found,) = bad(nginx, text, **CLUSTER)
    assert found.startswith("warn may send a poll a second time")
    assert bad(nginx, text) == []


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("timeout client  90s", "timeout client 20s", "fail timeout client is 20 s"),
        ("timeout server  90s", "timeout server 40000", "warn timeout server is 40 s"),
        ("timeout tunnel  90s", "timeout tunnel 5s", "fail timeout tunnel is 5 s"),
        ("timeout tunnel  90s", "", ""),
        ("timeout client  90s", "", "warn timeout client is not written"),
        ("timeout client  90s", "timeout client soon", "skip timeout client: "),
        ("option forwardfor", "", "warn does not say who the client is"),
        ("set-header X-Forwarded-Host", "add-header X-Other", "warn does not set X-Forwarded-Host"),
    ],
)
def test_planted_in_haproxy(old: str, new: str, words: str) -> None:
    assert old in HAPROXY
    found = bad(haproxy, HAPROXY.replace(old, new))
    assert bool(found) == bool(words)
    assert all(one.startswith(words) for one in found), found


def test_more_planted_in_haproxy() -> None:
    without = "\n".join(line for line in HAPROXY.splitlines() if "X-Forwarded-Proto" not in line)
    assert "X-Forwarded-Proto" in bad(haproxy, without)[0]
    twice = HAPROXY.replace("retry-on conn-failure", "retry-on all-retryable-errors")
    assert "a second time" in bad(haproxy, twice, **CLUSTER)[0]
    own = HAPROXY.replace("    balance leastconn", "    balance leastconn\n    timeout server 1s")
    assert bad(haproxy, own)[0].startswith("fail timeout server is 1 s")
    assert bad(haproxy, "global\n  daemon\n")[0].startswith("skip")


def test_later_defaults_are_for_later_sections() -> None:
    text = "defaults\n timeout client 1s\nfrontend a\ndefaults\n timeout client 99s\nfrontend b\n"
    one, two = (part for part in parse_haproxy(text) if part.kind == "frontend")
    assert one.last("timeout", "client") == ["1s"]
    assert two.last("timeout", "client") == ["99s"]


@pytest.mark.parametrize(
    ("text", "unit", "seconds"),
    [
        ("90", 1.0, 90.0),
        ("90", 0.001, 0.09),
        ("1m30s", 1.0, 90.0),
        ("500ms", 1.0, 0.5),
        ("1d", 1, 86400),
    ],
)
def test_times(text: str, unit: float, seconds: float) -> None:
    assert seconds_of(text, unit) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "x", "-1", "1y", "1s ", "s1"])
def test_no_times(text: str) -> None:
    with pytest.raises(ValueError, match="is no time"):
        seconds_of(text, 1.0)


@pytest.mark.parametrize(
    ("seconds", "level"), [(25.0, "fail"), (25.1, "warn"), (45.0, "warn"), (45.1, "ok")]
)
def test_what_is_long_enough(seconds: float, level: str) -> None:
    for plain in (True, False):  # heartbeats come more often than pings
        assert timeout(Config(), "c", "n", seconds, plain=plain).level == level


@pytest.mark.parametrize(
    ("heartbeat", "seconds", "level", "words"),
    [
        (30.0, 30.0, "fail", "heartbeats come every 30 s"),
        (30.0, 40.0, "warn", "slow to answer a heartbeat"),
        (30.0, 46.0, "ok", ""),
        (120.0, 90.0, "fail", "heartbeats come every 120 s"),
        (120.0, 121.0, "ok", ""),
        (0.0, 25.0, "fail", "pings come every 25 s"),
    ],
)
def test_plain_websockets_may_have_heartbeats_that_come_less_often(
    heartbeat: float, seconds: float, level: str, words: str
) -> None:
    config = msgspec.convert({"gateway": {"heartbeat": heartbeat}}, Config)
    found = timeout(config, "c", "n", seconds, plain=True)
    assert found.level == level
    assert words in found.text
    if level != "ok":
        assert ("gateway.heartbeat" in found.remedy) == bool(heartbeat)
    if heartbeat == 120.0:
        assert timeout(config, "c", "n", seconds, plain=False).level == "ok"


@given(st.text(st.sampled_from("{};#\"'\\ \n$ab"), max_size=60))
def test_whatever_the_file_says(text: str) -> None:
    """It is understood or it is not: a ValueError, and nothing else."""
    try:
        root = parse_nginx(text)
    except ValueError:
        assert bad(nginx, text)[0].startswith("skip it cannot be understood")
    else:
        assert root.parent is None
    parse_haproxy(text)
