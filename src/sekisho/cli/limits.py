"""`sekisho limit ...`: rate limits, through the running control process."""

from typing import Annotated, Any

import typer

from sekisho.cli.messages import say
from sekisho.cli.options import (
    DEFAULT_HOME,
    AsJson,
    Home,
    Model,
    ScopeText,
    given,
    nanousd_of,
    parse_scope,
    taking,
    usd_of,
)
from sekisho.cli.resources import Resource, Thing, add_rule_commands, made, scope_text

app = typer.Typer(no_args_is_help=True, help=say("Rate limits.", "流量の上限を管理します。"))

LimitId = Annotated[str, typer.Argument(help=say("The limit's id.", "上限の ID。"))]
FIELDS: dict[str, Any] = {
    "name": Annotated[str | None, typer.Option("--name", help=say("Name of the limit.", "上限の名前。"))],
    "requests_per_minute": Annotated[
        int | None, typer.Option("--rpm", help=say("Calls per minute.", "毎分の呼び出し数。"))
    ],
    "tokens_per_minute": Annotated[
        int | None, typer.Option("--tpm", help=say("Tokens per minute.", "毎分のトークン数。"))
    ],
    "parallel": Annotated[int | None, typer.Option("--parallel", help=say("Calls at once.", "同時の呼び出し数。"))],
    "usd_per_task": Annotated[
        str | None, typer.Option("--task-usd", help=say("USD that one task may cost.", "1 タスクあたりの費用（USD）。"))
    ],
    "calls_per_task": Annotated[
        int | None, typer.Option("--task-calls", help=say("Calls of one task.", "1 タスクあたりの呼び出し数。"))
    ],
}


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
@taking(FIELDS)
def create(
    said: Thing, scope: ScopeText, home: Home = DEFAULT_HOME, model: Model = None, as_json: AsJson = False
) -> None:
    """Make a limit; in force when the command ends."""
    LIMITS.create(home, _fields(said) | given(scope=parse_scope(scope), model=model), as_json)


@app.command("update", help=say("Change a limit.", "上限を変更します。"))
@taking(FIELDS)
def update(said: Thing, limit: LimitId, home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Change what is given; leave the rest."""
    LIMITS.update(home, limit, _fields(said), as_json)


add_rule_commands(app, LIMITS, "limit", "上限")


def _fields(said: Thing) -> Thing:
    if "usd_per_task" not in said:
        return said
    rest = {name: value for name, value in said.items() if name != "usd_per_task"}
    return rest | {"nanousd_per_task": nanousd_of(said["usd_per_task"])}
