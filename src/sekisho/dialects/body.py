"""The top level of a JSON body, read without decoding what is below it."""

import json
import re
from codecs import utf_8_decode
from typing import Any

import msgspec

from sekisho.errors import BadRequest

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_PIECE_BYTES = 16_384
_NEXT_KEY = re.compile(rb'[ \t\n\r]*[{,][ \t\n\r]*"([^"\\]*)"[ \t\n\r]*:[ \t\n\r]*')
_END = re.compile(rb"[ \t\n\r]*\}[ \t\n\r]*\Z")


def parse_fields(body: bytes) -> dict[str, msgspec.Raw]:
    """The top-level values of a JSON object, undecoded. Raises BadRequest, also for a key that stands twice."""
    if not body:
        raise BadRequest("The request has no body.")
    try:
        if not body.isascii():
            _check_utf_8(body)  # what is not decoded below would otherwise pass unchecked
        fields = _fields.decode(body)
    except msgspec.ValidationError as error:
        raise BadRequest("The request body must be a JSON object.") from error
    except UnicodeDecodeError as error:
        raise BadRequest("The request body is not valid UTF-8.") from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadRequest(f"The request body is not valid JSON: {_reason(error)}.") from error
    if not (_is_compact(body, fields) or _is_walked(body, fields)):
        _check_unique(body)
    return fields


def _check_utf_8(body: bytes) -> None:
    """Raises UnicodeDecodeError. In pieces, since the text of all of it would not fit the processor's caches."""
    view = memoryview(body)
    at, size = 0, len(body)
    while at < size:
        _, used = utf_8_decode(view[at : at + _PIECE_BYTES], "strict", at + _PIECE_BYTES >= size)
        at += used


def _reason(error: Exception) -> str:
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)


def _is_compact(body: bytes, fields: dict[str, msgspec.Raw]) -> bool:
    """Whether the body is just these fields with no byte between them, which leaves no room for a second of a key."""
    # a key never has more characters than it has bytes in the body, so what is left over is never missed
    size = 1 + 4 * len(fields) + sum(map(len, fields)) + sum(map(len, fields.values()))
    return size == len(body)


def _is_walked(body: bytes, fields: dict[str, msgspec.Raw]) -> bool:
    """Whether the body is just these fields, one after the other, with white space between them.

    False also for a key that is written with an escape: then nothing is known."""
    at = 0
    for key, value in fields.items():
        start = _NEXT_KEY.match(body, at)
        text = bytes(value)
        if start is None or start[1] != key.encode() or not body.startswith(text, start.end()):
            return False
        at = start.end() + len(text)
    return _END.match(body, at) is not None


def _check_unique(body: bytes) -> None:
    """Decode with every key seen. Slower, so only for bodies that are not compact."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            seen: set[str] = set()
            twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
            raise BadRequest(f"The key '{twice[:60]}' stands twice in one object.", param=twice[:60])
        return found

    try:
        json.loads(body, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise BadRequest("The request body is not valid JSON.") from error
