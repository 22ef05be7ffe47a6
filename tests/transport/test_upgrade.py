"""From polling to a WebSocket: one at a time, in time, and it dies with the session."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sioserver.timers import Deadline

from .kit import CLOSE, PING, Site, engineio_server, serve, until


async def test_one_upgrade_at_a_time(echo: Site) -> None:
    client = await echo.polling()
    first = await echo.websocket(client.sid)
    others = [await echo.websocket(client.sid) for _ in range(20)]
    for other in others:
        await other.closed()
    await first.send("2probe")
    assert await first.packet() == "3probe"
    await first.send("5")
    assert await first.packet() == PING


async def test_a_websocket_that_never_probes_is_closed() -> None:
    async with serve(engineio_server(upgrade_timeout=0.1, ping_interval=20), "engine.io") as site:
        client = await site.polling()
        first = await site.websocket(client.sid)
        await first.closed()
        assert (await site.post(client.sid, "4alive")) == (200, "ok")
        assert await client.receive() == "4alive"
        second = await site.websocket(client.sid)  # and another may try
        await second.send("2probe")
        assert await second.packet() == "3probe"
        await second.closed()  # it never said 5
        assert (await site.post(client.sid, "4alive"))[0] == 200


@pytest.mark.parametrize(
    "said", [["x"], ["5"], ["2probe", "2probe"], ["2probe", "4x"], [b"x"], ["2probe", b"x"]]
)
async def test_a_wrong_word_ends_the_probe_only(echo: Site, said: list[str | bytes]) -> None:
    client = await echo.polling()
    upgrade = await echo.websocket(client.sid)
    for word in said:
        await upgrade.send(word)
    await upgrade.closed()
    session = echo.eio.sockets[client.sid]
    assert (session.upgrading, session.upgraded, session._probe) == (False, False, None)
    await echo.post(client.sid, "4alive")
    assert await client.receive() == "4alive"


async def test_a_probe_dies_with_the_session(echo: Site) -> None:
    client = await echo.polling()
    upgrade = await echo.websocket(client.sid)
    await upgrade.send("2probe")
    assert await upgrade.packet() == "3probe"
    await echo.post(client.sid, CLOSE)
    await upgrade.closed()
    assert echo.eio.sockets == {}


async def test_a_probe_whose_connection_is_lost(echo: Site) -> None:
    client = await echo.polling()
    upgrade = await echo.websocket(client.sid)
    await upgrade.leave()
    await until(lambda: echo.eio.sockets[client.sid]._probe is None)
    await echo.post(client.sid, "4alive")
    assert await client.receive() == "4alive"


async def test_nothing_is_lost_and_all_is_in_order_while_moving(echo: Site) -> None:
    client = await echo.polling()
    upgrade = await echo.websocket(client.sid)
    for number in range(5):
        await echo.eio.send(client.sid, f"{number}")
    await echo.eio.send(client.sid, b"\5")
    await upgrade.send("2probe")
    assert await upgrade.packet() == "3probe"
    await echo.eio.send(client.sid, "6")
    await upgrade.send("5")
    await upgrade.send("47")
    await upgrade.send(b"8")
    got = [await upgrade.receive() for _ in range(9)]
    assert got == ["40", "41", "42", "43", "44", b"\5", "46", "47", b"8"]


async def test_losing_the_new_websocket_ends_the_session(echo: Site) -> None:
    reasons: list[str] = []
    echo.eio.on("disconnect", lambda sid, reason: reasons.append(reason))
    client = await echo.polling()
    upgrade = await echo.websocket(client.sid)
    await upgrade.send("2probe")
    await upgrade.send("5")
    await until(lambda: echo.eio.sockets[client.sid].upgraded)
    await upgrade.leave()
    await until(lambda: reasons == ["transport close"])


async def test_upgrades_may_be_forbidden() -> None:
    async with serve(engineio_server(allow_upgrades=False), "engine.io") as site:
        _, text = await site.get()
        assert '"upgrades":[]' in text
        client = await site.polling()
        upgrade = await site.websocket(client.sid)
        await upgrade.closed()
    async with serve(engineio_server(transports=["polling"]), "engine.io") as site:
        _, text = await site.get()
        assert '"upgrades":[]' in text
        headers = {"Upgrade": "websocket", "Connection": "Upgrade"}
        async with site.http.get(site.url("websocket"), headers=headers) as answer:
            assert (await answer.json())["code"] == 0


async def test_a_poll_during_an_upgrade_is_answered_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    server = engineio_server(ping_interval=20)  # no ping answers it
    delays: list[float] = []
    after = server.wheel.after

    def noted(delay: float, callback: Callable[[], object]) -> Deadline:
        delays.append(delay)
        return after(delay, callback)

    async with serve(server, "engine.io") as site:
        client = await site.polling()
        upgrade = await site.websocket(client.sid)
        await upgrade.send("2probe")
        assert await upgrade.packet() == "3probe"
        monkeypatch.setattr(server.wheel, "after", noted)
        assert await client.poll() == ["6"]
        assert 0 < min(delays) < 0.25
