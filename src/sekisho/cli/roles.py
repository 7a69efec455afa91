"""`sekisho role ...`: who may do what, through the running control process."""

from typing import Annotated, Any
from urllib.parse import urlencode

import typer

from sekisho.cli.messages import columns, say
from sekisho.cli.operator import ask
from sekisho.cli.options import DEFAULT_HOME, AsJson, Home, given, print_json
from sekisho.cli.status import local_time

app = typer.Typer(no_args_is_help=True, help=say("Roles: who may do what.", "ロール（誰が何をできるか）を管理します。"))

GRANTS = "/admin/v1/role-grants"
UserId = Annotated[str, typer.Argument(help=say("The user's id.", "利用者の ID。"))]
Role = Annotated[
    str,
    typer.Argument(
        help=say(
            "platform_admin, cost_manager, team_lead or auditor.",
            "platform_admin、cost_manager、team_lead、auditor のいずれか。",
        )
    ),
]
Team = Annotated[
    str | None,
    typer.Option("--team", help=say("In this team only.", "このチームの中だけに限ります。")),
]


@app.command("grant", help=say("Give a user a role.", "利用者にロールを与えます。"))
def grant(user: UserId, role: Role, home: Home = DEFAULT_HOME, team: Team = None) -> None:
    """Give a role; it holds when the command ends."""
    ask(home, "POST", GRANTS, {"user_id": user, "role": role} | given(team_id=team))
    typer.echo(say("Granted.", "与えました。"))


@app.command("revoke", help=say("Take a role away.", "ロールを取り消します。"))
def revoke(user: UserId, role: Role, home: Home = DEFAULT_HOME, team: Team = None) -> None:
    """Take a role away; it is gone when the command ends."""
    ask(home, "DELETE", f"{GRANTS}?{urlencode({'user_id': user, 'role': role, 'team_id': team or ''})}")
    typer.echo(say("Revoked.", "取り消しました。"))


@app.command("list", help=say("Show who has which role.", "誰がどのロールを持つかを一覧表示します。"))
def list_grants(
    home: Home = DEFAULT_HOME,
    user: Annotated[
        str | None, typer.Option("--user", help=say("Of this user only.", "この利用者だけを表示します。"))
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print every role that was given."""
    grants: list[dict[str, Any]] = ask(home, "GET", f"{GRANTS}?{urlencode({'user_id': user or ''})}")["grants"]
    if as_json:
        print_json(grants)
    elif grants:
        typer.echo(columns([(one["user_id"], one["role"], _where(one["team_id"])) for one in grants]))
    else:
        typer.echo(say("No roles were given yet.", "ロールはまだ与えられていません。"), err=True)


@app.command("history", help=say("Show who gave and took roles.", "ロールの変更履歴を表示します。"))
def history(home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Print what was given and taken away, newest first."""
    changes: list[dict[str, Any]] = ask(home, "GET", f"{GRANTS}/history")["changes"]
    if as_json:
        print_json(changes)
        return
    actions = {"grant": say("granted", "付与"), "revoke": say("revoked", "取消")}
    rows = [
        (local_time(one["at"]), actions[one["action"]], one["user_id"], one["role"], _where(one["team_id"]), one["by"])
        for one in changes
    ]
    if rows:
        typer.echo(columns(rows))


@app.command("table", help=say("Show what each role allows.", "各ロールの権限を表示します。"))
def table(home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Print every role with its permissions."""
    roles: list[dict[str, Any]] = ask(home, "GET", "/admin/v1/roles")["roles"]
    if as_json:
        print_json(roles)
        return
    typer.echo("\n".join(f"{one['role']}: {', '.join(one['permissions'])}" for one in roles))


def _where(team: str | None) -> str:
    return say(f"in the team {team}", f"チーム {team}") if team else say("everywhere", "組織全体")
