"""`sekisho explain`: would a call pass and why not, or why did one end as it did."""

from typing import Annotated, Any
from urllib.parse import quote

import typer

from sekisho.cli.messages import language, say
from sekisho.cli.operator import ask, stop
from sekisho.cli.options import DEFAULT_HOME, AsJson, Home, given, print_json, print_lines, usd_of
from sekisho.cli.policies import allowed_text

_MARKS = {"pass": "✓", "stop": "✗", "not reached": "·"}
_GATES = {
    "key": say("key", "キー"),
    "model": say("model", "モデル"),
    "access": say("access", "許可"),
    "price": say("price", "料金"),
    "budgets": say("budgets", "予算"),
    "limits": say("limits", "流量"),
}


def explain(
    key: Annotated[str | None, typer.Option("--key", help=say("Id of a virtual key.", "仮想キーの ID。"))] = None,
    model: Annotated[str | None, typer.Option("--model", help=say("Model to call.", "呼び出すモデル。"))] = None,
    user: Annotated[
        str | None,
        typer.Option("--user", help=say("A user, in the place of a key.", "キーの代わりに指定するユーザー。")),
    ] = None,
    team: Annotated[
        str | None,
        typer.Option(
            "--team", help=say("A team, in the place of a key or with --user.", "キーの代わり、または --user と指定。")
        ),
    ] = None,
    call: Annotated[
        str | None, typer.Option("--call", help=say("Id of a call that was made.", "行われたコールの ID。"))
    ] = None,
    body_bytes: Annotated[
        int | None, typer.Option("--body-bytes", help=say("Size of the request.", "リクエストのバイト数。"))
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option("--max-tokens", help=say("Longest answer.", "応答の最大トークン数。"))
    ] = None,
    agent: Annotated[
        str | None, typer.Option("--agent", help=say("Name of the agent.", "エージェントの名前。"))
    ] = None,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Explain a call that is thought of (--key, or --user and --team, and --model), or one that was made (--call)."""
    if call and not (key or model or user or team):
        said = ask(home, "GET", f"/admin/v1/calls/{quote(call, safe='')}/explain?language={language()}")
        print_json(said) if as_json else _show_call(said)
        return
    if not model or call or bool(key) == bool(user or team):
        stop(
            say(
                "Give --model and either --key or --user and --team; or --call alone.",
                "--model と、--key か --user・--team のどちらかを指定するか、--call だけを指定してください。",
            )
        )
    question = given(
        key_id=key, user_id=user, team_id=team, model=model, body_bytes=body_bytes, max_tokens=max_tokens, agent=agent
    )
    said = ask(home, "POST", "/admin/v1/explain", question | {"language": language()})
    print_json(said) if as_json else _show(said)


def _show_call(said: dict[str, Any]) -> None:
    print_lines(
        {
            say("call", "コール"): said["id"],
            say("model", "モデル"): said["model"],
            say("status", "状態"): f"{said['status']} {said['error']}".strip(),
            say("stage", "段階"): said["stage"] or "-",
            say("message", "メッセージ"): said["message"] or "-",
            say("what helps", "対処"): said["remedy"],
        }
    )


def _show(said: dict[str, Any]) -> None:
    passes = say("The call would pass.", "このコールは通ります。")
    refused = say("The call would be refused.", "このコールは拒否されます。")
    typer.echo(passes if said["passes"] else refused)
    for gate in said["gates"]:
        typer.echo(f"  {_MARKS[gate['answer']]} {_GATES[gate['gate']]}  {gate['reason'] or ''}".rstrip())
    if said["call"]:
        _show_passing(said["call"])
    for budget in said["budgets"]:
        typer.echo(_budget(budget))
    for limit in said["limits"]:
        typer.echo(_limit(limit))
    for title, owner in ((say("key", "キー"), said["key"]), (say("team", "チーム"), said["team"])):
        if owner and owner["models"]:
            typer.echo(f"{title} {owner['id']}: {say('only', '使用可')} {', '.join(owner['models'])}")
    for policy in said["policies"]:
        scope = policy["scope"]
        title = say("policy", "ポリシー")
        words = allowed_text(policy)
        typer.echo(f"{title} {policy['name'] or policy['id']} ({scope['kind']}:{scope['id']})  {words}")


def _show_passing(call: dict[str, Any]) -> None:
    places = ", ".join(f"{one['provider']} {one['region']} {one['geography']}".strip() for one in call["deployments"])
    longest = str(call["max_output_tokens"])
    if (policy := call["shortened_by"]) is not None:
        name = policy["name"] or policy["id"]
        longest += say(f" (policy {name})", f"（ポリシー {name}）")
    asked = f" ({call['asked_model']} → {call['model']})" if call["asked_model"] else ""
    print_lines(
        {
            say("model", "モデル"): f"{call['model']}{asked}",
            say("served by", "提供元"): places,
            say("costs at most", "最大費用"): f"${call['held_usd']}",
            say("longest answer", "最大応答"): longest,
            say("held back", "待ち時間"): f"{call['delay_ms'] / 1000:g} s",
        }
    )


def _limit(limit: dict[str, Any]) -> str:
    title = say("limit", "流量の上限")
    if "id" not in limit:
        return f"  {title} {limit['scope']['kind']}"
    rates = (
        (limit["requests_per_minute"], say("calls/min", "回/分")),
        (limit["tokens_per_minute"], say("tokens/min", "トークン/分")),
        (limit["parallel"], say("at once", "同時")),
        (usd_of(limit.get("nanousd_per_task")), say("per task", "/タスク")),
        (limit.get("calls_per_task"), say("calls/task", "回/タスク")),
    )
    used = tuple((limit["used"] or {}).get(name) for name in ("requests", "tokens", "parallel"))
    words = ", ".join(
        f"{rate if one is None else f'{one}/{rate}'} {unit}"
        for (rate, unit), one in zip(rates, used, strict=True)
        if rate is not None
    )
    return f"  {title} {limit['scope']['kind']}:{limit['scope']['id']}  {words}"


def _budget(budget: dict[str, Any]) -> str:
    mark = _MARKS["pass" if budget["passes"] else "stop"]
    title = say("budget", "予算")
    if "amount_usd" not in budget:
        return f"{mark} {title} {budget['scope']['kind']}"
    scope = f"{budget['scope']['kind']}:{budget['scope']['id']}"
    room = say("left", "残り")
    return f"{mark} {title} {scope}  {room} ${budget['room_usd']} / ${budget['amount_usd']}"
