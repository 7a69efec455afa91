"""The infrastructure team's and the auditor's pages."""

import re
import sqlite3
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from sekisho.access.audit import AuditFilter
from sekisho.access.rules import RuleFilter
from sekisho.access.sign_in_rules import GroupRule, SignInRules
from sekisho.values import RateLimit
from tests.console.house import MODELS, House, furnished_house
from tests.console.visitors import visitor

pytestmark = [pytest.mark.xdist_group("house"), pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with furnished_house(tmp_path_factory.mktemp("house"), per_day=1) as furnished:
        yield furnished


@pytest.mark.parametrize("language", ["en", "ja"])
@pytest.mark.parametrize(
    "path", ["models", "keys", "limits", "policies", "audit", "notices", "settings", "why", "live"]
)
async def test_every_place_of_the_infrastructure_team_opens(house: House, language: str, path: str) -> None:
    operator = await visitor(house, language=language)
    assert len(await operator.page(path)) > 200


@pytest.mark.parametrize("path", ["models", "limits", "policies", "settings", "rates", "overview", "live", "notices"])
async def test_none_of_it_is_there_for_a_developer(house: House, path: str) -> None:
    bob = await visitor(house, "bob", "developer")
    assert await bob.status(path) == 404
    assert await bob.status(f"{path}?format=csv") == 404


async def test_models_show_where_they_run_what_they_cost_and_the_data_terms(house: House) -> None:
    operator = await visitor(house)
    page = await operator.page("models?q=claude-sonnet-4-6")
    assert "us.anthropic.claude-sonnet-4-6" in page
    assert "United States" in page
    assert "Amazon Bedrock" in page
    assert "Processed in that Region" in page
    assert re.search(
        r"Accounts and Regions.*Amazon Bedrock\s+That of the usual credentials\s+us-east-1", page, re.DOTALL
    )
    assert "No training" in page
    rows = await operator.rows("models?format=csv")
    assert {(row["trains_models"], row["retention"]) for row in rows} == {("no", "none")}
    assert {row["processed_in"] for row in rows} == {"same_region", "profile_regions"}
    priced = {row["model"]: row["input_usd_per_million"] for row in rows}
    offered = {model.name: model.deployments[-1].price for model in house.plane.services().models()}
    for name in MODELS:
        price = offered[name]
        assert price is not None
        assert float(priced[name]) == price.base.input / 1_000_000


async def test_a_limit_and_a_policy_are_made_and_taken_away(house: House) -> None:
    operator = await visitor(house)
    made = await operator.send("limits", "limits", scope="team:red", name="slow", requests_per_minute="30")
    assert made.status_code == 204
    assert "A limit for slow is made." in await operator.page("limits")
    nothing = await operator.send("limits", "limits", scope="team:red", name="", requests_per_minute="")
    assert nothing.status_code == 422
    capped = await operator.send(
        "limits", "limits", scope="user:bob", name="", usd_per_task="$2.50", calls_per_task="80"
    )
    assert capped.status_code == 204
    (bob,) = await house.plane.services().rules.list("limit", RuleFilter("user", "bob"))
    assert isinstance(bob.rule, RateLimit)
    assert (bob.rule.nanousd_per_task, bob.rule.calls_per_task) == (2_500_000_000, 80)
    page = await operator.page("limits")
    assert re.search(r"Calls in one task\s+80", page) and re.search(r"Dollars for one task\s+\$2\.50", page)
    unclear = await operator.send("limits", "limits", scope="user:bob", name="", usd_per_task="much")
    assert unclear.status_code == 422 and "An amount is a number" in unclear.headers["hx-trigger"]
    odd = await operator.send("policies", "policies", scope="org:default", name="x", providers="acme")
    assert odd.status_code == 422
    made = await operator.send("policies", "policies", scope="org:default", name="only", providers="bedrock")
    assert made.status_code == 204
    services = house.plane.services()
    (policy,) = await services.rules.list("policy")
    assert (await operator.send("policies", f"policies/{policy.rule.id}/delete")).status_code == 204
    assert await services.rules.list("policy") == []


async def test_rules_for_groups_are_made_and_taken_away_where_sign_in_is_set(house: House) -> None:
    operator, place = await visitor(house), "settings/sign-in"
    services = house.plane.services()
    lead = {"group": "g-red-leads <b>", "role": "team_lead", "team_id": "red"}
    for rule in (lead, {"group": "g-cost", "role": "cost_manager", "team_id": ""}, lead):
        assert (await operator.send(place, f"{place}/groups", **rule)).status_code == 204
    rules = await services.sign_in.rules.get()
    assert rules.groups == (GroupRule("g-cost", "cost_manager"), GroupRule("g-red-leads <b>", "team_lead", "red"))
    page = await operator.page(place)
    assert re.search(r"g-red-leads <b>\s+Team lead\s+部門A", page)
    assert re.search(r"g-cost\s+Cost manager\s+Whole organisation", page)
    for wrong in ({**lead, "team_id": "nowhere"}, {**lead, "group": ""}, {**lead, "role": "king"}):
        assert (await operator.send(place, f"{place}/groups", **wrong)).status_code == 422
    assert (await operator.send(place, f"{place}/groups/delete", **lead)).status_code == 204
    changed = {"unmapped": "developer", "allows_passwords": "yes", "requires_totp": "no", "returning": "restored"}
    assert (await operator.send(place, f"{place}/rules", **changed)).status_code == 204
    rules = await services.sign_in.rules.get()
    assert rules == SignInRules((GroupRule("g-cost", "cost_manager"),), "developer", returning="restored")
    (newest, *_) = await services.audit.list_entries(services.org_id, AuditFilter(), limit=1)
    assert newest.actor == "operator"
    manager = await visitor(house, "mallory")
    assert await manager.status(place) == 404
    assert (await manager.send("budgets", f"{place}/groups", **lead)).status_code == 404


async def test_an_auditor_reads_and_changes_nothing(house: House) -> None:
    erin = await visitor(house, "erin")
    decisions = await erin.html("decisions")
    assert house.calls["refused"] in decisions
    assert house.calls["of cline-bob"] not in decisions
    for path in ("decisions", "audit", "keys", "limits", "policies", "calls?status=refused"):
        text = await erin.html(path)
        assert "<dialog" not in text, path
    sent = await erin.send("audit", "limits", scope="team:red", name="", requests_per_minute="1")
    assert sent.status_code == 403


async def test_the_audit_log_filters_pages_and_exports_the_same(house: House) -> None:
    operator = await visitor(house)
    rows = await operator.rows("audit?kind=budget&format=csv")
    assert {row["kind"] for row in rows} == {"budget"}
    text = await operator.html("audit?kind=budget")
    assert text.count("<time ") == min(len(rows), 50)


async def test_a_whole_log_is_proven_and_an_altered_row_is_named(house: House) -> None:
    operator = await visitor(house)
    proof = await operator.send("audit", "audit/verify")
    assert "are as they were written" in proof.text
    with sqlite3.connect(house.home / "sekisho.db") as connection:
        triggers = "SELECT name FROM sqlite_master WHERE type='trigger' AND tbl_name='audit_entry'"
        for (name,) in connection.execute(triggers).fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("UPDATE audit_entry SET actor='nobody' WHERE sequence=5")
    proof = await operator.send("audit", "audit/verify")
    assert "Entry 5 was altered." in proof.text


async def test_a_rate_puts_yen_beside_the_dollars(house: House) -> None:
    manager = await visitor(house, "mallory")
    assert (await manager.send("rates", "rates", day="2026-11-19", rate="156.20")).status_code == 204
    assert (await manager.send("rates", "rates", day="2026-11-20", rate="viel")).status_code == 422
    page = await manager.page("overview")
    assert "1 USD = 156.20 JPY (own rate of 19 Nov 2026)" in page
    assert "¥" in page
    sent = await manager.send("rates", "rates", low="300", high="900", names="yes")
    assert sent.status_code == 204
    assert "Band $300–$900" in await manager.page("overview")
