"""Why? pages: from an agent's error to cause and remedy, and what a key may do; hidden scopes stay hidden."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.console.house import House, furnished_house
from tests.console.visitors import visitor

pytestmark = [pytest.mark.xdist_group("house"), pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with furnished_house(tmp_path_factory.mktemp("house"), per_day=1) as furnished:
        yield furnished


@pytest.mark.parametrize(("language", "words"), [("en", "Why this call was refused"), ("ja", "なぜ拒否されたか")])
async def test_a_pasted_error_leads_to_cause_and_remedy(house: House, language: str, words: str) -> None:
    alice = await visitor(house, "alice", "developer", language)
    error = f"400 budget_exceeded (request {house.calls['refused'].upper()})"
    answer = await alice.client.get("/console/find", params={"id": error})
    assert answer.headers["location"] == f"/console/why/{house.calls['refused']}"
    page = await alice.page(f"why/{house.calls['refused']}")
    assert words in page
    assert "this month's budget of alice has $0.19 left" in page


@pytest.mark.parametrize(
    ("language", "why", "fact"),
    [
        ("en", "The answer called execute_command, read_file ×3.", "Tools called execute_command, read_file ×3"),
        (
            "ja",
            "応答は execute_command、read_file ×3 を呼び出しました。",
            "呼び出したツール execute_command、read_file ×3",
        ),
    ],
)
async def test_a_call_says_which_tools_it_called(house: House, language: str, why: str, fact: str) -> None:
    alice = await visitor(house, "alice", "developer", language)
    for path, words in (("why", why), ("calls", fact)):
        page = " ".join((await alice.page(f"{path}/{house.calls['of cline-alice']}")).split())
        assert words in page.replace(" ,", ",").replace(" 、 ", "、")


async def test_a_text_that_fits_nothing_says_so(house: House) -> None:
    alice = await visitor(house, "alice", "developer")
    assert "No call, person or key fits “<b>nothing”" in await alice.page("find?id=%3Cb%3Enothing", 404)


async def test_a_name_leads_to_its_calls_only_where_it_may_be_seen(house: House) -> None:
    lead = await visitor(house, "alice", "team_lead")
    answer = await lead.client.get("/console/find", params={"id": "cline-bob"})
    assert answer.headers["location"] == f"/console/calls?key={house.keys['cline-bob']}"
    assert (await lead.client.get("/console/find", params={"id": "cc-charlie"})).status_code == 404
    assert (await lead.client.get("/console/find", params={"id": "blue"})).status_code == 404


async def test_people_and_teams_are_found_by_what_they_are_called(house: House) -> None:
    """By whoever may see them; an id goes before a name."""
    services = house.plane.services()
    (team,) = [one for one in await services.teams.list(limit=99) if one.id == "blue"]
    manager, lead = await visitor(house, "mallory"), await visitor(house, "alice", "team_lead")
    for asked, found in ((team.alias, "team=blue"), (team.alias.upper(), "team=blue"), ("charlie", "user=charlie")):
        answer = await manager.client.get("/console/find", params={"id": asked})
        assert answer.headers["location"] == f"/console/calls?{found}"
        assert (await lead.client.get("/console/find", params={"id": asked})).status_code == 404


async def test_anothers_call_is_not_there(house: House) -> None:
    alice = await visitor(house, "alice", "developer")
    assert await alice.status(f"why/{house.calls['of cline-bob']}") == 404
    assert await alice.status(f"why/{house.calls['of cc-charlie']}") == 404
    assert await alice.status("why/nothing") == 404


async def test_budgets_of_others_show_only_whether_they_pass(house: House) -> None:
    alice = await visitor(house, "alice", "developer")
    page = await alice.page(f"why?key={house.keys['cline-alice']}&model=claude-sonnet-4-6")
    assert "This call would pass" in page
    assert "$600.00" in page
    assert "Hidden" in page
    assert "$1,000.00" not in page
    assert "$1,600.00" not in page


async def test_a_key_of_another_cannot_be_asked_about(house: House) -> None:
    alice = await visitor(house, "alice", "developer")
    page = await alice.page(f"why?key={house.keys['cline-bob']}&model=claude-sonnet-4-6")
    assert "This key cannot be looked at" in page
