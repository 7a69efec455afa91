"""The live list in a real browser: what appears, when it stands still, keys, narrow screens, the content policy."""

import asyncio
import socket
from collections.abc import AsyncIterator

import msgspec
import pytest
import pytest_asyncio
import uvicorn
from fastapi import FastAPI
from playwright.async_api import Browser, Page, expect

from sekisho.clock import SystemClock
from sekisho.web.console.router import create_console_router
from tests.console.fakes import INFO, RUNNING, FakeQueries, FakeSessions, make_call, make_calls

pytestmark = [pytest.mark.xdist_group("browser"), pytest.mark.asyncio(loop_scope="session")]
PATIENCE_MS = 30_000  # for a machine that has much else to do; what is waited for comes in well under a second
expect.set_options(timeout=PATIENCE_MS)
CLOCK = SystemClock()


class Gate:
    """A running console, a page signed in to it, and everything the browser complained about."""

    def __init__(self, queries: FakeQueries, sessions: FakeSessions, address: str, browser: Browser) -> None:
        self.queries, self.sessions, self.address, self.browser = queries, sessions, address, browser
        self.complaints: list[str] = []

    async def open(
        self, *, width: int = 1280, locale: str = "en-GB", path: str = "/console/live", timezone: str = "UTC"
    ) -> Page:
        context = await self.browser.new_context(
            viewport={"width": width, "height": 900}, locale=locale, timezone_id=timezone
        )
        await context.add_cookies(
            [{"name": "sekisho_session", "value": self.sessions.start(), "domain": "127.0.0.1", "path": "/console"}]
        )
        context.set_default_timeout(PATIENCE_MS)
        page = await context.new_page()
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        async with page.expect_response("**/calls/changes*"):
            await page.goto(self.address + path)
        return page

    def arrive(self, number: int, **fields: object) -> str:
        """A new call, as the ledger would report it."""
        return self.queries.put(make_call(number, CLOCK.now_us(), **{**RUNNING, **fields})).call_id

    def settle(self, call_id: str, **fields: object) -> None:
        """The call with this id, settled."""
        old = self.queries.calls[call_id]
        new = make_call(1, old.started_at, **{"call_id": call_id, "cost_nanousd": 17_025_000, **fields})
        self.queries.put(msgspec.structs.replace(new, call_id=call_id))


@pytest_asyncio.fixture(loop_scope="session")
async def gate(browser: Browser) -> AsyncIterator[Gate]:
    queries, sessions = FakeQueries(make_calls(60, CLOCK.now_us())), FakeSessions()
    app = FastAPI()
    app.include_router(create_console_router(queries, sessions, info=INFO))
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    gate = Gate(queries, sessions, f"http://127.0.0.1:{listener.getsockname()[1]}", browser)
    yield gate
    for context in browser.contexts:
        await context.close()
    server.should_exit = True
    await serving
    assert gate.complaints == []


async def test_a_new_call_appears_by_itself_and_changes_when_it_is_settled(gate: Gate) -> None:
    page = await gate.open()
    call_id = gate.arrive(1000)
    row = page.locator(f'tr[data-id="{call_id}"]')
    await expect(row).to_be_visible()
    await expect(row.get_by_role("img", name="In progress")).to_be_visible()
    await expect(row.locator("td.num").first).to_contain_text("reserved")
    assert await page.locator("tbody tr[data-id]").first.get_attribute("data-id") == call_id

    gate.settle(call_id)
    await expect(row.get_by_role("img", name="Passed", exact=True)).to_be_visible()
    await expect(row.locator("td.num").first).to_have_text("$0.0170")


async def test_the_zone_of_the_browser_is_known_from_the_second_page_on(gate: Gate) -> None:
    page = await gate.open(timezone="America/Sao_Paulo")
    await page.reload()
    await expect(page.locator("main p").first).to_contain_text("America/Sao_Paulo")


async def test_the_first_call_replaces_the_empty_page(gate: Gate) -> None:
    gate.queries.calls.clear()
    page = await gate.open()
    await expect(page.get_by_text("Nothing has passed yet")).to_be_visible()
    gate.arrive(1000)
    await expect(page.locator("tbody tr[data-id]")).to_have_count(1)
    await expect(page.get_by_text("Nothing has passed yet")).to_be_hidden()


async def test_the_list_stands_still_under_the_pointer_and_counts_what_waits(gate: Gate) -> None:
    page = await gate.open()
    await page.locator("tbody tr").nth(3).hover()
    first = await page.locator("tbody tr[data-id]").first.get_attribute("data-id")
    ids = [gate.arrive(1000), gate.arrive(1001)]
    await expect(page.get_by_role("button", name="Show 2 new calls")).to_be_visible()
    assert await page.locator("tbody tr[data-id]").first.get_attribute("data-id") == first
    await page.locator("h1").hover()
    await expect(page.locator("tbody tr[data-id]").first).to_have_attribute("data-id", ids[1])
    await expect(page.get_by_role("button", name="Show 2 new calls")).to_be_hidden()


async def test_a_held_list_changes_nothing_until_it_is_resumed(gate: Gate) -> None:
    page = await gate.open()
    call_id = gate.arrive(1000)
    row = page.locator(f'tr[data-id="{call_id}"]')
    await expect(row).to_be_visible()
    await page.get_by_role("button", name="Hold to read").click()
    gate.settle(call_id)
    gate.arrive(1001)
    await expect(page.get_by_role("button", name="Show 1 new call")).to_be_visible()
    await expect(row.get_by_role("img", name="In progress")).to_be_visible()
    await page.get_by_role("button", name="Resume").click()
    await expect(row.get_by_role("img", name="Passed", exact=True)).to_be_visible()


async def test_a_settled_call_leaves_a_list_of_running_ones(gate: Gate) -> None:
    page = await gate.open(path="/console/live?status=running")
    call_id = gate.arrive(1000)
    row = page.locator(f'tr[data-id="{call_id}"]')
    await expect(row).to_be_visible()
    gate.settle(call_id)
    await expect(row).to_have_count(0)


async def test_keys_walk_open_and_close(gate: Gate) -> None:
    page = await gate.open()
    await page.keyboard.press("j")
    await page.keyboard.press("j")
    second = page.locator("tbody tr[data-id]").nth(1)
    await expect(second.get_by_role("link")).to_be_focused()
    await page.keyboard.press("k")
    await page.keyboard.press("j")
    await page.keyboard.press("Enter")
    await expect(second.get_by_role("link")).to_have_attribute("aria-expanded", "true")
    await expect(page.locator("tr[data-detail] .gates li")).to_have_count(len(INFO.stages))
    await page.keyboard.press("Escape")
    await expect(page.locator("tr[data-detail]")).to_have_count(0)
    await expect(second.get_by_role("link")).to_be_focused()
    await page.keyboard.press("/")
    await expect(page.get_by_role("searchbox")).to_be_focused()


async def test_shortcuts_can_be_switched_off(gate: Gate) -> None:
    page = await gate.open()
    await page.get_by_role("button", name="Turn shortcuts off").click()
    await page.keyboard.press("/")
    await expect(page.get_by_role("searchbox")).not_to_be_focused()
    await page.get_by_role("button", name="Use shortcuts").click()
    await page.keyboard.press("/")
    await expect(page.get_by_role("searchbox")).to_be_focused()


async def test_an_open_detail_follows_its_call(gate: Gate) -> None:
    page = await gate.open()
    call_id = gate.arrive(1000)
    await page.locator(f'tr[data-id="{call_id}"] a').click()
    await expect(page.get_by_text("Waiting for the answer.")).to_be_visible()
    gate.settle(call_id)
    await expect(page.locator("tr[data-detail]").get_by_text("Total 6,842.3 ms")).to_be_visible()


async def test_a_filter_is_chosen_by_keyboard_and_cleared(gate: Gate) -> None:
    page = await gate.open()
    await page.locator("summary", has_text="Verdict").focus()
    await page.keyboard.press("Enter")
    await page.get_by_role("link", name="Refused").focus()
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(f"{gate.address}/console/live?status=refused")
    await page.get_by_role("link", name="Clear the Verdict filter").click()
    await expect(page).to_have_url(f"{gate.address}/console/live")


async def test_language_and_theme_are_switched_without_losing_the_place(gate: Gate) -> None:
    page = await gate.open(path="/console/live?status=refused")
    await page.locator("summary.lamp").click()
    await page.get_by_role("button", name="Dark").click()
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    await page.get_by_role("button", name="日本語").click()
    await expect(page.get_by_role("heading", name="ライブ", exact=True)).to_be_visible()
    await expect(page).to_have_url(f"{gate.address}/console/live?status=refused")


@pytest.mark.parametrize("locale", ["ja-JP", "en-GB"])
async def test_nothing_scrolls_sideways_on_a_phone(gate: Gate, locale: str) -> None:
    page = await gate.open(width=390, locale=locale)
    await page.locator("tbody tr.hot a").first.click()
    await expect(page.locator("tr[data-detail]")).to_be_visible()
    widths = await page.evaluate(
        "[document.documentElement.scrollWidth, document.querySelector('table').getBoundingClientRect().right,"
        " document.querySelector('[data-live]').getBoundingClientRect().right]"
    )
    assert widths[0] <= 390
    assert widths[1] <= widths[2]


async def test_a_session_that_ends_is_said_and_the_asking_stops(gate: Gate) -> None:
    page = await gate.open()
    gate.sessions.open.clear()
    await expect(page.get_by_text("Your sign-in has ended.")).to_be_visible()
    gate.complaints[:] = [text for text in gate.complaints if "401" not in text]  # the browser's own network log


async def test_a_ledger_that_cannot_be_read_is_said_with_the_time_of_what_is_shown(gate: Gate) -> None:
    page = await gate.open()
    gate.queries.error = RuntimeError("down")
    await expect(page.get_by_text("New figures cannot be read.")).to_be_visible()
    gate.queries.error = None
    await expect(page.get_by_text("New figures cannot be read.")).to_be_hidden()
    gate.complaints[:] = [text for text in gate.complaints if "500" not in text]  # the browser's own network log
