"""Plain WebSockets as the npm packages `ws` and `reconnecting-websocket` open them."""

from __future__ import annotations

import pytest

from sioserver.testing import ServerProcess

from .kit import find_node, script

QUICK = {"presence.batch": 0.05, "delivery.confirm": 0.05, "gateway.heartbeat": 0.5}


@pytest.fixture(scope="module")
def node() -> str:
    return find_node()


async def test_a_page_of_the_tutorial(node: str) -> None:
    async with ServerProcess(settings=QUICK) as server:
        url = server.url.replace("http", "ws", 1) + "/ws"
        async with script(node, "plain.mjs", url, "") as page:
            first = await page.hear()
            login = {"event": "login", "roomid": "den"}
            ann = {**login, "name": "Ann", "uid": "ann", "num": 1, "total": 1}
            ben = {**login, "name": "Ben", "uid": "ben", "num": 2, "total": 2}
            message = {"event": "message", "name": "Ann", "num": 2, "total": 2}
            assert first["ann"] == [ann, ben, {**message, "message": "first"}]
            assert first["ben"] == [ben, {**message, "message": "first"}]

            page.go_on()
            second = await page.hear()
            assert [frame["message"] for frame in second["ben"]] == [
                "missed one",
                "missed two",
                "back again",
            ]
            last = await page.hear()
            assert last["ann"][-1] == {"event": "logout", "name": "Ben", "num": 1}
