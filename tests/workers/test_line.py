"""What supervisor and worker tell each other."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sioserver.config import Config, RoomRule
from sioserver.workers.line import (
    HEAD,
    Failed,
    News,
    Serving,
    Start,
    decode_news,
    decode_start,
    encode_news,
    encode_start,
)


def test_a_configuration_survives_the_way() -> None:
    config = msgspec.convert(
        {
            "auth": {"secret": "ß" * 40},
            "rooms": {"rules": [RoomRule(match="a/*", relay=["x"])]},
            "presence": {"grace": 7},
            "redis": {"url": "unix:///a b"},
        },
        Config,
    )
    start = Start(config, 3, 4, "/tmp/x", [5, 6])
    encoded = encode_start(start)
    assert int.from_bytes(encoded[:HEAD], "big") == len(encoded) - HEAD
    assert decode_start(encoded[HEAD:]) == start


@pytest.mark.parametrize("content", [b"", b"\x80", b"nonsense"])
def test_what_is_no_start(content: bytes) -> None:
    with pytest.raises(ValueError):
        decode_start(content)


@given(st.builds(Serving, st.text()) | st.builds(Failed, st.text()))
def test_news_are_a_line(news: News) -> None:
    line = encode_news(news)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert decode_news(line) == news


@pytest.mark.parametrize("line", [b"\n", b"{}\n", b'{"type":"other"}\n', b'{"type":"failed"}\n'])
def test_what_is_no_news(line: bytes) -> None:
    with pytest.raises(ValueError):
        decode_news(line)
