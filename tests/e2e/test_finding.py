"""Finding public rooms, and what was said in one, in a real browser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.async_api import expect

from sioserver.client import RoomClient
from sioserver.testing import ServerProcess

from .conftest import Arrive, Serve, photograph

pytestmark = pytest.mark.asyncio(loop_scope="session")

RULES = """
[[rooms]]
match = "tea/*"
public = true
topic = "All about leaves"

[[rooms]]
match = "den"
public = true
presence = false
"""


async def test_public_rooms_are_found_and_entered(arrive: Arrive, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(RULES)
    async with ServerProcess(config=tmp_path / "config.toml") as server:
        for number in range(60):
            async with RoomClient(server.url, f"tea/{number:02}", user="bo"):
                pass
        async with (
            RoomClient(server.url, "den", user="bo"),
            RoomClient(server.url, "tea/green", user="bo"),
            RoomClient(server.url, "tea/green", user="cy"),
            RoomClient(server.url, "secret", user="bo"),
        ):
            ada = await arrive(server)
            await ada.join("Ada")
            await ada.at("rooms-button").click()
            await ada.at("directory-page").click()
            rooms = ada.at("public-room")
            await expect(rooms).to_have_count(50)
            await expect(rooms.first).to_have_text("#tea/green2 online, 2 membersAll about leaves")
            await photograph(ada, "directory")
            await ada.at("directory-more").click()
            await expect(rooms).to_have_count(62)
            await ada.at("directory-input").press_sequentially("den")
            await expect(rooms).to_have_text(["#den"])
            await ada.at("directory-input").fill("secret")
            await expect(rooms).to_have_count(0)
            await expect(ada.page.get_by_text("No public room says that.")).to_be_visible()
            # on a phone, by the keyboard
            await ada.page.set_viewport_size({"width": 390, "height": 700})
            await ada.at("directory-input").fill("green leaves")
            await expect(rooms).to_have_count(1)
            await photograph(ada, "directory-phone")
            await ada.page.keyboard.press("Tab")
            await expect(rooms).to_be_focused()
            await ada.page.keyboard.press("Enter")
            await ada.is_live()
            heading = ada.page.get_by_role("heading", level=1)
            await expect(heading).to_have_text("#tea/green")


async def test_what_was_said_is_found(arrive: Arrive, serve: Serve, room: str) -> None:
    server = await serve({"rooms.search_scan": 100})
    async with RoomClient(server.url, room, user="bo", name="Bo") as bo:
        await bo.send("The kettle is <b>on</b>, says " + "nobody in particular, " * 20)
        for number in range(250):
            await bo.send(f"tick {number}")
        await bo.send("Another kettle")
    ada = await arrive(server)
    await ada.join("Ada")
    await ada.at("search-button").click()
    await ada.at("search-input").press_sequentially("KETTLE")
    results = ada.at("search-result")
    await expect(results.locator(".words")).to_have_text(
        ["Another kettle", re.compile("^The kettle is <b>on</b>, says nobody.*…$")]
    )
    await expect(results.first.locator("mark")).to_have_text("kettle")
    await photograph(ada, "search")
    await results.last.click()
    said = ada.at("message").filter(has_text="The kettle")
    await expect(said).to_be_focused()
    await expect(said).to_be_in_viewport()
    await photograph(ada, "found")

    # a question that only a look at each message answers; by the keyboard, on a phone, in the dark
    await ada.page.set_viewport_size({"width": 390, "height": 700})
    await ada.page.emulate_media(color_scheme="dark")
    await ada.at("search-button").press("Enter")
    await ada.at("search-input").fill("on")
    await expect(ada.page.get_by_text("Only the newest part of the history")).to_be_visible()
    await photograph(ada, "search-phone")
    await ada.at("search-more").click()
    await expect(ada.at("search-more")).to_be_enabled()
    await ada.at("search-more").click()
    await expect(results).to_have_count(1)
    await ada.at("search-input").fill("nothing says that")
    await expect(ada.page.get_by_text("Nothing in this room says that.")).to_be_visible()
    await ada.page.keyboard.press("Escape")
    await expect(ada.at("search-button")).to_be_focused()
