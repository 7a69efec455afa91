"""Every page of the shell says at which levels the content of the calls is kept that its reader may see."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from sekisho.access.organisation import TeamChange
from tests.console.house import House, furnished_house
from tests.console.visitors import Visitor, visitor

pytestmark = [pytest.mark.xdist_group("house"), pytest.mark.asyncio(loop_scope="module")]
PAGES = (
    ("", "platform_admin", ("live", "tasks", "audit", "calls")),
    ("", "cost_manager", ("overview", "tasks", "breakdown?by=team")),
    ("alice", "team_lead", ("team", "tasks", "calls?team=red")),
    ("bob", "developer", ("me", "tasks", "why")),
)


@pytest_asyncio.fixture(loop_scope="module")
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with furnished_house(tmp_path, per_day=1) as furnished:
        yield furnished


async def kept(someone: Visitor, path: str) -> str:
    """What the page says of it."""
    text = " ".join((await someone.page(path)).split())
    return text.partition("What calls say is ")[2].partition(" Answers are made up")[0]


async def test_every_page_says_what_is_kept_of_the_calls_that_its_reader_sees(house: House) -> None:
    teams = house.plane.services().teams
    seen = {}
    for level in (None, "full"):
        await teams.update("red", TeamChange(content_level=level), "operator")
        await house.plane.offer()
        for user_id, role, paths in PAGES:
            someone = await visitor(house, user_id, role)
            said = {(await kept(someone, path)) for path in paths}
            assert len(said) == 1
            seen[level, role] = said.pop()
    nothing, red, mixed = "not kept (none)", "kept in full (full)", "not kept (none) · kept in full (full)"
    assert seen == {
        (None, "platform_admin"): f"{nothing} Where it is set",
        (None, "cost_manager"): nothing,
        (None, "team_lead"): nothing,
        (None, "developer"): nothing,
        ("full", "platform_admin"): f"{mixed} depending on the team Where it is set",
        ("full", "cost_manager"): f"{mixed} depending on the team",
        ("full", "team_lead"): red,
        ("full", "developer"): red,
    }


async def test_a_reader_of_japanese_reads_it_in_japanese(house: House) -> None:
    alice = await visitor(house, "alice", "developer", "ja")
    assert "コール本文の記録水準： 残さない（none）" in " ".join((await alice.page("me")).split())
