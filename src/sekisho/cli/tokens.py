"""`sekisho token ...`: access tokens of users and service accounts, through the running control process."""

import os
from typing import Annotated

import typer

from sekisho.cli.gateway import GatewayError, Url, fail, get_json, read_key, root_url
from sekisho.cli.hand_over import LinkExpires, MustSignIn, hand_over_fields, print_link
from sekisho.cli.messages import say
from sekisho.cli.operator import ask
from sekisho.cli.options import DEFAULT_HOME, AsJson, Home, Yes, given, print_json, print_lines
from sekisho.cli.resources import Resource, Thing, made
from sekisho.cli.status import local_time

app = typer.Typer(
    no_args_is_help=True,
    help=say("Access tokens for the admin API.", "管理 API のアクセストークンを管理します。"),
)

TokenId = Annotated[str, typer.Argument(help=say("The token's id.", "トークンの ID。"))]
UserId = Annotated[str, typer.Argument(help=say("Whose token it is.", "利用者の ID。"))]
Name = Annotated[str | None, typer.Option("--name", help=say("What it is for.", "何のためのトークンか。"))]
Expires = Annotated[
    str | None,
    typer.Option("--expires", help=say('Life from now, such as "90d".', "今からの有効期間。例: 90d")),
]
User = Annotated[str | None, typer.Option("--user", help=say("Only of this user.", "この利用者だけに絞り込みます。"))]


def _lines(token: Thing) -> Thing:
    return {
        say("id", "ID"): token["id"],
        say("user", "利用者"): token["user_id"],
        say("name", "名前"): token["name"] or "-",
        say("expires", "有効期限"): token["expires_at"] or say("never", "無期限"),
        say("created", "作成"): made(token),
    }


TOKENS = Resource(
    "tokens",
    lambda token: (token["id"], token["user_id"], token["name"] or "-", token["expires_at"] or say("never", "無期限")),
    _lines,
    say("There are no access tokens.", "アクセストークンはありません。"),
)


@app.command(
    "create", help=say("Make an access token and print it, once.", "アクセストークンを作成し、一度だけ表示します。")
)
def create(
    user: UserId,
    home: Home = DEFAULT_HOME,
    name: Name = None,
    expires: Expires = None,
    never_expires: Annotated[
        bool, typer.Option("--never-expires", help=say("Let it live for ever.", "無期限にします。"))
    ] = False,
    hand_over: Annotated[
        bool,
        typer.Option(
            "--hand-over",
            help=say(
                "Print a one-time link instead; the token is made when its user opens it.",
                "代わりに 1 回限りのリンクを表示します。トークンは本人がリンクを開いたときに作られます。",
            ),
        ),
    ] = False,
    must_sign_in: MustSignIn = False,
    link_expires: LinkExpires = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Make a token; its raw form, or the link to it, goes to standard output, everything else to standard error."""
    fields = {"user_id": user} | given(name=name, expires_in=expires)
    fields |= {"expires_in": None} if never_expires else {}
    token = ask(home, "POST", TOKENS.path, fields | hand_over_fields(hand_over, must_sign_in, link_expires))
    if as_json:
        print_json(token)
        return
    if hand_over:
        print_link(home, url, token["hand_over"])
        return
    typer.echo(token["token"])
    kept = say("Keep it now: it is not shown again. Id:", "今すぐ保管してください。再表示はできません。ID:")
    typer.echo(f"{kept} {token['id']}", err=True)


@app.command("list", help=say("Show access tokens.", "アクセストークンを一覧表示します。"))
def list_tokens(home: Home = DEFAULT_HOME, user: User = None, as_json: AsJson = False) -> None:
    """Print every token in use."""
    TOKENS.list(home, as_json, user_id=user)


@app.command("show", help=say("Show one access token.", "アクセストークンの詳細を表示します。"))
def show(token: TokenId, home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Print one token."""
    TOKENS.show(home, token, as_json)


@app.command("whoami", help=say("Show who your token is, and what it may do.", "手元のトークンの権限を表示します。"))
def whoami(url: Url = None, as_json: AsJson = False) -> None:
    """Ask the gateway with SEKISHO_TOKEN, or with the token that is typed."""
    try:
        token = os.environ.get("SEKISHO_TOKEN", "") or read_key(None)
        me: Thing = get_json(root_url(url), "/admin/v1/me", token)
    except GatewayError as error:
        fail(str(error))
    if as_json:
        print_json(me)
        return
    roles = (f"{one['role']} ({one['team_id']})" if one["team_id"] else one["role"] for one in me["roles"])
    print_lines(
        {
            say("you", "あなた"): me["actor"],
            say("roles", "ロール"): ", ".join(roles),
            say("permissions", "権限"): ", ".join(me["permissions"]),
            say("token ends", "トークンの期限"): local_time(me["token_expires_at"]) or say("never", "無期限"),
        }
    )


@app.command("delete", help=say("End an access token for good.", "アクセストークンを無効にします。"))
def delete(token: TokenId, home: Home = DEFAULT_HOME, yes: Yes = False, as_json: AsJson = False) -> None:
    """Revoke a token after asking; the next request with it is refused."""
    question = say(f"End the access token {token}?", f"アクセストークン {token} を無効にしますか？")
    TOKENS.delete(home, token, question, yes, as_json)
