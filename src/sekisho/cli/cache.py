"""`sekisho cache report|breaks|task`: what prompt caches saved, what broke them, and what to do about it."""

from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import typer

from sekisho.cli.messages import columns, language, say
from sekisho.cli.operator import ask
from sekisho.cli.options import DEFAULT_HOME, AsJson, Home, print_json
from sekisho.cli.spend import usd

app = typer.Typer(
    help=say(
        "Prompt caches: hit rate, dollars saved and lost, and what broke them.",
        "プロンプトキャッシュ: ヒット率、節約額と損失額、失われた原因。",
    ),
    no_args_is_help=True,
)
Text = str | None


class Group(StrEnum):
    """What a sum can be grouped by."""

    team = "team"
    day = "day"
    cause = "cause"


By = Annotated[
    list[Group] | None, typer.Option("--by", help=say("Group by; may repeat.", "集計の軸。複数回指定できます。"))
]


def _option(name: str, english: str, japanese: str) -> Any:
    return typer.Option(name, help=say(english, japanese))


Since = Annotated[Text, _option("--since", "First day or moment (UTC).", "最初の日または時刻（UTC）。")]
Until = Annotated[Text, _option("--until", "Last day or moment (UTC).", "最後の日または時刻（UTC）。")]
Team = Annotated[Text, _option("--team", "Of this team.", "このチームのみ。")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=1000, help=say("How many.", "表示する件数。"))]


@app.command("report", help=say("Sums by team, day or cause.", "チーム・日・原因別の集計を表示します。"))
def report(
    home: Home = DEFAULT_HOME,
    by: By = None,
    team: Team = None,
    since: Since = None,
    until: Until = None,
    as_json: AsJson = False,
) -> None:
    """Print sums."""
    groups = [one.value for one in by or (Group.team,)]
    given = {"team_id": team, "since": since, "until": until}
    query = [*(("by", one) for one in groups), *((name, value) for name, value in given.items() if value)]
    found = ask(home, "GET", f"/admin/v1/cache?{urlencode(query)}")
    if as_json:
        print_json(found)
        return
    _print_rows(found["rows"], groups)
    typer.echo(_total(found["total"]))


@app.command(
    "breaks", help=say("Calls whose cache was broken, and why.", "キャッシュが失われたコールと原因を表示します。")
)
def breaks(
    home: Home = DEFAULT_HOME,
    limit: Limit = 20,
    team: Team = None,
    task: Annotated[Text, _option("--task", "Of this task.", "このタスクのみ。")] = None,
    cause: Annotated[Text, _option("--cause", "Only by this cause.", "この原因のみ。")] = None,
    since: Since = None,
    until: Until = None,
    as_json: AsJson = False,
) -> None:
    """Print broken caches, newest first, and a remedy for each cause among them."""
    given = {"team_id": team, "task_id": task, "cause": cause, "since": since, "until": until, "limit": str(limit)}
    query = urlencode({name: value for name, value in given.items() if value})
    found = ask(home, "GET", f"/admin/v1/cache/breaks?{query}")["breaks"]
    if as_json:
        print_json(found)
        return
    if not found:
        typer.echo(say("No cache was broken.", "失われたキャッシュはありません。"), err=True)
        return
    head = [
        say("at", "時刻"),
        say("call", "コール"),
        say("agent", "エージェント"),
        say("model", "モデル"),
        say("cause", "原因"),
        say("block", "ブロック"),
        say("detail", "詳細"),
        say("lost tokens", "損失トークン"),
        say("lost", "損失"),
    ]
    typer.echo(columns([head, *(_break_line(one) for one in found)]))
    for name, remedy in {one["cause"]: one["remedy"][language()] for one in found}.items():
        typer.echo(f"{name}: {remedy}")


@app.command("task", help=say("What caches did for one task.", "1 つのタスクについて表示します。"))
def task_cache(
    task: Annotated[str, typer.Argument(help=say("Its id.", "タスクの ID。"))],
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Print the sums of a task."""
    found = ask(home, "GET", f"/admin/v1/tasks/{quote(task, safe='')}/cache")
    if as_json:
        print_json(found)
        return
    typer.echo(_total(found["total"]))
    if found["causes"]:
        _print_rows(found["causes"], ["cause"])


def _print_rows(rows: list[dict[str, Any]], groups: list[str]) -> None:
    if not rows:
        return
    heads = {"team": say("team", "チーム"), "day": say("day", "日"), "cause": say("cause", "原因")}
    names = {"team": "team_id", "day": "day", "cause": "cause"}
    figures = [say("calls", "コール"), say("lost", "損失")]
    if "cause" not in groups:
        figures = [say("calls", "コール"), say("hit rate", "ヒット率"), say("saved", "節約"), say("lost", "損失")]
    table = [[*(heads[one] for one in groups), *figures]]
    for row in rows:
        shown = [str(row["calls"]), f"${usd(row['lost_nanousd'])}"]
        if "cause" not in groups:
            shown[1:1] = [_rate(row), _signed_usd(row["saved_nanousd"])]
        table.append([*(row[names[one]] or "-" for one in groups), *shown])
    typer.echo(columns(table))


def _total(row: dict[str, Any]) -> str:
    saved, lost = _signed_usd(row["saved_nanousd"]), f"${usd(row['lost_nanousd'])}"
    return say(
        f"Total: {row['calls']} calls, hit rate {_rate(row)}, saved {saved}, lost {lost}",
        f"合計: コール {row['calls']} 件、ヒット率 {_rate(row)}、節約 {saved}、損失 {lost}",
    )


def _break_line(one: dict[str, Any]) -> list[str]:
    told = (one["started_at"], one["call_id"], one["agent"], one["model"], one["cause"], one["block"], one["detail"])
    return [*(value or "-" for value in told), str(one["lost_tokens"]), f"${usd(one['lost_nanousd'])}"]


def _rate(row: dict[str, Any]) -> str:
    return "-" if row["hit_rate"] is None else f"{row['hit_rate'] * 100:.1f} %"


def _signed_usd(nanousd: int) -> str:
    return f"{'-' if nanousd < 0 else ''}${usd(abs(nanousd))}"
