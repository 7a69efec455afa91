"""`sekisho task list|show`: what belongs together and what it cost."""

from typing import Annotated, Any
from urllib.parse import quote, urlencode

import typer

from sekisho.cli.messages import columns, say
from sekisho.cli.operator import ask
from sekisho.cli.options import DEFAULT_HOME, AsJson, Home, print_json

app = typer.Typer(
    help=say("Tasks: which calls belong together, and what they cost.", "タスク: ひとまとまりのコールとその費用。"),
    no_args_is_help=True,
)
Limit = Annotated[int, typer.Option("--limit", min=1, max=1000, help=say("How many.", "表示する件数。"))]
Text = str | None


def _option(name: str, english: str, japanese: str) -> Any:
    return typer.Option(name, help=say(english, japanese))


@app.command("list", help=say("List tasks, the one used last first.", "タスクを最近使われた順に表示します。"))
def list_tasks(
    home: Home = DEFAULT_HOME,
    limit: Limit = 50,
    dearest: Annotated[bool, _option("--dearest", "The dearest first.", "費用の高い順に並べます。")] = False,
    team: Annotated[Text, _option("--team", "Of this team.", "このチームのタスク。")] = None,
    user: Annotated[Text, _option("--user", "Of this user.", "このユーザーのタスク。")] = None,
    agent: Annotated[Text, _option("--agent", "Of this agent.", "このエージェントのタスク。")] = None,
    mode: Annotated[
        Text, _option("--mode", "With calls in this mode: plan or act.", "plan または act を含むもの。")
    ] = None,
    repository: Annotated[Text, _option("--repository", "Of this repository.", "このリポジトリのタスク。")] = None,
    since: Annotated[Text, _option("--since", "First day or moment.", "最初の日または時刻。例: 2026-04-01")] = None,
    until: Annotated[Text, _option("--until", "Last day or moment.", "最後の日または時刻。")] = None,
    as_json: AsJson = False,
) -> None:
    """Print tasks."""
    given = {"team_id": team, "user_id": user, "agent": agent, "mode": mode, "since": since, "until": until}
    given["repository"] = repository
    query = {name: value for name, value in given.items() if value} | {"limit": str(limit)}
    query |= {"sort": "cost"} if dearest else {}
    found = ask(home, "GET", f"/admin/v1/tasks?{urlencode(query)}")["tasks"]
    if as_json:
        print_json(found)
        return
    if not found:
        typer.echo(say("There are no tasks yet.", "タスクはまだありません。"), err=True)
        return
    head = [
        say("task", "タスク"),
        say("last used", "最終利用"),
        say("team", "チーム"),
        say("user", "ユーザー"),
        say("agent", "エージェント"),
        say("repository", "リポジトリ"),
        say("turns", "指示"),
        say("calls", "コール"),
        say("cost", "費用"),
    ]
    typer.echo(columns([head, *(_line(task) for task in found)]))


@app.command(
    "show", help=say("Show one task with its cost by mode.", "1 つのタスクをモード別の費用とともに表示します。")
)
def show(
    task: Annotated[str, typer.Argument(help=say("Its id.", "タスクの ID。"))],
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Print a task."""
    found = ask(home, "GET", f"/admin/v1/tasks/{quote(task, safe='')}")
    if as_json:
        print_json(found)
        return
    for name, value in _facts(found):
        typer.echo(f"{name}: {value}")
    head = [
        say("mode", "モード"),
        say("calls", "コール"),
        say("input", "入力"),
        say("cache read", "キャッシュ読取"),
        say("cache write", "キャッシュ書込"),
        say("output", "出力"),
        say("cost", "費用"),
    ]
    typer.echo(columns([head, *(_mode_line(one) for one in found["modes"])]))


def _line(task: dict[str, Any]) -> list[str]:
    told = (task["team_id"], task["user_id"], task["agent"], task["repository"])
    named = [value or "-" for value in told]
    return [task["id"], task["last_at"], *named, str(task["turns"]), str(task["calls"]), _usd(task["cost_nanousd"])]


def _facts(task: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (say("task", "タスク"), task["id"]),
        (say("team, user", "チーム、ユーザー"), f"{task['team_id'] or '-'}, {task['user_id'] or '-'}"),
        (say("agent", "エージェント"), task["agent"] or "-"),
        (say("repository", "リポジトリ"), " ".join((task["repository"] or "-", task["branch"])).strip()),
        (say("from, to", "期間"), f"{task['first_at']} - {task['last_at']}"),
        (say("turns, calls, refused", "指示、コール、拒否"), f"{task['turns']}, {task['calls']}, {task['refused']}"),
        (say("cost", "費用"), _usd(task["cost_nanousd"])),
    ]


def _mode_line(one: dict[str, Any]) -> list[str]:
    classes = ("input_nanousd", "cache_read_nanousd", "cache_write_nanousd", "output_nanousd", "cost_nanousd")
    return [one["mode"] or "-", str(one["calls"]), *(_usd(one[name]) for name in classes)]


def _usd(nanousd: int) -> str:
    return f"${nanousd / 1_000_000_000:,.4f}"
