"""Every place of every role in a real browser, and what each role does there, in both languages.

One browser and one furnished house for all of it. Every page is checked for what a browser complains of (the content
policy too), for requests that leave, for sideways scrolling at 390 px, and by axe for serious findings.
"""

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from sekisho.access.organisation import TeamChange, UserChange
from sekisho.access.roles import RoleName
from sekisho.web.console.nav import NAV, places_of
from tests.console.house import cookie_of, furnished_house
from tests.console.town import DESK, PHONE, Town, findings, on_a_port

pytestmark = [pytest.mark.xdist_group("browser"), pytest.mark.asyncio(loop_scope="session")]
PEOPLE: dict[RoleName, str] = {
    "platform_admin": "",
    "cost_manager": "mallory",
    "auditor": "erin",
    "team_lead": "alice",
    "developer": "bob",
}


async def open_as(town: Town, role: RoleName, path: str, language: str = "en", *, user: str | None = None) -> Page:
    """A page of this role's person, or of another, in a context of its own."""
    token = await town.house.enter(PEOPLE[role] if user is None else user)
    chosen = cookie_of(role) | {"name": "sekisho_role"}
    page = await town.page(language, cookie_of(token), chosen)
    await page.goto(f"{town.address}/console/{path}")
    return page


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def town(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    async with furnished_house(tmp_path_factory.mktemp("house"), per_day=2) as house:
        async with on_a_port(house.app) as address:
            yield Town(house, address, browser)


@pytest_asyncio.fixture(autouse=True, loop_scope="session")
async def quiet(town: Town) -> AsyncIterator[None]:
    """No test may leave a complaint or a request to elsewhere behind."""
    yield
    for context in town.browser.contexts:
        await context.close()
    assert (town.complaints, town.strangers) == ([], set())


@pytest.mark.parametrize("role", list(NAV))
async def test_every_place_is_sound_accessible_and_fits_a_phone(town: Town, role: RoleName) -> None:
    places = places_of(role)
    page = await open_as(town, role, places[0].path, "ja")
    for number, place in enumerate(places):
        if number:
            await page.goto(f"{town.address}/console/{place.path}")
        await expect(page.locator(f'.post a[aria-current="page"][href="{place.address}"]')).to_be_visible()
        if place.name in town.looked_at:
            continue
        await town.check(page, place.name)
        await page.set_viewport_size(PHONE)
        await expect(page.locator(".tabbar")).to_be_visible()
        await page.set_viewport_size(DESK)
    if PEOPLE[role]:
        await page.goto(f"{town.address}/console/account")
        await town.check(page, "account")


async def test_dark_pages_have_enough_contrast(town: Town) -> None:
    page = await open_as(town, "cost_manager", "overview")
    await page.emulate_media(color_scheme="dark")
    for path in ("overview", "budgets", f"why/{town.house.calls['refused']}"):
        await page.goto(f"{town.address}/console/{path}")
        assert await findings(page) == [], path


@pytest.mark.parametrize("language", ["en", "ja"])
async def test_a_manager_reads_a_chart_and_changes_a_budget(town: Town, language: str) -> None:
    page = await open_as(town, "cost_manager", "overview", language)
    chart = page.locator("[data-chart] svg").first
    await expect(chart).to_be_visible()
    box = await page.locator("[data-chart]").bounding_box()
    assert box
    await page.mouse.move(box["x"] + box["width"] / 3, box["y"] + 120)
    await expect(page.locator(".tip")).to_contain_text("$")
    await page.mouse.click(box["x"] + box["width"] / 3, box["y"] + 120)
    await expect(page).to_have_url(re.compile(r"/console/calls\?since=2026-11-\d\d&until=2026-11-\d\d$"))
    await page.goto(f"{town.address}/console/budgets")
    fold = page.locator("[data-fold]").first
    await fold.click()
    await expect(page.locator('tr[data-level="1"]').first).to_be_hidden()
    await fold.click()
    await expect(page.locator('tr[data-level="1"]').first).to_be_visible()
    await page.locator('[data-open^="b-"]').first.click()
    dialog = page.locator("dialog[open]")
    amount = dialog.locator("input[inputmode=decimal]")
    await amount.fill("lots")
    await dialog.locator("button.btn-1").click()
    await expect(dialog.locator("[data-problem]")).not_to_be_empty()
    await amount.fill("1700" if language == "en" else "1650")
    await dialog.locator("button.btn-1").click()
    await expect(page.locator("[data-toast]")).to_contain_text("$1,700.00" if language == "en" else "$1,650.00")


@pytest.mark.parametrize("language", ["en", "ja"])
async def test_a_lead_issues_and_blocks_a_key_by_keyboard(town: Town, language: str) -> None:
    page = await open_as(town, "team_lead", "keys", language)
    await page.locator('[data-open="new-key"]').first.focus()
    await page.keyboard.press("Enter")
    dialog = page.locator("dialog[open]")
    await dialog.locator("input[name=alias]").fill(f"cline-{language}")
    await page.keyboard.press("Enter")
    link = dialog.locator("[data-path]")
    await expect(link).to_contain_text(f"{town.address}/console/hand-over/")
    await page.keyboard.press("Escape")
    await expect(dialog).to_have_count(0)
    row = page.locator("tr", has_text="cline-bob").first
    await page.goto(f"{town.address}/console/keys")
    await row.locator("summary").first.click()
    await row.locator('[data-open^="block-"]').click()
    dialog = page.locator("dialog[open]")
    await dialog.locator("input[name=typed]").fill("cline-bob")
    await dialog.locator("button.btn-stop").click()
    await expect(page.locator("[data-toast]")).to_contain_text("cline-bob")
    await expect(row.locator('[data-open^="unblock-"]')).to_have_count(1)
    await row.locator("summary").first.click()
    await row.locator('[data-open^="unblock-"]').click()
    await page.locator("dialog[open] button.btn-1").click()
    await expect(row.locator('[data-open^="block-"]')).to_have_count(1)
    await expect(page.locator("[data-toast]")).to_contain_text("cline-bob")


@pytest.mark.parametrize("language", ["en", "ja"])
async def test_a_developer_goes_from_an_error_to_why(town: Town, language: str) -> None:
    page = await open_as(town, "developer", "me", language, user="alice")
    await page.keyboard.press("/")
    await page.keyboard.type(f"request {town.house.calls['refused']}")
    await page.keyboard.press("Enter")
    await expect(page.locator(".wayfare .at")).to_have_count(1)
    await expect(page.locator(".lede")).to_contain_text("$0.19 left")
    await page.locator(".way a.btn").first.click()
    await expect(page.locator(".lede")).to_contain_text("$")
    assert await page.locator(".wayfare .at").count() == 0


@pytest.mark.parametrize("language", ["en", "ja"])
async def test_one_person_looks_through_one_role_at_a_time(town: Town, language: str) -> None:
    page = await open_as(town, "team_lead", "team", language)
    await expect(page.locator('.post a[href="/console/members"]')).to_be_visible()
    await page.locator(".who > summary").click()
    await page.locator('.roles button[value="developer"]').click()
    await expect(page).to_have_url(f"{town.address}/console/me")
    await expect(page.locator('.post a[href="/console/members"]')).to_have_count(0)
    answer = await page.request.get(f"{town.address}/console/members")
    assert answer.status == 404


@pytest.mark.parametrize("language", ["en", "ja"])
async def test_the_infrastructure_team_makes_a_limit_and_proves_the_audit_log(town: Town, language: str) -> None:
    page = await open_as(town, "platform_admin", "limits", language)
    await page.locator('[data-open="new"]').first.click()
    dialog = page.locator("dialog[open]")
    await dialog.locator("input[name=name]").fill(f"limit-{language}")
    await dialog.locator("button.btn-1").click()
    await expect(dialog.locator("[data-problem]")).not_to_be_empty()
    await dialog.locator("input[name=parallel]").fill("4")
    await dialog.locator("button.btn-1").click()
    await expect(page.locator("[data-toast]")).to_contain_text(f"limit-{language}")
    await page.goto(f"{town.address}/console/audit")
    await page.locator("form[hx-post] button").first.click()
    await expect(page.locator("#proof")).to_contain_text(
        "as they were written" if language == "en" else "書かれたときのまま"
    )


async def test_names_of_any_length_and_heaps_of_marks_make_no_page_scroll_sideways(town: Town) -> None:
    services, long = town.house.plane.services(), "W" * 120 + "\u0e49" * 60
    before = (await services.users.get("alice")).alias, (await services.teams.get("red")).alias
    await services.users.update("alice", UserChange(alias=long), "operator")
    await services.teams.update("red", TeamChange(alias=long), "operator")
    pages: tuple[tuple[RoleName, str], ...] = (
        ("team_lead", "breakdown?by=team"),
        ("team_lead", "members"),
        ("developer", "account"),
    )
    for role, path in pages:
        page = await open_as(town, role, path, user="alice")
        for size in (DESK, PHONE):
            await page.set_viewport_size(size)
            assert await page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, (path, size)
    await services.users.update("alice", UserChange(alias=before[0]), "operator")
    await services.teams.update("red", TeamChange(alias=before[1]), "operator")


@pytest.mark.parametrize("language", ["en", "ja"])
async def test_a_link_to_one_call_of_a_long_task_lands_at_its_turn(town: Town, language: str) -> None:
    calls = await town.house.task("cline-alice", 230)
    page = await open_as(town, "cost_manager", f"calls/{calls[149]}", language)
    await page.locator(".acts a.btn").first.click()
    turn = page.locator(f"#c-{calls[149]}")
    await expect(turn).to_be_in_viewport(timeout=30_000)  # for a machine that has much else to do
    await expect(turn.locator(".no")).to_have_text("150")
    assert await page.evaluate("scrollY") > 0
    assert await page.locator("article.turn[id]").first.get_attribute("id") == f"c-{calls[100]}"
    assert await findings(page) == []
    await page.locator('a[rel="prev"]').click()
    await expect(page.locator(f"#c-{calls[0]}")).to_be_in_viewport(timeout=30_000)
    await page.goto(f"{town.address}/console/calls/{calls[3]}")
    await page.locator(".acts a.btn").first.click()
    await expect(page.locator(f"#c-{calls[3]}")).to_be_in_viewport(timeout=30_000)
    column = page.locator(".strip a").last
    there = (await column.get_attribute("href") or "").partition("#")[2]
    assert there.removeprefix("c-") in calls[200:]  # of which nothing is on the page yet
    await column.dispatch_event("click")
    await expect(page.locator(f"#{there}")).to_be_in_viewport(timeout=30_000)


@pytest.mark.parametrize("language", ["en", "ja"])
async def test_the_prices_of_a_call_lead_to_the_list_they_were_taken_from(town: Town, language: str) -> None:
    (priced,) = await town.house.task("cline-bob", 1)
    page = await open_as(town, "cost_manager", f"calls/{priced}", language)
    link = page.locator(".facts a[rel]")
    await expect(link).to_have_attribute("href", "https://aws.amazon.com/bedrock/pricing/")
    await expect(link).to_have_attribute("rel", "noreferrer noopener")
    await expect(link).to_contain_text("2026-11-22")
    await page.goto(f"{town.address}/console/why/{priced}")
    await expect(page.locator(".ph a[rel]")).to_contain_text("2026-11-22")
    await page.goto(f"{town.address}/console/calls/{town.house.calls['of cline-alice']}")
    await expect(page.locator(".facts")).to_contain_text("2026-11-15")  # another list than the catalog
    await expect(page.locator(".facts a[rel]")).to_have_count(0)
