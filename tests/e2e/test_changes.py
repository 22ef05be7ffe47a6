"""What is done to messages, and the way between rooms, in a real browser."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Locator, expect

from sioserver.testing import ServerProcess

from .conftest import Arrive, Person, photograph, two

pytestmark = pytest.mark.asyncio(loop_scope="session")


def message(person: Person, text: str) -> Locator:
    return person.at("message").filter(has_text=text)


async def test_edit_react_answer_and_delete(server: ServerProcess, arrive: Arrive) -> None:
    ada, bo = await two(server, arrive)
    await ada.say("Tea at fife?")
    await bo.sees("Tea at fife?")

    await message(ada, "Tea at").hover()
    await message(ada, "Tea at").get_by_test_id("edit-button").click()
    await ada.at("editor").fill("Tea at five?")
    await ada.at("save-button").click()
    await expect(message(bo, "Tea at five?").get_by_test_id("edited")).to_be_visible()
    await expect(ada.at("editor")).to_have_count(0)

    await message(bo, "Tea at").hover()
    await expect(message(bo, "Tea at").get_by_test_id("edit-button")).to_have_count(0)
    await message(bo, "Tea at").get_by_test_id("react-button").click()
    await message(bo, "Tea at").get_by_test_id("emoji-button").first.click()
    for person, mine in ((ada, "false"), (bo, "true")):
        reaction = message(person, "Tea at").get_by_test_id("reaction")
        await expect(reaction).to_have_text("👍 1")
        await expect(reaction).to_have_attribute("aria-pressed", mine)
    await message(ada, "Tea at").get_by_test_id("reaction").click()
    await expect(message(bo, "Tea at").get_by_test_id("reaction")).to_have_text("👍 2")

    await message(bo, "Tea at").hover()
    await message(bo, "Tea at").get_by_test_id("reply-button").click()
    await bo.say("With pleasure")
    await expect(message(ada, "With pleasure").get_by_test_id("quote")).to_contain_text(
        "Tea at five?"
    )
    await photograph(ada, "changes")

    # who comes now, and who comes back, sees what the others see
    await ada.page.reload()
    await ada.is_live()
    await expect(message(ada, "Tea at five?").get_by_test_id("reaction")).to_have_attribute(
        "aria-pressed", "true"
    )
    await message(ada, "Tea at").last.hover()
    await ada.at("message").first.hover()
    await ada.at("message").first.get_by_test_id("delete-button").click()
    await ada.at("confirm-button").click()
    for person in (ada, bo):
        await expect(person.at("deleted")).to_be_visible()
        await expect(person.at("message-list")).not_to_contain_text("five")
    await expect(message(bo, "With pleasure").get_by_test_id("quote")).to_contain_text(
        "was deleted"
    )
    await photograph(bo, "deleted")


async def test_from_room_to_room(server: ServerProcess, arrive: Arrive) -> None:
    ada, bo = await two(server, arrive)
    await ada.at("leave-button").click()
    await ada.join("Ada", "kitchen")
    await bo.say("Where are you?")
    await expect(ada.at("rooms-unread")).to_have_text("1")
    await ada.at("rooms-button").click()
    await photograph(ada, "rooms")
    await ada.at("room-entry").filter(has_not_text="kitchen").first.click()
    await ada.is_live()
    await ada.sees("Where are you?")

    await ada.page.locator(".counts").click()
    await ada.at("direct-button").click()
    await ada.is_live()
    await expect(ada.page.get_by_role("heading", level=1)).to_have_text("@Bo")
    await ada.say("Between us")
    await expect(bo.at("rooms-unread")).to_have_text("1")
    await bo.at("rooms-button").click()
    await expect(bo.at("room-entry").first).to_have_text(re.compile("^@Ada"))
    await photograph(bo, "rooms-of-two")
    await bo.at("room-entry").first.click()
    await bo.is_live()
    await bo.sees("Between us")
    await expect(bo.page.get_by_role("heading", level=1)).to_have_text("@Ada")
    await photograph(bo, "direct")
