"""`sekisho setup AGENT`: point a coding agent at this gateway, and undo it."""

import difflib
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from sekisho.cli.gateway import GatewayError, Url, fail, list_offers, read_key, root_url
from sekisho.cli.messages import program, say
from sekisho.clock import SystemClock
from sekisho.kits import apply
from sekisho.kits.agents import KITS
from sekisho.kits.target import CannotEdit, Kit, Offer, Target, Text, default_model

_MASK = "***"


def setup(
    agent: Annotated[str, typer.Argument(help=say("One of: ", "次のどれか： ") + ", ".join(KITS))],
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
    model: Annotated[
        str | None,
        typer.Option(help=say("Model. Default: the newest Claude Sonnet.", "モデル。初期値は最新の Claude Sonnet。")),
    ] = None,
    home_dir: Annotated[
        Path | None,
        typer.Option(
            help=say(
                "The agent's home folder, if not yours.",
                "エージェントの設定を置くホームフォルダー（初期値は自分のもの）。",
            ),
            file_okay=False,
        ),
    ] = None,
    print_only: Annotated[
        bool,
        typer.Option(
            "--print", help=say("Show the changes, write nothing.", "変更の内容を表示するだけで、書き込みません。")
        ),
    ] = False,
    undo: Annotated[
        bool, typer.Option("--undo", help=say("Bring the former files back.", "設定前のファイルに戻します。"))
    ] = False,
) -> None:
    kit = KITS.get(agent)
    home = (home_dir or Path.home()).resolve()
    if kit is None:
        fail(
            say(
                f"{agent} is not an agent Sekisho knows. Known: {', '.join(KITS)}.",
                f"{agent} の設定には対応していません。対応しているもの：{', '.join(KITS)}。",
            )
        )
    if undo:
        _undo(kit, home)
        return
    try:
        target = _target(url, read_key(key, may_ask=not print_only), model, home)
    except GatewayError as error:
        fail(str(error))
    edits = kit.plan(target)
    try:
        changes = apply.prepare(edits)
    except CannotEdit as error:
        files = ", ".join(str(edit.path) for edit in edits)
        fail(f"{files}: {_text(error.reason)}")
    if print_only:
        _print(changes, target.key)
        return
    _write(kit, target, changes)


def _target(url: str | None, key: str, model: str | None, home: Path) -> Target:
    """Where to point the agent; asks the gateway for its models. Raises GatewayError when no model is known."""
    root = root_url(url)
    if not key and not model:
        raise GatewayError(
            say(
                "No key. Give it in SEKISHO_KEY or with --key; sekisho key create makes one.",
                "キーがありません。SEKISHO_KEY か --key で渡してください。sekisho key create で作れます。",
            )
        )
    offers: tuple[Offer, ...] = ()
    try:
        offers = list_offers(root, key) if key else ()
    except GatewayError as error:
        if not model:
            raise
        typer.secho(str(error), fg="yellow", err=True)
    chosen = model or default_model(offers)
    if not chosen:
        raise GatewayError(say("This key may use no model.", "このキーで使えるモデルはありません。"))
    if offers and chosen not in {offer.name for offer in offers}:
        names = ", ".join(offer.name for offer in offers)
        raise GatewayError(
            say(
                f"There is no model {chosen} for this key. There are: {names}.",
                f"このキーでは {chosen} を使えません。使えるモデル：{names}。",
            )
        )
    return Target(url=root, key=key or "YOUR-KEY", model=chosen, home=home, offers=offers)


def _write(kit: Kit, target: Target, changes: tuple[apply.Change, ...]) -> None:
    apply.write(kit.name, changes, target.home, _now())
    for change in changes:
        verb = say("written", "書き込みました") if change.is_needed else say("already so", "変更なし")
        typer.echo(f"{change.path}  {verb}")
    typer.echo(say(f"Model: {target.model}", f"モデル： {target.model}"))
    for note in kit.notes(target):
        typer.echo(_text(note))
    undo = f"{program()} setup {kit.name} --undo"
    typer.echo(say(f"Undo: {undo}", f"元に戻す： {undo}"))


def _print(changes: tuple[apply.Change, ...], key: str) -> None:
    """Show each file as a difference, with the key masked."""
    for change in changes:
        old = (change.old or b"").decode().splitlines()
        new = change.new.decode().splitlines()
        name = str(change.path)
        for line in difflib.unified_diff(
            old, new, name if change.old is not None else os.devnull, name, n=1, lineterm=""
        ):
            typer.echo(line.replace(key, _MASK))


def _undo(kit: Kit, home: Path) -> None:
    if not apply.has_backup(kit.name, home):
        fail(
            say(
                f"{kit.title} was not set up by Sekisho here.",
                f"{kit.title} は、ここでは関所から設定されていません。",
            )
        )
    for undone in apply.undo(kit.name, home, _now()):
        verb = say("deleted", "削除しました") if undone.was_deleted else say("as before", "元に戻しました")
        typer.echo(f"{undone.path}  {verb}")
        if undone.edited_copy:
            typer.echo(
                say(
                    f"  it was changed since; that version is in {undone.edited_copy}",
                    f"  設定の後に変更されていたため、変更後の内容を {undone.edited_copy} に残しました",
                ),
            )


def _text(text: Text) -> str:
    return say(text.en, text.ja)


def _now() -> datetime:
    return datetime.fromtimestamp(SystemClock().now_us() / 1_000_000, UTC)
