"""`sekisho token ...`: access tokens, with which people and service accounts identify themselves."""

import os
from typing import Annotated, Any

import typer

from sekisho.cli.gateway import GatewayError, Url, fail, get_json, read_key, root_url
from sekisho.cli.hand_over import LinkExpires, MustSignIn, hand_over_fields, print_link
from sekisho.cli.messages import columns, say
from sekisho.cli.operator import ask
from sekisho.cli.options import DEFAULT_HOME, AsJson, Home, given, list_all, print_json, print_lines
from sekisho.cli.status import local_time

app = typer.Typer(no_args_is_help=True, help=say("Access tokens.", "アクセストークンを管理します。"))

TOKENS = "/admin/v1/tokens"


@app.command("create", help=say("Make a token and print it, once.", "アクセストークンを作成し、一度だけ表示します。"))
def create(
    user: Annotated[str, typer.Argument(help=say("Whose token it is.", "利用者の ID。"))],
    home: Home = DEFAULT_HOME,
    name: Annotated[str | None, typer.Option("--name", help=say("What it is for.", "用途がわかる名前。"))] = None,
    expires: Annotated[
        str | None,
        typer.Option("--expires", help=say('Life from now, such as "90d".', "今からの有効期間。例: 90d")),
    ] = None,
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
    fields |= hand_over_fields(hand_over, must_sign_in, link_expires)
    made = ask(home, "POST", TOKENS, fields)
    if as_json:
        print_json(made)
    elif hand_over:
        print_link(home, url, made["hand_over"])
    else:
        typer.echo(made["token"])
        typer.echo(
            say(
                f"Keep it now: it is not shown again. Id: {made['id']}",
                f"今すぐ保管してください。再表示はできません。ID: {made['id']}",
            ),
            err=True,
        )


@app.command("list", help=say("Show all tokens.", "すべてのアクセストークンを一覧表示します。"))
def list_tokens(
    home: Home = DEFAULT_HOME,
    user: Annotated[
        str | None, typer.Option("--user", help=say("Of this user only.", "この利用者だけを表示します。"))
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print every token in use, newest first."""
    tokens = list_all(home, TOKENS, "tokens", user_id=user)
    if as_json:
        print_json(tokens)
    elif tokens:
        typer.echo(columns([_row(one) for one in tokens]))
    else:
        typer.echo(say("There are no access tokens yet.", "アクセストークンはまだありません。"), err=True)


@app.command("revoke", help=say("End a token for good.", "アクセストークンを完全に無効にします。"))
def revoke(
    token: Annotated[str, typer.Argument(help=say("The token's id.", "アクセストークンの ID。"))],
    home: Home = DEFAULT_HOME,
) -> None:
    """Revoke a token; it is refused when the command ends."""
    ask(home, "DELETE", f"{TOKENS}/{token}")
    typer.echo(say("Revoked.", "無効にしました。"))


@app.command("whoami", help=say("Show who your token is, and what it may do.", "手元のトークンの権限を表示します。"))
def whoami(url: Url = None, as_json: AsJson = False) -> None:
    """Ask the gateway with SEKISHO_TOKEN, or with the token that is typed."""
    try:
        token = os.environ.get("SEKISHO_TOKEN", "") or read_key(None)
        me: dict[str, Any] = get_json(root_url(url), "/admin/v1/me", token)
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


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    hint = f"skt-...{one['hint']}" if one["hint"] else say("not handed over", "未受領")
    return one["id"], hint, one["user_id"], one["name"] or "-", local_time(one["expires_at"]) or "-"
