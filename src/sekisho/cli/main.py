"""The `sekisho` command: one file per command group, imported when it is asked for."""

import sys
from importlib import import_module

import typer

# name: the module of its command, the function or, for a group, the Typer application in it
_COMMANDS = {
    "serve": ("sekisho.cli.serve", "serve"),
    "setup": ("sekisho.cli.setup", "setup"),
    "status": ("sekisho.cli.status", "status"),
    "console": ("sekisho.cli.console", "console"),
    "key": ("sekisho.cli.keys", "app"),
    "version": ("sekisho.cli.version", "version"),
}


def create_app(wanted: str = "") -> typer.Typer:
    """The command line with the wanted command alone, which starts faster; with all of them if there is none such."""
    app = typer.Typer(
        name="sekisho",
        help="The checkpoint between coding agents and the models they call.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback()(_root)  # so that a single command keeps its name
    for name in [wanted] if wanted in _COMMANDS else _COMMANDS:
        module, attribute = _COMMANDS[name]
        command = getattr(import_module(module), attribute)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command(name)(command)
    return app


def _root() -> None:
    pass


def main() -> None:
    """The entry point of the `sekisho` script."""
    create_app(sys.argv[1] if len(sys.argv) > 1 else "")()
