"""`sekisho user ...`: people and service accounts, through the running control process."""

import os
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from sekisho.cli.messages import say
from sekisho.cli.operator import ask
from sekisho.cli.options import DEFAULT_HOME, AsJson, Home, Metadata, Yes, confirm, given, parse_metadata, print_json
from sekisho.cli.place import local_url
from sekisho.cli.resources import Resource, Thing, made
from sekisho.cli.status import local_time

app = typer.Typer(no_args_is_help=True, help=say("People and service accounts.", "利用者を管理します。"))

UserId = Annotated[str, typer.Argument(help=say("The user's id.", "利用者の ID。"))]
Alias = Annotated[str | None, typer.Option("--alias", help=say("Name of the user.", "利用者の名前。"))]
Email = Annotated[str | None, typer.Option("--email", help=say("E-mail address.", "メールアドレス。"))]


def _kind(user: Thing) -> str:
    return say("service account", "サービスアカウント") if user["kind"] == "service" else say("person", "個人")


def _lines(user: Thing) -> Thing:
    return {
        say("id", "ID"): user["id"],
        say("kind", "種類"): _kind(user),
        say("alias", "名前"): user["alias"] or "-",
        say("e-mail", "メール"): user["email"] or "-",
        say("teams", "チーム"): ", ".join(one["team_id"] for one in user["teams"]) or "-",
        say("created", "作成"): made(user),
    }


USERS = Resource(
    "users",
    lambda user: (user["id"], user["alias"] or "-", user["email"] or "-", _kind(user)),
    _lines,
    say("There are no users yet.", "利用者はまだいません。"),
)


@app.command("create", help=say("Make a user.", "利用者を作成します。"))
def create(
    user: UserId,
    home: Home = DEFAULT_HOME,
    alias: Alias = None,
    email: Email = None,
    service: Annotated[
        bool, typer.Option("--service", help=say("A service account.", "サービスアカウントにします。"))
    ] = False,
    owner: Annotated[
        str | None,
        typer.Option(
            "--owner", help=say("Who answers for a service account.", "サービスアカウントに責任を持つ利用者の ID。")
        ),
    ] = None,
    metadata: Metadata = None,
    as_json: AsJson = False,
) -> None:
    """Make a person or a service account."""
    fields = given(alias=alias, email=email, kind="service" if service else None, metadata=parse_metadata(metadata))
    fields |= given(owner=owner)
    USERS.create(home, {"id": user} | fields, as_json)


@app.command("list", help=say("Show all users.", "すべての利用者を一覧表示します。"))
def list_users(home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Print every user."""
    USERS.list(home, as_json)


@app.command("show", help=say("Show one user.", "利用者の詳細を表示します。"))
def show(user: UserId, home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Print one user."""
    USERS.show(home, user, as_json)


@app.command("update", help=say("Change a user.", "利用者を変更します。"))
def update(
    user: UserId,
    home: Home = DEFAULT_HOME,
    alias: Alias = None,
    email: Email = None,
    metadata: Metadata = None,
    as_json: AsJson = False,
) -> None:
    """Change what is given; leave the rest."""
    USERS.update(home, user, given(alias=alias, email=email, metadata=parse_metadata(metadata)), as_json)


@app.command("delete", help=say("Delete a user with its keys.", "利用者とそのキーを削除します。"))
def delete(
    user: UserId,
    home: Home = DEFAULT_HOME,
    transfer_to: Annotated[
        str,
        typer.Option(
            "--transfer-to",
            help=say("Who owns from now on what this user owns.", "この利用者が所有するものを引き継ぐ利用者の ID。"),
        ),
    ] = "",
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Delete a user after asking; its calls stay in the record."""
    question = say(f"Delete the user {user} and all its keys?", f"利用者 {user} とそのすべてのキーを削除しますか？")
    USERS.delete(home, user, question, yes, as_json, transfer_to=transfer_to)


@app.command(
    "invite", help=say("A one-time link to set a password.", "パスワードを設定する一回限りのリンクを作ります。")
)
def invite(user: UserId, home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Print a link with which a person enters once and sets a password."""
    _print_link(home, ask(home, "POST", f"/admin/v1/accounts/{quote(user)}/invite"), as_json)


@app.command(
    "reset",
    help=say(
        "Take password, second factor and sessions away; print a new link.",
        "パスワード、二段階認証、セッションを取り消し、新しいリンクを作ります。",
    ),
)
def reset(user: UserId, home: Home = DEFAULT_HOME, yes: Yes = False, as_json: AsJson = False) -> None:
    """Reset how a person signs in, after asking."""
    question = say(f"Reset how {user} signs in?", f"{user} のサインイン方法をリセットしますか？")
    confirm(home, question, yes)
    _print_link(home, ask(home, "POST", f"/admin/v1/accounts/{quote(user)}/reset"), as_json)


@app.command(
    "sessions", help=say("Show or end the console sessions of a user.", "コンソールのセッションを表示・終了します。")
)
def sessions(
    user: UserId,
    home: Home = DEFAULT_HOME,
    end: Annotated[bool, typer.Option("--end", help=say("End all of them.", "すべて終了します。"))] = False,
    as_json: AsJson = False,
) -> None:
    """Print the open sessions, or end them."""
    path = f"/admin/v1/accounts/{quote(user)}"
    if end:
        ask(home, "DELETE", f"{path}/sessions")
        return
    found = ask(home, "GET", path)
    if as_json:
        print_json(found)
        return
    for one in found["sessions"]:
        typer.echo("  ".join((one["seen_at"], one["method"], one["address"] or "-", one["agent"] or "-")))


def _print_link(home: Path, answer: Thing, as_json: bool) -> None:
    """Only the link goes to standard output."""
    if as_json:
        print_json(answer)
        return
    until = local_time(answer["expires_at"])
    typer.echo(say(f"This link works once, until {until}:", f"このリンクは {until} まで 1 回だけ使えます："), err=True)
    root = os.environ.get("SEKISHO_URL") or local_url(home)
    typer.echo(root.rstrip("/") + answer["path"])
