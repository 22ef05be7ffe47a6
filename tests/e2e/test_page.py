"""The page in a real browser, against a real server process."""

from __future__ import annotations

import time

import jwt
import pytest
from playwright.async_api import expect

from sioserver.testing import ServerProcess

from .conftest import SECRET, Arrive, Serve, two

pytestmark = pytest.mark.asyncio(loop_scope="session")


def token(user: str, name: str, lasts: float = 3600, **claims: object) -> str:
    return jwt.encode(
        {"sub": user, "name": name, "exp": time.time() + lasts, **claims}, SECRET, "HS256"
    )


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

    await keys.press("Enter")
    await expect(ada.at("react-button")).to_be_focused()
    await keys.press("Enter")
    await expect(ada.at("emoji-button").first).to_be_focused()
    await keys.press("Enter")
    await expect(ada.at("reaction")).to_have_text("👍 1")
    await ada.at("message-list").focus()
    await keys.press("Enter")
    await expect(ada.at("reaction")).to_be_focused()
    for name in ("react-button", "reply-button", "edit-button"):
        await keys.press("ArrowRight")
        await expect(ada.at(name)).to_be_focused()
    await keys.press("Enter")
    await expect(ada.at("editor")).to_be_focused()
    await keys.type(" more")
    await keys.press("Enter")
    await ada.sees("two\nlines more")
    await ada.at("message-list").focus()
    await keys.press("Enter")
    await keys.press("Escape")
    await expect(ada.at("message-list")).to_be_focused()

    await keys.press("Shift+Tab")
    await expect(ada.at("leave-button")).to_be_focused()
    await keys.press("Enter")
    await expect(ada.at("join-button")).to_be_visible()


@pytest.mark.parametrize(
    "settings",
    [{"server.path": "/rt/io"}, {"transport.transports": "websocket"}],
    ids=["elsewhere", "no polling"],
)
async def test_socket_io_may_be_other_than_usual(
    serve: Serve, arrive: Arrive, settings: dict[str, object]
) -> None:
    ada = await arrive(await serve(settings))
    await ada.join("Ada", "den")  # the test's own name has brackets
    await ada.say("hello")
    await ada.sees("hello")
    await ada.is_live(transport="websocket")
