"""Roles that hold in one team only, and strings that are hostile: neither gets further than it may."""

import re
from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest
import pytest_asyncio

from sekisho.access.organisation import TeamChange
from sekisho.access.register import KeyChange
from sekisho.access.roles import Grant
from tests.console.house import BOSS, House, furnished_house
from tests.console.visitors import visitor

pytestmark = [pytest.mark.xdist_group("house"), pytest.mark.asyncio(loop_scope="module")]
EVIL = "\"><script>alert(1)</script>'{{7*7}}\u202e\u2066"
PAGES = (
    ("mallory", "cost_manager", ("overview", "budgets", "breakdown?by=team", "breakdown?by=key", "calls", "tasks")),
    ("alice", "team_lead", ("team", "members", "keys", "budgets", "why")),
    ("alice", "developer", ("me", "keys", "setup", "why")),
    ("", "platform_admin", ("keys", "limits", "policies", "audit", "live")),
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with furnished_house(tmp_path_factory.mktemp("house"), per_day=1) as furnished:
        services = furnished.plane.services()
        await services.grants.grant("bob", Grant("cost_manager", "red"), BOSS)
        await services.grants.grant("bob", Grant("auditor", "red"), BOSS)
        yield furnished


@pytest.mark.parametrize(
    ("role", "path"),
    [("auditor", "audit"), ("auditor", "policies"), ("cost_manager", "notices"), ("cost_manager", "rates")],
)
async def test_a_role_in_one_team_does_not_open_what_is_everybodys(house: House, role: str, path: str) -> None:
    bob = await visitor(house, "bob", role)
    assert await bob.status(path) == 404
    assert await bob.status(f"{path}?format=csv") == 404


async def test_a_role_in_one_team_sees_that_team(house: House) -> None:
    bob = await visitor(house, "bob", "cost_manager")
    page = await bob.page("overview")
    assert "alice" in page
    assert "charlie" not in page
    auditor = await visitor(house, "bob", "auditor")
    assert "cc-charlie" not in await auditor.page("keys")


async def test_hostile_names_stay_text_on_every_page(house: House) -> None:
    services = house.plane.services()
    await services.teams.update("red", TeamChange(alias=EVIL), "operator")
    await services.keys.update(house.keys["cline-alice"], KeyChange(alias=EVIL, tags=(EVIL,)), "operator")
    for user_id, role, paths in PAGES:
        someone = await visitor(house, user_id, role)
        for path in paths:
            text = await someone.html(path)
            assert "<script>alert" not in text, path
            assert not re.search("[\u202a-\u202e\u2066-\u2069]", text), path
    lead = await visitor(house, "alice", "team_lead")
    assert "&lt;script&gt;alert(1)" in await lead.html("keys")
    assert "{{7*7}}[U+202E][U+2066]" in await lead.html("keys")


async def test_an_export_begins_no_cell_with_a_formula(house: House) -> None:
    services = house.plane.services()
    await services.keys.update(house.keys["cline-bob"], KeyChange(alias="=1+1"), "operator")
    lead = await visitor(house, "alice", "team_lead")
    assert "'=1+1" in {row["alias"] for row in await lead.rows("keys?format=csv")}


async def test_links_of_a_teams_page_lead_to_that_team_whatever_it_is_called(house: House) -> None:
    await house.plane.services().teams.create("operator", team_id="x&y", members={"alice": "lead"})
    lead = await visitor(house, "alice", "team_lead")
    page = await lead.html("team?team=x%26y")
    assert re.findall(r'/console/team\?month=[\d-]+&amp;team=([^"&]+)"', page) == ["x%26y"]
    assert "until={day}\\u0026team=red" in await lead.html("team?team=red")
    assert "&amp;team=x%26y" in page
    assert "team=x&amp;y" not in page
    assert await lead.status("calls?team=x%26y") == 200
    assert re.findall(r'href="([^"]*format=csv[^"]*)"', page) == ["/console/team?team=x%26y&amp;format=csv"]


async def test_a_form_goes_back_to_an_address_in_any_letters(house: House) -> None:
    lead = await visitor(house, "alice", "team_lead")
    key = house.keys["cline-bob"]
    name = (await house.plane.services().keys.get(key)).alias
    answer = await lead.send("keys", f"keys/{key}/block", typed=name, next="/console/keys?user=開発者")
    assert (answer.status_code, answer.headers["hx-redirect"]) == (204, f"/console/keys?user={quote('開発者')}")


async def test_an_id_in_an_address_stays_one_id(house: House) -> None:
    """What stands in the place of an id leads to no other route of the admin API."""
    lead = await visitor(house, "alice", "team_lead")
    own = house.keys["cline-alice"]
    before = (await house.plane.services().keys.get(own)).digest
    for hostile in (f"{own}%252frotate%3f", f"{own}%3fx", f"..%252fkeys%252f{own}"):
        assert (await lead.send("keys", f"keys/{hostile}/rotate")).status_code == 404, hostile
    assert (await house.plane.services().keys.get(own)).digest == before
