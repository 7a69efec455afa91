"""`sekisho console`: a new one-time link to the console."""

from pathlib import Path
from typing import Annotated

import typer

from sekisho.cli.local import LocalControl, LocalControlError
from sekisho.cli.messages import say

Home = Annotated[Path | None, typer.Option(help="The home of the running Sekisho (SEKISHO_HOME).")]


def console(
    home: Home = None,
    url: Annotated[str, typer.Option(help="The address under which Sekisho is reached.")] = "http://127.0.0.1:4000",
) -> None:
    """Print a link that opens the console once. Needs the rights of the user that runs Sekisho."""
    try:
        path = LocalControl(home).console_path()
    except LocalControlError as error:
        typer.echo(f"sekisho: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo(say("This link opens the console once:", "このリンクは一度だけコンソールを開きます:"), err=True)
    typer.echo(url.rstrip("/") + path)
