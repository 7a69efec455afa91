"""Reading a client's JSON: every fault in it becomes a BadRequest that names the member."""

from functools import lru_cache
from typing import Any, TypeVar

import msgspec

from sekisho.errors import BadRequest

T = TypeVar("T")


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


@lru_cache(maxsize=256)  # `msgspec.json.decode` would work the type out anew at each call
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    """The decoder for a type, made once."""
    hashable: Any = kind  # mypy takes no type for hashable
    return _decoder(hashable)


def decode(data: bytes | msgspec.Raw, kind: type[T], name: str) -> T:
    """JSON as `kind`. Raises BadRequest, which says what is wrong and where."""
    try:
        return decoder(kind).decode(data)
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
