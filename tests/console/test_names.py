"""Pages call people, teams and keys by their names, and never name whom the reader may not see."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from sekisho.access.organisation import UserChange
from sekisho.access.rules import RuleWrite
from sekisho.values import RateLimit, Scope
from tests.console.house import House, furnished_house
from tests.console.visitors import visitor

pytestmark = [pytest.mark.xdist_group("house"), pytest.mark.asyncio(loop_scope="module")]
NAMES = {"alice": "Alice Arai", "bob": "Bob Baba", "charlie": "Charlie Chiba"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with furnished_house(tmp_path_factory.mktemp("house"), per_day=1) as furnished:
        for user_id, name in NAMES.items():
            await furnished.plane.services().users.update(user_id, UserChange(alias=name), "operator")
        yield furnished


@pytest.mark.parametrize(
    ("user_id", "path", "name"),
    [
        ("alice", "members", "Bob Baba"),
        ("alice", "keys", "Bob Baba"),
        ("mallory", "budgets", "部門A / Bob Baba"),
        ("", "keys", "Charlie Chiba"),
        ("", "audit?kind=user", "Charlie Chiba"),
        ("", "calls?user=charlie", "Person Charlie Chiba"),
        ("", "tasks?user=charlie", "Person Charlie Chiba"),
        ("", "keys?user=charlie", "Person Charlie Chiba"),
        ("bob", "me", "部門A"),
    ],
)
async def test_a_page_says_the_name(house: House, user_id: str, path: str, name: str) -> None:
    page = await (await visitor(house, user_id)).page(path)
    assert name in " ".join(page.split())


async def test_a_budget_of_a_refused_call_has_the_name_of_its_scope(house: House) -> None:
    page = await (await visitor(house)).page(f"why/{house.calls['refused']}")
    assert "部門A / Alice Arai · Month" in " ".join(page.split())


@pytest.mark.parametrize("path", ["calls?user=charlie", "tasks?user=charlie", "keys?user=charlie"])
async def test_an_address_does_not_tell_the_name_of_somebody_unseen(house: House, path: str) -> None:
    page = await (await visitor(house, "bob", "developer")).page(path)
    assert "Charlie Chiba" not in page


async def test_a_rule_names_its_scope_and_its_maker(house: House) -> None:
    services = house.plane.services()
    limit = RateLimit("", Scope("user", "charlie"), requests_per_minute=7)
    await services.rules.write(RuleWrite((services.rules.draft(limit, "user:alice"),)), "user:alice")
    page = " ".join((await (await visitor(house)).page("limits")).split())
    assert "Charlie Chiba Person" in page
    assert "Alice Arai" in page
