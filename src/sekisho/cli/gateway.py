"""What the command line asks a running gateway, over plain HTTP with a virtual key.

Redirects are refused, so that a key never goes to another host.
"""

import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from email.message import Message
from typing import IO, Annotated, Any, NoReturn
from urllib.parse import urlsplit

import typer

from sekisho.cli.messages import say
from sekisho.cli.place import DEFAULT_URL, local_url
from sekisho.kits.target import Offer

Url = Annotated[
    str | None,
    typer.Option(
        envvar="SEKISHO_URL",
        help=say(
            f"Address of Sekisho. Default: the one that runs here, else {DEFAULT_URL}.",
            f"関所のアドレス。初期値はこのマシンで動いている関所、なければ {DEFAULT_URL}。",
        ),
    ),
]
_TIMEOUT_S = 10
_ANSWER_BYTES = 8_000_000
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class GatewayError(Exception):
    """The gateway cannot be asked, or refuses. The message is in the person's language."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> None:
        return None


def root_url(given: str | None) -> str:
    """The gateway's root as a person may write it: no trailing slash, no /v1; this machine's if none is given.

    Raises GatewayError."""
    text = given or local_url()
    url = text.strip().rstrip("/").removesuffix("/v1").rstrip("/")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise GatewayError(
            say(
                f"{text} is not an address such as {DEFAULT_URL} or https://gateway.example.com.",
                f"{text} はアドレスではありません。{DEFAULT_URL} のように書いてください。",
            )
        )
    return url


def read_key(given: str | None, *, may_ask: bool = True) -> str:
    """The virtual key: the option, SEKISHO_KEY, a hidden prompt, or the first line of a pipe; "" if there is none."""
    key = given or os.environ.get("SEKISHO_KEY", "")
    if not key and may_ask:
        if sys.stdin.isatty():
            key = typer.prompt(say("Your Sekisho key", "関所のキー"), hide_input=True)
        else:
            key = sys.stdin.readline()
    return key.strip()


def get_json(url: str, path: str, key: str) -> Any:
    """The JSON answer of GET url+path. Raises GatewayError for anything but 200 and JSON."""
    headers = {"Authorization": f"Bearer {key}", "Accept": "application/json"}
    return _answer(url, urllib.request.Request(url + path, headers=headers))


def post_json(url: str, path: str, key: str, body: Mapping[str, Any]) -> Any:
    """The JSON answer of POST url+path, without a key where that is empty. Raises GatewayError as `get_json`."""
    headers = {"Accept": "application/json", "Content-Type": "application/json"}
    headers |= {"Authorization": f"Bearer {key}"} if key else {}
    return _answer(url, urllib.request.Request(url + path, json.dumps(body).encode(), headers, method="POST"))


def _answer(url: str, request: urllib.request.Request) -> Any:
    handlers: list[urllib.request.BaseHandler] = [_NoRedirect()]
    if urlsplit(url).hostname in _LOOPBACK:
        handlers.append(urllib.request.ProxyHandler({}))
    try:
        with urllib.request.build_opener(*handlers).open(request, timeout=_TIMEOUT_S) as answer:
            return json.loads(answer.read(_ANSWER_BYTES))
    except urllib.error.HTTPError as error:
        with error:
            raise GatewayError(_refusal(url, error)) from error
    except (OSError, ValueError) as error:
        raise GatewayError(
            say(
                f"Nothing answers at {url} ({_reason(error)}). Start Sekisho there with: sekisho serve. "
                "If it runs elsewhere, give its address with --url or SEKISHO_URL.",
                f"{url} から応答がありません（{_reason(error)}）。sekisho serve で起動するか、"
                "別の場所で動いているなら --url か SEKISHO_URL でアドレスを指定してください。",
            )
        ) from error


def list_offers(url: str, key: str) -> tuple[Offer, ...]:
    """The chat models this key may use, with sizes and prices. Raises GatewayError."""
    answer = get_json(url, "/v1/model/info", key)
    rows = answer.get("data") if isinstance(answer, Mapping) else None
    if not isinstance(rows, list):
        raise GatewayError(
            say(f"{url} answers, but not with a list of models.", f"{url} の応答はモデルの一覧ではありません。")
        )
    offers = [_offer(row) for row in rows if isinstance(row, Mapping)]
    return tuple({offer.name: offer for offer in offers if offer}.values())


def _offer(row: Mapping[str, Any]) -> Offer | None:
    facts = row.get("model_info")
    facts = facts if isinstance(facts, Mapping) else {}
    name = row.get("model_name")
    if not isinstance(name, str) or not name or facts.get("mode") not in (None, "chat", "responses"):
        return None
    return Offer(
        name,
        context_tokens=_count(facts.get("max_input_tokens")),
        max_output_tokens=_count(facts.get("max_output_tokens")),
        input_usd=_usd_per_million(facts.get("input_cost_per_token")),
        output_usd=_usd_per_million(facts.get("output_cost_per_token")),
        cache_read_usd=_usd_per_million(facts.get("cache_read_input_token_cost")),
        cache_write_usd=_usd_per_million(facts.get("cache_creation_input_token_cost")),
    )


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _usd_per_million(value: object) -> float | None:
    """A price for an agent's own display; the ledger never sees it."""
    return round(value * 1_000_000, 6) if isinstance(value, int | float) else None


def _refusal(url: str, error: urllib.error.HTTPError) -> str:
    if error.code == 401:
        return say(
            f"{url} does not accept this key. Check that you copied all of it, or ask for a new one "
            "(sekisho key create makes one).",
            f"{url} はこのキーを受け付けません。全体をコピーできているか確かめるか、"
            "新しいキーを発行してもらってください（sekisho key create で作れます）。",
        )
    try:
        body = json.loads(error.read(_ANSWER_BYTES))
        message = str(body["error"]["message"])
    except (OSError, ValueError, KeyError, TypeError):
        message = str(error.reason)
    return say(f"{url} answers {error.code}: {message}", f"{url} からの応答は {error.code} です：{message}")


def _reason(error: Exception) -> str:
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    return getattr(cause, "strerror", None) or str(cause) or type(cause).__name__


def fail(message: str) -> NoReturn:
    """Say what is wrong on standard error and end with code 1."""
    typer.secho(message, fg="red", err=True)
    raise typer.Exit(1)
