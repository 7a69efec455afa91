"""What every group of commands does alike: make, list, show, change and delete one sort of thing in the admin API."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import typer

from sekisho.cli.messages import columns, say
from sekisho.cli.operator import ask, stop
from sekisho.cli.options import (
    DEFAULT_HOME,
    AsJson,
    Home,
    OfScope,
    Yes,
    confirm,
    list_all,
    print_json,
    print_lines,
    scoped,
)
from sekisho.cli.status import local_time

Thing = dict[str, Any]
_ACTIONS = {
    "create": say("created", "作成"),
    "update": say("changed", "変更"),
    "delete": say("deleted", "削除"),
}


@dataclass(frozen=True)
class Resource:
    """One sort of thing. `name`: its list in the API; `row`, `lines`: a thing in a list, and alone; `none`: said of an
    empty list; `said`: what a rule said, in its history; `whole`: a thing with what belongs to it, to show."""

    name: str
    row: Callable[[Thing], tuple[str, ...]]
    lines: Callable[[Thing], dict[str, Any]]
    none: str
    said: Callable[[Thing], str] = str
    whole: Callable[[Path, Thing], Thing] = lambda _home, one: one

    @property
    def path(self) -> str:
        return f"/admin/v1/{self.name}"

    def address(self, thing_id: str, *more: str) -> str:
        """Where one of them is, or something of it."""
        return "/".join((self.path, quote(thing_id, safe=""), *(quote(part, safe="") for part in more)))

    def create(self, home: Path, body: Thing, as_json: bool) -> None:
        """Make one and show it."""
        self.print(ask(home, "POST", self.path, body), as_json)

    def list(self, home: Path, as_json: bool, **where: str | None) -> None:
        """Print all of them, one a line."""
        found = list_all(home, self.path, self.name, **where)
        if as_json:
            print_json(found)
        elif found:
            typer.echo(columns([self.row(one) for one in found]))
        else:
            typer.echo(self.none, err=True)

    def get(self, home: Path, thing_id: str) -> Thing:
        """One of them."""
        found: Thing = ask(home, "GET", self.address(thing_id))
        return found

    def show(self, home: Path, thing_id: str, as_json: bool) -> None:
        """Print one of them."""
        self.print(self.whole(home, self.get(home, thing_id)), as_json)

    def history(self, home: Path, thing_id: str, as_json: bool) -> None:
        """Print what was done to one of them, newest first, and how it was then."""
        changes = list_all(home, self.address(thing_id, "history"), "changes")
        if as_json:
            print_json(changes)
            return
        rows = [(local_time(one["at"]), _ACTIONS[one["action"]], one["by"], self.said(one)) for one in changes]
        typer.echo(columns(rows))

    def update(self, home: Path, thing_id: str, fields: Thing, as_json: bool) -> None:
        """Change what is given and show it; end the command when nothing is."""
        if not fields:
            stop(say("Say what to change.", "変更する項目を指定してください。"))
        self.print(ask(home, "PATCH", self.address(thing_id), fields), as_json)

    def delete(self, home: Path, thing_id: str, question: str, yes: bool, as_json: bool, **query: str) -> None:
        """Delete one of them after asking."""
        confirm(home, question, yes)
        wanted = urlencode({name: value for name, value in query.items() if value})
        ask(home, "DELETE", self.address(thing_id) + (f"?{wanted}" if wanted else ""))
        tell(as_json, {"deleted": thing_id}, say("Deleted.", "削除しました。"))

    def print(self, thing: Thing, as_json: bool) -> None:
        """Print one for programmes or for people."""
        if as_json:
            print_json(thing)
        else:
            print_lines(self.lines(thing))


def add_rule_commands(app: typer.Typer, rules: Resource, en: str, ja: str) -> None:
    """Give a group what budgets, limits and policies have alike. `en`, `ja`: what one of them is called."""
    rule_id = Annotated[str, typer.Argument(metavar=en, help=say(f"The {en}'s id.", f"{ja}の ID。"))]

    @app.command("list", help=say("Show all of them, or those of a scope.", f"{ja}を一覧表示します。"))
    def list_rules(home: Home = DEFAULT_HOME, scope: OfScope = None, as_json: AsJson = False) -> None:
        rules.list(home, as_json, **scoped(scope))

    @app.command("show", help=say(f"Show one {en}.", f"{ja}の詳細を表示します。"))
    def show(rule: rule_id, home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
        rules.show(home, rule, as_json)

    @app.command(
        "history", help=say(f"Show who changed a {en}, when, and what it said.", f"{ja}の変更履歴を表示します。")
    )
    def history(rule: rule_id, home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
        rules.history(home, rule, as_json)

    @app.command("delete", help=say(f"Take a {en} away; its history stays.", f"{ja}を削除します（履歴は残ります）。"))
    def delete(
        rule: rule_id,
        home: Home = DEFAULT_HOME,
        yes: Yes = False,
        as_json: AsJson = False,
    ) -> None:
        rules.delete(home, rule, say(f"Delete the {en} {rule}?", f"{ja} {rule} を削除しますか？"), yes, as_json)


def tell(as_json: bool, value: Any, words: str) -> None:
    """Say what was done: to programmes the value, to people the words."""
    if as_json:
        print_json(value)
    else:
        typer.echo(words)


def made(thing: Thing) -> str:
    """When and by whom a thing was made."""
    return f"{thing['created_at']} ({thing['created_by']})"


def scope_text(thing: Thing) -> str:
    """Whose a budget or a limit is, as the command line takes it."""
    return f"{thing['scope']['kind']}:{thing['scope']['id']}"


def state(is_blocked: bool) -> str:
    """Whether a key or a team may call."""
    return say("blocked", "停止中") if is_blocked else say("in use", "利用中")
