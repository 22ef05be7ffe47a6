"""What every engine must do when a room is searched, in the words of its contract
(sioserver/engine/base_search.py).

Only the Protocols are used here; the `engine` fixture runs each test with each engine.
"""

from __future__ import annotations

import random
from contextlib import suppress
from typing import Any

import pytest

from sioserver.engine.base import Engine
from sioserver.engine.base_search import Found
from sioserver.errors import Refusal
from sioserver.matching import parse_query, text_of

from .conftest import Harness, Keep, delete, draft, edit, react

KEEP = Keep()


async def say(engine: Engine, *bodies: Any, room: str = "den", keep: Keep = KEEP) -> None:
    for number, body in enumerate(bodies):
        await engine.publish(room, draft(f"m{number}", body=body, again=False), keep)


async def find(
    engine: Engine, query: str, *, room: str = "den", before: int | None = None, limit: int = 100
) -> Found:
    return await engine.search.find(room, parse_query(query), before=before, limit=limit)


async def offsets(engine: Engine, query: str, room: str = "den") -> list[int]:
    return [message.offset for message in (await find(engine, query, room=room)).messages]


async def test_words_are_found_wherever_they_stand(engine: Engine) -> None:
    await say(
        engine,
        "The quick brown fox",
        "QUICKLY, a  Brown bear",
        {"text": "quick", "more": ["fox", {"deep": "Die Straße"}], "quick": 1},
        "你好，世界。我们在这里",
        "こんにちは、ｶﾀｶﾅ",
        b"quick",
        None,
        'say "x" - C++ & 100% *',
        "a\x00b",
    )
    for query, expected in {
        "quick": [3, 2, 1],
        "QUICK Brown": [2, 1],
        '"quick brown"': [1],
        '"a brown"': [2],
        "fox": [3, 1],
        "ox br": [1],
        "strasse": [3],
        "STRASSE quick": [3],
        "你好": [4],
        "世界": [4],
        "界": [4],
        "我们在": [4],
        "好世": [],
        "世界 你": [4],
        "にち": [5],
        "カタカナ": [5],
        "カナ": [5],
        "c++": [8],
        "100%": [8],
        "*": [8],
        "&": [8],
        "x": [8, 3, 1],
        "quick OR fox": [],
        "qu*": [],
        "text:quick": [],
        "NEAR(quick": [],
        "zzz": [],
    }.items():
        assert await offsets(engine, query) == expected, query
    found = await find(engine, "bear")
    assert (found.end, found.next, found.complete) == (1, None, True)
    assert found.messages[0].body == "QUICKLY, a  Brown bear"


async def test_rooms_are_searched_by_themselves(engine: Engine) -> None:
    await say(engine, "tea", "tea", room="a")
    await say(engine, "tea", room="b")
    assert await offsets(engine, "tea", "a") == [2, 1]
    assert await offsets(engine, "tea", "b") == [1]
    found = await find(engine, "tea", room="nowhere")
    assert (found.messages, found.next, found.complete) == ([], None, True)


async def test_what_is_posted_is_found_at_once(engine: Engine) -> None:
    for number in range(1, 12):
        await say(engine, f"number {number}")
        assert await offsets(engine, f"number {number}") == [number]
    assert await offsets(engine, "number") == list(range(11, 0, -1))


async def test_pages(engine: Engine) -> None:
    await say(engine, *(f"tea {number}" if number % 3 == 0 else "x" for number in range(1, 31)))
    seen, before = [], None
    while True:
        found = await find(engine, "tea", before=before, limit=4)
        assert found.complete
        seen += [message.offset for message in found.messages]
        assert all(message.offset >= found.end for message in found.messages)
        before = found.next
        if before is None:
            break
        assert len(found.messages) == 4
        assert before == found.messages[-1].offset == found.end
    assert seen == list(range(30, 0, -3))
    assert (await find(engine, "tea", before=3)).messages == []
    assert [one.offset for one in (await find(engine, "tea", before=10**9)).messages] == seen


async def test_edited_and_deleted_texts_are_not_found(engine: Engine) -> None:
    await say(engine, "first apple", "second apple", "third apple")
    for indexed in (False, True):  # before and after the room was searched for the first time
        if indexed:
            assert await offsets(engine, "apple") == [2]
            await say(engine, "fourth apple", "fifth apple")
        first, third = (7, 8) if indexed else (1, 3)
        await engine.operate("den", edit("pear", first), KEEP)
        await engine.operate("den", delete(third), KEEP)
        await engine.operate("den", react("👍", 2), KEEP)
    assert await offsets(engine, "apple") == [2]
    assert await offsets(engine, "pear") == [7, 1]
    found = (await find(engine, "pear")).messages[1]
    assert (found.body, bool(found.edited)) == ("pear", True)
    assert (await find(engine, "apple")).messages[0].reactions == {"👍": ("ann",)}
    await engine.operate("den", edit("plum", 1), KEEP)
    assert await offsets(engine, "pear") == [7]
    assert await offsets(engine, "plum") == [1]
    await engine.operate("den", edit("pear again", 1), KEEP)
    await engine.operate("den", delete(7), KEEP)
    assert await offsets(engine, "pear") == [1]
    assert await offsets(engine, "plum") == []
    for gone in ("first", "third", "fourth", "fifth"):
        assert await offsets(engine, gone) == []


async def test_what_was_trimmed_is_not_found(engine: Engine) -> None:
    await say(engine, *(f"tea {number}" for number in range(1, 100)))
    assert len(await offsets(engine, "tea")) == 99
    await engine.trim("den", Keep(history_length=10), 1_700_000_000.0)
    assert await offsets(engine, "tea") == list(range(99, 89, -1))
    assert await offsets(engine, '"tea 5"') == []
    keep = Keep(history_length=0)
    await say(engine, "tea for nobody", keep=keep)
    assert await offsets(engine, "tea") == []


async def test_it_is_kept_over_a_restart(durable: Harness) -> None:
    await say(durable.engine, "tea one", "coffee")
    assert await offsets(durable.engine, "tea") == [1]
    await say(durable.engine, "tea two")
    engine = await durable.restart()
    await say(engine, "tea three")
    assert await offsets(engine, "tea") == [4, 3, 1]


@pytest.mark.parametrize("seed", range(3))
async def test_all_engines_find_the_same(engine: Engine, seed: int) -> None:
    """The log against its own texts: whatever is done to it."""
    choose = random.Random(seed)
    words = [
        "tea",
        "Teapot",
        "pot",
        "ea",
        "茶",
        "お茶",
        "茶道",
        "é",
        "E\u0301",
        "ｔｅａ",
        "\n",
        "ß",
    ]

    def text() -> str:
        return " ".join(choose.choices(words, k=choose.randint(1, 4)))

    for number in range(60):
        await say(engine, choose.choice([text(), {"a": text(), "b": [text()]}]))
        if choose.random() < 0.5:
            target = choose.randint(1, number + 1)
            do = edit(text(), target) if choose.random() < 0.7 else delete(target)
            with suppress(Refusal):  # deleted before, or no message
                await engine.operate("den", do, KEEP)
        if choose.random() < 0.2:
            await offsets(engine, "tea")
    page = await engine.history("den", limit=1000)
    queries = [
        "tea",
        "ea",
        "茶",
        "お茶",
        "茶道 tea",
        "é",
        '"tea pot"',
        "pot tea",
        "t",
        "ss",
        "p 茶",
    ]
    for asked in queries:
        query = parse_query(asked)
        expected = [one for one in page.messages if query.matches(text_of(one.body))]
        found = await find(engine, asked)
        assert found.messages == expected[::-1], asked
        assert found.complete


async def test_an_engine_that_has_stopped(harness: Harness) -> None:
    await harness.engine.stop()
    for query in ("tea", "x"):
        with pytest.raises(Refusal) as refusal:
            await find(harness.engine, query)
        assert refusal.value.code == "unavailable"
