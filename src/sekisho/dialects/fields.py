"""Reading a client's JSON: every fault in it becomes a BadRequest that names the member."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

import msgspec

from sekisho.errors import BadRequest

T = TypeVar("T")

# one decoder per type: `msgspec.json.decode` would work the type out anew at each call
_decoder: Callable[[Any], msgspec.json.Decoder[Any]] = lru_cache(maxsize=256)(msgspec.json.Decoder)


def decode_as(data: bytes | msgspec.Raw, kind: type[T]) -> T:
    """JSON as `kind`. Raises what msgspec raises."""
    value: T = _decoder(kind).decode(data)
    return value


class Fields:
    """The top-level members of a JSON object, each decoded when asked for; `left` are those never asked for."""

    def __init__(self, body: bytes) -> None:
        self._raw = decode(body, dict[str, msgspec.Raw], "body")
        self.left = dict.fromkeys(self._raw)

    def take(self, name: str, kind: type[T]) -> T | None:
        """The member as `kind`, None if it is missing or null. Raises BadRequest naming it."""
        self.left.pop(name, None)
        raw = self._raw.get(name)
        return None if raw is None or bytes(raw) == b"null" else decode(raw, kind, name)


def decode(data: bytes | msgspec.Raw, kind: type[T], name: str) -> T:
    """JSON as `kind`. Raises BadRequest, which says what is wrong and where."""
    try:
        return decode_as(data, kind)
    except msgspec.DecodeError as error:
        raise BadRequest(f"{name}: {error}", param=name) from error
    except RecursionError as error:
        raise BadRequest(f"{name}: nested too deeply", param=name) from error


def encode(value: Any) -> bytes:
    """JSON of a request that is sent on. Raises BadRequest for one nested too deeply to be written."""
    try:
        return msgspec.json.encode(value)
    except RecursionError as error:
        raise BadRequest("body: nested too deeply") from error
