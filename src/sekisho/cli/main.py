"""The `sekisho` command: one file per command group."""

import typer

from sekisho import __version__
from sekisho.cli.budgets import app as budgets
from sekisho.cli.console import console
from sekisho.cli.keys import app as keys
from sekisho.cli.limits import app as limits
from sekisho.cli.serve import serve
from sekisho.cli.setup import setup
from sekisho.cli.status import status
from sekisho.cli.teams import app as teams
from sekisho.cli.users import app as users

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
app.add_typer(teams, name="team")
app.add_typer(users, name="user")
app.add_typer(budgets, name="budget")
app.add_typer(limits, name="limit")


@app.command()
def version() -> None:
    """Show the version."""
    typer.echo(__version__)


def main() -> None:
    """The entry point of the `sekisho` script."""
    app()
