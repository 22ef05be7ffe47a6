"""The page in a real browser: what strangers write on it, and what pages of other sites may do."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import Browser, Error, expect

from sioserver.client import RoomClient
from sioserver.testing import ServerProcess

from .conftest import Arrive, Serve

pytestmark = pytest.mark.asyncio(loop_scope="session")

IMAGE = '<img src="/x" onerror="alert(1)">'
HOSTILE = (
    IMAGE,
    "<script>alert(1)</script>",
    "<svg/onload=alert(1)>",
    "javascript:alert(1)",
    "[link](javascript:alert(1))",
    'https://a.example/"onmouseover="alert(1)',
    "{{ constructor.constructor('alert(1)')() }}",
    "\u202egnp.exe\u2066",
)


async def test_what_strangers_write_is_text(server: ServerProcess, arrive: Arrive) -> None:
    ada, mallory = await arrive(server), await arrive(server)
    await ada.join("Ada")
    await mallory.join(f"{IMAGE}\u202e\u2066evil")
    for text in HOSTILE:
        await mallory.say(text)
    for person in (ada, mallory):
        await person.sees(*HOSTILE)
        messages = person.at("message")
        await expect(messages.locator(".name").first).to_have_text(
            f"{IMAGE}evil", use_inner_text=False
        )
        await expect(
            messages.locator("img, script, svg, [onerror], [onload], [onmouseover]")
        ).to_have_count(0)
        await expect(messages.locator("a")).to_have_count(1)
        await expect(messages.locator("a")).to_have_attribute("href", "https://a.example/")
    await expect(ada.at("presence-note")).to_have_text(f"{IMAGE}evil joined")

    lured = await arrive(server, f"/?room={IMAGE}")
    await expect(lured.at("room-input")).to_have_value(IMAGE)
    await lured.at("name-input").fill("Cy")
    await lured.at("join-button").click()
    await expect(lured.page.get_by_role("alert")).to_contain_text("A room's name has letters")


async def test_what_hides_in_a_message_turns_nothing(server: ServerProcess, arrive: Arrive) -> None:
    ada = await arrive(server)
    await ada.join("Ada")
    await ada.say("\u202egnp.exe")
    await ada.say("\u2069\u202c\u202dafter it")
    for text, mark in (("\u202egnp.exe", "U+202E"), ("\u2069\u202c\u202dafter it", "U+2069")):
        message = ada.page.locator(".text", has_text=text[-7:])
        await expect(message.locator(".unseen").first).to_have_attribute("data-mark", mark)
        # the letters stand from left to right, as in the text
        assert await message.evaluate("""(text) => {
            const node = text.lastChild, places = [];
            for (let at = 0; at < node.length; at += 1) {
                const range = document.createRange();
                range.setStart(node, at);
                range.setEnd(node, at + 1);
                places.push(range.getBoundingClientRect().left);
            }
            return places.length > 5 && places.every((left, at) => !at || left >= places[at - 1]);
        }""")


LINKS = {
    "https://bank.example/": ("https://bank.example/", "https://bank.example/"),
    "https://\u0430pple.example/x": (
        "https://xn--pple-43d.example/x",
        "https://xn--pple-43d.example/x",
    ),
    "http://0x7f.1:9/": ("http://127.0.0.1:9/", "http://127.0.0.1:9/"),
    "mailto:ada@a.example": ("mailto:ada@a.example", "mailto:ada@a.example"),
}
NO_LINKS = (
    "https://bank.example@evil.example/",
    "javascript:alert(1)",
    "JaVaScRiPt://a.example/%0aalert(1)",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:x",
    "file:///etc/passwd",
)


async def test_a_link_is_what_it_says(server: ServerProcess, arrive: Arrive) -> None:
    ada = await arrive(server)
    await ada.join("Ada")
    await ada.say("\n".join([*LINKS, *NO_LINKS]))
    links = ada.page.locator(".text a")
    await expect(links).to_have_count(len(LINKS))
    for link, (href, shown) in zip(await links.all(), LINKS.values(), strict=True):
        await expect(link).to_have_attribute("href", href)
        await expect(link).to_have_text(shown)
        await expect(link).to_have_attribute("rel", "noopener noreferrer")
        await expect(link).to_have_attribute("target", "_blank")


FLOODS = (
    "x" * 999_000,
    "http://a.example/ " * 50_000,
    "a\u202e" * 120_000,
    "\n" * 400_000 + "x",
)


async def test_a_megabyte_is_a_message_among_others(
    serve: Serve, arrive: Arrive, room: str
) -> None:
    server = await serve({"limits.max_body": 1_000_000, "limits.max_payload": 1_100_000})
    ada = await arrive(server)
    await ada.join("Ada")
    async with RoomClient(server.url, room, user="mallory") as mallory:
        for number, flood in enumerate(FLOODS, 1):
            await mallory.send(flood)
            await mallory.send("still there")
            await expect(ada.at("message")).to_have_count(2 * number)
            await expect(ada.at("message").last.locator(".text")).to_have_text("still there")
    assert await ada.page.evaluate("document.querySelectorAll('*').length") < 8_000
    assert await ada.page.evaluate("document.documentElement.scrollWidth") <= 1000
    await ada.at("more-button").first.click()
    first = ada.page.locator(".text").first
    await expect(first.locator("button")).to_have_count(0)
    assert await first.evaluate("(text) => text.textContent.length") == len(FLOODS[0])


async def test_marks_do_not_paint_over_the_neighbours(
    server: ServerProcess, arrive: Arrive
) -> None:
    ada = await arrive(server)
    await ada.join("Ada")
    await ada.say("above")
    above = ada.at("message").first
    await expect(above).to_have_attribute("data-state", "sent")
    before = await above.screenshot()
    await ada.say("Z" + "\u0301\u0302\u0303" * 3_400)
    await expect(ada.at("message")).to_have_count(2)
    await expect(ada.at("message").last).to_have_attribute("data-state", "sent")
    await ada.page.mouse.move(0, 0)
    assert await above.screenshot() == before
    # without the rule they would
    await (
        ada.at("message")
        .last.locator(".text")
        .evaluate("(text) => text.style.overflow = 'visible'")
    )
    assert await above.screenshot() != before


# ---------------------------------------------------------------------------- other sites

ELSEWHERE = """async (server) => {
    const address = `${server}/socket.io/?EIO=4&transport=`;
    const said = (answer) => answer.then((text) => text.slice(0, 2), () => "no");
    const heard = new Promise((resolve, reject) => {
        const socket = new WebSocket(`${address}websocket`.replace("http:", "ws:"));
        socket.onmessage = ({ data }) => resolve(data);
        socket.onerror = reject;
    });
    const post = { method: "POST", body: "40", headers: { Authorization: "Bearer x" } };
    const blind = await fetch(`${address}polling`, { mode: "no-cors" });
    const image = Object.assign(new Image(), { src: `${address}polling` });
    await new Promise((resolve) => (image.onerror = image.onload = resolve));
    return {
        websocket: await said(heard),
        polling: await said(fetch(`${address}polling`).then((answer) => answer.text())),
        posting: await said(fetch(`${address}polling`, post).then((answer) => answer.text())),
        health: await said(fetch(`${server}/healthz`).then((answer) => answer.text())),
        blind: blind.type,
    };
}"""


@pytest_asyncio.fixture(loop_scope="session")
async def elsewhere() -> AsyncIterator[str]:
    """The port of a server of somebody else's, with an empty page."""
    app = web.Application()

    async def page(request: web.Request) -> web.Response:
        return web.Response(text="<!doctype html><title>x</title>", content_type="text/html")

    app.router.add_get("/", page)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield str(runner.addresses[0][1])
    await runner.cleanup()


async def opened(server: ServerProcess) -> float:
    """The number of connections."""
    async with aiohttp.ClientSession() as http, http.get(f"{server.url}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    return sum(float(x.split(" ")[1]) for x in lines if x.startswith("sioserver_connections{"))


@pytest.mark.parametrize(
    ("host", "origins", "listed"),
    [
        ("127.0.0.1", [], False),
        ("127.0.0.1", ["http://127.0.0.1:{port}"], True),
        # another site, where that was another origin of the same
        ("localhost", ["http://localhost:1", "http://*.localhost:*", "http://127.0.0.1:*"], False),
        ("localhost", ["http://a.example", "http://localhost:*"], True),
    ],
)
async def test_pages_of_other_sites_are_refused_until_they_are_listed(
    serve: Serve, browser: Browser, elsewhere: str, host: str, origins: list[str], listed: bool
) -> None:
    texts = [origin.format(port=elsewhere) for origin in origins]
    server = await serve({"server.origins": json.dumps(texts)})
    page = await browser.new_page()
    await page.goto(f"http://{host}:{elsewhere}")
    found = await page.evaluate(ELSEWHERE, server.url)
    assert found == {
        "websocket": "0{" if listed else "no",
        "polling": "0{" if listed else "no",
        # it is no good as a handshake, but the preflight let it through
        "posting": '{"' if listed else "no",
        "health": "no",
        "blind": "opaque",
    }
    assert await opened(server) == (2 if listed else 0)
    await page.close()


@pytest.mark.parametrize("listed", [True, False])
async def test_the_page_in_a_frame(
    serve: Serve, browser: Browser, elsewhere: str, listed: bool
) -> None:
    origin = f"http://127.0.0.1:{elsewhere}"
    ancestors = [origin] if listed else ["self", "http://127.0.0.1:1"]
    server = await serve({"server.frame_ancestors": json.dumps(ancestors)})
    page = await browser.new_page()
    await page.goto(origin)
    async with page.expect_event("framenavigated"):
        await page.evaluate(
            """(src) => document.body.append(
                Object.assign(document.createElement("iframe"), { src }))""",
            server.url,
        )
    frame = page.frames[1]
    if listed:
        await expect(frame.get_by_test_id("join-button")).to_be_visible()
    else:
        assert frame.url.startswith("chrome-error:")
    await page.close()


async def test_nothing_is_inline(server: ServerProcess, arrive: Arrive) -> None:
    ada = await arrive(server)
    inline = "script:not([src]), style, [style], [onload], [onclick], base, iframe, object"
    await expect(ada.at("join-button")).to_be_visible()
    await expect(ada.page.locator(inline)).to_have_count(0)
    await ada.join("Ada")
    await ada.say("hello")
    await ada.sees("hello")
    await expect(ada.page.locator(inline)).to_have_count(0)


async def test_the_policy_is_in_force(server: ServerProcess, arrive: Arrive) -> None:
    """And the fixture would notice: otherwise the other tests prove nothing."""
    ada = await arrive(server)
    await ada.join("Ada")
    assert ada.complaints() == []
    with pytest.raises(Error, match="TrustedHTML"):
        await ada.page.evaluate(f"document.body.innerHTML = '{IMAGE}'")
    await ada.complains("require-trusted-types-for forbids trusted-types-sink")
    await ada.page.evaluate("""() => {
        document.body.append(Object.assign(document.createElement("img"), { src: "data:," }));
        document.body.setAttribute("style", "color: red");
    }""")
    await ada.complains("img-src forbids data")
    await ada.complains("style-src-attr forbids inline")
    await expect(ada.page.locator("body")).not_to_have_css("color", "rgb(255, 0, 0)")
    ada.complaints()
    await ada.page.evaluate("console.error('a word')")
    await ada.page.evaluate("alert('a dialog')")
    assert ada.complaints() == ["error: a word", "dialog: a dialog"]
