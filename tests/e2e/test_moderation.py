"""What a moderator does to people and to the room, in a real browser."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from sioserver.testing import ServerProcess

from .conftest import Arrive, Person, photograph
from .test_page import token

pytestmark = pytest.mark.asyncio(loop_scope="session")

MODERATES = ["join", "read", "history", "post", "moderate"]


async def people(person: Person) -> None:
    await person.page.locator(".counts").click()


async def test_a_moderator_has_the_means(guarded: ServerProcess, arrive: Arrive, room: str) -> None:
    ada = await arrive(guarded, f"/#room={room}&token={token('u-ada', 'Ada', perms=MODERATES)}")
    eve = await arrive(guarded, f"/#room={room}&token={token('u-eve', 'Eve')}")
    for person in (ada, eve):
        await person.is_live()
        await expect(person.at("online-count")).to_have_text("2")
    await people(eve)
    await expect(eve.at("person")).to_have_count(2)
    await expect(eve.at("moderate-button")).to_have_count(0)
    await eve.page.keyboard.press("Escape")

    # the room
    await people(ada)
    await ada.at("room-page").click()
    await ada.at("topic-input").fill("Tea only")
    await ada.at("readonly-input").check()
    await photograph(ada, "moderate-room")
    await ada.at("settings-save").click()
    await expect(ada.page.get_by_text("Saved.")).to_be_visible()
    await expect(eve.at("topic")).to_have_text("Tea only")
    await expect(eve.composer).to_be_disabled()
    await ada.at("readonly-input").uncheck()
    await ada.at("settings-save").click()
    await expect(eve.composer).to_be_enabled()

    # a mute, lifted
    await ada.at("online-page").click()
    await ada.at("moderate-button").click()
    await photograph(ada, "moderate-person")
    await ada.at("mute-button").click()
    await expect(eve.at("notice")).to_be_visible()
    await ada.at("mute-page").click()
    await expect(ada.at("sanction")).to_contain_text(["Eve"])
    await photograph(ada, "muted")
    await ada.at("lift-button").click()
    await expect(ada.page.get_by_text("Nobody is muted.")).to_be_visible()
    await eve.composer.fill("I am sorry")
    await eve.composer.press("Enter")
    await expect(ada.at("message")).to_contain_text(["I am sorry"])

    # a ban, by the keyboard, on a phone, in the dark
    await ada.page.set_viewport_size({"width": 390, "height": 700})
    await ada.page.emulate_media(color_scheme="dark")
    await ada.at("online-page").press("Enter")
    await ada.at("moderate-button").press("Enter")
    await photograph(ada, "moderate-phone")
    await ada.at("ban-button").press("Enter")
    await expect(eve.at("notice")).to_contain_text("banned")
    await expect(ada.at("person")).to_have_count(1)
    await ada.at("ban-page").press("Enter")
    await expect(ada.at("sanction")).to_contain_text(["Eve"])
    await ada.at("lift-button").press("Enter")
    await expect(ada.page.get_by_text("Nobody is banned.")).to_be_visible()
    await eve.at("rejoin-button").click()
    await eve.is_live()
