"""`sekisho budget ...`: budgets, through the running control process."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from sekisho.cli.messages import say
from sekisho.cli.operator import ask, stop
from sekisho.cli.options import (
    DEFAULT_HOME,
    AsJson,
    Home,
    Model,
    OfScope,
    ScopeText,
    Yes,
    confirm,
    given,
    list_all,
    parse_scope,
    scoped,
)
from sekisho.cli.resources import Resource, Thing, made, scope_text, tell

app = typer.Typer(no_args_is_help=True, help=say("Budgets.", "予算を管理します。"))


class WindowKind(StrEnum):
    """How the time of a budget is cut."""

    day = "day"
    week = "week"
    month = "month"
    period = "period"
    fixed = "fixed"


BudgetId = Annotated[str, typer.Argument(help=say("The budget's id.", "予算の ID。"))]
Amount = Annotated[str, typer.Argument(help=say("US dollars, such as 10.50.", "米ドルの金額。例: 10.50"))]
NewAmount = Annotated[str | None, typer.Option("--amount", help=say("US dollars.", "米ドルの金額。"))]
Name = Annotated[str | None, typer.Option("--name", help=say("Name of the budget.", "予算の名前。"))]
Kind = Annotated[WindowKind | None, typer.Option("--window", help=say("Its window.", "期間の種類。"))]
Zone = Annotated[
    str | None, typer.Option("--time-zone", help=say("Such as Asia/Tokyo.", "タイムゾーン。例: Asia/Tokyo"))
]
Period = Annotated[int | None, typer.Option("--period-s", help=say("Seconds of a period.", "期間の秒数。"))]
Starts = Annotated[str | None, typer.Option("--starts-at", help=say("First moment.", "開始時刻。"))]
Ends = Annotated[str | None, typer.Option("--ends-at", help=say("End.", "終了時刻。"))]
Hard = Annotated[
    bool | None,
    typer.Option("--hard/--soft", help=say("Refuse calls, or only tell.", "超過時に拒否するか、通知だけにするか。")),
]
Threshold = Annotated[
    list[int] | None,
    typer.Option("--threshold", help=say("Per cent; may repeat.", "通知する割合（%）。複数回指定できます。")),
]
At = Annotated[
    list[str] | None,
    typer.Option(
        "--at",
        help=say(
            "PERCENT=alert, =slow_down, =refuse or =step_down:MODEL; may repeat.",
            "割合=alert、=slow_down、=refuse、=step_down:モデル のいずれか。複数回指定できます。",
        ),
    ),
]
Increase = Annotated[
    str | None, typer.Option("--increase", help=say("More US dollars for a while.", "一時的に増やす米ドル。"))
]
Until = Annotated[
    str | None, typer.Option("--until", help=say('End of the increase, such as "7d".', "増額の終わり。例: 7d"))
]
Over = Annotated[
    bool,
    typer.Option(
        "--allow-over-allocation",
        help=say("Even if it is more than there is.", "上位の予算を超える割り当てを許可します。"),
    ),
]
Reason = Annotated[str, typer.Option("--reason", help=say("Why, for the record.", "理由。記録に残ります。"))]


def _lines(one: Thing) -> Thing:
    lines = {
        say("id", "ID"): one["id"],
        say("scope", "対象"): scope_text(one),
        say("kind", "種類"): _kind(one),
        say("model", "モデル"): one["model"] or say("all", "すべて"),
        say("amount", "金額"): f"${one['amount_usd']}",
        say("spent", "使用額"): f"${one['spent_usd']}",
        say("credit", "戻した額"): f"${one['credit_usd']}",
        say("window", "期間"): " ".join(str(part) for part in one["window"].values() if part is not None),
        say("resets", "リセット"): one["resets_at"] or say("never", "なし"),
        say("thresholds", "通知"): ", ".join(map(_threshold, one["thresholds"])) or "-",
        say("created", "作成"): made(one),
    }
    if one["increase"]:
        lines[say("increase", "増額")] = f"${one['increase']['amount_usd']} ({one['increase']['until']})"
    if one["allow_over_allocation"]:
        lines[say("over-allocation", "超過割り当て")] = say("allowed", "許可済み")
    credits = [f"${back['amount_usd']} {made(back)}: {back['reason']}" for back in one.get("credits", ())]
    if credits:
        lines[say("given back", "戻した記録")] = "; ".join(credits)
    return lines


def _kind(one: Thing) -> str:
    return say("hard", "ハード") if one["is_hard"] else say("soft", "ソフト")


def _threshold(one: Any) -> str:
    if isinstance(one, int):
        return f"{one}%"
    return f"{one['at']}%={one['action']}" + (f":{one['model']}" if "model" in one else "")


def _row(one: Thing) -> tuple[str, ...]:
    money = f"${one['spent_usd']} / ${one['amount_usd']}"
    return one["id"], scope_text(one), one["window"]["kind"], one["model"] or "-", money, _kind(one)


def _said(one: Thing) -> str:
    increase = one["increase"]
    more = f" + ${increase['amount_usd']} ({increase['until']})" if increase else ""
    return f"${one['amount_usd']}{more} / {one['window']['kind']}, {_kind(one)}"


BUDGETS = Resource("budgets", _row, _lines, say("There are no budgets.", "予算はありません。"), _said)


@app.command("create", help=say("Make a budget.", "予算を作成します。"))
def create(
    scope: ScopeText,
    amount: Amount,
    home: Home = DEFAULT_HOME,
    name: Name = None,
    window: Annotated[WindowKind, typer.Option("--window", help=say("Its window.", "期間の種類。"))] = WindowKind.month,
    time_zone: Zone = None,
    period_s: Period = None,
    starts_at: Starts = None,
    ends_at: Ends = None,
    model: Model = None,
    hard: Hard = None,
    threshold: Threshold = None,
    at: At = None,
    increase: Increase = None,
    until: Until = None,
    allow_over_allocation: Over = False,
    as_json: AsJson = False,
) -> None:
    """Make a budget; in force when the command ends."""
    cut = _window(window, time_zone, period_s, starts_at, ends_at)
    fields = _fields(name, amount, hard, _thresholds(threshold, at), increase, until, allow_over_allocation)
    body = fields | given(scope=parse_scope(scope), window=cut, model=model)
    BUDGETS.create(home, body, as_json)


@app.command("list", help=say("Show budgets.", "予算を一覧表示します。"))
def list_budgets(home: Home = DEFAULT_HOME, scope: OfScope = None, as_json: AsJson = False) -> None:
    """Print every budget with what it has spent."""
    BUDGETS.list(home, as_json, **scoped(scope))


@app.command("show", help=say("Show one budget.", "予算の詳細を表示します。"))
def show(budget: BudgetId, home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Print one budget with its credits."""
    shown = BUDGETS.get(home, budget)
    shown["credits"] = list_all(home, BUDGETS.address(budget, "credits"), "credits")
    BUDGETS.print(shown, as_json)


@app.command("update", help=say("Change a budget.", "予算を変更します。"))
def update(
    budget: BudgetId,
    home: Home = DEFAULT_HOME,
    amount: NewAmount = None,
    name: Name = None,
    window: Kind = None,
    time_zone: Zone = None,
    period_s: Period = None,
    starts_at: Starts = None,
    ends_at: Ends = None,
    hard: Hard = None,
    threshold: Threshold = None,
    at: At = None,
    increase: Increase = None,
    until: Until = None,
    allow_over_allocation: Over = False,
    as_json: AsJson = False,
) -> None:
    """Change what is given; leave the rest."""
    fields = _fields(name, amount, hard, _thresholds(threshold, at), increase, until, allow_over_allocation)
    parts = (time_zone, period_s, starts_at, ends_at)
    if window is None and any(part is not None for part in parts):
        stop(say("Say the kind of window too: --window.", "--window で期間の種類も指定してください。"))
    fields |= given(window=_window(window, *parts) if window else None)
    BUDGETS.update(home, budget, fields, as_json)


@app.command("history", help=say("Show who changed it, when, and what it said.", "変更履歴を表示します。"))
def history(budget: BudgetId, home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Print the history, also of what is deleted."""
    BUDGETS.history(home, budget, as_json)


@app.command("credit", help=say("Give money back in the window of now.", "現在の期間に金額を戻します。"))
def credit(
    budget: BudgetId, amount: Amount, reason: Reason, home: Home = DEFAULT_HOME, as_json: AsJson = False
) -> None:
    """Credit a budget; who, when, how much and why stay on record."""
    given_back = ask(home, "POST", BUDGETS.address(budget, "credits"), {"amount_usd": amount, "reason": reason})
    usd = given_back["amount_usd"]
    tell(as_json, given_back, say(f"Credited ${usd}.", f"${usd} を戻しました。"))


@app.command("reset", help=say("Give back all that was spent so far.", "現在の期間の使用額をすべて戻します。"))
def reset(
    budget: BudgetId, reason: Reason, home: Home = DEFAULT_HOME, yes: Yes = False, as_json: AsJson = False
) -> None:
    """Reset a budget after asking; who, when, how much and why stay on record."""
    confirm(home, say(f"Reset the budget {budget}?", f"予算 {budget} をリセットしますか？"), yes)
    given_back = ask(home, "POST", BUDGETS.address(budget, "reset"), {"reason": reason})
    usd = given_back["amount_usd"]
    tell(as_json, given_back, say(f"Gave back ${usd}.", f"${usd} を戻しました。"))


@app.command("delete", help=say("Take a budget away.", "予算を削除します。"))
def delete(budget: BudgetId, home: Home = DEFAULT_HOME, yes: Yes = False, as_json: AsJson = False) -> None:
    """Delete a budget after asking; its history stays."""
    question = say(f"Delete the budget {budget}?", f"予算 {budget} を削除しますか？")
    BUDGETS.delete(home, budget, question, yes, as_json)


def _window(
    kind: WindowKind, time_zone: str | None, period_s: int | None, starts_at: str | None, ends_at: str | None
) -> dict[str, Any]:
    return given(kind=kind.value, time_zone=time_zone, period_s=period_s, starts_at=starts_at, ends_at=ends_at)


def _fields(
    name: str | None,
    amount: str | None,
    hard: bool | None,
    thresholds: list[Any] | None,
    increase: str | None,
    until: str | None,
    allow_over_allocation: bool,
) -> dict[str, Any]:
    if (increase is None) != (until is None):
        stop(say("--increase and --until belong together.", "--increase と --until は一緒に指定してください。"))
    return given(
        name=name,
        amount_usd=amount,
        is_hard=hard,
        thresholds=thresholds,
        increase={"amount_usd": increase, "until": until} if increase is not None else None,
        allow_over_allocation=True if allow_over_allocation else None,
    )


def _thresholds(alerts: list[int] | None, steps: list[str] | None) -> list[Any] | None:
    """All that was given, None for nothing at all. Stops the command for what cannot be read."""
    found: list[Any] = list(alerts or ())
    for step in steps or ():
        percent, _, wish = step.partition("=")
        action, _, model = wish.partition(":")
        if not percent.isdecimal() or not action:
            stop(say(f"Not PERCENT=ACTION: {step}", f"「割合=動作」の形式ではありません: {step}"))
        found.append({"at": int(percent), "action": action} | ({"model": model} if model else {}))
    return found or None
