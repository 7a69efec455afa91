"""`sekisho team ...`: teams and their members, through the running control process."""

from typing import Annotated, Any

import typer

from sekisho.cli.messages import say
from sekisho.cli.operator import ask
from sekisho.cli.options import (
    DEFAULT_HOME,
    AllModels,
    AsJson,
    CutStreamsOption,
    Home,
    Metadata,
    Models,
    Yes,
    confirm,
    cut_streams_fields,
    given,
    parse_metadata,
    taking,
)
from sekisho.cli.resources import Resource, Thing, made, state, tell

app = typer.Typer(no_args_is_help=True, help=say("Teams and their members.", "チームとメンバーを管理します。"))

TeamId = Annotated[str, typer.Argument(help=say("The team's id.", "チームの ID。"))]
UserId = Annotated[str, typer.Argument(help=say("The user's id.", "利用者の ID。"))]
FIELDS: dict[str, Any] = {
    "alias": Annotated[str | None, typer.Option("--alias", help=say("Name of the team.", "チームの名前。"))],
    "models": Models,
    "metadata": Metadata,
    "content_level": Annotated[
        str | None,
        typer.Option(
            "--content",
            help=say(
                "What is kept of calls: none, masked, full, or default.",
                "コールの内容の保存：none、masked、full、default（組織の設定）。",
            ),
        ),
    ],
    "content_days": Annotated[
        int | None,
        typer.Option(
            "--content-days", min=0, help=say("Days it is kept; 0: as the organisation.", "保存日数。0 は組織の設定。")
        ),
    ],
    "cut_streams": CutStreamsOption,
}


def content_words(team: Thing) -> str:
    """What is kept of a team's calls, in words."""
    level = team["content_level"] or say("as the organisation", "組織の設定")
    days = team["content_days"]
    return level + (say(f", {days} days", f"（{days} 日間）") if days else "")


def _fields(said: Thing) -> Thing:
    """What the options say, as the API takes it."""
    fields = said | cut_streams_fields(said.get("cut_streams"))
    if "metadata" in said:
        fields["metadata"] = parse_metadata(said["metadata"])
    return fields | {"content_level": None} if said.get("content_level") == "default" else fields


def _lines(team: Thing) -> Thing:
    members = [one["user_id"] for one in team["members"] if one["role"] == "member"]
    return {
        say("id", "ID"): team["id"],
        say("alias", "名前"): team["alias"] or "-",
        say("state", "状態"): state(team["blocked"]),
        say("models", "モデル"): ", ".join(team["models"]) or say("all", "すべて"),
        say("content", "内容の保存"): content_words(team),
        say("leads", "リーダー"): ", ".join(team["leads"]) or "-",
        say("members", "メンバー"): ", ".join(members) or "-",
        say("created", "作成"): made(team),
    }


def _row(team: Thing) -> tuple[str, ...]:
    count = say(f"{len(team['members'])} members", f"{len(team['members'])} 人")
    return team["id"], team["alias"] or "-", count, state(team["blocked"])


TEAMS = Resource("teams", _row, _lines, say("There are no teams yet.", "チームはまだありません。"))


@app.command("create", help=say("Make a team.", "チームを作成します。"))
@taking(FIELDS)
def create(
    said: Thing,
    team: TeamId,
    home: Home = DEFAULT_HOME,
    lead: Annotated[
        list[str] | None, typer.Option("--lead", help=say("A lead; may repeat.", "リーダー。複数回指定できます。"))
    ] = None,
    member: Annotated[
        list[str] | None, typer.Option("--member", help=say("A member; may repeat.", "メンバー。複数回指定できます。"))
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a team with its first members."""
    roles = [{"user_id": one, "role": "lead"} for one in lead or ()]
    roles += [{"user_id": one, "role": "member"} for one in member or ()]
    TEAMS.create(home, {"id": team} | _fields(said) | given(members=roles or None), as_json)


@app.command("list", help=say("Show all teams.", "すべてのチームを一覧表示します。"))
def list_teams(home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Print every team."""
    TEAMS.list(home, as_json)


@app.command("show", help=say("Show one team.", "チームの詳細を表示します。"))
def show(team: TeamId, home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Print one team."""
    TEAMS.show(home, team, as_json)


@app.command("update", help=say("Change a team.", "チームを変更します。"))
@taking(FIELDS)
def update(
    said: Thing, team: TeamId, home: Home = DEFAULT_HOME, all_models: AllModels = False, as_json: AsJson = False
) -> None:
    """Change what is given; leave the rest."""
    TEAMS.update(home, team, _fields(said) | ({"models": []} if all_models else {}), as_json)


@app.command("block", help=say("Refuse calls with the team's keys.", "チームのキーの利用を停止します。"))
def block(team: TeamId, home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Block a team; in force when the command ends."""
    changed = ask(home, "PATCH", TEAMS.address(team), {"blocked": True})
    tell(as_json, changed, say("Blocked.", "停止しました。"))


@app.command("unblock", help=say("Accept the team's keys again.", "チームのキーの利用を再開します。"))
def unblock(team: TeamId, home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Unblock a team; in force when the command ends."""
    changed = ask(home, "PATCH", TEAMS.address(team), {"blocked": False})
    tell(as_json, changed, say("Unblocked.", "再開しました。"))


@app.command("add", help=say("Add a member, or change a role.", "メンバーを追加、または役割を変更します。"))
def add(
    team: TeamId,
    user: UserId,
    home: Home = DEFAULT_HOME,
    lead: Annotated[bool, typer.Option("--lead", help=say("As a lead.", "リーダーにします。"))] = False,
    as_json: AsJson = False,
) -> None:
    """Make a user a member or a lead."""
    body = {"user_id": user, "role": "lead" if lead else "member"}
    TEAMS.print(ask(home, "POST", TEAMS.address(team, "members"), body), as_json)


@app.command("remove", help=say("Remove a member and its keys here.", "メンバーとそのキーを外します。"))
def remove(team: TeamId, user: UserId, home: Home = DEFAULT_HOME, yes: Yes = False, as_json: AsJson = False) -> None:
    """Take a user out of a team after asking."""
    question = say(
        f"Remove {user} from {team}, with the keys bound to both?",
        f"{team} から {user} と、両方に結び付いたキーを外しますか？",
    )
    confirm(home, question, yes)
    ask(home, "DELETE", TEAMS.address(team, "members", user))
    tell(as_json, {"removed": user}, say("Removed.", "外しました。"))


@app.command("delete", help=say("Delete a team with its keys.", "チームとそのキーを削除します。"))
def delete(team: TeamId, home: Home = DEFAULT_HOME, yes: Yes = False, as_json: AsJson = False) -> None:
    """Delete a team after asking; its calls stay in the record."""
    question = say(f"Delete the team {team} and all its keys?", f"チーム {team} とそのすべてのキーを削除しますか？")
    TEAMS.delete(home, team, question, yes, as_json)
