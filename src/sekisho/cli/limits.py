"""`sekisho limit ...`: rate limits, through the running control process."""

from typing import Annotated, Any
from urllib.parse import quote

import typer

from sekisho.cli.messages import say
from sekisho.cli.operator import ask, stop
from sekisho.cli.options import (
    DEFAULT_HOME,
    AsJson,
    Home,
    Model,
    ScopeText,
    Yes,
    confirm,
    given,
    list_all,
    parse_scope,
    print_json,
    print_lines,
)

app = typer.Typer(no_args_is_help=True, help=say("Rate limits.", "流量の上限を管理します。"))

LIMITS = "/admin/v1/limits"
LimitId = Annotated[str, typer.Argument(help=say("The limit's id.", "上限の ID。"))]
Name = Annotated[str | None, typer.Option("--name", help=say("Name of the limit.", "上限の名前。"))]
Requests = Annotated[int | None, typer.Option("--rpm", help=say("Calls per minute.", "毎分の呼び出し数。"))]
Tokens = Annotated[int | None, typer.Option("--tpm", help=say("Tokens per minute.", "毎分のトークン数。"))]
Parallel = Annotated[int | None, typer.Option("--parallel", help=say("Calls at once.", "同時の呼び出し数。"))]


@app.command("create", help=say("Make a limit.", "上限を作成します。"))
def create(
    scope: ScopeText,
    home: Home = DEFAULT_HOME,
    rpm: Requests = None,
    tpm: Tokens = None,
    parallel: Parallel = None,
    model: Model = None,
    name: Name = None,
    as_json: AsJson = False,
) -> None:
    """Make a limit; in force when the command ends."""
    body = _fields(name, rpm, tpm, parallel) | given(scope=parse_scope(scope), model=model)
    _show(ask(home, "POST", LIMITS, body), as_json)


@app.command("list", help=say("Show limits.", "上限を一覧表示します。"))
def list_limits(
    home: Home = DEFAULT_HOME,
    scope: Annotated[
        str | None, typer.Option("--scope", help=say("Only of KIND:ID.", "対象を「種類:ID」で絞り込みます。"))
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print every limit."""
    where = parse_scope(scope) if scope else {}
    limits = list_all(home, LIMITS, "limits", scope_kind=where.get("kind"), scope_id=where.get("id"))
    if as_json:
        print_json(limits)
        return
    for one in limits:
        typer.echo("  ".join((one["id"], _scope(one), one["model"] or "-", _rates(one))))
    if not limits:
        typer.echo(say("There are no limits.", "上限はありません。"), err=True)


@app.command("show", help=say("Show one limit.", "上限の詳細を表示します。"))
def show(limit: LimitId, home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Print one limit."""
    _show(ask(home, "GET", _address(limit)), as_json)


@app.command("update", help=say("Change a limit.", "上限を変更します。"))
def update(
    limit: LimitId,
    home: Home = DEFAULT_HOME,
    rpm: Requests = None,
    tpm: Tokens = None,
    parallel: Parallel = None,
    name: Name = None,
) -> None:
    """Change what is given; leave the rest."""
    fields = _fields(name, rpm, tpm, parallel)
    if not fields:
        stop(say("Say what to change.", "変更する項目を指定してください。"))
    _show(ask(home, "PATCH", _address(limit), fields), False)


@app.command("delete", help=say("Take a limit away.", "上限を削除します。"))
def delete(limit: LimitId, home: Home = DEFAULT_HOME, yes: Yes = False) -> None:
    """Delete a limit after asking."""
    confirm(say(f"Delete the limit {limit}?", f"上限 {limit} を削除しますか？"), yes)
    ask(home, "DELETE", _address(limit))
    typer.echo(say("Deleted.", "削除しました。"))


def _address(limit: str) -> str:
    return f"{LIMITS}/{quote(limit, safe='')}"


def _fields(name: str | None, rpm: int | None, tpm: int | None, parallel: int | None) -> dict[str, Any]:
    return given(name=name, requests_per_minute=rpm, tokens_per_minute=tpm, parallel=parallel)


def _show(one: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(one)
        return
    print_lines(
        {
            say("id", "ID"): one["id"],
            say("scope", "対象"): _scope(one),
            say("model", "モデル"): one["model"] or say("all", "すべて"),
            say("limits", "上限"): _rates(one),
            say("created", "作成"): f"{one['created_at']} ({one['created_by']})",
        }
    )


def _scope(one: dict[str, Any]) -> str:
    return f"{one['scope']['kind']}:{one['scope']['id']}"


def _rates(one: dict[str, Any]) -> str:
    rates = {
        say("calls/min", "回/分"): one["requests_per_minute"],
        say("tokens/min", "トークン/分"): one["tokens_per_minute"],
        say("at once", "同時"): one["parallel"],
    }
    return ", ".join(f"{value} {name}" for name, value in rates.items() if value is not None)
