"""A furnished house on a real port, and browsers in it that note everything they complain of.

Every page can be checked for serious findings of axe and for sideways scrolling on a phone.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from playwright.async_api import Browser, Page, ViewportSize

from tests.console.house import House

AXE = (Path(__file__).parent / "vendor/axe.min.js").read_text(encoding="utf-8")
RUN_AXE = """async () => (await axe.run(document, {resultTypes: ["violations"]})).violations
  .filter((one) => ["serious", "critical"].includes(one.impact))
  .map((one) => one.id + ": " + one.nodes.slice(0, 3).map((node) => node.html.slice(0, 160)).join(" | "))"""
LOCALES = {"en": "en-GB", "ja": "ja-JP"}
DESK, PHONE = ViewportSize(width=1280, height=900), ViewportSize(width=390, height=844)


@dataclass
class Town:
    """The house, and what browsers said about its pages. `refusals`: statuses that its tests provoke."""

    house: House
    address: str
    browser: Browser
    refusals: tuple[int, ...] = (422,)  # a form that was not accepted, as it should be
    friends: tuple[str, ...] = ()  # other addresses that pages may lead to
    complaints: list[str] = field(default_factory=list)
    strangers: set[str] = field(default_factory=set)
    looked_at: set[str] = field(default_factory=set)  # pages that axe and the narrow screen have seen

    async def page(self, language: str, *cookies: dict[str, Any]) -> Page:
        """An empty page in a context of its own."""
        context = await self.browser.new_context(viewport=DESK, locale=LOCALES[language], timezone_id="Asia/Tokyo")
        await context.add_cookies(cookies)  # type: ignore[arg-type]
        context.set_default_timeout(30_000)
        page = await context.new_page()
        page.on("console", lambda message: self._hear(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self._watch(request.url))
        return page

    async def check(self, page: Page, name: str) -> None:
        """Look at a page once, as somebody who sees badly or has a small screen: light on a desk, dark on a phone."""
        if name in self.looked_at:
            return
        self.looked_at.add(name)
        found = await findings(page)
        assert found == [], (name, found)
        await page.set_viewport_size(PHONE)
        await page.emulate_media(color_scheme="dark", reduced_motion="reduce")  # no colour half way
        assert await page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, name
        found = await findings(page)
        assert found == [], (name, "dark, narrow", found)
        await page.emulate_media(color_scheme="light", reduced_motion="no-preference")
        await page.set_viewport_size(DESK)

    def _hear(self, text: str) -> None:
        if not any(f"status of {status}" in text for status in self.refusals):
            self.complaints.append(text)

    def _watch(self, url: str) -> None:
        parts = urlsplit(url)
        allowed = (self.address, *self.friends)
        if parts.scheme not in ("data", "blob") and f"{parts.scheme}://{parts.netloc}" not in allowed:
            self.strangers.add(url)


async def findings(page: Page) -> list[str]:
    """What axe finds serious on a page."""
    await page.evaluate(AXE)
    found: list[str] = await page.evaluate(RUN_AXE)
    return found


@asynccontextmanager
async def on_a_port(app: Any, listener: socket.socket | None = None) -> AsyncIterator[str]:
    """Serve an application on a port of this machine: its address."""
    listener = listener or socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    await serving
