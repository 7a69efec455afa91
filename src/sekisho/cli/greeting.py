"""What `sekisho serve` says once it is open: where it is, with which key it opens, what to paste where."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from sekisho.cli.messages import columns, say
from sekisho.cli.operator import request
from sekisho.cli.place import command
from sekisho.kits.agents import KITS
from sekisho.kits.target import Offer, default_model
from sekisho.settings import Settings

DEMO_ALIAS = "demo"


def greet(url: str, settings: Settings, ready: Mapping[str, Any], *, is_simulated: bool) -> None:
    """Print all of it; `ready` is what `/health/ready` says. Where the simulator answers, the first key is made here.

    Raises OperatorError."""
    home = settings.home
    alias = DEMO_ALIAS if is_simulated else ""
    said = request(home, "POST", f"/internal/greeting?alias={alias}")
    has_keys, key, names = said["has_keys"], said["key"], said["models"]
    link = f"{url}/console/enter?code={said['console']}"
    model = default_model(tuple(map(Offer, names)))
    _say_upstream(settings, len(names), is_simulated=is_simulated)
    typer.echo(_kept(said["levels"]))
    if lacking := ", ".join(ready.get("missing_credentials", ())):
        typer.echo(
            say(
                f"Not ready: credentials are missing ({lacking}). Calls fail until they are found; "
                f"{url}/health/ready says when.",
                f"準備未完了：認証情報がありません（{lacking}）。見つかるまでコールは失敗します。"
                f"状態は {url}/health/ready で確かめられます。",
            )
        )
    typer.echo("")
    _say_way_in(home, key, link, has_keys=has_keys)
    if model:
        _say_how_to_use(url, home, key, model)
    else:
        typer.echo(say("\nNo model is on offer.", "\n使えるモデルがありません。"))
    if is_simulated:
        typer.echo(
            say(
                f"\nTo see every page with content, make a month of an organisation at work: {command('demo', home)}",
                f"\n画面に中身がある状態を見るには、ある組織の 1 か月分の利用を作ります：{command('demo', home)}",
            )
        )
    typer.echo(say("\nCtrl-C stops.", "\nCtrl-C で終了します。"))


def _say_upstream(settings: Settings, models: int, *, is_simulated: bool) -> None:
    """In one line, who answers the calls, and why."""
    file = settings.config_file
    if is_simulated and file is None and settings.simulator == "auto":
        line = say(
            "Bedrock simulator: no AWS credentials and no configuration were found. "
            "Answers are scripted; nothing is billed.",
            "Bedrock シミュレーターで動いています（AWS の認証情報も設定ファイルもないため）。"
            "応答は台本どおりで、料金はかかりません。",
        )
    elif is_simulated:
        line = say(
            "Bedrock simulator, as set. Answers are scripted; nothing is billed.",
            "設定に従い Bedrock シミュレーターで動いています。応答は台本どおりで、料金はかかりません。",
        )
    elif file is not None:
        line = say(
            f"{models} {'model' if models == 1 else 'models'}, from {file} and this environment.",
            f"モデル {models} 個（{file} とこの環境の設定）。",
        )
    else:
        line = say(
            f"Amazon Bedrock in {settings.aws_region}, with the AWS credentials of this environment. Calls are billed.",
            f"Amazon Bedrock（{settings.aws_region}）を、この環境の AWS 認証情報で呼び出します。料金がかかります。",
        )
    typer.echo(line)


def _kept(levels: list[str]) -> str:
    """In one line, what is kept of what calls say."""
    named = {
        "none": say("not kept", "残しません"),
        "masked": say("kept masked", "伏せて保存します"),
        "full": say("kept in full", "すべて保存します"),
    }
    words = say(", ", "、").join(f"{named[level]} ({level})" for level in levels)
    by_team = say(", depending on the team", "（部門による）") if len(levels) > 1 else ""
    return say(f"What calls say is {words}{by_team}.", f"コールの本文は{words}{by_team}。")


def _say_way_in(home: Path, key: str, link: str, *, has_keys: bool) -> None:
    create = command("key create", home)
    if key:
        shown, note = key, say("(shown only now)", "（表示は今回だけ）")
    elif has_keys:
        shown, note = say("as made before; another:", "作成済みのもの。追加："), create
    else:
        shown, note = say("none yet; make one:", "まだありません。作成："), create
    rows = [
        (say("Virtual key", "仮想キー"), f"{shown} {note}"),
        (say("Console", "コンソール"), f"{link} {say('(opens once)', '（1 回だけ開けます）')}"),
    ]
    typer.echo(columns(rows))


def _say_how_to_use(url: str, home: Path, key: str, model: str) -> None:
    setup = command("setup cline", home, f"--url {url}")
    shown_key = key or '"$SEKISHO_KEY"'
    bearer = key or "$SEKISHO_KEY"
    typer.echo(say(f"\nSet up an agent ({', '.join(KITS)}):", f"\nエージェントを設定する（{'、'.join(KITS)}）："))
    typer.echo(f"  SEKISHO_KEY={key} {setup}" if key else f"  {setup}")
    if key:
        typer.echo(say("\nOr by hand:", "\n手で設定する："))
    else:
        typer.echo(
            say(
                "\nOr by hand, with SEKISHO_KEY set to your key:",
                "\n手で設定する（SEKISHO_KEY に手元のキーを入れて）：",
            )
        )
    panel_key = say("the key above", "上のキー") if key else say("your key", "手元のキー")
    rows = [
        (
            "  Claude Code",
            f"ANTHROPIC_BASE_URL={url} ANTHROPIC_AUTH_TOKEN={shown_key} ANTHROPIC_MODEL={model} claude",
        ),
        ("  Cline", f"API Provider: LiteLLM | Base URL: {url} | API Key: {panel_key} | Model: {model}"),
    ]
    typer.echo(columns(rows))
    typer.echo(say("\nOr try one call:", "\n1 回呼び出してみる："))
    typer.echo(f'  curl {url}/v1/chat/completions -H "Authorization: Bearer {bearer}" \\')
    typer.echo(f"""    -d '{{"model":"{model}","messages":[{{"role":"user","content":"Hello"}}]}}'""")
