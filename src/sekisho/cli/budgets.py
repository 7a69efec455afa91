"""`sekisho budget ...`: budgets, through the running control process."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from sekisho.cli.messages import say
from sekisho.cli.operator import ask, stop
from sekisho.cli.options import (
    DEFAULT_HOME,
    AsJson,
    Home,
    Model,
    ScopeText,
    Yes,
    confirm,
    given,
    list_all,
    parse_scope,
    taking,
)
from sekisho.cli.resources import Resource, Thing, add_rule_commands, made, scope_text, tell

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
FIELDS: dict[str, Any] = {
    "name": Annotated[str | None, typer.Option("--name", help=say("Name of the budget.", "予算の名前。"))],
    "window": Annotated[
        WindowKind | None, typer.Option("--window", help=say("Its window; month if new.", "期間の種類。新規は month。"))
    ],
    "time_zone": Annotated[
        str | None, typer.Option("--time-zone", help=say("Such as Asia/Tokyo.", "タイムゾーン。例: Asia/Tokyo"))
    ],
    "period_s": Annotated[int | None, typer.Option("--period-s", help=say("Seconds of a period.", "期間の秒数。"))],
    "starts_at": Annotated[str | None, typer.Option("--starts-at", help=say("First moment.", "開始時刻。"))],
    "ends_at": Annotated[str | None, typer.Option("--ends-at", help=say("End.", "終了時刻。"))],
    "is_hard": Annotated[
        bool | None,
        typer.Option(
            "--hard/--soft", help=say("Refuse calls, or only tell.", "超過時に拒否するか、通知だけにするか。")
        ),
    ],
    "thresholds": Annotated[
        list[int] | None,
        typer.Option("--threshold", help=say("Per cent; may repeat.", "通知する割合（%）。複数回指定できます。")),
    ],
    "steps": Annotated[
        list[str] | None,
        typer.Option(
            "--at",
            help=say(
                "PERCENT=alert, =slow_down, =refuse or =step_down:MODEL; may repeat.",
                "割合=alert、=slow_down、=refuse、=step_down:モデル のいずれか。複数回指定できます。",
            ),
        ),
    ],
    "increase": Annotated[
        str | None, typer.Option("--increase", help=say("More US dollars for a while.", "一時的に増やす米ドル。"))
    ],
    "until": Annotated[
        str | None, typer.Option("--until", help=say('End of the increase, such as "7d".', "増額の終わり。例: 7d"))
    ],
    "allow_over_allocation": Annotated[
        bool | None,
        typer.Option(
            "--allow-over-allocation",
            help=say("Even if it is more than there is.", "上位の予算を超える割り当てを許可します。"),
        ),
    ],
}
_WINDOW = ("time_zone", "period_s", "starts_at", "ends_at")
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


def _with_credits(home: Path, one: Thing) -> Thing:
    return one | {"credits": list_all(home, BUDGETS.address(one["id"], "credits"), "credits")}


def _said(one: Thing) -> str:
    increase = one["increase"]
    more = f" + ${increase['amount_usd']} ({increase['until']})" if increase else ""
    return f"${one['amount_usd']}{more} / {one['window']['kind']}, {_kind(one)}"


BUDGETS = Resource("budgets", _row, _lines, say("There are no budgets.", "予算はありません。"), _said, _with_credits)


@app.command("create", help=say("Make a budget.", "予算を作成します。"))
@taking(FIELDS)
def create(
    said: Thing,
    scope: ScopeText,
    amount: Amount,
    home: Home = DEFAULT_HOME,
    model: Model = None,
    as_json: AsJson = False,
) -> None:
    """Make a budget; in force when the command ends."""
    body = _fields({"window": WindowKind.month} | said)
    BUDGETS.create(home, body | given(scope=parse_scope(scope), amount_usd=amount, model=model), as_json)


@app.command("update", help=say("Change a budget.", "予算を変更します。"))
@taking(FIELDS)
def update(
    said: Thing, budget: BudgetId, home: Home = DEFAULT_HOME, amount: NewAmount = None, as_json: AsJson = False
) -> None:
    """Change what is given; leave the rest."""
    BUDGETS.update(home, budget, _fields(said) | given(amount_usd=amount), as_json)


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


add_rule_commands(app, BUDGETS, "budget", "予算")


def _fields(said: Thing) -> Thing:
    """What the options say, as the API takes it. Ends the command for half of something."""
    if ("increase" in said) != ("until" in said):
        stop(say("--increase and --until belong together.", "--increase と --until は一緒に指定してください。"))
    cut = given(**{name: said.get(name) for name in _WINDOW})
    if cut and "window" not in said:
        stop(say("Say the kind of window too: --window.", "--window で期間の種類も指定してください。"))
    fields: Thing = {name: said[name] for name in ("name", "is_hard", "allow_over_allocation") if name in said}
    if "window" in said:
        fields["window"] = {"kind": said["window"].value} | cut
    if "increase" in said:
        fields["increase"] = {"amount_usd": said["increase"], "until": said["until"]}
    return fields | given(thresholds=_thresholds(said.get("thresholds"), said.get("steps")))


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
