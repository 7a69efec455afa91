"""`sekisho limit ...`: rate limits, through the running control process."""

from typing import Annotated

import typer

from sekisho.cli.messages import say
from sekisho.cli.options import (
    DEFAULT_HOME,
    AsJson,
    Home,
    Model,
    OfScope,
    ScopeText,
    Yes,
    given,
    nanousd_of,
    parse_scope,
    scoped,
    usd_of,
)
from sekisho.cli.resources import Resource, Thing, made, scope_text

app = typer.Typer(no_args_is_help=True, help=say("Rate limits.", "流量の上限を管理します。"))

LimitId = Annotated[str, typer.Argument(help=say("The limit's id.", "上限の ID。"))]
Name = Annotated[str | None, typer.Option("--name", help=say("Name of the limit.", "上限の名前。"))]
Requests = Annotated[int | None, typer.Option("--rpm", help=say("Calls per minute.", "毎分の呼び出し数。"))]
Tokens = Annotated[int | None, typer.Option("--tpm", help=say("Tokens per minute.", "毎分のトークン数。"))]
Parallel = Annotated[int | None, typer.Option("--parallel", help=say("Calls at once.", "同時の呼び出し数。"))]


PerTask = Annotated[
    str | None, typer.Option("--task-usd", help=say("USD that one task may cost.", "1 タスクあたりの費用（USD）。"))
]
TaskCalls = Annotated[
    int | None, typer.Option("--task-calls", help=say("Calls of one task.", "1 タスクあたりの呼び出し数。"))
]


def _rates(one: Thing) -> str:
    rates = {
        say("calls/min", "回/分"): one["requests_per_minute"],
        say("tokens/min", "トークン/分"): one["tokens_per_minute"],
        say("at once", "同時"): one["parallel"],
        say("per task", "/タスク"): usd_of(one["nanousd_per_task"]),
        say("calls/task", "回/タスク"): one["calls_per_task"],
    }
    return ", ".join(f"{value} {name}" for name, value in rates.items() if value is not None)


def _lines(one: Thing) -> Thing:
    return {
        say("id", "ID"): one["id"],
        say("scope", "対象"): scope_text(one),
        say("model", "モデル"): one["model"] or say("all", "すべて"),
        say("limits", "上限"): _rates(one),
        say("created", "作成"): made(one),
    }


LIMITS = Resource(
    "limits",
    lambda one: (one["id"], scope_text(one), one["model"] or "-", _rates(one)),
    _lines,
    say("There are no limits.", "上限はありません。"),
    _rates,
)


@app.command("create", help=say("Make a limit.", "上限を作成します。"))
def create(
    scope: ScopeText,
    home: Home = DEFAULT_HOME,
    rpm: Requests = None,
    tpm: Tokens = None,
    parallel: Parallel = None,
    task_usd: PerTask = None,
    task_calls: TaskCalls = None,
    model: Model = None,
    name: Name = None,
    as_json: AsJson = False,
) -> None:
    """Make a limit; in force when the command ends."""
    body = (
        _fields(name, rpm, tpm, parallel)
        | _per_task(task_usd, task_calls)
        | given(scope=parse_scope(scope), model=model)
    )
    LIMITS.create(home, body, as_json)


@app.command("list", help=say("Show limits.", "上限を一覧表示します。"))
def list_limits(home: Home = DEFAULT_HOME, scope: OfScope = None, as_json: AsJson = False) -> None:
    """Print every limit."""
    LIMITS.list(home, as_json, **scoped(scope))


@app.command("show", help=say("Show one limit.", "上限の詳細を表示します。"))
def show(limit: LimitId, home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Print one limit."""
    LIMITS.show(home, limit, as_json)


@app.command("history", help=say("Show who changed it, when, and what it said.", "変更履歴を表示します。"))
def history(limit: LimitId, home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Print the history, also of what is deleted."""
    LIMITS.history(home, limit, as_json)


@app.command("update", help=say("Change a limit.", "上限を変更します。"))
def update(
    limit: LimitId,
    home: Home = DEFAULT_HOME,
    rpm: Requests = None,
    tpm: Tokens = None,
    parallel: Parallel = None,
    task_usd: PerTask = None,
    task_calls: TaskCalls = None,
    name: Name = None,
    as_json: AsJson = False,
) -> None:
    """Change what is given; leave the rest."""
    LIMITS.update(home, limit, _fields(name, rpm, tpm, parallel) | _per_task(task_usd, task_calls), as_json)


@app.command("delete", help=say("Take a limit away.", "上限を削除します。"))
def delete(limit: LimitId, home: Home = DEFAULT_HOME, yes: Yes = False, as_json: AsJson = False) -> None:
    """Delete a limit after asking."""
    question = say(f"Delete the limit {limit}?", f"上限 {limit} を削除しますか？")
    LIMITS.delete(home, limit, question, yes, as_json)


def _fields(name: str | None, rpm: int | None, tpm: int | None, parallel: int | None) -> Thing:
    return given(name=name, requests_per_minute=rpm, tokens_per_minute=tpm, parallel=parallel)


def _per_task(usd: str | None, calls: int | None) -> Thing:
    return given(nanousd_per_task=None if usd is None else nanousd_of(usd), calls_per_task=calls)
