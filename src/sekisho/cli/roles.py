"""`sekisho role ...`: who may do what, through the running control process."""

from typing import Annotated
from urllib.parse import urlencode

import typer

from sekisho.cli.messages import columns, say
from sekisho.cli.operator import ask
from sekisho.cli.options import DEFAULT_HOME, AsJson, Home, Yes, confirm, given, list_all, print_json
from sekisho.cli.resources import Thing, tell
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
    typer.Option("--team", help=say("In this team only.", "このチームだけに限ります。")),
]
User = Annotated[str | None, typer.Option("--user", help=say("Only of this user.", "この利用者だけに絞り込みます。"))]


@app.command("list", help=say("Show who has which role.", "誰がどのロールを持つかを一覧表示します。"))
def list_roles(home: Home = DEFAULT_HOME, user: User = None, as_json: AsJson = False) -> None:
    """Print every role that somebody has."""
    found = list_all(home, GRANTS, "grants", user_id=user)
    if as_json:
        print_json(found)
    elif found:
        typer.echo(columns([_row(one) for one in found]))
    else:
        typer.echo(say("Nobody has a role yet.", "ロールを持つ人はまだいません。"), err=True)


@app.command("show", help=say("Show what each role allows.", "各ロールでできることを表示します。"))
def show(home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Print the table of roles."""
    roles = ask(home, "GET", "/admin/v1/roles")["roles"]
    if as_json:
        print_json(roles)
        return
    typer.echo(columns([(one["role"], ", ".join(one["permissions"])) for one in roles]))


@app.command("create", help=say("Give a user a role.", "利用者にロールを与えます。"))
def create(user: UserId, role: Role, home: Home = DEFAULT_HOME, team: Team = None, as_json: AsJson = False) -> None:
    """Give a role; it holds from the next request on."""
    granted = ask(home, "POST", GRANTS, {"user_id": user, "role": role} | given(team_id=team))
    tell(as_json, granted, say(f"{user} is {_place(granted)} now.", f"{user} に {_place(granted)} を与えました。"))


@app.command("delete", help=say("Take a role away.", "ロールを取り上げます。"))
def delete(
    user: UserId,
    role: Role,
    home: Home = DEFAULT_HOME,
    team: Team = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Take a role away after asking; it is gone with the next request."""
    confirm(home, say(f"Take {role} from {user}?", f"{user} から {role} を取り上げますか？"), yes)
    ask(home, "DELETE", f"{GRANTS}?{urlencode({'user_id': user, 'role': role} | given(team_id=team))}")
    tell(as_json, {"deleted": {"user_id": user, "role": role, "team_id": team}}, say("Deleted.", "削除しました。"))


@app.command("history", help=say("Show who gave and took roles.", "ロールの変更履歴を表示します。"))
def history(home: Home = DEFAULT_HOME, user: User = None, as_json: AsJson = False) -> None:
    """Print what was given and taken away, newest first."""
    changes = list_all(home, f"{GRANTS}/history", "changes", user_id=user)
    if as_json:
        print_json(changes)
        return
    actions = {"grant": say("granted", "付与"), "revoke": say("revoked", "取消")}
    rows = [(local_time(one["at"]), actions[one["action"]], *_row(one), one["by"]) for one in changes]
    if rows:
        typer.echo(columns(rows))


def _row(grant: Thing) -> tuple[str, ...]:
    return grant["user_id"], grant["role"], grant["team_id"] or say("everywhere", "全体")


def _place(grant: Thing) -> str:
    place = say(f" in {grant['team_id']}", f"（{grant['team_id']}）") if grant["team_id"] else ""
    return f"{grant['role']}{place}"
