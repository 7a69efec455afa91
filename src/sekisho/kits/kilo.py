"""Kilo: the command line is a fork of opencode and reads the same form in ~/.config/kilo/kilo.json."""

from sekisho.kits.opencode import configure
from sekisho.kits.target import FileEdit, Kit, Target, Text

_PATH = ".config/kilo/kilo.json"


def plan(target: Target) -> tuple[FileEdit, ...]:
    """Add the provider and make it the one in use."""
    change = configure(target, agent="kilo", schema="https://app.kilo.ai/config.json")
    return (FileEdit(target.home / _PATH, change, holds_key=True),)


def notes(target: Target) -> tuple[Text, ...]:
    return (
        Text(
            'The Kilo command line is ready: kilo run "say hello"',
            'Kilo（CLI）の準備ができました。試す： kilo run "say hello"',
        ),
    )


KIT = Kit("kilo", "Kilo", plan, notes)
