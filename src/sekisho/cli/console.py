"""`sekisho console`: a new one-time link to the console."""

from typing import Annotated

import typer

from sekisho.cli.keys import DEFAULT_HOME, Home
from sekisho.cli.messages import say
from sekisho.cli.operator import ask


def console(
    home: Home = DEFAULT_HOME,
    url: Annotated[str, typer.Option(help="The address under which Sekisho is reached.")] = "http://127.0.0.1:4000",
) -> None:
    """Print a link that opens the console once. Needs the rights of the user that runs Sekisho."""
    path: str = ask(home, "POST", "/internal/console-codes")["path"]
    typer.echo(say("This link opens the console once:", "このリンクは一度だけコンソールを開きます:"), err=True)
    typer.echo(url.rstrip("/") + path)
