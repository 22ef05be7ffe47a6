"""A real server process, and people in a real browser: one Chromium, a fresh profile for each."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, ConsoleMessage, Dialog, Locator, async_playwright, expect

from sioserver.api.web import PAGE
from sioserver.testing import ServerProcess

CHROME = "SIOSERVER_TEST_CHROME"
SECRET = "a secret of the tests, longer than 32 bytes"
FLAGS = [
    "--no-sandbox",  # a container has no user namespaces, and the tests open nobody else's pages
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE = 20_000  # milliseconds; only a failing test takes that long

# What Chromium itself writes about requests that fail; no page can keep it from doing so. The 400
# is the client's last poll after a refusal, where its own goodbye was faster.
FAILED_REQUEST = re.compile(
    r"Failed to load resource: (net::ERR_|the server responded with a status of 400)"
    r"|WebSocket connection to '[^']*' failed"
)

WATCH = """
document.addEventListener("securitypolicyviolation", (event) =>
    report(`${event.violatedDirective} forbids ${event.blockedURI} ${event.sample}`));
"""

expect.set_options(timeout=PATIENCE)


class Person:
    """Somebody with a browser: the page as they see it, and what the browser complains about."""

    def __init__(self, browser: Browser, url: str, room: str) -> None:
        self._browser = browser
        self._url = url
        self._room = room
        self._complaints: list[str] = []
        self._news = asyncio.Event()
        self.cut_off = False
        """Set where the test takes the server, the network or the right to be there away."""

    async def open(self, path: str = "/", width: int = 1000, height: int = 700) -> None:
        self.context = await self._browser.new_context(
            locale="en-GB", viewport={"width": width, "height": height}
        )
        self.context.set_default_timeout(PATIENCE)
        await self.context.expose_function("report", lambda text: self._complain(text))
        await self.context.add_init_script(WATCH)
        self.page = await self.context.new_page()
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self._complain(f"uncaught: {error}"))
        self.page.on("dialog", self._on_dialog)
        await self.page.goto(self._url + path)

    async def join(self, name: str, room: str | None = None) -> None:
        await self.at("name-input").fill(name)
        await self.at("room-input").fill(room or self._room)
        await self.at("join-button").click()
        await self.is_live()

    async def join_other(self, room: str) -> None:
        """Leave the room for another one, under the same name."""
        await self.at("leave-button").click()
        await self.at("room-input").fill(room)
        await self.at("join-button").click()
        await self.is_live()

    async def is_live(self, **details: str) -> None:
        """`details`: what else the state says of itself, such as transport="polling"."""
        await expect(self.state).to_have_attribute("data-state", "live")
        for detail, value in details.items():
            await expect(self.state).to_have_attribute(f"data-{detail}", value)

    async def is_away(self) -> None:
        await expect(self.state).to_have_attribute("data-state", "reconnecting")

    async def say(self, text: str) -> None:
        await self.composer.fill(text)
        await self.composer.press("Enter")
        await expect(self.composer).to_have_value("")

    async def sees(self, *texts: str) -> None:
        """Exactly these messages, in this order, all of them taken by the room."""
        await expect(self.at("message").locator(".text")).to_have_text(list(texts))
        await expect(
            self.page.locator('[data-testid="message"]:not([data-state="sent"])')
        ).to_have_count(0)

    def at(self, name: str) -> Locator:
        return self.page.get_by_test_id(name)

    @property
    def state(self) -> Locator:
        return self.at("connection-state")

    @property
    def composer(self) -> Locator:
        return self.at("composer")

    async def complains(self, text: str) -> None:
        """Wait until the browser complains about this."""
        async with asyncio.timeout(PATIENCE / 1000):
            while not any(text in complaint for complaint in self._complaints):
                self._news.clear()
                await self._news.wait()

    async def close(self) -> None:
        for page in self.context.pages:
            await page.evaluate("null")  # what the page has said is here before the answer
        await self.context.close()

    def complaints(self) -> list[str]:
        """What was complained about since the last call."""
        found = self._complaints[:]
        self._complaints.clear()
        return [text for text in found if not (self.cut_off and FAILED_REQUEST.search(text))]

    def _complain(self, text: str) -> None:
        self._complaints.append(text)
        self._news.set()

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning", "assert"):
            self._complain(f"{message.type}: {message.text}")

    async def _on_dialog(self, dialog: Dialog) -> None:
        self._complain(f"dialog: {dialog.message}")
        await dialog.dismiss()


Serve = Callable[..., Awaitable[ServerProcess]]
Arrive = Callable[..., Awaitable[Person]]


async def two(server: ServerProcess, arrive: Arrive) -> tuple[Person, Person]:
    """Ada and Bo, in the test's room."""
    ada, bo = await arrive(server), await arrive(server)
    await ada.join("Ada")
    await bo.join("Bo")
    await expect(ada.at("online-count")).to_have_text("2")
    return ada, bo


async def photograph(person: Person, name: str) -> None:
    """For whoever looks: SIOSERVER_TEST_PICTURES=folder."""
    if folder := os.environ.get("SIOSERVER_TEST_PICTURES"):
        await person.page.screenshot(path=f"{folder}/{name}.png")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    chrome = os.environ.get(CHROME, "")
    if not os.access(chrome, os.X_OK):
        pytest.fail(
            f"{CHROME}={chrome!r} is no browser: type make test, which finds one", pytrace=False
        )
    if not (PAGE / "index.html").is_file():
        pytest.fail("the page is not built: make web", pytrace=False)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chrome, args=FLAGS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServerProcess]:
    """For tests that leave it as it is; each has a room of its own."""
    settings = {"presence.grace": 0.2}
    async with ServerProcess(
        tmp_path_factory.mktemp("e2e") / "rooms.db", settings=settings
    ) as server:
        yield server


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def guarded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServerProcess]:
    """The same, with a secret: nobody comes in without a token."""
    settings = {"auth.secret": SECRET, "auth.leeway": 0}
    async with ServerProcess(
        tmp_path_factory.mktemp("e2e") / "rooms.db", settings=settings
    ) as server:
        yield server


@pytest.fixture
def room(request: pytest.FixtureRequest) -> str:
    return request.node.name


@pytest_asyncio.fixture(loop_scope="session")
async def serve(tmp_path: Path) -> AsyncIterator[Serve]:
    """Start a server that is the test's alone, with settings as for `--set`."""
    servers: list[ServerProcess] = []

    async def start(settings: dict[str, object] | None = None) -> ServerProcess:
        server = ServerProcess(
            tmp_path / "rooms.db", settings={"drain.seconds": 0, **(settings or {})}
        )
        servers.append(server)
        await server.start()
        return server

    yield start
    for server in servers:
        await server.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def arrive(browser: Browser, room: str) -> AsyncIterator[Arrive]:
    """Open the page of a server. At the end of the test no browser may have complained."""
    people: list[Person] = []

    async def open_page(server: ServerProcess, path: str = "/", **window: int) -> Person:
        person = Person(browser, server.url, room)
        people.append(person)
        await person.open(path, **window)
        return person

    yield open_page
    for person in people:
        await person.close()
    assert [text for person in people for text in person.complaints()] == []
