"""`sekisho spend`: what was spent, by whatever is asked, through the running control process."""

from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import urlencode

import typer

from sekisho.cli.messages import columns, say
from sekisho.cli.operator import ask
from sekisho.cli.options import DEFAULT_HOME, AsJson, Home, print_json

SPEND = "/admin/v1/spend"
PAGE = 10_000


class Group(StrEnum):
    """What a sum can be grouped by."""

    team = "team"
    user = "user"
    key = "key"
    tag = "tag"
    model = "model"
    agent = "agent"
    mode = "mode"
    repository = "repository"


class Period(StrEnum):
    """Calendar periods."""

    day = "day"
    week = "week"
    month = "month"


By = Annotated[
    list[Group] | None, typer.Option("--by", help=say("Group by; may repeat.", "集計の軸。複数回指定できます。"))
]
Per = Annotated[
    Period | None, typer.Option("--per", help=say("Also per day, week or month.", "日・週・月ごとにも集計します。"))
]
Since = Annotated[
    str | None, typer.Option("--since", help=say("First day or moment.", "最初の日または時刻。例: 2026-04-01"))
]
Until = Annotated[
    str | None,
    typer.Option("--until", help=say("Last day, or the moment it ends.", "最後の日、または終わりの時刻。")),
]
Zone = Annotated[
    str | None,
    typer.Option(
        "--time-zone", help=say("Whose days: such as Asia/Tokyo.", "日付の基準にするタイムゾーン。例: Asia/Tokyo")
    ),
]
Values = list[str] | None
Team = Annotated[Values, typer.Option("--team", help=say("Only of this team.", "チームで絞り込みます。"))]
User = Annotated[Values, typer.Option("--user", help=say("Only of this user.", "ユーザーで絞り込みます。"))]
Key = Annotated[Values, typer.Option("--key", help=say("Only of this key (id).", "キー（ID）で絞り込みます。"))]
Tag = Annotated[Values, typer.Option("--tag", help=say("Only with this tag.", "タグで絞り込みます。"))]
Model = Annotated[Values, typer.Option("--model", help=say("Only of this model.", "モデルで絞り込みます。"))]
Agent = Annotated[Values, typer.Option("--agent", help=say("Only of this agent.", "エージェントで絞り込みます。"))]
Mode = Annotated[
    Values,
    typer.Option("--mode", help=say("Only in this mode: plan or act.", "plan または act で絞り込みます。")),
]
Repository = Annotated[
    Values, typer.Option("--repository", help=say("Only of this repository.", "リポジトリで絞り込みます。"))
]
AsCsv = Annotated[bool, typer.Option("--csv", help=say("Print CSV.", "CSV で出力します。"))]


def spend(
    by: By = None,
    per: Per = None,
    since: Since = None,
    until: Until = None,
    time_zone: Zone = None,
    team: Team = None,
    user: User = None,
    key: Key = None,
    tag: Tag = None,
    model: Model = None,
    agent: Agent = None,
    mode: Mode = None,
    repository: Repository = None,
    home: Home = DEFAULT_HOME,
    as_csv: AsCsv = False,
    as_json: AsJson = False,
) -> None:
    """Print sums, dearest first, and their total."""
    filters = {"team": team, "user": user, "key": key, "tag": tag, "model": model, "agent": agent}
    filters |= {"mode": mode, "repository": repository}
    single = {"period": per and per.value, "since": since, "until": until, "time_zone": time_zone}
    query: list[tuple[str, str]] = [("by", one.value) for one in by or ()]
    query += [(name, value) for name, value in single.items() if value]
    query += [(name, value) for name, values in filters.items() for value in values or ()]
    if as_csv:
        typer.echo(ask(home, "GET", f"{SPEND}?{urlencode([*query, ('format', 'csv')])}"), nl=False)
        return
    report = _whole(home, query)
    if as_json:
        print_json(report)
    else:
        _print(report, [one.value for one in by or ()], per is not None)


def _whole(home: Any, query: list[tuple[str, str]]) -> dict[str, Any]:
    """The report with the rows of all its pages."""
    report: dict[str, Any] = ask(home, "GET", f"{SPEND}?{urlencode([*query, ('limit', str(PAGE))])}")
    while report["next"] is not None:
        more = [*query, ("limit", str(PAGE)), ("after", report["next"])]
        page = ask(home, "GET", f"{SPEND}?{urlencode(more)}")
        report["rows"] += page["rows"]
        report["next"] = page["next"]
    return report


def _print(report: dict[str, Any], by: list[str], with_period: bool) -> None:
    names = [one if one in ("tag", "model", "agent", "mode", "repository") else f"{one}_id" for one in by]
    head = [*([say("from", "開始日")] if with_period else []), *(_HEADS[one] for one in by), *_FIGURES]
    lines = [
        [*([row["period"]] if with_period else []), *(row[name] or "-" for name in names)] for row in report["rows"]
    ]
    table = [line + _figures(row) for line, row in zip(lines, report["rows"], strict=True)]
    if table:
        typer.echo(columns([head, *table]))
    total = report["total"]
    typer.echo(
        say(
            f"Total: ${usd(total['cost_nanousd'])}, {total['calls']} calls ({total['failed']} failed), "
            f"{total['refused']} refused",
            f"合計: ${usd(total['cost_nanousd'])}、コール {total['calls']} 件（うち失敗 {total['failed']} 件）、"
            f"拒否 {total['refused']} 件",
        )
    )


def _figures(row: dict[str, Any]) -> list[str]:
    usage = row["usage"]
    prompt = sum(
        usage[name] for name in ("input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens")
    )
    counts = (row["calls"], row["failed"], row["refused"], prompt, usage["output_tokens"])
    return [*map(str, counts), f"${usd(row['cost_nanousd'])}"]


def usd(nanousd: int) -> str:
    """Dollars with nine decimals: nothing is rounded."""
    return f"{nanousd // 10**9}.{nanousd % 10**9:09d}"


_HEADS = {
    "team": say("team", "チーム"),
    "user": say("user", "ユーザー"),
    "key": say("key", "キー"),
    "tag": say("tag", "タグ"),
    "model": say("model", "モデル"),
    "agent": say("agent", "エージェント"),
    "mode": say("mode", "モード"),
    "repository": say("repository", "リポジトリ"),
}
_FIGURES = (
    say("calls", "コール"),
    say("failed", "失敗"),
    say("refused", "拒否"),
    say("input tokens", "入力トークン"),
    say("output tokens", "出力トークン"),
    say("cost", "費用"),
)
