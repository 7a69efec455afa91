"""`sekisho call list|show`: calls as the ledger has them."""

from typing import Annotated, Any
from urllib.parse import quote, urlencode

import typer

from sekisho.cli.messages import columns, say
from sekisho.cli.operator import ask
from sekisho.cli.options import DEFAULT_HOME, AsJson, Home, print_json, print_lines, usd_of

app = typer.Typer(
    help=say("Calls: who called what, when, and for how much.", "コール: 誰がいつ何を呼び、いくらかかったか。"),
    no_args_is_help=True,
)
Text = str | None


def _option(name: str, english: str, japanese: str) -> Any:
    return typer.Option(name, help=say(english, japanese))


@app.command("list", help=say("List calls, the newest first.", "コールを新しい順に表示します。"))
def list_calls(
    home: Home = DEFAULT_HOME,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help=say("How many.", "表示する件数。"))] = 50,
    team: Annotated[Text, _option("--team", "Of this team.", "このチームのコール。")] = None,
    user: Annotated[Text, _option("--user", "Of this user.", "このユーザーのコール。")] = None,
    key: Annotated[Text, _option("--key", "Of this virtual key, by its id.", "この仮想キー（ID）のコール。")] = None,
    model: Annotated[Text, _option("--model", "To this model.", "このモデルへのコール。")] = None,
    status: Annotated[
        Text, _option("--status", "ok, refused, failed, interrupted or running.", "状態（ok、refused など）。")
    ] = None,
    since: Annotated[Text, _option("--since", "First day or moment.", "最初の日または時刻。例: 2026-04-01")] = None,
    until: Annotated[Text, _option("--until", "Last day or moment.", "最後の日または時刻。")] = None,
    as_json: AsJson = False,
) -> None:
    """Print calls."""
    given = {"team_id": team, "user_id": user, "key_id": key, "model": model, "status": status}
    given |= {"since": since, "until": until}
    query = {name: value for name, value in given.items() if value} | {"limit": str(limit)}
    found = ask(home, "GET", f"/admin/v1/calls?{urlencode(query)}")["calls"]
    if as_json:
        print_json(found)
        return
    if not found:
        typer.echo(say("There are no such calls.", "該当するコールはありません。"), err=True)
        return
    head = [
        say("call", "コール"),
        say("began", "開始"),
        say("status", "状態"),
        say("team", "チーム"),
        say("user", "ユーザー"),
        say("model", "モデル"),
        say("tokens", "トークン"),
        say("cost", "費用"),
        say("tools called", "呼び出したツール"),
    ]
    typer.echo(columns([head, *map(_line, found)]))


@app.command("show", help=say("Show one call.", "1 つのコールを表示します。"))
def show(
    call: Annotated[str, typer.Argument(help=say("Its id.", "コールの ID。"))],
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Print a call with its attempts."""
    found = ask(home, "GET", f"/admin/v1/calls/{quote(call, safe='')}")
    if as_json:
        print_json(found)
        return
    usage = found["usage"]
    print_lines(
        {
            say("call", "コール"): found["id"],
            say("task", "タスク"): f"{found['task_id'] or '-'} {found['mode']} {found['turn']}".rstrip(),
            say("began, ended", "開始、終了"): f"{found['started_at']}, {found['ended_at'] or '-'}",
            say("status", "状態"): f"{found['status']} {found['error']}".strip(),
            say("team, user", "チーム、ユーザー"): f"{found['team_id'] or '-'}, {found['user_id'] or '-'}",
            say("agent", "エージェント"): f"{found['agent']} {found['agent_version']}".strip() or "-",
            say("model", "モデル"): found["model"],
            say("ended by", "終わり方"): found["stop_reason"] or "-",
            say("tools called", "呼び出したツール"): _tools(found),
            say("tokens in, cached, written, out", "トークン（入力、読取、書込、出力）"): ", ".join(
                f"{count:,}"
                for count in (
                    usage["input_tokens"],
                    usage["cache_read_tokens"],
                    usage["cache_write_5m_tokens"] + usage["cache_write_1h_tokens"],
                    usage["output_tokens"],
                )
            ),
            say("cost", "費用"): usd_of(found["cost_nanousd"]),
            say("gateway, waited, upstream", "ゲートウェイ、待ち、上流"): ", ".join(
                f"{found[name] / 1000:,.1f} ms" for name in ("gateway_us", "waited_us", "upstream_us")
            ),
            **{
                say(
                    f"attempt {number}", f"試行 {number}"
                ): f"{one['deployment']} {one['status']} {one['error']}".rstrip()
                for number, one in enumerate(found["attempts"], start=1)
            },
        }
    )


def _line(call: dict[str, Any]) -> list[str]:
    usage = call["usage"]
    tokens = sum(count for name, count in usage.items() if name != "reasoning_tokens")
    named = [value or "-" for value in (call["team_id"], call["user_id"], call["model"])]
    status = f"{call['status']} {call['error']}".strip()
    return [
        *(call["id"], call["started_at"], status, *named),
        *(f"{tokens:,}", usd_of(call["cost_nanousd"]) or "", _tools(call)),
    ]


def _tools(call: dict[str, Any]) -> str:
    """What the answer called, and how often; "+" for those that are more than a row holds."""
    return " ".join(f"{name or '+'}×{count}" for name, count in call["tools"].items()) or "-"
