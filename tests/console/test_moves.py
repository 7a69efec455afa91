"""What open pages hear of calls booked since: exactly the ledger's figures, and only what their reader may see."""

import re
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from tests.console.house import DOLLAR, House, furnished_house
from tests.console.visitors import Visitor, visitor

pytestmark = [pytest.mark.xdist_group("house"), pytest.mark.asyncio(loop_scope="module")]
COST = 1_234_567_891


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with furnished_house(tmp_path_factory.mktemp("house"), per_day=1) as furnished:
        yield furnished


async def drawn(reader: Visitor, path: str) -> tuple[str, dict[str, int]]:
    """A page's address for what moves, and what each row has spent, by name."""
    html = await reader.html(path)
    found = re.search(r'data-moves="/console/([^"]+)" data-after="(\d+)"', html)
    assert found
    mark = "" if found[1].endswith("?") else "&"
    return f"{found[1]}{mark}after={found[2]}", spent_in(html)


async def moved(reader: Visitor, address: str) -> dict[str, Any]:
    """What the page hears there."""
    answer = await reader.client.get(f"/console/{address}")
    return msgspec.json.decode(answer.content) if answer.status_code == 200 else {"status": answer.status_code}


def spent_in(html: str) -> dict[str, int]:
    return {name: int(spent) for name, spent in re.findall(r'data-row="([^"]+)" data-nanousd="(\d+)"', html)}


def rest(house: House) -> None:
    """Let pass the time in which what moved is not read again."""
    house.clock.advance(2)


async def test_a_booked_call_moves_its_key_its_person_its_team_and_the_whole_by_its_cost(house: House) -> None:
    manager = await visitor(house, "mallory")
    address, before = await drawn(manager, "overview")
    assert await moved(manager, address) == {"status": 204}
    await house.call("cline-alice", COST)
    heard = await moved(manager, address)
    gains = {name: spent - before[name] for name, spent in spent_in(heard["rows"]).items()}
    key = house.keys["cline-alice"]
    assert gains == dict.fromkeys(("org:default", "team:red", "member:red/alice", f"key:red/alice/{key}"), COST)
    rest(house)
    assert (await moved(manager, re.sub(r"\d+$", str(heard["after"]), address))) == {"status": 204}
    fresh = spent_in(await manager.html("overview"))
    assert {name: fresh[name] for name in gains} == spent_in(heard["rows"])


async def test_what_the_page_heard_is_what_the_export_says_to_the_last_digit(house: House) -> None:
    manager = await visitor(house, "mallory")
    address, _ = await drawn(manager, "budgets")
    await house.call("cc-charlie", COST)
    rest(house)
    heard = await moved(manager, address)
    exported = {f"{row['scope']}:{row['id']}": row["spent_usd"] for row in await manager.rows("budgets?format=csv")}
    rows = {name: spent for name, spent in spent_in(heard["rows"]).items() if not name.startswith("key:")}
    assert {*rows} == {"org:default", "team:blue", "member:blue/charlie"}
    assert {name: Decimal(exported[name]) for name in rows} == {n: Decimal(s).scaleb(-9) for n, s in rows.items()}
    assert len(heard["budgets"]) == 3  # of the month: of the organisation, the team, the member


async def test_a_call_under_way_moves_what_is_reserved(house: House) -> None:
    manager = await visitor(house, "mallory")
    address, _ = await drawn(manager, "overview")
    await house.begin("cc-charlie", 7 * DOLLAR)
    rest(house)
    heard = await moved(manager, address)
    key = house.keys["cc-charlie"]
    assert {*spent_in(heard["rows"])} == {"org:default", "team:blue", "member:blue/charlie", f"key:blue/charlie/{key}"}
    assert ">$7.00<" in heard["rows"] and ">$7.41<" in heard["rows"]  # the organisation has another one under way
    assert "$7.41" in heard["band"]


async def test_a_key_that_had_spent_nothing_makes_the_page_read_itself_again(house: House) -> None:
    manager = await visitor(house, "mallory")
    key_id = await house.key("cc-bob", "bob", "red")
    address, before = await drawn(manager, "overview")
    await house.call("cc-bob", COST)
    rest(house)
    assert (await moved(manager, address))["whole"] is True
    _, after = await drawn(manager, "overview")
    assert {*after} - {*before} == {f"key:red/bob/{key_id}"}


async def test_a_lead_hears_nothing_of_another_team(house: House) -> None:
    lead = await visitor(house, "alice", "team_lead")
    address, _ = await drawn(lead, "team")
    await house.call("cc-charlie", COST)
    rest(house)
    heard = await moved(lead, address)
    assert {*heard} == {"after", "whole"} and heard["whole"] is False
    await house.call("cline-bob", COST)
    rest(house)
    assert "charlie" not in str(await moved(lead, address))
    assert await lead.status("budgets/moves?team=blue") == 404
    assert await (await visitor(house, "bob", "developer")).status("budgets/moves") == 404


async def test_a_month_that_is_over_asks_for_nothing(house: House) -> None:
    manager = await visitor(house, "mallory")
    assert "data-moves" not in await manager.html("overview?month=2026-10")


async def test_after_a_restart_an_open_page_reads_itself_again(tmp_path: Path) -> None:
    async with furnished_house(tmp_path, per_day=1) as house:
        manager = await visitor(house, "mallory")
        await house.call("cline-bob", COST)
        heard = await moved(manager, "budgets/moves?after=1")  # nobody has drawn a page here
        assert heard["whole"] is True and "rows" not in heard
