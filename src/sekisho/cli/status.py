"""`sekisho status`: what the holder of a key may do, and what it has cost."""

from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Annotated

import msgspec
import typer

from sekisho.cli.gateway import GatewayError, Url, fail, get_json, read_key, root_url
from sekisho.cli.messages import columns, say


class _Period(msgspec.Struct):
    calls: int
    refused: int
    prompt_tokens: int
    output_tokens: int
    cost_nanousd: int


class _Status(msgspec.Struct):
    """The answer of GET /v1/sekisho/status. No models: all models."""

    key_alias: str
    key_hint: str
    user_id: str
    team_id: str
    models: tuple[str, ...]
    expires_at: str | None
    simulated: bool
    today: _Period
    month: _Period


def status(
    url: Url = None,
    key: Annotated[
        str | None,
        typer.Option(
            help=say(
                "Virtual key. Better: SEKISHO_KEY, a pipe, or the hidden prompt.",
                "仮想キー。SEKISHO_KEY、パイプ、画面に出ない入力のほうが安全です。",
            )
        ),
    ] = None,
) -> None:
    try:
        root = root_url(url)
        given = read_key(key)
        if not given:
            fail(
                say(
                    "No key. Give it in SEKISHO_KEY or with --key.",
                    "キーがありません。SEKISHO_KEY か --key で渡してください。",
                )
            )
        answer = msgspec.convert(get_json(root, "/v1/sekisho/status", given), _Status)
    except GatewayError as error:
        fail(str(error))
    except msgspec.ValidationError:
        fail(say(f"{root} is not a Sekisho of this version.", f"{root} はこのバージョンの関所ではありません。"))
    typer.echo(_render(answer))


def _render(answer: _Status) -> str:
    facts = [
        (say("Key", "キー"), f"{answer.key_alias or '-'}  (sk-...{answer.key_hint})"),
        (say("User", "利用者"), answer.user_id or "-"),
        (say("Team", "チーム"), answer.team_id or "-"),
        (say("Models", "モデル"), ", ".join(answer.models) or say("all", "すべて")),
        (say("Valid until", "有効期限"), local_time(answer.expires_at) or say("no end", "無期限")),
        (say("Room", "残り"), say("no budget set", "予算の設定なし")),
    ]
    titles = (
        "",
        say("Spent", "使用額"),
        say("Calls", "コール"),
        say("Refused", "拒否"),
        say("Input", "入力"),
        say("Output", "出力"),
    )
    use = [
        titles,
        _use(say("Today (UTC)", "今日 (UTC)"), answer.today),
        _use(say("This month", "今月"), answer.month),
    ]
    parts = [columns(facts), columns(use)]
    if answer.simulated:
        parts.insert(
            0,
            say(
                "Simulator: answers are made up and no AWS account is charged.",
                "シミュレーター：応答は台本どおりで、AWS の料金はかかりません。",
            ),
        )
    return "\n\n".join(parts)


def _use(title: str, period: _Period) -> tuple[str, ...]:
    tokens = say("{:,} tokens", "{:,} トークン")
    return (
        title,
        dollars(period.cost_nanousd),
        f"{period.calls:,}",
        f"{period.refused:,}",
        tokens.format(period.prompt_tokens),
        tokens.format(period.output_tokens),
    )


def dollars(nanousd: int) -> str:
    """A sum of money: two digits, rounded half up; what is less than a cent and not nothing says so."""
    if 0 < nanousd < 5_000_000:
        return "<$0.01"
    return f"${Decimal(nanousd).scaleb(-9).quantize(Decimal('0.01'), ROUND_HALF_UP):,}"


def local_time(moment: str | None) -> str:
    """An ISO moment as minutes on this machine's clock; nothing for none."""
    return f"{datetime.fromisoformat(moment).astimezone():%Y-%m-%d %H:%M %Z}" if moment else ""
