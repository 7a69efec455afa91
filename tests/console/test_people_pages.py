"""Keys, members and one's own page: what each role may do there, through the admin API and its audit."""

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from sekisho.access.audit import AuditFilter
from tests.console.house import House, furnished_house
from tests.console.visitors import visitor

pytestmark = [pytest.mark.xdist_group("house"), pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with furnished_house(tmp_path_factory.mktemp("house"), per_day=1) as furnished:
        yield furnished


async def newest_entry(house: House) -> tuple[str, str]:
    services = house.plane.services()
    (entry,) = await services.audit.list_entries(services.org_id, AuditFilter(), limit=1)
    return entry.actor, entry.action


async def test_a_lead_issues_a_key_by_a_link_and_never_sees_it(house: House) -> None:
    lead = await visitor(house, "alice", "team_lead")
    made = await lead.send("keys", "keys", alias="cline-bob-2", holder="red/bob", models="", life="90d")
    assert made.status_code == 200
    (path,) = re.findall(r'data-path="(/console/hand-over/[^"]+)"', made.text)
    assert "sk-" not in made.text
    assert await newest_entry(house) == ("user:alice", "hand_over.create")
    bob = await visitor(house, "bob", "developer")
    assert "To be handed over" in await bob.page("keys")
    opened = await bob.send(path.removeprefix("/console/"), path.removeprefix("/console/"))
    assert re.search(r"sk-[\w-]{20,}", opened.text)
    assert "cline-bob-2" in await bob.page("keys")


async def test_a_key_of_another_team_cannot_be_touched(house: House) -> None:
    lead = await visitor(house, "alice", "team_lead")
    key_id = house.keys["cc-charlie"]
    for action in ("rotate", "block", "delete"):
        sent = await lead.send("keys", f"keys/{key_id}/{action}", typed="cc-charlie", grace="0s")
        assert sent.status_code == 404, action
    sent = await lead.send("keys", "keys", alias="x", holder="blue/charlie", models="", life="90d")
    assert sent.status_code == 422


async def test_a_developer_sees_own_keys_and_changes_none(house: House) -> None:
    bob = await visitor(house, "bob", "developer")
    page = await bob.page("keys")
    assert "cline-bob" in page
    assert "cline-alice" not in page
    assert "Issue a key" not in page
    sent = await bob.send("me", f"keys/{house.keys['cline-bob']}/block", typed="cline-bob")
    assert sent.status_code == 403


async def test_a_key_is_blocked_only_with_its_name_typed_and_can_be_unblocked(house: House) -> None:
    lead = await visitor(house, "alice", "team_lead")
    key_id = house.keys["ci-alice"]
    wrong = await lead.send("keys", f"keys/{key_id}/block", typed="something")
    assert wrong.status_code == 422
    assert "That is not the name" in wrong.headers["hx-trigger"]
    assert (await lead.send("keys", f"keys/{key_id}/block", typed="ci-alice")).status_code == 204
    page = await lead.page("keys")
    assert "The key ci-alice is blocked." in page
    assert (await house.plane.services().keys.get(key_id)).blocked
    assert (await lead.send("keys", f"keys/{key_id}/unblock")).status_code == 204
    assert not (await house.plane.services().keys.get(key_id)).blocked


async def test_a_lead_shares_the_budget_and_lets_a_member_go(house: House) -> None:
    lead = await visitor(house, "alice", "team_lead")
    added = await lead.send("members", "members", team="red", user="dave")
    assert added.status_code == 204
    too_much = await lead.send("members", "members/share", team="red", user="dave", budget="", amount="5000")
    assert too_much.status_code == 422
    shared = await lead.send("members", "members/share", team="red", user="dave", budget="", amount="50")
    assert shared.status_code == 204
    assert "dave has $50 a month now." in await lead.page("members")
    assert await newest_entry(house) == ("user:alice", "budget.create")
    gone = await lead.send("members", "members/remove", team="red", user="dave", typed="dave")
    assert gone.status_code == 204
    assert "has left the team" in await lead.page("members")
    assert "dave" not in await lead.page("members")


@pytest.mark.parametrize("user_id", ["開発者A9", "dana@example.org", "a/b?c=d%20e"])
async def test_a_member_of_any_name_joins_and_leaves(house: House, user_id: str) -> None:
    lead = await visitor(house, "alice", "team_lead")
    assert (await lead.send("members", "members", team="red", user=user_id)).status_code == 204
    assert user_id in await lead.page("members")
    gone = await lead.send("members", "members/remove", team="red", user=user_id, typed=user_id)
    assert gone.status_code == 204
    assert user_id not in {one.user_id for one in await house.plane.services().teams.members("red")}


async def test_another_team_is_not_a_leads_to_change(house: House) -> None:
    lead = await visitor(house, "alice", "team_lead")
    assert (await lead.send("members", "members", team="blue", user="bob")).status_code == 404
    assert await lead.status("members?team=blue") == 404


async def test_ones_own_page_shows_own_money_only(house: House) -> None:
    alice = await visitor(house, "alice", "developer")
    page = await alice.page("me")
    assert "$600.00" in page
    assert "of the daily limit" in page
    assert "cline-alice" in page
    assert "bob" not in page
    assert "$1,000.00" not in page


@pytest.mark.parametrize("agent", ["cline", "claude", "codex", "opencode", "kilo", "continue", "aider"])
@pytest.mark.parametrize("language", ["en", "ja"])
async def test_the_set_up_of_every_agent_is_shown(house: House, agent: str, language: str) -> None:
    alice = await visitor(house, "alice", "developer", language)
    page = await alice.page(f"setup?agent={agent}")
    assert f"sekisho setup {agent} --url http://localhost" in page
    assert "YOUR_KEY" in page


async def test_a_form_without_its_token_changes_nothing(house: House) -> None:
    lead = await visitor(house, "alice", "team_lead")
    key_id = house.keys["cline-bob"]
    answer = await lead.client.post(f"/console/keys/{key_id}/block", data={"typed": "cline-bob"})
    assert answer.status_code == 403
    assert not (await house.plane.services().keys.get(key_id)).blocked
