"""The browser's own WebSocket: a page of the tutorial, and the native dialect."""

from __future__ import annotations

import pytest

from sioserver.testing import ServerProcess

from .conftest import Arrive

pytestmark = pytest.mark.asyncio(loop_scope="session")

OPEN = """
async (protocols) => {
    const socket = new WebSocket(location.origin.replace("http", "ws") + "/ws", protocols);
    const seen = [];
    const waiting = [];
    socket.onmessage = ({ data }) => {
        let frame = data;
        try { frame = JSON.parse(data); } catch { /* a text */ }
        if (frame.event === "heartbeat") {
            socket.send(JSON.stringify({ event: "heartbeat", message: "pong" }));
            return;
        }
        seen.push(frame);
        for (const look of waiting.splice(0)) look();
    };
    await new Promise((resolve) => { socket.onopen = resolve; });
    window.plain = {
        socket,
        seen,
        send: (frame) => socket.send(typeof frame === "string" ? frame : JSON.stringify(frame)),
        until: async (name) => {
            const found = () => seen.find((frame) => frame === name || frame.event === name
                || frame.message === name || frame.uid === name
                || frame[0] === name || frame[1]?.body === name);
            while (!found()) await new Promise((resolve) => waiting.push(resolve));
            return found();
        },
    };
    return socket.protocol;
}
"""


async def test_a_page_of_the_tutorial(server: ServerProcess, arrive: Arrive) -> None:
    ann, ben = (await arrive(server)).page, (await arrive(server)).page
    for page in (ann, ben):
        assert await page.evaluate(OPEN, []) == ""
    await ann.evaluate("plain.send('hello, whoever is there')")
    await ben.evaluate("plain.until('hello, whoever is there')")
    login = {"event": "login", "roomid": "plain-page"}
    for page, name in ((ann, "Ann"), (ben, "Ben")):
        await page.evaluate("frame => plain.send(frame)", {**login, "name": name, "uid": name})
        told = await page.evaluate("plain.until('login')")
        assert (told["name"], told["roomid"]) == (name, "plain-page")
    await ben.evaluate("plain.send({ name: 'Ben', message: 'hi from a browser' })")
    for page in (ann, ben):
        told = await page.evaluate("plain.until('hi from a browser')")
        assert (told["event"], told["name"]) == ("message", "Ben")
        assert (told["num"], told["total"]) == (2, 2)
    await ann.evaluate("plain.until('Ben')")  # who goes before that goes unheard
    await ben.evaluate("plain.socket.close()")
    assert (await ann.evaluate("plain.until('logout')"))["name"] == "Ben"
    await ann.evaluate("plain.socket.close()")


async def test_the_native_dialect(server: ServerProcess, arrive: Arrive) -> None:
    ann = (await arrive(server)).page
    assert await ann.evaluate(OPEN, ["sioserver.v1"]) == "sioserver.v1"
    await ann.evaluate("plain.send(['join', { room: 'plain-native', user: 'ann' }, 1])")
    welcome = await ann.evaluate("plain.until('welcome')")
    assert welcome[1]["user"] == "ann"
    await ann.evaluate("plain.send(['message', 'native', 2, { id: 'm1' }])")
    told = await ann.evaluate("plain.until('native')")
    assert (told[0], told[1]["id"]) == ("message", "m1")
    await ann.evaluate("plain.socket.close()")
