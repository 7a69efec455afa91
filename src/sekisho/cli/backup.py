"""`sekisho backup` and `sekisho restore`: all of a home in one file, and a home from it."""

import asyncio
import os
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from sekisho.app.archive import ArchiveError
from sekisho.app.backup import back_up
from sekisho.app.backup import restore as restore_home
from sekisho.cli.messages import say
from sekisho.cli.operator import stop
from sekisho.cli.options import DEFAULT_HOME, Home
from sekisho.clock import SystemClock
from sekisho.errors import SekishoError
from sekisho.store.sql.dump import DumpError

_Result = TypeVar("_Result")

File = Annotated[Path, typer.Argument(help=say("The file of the backup.", "バックアップのファイル。"))]
NewHome = Annotated[
    Path,
    typer.Option(
        "--home", help=say("The new folder, which must be empty.", "新しいデータフォルダー（空であること）。")
    ),
]
DatabaseUrl = Annotated[
    str,
    typer.Option(
        "--database-url",
        envvar="SEKISHO_DATABASE_URL",
        help=say("A PostgreSQL database in place of HOME/sekisho.db.", "HOME/sekisho.db の代わりに使う PostgreSQL。"),
    ),
]


def backup(file: File, home: Home = DEFAULT_HOME, database_url: DatabaseUrl = "") -> None:
    """Write everything to one file; Sekisho may go on serving meanwhile."""
    made = _run(back_up(home.expanduser(), database_url, file, SystemClock()))
    typer.echo(
        say(
            f"{file}: {made.calls} calls, {made.keys} keys, {made.journal_bytes} bytes of journal; {made.bytes} bytes.",
            f"{file}: コール {made.calls} 件、キー {made.keys} 個、ジャーナル {made.journal_bytes} バイト。"
            f"全体で {made.bytes} バイト。",
        )
    )
    typer.echo(
        say(
            "It holds the pepper and everybody's records. Keep it as you keep a password.",
            "ペッパーと全員の記録が入っています。パスワードと同じように保管してください。",
        ),
        err=True,
    )


def restore(file: File, home: NewHome, database_url: DatabaseUrl = "") -> None:
    """Make a home from a backup."""
    done = _run(restore_home(file, home.expanduser(), database_url, SystemClock()))
    typer.echo(
        say(
            f"Verified and restored to {home}: {done.calls} calls and {done.keys} keys, "
            f"as of {done.made_at} (Sekisho {done.version}).",
            f"検証して {home} に復元しました。コール {done.calls} 件、キー {done.keys} 個、"
            f"{done.made_at} 時点（関所 {done.version}）。",
        )
    )
    typer.echo(
        say(
            f"From its journal {done.booked} records were booked; {done.interrupted} calls were under way then "
            "and are booked at their bound.",
            f"ジャーナルから {done.booked} 件を記帳し、実行中だった {done.interrupted} 件は予約額で記帳しました。",
        )
    )


def _run(work: Coroutine[Any, Any, _Result]) -> _Result:
    try:
        with_mask = os.umask(0o077)
        try:
            return asyncio.run(work)
        finally:
            os.umask(with_mask)
    except (ArchiveError, DumpError) as error:
        stop(say(error.en, error.ja), error)
    except SekishoError as error:
        stop(error.message, error)
