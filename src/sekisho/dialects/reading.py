"""Typed reading of decoded JSON: each function gives the value or raises BadRequest that names the field's path.

`find_x` may give None (absent or null), `get_x` insists. `at` is the path of the object read from, empty for the body.
"""

import re
from typing import Any

import msgspec

from sekisho.errors import BadRequest

JsonObject = dict[str, Any]

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are no JSON, not of the type asked for, or nested too deeply."""

_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<lone>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)


def mend_surrogates(body: bytes) -> bytes:
    """Replace half surrogate pairs by U+FFFD: JavaScript agents cut strings inside an emoji, and msgspec refuses."""
    return _ESCAPE.sub(lambda match: rb"\ufffd" if match["lone"] else match[0], body)


def decode_object(body: bytes) -> JsonObject:
    """The JSON object in these bytes. Raises BadRequest."""
    try:
        value = msgspec.json.decode(body)
    except UNREADABLE as error:
        value = _decode_mended(body, error)
    if not isinstance(value, dict):
        raise BadRequest(f"The body must be a JSON object, not {json_kind(value)}.")
    return value


def _decode_mended(body: bytes, cause: Exception) -> Any:
    mended = mend_surrogates(body) if isinstance(cause, msgspec.DecodeError) else body
    if mended != body:
        try:
            return msgspec.json.decode(mended)
        except UNREADABLE as error:
            cause = error
    if isinstance(cause, RecursionError):
        raise BadRequest("The body is nested too deeply.") from cause
    raise BadRequest("The body is not valid JSON.") from cause


def json_kind(value: object) -> str:
    """What JSON calls the type of this value, with its article."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a string"
    return "an array" if isinstance(value, list) else "an object"


def join_path(at: str, key: str) -> str:
    """`messages[3]` and `role` give `messages[3].role`."""
    return f"{at}.{key}" if at else key


def wrong_type(value: object, expected: str, path: str) -> BadRequest:
    return BadRequest(f"{path}: expected {expected}, got {json_kind(value)}.", param=path)


def unknown_value(value: str, allowed: str, path: str) -> BadRequest:
    return BadRequest(f"{path}: {value[:60]!r} is not supported; use {allowed}.", param=path)


def as_object(value: object, path: str) -> JsonObject:
    if not isinstance(value, dict):
        raise wrong_type(value, "an object", path)
    return value


def as_text(value: object, path: str) -> str:
    if not isinstance(value, str):
        raise wrong_type(value, "a string", path)
    return value


def find_object(source: JsonObject, key: str, at: str = "") -> JsonObject | None:
    value = source.get(key)
    return None if value is None else as_object(value, join_path(at, key))


def get_object(source: JsonObject, key: str, at: str = "") -> JsonObject:
    return as_object(source.get(key), join_path(at, key))


def find_list(source: JsonObject, key: str, at: str = "") -> list[Any] | None:
    value = source.get(key)
    if value is not None and not isinstance(value, list):
        raise wrong_type(value, "an array", join_path(at, key))
    return value


def find_text(source: JsonObject, key: str, at: str = "") -> str | None:
    value = source.get(key)
    return None if value is None else as_text(value, join_path(at, key))


def get_text(source: JsonObject, key: str, at: str = "") -> str:
    """A string that is not empty."""
    value = as_text(source.get(key), join_path(at, key))
    if not value:
        path = join_path(at, key)
        raise BadRequest(f"{path}: must not be empty.", param=path)
    return value


def find_bool(source: JsonObject, key: str, at: str = "") -> bool | None:
    value = source.get(key)
    if value is not None and not isinstance(value, bool):
        raise wrong_type(value, "a boolean", join_path(at, key))
    return value


def find_count(source: JsonObject, key: str, at: str = "") -> int | None:
    """An integer of at least 1."""
    value = source.get(key)
    if value is None:
        return None
    path = join_path(at, key)
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong_type(value, "an integer", path)
    if value < 1:
        raise BadRequest(f"{path}: must be at least 1.", param=path)
    return value


def find_number(source: JsonObject, key: str, at: str = "") -> float | None:
    value = source.get(key)
    if value is None:
        return None
    path = join_path(at, key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise wrong_type(value, "a number", path)
    try:
        return float(value)
    except OverflowError as error:
        raise BadRequest(f"{path}: the number is too large.", param=path) from error
