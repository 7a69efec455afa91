"""`sekisho login|logout|whoami`: a personal access token for this machine, approved in the browser."""

import contextlib
import getpass
import http.client
import json
import os
import socket
import time
from typing import Annotated, Any
from urllib.parse import urlencode, urlsplit

import typer

from sekisho.cli.credentials import (
    Credentials,
    CredentialsError,
    find_credentials,
    forget_credentials,
    keep_credentials,
)
from sekisho.cli.gateway import GatewayError, root_url
from sekisho.cli.messages import language, say
from sekisho.cli.operator import OperatorError, gateway_connection, request_with, stop
from sekisho.cli.options import AsJson, print_json
from sekisho.cli.place import local_url

GRANT = "urn:ietf:params:oauth:grant-type:device_code"
pause = time.sleep

Url = Annotated[
    str | None,
    typer.Option(
        "--url", envvar="SEKISHO_URL", help=say("Address of Sekisho. Default: this machine's.", "関所のアドレス。")
    ),
]


def login(url: Url = None) -> None:
    """Sign in: show a code, wait until it is approved in the console, keep the token."""
    root = _root(url)
    begun = _post(root, "/admin/v1/device/code", {"client_name": _name()})
    address = begun["verification_uri_complete"]
    address = address if address.startswith("http") else root + address
    typer.echo(
        say(
            f"Open this address, sign in, and see that it shows the code {begun['user_code']}:",
            f"次のアドレスを開いてサインインし、コード {begun['user_code']} を確かめて許可してください：",
        ),
        err=True,
    )
    typer.echo(address)
    answer = _wait(root, begun)
    credentials = Credentials(root, answer["access_token"], answer["token_id"])
    path = keep_credentials(credentials)
    who = request_with(credentials.token, credentials.url, "GET", "/admin/v1/me")
    done = say(f"Signed in as {who['user_id']}.", f"{who['user_id']} としてログインしました。")
    kept = say(f"The token is in {path}.", f"トークンの保存先：{path}")
    typer.echo(f"{done} {kept}", err=True)


def logout() -> None:
    """Revoke the token and delete it."""
    found = _found()
    if found is None:
        typer.echo(say("You are not signed in.", "ログインしていません。"), err=True)
        return
    with contextlib.suppress(OperatorError):  # it may have expired, or was revoked before
        request_with(found.token, found.url, "DELETE", f"/admin/v1/tokens/{found.token_id}")
    forget_credentials()
    typer.echo(say("Signed out.", "ログアウトしました。"), err=True)


def whoami(as_json: AsJson = False) -> None:
    """Say who is signed in here, where, and with which roles."""
    found = _found()
    token = os.environ.get("SEKISHO_TOKEN", "")
    if not token and found is None:
        stop(say("You are not signed in: sekisho login", "ログインしていません。sekisho login を実行してください。"))
    url = os.environ.get("SEKISHO_URL") or (local_url() if token or found is None else found.url)
    try:
        who = request_with(token or (found.token if found else ""), url, "GET", "/admin/v1/me")
    except OperatorError as error:
        stop(str(error), error)
    if as_json:
        print_json(who)
        return
    typer.echo(f"{who['user_id'] or who['actor']}  {url}")
    for one in who["roles"]:
        typer.echo(f"{one['role']}  {one['team_id'] or '-'}")


def _wait(root: str, begun: dict[str, Any]) -> dict[str, Any]:
    """Ask as often as we may until there is a token, or there will be none."""
    interval_s = float(begun["interval"])
    deadline = time.monotonic() + begun["expires_in"]
    while time.monotonic() < deadline:
        pause(interval_s)
        fields = {"grant_type": GRANT, "device_code": begun["device_code"]}
        answer = _post(root, "/admin/v1/device/token", fields, errors=True)
        problem = answer.get("error")
        if problem is None:
            return answer
        if problem == "slow_down":
            interval_s += 5
        elif problem != "authorization_pending":
            break
    else:
        problem = "expired_token"
    if problem == "access_denied":
        stop(say("It was refused in the console.", "コンソールで拒否されました。"))
    stop(say("The code's time is over. Run it again.", "コードの有効期限が切れました。もう一度実行してください。"))


def _post(root: str, path: str, fields: dict[str, str], *, errors: bool = False) -> dict[str, Any]:
    connection = gateway_connection(root)
    headers = {"content-type": "application/x-www-form-urlencoded", "accept-language": language()}
    try:
        connection.request("POST", urlsplit(root).path + path, urlencode(fields), headers)
        response = connection.getresponse()
        answer: dict[str, Any] = json.loads(response.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        stop(say(f"No Sekisho answers at {root}.", f"{root} から応答がありません。"), error)
    finally:
        connection.close()
    if response.status != 200 and not errors:
        stop(str(answer.get("error_description") or answer.get("error")))
    return answer


def _root(url: str | None) -> str:
    try:
        return root_url(url or local_url())
    except GatewayError as error:
        stop(str(error), error)


def _found() -> Credentials | None:
    try:
        return find_credentials()
    except CredentialsError as error:
        stop(str(error), error)


def _name() -> str:
    """What the console shows of who asks: user and machine, as they call themselves."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (OSError, KeyError):
        return socket.gethostname()
