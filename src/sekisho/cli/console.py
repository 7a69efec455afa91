"""`sekisho console`: a new one-time link to the console."""

from typing import Annotated

import typer

from sekisho.cli.messages import say
from sekisho.cli.operator import ask
from sekisho.cli.options import DEFAULT_HOME, Home
from sekisho.cli.place import local_url


def console(
    home: Home = DEFAULT_HOME,
    url: Annotated[
        str | None,
        typer.Option(
            help=say(
                "The address under which browsers reach Sekisho. Default: its own on this machine.",
                "ブラウザーから見た関所のアドレス。初期値はこのマシンでのアドレス。",
            )
        ),
    ] = None,
) -> None:
    """Print a new link; only the link goes to standard output."""
    path: str = ask(home, "POST", "/internal/console-codes")["path"]
    typer.echo(say("This link opens the console once:", "このリンクでコンソールを 1 回だけ開けます："), err=True)
    typer.echo((url or local_url(home)).rstrip("/") + path)
