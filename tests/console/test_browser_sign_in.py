"""Coming in and going out in a real browser, in both languages: links, passwords, second factors, waits, command lines,
the organisation's account, sessions. One empty house for all of it; each page is checked as in `town`."""

import base64
import re
import socket
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from sekisho.access.identity_provider import OidcSettings
from sekisho.access.passwords import Strength
from sekisho.access.roles import Grant
from sekisho.access.sign_in_rules import SignInRules
from sekisho.access.totp import code_at
from sekisho.app.sign_in_settings import SignInSettings
from sekisho.clock import FakeClock
from tests.console.house import BOSS, furnished_house
from tests.console.town import Town, findings, on_a_port
from tests.oidc_provider import CLIENT, SECRET, OidcProvider, over_loopback

pytestmark = [pytest.mark.xdist_group("browser"), pytest.mark.asyncio(loop_scope="session")]
PASSWORD = "green tea in June"
GRANT = "urn:ietf:params:oauth:grant-type:device_code"
provider = OidcProvider(FakeClock())


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def town(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    listener = socket.create_server(("127.0.0.1", 0))
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with over_loopback(provider):
        oidc = OidcSettings(provider.issuer, CLIENT, SECRET, name="Example ID")
        sign_in = SignInSettings(public_url=address, strength=Strength(2, 1, 1), oidc=oidc)
        home = tmp_path_factory.mktemp("sign-in")
        async with furnished_house(home, is_empty=True, sign_in=sign_in) as house, on_a_port(house.app, listener):
            provider.clock = house.clock
            provider.redirect_uris = (f"{address}/console/oidc/callback",)
            yield Town(house, address, browser, refusals=(400, 403, 429), friends=(provider.issuer,))


@pytest_asyncio.fixture(autouse=True, loop_scope="session")
async def quiet(town: Town) -> AsyncIterator[None]:
    """No test may leave a complaint or a request to elsewhere behind, or failures that make others wait."""
    yield
    for context in town.browser.contexts:
        await context.close()
    town.house.clock.advance(2 * 86_400)
    assert (town.complaints, town.strangers) == ([], set())


async def invited(town: Town, user_id: str, language: str) -> Page:
    """Somebody opens an invitation and goes in."""
    services = town.house.plane.services()
    await services.users.create("operator", user_id=user_id)
    code = await services.sessions.issue_code("operator", user_id)
    page = await town.page(language)
    await page.goto(f"{town.address}/console/enter?code={code}")
    await town.check(page, "enter")
    await page.locator("main form button").click()
    await expect(page).to_have_url(re.compile(r"/console/"))
    return page


async def set_password(town: Town, page: Page) -> None:
    await page.goto(f"{town.address}/console/account")
    for name in ("password", "again"):
        await page.locator(f"input[name={name}]").fill(PASSWORD)
        await page.keyboard.press("Enter")
    await expect(page).to_have_url(f"{town.address}/console/account?done=password")


async def sign_in(town: Town, page: Page, login: str, password: str = PASSWORD) -> None:
    if "/console/sign-in" not in page.url:
        await page.goto(f"{town.address}/console/sign-in")
    await page.locator("input[name=login]").fill(login)
    await page.locator("input[name=password]").fill(password)
    async with page.expect_navigation():
        await page.keyboard.press("Enter")


@pytest.mark.parametrize("language", ["en", "ja"])
async def test_the_first_administrator_comes_by_a_link_and_then_with_two_factors(town: Town, language: str) -> None:
    name, services = f"admin-{language}", town.house.plane.services()
    page = await invited(town, name, language)
    await services.grants.grant(name, Grant("platform_admin"), BOSS)
    await set_password(town, page)
    await town.check(page, "account")
    await page.locator('a[href$="/account/second-factor"]').click()
    await town.check(page, "enrolment")
    await page.locator("main details summary").click()
    secret = base64.b32decode((await page.locator("[data-copy-text]").inner_text()).replace(" ", ""))
    code = page.locator("input[name=code]")
    await code.fill("000000")
    await code.press("Enter")
    await expect(page.get_by_role("alert")).to_be_visible()
    await code.fill(code_at(secret, town.house.clock.now_us() // 30_000_000))
    await code.press("Enter")
    await expect(page.locator("pre.code")).to_contain_text(re.compile(r"[a-z2-9]{5}-[a-z2-9]{5}"))
    await town.check(page, "recovery codes")
    await page.locator("main a.btn-1").click()

    await page.locator(".who > summary").click()
    await page.locator('form[action$="/sign-out"] button').click()
    await expect(page.get_by_role("status")).to_be_visible()
    await town.check(page, "sign in")
    town.house.clock.advance(60)  # each code is good once
    await sign_in(town, page, name)
    await town.check(page, "second factor")
    await code.fill(code_at(secret, town.house.clock.now_us() // 30_000_000))
    await code.press("Enter")
    await expect(page).to_have_url(f"{town.address}/console/live")


@pytest.mark.parametrize("language", ["en", "ja"])
async def test_guesses_must_wait_and_a_known_browser_need_not(town: Town, language: str) -> None:
    name = f"bob-{language}"
    known = await invited(town, name, language)
    await set_password(town, known)
    await known.context.clear_cookies(name="sekisho_session")
    await sign_in(town, known, name)
    stranger = await town.page(language)
    for _ in range(5):
        await sign_in(town, stranger, name, "not the password")
        await expect(stranger.get_by_role("alert")).to_contain_text({"en": "wrong", "ja": "違います"}[language])
    await sign_in(town, stranger, name)
    await expect(stranger.get_by_role("alert")).to_contain_text({"en": "Wait 1 s", "ja": "1 秒待って"}[language])
    await town.check(stranger, "wait")
    await known.context.clear_cookies(name="sekisho_session")
    await sign_in(town, known, name)
    await expect(known).to_have_url(f"{town.address}/console/me")


@pytest.mark.parametrize("language", ["en", "ja"])
async def test_a_command_line_is_let_in_by_its_person(town: Town, language: str) -> None:
    name = f"carol-{language}"
    page = await invited(town, name, language)
    await set_password(town, page)
    await page.context.clear_cookies(name="sekisho_session")
    async with httpx.AsyncClient(base_url=town.address) as terminal:
        begun = (await terminal.post("/admin/v1/device/code", data={"client_name": "carol@laptop"})).json()
        await page.goto(begun["verification_uri_complete"])
        await sign_in(town, page, name)  # and comes back to the code
        await expect(page.locator("dd.mono")).to_have_text(begun["user_code"])
        await expect(page.get_by_text("carol@laptop")).to_be_visible()
        await town.check(page, "device")
        await page.locator('button[value="approve"]').click()
        await expect(page.get_by_role("status")).to_be_visible()
        asked = {"grant_type": GRANT, "device_code": begun["device_code"]}
        token = (await terminal.post("/admin/v1/device/token", data=asked)).json()["access_token"]
        me = await terminal.get("/admin/v1/me", headers={"authorization": f"Bearer {token}"})
        assert me.json()["user_id"] == name
    await page.goto(f"{town.address}/console/device")
    await town.check(page, "device code")


@pytest.mark.parametrize("language", ["en", "ja"])
async def test_the_organisations_account_opens_the_console_and_is_left_again(town: Town, language: str) -> None:
    rules = town.house.plane.services().sign_in.rules
    await rules.set(SignInRules(unmapped="developer"), "operator")
    provider.claims = {"sub": f"sub-{language}", "preferred_username": f"dora-{language}", "name": "Dora"}
    page = await town.page(language)
    await page.goto(f"{town.address}/console/sign-in")
    await page.get_by_role("link", name="Example ID").click()
    await expect(page).to_have_url(f"{town.address}/console/me")
    await page.locator(".who > summary").click()
    await page.locator('form[action$="/sign-out"] button').click()
    await expect(page).to_have_url(f"{town.address}/console/sign-in?out")  # by way of the provider
    assert any(cookie["name"] == "sekisho_session" for cookie in await page.context.cookies()) is False
    provider.token = {"nonce": "another"}
    await page.get_by_role("link", name="Example ID").click()
    await expect(page.get_by_role("alert")).to_contain_text(
        {"en": "could not be verified", "ja": "確認できません"}[language]
    )
    await town.check(page, "refused")
    provider.token = {}


@pytest.mark.parametrize("language", ["en", "ja"])
async def test_a_person_sees_every_session_and_ends_all_others(town: Town, language: str) -> None:
    name = f"eve-{language}"
    page = await invited(town, name, language)
    await set_password(town, page)
    other = await town.page(language)
    await sign_in(town, other, name)
    await expect(other).to_have_url(f"{town.address}/console/me")
    await page.reload()
    rows = page.locator('tr:has(form[action$="/account/sessions"])')
    await expect(rows).to_have_count(1)
    await expect(rows).to_contain_text("Chrome")
    await page.locator('.pf form[action$="/account/sessions"] button').click()
    await expect(rows).to_have_count(0)
    await other.reload()
    await expect(other).to_have_url(f"{town.address}/console/sign-in")


async def test_the_way_in_can_be_read_in_the_dark(town: Town) -> None:
    page = await town.page("ja")
    await page.emulate_media(color_scheme="dark")
    await page.goto(f"{town.address}/console/sign-in")
    assert await findings(page) == []
