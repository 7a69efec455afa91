"""`sekisho demo`: a month of an organisation at work, made by the simulator through the real path; or take it out."""

import asyncio
import time
from pathlib import Path
from typing import Annotated

import typer

from sekisho.access.distribution import read_snapshot
from sekisho.app.demo.organisation import (
    BAND_USD,
    DEVELOPERS,
    LEADS,
    RATE_JPY,
    TEAM_A,
    TEAM_IDS,
    TIME_ZONE,
    USER_IDS,
    WHOLE_NAME,
    WHOLE_USD,
    YOU,
    YOUR_KEY,
    document,
)
from sekisho.cli.messages import language, say
from sekisho.cli.operator import OperatorError, ask, not_running, request, stop
from sekisho.cli.options import DEFAULT_HOME, Home, Yes, list_all
from sekisho.cli.place import command, local_url
from sekisho.settings import Settings
from sekisho.values import Snapshot

_BUDGETS = "/admin/v1/budgets"
_REPORTING = "/admin/v1/settings/reporting"
_USUAL: dict[str, object] = {"rates": [], "band_low_usd": "500", "band_high_usd": "1000", "names_people": False}
_DRAIN_S = 300.0
_POLL_S = 0.5


def demo(
    home: Home = DEFAULT_HOME,
    remove: Annotated[
        bool, typer.Option("--remove", help=say("Take the demonstration out again.", "作ったデモを取り除きます。"))
    ] = False,
    scale: Annotated[
        float,
        typer.Option(
            "--scale", min=0.01, max=5, help=say("How many tasks; 0.1: a tenth.", "タスクの量。0.1 なら 10 分の 1。")
        ),
    ] = 1.0,
    yes: Yes = False,
) -> None:
    """Make the month, which takes a minute or two, or take it out."""
    snapshot = _snapshot(home)
    has_demo = any(key.alias == DEVELOPERS[0].key_alias for key in snapshot.keys)
    if remove:
        _remove(home, yes=yes)
        return
    if has_demo:
        stop(say("The demonstration is there already.", "デモはすでに作られています。"))
    if not yes:
        typer.echo(
            say(
                "This adds three teams (demo-a, demo-b, demo-infra), their people and a month of their calls, made by "
                "the simulator. Take it out with: sekisho demo --remove",
                "部門 3 つ（demo-a、demo-b、demo-infra）と、その人たちの 1 か月分のコールをシミュレーターで作ります。"
                "取り除くには sekisho demo --remove を使います。",
            ),
            err=True,
        )
        typer.confirm(say("Go on?", "続けますか？"), default=True, abort=True, err=True)
    _make(home, scale)


def _snapshot(home: Path) -> Snapshot:
    try:
        request(home, "GET", "/internal/health")
    except OperatorError as error:
        stop(str(error), error)
    snapshot = read_snapshot(home / "snapshot")
    if snapshot is None:
        stop(not_running(home))
    if not snapshot.simulated:
        stop(
            say(
                "The demonstration is only for a Sekisho that answers from its simulator: it must not stand beside "
                "what was really spent. Start one with: sekisho serve --home FOLDER --simulator on",
                "デモはシミュレーターで動く関所だけに作れます。実際の費用と混ざらないようにするためです。"
                "sekisho serve --home フォルダー --simulator on で起動した関所で使ってください。",
            )
        )
    return snapshot


def _make(home: Path, scale: float) -> None:
    from sekisho.app.demo.play import Play  # noqa: PLC0415  a whole call plane: other commands do without

    ask(home, "POST", "/admin/v1/apply", {"document": document(language(), with_budgets=False)})
    with typer.progressbar(length=100, label=say("A month of calls", "1 か月分のコール")) as bar:
        shown = 0

        def on_task(done: int, whole: int) -> None:
            nonlocal shown
            bar.update(done * 100 // whole - shown)
            shown = done * 100 // whole

        play = Play(Settings(home=home), _snapshot(home), language(), scale=scale, on_task=on_task)
        calls = asyncio.run(play.run())
    _wait_booked(home)
    ask(home, "POST", "/admin/v1/apply", {"document": document(language(), with_budgets=True)})
    _allow_whole(home)
    if ask(home, "GET", _REPORTING) == _USUAL:
        ask(home, "PUT", _REPORTING, _shown())
    typer.echo(
        say(
            f"{calls:,} calls by {len(DEVELOPERS)} developers of three teams are in the ledger. "
            "Open the console: sekisho console. Take it out with: sekisho demo --remove",
            f"3 部門の開発者 {len(DEVELOPERS)} 人による {calls:,} 件のコールを台帳に記録しました。"
            "コンソールは sekisho console、取り除くには sekisho demo --remove です。",
        )
    )
    _invite(home)


def _allow_whole(home: Path) -> None:
    """Give the organisation a budget, unless it has one of its own."""
    if list_all(home, _BUDGETS, "budgets", scope_kind="org"):
        return
    budget = {
        "name": WHOLE_NAME,
        "scope": {"kind": "org", "id": _snapshot(home).org_id},
        "amount_usd": WHOLE_USD,
        "window": {"kind": "month", "time_zone": TIME_ZONE},
        "thresholds": [80, 100],
    }
    ask(home, "POST", _BUDGETS, budget)


def _invite(home: Path) -> None:
    """A key to join in with, so that an agent's calls move the demonstration's figures, and how to look as its lead."""
    key = ask(home, "POST", "/admin/v1/keys", {"alias": YOUR_KEY, "user_id": YOU, "team_id": TEAM_A})["key"]
    setup = f"SEKISHO_KEY={key} {command('setup cline', home, f'--url {local_url(home)}')}"
    invite = command(f"user invite {LEADS[TEAM_A]}", home)
    typer.echo(
        say(
            f"\nUse an agent as a developer of Department A, and watch its figures move:\n"
            f"  {setup}\n"
            f"Look as the lead of Department A, by a link that is good once:\n"
            f"  {invite}",
            f"\n部門A の開発者としてエージェントを使う（部門A の数字が動きます）：\n"
            f"  {setup}\n"
            f"部門A の部門長として見る（1 回だけ開けるリンク）：\n"
            f"  {invite}",
        )
    )


def _shown() -> dict[str, object]:
    """Yen at a rate of the first day, and a band that fits a month that is smaller than life."""
    low, high = BAND_USD
    rates = [{"day": "2026-01-01", "jpy_per_usd": RATE_JPY}]
    return _USUAL | {"rates": rates, "band_low_usd": low, "band_high_usd": high}


def _wait_booked(home: Path) -> None:
    """Until the ledger has all of it: budgets that are made then know what was spent."""
    ends_at = time.monotonic() + _DRAIN_S
    while ask(home, "GET", "/internal/health")["journal_lag_bytes"]:
        if time.monotonic() > ends_at:
            stop(
                say(
                    "The ledger is behind; see: sekisho health",
                    "台帳の記録が遅れています。確認：sekisho health",
                )
            )
        time.sleep(_POLL_S)


def _remove(home: Path, *, yes: bool) -> None:
    if not yes:
        typer.confirm(
            say(
                "Delete the demonstration's teams, people, keys and calls?",
                "デモの部門、人、キー、コールをすべて削除しますか？",
            ),
            abort=True,
            err=True,
        )
    for budget in list_all(home, _BUDGETS, "budgets", scope_kind="org"):
        if budget["name"] == WHOLE_NAME:
            ask(home, "DELETE", f"{_BUDGETS}/{budget['id']}")
    for key in list_all(home, "/admin/v1/keys", "keys"):
        if key["team_id"] in TEAM_IDS:
            ask(home, "DELETE", f"/admin/v1/keys/{key['id']}")
    teams = {team["id"] for team in list_all(home, "/admin/v1/teams", "teams")}
    for team in teams & set(TEAM_IDS):
        ask(home, "DELETE", f"/admin/v1/teams/{team}")
    users = {user["id"] for user in list_all(home, "/admin/v1/users", "users")}
    for user in sorted(users & set(USER_IDS)):
        ask(home, "DELETE", f"/admin/v1/users/{user}")
    if ask(home, "GET", _REPORTING) == _shown():
        ask(home, "PUT", _REPORTING, _USUAL)
    gone = ask(home, "DELETE", "/internal/demonstration")
    typer.echo(
        say(f"Deleted, with {gone['calls']:,} calls.", f"デモを削除しました（コール {gone['calls']:,} 件を含む）。")
    )
