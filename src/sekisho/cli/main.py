"""The `sekisho` command: one file per command group."""

import typer

from sekisho import __version__
from sekisho.cli.console import console
from sekisho.cli.keys import app as keys
from sekisho.cli.serve import serve
from sekisho.cli.setup import setup
from sekisho.cli.status import status

app = typer.Typer(
    name="sekisho",
    help="The checkpoint between coding agents and the models they call.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(serve)
app.command()(setup)
app.command()(status)
app.command()(console)
app.add_typer(keys, name="key")


@app.command()
def version() -> None:
    """Show the version."""
    typer.echo(__version__)


def main() -> None:
    """The entry point of the `sekisho` script."""
    app()
