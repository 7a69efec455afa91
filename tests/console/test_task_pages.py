"""The task pages over a month that was really called: conversation, figures, who may see what, and what is hidden."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from zoneinfo import ZoneInfo

import msgspec
import pytest
import pytest_asyncio

from sekisho.access.audit import AuditFilter
from sekisho.access.declaration.difference import Options
from sekisho.access.declaration.reading import read_declaration
from sekisho.access.distribution import read_snapshot
from sekisho.access.organisation import TeamChange
from sekisho.app.demo.organisation import DEVELOPERS, document
from sekisho.app.demo.play import Play
from sekisho.clock import id_text
from sekisho.record.cache import CacheFilter
from sekisho.settings import Settings
from sekisho.values import ContentLevel
from sekisho.web.console.language import Words
from tests.console.house import House, furnished_house
from tests.console.visitors import visitor

pytestmark = [pytest.mark.xdist_group("tasks"), pytest.mark.asyncio(loop_scope="module")]


@dataclass
class Played:
    """A house in which the demonstration was played. `tasks`: of the export, the dearest first."""

    house: House
    tasks: list[dict[str, str]]
    calls: int

    def task(self, agent: str, user: str = "") -> dict[str, str]:
        """The dearest task of an agent."""
        return next(one for one in self.tasks if one["agent"] == agent and one["user_id"] == (user or one["user_id"]))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def played(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Played]:
    home = tmp_path_factory.mktemp("played")
    async with furnished_house(home, is_empty=True) as house:
        plane = house.plane
        declared = plane.services().declarations
        await declared.apply(read_declaration(document("en", with_budgets=False), "UTC"), Options(), "operator")
        for team in ("demo-a", "demo-b", "demo-infra"):
            level: ContentLevel = "none" if team == "demo-b" else "full"
            await plane.services().teams.update(team, TeamChange(content_level=level), "operator")
        snapshot = read_snapshot(home / "snapshot")
        assert snapshot is not None
        calls = await Play(Settings(home=home), snapshot, "en", seed=5, scale=0.1).run()
        while await plane.drain_once():
            pass
        await plane.content.take_rest()
        rows = await (await visitor(house)).rows("tasks?sort=cost&format=csv")
        yield Played(house, rows, calls)


async def test_the_list_and_its_export_hold_every_call_once(played: Played) -> None:
    assert sum(int(row["calls"]) + int(row["refused"]) for row in played.tasks) == played.calls
    costs = [int(row["cost_nanousd"]) for row in played.tasks]
    assert costs == sorted(costs, reverse=True)
    manager = await visitor(played.house, "demo-cost")
    assert len(re.findall(r'href="/console/tasks/[0-9a-z]{26}"', await manager.html("tasks"))) == min(50, len(costs))


async def test_a_task_reads_as_a_conversation_with_its_cost(played: Played) -> None:
    task = played.task("claude-code")
    page = await (await visitor(played.house)).page(f"tasks/{task['task_id']}")
    shown = Decimal(int(task["cost_nanousd"])).scaleb(-9)
    assert f"${shown:.4f}"[:-1] in page
    for words in (
        "I will read the files first.",
        "Running the tests.",
        "(issue #",
        "Read",
        "Bash",
        "pytest -q",
        "passed",
    ):
        assert words in page, words
    assert page.count("<env>") <= 1
    html = await (await visitor(played.house)).html(f"tasks/{task['task_id']}")
    assert len(re.findall(r'<article class="turn(?: brk)?" id="c-', html)) == int(task["calls"]) + int(task["refused"])
    assert 'class="diff"' in html and "style=" not in html.partition("<main")[2]


async def test_where_a_cache_broke_the_page_says_what_changed_why_and_the_loss(played: Played) -> None:
    boss, services = await visitor(played.house), played.house.plane.services()
    every = await services.cache.breaks("default", limit=1000, where=CacheFilter())
    broke = next(one for one in every if one.cause == "tools_changed")
    cached = await services.cache.of_task("default", broke.task_id)
    html, page = [
        await read(f"tasks/{id_text(broke.task_id)}") for read in (boss.html, boss.page)
    ]  # fmt: skip
    turn = html.partition(f'<article class="turn brk" id="c-{id_text(broke.call_id)}"')[2].partition("</article>")[0]
    assert "First to change: the tool list." in turn and "editor" in turn
    assert "Add and remove tools or MCP servers between tasks" in turn
    assert f"{broke.lost_tokens:,} tokens" in turn and f"/console/why/{id_text(broke.before)}" in turn
    lost = Words("en", ZoneInfo("UTC")).call_cost(cached[0].lost_nanousd)
    saved = Words("en", ZoneInfo("UTC")).call_cost(cached[0].saved_nanousd)
    assert f"{saved} saved · {lost} lost to breaks" in page
    assert html.count('class="f-carewash"') >= 1


async def test_an_agent_that_caches_nothing_is_told_of_once(played: Played) -> None:
    boss = await visitor(played.house)
    task = next(row for row in played.tasks if row["user_id"] == "demo-a3" and int(row["calls"]) > 5)
    page = await boss.page(f"tasks/{task['task_id']}")
    assert page.count("Nothing was cached.") == 1
    assert page.count("Not cached +") > 3


async def test_a_plan_is_drawn_and_its_source_is_behind_it(played: Played) -> None:
    boss = await visitor(played.house)
    pages = [await boss.html(f"tasks/{row['task_id']}") for row in played.tasks[:25] if row["team_id"] != "demo-b"]
    planned = next(html for html in pages if "planbox" in html)
    assert re.search(r'<svg class="chart pl".*?Read.*?</svg>', planned, re.DOTALL)
    assert "flowchart LR" in planned and 'class="tag plan"' in planned


async def test_where_nothing_is_kept_figures_stand_without_words(played: Played) -> None:
    task = next(row for row in played.tasks if row["team_id"] == "demo-b")
    page = await (await visitor(played.house)).page(f"tasks/{task['task_id']}")
    assert "The conversation cannot be shown" in page and "I will read the files first." not in page


async def test_the_list_calls_tasks_by_the_words_that_its_reader_may_read(played: Played) -> None:
    of_a, of_b = (next(row for row in played.tasks if row["team_id"] == team) for team in ("demo-a", "demo-b"))
    boss, services = await visitor(played.house), played.house.plane.services()
    before = len(await services.audit.list_entries("default", AuditFilter(action="content.read"), limit=500))
    html = await boss.html(f"tasks?user={of_a['user_id']}")
    entries = await services.audit.list_entries("default", AuditFilter(action="content.read"), limit=500)
    assert len(entries) == before + 1
    assert (entries[0].kind, entries[0].after) == ("task_titles", f'{{"user_ids":["{of_a["user_id"]}"]}}')
    row = html.partition(f'href="/console/tasks/{of_a["task_id"]}"')[2].partition("</tr>")[0]
    assert re.search(r'<bdi lang="">[A-Z][^<]*\(issue #\d+\)</bdi>', row)
    assert "(issue #" not in await boss.page(f"tasks?user={of_b['user_id']}")  # nothing is kept of team B
    lead = await visitor(played.house, "demo-lead-a", "team_lead")
    page = await lead.page("tasks")
    assert of_a["repository"] in page and "(issue #" not in page
    owner = await visitor(played.house, of_a["user_id"], "developer")
    assert "(issue #" in await owner.page("tasks")
    assert (
        len(await services.audit.list_entries("default", AuditFilter(action="content.read"), limit=500)) == before + 1
    )


async def test_own_page_and_team_page_call_tasks_by_the_words_that_their_reader_may_read(
    played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_a = next(row for row in played.tasks if row["team_id"] == "demo-a")
    owner = await visitor(played.house, of_a["user_id"], "developer")
    titled = re.compile(r'<a href="/console/tasks/\w+"><bdi lang="">[A-Z][^<]*\(issue #\d+\)</bdi>')
    assert titled.search(await owner.html("me"))
    lead = await visitor(played.house, "demo-lead-a", "team_lead")
    page = await lead.page("team")
    assert of_a["repository"] in page and "(issue #" not in page
    content, services = played.house.plane.content, played.house.plane.services()
    monkeypatch.setattr(content, "settings", msgspec.structs.replace(content.settings, leads_may_read=True))
    before = len(await services.audit.list_entries("default", AuditFilter(action="content.read"), limit=500))
    assert titled.search(await lead.html("team"))
    again = await lead.client.get("/console/team", headers={"x-sekisho-again": "1"})  # nobody reads titles anew
    assert "data-month-band" in again.text and "(issue #" not in again.text
    entries = await services.audit.list_entries("default", AuditFilter(action="content.read"), limit=500)
    assert (len(entries), entries[0].kind) == (before + 1, "task_titles")


async def test_each_sees_the_tasks_that_are_theirs(played: Played) -> None:
    of_a, of_b = (next(row for row in played.tasks if row["team_id"] == team) for team in ("demo-a", "demo-b"))
    lead = await visitor(played.house, "demo-lead-a", "team_lead")
    assert await lead.status(f"tasks/{of_a['task_id']}") == 200
    for path in (f"tasks/{of_b['task_id']}", f"tasks/{of_b['task_id']}/more?from=0", "tasks/" + "0" * 26, "tasks/x"):
        assert await lead.status(path) == 404, path
    assert {row["team_id"] for row in await lead.rows("tasks?format=csv")} == {"demo-a"}
    assert "I will read the files first." not in await lead.page(f"tasks/{of_a['task_id']}")  # a lead reads no content
    owner = await visitor(played.house, of_a["user_id"], "developer")
    assert {row["user_id"] for row in await owner.rows("tasks?format=csv")} == {of_a["user_id"]}
    assert "I will read the files first." in await owner.page(f"tasks/{of_a['task_id']}")


async def test_filters_narrow_the_list_and_stay_in_the_address(played: Played) -> None:
    boss = await visitor(played.house)
    one = DEVELOPERS[2].user_id
    rows = await boss.rows(f"tasks?user={one}&format=csv")
    assert {row["user_id"] for row in rows} == {one} and 0 < len(rows) < len(played.tasks)
    assert 'href="/console/tasks?sort=cost"' in await boss.html(f"tasks?user={one}&sort=cost")
    assert "No task fits these filters." in await boss.page("tasks?user=nobody-at-all")
    assert await boss.status("tasks?after=nonsense") == 404


async def test_japanese_is_complete(played: Played) -> None:
    boss = await visitor(played.house, language="ja")
    assert "人の発言" in await boss.page("tasks")
    page = await boss.page(f"tasks/{played.tasks[0]['task_id']}")
    assert "キャッシュから読んだ入力" in page and "Input read from cache" not in page
