"""`sekisho version`."""

import typer

from sekisho import __version__


def version() -> None:
    """Show the version."""
    typer.echo(__version__)
