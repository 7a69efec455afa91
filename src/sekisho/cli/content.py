"""`sekisho content ...`: what is kept of what calls say, to be read, searched and deleted."""

from typing import Annotated, Any
from urllib.parse import urlencode

import typer

from sekisho.cli.messages import columns, say
from sekisho.cli.operator import ask, stop
from sekisho.cli.options import DEFAULT_HOME, AsJson, Home, Yes, confirm, print_json, print_lines

app = typer.Typer(no_args_is_help=True, help=say("What calls said.", "コールの内容を扱います。"))

CallId = Annotated[str, typer.Argument(help=say("The call's id.", "コールの ID。"))]
_SPEAKERS = {
    "system": ("system", "システム"),
    "human": ("human", "人"),
    "agent": ("agent", "エージェント"),
    "tool": ("tool", "ツール"),
}


@app.command("status", help=say("Show what is kept, and how the store is.", "保存の設定と状態を表示します。"))
def status(home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Print the level in force, how much is stored for whom, and what is wrong."""
    found = ask(home, "GET", "/admin/v1/content")
    if as_json:
        print_json(found)
        return
    lines = {
        say("where a team says nothing", "チームに設定がない場合"): found["level"],
        say("days", "保存日数"): found["days"],
        say("leads may read", "リーダーの閲覧"): say("yes", "可") if found["leads_may_read"] else say("no", "不可"),
        say("waiting in the spool", "スプール"): f"{found['spool_bytes']:,} / {found['spool_most_bytes']:,} B",
        say("state", "状態"): found["failure"] or say("all is well", "正常"),
    }
    for team in found["teams"]:
        calls = say(f"{team['calls']:,} calls", f"{team['calls']:,} コール")
        lines[team["team_id"] or say("keys without a team", "チームのないキー")] = f"{calls}, {team['bytes']:,} B"
    print_lines(lines)


@app.command("show", help=say("Show what a call said.", "コールの内容を表示します。"))
def show(call: CallId, home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Print a call as people read it."""
    found = ask(home, "GET", f"/admin/v1/calls/{call}/conversation")
    if as_json:
        print_json(found)
        return
    if found["level"] == "none":
        stop(say("Nothing is kept of what this call said.", "このコールの内容は保存されていません。"))
    typer.echo(f"{say('kept at level', '保存レベル')}: {found['level']}")
    for turn in (*found["turns"], *found["answer"]):
        typer.echo(f"--- {say(*_SPEAKERS[turn['speaker']])}")
        for part in turn["parts"]:
            typer.echo(_words(part))


@app.command("search", help=say("Find calls by what they said.", "内容からコールを探します。"))
def search(
    text: Annotated[str, typer.Argument(help=say("A text, or a part of one.", "探す語句。"))],
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Print calls, newest first, as far back as one search reads."""
    found = ask(home, "GET", f"/admin/v1/content/search?{urlencode({'q': text})}")["calls"]
    if as_json:
        print_json(found)
    elif found:
        columns_of = ("started_at", "call_id", "user_id", "level", "words")
        typer.echo(columns([[one[name] or "-" for name in columns_of] for one in found]))
    else:
        typer.echo(say("Nothing was found.", "見つかりませんでした。"), err=True)


@app.command("delete", help=say("Delete what calls said.", "コールの内容を削除します。"))
def delete(
    home: Home = DEFAULT_HOME,
    call: Annotated[str | None, typer.Option("--call", help=say("Of this call.", "このコールの内容。"))] = None,
    task: Annotated[str | None, typer.Option("--task", help=say("Of this task.", "このタスクの内容。"))] = None,
    user: Annotated[str | None, typer.Option("--user", help=say("Of this user.", "この利用者の内容。"))] = None,
    team: Annotated[str | None, typer.Option("--team", help=say("Of this team.", "このチームの内容。"))] = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Delete content for good after asking."""
    given = {"task_id": task, "user_id": user, "team_id": team}
    named = {name: value for name, value in given.items() if value is not None}
    if len(named) + (call is not None) != 1:
        stop(
            say(
                "Name one of --call, --task, --user, --team.",
                "--call、--task、--user、--team のどれか 1 つを指定してください。",
            )
        )
    what = call or next(iter(named.values()))
    confirm(home, say(f"Delete all content of {what} for good?", f"{what} の内容を完全に削除しますか？"), yes)
    path = f"/admin/v1/calls/{call}/content" if call else f"/admin/v1/content?{urlencode(named)}"
    deleted = ask(home, "DELETE", path)
    if as_json:
        print_json(deleted)
    else:
        typer.echo(say(f"Deleted: {deleted['calls']} calls.", f"{deleted['calls']} コールの内容を削除しました。"))


def _words(part: dict[str, Any]) -> str:
    match part["type"]:
        case "tool_call":
            return f"{part['name']} {part['arguments']}"
        case "attachment":
            return f"[{part['kind']} {part['format']} {part['bytes']:,} B]"
    return str(part["text"])
