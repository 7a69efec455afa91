"""`sekisho team ...`: teams and their members, through the running control process."""

from typing import Annotated, Any
from urllib.parse import quote

import typer

from sekisho.cli.messages import say
from sekisho.cli.operator import ask, stop
from sekisho.cli.options import (
    DEFAULT_HOME,
    AsJson,
    Home,
    Metadata,
    Yes,
    confirm,
    given,
    list_all,
    parse_metadata,
    print_json,
    print_lines,
)

app = typer.Typer(no_args_is_help=True, help=say("Teams and their members.", "チームとメンバーを管理します。"))

TEAMS = "/admin/v1/teams"
TeamId = Annotated[str, typer.Argument(help=say("The team's id.", "チームの ID。"))]
UserId = Annotated[str, typer.Argument(help=say("The user's id.", "利用者の ID。"))]
Alias = Annotated[str | None, typer.Option("--alias", help=say("Name of the team.", "チームの名前。"))]
Models = Annotated[
    list[str] | None,
    typer.Option("--model", help=say("Allowed model; may repeat.", "使えるモデル。複数回指定できます。")),
]


@app.command("create", help=say("Make a team.", "チームを作成します。"))
def create(
    team: TeamId,
    home: Home = DEFAULT_HOME,
    alias: Alias = None,
    model: Models = None,
    lead: Annotated[
        list[str] | None, typer.Option("--lead", help=say("A lead; may repeat.", "リーダー。複数回指定できます。"))
    ] = None,
    member: Annotated[
        list[str] | None, typer.Option("--member", help=say("A member; may repeat.", "メンバー。複数回指定できます。"))
    ] = None,
    metadata: Metadata = None,
    as_json: AsJson = False,
) -> None:
    """Make a team with its first members."""
    roles = [{"user_id": one, "role": "lead"} for one in lead or ()]
    roles += [{"user_id": one, "role": "member"} for one in member or ()]
    fields = given(alias=alias, models=model or None, members=roles or None, metadata=parse_metadata(metadata))
    _show(ask(home, "POST", TEAMS, {"id": team} | fields), as_json)


@app.command("list", help=say("Show all teams.", "すべてのチームを一覧表示します。"))
def list_teams(home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Print every team."""
    teams = list_all(home, TEAMS, "teams")
    if as_json:
        print_json(teams)
        return
    for team in teams:
        count = say(f"{len(team['members'])} members", f"{len(team['members'])} 人")
        typer.echo("  ".join((team["id"], team["alias"] or "-", count, _state(team))))
    if not teams:
        typer.echo(say("There are no teams yet.", "チームはまだありません。"), err=True)


@app.command("show", help=say("Show one team.", "チームの詳細を表示します。"))
def show(team: TeamId, home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Print one team."""
    _show(ask(home, "GET", _address(team)), as_json)


@app.command("update", help=say("Change a team.", "チームを変更します。"))
def update(
    team: TeamId,
    home: Home = DEFAULT_HOME,
    alias: Alias = None,
    model: Models = None,
    all_models: Annotated[
        bool, typer.Option("--all-models", help=say("Allow every model.", "すべてのモデルを許可します。"))
    ] = False,
    metadata: Metadata = None,
) -> None:
    """Change what is given; leave the rest."""
    fields = given(alias=alias, models=[] if all_models else model or None, metadata=parse_metadata(metadata))
    if not fields:
        stop(say("Say what to change.", "変更する項目を指定してください。"))
    _show(ask(home, "PATCH", _address(team), fields), False)


@app.command("block", help=say("Refuse calls with the team's keys.", "チームのキーの利用を停止します。"))
def block(team: TeamId, home: Home = DEFAULT_HOME) -> None:
    """Block a team; in force when the command ends."""
    ask(home, "PATCH", _address(team), {"blocked": True})
    typer.echo(say("Blocked.", "停止しました。"))


@app.command("unblock", help=say("Accept the team's keys again.", "チームのキーの利用を再開します。"))
def unblock(team: TeamId, home: Home = DEFAULT_HOME) -> None:
    """Unblock a team; in force when the command ends."""
    ask(home, "PATCH", _address(team), {"blocked": False})
    typer.echo(say("Unblocked.", "再開しました。"))


@app.command("add", help=say("Add a member, or change a role.", "メンバーを追加、または役割を変更します。"))
def add(
    team: TeamId,
    user: UserId,
    home: Home = DEFAULT_HOME,
    lead: Annotated[bool, typer.Option("--lead", help=say("As a lead.", "リーダーにします。"))] = False,
) -> None:
    """Make a user a member or a lead."""
    body = {"user_id": user, "role": "lead" if lead else "member"}
    _show(ask(home, "POST", f"{_address(team)}/members", body), False)


@app.command("remove", help=say("Remove a member and its keys here.", "メンバーとそのキーを外します。"))
def remove(team: TeamId, user: UserId, home: Home = DEFAULT_HOME, yes: Yes = False) -> None:
    """Take a user out of a team after asking."""
    question = say(
        f"Remove {user} from {team}, with the keys bound to both?",
        f"{team} から {user} と、両方に結び付いたキーを外しますか？",
    )
    confirm(question, yes)
    ask(home, "DELETE", f"{_address(team)}/members/{quote(user)}")
    typer.echo(say("Removed.", "外しました。"))


@app.command("delete", help=say("Delete a team with its keys.", "チームとそのキーを削除します。"))
def delete(team: TeamId, home: Home = DEFAULT_HOME, yes: Yes = False) -> None:
    """Delete a team after asking; its calls stay in the record."""
    confirm(say(f"Delete the team {team} and all its keys?", f"チーム {team} とそのすべてのキーを削除しますか？"), yes)
    ask(home, "DELETE", _address(team))
    typer.echo(say("Deleted.", "削除しました。"))


def _address(team: str) -> str:
    return f"{TEAMS}/{quote(team, safe='')}"


def _show(team: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(team)
        return
    members = [one["user_id"] for one in team["members"] if one["role"] == "member"]
    print_lines(
        {
            say("id", "ID"): team["id"],
            say("alias", "名前"): team["alias"] or "-",
            say("state", "状態"): _state(team),
            say("models", "モデル"): ", ".join(team["models"]) or say("all", "すべて"),
            say("leads", "リーダー"): ", ".join(team["leads"]) or "-",
            say("members", "メンバー"): ", ".join(members) or "-",
            say("created", "作成"): f"{team['created_at']} ({team['created_by']})",
        }
    )


def _state(team: dict[str, Any]) -> str:
    return say("blocked", "停止中") if team["blocked"] else say("in use", "利用中")
