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
from sekisho.cli.serve import effective_settings
from sekisho.clock import SystemClock
from sekisho.errors import SekishoError
from sekisho.settings import SettingsError, resolve_database_url
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
        help=say("A PostgreSQL database in place of HOME/sekisho.db.", "HOME/sekisho.db の代わりに使う PostgreSQL。"),
    ),
]


def backup(file: File, home: Home = DEFAULT_HOME, database_url: DatabaseUrl = "") -> None:
    """Write everything to one file; Sekisho may go on serving meanwhile."""
    url, has_own_pepper = _where(home, database_url)
    made = _run(back_up(home.expanduser(), url, file, SystemClock(), has_own_pepper=has_own_pepper))
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
    url, _ = _where(home, database_url)
    done = _run(restore_home(file, home.expanduser(), url, SystemClock()))
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


def _where(home: Path, database_url: str) -> tuple[str, bool]:
    """The database as the settings say, empty for HOME/sekisho.db; and whether the pepper lies in the home."""
    try:
        settings = effective_settings(None, {"HOME": home.expanduser(), "DATABASE_URL": database_url or None})
        url = resolve_database_url(settings.database_url, os.environ) if settings.database_url else ""
    except SettingsError as error:
        stop("\n".join(error.problems), error)
    return url, settings.pepper is None


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
