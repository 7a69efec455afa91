"""`sekisho policy ...`: what scopes may use, through the running control process."""

from typing import Annotated, Any
from urllib.parse import quote

import typer

from sekisho.cli.messages import say
from sekisho.cli.operator import ask, stop
from sekisho.cli.options import (
    DEFAULT_HOME,
    AsJson,
    Home,
    ScopeText,
    Yes,
    confirm,
    given,
    list_all,
    parse_scope,
    print_json,
    print_lines,
)

app = typer.Typer(
    no_args_is_help=True,
    help=say(
        "Policies: which models, providers, Regions, agents and hours a scope may use.",
        "ポリシー（使用できるモデル・提供元・リージョン・エージェント・時間帯）を管理します。",
    ),
)

POLICIES = "/admin/v1/policies"
_TITLES = {
    "models": say("models", "モデル"),
    "providers": say("providers", "提供元"),
    "regions": say("Regions", "リージョン"),
    "geographies": say("geographies", "処理される地域"),
    "accounts": say("accounts", "アカウント"),
    "agents": say("agents", "エージェント"),
    "hours": say("hours", "時間帯"),
}
Many = list[str] | None
PolicyId = Annotated[str, typer.Argument(help=say("The policy's id.", "ポリシーの ID。"))]
Name = Annotated[str | None, typer.Option("--name", help=say("Name of the policy.", "ポリシーの名前。"))]
Models = Annotated[
    Many,
    typer.Option(
        "--model", help=say("Allowed model; * fits anything. Repeatable.", "許可するモデル（* 可、複数可）。")
    ),
]
Providers = Annotated[
    Many,
    typer.Option(
        "--provider",
        help=say("Allowed provider: bedrock, anthropic, openai.", "許可する提供元（bedrock、anthropic、openai）。"),
    ),
]
Regions = Annotated[
    Many,
    typer.Option("--region", help=say("Allowed AWS Region; * fits anything.", "許可するリージョン（* 可）。")),
]
Geographies = Annotated[
    Many,
    typer.Option(
        "--geography",
        help=say(
            "Where Bedrock may answer: in-region, jp, apac, us, eu, global ...",
            "Bedrock が処理してよい地域（in-region、jp、apac、us、eu、global など）。",
        ),
    ),
]
Accounts = Annotated[Many, typer.Option("--account", help=say("Allowed account.", "許可するアカウント。"))]
Agents = Annotated[
    Many,
    typer.Option(
        "--agent",
        help=say("Allowed agent, as clients name themselves.", "許可するエージェント（名前は自己申告）。"),
    ),
]
HoursOption = Annotated[
    Many,
    typer.Option("--hours", help=say('Such as "mon-fri 09:00-18:00".', "例: 「mon-fri 09:00-18:00」。")),
]
Zone = Annotated[str | None, typer.Option("--time-zone", help=say("Time zone of the hours.", "時間帯のタイムゾーン。"))]
Clear = Annotated[
    Many,
    typer.Option(
        "--clear",
        help=say("Allow everything of this sort again, such as models.", "この種類の制限をなくします（例: models）。"),
    ),
]


@app.command("create", help=say("Make a policy.", "ポリシーを作成します。"))
def create(
    scope: ScopeText,
    home: Home = DEFAULT_HOME,
    name: Name = None,
    models: Models = None,
    providers: Providers = None,
    regions: Regions = None,
    geographies: Geographies = None,
    accounts: Accounts = None,
    agents: Agents = None,
    hours: HoursOption = None,
    time_zone: Zone = None,
    as_json: AsJson = False,
) -> None:
    """Make a policy; in force when the command ends."""
    lists = _lists(models, providers, regions, geographies, accounts, agents, hours)
    body = lists | given(scope=parse_scope(scope), name=name, time_zone=time_zone)
    _show(ask(home, "POST", POLICIES, body), as_json)


@app.command("list", help=say("Show policies.", "ポリシーを一覧表示します。"))
def list_policies(
    home: Home = DEFAULT_HOME,
    scope: Annotated[
        str | None, typer.Option("--scope", help=say("Only of KIND:ID.", "対象を「種類:ID」で絞り込みます。"))
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print every policy."""
    where = parse_scope(scope) if scope else {}
    policies = list_all(home, POLICIES, "policies", scope_kind=where.get("kind"), scope_id=where.get("id"))
    if as_json:
        print_json(policies)
        return
    for one in policies:
        typer.echo("  ".join((one["id"], _scope(one), one["name"] or "-", _allowed(one))))
    if not policies:
        typer.echo(
            say("There are no policies: everything is allowed.", "ポリシーはありません（すべて許可）。"), err=True
        )


@app.command("show", help=say("Show one policy.", "ポリシーの詳細を表示します。"))
def show(policy: PolicyId, home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Print one policy."""
    _show(ask(home, "GET", _address(policy)), as_json)


@app.command("update", help=say("Change a policy.", "ポリシーを変更します。"))
def update(
    policy: PolicyId,
    home: Home = DEFAULT_HOME,
    name: Name = None,
    models: Models = None,
    providers: Providers = None,
    regions: Regions = None,
    geographies: Geographies = None,
    accounts: Accounts = None,
    agents: Agents = None,
    hours: HoursOption = None,
    time_zone: Zone = None,
    clear: Clear = None,
) -> None:
    """Put what is given in the place of what was; leave the rest."""
    unknown = [one for one in clear or () if one not in _TITLES]
    if unknown:
        known = ", ".join(_TITLES)
        stop(say(f"--clear takes {known}, not {unknown[0]}.", f"--clear に指定できるのは {known} です: {unknown[0]}"))
    lists = _lists(models, providers, regions, geographies, accounts, agents, hours)
    fields = {one: [] for one in clear or ()} | lists | given(name=name, time_zone=time_zone)
    if not fields:
        stop(say("Say what to change.", "変更する項目を指定してください。"))
    _show(ask(home, "PATCH", _address(policy), fields), False)


@app.command("delete", help=say("Take a policy away.", "ポリシーを削除します。"))
def delete(policy: PolicyId, home: Home = DEFAULT_HOME, yes: Yes = False) -> None:
    """Delete a policy after asking."""
    confirm(say(f"Delete the policy {policy}?", f"ポリシー {policy} を削除しますか？"), yes)
    ask(home, "DELETE", _address(policy))
    typer.echo(say("Deleted.", "削除しました。"))


def _address(policy: str) -> str:
    return f"{POLICIES}/{quote(policy, safe='')}"


def _lists(*values: Many) -> dict[str, Any]:
    return {name: value for name, value in zip(_TITLES, values, strict=True) if value}


def _show(one: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(one)
        return
    everything = say("all", "すべて")
    print_lines(
        {
            say("id", "ID"): one["id"],
            say("name", "名前"): one["name"] or "-",
            say("scope", "対象"): _scope(one),
            **{title: _values(one, name) or everything for name, title in _TITLES.items()},
            say("created", "作成"): f"{one['created_at']} ({one['created_by']})",
        }
    )


def _scope(one: dict[str, Any]) -> str:
    return f"{one['scope']['kind']}:{one['scope']['id']}"


def _values(one: dict[str, Any], name: str) -> str:
    if name == "hours":
        return ", ".join(f"{part['time']} ({part['time_zone']})" for part in one["hours"])
    return ", ".join(one[name])


def _allowed(one: dict[str, Any]) -> str:
    return "; ".join(f"{title}: {_values(one, name)}" for name, title in _TITLES.items() if one[name])
