"""The `sekisho` command: one file per command group."""

from typing import Annotated

import typer
from typer import rich_utils

from sekisho import __version__
from sekisho.cli.console import console
from sekisho.cli.keys import app as keys
from sekisho.cli.messages import language, say
from sekisho.cli.serve import serve
from sekisho.cli.setup import setup
from sekisho.cli.status import status

app = typer.Typer(
    name="sekisho",
    help=say(
        "The checkpoint between coding agents and the models they call.",
        "コーディングエージェントとモデルの間に立つ関所です。",
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _show_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def sekisho(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            is_eager=True,
            callback=_show_version,
            help=say("Show the version.", "バージョンを表示します。"),
        ),
    ] = False,
) -> None:
    """Options that stand before a command."""


app.command(
    help=say(
        "Start Sekisho. Without configuration and AWS credentials it answers from its Bedrock simulator.",
        "関所を起動します。設定も AWS の認証情報もなければ、Bedrock シミュレーターが応答します。",
    )
)(serve)
app.command(
    help=say(
        "Point a coding agent at Sekisho, or undo it.", "コーディングエージェントを関所につなぎます。元にも戻せます。"
    )
)(setup)
app.command(
    help=say("Show what your key may do, and what it has cost.", "手元のキーで使えるモデルと、使用額を表示します。")
)(status)
app.add_typer(keys, name="key")
app.command(
    help=say(
        "Print a link that opens the console once. Run it as the user that runs Sekisho.",
        "コンソールを 1 回だけ開けるリンクを作ります。関所を動かしているユーザーで実行してください。",
    )
)(console)


def main() -> None:
    """The entry point of the `sekisho` script."""
    if language() == "ja":
        _speak_japanese()
    app()


def _speak_japanese() -> None:
    """The words that the help pages take from Typer."""
    rich_utils.ARGUMENTS_PANEL_TITLE = "引数"
    rich_utils.OPTIONS_PANEL_TITLE = "オプション"
    rich_utils.COMMANDS_PANEL_TITLE = "コマンド"
    rich_utils.ERRORS_PANEL_TITLE = "エラー"
    rich_utils.DEFAULT_STRING = "[初期値: {}]"
    rich_utils.ENVVAR_STRING = "[環境変数: {}]"
    rich_utils.REQUIRED_LONG_STRING = "[必須]"
    rich_utils.ABORTED_TEXT = "中止しました。"
    rich_utils.RICH_HELP = "使い方: [blue]'{command_path} {help_option}'[/]"
