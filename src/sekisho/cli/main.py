"""The `sekisho` command: one file per command group, imported when it is asked for."""

import os
import sys
from importlib import import_module
from typing import Annotated

import typer

from sekisho import __version__
from sekisho.cli.completion import COMPLETE, prepare_completion
from sekisho.cli.messages import language, say

# name: the module of its command, the function or, for a group, the Typer application in it, and its help
_COMMANDS: dict[str, tuple[str, str, str]] = {
    "serve": (
        "sekisho.cli.serve",
        "serve",
        say(
            "Start Sekisho. Without configuration and AWS credentials it answers from its Bedrock simulator.",
            "関所を起動します。設定も AWS の認証情報もなければ、Bedrock シミュレーターが応答します。",
        ),
    ),
    "setup": (
        "sekisho.cli.setup",
        "setup",
        say(
            "Point a coding agent at Sekisho, or undo it.",
            "コーディングエージェントを関所につなぎます。元にも戻せます。",
        ),
    ),
    "status": (
        "sekisho.cli.status",
        "status",
        say("Show what your key may do, and what it has cost.", "手元のキーで使えるモデルと、使用額を表示します。"),
    ),
    "demo": (
        "sekisho.cli.demo",
        "demo",
        say(
            "Fill the simulator's Sekisho with a month of an organisation at work, or take it out again.",
            "シミュレーターの関所に、ある組織の 1 か月分の利用を作ります。取り除くこともできます。",
        ),
    ),
    "key": ("sekisho.cli.keys", "app", ""),
    "team": ("sekisho.cli.teams", "app", ""),
    "user": ("sekisho.cli.users", "app", ""),
    "tag": ("sekisho.cli.tags", "app", ""),
    "budget": ("sekisho.cli.budgets", "app", ""),
    "limit": ("sekisho.cli.limits", "app", ""),
    "policy": ("sekisho.cli.policies", "app", ""),
    "explain": (
        "sekisho.cli.explain",
        "explain",
        say(
            "Say whether a call would pass and why not, or why one ended as it did.",
            "コールが通るかどうか、通らない理由、または過去のコールの結果の理由を説明します。",
        ),
    ),
    "spend": (
        "sekisho.cli.spend",
        "spend",
        say(
            "Show what was spent, by team, user, key, tag, model or agent.",
            "使用額をチーム、ユーザー、キー、タグ、モデル、エージェントごとに表示します。",
        ),
    ),
    "cache": ("sekisho.cli.cache", "app", ""),
    "call": ("sekisho.cli.calls", "app", ""),
    "task": ("sekisho.cli.tasks", "app", ""),
    "bounds": (
        "sekisho.cli.events",
        "bounds",
        say(
            "Show how much more than their cost calls had reserved, by agent and model.",
            "コールの予約額と実費の比をエージェントとモデルごとに表示します。",
        ),
    ),
    "events": (
        "sekisho.cli.events",
        "events",
        say("Show which thresholds budgets have reached.", "予算がしきい値に達した記録を表示します。"),
    ),
    "health": (
        "sekisho.cli.health",
        "health",
        say("Show the processes and how they are.", "プロセスとその状態を表示します。"),
    ),
    "audit": ("sekisho.cli.audit", "app", ""),
    "content": ("sekisho.cli.content", "app", ""),
    "role": ("sekisho.cli.roles", "app", ""),
    "token": ("sekisho.cli.tokens", "app", ""),
    "metadata": ("sekisho.cli.required", "app", ""),
    "plan": (
        "sekisho.cli.organisation",
        "plan",
        say(
            "Show what it takes to make the organisation what a file states. Exit status 2: there is something to do.",
            "組織をファイルの内容に合わせるための変更を表示します。変更があれば終了コードは 2 です。",
        ),
    ),
    "apply": (
        "sekisho.cli.organisation",
        "apply",
        say("Make the organisation what a file states.", "組織をファイルの内容に合わせます。"),
    ),
    "export": (
        "sekisho.cli.organisation",
        "export",
        say("Write the organisation as a file.", "組織をファイルに書き出します。"),
    ),
    "backup": (
        "sekisho.cli.backup",
        "backup",
        say(
            "Write everything to one file, also while Sekisho is serving.",
            "すべてのデータを 1 つのファイルに書き出します。稼働中でも使えます。",
        ),
    ),
    "restore": (
        "sekisho.cli.backup",
        "restore",
        say("Make a new home from a backup.", "バックアップから新しいデータフォルダーを作ります。"),
    ),
    "completion": (
        "sekisho.cli.completion",
        "completion",
        say(
            'Print what lets your shell complete commands: eval "$(sekisho completion bash)".',
            'シェルの入力補完用スクリプトを出力します。例: eval "$(sekisho completion bash)"',
        ),
    ),
    "login": (
        "sekisho.cli.login",
        "login",
        say(
            "Sign this command line in, in your browser.",
            "ブラウザーで許可して、このコマンドラインからログインします。",
        ),
    ),
    "logout": (
        "sekisho.cli.login",
        "logout",
        say("Sign out and revoke the token.", "ログアウトし、トークンを失効させます。"),
    ),
    "whoami": (
        "sekisho.cli.login",
        "whoami",
        say("Say who is signed in here.", "ログイン中のユーザーを表示します。"),
    ),
    "console": (
        "sekisho.cli.console",
        "console",
        say(
            "Print a link that opens the console once. Run it as the user that runs Sekisho.",
            "コンソールを 1 回だけ開けるリンクを作ります。関所を動かしているユーザーで実行してください。",
        ),
    ),
}


# the order of the help page; what is named nowhere comes last
_PANELS = (
    (
        say("Run and use", "起動と利用"),
        ("serve", "login", "logout", "whoami", "demo", "setup", "status", "explain", "console"),
    ),
    (say("Organisation", "組織"), ("team", "user", "key", "tag", "role", "token", "policy", "metadata")),
    (say("Money and limits", "予算と上限"), ("budget", "limit", "spend", "task", "call", "cache", "events", "bounds")),
    (say("Organisation as one file", "組織をファイルで管理"), ("plan", "apply", "export")),
    (say("Operate", "運用"), ("health", "audit", "content", "backup", "restore", "completion")),
)


def _show_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(__version__)
        raise typer.Exit


def _sekisho(
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


def create_app(wanted: str = "") -> typer.Typer:
    """The command line with the wanted command alone, which starts faster; with all of them if there is none such."""
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
    app.callback()(_sekisho)  # it also lets a single command keep its name
    panels = {name: panel for panel, names in _PANELS for name in names}
    for name in [wanted] if wanted in _COMMANDS else sorted(_COMMANDS, key=[*panels, *_COMMANDS].index):
        module, attribute, words = _COMMANDS[name]
        command = getattr(import_module(module), attribute)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name, rich_help_panel=panels.get(name))
        else:
            app.command(name, help=words, rich_help_panel=panels.get(name))(command)
    return app


def main() -> None:
    """The entry point of the `sekisho` script."""
    if language() == "ja":
        _speak_japanese()
    if COMPLETE in os.environ:
        prepare_completion()
        create_app(_typed_command(os.environ.get("COMP_WORDS", "")))(prog_name="sekisho")
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    create_app("completion" if wanted == "--version" else wanted)()


def _typed_command(line: str) -> str:
    """The command that a line for the shell's completion goes on from; empty while it is still being typed."""
    words = line.split()
    return words[1] if len(words) > 2 or (len(words) == 2 and line.endswith(" ")) else ""


def _speak_japanese() -> None:
    """The words that the help pages take from Typer."""
    from typer import rich_utils  # noqa: PLC0415  Rich is slow to import

    rich_utils.ARGUMENTS_PANEL_TITLE = "引数"
    rich_utils.OPTIONS_PANEL_TITLE = "オプション"
    rich_utils.COMMANDS_PANEL_TITLE = "コマンド"
    rich_utils.ERRORS_PANEL_TITLE = "エラー"
    rich_utils.DEFAULT_STRING = "[初期値: {}]"
    rich_utils.ENVVAR_STRING = "[環境変数: {}]"
    rich_utils.REQUIRED_LONG_STRING = "[必須]"
    rich_utils.ABORTED_TEXT = "中止しました。"
    rich_utils.RICH_HELP = "使い方: [blue]'{command_path} {help_option}'[/]"
