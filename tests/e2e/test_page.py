"""The page in a real browser, against a real server process."""

from __future__ import annotations

import time

import jwt
import pytest
from playwright.async_api import Error, expect

from sioserver.client import RoomClient
from sioserver.testing import ServerProcess

from .conftest import SECRET, Arrive, Person, Serve

pytestmark = pytest.mark.asyncio(loop_scope="session")


def token(user: str, name: str, lasts: float = 3600, **claims: object) -> str:
    return jwt.encode(
        {"sub": user, "name": name, "exp": time.time() + lasts, **claims}, SECRET, "HS256"
    )


async def two(server: ServerProcess, arrive: Arrive) -> tuple[Person, Person]:
    ada, bo = await arrive(server), await arrive(server)
    await ada.join("Ada")
    await bo.join("Bo")
    await expect(ada.at("online-count")).to_have_text("2")
    return ada, bo


async def test_two_browsers_chat(server: ServerProcess, arrive: Arrive) -> None:
    ada, bo = await two(server, arrive)
    await expect(ada.at("presence-note")).to_have_text("Bo joined")
    await expect(bo.at("online-count")).to_have_text("2")
    await expect(bo.at("total-count")).to_have_text("2")

    await ada.composer.press_sequentially("Hello")
    await expect(bo.at("typing")).to_have_text("Ada is typing…")
    await ada.composer.press("Enter")
    await bo.sees("Hello")
    await expect(bo.at("typing")).to_have_text("")
    await bo.say("Hello, Ada")
    for person in (ada, bo):
        await person.sees("Hello", "Hello, Ada")
        await person.is_live(transport="websocket")

    await bo.page.close()
    await expect(ada.at("presence-note").last).to_have_text("Bo left")
    await expect(ada.at("online-count")).to_have_text("1")
    await expect(ada.at("total-count")).to_have_text("2")


async def test_a_server_that_is_killed_and_comes_back(serve: Serve, arrive: Arrive) -> None:
    server = await serve()
    ada, bo = await two(server, arrive)
    ada.cut_off = bo.cut_off = True
    await ada.say("before")
    await bo.sees("before")

    await server.kill()
    for person in (ada, bo):
        await person.is_away()
    await bo.say("while it was away")
    await expect(bo.at("message").last).to_have_attribute("data-state", "sending")
    await server.start()

    for person in (ada, bo):
        await person.is_live(recovered="true")
    await ada.say("after")
    for person in (ada, bo):
        await person.sees("before", "while it was away", "after")
        await expect(person.at("gap")).to_have_count(0)


async def test_a_browser_that_is_cut_off_gets_what_it_missed(
    server: ServerProcess, arrive: Arrive
) -> None:
    ada, bo = await two(server, arrive)
    ada.cut_off = True
    await ada.say("one")
    await bo.sees("one")

    await ada.context.set_offline(True)
    await ada.is_away()
    for text in ("two", "three", "four"):
        await bo.say(text)
    await bo.sees("one", "two", "three", "four")
    await ada.say("five")
    await expect(ada.at("message").locator(".text")).to_have_text(["one", "five"])
    await ada.context.set_offline(False)

    await ada.is_live(recovered="true")
    for person in (ada, bo):
        await person.sees("one", "two", "three", "four", "five")
        await expect(person.at("gap")).to_have_count(0)


async def test_a_reload_keeps_unsent_messages(serve: Serve, arrive: Arrive) -> None:
    server = await serve()
    ada, bo = await two(server, arrive)
    ada.cut_off = bo.cut_off = True
    await ada.say("sent")
    await bo.sees("sent")

    # the page can be loaded, the room cannot be reached
    await ada.context.route("**/socket.io/**", lambda route: route.abort())
    await server.kill()
    await ada.is_away()
    await server.start()
    written = ("unsent 1", "unsent 2", "unsent 3")
    for text in written:
        await ada.say(text)
    await ada.page.reload()
    await expect(ada.at("message").locator(".text")).to_have_text(list(written))
    await expect(ada.state).to_have_attribute("data-state", "connecting")
    ids = [await entry.get_attribute("data-id") for entry in await ada.at("message").all()]

    await bo.is_live()
    await ada.context.unroute("**/socket.io/**")
    await ada.is_live()
    for person in (ada, bo):
        await person.sees("sent", *written)
    assert [await entry.get_attribute("data-id") for entry in await bo.at("message").all()][
        1:
    ] == ids
    await ada.page.reload()
    await ada.sees("sent", *written)


async def test_polling_alone_is_enough(server: ServerProcess, arrive: Arrive) -> None:
    ada, bo = await arrive(server, "/?transport=polling"), await arrive(server)
    for person, name in ((ada, "Ada"), (bo, "Bo")):
        await person.join(name)
    await ada.say("by poll")
    await bo.sees("by poll")
    await bo.say("by frame")
    await ada.sees("by poll", "by frame")
    await ada.is_live(transport="polling")
    await bo.is_live(transport="websocket")


async def test_too_much_was_missed(serve: Serve, arrive: Arrive) -> None:
    ada, bo = await two(await serve({"rooms.recovery_limit": 3}), arrive)
    ada.cut_off = True
    await ada.say("here")
    await bo.sees("here")
    await ada.context.set_offline(True)
    await ada.is_away()
    missed = [f"missed {number}" for number in range(1, 8)]
    for text in missed:
        await bo.say(text)
    await bo.sees("here", *missed)
    await ada.context.set_offline(False)

    await ada.is_live(recovered="false")
    gap = ada.at("gap")
    await expect(gap).to_contain_text("4 messages could not be recovered")
    await ada.sees("here", *missed[-3:])
    between = await gap.evaluate(
        "(gap) => gap.previousElementSibling.dataset.offset + gap.nextElementSibling.dataset.offset"
    )
    assert between == "16"
    await ada.at("gap-button").click()
    await ada.sees("here", *missed)
    await expect(gap).to_have_count(0)


async def test_a_token_is_the_way_in(guarded: ServerProcess, arrive: Arrive, room: str) -> None:
    ada = await arrive(guarded, f"/#room={room}&token={token('u-ada', 'Ada Lovelace')}")
    await ada.is_live()
    await expect(ada.page).to_have_url(f"{guarded.url}/?room={room}")
    await ada.say("with a token")
    await ada.page.reload()
    await ada.sees("with a token")
    await expect(ada.at("message").locator(".name")).to_have_text("Ada Lovelace")

    nobody = await arrive(guarded)
    nobody.cut_off = True
    await nobody.at("name-input").fill("Nobody")
    await nobody.at("join-button").click()
    await expect(nobody.at("notice")).to_have_text("a valid token is needed")
    await expect(nobody.at("join-button")).to_be_visible()


async def test_a_token_that_permits_little(
    guarded: ServerProcess, arrive: Arrive, room: str
) -> None:
    ada = await arrive(guarded, f"/#room={room}&token={token('u-ada', 'Ada')}")
    await ada.is_live()
    await ada.say("before")
    reads = token("u-bo", "Bo", perms=["join", "read"])
    bo = await arrive(guarded, f"/#room={room}&token={reads}")
    await bo.is_live()
    await expect(bo.composer).to_be_disabled()
    await expect(bo.composer).to_have_attribute(
        "placeholder", "You can read this room, but not write in it."
    )
    await ada.say("after")
    await bo.sees("after")


async def test_a_token_ends(guarded: ServerProcess, arrive: Arrive, room: str) -> None:
    ada = await arrive(guarded, f"/#room={room}&token={token('u-ada', 'Ada', 30)}")
    ada.cut_off = True
    await ada.is_live()
    await expect(ada.at("notice")).to_contain_text("Your token expires in")
    await ada.page.goto(f"{guarded.url}/?room={room}#token={token('u-ada', 'Ada')}")
    await expect(ada.at("notice")).to_have_count(0)
    await expect(ada.page).to_have_url(f"{guarded.url}/?room={room}")
    await ada.is_live()

    await ada.page.goto(f"{guarded.url}/?room={room}#token={token('u-ada', 'Ada', 3)}")
    await expect(ada.state).to_have_attribute("data-state", "closed")
    await expect(ada.at("notice")).to_contain_text("the token has expired")
    await ada.at("rejoin-button").click()
    await expect(ada.at("notice")).to_have_text("the token has expired; get a fresh one")
    await expect(ada.at("join-button")).to_be_visible()


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


async def test_a_phone(server: ServerProcess, arrive: Arrive) -> None:
    ada = await arrive(server, width=320, height=568)

    async def fits() -> None:
        assert await ada.page.evaluate("document.documentElement.scrollWidth") <= 320

    await fits()
    await ada.join(
        "A name that is far too long for a phone", "a-room-with-a-name-that-does-not-fit-on-a-phone"
    )
    await ada.say("wide" * 100)
    await ada.say("https://a.example/" + "path" * 100)
    for number in range(20):
        await ada.say(f"line {number}")
    await expect(ada.at("message")).to_have_count(22)
    await expect(ada.at("message").last).to_be_in_viewport(ratio=1)
    await fits()
    await expect(ada.page.locator("bdi").first).to_be_in_viewport()
    for name in ("composer", "send-button", "leave-button", "connection-state"):
        await expect(ada.at(name)).to_be_in_viewport(ratio=1)
    await ada.composer.fill("\n".join("many lines" for _ in range(40)))
    await expect(ada.at("send-button")).to_be_in_viewport(ratio=1)
    await fits()
    await ada.at("send-button").click()
    await expect(ada.at("message")).to_have_count(23)


async def test_a_keyboard_alone_is_enough(server: ServerProcess, arrive: Arrive) -> None:
    ada = await arrive(server)
    keys = ada.page.keyboard
    await expect(ada.at("name-input")).to_be_focused()
    await keys.type("Ada")
    await keys.press("Tab")
    await expect(ada.at("room-input")).to_be_focused()
    await keys.press("ControlOrMeta+a")
    await keys.type("tea")
    await keys.press("Enter")
    await expect(ada.composer).to_be_focused()
    await expect(ada.page).to_have_title("tea · sioserver")
    await keys.type("two")
    await keys.press("Shift+Enter")
    await keys.type("lines")
    await keys.press("Enter")
    await ada.sees("two\nlines")
    await expect(ada.composer).to_be_focused()
    await keys.press("Shift+Tab")
    await expect(ada.at("message-list")).to_be_focused()
    await keys.press("Shift+Tab")
    await expect(ada.at("leave-button")).to_be_focused()
    await keys.press("Enter")
    await expect(ada.at("join-button")).to_be_visible()
