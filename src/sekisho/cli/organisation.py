"""`sekisho plan`, `sekisho apply`, `sekisho export`: the organisation as one file, through the admin API."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from sekisho.cli.messages import say
from sekisho.cli.operator import stop
from sekisho.cli.options import DEFAULT_HOME, AsJson, Home, Yes, print_json
from sekisho.cli.remote import Admin, RefusedError, Server

CHANGES_STATUS = 2
_MARKS = {"create": "+", "change": "~", "delete": "-"}
_COLOURS = {"create": "green", "change": "yellow", "delete": "red"}
_SHOWN = 20

File = Annotated[Path, typer.Argument(help=say("The file; - reads standard input.", "ファイル。- は標準入力。"))]
Prune = Annotated[
    bool,
    typer.Option(
        "--prune",
        help=say(
            "Delete what an earlier apply made and the file no longer states.",
            "以前の apply が作成し、ファイルからなくなったものを削除します。",
        ),
    ),
]
Adopt = Annotated[
    bool,
    typer.Option(
        "--adopt",
        help=say(
            "From now on treat what the file states and others made as made by apply.",
            "ファイルに書かれた既存のものを、以後 apply が作成したものとして扱います。",
        ),
    ),
]


def plan(
    file: File,
    home: Home = DEFAULT_HOME,
    url: Server = None,
    prune: Prune = False,
    as_json: AsJson = False,
) -> None:
    """Show what an apply would do; exit status 2 when there is something."""
    answer = _ask(Admin(home, url), "/admin/v1/plan", file, _read(file), prune=prune)
    if as_json:
        print_json(answer)
    else:
        _show(answer)
    if answer["changes"]:
        raise typer.Exit(CHANGES_STATUS)


def apply(
    file: File,
    home: Home = DEFAULT_HOME,
    url: Server = None,
    prune: Prune = False,
    adopt: Adopt = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Show what there is to do, ask, and do it, all or nothing."""
    admin, document = Admin(home, url), _read(file)
    planned = _ask(admin, "/admin/v1/plan", file, document, prune=prune, adopt=adopt)
    work = planned["changes"]
    if not as_json:
        _show(planned)
    if work and not yes:
        if file == Path("-"):
            stop(say("Standard input holds the file: say --yes.", "標準入力のファイルには --yes が必要です。"))
        typer.confirm(say("Apply this?", "適用しますか？"), abort=True, err=True)
    done = _ask(admin, "/admin/v1/apply", file, document, prune=prune, adopt=adopt, plan=planned["id"])
    if as_json:
        print_json(done)
    elif work:
        typer.echo(say(f"Applied: {_count(work)}.", f"適用しました：{_count(work)}"))
        _name_new_keys(work)


def export(
    home: Home = DEFAULT_HOME,
    url: Server = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help=say("Write to this file.", "このファイルに書き出します。")),
    ] = None,
) -> None:
    """Write the organisation as a file that changes nothing when it is applied."""
    try:
        text = Admin(home, url).text("/admin/v1/export")
    except RefusedError as error:
        stop(error.message, error)
    if output is None:
        typer.echo(text, nl=False)
        return
    try:
        output.write_text(text, "utf-8")
    except OSError as error:
        stop(
            say(f"{output} cannot be written: {error.strerror}.", f"{output} に書き込めません：{error.strerror}"), error
        )


def _name_new_keys(changes: list[dict[str, Any]]) -> None:
    """Say how the new keys get their secrets."""
    for change in changes:
        if change["action"] == "create" and change["address"][0] == "key":
            command = f"sekisho key rotate {shlex.quote(change['address'][1])}"
            typer.echo(
                say(
                    f"{change['name']} has no secret yet. Give it one: {command}",
                    f"{change['name']} にはまだ値がありません。発行するには：{command}",
                )
            )


def _read(file: Path) -> str:
    try:
        content = sys.stdin.buffer.read() if file == Path("-") else file.read_bytes()
        text = content.decode("utf-8-sig")
    except OSError as error:
        stop(say(f"{file} cannot be read: {error.strerror}.", f"{file} を読めません：{error.strerror}"), error)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        stop(say(f"{file}:{line}: this is not UTF-8.", f"{file}:{line}：UTF-8 ではありません。"), error)
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        stop(say(f"{file}:{line}: there is a NUL character.", f"{file}:{line}：NUL 文字があります。"))
    return text


def _ask(admin: Admin, path: str, file: Path, document: str, **options: Any) -> Any:
    try:
        answer = admin.ask("POST", path, {"document": document} | {name: one for name, one in options.items() if one})
    except RefusedError as error:
        for problem in error.problems:
            place = f"{file}:{problem['line']}" if problem["line"] else str(file)
            typer.echo(f"{place}: {problem['message']}", err=True)
        stop("" if error.problems else error.message, error)
    for warning in answer["warnings"]:
        typer.echo(f"{file}:{warning['line']}: {warning['message']}", err=True)
    return answer


def _show(plan: dict[str, Any]) -> None:
    for change in plan["changes"]:
        typer.secho(f"{_MARKS[change['action']]} {_title(change)}", fg=_COLOURS[change["action"]])
        for line in _lines(change):
            typer.echo(f"    {line}")
    for kept in plan["kept"]:
        typer.secho(f"= {kept['name']}: {_why_kept(kept)}", fg="bright_black")
    unmanaged = plan["unmanaged"]
    if unmanaged:
        shown = ", ".join(unmanaged[:_SHOWN]) + (" ..." if len(unmanaged) > _SHOWN else "")
        words = say(
            f"{len(unmanaged)} not in the file, left alone: {shown}",
            f"ファイルにないもの {len(unmanaged)} 件（変更しません）：{shown}",
        )
        typer.secho(f"= {words}", fg="bright_black")
    if plan["changes"]:
        typer.echo(say(f"Plan: {_count(plan['changes'])}.", f"変更予定：{_count(plan['changes'])}"))
    else:
        typer.echo(say("Nothing to change.", "変更はありません。"))


def _title(change: dict[str, Any]) -> str:
    title = str(change["name"])
    if change["drifted"]:
        fields = ", ".join(change["drifted"])
        title += say(f"  (changed since the last apply: {fields})", f"  （前回の適用後に変更：{fields}）")
    return title


def _lines(change: dict[str, Any]) -> list[str]:
    before, after = change["before"] or {}, change["after"] or {}
    if change["action"] == "delete":
        return []
    if change["action"] != "change":
        return [f"{name}: {_value(value)}" for name, value in after.items()]
    names = [name for name in before | after if before.get(name) != after.get(name)]
    return [f"{name}: {_value(before.get(name))} -> {_value(after.get(name))}" for name in names]


def _value(value: Any) -> str:
    if value is None:
        return say("(none)", "（なし）")
    if isinstance(value, list):
        return f"[{', '.join(_value(one) for one in value)}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_value(one)}" for name, one in value.items()) + "}"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _why_kept(kept: dict[str, Any]) -> str:
    if kept["because_of"]:
        names = ", ".join(kept["because_of"][:_SHOWN])
        return say(
            f"not in the file, kept because of what others made: {names}",
            f"ファイルにありませんが、ほかで作成されたものがあるため残します：{names}",
        )
    return say("not in the file any more, kept (--prune deletes it)", "ファイルにありません（--prune で削除します）")


def _count(changes: list[dict[str, Any]]) -> str:
    words = {
        "create": say("to create", "作成"),
        "change": say("to change", "変更"),
        "delete": say("to delete", "削除"),
    }
    counts = {action: sum(one["action"] == action for one in changes) for action in words}
    return ", ".join(say(f"{count} {words[one]}", f"{words[one]} {count} 件") for one, count in counts.items() if count)
