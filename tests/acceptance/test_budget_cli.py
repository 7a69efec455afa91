"""`sekisho team|user|budget|limit|policy` against a real control process, in both languages."""

import asyncio
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from sekisho.access.distribution import read_snapshot
from sekisho.app.control_plane import (
    ControlPlaneSettings,
    create_control_app,
    open_control_plane,
    serve_control_plane,
    snapshot_path,
)
from sekisho.app.exclusive import bind_control_socket
from sekisho.cli.main import create_app
from sekisho.clock import FakeClock
from sekisho.values import BudgetStep, Scope, Snapshot, Window
from tests.acceptance.control_plane import CLAUDE

Sekisho = Callable[..., "asyncio.Future[Result]"]


@pytest.fixture
def home() -> Any:
    """A short path: the name of a Unix socket has at most 107 bytes."""
    folder = tempfile.mkdtemp(prefix="sk")
    yield Path(folder) / "home"
    shutil.rmtree(folder)


@pytest.fixture
async def sekisho(home: Path, monkeypatch) -> AsyncIterator[Sekisho]:
    """Runs `sekisho` with these words in a thread while the control process serves here."""
    monkeypatch.setenv("SEKISHO_HOME", str(home))
    monkeypatch.setenv("SEKISHO_LANG", "en")
    (home / "run").mkdir(parents=True)
    settings = ControlPlaneSettings(models=lambda: (CLAUDE,), simulated=True, time_zone="Asia/Tokyo")
    plane = await open_control_plane(home, settings, FakeClock())
    listener = bind_control_socket(home / "run" / "control.sock")
    serving = asyncio.ensure_future(serve_control_plane(plane, create_control_app(plane), listener))
    yield lambda words, *more, **options: asyncio.ensure_future(
        asyncio.to_thread(CliRunner().invoke, create_app(), [*words.split(), *more], **options)
    )
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    listener.close()
    await plane.close()


def in_force(home: Path) -> Snapshot:
    snapshot = read_snapshot(snapshot_path(home))
    assert snapshot is not None
    return snapshot


async def test_a_team_lives_and_dies(sekisho, home):
    made = await sekisho("team create red --alias Red --model claude --lead alice --member bob --metadata cost=7")
    assert made.exit_code == 0, made.output
    assert "leads: alice" in made.stdout
    assert "members: bob" in made.stdout
    assert "red  Red  2 members  in use" in (await sekisho("team list")).stdout
    assert "models: all" in (await sekisho("team update red --all-models")).stdout
    await sekisho("key create --alias a --team red --user bob")
    await sekisho("team block red")
    assert [key.blocked for key in in_force(home).keys] == [True]
    await sekisho("team unblock red")
    assert "leads: alice, bob" in (await sekisho("team add red bob --lead")).stdout
    assert (await sekisho("team remove red bob", input="n\n")).exit_code == 1
    assert (await sekisho("team remove red bob --yes")).exit_code == 0
    assert in_force(home).keys == ()
    assert json.loads((await sekisho("team show red --json")).stdout)["metadata"] == {"cost": "7"}
    assert (await sekisho("team delete red --yes")).stdout == "Deleted.\n"
    assert "no teams yet" in (await sekisho("team list")).stderr


async def test_a_user_lives_and_dies(sekisho):
    made = await sekisho("user create robot --service --email robot@example.com")
    assert "kind: service account" in made.stdout
    assert "alias: R2" in (await sekisho("user update robot --alias R2")).stdout
    assert "robot  R2  robot@example.com  service account" in (await sekisho("user list")).stdout
    assert "Say what to change" in (await sekisho("user update robot")).stderr
    assert (await sekisho("user delete robot --yes")).exit_code == 0
    assert (await sekisho("user show robot")).exit_code == 1


async def test_a_budget_is_made_changed_credited_reset_and_taken_away(sekisho, home):
    words = "budget create org:default 10.50 --threshold 80 --increase 2 --until 7d --model claude --json"
    made = json.loads((await sekisho(words)).stdout)
    (budget,) = in_force(home).budgets
    assert (budget.scope, budget.amount_nanousd, budget.window) == (
        Scope("org", "default"),
        10_500_000_000,
        Window("month", "Asia/Tokyo"),  # the zone of the settings
    )
    changed = await sekisho(f"budget update {made['id']} --amount 0.000000001 --soft --window day --time-zone UTC")
    assert "amount: $0.000000001" in changed.stdout
    assert "kind: soft" in changed.stdout
    assert "window: day UTC" in changed.stdout
    credited = await sekisho(f"budget credit {made['id']} 1.5", "--reason", "a bad day")
    assert credited.stdout == "Credited $1.5.\n"
    assert (await sekisho(f"budget reset {made['id']} --yes --reason wrong")).stdout == "Gave back $0.\n"
    shown = (await sekisho(f"budget show {made['id']}")).stdout
    assert "a bad day" in shown
    assert "credit: $1.5" in shown
    assert made["id"] in (await sekisho("budget list --scope org:default")).stdout
    assert (await sekisho("budget list --scope team:red")).stdout == ""
    assert (await sekisho(f"budget delete {made['id']} --yes")).exit_code == 0
    assert in_force(home).budgets == ()


async def test_what_happens_at_a_per_cent_is_said_on_the_command_line(sekisho, home):
    shown = (await sekisho("budget create org:default 10 --threshold 50 --at 80=alert --at 90=slow_down")).stdout
    assert "thresholds: 50%, 80%, 90%=slow_down" in shown
    (budget,) = in_force(home).budgets
    assert (budget.thresholds, budget.steps) == ((50, 80), (BudgetStep(90, "slow_down"),))
    changed = (await sekisho(f"budget update {budget.id} --at 95=refuse")).stdout
    assert "thresholds: 95%=refuse" in changed
    assert "Not PERCENT=ACTION: soon" in (await sekisho("budget create org:default 10 --at soon")).stderr
    unknown = await sekisho("budget create org:default 10 --at 90=step_down:nothing")
    assert (unknown.exit_code, "no model 'nothing'" in unknown.stderr) == (1, True)


async def test_nothing_has_happened_yet_and_no_call_was_bounded(sekisho):
    assert (await sekisho("events")).stderr == "Nothing has happened yet.\n"
    assert (await sekisho("events --json")).stdout == "[]\n"
    assert (await sekisho("bounds")).stdout.split()[:3] == ["agent", "model", "calls"]


async def test_a_limit_is_made_changed_and_taken_away(sekisho, home):
    made = json.loads((await sekisho("limit create org:default --rpm 5 --json")).stdout)
    assert "5 calls/min, 2 at once" in (await sekisho(f"limit update {made['id']} --parallel 2")).stdout
    assert "org:default" in (await sekisho("limit list")).stdout
    assert (await sekisho(f"limit delete {made['id']} --yes")).exit_code == 0
    assert in_force(home).limits == ()


async def test_what_cannot_be_is_said_and_nothing_is_made(sekisho, home):
    for words in (
        "budget create default 5",
        "budget create org:default -- -5",
        "budget create org:default 5 --increase 1",
        "budget create team:nobody 5",
        "limit create org:default",
        "team create red --metadata x",
        "budget update x --time-zone UTC",
    ):
        assert (await sekisho(words)).exit_code != 0, words
    assert (in_force(home).budgets, in_force(home).limits) == ((), ())


async def test_a_reader_of_japanese_reads_japanese(sekisho, monkeypatch):
    monkeypatch.setenv("SEKISHO_LANG", "ja_JP.UTF-8")
    assert "リーダー: 太郎" in (await sekisho("team create 開発部 --lead 太郎")).stdout
    assert "種類: ハード" in (await sekisho("budget create team:開発部 100")).stdout
    assert "5 回/分" in (await sekisho("limit create user:太郎 --rpm 5")).stdout


async def test_policies_are_made_shown_changed_and_deleted(sekisho: Sekisho, home: Path) -> None:
    made = await sekisho("policy create org:default --name Claude --model claude-* --agent cline")
    assert made.exit_code == 0, made.output
    (policy,) = in_force(home).policies
    assert (policy.name, policy.models, policy.agents) == ("Claude", ("claude-*",), ("cline",))
    assert "claude-*" in (await sekisho("policy list")).stdout
    hours = ("--hours", "mon-sun 00:00-24:00", "--time-zone", "Asia/Tokyo")
    changed = await sekisho(f"policy update {policy.id} --clear agents", *hours)
    assert changed.exit_code == 0, changed.output
    assert in_force(home).policies[0].agents == ()
    assert "(Asia/Tokyo)" in (await sekisho(f"policy show {policy.id}")).stdout
    more = "--family claude --prefer region:ap-* --holiday 2026-12-29 --max-output-tokens 8000"
    assert "8000" in (await sekisho(f"policy update {policy.id} {more}")).stdout
    assert "region:ap-*" in (await sekisho("policy list")).stdout
    (policy,) = in_force(home).policies
    assert (policy.families, policy.holidays, policy.max_output_tokens) == (("claude",), ("2026-12-29",), 8000)
    assert (await sekisho(f"policy update {policy.id} --clear max_output_tokens --clear holidays")).exit_code == 0
    assert (in_force(home).policies[0].holidays, in_force(home).policies[0].max_output_tokens) == ((), None)
    said = (await sekisho(f"policy history {policy.id}")).stdout.splitlines()
    assert ("changed" in said[0], "created" in said[-1], "cline" in said[-1]) == (True, True, True)
    wrong = await sekisho(f"policy update {policy.id} --clear colours")
    assert (wrong.exit_code, "colours" in wrong.stderr) == (1, True)
    assert (await sekisho(f"policy delete {policy.id} --yes")).exit_code == 0
    assert in_force(home).policies == ()
    assert "everything is allowed" in (await sekisho("policy list")).stderr


@pytest.mark.parametrize(("language", "words"), [("en", "would be refused"), ("ja", "拒否されます")])
async def test_explain_shows_the_gates_of_a_call(sekisho: Sekisho, monkeypatch, language: str, words: str) -> None:
    monkeypatch.setenv("SEKISHO_LANG", language)
    made = json.loads((await sekisho("key create --alias ci --user alice --json")).stdout)
    said = await sekisho(f"explain --key {made['id']} --model unknown")
    assert said.exit_code == 0, said.output
    assert words in said.stdout and "✗" in said.stdout and "unknown" in said.stdout
    as_json = json.loads((await sekisho(f"explain --key {made['id']} --model claude --json")).stdout)
    assert [gate["answer"] for gate in as_json["gates"]][:3] == ["pass", "pass", "pass"]
    wrong = await sekisho("explain --model claude")
    assert (wrong.exit_code, "--key" in wrong.stderr) == (1, True)
