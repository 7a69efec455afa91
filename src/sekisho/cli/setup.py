"""`sekisho setup AGENT`: point a coding agent at this gateway, and undo it."""

import difflib
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from sekisho.cli.gateway import DEFAULT_URL, GatewayError, fail, list_offers, read_key, root_url
from sekisho.cli.messages import say
from sekisho.clock import SystemClock
from sekisho.kits import apply
from sekisho.kits.agents import KITS
from sekisho.kits.target import CannotEdit, Kit, Offer, Target, Text, default_model

_MASK = "***"


def setup(
    agent: Annotated[str, typer.Argument(help=say("One of: ", "次のどれか： ") + ", ".join(KITS))],
    url: Annotated[
        str, typer.Option(envvar="SEKISHO_URL", help=say("Address of the gateway.", "ゲートウェイのアドレス。"))
    ] = DEFAULT_URL,
    key: Annotated[
        str | None,
        typer.Option(
            help=say(
                "Virtual key. Better: SEKISHO_KEY, a pipe, or the hidden prompt.",
                "仮想キー。SEKISHO_KEY、パイプ、見えない入力のほうが安全です。",
            )
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help=say("Model. Default: the newest Claude Sonnet.", "モデル。初期値は最新の Claude Sonnet。")),
    ] = None,
    home_dir: Annotated[
        Path | None, typer.Option(help=say("Another home folder.", "別のホームフォルダー。"), file_okay=False)
    ] = None,
    print_only: Annotated[
        bool, typer.Option("--print", help=say("Show the changes, write nothing.", "変更を見せるだけで書かない。"))
    ] = False,
    undo: Annotated[
        bool, typer.Option("--undo", help=say("Bring the former files back.", "元のファイルに戻す。"))
    ] = False,
) -> None:
    kit = KITS.get(agent)
    home = (home_dir or Path.home()).resolve()
    if kit is None:
        fail(
            say(
                f"{agent} is not an agent Sekisho knows. Known: {', '.join(KITS)}.",
                f"{agent} は Sekisho の知らないエージェントです。使えるもの：{', '.join(KITS)}。",
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


def _target(url: str, key: str, model: str | None, home: Path) -> Target:
    """Where to point the agent; asks the gateway for its models. Raises GatewayError when no model is known."""
    root = root_url(url)
    if not key and not model:
        raise GatewayError(
            say(
                "No key. Give it in SEKISHO_KEY or with --key, or name a model with --model.",
                "キーがありません。SEKISHO_KEY か --key で渡すか、--model でモデルを指定してください。",
            )
        )
    offers: tuple[Offer, ...] = ()
    try:
        offers = list_offers(root, key) if key else ()
    except GatewayError as error:
        if not model:
            raise
        Console(stderr=True).print(str(error), style="yellow", markup=False, highlight=False)
    chosen = model or default_model(offers)
    if not chosen:
        raise GatewayError(say("This key may use no model.", "このキーで使えるモデルがありません。"))
    if offers and chosen not in {offer.name for offer in offers}:
        names = ", ".join(offer.name for offer in offers)
        raise GatewayError(
            say(
                f"There is no model {chosen} for this key. There are: {names}.",
                f"このキーに {chosen} はありません。使えるモデル：{names}。",
            )
        )
    return Target(url=root, key=key or "YOUR-KEY", model=chosen, home=home, offers=offers)


def _write(kit: Kit, target: Target, changes: tuple[apply.Change, ...]) -> None:
    out = Console()
    apply.write(kit.name, changes, target.home, _now())
    for change in changes:
        verb = say("written", "書きました") if change.is_needed else say("already so", "すでにその通りです")
        out.print(f"{change.path}  {verb}", markup=False, highlight=False)
    out.print(say(f"Model: {target.model}", f"モデル：{target.model}"), markup=False, highlight=False)
    for note in kit.notes(target):
        out.print(_text(note), markup=False, highlight=False)
    out.print(say(f"Undo: sekisho setup {kit.name} --undo", f"元に戻す： sekisho setup {kit.name} --undo"), style="dim")


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
    out = Console()
    if not apply.has_backup(kit.name, home):
        fail(
            say(
                f"{kit.title} was not set up by Sekisho here.",
                f"ここでは {kit.title} は Sekisho で設定されていません。",
            )
        )
    for undone in apply.undo(kit.name, home, _now()):
        verb = say("deleted", "消しました") if undone.was_deleted else say("as before", "元に戻しました")
        out.print(f"{undone.path}  {verb}", markup=False, highlight=False)
        if undone.edited_copy:
            out.print(
                say(
                    f"  it was changed since; that version is in {undone.edited_copy}",
                    f"  設定の後に変わっていたので、その版を {undone.edited_copy} に残しました",
                ),
                markup=False,
                highlight=False,
            )


def _text(text: Text) -> str:
    return say(text.en, text.ja)


def _now() -> datetime:
    return datetime.fromtimestamp(SystemClock().now_us() / 1_000_000, UTC)
