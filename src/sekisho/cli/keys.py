"""`sekisho key ...`: virtual keys, through the running control process."""

import json
import os
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import typer

from sekisho.cli.gateway import Url
from sekisho.cli.hand_over import LinkExpires, MustSignIn, hand_over_fields, print_link, redeem
from sekisho.cli.messages import columns, program, say
from sekisho.cli.operator import ask, stop
from sekisho.cli.place import DEFAULT_HOME
from sekisho.cli.status import local_time

app = typer.Typer(no_args_is_help=True, help=say("Virtual keys.", "仮想キーを管理します。"))

Home = Annotated[
    Path,
    typer.Option("--home", envvar="SEKISHO_HOME", help=say("Folder of this Sekisho.", "Sekisho のデータフォルダー。")),
]
Reference = Annotated[str, typer.Argument(help=say("The key's alias or id.", "キーの別名または ID。"))]
AsJson = Annotated[bool, typer.Option("--json", help=say("Print JSON.", "JSON で出力します。"))]
Alias = Annotated[str | None, typer.Option("--alias", help=say("Name of the key.", "キーの別名。"))]
User = Annotated[str | None, typer.Option("--user", help=say("Whose key it is.", "利用者の ID。"))]
Team = Annotated[str | None, typer.Option("--team", help=say("Team that pays.", "費用を負担するチームの ID。"))]
Models = Annotated[
    list[str] | None,
    typer.Option("--model", help=say("Allowed model; may repeat.", "使えるモデル。複数回指定できます。")),
]
Tags = Annotated[list[str] | None, typer.Option("--tag", help=say("Tag; may repeat.", "タグ。複数回指定できます。"))]
Expires = Annotated[
    str | None,
    typer.Option("--expires", help=say('Life from now, such as "30d".', "今からの有効期間。例: 30d")),
]

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

KEYS = "/admin/v1/keys"
LINKS = "/admin/v1/hand-overs"
PAGE = 500


@app.command("create", help=say("Make a key and print it, once.", "キーを作成し、一度だけ表示します。"))
def create(
    home: Home = DEFAULT_HOME,
    alias: Alias = None,
    user: User = None,
    team: Team = None,
    model: Models = None,
    tag: Tags = None,
    expires: Expires = None,
    hand_over: HandOver = False,
    must_sign_in: MustSignIn = False,
    link_expires: LinkExpires = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Make a key; its raw form, or the link to it, goes to standard output, everything else to standard error."""
    fields = _fields(alias, user, team, model, tag, expires)
    key = ask(home, "POST", KEYS, fields | hand_over_fields(hand_over, must_sign_in, link_expires))
    _warn_of_unknown(home, key["models"])
    _show_new(key, home, url, as_json)


@app.command("rotate", help=say("Give a key a new raw form.", "キーを新しい値に切り替えます。"))
def rotate(
    reference: Reference,
    home: Home = DEFAULT_HOME,
    grace: Annotated[
        str | None,
        typer.Option(
            "--grace",
            help=say(
                'How long the old one still works, such as "24h" (the default); 0s: it ends at once.',
                "古い値を使える猶予期間。例: 24h（初期値）。0s なら直ちに無効になります。",
            ),
        ),
    ] = None,
    hand_over: HandOver = False,
    must_sign_in: MustSignIn = False,
    link_expires: LinkExpires = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Rotate a key; its spend, budgets and limits stay."""
    fields = {"grace": grace} if grace else {}
    fields |= hand_over_fields(hand_over, must_sign_in, link_expires)
    key = ask(home, "POST", f"{KEYS}/{_find(home, reference)['id']}/rotate", fields)
    _show_new(key, home, url, as_json)


@app.command("redeem", help=say("Get the key that a one-time link holds.", "1 回限りのリンクからキーを受け取ります。"))
def redeem_link(
    link: Annotated[str, typer.Argument(help=say("The link.", "リンク。"))], as_json: AsJson = False
) -> None:
    """Print what the link holds; the link is then spent. SEKISHO_TOKEN says who you are where the link asks for it."""
    redeemed = redeem(link)
    if as_json:
        typer.echo(_json(redeemed))
        return
    typer.echo(redeemed[redeemed["kind"]])
    command = "setup cline" if redeemed["kind"] == "key" else "token whoami"
    typer.echo(
        say(
            f"Keep it now: it is not shown again. Next: {program()} {command} --url {redeemed['root']}",
            f"今すぐ保管してください。再表示はできません。次のコマンド: {program()} {command} --url {redeemed['root']}",
        ),
        err=True,
    )


@app.command("withdraw", help=say("End a one-time link that is still open.", "未使用のリンクを取り消します。"))
def withdraw(
    link_id: Annotated[str, typer.Argument(help=say("The link's id.", "リンクの ID。"))], home: Home = DEFAULT_HOME
) -> None:
    """Withdraw a link; it is refused when the command ends."""
    ask(home, "DELETE", f"{LINKS}/{quote(link_id, safe='')}")
    typer.echo(say("Withdrawn.", "取り消しました。"))


def _show_new(key: dict[str, Any], home: Path, url: str | None, as_json: bool) -> None:
    """A key just made or rotated."""
    if as_json:
        typer.echo(_json(key))
        return
    if key["hand_over"]:
        print_link(home, url, key["hand_over"])
        return
    typer.echo(key["key"])
    typer.echo(
        say(
            f"Keep it now: it is not shown again. Id: {key['id']}",
            f"今すぐ保管してください。再表示はできません。ID: {key['id']}",
        ),
        err=True,
    )


@app.command("list", help=say("Show all keys.", "すべてのキーを一覧表示します。"))
def list_keys(home: Home = DEFAULT_HOME, user: User = None, team: Team = None, as_json: AsJson = False) -> None:
    """Print every key, newest first."""
    keys: list[dict[str, Any]] = []
    after = ""
    while True:
        query = urlencode({"limit": PAGE, "after": after, "user_id": user or "", "team_id": team or ""})
        page = ask(home, "GET", f"{KEYS}?{query}")
        keys += page["keys"]
        if page["next"] is None:
            break
        after = page["next"]
    if as_json:
        typer.echo(_json(keys))
        return
    if keys:
        typer.echo(columns([_row(key) for key in keys]))
    else:
        typer.echo(say("There are no keys yet.", "キーはまだありません。"), err=True)


@app.command("info", help=say("Show one key.", "キーの詳細を表示します。"))
def info(reference: Reference, home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Print one key with what it spent."""
    key = _find(home, reference)
    usage = ask(home, "GET", f"/admin/v1/spend?{urlencode({'key': key['id']})}")["total"]
    key |= {"calls": usage["calls"], "cost_nanousd": usage["cost_nanousd"]}
    typer.echo(_json(key) if as_json else _describe(key))


@app.command("update", help=say("Change a key.", "キーを変更します。"))
def update(
    reference: Reference,
    home: Home = DEFAULT_HOME,
    alias: Alias = None,
    user: User = None,
    team: Team = None,
    model: Models = None,
    tag: Tags = None,
    expires: Expires = None,
    never_expires: Annotated[
        bool, typer.Option("--never-expires", help=say("Let it live for ever.", "無期限にします。"))
    ] = False,
    all_models: Annotated[
        bool, typer.Option("--all-models", help=say("Allow every model.", "すべてのモデルを許可します。"))
    ] = False,
) -> None:
    """Change what is given; leave the rest."""
    fields = _fields(alias, user, team, model, tag, expires)
    fields |= {"expires_in": None} if never_expires else {}
    fields |= {"models": []} if all_models else {}
    if not fields:
        stop(say("Say what to change.", "変更する項目を指定してください。"))
    key = ask(home, "PATCH", f"{KEYS}/{_find(home, reference)['id']}", fields)
    _warn_of_unknown(home, model or [])
    typer.echo(_describe(key))


@app.command("block", help=say("Refuse calls with a key from now on.", "キーの利用を停止します。"))
def block(reference: Reference, home: Home = DEFAULT_HOME) -> None:
    """Block a key; in force when the command ends."""
    ask(home, "POST", f"{KEYS}/{_find(home, reference)['id']}/block")
    typer.echo(say("Blocked.", "停止しました。"))


@app.command("unblock", help=say("Accept calls with a key again.", "キーの利用を再開します。"))
def unblock(reference: Reference, home: Home = DEFAULT_HOME) -> None:
    """Unblock a key; in force when the command ends."""
    ask(home, "POST", f"{KEYS}/{_find(home, reference)['id']}/unblock")
    typer.echo(say("Unblocked.", "再開しました。"))


@app.command("delete", help=say("Take a key out of use for good.", "キーを完全に無効にします。"))
def delete(
    reference: Reference,
    home: Home = DEFAULT_HOME,
    yes: Annotated[bool, typer.Option("--yes", "-y", help=say("Do not ask.", "確認しません。"))] = False,
) -> None:
    """Delete a key after asking; its calls stay in the record."""
    key = _find(home, reference)
    name = key["alias"] or key["id"]
    if not yes:
        typer.confirm(say(f"Delete the key {name}?", f"キー {name} を削除しますか？"), abort=True)
    ask(home, "DELETE", f"{KEYS}/{key['id']}")
    typer.echo(say("Deleted.", "削除しました。"))


def _find(home: Path, reference: str) -> dict[str, Any]:
    """The key with this alias, else with this id."""
    named: list[dict[str, Any]] = ask(home, "GET", f"{KEYS}?{urlencode({'alias': reference})}")["keys"]
    if named:
        return named[0]
    found: dict[str, Any] = ask(home, "GET", f"{KEYS}/{quote(reference, safe='')}")
    return found


def _fields(
    alias: str | None,
    user: str | None,
    team: str | None,
    models: list[str] | None,
    tags: list[str] | None,
    expires: str | None,
) -> dict[str, Any]:
    """What was given on the command line, by its name in the admin API."""
    fields = {
        "alias": alias,
        "user_id": user,
        "team_id": team,
        "models": models or None,
        "tags": tags or None,
        "expires_in": expires,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _warn_of_unknown(home: Path, models: list[str]) -> None:
    """Say which models of a key are not offered here; they may be one day, so the key is made all the same."""
    if not models or os.environ.get("SEKISHO_TOKEN"):  # only the operator may ask
        return
    offered = ask(home, "GET", "/internal/models")["models"]
    unknown = ", ".join(name for name in models if name not in offered)
    if unknown:
        typer.echo(say(f"Not offered here now: {unknown}", f"いまここで提供していないモデル： {unknown}"), err=True)


def _row(key: dict[str, Any]) -> tuple[str, ...]:
    """A key in the list."""
    return key["id"], f"sk-...{key['hint']}", _state(key), key["alias"] or "-", key["user_id"] or "-"


def _describe(key: dict[str, Any]) -> str:
    lines = [
        (say("id", "ID"), key["id"]),
        (say("key", "キー"), f"sk-...{key['hint']}"),
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


def _state(key: dict[str, Any]) -> str:
    if key["blocked"]:
        return say("blocked", "停止中")
    return say("in use", "利用中") if key["is_handed_over"] else say("not handed over", "未受領")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)
