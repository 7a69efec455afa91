"""Options and words that several command groups share."""

import functools
import inspect
import json
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

import typer

from sekisho.access.money import parse_usd, usd_text
from sekisho.cli.messages import say
from sekisho.cli.operator import OperatorError, ask, stop, tell_where
from sekisho.cli.place import DEFAULT_HOME as DEFAULT_HOME
from sekisho.errors import BadRequest

PAGE = 500

Home = Annotated[
    Path,
    typer.Option("--home", envvar="SEKISHO_HOME", help=say("Folder of this Sekisho.", "Sekisho のデータフォルダー。")),
]
AsJson = Annotated[bool, typer.Option("--json", help=say("Print JSON.", "JSON で出力します。"))]
Yes = Annotated[bool, typer.Option("--yes", "-y", help=say("Do not ask.", "確認しません。"))]
ScopeText = Annotated[
    str,
    typer.Argument(
        help=say(
            "Whose: org:ID, team:ID, member:TEAM/USER, user:ID, key:ID or tag:NAME.",
            "対象。org:ID、team:ID、member:TEAM/USER、user:ID、key:ID、tag:NAME のいずれか。",
        )
    ),
]
OfScope = Annotated[
    str | None, typer.Option("--scope", help=say("Only of KIND:ID.", "対象を「種類:ID」で絞り込みます。"))
]
Model = Annotated[str | None, typer.Option("--model", help=say("Of this model only.", "このモデルだけに適用します。"))]
Models = Annotated[
    list[str] | None,
    typer.Option("--model", help=say("Allowed model; may repeat.", "使えるモデル。複数回指定できます。")),
]
AllModels = Annotated[
    bool, typer.Option("--all-models", help=say("Allow every model.", "すべてのモデルを許可します。"))
]
Metadata = Annotated[
    list[str] | None,
    typer.Option("--metadata", help=say("NAME=VALUE; may repeat.", "名前=値。複数回指定できます。")),
]


class CutStreams(StrEnum):
    """What becomes of streams under way when their key is revoked."""

    yes = "yes"
    no = "no"
    default = "default"


CutStreamsOption = Annotated[
    CutStreams | None,
    typer.Option(
        "--cut-streams",
        help=say(
            "Cut streams under way when a key is revoked; default: as the team, else as the gateway is set.",
            "キーの失効時に実行中のストリームを切断するか。default はチームの設定、なければゲートウェイの設定。",
        ),
    ),
]


def cut_streams_fields(said: CutStreams | None) -> dict[str, bool | None]:
    """What the option says, as the API takes it."""
    return {} if said is None else {"cut_streams": {"yes": True, "no": False, "default": None}[said.value]}


def taking(options: Mapping[str, Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of a table, by name; what was said of them is its first argument."""

    def give(command: Callable[..., None]) -> Callable[..., None]:
        own = list(inspect.signature(command).parameters.values())[1:]
        more = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=option)
            for name, option in options.items()
        ]

        @functools.wraps(command)
        def run(**arguments: Any) -> None:
            said = {name: value for name in options if (value := arguments.pop(name)) not in (None, [])}
            command(said, **arguments)

        run.__signature__ = inspect.Signature([*own, *more])  # type: ignore[attr-defined]
        run.__annotations__ = {one.name: one.annotation for one in (*own, *more)}
        return run

    return give


def list_all(home: Path, path: str, name: str, **query: str | None) -> list[dict[str, Any]]:
    """Every page of a list."""
    found: list[dict[str, Any]] = []
    wanted = {"limit": str(PAGE)} | {key: value for key, value in query.items() if value}
    while True:
        page = ask(home, "GET", f"{path}?{urlencode(wanted)}")
        found += page[name]
        if page["next"] is None:
            return found
        wanted["after"] = str(page["next"])


def parse_scope(text: str) -> dict[str, str]:
    """The scope behind KIND:ID. Ends the command when it is none."""
    kind, separator, scope_id = text.partition(":")
    if not separator or not scope_id:
        raise typer.BadParameter(
            say(f"{text} is not KIND:ID, such as team:red.", f"{text} は team:red のような「種類:ID」ではありません。")
        )
    return {"kind": kind, "id": scope_id}


def scoped(text: str | None) -> dict[str, str | None]:
    """What a list is asked for to show the rules of one scope."""
    where = parse_scope(text) if text else {}
    return {"scope_kind": where.get("kind"), "scope_id": where.get("id")}


def parse_metadata(pairs: list[str] | None) -> dict[str, str] | None:
    """The metadata behind NAME=VALUE pairs; None when none were given."""
    if not pairs:
        return None
    for pair in pairs:
        if "=" not in pair:
            raise typer.BadParameter(say(f"{pair} is not NAME=VALUE.", f"{pair} は「名前=値」ではありません。"))
    return {name: value for name, _, value in (pair.partition("=") for pair in pairs)}


def given(**fields: Any) -> dict[str, Any]:
    """The fields that were given on the command line."""
    return {name: value for name, value in fields.items() if value is not None}


def print_json(value: Any) -> None:
    """Print for programmes."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))


def print_lines(lines: dict[str, Any]) -> None:
    """Print for people: one "name: value" a line."""
    typer.echo("\n".join(f"{name}: {value}" for name, value in lines.items()))


def confirm(home: Path, question: str, yes: bool) -> None:
    """Ask before something is lost, saying where; end the command when the answer is no."""
    if not yes:
        try:
            tell_where(home)
        except OperatorError as error:
            stop(str(error), error)
        typer.confirm(question, abort=True)


def nanousd_of(usd: str) -> int:
    """The nano-USD of an amount of dollars as somebody types it."""
    try:
        return parse_usd(usd, "usd")
    except BadRequest as error:
        raise typer.BadParameter(error.message) from error


def usd_of(nanousd: int | None) -> str | None:
    """The amount in dollars, as it is shown."""
    return None if nanousd is None else f"${usd_text(nanousd)}"
