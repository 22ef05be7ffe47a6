"""Where a key stands in a TOML text."""

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from sioserver.config.lines import Path, line_numbers

TEXT = '''\
# a comment
top = 1

[server]
host = """
port = 1
[auth]
"""
port = 2
origins = [
  "port = 3",  # ]
  "b",
]
a.b."c d" = 5
inline = {x = 1, y = [{z = 2}]}

[[rooms]]
match = "a"
[rooms.sub]
x = 1

[[rooms]]
match = 'b'
[[rooms.inner]]
y = 1
[[rooms.inner]]
[other.table] # with a comment
z = 1'''


def test_lines_of_keys() -> None:
    expected: dict[Path, int] = {
        ("top",): 2,
        ("server",): 4,
        ("server", "host"): 5,
        ("server", "port"): 9,
        ("server", "origins"): 10,
        ("server", "a"): 14,
        ("server", "a", "b"): 14,
        ("server", "a", "b", "c d"): 14,
        ("server", "inline"): 15,
        ("server", "inline", "x"): 15,
        ("server", "inline", "y"): 15,
        ("server", "inline", "y", 0): 15,
        ("server", "inline", "y", 0, "z"): 15,
        ("rooms",): 17,
        ("rooms", 0): 17,
        ("rooms", 0, "match"): 18,
        ("rooms", 0, "sub"): 19,
        ("rooms", 0, "sub", "x"): 20,
        ("rooms", 1): 22,
        ("rooms", 1, "match"): 23,
        ("rooms", 1, "inner"): 24,
        ("rooms", 1, "inner", 0): 24,
        ("rooms", 1, "inner", 0, "y"): 25,
        ("rooms", 1, "inner", 1): 26,
        ("other", "table"): 27,
        ("other", "table", "z"): 28,
    }
    assert line_numbers(TEXT) == expected
    assert line_numbers(TEXT.replace("\n", "\r\n")) == expected


def test_a_text_without_keys() -> None:
    assert line_numbers("") == {}
    assert line_numbers("\n# a = 1\n") == {}


def test_a_long_list_takes_no_long_time() -> None:
    """Linear: each of its lines is not read over and over again."""
    text = "a = [\n" + '"x",\n' * 20_000 + "]\nb = 1"
    assert line_numbers(text)["b",] == 20_003


PIECES = st.sampled_from(
    [
        'a = """',
        '"""',
        "b = [",
        "]",
        "1,",
        "c.d = 1",
        "[e]",
        "[[f]]",
        "[f.g]",
        "# [h]",
        "i = {j = 1}",
        "",
        "'''",
    ]
)


@given(st.lists(PIECES, max_size=12).map("\n".join))
def test_every_key_of_a_valid_text_has_a_line(text: str) -> None:
    try:
        tree = tomllib.loads(text)
    except ValueError:
        return
    lines = line_numbers(text)
    for name, value in tree.items():
        parts = [path for path in lines if path[0] == name]
        assert parts
        if not isinstance(value, dict | list):
            assert text.split("\n")[lines[name,] - 1].startswith(name)
