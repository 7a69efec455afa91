"""Signing in through an identity provider, as a browser does it: users made on arrival, groups, signing out."""

import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import pytest_asyncio

from sekisho.access.identity_provider import OidcSettings
from sekisho.access.passwords import Strength
from sekisho.app.sign_in_settings import SignInSettings
from sekisho.clock import FakeClock
from tests.acceptance.browsing import Browser, Shared, shared_console
from tests.acceptance.control_plane import Running
from tests.oidc_provider import CLIENT, SECRET, OidcProvider, over_loopback

pytestmark = pytest.mark.asyncio(loop_scope="module")
RULES = "/admin/v1/settings/sign-in"
GROUPS = [
    {"group": "platform", "role": "platform_admin"},
    {"group": "dept-a", "role": "developer", "team_id": "red"},
    {"group": "dept-a-leads", "role": "team_lead", "team_id": "red"},
    {"group": "money", "role": "cost_manager"},
]


class Home:
    """The console and the provider beside it."""

    def __init__(self, shared: Shared, provider: OidcProvider) -> None:
        self.shared = shared
        self.provider = provider

    @property
    def running(self) -> Running:
        return self.shared.running

    async def arrive(self, subject: str, user_name: str, *groups: str, **claims: Any) -> Browser:
        """Somebody signs in at the provider and comes back."""
        self.provider.claims = {"sub": subject, "preferred_username": user_name, "groups": list(groups)} | claims
        browser = self.shared.new()
        started = await browser.open("/console/oidc/start?next=/console/account")
        back = urlsplit(self.provider.authorize(started.headers["location"]))
        await browser.open(f"{back.path}?{back.query}", headers={"sec-fetch-site": "cross-site"})
        return browser

    async def roles(self, user: str) -> set[tuple[str, str | None]]:
        found = (await self.running.operator.get(f"/admin/v1/role-grants?user_id={user}")).json()["grants"]
        return {(one["role"], one["team_id"]) for one in found}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Home]:
    provider = OidcProvider(FakeClock(), redirect_uris=("http://localhost/console/oidc/callback",))
    async with over_loopback(provider):
        oidc = OidcSettings(provider.issuer, CLIENT, SECRET, name="Example ID")
        sign_in = SignInSettings(public_url="http://localhost", strength=Strength(2, 1, 1), oidc=oidc)
        async with shared_console(tmp_path_factory.mktemp("oidc") / "home", sign_in=sign_in) as shared:
            provider.clock = shared.running.clock
            yield Home(shared, provider)


@pytest_asyncio.fixture(loop_scope="module")
async def home(place: Home) -> AsyncIterator[Home]:
    await place.running.operator.post("/admin/v1/teams", json={"id": "red"})
    await place.running.operator.put(RULES, json={"groups": GROUPS})
    yield place
    await place.shared.clear()


async def test_who_arrives_first_is_made_with_the_roles_and_teams_of_the_groups(home):
    browser = await home.arrive(
        "1", "Alice@Example.com", "dept-a", "money", name="Alice", email="alice@example.com", email_verified=True
    )
    assert 'url=/console/account"' in browser.text
    assert (await browser.open("/console/account")).status_code == 200
    assert "Organisation account" in browser.text
    user = (await home.running.operator.get("/admin/v1/users/alice@example.com")).json()
    assert (user["alias"], user["email"], user["created_by"]) == ("Alice", "alice@example.com", "directory")
    assert user["teams"] == [{"team_id": "red", "role": "member"}]
    assert await home.roles("alice@example.com") == {("cost_manager", None)}


async def test_a_local_password_is_offered_only_to_who_can_set_one(home):
    browser = await home.arrive("1", "alice", "dept-a")
    await browser.open("/console/account")
    assert "Ask an administrator for one." in browser.text
    assert 'action="/console/account/password"' not in browser.text
    await browser.open((await home.running.operator.post("/admin/v1/accounts/alice/invite")).json()["path"])
    await browser.send("/console/enter")
    await browser.open("/console/account")
    assert 'action="/console/account/password"' in browser.text


async def test_roles_follow_the_groups_and_what_was_given_by_hand_stays(home):
    await home.arrive("1", "alice", "dept-a", "money")
    await home.running.operator.post("/admin/v1/role-grants", json={"user_id": "alice", "role": "auditor"})
    await home.arrive("1", "alice", "dept-a", "dept-a-leads")
    assert await home.roles("alice") == {("auditor", None), ("team_lead", "red")}
    await home.arrive("1", "alice", "dept-a")
    assert await home.roles("alice") == {("auditor", None)}
    assert (await home.running.operator.get("/admin/v1/users/alice")).json()["teams"][0]["role"] == "member"
    await home.running.operator.put(RULES, json={"groups": [*GROUPS, {"group": "dept-a", "role": "cost_manager"}]})
    assert await home.roles("alice") == {("auditor", None), ("cost_manager", None)}  # at once, not at the next sign-in


async def test_who_is_in_no_group_of_the_rules_gets_what_the_operator_says(home):
    browser = await home.arrive("5", "eve", "something else")
    assert "None of your groups" in browser.text
    assert "sekisho_session" not in browser.client.cookies
    assert (await home.running.operator.get("/admin/v1/users/eve")).status_code == 404
    await home.running.operator.put(RULES, json={"groups": GROUPS, "unmapped": "developer"})
    assert "You are signed in" in (await home.arrive("5", "eve", "something else")).text
    assert await home.roles("eve") == set()


async def test_who_falls_out_of_every_group_loses_all_that_they_gave_and_is_not_let_in(home):
    await home.arrive("1", "alice", "dept-a", "platform")
    browser = await home.arrive("1", "alice")
    assert "None of your groups" in browser.text
    assert await home.roles("alice") == set()
    assert (await home.running.operator.get("/admin/v1/users/alice")).json()["teams"] == []


async def test_a_user_info_that_fails_lets_nobody_in_and_takes_nothing_away(home):
    await home.arrive("1", "alice", "dept-a", "money", email="alice@example.com", email_verified=True)
    before = (await home.running.operator.get("/admin/v1/users/alice")).json()
    home.provider.user_info_status = 503
    browser = await home.arrive("1", "alice", groups=None)  # groups come from the user info only
    home.provider.user_info_status = 200
    assert "could not say which groups" in browser.text
    assert "sekisho_session" not in browser.client.cookies
    assert await home.roles("alice") == {("cost_manager", None)}
    assert (await home.running.operator.get("/admin/v1/users/alice")).json() == before
    entries = (await home.running.operator.get("/admin/v1/audit?limit=5")).json()["entries"]
    assert entries[0]["after"]["what"] == "identity provider: The user info answers 503."
    browser = await home.arrive("1", "alice", groups=None)  # it answers, and says nothing of groups
    assert "None of your groups" in browser.text
    assert await home.roles("alice") == set()


async def test_a_user_name_belongs_to_the_account_that_had_it_first(home):
    await home.running.operator.post("/admin/v1/users", json={"id": "bob"})
    await home.arrive("2", "bob", "dept-a")  # made by hand before: now linked
    impostor = await home.arrive("66", "bob", "dept-a")
    assert "belongs to another account" in impostor.text
    renamed = await home.arrive("2", "robert", "dept-a")  # the subject counts, not the name
    assert "You are signed in" in renamed.text
    assert (await home.running.operator.get("/admin/v1/users/robert")).status_code == 404
    await home.running.operator.post("/admin/v1/users", json={"id": "robot", "kind": "service"})
    assert "belongs to another account" in (await home.arrive("3", "robot", "dept-a")).text


async def test_an_answer_that_this_browser_did_not_ask_for_opens_nothing(home):
    victim, attacker = home.shared.new(), home.shared.new()
    home.provider.claims = {"sub": "1", "preferred_username": "alice", "groups": ["dept-a"]}
    started = await attacker.open("/console/oidc/start")
    back = urlsplit(home.provider.authorize(started.headers["location"]))
    answer = await victim.open(f"{back.path}?{back.query}")
    assert (answer.status_code, "sekisho_session" in victim.client.cookies) == (403, False)
    assert "not begun in this browser" in victim.text


async def test_the_flow_cookie_alone_comes_back_from_another_site(home):
    started = await home.shared.new().open("/console/oidc/start")
    cookies = {one.split("=")[0]: one.lower() for one in started.headers.get_list("set-cookie")}
    assert "samesite=lax" in cookies["sekisho_flow"]
    assert "httponly" in cookies["sekisho_flow"]
    assert "path=/console/oidc" in cookies["sekisho_flow"]
    browser = await home.arrive("1", "alice", "dept-a")
    assert {one.name for one in browser.client.cookies.jar} >= {"sekisho_session", "sekisho_browser"}


async def test_signing_out_ends_both_sessions(home):
    browser = await home.arrive("1", "alice", "dept-a")
    await browser.open("/console/account")
    answer = await browser.send("/console/sign-out")
    address = re.search(r'content="0; url=([^"]+)"', answer.text)
    assert address
    query = parse_qs(urlsplit(address[1].replace("&amp;", "&")).query)
    assert query["post_logout_redirect_uri"] == ["http://localhost/console/sign-in?out"]
    assert query["id_token_hint"][0].count(".") == 2
    assert (await browser.open("/console/account")).status_code == 303


async def test_a_provider_that_does_not_answer_is_said_and_local_accounts_go_on(home):
    browser = home.shared.new()
    await browser.open("/console/sign-in")
    assert "Sign in with Example ID" in browser.text
    assert 'name="password"' in browser.text


async def test_failures_are_in_the_audit_log_without_what_was_sent(home):
    await home.arrive("5", "eve", "something else")
    entry = (await home.running.operator.get("/admin/v1/audit?limit=1")).json()["entries"][0]
    assert (entry["action"], entry["id"], entry["after"]["address"]) == ("sign_in.fail", "eve", "192.0.2.1")


async def test_many_failures_from_one_address_fill_no_log_and_hold_nobody_up(home):
    for number in range(30):
        await home.arrive(f"7{number}", f"many{number}", "something else")
    entries = (await home.running.operator.get("/admin/v1/audit?action=sign_in.fail&limit=100")).json()["entries"]
    assert len([one for one in entries if one["id"].startswith("many")]) == 20
    assert "You are signed in" in (await home.arrive("1", "alice", "dept-a")).text


async def test_an_answer_opens_one_session_and_no_second(home):
    browser = home.shared.new()
    home.provider.claims = {"sub": "1", "preferred_username": "alice", "groups": ["dept-a"]}
    started = await browser.open("/console/oidc/start")
    flow = browser.client.cookies["sekisho_flow"]
    back = urlsplit(home.provider.authorize(started.headers["location"]))
    await browser.open(f"{back.path}?{back.query}")
    assert "You are signed in" in browser.text
    thief = home.shared.new()
    thief.client.cookies.set("sekisho_flow", flow, path="/console/oidc")
    assert (await thief.open(f"{back.path}?{back.query}")).status_code == 403
    assert "sekisho_session" not in thief.client.cookies


async def test_an_administrator_sees_what_is_configured_and_tests_it(home):
    admin = await home.arrive("9", "boss", "platform")
    await admin.open("/console/settings/sign-in")
    for said in (home.provider.issuer, CLIENT, "http://localhost/console/oidc/callback", "dept-a-leads", "/scim/v2"):
        assert said in admin.text
    assert SECRET not in admin.text
    await admin.send("/console/settings/sign-in")
    assert "It answers. Keys it signs with: 2." in admin.text
    home.provider.discovery = {"issuer": "https://another.example.com"}
    await admin.send("/console/settings/sign-in")
    home.provider.discovery = {}
    assert "set oidc_issuer to that" in admin.text


FAULTS: tuple[tuple[dict[str, Any], str], ...] = (
    ({"issuer": "https://another.example.com"}, "発行者は https://another.example.com です"),
    ({"token_endpoint": "http://id.example.com/token"}, "https ではありません"),
    ({"jwks_uri": "http://127.0.0.1:9/jwks"}, "応答しません：http://127.0.0.1:9/jwks"),
    ({"jwks_uri": "ISSUER/nothing"}, "ステータス 404 を返しました"),
    ({"jwks_uri": "ISSUER/.well-known/openid-configuration"}, "署名鍵を読み取れません"),
    ({"jwks_uri": 7}, "応答を読み取れません"),
)


async def test_what_is_wrong_with_the_provider_is_said_in_japanese_too(home):
    admin = await home.arrive("9", "boss", "platform")
    await admin.open("/console/settings/sign-in", headers={"accept-language": "ja"})
    for discovery, words in FAULTS:
        at_issuer = {name: str(value).replace("ISSUER", home.provider.issuer) for name, value in discovery.items()}
        home.provider.discovery = discovery if 7 in discovery.values() else at_issuer
        await admin.send("/console/settings/sign-in", headers={"accept-language": "ja"})
        alert = re.search(r'<p class="note stop" role="alert">([^<]+)<', admin.text)
        assert alert and words in alert[1], (discovery, admin.text[-800:])
        home.running.clock.advance(61)  # keys are asked for again at most once a minute
    home.provider.discovery = {}


async def test_no_other_role_sees_it(home):
    for number, groups in enumerate((("dept-a",), ("dept-a-leads",), ("money",))):
        browser = await home.arrive(f"2{number}", f"user{number}", *groups)
        assert (await browser.open("/console/settings/sign-in")).status_code == 404
