"""`sekisho key ...`: virtual keys, through the running control process."""

import os
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import typer

from sekisho.cli.gateway import Url
from sekisho.cli.hand_over import LinkExpires, MustSignIn, hand_over_fields, print_link, redeem
from sekisho.cli.messages import columns, program, say
from sekisho.cli.operator import ask, stop
from sekisho.cli.options import (
    DEFAULT_HOME,
    AllModels,
    AsJson,
    CutStreamsOption,
    Home,
    Models,
    Yes,
    cut_streams_fields,
    given,
    print_json,
    taking,
)
from sekisho.cli.resources import Resource, Thing, state, tell
from sekisho.cli.status import local_time

app = typer.Typer(no_args_is_help=True, help=say("Virtual keys.", "仮想キーを管理します。"))

Reference = Annotated[str, typer.Argument(help=say("The key's alias or id.", "キーの別名または ID。"))]
User = Annotated[str | None, typer.Option("--user", help=say("Whose key it is.", "利用者の ID。"))]
Team = Annotated[str | None, typer.Option("--team", help=say("Team that pays.", "費用を負担するチームの ID。"))]
FIELDS: dict[str, Any] = {
    "alias": Annotated[str | None, typer.Option("--alias", help=say("Name of the key.", "キーの別名。"))],
    "user_id": User,
    "team_id": Team,
    "models": Models,
    "tags": Annotated[
        list[str] | None, typer.Option("--tag", help=say("Tag; may repeat.", "タグ。複数回指定できます。"))
    ],
    "expires_in": Annotated[
        str | None,
        typer.Option("--expires", help=say('Life from now, such as "30d".', "今からの有効期間。例: 30d")),
    ],
    "cut_streams": CutStreamsOption,
}


def _row(key: Thing) -> tuple[str, ...]:
    """A key in the list."""
    return key["id"], _hint(key), _state(key), key["alias"] or "-", key["user_id"] or "-"


HandOver = Annotated[
    bool,
    typer.Option(
        "--hand-over",
        help=say(
            "Print a one-time link instead; the key is made when its user opens it.",
            "代わりに 1 回限りのリンクを表示します。キーは本人がリンクを開いたときに作られます。",
        ),
    ),
]
KEYS = Resource("keys", _row, lambda key: {}, say("There are no keys yet.", "キーはまだありません。"))


@app.command("create", help=say("Make a key and print it, once.", "キーを作成し、一度だけ表示します。"))
@taking(FIELDS)
def create(
    said: Thing,
    home: Home = DEFAULT_HOME,
    hand_over: HandOver = False,
    must_sign_in: MustSignIn = False,
    link_expires: LinkExpires = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Make a key; its raw form, or the link to it, goes to standard output, everything else to standard error."""
    fields = said | cut_streams_fields(said.get("cut_streams"))
    key = ask(home, "POST", KEYS.path, fields | hand_over_fields(hand_over, must_sign_in, link_expires))
    _warn_of_unknown(home, key["models"])
    _print_secret(key, home, url, as_json)


@app.command("list", help=say("Show all keys.", "すべてのキーを一覧表示します。"))
def list_keys(home: Home = DEFAULT_HOME, user: User = None, team: Team = None, as_json: AsJson = False) -> None:
    """Print every key, newest first."""
    KEYS.list(home, as_json, user_id=user, team_id=team)


@app.command("info", hidden=True)
@app.command("show", help=say("Show one key.", "キーの詳細を表示します。"))
def show(reference: Reference, home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Print one key with what it spent."""
    key = _find(home, reference)
    usage = ask(home, "GET", f"/admin/v1/spend?{urlencode({'key': key['id']})}")["total"]
    key |= {"calls": usage["calls"], "cost_nanousd": usage["cost_nanousd"]}
    tell(as_json, key, _describe(key))


@app.command("update", help=say("Change a key.", "キーを変更します。"))
@taking(FIELDS)
def update(
    said: Thing,
    reference: Reference,
    home: Home = DEFAULT_HOME,
    never_expires: Annotated[
        bool, typer.Option("--never-expires", help=say("Let it live for ever.", "無期限にします。"))
    ] = False,
    all_models: AllModels = False,
    as_json: AsJson = False,
) -> None:
    """Change what is given; leave the rest."""
    fields = said | cut_streams_fields(said.get("cut_streams"))
    fields |= {"expires_in": None} if never_expires else {}
    fields |= {"models": []} if all_models else {}
    if not fields:
        stop(say("Say what to change.", "変更する項目を指定してください。"))
    key = ask(home, "PATCH", KEYS.address(_find(home, reference)["id"]), fields)
    _warn_of_unknown(home, said.get("models", []))
    tell(as_json, key, _describe(key))


@app.command(
    "rotate", help=say("Give a key a new secret and print it, once.", "キーの値を新しくし、一度だけ表示します。")
)
def rotate(
    reference: Reference,
    home: Home = DEFAULT_HOME,
    grace: Annotated[
        str | None,
        typer.Option("--grace", help=say('How long the old one still works: "1h".', "古い値も使える期間。例: 1h")),
    ] = None,
    hand_over: HandOver = False,
    must_sign_in: MustSignIn = False,
    link_expires: LinkExpires = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Rotate a key; its budgets, limits and spend stay."""
    path = KEYS.address(_find(home, reference)["id"], "rotate")
    fields = given(grace=grace) | hand_over_fields(hand_over, must_sign_in, link_expires)
    _print_secret(ask(home, "POST", path, fields), home, url, as_json)


@app.command("redeem", help=say("Get the key that a one-time link holds.", "1 回限りのリンクからキーを受け取ります。"))
def redeem_link(
    link: Annotated[str, typer.Argument(help=say("The link.", "受け取ったリンク。"))], as_json: AsJson = False
) -> None:
    """Print what the link holds; the link is then spent. SEKISHO_TOKEN says who you are where the link asks for it."""
    redeemed = redeem(link)
    if as_json:
        print_json(redeemed)
        return
    typer.echo(redeemed[redeemed["kind"]])
    command = f"{'setup cline' if redeemed['kind'] == 'key' else 'token whoami'} --url {redeemed['root']}"
    typer.echo(
        say(
            f"Keep it now: it is not shown again. Next: {program()} {command}",
            f"今すぐ保管してください。再表示はできません。次のコマンド: {program()} {command}",
        ),
        err=True,
    )


@app.command("withdraw", help=say("End a one-time link that is still open.", "未使用のリンクを取り消します。"))
def withdraw(
    link_id: Annotated[str, typer.Argument(help=say("The link's id.", "リンクの ID。"))],
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Withdraw a link; it is refused when the command ends."""
    ask(home, "DELETE", f"/admin/v1/hand-overs/{quote(link_id, safe='')}")
    tell(as_json, {"withdrawn": link_id}, say("Withdrawn.", "取り消しました。"))


@app.command("block", help=say("Refuse calls with a key from now on.", "キーの利用を停止します。"))
def block(reference: Reference, home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Block a key; in force when the command ends."""
    changed = ask(home, "POST", KEYS.address(_find(home, reference)["id"], "block"))
    tell(as_json, changed, say("Blocked.", "停止しました。"))


@app.command("unblock", help=say("Accept calls with a key again.", "キーの利用を再開します。"))
def unblock(reference: Reference, home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Unblock a key; in force when the command ends."""
    changed = ask(home, "POST", KEYS.address(_find(home, reference)["id"], "unblock"))
    tell(as_json, changed, say("Unblocked.", "再開しました。"))


@app.command("delete", help=say("Take a key out of use for good.", "キーを完全に無効にします。"))
def delete(reference: Reference, home: Home = DEFAULT_HOME, yes: Yes = False, as_json: AsJson = False) -> None:
    """Delete a key after asking; its calls stay in the record."""
    key = _find(home, reference)
    name = key["alias"] or key["id"]
    KEYS.delete(home, key["id"], say(f"Delete the key {name}?", f"キー {name} を削除しますか？"), yes, as_json)


def _print_secret(key: Thing, home: Path, url: str | None, as_json: bool) -> None:
    """The raw form of a new key goes to standard output, everything else to standard error."""
    if as_json:
        print_json(key)
        return
    if key["hand_over"]:
        print_link(home, url, key["hand_over"])
        return
    typer.echo(key["key"])
    kept = say("Keep it now: it is not shown again. Id:", "今すぐ保管してください。再表示はできません。ID:")
    typer.echo(f"{kept} {key['id']}", err=True)


def _find(home: Path, reference: str) -> Thing:
    """The key with this alias, else with this id."""
    named: list[Thing] = ask(home, "GET", f"{KEYS.path}?{urlencode({'alias': reference})}")["keys"]
    if named:
        return named[0]
    found: Thing = ask(home, "GET", KEYS.address(reference))
    return found


def _warn_of_unknown(home: Path, models: list[str]) -> None:
    """Say which models of a key are not offered here; they may be one day, so the key is made all the same."""
    if not models or os.environ.get("SEKISHO_TOKEN"):  # only the operator may ask
        return
    offered = ask(home, "GET", "/internal/models")["models"]
    unknown = ", ".join(name for name in models if name not in offered)
    if unknown:
        typer.echo(say(f"Not offered here now: {unknown}", f"いまここで提供していないモデル： {unknown}"), err=True)


def _hint(key: Thing) -> str:
    return f"sk-...{key['hint']}" if key["hint"] else say("(no secret yet)", "（値は未発行）")


def _describe(key: Thing) -> str:
    lines = [
        (say("id", "ID"), key["id"]),
        (say("key", "キー"), _hint(key)),
        (say("alias", "別名"), key["alias"] or "-"),
        (say("state", "状態"), _state(key)),
        (say("user", "利用者"), key["user_id"] or "-"),
        (say("team", "チーム"), key["team_id"] or "-"),
        (say("models", "モデル"), ", ".join(key["models"]) or say("all", "すべて")),
        (say("tags", "タグ"), ", ".join(key["tags"]) or "-"),
        (say("expires", "有効期限"), local_time(key["expires_at"]) or say("never", "無期限")),
        (say("created", "作成"), f"{local_time(key['created_at']) or '-'}  ({key['created_by']})"),
    ]
    if "cost_nanousd" in key:
        lines.append((say("calls", "コール"), f"{key['calls']:,}"))
        lines.append((say("spend", "使用額"), f"${key['cost_nanousd'] // 10**9:,}.{key['cost_nanousd'] % 10**9:09d}"))
    return columns(lines)


def _state(key: Thing) -> str:
    """Whether a key may call, and whether anybody can."""
    return state(key["blocked"]) if key["is_handed_over"] else say("not handed over", "未受領")
