"""What is agreed on compression, and the compression itself."""

from __future__ import annotations

import zlib
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sioserver.websocket import deflate
from sioserver.websocket.deflate import Agreed, Inflater, Settings, TooLarge, agree, offers

USUAL = Settings(server_no_context_takeover=False, client_no_context_takeover=False)
N = "permessage-deflate"

AGREED = [
    # what browsers, aiohttp and ws send
    (N, {}, N),
    (f"{N}; client_max_window_bits", {}, N),
    (f"{N};client_max_window_bits=15", {}, N),
    (f"{N}; client_max_window_bits=10", {}, f"{N}; client_max_window_bits=10"),
    (f"{N}; server_max_window_bits=10", {}, f"{N}; server_max_window_bits=10"),
    (f"{N}; server_max_window_bits=15", {}, f"{N}; server_max_window_bits=15"),
    (f'{N}; server_max_window_bits="12"', {}, f"{N}; server_max_window_bits=12"),
    (f"{N} ;\tserver_max_window_bits = 12 ", {}, f"{N}; server_max_window_bits=12"),
    (f"{N}; server_no_context_takeover", {}, f"{N}; server_no_context_takeover"),
    (f"{N}; client_no_context_takeover", {}, f"{N}; client_no_context_takeover"),
    # what the server wants
    (N, {"server_max_window_bits": 11}, f"{N}; server_max_window_bits=11"),
    (
        f"{N}; server_max_window_bits=13",
        {"server_max_window_bits": 11},
        f"{N}; server_max_window_bits=11",
    ),
    (
        f"{N}; server_max_window_bits=9",
        {"server_max_window_bits": 11},
        f"{N}; server_max_window_bits=9",
    ),
    (
        f"{N}; client_max_window_bits",
        {"client_max_window_bits": 11},
        f"{N}; client_max_window_bits=11",
    ),
    (
        f"{N}; client_max_window_bits=8",
        {"client_max_window_bits": 11},
        f"{N}; client_max_window_bits=8",
    ),
    (N, {"server_no_context_takeover": True}, f"{N}; server_no_context_takeover"),
    (N, {"client_no_context_takeover": True}, f"{N}; client_no_context_takeover"),
    # several offers: the first that will do
    (f"{N}; server_max_window_bits=8, {N}", {}, N),
    (f"{N}; what, x-other; a=b, {N}", {}, N),
    (f"{N}; server_no_context_takeover, {N}", {}, f"{N}; server_no_context_takeover"),
    (
        f"{N}, {N}; client_max_window_bits",
        {"client_max_window_bits": 9},
        f"{N}; client_max_window_bits=9",
    ),
]


@pytest.mark.parametrize(("offered", "wanted", "answer"), AGREED)
def test_agreed(offered: str, wanted: dict[str, Any], answer: str) -> None:
    agreed = agree(offered, USUAL._replace(**wanted))
    assert agreed is not None
    assert agreed.answer == answer


@pytest.mark.parametrize(
    "offered",
    [
        "",
        "x-webkit-deflate-frame",
        f"{N}; unknown",
        f"{N}; unknown=1",
        f"{N}; server_max_window_bits",
        f"{N}; server_max_window_bits=8",  # zlib cannot
        f"{N}; server_max_window_bits=7",
        f"{N}; server_max_window_bits=16",
        f"{N}; server_max_window_bits=010",
        f"{N}; server_max_window_bits=1x",
        f"{N}; client_max_window_bits=7",
        f"{N}; client_max_window_bits=16",
        f"{N}; server_no_context_takeover=1",
        f"{N}; client_no_context_takeover=true",
        f"{N}; server_no_context_takeover; server_no_context_takeover",
        f"{N}; client_max_window_bits; client_max_window_bits=10",
        f"{N.upper()}-x",
    ],
)
def test_declined(offered: str) -> None:
    assert agree(offered, USUAL) is None


def test_a_client_that_does_not_let_us_choose_is_declined() -> None:
    assert agree(N, USUAL._replace(client_max_window_bits=12)) is None


@pytest.mark.parametrize(
    "text",
    [";", ",", f"{N},", f",{N}", f"{N};", f"{N} x", f"{N}; a=", f'{N}; a="', f'{N}; a="x y"',
     f'{N}; a=""', f"{N}; =1", f"{N}=1", f"{N}; a=b=c", "permessage deflate", "\x00", " "],
)  # fmt: skip
def test_malformed(text: str) -> None:
    with pytest.raises(ValueError, match="malformed"):
        agree(text, USUAL)


TOKENS = st.text("abcz09!#-_", min_size=1, max_size=6)
PARAMETERS = st.lists(st.tuples(TOKENS, st.none() | TOKENS), max_size=4)


@given(st.lists(st.tuples(TOKENS, PARAMETERS), max_size=4), st.booleans(), st.data())
def test_offers_are_read_as_they_were_meant(
    meant: list[tuple[str, Any]], quoted: bool, data: st.DataObject
) -> None:
    def gap() -> str:
        return data.draw(st.sampled_from(["", " ", "\t "]))

    def parameter(name: str, value: str | None) -> str:
        mark = '"' if quoted else ""
        return name if value is None else f"{name}{gap()}={gap()}{mark}{value}{mark}"

    text = ",".join(
        ";".join([f"{gap()}{name}{gap()}", *(f"{gap()}{parameter(*one)}" for one in parameters)])
        for name, parameters in meant
    )
    assert offers(text) == meant


WORDS = st.sampled_from(
    [N, "server_max_window_bits", "client_max_window_bits", "server_no_context_takeover",
     "client_no_context_takeover", "8", "9", "15", "16", "=", ";", ",", '"', " ", "x"]
)  # fmt: skip


@given(
    st.lists(WORDS, max_size=16).map("".join) | st.text(max_size=20),
    st.integers(9, 15),
    st.integers(9, 15),
    st.booleans(),
    st.booleans(),
)
@example(f"{N};server_max_window_bits=9;client_max_window_bits", 15, 12, True, True)
def test_whatever_is_agreed_was_offered(
    text: str, server_bits: int, client_bits: int, server_no: bool, client_no: bool
) -> None:
    wanted = Settings(1024, 6, 8, server_bits, client_bits, server_no, client_no)
    try:
        agreed = agree(text, wanted)
    except ValueError:
        return
    if agreed is None:
        return
    assert any(name == N for name, _ in offers(text))
    ((_, answer),) = offers(agreed.answer)
    told = dict(answer)
    assert len(told) == len(answer)
    assert agreed.server_bits <= server_bits
    assert agreed.client_bits <= client_bits
    assert int(told.get("server_max_window_bits") or 15) == agreed.server_bits
    assert int(told.get("client_max_window_bits") or 15) == agreed.client_bits
    assert ("server_no_context_takeover" in told) is not agreed.server_takeover
    assert ("client_no_context_takeover" in told) is not agreed.client_takeover
    assert not (server_no and agreed.server_takeover)
    assert not (client_no and agreed.client_takeover)
    if "client_max_window_bits" in told:
        assert "client_max_window_bits" in text


# -- settings -------------------------------------------------------------------------------------


def test_settings() -> None:
    assert deflate.settings(False) is None
    assert deflate.settings(True) == Settings()
    assert deflate.settings({"level": 1, "threshold": 0}) == Settings(threshold=0, level=1)
    assert deflate.settings(Settings(level=9)) == Settings(level=9)


@pytest.mark.parametrize(
    "wrong",
    [
        {"memLevel": 8},
        {"level": 0},
        {"level": 10},
        {"level": True},
        {"threshold": -1},
        {"threshold": 1.5},
        {"server_max_window_bits": 8},
        {"server_no_context_takeover": 1},
        Settings(concurrency=0),
    ],
    ids=str,
)
def test_wrong_settings(wrong: Any) -> None:
    with pytest.raises(ValueError, match="permessage-deflate"):
        deflate.settings(wrong)


# -- compressing and inflating --------------------------------------------------------------------


def packed(*messages: bytes, stream: Any = None) -> list[bytes]:
    """As a client does it: zlib alone."""
    stream = stream or zlib.compressobj(6, zlib.DEFLATED, -15)
    flushed = [stream.compress(message) + stream.flush(zlib.Z_SYNC_FLUSH) for message in messages]
    assert all(data.endswith(b"\x00\x00\xff\xff") for data in flushed)
    return [data[:-4] for data in flushed]


def agreed(client_bits: int = 15, takeover: bool = True) -> Agreed:
    return Agreed(15, client_bits, True, takeover, "")


def inflated(inflater: Inflater, data: bytes, step: int = 1000) -> bytes:
    inflation = inflater.begin(data)
    while not inflation.go_on(step):
        pass
    return inflation.message


@given(
    st.lists(
        st.binary(min_size=1, max_size=200)
        | st.text("ab", min_size=1, max_size=3000).map(str.encode),
        max_size=6,
    ),
    st.integers(9, 15),
    st.integers(1, 9),
    st.integers(1, 9),
)
def test_what_is_compressed_is_inflated_elsewhere(
    messages: list[bytes], bits: int, level: int, mem_level: int
) -> None:
    stream = deflate.compressor(bits, Settings(level=level, mem_level=mem_level))
    client = zlib.decompressobj(-bits)
    for message in messages:
        data = deflate.compress(stream, message)
        assert client.decompress(data + b"\x00\x00\xff\xff") == message


@given(
    st.lists(st.binary(max_size=200) | st.text("ab", max_size=3000).map(str.encode), max_size=6),
    st.booleans(),
    st.integers(1, 4000),
)
def test_what_is_compressed_elsewhere_is_inflated(
    messages: list[bytes], takeover: bool, step: int
) -> None:
    inflater = Inflater(agreed(takeover=takeover), 3000)
    stream = zlib.compressobj(6, zlib.DEFLATED, -15)
    for message in messages:
        if not message:
            data = b"\x00"  # RFC 7692, 7.2.3.6
        else:
            (data,) = packed(message, stream=stream if takeover else None)
        assert inflated(inflater, data, step) == message


def test_examples_of_the_rfc() -> None:
    inflater = Inflater(agreed(), 100)
    hello = bytes.fromhex("f248cdc9c90700")
    assert inflated(inflater, hello) == b"Hello"
    assert inflated(inflater, bytes.fromhex("f200110000")) == b"Hello"  # 7.2.3.2
    stored = bytes.fromhex("000500faff48656c6c6f00")
    assert inflated(inflater, stored) == b"Hello"
    final = bytes.fromhex("f348cdc9c9070000")
    assert inflated(inflater, final) == b"Hello"  # 7.2.3.4; whatever comes next begins anew
    assert (
        inflated(inflater, bytes.fromhex("f248050000 00ffff cac9c90700".replace(" ", "")))
        == b"Hello"
    )
    assert inflated(inflater, hello) == b"Hello"


def test_a_client_without_takeover_leaves_nothing_behind() -> None:
    inflater = Inflater(agreed(takeover=False), 100)
    first, second = packed(b"a message", b"a message")
    assert inflated(inflater, first) == b"a message"
    assert inflater._stream is None
    with pytest.raises(zlib.error):
        inflated(inflater, second)


def test_a_smaller_window_is_held_to() -> None:
    (data,) = packed(bytes(range(256)) * 8 + b"x" * 2000 + bytes(range(256)) * 8)
    assert inflated(Inflater(agreed(15), 10_000), data)
    with pytest.raises(zlib.error):
        inflated(Inflater(agreed(9), 10_000), data)


@pytest.mark.parametrize(
    "data",
    [b"\xff\xff\xff", b"\x07", bytes.fromhex("f348cdc9c9070000") + b"x", b"\x02\x00\x01"],
    ids=["nonsense", "a reserved kind of block", "more behind the final block", "a far distance"],
)
def test_what_is_no_message(data: bytes) -> None:
    with pytest.raises(zlib.error):
        inflated(Inflater(agreed(), 100), data)


@pytest.mark.parametrize("size", [99, 100, 101])
@pytest.mark.parametrize("step", [1, 50, 10_000])
def test_the_limit(size: int, step: int) -> None:
    (data,) = packed(b"x" * size)
    if size <= 100:
        assert len(inflated(Inflater(agreed(), 100), data, step)) == size
    else:
        with pytest.raises(TooLarge):
            inflated(Inflater(agreed(), 100), data, step)


def test_a_bomb_never_becomes_more_than_the_limit() -> None:
    (bomb,) = packed(bytes(50_000_000))
    assert len(bomb) < 50_000
    inflation = Inflater(agreed(), 100_000).begin(bomb)
    with pytest.raises(TooLarge):
        while True:
            inflation.go_on(1_000_000)
    assert sum(map(len, inflation._pieces)) == 100_001
