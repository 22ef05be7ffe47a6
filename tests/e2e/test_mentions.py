"""Naming people in what is written, and the way to where one was named, in a real browser."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import expect

from sioserver.client import RoomClient, Session
from sioserver.testing import ServerProcess

from .conftest import Arrive, Person, photograph, two

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def has_read_all(person: Person, server: ServerProcess, room: str) -> None:
    """What was read was also told to the server."""
    user = await person.page.evaluate("localStorage.getItem('sioserver.user')")
    read = asyncio.Event()

    def hear(_name: str, _payload: object) -> None:
        if session.rooms[room].unread == 0:
            read.set()

    session = Session(server.url, user=user, on_event=hear)
    async with session, asyncio.timeout(20):
        await read.wait()


async def test_who_is_named_gets_there(server: ServerProcess, arrive: Arrive, room: str) -> None:
    ada, bo = await two(server, arrive)
    await ada.join_other("kitchen")
    # a name is completed also when its owner is not here
    await bo.composer.press_sequentially("Tea is ready, @a")
    await expect(bo.at("name-choice")).to_have_text(["Ada"])
    await photograph(bo, "naming")
    await bo.composer.press("Enter")
    await expect(bo.composer).to_have_value("Tea is ready, @Ada ")
    await bo.composer.press("Enter")
    await bo.sees("Tea is ready, @Ada")
    await expect(ada.at("mentions-unread")).to_have_text("@1")

    await ada.at("rooms-button").click()
    await expect(ada.at("room-entry").filter(has_text=room)).to_contain_text("@1")
    await photograph(ada, "rooms-named")
    await ada.at("mentions-page").click()
    await expect(ada.at("mention-entry")).to_contain_text(["Bo in #"])
    await photograph(ada, "mentions")
    await ada.at("mention-entry").click()
    await ada.is_live()
    named = ada.at("message").filter(has_text="Tea is ready")
    await expect(named).to_be_focused()
    await expect(named.get_by_test_id("names-you")).to_have_count(1)
    await expect(ada.at("mentions-unread")).to_have_count(0)

    # much is said after it: what lies between is left out, and comes from where she reads
    async with RoomClient(server.url, room, user="clock", name="Clock") as clock:
        for number in range(200):
            await clock.send(f"tick {number}")
    await ada.at("jump-button").click()
    await has_read_all(ada, server, room)
    await ada.join_other("kitchen")
    await ada.at("rooms-button").click()
    await ada.at("mentions-page").click()
    await ada.at("mention-entry").click()
    await expect(named).to_be_focused()
    await expect(named).to_be_in_viewport()
    await expect(ada.at("gap")).to_have_attribute("data-kind", "skipped")
    await photograph(ada, "named")
    await ada.at("gap-button").click()
    await expect(ada.at("message").filter(has_text="tick 60")).to_have_count(1)
    await expect(ada.at("message").filter(has_text="tick 140")).to_have_count(0)

    # the same by the keyboard, in the same room, on a phone, in the dark
    await ada.at("jump-button").click()
    await expect(named).not_to_be_in_viewport()
    await ada.page.set_viewport_size({"width": 390, "height": 700})
    await ada.page.emulate_media(color_scheme="dark")
    await ada.at("rooms-button").focus()
    await ada.page.keyboard.press("Enter")
    await ada.at("mentions-page").focus()
    await ada.page.keyboard.press("Enter")
    await photograph(ada, "mentions-phone")
    while not await ada.at("mention-entry").evaluate("one => one === document.activeElement"):
        await ada.page.keyboard.press("Tab")
    await ada.page.keyboard.press("Enter")
    await expect(named).to_be_focused()
    await expect(named).to_be_in_viewport()
    await photograph(ada, "named-phone")
    await bo.composer.fill("@")
    await expect(bo.at("name-choice")).to_have_text(["Ada", "Clock"])
    await bo.composer.press("Escape")
    await expect(bo.at("name-choice")).to_have_count(0)
