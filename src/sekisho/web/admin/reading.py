"""What no route of the admin API takes, whatever its fields: text that not every engine stores, numbers that are none.

JSON knows half surrogate pairs (`"\\ud800"`), and Python's reader knows NaN, Infinity and 1e999 too. Stored in a free
field they would fail much later, in a snapshot or on another engine; a name given twice means one thing to one reader
and another to the next.
"""

import json
import math
from typing import Any, NoReturn

from starlette.requests import Request

from sekisho.errors import BadRequest, BodyTooLarge

MOST_BODY_BYTES = 8_000_000
DEPTH = 64


async def refuse_unreadable(request: Request) -> None:
    """A dependency of every admin route. Raises BadRequest, BodyTooLarge."""
    for name, value in (*request.path_params.items(), *request.query_params.multi_items()):
        _check_text(name, "The address")
        _check_text(str(value), "The address")
    body = await request.body()
    if len(body) > MOST_BODY_BYTES:
        raise BodyTooLarge(f"The request body is larger than {MOST_BODY_BYTES:,} bytes.")
    if body:
        _check(_strict(body))


def _strict(body: bytes) -> Any:
    try:
        return json.loads(body, parse_constant=_no_number, parse_float=_number, object_pairs_hook=_object)
    except RecursionError as error:
        raise _too_deep() from error
    except ValueError as error:
        raise BadRequest("The body is not valid JSON.") from error


def _check(value: Any) -> None:
    """Look at every text and every depth, without recursion."""
    waiting: list[tuple[Any, int]] = [(value, 0)]
    while waiting:
        one, depth = waiting.pop()
        if depth > DEPTH:
            raise _too_deep()
        if isinstance(one, str):
            _check_text(one, "The body")
        elif isinstance(one, dict):
            waiting += [(part, depth + 1) for pair in one.items() for part in pair]
        elif isinstance(one, list):
            waiting += [(part, depth + 1) for part in one]


def _check_text(text: str, where: str) -> None:
    if text.isascii() and "\0" not in text:
        return
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadRequest(f"{where} holds half a surrogate pair, which is no character.") from error
    if "\0" in text:
        raise BadRequest(f"{where} holds a NUL character, which is not stored.")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise BadRequest("A name stands twice in one object of the body.")
    return found


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise BadRequest("A number in the body is too large.")
    return number


def _no_number(text: str) -> NoReturn:
    raise BadRequest(f"{text} is not a number that JSON knows.")


def _too_deep() -> BadRequest:
    return BadRequest(f"The body is nested more than {DEPTH} levels deep.")
