"""The rooms, as the stock socket.io-client sees them under Node."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from sioserver.testing import ServerProcess

from ..certificates import Certificates
from .kit import bodies, events, find_node, script

TRANSPORTS = ("polling", "websocket", "polling,websocket")


@pytest.fixture(params=TRANSPORTS)
def transports(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def node() -> str:
    return find_node()


async def test_a_chat(node: str, transports: str) -> None:
    async with (
        ServerProcess() as server,
        script(node, "rooms_chat.mjs", server.url, transports) as run,
    ):
        result = await run.hear()
    assert set(result["over"]) == {transports.rpartition(",")[2]}
    sent, resent, binary, nonsense, read, typing = result["acks"]
    assert (sent["ok"], sent["id"], sent["offset"]) == (True, "m1", 1)
    assert resent == sent
    assert (binary["ok"], binary["offset"]) == (True, 2)
    assert nonsense["error"]["code"] == "unknown_event"
    assert read == {"ok": True, "unread": 1}
    assert typing == {"ok": True}
    assert result["binary"] == [True, True]
    assert [item["offset"] for item in result["page"]["items"]] == [1, 2]
    assert [one["user"] for one in result["members"]["members"]] == ["alice", "bob"]

    first = result["first"]
    assert first["recovered"] is False
    assert [event[0] for event in first["seen"][:2]] == ["connect", "welcome"]
    epoch = first["seen"][1][2].rpartition(".")[0]
    assert [event[2] for event in events(first["seen"], "message")] == [f"{epoch}.1", f"{epoch}.2"]

    again = result["again"]
    assert again["recovered"] is True
    assert again["id"] == first["id"]
    order = [event[0] for event in events(again["seen"], "disconnect", "message", "connect")]
    # what was missed comes before `connect`
    assert order[:4] == ["disconnect", "message", "message", "connect"]
    missed = bodies(again["seen"])
    assert missed[0] == "missed 1"
    assert bytes(missed[1]["data"]) == b"missed 2"
    welcome = events(again["seen"], "welcome")[0][1]
    assert welcome["recovered"] is True


async def test_messages_are_changed(node: str, transports: str) -> None:
    async with (
        ServerProcess() as server,
        script(node, "rooms_changes.mjs", server.url, transports) as run,
    ):
        result = await run.hear()
    assert set(result["over"]) == {transports.rpartition(",")[2]}
    reacted, edited, foreign, again, nothing = result["acks"]
    assert (reacted["ok"], reacted["id"], reacted["offset"], reacted["target"]) == (
        True, "m1", 3, 1,
    )  # fmt: skip
    assert (edited["ok"], edited["offset"], edited["target"]) == (True, 4, 1)
    assert foreign["error"]["code"] == "forbidden"
    assert (again["ok"], again["offset"]) == (True, 4)  # as it is already
    assert nothing["error"]["code"] == "not_found"

    for seen in result["live"]:
        assert [event[0] for event in seen] == ["message", "message", "reaction", "edit"]
        assert [event[2].rpartition(".")[2] for event in seen] == ["1", "2", "3", "4"]
        assert seen[0][1]["mentions"] == ["bob"]
        assert seen[1][1]["reply_to"] == "m1"
        assert (seen[2][1]["emoji"], seen[2][1]["count"], seen[2][1]["user"]) == ("👍", 1, "bob")
        assert (seen[3][1]["body"], seen[3][1]["offset"]) == ({"text": "uno"}, 1)

    # what was missed, each message as it is by then
    back = result["again"]
    assert (back["recovered"], back["same"]) == (True, True)
    assert [event[0] for event in back["seen"]] == ["message", "edit", "delete", "reaction"]
    (_, missed, _), (_, edit, _), (_, deleted, _), (_, reaction, _) = back["seen"]
    assert (missed["body"], missed["reactions"]) == ("tres", {"🎉": 1})
    assert (edit["body"], deleted["offset"], reaction["count"]) == ("tres", 2, 1)

    first, second, third = result["page"]["items"]
    assert (first["body"], first["reactions"], first["mine"]) == (
        {"text": "uno"},
        {"👍": 1},
        ["👍"],
    )
    assert first["edited"] == edited["at"]
    assert (second["body"], second["deleted"] > 0, second["reply_to"]) == (None, True, "m1")
    assert (third["body"], third["reactions"]) == ("tres", {"🎉": 1})
    assert "mine" not in third
    everything = result["all"]
    assert [item["offset"] for item in everything["items"]] == [5]
    assert [(one["event"], one["entry"]) for one in everything["operations"]] == [
        ("reaction", 3), ("edit", 4), ("edit", 6), ("delete", 7), ("reaction", 8),
    ]  # fmt: skip
    assert result["read"] == {"ok": True, "unread": 0}


async def test_the_server_is_killed_and_comes_back(
    node: str, transports: str, tmp_path: Path
) -> None:
    async with (
        ServerProcess(tmp_path / "store.db") as server,
        script(node, "rooms_restart.mjs", server.url, transports) as run,
    ):
        assert await run.hear() == "kill the server and start it again"
        await server.restart()
        run.go_on()
        result = await run.hear()
    after = result["after"]
    assert after["recovered"] is True
    assert after["same"] is True
    order = [event[0] for event in events(after["seen"], "disconnect", "message", "connect")]
    assert order == ["disconnect", "message", "message", "connect"]
    assert bodies(after["seen"]) == ["before the kill", "after the kill"]
    assert result["bobAfter"] == {"same": True, "recovered": True}
    assert result["bodies"][:2] == ["seen", "before the kill"]  # each once


async def test_two_rooms_on_one_connection(node: str, transports: str) -> None:
    async with (
        ServerProcess() as server,
        script(node, "rooms_two.mjs", server.url, transports) as run,
    ):
        result = await run.hear()
    assert result["one"] is True
    assert result["a"] == ["to a"]
    assert result["b"][0] == "to b"
    assert result["rooms"] == {
        "ok": True,
        "rooms": [{"room": "a", "unread": 1, "last": 1}, {"room": "b", "unread": 1, "last": 1}],
    }
    assert result["back"] == [True, True, True, True]
    assert result["last"]["offset"] == 2
    assert result["bad"][0] == [
        "connect_error",
        {
            "code": "bad_room",
            "message": "a room name has letters, digits and _ . : - / only",
            "temporary": False,
        },
    ]


async def test_people_and_what_they_do(node: str, transports: str, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[[rooms]]\nmatch = "board"\nrelay = ["draw"]\nrelay_latest = ["cursor"]\n')
    quick = {"presence.grace": 0.2, "presence.batch": 0.05, "presence.typing_lasts": 0.5}
    async with (
        ServerProcess(settings={**quick, "limits.enabled": False}, config=config) as server,
        script(node, "rooms_people.mjs", server.url, transports) as run,
    ):
        result = await run.hear()
    alice = {"user": "alice", "name": "Alice"}
    bob = {"user": "bob", "name": "bob", "state": "online"}
    assert result["state"] == "online"
    assert result["away"] == {"ok": True, "state": "away"}
    assert result["members"]["online"] == [{**alice, "state": "away"}, bob]
    assert result["members"]["members"] == [{**alice, "state": "away"}, bob]
    assert result["online"] == {"ok": True, "state": "online"}
    assert result["wrong"]["error"]["code"] == "bad_request"
    assert result["typing"] == [{**alice, "on": True}, {**alice, "on": False}]
    assert result["drawn"] == {"ok": True}
    assert result["draw"][0] == [1, 2]
    assert list(result["draw"][1]["data"]) == [0, 255]
    assert result["draw"][2] == alice
    assert result["ascending"] is True
    assert result["gone"]["online"] == [bob]
    away, here = result["gone"]["members"]
    assert here == bob
    assert result["before"] - 1 <= away.pop("seen") <= result["after"]
    assert away == {**alice, "state": "offline"}


async def test_a_room_of_two(node: str, transports: str) -> None:
    async with (
        ServerProcess() as server,
        script(node, "rooms_direct.mjs", server.url, transports) as run,
    ):
        result = await run.hear()
    assert result["welcome"]["room"] == "@dm/bob%40example.org"
    assert result["welcome"]["peer"]["user"] == "bob@example.org"
    assert result["joined"] == {
        "room": result["name"],
        "unread": 1,
        "last": 1,
        "peer": {"user": "alice, a/b?", "name": "alice, a/b?"},
    }
    assert result["bodies"] == ["psst", "yes?", "still there?"]
    assert result["recovered"] is True


async def test_the_clients_own_retries_are_harmless(node: str, transports: str) -> None:
    async with (
        ServerProcess() as server,
        script(node, "rooms_retries.mjs", server.url, transports) as run,
    ):
        assert await run.hear() == "stop the server"
        os.kill(server.pid, signal.SIGSTOP)
        run.go_on()
        assert await run.hear() == "let it go on"
        os.kill(server.pid, signal.SIGCONT)
        run.go_on()
        result = await run.hear()
    assert [ack["offset"] for ack in result["acks"]] == [1, 2, 3]
    assert result["bodies"] == [1, 2, 3]
    assert result["history"] == [1, 2, 3]


async def test_pages_and_leaving_for_good(node: str, transports: str) -> None:
    async with (
        ServerProcess() as server,
        script(node, "rooms_pages.mjs", server.url, transports) as run,
    ):
        result = await run.hear()
    assert [ack["error"]["code"] for ack in result["refused"]] == ["bad_request", "bad_request"]
    read = [message for page in result["pages"] for message in page]
    assert [offset for offset, _ in read] == list(range(1, 17))
    assert [byte for _, body in read for byte in body] == list(range(25))
    assert [len(page) for page in result["pages"]] == [1, 5, 10]
    assert result["left"] == {"ok": True}
    (notice, disconnect) = result["farewell"]
    assert (notice[1]["code"], notice[1]["reconnect"]) == ("left", False)
    assert disconnect == ["disconnect", "io server disconnect"]
    assert [one["user"] for one in result["members"]["members"]] == ["alice"]
    assert result["again"] is True


async def test_a_page_with_nothing_but_io(node: str, transports: str) -> None:
    async with (
        ServerProcess() as server,
        script(node, "rooms_plain.mjs", server.url, transports) as run,
    ):
        result = await run.hear()
    users = {user for user, _ in result["seen"]}
    assert len(users) == 1
    assert users.pop().startswith("guest:")
    assert [body for _, body in result["seen"]] == ["hi", "hi"]


async def test_over_tls_the_server_comes_back_with_a_new_certificate(
    node: str, transports: str, tmp_path: Path
) -> None:
    files = Certificates(tmp_path)
    async with (
        ServerProcess(tmp_path / "store.db", settings=files.settings) as server,
        script(node, "rooms_restart.mjs", server.url, transports, trust=files.authority) as run,
    ):
        assert server.url.startswith("https://")
        assert await run.hear() == "kill the server and start it again"
        files.issue()
        await server.restart()
        run.go_on()
        result = await run.hear()
    assert result["after"]["recovered"] is True
    assert result["bobAfter"] == {"same": True, "recovered": True}
    assert result["bodies"] == ["seen", "before the kill", "after the kill"]
