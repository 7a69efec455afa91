"""Roles that hold in one team only, and strings that are hostile: neither gets further than it may."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from sekisho.access.organisation import TeamChange
from sekisho.access.register import KeyChange
from sekisho.access.roles import Grant
from tests.console.house import BOSS, House, furnished_house
from tests.console.visitors import visitor

pytestmark = [pytest.mark.xdist_group("house"), pytest.mark.asyncio(loop_scope="module")]
EVIL = "\"><script>alert(1)</script>'{{7*7}}\u202e"
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
    lead = await visitor(house, "alice", "team_lead")
    assert "&lt;script&gt;alert(1)" in await lead.html("keys")


async def test_an_export_begins_no_cell_with_a_formula(house: House) -> None:
    services = house.plane.services()
    await services.keys.update(house.keys["cline-bob"], KeyChange(alias="=1+1"), "operator")
    lead = await visitor(house, "alice", "team_lead")
    assert "'=1+1" in {row["alias"] for row in await lead.rows("keys?format=csv")}
