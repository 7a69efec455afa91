"""`sekisho completion`: lets a shell complete commands, options and choices."""

from enum import StrEnum
from typing import Annotated

import typer

from sekisho.cli.messages import say

COMPLETE = "_SEKISHO_COMPLETE"


class Shell(StrEnum):
    """A shell that can complete."""

    bash = "bash"
    zsh = "zsh"
    fish = "fish"


def completion(
    shell: Annotated[Shell, typer.Argument(help=say("Your shell.", "お使いのシェル。"))] = Shell.bash,
) -> None:
    """Print the script of this shell."""
    from typer._completion_shared import get_completion_script  # noqa: PLC0415  seldom needed

    typer.echo(get_completion_script(prog_name="sekisho", complete_var=COMPLETE, shell=shell.value))


def prepare_completion() -> None:
    """Let the shell's question, which is in the environment, be understood."""
    from typer._completion_classes import completion_init  # noqa: PLC0415  seldom needed

    completion_init()
