"""What every JSON body of the admin API must be, whichever route reads it: bounded, and nothing a database chokes on.

An ASGI application around the others. It refuses bodies that are too large or too deep, texts with NUL characters or
halves of characters (lone surrogates), NaN and Infinity, names given twice, and numbers of absurd length.
"""

import json
import math
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from sekisho.errors import BadRequest, BodyTooLarge
from sekisho.web.admin.errors import render_error

MOST_BYTES = 25_000_000
MOST_DEPTH = 20
MOST_DIGITS = 4000

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


class StrictBodies:
    """Reads the body first and hands it on when it is good."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and b"%00" in scope["raw_path"] + scope["query_string"]:
            await render_error(BadRequest("An address has no NUL characters."))(scope, receive, send)
            return
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD") or not _is_json(scope):
            await self._app(scope, receive, send)
            return
        try:
            body = await _read(receive)
            if body is None:
                return
            if body:
                check_json(body)
        except BadRequest as error:
            await render_error(error)(scope, receive, send)
            return
        is_sent = False

        async def again() -> Message:
            nonlocal is_sent
            if is_sent:
                return await receive()
            is_sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, again, send)


def check_json(body: bytes) -> None:
    """Raises BadRequest for JSON that no route should see."""
    try:
        value = json.loads(
            body, parse_constant=_no_constant, parse_int=_integer, object_pairs_hook=_mapping, parse_float=_finite
        )
    except RecursionError as error:
        raise BadRequest("The body is too deeply nested.") from error
    except (ValueError, UnicodeError) as error:
        raise BadRequest("The body is not JSON.") from error
    stack: list[tuple[Any, int]] = [(value, 0)]
    while stack:
        one, depth = stack.pop()
        if isinstance(one, str):
            _check_text(one)
        elif isinstance(one, (dict, list)):
            if depth >= MOST_DEPTH:
                raise BadRequest("The body is too deeply nested.")
            children = [*one, *one.values()] if isinstance(one, dict) else one
            stack.extend((child, depth + 1) for child in children)


def _check_text(text: str) -> None:
    if "\0" in text:
        raise BadRequest("A text has no NUL characters.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadRequest("A text has no halves of characters (lone surrogates).") from error


def _no_constant(name: str) -> None:
    raise BadRequest(f"{name} is not a number here.")


def _integer(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise BadRequest("A number has too many digits.")
    return int(digits)


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise BadRequest("A number is too large.")
    return number


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadRequest("A name is given twice.")
    return found


def _is_json(scope: MutableMapping[str, Any]) -> bool:
    kinds = [value for name, value in scope["headers"] if name == b"content-type"]
    return not kinds or b"json" in kinds[0].lower()


async def _read(receive: Receive) -> bytes | None:
    """The whole body; None when the client left before its end: half a request must not be acted on."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        part = message.get("body", b"")
        size += len(part)
        if size > MOST_BYTES:
            raise BodyTooLarge("The request body is too large.")
        parts.append(part)
        if not message.get("more_body"):
            return b"".join(parts)
