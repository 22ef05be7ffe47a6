"""Finding public rooms, in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import expect

from sioserver.client import RoomClient
from sioserver.testing import ServerProcess

from .conftest import Arrive, photograph

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
