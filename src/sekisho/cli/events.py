"""`sekisho events`, `sekisho bounds`: what happened at budgets' thresholds, and how near bounds are to costs."""

from typing import Annotated, Any
from urllib.parse import urlencode

import typer

from sekisho.cli.messages import columns, say
from sekisho.cli.operator import ask
from sekisho.cli.options import DEFAULT_HOME, AsJson, Home, print_json

Limit = Annotated[int, typer.Option("--limit", min=1, max=1000, help=say("How many.", "表示する件数。"))]
Since = Annotated[
    str | None, typer.Option("--since", help=say("First day or moment.", "最初の日または時刻。例: 2026-04-01"))
]
Until = Annotated[
    str | None,
    typer.Option("--until", help=say("Last day, or the moment it ends.", "最後の日、または終わりの時刻。")),
]
_ACTIONS = {
    "alert": ("alert", "通知"),
    "slow_down": ("calls slow down", "コールを遅延"),
    "step_down": ("calls step down", "モデルを切り替え"),
    "refuse": ("calls are refused", "コールを拒否"),
}


def events(home: Home = DEFAULT_HOME, limit: Limit = 50, as_json: AsJson = False) -> None:
    """Print events, newest first."""
    found = ask(home, "GET", f"/admin/v1/events?limit={limit}")["events"]
    if as_json:
        print_json(found)
        return
    for event in found:
        typer.echo("  ".join((event["at"], _target(event), f"{event['percent']}%", _action(event))))
    if not found:
        typer.echo(say("Nothing has happened yet.", "イベントはまだありません。"), err=True)


def bounds(home: Home = DEFAULT_HOME, since: Since = None, until: Until = None, as_json: AsJson = False) -> None:
    """Print what was reserved and what was spent, by agent and model."""
    given = {name: value for name, value in {"since": since, "until": until}.items() if value}
    query = f"?{urlencode(given)}" if given else ""
    report = ask(home, "GET", f"/admin/v1/bounds{query}")
    if as_json:
        print_json(report)
        return
    head = [
        say("agent", "エージェント"),
        say("model", "モデル"),
        say("calls", "コール"),
        say("reserved/spent", "予約/実費"),
        say("breaches", "超過"),
        say("shortened", "短縮"),
        say("stepped down", "切り替え"),
    ]
    rows = [[_cell(value) for value in _line(row)] for row in report["rows"]]
    typer.echo(columns([head, *rows]))


def _line(row: dict[str, Any]) -> list[Any]:
    return [row[name] for name in ("agent", "model", "calls", "ratio", "breaches", "clamped", "stepped_down")]


def _cell(value: Any) -> str:
    return "-" if value in (None, "") else str(value)


def _target(event: dict[str, Any]) -> str:
    scope = f"{event['scope']['kind']}:{event['scope']['id']}"
    return f"{scope} ({event['budget_model']})" if event["budget_model"] else scope


def _action(event: dict[str, Any]) -> str:
    text = say(*_ACTIONS.get(event["action"], (event["action"], event["action"])))
    return f"{text}: {event['model']}" if event["model"] else text
