"""One-time links that hold a key or an access token: the words that several commands share, and how one is redeemed."""

import os
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from sekisho.cli.gateway import GatewayError, post_json
from sekisho.cli.messages import program, say
from sekisho.cli.operator import stop
from sekisho.cli.place import local_url
from sekisho.cli.status import local_time

MustSignIn = Annotated[
    bool,
    typer.Option(
        "--must-sign-in",
        help=say(
            "Only the user, with an access token, may open the link.",
            "アクセストークンを持つ本人だけがリンクを開けるようにします。",
        ),
    ),
]
LinkExpires = Annotated[
    str | None,
    typer.Option(
        "--link-expires",
        help=say('Life of the link, such as "24h". Default: 72h.', "リンクの有効期間。例: 24h（初期値: 72h）"),
    ),
]


def hand_over_fields(is_wanted: bool, must_sign_in: bool, expires: str | None) -> dict[str, Any]:
    """What the admin API is told; nothing where no link is wanted."""
    if not is_wanted:
        return {}
    fields: dict[str, Any] = {"must_sign_in": must_sign_in}
    return {"hand_over": fields | ({"expires_in": expires} if expires else {})}


def print_link(home: Path, url: str | None, link: dict[str, Any]) -> None:
    """Only the link goes to standard output."""
    until = local_time(link["expires_at"])
    typer.echo(
        say(
            f"Send this link to whom it is for. It works once, until {until}; you never see what it holds. "
            f"To withdraw it: {program()} key withdraw {link['id']}",
            f"次のリンクを本人に送ってください。1 回限り、{until} まで有効です。中身は発行者にも表示されません。"
            f"取り消すには: {program()} key withdraw {link['id']}",
        ),
        err=True,
    )
    typer.echo((url or local_url(home)).rstrip("/") + link["path"])


def redeem(link: str) -> dict[str, Any]:
    """What a link holds; it is then spent. Ends the command when there is nothing to get."""
    parts = urlsplit(link.strip())
    base, _, secret = parts.path.rpartition("/hand-over/")
    if parts.scheme not in ("http", "https") or not parts.hostname or not secret or "/" in secret:
        stop(say(f"{link} is not a one-time link.", f"{link} は受け渡し用のリンクではありません。"))
    root = f"{parts.scheme}://{parts.netloc}{base.removesuffix('/console')}"
    try:
        answer: dict[str, Any] = post_json(
            root, "/admin/v1/hand-overs/redeem", os.environ.get("SEKISHO_TOKEN", ""), {"secret": secret}
        )
    except GatewayError as error:
        stop(str(error), error)
    return answer | {"root": root}
