"""`sekisho audit ...`: read, export and prove the audit log. Works on the database itself: no server is needed."""

import asyncio
import json
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import IO, Annotated, Any, NoReturn, TypeVar

import typer

from sekisho.access.audit import ANY_ENTRY, AuditEntry, AuditFilter, AuditHead
from sekisho.access.audit_proof import Finding, render_entry, render_head
from sekisho.cli.audit_source import ORG_ID, Judged, judge_database, judge_file, open_database, read_all, read_pepper
from sekisho.cli.messages import columns, say
from sekisho.cli.operator import stop
from sekisho.cli.options import DEFAULT_HOME, AsJson, Home
from sekisho.clock import SystemClock
from sekisho.errors import BadRequest, SekishoError
from sekisho.settings import SettingsError
from sekisho.store.sql.audit import SqlAudit
from sekisho.web.admin.times import iso, parse_since, parse_until

app = typer.Typer(
    no_args_is_help=True,
    help=say("The audit log: read, export, verify.", "監査ログを表示・出力・検証します。"),
)
T = TypeVar("T")

Url = Annotated[
    str,
    typer.Option(
        "--database-url",
        "--database",
        envvar="SEKISHO_DATABASE_URL",
        help=say(
            "URL of the database. Default: that of the home.", "データベースの URL。初期値はデータフォルダーのもの。"
        ),
    ),
]
Actor = Annotated[str, typer.Option("--actor", help=say("Only by this one.", "実行者で絞り込みます。"))]
Action = Annotated[str, typer.Option("--action", help=say("Such as key.create.", "操作で絞り込みます。例：key.create"))]
Kind = Annotated[str, typer.Option("--kind", help=say("Such as budget.", "対象の種類で絞り込みます。例：budget"))]
ObjectId = Annotated[str, typer.Option("--id", help=say("Of this object.", "対象の ID で絞り込みます。"))]
Since = Annotated[str | None, typer.Option("--since", help=say("From this date or time.", "この日時以降。"))]
Until = Annotated[str | None, typer.Option("--until", help=say("To this date or time.", "この日時まで。"))]


@app.command("list", help=say("Show entries, newest first.", "記録を新しい順に表示します。"))
def list_entries(
    home: Home = DEFAULT_HOME,
    database: Url = "",
    actor: Actor = "",
    action: Action = "",
    kind: Kind = "",
    object_id: ObjectId = "",
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help=say("How many.", "件数。"))] = 50,
    as_json: AsJson = False,
) -> None:
    """Print entries, one a line."""
    where = _filter(actor, action, kind, object_id, since, until)

    async def read() -> list[AuditEntry]:
        opened = open_database(home, database)
        try:
            return await SqlAudit(opened).list_entries(ORG_ID, where, limit=limit)
        finally:
            await opened.close()

    entries = _run(read())
    if as_json:
        typer.echo(json.dumps([_readable(entry) for entry in entries], ensure_ascii=False, indent=2))
    elif entries:
        rows = [(str(one.sequence), iso(one.at) or "", one.actor, one.action, one.id, _gist(one)) for one in entries]
        typer.echo(columns(rows))
    else:
        typer.echo(say("There are no such entries.", "該当する記録はありません。"), err=True)


@app.command("export", help=say("Write entries as JSON lines, oldest first.", "記録を古い順に JSON で出力します。"))
def export(
    home: Home = DEFAULT_HOME,
    database: Url = "",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help=say("Into this file.", "出力先のファイル。"))
    ] = None,
    actor: Actor = "",
    action: Action = "",
    kind: Kind = "",
    object_id: ObjectId = "",
    since: Since = None,
    until: Until = None,
) -> None:
    """Write the log with a signed head at its end; with a filter only a part of it, which says so."""
    where = _filter(actor, action, kind, object_id, since, until)
    if output is None:
        _run(_export(home, database, where, sys.stdout))
        return
    try:
        with output.open("x", encoding="utf-8") as file:
            _run(_export(home, database, where, file))
    except FileExistsError as error:
        stop(say(f"{output} is there already.", f"{output} はすでにあります。"), error)
    except OSError as error:
        stop(say(f"{output} cannot be written.", f"{output} に書き込めません。"), error)


@app.command(
    "verify",
    help=say(
        "Prove that no entry was changed, removed, added or moved.",
        "記録の改変・削除・挿入・並べ替えがないことを検証します。",
    ),
)
def verify(
    file: Annotated[
        Path | None, typer.Argument(help=say("An exported log. Default: the database.", "出力済みのファイル。"))
    ] = None,
    home: Home = DEFAULT_HOME,
    database: Url = "",
    head: Annotated[
        list[str] | None,
        typer.Option(
            "--head",
            help=say("SEQUENCE:HASH kept elsewhere; may repeat.", "別に控えた「番号:ハッシュ」。複数回指定できます。"),
        ),
    ] = None,
) -> None:
    """Exit status 0: whole. 1: not whole, the first wrong entry is named. 2: cannot be read."""
    extra = [_parse_head(text) for text in head or ()]
    try:
        judged = judge_file(file, home, extra) if file else asyncio.run(judge_database(home, database, extra))
    except SekishoError as error:
        _unreadable(error.message, error)
    except SettingsError as error:
        _unreadable(str(error), error)
    except (OSError, UnicodeDecodeError) as error:
        _unreadable(say(f"{file} cannot be read.", f"{file} を読めません。"), error)
    if judged.proof.finding is not None:
        typer.secho(_words(judged.proof.finding), fg="red", err=True)
        raise typer.Exit(1)
    typer.echo(_praise(judged))


async def _export(home: Path, url: str, where: AuditFilter, file: IO[str]) -> None:
    is_whole = where == ANY_ENTRY
    about = {"format": "sekisho-audit-1", "org_id": ORG_ID, "is_whole": is_whole}
    file.write(json.dumps({"export": about}) + "\n")
    opened = open_database(home, url)
    last: AuditEntry | None = None
    try:
        async for entries in read_all(SqlAudit(opened)):
            for entry in entries:
                if is_whole or matches(entry, where):
                    file.write(render_entry(entry) + "\n")
            last = entries[-1]
    finally:
        await opened.close()
    pepper = read_pepper(home)
    if is_whole and last is not None and pepper is not None:
        head = AuditHead(last.org_id, last.sequence, last.hash)
        file.write(render_head(head, SystemClock().now_us(), pepper) + "\n")


def matches(entry: AuditEntry, where: AuditFilter) -> bool:
    """Whether the filter keeps this entry."""
    wanted = (
        (where.actor, entry.actor),
        (where.action, entry.action),
        (where.kind, entry.kind),
        (where.id, entry.id),
    )
    is_in_time = where.since <= entry.at and (not where.until or entry.at < where.until)
    return is_in_time and all(want in ("", has) for want, has in wanted)


def _filter(actor: str, action: str, kind: str, object_id: str, since: str | None, until: str | None) -> AuditFilter:
    try:
        return AuditFilter(
            actor, action, kind, object_id, parse_since(since, "since") or 0, parse_until(until, "until") or 0
        )
    except BadRequest as error:
        raise typer.BadParameter(error.message) from error


def _run(work: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(work)
    except SekishoError as error:
        stop(error.message, error)
    except SettingsError as error:
        stop(str(error), error)


def _unreadable(message: str, cause: Exception) -> NoReturn:
    typer.secho(message, fg="red", err=True)
    raise typer.Exit(2) from cause


def _parse_head(text: str) -> AuditHead:
    sequence, _, digest = text.partition(":")
    try:
        return AuditHead(ORG_ID, int(sequence), bytes.fromhex(digest))
    except ValueError as error:
        raise typer.BadParameter(
            say(f"{text} is not SEQUENCE:HASH.", f"{text} は「番号:ハッシュ」ではありません。")
        ) from error


def _readable(entry: AuditEntry) -> dict[str, Any]:
    return {
        "sequence": entry.sequence,
        "at": iso(entry.at),
        "actor": entry.actor,
        "action": entry.action,
        "kind": entry.kind,
        "id": entry.id,
        "before": json.loads(entry.before) if entry.before else None,
        "after": json.loads(entry.after) if entry.after else None,
        "hash": entry.hash.hex(),
    }


def _gist(entry: AuditEntry) -> str:
    """What of the object is another than before; of a refusal, why."""
    before = json.loads(entry.before) if entry.before else {}
    after = json.loads(entry.after) if entry.after else {}
    if entry.action == "call.refuse":
        return f"{after.get('code', '')}: {after.get('reason') or after.get('calls', '')}"
    if not before or not after:
        return ""
    changed = [name for name in after if before.get(name) != after[name] and name != "updated_at"]
    return ", ".join(
        f"{name}: {json.dumps(before.get(name), ensure_ascii=False)} -> {json.dumps(after[name], ensure_ascii=False)}"
        for name in changed
    )[:300]


def _words(finding: Finding) -> str:
    """The finding as a sentence that names the entry."""
    number = finding.sequence
    several = f"{number}" if finding.until <= number else f"{number}-{finding.until}"
    return {
        "altered": say(
            f"Entry {number} is not as it was written.", f"記録 {number} は書き込まれた当時の内容と一致しません。"
        ),
        "missing": say(f"Missing: {several}.", f"記録 {several} がありません。"),
        "out_of_order": say(
            f"Entry {number} does not stand where it was written.", f"記録 {number} の位置が本来と異なります。"
        ),
        "broken_link": say(
            f"Entry {number} was replaced, or the entry behind it: the link between them is broken.",
            f"記録 {number} かその次の記録が差し替えられています（両者のつながりが切れています）。",
        ),
        "cut_off": say(
            f"The end of the log was cut off: {several} is missing.",
            f"ログの末尾が切り取られています。記録 {several} がありません。",
        ),
        "not_the_checkpoint": say(
            f"Entry {number} is not the one that was noted: it, or the log before it, was written anew.",
            f"記録 {number} は控えたハッシュと一致しません。この記録までのどこかが書き直されています。",
        ),
        "not_the_head": say(
            f"Entry {number} at the end was not appended by Sekisho.",
            f"末尾の記録 {number} は関所が追記したものではありません。",
        ),
    }[finding.problem]


def _praise(judged: Judged) -> str:
    proof = judged.proof
    last = f"{proof.last.sequence}:{proof.last.hash.hex()}" if proof.last else "-"
    known = max((head.sequence for head in judged.anchors), default=0)
    held = (
        say(f"Held against a head noted elsewhere: {known}.", f"別に控えた先頭（{known}）とも一致しました。")
        if known
        else say(
            "No noted head was there: a cut at the end would not show.",
            "控えた先頭がないため、末尾の切り取りは検出できません。",
        )
    )
    return "\n".join(
        (
            say(f"The log is whole: {proof.count} entries.", f"監査ログは完全です（{proof.count} 件）。"),
            held,
            say(f"Newest entry: {last}", f"最新の記録：{last}"),
        )
    )
