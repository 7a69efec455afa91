"""The pages about money: what they say equals the ledger and their own export; who sees which part."""

import json
import re
from collections import defaultdict
from collections.abc import AsyncIterator
from decimal import Decimal
from html import unescape
from pathlib import Path
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio

from sekisho.access.audit import AuditFilter
from sekisho.web.console.language import Words
from tests.console.house import House, furnished_house
from tests.console.visitors import dollars, to_the_cent, visitor

pytestmark = [pytest.mark.xdist_group("house"), pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with furnished_house(tmp_path_factory.mktemp("house"), per_day=3) as furnished:
        yield furnished


async def test_the_overview_equals_its_export_and_the_ledger(house: House) -> None:
    manager = await visitor(house, "mallory")
    page = await manager.page("overview")
    rows = await manager.rows("overview?format=csv")
    org = next(row for row in rows if row["scope"] == "org")
    assert dollars(page.partition("Spent")[2]) == to_the_cent(Decimal(org["spent_usd"]))
    teams = sum(Decimal(row["spent_usd"]) for row in rows if row["scope"] == "team")
    people = sum(Decimal(row["spent_usd"]) for row in rows if row["scope"] == "member")
    keys = sum(Decimal(row["spent_usd"]) for row in rows if row["scope"] == "key")
    assert teams == people == keys == Decimal(org["spent_usd"])
    assert Decimal(org["reserved_usd"]) == Decimal("0.41")
    assert Decimal(org["room_usd"]) == Decimal(1600) - Decimal(org["spent_usd"]) - Decimal("0.41")


async def test_of_a_large_tree_only_the_teams_are_drawn_and_each_opens(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = await visitor(house, "mallory")
    assert "bob" in await manager.page("overview")
    monkeypatch.setattr("sekisho.web.console.overview._MOST_NODES", 5)
    html = await manager.html("overview")
    assert "cline-bob" not in html and '<td><span class="nm l2"' not in html
    assert 'href="/console/overview?team=red"' in html
    opened = await manager.page("overview?team=red")
    assert "bob" in opened and "charlie" not in opened
    assert await manager.status("overview?team=nowhere") == 200


async def test_every_slice_adds_up_to_the_same_total(house: House) -> None:
    manager = await visitor(house, "mallory")
    totals = set()
    for by in ("team", "user", "key", "model", "agent", "mode", "repository"):
        address = f"breakdown?by={by}&period=week&since=2026-10-01&until=2026-11-20"
        rows = await manager.rows(f"{address}&format=csv")
        totals.add(sum(Decimal(row["cost_usd"]) for row in rows))
        shown = (await manager.page(address)).partition("Total ")[2]
        assert dollars(shown) == to_the_cent(sum((Decimal(row["cost_usd"]) for row in rows), Decimal()))
    assert totals == {Decimal(house.total_nanousd).scaleb(-9)}


async def test_the_calls_behind_a_slice_cost_what_the_slice_says(house: House) -> None:
    manager = await visitor(house, "mallory")
    for name, value in (
        *(("model", "nova-pro"), ("agent", "claude-code"), ("team", "blue"), ("tag", "pay")),
        *(("mode", "plan"), ("mode", ""), ("repository", "payments"), ("repository", "")),
    ):
        span = "since=2026-11-01&until=2026-11-20"
        slices = await manager.rows(f"breakdown?by={name}&period=month&{span}&format=csv")
        calls = await manager.rows(f"calls?{name}={value or '-'}&{span}&format=csv")
        wanted = sum(Decimal(row["cost_usd"]) for row in slices if row["value"] == value)
        assert sum(Decimal(row["cost_usd"] or 0) for row in calls) == wanted > 0, name


async def test_a_slice_has_the_tokens_of_its_rows(house: House) -> None:
    manager = await visitor(house, "mallory")
    address = "breakdown?by=model&period=day&since=2026-11-01&until=2026-11-20"
    rows = [row for row in await manager.rows(f"{address}&format=csv") if row["value"] == "nova-pro"]
    page = await manager.page(address)
    for name in ("input_tokens", "cache_read_tokens", "output_tokens"):
        assert Words("en", ZoneInfo("UTC")).tokens(sum(int(row[name]) for row in rows)) in page, name


@pytest.mark.parametrize("by", ["team", "user", "key", "tag", "model", "agent", "mode", "repository"])
@pytest.mark.parametrize("period", ["day", "week", "month"])  # none of them begins on this Thursday
async def test_the_chart_shows_what_the_export_says(house: House, monkeypatch: pytest.MonkeyPatch, by, period) -> None:
    manager = await visitor(house, "mallory")
    address = f"breakdown?by={by}&period={period}&since=2026-10-15&until=2026-11-20"
    sums: dict[str, dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for row in await manager.rows(f"{address}&format=csv"):
        sums[row["value"]][row["period"]] += Decimal(row["cost_usd"])
    dearest, *others = sorted(sums, key=lambda value: (-sum(sums[value].values()), value))
    for most_series in (1, len(sums)):
        monkeypatch.setattr("sekisho.web.console.breakdown.MOST_SERIES", most_series)
        chart = json.loads(unescape(re.findall(r"data-chart='([^']*)'", await manager.html(address))[0]))
        drawn = [dict(zip(chart["dates"], one["values"], strict=True)) for one in chart["series"]]
        rest = {day: sum((sums[one][day] for one in others), Decimal()) for day in chart["dates"]}
        wanted: list[dict[str, Decimal]] = [sums[dearest], rest]
        if most_series > 1:
            wanted = [sums[one] for one in (dearest, *others)]
        assert len(drawn) == len([one for one in wanted if any(one.values())])
        for values, expected in zip(drawn, wanted, strict=False):
            assert {day: round(value, 9) for day, value in values.items() if value} == {
                day: round(float(value), 9) for day, value in expected.items() if value
            }


async def test_of_many_slices_the_cheapest_are_one_row(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    manager = await visitor(house, "mallory")
    address = "breakdown?by=key&period=month&since=2026-11-01&until=2026-11-20"
    costs: dict[str, Decimal] = defaultdict(Decimal)
    for row in await manager.rows(f"{address}&format=csv"):
        costs[row["value"]] += Decimal(row["cost_usd"])
    monkeypatch.setattr("sekisho.web.console.breakdown.MOST_SLICES", 1)
    page = await manager.page(address)
    rest = to_the_cent(sum(sorted(costs.values())[:-1], Decimal()))
    assert re.search(rf"Others \({len(costs) - 1}\).*\${rest:,}", page, re.DOTALL)


async def test_a_slice_within_a_slice_leads_to_its_calls_and_tasks(house: House) -> None:
    manager = await visitor(house, "mallory")
    address = "breakdown?by=mode&repository=payments&user=alice&since=2026-11-01&until=2026-11-20"
    slices = await manager.rows(f"{address}&format=csv")
    html = unescape(await manager.html(address))
    for value in ("plan", "act"):
        wanted = sum(Decimal(row["cost_usd"]) for row in slices if row["value"] == value)
        narrowed = {"since": "2026-11-01", "until": "2026-11-20", "user": "alice", "repository": "payments"}
        query = urlencode(narrowed | {"mode": value})
        assert f'href="/console/calls?{query}"' in html
        calls = await manager.rows(f"calls?{query}&format=csv")
        assert sum(Decimal(row["cost_usd"] or 0) for row in calls) == wanted > 0
        assert {(row["mode"], row["repository"], row["user_id"]) for row in calls} == {(value, "payments", "alice")}
        assert f'href="/console/tasks?{query}"' in html
        tasks = await manager.rows(f"tasks?{query}&format=csv")
        assert tasks
        assert {(row["repository"], row["user_id"]) for row in tasks} == {("payments", "alice")}


async def test_pages_of_calls_meet_without_a_gap_or_a_double(house: House) -> None:
    manager = await visitor(house, "mallory")
    rows = await manager.rows("calls?user=alice&format=csv")
    every = {row["call_id"] for row in rows}
    assert {row["tools"] for row in rows} == {"", "execute_command:1 read_file:3"}  # none where it was refused
    seen: list[str] = []
    address = "calls?user=alice"
    while address:
        text = await manager.html(address)
        seen += [part.partition('"')[0] for part in text.split('<tr data-id="')[1:]]
        older = text.partition('rel="next"')[0].rpartition('href="/console/')[2].partition('"')[0]
        address = older.replace("&amp;", "&") if 'rel="next"' in text else ""
    assert len(seen) == len(set(seen)) > 50
    assert set(seen) == every


async def test_a_lead_sees_the_own_team_and_nothing_of_another(house: House) -> None:
    lead = await visitor(house, "alice", "team_lead")
    for path in ("team", "budgets", "breakdown?by=user", "calls"):
        page = await lead.page(path)
        assert "charlie" not in page
        assert "部門B" not in page
    for path in ("team?team=blue", "breakdown?team=blue", "calls?team=blue"):
        assert await lead.status(path) == 404
    for path in ("team?format=csv", "calls?format=csv", "breakdown?by=key&format=csv", "calls?user=charlie&format=csv"):
        assert all("charlie" not in str(row.values()) for row in await lead.rows(path))
    assert await lead.status(f"calls/{house.calls['of cc-charlie']}") == 404
    assert await lead.status(f"calls/{house.calls['of cline-bob']}") == 200


async def test_the_live_list_can_be_narrowed_to_all_there_is_however_long_ago_it_called(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sekisho.app.console._RECENT", 1)
    operator = await visitor(house)
    await house.plane.services().teams.create("operator", team_id="green", alias="部門C")  # it has never called
    html = await operator.html("live")
    for name, values in {
        "team": {"red", "blue", "green"},
        "agent": {"cline", "claude-code", "codex"},
        "model": {"claude-sonnet-4-6", "claude-haiku-4-5", "nova-pro"},
        "key": {house.keys[alias] for alias in ("cline-alice", "ci-alice", "cline-bob", "cc-charlie")},
    }.items():
        assert {*re.findall(rf'href="/console/live\?{name}=([^"&]+)"', html)} == values, name
    narrowed = await operator.html("live?team=blue")
    rows = narrowed.partition("<tbody>")[2]
    assert "charlie" in rows and "alice" not in rows and "bob" not in rows
    assert "<b>Team</b> <bdi>部門B</bdi>" in narrowed
    changes = (await operator.client.get("/console/calls/changes?after=0&team=green")).json()
    assert changes["rows"] and all(row["html"] is None for row in changes["rows"])


@pytest.mark.parametrize("path", ["overview", "live", "calls/changes"])
async def test_a_place_of_another_role_is_not_there(house: House, path: str) -> None:
    lead = await visitor(house, "alice", "team_lead")
    assert await lead.status(path) == 404
    pretender = await visitor(house, "bob", "platform_admin")
    assert await pretender.status(path) == 404


async def test_a_budget_is_changed_through_the_admin_api_and_the_change_is_audited(house: House) -> None:
    manager = await visitor(house, "mallory")
    services = house.plane.services()
    (stored,) = [
        one
        for one in await services.rules.list("budget")
        if one.rule.scope.id == "blue"
    ]  # fmt: skip
    sent = await manager.send("budgets", f"budgets/{stored.rule.id}", **{f"amount-{stored.rule.id}": "$525.50"})
    assert (sent.status_code, sent.headers["hx-redirect"]) == (204, "/console/budgets")
    assert "The budget went from $500.00 to $525.50." in await manager.page("budgets")
    assert "went from" not in await manager.page("budgets")
    (newest, *_) = await services.audit.list_entries(services.org_id, AuditFilter(), limit=1)
    assert (newest.actor, newest.kind, newest.id) == ("user:mallory", "budget", stored.rule.id)


async def test_what_is_not_accepted_comes_back_in_the_readers_language(house: House) -> None:
    manager = await visitor(house, "mallory", language="ja")
    sent = await manager.send("budgets", "budgets", scope="team:red", amount="viel", window="month", kind="hard")
    assert sent.status_code == 422
    assert "金額は" in sent.headers["hx-trigger"].encode().decode("unicode_escape")


async def test_a_lead_gives_no_member_more_than_the_team_has(house: House) -> None:
    lead = await visitor(house, "alice", "team_lead")
    sent = await lead.send("budgets", "budgets", scope="member:red/bob", amount="5000", window="month", kind="hard")
    assert sent.status_code == 422
    assert "more than the team's own budget" in sent.headers["hx-trigger"]
    sent = await lead.send("budgets", "budgets", scope="team:blue", amount="1", window="month", kind="hard")
    assert sent.status_code == 422


async def test_an_empty_month_says_what_to_do(tmp_path: Path) -> None:
    async with furnished_house(tmp_path, is_empty=True) as house:
        manager = await visitor(house, "mallory")
        assert "Nothing was spent in this month yet" in await manager.page("overview")
        assert "Nothing was spent under these conditions" in await manager.page("breakdown")
        assert "There is no budget yet" in await manager.page("budgets")
