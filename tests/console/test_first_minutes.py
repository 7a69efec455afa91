"""The first ten minutes of somebody who reads Japanese, from `sekisho serve` to an altered audit log.

One real server, one real browser; where a person would click, the browser does. An HTTP client says what Cline said.
"""

import csv
import io
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, expect

from sekisho.cli.operator import ask
from tests.acceptance.processes import Served, served, wait_for
from tests.console.visitors import to_the_cent

pytestmark = [pytest.mark.xdist_group("browser"), pytest.mark.asyncio(loop_scope="session")]
expect.set_options(timeout=30_000)  # for a machine that has much else to do
ASKED = "The function add in calc.py subtracts instead of adding. Fix it by editing calc.py, then stop."
SYSTEM = "You are Cline, an AI coding agent. Your primary goal is to help.\n" + "Read before you write. " * 900
RESULTS = ("1 | def add(a, b):\n2 |     return a - b", "Edited calc.py")


def tool(name: str, **properties: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": properties}}}


TEXT = {"type": "string"}
FILES = {"type": "array", "items": {"type": "object", "properties": {"path": TEXT}}}
TOOLS = [tool("read_files", files=FILES), tool("editor", path=TEXT, old_text=TEXT, new_text=TEXT)]
KEY = re.compile(r"sk-[A-Za-z0-9_-]{40,}")
LINK = re.compile(r"/console/enter\?code=\S+")
JAPANESE = {"SEKISHO_LANG": "", "LANG": "ja_JP.UTF-8"}


@dataclass
class Newcomer:
    """A person with a terminal, an agent and a browser."""

    server: Served
    browser: Browser
    key: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return sekisho(self.server.home, *words)

    async def enter(self, link: str) -> Page:
        """Open a one-time link in a new browser and go in."""
        context = await self.browser.new_context(locale="ja-JP", timezone_id="Asia/Tokyo")
        context.set_default_timeout(30_000)
        page = await context.new_page()
        await page.goto(self.url + link)
        async with page.expect_navigation():
            await page.get_by_role("button", name="入る").click()
        return page

    async def say(self, key: str, history: list[Any]) -> httpx.Response:
        """One call as Cline makes it."""
        messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": ASKED}, *history]
        body = {"model": "claude-sonnet-5-5", "max_tokens": 8192, "tools": TOOLS, "messages": messages}
        headers = {"authorization": f"Bearer {key}", "user-agent": "Cline/3.90.0", "accept-language": "ja"}
        async with httpx.AsyncClient(timeout=30) as client:
            return await client.post(f"{self.url}/v1/chat/completions", json=body, headers=headers)

    async def work(self, key: str) -> list[httpx.Response]:
        """A whole task: Cline asks, uses the tools that it is told to use, and says what they gave."""
        history: list[Any] = []
        answers = [await self.say(key, history)]
        for result in RESULTS:
            message = answers[-1].json()["choices"][0]["message"]
            used = [{"role": "tool", "tool_call_id": one["id"], "content": result} for one in message["tool_calls"]]
            history = [*history, message, *used]
            answers.append(await self.say(key, history))
        return answers


def sekisho(home: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run a command as a newcomer does."""
    program = str(Path(sys.executable).with_name("sekisho"))
    env = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SEKISHO_"))}
    env |= JAPANESE | {"HOME": str(home.parent), "SEKISHO_HOME": str(home)}
    return subprocess.run([program, *words], capture_output=True, text=True, env=env, check=False)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("newcomer") / "sekisho", **JAPANESE) as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def newcomer(server: Served, browser: Browser) -> AsyncIterator[Newcomer]:
    made = sekisho(server.home, "demo", "--yes", "--scale", "0.02")
    found = KEY.search(made.stdout)
    assert found
    assert f"sekisho setup cline --url http://127.0.0.1:{server.port}" in made.stdout, made
    assert f"sekisho user invite demo-lead-a --home {server.home}" in made.stdout
    yield Newcomer(server, browser, found[0])
    for context in browser.contexts:
        await context.close()


async def rows(context: BrowserContext, address: str) -> list[dict[str, str]]:
    answer = await context.request.get(address)
    return list(csv.DictReader(io.StringIO(await answer.text())))


async def spent(page: Page, newcomer: Newcomer, **where: str) -> Decimal:
    """What the budget tree's export says of a scope."""
    found = await rows(page.context, f"{newcomer.url}/console/budgets?format=csv")
    (row,) = [row for row in found if where.items() <= row.items()]
    return Decimal(row["spent_usd"])


async def as_role(page: Page, role: str) -> None:
    await page.locator(".who > summary").click()
    async with page.expect_navigation():
        await page.locator(f'.roles button[value="{role}"]').click()


async def test_ten_minutes(newcomer: Newcomer, server: Served) -> None:
    page = await newcomer.enter(server.link)
    await expect(page.get_by_role("heading", name="ライブ", exact=True)).to_be_visible()
    await as_role(page, "cost_manager")
    before = await spent(page, newcomer, scope="team", name="部門A")
    await as_role(page, "platform_admin")
    another = LINK.search(newcomer.run("console").stdout)
    assert another
    overview = await newcomer.enter(another[0])  # beside it, open all the time
    await as_role(overview, "cost_manager")
    band = overview.locator("[data-month-band]")
    await expect(band).to_contain_text("残り")
    await expect(band).not_to_contain_text("—")  # spent, reserved, room, forecast, saved: all are there
    team = overview.locator('tr[data-row="team:demo-a"]')
    shown = int(await team.get_attribute("data-nanousd") or "")

    # the call appears by itself, and the department's bar moves by its exact amount
    answers = await newcomer.work(newcomer.key)
    assert [answer.status_code for answer in answers] == [200] * 3, answers[0].text
    ids = [answer.headers["x-sekisho-call-id"] for answer in answers]
    row = page.locator(f'tr[data-id="{ids[-1]}"]')
    await expect(row.get_by_role("img", name="通過", exact=True)).to_be_visible()
    calls: list[Any] = [ask(server.home, "GET", f"/admin/v1/calls/{one}") for one in ids]
    cost = sum((Decimal(one["cost_nanousd"]).scaleb(-9) for one in calls), Decimal())
    assert cost > 0
    await expect(team).to_have_attribute("data-nanousd", str(shown + int(cost.scaleb(9))))
    await expect(team).to_contain_text(f"${to_the_cent(before + cost):,.2f}")

    # from the row to tokens, prices with their source and date, the task and its turns
    await row.locator("a").first.click()
    detail = page.locator("tr[data-detail]")
    await expect(detail).to_contain_text(f"新規 {calls[-1]['usage']['input_tokens']:,}")
    await expect(detail).to_contain_text(re.compile(r"公開価格のカタログ（\d{4}-\d\d-\d\d 確認）"))
    await detail.get_by_role("link", name="タスクを見る").click()
    await expect(page).to_have_url(re.compile(rf"/console/tasks/\w+\?call={ids[-1]}#c-{ids[-1]}$"))
    turn = page.locator(f"#c-{ids[-1]}")
    await expect(turn).to_be_visible()
    await expect(page.get_by_role("heading", level=1)).to_contain_text("The function add in calc.py")
    assert await page.locator("article.turn[id]").count() == 3

    await as_role(page, "cost_manager")
    after = await spent(page, newcomer, scope="team", name="部門A")
    assert after - before == cost
    await page.goto(f"{newcomer.url}/console/budgets")
    bar = page.locator("tr", has_text="部門A").first
    await expect(bar).to_contain_text(f"${to_the_cent(after):,.2f}")

    # a chart, its export and the ledger say the same
    address = f"{newcomer.url}/console/breakdown?by=team&period=month"
    await page.goto(address)
    exported = await rows(page.context, f"{address}&format=csv")
    total = sum((Decimal(one["cost_usd"]) for one in exported), Decimal())
    await expect(page.locator("main")).to_contain_text(f"合計 ${to_the_cent(total):,.2f}")


async def test_a_small_budget_stops_the_next_call_in_japanese_and_is_not_overshot(newcomer: Newcomer) -> None:
    home = newcomer.server.home
    draft = {"alias": "five-cents", "user_id": "demo-a2", "team_id": "demo-a"}
    made: Any = ask(home, "POST", "/admin/v1/keys", draft)
    wanted = {"scope": {"kind": "key", "id": made["id"]}, "amount_usd": "0.05", "window": {"kind": "month"}}
    budget: Any = ask(home, "POST", "/admin/v1/budgets", wanted)
    answer = await newcomer.say(made["key"], [])
    for _ in range(20):
        if answer.status_code != 200:
            break
        answer = await newcomer.say(made["key"], [])
    assert answer.status_code == 400
    assert "このキーの予算に、このコールの分の残りがありません" in answer.json()["error"]["message"]
    wait_for(lambda: not ask(home, "GET", "/internal/health")["journal_lag_bytes"], "the ledger is behind")
    said: Any = ask(home, "GET", f"/admin/v1/budgets/{budget['id']}")
    assert 0 < said["spent_nanousd"] <= 50_000_000  # some calls passed, and no cent too much


async def test_a_lead_sees_one_department_and_no_address_of_another(newcomer: Newcomer) -> None:
    invited = LINK.search(newcomer.run("user", "invite", "demo-lead-a").stdout)
    assert invited
    page = await newcomer.enter(invited[0])
    await page.goto(f"{newcomer.url}/console/team")
    await expect(page.get_by_role("heading", level=1)).to_contain_text("部門A")
    assert "部門B" not in await page.content()
    for path in ("team?team=demo-b", "calls?team=demo-b", "breakdown?team=demo-b", "live", "audit"):
        assert (await page.context.request.get(f"{newcomer.url}/console/{path}")).status == 404, path


async def test_the_demonstration_goes_as_it_came(newcomer: Newcomer) -> None:
    home = newcomer.server.home
    whole: Any = ask(home, "GET", "/admin/v1/budgets?scope_kind=org")
    assert [one["name"] for one in whole["budgets"]] == ["demo-organisation"]
    gone = newcomer.run("demo", "--remove", "--yes")
    assert gone.returncode == 0, gone.stderr
    left: Any = [ask(home, "GET", f"/admin/v1/{kind}")[kind] for kind in ("budgets", "teams")]
    assert left == [[], []]


async def test_an_altered_entry_of_the_audit_log_is_named(newcomer: Newcomer) -> None:
    good = newcomer.run("audit", "verify")
    assert good.returncode == 0, good.stderr
    assert "監査ログは完全です" in good.stdout
    with sqlite3.connect(newcomer.server.home / "sekisho.db", timeout=30) as database:
        guards = database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit_entry'")
        for (name,) in guards.fetchall():  # whoever owns the file takes them away
            database.execute(f'DROP TRIGGER "{name}"')
        database.execute("UPDATE audit_entry SET actor = 'nobody' WHERE sequence = 7")
    bad = newcomer.run("audit", "verify")
    assert bad.returncode != 0
    assert re.search(r"\b7\b", bad.stdout + bad.stderr)
