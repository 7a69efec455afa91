"""The month in a real browser while calls are booked: figures and bars move, and nothing else on the page does."""

from collections.abc import AsyncIterator
from decimal import Decimal

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, Page, expect

from tests.console.house import DOLLAR, cookie_of, furnished_house
from tests.console.town import Town, on_a_port
from tests.console.visitors import to_the_cent

pytestmark = [pytest.mark.xdist_group("browser"), pytest.mark.asyncio(loop_scope="session")]
expect.set_options(timeout=30_000)  # for a machine that has much else to do
COST = 23_456_700_000
TEAM = 500 * DOLLAR


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def town(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    async with furnished_house(tmp_path_factory.mktemp("house"), per_day=1) as house, on_a_port(house.app) as address:
        yield Town(house, address, browser)


@pytest_asyncio.fixture(autouse=True, loop_scope="session")
async def quiet(town: Town) -> AsyncIterator[None]:
    """No test may leave a complaint or a request to elsewhere behind."""
    yield
    for context in town.browser.contexts:
        await context.close()
    assert (town.complaints, town.strangers) == ([], set())


async def opened(town: Town, path: str, language: str = "en") -> Page:
    """A page of the cost manager's that will notice if it is loaded again."""
    page = await town.page(language, cookie_of(await town.house.enter("mallory")))
    await page.goto(f"{town.address}/console/{path}", timeout=120_000)  # the first page of a browser on a busy machine
    await page.evaluate("window.isSame = true")
    return page


async def spent(row: Locator) -> int:
    return int(await row.get_attribute("data-nanousd") or "")


async def width(row: Locator) -> float:
    """How much of the bar is spent, in per cent of its width."""
    return float((await row.locator("rect.f-ai").get_attribute("width") or "").rstrip("%"))


@pytest.mark.parametrize("language", ["en", "ja"])
@pytest.mark.parametrize("path", ["overview", "budgets"])
async def test_a_bar_and_its_amount_move_by_what_a_call_cost(town: Town, path: str, language: str) -> None:
    page = await opened(town, path, language)
    row = page.locator('tr[data-row="team:blue"]')
    before, was_wide = await spent(row), await width(row)
    cost = COST + len(path + language) * DOLLAR  # each time another
    town.house.clock.advance(2)
    await town.house.call("cc-charlie", cost)
    await expect(row).to_have_attribute("data-nanousd", str(before + cost))
    await expect(row).to_contain_text(f"${to_the_cent(Decimal(before + cost).scaleb(-9)):,}")
    await expect(row.locator(".barcell")).to_have_attribute("data-gain", f"+${Decimal(cost).scaleb(-9):.4f}")
    assert await width(row) - was_wide == pytest.approx(100 * cost / (1.36 * TEAM), abs=0.011)
    for name in ("org:default", "member:blue/charlie"):
        await expect(page.locator(f'tr[data-row="{name}"]')).to_contain_text("$")
    if path == "budgets":
        listed = page.locator("td[data-budget]", has_text=f"${to_the_cent(Decimal(before + cost).scaleb(-9)):,}")
        assert await listed.count() >= 1
    assert await page.evaluate("window.isSame")


async def test_focus_and_open_rows_stay_and_the_panels_follow(town: Town) -> None:
    page = await opened(town, "overview")
    person = page.locator('tr[data-row="member:blue/charlie"]')
    await person.locator("[data-fold]").click()
    key = page.locator(f'tr[data-row="key:blue/charlie/{town.house.keys["cc-charlie"]}"]')
    await expect(key).to_be_visible()
    await person.locator("a").focus()
    before = await spent(key)
    chart = page.locator("[data-chart]")
    drawn = await chart.get_attribute("data-chart")
    town.house.clock.advance(2)
    await town.house.call("cc-charlie", COST)
    await expect(key).to_have_attribute("data-nanousd", str(before + COST))
    await expect(chart).not_to_have_attribute("data-chart", drawn or "")  # the whole page was read again by then
    total = (Decimal(await spent(page.locator('tr[data-row="org:default"]')))).scaleb(-9)
    await expect(page.locator('[data-part="by-model"] .pf')).to_contain_text(f"${to_the_cent(total):,}")
    await expect(page.locator("[data-month-band]")).to_contain_text(f"${to_the_cent(total):,}")
    await expect(chart.locator("svg")).to_contain_text(f"${to_the_cent(total):,}")
    await expect(key).to_be_visible()
    await expect(person.locator("a")).to_be_focused()
    assert await page.evaluate("window.isSame")


async def test_somebody_who_spends_for_the_first_time_gets_a_row(town: Town) -> None:
    page = await opened(town, "overview")
    await expect(page.locator('tr[data-row^="key:red/alice/"]')).to_have_count(2)
    made = await town.house.key("cc-alice", "alice", "red")
    town.house.clock.advance(20)
    await town.house.call("cc-alice", COST)
    fresh = page.locator(f'tr[data-row="key:red/alice/{made}"]')
    await expect(fresh).to_have_attribute("data-nanousd", str(COST))
    await expect(fresh).to_be_hidden()  # under its person, who is folded
    await page.locator('tr[data-row="member:red/alice"] [data-fold]').click()
    await expect(fresh).to_be_visible()
    assert await page.evaluate("window.isSame")


async def test_whoever_wants_no_motion_sees_none(town: Town) -> None:
    page = await opened(town, "overview")
    await page.emulate_media(reduced_motion="reduce")
    cell = page.locator('tr[data-row="team:blue"] .barcell')
    town.house.clock.advance(2)
    await town.house.call("cc-charlie", COST)
    await expect(cell).to_have_attribute("data-gain", "+$23.4567")
    moving = """cell => [getComputedStyle(cell, "::after").animationName,
                         getComputedStyle(cell.querySelector("rect")).transitionDuration]"""
    assert await cell.evaluate(moving) == ["none", "0s, 0s, 0s"]
