"""Every page of the console with every role: what a role has no place for is not there, and nothing opens without a
session but what lets people in."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from starlette.routing import Route

from sekisho.app.console import create_console
from sekisho.web.console.nav import NAV
from tests.acceptance.browsing import Browser, Shared, shared_console

pytestmark = pytest.mark.asyncio(loop_scope="module")
ROLES = ("platform_admin", "cost_manager", "team_lead", "developer", "auditor")
PUBLIC = {  # what lets people in, and what a visitor may choose
    "/console/enter",
    "/console/hand-over/{secret}",
    "/console/sign-in",
    "/console/sign-in/second",
    "/console/sign-out",
    "/console/language",
    "/console/theme",
    "/console/assets/{address}",
}
PLACES = {  # written again, so that the table in the code cannot change by accident
    "platform_admin": "live tasks notices models keys limits policies audit why settings settings/sign-in",
    "cost_manager": "overview budgets breakdown tasks notices why rates",
    "auditor": "decisions audit keys limits policies",
    "team_lead": "team members keys budgets breakdown tasks why setup",
    "developer": "me tasks keys setup why",
}
OWN = ("account", "device")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shared]:
    async with shared_console(tmp_path_factory.mktemp("matrix") / "home") as shared:
        await shared.running.operator.post("/admin/v1/teams", json={"id": "red"})
        yield shared


def routes(shared: Shared) -> list[tuple[str, str]]:
    """Every method and path of the console, but for the one that takes all others."""
    services = shared.running.plane.services()
    router = create_console(services, is_simulated=False, command="sekisho")
    found = [
        (method, route.path) for route in router.routes if isinstance(route, Route) for method in route.methods or ()
    ]
    ours = [(method, path) for method, path in found if path.startswith("/console") and method != "HEAD"]
    return sorted((method, path) for method, path in ours if not path.endswith(":path}"))


async def somebody(shared: Shared, role: str) -> Browser:
    """The browser of somebody with this role."""
    operator = shared.running.operator
    await operator.post("/admin/v1/users", json={"id": role})
    if role != "developer":
        team = "red" if role == "team_lead" else ""
        await operator.post("/admin/v1/role-grants", json={"user_id": role, "role": role, "team_id": team})
    browser = shared.new()
    code = await shared.running.plane.services().sessions.issue_code("operator", role)
    await browser.open(f"/console/enter?code={code}")
    await browser.send("/console/enter")
    browser.client.cookies.set("sekisho_role", role, path="/console")
    return browser


async def test_without_a_session_every_page_leads_to_sign_in(shared):
    visitor = shared.new()
    seen = routes(shared)
    assert len(seen) > 60
    assert {path for _, path in seen} >= PUBLIC
    for method, path in seen:
        if path in PUBLIC:
            continue
        answer = await visitor.client.request(method, path.replace("{", "").replace("}", ""))
        assert answer.status_code == 303, (method, path)
        assert answer.headers["location"].startswith("/console/sign-in"), (method, path)


async def test_every_place_of_the_navigation_is_in_the_table():
    places = {role: [place.path for group in groups for place in group.places] for role, groups in NAV.items()}
    assert {role: " ".join(paths) for role, paths in places.items()} == PLACES


@pytest.mark.parametrize("role", ROLES)
async def test_a_role_opens_its_places_and_no_others(shared, role):
    browser = await somebody(shared, role)
    for path in sorted({path for places in PLACES.values() for path in places.split()}):
        answer = await browser.open(f"/console/{path}")
        expected = 200 if path in PLACES[role].split() else 404
        if answer.status_code == 303:  # to another page of the console, which then answers
            answer = await browser.open(answer.headers["location"])
        assert answer.status_code == expected, (role, path)
    for path in OWN:
        assert (await browser.open(f"/console/{path}")).status_code == 200, (role, path)


@pytest.mark.parametrize("role", ROLES)
async def test_no_form_changes_anything_without_the_token_of_its_visit(shared, role):
    browser = await somebody(shared, role)
    for method, path in routes(shared):
        if method == "POST":
            answer = await browser.client.post(path.replace("{", "").replace("}", ""), data={"csrf": "0" * 64})
            assert answer.status_code in (403, 404), (role, path, answer.status_code)
