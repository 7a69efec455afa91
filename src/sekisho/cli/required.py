"""`sekisho metadata ...`: which fields teams, users, service accounts and keys must carry in their metadata."""

from typing import Annotated, Any

import typer

from sekisho.cli.messages import columns, say
from sekisho.cli.operator import ask
from sekisho.cli.options import DEFAULT_HOME, AsJson, Home, list_all, print_json

app = typer.Typer(no_args_is_help=True, help=say("Metadata that must be there.", "必須のメタデータを管理します。"))

REQUIRED = "/admin/v1/settings/required-metadata"
Kind = Annotated[
    str,
    typer.Argument(
        help=say(
            "teams, users, service_accounts or keys.",
            "対象。teams、users、service_accounts、keys のいずれか。",
        )
    ),
]
Name = Annotated[str, typer.Argument(help=say("Name of the field.", "項目の名前。"))]


@app.command("show", help=say("Show what is required.", "必須の項目を表示します。"))
def show(home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Print what objects must carry now."""
    _print(ask(home, "GET", REQUIRED), as_json)


@app.command("require", help=say("Require a field from now on.", "項目を必須にします。"))
def require(
    kind: Kind,
    name: Name,
    home: Home = DEFAULT_HOME,
    value: Annotated[
        list[str] | None,
        typer.Option("--value", help=say("Allowed value; may repeat.", "使える値。複数回指定できます。")),
    ] = None,
    pattern: Annotated[
        str,
        typer.Option("--pattern", help=say("Regular expression for the whole value.", "値全体に対する正規表現。")),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Require a field, in the place of the one of the same name."""
    required = _without(ask(home, "GET", REQUIRED), kind, name)
    required[kind].append({"name": name, "values": value or [], "pattern": pattern})
    _print(ask(home, "PUT", REQUIRED, required), as_json)


@app.command("release", help=say("Require a field no longer.", "項目を必須でなくします。"))
def release(kind: Kind, name: Name, home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Take a field from what is required."""
    _print(ask(home, "PUT", REQUIRED, _without(ask(home, "GET", REQUIRED), kind, name)), as_json)


@app.command("incomplete", help=say("Show what lacks required fields.", "必須の項目が足りないものを表示します。"))
def incomplete(home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Print every object that lacks something, and which fields."""
    found = list_all(home, f"{REQUIRED}/incomplete", "incomplete")
    if as_json:
        print_json(found)
    elif found:
        typer.echo(columns([(one["kind"], one["id"], ", ".join(one["fields"])) for one in found]))
    else:
        typer.echo(say("Nothing lacks anything.", "足りないものはありません。"), err=True)


def _without(required: dict[str, Any], kind: str, name: str) -> dict[str, Any]:
    """What is required, but for one field. Ends the command for a kind that there is not."""
    if kind not in required:
        raise typer.BadParameter(
            say(
                f"{kind} is none of {', '.join(required)}.", f"{kind} は {'、'.join(required)} のいずれでもありません。"
            )
        )
    return required | {kind: [field for field in required[kind] if field["name"] != name]}


def _print(required: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(required)
        return
    rows = [
        (kind, field["name"], ", ".join(field["values"]) or field["pattern"] or say("any value", "任意の値"))
        for kind, fields in required.items()
        for field in fields
    ]
    if rows:
        typer.echo(columns(rows))
    else:
        typer.echo(say("Nothing is required.", "必須の項目はありません。"), err=True)
