"""`sekisho status`: what the holder of a key may do, and what it has cost."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sekisho.cli.gateway import DEFAULT_URL, GatewayError, fail, get_json, read_key, root_url
from sekisho.cli.messages import say


class _Key(msgspec.Struct):
    id: str
    alias: str = ""
    expires_at: int | str | None = None
    blocked: bool = False
    models: tuple[str, ...] = ()


class _Use(msgspec.Struct):
    calls: int
    total_tokens: int
    cost_nanousd: int


class _Usage(msgspec.Struct):
    today: _Use
    month: _Use


class _Status(msgspec.Struct):
    key: _Key
    usage: _Usage
    budget: Mapping[str, int] | None = None
    simulated: bool = False


def status(
    url: Annotated[
        str, typer.Option(envvar="SEKISHO_URL", help=say("Address of the gateway.", "ゲートウェイのアドレス。"))
    ] = DEFAULT_URL,
    key: Annotated[
        str | None, typer.Option(help=say("Virtual key; else SEKISHO_KEY.", "仮想キー。なければ SEKISHO_KEY。"))
    ] = None,
) -> None:
    try:
        root = root_url(url)
        answer = msgspec.convert(get_json(root, "/v1/sekisho/status", read_key(key)), _Status)
    except GatewayError as error:
        fail(str(error))
    except msgspec.ValidationError:
        fail(say(f"{url} is not a Sekisho of this version.", f"{url} はこの版の Sekisho ではありません。"))
    _show(answer, Console())


def _show(answer: _Status, out: Console) -> None:
    if answer.simulated:
        out.print(
            say(
                "Simulator: answers are made up and no AWS account is charged.",
                "シミュレーター：応答は作りもので、AWS の料金はかかりません。",
            ),
            style="yellow",
        )
    facts = Table.grid(padding=(0, 3))
    facts.add_row(say("Key", "キー"), Text(answer.key.alias or answer.key.id))
    facts.add_row(say("Valid until", "有効期限"), _expiry(answer.key))
    facts.add_row(say("Models", "モデル"), Text(", ".join(answer.key.models) or say("all", "すべて")))
    facts.add_row(say("Room", "残り"), _room(answer))
    out.print(facts)
    use = Table(box=None, padding=(0, 3), header_style="dim")
    use.add_column("")
    for title in (say("Spent", "使用"), say("Calls", "コール"), say("Tokens", "トークン")):
        use.add_column(title, justify="right")
    for title, row in ((say("Today", "今日"), answer.usage.today), (say("This month", "今月"), answer.usage.month)):
        use.add_row(title, dollars(row.cost_nanousd), f"{row.calls:,}", f"{row.total_tokens:,}")
    out.print(use)


def dollars(nanousd: int) -> str:
    """A sum of money: two digits, rounded half up; what is less than a cent and not nothing says so."""
    if 0 < nanousd < 5_000_000:
        return "<$0.01"
    return f"${Decimal(nanousd).scaleb(-9).quantize(Decimal('0.01'), ROUND_HALF_UP):,}"


def _expiry(key: _Key) -> Text:
    if key.blocked:
        return Text(say("blocked", "止められています"), style="red")
    if key.expires_at is None:
        return Text(say("no end", "期限なし"))
    if isinstance(key.expires_at, str):
        moment = datetime.fromisoformat(key.expires_at)
    else:
        moment = datetime.fromtimestamp(key.expires_at / 1_000_000, UTC)
    return Text(f"{moment.astimezone():%Y-%m-%d %H:%M %Z}")


def _room(answer: _Status) -> Text:
    if answer.budget is None:
        return Text(say("no budget set", "予算の設定なし"))
    return Text(dollars(answer.budget.get("room_nanousd", 0)))
